"""Augmentations transform pictures and targets consistently, and are determined by the generator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.errors import InvalidArgument
from zoo_training.augmentation import (
    FILL,
    OPERATIONS,
    ColorJitter,
    CutMix,
    Erase,
    Flip,
    FromAlbumentations,
    FromTorchvision,
    MixUp,
    ObjectCrop,
    RandomCrop,
    ResizedCrop,
    ResizeShorter,
    ScaleJitter,
    TrivialAugment,
    cropped,
    flipped,
    generator_of,
    operate,
    recipe,
    resized,
)

H, W = 60, 80


def scene(seed: int = 0) -> tuple[Tensor, dict[str, Any]]:
    """Bright squares on black, with the first corner and last pixel as keypoints."""
    chance = torch.Generator().manual_seed(seed)
    image, rows = torch.zeros(3, H, W, dtype=torch.uint8), []
    masks, points = [], []
    for i in range(3):
        w, h = torch.randint(10, 25, (2,), generator=chance).tolist()
        x, y = int(torch.randint(0, W - w, (), generator=chance)), int(torch.randint(0, H - h, (), generator=chance))
        mask = torch.zeros(H, W, dtype=torch.uint8)
        mask[y : y + h, x : x + w] = 1
        image[i, y : y + h, x : x + w] = 200
        masks.append(mask)
        rows.append([x, y, x + w, y + h])
        points.append([[x + 0.5, y + 0.5, 2], [x + w - 0.5, y + h - 0.5, 2]])
    boxes = torch.tensor(rows, dtype=torch.float32)
    target = {
        "boxes": boxes, "labels": torch.tensor([1, 2, 3]), "masks": torch.stack(masks), "image_id": seed,
        "keypoints": torch.tensor(points), "iscrowd": torch.zeros(3, dtype=torch.int64),
        "area": torch.stack(masks).flatten(1).sum(1).float(),
    }  # fmt: skip
    return image, target


def agree(image: Tensor, target: dict[str, Any], slack: float) -> None:
    """Boxes equal those of the masks, masks the bright pixels, keypoints the corners of the boxes."""
    for box, label, mask in zip(target["boxes"], target["labels"], target["masks"], strict=True):
        ys, xs = mask.nonzero().T
        around = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float()
        assert (around - box).abs().max() <= slack
        bright = (image[label - 1] > 100) & ~(image == FILL).all(0)
        assert (bright & mask.bool()).sum() / (bright | mask.bool()).sum() > 0.75
    assert target["masks"].shape[1:] == image.shape[1:]
    seen = target["keypoints"][..., 2] > 0
    near = (target["keypoints"][:, :1, :2] - target["boxes"][:, None, :2]).abs().amax(-1)
    assert (near[seen[:, :1]] <= 1.5 + slack).all() or seen.sum() == 0
    assert len({len(target[key]) for key in ("boxes", "labels", "masks", "keypoints", "area", "iscrowd")}) == 1
    assert torch.allclose(target["area"], target["masks"].flatten(1).sum(1).float(), rtol=0.2, atol=8)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return all(map(same, a, b)) if isinstance(a, tuple) else bool(a == b)


SPATIAL = [ResizeShorter([40, 90]), ScaleJitter(), ObjectCrop(p=1), RandomCrop(50, 90), ResizedCrop(48, 64, (0.4, 1))]


@pytest.mark.parametrize("transform", SPATIAL, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("seed", range(6))
def test_boxes_masks_keypoints_and_pixels_stay_together(transform: Any, seed: int) -> None:
    image, target = scene(seed)
    before = {key: value.clone() if isinstance(value, Tensor) else value for key, value in target.items()}
    moved = transform(image, target, generator_of(1, 2, seed))
    agree(*moved, slack=1.6)
    assert same(target, before)
    assert same(image, scene(seed)[0])
    assert same(moved, transform(image, target, generator_of(1, 2, seed)))


def test_flipped_twice_is_as_it_was_and_once_is_right() -> None:
    image, target = scene()
    once = flipped(image, target, [(0, 1)])
    assert same(flipped(*once, [(0, 1)]), (image, target))
    assert torch.equal(once[1]["keypoints"][:, 0, 0], W - target["keypoints"][:, 1, 0])  # left and right swapped
    assert torch.equal(once[1]["boxes"][:, 0], W - target["boxes"][:, 2])
    people = torch.rand(2, 17, 3) + 1
    turned = flipped(image, {"keypoints": people})[1]["keypoints"]
    assert torch.equal(turned[:, 1, 0], W - people[:, 2, 0])
    assert torch.equal(turned[:, 0, 1], people[:, 0, 1])
    assert same(Flip(0)(image, target, generator_of(0, 0, 0)), (image, target))


def test_keypoints_that_are_not_visible_stay_zero() -> None:
    image, target = scene()
    target["keypoints"][0, 0] = 0
    assert flipped(image, target)[1]["keypoints"][0, 0].tolist() == [0, 0, 0]
    assert cropped(image, target, -5, -5, H + 10, W + 10)[1]["keypoints"][0, 0].tolist() == [0, 0, 0]


def test_flow_is_turned_and_scaled_with_its_frames() -> None:
    """A frame moved by (3, -2) pixels: the flow still leads from the first to the second."""
    first = torch.randint(0, 256, (3, 40, 60), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    second = first.roll((-2, 3), (1, 2))
    flow = torch.tensor([3.0, -2.0]).view(2, 1, 1).expand(2, 40, 60)
    target = {"flow": flow, "valid": torch.ones(40, 60, dtype=torch.bool)}
    (a, b), turned = flipped((first, second), target)
    assert turned["flow"][:, 0, 0].tolist() == [-3, -2]
    assert torch.equal(a.roll((-2, -3), (1, 2)), b)
    assert resized((first, second), target, 80, 90)[1]["flow"][:, 9, 9].tolist() == pytest.approx([4.5, -4])
    target["valid"][:20] = False
    target["flow"] = flow.clone()
    target["flow"][:, :20] = 1e10
    _, half = resized((first, second), target, 20, 30)
    assert half["flow"][:, half["valid"]].abs().max() == 1.5  # unknown values are not interpolated
    _, beyond = cropped((first, second), target, 30, 50, 20, 20)
    assert beyond["valid"].sum() == 100


def test_class_maps_outside_the_picture_do_not_count() -> None:
    image, mask = torch.full((3, 4, 4), 9, dtype=torch.uint8), torch.ones(4, 4, dtype=torch.int64)
    moved, target = cropped(image, {"mask": mask}, -1, 2, 4, 4)
    assert target["mask"].tolist() == [[255] * 4, *[[1, 1, 255, 255]] * 3]
    assert ((moved[0] == 9) == (target["mask"] == 1)).all()


def test_a_crop_keeps_an_object_and_drops_what_is_hardly_left() -> None:
    for seed in range(30):
        image, target = scene(seed)
        assert len(ObjectCrop(p=1, least=0.1)(image, target, generator_of(0, 0, seed))[1]["boxes"]) >= 1
    image, target = scene()
    left = cropped(image, target, 0, int(target["boxes"][0, 2]) - 1, H, W, visible=0.3)[1]["labels"]
    assert 1 not in left.tolist()
    none = {**target, **{k: target[k][:0] for k in ("boxes", "labels", "masks", "keypoints", "area", "iscrowd")}}
    for transform in (*SPATIAL, Flip(1)):
        assert transform(image, none, generator_of(0, 0, 0))[1]["boxes"].shape == (0, 4)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("m", [-1.0, 0.4, 1.0])
def test_operations_give_pictures(name: str, m: float) -> None:
    image = torch.randint(0, 256, (3, 20, 30), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    out = operate(image, name, m)
    assert out.shape == image.shape
    assert out.dtype == torch.uint8
    assert torch.equal(out, image) == (name == "identity")
    flat = torch.full((3, 8, 8), 70, dtype=torch.uint8)
    if name in ("autocontrast", "equalize", "sharpness", "color"):
        assert torch.equal(operate(flat, name, m), flat)


def test_operations_known_by_value() -> None:
    image = torch.tensor([[0, 50], [100, 200]], dtype=torch.uint8).expand(3, 2, 2)
    assert operate(image, "autocontrast", 0)[0].tolist() == [[0, 64], [128, 255]]
    assert operate(image, "equalize", 0)[0].tolist() == [[0, 85], [170, 255]]
    assert operate(image, "brightness", -1)[0].tolist() == [[0, 0], [1, 2]]
    assert operate(image, "posterize", 1)[0].tolist() == [[0, 0], [64, 192]]
    assert operate(image, "solarize", 0.5)[0].tolist() == [[0, 50], [100, 55]]
    row = torch.zeros(3, 1, 224, dtype=torch.uint8)
    row[..., 100] = 255
    assert operate(row, "translate_x", 1)[0, 0, :192].argmax() == 68  # 32 of 224 pixels


def test_colours_are_changed_and_labels_are_not() -> None:
    image, target = scene()
    for transform in (ColorJitter(hue=0.2), Erase(1.0)):
        new, after = transform(image, target, generator_of(0, 0, 1))
        assert same(after, target)
        assert not torch.equal(new, image)
        assert new.dtype == torch.uint8
    grey = torch.full((3, 5, 5), 90, dtype=torch.uint8)
    turned, _ = ColorJitter(0, 0, 0, hue=0.5)(grey, {}, generator_of(0, 0, 0))
    assert torch.equal(turned, grey)
    with pytest.raises(InvalidArgument, match="does not transform targets"):
        TrivialAugment()(image, target, generator_of(0, 0, 0))


@pytest.mark.parametrize("mix", [MixUp(1.0), CutMix()])
def test_targets_of_mixed_batches_are_the_shares_of_their_pixels(mix: Any) -> None:
    labels = torch.arange(4)
    images = labels.float().view(4, 1, 1, 1).expand(4, 3, 32, 32)
    for seed in range(8):
        mixed, targets = mix(images, labels, 4, generator_of(0, 0, seed))
        assert targets.sum(1) == pytest.approx(torch.ones(4))
        expected = (targets * torch.arange(4.0)).sum(1)
        assert torch.allclose(mixed.mean((1, 2, 3)), expected, atol=1e-4)


def test_chance_is_of_seed_epoch_and_index() -> None:
    draws = {
        torch.rand((), generator=generator_of(*key)).item() for key in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    }
    assert len(draws) == 4
    torch.manual_seed(3)
    state = torch.get_rng_state()
    image, target = scene()
    one = recipe("detection", "object-detection", 64)(image, target, generator_of(5, 6, 7))
    assert torch.equal(torch.get_rng_state(), state)  # the global generator is not used
    assert same(one, recipe("detection", "object-detection", 64)(image, target, generator_of(5, 6, 7)))


@pytest.mark.parametrize("task", ["image-classification", "video-classification", "semantic-segmentation"])
def test_recipes_give_the_size_that_is_asked_for(task: str) -> None:
    video = task == "video-classification"
    image = torch.zeros(4, 3, H, W, dtype=torch.uint8) if video else scene()[0]
    target = {"mask": torch.zeros(H, W, dtype=torch.int64)} if "seg" in task else {"label": 1}
    for name in ("finetune", "imagenet") if task.startswith("image") else ("finetune",):
        new, after = recipe(name, task, (48, 32))(image, target, generator_of(0, 0, 0))
        assert new.shape[-2:] == (48, 32)
        assert after.keys() == target.keys()
    assert bool(recipe("imagenet", "image-classification", 32).mix)


def test_recipes_of_detectors_keep_boxes_and_masks_together() -> None:
    for name in ("finetune", "detection"):
        for seed in range(4):
            image, target = scene(seed)
            new, after = recipe(name, "keypoint-detection", 60)(image, target, generator_of(0, 0, seed))
            assert len(after["boxes"])
            assert after["masks"].shape[1:] == new.shape[1:]
            ys = after["masks"][0].nonzero()
            assert abs(ys[:, 1].min() - after["boxes"][0, 0]) < 1.6
    with pytest.raises(
        InvalidArgument, match="Unknown recipe 'imagenet' for 'object-detection'; available: detection, fin"
    ):
        recipe("imagenet", "object-detection", 60)


def test_transforms_of_torchvision() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    image, target = scene()
    del target["keypoints"]
    adapted = FromTorchvision(v2.RandomHorizontalFlip(1.0))
    new, after = adapted(image, target, generator_of(0, 0, 0))
    expected = flipped(image, target)
    assert torch.equal(new, expected[0])
    assert torch.equal(after["boxes"], expected[1]["boxes"])
    assert torch.equal(after["masks"], expected[1]["masks"])
    assert type(after["boxes"]) is Tensor
    jitter = FromTorchvision(v2.ColorJitter(0.5))
    assert same(jitter(image, target, generator_of(0, 0, 1)), jitter(image, target, generator_of(0, 0, 1)))


def test_transforms_of_albumentations() -> None:
    albumentations = pytest.importorskip("albumentations")
    image, target = scene()
    del target["keypoints"]
    params = albumentations.BboxParams("pascal_voc", label_fields=["indices"])
    adapted = FromAlbumentations(albumentations.Compose([albumentations.HorizontalFlip(p=1.0)], bbox_params=params))
    new, after = adapted(image, target, generator_of(0, 0, 0))
    expected = flipped(image, target)
    assert torch.equal(new, expected[0])
    assert torch.allclose(after["boxes"], expected[1]["boxes"])
    assert torch.equal(after["masks"], expected[1]["masks"])


def test_boxes_and_masks_stay_together_in_albumentations() -> None:
    albumentations = pytest.importorskip("albumentations")
    image, target = scene()
    del target["keypoints"]
    params = albumentations.BboxParams("pascal_voc", label_fields=["indices"])
    crop = FromAlbumentations(albumentations.Compose([albumentations.RandomCrop(20, 20)], bbox_params=params))
    for i in range(20):
        new, after = crop(image, target, generator_of(0, 0, i))
        assert {len(after[key]) for key in ("boxes", "labels", "masks", "area")} == {len(after["boxes"])}
        assert after["masks"].shape[1:] == new.shape[1:] == (20, 20)
    none = {key: value[:0] if isinstance(value, Tensor) else value for key, value in target.items()}
    assert crop(image, none, generator_of(0, 0, 0))[1]["masks"].shape == (0, 20, 20)
    beyond = {**target, "boxes": target["boxes"] + torch.tensor([0.0, 0, 100, 0])}
    assert crop(image, beyond, generator_of(0, 0, 0))[1]["boxes"].max() <= 20
    for wrong in (
        albumentations.HorizontalFlip(p=1.0),
        albumentations.Compose([albumentations.HorizontalFlip(p=1.0)]),
        albumentations.Compose(
            [albumentations.HorizontalFlip(p=1.0)],
            bbox_params=albumentations.BboxParams("coco", label_fields=["indices"]),
        ),
    ):
        with pytest.raises(InvalidArgument, match="does not support boxes in pixels"):
            FromAlbumentations(wrong)(image, target, generator_of(0, 0, 0))


def test_keypoints_are_refused_by_other_libraries_transforms() -> None:
    image, target = scene()
    with pytest.raises(InvalidArgument, match="do not support keypoints"):
        FromAlbumentations(None)(image, target, generator_of(0, 0, 0))
