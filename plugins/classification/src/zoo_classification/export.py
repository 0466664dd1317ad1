"""Classifiers as files: pictures in, logits out, or probabilities."""

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
    """A classifier as :func:`zoo.export` takes it: ``image``, as its weights' transforms prepare it → ``output``,
    logits [N, num_classes].

    With ``preprocessing`` the file takes uint8 [N, H, W, C] of any size and gives ``probabilities`` [N, num_classes].
    The arguments are those of :func:`zoo.running.exportable.export_pictures`.
    """
    return export_pictures(model, image_size, dynamic=dynamic, preprocessing=preprocessing, finish=probabilities)


def probabilities(outputs: Any, pictures: Any) -> dict[str, Tensor]:
    """Logits, or the first of several as auxiliary heads give them, as probabilities."""
    logits: Tensor = outputs if isinstance(outputs, Tensor) else outputs[0]
    return {"probabilities": logits.softmax(-1)}


class Restored(Exported):
    """An exported classifier, run as the model itself."""

    def restore(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Logits; of probabilities those whose softmax they are."""
        if "probabilities" in outputs:
            return outputs["probabilities"].log()
        return next(iter(outputs.values()))
