"""What segmentation models are trained with."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from zoo.errors import InvalidArgument

IGNORED = 255  # the class of pixels that belong to none: Pascal VOC's outlines, and padding


def cross_entropy(logits: Tensor, target: Tensor, ignore_index: int = IGNORED) -> Tensor:
    """Mean cross entropy over the pixels that count; 0, with a gradient of 0, where none does.

    Args:
        logits: float [N, num_classes, H, W].
        target: integers [N, H, W], the class of every pixel, or ``ignore_index``.

    Returns:
        A scalar, in nats.

    Raises:
        InvalidArgument: shapes that do not belong together.
    """
    if logits.ndim != 4 or target.shape != (logits.shape[0], *logits.shape[2:]):
        raise InvalidArgument(
            f"logits {list(logits.shape)} and target {list(target.shape)}; expected [N, num_classes, H, W] and "
            "[N, H, W] of the same size."
        )
    target = target.long()
    total = F.cross_entropy(logits.float(), target, ignore_index=ignore_index, reduction="sum")
    return total / (target != ignore_index).sum().clamp(min=1)


def segmentation_loss(
    outputs: Mapping[str, Tensor], target: Tensor, *, ignore_index: int = IGNORED, aux_weight: float = 0.5
) -> Tensor:
    """Cross entropy of ``outputs["out"]``, and of ``outputs["aux"]``, where there is one, times ``aux_weight``.

    Args:
        outputs: of a segmentation model: logits [N, num_classes, H, W] by name.
        target: integers [N, H, W], the class of every pixel, or ``ignore_index``.
    """
    loss = cross_entropy(outputs["out"], target, ignore_index)
    if "aux" in outputs:
        loss = loss + aux_weight * cross_entropy(outputs["aux"], target, ignore_index)
    return loss
