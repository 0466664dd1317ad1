"""All that a plugin offers, and whether it follows the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from zoo.contract.checks import check_model, check_name, check_suffixes, check_task, short
from zoo.contract.enums import LazyEnum, WeightsEnum
from zoo.contract.imports import is_import_string
from zoo.contract.models import ModelSpec, stored_weights
from zoo.contract.tasks import TaskSpec
from zoo.contract.weights import Weights
from zoo.errors import ContractError

API_VERSION = 1
"""The version of this contract. A manifest that asks for a newer one is set aside with a sentence that says so."""


@dataclass(frozen=True)
class Command:
    """A command of ``zoo``: ``zoo NAME``, or ``zoo PLUGIN:NAME`` where others have the name.

    Attributes:
        name: letters, digits and hyphens.
        target: import string of a Typer app, or of a function for one; imported when the command runs.
        summary: a sentence, for ``zoo --help``.
    """

    name: str
    target: str
    summary: str


@dataclass(frozen=True)
class Engine:
    """What computes a model in place of PyTorch's own operators: ``zoo.optimize(model, engine=NAME)``.

    Attributes:
        name: such as ``onnxruntime``.
        target: import string of a function, imported when it is used and called as
            ``build(module, arguments, *, dtype, dynamic)``. ``module`` is in eval mode, takes tensors as ``arguments``
            are and returns a tuple of tensors. ``dtype`` is the :class:`torch.dtype` to compute in, None for the
            module's own; ``dynamic`` has for each argument the dimensions in which earlier calls had other sizes. It
            returns a function that takes such tensors and returns what ``module`` does, on the same device. Where that
            has a method ``takes(*tensors)`` and says True, it is called with tensors of other shapes too; else
            ``build`` is called again for those.
        suffixes: endings of the files that it opens, e.g. ``(".onnx",)``.
        summary: a line that says what it is.
        requires: names of modules that it imports, e.g. ``("onnxruntime",)``; none of them may be missing.
        install: what is to be installed where one is missing, as ``pip install`` takes it.
    """

    name: str
    target: str
    suffixes: tuple[str, ...] = ()
    summary: str = field(default="", kw_only=True)
    requires: tuple[str, ...] = field(default=(), kw_only=True)
    install: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Format:
    """A format of exported files: what writes one, what says what one is, and what runs one.

    Attributes:
        name: as ``zoo.export(format=…)`` takes it.
        suffixes: endings of its files, e.g. ``(".onnx",)``; by them files are known.
        summary: a few words, for ``zoo export --help``.
        write: import string of what is called with ``(capture, path)``, a :class:`zoo.Capture`, and writes the file,
            and others beside it whose names begin with the file's. Empty for a format that is only opened.
        facts: import string of what is called with a path and returns the text that ``capture.facts`` was; None where
            the file has none. It imports no torch, and believes nothing.
        open: import string of what is called with a path and returns a module, or another function: tensors in the
            order of the file's inputs → a dict of its outputs. It runs nothing of the file but its arithmetic. Empty
            for a format that is only written.
        write_requires: names of modules that ``write`` imports, ``open_requires`` of those that ``open`` does; none
            may be missing.
        install: what is to be installed to write and to open one, as ``pip install`` takes it.
        onnx: whether operators of zoo stand in the graph as those of ONNX, and not as operators of torch.
        smooths: whether what runs it smooths pictures when it shrinks them; else that is written as matrix products.
    """

    name: str
    suffixes: tuple[str, ...]
    summary: str
    write: str = ""
    facts: str = ""
    open: str = ""
    write_requires: tuple[str, ...] = field(default=(), kw_only=True)
    open_requires: tuple[str, ...] = field(default=(), kw_only=True)
    install: tuple[str, str] = field(default=("", ""), kw_only=True)
    onnx: bool = field(default=False, kw_only=True)
    smooths: bool = field(default=True, kw_only=True)


@dataclass(frozen=True)
class Repository:
    """A folder, or a hub repository that was fetched into one, which a plugin knows how to build.

    Attributes:
        builder: a builder, or the import string of one.
        weights: what is known of it: its files, preprocessing, categories.
    """

    builder: Callable[..., Any] | str
    weights: Weights


@dataclass(frozen=True)
class Default:
    """A model to take where a task is named and no model, if its weights are at hand.

    Attributes:
        model: the name of one of the plugin's own models.
        weights: an entry of its weights.
        trained_on: what these weights have seen, where that is nothing like the pictures that people have, such as
            ``"drawn shapes"``. They are then taken only where no others are at hand, and that is said.
    """

    model: str
    weights: str = "DEFAULT"
    trained_on: str = ""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that a plugin offers, returned by its ``zoo_manifest`` hook.

    Attributes:
        api_version: the :data:`API_VERSION` that the plugin was written for.
        models: the models.
        tasks: tasks that the plugin brings.
        commands: commands that it brings to ``zoo``.
        engines: engines that it brings.
        formats: formats of exported files that it brings.
        provides: ``{(task, verb): import string}``: what a verb needs of tasks that other plugins bring; see
            :attr:`TaskSpec.provides`, which goes before.
        renamed: old model names → present ones; an old name works with a ``DeprecationWarning``.
        defaults: task → models to take where only the task is named. Of those whose weights are at hand the smallest
            is taken; of the others the first are offered for download.
        presets: preprocessings of its own, import string of the preset → import string of a function that says in
            words what it does: ``words(arguments) → str``, without torch. Saved models may name those that are here.
        notes: sentences for ``zoo doctor``: what it does to the process beside offering models.
        capabilities: ``pkg://package/capabilities.json``, what ``zoo matrix`` measured of the models; empty for none.
        exceptions: what the conformance kit need not hold the plugin to, and why: ``"model:check"`` → the reason. The
            model may have wildcards. The kit reports such checks as skipped, with the reason.
    """

    api_version: int
    models: Sequence[ModelSpec] = ()
    tasks: Sequence[TaskSpec] = ()
    commands: Sequence[Command] = ()
    engines: Sequence[Engine] = ()
    formats: Sequence[Format] = ()
    provides: Mapping[tuple[str, str], str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Sequence[Default]] = field(default_factory=dict)
    presets: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    capabilities: str = ""
    exceptions: Mapping[str, str] = field(default_factory=dict)


