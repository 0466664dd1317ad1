"""Classes of the models subclassed, and called with keyword arguments, as in code written for torchvision."""

from __future__ import annotations

import functools
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from zoo.models.detection._utils import BoxCoder
from zoo.models.detection.fcos import FCOSClassificationHead, FCOSHead
from zoo.models.detection.retinanet import RetinaNetClassificationHead
from zoo.models.detection.roi_heads import (
    heatmaps_to_keypoints,
    keypointrcnn_inference,
    paste_masks_in_image,
    project_masks_on_boxes,
)
from zoo.models.detection.transform import GeneralizedRCNNTransform
from zoo.ops.misc import Conv2dNormActivation, ConvNormActivation

import zoo
from zoo.errors import InvalidArgument, InvalidOperand
from zoo.models import resnet
from zoo.ops import boxes as box_ops, poolers
from zoo.ops._utils import _cat, check_roi_boxes_shape, convert_boxes_to_roi_format, split_normalization_params


def test_a_resnet_with_a_further_stage() -> None:
    class Longer(resnet.ResNet):
        def __init__(self) -> None:
            super().__init__(resnet.Bottleneck, [1, 1, 1, 1], groups=2, width_per_group=32, num_classes=3)
            assert (self.inplanes, self.groups, self.base_width) == (2048, 2, 32)
            self.layer5 = self._make_layer(resnet.Bottleneck, 64, 2, stride=2)
            self.fc = nn.Linear(self.inplanes, 3)

        def _forward_impl(self, x: Tensor) -> Tensor:
            x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
            x = self.layer5(self.layer4(self.layer3(self.layer2(self.layer1(x)))))
            return self.fc(torch.flatten(self.avgpool(x), 1))

    model = Longer().eval()
    assert model.layer5[0].conv2.groups == 2
    assert model.layer5[0].stride == 2
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 3)
    with pytest.raises(InvalidArgument, match="takes 3"):
        model(torch.rand(2, 1, 64, 64))
    block = resnet.BasicBlock(8, 8, 1, None, 1, 64, 1, None)
    assert isinstance(block.bn1, nn.BatchNorm2d)


