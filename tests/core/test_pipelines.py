"""Files in, results out, with the weights that are in the wheel and real scans."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import zoo
from zoo.errors import InvalidArgument, UnknownTask, UnknownWeights, UnreadableFile
from zoo_classification import SqueezeNet1_1_Weights

DIGITS = Path(__file__).parents[2] / "examples/images/digits"


@pytest.fixture(scope="module")
def digits() -> zoo.Pipeline:
    return zoo.pipeline("squeezenet1_1", weights="DIGITS_V1", device="cpu")


def test_every_kind_of_input(digits):
    path = DIGITS / "digit_7.png"
    image = Image.open(path)
    tensor = zoo.io.read_image(path)
    for one in (path, str(path), image, tensor):
        assert digits(one).label == "7"
    several = [r.label for r in digits([path, image, tensor])]
    assert several == ["7", "7", "7"]
    assert [r.label for r in digits(torch.stack([tensor, tensor]))] == ["7", "7"]
    assert len(digits([path])) == 1
    assert len(digits(tensor[None])) == 1


def test_a_folder_is_searched_in_order(digits, tmp_path):
    shutil.copytree(DIGITS, tmp_path / "deep" / "er")
    (tmp_path / "notes.txt").write_text("not a picture")
    assert [r.label for r in digits(tmp_path, batch_size=3)] == list("0123456789")


def test_the_published_accuracy_is_measured_again(digits):
    """All 450 held-out scans, through the pipeline, against the number in the table."""
    data = load_digits()
    scans = torch.from_numpy(data.images * 255 / 16).round().to(torch.uint8)[-450:, None].expand(-1, 3, -1, -1)
    right = sum(r.label == str(t) for r, t in zip(digits(scans, batch_size=90), data.target[-450:], strict=True))
    assert 100 * right / 450 == pytest.approx(
        SqueezeNet1_1_Weights.DIGITS_V1.meta["_metrics"]["Digits"]["acc@1"], abs=0.3
    )


def test_results(digits):
    result = digits(DIGITS / "digit_3.png")
    (first, p), (second, q) = result.top(2)
    assert first == result.label == "3"
    assert 1 > p > q > 0
    assert second != "3"
    assert len(result.top(99)) == 10
    assert sum(p for _, p in result.top(10)) == pytest.approx(1)
    assert result.to_dict(1) == {"top": [{"label": "3", "probability": pytest.approx(p)}]}
    assert result.draw().width > 320
    with pytest.raises(InvalidArgument, match="k is 0"):
        result.top(0)


def test_an_unreadable_picture_does_not_stop_the_others(digits, tmp_path):
    for name in ("digit_1.png", "digit_2.png"):
        shutil.copy(DIGITS / name, tmp_path)
    (tmp_path / "digit_1b.png").write_bytes((DIGITS / "digit_1.png").read_bytes()[:40])
    with pytest.raises(UnreadableFile, match=r"digit_1b\.png"):
        digits(tmp_path)
    found = dict(digits.stream(digits.expand(tmp_path)))
    assert [found[tmp_path / name].label for name in ("digit_1.png", "digit_2.png")] == ["1", "2"]
    assert isinstance(found[tmp_path / "digit_1b.png"], UnreadableFile)


def test_batches_give_what_single_pictures_give(digits):
    alone = [digits(path).probabilities for path in sorted(DIGITS.glob("*.png"))]
    together = [r.probabilities for r in digits(DIGITS, batch_size=10)]
    torch.testing.assert_close(torch.stack(together), torch.stack(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("inputs", "options", "message"), [
    (DIGITS, {"batch_size": 0}, "batch_size is 0"),
    (DIGITS, {"batch_size": -3}, "batch_size is -3"),
    ([], {}, "list of inputs is empty"),
    (3, {}, "Cannot predict from int"),
    (torch.zeros(3, 3, dtype=torch.uint8), {}, "shape"),
])  # fmt: skip
def test_bad_input_says_what_was_expected(digits, inputs, options, message):
    with pytest.raises(InvalidArgument, match=message):
        digits(inputs, **options)


def test_an_empty_folder_is_named(digits, tmp_path):
    with pytest.raises(InvalidArgument, match=f"{tmp_path} has nothing to predict"):
        digits(tmp_path)


def test_what_a_pipeline_cannot_be_made_of():
    with pytest.raises(UnknownWeights, match="DIGITS_V2"):
        zoo.pipeline("squeezenet1_1", weights="DIGITS_V2")
    with pytest.raises(InvalidArgument, match="needs to know what its model was trained on"):
        zoo.pipeline("squeezenet1_1", weights=None)
    with pytest.raises(InvalidArgument, match="device='warp' cannot be used here"):
        zoo.pipeline("squeezenet1_1", weights="DIGITS_V1", device="warp")
    with pytest.raises(UnknownTask, match="Did you mean 'image-classification'"):
        zoo.pipeline("squeezenet1_1", weights="DIGITS_V1", task="image-clasification")


def test_a_model_that_was_built_before_and_ones_own_file(tmp_path):
    model = zoo.get_model("squeezenet1_1", weights="DIGITS_V1")
    with pytest.raises(InvalidArgument, match="which task"):
        zoo.pipeline(model)
    assert zoo.pipeline(model, task="image-classification")(DIGITS / "digit_5.png").label == "5"
    mine = tmp_path / "mine.pth"
    torch.save(model.state_dict(), mine)
    described = dataclasses.replace(SqueezeNet1_1_Weights.DIGITS_V1.value, url=mine.as_uri())
    assert zoo.pipeline("squeezenet1_1", weights=described)(DIGITS / "digit_5.png").label == "5"
    undescribed = zoo.pipeline("squeezenet1_1", weights=mine, num_classes=10)
    assert undescribed(DIGITS / "digit_5.png").label.startswith("class ")
