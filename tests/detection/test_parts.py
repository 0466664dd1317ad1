"""The parts of detectors, each compared with a direct computation."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

import zoo
from zoo.errors import InvalidArgument
from zoo.ops import box_iou, sigmoid_focal_loss
from zoo_detection import (
    AnchorGenerator,
    BalancedPositiveNegativeSampler,
    BoxCoder,
    BoxLinearCoder,
    DefaultBoxGenerator,
    GeneralizedRCNNTransform,
    ImageList,
    Matcher,
    SSDMatcher,
    paste_masks,
)
from zoo_detection.dense import best_of_map, flatten_map
from zoo_detection.keypoints import keypoint_loss, keypoints_of
from zoo_detection.losses import sparse_focal_loss


def random_boxes(n: int, width: float = 100, height: float = 80, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    size = torch.tensor([width, height])
    corner = torch.rand(n, 2, generator=g) * size * 0.7
    return torch.cat([corner, corner + torch.rand(n, 2, generator=g) * size * 0.3 + 1], dim=1)


def image_list(height: int, width: int, n: int = 1) -> ImageList:
    return ImageList(torch.zeros(n, 3, height, width), [(height, width)] * n)


# ── anchors ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_anchors_lie_around_every_cell_row_by_row() -> None:
    generator = AnchorGenerator(((32, 64), (128,)), ((0.5, 1.0), (1.0,)))
    assert generator.num_anchors_per_location() == [4, 1]
    first, second = generator(image_list(64, 96, 2), [torch.zeros(2, 1, 4, 6), torch.zeros(2, 1, 2, 3)])
    assert torch.equal(first, second)
    assert len(first) == 4 * 6 * 4 + 2 * 3
    # 32 / sqrt(0.5) = 45.25 wide, 22.6 high: half of that, rounded
    assert first[:4].tolist() == [[-23, -11, 23, 11], [-45, -23, 45, 23], [-16, -16, 16, 16], [-32, -32, 32, 32]]
    assert first[4].tolist() == [-7, -11, 39, 11], "the next cell is 16 pixels to the right"
    assert first[6 * 4].tolist() == [-23, 5, 23, 27], "the next row 16 pixels below"
    assert first[-1].tolist() == [0, -32, 128, 96]


def test_anchors_for_other_numbers_of_maps_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="1 feature maps, but sizes and aspect_ratios for 2"):
        AnchorGenerator(((32,), (64,)))(image_list(64, 64), [torch.zeros(1, 1, 4, 4)])
    with pytest.raises(InvalidArgument, match="for 2 feature maps and aspect_ratios for 3"):
        AnchorGenerator(((32,), (64,)), ((1.0,),) * 3)
    with pytest.raises(InvalidArgument, match="expected 3 scales and 2 steps, not 2 and 0"):
        DefaultBoxGenerator([[2], [2]], scales=[0.1, 0.2])


def test_default_boxes_are_fractions_of_the_image() -> None:
    generator = DefaultBoxGenerator([[2], [3]], scales=[0.25, 0.5, 1.0], steps=[20, 100])
    (boxes,) = generator(image_list(100, 100), [torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 1, 1)])
    assert len(boxes) == 5 * 5 * 4 + 4
    sizes = boxes[:, 2:] - boxes[:, :2]
    between, wide = math.sqrt(0.25 * 0.5) * 100, 25 * math.sqrt(2)
    expected = [[25, 25], [between, between], [wide, wide / 2], [wide / 2, wide]]
    torch.testing.assert_close(sizes[:4], torch.tensor(expected))
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2
    torch.testing.assert_close(centres[0], torch.tensor([10.0, 10]))
    torch.testing.assert_close(centres[4], torch.tensor([30.0, 10]))
    assert DefaultBoxGenerator([[2]] * 4, min_ratio=0.2, max_ratio=0.8).scales == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])


# ── coding, matching, sampling ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("coder", [BoxCoder((10.0, 10.0, 5.0, 5.0)), BoxLinearCoder(True), BoxLinearCoder(False)])
def test_decoding_undoes_encoding(coder: BoxCoder | BoxLinearCoder) -> None:
    boxes, anchors = random_boxes(50), random_boxes(50, seed=1)
    torch.testing.assert_close(coder.decode(coder.encode(boxes, anchors), anchors), boxes, atol=1e-3, rtol=1e-4)


def test_codes_are_offsets_and_logarithms_and_none_grows_beyond_all_bounds() -> None:
    coder = BoxCoder((1.0, 1.0, 2.0, 2.0))
    codes = coder.encode(torch.tensor([[5.0, 5, 25, 15]]), torch.tensor([[0.0, 0, 10, 10]]))
    torch.testing.assert_close(codes, torch.tensor([[1.0, 0.5, 2 * math.log(2), 0]]))
    (huge,) = coder.decode(torch.tensor([[0.0, 0, 1e9, 0]]), torch.tensor([[0.0, 0, 16, 10]]))
    assert huge[2] - huge[0] == pytest.approx(1000)


def test_matcher_sorts_by_thresholds() -> None:
    iou = torch.tensor([[0.9, 0.1, 0.45, 0.0], [0.3, 0.2, 0.5, 0.0]])
    assert Matcher(0.5, 0.4)(iou).tolist() == [0, -1, 1, -1]
    assert Matcher(0.6, 0.4)(iou).tolist() == [0, -1, -2, -1]
    # the third anchor overlaps the second object most, although only slightly
    assert Matcher(0.6, 0.4, allow_low_quality_matches=True)(iou).tolist() == [0, -1, 1, -1]
    assert Matcher(0.5, 0.4, True)(torch.zeros(1, 3)).tolist() == [-1, -1, -1], "an object that overlaps no anchor"
    assert Matcher(0.5, 0.4)(torch.zeros(0, 3)).tolist() == [-1, -1, -1]
    with pytest.raises(InvalidArgument, match="expected low_threshold ≤ high_threshold"):
        Matcher(0.3, 0.5)


def test_ssd_matcher_gives_every_object_its_best_box() -> None:
    iou = torch.tensor([[0.9, 0.6, 0.0], [0.2, 0.4, 0.1]])
    assert SSDMatcher(0.5)(iou).tolist() == [0, 1, -1]
    assert SSDMatcher(0.5)(torch.zeros(0, 2)).tolist() == [-1, -1]


def test_sampler_draws_without_repetition_up_to_its_limits() -> None:
    labels = torch.tensor([3] * 40 + [-1] * 20 + [0] * 40)
    (chosen,), (rest,) = BalancedPositiveNegativeSampler(20, 0.25)([labels])
    assert chosen.dtype == rest.dtype == torch.bool
    assert (int(chosen.sum()), int(rest.sum())) == (5, 15)
    assert chosen.nonzero().max() < 40
    assert rest.nonzero().min() >= 60
    (chosen,), (rest,) = BalancedPositiveNegativeSampler(1000, 0.25)([labels])
    assert (int(chosen.sum()), int(rest.sum())) == (40, 40)
    chosen, rest = BalancedPositiveNegativeSampler(20, 0.5)([labels, labels.clamp(max=0)])
    assert [int(mask.sum()) for mask in (*chosen, *rest)] == [10, 0, 10, 20]
    torch.manual_seed(0)
    BalancedPositiveNegativeSampler(1000, 0.25)([labels])
    after = torch.rand(1)
    torch.manual_seed(0)
    torch.randperm(40), torch.randperm(40)
    assert torch.equal(after, torch.rand(1)), "random numbers are drawn even if all are sampled"


def test_a_sampler_of_ones_own_is_called_as_torchvisions_is() -> None:
    """Samples the first of each kind, like hard or fixed samplers in research code."""
    model = zoo.get_model("fasterrcnn_mobilenet_v3_large_320_fpn", weights_backbone=None, num_classes=2, min_size=64)
    given: list[list[Tensor]] = []

    def first(labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        given.append(labels)
        masks = [[(of == k) & ((of == k).cumsum(0) <= 2) for of in labels] for k in (1, 0)]
        return masks[0], masks[1]

    model.rpn.fg_bg_sampler = model.roi_heads.fg_bg_sampler = first
    target = {"boxes": torch.tensor([[4.0, 4, 40, 50]]), "labels": torch.tensor([1])}
    losses = model([torch.rand(3, 64, 64)] * 2, [target, {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long()}])
    assert [len(labels) for labels in given] == [2, 2]
    assert all(set(of.unique().tolist()) <= {-1, 0, 1} for labels in given for of in labels)
    assert all(loss.isfinite() for loss in losses.values())


# ── scores ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("quality", [False, True])
def test_best_of_map_is_what_sorting_everything_gives(quality: bool, memory_format: torch.memory_format) -> None:
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3 * 5, 4, 6, generator=g).to(memory_format=memory_format)
    weight = torch.randn(2, 3, 4, 6, generator=g) if quality else None
    scores = flatten_map(logits, 5).sigmoid()
    if weight is not None:
        scores = (scores * flatten_map(weight, 1).sigmoid()).sqrt()
    want, order = scores.flatten(1).sort(descending=True)
    for topk in (7, 72, 1000):
        level = flatten_map(logits, 5), topk, None if weight is None else flatten_map(weight, 1)
        got, anchors, labels = best_of_map(*level)
        k = min(topk, min(topk, 72) * 5)
        torch.testing.assert_close(got, want[:, :k])
        assert torch.equal(anchors, order[:, :k] // 5)
        assert torch.equal(labels, order[:, :k] % 5)


def test_flatten_map_counts_rows_then_cells_then_anchors() -> None:
    values = torch.arange(2 * 3 * 2 * 2).view(1, 6, 2, 2)  # 2 anchors with 3 numbers each, in 2 × 2 cells
    assert flatten_map(values, 3)[0].tolist()[:3] == [[0, 4, 8], [12, 16, 20], [1, 5, 9]]


@pytest.mark.parametrize("gamma", [2.0, 1.5])
def test_sparse_focal_loss_is_the_focal_loss(gamma: float) -> None:
    g = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(40, 6, generator=g)).requires_grad_()
    rows, labels = torch.tensor([3, 17, 30]), torch.tensor([0, 5, 2])
    counted = torch.rand(40, generator=g) > 0.3
    counted[rows] = True
    wanted = torch.zeros(40, 6)
    wanted[rows, labels] = 1
    plain = sigmoid_focal_loss(logits[counted], wanted[counted], gamma=gamma, reduction="sum")
    sparse = sparse_focal_loss(logits, rows, labels, counted, gamma=gamma)
    torch.testing.assert_close(sparse, plain)
    torch.testing.assert_close(torch.autograd.grad(sparse, logits), torch.autograd.grad(plain, logits))


# ── masks and keypoints ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("chunk", [1, 10**4, 10**9])
def test_masks_are_enlarged_to_their_boxes(chunk: int) -> None:
    """Compared with one box at a time: a border of zeros, bilinear to integer pixels, clipped to the image."""
    masks = torch.rand(12, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    boxes = random_boxes(12)
    boxes[0] = torch.tensor([-5.5, -7.2, 120.0, 90.0])
    boxes[1] = torch.tensor([40.0, 40.0, 40.2, 40.3])
    pasted = paste_masks(masks, boxes, (80, 100), chunk)
    assert pasted.shape == (12, 1, 80, 100)
    for mask, box, got in zip(masks, boxes, pasted, strict=True):
        centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * 30 / 28
        x1, y1 = (centre - half).int().tolist()
        x2, y2 = (centre + half).int().tolist()
        size = (max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1))
        large = F.interpolate(F.pad(mask, (1, 1, 1, 1))[None], size, mode="bilinear", align_corners=False)[0, 0]
        want = torch.zeros(80, 100)
        top, left, bottom, right = max(y1, 0), max(x1, 0), min(y1 + size[0], 80), min(x1 + size[1], 100)
        want[top:bottom, left:right] = large[top - y1 : bottom - y1, left - x1 : right - x1]
        torch.testing.assert_close(got[0], want, atol=1e-4, rtol=0)


def test_no_masks_give_none() -> None:
    assert paste_masks(torch.zeros(0, 1, 28, 28), torch.zeros(0, 4), (30, 40)).shape == (0, 1, 30, 40)


def test_keypoints_are_the_peaks_of_the_enlarged_maps() -> None:
    """Against one box at a time, bicubic."""
    maps = torch.randn(9, 3, 14, 14, generator=torch.Generator().manual_seed(0))
    boxes = random_boxes(9)
    boxes[4] = torch.tensor([3.0, 4.0, 3.2, 50.0])
    found, scores = keypoints_of(maps, boxes)
    assert (found[..., 2] == 1).all()
    for i, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        width, height = max(x2 - x1, 1), max(y2 - y1, 1)
        size = (math.ceil(height), math.ceil(width))
        large = F.interpolate(maps[i][None], size, mode="bicubic", align_corners=False)[0]
        peak, position = large.flatten(1).max(1)
        torch.testing.assert_close(scores[i], peak, atol=1e-4, rtol=0)
        x = (position % size[1] + 0.5) * width / size[1] + x1
        y = (position // size[1] + 0.5) * height / size[0] + y1
        torch.testing.assert_close(found[i, :, :2], torch.stack([x, y], dim=1), atol=1e-3, rtol=0)


def test_keypoint_loss_counts_those_seen_in_their_box() -> None:
    logits = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[10.0, 10, 26, 42]])
    # in the box; on its bottom right corner; not labelled; outside
    keypoints = torch.tensor([[[13.0, 30, 2], [26, 42, 1], [13, 30, 0], [5, 30, 2]]])
    loss = keypoint_loss(logits, keypoints, boxes)
    log = logits[0].flatten(1).log_softmax(1)
    want = -(log[0, 5 * 8 + 1] + log[1, 63]) / 2  # (30 - 10) * 8 / 32 = row 5, (13 - 10) * 8 / 16 = column 1
    torch.testing.assert_close(loss, want)
    assert keypoint_loss(logits, keypoints * torch.tensor([1.0, 1, 0]), boxes) == 0


# ── transform ────────────────────────────────────────────────────────────────────────────────────────────────────


def transform(**kwargs: object) -> GeneralizedRCNNTransform:
    return GeneralizedRCNNTransform(60, 90, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), **kwargs).eval()


def test_images_are_resized_by_the_shorter_side_unless_the_longer_gets_too_long() -> None:
    images = [torch.rand(3, 30, 40), torch.rand(3, 100, 30)]
    batch, _ = transform()(images)
    assert batch.image_sizes == [(60, 80), (90, 27)]
    assert batch.tensors.shape == (2, 3, 96, 96)
    assert transform(size_divisible=1)(images)[0].tensors.shape == (2, 3, 90, 80)
    assert transform(fixed_size=(50, 70))(images)[0].image_sizes == [(70, 50)] * 2
    torch.testing.assert_close(transform()([images[0] * 0 + 0.75])[0].tensors[0, :, :60, :80], torch.ones(3, 60, 80))


class Largest(TorchDispatchMode):
    """Records the largest tensor that any operator makes."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.numel = max(self.numel, result.numel())
        return result


