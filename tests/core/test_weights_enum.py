"""WeightsEnum is made by a faster metaclass than Enum's; what it makes must be an Enum to everyone."""

from __future__ import annotations

import enum

import pytest

import zoo
from zoo.errors import ContractError

ONE, TWO = zoo.Weights(url="https://example.org/1.pth"), zoo.Weights(url="https://example.org/2.pth")


class Named(zoo.WeightsEnum):
    """A base without members, which gives its enums something in common."""

    def shout(self) -> str:
        return self.name.upper()

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


class Net_Weights(Named):
    one = ONE
    two = TWO
    DEFAULT = two


def test_it_is_an_enum():
    assert issubclass(Net_Weights, enum.Enum)
    assert isinstance(Net_Weights.one, Net_Weights)
    assert list(Net_Weights) == [Net_Weights.one, Net_Weights.two]
    assert list(reversed(Net_Weights)) == [Net_Weights.two, Net_Weights.one]
    assert len(Net_Weights) == 2
    assert list(Net_Weights.__members__) == ["one", "two", "DEFAULT"]
    assert Net_Weights["DEFAULT"] is Net_Weights.DEFAULT is Net_Weights.two
    assert Net_Weights(TWO) is Net_Weights(Net_Weights.two) is Net_Weights.two
    assert Net_Weights.one in Net_Weights
    assert (Net_Weights.one.name, Net_Weights.one.value) == ("one", ONE)
    assert (Net_Weights.two.shout(), Net_Weights.two.file) == ("TWO", "2.pth")
    assert Net_Weights.__module__ == __name__
    assert enum.unique(Named) is Named


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda: setattr(Net_Weights, "one", TWO), AttributeError),
        (lambda: delattr(Net_Weights, "one"), AttributeError),
        (lambda: setattr(Net_Weights.one, "name", "three"), AttributeError),
        (lambda: Net_Weights("three"), ValueError),
        (lambda: Net_Weights["three"], KeyError),
    ],
)
def test_it_cannot_be_changed_or_asked_for_what_it_has_not(change, error):
    with pytest.raises(error):
        change()
    assert Net_Weights.one.name == "one"


def test_it_can_be_made_by_a_call():
    made = zoo.WeightsEnum("Made_Weights", {"one": ONE, "DEFAULT": ONE})
    assert made.DEFAULT is made.one
    assert repr(made.one) == "Made_Weights.one"


def test_an_entry_that_is_there_twice_is_an_error():
    with pytest.raises(ContractError, match=r"Twice\.one is defined twice"):

        class Twice(zoo.WeightsEnum):
            one = ONE
            one = TWO


def test_an_enum_with_members_cannot_be_extended():
    with pytest.raises(ContractError, match="More: an enum of weights has one base, which has no members"):

        class More(Net_Weights):
            three = zoo.Weights(url="https://example.org/3.pth")


def test_results_share_the_names_of_classes() -> None:
    named, unnamed = zoo.Weights(url="", categories=["cat", "dog"]), zoo.Weights(url="")
    assert named.class_names(2) == ["cat", "dog"]
    assert named.class_names(3) == unnamed.class_names(3) == ["class 0", "class 1", "class 2"]
    for weights in (named, unnamed):
        assert weights.class_names(3) is weights.class_names(3)
    named.read_categories().append("cow")  # a list of the caller's own
    assert named.class_names(2) == ["cat", "dog"]
