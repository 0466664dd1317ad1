"""Saved models: ``zoo.save`` writes their description into the metadata of a safetensors file.

Nothing in such a file is executed. It only has names: the builder is that of an installed plugin's model, the
preprocessing is one of zoo or of an installed plugin's weights. Everything else is data, whose types are checked.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from zoo import files
from zoo.contract import Preset, Repository, Weights, short, stored_weights
from zoo.contract.preprocessing import WORDS, problem
from zoo.errors import CheckpointError, InvalidArgument, PluginError, UnknownModel, ZooError, suggest
from zoo.files.safetensors import is_safetensors, read_header
from zoo.registry.discovery import fetch, get_plugins
from zoo.registry.names import Entry, registry

FORMAT = 1  # of the metadata; a higher one requires a newer zoo-core
KEY = "zoo"  # the key of the metadata
SUFFIX = ".safetensors"
_FULL_NAME = re.compile(r"([A-Za-z0-9][\w.\-]{0,99})/([A-Za-z0-9][\w.\-]{0,99})", re.ASCII)
_DISTRIBUTION = re.compile(r"[A-Za-z0-9][\w.\-]{0,99}", re.ASCII)
_OF_LOADING = {"progress", "mmap", "pretrained", "pretrained_backbone"}  # not part of the architecture
_NUMBER = (int, float)
# The fields of Weights in the file and their types; others are stored under other keys.
FACTS: dict[str, tuple[type, ...]] = {
    "num_params": (int,), "metrics": (dict,), "gflops": _NUMBER, "ops_unit": (str,), "recipe": (str,),
    "license": (str,), "min_size": (list,), "docs": (str,), "extra": (dict,),
}  # fmt: skip

# Further facts that tasks and commands read, and their types.
EXTRA: dict[str, tuple[type, ...]] = {
    "frame_rate": _NUMBER, "num_frames": (int,), "keypoint_names": (list,), "skeleton": (list,), "runtime": (dict,),
    "license_source": (str,), "data": (str,), "training": (dict,),
}  # fmt: skip


@dataclass(frozen=True)
class SavedModel:
    """The description of a saved model.

    Attributes:
        source: path or URL of the file, with the commit for a file of the hub.
        name: the model's full name.
        arguments: the arguments of its builder.
        task: its task.
        weights: the file and its description.
        filled: whether it was built to be filled from a file; some architectures depend on it.
        dtype: of its parameters, if it is not float32.
        versions: distribution → version when it was saved.
        trained_from: the initial weights of its training.
    """

    source: str
    name: str
    arguments: Mapping[str, Any]
    task: str
    weights: Weights
    filled: bool = False
    dtype: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    trained_from: str | None = None

    def entry(self) -> Entry:
        """The registry entry of the model.

        Raises:
            UnknownModel: no installed plugin has it; the message says what to install.
            CheckpointError: the file has another task than the model.
        """
        now = registry()
        if (found := now.entries.get(self.name)) is not None:
            if self.task and self.task not in found.spec.tasks:
                right = ", ".join(found.spec.tasks)
                raise CheckpointError(f"{self.source}: its task is {short(self.task)}; {self.name} is for {right}.")
            return found
        plugin = self.name.partition("/")[0]
        if any(record.name == plugin and record.state == "failed" for record in now.records):
            return now.find(self.name)  # raises with the reason
        own = [name for name in self.versions if name != "zoo-core" and _DISTRIBUTION.fullmatch(name)]
        how = f"It was saved with {own[0]}: pip install {own[0]}" if own else "Register it before you load the file."
        raise UnknownModel(f"{self.source} contains a {self.name!r}, which no installed plugin has. {how}")


# ── names of files ──────────────────────────────────────────────────────────────────────────────────────────────


def names_a_file(name: object) -> bool:
    """Whether a name is that of a file, a folder or a repository: a path or URL, and not a registered model."""
    if isinstance(name, os.PathLike):
        return True
    if not isinstance(name, str) or not name:
        return False
    if "://" in name or name.lower().endswith(SUFFIX):
        return True
    now = registry()
    if name in now.entries or name in now.by_bare_name or name in now.by_old_name:
        return False
    if "." in name:
        with contextlib.suppress(ZooError):  # the name of a model with its weights
            return now.whole(name)[1] is None
    return name.startswith(("/", "./", "../", "~")) or (os.sep != "/" and os.sep in name) or os.path.exists(name)  # noqa: PTH110


def find_saved(name: str | os.PathLike[str], *, progress: bool = True) -> SavedModel | None:
    """The description of the saved model of this name; None for the name of a registered model.

    Args:
        name: a path or URL of a file; a folder, or a repository ``hf://org/name[@revision]``, that contains one, or
            that a plugin's ``zoo_open_repository`` supports.
        progress: show a progress bar during a download.

    Raises:
        DownloadError: it cannot be downloaded or found.
        CheckpointError: it is not a saved model, or is damaged.
        InvalidArgument: a folder or repository contains no model, or several.
        PluginError: the plugin that opens it failed.
    """
    if not names_a_file(name):
        return None
    source = os.fspath(name)
    place = _place(source)
    if place is None:
        return read_saved(fetch(source, progress=progress), source)
    found = _saved_at(place, progress)
    if not isinstance(found, SavedModel):
        found = _of_a_plugin(place, progress) or _raise(found)
    if place.commit is not None:
        files.hub_fetched(source, place.commit)
    return found


def _saved_at(place: _Place, progress: bool) -> SavedModel | ZooError:
    """The saved model at a place; raises if it is invalid."""
    try:
        file = place.file(_the_one(place.names, place.source))
    except InvalidArgument as e:
        return e
    return saved_in(fetch(file, progress=progress), file) or _not_saved(file)


def _raise(problem: ZooError) -> NoReturn:
    raise problem


@dataclass(frozen=True)
class _Place:
    """A folder, or a repository of the hub at a commit, and the names of its files."""

    source: str
    names: list[str]
    commit: str | None = None

    def file(self, name: str) -> str:
        return str(Path(self.source, name)) if self.commit is None else self.source.replace("@", f"/{name}@", 1)


def _place(source: str) -> _Place | None:
    """The folder or repository of a name that is not a file."""
    if re.fullmatch(r"hf://[^/@]+/[^/@]+(@.+)?", source):
        commit, names = files.hub_listing(source)
        return _Place(f"{source.partition('@')[0]}@{commit}", names, commit)
    path = Path(source).expanduser() if "://" not in source else None
    if path is None or not path.is_dir():
        return None
    return _Place(str(path), [file.name for file in path.iterdir() if file.is_file()])


def _the_one(names: list[str], where: str) -> str:
    found = sorted(name for name in names if name.endswith(SUFFIX) and "/" not in name and not name.startswith("."))
    if f"model{SUFFIX}" in found:
        return f"model{SUFFIX}"
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidArgument(f"{where} contains several models. Choose one of them: {', '.join(found)}.")
    raise InvalidArgument(f"{where} contains no saved model; expected model{SUFFIX}, as zoo.save writes it.")


def _of_a_plugin(place: _Place, progress: bool) -> SavedModel | None:
    """The model in a folder or repository that a plugin supports; all files of a hub repository are downloaded for
    it."""
    plugins = get_plugins()
    if not plugins.implement("zoo_open_repository"):
        return None
    folder = Path(place.source)
    if place.commit is not None:
        folder = files.hub_snapshot(place.source, place.names, progress)
    found = plugins.first("zoo_open_repository", path=folder)
    if found is None:
        return None
    if not isinstance(found, Repository) or not isinstance(found.weights, Weights):
        raise PluginError(f"A plugin returned {short(found)} for {place.source}; expected a zoo.Repository.")
    own = found.builder
    for entry in registry().entries.values():
        if own == entry.spec.builder or (callable(own) and (own is entry.local or _named(own) == entry.spec.builder)):
            return SavedModel(place.source, entry.full_name, found.weights.config, entry.spec.tasks[0], found.weights)
    raise PluginError(
        f"{place.source} is built by {own if isinstance(own, str) else _named(own)}, according to a plugin, which "
        "is not the builder of a registered model: the plugin must add it to its manifest."
    )


def _named(builder: Any) -> str:
    return f"{getattr(builder, '__module__', '')}:{getattr(builder, '__qualname__', '')}"


# ── contents ─────────────────────────────────────────────────────────────────────────────────────────────────────


def read_saved(path: Path, source: str) -> SavedModel:
    """The description in the file at ``path``, named as ``source``. torch is not imported.

    Raises:
        CheckpointError: it is not a saved model, or is damaged.
    """
    found = saved_in(path, source)
    return found or _raise(_not_saved(source))


def _not_saved(source: str) -> CheckpointError:
    return CheckpointError(
        f"{files.redacted(source)} has no description of its model: it was not written by zoo.save. Name the model, "
        f"and the file as its weights: zoo.get_model('resnet50', weights={files.redacted(source)!r})."
    )


def saved_in(path: Path, source: str) -> SavedModel | None:
    """The same; None for other files."""
    shown = files.redacted(source)
    try:
        with path.open("rb") as f:
            if not is_safetensors(f.read(16)):
                return None
            text = read_header(f)[1].get(KEY)
    except ValueError as e:
        raise CheckpointError(f"{shown} cannot be read; it is damaged or truncated ({e}).") from e
    if text is None:
        return None
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise CheckpointError(f"{shown}: its metadata are not JSON ({type(e).__name__}).") from e
    return parse(facts, source, path.stat().st_size)


def parse(facts: Any, source: str, size: int | None = None) -> SavedModel:
    """Read and check metadata as ``zoo.save`` writes them.

    Raises:
        CheckpointError: a field is invalid; the message names it.
    """
    shown = files.redacted(source)

    def wrong(what: str) -> CheckpointError:
        return CheckpointError(f"{shown}: its metadata are wrong: {what}")

    def take(key: str, kinds: tuple[type, ...], default: Any, of: Mapping[str, Any]) -> Any:
        value = of.get(key)
        if value is None:
            return default
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise wrong(f"{key} is {short(value)}; expected {' or '.join(kind.__name__ for kind in kinds)}.")
        return value

    if not isinstance(facts, dict) or type(facts.get("format")) is not int or facts["format"] < 1:
        raise wrong("the format is missing.")
    if facts["format"] > FORMAT:
        zoo = take("versions", (dict,), {}, facts).get("zoo-core")
        newer = f"zoo-core {short(zoo)}" if isinstance(zoo, str) else "a newer zoo-core"
        raise CheckpointError(
            f"{shown} was saved by {newer}, in format {facts['format']}; this one reads up to {FORMAT}. "
            "Install a newer one: pip install -U zoo-core"
        )
    name = take("model", (str,), "", facts)
    if not _FULL_NAME.fullmatch(name) or ".." in name:
        raise wrong(f"model is {short(name)}; expected 'plugin/model'.")
    arguments = take("arguments", (dict,), {}, facts)
    for reason in _problems(arguments):
        raise wrong(reason)
    categories = take("categories", (list,), None, facts)
    if categories is not None and not all(isinstance(label, str) for label in categories):
        raise wrong("categories are not all text.")
    classes = arguments.get("num_classes")
    if categories is not None and type(classes) is int and len(categories) != classes:
        raise wrong(f"{len(categories)} categories for a model of {classes} classes.")
    about = take("weights", (dict,), {}, facts)
    known = {key: value for key, kinds in FACTS.items() if (value := take(key, kinds, None, about)) is not None}
    if "min_size" in known:
        known["min_size"] = tuple(known["min_size"])
        if [type(side) for side in known["min_size"]] != [int, int]:
            raise wrong(f"min_size is {short(about['min_size'])}; expected [height, width].")
    for values in known.get("metrics", {}).values():
        if not isinstance(values, dict) or not all(isinstance(value, _NUMBER) for value in values.values()):
            raise wrong("metrics are not of the form {data set: {metric: number}}.")
    for key, kinds in EXTRA.items():
        given = take(key, kinds, None, known.get("extra", {}))
        parts = given if isinstance(given, list) else []
        if (kinds == _NUMBER or kinds == (int,)) and given is not None and not 0 < given < math.inf:
            raise wrong(f"{key} is {given}; expected a positive number.")
        if not all(isinstance(part, str if key == "keypoint_names" else list) for part in parts):
            raise wrong(
                f"{key} is {short(given)}; expected {'names' if key == 'keypoint_names' else 'pairs of numbers'}."
            )
        if key == "skeleton" and not all([type(n) for n in pair] == [int, int] for pair in parts):
            raise wrong(f"skeleton is {short(given)}; expected pairs of numbers.")
    versions = take("versions", (dict,), {}, facts)
    return SavedModel(
        source=source,
        name=name,
        arguments=arguments,
        task=take("task", (str,), "", facts),
        weights=Weights(
            url=source,
            transforms=_preset(take("preprocessing", (dict,), None, facts), wrong),
            config=arguments,
            categories=categories,
            file_size=size / 2**20 if size is not None else None,
            **known,
        ),
        filled=take("filled", (bool,), False, facts),
        dtype=take("dtype", (str,), None, facts),
        versions={str(key): str(value) for key, value in versions.items()},
        trained_from=take("trained_from", (str,), None, facts),
    )


def _preset(given: Mapping[str, Any] | None, wrong: Callable[[str], CheckpointError]) -> Preset | None:
    if given is None:
        return None
    target, arguments = given.get("target"), given.get("arguments", {})
    if not isinstance(target, str) or not isinstance(arguments, dict):
        raise wrong("preprocessing is not of the form {target, arguments}.")
    known = known_presets()
    if target not in known:
        raise wrong(
            f"the preprocessing is {short(target)}, which is neither in zoo.transforms nor that of an installed "
            f"plugin's weights.{suggest(target, known)}"
        )
    preset = Preset(target, {name: _tuples(value) for name, value in arguments.items()})
    if (reason := problem(preset)) is not None:
        raise wrong(f"the preprocessing: {reason}")
    return preset


def _tuples(value: Any) -> Any:
    """Lists as tuples, as in presets."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def known_presets() -> set[str]:
    """Import strings of the preprocessings that a file may name: those of zoo and of installed plugins' weights.

    For catalogues, whose weights are made on access, those in the manifest.
    """
    now = registry()
    enums = {stored_weights(e.spec) for e in now.entries.values()}
    presets = (member.value.transforms for enum in enums if isinstance(enum, type) for member in enum)
    named = {preset for record in now.records if record.manifest for preset in record.manifest.presets}
    return {f"zoo.transforms:{name}" for name in WORDS} | {p.target for p in presets if p is not None} | named


def _problems(arguments: Mapping[str, Any]) -> Iterator[str]:
    """The arguments of a builder that a file must not have."""
    for name, value in arguments.items():
        if not name.isidentifier() or name in _OF_LOADING or (name.startswith("weights") and value is not None):
            yield f"its arguments contain {short(name)}: {short(value)}, which is not an argument of an architecture."
        for text in _texts(value):
            if names_a_file(text):
                yield f"its argument {name} is {short(text)}, a path or URL, which is not allowed."


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def facts_of(weights: Weights) -> dict[str, Any]:
    """The parts of a description that are stored in the file's metadata."""
    default = {f.name: f.default for f in fields(Weights)}
    known = {key: getattr(weights, key) for key in FACTS}
    return {key: value for key, value in known.items() if value and value != default[key]}
