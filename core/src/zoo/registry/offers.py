"""What plugins offer beside models: tasks and what they provide for verbs, commands, engines, repositories."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from zoo.contract import Command, Engine, Format, Preset, Repository, TaskSpec, load_object
from zoo.contract.preprocessing import describe
from zoo.errors import InvalidArgument, MissingPlugin, UnknownTask, suggest
from zoo.registry.discovery import get_plugins
from zoo.registry.first_party import engines_of_ours, provider_of_task
from zoo.registry.listing import join
from zoo.registry.names import Entry, Registry, registry
from zoo.registry.records import PluginRecord

T = TypeVar("T")
Offers = Mapping[str, Sequence[tuple[T, PluginRecord]]]


def get_task(name: str, *, plugin: str | None = None) -> TaskSpec:
    """What is known of a task.

    Args:
        name: bare (``"depth-estimation"``), or full (``"acme/depth-estimation"``) where several plugins bring it.
        plugin: whose models it is for: where that plugin brings the task itself, its own way is meant.

    Raises:
        UnknownTask: no installed plugin brings it, or several do, none of them ours.
    """
    tasks = registry().tasks
    owner, _, bare = name.rpartition("/")
    found = _meant(tasks, bare, owner or plugin, strict=bool(owner))
    if found is None:
        problem = f"No installed plugin serves the task {name!r}; there are"
        if not owner and bare in tasks:
            full = " and ".join(repr(f"{record.name}/{name}") for _, record in tasks[bare])
            raise UnknownTask(f"Several plugins serve the task {name!r}. Say which one you mean: {full}.")
        known = [*tasks, *(f"{record.name}/{task}" for task, of in tasks.items() for _, record in of if len(of) > 1)]
        ours = provider_of_task(name)
        lacking = ours is not None and not any(record.name == ours[0] for record in registry().records)
        how = f" It comes with {ours[1]}: pip install {ours[1]}" if ours and lacking else ""
        how = how or suggest(name, known)
        raise UnknownTask(f"{problem} {join(known)}.{how}")
    return found


def _meant(offers: Offers[T], name: str, owner: str | None, *, strict: bool) -> T | None:
    """What ``owner`` offers under a name; else, unless ``strict``, ours or what all others agree on, if they do."""
    claims = offers.get(name, ())
    for offer, record in claims:
        if record.name == owner:
            return offer
    if strict or not claims:
        return None
    agreed = claims[0][1].first_party or all(offer == claims[0][0] for offer, _ in claims)
    return claims[0][0] if agreed else None


def task_built_by(builder: str) -> TaskSpec | None:
    """The main task of the model whose builder has that import string; None if no plugin names it."""
    entry = entry_built_by(builder)
    with contextlib.suppress(UnknownTask):
        return get_task(entry.spec.tasks[0], plugin=entry.plugin.name) if entry else None
    return None


def entry_built_by(builder: str) -> Entry | None:
    """The model whose builder has that import string; None if no plugin names it."""
    return next((entry for entry in registry().entries.values() if entry.spec.builder == builder), None)


def provided(task: TaskSpec, verb: str) -> Any | None:
    """What a verb needs of a task, by the task's own plugin or, where that has none, by another; None if none does.

    Raises:
        ContractError: the import string leads nowhere.
    """
    target = _target(task, verb)
    return None if target is None else load_object(target)


def provides(task: TaskSpec, verb: str) -> bool:
    """Whether :func:`provided` would give something; nothing is imported."""
    return _target(task, verb) is not None


def _target(task: TaskSpec, verb: str) -> str | None:
    claims = registry().provides.get((task.name, verb), ())
    return task.provides.get(verb) or (claims[0][0] if claims else None)


def in_words(preset: Preset) -> str:
    """What a preprocessing does, in words; torch is not imported. Of a plugin's own, as its manifest has it.

    One that nobody describes is shown as the call that it is.
    """
    for record in registry().records:
        words = record.manifest.presets.get(preset.target) if record.manifest else None
        if words is not None:
            return str(load_object(words)(dict(preset.arguments)))
    return describe(preset)


# What the core itself brings.
BUILT_IN = (
    Engine("torch", "zoo.running.engines:build", summary="PyTorch's operators, with what does not change folded."),
    Engine("compile", "zoo.running.compiling:build", summary="torch.compile, for the CPU with frozen weights."),
)


def get_engine(name: str) -> Engine:
    """What is known of an engine, by its name or ``plugin/name``.

    Raises:
        InvalidArgument: no installed plugin brings it, or several do, none of them ours.
        MissingPlugin: it is one of ours, which is not installed.
    """
    for engine in BUILT_IN:
        if engine.name == name:
            return engine
    engines = registry().engines
    owner, _, bare = name.rpartition("/")
    found = _meant(engines, bare, owner, strict=bool(owner))
    if found is None:
        distribution = engines_of_ours().get(name)
        if distribution is not None:
            raise MissingPlugin(
                f"The engine {name!r} comes with {distribution}, which is not installed: "
                f"pip install '{distribution}[{name}]'"
            )
        full = [f"{record.name}/{bare}" for _, record in engines.get(bare, ())]
        known = [engine.name for engine in BUILT_IN] + list(engines)
        raise InvalidArgument(f"There is no engine {name!r}; there are {join(full or known)}.{suggest(name, known)}")
    return found


def usable_engine(name: str) -> Engine:
    """The engine, if what it requires is installed; nothing of that is imported.

    Raises:
        InvalidArgument: there is none of that name.
        MissingPlugin: it, or a module that it requires, is not installed.
    """
    engine = get_engine(name)
    if missing := missing_for(engine):
        told = f"pip install '{engine.install or ' '.join(missing)}'"
        raise MissingPlugin(f"The engine {name!r} needs {' and '.join(missing)}, which is not installed: {told}")
    return engine


def missing_for(engine: Engine) -> list[str]:
    """The modules that an engine requires and that are not installed."""
    return [name for name in engine.requires if not _is_there(name)]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # of a submodule whose package is missing, or that was imported in parts
        return False


def engines(of: Registry | None = None) -> list[tuple[str, Engine, PluginRecord | None]]:
    """Every engine: the name that works, what it is, and whose it is; None for the core's own.

    Args:
        of: by default what is installed.
    """
    offers = (of or registry()).engines
    own: list[tuple[str, Engine, PluginRecord | None]] = [(engine.name, engine, None) for engine in BUILT_IN]
    reserved = {engine.name for engine in BUILT_IN}
    return own + [
        (
            name
            if name not in reserved and _meant(offers, name, None, strict=False) is engine
            else f"{record.name}/{name}",
            engine,
            record,
        )
        for name, claims in offers.items()
        for engine, record in claims
    ]


def engines_for(suffix: str) -> list[str]:
    """Names of the engines that open files of that ending."""
    offers = registry().engines.items()
    return [name for name, claims in offers if any(suffix in engine.suffixes for engine, _ in claims)]


def formats() -> dict[str, Format]:
    """Every format of exported files that a bare name means, by its name."""
    offers = registry().formats
    return {name: found for name in offers if (found := _meant(offers, name, None, strict=False)) is not None}


def check_format(one: Format, *, to_write: bool) -> None:
    """Raise MissingPlugin if a module is missing that writing, or opening, files of a format takes."""
    requires, install = (one.write_requires, one.install[0]) if to_write else (one.open_requires, one.install[1])
    if missing := [name for name in requires if not _is_there(name)]:
        raise MissingPlugin(
            f"Files of the format {one.name!r} need {' and '.join(missing)}, which is not installed: pip install "
            f"'{install or ' '.join(missing)}'"
        )


def format_of(path: str | Path, name: str | None = None) -> Format:
    """The format of an exported file: the one that is named (``"onnx"``, ``"acme/onnx"``), else that of its ending.

    Raises:
        InvalidArgument: no installed plugin brings it.
    """
    offers, known = registry().formats, formats()
    if name is not None:
        owner, _, bare = name.rpartition("/")
        found = _meant(offers, bare, owner, strict=bool(owner))
        if found is None:
            raise InvalidArgument(f"format is {name!r}; expected one of {', '.join(known)}.{suggest(name, known)}")
        return found
    found = next((one for one in known.values() if str(path).lower().endswith(one.suffixes)), None)
    if found is None:
        endings = ", ".join(f"{one.suffixes[0]} for {name}" for name, one in known.items())
        raise InvalidArgument(
            f"{Path(path).name} does not say which format it is to have: end it in {endings}, or give one."
        )
    return found


def commands() -> list[tuple[str, Command, PluginRecord]]:
    """Every plugin's commands: the name that works (full where several have the bare one), what it is, whose it is."""
    offers = registry().commands
    return [
        (name if _meant(offers, name, None, strict=False) is command else f"{record.name}:{name}", command, record)
        for name, claims in offers.items()
        for command, record in claims
    ]


def find_command(name: str) -> Command | None:
    """The command that ``label`` or ``acme:label`` names; None if there is none.

    Raises:
        InvalidArgument: several plugins have it, none of them ours.
    """
    offers = registry().commands
    owner, _, bare = name.rpartition(":")
    found = _meant(offers, bare, owner, strict=bool(owner))
    if found is None and not owner and bare in offers:
        full = " and ".join(f"{record.name}:{bare}" for _, record in offers[bare])
        raise InvalidArgument(f"Several plugins have a command {bare!r}. Say which one you mean: {full}.")
    return found


def open_repository(path: Path) -> Repository | None:
    """The builder and description of what is in a folder, by the first plugin that knows its kind; None if none does.

    Raises:
        PluginError: no plugin knew it and one of them raised while it tried.
    """
    found: Repository | None = get_plugins().first("zoo_open_repository", path=path)
    return found
