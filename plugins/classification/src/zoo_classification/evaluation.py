"""Accuracy for ``zoo evaluate``: a folder of pictures for each class. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import Weights
from zoo.errors import InvalidArgument, suggest
from zoo_classification.plugin import CLASSIFICATION

if TYPE_CHECKING:
    from zoo_classification.task import Classification

TOP = (1, 5)  # how many guesses there are


class ClassFolders:
    """Top-1 and top-5 accuracy, in percent, over folders of pictures: ``images/CLASS/….jpg``, at any depth below.

    CLASS is the name of a category (of any case; ``_`` stands for a space) or its label, a number, for all folders
    alike. Where the folders are called otherwise but are as many as the categories, as ImageNet's ``n01440764``, they
    are the categories in sorted order, and a note says so. With no more than five categories there is no ``acc@5``.

    Args:
        images: the folder of the classes' folders.
        annotations: None.
        weights: its categories are those that the folders are matched with.
        suffixes: endings of the files to take.

    Raises:
        InvalidArgument: other folders, or nothing in them.
    """

    def __init__(self, images: Path, annotations: Path | None, weights: Weights, *, suffixes: Sequence[str]) -> None:
        if annotations is not None:
            raise InvalidArgument("Leave out the annotations: the class of an input is its folder's name.")
        folders = sorted(path for path in images.iterdir() if path.is_dir()) if images.is_dir() else []
        files = {d: sorted(p for p in d.rglob("*") if p.suffix.lower() in suffixes) for d in folders}
        classes = [folder for folder in folders if files[folder]]
        if not classes:
            raise InvalidArgument(
                f"{str(images)!r} has no folders of {', '.join(suffixes)} files; expected one for each class, named by "
                "its category or label."
            )
        self.notes: list[str] = []
        labels = self._labels([folder.name for folder in classes], weights.read_categories())
        self.sources = {p.relative_to(images).as_posix(): p for folder in classes for p in files[folder]}
        self._label = dict(zip((folder.name for folder in classes), labels, strict=True))

    def _labels(self, folders: Sequence[str], categories: Sequence[str]) -> list[int]:
        """The label that each folder stands for."""
        known: dict[str, list[int]] = {}
        for label, category in enumerate(categories):
            known.setdefault(_normalised(category), []).append(label)
        unknown = [name for name in folders if _normalised(name) not in known]
        if not unknown:
            for name in folders:
                if len(same := known[_normalised(name)]) > 1:
                    raise InvalidArgument(
                        f"{name!r} is the name of {len(same)} categories, the labels {', '.join(map(str, same))}; name "
                        "the folders by labels."
                    )
            return [known[_normalised(name)][0] for name in folders]
        most = len(categories) - 1 if categories else None
        if all(name.isdecimal() and (most is None or int(name) <= most) for name in folders):
            return [int(name) for name in folders]
        if len(folders) == len(categories):
            self.notes.append(
                f"The folders were taken for the categories in order: {folders[0]!r} for {categories[0]!r}, …, "
                f"{folders[-1]!r} for {categories[-1]!r}."
            )
            return list(range(len(folders)))
        if not categories:
            raise InvalidArgument(
                f"The weights do not name their categories, so folders are named by labels; {unknown[0]!r} is none."
            )
        raise InvalidArgument(
            f"{unknown[0]!r} is none of the model's {len(categories)} categories.{suggest(unknown[0], categories)} "
            f"Expected folders that are named by category, or by label, or as many as there are categories; there are "
            f"{len(folders)}."
        )

    def measure(self, name: str, result: Classification) -> dict[str, Any]:
        """The true label, and the most probable ones, best first."""
        label, classes = self._label[name.partition("/")[0]], len(result.probabilities)
        if label >= classes:
            raise InvalidArgument(f"{name!r} is of class {label} by its folder; the model has {classes} classes.")
        best = result.probabilities.topk(min(max(TOP), classes)).indices.tolist()
        return {"label": label, "top": best, "classes": classes}

    def summarize(self, records: Sequence[dict[str, Any]]) -> dict[str, float]:
        counted = [k for k in TOP if k < records[0]["classes"]]
        return {f"acc@{k}": 100 * sum(r["label"] in r["top"][:k] for r in records) / len(records) for k in counted}


def _normalised(name: str) -> str:
    return name.strip().replace("_", " ").casefold()


def evaluate(images: Path, annotations: Path | None, weights: Weights) -> ClassFolders:
    """The evaluator of the task: :class:`ClassFolders` of pictures."""
    return ClassFolders(images, annotations, weights, suffixes=CLASSIFICATION.suffixes)
