"""Accuracy for ``zoo evaluate``: one folder of pictures per class."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import Examples, Weights
from zoo.errors import InvalidArgument, suggest
from zoo_classification.data import Folders
from zoo_classification.plugin import CLASSIFICATION

if TYPE_CHECKING:
    from zoo_classification.task import Classification

TOP = (1, 5)  # the k of top-k accuracy


class ClassFolders:
    """Top-1 and top-5 accuracy, in percent, over folders of pictures: ``images/CLASS/….jpg``, at any depth below.

    CLASS is the name of a category (case is ignored, and ``_`` stands for a space) or its label, a number; all folders
    use the same form. If no folder has a category's name and there are as many folders as categories, such as
    ImageNet's ``n01440764``, the sorted folders are taken for the categories in order, and a note reports this. With
    five categories or fewer there is no ``acc@5``.

    Args:
        images: the folder of the classes' folders, or a reader of labelled pictures.
        annotations: None.
        weights: weights whose categories the folders are matched with.
        suffixes: suffixes of the files to use.

    Raises:
        InvalidArgument: the folders do not match the categories, or contain no files.
    """

    def __init__(
        self, images: Path | Examples, annotations: Path | None, weights: Weights, *, suffixes: Sequence[str]
    ) -> None:
        reader = images if isinstance(images, Examples) else Folders(images, annotations, suffixes=suffixes)
        self.notes: list[str] = list(getattr(reader, "notes", ()))
        self.sources = {name: reader.source(i) for i, name in enumerate(reader.names)}
        given = [reader.target(i)["label"] for i in range(len(reader))]
        used = sorted(set(given))
        meant = dict(
            zip(used, self._labels([reader.categories[i] for i in used], weights.read_categories()), strict=True)
        )
        self._label = {name: meant[label] for name, label in zip(reader.names, given, strict=True)}

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
        none = len(unknown) == len(folders)  # no folder has a category's name
        most = len(categories) - 1 if categories else None
        if none and all(_is_label(name) and (most is None or int(name) <= most) for name in folders):
            return [int(name) for name in folders]
        if not categories:
            raise InvalidArgument(
                f"The weights do not name their categories, so folders must be named by labels; {unknown[0]!r} is not "
                "a label."
            )
        lowered = [_normalised(category) for category in categories]
        best = {name: _closest(_normalised(name), lowered) for name in unknown}
        # A name close to a category at another position is evidence against the sorted order.
        in_order = none and len(folders) == len(categories)
        if in_order and all(best[name] in ([], [place]) for name, place in zip(folders, lowered, strict=True)):
            self.notes.append(
                f"The folders were taken for the categories in order: {folders[0]!r} for {categories[0]!r}, …, "
                f"{folders[-1]!r} for {categories[-1]!r}."
            )
            return list(range(len(folders)))
        near = next((name for name in unknown if best[name]), unknown[0])
        unknown.remove(near)
        others = f" Neither are {_some(unknown)}." if unknown else ""
        raise InvalidArgument(
            f"{near!r} is not one of the model's {len(categories)} categories.{suggest(near, categories)}{others} "
            "Expected folders that are all named by category, or all by label, or, if none has a category's name, as "
            f"many folders as categories; found {len(folders)}."
        )

    def measure(self, name: str, result: Classification) -> dict[str, Any]:
        """The true label and the most probable labels, best first."""
        label, classes = self._label[name], len(result.probabilities)
        if label >= classes:
            raise InvalidArgument(f"{name!r} has class {label} by its folder; the model has {classes} classes.")
        best = result.probabilities.topk(min(max(TOP), classes)).indices.tolist()
        return {"label": label, "top": best, "classes": classes}

    def summarize(self, records: Sequence[dict[str, Any]]) -> dict[str, float]:
        counted = [k for k in TOP if k < records[0]["classes"]]
        return {f"acc@{k}": 100 * sum(r["label"] in r["top"][:k] for r in records) / len(records) for k in counted}

    def confusion(self, records: Sequence[dict[str, Any]], num_classes: int) -> list[list[int]]:
        """Number of inputs by true class (rows) and predicted class (columns)."""
        matrix = [[0] * num_classes for _ in range(num_classes)]
        for record in records:
            matrix[record["label"]][record["top"][0]] += 1
        return matrix


def _normalised(name: str) -> str:
    """The name in one Unicode form: file systems may store letters and their accents separately."""
    return unicodedata.normalize("NFC", name).strip().replace("_", " ").casefold()


def _closest(name: str, categories: Sequence[str]) -> list[str]:
    """The closest category, if one is close enough; a number with a letter before it has none."""
    return get_close_matches(name, categories, 1) if sum(map(str.isalpha, name)) > 2 else []


def _is_label(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def evaluate(images: Path | Examples, annotations: Path | None, weights: Weights) -> ClassFolders:
    """The evaluator of the task: :class:`ClassFolders` of pictures."""
    return ClassFolders(images, annotations, weights, suffixes=CLASSIFICATION.suffixes)
