"""Import paths and names that programs written for torchvision use."""

from __future__ import annotations

import dataclasses
import importlib
import sys

import pytest
import torch
from torch import nn

import zoo
from zoo.errors import InvalidArgument, MissingPlugin

PATHS = """
    _internally_replaced_utils: load_state_dict_from_url
    models.quantization.utils: _fuse_modules _replace_relu
    models.quantization.googlenet: QuantizableBasicConv2d QuantizableInception QuantizableInceptionAux
    models.regnet: AnyStage BottleneckTransform SimpleStemIN ResBottleneckBlock BlockParams
    models.video.resnet: Bottleneck
    models.optical_flow._utils: grid_sample make_coords_grid upsample_flow
    models._utils: _ovewrite_value_param
    models._utils: IntermediateLayerGetter _make_divisible handle_legacy_interface _ovewrite_named_param
    models._api: Weights WeightsEnum get_model list_models register_model BUILTIN_MODELS _get_enum_from_fn
    models.feature_extraction: create_feature_extractor get_graph_node_names
    models.convnext: CNBlock CNBlockConfig ConvNeXt LayerNorm2d
    models.densenet: _DenseLayer _DenseBlock _Transition DenseNet
    models.efficientnet: MBConv MBConvConfig FusedMBConv FusedMBConvConfig
    models.googlenet: BasicConv2d Inception InceptionAux GoogLeNetOutputs _GoogLeNetOutputs
    models.inception: BasicConv2d InceptionA InceptionE InceptionAux InceptionOutputs
    models.maxvit: MaxVitLayer PartitionAttentionLayer RelativePositionalMultiHeadAttention
    models.mnasnet: _InvertedResidual
    models.mobilenet: MobileNetV2 mobilenet_v2 MobileNetV3 mobilenet_v3_large
    models.mobilenetv2: _ConvNormActivation InvertedResidual MobileNetV2 MobileNet_V2_Weights mobilenet_v2
    models.mobilenetv3: InvertedResidual InvertedResidualConfig MobileNetV3
    models.resnet: BasicBlock Bottleneck conv1x1 conv3x3 ResNet50_Weights
    models.shufflenetv2: InvertedResidual ShuffleNetV2 channel_shuffle
    models.swin_transformer: PatchMerging ShiftedWindowAttention SwinTransformerBlockV2
    models.vgg: VGG make_layers cfgs
    models.vision_transformer: Encoder EncoderBlock MLPBlock interpolate_embeddings
    models.detection.anchor_utils: AnchorGenerator DefaultBoxGenerator
    models.detection.backbone_utils: BackboneWithFPN resnet_fpn_backbone mobilenet_backbone _resnet_fpn_extractor
    models.detection.backbone_utils: _mobilenet_extractor _validate_trainable_layers
    models.detection.faster_rcnn: FastRCNNPredictor TwoMLPHead AnchorGenerator _default_anchorgen
    models.detection.generalized_rcnn: GeneralizedRCNN
    models.detection.image_list: ImageList
    models.detection.mask_rcnn: MaskRCNNHeads MaskRCNNPredictor
    models.detection.keypoint_rcnn: KeypointRCNNHeads KeypointRCNNPredictor
    models.detection.retinanet: RetinaNetHead RetinaNetClassificationHead
    models.detection.roi_heads: RoIHeads fastrcnn_loss maskrcnn_loss maskrcnn_inference paste_masks_in_image
    models.detection.roi_heads: keypointrcnn_loss keypointrcnn_inference
    models.detection.roi_heads: heatmaps_to_keypoints project_masks_on_boxes box_ops det_utils
    models.detection.rpn: AnchorGenerator RPNHead RegionProposalNetwork concat_box_prediction_layers
    models.detection.ssd: SSDHead SSDClassificationHead SSDScoringHead SSDFeatureExtractorVGG
    models.detection.ssdlite: SSDLiteHead SSDLiteClassificationHead SSDLiteRegressionHead
    models.detection.transform: GeneralizedRCNNTransform resize_boxes resize_keypoints
    models.detection._utils: encode_boxes overwrite_eps
    models.detection._utils: BoxCoder Matcher SSDMatcher BalancedPositiveNegativeSampler retrieve_out_channels
    models.segmentation._utils: _SimpleSegmentationModel
    models.segmentation.deeplabv3: ASPP ASPPConv ASPPPooling DeepLabHead
    models.segmentation.fcn: FCNHead _SimpleSegmentationModel
    models.quantization.utils: quantize_model
    models.quantization.mobilenet: QuantizableMobileNetV2 QuantizableMobileNetV3
    models.quantization.mobilenetv3: QuantizableMobileNetV3
    models.quantization.shufflenetv2: QuantizableShuffleNetV2
    models.quantization.inception: QuantizableInception3
    models.video.swin_transformer: SwinTransformer3d PatchEmbed3d ShiftedWindowAttention3d
    models.video.mvit: MSBlockConfig MultiscaleBlock
    models.video.resnet: BasicBlock Conv3DSimple R2Plus1dStem
    models.optical_flow.raft: FeatureEncoder CorrBlock ResidualBlock
    ops._utils: _cat check_roi_boxes_shape convert_boxes_to_roi_format split_normalization_params _upcast
    ops._box_convert: _box_cxcywh_to_xyxy _box_xywhr_to_xyxyxyxy
    ops.misc: ConvNormActivation Conv2dNormActivation FrozenBatchNorm2d MLP Permute SqueezeExcitation
    ops.feature_pyramid_network: FeaturePyramidNetwork LastLevelMaxPool ExtraFPNBlock
    ops.poolers: MultiScaleRoIAlign LevelMapper initLevelMapper
    ops.roi_align: RoIAlign roi_align
    ops.roi_pool: RoIPool roi_pool
    ops.ps_roi_align: PSRoIAlign ps_roi_align
    ops.ps_roi_pool: PSRoIPool ps_roi_pool
    ops.deform_conv: DeformConv2d deform_conv2d
    ops.focal_loss: sigmoid_focal_loss
    ops.giou_loss: generalized_box_iou_loss
    ops.ciou_loss: complete_box_iou_loss
    ops.diou_loss: distance_box_iou_loss
    ops.drop_block: DropBlock2d drop_block3d
    ops.stochastic_depth: StochasticDepth stochastic_depth
    transforms.transforms: Compose Resize Normalize Pad InterpolationMode
    transforms._presets: ImageClassification SemanticSegmentation InterpolationMode
    io.image: ImageReadMode read_image decode_image write_png
    utils: _log_api_usage_once _make_ntuple
    ops.boxes: _upcast _box_inter_union _box_xyxy_to_cxcywh
    ops.boxes: nms batched_nms box_iou clip_boxes_to_image remove_small_boxes
"""


