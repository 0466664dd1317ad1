"""The default model of a task. Nothing here imports torch or downloads files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from zoo.contract import Default, Weights, WeightsEnum
from zoo.errors import NoDefault, PolicyError
from zoo.files import cached_path, policy
from zoo.registry.first_party import provider_of_task
from zoo.registry.listing import join, list_models
from zoo.registry.names import Entry, Registry, registry
from zoo.registry.offers import get_task

TASK = "image-classification"  # the default task
OFFERED = 3  # most suggested downloads


@dataclass(frozen=True, slots=True)
class DefaultModel:
    """The model that is used for a task.

    Attributes:
        name: of the model, as :func:`zoo.get_model` takes it.
        weights: name of its weights, whose file is on this machine.
        task: the task.
        facts: the description of the weights.
        size: of its file, in bytes.
        trained_on: see :attr:`zoo.Default.trained_on`.
        others: commands that download better weights, if these were trained on limited data.
    """

    name: str
    weights: str
    task: str
    facts: Weights
    size: int
    trained_on: str = ""
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        data = ", ".join(self.facts.metrics)
        known = f"{self.weights}, {self.size / 2**20:.1f} MB{f', {data}' if data else ''}"
        said = f"No model was given: using {self.name} ({known}) for {self.task}."
        if self.trained_on:
            said += f" These weights were trained only on {self.trained_on}."
            said += f" For others: {' or '.join(self.others)}." if self.others else ""
        return said


def default_model(task: str | None = None) -> DefaultModel:
    """The model to use if only a task is given: the smallest of the installed plugins' defaults whose weights are on
    this machine, in a package or in the cache.

    Models that were trained on artificial data come last, and those of third parties after ours.

    Args:
        task: bare, or with its plugin; by default image classification.

    Raises:
        UnknownTask: no installed plugin has it; the message says what to install, if that is known.
        NoDefault: no default model is on this machine; the message says how to get one. Nothing is downloaded.
    """
    plugin, _, bare = (task or TASK).rpartition("/")
    now = registry()
    if plugin or bare not in now.tasks:  # several plugins may have it: the model decides whose is used
        get_task(task or TASK)
    named = list(_named(now, bare, plugin))
    found: list[tuple[bool, bool, int, str, Default, Entry]] = []
    for default, entry in named:
        path = _at_hand(_member(default, entry).value)
        if path is not None:
            rank = bool(default.trained_on), not entry.plugin.first_party, path.stat().st_size
            found.append((*rank, entry.full_name, default, entry))
    downloads = tuple(_downloads(now, named))
    if not found:
        raise NoDefault(_nothing(bare, downloads))
    _, _, size, _, default, entry = min(found, key=lambda row: row[:4])
    more = (*_to_install(bare), *downloads[:1]) if default.trained_on else ()
    member = _member(default, entry)
    return DefaultModel(now.short_name(entry), member.name, bare, member.value, size, default.trained_on, more)


def _named(now: Registry, task: str, plugin: str) -> Iterator[tuple[Default, Entry]]:
    for record in now.records:
        if record.manifest is not None and plugin in ("", record.name):
            for default in record.manifest.defaults.get(task, ()):
                yield default, now.entries[f"{record.name}/{default.model}"]


def _member(default: Default, entry: Entry) -> WeightsEnum:
    enum = cast(type[WeightsEnum], entry.spec.weights)  # ensured by the check of the manifest
    return enum[default.weights]


def _at_hand(facts: Weights) -> Path | None:
    """The file, if it is local and allowed."""
    with contextlib.suppress(PolicyError):
        policy().check_wanted(facts.url, facts.license)
        return cached_path(facts.url)
    return None


def _downloads(now: Registry, named: list[tuple[Default, Entry]]) -> Iterator[str]:
    """Commands that download a default, smallest first."""
    rows = []
    for default, entry in named:
        member, facts = _member(default, entry), _member(default, entry).value
        if not default.trained_on and not facts.url.startswith(("pkg:", "file:")):
            size = facts.file_size
            name = now.short_name(entry) if default.weights == "DEFAULT" else repr(member)
            rows.append((size if size is not None else float("inf"), name))
    for size, name in sorted(rows)[:OFFERED]:
        yield f"zoo pull {name}" + (f" ({size:.0f} MB)" if size != float("inf") else "")


def _to_install(task: str) -> list[str]:
    ours = provider_of_task(task)
    there = ours is None or any(record.name == ours[0] for record in registry().records)
    return [] if ours is None or there else [f"pip install {ours[1]}"]


def _nothing(task: str, downloads: tuple[str, ...]) -> str:
    ways = [*downloads, *_to_install(task)]
    if ways:
        return (
            f"No model was given, and no default model of {task} has its weights on this machine. Nothing is "
            f"downloaded automatically. Get one, or name a model: {'; '.join(ways)}"
        )
    some = list_models(task=task)[:5]
    return f"No model was given, and no installed plugin has a default model for {task}. Name a model of this task" + (
        f": {join(some)}, …" if some else "; none is installed"
    )