@pytest.mark.parametrize("channels_last", [False, True])
def test_images_that_shrink_are_combined_after_resizing_with_the_same_numbers(channels_last: bool) -> None:
    images = list(torch.rand(4, 3, 240, 320))
    if channels_last:
        images = [image.permute(1, 2, 0).contiguous().permute(2, 0, 1) for image in images]
    before = [image.clone() for image in images]
    with Largest() as largest:
        batch = transform()(images)[0]
    together = transform()(torch.stack(images))[0]  # a tensor is normalised and resized as a whole
    assert batch.image_sizes == together.image_sizes == [(60, 80)] * 4
    assert_close(batch.tensors, together.tensors, rtol=0, atol=1e-6)
    assert largest.numel == images[0].numel(), "no copy of all the images"
    assert all(map(torch.equal, images, before)), "the given images are not changed"


def test_several_sizes_are_drawn_in_training_alone() -> None:
    several = GeneralizedRCNNTransform((20, 40, 60), 200, (0, 0, 0), (1, 1, 1))
    image = torch.rand(3, 30, 30)
    assert {several([image])[0].image_sizes[0] for _ in range(40)} == {(20, 20), (40, 40), (60, 60)}
    assert {several.eval()([image])[0].image_sizes[0] for _ in range(5)} == {(60, 60)}