@pytest.mark.parametrize("line", PATHS.strip().splitlines())
def test_path(line):
    path, _, names = line.strip().partition(": ")
    everything: dict[str, object] = {}
    exec(f"from zoo.{path} import {', '.join(names.split())}", everything)
    module = importlib.import_module(f"zoo.{path}")
    assert all(getattr(module, name) is everything[name] for name in names.split())
    if not any(word in path for word in ("ops.boxes", "io.image", "_api")):  # these have further names
        assert {*names.split()} <= {*dir(module)}


def test_operators_stay_functions_beside_their_modules():
    import zoo.ops.roi_align
    import zoo.ops.stochastic_depth

    assert zoo.ops.roi_align is sys.modules["zoo.ops.roi_align"].roi_align
    assert callable(zoo.ops.stochastic_depth)
    assert zoo.ops.misc.MLP is zoo.ops.MLP
    with pytest.raises(AttributeError, match="nsm"):
        zoo.ops.nsm  # noqa: B018


def test_what_a_program_replaces_in_a_module_is_replaced(monkeypatch):
    """A user-defined loss in Faster R-CNN."""
    from zoo.models.detection import roi_heads

    model = zoo.get_model("fasterrcnn_resnet50_fpn", weights_backbone=None, num_classes=2, min_size=64, max_size=64)
    monkeypatch.setattr(roi_heads, "fastrcnn_loss", lambda *_: (torch.tensor(7.0), torch.tensor(9.0)))
    target = {"boxes": torch.tensor([[4.0, 4, 30, 30]]), "labels": torch.tensor([1])}
    losses = model([torch.rand(3, 64, 64)], [target])
    assert (losses["loss_classifier"], losses["loss_box_reg"]) == (7, 9)
    monkeypatch.undo()
    assert roi_heads.fastrcnn_loss is importlib.import_module("zoo_detection.roi_heads").fastrcnn_loss
    assert roi_heads.fastrcnn_loss.__name__ == "fastrcnn_loss"


