"""The names and arguments that code written for torchvision.ops uses."""

from __future__ import annotations

import inspect

import pytest

import zoo.nn
import zoo.ops as ops


def test_every_name_is_there() -> None:
    for name in ops.__all__:
        assert callable(getattr(ops, name))
    assert ops.MLP is zoo.nn.MLP
    assert set(dir(ops)) == set(ops.__all__)
    with pytest.raises(AttributeError, match="nsm"):
        ops.nsm  # noqa: B018


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        *{
            "nms": "boxes scores iou_threshold",
            "batched_nms": "boxes scores idxs iou_threshold",
            "box_iou": "boxes1 boxes2 fmt=xyxy",
            "box_convert": "boxes in_fmt out_fmt",
            "distance_box_iou": "boxes1 boxes2 eps=1e-07",
            "roi_align": "input boxes output_size spatial_scale=1.0 sampling_ratio=-1 aligned=False",
            "ps_roi_align": "input boxes output_size spatial_scale=1.0 sampling_ratio=-1",
            "roi_pool": "input boxes output_size spatial_scale=1.0",
            "ps_roi_pool": "input boxes output_size spatial_scale=1.0",
            "deform_conv2d": "input offset weight bias=None stride=(1, 1) padding=(0, 0) dilation=(1, 1) mask=None",
            "sigmoid_focal_loss": "inputs targets alpha=0.25 gamma=2 reduction=none",
            "complete_box_iou_loss": "boxes1 boxes2 reduction=none eps=1e-07",
            "RoIAlign": "output_size spatial_scale sampling_ratio aligned=False",
            "MultiScaleRoIAlign": "featmap_names output_size sampling_ratio canonical_scale=224 canonical_level=4",
            "FeaturePyramidNetwork": "in_channels_list out_channels extra_blocks=None norm_layer=None",
            "DeformConv2d": "in_channels out_channels kernel_size stride=1 padding=0 dilation=1 groups=1 bias=True",
        }.items()
    ],
)
def test_arguments(name: str, parameters: str) -> None:
    found = inspect.signature(getattr(ops, name)).parameters.values()
    shown = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in found]
    assert " ".join(shown) == parameters