def test_a_video_resnet_with_a_further_stage() -> None:
    from zoo.models.video.resnet import BasicBlock, BasicStem, Conv3DSimple, VideoResNet

    class Longer(VideoResNet):
        def __init__(self) -> None:
            super().__init__(BasicBlock, [Conv3DSimple] * 4, [1, 1, 1, 1], BasicStem, num_classes=3)
            self.layer4 = nn.Sequential(self.layer4, self._make_layer(BasicBlock, Conv3DSimple, 64, 1, stride=2))
            self.fc = nn.Linear(self.inplanes, 3)

    assert Longer().eval()(torch.rand(1, 3, 4, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize("zero", [False, True])
def test_a_video_resnet_of_bottlenecks(zero: bool) -> None:
    from zoo.models.video.resnet import Bottleneck, Conv2Plus1D, Conv3DSimple, R2Plus1dStem, VideoResNet

    model = VideoResNet(
        Bottleneck,
        [Conv3DSimple, *[Conv2Plus1D] * 3],
        [1, 2, 1, 1],
        R2Plus1dStem,
        num_classes=3,
        zero_init_residual=zero,
    ).eval()
    assert model.layer2[0].conv2[0][0].stride == (1, 2, 2)
    assert [model.layer2[0].conv1[0].stride, model.layer2[0].downsample[0].stride] == [(1, 1, 1), (2, 2, 2)]
    assert model.layer2[1].conv3[1].weight.any() == (not zero)
    assert [stage.channels for stage in model.feature_info] == [256, 512, 1024, 2048]
    assert model(torch.rand(1, 3, 4, 32, 32)).shape == (1, 3)
    if zero:  # a block whose branch is zero
        x = torch.rand(1, 512, 2, 4, 4)
        assert torch.equal(model.layer2[1](x), x)


def test_own_tables_of_position_biases() -> None:
    from zoo.models.swin_transformer import ShiftedWindowAttention

    class Own(ShiftedWindowAttention):
        def define_relative_position_bias_table(self) -> None:
            super().define_relative_position_bias_table()
            nn.init.constant_(self.relative_position_bias_table, 3.0)

        def define_relative_position_index(self) -> None:
            super().define_relative_position_index()
            self.relative_position_index.zero_()

    attention = Own(8, [2, 2], [0, 0], 2)
    assert attention.get_relative_position_bias().unique().tolist() == [3]
    assert not attention.relative_position_index.any()


def test_numbers_of_proposals_are_changed_afterwards() -> None:
    """Programs set ``rpn._pre_nms_top_n`` and similar attributes, or override the methods that read them."""
    model = zoo.get_model("fasterrcnn_mobilenet_v3_large_320_fpn", weights_backbone=None, rpn_score_thresh=0.0).eval()
    images, features = model.transform([torch.rand(3, 64, 64)])[0], None
    features = model.backbone(images.tensors)
    with torch.no_grad():
        model.rpn._post_nms_top_n = {"training": 5, "testing": 7}
        assert model.rpn.post_nms_top_n() == len(model.rpn(images, features)[0][0]) == 7
        assert model.rpn.train().post_nms_top_n() == 5
        model.rpn.eval()._pre_nms_top_n["testing"] = 2
        assert model.rpn.pre_nms_top_n() == 2
        assert len(model.rpn(images, features)[0][0]) <= 2 * len(features)
        model.rpn.post_nms_top_n = lambda: 1
        assert len(model.rpn(images, features)[0][0]) == 1


def test_a_block_of_shufflenet_with_own_convolutions() -> None:
    from zoo.models.shufflenetv2 import InvertedResidual

    class Own(InvertedResidual):
        @staticmethod
        def depthwise_conv(i, o, kernel_size, stride=1, padding=0, bias=False):  # type: ignore[no-untyped-def]
            return nn.Conv2d(i, o, kernel_size, stride, padding, bias=True, groups=i)

    block = Own(8, 16, 2)
    assert [m.bias is not None for m in block.modules() if isinstance(m, nn.Conv2d) and m.groups > 1] == [True, True]
    assert block(torch.rand(1, 8, 6, 6)).shape == (1, 16, 3, 3)
    plain = InvertedResidual.depthwise_conv(4, 8, 5, 2, 2)
    assert (plain.groups, plain.bias, plain.stride, plain.padding) == (4, None, (2, 2), (2, 2))


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "shufflenet_v2_x0_5"]
)
def test_forward_impl_is_what_forward_calls(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = zoo.get_model(name, num_classes=2).eval(), torch.rand(1, 3, 64, 64)
    assert torch.equal(model._forward_impl(x), model(x))
    monkeypatch.setattr(type(model), "_forward_impl", lambda self, x: "mine")
    assert model(x) == "mine"


def test_arguments_by_their_names() -> None:
    from zoo.models.convnext import CNBlock
    from zoo.models.densenet import _DenseLayer
    from zoo.models.mnasnet import _InvertedResidual
    from zoo.models.squeezenet import Fire

    x = torch.rand(2, 8, 6, 6)
    assert resnet.conv1x1(in_planes=8, out_planes=4)(x).shape == resnet.conv3x3(8, out_planes=4)(x).shape
    assert Fire(inplanes=8, squeeze_planes=2, expand1x1_planes=3, expand3x3_planes=5)(x).shape == (2, 8, 6, 6)
    assert _DenseLayer(num_input_features=8, growth_rate=4, bn_size=2, drop_rate=0.0)([x]).shape == (2, 4, 6, 6)
    assert _InvertedResidual(8, 8, 3, 1, expansion_factor=2, bn_momentum=0.5).layers[1].momentum == 0.5
    norm = functools.partial(nn.LayerNorm, eps=0.5)
    assert CNBlock(8, 1e-6, 0.0, norm_layer=norm).block[2].eps == 0.5
    conv = ConvNormActivation(8, 4, norm_layer=None, conv_layer=nn.Conv2d)
    assert isinstance(conv[0], nn.Conv2d)
    assert issubclass(Conv2dNormActivation, ConvNormActivation)


def test_new_heads_for_dense_detectors() -> None:
    """The heads of RetinaNet and FCOS are replaced as in their fine-tuning guides."""
    options = {"weights_backbone": None, "min_size": 64, "max_size": 64}
    target = {"boxes": torch.tensor([[4.0, 4, 30, 30]]), "labels": torch.tensor([2])}
    for name, Head in [
        ("retinanet_resnet50_fpn", RetinaNetClassificationHead),
        ("fcos_resnet50_fpn", FCOSClassificationHead),
    ]:
        model = zoo.get_model(name, **options)
        model.head.classification_head = Head(
            in_channels=model.backbone.out_channels,
            num_anchors=model.head.classification_head.num_anchors,
            num_classes=3,
            norm_layer=functools.partial(nn.GroupNorm, 32),
        )
        losses = model([torch.rand(3, 64, 64)], [target])
        assert all(loss.isfinite() for loss in losses.values())
        outputs = model.head([torch.rand(1, 256, 4, 4)])
        assert outputs["cls_logits"].shape == (1, 4 * 4 * (9 if name[0] == "r" else 1), 3)
    assert len(FCOSHead(32, 1, 5, num_convs=2).classification_head.conv) == 6


def test_a_transform_that_does_not_resize() -> None:
    class Plain(GeneralizedRCNNTransform):
        def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, object]:
            return image, target

        def normalize(self, image: Tensor) -> Tensor:
            return image

    model = zoo.get_model("fasterrcnn_mobilenet_v3_large_320_fpn", weights_backbone=None, num_classes=2)
    model.transform = Plain(320, 640, [0.5] * 3, [0.5] * 3)
    pictures = [torch.rand(3, 40, 50), torch.rand(3, 64, 30)]
    batch, _ = model.transform(pictures)
    assert batch.image_sizes == [(40, 50), (64, 30)]
    assert torch.equal(batch.tensors[1, :, :64, :30], pictures[1])
    target = {"boxes": torch.tensor([[4.0, 4, 30, 30]]), "labels": torch.tensor([1])}
    _, (kept, _) = model.transform(pictures, [target, target])
    assert kept is target
    assert all(loss.isfinite() for loss in model(pictures, [target, target]).values())
    assert len(model.eval()(pictures)) == 2
    own = GeneralizedRCNNTransform(20, 60, [0.0] * 3, [1.0] * 3).eval()
    image, resized = own.resize(pictures[0], target)
    assert image.shape == (3, 20, 25)
    assert resized["boxes"].tolist() == [[2, 2, 15, 15]]