def test_a_module_of_a_plugin_that_is_missing_says_what_to_install(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, package=None: None if name == "zoo_video" else real(name, package)
    )
    monkeypatch.delitem(sys.modules, "zoo.models.video.swin_transformer", raising=False)
    with pytest.raises(MissingPlugin, match=r"zoo\.models\.video\.swin_transformer comes with zoo-video.*pip install"):
        importlib.import_module("zoo.models.video.swin_transformer")


def test_weights_from_torchvisions_arguments():
    from zoo.models import ResNet18_Weights, Weights, WeightsEnum

    class Net_Weights(WeightsEnum):
        V1 = Weights(
            url="https://example.org/net.pth",
            transforms=dict,
            meta={
                "num_params": 3,
                "categories": ["a", "b"],
                "_metrics": {"ImageNet-1K": {"acc@1": 1.0}},
                "author": "me",
            },
        )
        DEFAULT = V1

    weights = Net_Weights.DEFAULT
    assert weights.transforms() == {}
    assert {"num_params": 3, "categories": ["a", "b"], "author": "me"}.items() <= weights.meta.items()
    assert weights.value.metrics == {"ImageNet-1K": {"acc@1": 1.0}}
    assert isinstance(weights.value, Weights)
    assert isinstance(ResNet18_Weights.DEFAULT.value, Weights)
    assert dataclasses.replace(weights.value, url="https://example.org/other.pth").meta["author"] == "me"


def test_networks_from_published_settings():
    from zoo.models.convnext import CNBlockConfig, ConvNeXt
    from zoo.models.efficientnet import EfficientNet, FusedMBConv, FusedMBConvConfig, MBConvConfig
    from zoo.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
    from zoo.models.vgg import VGG, cfgs, make_layers

    images = torch.rand(2, 3, 64, 64)
    assert cfgs["A"] == [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]
    assert sum(isinstance(layer, nn.Conv2d) for layer in make_layers(cfgs["D"])) == 13
    with torch.device("meta"):
        vgg = VGG(make_layers(cfgs["A"], batch_norm=True))
        assert vgg.state_dict().keys() == zoo.models.vgg11_bn().state_dict().keys()
    net = ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 2)], num_classes=5)
    assert net(images).shape == (2, 5)
    setting = [FusedMBConvConfig(1, 3, 1, 24, 24, 1), MBConvConfig(4, 3, 2, 24, 40, 1, width_mult=2.0, depth_mult=1.5)]
    assert setting[0].block is FusedMBConv
    assert (setting[1].in_channels, setting[1].out_channels, setting[1].num_layers) == (48, 80, 2)
    assert EfficientNet([MBConvConfig(1, 3, 1, 16, 24, 1)], 0.1, num_classes=4)(images).shape == (2, 4)
    row = InvertedResidualConfig(16, 3, 16, 24, True, "HS", 2, 1, 0.5)
    assert (row.in_channels, row.out_channels, row.activation) == (8, 16, nn.Hardswish)
    assert MobileNetV3([row], 32, num_classes=3)(images).shape == (2, 3)
    with pytest.raises(InvalidArgument, match="expected 'RE' or 'HS'"):
        InvertedResidualConfig(16, 3, 16, 24, True, "GELU", 2, 1, 0.5)


def test_blocks_compute_what_their_networks_do():
    from zoo.models.segmentation.deeplabv3 import ASPP, ASPPConv, ASPPPooling
    from zoo.models.shufflenetv2 import channel_shuffle
    from zoo.models.vision_transformer import MLPBlock

    x = torch.rand(2, 8, 6, 5)
    assert channel_shuffle(torch.arange(4.0).view(1, 4, 1, 1), 2).flatten().tolist() == [0, 2, 1, 3]
    conv, pool = ASPPConv(8, 4, 2).eval(), ASPPPooling(8, 4).eval()
    assert conv(x).shape == pool(x).shape == (2, 4, 6, 5)
    assert conv[0].dilation == (2, 2)
    torch.testing.assert_close(pool(x)[:, :, 0, 0], pool(x)[:, :, 5, 4])
    assert [type(m) for m in ASPP(8, [2, 4], 4).convs][1:] == [ASPPConv, ASPPConv, ASPPPooling]
    assert [type(m).__name__ for m in MLPBlock(8, 16)] == ["Linear", "GELU", "Dropout", "Linear", "Dropout"]


