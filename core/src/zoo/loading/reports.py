"""Load reports: how the tensors of a checkpoint were used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from zoo.contract import Weights
from zoo.errors import CheckpointError
from zoo.files import redacted

MAX_NAMED = 8  # keys that an error message lists; more are counted


@dataclass(frozen=True, repr=False)
class LoadReport:
    """How the tensors of a checkpoint were used. Fields contain names of the model's tensors; ``ignored`` of the
    file's.

    Attributes:
        source: URL or path of the file.
        loaded: tensors that the model took from the file.
        converted: those among them whose name, shape or dtype differs in the file.
        reinitialised: tensors of the head that were newly initialised, because ``num_classes`` differs.
        ignored: tensors of the file that the model does not use.
        memory_mapped: whether the file is memory-mapped and read on use of its tensors.
        taken: the key of the state dict in the file, the keys beside it, and the prefix removed from its names; empty
            if the file is the state dict with the model's names.
    """

    source: str
    loaded: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    reinitialised: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    memory_mapped: bool = False
    taken: str = ""

    def __str__(self) -> str:
        how = "memory-mapped" if self.memory_mapped else "read completely"
        lines = []  # problems come first, loaded tensors last
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
    """The load report of a model that a builder made; None if it was built without weights."""
    return getattr(model, "_load_report", None)


def built_by(model: nn.Module) -> str | None:
    """The import string of the builder that made ``model``; None if no builder did."""
    return getattr(model, "_built_by", None)


def described_like(model: nn.Module, other: nn.Module) -> None:
    """Mark ``model``, which computes the same as ``other`` in another way, as made by the same builder with the same
    weights."""
    for name in ("_built_by", "_weights"):
        if hasattr(other, name):
            setattr(model, name, getattr(other, name))


def loaded_weights(model: nn.Module) -> Weights | None:
    """The description of the weights that a builder loaded into ``model``."""
    return getattr(model, "_weights", None)


def check_preset(weights: Weights) -> Weights:
    """The weights of a saved model's file, after checking that their preprocessing can be built.

    Raises:
        CheckpointError: it cannot be built with the file's arguments.
    """
    preset = weights.transforms
    if preset is None:
        return weights
    try:
        preset()
    except Exception as e:  # a plugin's preset may raise any exception
        given = ", ".join(f"{name}={value!r}" for name, value in preset.arguments.items())
        raise CheckpointError(
            f"{redacted(weights.url)}: its metadata are wrong: the preprocessing {preset.target} cannot be "
            f"built with {given} ({type(e).__name__}: {e})."
        ) from e
    return weights
