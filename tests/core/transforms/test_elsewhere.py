"""Names of torchvision's transforms that zoo.transforms, which is for inference, does not have."""

from __future__ import annotations

import pytest

import zoo.transforms
from zoo.errors import MissingPlugin
from zoo.transforms.elsewhere import INSTEAD, THEIRS


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


def test_what_is_named_is_there_and_what_is_there_is_not_named() -> None:
    assert not {*INSTEAD, *THEIRS} & {*zoo.transforms.__all__}
    for name, instead in INSTEAD.items():
        if instead.startswith("zoo.") and "(" not in instead:
            found = zoo
            for part in instead.split(".")[1:]:
                found = getattr(found, part)
            assert callable(found), name