def test_parts_of_detectors():
    from zoo.models.detection.backbone_utils import _mobilenet_extractor, _resnet_fpn_extractor

    from zoo.models.detection import _utils, roi_heads, ssdlite, transform

    boxes = torch.tensor([[2.0, 4, 6, 8]])
    assert transform.resize_boxes(boxes, (10, 20), (20, 10)).tolist() == [[1, 8, 3, 16]]
    assert transform.resize_keypoints(torch.tensor([[[2.0, 4, 1]]]), (10, 20), (20, 10)).tolist() == [[[1, 8, 1]]]
    assert transform.resize_boxes(torch.zeros(0, 4), (10, 20), (20, 10)).shape == (0, 4)
    maps = [torch.rand(1, 8, 4, 4)]
    assert ssdlite.SSDLiteClassificationHead([8], [6], 3, nn.BatchNorm2d)(maps).shape == (1, 4 * 4 * 6, 3)
    assert ssdlite.SSDLiteRegressionHead([8], [6], nn.BatchNorm2d)(maps).shape == (1, 4 * 4 * 6, 4)
    assert _utils.retrieve_out_channels(nn.Conv2d(3, 7, 3), (32, 24)) == [7]

    body = _resnet_fpn_extractor(zoo.models.resnet18(), 2, returned_layers=[2, 3])
    assert [name for name, p in body.named_parameters() if not p.requires_grad][-1].startswith("body.layer2")
    assert list(body(torch.rand(1, 3, 64, 64))) == ["0", "1", "pool"]
    assert _mobilenet_extractor(zoo.models.mobilenet_v2(), False, 6).out_channels == 256

    logits = torch.rand(2, 3, 28, 28)
    labels = [torch.tensor([1]), torch.tensor([2])]
    first, second = roi_heads.maskrcnn_inference(logits, labels)
    torch.testing.assert_close(first[0, 0], logits[0, 1].sigmoid())
    torch.testing.assert_close(second[0, 0], logits[1, 2].sigmoid())
    masks = [torch.zeros(1, 32, 32), torch.ones(1, 32, 32)]
    each = torch.tensor([[0.0, 0, 32, 32]])
    loss = roi_heads.maskrcnn_loss(logits, [each, each], masks, labels, [torch.tensor([0])] * 2)
    chosen = torch.stack([logits[0, 1], logits[1, 2]])
    want = nn.functional.binary_cross_entropy_with_logits(
        chosen, torch.stack([torch.zeros(28, 28), torch.ones(28, 28)])
    )
    torch.testing.assert_close(loss, want)
    heat = torch.full((1, 1, 56, 56), -9.0)
    heat[0, 0, 28, 14] = 9
    (found,), _ = roi_heads.keypointrcnn_inference(heat, [torch.tensor([[0.0, 0, 56, 56]])])
    assert found[0, 0].round().tolist() in ([14, 28, 1], [15, 29, 1])
    exact = roi_heads.keypointrcnn_loss(
        heat, [torch.tensor([[0.0, 0, 56, 56]])], [torch.tensor([[[14.5, 28.5, 2]]])], [torch.tensor([0])]
    )
    assert exact < 1e-3


def test_lists_of_classes():
    from zoo.models._meta import _COCO_PERSON_KEYPOINT_NAMES, _IMAGENET_CATEGORIES, _VOC_CATEGORIES

    assert (len(_IMAGENET_CATEGORIES), _IMAGENET_CATEGORIES[0]) == (1000, "tench")
    assert (len(_VOC_CATEGORIES), _COCO_PERSON_KEYPOINT_NAMES[0]) == (21, "nose")


