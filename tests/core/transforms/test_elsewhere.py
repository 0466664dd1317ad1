"""Names of torchvision's transforms that zoo.transforms, which is for inference, does not have."""

from __future__ import annotations

import pytest

import zoo.transforms
from zoo.errors import MissingPlugin
from zoo.transforms.elsewhere import FUNCTIONS_INSTEAD, FUNCTIONS_THEIRS, INSTEAD, THEIRS


def test_what_serves_is_said() -> None:
    with pytest.raises(
        MissingPlugin, match=r"for inference and has no RandomCrop; torchvision\.transforms\.v2\.RandomCrop"
    ):
        from zoo.transforms import RandomCrop  # noqa: F401
    with pytest.raises(ImportError, match=r"no ToDtype; use zoo\.transforms\.ConvertImageDtype"):
        _ = zoo.transforms.ToDtype
    with pytest.raises(AttributeError, match="Did you mean 'CenterCrop'"):
        _ = zoo.transforms.CentreCrop
    assert not hasattr(zoo.transforms, "__wrapped__")
    assert not hasattr(zoo.transforms.functional, "__wrapped__")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("import zoo.transforms.v2", r"has no transforms\.v2; torchvision\.transforms\.v2 works"),
        ("from zoo.transforms import v2", r"has no v2; torchvision\.transforms\.v2 works"),
        ("from zoo.transforms.v2 import functional", r"has no transforms\.v2"),
        ("from zoo.transforms.autoaugment import RandAugment", r"has no transforms\.autoaugment"),
        ("from zoo.transforms.transforms import RandomCrop", r"torchvision\.transforms\.v2\.RandomCrop works"),
        ("from zoo.transforms.functional import rotate", r"torchvision\.transforms\.v2\.functional\.rotate works"),
        ("from zoo.transforms.functional import hflip", r"use image\.flip\(-1\)"),
    ],
)
def test_what_serves_is_said_of_every_path(statement: str, said: str) -> None:
    with pytest.raises(MissingPlugin, match=said):
        exec(statement)


def test_what_is_named_is_there_and_what_is_there_is_not_named() -> None:
    assert not {*INSTEAD, *THEIRS} & {*zoo.transforms.__all__}
    assert not {*FUNCTIONS_INSTEAD, *FUNCTIONS_THEIRS} & {*dir(zoo.transforms.functional)}
    for name, instead in [*INSTEAD.items(), *FUNCTIONS_INSTEAD.items()]:
        if instead.startswith("zoo.") and "(" not in instead:
            found = zoo
            for part in instead.split(".")[1:]:
                found = getattr(found, part)
            assert callable(found), name
