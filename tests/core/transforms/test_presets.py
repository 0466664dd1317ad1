"""Presets give the numbers that the published weights were evaluated with, whatever kind of picture they are handed."""

from __future__ import annotations

import ast
import copy
import gzip
import json
import pickle
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo import transforms as T
from zoo.errors import InvalidArgument
from zoo.transforms.functional import to_pil_image

REFERENCE = Path(__file__).parents[2] / "reference"
PRESETS: dict[str, Any] = json.loads(gzip.decompress((REFERENCE / "presets.json.gz").read_bytes()))
images = runpy.run_path(str(REFERENCE / "fill.py"))["images"]


def photo(*shape: int, seed: int = 0) -> torch.Tensor:
    pixels: torch.Tensor = (images(shape, seed) * 255).round().to(torch.uint8)
    return pixels


@pytest.mark.parametrize("weights", PRESETS)
def test_outputs_are_those_of_the_reference(weights: str) -> None:
    entry = PRESETS[weights]
    preprocess = zoo.Preset(f"zoo.transforms:{entry['preset']}", entry["arguments"])()
    for case, expected in entry["cases"].items():
        shape = ast.literal_eval(case[case.index("[") : case.index("]") + 1])
        if entry["preset"] == "OpticalFlow":
            outputs = preprocess(photo(*shape, seed=0), photo(*shape, seed=1))
        else:
            pixels = photo(*shape)
            outputs = [preprocess(to_pil_image(pixels) if case.startswith("PIL") else pixels)]
        for output, want in zip(outputs, expected, strict=True):
            scale = want["std"]
            values = torch.tensor(want["values"])
            assert (output.dtype, list(output.shape)) == (torch.float32, want["shape"])
            torch.testing.assert_close(
                output.flatten()[:: want["step"]][: len(values)], values, rtol=0, atol=1e-6 * scale
            )
            assert output.double().mean().item() == pytest.approx(want["mean"], abs=1e-5 * scale)
            assert output.double().std().item() == pytest.approx(want["std"], rel=1e-5)


PREPROCESS = T.ImageClassification(crop_size=48, resize_size=56)


def test_a_batch_gives_what_its_pictures_give_alone() -> None:
    batch = photo(3, 3, 90, 70)
    assert torch.equal(PREPROCESS(batch), torch.stack([PREPROCESS(picture) for picture in batch]))
    assert PREPROCESS(batch[:0]).shape == (0, 3, 48, 48)


def test_pil_uint8_and_float_agree_within_a_grey_level() -> None:
    pixels = photo(3, 90, 70)
    level = 1.01 / 255 / min(PREPROCESS.std)
    reference = PREPROCESS(pixels)
    for same in (to_pil_image(pixels), pixels / 255, (pixels / 255).double(), pixels.to(torch.uint16) * 257):
        torch.testing.assert_close(PREPROCESS(same), reference, rtol=0, atol=level)


def test_what_the_crop_lacks_is_black() -> None:
    output = T.ImageClassification(crop_size=(8, 20), resize_size=10)(torch.full((3, 10, 10), 255, dtype=torch.uint8))
    stats = list(zip(PREPROCESS.mean, PREPROCESS.std, strict=True))
    black, white = (torch.tensor([(v - m) / s for m, s in stats]) for v in (0, 1))
    torch.testing.assert_close(output[:, 4, :5], black[:, None].expand(3, 5))
    torch.testing.assert_close(output[:, 4, 5:15], white[:, None].expand(3, 10))
    torch.testing.assert_close(output[:, 4, 15:], black[:, None].expand(3, 5))


def grey_in_every_mode() -> list[Image.Image]:
    grey = to_pil_image(photo(1, 60, 80))
    sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    others = [grey.convert(mode) for mode in ("P", "LA", "RGB", "RGBA", "PA")]
    return [grey, sixteen, Image.fromarray(np.asarray(sixteen).astype(np.int32)), *others]


def test_grey_pictures_of_every_mode_are_the_same_picture() -> None:
    for preset in (PREPROCESS, T.ObjectDetection()):
        expected = preset(grey_in_every_mode()[0].convert("RGB"))
        for picture in grey_in_every_mode():
            assert torch.equal(preset(picture), expected), picture.mode


def test_one_mean_makes_grey_of_any_picture() -> None:
    preprocess = T.ImageClassification(crop_size=48, resize_size=56, mean=[0.5], std=[0.5])
    colour = to_pil_image(photo(3, 60, 80))
    assert preprocess(colour).shape == (1, 48, 48)
    assert torch.equal(preprocess(colour), preprocess(colour.convert("L")))
    assert len({preprocess(picture).sum().item() for picture in grey_in_every_mode()}) == 1


