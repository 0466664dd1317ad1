"""Multi-layer perceptrons, heads, and permutation of dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from zoo.nn.checks import check_count, check_probability


class MLP(nn.Sequential):
    """Linear layers with norm, activation and dropout between them: […, ``in_channels``] → […,
    ``hidden_channels[-1]``].

    Args:
        hidden_channels: width of every layer, including the last, which has neither norm nor activation.
        norm_layer: called with the width; None for no norm.
        activation_layer: called with ``inplace=…``, or without arguments if ``inplace`` is None.
        inplace: of activations and dropouts.
        dropout: probability, after every layer.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Sequence[int],
        norm_layer: Callable[..., nn.Module] | None = None,
        activation_layer: Callable[..., nn.Module] = nn.ReLU,
        inplace: bool | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        check_probability("dropout", dropout)
        options = {} if inplace is None else {"inplace": inplace}
        *hidden, out = hidden_channels
        layers: list[nn.Module] = []
        for width in hidden:
            layers.append(nn.Linear(in_channels, width, bias=bias))
            if norm_layer is not None:
                layers.append(norm_layer(width))
            layers += [activation_layer(**options), nn.Dropout(dropout, **options)]
            in_channels = width
        super().__init__(*layers, nn.Linear(in_channels, out, bias=bias), nn.Dropout(dropout, **options))


def linear_head(in_features: int, num_classes: int) -> nn.Module:
    """The last layer of a classifier: linear, or the identity if ``num_classes`` is 0, to get the features."""
    return nn.Linear(in_features, num_classes) if check_count("num_classes", num_classes) else nn.Identity()


def join_heads(x: Tensor) -> Tensor:
    """Concatenate attention heads: […, heads, L, C] → […, L, heads * C]."""
    if torch.onnx.is_in_onnx_export():
        # The memory layout of a fused kernel's result differs between capture and conversion, and a view would keep it.
        return torch.cat(x.unbind(-3), -1)
    return x.transpose(-3, -2).flatten(-2)


class Permute(nn.Module):
    """Dimensions in another order, as :func:`torch.permute`."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = list(dims)

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.dims)

    def extra_repr(self) -> str:
        return f"dims={self.dims}"
