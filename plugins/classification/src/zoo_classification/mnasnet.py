"""MNASNet: inverted residuals of 3×3 and 5×5 kernels, found by search for speed on a phone."""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import InvalidArgument, WeightsWarning
from zoo.nn import check_count, check_images, check_probability, input_channels, linear_head, make_divisible
from zoo_classification.weights.mnasnet import (
    MNASNet0_5_Weights,
    MNASNet0_75_Weights,
    MNASNet1_0_Weights,
    MNASNet1_3_Weights,
)

STEM = (32, 16)  # channels of the first convolution and of the first block
STAGES = (
    # kernel, stride, expansion, channels, repeats
    (3, 2, 3, 24, 3),
    (5, 2, 3, 40, 3),
    (5, 2, 6, 80, 3),
    (3, 1, 6, 96, 2),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)

BN_MOMENTUM = 1 - 0.9997  # the paper's decay of the running averages


def conv_norm(inp: int, oup: int, kernel_size: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inp, oup, kernel_size, stride, kernel_size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(oup, momentum=BN_MOMENTUM),
    ]


class InvertedResidual(nn.Module):
    """1×1 up to ``expansion_factor`` times the channels, depthwise, 1×1 down without activation."""

    def __init__(
        self,
        in_ch: int,
        out_ch: int,
        kernel_size: int,
        stride: int,
        expansion_factor: int,
        bn_momentum: float = BN_MOMENTUM,
    ) -> None:
        super().__init__()
        hidden = in_ch * expansion_factor
        self.apply_residual = stride == 1 and in_ch == out_ch
        self.layers = nn.Sequential(
            *conv_norm(in_ch, hidden),
            nn.ReLU(inplace=True),
            *conv_norm(hidden, hidden, kernel_size, stride, groups=hidden),
            nn.ReLU(inplace=True),
            *conv_norm(hidden, out_ch),
        )
        for norm in self.layers:
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = bn_momentum

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return x + out if self.apply_residual else out


class MNASNet(nn.Module):
    """Images [N, C, H, W] of any size → logits [N, num_classes].

    Args:
        alpha: multiplier of the numbers of channels.
        num_classes: number of logits; 0 gives the pooled features instead.
        dropout: probability, before the last layer.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of images.
    """

    in_channels = input_channels("layers")

    def __init__(self, alpha: float, num_classes: int = 1000, dropout: float = 0.2, in_channels: int = 3) -> None:
        super().__init__()
        if alpha <= 0:
            raise InvalidArgument(f"alpha is {alpha!r}; expected a positive number.")
        check_probability("dropout", dropout)
        self.alpha = alpha
        self.num_classes = num_classes
        check_count("in_channels", in_channels, minimum=1)
        self._set_layers((make_divisible(STEM[0] * alpha), make_divisible(STEM[1] * alpha)), in_channels)
        self.classifier = nn.Sequential(nn.Dropout(dropout, inplace=True), linear_head(1280, num_classes))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.Linear):
                nn.init.kaiming_uniform_(m.weight, mode="fan_out", nonlinearity="sigmoid")
                nn.init.zeros_(m.bias)

    def _set_layers(self, stem: tuple[int, int], in_channels: int) -> None:
        layers = [
            *conv_norm(in_channels, stem[0], 3, stride=2),
            nn.ReLU(inplace=True),
            *conv_norm(stem[0], stem[0], 3, groups=stem[0]),
            nn.ReLU(inplace=True),
            *conv_norm(stem[0], stem[1]),
        ]
        channels, reduction = stem[1], 2
        stages = {2: Stage("layers.7", channels, 2)}  # by stride: the last stage of each resolution
        for kernel_size, stride, expansion, c, repeats in STAGES:
            out = make_divisible(c * self.alpha)
            first = InvertedResidual(channels, out, kernel_size, stride, expansion)
            rest = [InvertedResidual(out, out, kernel_size, 1, expansion) for _ in range(repeats - 1)]
            layers.append(nn.Sequential(first, *rest))
            channels, reduction = out, reduction * stride
            stages[reduction] = Stage(f"layers.{len(layers) - 1}", channels, reduction)
        self.layers = nn.Sequential(*layers, *conv_norm(channels, 1280), nn.ReLU(inplace=True))
        self.feature_info = list(stages.values())

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        logits: Tensor = self.classifier(self.layers(x).mean((2, 3)))
        return logits


def take_first_stem(state_dict: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Give ``model`` the stem of a file saved by the first version: 32 and 16 channels for every alpha."""
    if not isinstance(model, MNASNet):
        raise TypeError(f"expected an MNASNet, got {type(model).__name__}")

    def width(layer: str, state: dict[str, Any]) -> int | None:
        weight = state.get(f"layers.{layer}.weight")
        return weight.shape[0] if isinstance(weight, Tensor) and weight.dim() else None

    own = model.state_dict()
    stem = (width("0", state_dict), width("6", state_dict))
    stages = [f"{i}.0.layers.6" for i in range(8, 14)]
    same_alpha = all(width(stage, state_dict) == width(stage, own) for stage in stages)
    if stem == STEM and stem != (width("0", own), width("6", own)) and same_alpha:
        model._set_layers(STEM, model.in_channels or 3)
        warnings.warn(
            f"The file has the stem of MNASNet's first version, {STEM[0]} and {STEM[1]} channels; the model was "
            f"changed to match. A new MNASNet with alpha={model.alpha} has a different stem, so their state dicts are "
            "not interchangeable. To silence "
            "this: warnings.simplefilter('ignore', zoo.errors.WeightsWarning)",
            WeightsWarning,
            stacklevel=2,
        )
    return state_dict


@zoo.builder(MNASNet0_5_Weights, head="classifier.1", stem="layers.0", convert=take_first_stem)
def mnasnet0_5(**kwargs: Any) -> MNASNet:
    """MNASNet with 0.5 times the channels, from `MnasNet: Platform-Aware Neural Architecture Search for Mobile
    <https://arxiv.org/abs/1807.11626>`_."""
    return MNASNet(0.5, **kwargs)


@zoo.builder(MNASNet0_75_Weights, head="classifier.1", stem="layers.0", convert=take_first_stem)
def mnasnet0_75(**kwargs: Any) -> MNASNet:
    """MNASNet with 0.75 times the channels, from `MnasNet: Platform-Aware Neural Architecture Search for Mobile
    <https://arxiv.org/abs/1807.11626>`_."""
    return MNASNet(0.75, **kwargs)


@zoo.builder(MNASNet1_0_Weights, head="classifier.1", stem="layers.0")
def mnasnet1_0(**kwargs: Any) -> MNASNet:
    """MNASNet from `MnasNet: Platform-Aware Neural Architecture Search for Mobile
    <https://arxiv.org/abs/1807.11626>`_."""
    return MNASNet(1.0, **kwargs)


@zoo.builder(MNASNet1_3_Weights, head="classifier.1", stem="layers.0", convert=take_first_stem)
def mnasnet1_3(**kwargs: Any) -> MNASNet:
    """MNASNet with 1.3 times the channels, from `MnasNet: Platform-Aware Neural Architecture Search for Mobile
    <https://arxiv.org/abs/1807.11626>`_."""
    return MNASNet(1.3, **kwargs)