def test_cmyk_and_transparency_show_what_a_person_sees() -> None:
    detect = T.ObjectDetection()
    red = torch.tensor([1.0, 0.0, 0.0])
    assert torch.equal(detect(Image.new("CMYK", (1, 1), (0, 255, 255, 0))).flatten(), red)
    assert torch.equal(detect(Image.new("RGBA", (1, 1), (255, 0, 0, 255))).flatten(), red)
    assert torch.equal(detect(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).flatten(), torch.ones(3))
    palette = Image.new("P", (1, 1), 7)
    palette.putpalette([255, 0, 0] * 256)
    assert torch.equal(detect(palette).flatten(), red)
    palette.info["transparency"] = 7
    assert torch.equal(detect(palette).flatten(), torch.ones(3))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(48, 48), "not an input; expected [C, H, W] or [N, C, H, W]"),
        (torch.zeros(1, 1, 3, 48, 48), "not an input"),
        (torch.zeros(1, 48, 48), "1 channel(s), but mean and std have 3"),
        (torch.zeros(48, 64, 3), "movedim(-1, -3)"),
        (torch.zeros(3, 48, 48, dtype=torch.int64), "int64 has no known range"),
        (torch.zeros(3, 48, 48, dtype=torch.bool), "bool has no known range"),
        (torch.zeros(3, 0, 48), "48 × 0 pixels"),
        (Image.new("RGB", (0, 7)), "0 × 7 pixels"),
        (Image.new("F", (9, 9)), "no fixed range"),
        (Image.fromarray(np.full((9, 9), -1, np.int32)), "expected values from 0 to 65535"),
        (Image.new("RGB", (9_000_000, 1)), "longer side of 504000000"),
        (np.zeros((48, 48, 3), np.uint8), "to_pil_image converts a uint8 array"),
        ("picture.png", "str is not a picture"),
    ],
)
def test_what_is_no_picture_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        PREPROCESS(given)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"crop_size": 0},
        {"crop_size": 224.0},
        {"crop_size": True},
        {"crop_size": "224"},
        {"crop_size": (1, 2, 3)},
        {"crop_size": 224, "resize_size": -1},
        {"crop_size": 224, "resize_size": None},
        {"crop_size": 224, "std": (0.2, 0.0, 0.2)},
        {"crop_size": 224, "std": (0.2, 0.2)},
        {"crop_size": 224, "mean": (float("nan"), 0, 0)},
        {"crop_size": 224, "mean": (), "std": ()},
        {"crop_size": 224, "mean": 0.5, "std": 0.5},
        {"crop_size": 224, "interpolation": "cubic"},
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        T.ImageClassification(**arguments)


@pytest.mark.parametrize("weights", PRESETS)
def test_presets_can_be_copied_pickled_and_read(weights: str) -> None:
    entry = PRESETS[weights]
    preset = getattr(T, entry["preset"])(**entry["arguments"])
    for twin in (copy.deepcopy(preset), pickle.loads(pickle.dumps(preset)), eval(repr(preset), vars(T))):
        assert repr(twin) == repr(preset)
    for side in preset.crop_size if hasattr(preset, "crop_size") else ():
        assert str(side) in preset.describe()


def test_describe_says_what_happens() -> None:
    assert T.ImageClassification(crop_size=224, interpolation="bicubic").describe() == (
        "resize the shorter side to 256 (bicubic); crop the central 224 × 224; scale to [0, 1]; "
        "normalise by mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225); antialias=True"
    )


def test_segmentation_may_keep_the_size() -> None:
    pixels = photo(3, 33, 47)
    output = T.SemanticSegmentation(resize_size=None)(pixels)
    assert torch.equal(output, T.Normalize(PREPROCESS.mean, PREPROCESS.std)(pixels / 255))


def test_clips_alone_and_in_a_batch_agree() -> None:
    preprocess = T.VideoClassification(crop_size=(20, 24), resize_size=(30,))
    clips = photo(2, 5, 3, 40, 50)
    batch = preprocess(clips)
    assert batch.shape == (2, 3, 5, 20, 24)
    assert torch.equal(batch, torch.stack([preprocess(clip) for clip in clips]))
    for wrong in (clips[0, 0], clips.movedim(2, -1), "clip.mp4"):
        with pytest.raises(InvalidArgument, match="T, C, H, W"):
            preprocess(wrong)


def test_flow_scales_both_pictures_and_wants_them_of_one_size() -> None:
    preprocess = T.OpticalFlow()
    first, second = preprocess(Image.new("RGB", (8, 8), "white"), torch.zeros(3, 8, 8))
    assert (first == 1).all()
    assert (second == -1).all()
    with pytest.raises(InvalidArgument, match="expected the same size"):
        preprocess(torch.zeros(3, 8, 8), torch.zeros(3, 8, 16))