def test_random_numbers_are_taken_as_torchvision_takes_them() -> None:
    """One random number per image for its size, even if there is only one size."""
    transform, images = GeneralizedRCNNTransform(20, 60, [0.0] * 3, [1.0] * 3), [torch.rand(3, 30, 40)] * 3
    for training in (True, False):
        torch.manual_seed(0)
        transform.train(training)(images)
        after = torch.rand(1)
        torch.manual_seed(0)
        torch.rand(3 if training else 0)
        assert torch.equal(after, torch.rand(1))


def test_coders_of_single_images() -> None:
    coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    anchors = torch.tensor([[0.0, 0, 10, 20], [5.0, 5, 15, 10]])
    boxes = anchors + torch.tensor([[1.0, 2, 3, 4]])
    codes = coder.encode_single(reference_boxes=boxes, proposals=anchors)
    assert torch.equal(codes, coder.encode([boxes], [anchors])[0])
    torch.testing.assert_close(coder.decode_single(rel_codes=codes, boxes=anchors), boxes)
    two = coder.decode_single(torch.cat([codes, codes], 1), anchors)
    torch.testing.assert_close(two, torch.cat([boxes, boxes], 1))
    torch.testing.assert_close(coder.decode(codes, [anchors])[:, 0], boxes)


def test_helpers_of_operators() -> None:
    each = [torch.tensor([[0.0, 1, 2, 3]]), torch.zeros(0, 4), torch.tensor([[4.0, 5, 6, 7]] * 2)]
    rois = convert_boxes_to_roi_format(each)
    assert rois[:, 0].tolist() == [0, 2, 2]
    check_roi_boxes_shape(rois)
    check_roi_boxes_shape(each)
    with pytest.raises(InvalidOperand):
        check_roi_boxes_shape(rois[:, :4])
    assert torch.equal(_cat(each), torch.cat(each))
    inter, union = box_ops._box_inter_union(torch.tensor([[0, 0, 2, 2]]), torch.tensor([[1, 1, 3, 3], [5, 5, 6, 6]]))
    assert (inter.tolist(), union.tolist()) == ([[1, 0]], [[7, 5]])
    assert box_ops._box_cxcywh_to_xyxy(torch.tensor([[2.0, 2, 2, 4]])).tolist() == [[1, 0, 3, 4]]
    sizes = torch.tensor([[0.0, 0, 112, 112], [0.0, 0, 224, 224], [0.0, 0, 448, 448], [0.0, 0, 2000, 2000]])
    assert poolers.initLevelMapper(2, 5)([sizes]).tolist() == [1, 2, 3, 3]
    norms, others = split_normalization_params(zoo.models.resnet18())
    assert (len(norms), len(others)) == (40, 22)
    norms, others = split_normalization_params(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), [nn.Linear])
    assert [p.shape for p in norms] == [(2, 2), (2,)]
    with pytest.raises(InvalidArgument, match="expected classes of modules"):
        split_normalization_params(nn.Linear(2, 2), [3])