def check_manifest(manifest: object) -> Manifest:
    """``manifest`` if it follows the contract, as far as can be told without importing a model.

    What comes back is a copy with its models and tasks in tuples, so that what was checked is what will be used, also
    of a plugin that gives a generator or a class of its own.

    Raises:
        ContractError: with every problem that was found, one a line.
    """
    if not isinstance(manifest, Manifest):
        raise ContractError(f"zoo_manifest() returned {type(manifest).__name__}; expected zoo.Manifest(…).")
    if not isinstance(manifest.api_version, int) or manifest.api_version > API_VERSION:
        raise ContractError(
            f"it was written for version {manifest.api_version!r} of the plugin contract and this zoo-core serves "
            f"version {API_VERSION}. Install a newer zoo-core: pip install -U zoo-core"
        )
    read = Manifest(
        api_version=manifest.api_version,
        models=tuple(map(_as_spec, manifest.models)),
        tasks=tuple(manifest.tasks),
        commands=tuple(manifest.commands),
        engines=tuple(manifest.engines),
        formats=tuple(manifest.formats),
        provides=dict(manifest.provides),
        renamed=dict(manifest.renamed),
        defaults={task: tuple(given) for task, given in manifest.defaults.items()},
        presets=dict(manifest.presets),
        notes=tuple(map(str, manifest.notes)),
        capabilities=manifest.capabilities,
        exceptions=dict(manifest.exceptions),
    )
    problems: list[str] = []
    enums: dict[str, type[WeightsEnum] | LazyEnum] = {}
    kinds: tuple[tuple[str, Sequence[Any], type[Any], Callable[[Any], None]], ...] = (
        ("model", read.models, ModelSpec, check_model),
        ("task", read.tasks, TaskSpec, check_task),
        ("command", read.commands, Command, _check_command),
        ("engine", read.engines, Engine, _check_engine),
        ("format", read.formats, Format, _check_format),
    )
    for kind, items, wanted, check in kinds:
        seen: set[str] = set()
        for item in items:
            if not isinstance(item, wanted):
                problems.append(f"{kind}s holds {short(item)}; expected zoo.{wanted.__name__}(…)")
                continue
            try:
                check_name(kind, item.name)
                check(item)
                enum = stored_weights(item) if isinstance(item, ModelSpec) else None
                if enum and enums.setdefault(item.weights_name, enum) is not enum:
                    problems.append(f"{item.name}: another enum of its weights is called {item.weights_name}")
            except ContractError as e:
                problems.append(str(e))
                continue
            if item.name in seen:
                problems.append(f"{item.name!r} is there twice among its {kind}s")
            seen.add(item.name)
    for key, target in read.provides.items():
        if not (isinstance(key, tuple) and [type(part) for part in key] == [str, str] and is_import_string(target)):
            problems.append(f"provides has {short(key)}: {short(target)}; expected (task, verb): 'package.module:name'")
    for preset, words in read.presets.items():
        if not (is_import_string(preset) and is_import_string(words)):
            problems.append(
                f"presets has {short(preset)}: {short(words)}; expected 'package.module:Preset': 'package.module:words'"
            )
    names = {m.name for m in read.models if isinstance(m, ModelSpec)}
    for old, new in read.renamed.items():
        if new not in names or old in names:
            problems.append(f"renamed={{{old!r}: {new!r}}}: the new name must be a model of this plugin, the old none")
    specs = {m.name: m for m in read.models if isinstance(m, ModelSpec)}
    for task, given in read.defaults.items():
        problems += [f"defaults of {short(task)}: {wrong}" for d in given if (wrong := _wrong_default(task, d, specs))]
    if read.capabilities and not str(read.capabilities).startswith("pkg://"):
        problems.append(f"capabilities is {short(read.capabilities)}; expected 'pkg://package/capabilities.json'")
    for excepted, why in read.exceptions.items():
        texts = [type(excepted), type(why)] == [str, str]
        if not (texts and ":" in excepted and why.strip()):
            problems.append(f"exceptions has {short(excepted)}: {short(why)}; expected 'model:check': 'why'")
    if len(problems) > 10:
        problems[10:] = [f"and {len(problems) - 10} problems more"]
    if problems:
        raise ContractError("\n".join(problems))
    return read


