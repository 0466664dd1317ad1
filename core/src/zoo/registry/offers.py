"""What plugins offer beside models: tasks, their objects for verbs, commands, engines, formats, repositories."""

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
    """The description of a task.

    Args:
        name: bare (``"depth-estimation"``), or full (``"acme/depth-estimation"``) if several plugins define it.
        plugin: plugin of the models: its own definition of the task is preferred.

    Raises:
        UnknownTask: no installed plugin defines it, or several third-party plugins do.
    """
    tasks = registry().tasks
    owner, _, bare = name.rpartition("/")
    found = _meant(tasks, bare, owner or plugin, strict=bool(owner))
    if found is None:
        problem = f"No installed plugin has the task {name!r}; installed are"
        if not owner and bare in tasks:
            full = " and ".join(repr(f"{record.name}/{name}") for _, record in tasks[bare])
            raise UnknownTask(f"Several plugins have the task {name!r}. Choose one of them: {full}.")
        known = [*tasks, *(f"{record.name}/{task}" for task, of in tasks.items() for _, record in of if len(of) > 1)]
        ours = provider_of_task(name)
        lacking = ours is not None and not any(record.name == ours[0] for record in registry().records)
        how = f" It is in {ours[1]}: pip install {ours[1]}" if ours and lacking else ""
        how = how or suggest(name, known)
        raise UnknownTask(f"{problem} {join(known)}.{how}")
    return found


def _meant(offers: Offers[T], name: str, owner: str | None, *, strict: bool) -> T | None:
    """The item of ``owner`` under a name; else, unless ``strict``, ours, or that of the others if they are equal."""
    claims = offers.get(name, ())
    for offer, record in claims:
        if record.name == owner:
            return offer
    if strict or not claims:
        return None
    agreed = claims[0][1].first_party or all(offer == claims[0][0] for offer, _ in claims)
    return claims[0][0] if agreed else None


def task_built_by(builder: str) -> TaskSpec | None:
    """The main task of the model whose builder has this import string; None if no plugin names it."""
    entry = entry_built_by(builder)
    with contextlib.suppress(UnknownTask):
        return get_task(entry.spec.tasks[0], plugin=entry.plugin.name) if entry else None
    return None


def entry_built_by(builder: str) -> Entry | None:
    """The entry of the model whose builder has this import string; None if no plugin names it."""
    return next((entry for entry in registry().entries.values() if entry.spec.builder == builder), None)


def provided(task: TaskSpec, verb: str) -> Any | None:
    """The object that a verb needs of a task, from the task's own plugin, else from another; None if there is none.

    Raises:
        ContractError: the import string cannot be resolved.
    """
    target = _target(task, verb)
    return None if target is None else load_object(target)


def provides(task: TaskSpec, verb: str) -> bool:
    """Whether :func:`provided` would return an object; nothing is imported."""
    return _target(task, verb) is not None


def _target(task: TaskSpec, verb: str) -> str | None:
    claims = registry().provides.get((task.name, verb), ())
    return task.provides.get(verb) or (claims[0][0] if claims else None)


def in_words(preset: Preset) -> str:
    """A description of a preprocessing; torch is not imported. Plugins describe their own in the manifest.

    Others are shown as a call.
    """
    for record in registry().records:
        words = record.manifest.presets.get(preset.target) if record.manifest else None
        if words is not None:
            return str(load_object(words)(dict(preset.arguments)))
    return describe(preset)


# The engines of the core.
BUILT_IN = (
    Engine("torch", "zoo.running.engines:build", summary="PyTorch's operators, with constants folded."),
    Engine("compile", "zoo.running.compiling:build", summary="torch.compile, for the CPU with frozen weights."),
)


def get_engine(name: str) -> Engine:
    """The description of an engine, by its name or ``plugin/name``.

    Raises:
        InvalidArgument: no installed plugin defines it, or several third-party plugins do.
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
                f"The engine {name!r} is in {distribution}, which is not installed: "
                f"pip install '{distribution}[{name}]'"
            )
        full = [f"{record.name}/{bare}" for _, record in engines.get(bare, ())]
        known = [engine.name for engine in BUILT_IN] + list(engines)
        raise InvalidArgument(
            f"There is no engine {name!r}; installed are {join(full or known)}.{suggest(name, known)}"
        )
    return found


def usable_engine(name: str) -> Engine:
    """The engine, after checking that the modules that it requires are installed; none is imported.

    Raises:
        InvalidArgument: there is no such engine.
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
    except (ImportError, ValueError):  # for a submodule of a missing package, or a partially imported module
        return False


def engines(of: Registry | None = None) -> list[tuple[str, Engine, PluginRecord | None]]:
    """Every engine: the name that works, its description, and its plugin; None for the core's own.

    Args:
        of: by default the installed plugins.
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
    """Names of the engines that open files with this suffix."""
    offers = registry().engines.items()
    return [name for name, claims in offers if any(suffix in engine.suffixes for engine, _ in claims)]


def formats() -> dict[str, Format]:
    """The formats of exported files, by their bare names."""
    offers = registry().formats
    return {name: found for name in offers if (found := _meant(offers, name, None, strict=False)) is not None}


def check_format(one: Format, *, to_write: bool) -> None:
    """Raise MissingPlugin if a module for writing, or opening, files of a format is not installed."""
    requires, install = (one.write_requires, one.install[0]) if to_write else (one.open_requires, one.install[1])
    if missing := [name for name in requires if not _is_there(name)]:
        raise MissingPlugin(
            f"Files of the format {one.name!r} need {' and '.join(missing)}, which is not installed: pip install "
            f"'{install or ' '.join(missing)}'"
        )


def format_of(path: str | Path, name: str | None = None) -> Format:
    """The format of an exported file: the given one (``"onnx"``, ``"acme/onnx"``), else that of its suffix.

    Raises:
        InvalidArgument: no installed plugin defines it.
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
            f"{Path(path).name} does not have the suffix of a format: use {endings}, or give a format."
        )
    return found


def commands() -> list[tuple[str, Command, PluginRecord]]:
    """The commands of plugins: the name that works (full if several have the bare one), the command, its plugin."""
    offers = registry().commands
    return [
        (name if _meant(offers, name, None, strict=False) is command else f"{record.name}:{name}", command, record)
        for name, claims in offers.items()
        for command, record in claims
    ]


def find_command(name: str) -> Command | None:
    """The command named ``label`` or ``acme:label``; None if there is none.

    Raises:
        InvalidArgument: several third-party plugins have it.
    """
    offers = registry().commands
    owner, _, bare = name.rpartition(":")
    found = _meant(offers, bare, owner, strict=bool(owner))
    if found is None and not owner and bare in offers:
        full = " and ".join(f"{record.name}:{bare}" for _, record in offers[bare])
        raise InvalidArgument(f"Several plugins have a command {bare!r}. Choose one of them: {full}.")
    return found


def open_repository(path: Path) -> Repository | None:
    """The builder and description of the model in a folder, from the first plugin that supports it; None if none does.

    Raises:
        PluginError: no plugin supports it and one of them raised.
    """
    found: Repository | None = get_plugins().first("zoo_open_repository", path=path)
    return found
