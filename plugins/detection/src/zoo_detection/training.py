"""What training needs of detection: targets beside the pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zoo_detection.keypoint_rcnn import KeypointRCNN
from zoo_detection.mask_rcnn import MaskRCNN


class Training:
    """The piece of detection's tasks for ``"train"``."""

    @staticmethod
    def with_targets(model: nn.Module, arguments: tuple[Any, ...]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """Pictures, and two made-up objects in each, with all that the model wants to know of them."""
        (images,) = arguments
        return images, [_target(model, image) for image in images]


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