def _wrong_default(task: str, default: object, specs: Mapping[str, ModelSpec]) -> str:
    """What is wrong with a default of a task; empty if nothing is."""
    if not isinstance(default, Default):
        return f"{short(default)}; expected zoo.Default(…)"
    spec = specs.get(default.model)
    if spec is None or task not in spec.tasks:
        return f"{short(default.model)} is no model of this plugin that serves it"
    enum = stored_weights(spec)
    if enum is None or default.weights not in (enum.names if isinstance(enum, LazyEnum) else enum.__members__):
        return f"{short(default.weights)} is no entry of the weights of {default.model}"
    return "" if isinstance(default.trained_on, str) else f"trained_on is {short(default.trained_on)}; expected text"


def _check_command(command: Command) -> None:
    if not is_import_string(command.target):
        raise ContractError(f"{command.name}: {short(command.target)} is not of the form 'package.module:name'.")
    if not isinstance(command.summary, str) or not command.summary.strip():
        raise ContractError(f"{command.name}: its summary is {short(command.summary)}; expected a sentence.")


def _check_engine(engine: Engine) -> None:
    if not is_import_string(engine.target):
        raise ContractError(f"{engine.name}: {short(engine.target)} is not of the form 'package.module:name'.")
    check_suffixes(engine.name, engine.suffixes)
    if not isinstance(engine.requires, tuple) or not all(isinstance(name, str) for name in engine.requires):
        raise ContractError(
            f"{engine.name}: requires is {short(engine.requires)}; expected a tuple of names of modules."
        )
    if not isinstance(engine.summary, str) or not isinstance(engine.install, str):
        raise ContractError(
            f"{engine.name}: its summary and install are texts; they are {short((engine.summary, engine.install))}."
        )


def _check_format(given: Format) -> None:
    check_suffixes(given.name, given.suffixes)
    if not given.suffixes or not all(suffix.startswith(".") for suffix in given.suffixes):
        raise ContractError(f"{given.name}: its suffixes are {short(given.suffixes)}; expected such as ('.onnx',).")
    if not (given.write or given.open):
        raise ContractError(f"{given.name}: it has neither write nor open.")
    for name in ("write", "facts", "open"):
        target = getattr(given, name)
        if target and not is_import_string(target):
            raise ContractError(f"{given.name}: {name} {short(target)} is not of the form 'package.module:name'.")
    if not isinstance(given.summary, str) or not given.summary.strip():
        raise ContractError(f"{given.name}: its summary is {short(given.summary)}; expected a few words.")


def _as_spec(spec: ModelSpec) -> ModelSpec:
    """``spec`` itself, or of a subclass what it says now: lists ask again and again, and for all plugins at once."""
    if type(spec) is ModelSpec or not isinstance(spec, ModelSpec):
        return spec
    return ModelSpec(**{f.name: getattr(spec, f.name) for f in fields(ModelSpec)})
