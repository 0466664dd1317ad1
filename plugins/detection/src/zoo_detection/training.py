"""Training of detectors: targets are objects, and detectors compute their losses themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo import Weights
from zoo.contract import Trainable
from zoo.errors import InvalidArgument
from zoo_detection.detector import Detector
from zoo_detection.keypoint_rcnn import KeypointRCNN
from zoo_detection.mask_rcnn import MaskRCNN
from zoo_detection.transform import GeneralizedRCNNTransform

PER_OBJECT = ("boxes", "labels", "masks", "keypoints", "area", "iscrowd")
# These behave differently in train mode, which must not affect a mere measurement.
NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


class Preparation:
    """A picture as float in [0, 1], and its objects without crowds."""

    def __init__(self, transform: Callable[[Any], Tensor]) -> None:
        self.transform = transform

    def __call__(self, image: Any, target: Mapping[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        crowd = target.get("iscrowd")
        if crowd is not None and crowd.any():
            own = crowd == 0
            target = {key: value[own] if key in PER_OBJECT else value for key, value in target.items()}
        return self.transform(image), {key: value for key, value in target.items() if isinstance(value, Tensor)}


class Training(Trainable):
    """The ``"train"`` component of the detection tasks."""

    as_predicted = True

    def with_targets(
        self, model: nn.Module, arguments: tuple[Any, ...]
    ) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """Pictures with two artificial objects each, in the form that the model needs for training."""
        (images,) = arguments
        return images, [_target(model, image) for image in images]

    def size(self, model: nn.Module, weights: Weights) -> tuple[int, int] | None:
        """The size that the model resizes every picture to, or its shorter side."""
        transform: Any = getattr(model, "transform", None)
        if not isinstance(transform, GeneralizedRCNNTransform):
            return None
        width, height = transform.fixed_size or (transform.min_size[-1],) * 2
        return height, width

    def prepare(self, model: nn.Module, weights: Weights) -> Preparation:
        if weights.transforms is None:
            raise InvalidArgument("The weights define no preprocessing; pass zoo.Weights(transforms=zoo.Preset(…)).")
        return Preparation(weights.transforms())

    def collate(self, examples: Sequence[tuple[Tensor, dict[str, Any]]]) -> tuple[tuple[list[Tensor], list[Any]], None]:
        """Pictures of any size and their targets: two lists."""
        images, targets = zip(*examples, strict=True)
        return (list(images), list(targets)), None

    def check(self, model: nn.Module, arguments: tuple[Any, ...], targets: None, categories: Sequence[str]) -> None:
        """Check with :func:`zoo_detection.check_targets` that the model can be trained on the targets."""
        classes = getattr(model, "num_classes", len(categories))
        if classes != len(categories):
            raise InvalidArgument(
                f"The model has a head for {classes} classes, but the data have {len(categories)}, including "
                "background."
            )
        if isinstance(model, Detector):
            model.check(*arguments)

    def loss(self, model: nn.Module, arguments: tuple[Any, ...], targets: None) -> Mapping[str, Tensor]:
        losses: Mapping[str, Tensor] = model(*arguments)
        return losses

    def score(self, model: nn.Module, arguments: tuple[Any, ...], targets: None) -> dict[str, Tensor]:
        """The sum of the losses of a detector in eval mode, which detects objects in the same pass. Models that are not
        a :class:`zoo_detection.Detector` compute losses only in train mode, with frozen norms, and need two passes."""
        if isinstance(model, Detector):
            losses, _ = model(*arguments, return_losses=True)
            return {"loss": torch.stack([value.float() for value in losses.values()]).sum()}
        switched = [m for m in model.modules() if not m.training and not isinstance(m, NORMS)]
        try:
            for module in switched:
                module.training = True
            loss = torch.stack([value.float() for value in model(*arguments).values()]).sum()
        finally:
            for module in switched:
                module.training = False
        model(arguments[0])
        return {"loss": loss}

    def predicted(self, outputs: Any) -> Any:
        return outputs[1] if isinstance(outputs, tuple) else outputs


def _target(model: nn.Module, image: Tensor) -> dict[str, Tensor]:
    height, width = image.shape[-2:]
    boxes = torch.tensor([[0.1, 0.1, 0.5, 0.6], [0.3, 0.2, 0.9, 0.9]]) * torch.tensor([width, height, width, height])
    target = {"boxes": boxes, "labels": torch.ones(2, dtype=torch.int64)}
    if isinstance(model, MaskRCNN):
        target["masks"] = torch.zeros(2, height, width, dtype=torch.uint8)
        for mask, box in zip(target["masks"], boxes.long().tolist(), strict=True):
            mask[box[1] : box[3], box[0] : box[2]] = 1
    if isinstance(model, KeypointRCNN):
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        visible = torch.cat([centres, torch.full((2, 1), 2.0)], 1)
        predictor: Any = model.roi_heads.keypoint_predictor
        target["keypoints"] = visible[:, None].repeat(1, predictor.out_channels, 1)
    return target
