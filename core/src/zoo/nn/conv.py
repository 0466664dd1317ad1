"""Convolution blocks: convolution with norm and activation, and squeeze-excitation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn


def make_divisible(v: float, divisor: int = 8, min_value: int | None = None) -> int:
    """The multiple of ``divisor`` nearest to ``v``, at least ``min_value`` (``divisor``) and more than 0.9 × ``v``.

    The rounding of channel numbers in MobileNet and its descendants.
    """
    rounded = max(min_value or divisor, int(v + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * v else rounded + divisor


def _same_padding(kernel_size: int | Sequence[int], dilation: int | Sequence[int]) -> int | tuple[int, ...]:
    """The padding that keeps the size at stride 1, for odd kernels."""
    if not isinstance(kernel_size, Sequence) and not isinstance(dilation, Sequence):
        return (kernel_size - 1) // 2 * dilation
    n = len(kernel_size if isinstance(kernel_size, Sequence) else dilation)  # type: ignore[arg-type]
    kernels = kernel_size if isinstance(kernel_size, Sequence) else (kernel_size,) * n
    dilations = dilation if isinstance(dilation, Sequence) else (dilation,) * n
    return tuple((k - 1) // 2 * d for k, d in zip(kernels, dilations, strict=True))


class ConvNormActivation(nn.Sequential):
    """Convolution, norm, activation; the base of the 2-d and 3-d classes, which have torchvision's defaults.

    ``conv_layer`` makes the convolution; a subclass may override it.
    """

    conv_layer: Callable[..., nn.Module] = nn.Conv2d

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...] = 3,
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] | str | None = None,
        groups: int = 1,
        norm_layer: Callable[..., nn.Module] | None = nn.BatchNorm2d,
        activation_layer: Callable[..., nn.Module] | None = nn.ReLU,
        dilation: int | tuple[int, ...] = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
        conv_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        layers = [
            (conv_layer or self.conv_layer)(
                in_channels,
                out_channels,
                kernel_size,
                stride,
                _same_padding(kernel_size, dilation) if padding is None else padding,
                dilation=dilation,
                groups=groups,
                bias=norm_layer is None if bias is None else bias,
            )
        ]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer(**{} if inplace is None else {"inplace": inplace}))
        super().__init__(*layers)
        self.out_channels = out_channels


class Conv2dNormActivation(ConvNormActivation):
    """2-d convolution, norm, activation: [N, ``in_channels``, H, W] → [N, ``out_channels``, H', W'].

    Args:
        padding: by default the padding that keeps the size at stride 1.
        norm_layer: called with ``out_channels``; None for no norm.
        activation_layer: called with ``inplace=…``, or without arguments if ``inplace`` is None; None for no
            activation.
        bias: whether the convolution has a bias; by default only without a norm.
    """

    conv_layer = nn.Conv2d

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str | None = None,
        groups: int = 1,
        norm_layer: Callable[..., nn.Module] | None = nn.BatchNorm2d,
        activation_layer: Callable[..., nn.Module] | None = nn.ReLU,
        dilation: int | tuple[int, int] = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, groups,
            norm_layer, activation_layer, dilation, inplace, bias,
        )  # fmt: skip


class Conv3dNormActivation(ConvNormActivation):
    """3-d convolution, norm, activation: [N, ``in_channels``, T, H, W] → [N, ``out_channels``, T', H', W'].

    The arguments are those of :class:`Conv2dNormActivation`.
    """

    conv_layer = nn.Conv3d

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int, int] = 3,
        stride: int | tuple[int, int, int] = 1,
        padding: int | tuple[int, int, int] | str | None = None,
        groups: int = 1,
        norm_layer: Callable[..., nn.Module] | None = nn.BatchNorm3d,
        activation_layer: Callable[..., nn.Module] | None = nn.ReLU,
        dilation: int | tuple[int, int, int] = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, groups,
            norm_layer, activation_layer, dilation, inplace, bias,
        )  # fmt: skip


class SqueezeExcitation(nn.Module):
    """Channels weighted by a function of the image's channel means: [N, C, H, W] → [N, C, H, W].

    From `Squeeze-and-Excitation Networks <https://arxiv.org/abs/1709.01507>`_.

    Args:
        input_channels: C.
        squeeze_channels: width of the bottleneck between the two projections.
        activation: of the bottleneck; called without arguments.
        scale_activation: of the channel weights; called without arguments.
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Callable[..., nn.Module] = nn.ReLU,
        scale_activation: Callable[..., nn.Module] = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def scale(self, x: Tensor) -> Tensor:
        """Channel weights [N, C, 1, 1]."""
        weights: Tensor = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        return weights

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the published name
        return self.scale(input) * input
