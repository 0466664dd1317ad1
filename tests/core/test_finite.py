"""Which numbers are looked at, and that nothing else costs time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from zoo.running.finite import is_finite


@dataclass
class Found:
    scores: Any
    categories: Any = ("cat", "dog")


@pytest.mark.parametrize(
    ("value", "finite"),
    [
        (1.5, True),
        (float("nan"), False),
        (["cat", 1, None, True], True),
        (["cat", 1, float("inf")], False),
        (("cat", ["dog", {"score": float("nan")}]), False),
        ({"a": [1, 2.0], "b": "nan"}, True),
        (torch.tensor([1.0, torch.nan]), False),
        (torch.tensor([1, 2]), True),
        (np.array([1.0, np.inf]), False),
        (np.float32("nan"), False),
        (Found(torch.ones(3)), True),
        (Found([1.0, float("inf")]), False),
        (Found(torch.ones(3), ["cat", float("nan")]), False),
        ([], True),
    ],
)
def test_numbers_are_found_wherever_they_stand(value: Any, finite: bool) -> None:
    assert is_finite(value) is finite


def test_the_names_of_categories_cost_nothing() -> None:
    found = Found(torch.ones(3), [f"class {i}" for i in range(200_000)])
    begin = time.process_time()
    assert is_finite(found)
    assert time.process_time() - begin < 0.5, "four seconds where each name was looked into"
