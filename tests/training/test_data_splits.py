"""Splits of all kinds of data: parts are disjoint, groups stay together, shares are as close as possible."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from zoo.errors import InvalidArgument
from zoo_training.data import split_indices


class Labels:
    """A minimal reader for splitting: one label each."""

    def __init__(self, labels: Sequence[int], names: Sequence[str] | None = None) -> None:
        self.labels, self.names = list(labels), list(names or (f"{i:05}.png" for i in range(len(labels))))
        self.categories = [str(i) for i in range(max(self.labels, default=-1) + 1)]

    def __len__(self) -> int:
        return len(self.labels)

    def counts(self) -> Counter[int]:
        return Counter(self.labels)


class Several:
    """The same with several labels each, as in detection."""

    def __init__(self, labels: Sequence[Sequence[int]]) -> None:
        self.names, self._labels = [f"{i}.png" for i in range(len(labels))], labels

    def __len__(self) -> int:
        return len(self.names)

    def counts(self) -> Counter[int]:
        return Counter(label for each in self._labels for label in each)

    def labels_of(self, i: int) -> list[int]:
        return list(self._labels[i])


def whole(data: Any, train: list[int], held: list[int]) -> bool:
    return sorted(train + held) == list(range(len(data))) and bool(train) and bool(held)


@pytest.mark.parametrize("seed", range(40))
def test_classes_are_held_out_in_equal_shares(seed: int) -> None:
    chance = random.Random(seed)
    sizes = [chance.choice([1, 2, 3, 7, 20, 100]) for _ in range(chance.randint(1, 8))]
    labels = [label for label, n in enumerate(sizes) for _ in range(n)]
    chance.shuffle(labels)
    val, data = chance.choice([0.05, 0.2, 0.5, 0.9]), Labels(labels)
    if len(data) < 2:
        data = Labels([0, 0])
    train, held = split_indices(data, val, seed)
    assert whole(data, train, held)
    assert (train, held) == split_indices(data, val, seed)
    inside = Counter(data.labels[i] for i in held)
    for label, n in data.counts().items():
        if n >= 2:
            assert 1 <= inside[label] <= n - 1
            assert abs(inside[label] - val * n) <= 1


@pytest.mark.parametrize("seed", range(40))
def test_groups_are_on_one_side(seed: int) -> None:
    chance = random.Random(seed)
    names = [f"clip{c}_{f}.png" for c in range(chance.randint(2, 30)) for f in range(chance.randint(1, 9))]
    chance.shuffle(names)
    clip = [name.partition("_")[0] for name in names]
    label = {c: chance.randrange(3) for c in sorted(set(clip))}
    data, val = Labels([label[c] for c in clip], names), chance.choice([0.1, 0.3, 0.5])
    train, held = split_indices(data, val, seed, r"(clip\d+)_")
    assert whole(data, train, held)
    assert not {clip[i] for i in train} & {clip[i] for i in held}
    largest = max(Counter(clip).values())
    for each, n in data.counts().items():
        groups = {c for c in clip if label[c] == each}
        part = sum(data.labels[i] == each for i in held)
        if len(groups) > 1:
            assert 0 < part < n
            assert abs(part - val * n) <= largest


@pytest.mark.parametrize("seed", range(20))
def test_objects_of_rare_categories_are_on_both_sides_where_they_can_be(seed: int) -> None:
    chance = random.Random(seed)
    labels = [[chance.choice([1, 1, 1, 1, 2, 2, 3]) for _ in range(chance.randint(0, 4))] for _ in range(200)]
    data = Several(labels)
    train, held = split_indices(data, 0.2, seed)
    assert whole(data, train, held)
    assert abs(len(held) - 40) <= 2
    for label in (1, 2, 3):
        share = sum(label in labels[i] for i in held) / sum(label in each for each in labels)
        assert 0.1 < share < 0.32


def test_the_split_is_the_same_in_every_process_and_on_every_machine() -> None:
    """With any hashes of strings; and with a fixed expected result."""
    code = (
        "import json, sys; sys.path[:0] = json.loads(sys.argv[1]); from test_data_splits import *;"
        "data = Labels([i % 3 for i in range(30)], [f'k{i // 2}_{i}' for i in range(30)]);"
        "several = Several([[1 + i % 3, 1 + i % 2] for i in range(30)]);"
        "print(json.dumps([split_indices(data, 0.2, 1)[1], split_indices(data, 0.2, 1, 'k[0-9]+')[1],"
        " split_indices(several, 0.2, 1)[1]]))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code, json.dumps([os.path.dirname(__file__), *sys.path])],  # noqa: PTH120
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in (0, 1)
    }
    assert said == {EXPECTED}


EXPECTED = "[[7, 8, 10, 15, 18, 26], [0, 1, 22, 23, 26, 27], [8, 9, 10, 19, 21, 26]]"


@pytest.mark.parametrize(
    ("val", "group", "said"),
    [
        (0, None, "val is 0"),
        (1.0, None, "val is 1.0"),
        (True, None, "val is True"),
        (float("nan"), None, "val is nan"),
        ("0.2", None, "val is '0.2'"),
        (0.2, "(", "is not a regular expression"),
        (0.2, "nowhere", "any of the names"),
        (0.2, r"\.png", "There are 1 groups"),
    ],
)
def test_what_cannot_be_is_told(val: Any, group: Any, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        split_indices(Labels([0, 1, 0]), val, 0, group)
