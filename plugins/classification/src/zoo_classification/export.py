"""Export of classifiers: pictures in, logits or probabilities out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from zoo import Exportable, Preset
from zoo.loading import Exported
from zoo.running.exportable import export_pictures


def export(
    model: nn.Module,
    image_size: tuple[int, int] | None,
    *,
    dynamic: Sequence[str] = (),
    preprocessing: Preset | None = None,
) -> Exportable:
    """A classifier in the form that :func:`zoo.export` expects: ``image``, prepared by its weights' transforms →
    ``output``, logits [N, num_classes].

    With ``preprocessing`` the exported file takes uint8 [N, H, W, C] of any size and returns ``probabilities`` [N,
    num_classes]. The arguments are those of :func:`zoo.running.exportable.export_pictures`.
    """
    return export_pictures(model, image_size, dynamic=dynamic, preprocessing=preprocessing, finish=probabilities)


def probabilities(outputs: Any, pictures: Any) -> dict[str, Tensor]:
    """Logits → probabilities; with auxiliary heads, the first output counts."""
    logits: Tensor = outputs if isinstance(outputs, Tensor) else outputs[0]
    return {"probabilities": logits.softmax(-1)}


class Restored(Exported):
    """An exported classifier with the interface of the model."""

    def restore(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Logits; probabilities are converted to logits whose softmax they are."""
        if "probabilities" in outputs:
            return outputs["probabilities"].log()
        return next(iter(outputs.values()))