def test_helpers_of_masks_and_keypoints() -> None:
    masks = torch.zeros(2, 16, 16, dtype=torch.uint8)
    masks[1, 4:8, 4:8] = 1
    cut = project_masks_on_boxes(masks, torch.tensor([[4.0, 4, 8, 8], [0.0, 0, 4, 4]]), torch.tensor([1, 1]), 4)
    assert cut.flatten(1).amin(1).tolist() == [0.25, 0]
    assert cut[0, 1:3, 1:3].eq(1).all()
    pasted = paste_masks_in_image(torch.ones(1, 1, 4, 4), torch.tensor([[2.0, 2, 8, 8]]), (10, 12), padding=1)
    assert pasted.shape == (1, 1, 10, 12)
    with pytest.raises(InvalidArgument, match="expected 1"):
        paste_masks_in_image(torch.ones(1, 1, 4, 4), torch.tensor([[2.0, 2, 8, 8]]), (10, 12), padding=2)
    heat = torch.full((1, 1, 8, 8), -9.0)
    heat[0, 0, 3, 5] = 9
    points, scores = heatmaps_to_keypoints(heat, torch.tensor([[0.0, 0, 8, 8]]))
    assert points[0, 0].tolist() == [5.5, 3.5, 1]
    assert scores[0, 0] > 5
    none, _ = heatmaps_to_keypoints(torch.zeros(0, 17, 56, 56), torch.zeros(0, 4))
    assert none.shape == (0, 17, 3)
    found, scores_of = keypointrcnn_inference(torch.zeros(1, 17, 56, 56), [torch.zeros(0, 4), torch.ones(1, 4)])
    assert [points.shape for points in found] == [(0, 17, 3), (1, 17, 3)]
    assert [scores.shape for scores in scores_of] == [(0, 17), (1, 17)]


COPIED = """
from functools import partial
from typing import Any, Optional
import torch, torch.nn as nn
from zoo.transforms._presets import ImageClassification
from zoo.utils import _log_api_usage_once
from zoo.models._api import register_model, Weights, WeightsEnum
from zoo.models._meta import _IMAGENET_CATEGORIES
from zoo.models._utils import _ovewrite_named_param, handle_legacy_interface

class Tiny(nn.Module):
    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        _log_api_usage_once(self)
        self.fc = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))

class Tiny_Weights(WeightsEnum):
    IMAGENET1K_V1 = Weights(
        url="https://example.org/tiny.pth",
        transforms=partial(ImageClassification, crop_size=224),
        meta={"min_size": (63, 63), "categories": _IMAGENET_CATEGORIES, "num_params": 4000, "_docs": "Tiny."},
    )
    DEFAULT = IMAGENET1K_V1

@register_model(name="copied_tiny")
@handle_legacy_interface(weights=("pretrained", Tiny_Weights.IMAGENET1K_V1))
def tiny(*, weights: Optional[Tiny_Weights] = None, progress: bool = True, **kwargs: Any) -> Tiny:
    weights = Tiny_Weights.verify(weights)
    if weights is not None:
        _ovewrite_named_param(kwargs, "num_classes", len(weights.meta["categories"]))
    return Tiny(**kwargs)
"""


def test_a_model_file_copied_from_torchvision() -> None:
    program = f"""{COPIED}
import zoo
assert zoo.models.get_model("copied_tiny", num_classes=5)(torch.rand(2, 3, 8, 8)).shape == (2, 5)
assert Tiny_Weights.DEFAULT.transforms()(torch.rand(3, 300, 300)).shape == (3, 224, 224)
print(zoo.list_models(plugin="local"))
"""
    # In a new process, because it registers models.
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "['copied_tiny']\n", done.stderr
