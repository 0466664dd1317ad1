"""What became of a checkpoint's tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from zoo.contract import Weights
from zoo.errors import CheckpointError
from zoo.files import redacted

MAX_NAMED = 8  # keys that an error message lists before it says how many more there are


@dataclass(frozen=True, repr=False)
class LoadReport:
    """What became of a checkpoint's tensors. Every field holds names of the model's, ``ignored`` of the file's.

    Attributes:
        source: URL or path of the file.
        loaded: tensors that the model took from the file.
        converted: those among them whose name, shape or dtype in the file was another.
        reinitialised: tensors of the head that were initialised anew, because ``num_classes`` differs.
        ignored: tensors of the file that the model has no use for.
        memory_mapped: whether the file is read as its tensors are used.
        taken: the entry of the file that was taken and what stood beside it, and the prefix that its names lost; empty
            where the file is the state dict and its names are the model's.
    """

    source: str
    loaded: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    reinitialised: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    memory_mapped: bool = False
    taken: str = ""

    def __str__(self) -> str:
        how = "memory-mapped" if self.memory_mapped else "read whole"
        lines = []  # what a user has to know comes first, what went as it should last
        if self.reinitialised:
            lines.append(f"{_tensors(self.reinitialised)} reinitialised, to be trained: {listed(self.reinitialised)}")
        if self.ignored:
            lines.append(f"{_tensors(self.ignored)} of the file ignored: {listed(self.ignored)}")
        lines.append(f"{_tensors(self.loaded)} loaded from {self.source} ({how})")
        lines += [f"taken: {self.taken}"] if self.taken else []
        if self.converted:
            lines.append(f"{len(self.converted)} of them converted: {listed(self.converted)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        parts = [f"{len(getattr(self, name))} {name}" for name in ("reinitialised", "ignored") if getattr(self, name)]
        return f"<LoadReport: {', '.join([*parts, f'{len(self.loaded)} loaded'])} from {self.source}>"


def _tensors(names: Sequence[str]) -> str:
    return "1 tensor" if len(names) == 1 else f"{len(names)} tensors"


def listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def load_report(model: nn.Module) -> LoadReport | None:
    """What was loaded into a model that a builder made; None if it was built without weights."""
    return getattr(model, "_load_report", None)


def built_by(model: nn.Module) -> str | None:
    """The import string of the builder that made ``model``; None if no builder did."""
    return getattr(model, "_built_by", None)


def described_like(model: nn.Module, other: nn.Module) -> None:
    """Say of ``model``, which computes what ``other`` does in another way, that the same builder made it, and which
    weights it has."""
    for name in ("_built_by", "_weights"):
        if hasattr(other, name):
            setattr(model, name, getattr(other, name))


def loaded_weights(model: nn.Module) -> Weights | None:
    """The description of the weights that a builder put into ``model``."""
    return getattr(model, "_weights", None)


def check_preset(weights: Weights) -> Weights:
    """The weights of a saved model's file, whose preprocessing can be made.

    Raises:
        CheckpointError: it cannot be made with the arguments that the file says.
    """
    preset = weights.transforms
    if preset is None:
        return weights
    try:
        preset()
    except Exception as e:  # a plugin's own may raise anything
        given = ", ".join(f"{name}={value!r}" for name, value in preset.arguments.items())
        raise CheckpointError(
            f"{redacted(weights.url)}: what it says of itself is wrong: its preprocessing {preset.target} cannot be "
            f"made with {given} ({type(e).__name__}: {e})."
        ) from e
    return weights
