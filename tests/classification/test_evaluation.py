"""Accuracy from folders of pictures; the names that folders may have."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import zoo
from zoo.errors import InvalidArgument
from zoo_classification.evaluation import ClassFolders
from zoo_classification.task import Classification

SUFFIXES = (".png",)
ANIMALS = ("cat", "great dane", "crane", "eel", "cow", "crane", "hen")


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / "1.png").touch()
    return root


def of(categories: tuple[str, ...] | None) -> zoo.Weights:
    return zoo.Weights(url="file:///nowhere.pth", categories=categories)


def labels(images: Path, categories: tuple[str, ...] | None = ANIMALS) -> dict[str, int]:
    """Folder → label."""
    evaluator = ClassFolders(images, None, of(categories), suffixes=SUFFIXES)
    probabilities = torch.ones(7) / 7
    result = Classification(probabilities, ANIMALS, Image.new("L", (1, 1)))
    return {name.split("/")[0]: evaluator.measure(name, result)["label"] for name in evaluator.sources}


def test_folders_named_by_category(tmp_path: Path) -> None:
    assert labels(folders(tmp_path, "Cat", "Great_Dane", "cow")) == {"Cat": 0, "Great_Dane": 1, "cow": 4}


def test_folders_named_by_label(tmp_path: Path) -> None:
    assert labels(folders(tmp_path / "a", "0", "5", "06")) == {"0": 0, "5": 5, "06": 6}
    assert labels(folders(tmp_path / "b", "0", "5"), None) == {"0": 0, "5": 5}


def test_categories_that_are_numbers_are_names(tmp_path: Path) -> None:
    assert labels(folders(tmp_path, "1", "2"), ("3", "2", "1")) == {"1": 2, "2": 1}


def test_as_many_folders_as_categories_are_taken_in_order(tmp_path: Path) -> None:
    """Such as ImageNet's folders, whose names are identifiers and not labels."""
    images = folders(tmp_path, *(f"n{i:03}" for i in (30, 10, 20)))
    assert labels(images, ("a", "b", "c")) == {"n010": 0, "n020": 1, "n030": 2}
    evaluator = ClassFolders(images, None, of(("a", "b", "c")), suffixes=SUFFIXES)
    assert evaluator.notes == ["The folders were taken for the categories in order: 'n010' for 'a', …, 'n030' for 'c'."]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (("cat", "cow", "doggy"), r"'doggy' is not one of the model's 3 categories. Did you mean 'dog'"),
        (
            ("cats", "cows", "dogs"),
            r"'cows' is not one .*Did you mean 'cow'.* Neither are 'cats', 'dogs'|'cats' is not",
        ),
        (("cat", "1", "2"), "'1' is not one of the model's 3 categories"),
        (("0", "1", "cow"), "'0' is not one of the model's 3 categories"),
    ],
)
def test_folders_are_not_taken_in_order_where_their_names_speak_against_it(
    tmp_path: Path, names: tuple[str, ...], complaint: str
) -> None:
    """As many folders as categories, one of them with a category's name or nearly so."""
    with pytest.raises(InvalidArgument, match=complaint):
        labels(folders(tmp_path, *names), ("cat", "dog", "cow"))


def test_names_that_are_nearly_those_in_their_places_agree_with_the_order(tmp_path: Path) -> None:
    assert labels(folders(tmp_path, "cats", "dogs", "mice"), ("cat", "dog", "mouse")) == {
        "cats": 0,
        "dogs": 1,
        "mice": 2,
    }


def test_accents_that_the_file_system_takes_apart(tmp_path: Path) -> None:
    assert labels(folders(tmp_path, "mo\u0308we"), ("cat", "M\u00f6we")) == {"mo\u0308we": 1}


@pytest.mark.parametrize(
    ("names", "categories", "complaint"),
    [
        (["cat", "cows"], ANIMALS, r"'cows' is not one of the model's 7 categories. Did you mean .*'cow'.*found 2"),
        (["0", "7"], ANIMALS, "'0' is not one of the model's 7 categories"),
        (["crane"], ANIMALS, "'crane' is the name of 2 categories, the labels 2, 5; name the folders by labels"),
        (["cat"], None, "do not name their categories, so folders must be named by labels; 'cat' is not a label"),
        ([], ANIMALS, "no folders of .png files; expected one folder per class"),
    ],
)
def test_other_folders(tmp_path: Path, names: list[str], categories: tuple[str, ...] | None, complaint: str) -> None:
    (tmp_path / "loose.png").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidArgument, match=complaint):
        labels(folders(tmp_path, *names), categories)


def test_annotations_are_not_expected(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="Leave out the annotations"):
        ClassFolders(folders(tmp_path, "cat"), tmp_path, of(ANIMALS), suffixes=SUFFIXES)


def test_accuracy_of_the_first_and_of_five_guesses(tmp_path: Path) -> None:
    evaluator = ClassFolders(folders(tmp_path, "0"), None, of(ANIMALS), suffixes=SUFFIXES)
    image = Image.new("L", (1, 1))
    ranked = [torch.tensor(p) for p in ([7.0, 1, 2, 3, 4, 5, 6], [5.0, 1, 2, 3, 4, 7, 6], [0.0, 1, 2, 3, 4, 5, 6])]
    records = [evaluator.measure("0/1.png", Classification(p / 28, ANIMALS, image)) for p in ranked]
    assert evaluator.summarize(records) == {"acc@1": pytest.approx(100 / 3), "acc@5": pytest.approx(200 / 3)}
    few = evaluator.measure("0/1.png", Classification(torch.tensor([0.8, 0.1, 0.1]), ANIMALS, image))
    assert evaluator.summarize([few]) == {"acc@1": 100}
    labelled_6 = ClassFolders(folders(tmp_path, "0", "6"), None, of(None), suffixes=SUFFIXES)
    with pytest.raises(InvalidArgument, match="has class 6 by its folder; the model has 3 classes"):
        labelled_6.measure("6/1.png", Classification(torch.ones(3) / 3, ANIMALS, image))


def test_the_published_accuracy_is_measured_again(tmp_path: Path) -> None:
    """All 450 held-out scans, as files in folders, against the number in the table."""
    data = load_digits()
    for i, (scan, digit) in enumerate(zip(data.images[-450:], data.target[-450:], strict=True)):
        (tmp_path / str(digit)).mkdir(exist_ok=True)
        grey = (torch.from_numpy(scan) * 255 / 16).round().byte().numpy()
        Image.fromarray(grey).convert("RGB").save(tmp_path / str(digit) / f"{i}.png")
    result = zoo.evaluate("squeezenet1_1", tmp_path, weights="DIGITS_V1", device="cpu", batch_size=90, optimize=False)
    assert result.measured == 450
    assert result.metrics["acc@1"] == pytest.approx(result.published["Digits"]["acc@1"], abs=0.3)
    assert result.metrics["acc@5"] > 99
    shutil.rmtree(tmp_path / "0")
    assert (
        zoo.evaluate("squeezenet1_1", tmp_path, weights="DIGITS_V1", device="cpu", limit=9, optimize=False).measured
        == 9
    )