def test_targets_and_detections_are_scaled_with_the_images() -> None:
    target = {
        "boxes": torch.tensor([[4.0, 3, 20, 15]]),
        "labels": torch.tensor([1]),
        "masks": torch.zeros(1, 30, 40, dtype=torch.bool),
        "keypoints": torch.tensor([[[10.0, 5, 2]]]),
    }
    target["masks"][:, 3:15, 4:20] = True
    batch, (resized,) = transform()([torch.rand(3, 30, 40)], [target])
    assert resized["boxes"].tolist() == [[8, 6, 40, 30]]
    assert resized["keypoints"].tolist() == [[[20, 10, 2]]]
    assert resized["masks"].shape == (1, 60, 80)
    assert resized["masks"].sum() == 4 * 12 * 16
    assert target["boxes"].tolist() == [[4, 3, 20, 15]], "the caller's target is not modified"

    found = {"boxes": resized["boxes"], "labels": target["labels"], "keypoints": resized["keypoints"]}
    (back,) = transform().postprocess([found], batch.image_sizes, [(30, 40)])
    torch.testing.assert_close(back["boxes"], target["boxes"])
    torch.testing.assert_close(back["keypoints"], target["keypoints"])


def test_anchors_overlap_what_they_should() -> None:
    """All parts together: an object with an anchor's size and position is matched to it, and decodes to itself."""
    anchors = AnchorGenerator(((32,),), ((1.0,),))(image_list(128, 128), [torch.zeros(1, 1, 16, 16)])[0]
    box = torch.tensor([[24.0, 40, 56, 72]])
    matches = Matcher(0.7, 0.3, True)(box_iou(box, anchors))
    best = (matches == 0).nonzero().squeeze(1)
    assert anchors[best].tolist() == box.tolist()
    assert BoxCoder((1.0,) * 4).encode(box, anchors[best]).tolist() == [[0, 0, 0, 0]]