def test_a_builder_copied_from_torchvision():
    from zoo.models._utils import _ovewrite_named_param, handle_legacy_interface

    from zoo.models import ResNet18_Weights

    @handle_legacy_interface(weights=("pretrained", ResNet18_Weights.IMAGENET1K_V1))
    def net(*, weights=None, progress=True, **kwargs):
        if weights is not None:
            _ovewrite_named_param(kwargs, "num_classes", len(weights.meta["categories"]))
        return weights, kwargs

    with pytest.warns(DeprecationWarning, match="write weights=ResNet18_Weights.IMAGENET1K_V1"):
        assert net(pretrained=True) == (ResNet18_Weights.IMAGENET1K_V1, {"num_classes": 1000})
    with pytest.warns(DeprecationWarning, match="weights=None"):
        assert net(False, num_classes=3) == (None, {"num_classes": 3})
    assert net() == (None, {})
    with pytest.raises(InvalidArgument, match="num_classes is 3; expected 1000"):
        net(weights=ResNet18_Weights.IMAGENET1K_V1, num_classes=3)


def test_a_model_is_quantized_in_place():
    from zoo.models.quantization.utils import quantize_model

    model = zoo.models.quantization.resnet18(quantize=False).eval()
    quantize_model(model, "fbgemm")
    assert type(model.fc).__name__ == "Linear"
    assert model.fc.weight().dtype == torch.qint8
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 1000)


# Names that our modules also have, for their own use.
HERE_ANYWAY = {
    *"WeightsEnum MLP Conv2dNormActivation SqueezeExcitation FastRCNNConvFCHead RPNHead LastLevelP6P7 box_ops".split(),
    *"GeneralizedRCNNTransform sigmoid_focal_loss grid_sample IntermediateLayerGetter det_utils".split(),
}

# Names that torchvision's modules import, and that programs import from there.
BESIDES = """
    models.resnet: Weights WeightsEnum register_model handle_legacy_interface _log_api_usage_once _IMAGENET_CATEGORIES
    models.resnet: ImageClassification _ovewrite_named_param _resnet
    models.vision_transformer: _log_api_usage_once _vision_transformer MLP Conv2dNormActivation
    models.efficientnet: _efficientnet _efficientnet_conf _MBConvConfig _make_divisible SqueezeExcitation
    models.mobilenetv3: _mobilenet_v3 _mobilenet_v3_conf SElayer
    models.vgg: _vgg
    models.detection.faster_rcnn: FasterRCNN _resnet_fpn_extractor _validate_trainable_layers resnet50 overwrite_eps
    models.detection.faster_rcnn: ResNet50_Weights _COCO_CATEGORIES MultiScaleRoIAlign misc_nn_ops mobilenet_v3_large
    models.detection.mask_rcnn: _default_anchorgen RPNHead FastRCNNConvFCHead det_utils
    models.detection.retinanet: LastLevelP6P7 GeneralizedRCNNTransform box_ops sigmoid_focal_loss
    models.detection.ssd: GeneralizedRCNNTransform det_utils
    models.detection.backbone_utils: IntermediateLayerGetter resnet mobilenet misc_nn_ops
    models.segmentation.deeplabv3: IntermediateLayerGetter FCNHead resnet50 _deeplabv3_resnet
    models.segmentation.fcn: IntermediateLayerGetter _fcn_resnet
    models.quantization.resnet: quantize_model _replace_relu _fuse_modules
    models.video.resnet: _video_resnet VideoClassification
    models.optical_flow.raft: grid_sample OpticalFlow
    ops.boxes: _batched_nms_vanilla _batched_nms_coordinate_trick
"""


@pytest.mark.parametrize("line", BESIDES.strip().splitlines())
def test_what_modules_have_of_others(line):
    path, _, names = line.strip().partition(": ")
    everything: dict[str, object] = {}
    exec(f"from zoo.{path} import {', '.join(names.split())}", everything)
    module = importlib.import_module(f"zoo.{path}")
    own = {"_deeplabv3_resnet", "_fcn_resnet", "SElayer", "_efficientnet_conf", "_mobilenet_v3_conf", "_MBConvConfig"}
    shown = {"MultiScaleRoIAlign", "FasterRCNN", "ResNet50_Weights", "resnet50", "mobilenet_v3_large", "FCNHead"}
    assert everything.keys() >= {*names.split()}
    assert not {*names.split()} & {*dir(module)} - own - shown - HERE_ANYWAY
    with pytest.raises(AttributeError, match="has no attribute 'nothing_of_the_kind'"):
        module.nothing_of_the_kind  # noqa: B018


