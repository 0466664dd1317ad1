"""The feature pyramid, and pooling from the level that fits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import zoo.ops as ops
from zoo.errors import InvalidArgument


def pyramid(channels: int = 3, levels: int = 4, n: int = 2) -> dict[str, Tensor]:
    return {str(i): torch.randn(n, channels, 64 // 2**i, 80 // 2**i) for i in range(levels)}


# For an image of 256 x 320: the levels have strides 4, 8, 16, 32, and 224 pixels belong to stride 16.
BOXES = [
    torch.tensor([[0.0, 0, 224, 224], [10, 10, 121, 122], [5, 5, 9, 9], [0, 0, 223, 223]]),
    torch.tensor([[0.0, 0, 320, 256], [50, 60, 162, 172], [-500, -500, 500, 500], [7, 7, 7, 7]]),
]
LEVELS = [[2, 0, 0, 1], [2, 1, 3, 0]]


@pytest.mark.parametrize("samples", [2, -1])
@pytest.mark.parametrize("channels_last", [True, False])
def test_each_region_reads_the_level_that_fits(samples: int, channels_last: bool, device: str) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = {name: f.contiguous(memory_format=layout).to(device) for name, f in pyramid().items()}
    boxes = [b.to(device) for b in BOXES]
    pool = ops.MultiScaleRoIAlign(["0", "1", "2", "3"], 3, samples)
    out = pool(x | {"pool": torch.zeros(1)}, boxes, [(250, 320), (256, 300)])
    expected = [
        ops.roi_align(x[str(level)][i : i + 1], [box[None]], 3, 1 / 4 / 2**level, samples)
        for i in (0, 1)
        for box, level in zip(boxes[i], LEVELS[i], strict=True)
    ]
    torch.testing.assert_close(out, torch.cat(expected))


def test_one_level_no_regions_and_gradients() -> None:
    x = {name: f.double().requires_grad_() for name, f in pyramid(1, 2, 1).items()}
    pool = ops.MultiScaleRoIAlign(["0", "1"], (2, 1), 2)
    none = pool(x, [torch.zeros(0, 4)], [(256, 320)])
    assert none.shape == (0, 1, 2, 1)
    none.sum().backward()
    box = torch.tensor([[10.0, 10, 100, 80], [0, 0, 300, 250]])
    pool(x, [box], [(256, 320)]).sum().backward()
    for f in x.values():  # a mean of one region per level and cell
        assert f.grad is not None
        torch.testing.assert_close(f.grad.sum(), torch.tensor(2.0).double())
    single = ops.MultiScaleRoIAlign(["1"], 2, 2)(x, [box], [(256, 320)])
    torch.testing.assert_close(single, ops.roi_align(x["1"], [box], 2, 1 / 8, 2))
    meta = {name: f.to("meta") for name, f in x.items()}
    assert pool(meta, [box.to("meta")], [(256, 320)]).shape == (2, 1, 2, 1)


def test_bad_arguments_are_named() -> None:
    pool = ops.MultiScaleRoIAlign(["0"], 2, 2)
    with pytest.raises(InvalidArgument, match="feat"):
        pool({"feat": torch.zeros(1)}, [], [])
    with pytest.raises(InvalidArgument, match="each of 2 images, but got 1"):
        pool(pyramid(), BOXES[:1], [(256, 320)])
    with pytest.raises(InvalidArgument, match=r"boxes\[0\]"):
        pool(pyramid(), [torch.zeros(3, 5), BOXES[0]], [(256, 320)] * 2)


def test_fpn_by_hand() -> None:
    fpn = ops.FeaturePyramidNetwork([1, 1], 1, ops.LastLevelMaxPool())
    for name, parameter in fpn.named_parameters():
        nn.init.zeros_(parameter)
        if name.endswith("weight"):
            parameter.data[0, 0, parameter.shape[2] // 2, parameter.shape[3] // 2] = 1  # every convolution copies
    fine, coarse = torch.arange(15.0).view(1, 1, 3, 5), torch.tensor([[[[10.0, 20, 30], [40, 50, 60]]]])
    out = fpn({"fine": fine, "coarse": coarse})
    assert list(out) == ["fine", "coarse", "pool"]
    enlarged = coarse[:, :, [0, 0, 1]][:, :, :, [0, 0, 1, 1, 2]]  # nearest, to a size that is not a multiple
    assert torch.equal(out["fine"], fine + enlarged)
    assert torch.equal(out["coarse"], coarse)
    assert torch.equal(out["pool"], coarse[:, :, ::2, ::2])


def test_fpn_layout_and_extra_levels() -> None:
    fpn = ops.FeaturePyramidNetwork([8, 16], 4, ops.LastLevelP6P7(16, 4), norm_layer=nn.BatchNorm2d)
    assert fpn.inner_blocks[0][0].bias is None  # type: ignore[index]
    names = set(ops.FeaturePyramidNetwork([8, 16], 4, ops.LastLevelP6P7(16, 4)).state_dict())
    blocks = {f"{kind}_blocks.{i}.0.{p}" for kind in ("inner", "layer") for i in (0, 1) for p in ("weight", "bias")}
    assert names == blocks | {f"extra_blocks.{layer}.{p}" for layer in ("p6", "p7") for p in ("weight", "bias")}
    features = {"a": torch.randn(1, 8, 16, 16), "b": torch.randn(1, 16, 8, 8)}
    out = fpn(features)
    assert {name: tuple(level.shape[1:]) for name, level in out.items()} == {
        "a": (4, 16, 16),
        "b": (4, 8, 8),
        "p6": (4, 4, 4),
        "p7": (4, 2, 2),
    }
    extra = fpn.extra_blocks
    assert isinstance(extra, ops.LastLevelP6P7)
    assert torch.equal(out["p6"], extra.p6(features["b"])), "from the backbone's features, as the channels differ"
    same = ops.FeaturePyramidNetwork([8, 4], 4, ops.LastLevelP6P7(4, 4))
    out = same({"a": features["a"], "b": features["b"][:, :4]})
    assert torch.equal(out["p6"], same.extra_blocks.p6(out["b"]))  # type: ignore[union-attr]


def test_fpn_bad_arguments_are_named() -> None:
    with pytest.raises(InvalidArgument, match=r"\[8, 0\]"):
        ops.FeaturePyramidNetwork([8, 0], 4)
    with pytest.raises(InvalidArgument, match=r"2 levels.*'a'"):
        ops.FeaturePyramidNetwork([8, 8], 4)({"a": torch.zeros(1, 8, 4, 4)})
