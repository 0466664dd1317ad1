"""Feature pyramid network.

`Feature Pyramid Networks for Object Detection <https://arxiv.org/abs/1612.03144>`_.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import InvalidArgument
from zoo.nn.checks import refuse_script
from zoo.nn.conv import Conv2dNormActivation


class ExtraFPNBlock(nn.Module):
    """Adds levels: takes the pyramid's levels, the backbone's features and the names, and returns levels and names."""

    def forward(self, results: list[Tensor], x: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        raise NotImplementedError(f"{type(self).__name__} must define forward(results, x, names).")


class LastLevelMaxPool(ExtraFPNBlock):
    """One more level, ``"pool"``: every second pixel of the coarsest level."""

    def forward(self, results: list[Tensor], x: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        return [*results, F.max_pool2d(results[-1], kernel_size=1, stride=2)], [*names, "pool"]


class LastLevelP6P7(ExtraFPNBlock):
    """Two more levels, ``"p6"`` and ``"p7"``, by strided convolutions, as in
    `Focal Loss for Dense Object Detection <https://arxiv.org/abs/1708.02002>`_.

    Their input is the backbone's last features, or the pyramid's last level if the two have the same number of
    channels.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.p6 = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1)
        self.p7 = nn.Conv2d(out_channels, out_channels, kernel_size=3, stride=2, padding=1)
        for layer in (self.p6, self.p7):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.constant_(layer.bias, 0)  # type: ignore[arg-type]
        self.use_P5 = in_channels == out_channels

    def forward(self, results: list[Tensor], x: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        p6 = self.p6(results[-1] if self.use_P5 else x[-1])
        p7 = self.p7(F.relu(p6))
        return [*results, p6, p7], [*names, "p6", "p7"]


class FeaturePyramidNetwork(nn.Module):
    """Turns features ``{name: [N, C_i, H_i, W_i]}``, finest first, into ``{name: [N, out_channels, H_i, W_i]}``.

    Each level is projected to ``out_channels`` by a 1x1 convolution, the coarser result is enlarged and added, and a
    3x3 convolution is applied.

    Args:
        in_channels_list: channels of each level, all positive.
        out_channels: channels of all results.
        extra_blocks: adds levels, such as :class:`LastLevelMaxPool`.
        norm_layer: makes a normalisation from a number of channels; the convolutions have a bias if it is None.
    """

    __prepare_scriptable__ = refuse_script

    def __init__(
        self,
        in_channels_list: Sequence[int],
        out_channels: int,
        extra_blocks: ExtraFPNBlock | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if not all(channels > 0 for channels in in_channels_list):
            raise InvalidArgument(f"in_channels_list must hold positive numbers, but got {list(in_channels_list)}.")

        def conv(in_channels: int, kernel_size: int) -> nn.Module:
            return Conv2dNormActivation(
                in_channels, out_channels, kernel_size, norm_layer=norm_layer, activation_layer=None
            )

        self.inner_blocks = nn.ModuleList(conv(in_channels, 1) for in_channels in in_channels_list)
        self.layer_blocks = nn.ModuleList(conv(out_channels, 3) for _ in in_channels_list)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.extra_blocks = extra_blocks

    def forward(self, x: dict[str, Tensor]) -> OrderedDict[str, Tensor]:
        if not isinstance(x, dict):
            raise InvalidArgument(f"Expected a dict of features by level, but got {type(x).__name__}.")
        features = list(x.values())
        if len(features) != len(self.inner_blocks):
            raise InvalidArgument(f"Expected {len(self.inner_blocks)} levels of features, but got {list(x)}.")
        above: Tensor | None = None
        results: list[Tensor] = []
        for feature, inner, layer in reversed(list(zip(features, self.inner_blocks, self.layer_blocks, strict=True))):
            merged = inner(feature)
            if above is not None:
                merged = merged + F.interpolate(above, size=merged.shape[-2:], mode="nearest")
            results.insert(0, layer(merged))
            above = merged
        names = list(x)
        if self.extra_blocks is not None:
            results, names = self.extra_blocks(results, features, names)
        return OrderedDict(zip(names, results, strict=True))
