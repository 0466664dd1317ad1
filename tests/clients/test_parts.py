"""Parts that research code calls and overrides: heads, anchors, blocks, with torchvision's arguments."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.errors import InvalidArgument, MissingPlugin
from zoo.ops import box_iou

DENSE = {
    "retinanet_resnet50_fpn": {"min_size": 64, "max_size": 96},
    "retinanet_resnet50_fpn_v2": {"min_size": 64, "max_size": 96},
    "fcos_resnet50_fpn": {"min_size": 64, "max_size": 96},
    "ssdlite320_mobilenet_v3_large": {},
}


def targets() -> list[dict[str, Tensor]]:
    boxes = torch.tensor([[5.0, 5, 60, 70], [30, 20, 90, 80]])
    return [
        {"boxes": boxes, "labels": torch.tensor([1, 2])},
        {"boxes": boxes[:1], "labels": torch.tensor([3])},
    ]


def module(path: str) -> Any:
    return importlib.import_module(f"zoo.models.{path}")


def dense(name: str) -> Any:
    torch.manual_seed(0)
    return zoo.get_model(name, weights_backbone=None, num_classes=5, score_thresh=0.0, **DENSE[name])


@pytest.mark.parametrize("name", DENSE)
def test_validation_losses_and_detections_put_together_from_parts(name: str) -> None:
    """The loss in eval mode as in forum threads, for detectors without proposals."""
    model, images = dense(name).eval(), [torch.rand(3, 90, 120), torch.rand(3, 100, 80)]
    with torch.no_grad():
        want, detected = model(images, targets(), return_losses=True)
        batch, resized = model.transform(images, targets())
        features = list(model.features(batch).values())
        outputs = model.head(features)
        anchors = model.anchor_generator(batch, features)
        assert outputs["cls_logits"].shape == (2, len(anchors[0]), 5)
        assert outputs["bbox_regression"].shape == (2, len(anchors[0]), 4)
        per_level = [x.size(2) * x.size(3) for x in features]
        if "retinanet" in name:
            losses = model.compute_loss(resized, outputs, anchors)
        elif "fcos" in name:
            losses = model.compute_loss(resized, outputs, anchors, per_level)
        else:
            matched = [model.proposal_matcher(box_iou(t["boxes"], a)) for t, a in zip(resized, anchors, strict=True)]
            losses = model.compute_loss(resized, outputs, anchors, matched)
        if "ssd" not in name:
            of_cell = outputs["cls_logits"].size(1) // sum(per_level)
            per_level = [cells * of_cell for cells in per_level]
            outputs = {key: list(values.split(per_level, dim=1)) for key, values in outputs.items()}
            anchors = [list(of_image.split(per_level)) for of_image in anchors]
        found = model.postprocess_detections(outputs, anchors, batch.image_sizes)
        found = model.transform.postprocess(found, batch.image_sizes, [(90, 120), (100, 80)])
    assert losses.keys() == want.keys()
    for key, loss in want.items():
        torch.testing.assert_close(losses[key], loss)
    for ours, theirs in zip(detected, found, strict=True):
        assert len(ours["boxes"]) > 0
        for key, values in ours.items():
            torch.testing.assert_close(values, theirs[key])


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("path", ["compute_loss", "head.compute_loss", "head.classification_head.forward"])
def test_own_losses_and_heads_are_called(name: str, path: str) -> None:
    model, calls = dense(name).train(), []
    owner, _, method = path.rpartition(".")
    part = model.get_submodule(owner)
    if not hasattr(type(part), method):
        assert "ssd" in name  # its head has no losses
        return
    own = getattr(type(part), method)

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(path)
        return own(self, *args, **kwargs)

    part.__class__ = type("Own", (type(part),), {method: spy})
    model([torch.rand(3, 90, 120), torch.rand(3, 100, 80)], targets())
    assert calls


@pytest.mark.parametrize("name", DENSE)
def test_own_detections_are_given(name: str) -> None:
    model = dense(name).eval()

    class Own(type(model)):  # type: ignore[misc]
        def postprocess_detections(self, head_outputs: Any, anchors: Any, image_shapes: Any) -> Any:
            found = super().postprocess_detections(head_outputs, anchors, image_shapes)
            return [{key: values[:1] for key, values in of_image.items()} for of_image in found]

    model.__class__ = Own
    with torch.no_grad():
        assert [len(found["boxes"]) for found in model([torch.rand(3, 90, 120)] * 2)] == [1, 1]
        assert not model.pads


def test_losses_beside_detections() -> None:
    """Programs replace ``eager_outputs`` to get both losses and detections."""
    model = dense("fcos_resnet50_fpn").train()
    model.eager_outputs = lambda losses, detections: (losses, detections)
    losses, detections = model([torch.rand(3, 90, 120), torch.rand(3, 100, 80)], targets())
    assert len(losses) == 3
    assert detections == []
    assert model.eval()([torch.rand(3, 90, 120)])[0] == {}


@pytest.mark.parametrize("method", ["generate_anchors", "grid_anchors", "set_cell_anchors"])
def test_own_anchors_of_cells_and_grids(method: str) -> None:
    AnchorGenerator = module("detection.anchor_utils").AnchorGenerator
    calls = []

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return getattr(AnchorGenerator, method)(self, *args, **kwargs)

    Own = type("Own", (AnchorGenerator,), {method: spy})
    images = module("detection.image_list").ImageList(torch.zeros(1, 3, 64, 96), [(64, 96)])
    maps = [torch.zeros(1, 8, 8, 12), torch.zeros(1, 8, 4, 6)]
    want = AnchorGenerator(((16,), (32,)), ((0.5, 1.0, 2.0),) * 2)(images, maps)
    (found,) = Own(((16,), (32,)), ((0.5, 1.0, 2.0),) * 2)(images, maps)
    assert calls
    assert torch.equal(found, want[0])


def test_anchors_by_torchvisions_arguments() -> None:
    generator = module("detection.anchor_utils").AnchorGenerator(((32,),), ((0.5, 1.0, 2.0),))
    cell = generator.generate_anchors([32, 64], [1.0], dtype=torch.float32, device=torch.device("cpu"))
    assert cell.tolist() == [[-16, -16, 16, 16], [-32, -32, 32, 32]]
    generator.cell_anchors = [cell]
    generator.set_cell_anchors(torch.float64, torch.device("cpu"))
    (grid,) = generator.grid_anchors([[1, 2]], [[torch.tensor(8), torch.tensor(4)]])
    assert grid.dtype == torch.float64
    assert grid[2:].tolist() == [[-12, -16, 20, 16], [-28, -32, 36, 32]]
    with pytest.raises(InvalidArgument, match="There are 2 feature maps, but sizes and aspect_ratios for 1"):
        generator.grid_anchors([[1, 2], [1, 1]], [[8, 8], [16, 16]])


def test_a_detector_of_parts() -> None:
    detection = zoo.models.detection
    whole = zoo.get_model("fasterrcnn_mobilenet_v3_large_320_fpn", weights_backbone=None, num_classes=3).eval()
    model = module("detection.generalized_rcnn").GeneralizedRCNN(
        whole.backbone, whole.rpn, whole.roi_heads, whole.transform
    )
    image = [torch.rand(3, 64, 80)]
    with torch.no_grad():
        for found, want in zip(model.eval()(image), whole(image), strict=True):
            assert all(torch.equal(found[key], want[key]) for key in want)
    assert isinstance(whole, detection.generalized_rcnn.GeneralizedRCNN)
    with pytest.raises(InvalidArgument, match="Target 0 has no labels"):
        model.roi_heads.check_targets([{"boxes": torch.zeros(0, 4)}])


def test_helpers_of_boxes_masks_and_keypoints() -> None:
    heads = module("detection.roi_heads")
    boxes = torch.tensor([[2.0, 4, 6, 12]])
    assert heads.expand_boxes(boxes, 2.0).tolist() == [[0, 0, 8, 16]]
    padded, scale = heads.expand_masks(torch.ones(1, 1, 4, 4), 1)
    assert (padded.shape, padded.sum(), scale) == ((1, 1, 6, 6), 16, 1.5)
    pasted = heads.paste_mask_in_image(torch.ones(4, 4), torch.tensor([1, 2, 3, 3]), 5, 6)
    assert pasted.nonzero().tolist() == [[y, x] for y in (2, 3) for x in (1, 2, 3)]
    points = torch.tensor([[[2.0, 4, 1], [6, 12, 2], [7, 5, 1], [3, 5, 0]]])
    cells, seen = heads.keypoints_to_heatmap(points, boxes, 4)
    assert (cells.tolist(), seen.tolist()) == ([[0, 15, 0, 0]], [[1, 1, 0, 0]])
    rpn = module("detection.rpn")
    flat = rpn.permute_and_flatten(torch.arange(24.0).view(1, 6, 2, 2), 1, 2, 3, 2, 2)
    assert flat[0, :2].tolist() == [[0, 4, 8], [12, 16, 20]]
    matcher = module("detection._utils").Matcher(0.7, 0.3, allow_low_quality_matches=True)
    matches = torch.tensor([-1, -1])
    matcher.set_low_quality_matches_(matches, torch.tensor([0, 0]), torch.tensor([[0.2, 0.1]]))
    assert matches.tolist() == [0, -1]


def test_own_recurrent_units_and_correlations_of_raft() -> None:
    raft = module("optical_flow.raft")

    class Half(raft.CorrBlock):  # type: ignore[misc]
        def index_pyramid(self, centroids_coords: Tensor) -> Tensor:
            return super().index_pyramid(centroids_coords) * 0

    class Still(raft.UpdateBlock):  # type: ignore[misc]
        def forward(self, hidden_state: Tensor, context: Tensor, corr_features: Tensor, flow: Tensor) -> Any:
            assert not corr_features.any()
            hidden_state, change = super().forward(hidden_state, context, corr_features, flow)
            return hidden_state, change * 0 + 1

    class Unit(raft.ConvGRU):  # type: ignore[misc]
        calls = 0

        def forward(self, h: Tensor, x: Tensor) -> Tensor:
            Unit.calls += 1
            out: Tensor = super().forward(h, x)
            return out

    widths = {"layers": (8, 8, 12, 16, 24), "strides": (2, 1, 2, 2)}
    block = Half(num_levels=2, radius=1)
    recurrent = raft.RecurrentBlock(input_size=28, hidden_size=12, kernel_size=((3, 3),), padding=((1, 1),))
    recurrent.convgru1.__class__ = Unit
    motion = raft.MotionEncoder(
        in_channels_corr=block.out_channels, corr_layers=(8,), flow_layers=(8, 6), out_channels=16
    )
    update = Still(
        motion_encoder=motion, recurrent_block=recurrent, flow_head=raft.FlowHead(in_channels=12, hidden_size=8)
    )
    model = raft.RAFT(
        feature_encoder=raft.FeatureEncoder(block=raft.ResidualBlock, norm_layer=nn.InstanceNorm2d, **widths),
        context_encoder=raft.FeatureEncoder(block=raft.BottleneckBlock, norm_layer=nn.BatchNorm2d, **widths),
        corr_block=block,
        update_block=update,
    ).eval()
    with torch.no_grad():
        flows = model(torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128), num_flow_updates=3)
    for k, flow in enumerate(flows, 1):
        torch.testing.assert_close(flow, torch.full_like(flow, 8.0 * k))
    assert Unit.calls == 3


def test_the_recurrent_unit_is_the_same_with_its_context_apart() -> None:
    unit = module("optical_flow.raft").ConvGRU(input_size=10, hidden_size=6, kernel_size=(1, 5), padding=(0, 2))
    hidden, context, news = torch.rand(2, 6, 5, 7), torch.rand(2, 4, 5, 7), torch.rand(2, 6, 5, 7)
    torch.testing.assert_close(unit.start(context)(hidden, news), unit(hidden, torch.cat([context, news], 1)))


def test_own_blocks_of_mvit() -> None:
    mvit = module("video.mvit")

    class Block(mvit.MultiscaleBlock):  # type: ignore[misc]
        def __init__(self, input_size: Any, cnf: Any, norm_layer: Any, dropout: float, **options: Any) -> None:
            super().__init__(input_size, cnf, dropout=dropout, norm_layer=norm_layer, **options)
            assert dropout == 0.25

        def forward(self, x: Tensor, thw: Any) -> Any:
            x, thw = super().forward(x, thw)
            seen.append(thw)
            return x, thw

    seen: list[Any] = []
    setting = [
        mvit.MSBlockConfig(1, 8, 8, [3, 3, 3], [3, 3, 3], [1, 1, 1], [1, 2, 2]),
        mvit.MSBlockConfig(2, 8, 16, [3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 1, 1]),
    ]
    model = mvit.MViT((32, 40), 4, setting, True, False, True, True, attention_dropout=0.25, block=Block, num_classes=3)
    assert model(torch.rand(1, 3, 4, 32, 40)).shape == (1, 3)
    assert seen == [(2, 8, 10), (2, 4, 5)]
    assert model.blocks[0].attn.rel_pos_h.shape == (19, 8)  # the size of the longer side
    assert [m.p for m in model.blocks.modules() if isinstance(m, nn.Dropout)] == [0.25] * 6
    x = torch.rand(2, 1 + 2 * 4 * 4, 6)
    for options in ((nn.LayerNorm(6),), (None, nn.ReLU()), (nn.BatchNorm3d(6), None, True)):
        pooled, size = mvit.Pool(nn.MaxPool3d((1, 2, 2), (1, 2, 2)), *options)(x, (2, 4, 4))
        assert (pooled.shape, size) == ((2, 9, 6), (2, 2, 2))


def test_blocks_of_maxvit() -> None:
    maxvit = module("maxvit")
    block = maxvit.MaxVitBlock(8, 16, 0.25, 4, nn.BatchNorm2d, nn.GELU, 4, 2, 0.0, 0.0, 4, (16, 16), 2, [0.0, 0.1])
    assert block(torch.rand(1, 8, 16, 16)).shape == (1, 16, 8, 8)
    assert block.grid_size == (8, 8)
    attention = maxvit.RelativePositionalMultiHeadAttention(feat_dim=8, head_dim=4, max_seq_len=16)
    assert attention.get_relative_positional_bias().shape == (1, 2, 16, 16)
    with pytest.raises(InvalidArgument, match="max_seq_len is 15"):
        maxvit.RelativePositionalMultiHeadAttention(8, 4, 15)
    with pytest.raises(InvalidArgument, match="p_stochastic has 1 rates; expected one for each of 2"):
        maxvit.MaxVitBlock(8, 16, 0.25, 4, nn.BatchNorm2d, nn.GELU, 4, 2, 0.0, 0.0, 4, (16, 16), 2, [0.0])


@pytest.mark.parametrize("name", ["swin_t", "swin_v2_t", "swin3d_t"])
def test_own_position_biases_of_swin(name: str) -> None:
    model = zoo.get_model(name, num_classes=3).eval()
    x = torch.rand(1, 3, 64, 64) if "3d" not in name else torch.rand(1, 3, 4, 64, 64)
    with torch.no_grad():
        before = model(x)
        for part in model.modules():
            if hasattr(part, "get_relative_position_bias"):
                own = part.get_relative_position_bias
                part.get_relative_position_bias = lambda *size, own=own: own(*size) * 50
        assert not torch.allclose(model(x), before)


NAMES = """
import zoo, zoo.io
import zoo.datasets
from zoo.datasets import ImageNet
assert zoo.datasets.ImageNet is ImageNet
for statement in ("import zoo.tv_tensors", "from zoo import tv_tensors", "from zoo.io import decode_heic",
                  "zoo.disable_beta_transforms_warning()", "zoo.set_image_backend('accimage')"):
    try:
        exec(statement)
    except ImportError as error:
        print(error)
try:
    import zoo.nothing
except ModuleNotFoundError as error:
    print(error)
"""


def test_names_at_the_top() -> None:
    done = subprocess.run([sys.executable, "-c", NAMES], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 6, done.stderr
    takes = "its models and operators take plain tensors, including those of torchvision.tv_tensors"
    assert lines[:2] == [f"zoo has no tv_tensors: {takes}."] * 2
    assert "pillow_heif.register_heif_opener()" in lines[2]
    assert all("remove the call" in line for line in lines[3:5])
    assert lines[5] == "No module named 'zoo.nothing'"
    for path, name in (("io.image", "decode_heic"), ("io.video", "read_video_timestamps"), ("io.video", "write_video")):
        with pytest.raises(MissingPlugin, match=rf"zoo\.io has no {name}; "):
            getattr(importlib.import_module(f"zoo.{path}"), name)
    with pytest.raises(AttributeError, match=r"module 'zoo\.io\.video' has no attribute 'nothing'"):
        importlib.import_module("zoo.io.video").nothing  # noqa: B018
    with pytest.raises(MissingPlugin, match=r"zoo\.io has no write_video; use zoo\.io\.save_video"):
        zoo.io.write_video  # noqa: B018
