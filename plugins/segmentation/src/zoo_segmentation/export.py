"""Export of segmentation models: pictures in, logits or classes of every pixel out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

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
    """A segmentation model in the form that :func:`zoo.export` expects: ``image``, prepared by its weights' transforms
    → ``out``, logits [N, num_classes, H, W], and the model's auxiliary logits.

    With ``preprocessing`` the exported file takes uint8 [N, H, W, 3] of any size and returns ``classes``, int64 [N, H,
    W], at the pictures' own size. The arguments are those of :func:`zoo.running.exportable.export_pictures`.
    """
    return export_pictures(model, image_size, dynamic=dynamic, preprocessing=preprocessing, finish=classes)


def classes(outputs: Any, pictures: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """The best class of every pixel, computed as in the pipeline."""
    size = (pictures[0].shape[1], pictures[0].shape[2])
    scores = F.interpolate(outputs["out"], size=size, mode="bilinear", align_corners=False)
    return {"classes": scores.argmax(1)}


class Restored(Exported):
    """An exported segmentation model with the interface of the model."""

    def restore(self, outputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The file's outputs; classes are converted to logits that have them as argmax."""
        if "classes" not in outputs:
            return outputs
        known = len(self.weights.read_categories())
        planes = F.one_hot(outputs["classes"], max(known, int(outputs["classes"].max()) + 1)).movedim(-1, 1)
        return {"out": planes.float()}
