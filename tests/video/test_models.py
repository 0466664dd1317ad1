"""Properties of every video model, tested on small ones: it is captured as one graph, works in half precision, all its
parameters are trained, and invalid inputs raise clear errors. And the families' arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_models import SmallModels
from tiny_video import tiny_swin3d, tiny_v1, tiny_v2
from torch import Tensor, nn

from zoo.errors import InvalidArgument
from zoo_video.resnet import (
    BasicBlock,
    BasicStem,
    Conv2Plus1D,
    Conv3DNoTemporal,
    Conv3DSimple,
    R2Plus1dStem,
    VideoResNet,
    mc3_tiny,
    r3d_18,
)
from zoo_video.s3d import S3D


def small_resnet(maker: Any, stem: Any, **kwargs: Any) -> VideoResNet:
    return VideoResNet(BasicBlock, [maker] * 4, [1, 1, 1, 1], stem, **{"num_classes": 5, "width": 8, **kwargs})


# A model and clips that it takes.
SMALL: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "r3d": (lambda: small_resnet(Conv3DSimple, BasicStem), (5, 20, 23)),
    "mc3": (lambda: mc3_tiny(num_classes=5, width=8), (5, 20, 23)),
    "r2plus1d": (lambda: small_resnet(Conv2Plus1D, R2Plus1dStem), (5, 20, 23)),
    "mvit_v1": (tiny_v1, (6, 32, 32)),
    "mvit_v2": (tiny_v2, (6, 32, 32)),
    "swin3d": (tiny_swin3d, (6, 44, 28)),
}


class TestVideoModels(SmallModels):
    small = SMALL
    half_precision = 24

    @pytest.mark.parametrize(
        ("clip", "message"),
        [
            ([1, 2], "the input is a list"),
            (torch.zeros(3, 6, 32, 32), r"unsqueeze\(0\)"),
            (torch.zeros(1, 6, 3, 32, 32), r"x\.transpose\(1, 2\)"),
            (torch.zeros(1, 1, 6, 32, 32), "in_channels=1"),
            (torch.zeros(1, 3, 0, 32, 32), "0 frame"),
            (torch.zeros(1, 3, 6, 32, 32, dtype=torch.uint8), "torch.uint8; expected floating point"),
        ],
    )
    def test_inputs_that_are_no_clips_are_refused(self, model: nn.Module, clip: Any, message: str) -> None:
        with pytest.raises(InvalidArgument, match=message):
            model(clip)


@pytest.mark.parametrize("size", [(12, 224, 224), (13, 208, 224), (13, 224, 208)])
def test_s3d_needs_as_much_as_it_says(size: tuple[int, int, int]) -> None:
    with torch.device("meta"):
        model = S3D(num_classes=5).eval()
        assert model(torch.empty(1, 3, 13, 209, 209)).shape == (1, 5)
        with pytest.raises(InvalidArgument, match="at least 13 of 209×209"):
            model(torch.empty(1, 3, *size))


def test_r3d_sees_all_frames_and_mc3_few() -> None:
    """The temporal receptive field of the last features: stages without temporal convolutions add nothing."""
    for model, reach in ((small_resnet(Conv3DNoTemporal, BasicStem), 1), (mc3_tiny(num_classes=5, width=8), 3)):
        clip = torch.randn(1, 3, 15, 8, 8, requires_grad=True)
        out: list[Tensor] = []
        model.layer4.register_forward_hook(lambda m, i, o, out=out: out.append(o))
        model.eval()(clip)
        (grad,) = torch.autograd.grad(out[0][0, :, 7].square().sum(), clip)
        assert grad.abs().sum((0, 1, 3, 4)).nonzero().flatten().tolist() == list(range(7 - reach, 8 + reach))


def test_residual_blocks_may_start_as_the_identity() -> None:
    model = small_resnet(Conv3DSimple, BasicStem, zero_init_residual=True)
    x = torch.rand(1, 8, 3, 5, 5)
    torch.testing.assert_close(model.layer1(x), x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"num_classes": -1}, "num_classes"), ({"in_channels": 0}, "in_channels"), ({"width": 1}, "width is 1")],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        r3d_18(**arguments)
    with pytest.raises(InvalidArgument, match=r"layers is \[2, 2\] and conv_makers has 4"):
        VideoResNet(BasicBlock, [Conv3DSimple] * 4, [2, 2], BasicStem)
    with pytest.raises(InvalidArgument, match="dropout is 2"):
        S3D(dropout=2)