@pytest.mark.parametrize("path", ["mobilenet", "resnet", "densenet", "detection.faster_rcnn", "quantization.mobilenet"])
def test_modules_are_read_as_dicts(path):
    """``resnet.__dict__[name](…)``, used to choose backbones by name."""
    module = importlib.import_module(f"zoo.models.{path}")
    names = vars(module)
    assert {*dir(module)} <= {*names}
    builders = [n for n in names if n.islower() and n in zoo.list_models(plugin="classification")]
    assert path.split(".")[0] not in ("mobilenet", "resnet", "densenet") or len(builders) > 2
    for name in builders:
        assert module.__dict__[name] is names[name] is getattr(module, name)
    assert "_renamed" not in names
    assert names["__name__"].endswith(path.split(".")[-1])


def test_builders_below_the_builders():
    """``_resnet(block, layers, weights, progress, **kwargs)`` and similar functions, used to build custom networks."""
    from zoo.models import (
        densenet,
        efficientnet,
        mobilenetv3,
        regnet,
        resnet,
        swin_transformer,
        vgg,
        video,
        vision_transformer,
    )

    def keys(model):
        return {key: value.shape for key, value in model.state_dict().items()}

    with torch.device("meta"):
        for made, name in (
            (resnet._resnet(resnet.BasicBlock, [2, 2, 2, 2], None, False), "resnet18"),
            (resnet._resnet(block=resnet.Bottleneck, layers=[3, 4, 6, 3], weights=None, progress=True), "resnet50"),
            (densenet._densenet(32, (6, 12, 24, 16), 64, None, True), "densenet121"),
            (vgg._vgg("A", True, None, True), "vgg11_bn"),
            (vision_transformer._vision_transformer(32, 12, 12, 768, 3072, None, True), "vit_b_32"),
            (
                swin_transformer._swin_transformer([4, 4], 96, [2, 2, 6, 2], [3, 6, 12, 24], [7, 7], 0.2, None, True),
                "swin_t",
            ),
            (efficientnet._efficientnet(*with_dropout("efficientnet_b1", 1.0, 1.1), None, True), "efficientnet_b1"),
            (
                mobilenetv3._mobilenet_v3(*mobilenetv3._mobilenet_v3_conf("mobilenet_v3_small"), None, True),
                "mobilenet_v3_small",
            ),
            (
                regnet._regnet(regnet.BlockParams.from_init_params(22, 24, 24.48, 2.54, 16), None, True),
                "regnet_x_400mf",
            ),
            (
                video.resnet._video_resnet(
                    video.resnet.BasicBlock,
                    [video.resnet.Conv3DSimple] * 4,
                    [2] * 4,
                    video.resnet.BasicStem,
                    None,
                    True,
                ),
                "r3d_18",
            ),
        ):
            assert keys(made) == keys(zoo.get_model(name)), name
    small = resnet._resnet(resnet.BasicBlock, [1, 1, 1, 1], None, False, num_classes=3, width_per_group=64)
    assert small(torch.rand(1, 3, 64, 64)).shape == (1, 3)
    assert mobilenetv3._mobilenet_v3_conf("mobilenet_v3_large", reduced_tail=True, dilated=True)[1] == 640
    with pytest.raises(InvalidArgument, match="expected one of mobilenet_v3_large"):
        mobilenetv3._mobilenet_v3_conf("mobilenet_v3_medium")


def with_dropout(arch, width, depth):
    from zoo.models.efficientnet import _efficientnet_conf

    settings, last_channel = _efficientnet_conf(arch, width_mult=width, depth_mult=depth)
    return settings, 0.2, last_channel


def test_builders_below_the_builders_load(tmp_path):
    from zoo.models import resnet

    saved = zoo.models.resnet18(num_classes=7)
    torch.save(saved.state_dict(), tmp_path / "own.pth")

    class Own_Weights(zoo.models.WeightsEnum):
        V1 = zoo.models.Weights(url=(tmp_path / "own.pth").as_uri(), transforms=dict, meta={"categories": [*"abcdefg"]})

    model = resnet._resnet(resnet.BasicBlock, [2, 2, 2, 2], Own_Weights.V1, False)
    assert torch.equal(model.fc.weight, saved.fc.weight)


