"""Training of segmentation models: targets are class maps, the default loss is cross entropy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import Weights
from zoo.contract import Trainable
from zoo.errors import InvalidArgument, suggest
from zoo_segmentation.losses import IGNORED, LOSSES, segmentation_loss


class Preparation:
    """Preprocess the picture as the weights define; resize its class map to the result."""

    def __init__(self, transform: Callable[[Any], Tensor]) -> None:
        self.transform = transform

    def __call__(self, image: Any, target: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        prepared = self.transform(image)
        mask: Tensor = target["mask"]
        if mask.shape != prepared.shape[-2:]:
            size = (int(prepared.shape[-2]), int(prepared.shape[-1]))
            mask = F.interpolate(mask[None, None].float(), size, mode="nearest-exact")[0, 0].long()
        return prepared, mask


class Training(Trainable):
    """The ``"train"`` component of semantic segmentation.

    Args:
        loss: a key of :data:`zoo_segmentation.losses.LOSSES`.
    """

    as_predicted = True

    def __init__(self, loss: str = "cross-entropy") -> None:
        if loss not in LOSSES:
            raise InvalidArgument(f"loss is {loss!r}; expected one of {', '.join(LOSSES)}.{suggest(loss, LOSSES)}")
        self.name = loss

    def size(self, model: nn.Module, weights: Weights) -> tuple[int, int] | None:
        """The size of the preprocessing; one number is the shorter side."""
        side = weights.transforms.arguments.get("resize_size") if weights.transforms else None
        return (side, side) if isinstance(side, int) else (side[0], side[-1]) if side else None

    def prepare(self, model: nn.Module, weights: Weights) -> Preparation:
        if weights.transforms is None:
            raise InvalidArgument("The weights define no preprocessing; pass zoo.Weights(transforms=zoo.Preset(…)).")
        return Preparation(weights.transforms())

    def collate(self, examples: Sequence[tuple[Tensor, Tensor]]) -> tuple[tuple[Tensor], Tensor]:
        """Pad pictures on the right and at the bottom to a common size; padding is ignored by the loss."""
        if len({image.shape for image, _ in examples}) == 1:
            return (torch.stack([image for image, _ in examples]),), torch.stack([mask for _, mask in examples])
        h, w = (max(image.shape[side] for image, _ in examples) for side in (-2, -1))
        pads = [(0, w - image.shape[-1], 0, h - image.shape[-2]) for image, _ in examples]
        images = [F.pad(image, pad) for (image, _), pad in zip(examples, pads, strict=True)]
        masks = [F.pad(mask, pad, value=IGNORED) for (_, mask), pad in zip(examples, pads, strict=True)]
        return (torch.stack(images),), torch.stack(masks)

    def check(self, model: nn.Module, arguments: tuple[Any, ...], targets: Tensor, categories: Sequence[str]) -> None:
        """Check that the model has one class per category, and that the pixels' classes are valid."""
        training = model.training
        with torch.no_grad():
            classes = model.eval()(arguments[0][:1])["out"].shape[1]
        model.train(training)
        if classes != len(categories):
            raise InvalidArgument(f"The model has a head for {classes} classes, but the data have {len(categories)}.")
        found = torch.unique(targets[targets != IGNORED])
        if wrong := found[(found < 0) | (found >= classes)].tolist():
            raise InvalidArgument(
                f"The class maps have {', '.join(map(str, wrong[:10]))}; the model has {classes} classes, from 0, and "
                f"{IGNORED} is ignored."
            )
        if not len(found):
            raise InvalidArgument(f"Every pixel of the class maps is {IGNORED}, which is ignored.")

    def loss(self, model: nn.Module, arguments: tuple[Any, ...], targets: Tensor) -> dict[str, Tensor]:
        """The loss over the pixels that are not ignored, plus the auxiliary head's loss with a weight of 0.5."""
        return {"loss": segmentation_loss(model(*arguments), targets, loss=self.name)}

    def score(self, model: nn.Module, arguments: tuple[Any, ...], targets: Tensor) -> dict[str, Tensor]:
        return {"loss": segmentation_loss({"out": model(*arguments)["out"]}, targets, loss=self.name)}
