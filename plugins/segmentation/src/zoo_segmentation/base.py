"""Shared by the three families: a backbone computes feature maps, a head classifies them, and the logits are enlarged
to the size of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.contract import WeightsLike
from zoo.errors import InvalidArgument
from zoo.features import Backbone
from zoo.nn import freeze_batch_norm, refuse_script

NUM_CLASSES = 21  # Pascal VOC's 20 and background


def named_backbone(
    model: str | nn.Module,
    weights: WeightsLike,
    config: Mapping[str, Any],
    aux: bool = False,
    low: int | None = None,
    frozen_norm: bool = False,
) -> Backbone:
    """Any registered model as a backbone: its last stage as ``out``, and the other stages that the head needs.

    Args:
        model: the model, or its name.
        weights: weights, as its builder takes them.
        config: further arguments of its builder.
        aux: also return the stage before, as ``aux``.
        low: also return the last stage of at most this stride, as ``low``, or the first stage if all are coarser. The
            last stage is then called ``high``.
        frozen_norm: freeze the statistics and scale of its batch norm.

    Raises:
        InvalidArgument: the model has no stages, or only one where two are needed.
    """
    if isinstance(model, nn.Module) and config:
        raise InvalidArgument(
            f"{', '.join(config)}: arguments of the backbone's builder, but the backbone is already built."
        )
    body = zoo.get_model(model, weights=weights, **config) if isinstance(model, str) else model
    stages = zoo.feature_info(body)
    if (aux or low) and len(stages) < 2:
        raise InvalidArgument(f"{type(body).__name__} has only one stage; the head needs features of two resolutions.")
    if low is not None:
        fine = [i for i, stage in enumerate(stages[:-1]) if stage.stride <= low]
        chosen = {"low": fine[-1] if fine else 0, "high": len(stages) - 1}
    else:
        chosen = {"aux": len(stages) - 2, "out": len(stages) - 1} if aux else {"out": len(stages) - 1}
    named = {name: stages[i] for name, i in chosen.items()}
    return Backbone(freeze_batch_norm(body) if frozen_norm else body, named, list(chosen.values())).freeze_rest()


def enlarge(logits: Tensor, size: Sequence[int]) -> Tensor:
    """[N, C, h, w] → [N, C, H, W], bilinear."""
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


class SegmentationModel(nn.Module):
    """Images → logits of every pixel.

    Args:
        backbone: images [N, C, H, W] → feature maps by name: ``out``, and ``aux`` if there is an ``aux_classifier``.
        classifier: the features ``out`` → logits [N, num_classes, h, w].
        aux_classifier: the same on ``aux``, for a second loss in training.

    Returns:
        ``{"out": [N, num_classes, H, W]}``, in the size of the images, and with an ``aux_classifier`` also ``aux``, of
        the same shape.

    Raises:
        InvalidArgument: the input is not a batch of images with the backbone's number of channels.
    """

    __prepare_scriptable__ = refuse_script

    def __init__(self, backbone: nn.Module, classifier: nn.Module, aux_classifier: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.aux_classifier = aux_classifier

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        logits = self.heads(self.backbone(images))
        return {name: enlarge(x, images.shape[-2:]) for name, x in logits.items()}

    def heads(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits by name, in the size of the features."""
        logits = {"out": self.classifier(features["out"])}
        if self.aux_classifier is not None:
            logits["aux"] = self.aux_classifier(features["aux"])
        return logits