def test_settings_are_copied_as_they_are():
    import copy
    import pickle

    from zoo.models.convnext import CNBlockConfig
    from zoo.models.efficientnet import FusedMBConvConfig, MBConvConfig
    from zoo.models.mobilenetv3 import InvertedResidualConfig

    for made in (
        MBConvConfig(4, 3, 2, 24, 40, 1, width_mult=2.0, depth_mult=1.5),
        FusedMBConvConfig(4, 3, 2, 24, 40, 1),
        InvertedResidualConfig(16, 3, 16, 24, True, "HS", 2, 1, 0.5),
        CNBlockConfig(8, 16, 2),
    ):
        for other in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
            assert type(other) is type(made)
            assert other == made
    row = InvertedResidualConfig(16, 3, 16, 24, True, "HS", 2, 1, 0.5)
    assert (row.input_channels, row.expanded_channels, row.kernel, row.use_hs) == (8, 8, 3, True)
    assert InvertedResidualConfig.adjust_channels(24, 0.5) == MBConvConfig.adjust_channels(24, 0.5) == 16
    assert (MBConvConfig.adjust_depth(3, 1.1), CNBlockConfig(8, 16, 2).out_channels) == (4, 16)


def test_blocks_of_densenet_by_their_arguments():
    from zoo.models.densenet import _DenseBlock, _Transition

    block = _DenseBlock(
        num_layers=2, num_input_features=8, bn_size=4, growth_rate=6, drop_rate=0.0, memory_efficient=True
    )
    assert block.denselayer2.conv1.weight.shape == (24, 14, 1, 1)
    lower = _Transition(num_input_features=20, num_output_features=10)
    assert lower(block(torch.rand(1, 8, 4, 4))).shape == (1, 10, 2, 2)
    assert next(iter(lower.state_dict())) == "norm.weight"


def test_a_quantizable_model_of_ones_own():
    """Code in copied files: torch's stubs, ``fuse_model``, and the helpers of ``quantization.utils``."""
    from zoo.models.quantization.utils import _fuse_modules, _replace_relu, quantize_model

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.quant, self.dequant = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
            self.conv, self.bn, self.relu = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(inplace=True)

        def forward(self, x):
            return self.dequant(self.relu(self.bn(self.conv(self.quant(x)))))

        def fuse_model(self, is_qat=None):
            _fuse_modules(self, ["conv", "bn", "relu"], is_qat, inplace=True)

    model = Own()
    _replace_relu(model)
    assert type(model.relu) is nn.ReLU
    assert not model.relu.inplace
    assert {type(m).__name__ for m in _fused(model.train()).modules()} >= {"ConvBnReLU2d"}
    model = Own()
    _replace_relu(model)
    quantize_model(model, "fbgemm")
    assert model.conv.weight().dtype == torch.qint8
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 8, 30, 30)
    with pytest.raises(InvalidArgument, match="backend is 'abc'"):
        quantize_model(Own(), "abc")


def _fused(model):
    import copy

    twin = copy.deepcopy(model)
    twin.fuse_model()
    return twin


def test_blocks_fuse_themselves():
    from zoo.models.quantization.googlenet import QuantizableBasicConv2d, QuantizableInceptionAux

    from zoo.models.quantization import resnet

    model = zoo.models.quantization.resnet50(quantize=False, num_classes=3).eval()
    for p in model.buffers():
        p.data.uniform_(0.5, 1.5) if p.is_floating_point() else None
    x = torch.rand(1, 3, 64, 64)
    want = model(x)
    for block in model.modules():
        if type(block) is resnet.QuantizableBottleneck:
            block.fuse_model(is_qat=False)
    torch.testing.assert_close(model(x), want, atol=1e-4, rtol=1e-4)
    assert "ConvReLU2d" in type(model.layer1[0].conv1).__name__
    assert type(model.conv1) is nn.Conv2d, "unlike in any block"
    model = zoo.models.quantization.googlenet(quantize=False, init_weights=False)
    assert type(model.conv1) is type(model.aux1.conv) is QuantizableBasicConv2d
    assert type(model.aux2) is QuantizableInceptionAux
