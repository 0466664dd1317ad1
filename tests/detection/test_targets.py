"""Every problem of a batch is reported: the image, the box, what is wrong, a likely cause."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.errors import InvalidArgument, ZooWarning
from zoo_detection import check_targets
from zoo_detection.targets import check_images, raise_for

IMAGES = [torch.rand(3, 60, 80), torch.rand(3, 40, 50)]


def target(**changes: Any) -> dict[str, Any]:
    good = {
        "boxes": torch.tensor([[10.0, 10, 30, 50], [40, 5, 80, 60]]),
        "labels": torch.tensor([1, 3]),
        "masks": torch.ones(2, 60, 80, dtype=torch.uint8),
        "keypoints": torch.tensor([[[12.0, 12, 2]], [[50, 20, 0]]]),
    }
    return {key: value for key, value in {**good, **changes}.items() if value is not None}


NOTHING = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
NEEDS = {"num_classes": 4, "masks": True, "num_keypoints": 1}


def boxes(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def test_boxes_within_the_first_pixel_are_doubted_and_taken() -> None:
    with pytest.warns(ZooWarning, match="no coordinate is above 1, in an image of 60×80; .* look like fractions"):
        assert check_targets(IMAGES[:1], [target(boxes=boxes([0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 1, 1]))], **NEEDS) == []


def test_good_targets_have_no_problems() -> None:
    empty = {**NOTHING, "masks": torch.zeros(0, 40, 50, dtype=torch.uint8), "keypoints": torch.zeros(0, 1, 3)}
    assert check_targets(IMAGES, [target(), empty], **NEEDS) == []
    assert check_targets(IMAGES, [target(area=None, masks=None), NOTHING]) == []
    assert check_targets(torch.stack(IMAGES[:1] * 2), [target(), target()], **NEEDS) == []
    assert check_targets(IMAGES, [target(labels=torch.tensor([0, 3])), NOTHING], background=False) == []


@pytest.mark.parametrize(
    ("changes", "box", "message"),
    [
        ({"boxes": None}, None, r"'boxes' missing among \['labels', 'masks', 'keypoints'\]; expected a tensor"),
        ({"labels": [1, 2]}, None, "'labels' is a list; expected a tensor"),
        ({"masks": None}, None, "'masks' missing"),
        ({"keypoints": None}, None, "'keypoints' missing"),
        ({"boxes": torch.zeros(0)}, None, r"shape \[0\]; expected \[N, 4\]. An image without .* torch.zeros\(0, 4\)"),
        ({"boxes": torch.ones(2, 5)}, None, r"shape \[2, 5\]; expected \[N, 4\]"),
        (
            {"boxes": torch.ones(2, 4).long()},
            None,
            r"torch.int64; expected floating point. Convert them with .float\(\)",
        ),
        ({"boxes": boxes([10, 10, 30, 50], [5, 5, 5, 20])}, 1, r"\[5, 5, 5, 20\] has no width or no height"),
        (
            {"boxes": boxes([30, 10, 10, 50], [1, 1, 70, 9])},
            0,
            "ends above or left of where it starts; expected x1 < x2",
        ),
        ({"boxes": boxes([50, 30, 20, 20], [1, 1, 70, 9])}, 0, "looks like xywh: zoo.ops.box_convert"),
        ({"boxes": boxes([1, 2, 3, 4], [1, float("nan"), 3, 4])}, 1, "nan, 3, 4] is not finite"),
        ({"boxes": boxes([1, 2, 3, 4], [1, 2, float("inf"), 4])}, 1, "is not finite"),
        ({"boxes": boxes([1, 2, 3, 4], [60, 20, 95, 40])}, 1, "outside the image, which is 80 pixels wide and 60 high"),
        ({"boxes": boxes([-9, 2, 3, 4], [60, 20, 75, 40])}, 0, "clip_boxes_to_image"),
        ({"boxes": boxes([0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 1, 0.5])}, None, "look like fractions of the image"),
        ({"labels": torch.tensor([1])}, None, r"labels of shape \[1\] for 2 boxes"),
        ({"labels": torch.tensor([1.0, 2.0])}, None, "labels are torch.float32 .* expected torch.int64"),
        ({"labels": torch.tensor([1, 4])}, 1, "label 4; expected 1 to 3"),
        ({"labels": torch.tensor([0, 2])}, 0, "Label 0 is background: the labels look 0-based, add 1"),
        ({"labels": torch.tensor([-1, 2])}, 0, "label -1; expected 1 to 3$"),
        ({"masks": torch.ones(2, 30, 80).byte()}, None, r"\[2, 30, 80\]; expected \[N, 60, 80\], the image's size"),
        ({"masks": torch.ones(1, 60, 80).byte()}, None, r"masks of shape \[1, 60, 80\] for 2 boxes"),
        ({"masks": torch.rand(2, 60, 80)}, None, "torch.float32; expected torch.uint8 or bool"),
        ({"masks": torch.full((2, 60, 80), 255).byte()}, None, "values up to 255; expected 0 and 1. Divide by 255"),
        ({"masks": torch.full((2, 60, 80), 7)}, None, "values up to 7.*mask == id"),
        ({"keypoints": torch.ones(2, 1, 2)}, None, "The visibility is missing"),
        ({"keypoints": torch.ones(2, 17, 3)}, None, r"\[2, 17, 3\]; expected \[N, 1, 3\]"),
        ({"keypoints": torch.ones(2, 1, 3).long()}, None, "torch.int64; expected floating point"),
        ({"keypoints": torch.tensor([[[torch.nan, 5, 1]], [[5, 5, 1]]])}, 0, "a keypoint is not finite"),
        ({"keypoints": torch.tensor([[[5.0, 5, 1]], [[5, 5, 50]]])}, 1, "visibility is 50"),
    ],
)
def test_fault_is_named(changes: dict[str, Any], box: int | None, message: str) -> None:
    problems = check_targets([IMAGES[1], IMAGES[0]], [empty_for(IMAGES[1]), target(**changes)], **NEEDS)
    assert [(p.image, p.box) for p in problems] == [(1, box)]
    with pytest.raises(InvalidArgument, match=message):
        raise_for(problems[:1])
    assert str(problems[0]).startswith("image 1, box " if box is not None else "image 1: ")


def empty_for(image: Tensor) -> dict[str, Tensor]:
    masks = torch.zeros(0, *image.shape[-2:], dtype=torch.uint8)
    return {**NOTHING, "masks": masks, "keypoints": torch.zeros(0, 1, 3)}


@pytest.mark.parametrize("targets", [None, [], [NOTHING], {"boxes": 1}])
def test_wrong_number_of_targets_is_one_problem(targets: Any) -> None:
    (problem,) = check_targets(IMAGES, targets)
    assert "for 2 images; expected a list with one dict per image" in problem.problem


def test_target_that_is_no_dict_is_named() -> None:
    (problem,) = check_targets(IMAGES, [NOTHING, None])
    assert (problem.image, problem.problem) == (1, "the target is None; expected a dict with boxes and labels")


def test_all_problems_of_a_batch_are_found_at_once_and_the_error_lists_them() -> None:
    bad = {"boxes": boxes(*[[5, 5, 4, 4]] * 30), "labels": torch.zeros(30, dtype=torch.int64)}
    problems = check_targets(IMAGES, [bad, bad])
    assert len(problems) == 120
    with pytest.raises(InvalidArgument) as e:
        raise_for(problems)
    assert str(e.value).startswith("120 problem(s) in the targets of this batch:\n  image 0, box 0: [5, 5, 4, 4] ends")
    assert "and 100 more; zoo_detection.check_targets(images, targets) lists all." in str(e.value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(3, 9, 9), r"shape \[3, 9, 9\]; expected \[N, 3, H, W\], .* For a single image pass \[image\]"),
        ("street.jpg", "the images are 'street.jpg'; expected a list"),
        ([], "the list of images is empty"),
        ([torch.rand(3, 9, 9), torch.rand(9, 9)], r"image 1: its shape is \[9, 9\]; expected \[3, H, W\]"),
        ([torch.rand(9, 9, 3)], r"image 0: it has 9 channels .* Channels come first: image.permute\(2, 0, 1\)"),
        ([torch.rand(3, 9, 9), None], "image 1: None; expected a tensor"),
        ([torch.ones(3, 9, 9).byte()], "image 0: it is torch.uint8; .* Convert bytes with image.float"),
        ([torch.rand(3, 0, 9)], "at least one pixel"),
        (
            [torch.rand(3, 9, 9), torch.full((3, 9, 9), 250.0)],
            "image 1: values up to 250; expected 0 to 1. Divide by 255",
        ),
        ([torch.full((3, 9, 9), torch.nan)], "image 0: values up to nan"),
    ],
)
def test_images_that_cannot_be_right_are_named(images: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        check_images(images, 3, scaled=True)
