"""The manifest of a plugin, and its checks."""

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
"""The version of this contract. A plugin with a newer version is not used, and the reason is reported."""


@dataclass(frozen=True)
class Command:
    """A command of ``zoo``: ``zoo NAME``, or ``zoo PLUGIN:NAME`` if the name is used elsewhere.

    Attributes:
        name: letters, digits and hyphens.
        target: import string of a Typer app, or of a function for a Typer app; imported when the command runs.
        summary: a sentence, for ``zoo --help``.
    """

    name: str
    target: str
    summary: str


@dataclass(frozen=True)
class Engine:
    """An engine that computes a model instead of PyTorch's own operators: ``zoo.optimize(model, engine=NAME)``.

    Attributes:
        name: e.g. ``onnxruntime``.
        target: import string of a function, imported when it is used and called as
            ``build(module, arguments, *, dtype, dynamic)``. ``module`` is in eval mode, takes tensors like
            ``arguments`` and returns a tuple of tensors. ``dtype`` is the :class:`torch.dtype` to compute in, None for
            the module's own; ``dynamic`` has for each argument the dimensions in which earlier calls had other sizes.
            It returns a function that takes such tensors and returns the outputs of ``module``, on the same device. If
            the function has a method ``takes(*tensors)`` that returns True, it is also called with tensors of other
            shapes; else ``build`` is called again for them.
        suffixes: suffixes of the files that it opens, e.g. ``(".onnx",)``.
        summary: a one-line description.
        requires: names of modules that it imports, e.g. ``("onnxruntime",)``; all must be installed.
        install: what to install if one is missing, as an argument of ``pip install``.
    """

    name: str
    target: str
    suffixes: tuple[str, ...] = ()
    summary: str = field(default="", kw_only=True)
    requires: tuple[str, ...] = field(default=(), kw_only=True)
    install: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Format:
    """A format of exported files: how to write, describe and run them.

    Attributes:
        name: as ``zoo.export(format=…)`` takes it.
        suffixes: suffixes of its files, e.g. ``(".onnx",)``, by which they are recognised.
        summary: a few words, for ``zoo export --help``.
        write: import string of a function ``(capture, path)`` that writes a :class:`zoo.Capture` to the file, and
            perhaps to others beside it whose names begin with the file's. Empty for a format that is only opened.
        facts: import string of a function of a path that returns the text ``capture.facts``; None if the file has none.
            It does not import torch, and does not trust the file.
        open: import string of a function of a path that returns a module or another function: tensors in the order of
            the file's inputs → a dict of its outputs. It executes only arithmetic of the file. Empty for a format that
            is only written.
        write_requires: names of modules that ``write`` imports, ``open_requires`` of modules that ``open`` imports; all
            must be installed.
        install: what to install to write and open files, as an argument of ``pip install``.
        onnx: whether zoo's operators are ONNX operators in the graph, instead of torch operators.
        smooths: whether its runtime antialiases when it shrinks pictures; else antialiasing is written as matrix
            products.
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
    """A folder, or a downloaded hub repository, of which a plugin can build the model.

    Attributes:
        builder: a builder or its import string.
        weights: its description: files, preprocessing, categories.
    """

    builder: Callable[..., Any] | str
    weights: Weights


@dataclass(frozen=True)
class Default:
    """A model to use if only a task is given and the model's weights are available locally.

    Attributes:
        model: the name of one of the plugin's own models.
        weights: name of a member of its weights.
        trained_on: the training data, if it is unlike users' pictures, such as ``"drawn shapes"``. The weights are then
            only used if no others are available locally, and this is reported.
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
        tasks: tasks that the plugin defines.
        commands: commands that it adds to ``zoo``.
        engines: engines that it defines.
        formats: formats of exported files that it defines.
        provides: ``{(task, verb): import string}``: what a verb needs of tasks of other plugins.
            :attr:`TaskSpec.provides` takes precedence.
        renamed: old model names → current names; an old name works with a ``DeprecationWarning``.
        defaults: task → models to use if only the task is given: the smallest of those whose weights are available
            locally. If there are none, the first ones are suggested for download.
        presets: its own preprocessings: import string of the preset → import string of a function ``words(arguments) →
            str`` that describes it, without torch. Saved models may name these presets.
        notes: sentences for ``zoo doctor``: what it changes in the process.
        capabilities: ``pkg://package/capabilities.json``, the measurements of ``zoo matrix``; empty if there are none.
        exceptions: checks of the conformance kit that its models cannot pass: ``"model:check"`` → the reason. The model
            may have wildcards. The kit reports such checks as skipped, with the reason.
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
    """``manifest`` if it follows the contract, checked without importing a model.

    Returns a copy with models and tasks in tuples, so that the checked values are the ones used, even if the plugin
    gives a generator or its own class.

    Raises:
        ContractError: lists every problem, one per line.
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
                problems.append(f"{kind}s contains {short(item)}; expected zoo.{wanted.__name__}(…)")
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
                problems.append(f"{item.name!r} is defined twice among its {kind}s")
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
            problems.append(
                f"renamed={{{old!r}: {new!r}}}: the new name must be a model of this plugin, the old name must not"
            )
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
        return f"{short(default.model)} is not a model of this plugin with this task"
    enum = stored_weights(spec)
    if enum is None or default.weights not in (enum.names if isinstance(enum, LazyEnum) else enum.__members__):
        return f"{short(default.weights)} is not among the weights of {default.model}"
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
            f"{engine.name}: expected text as summary and install; got {short((engine.summary, engine.install))}."
        )


def _check_format(given: Format) -> None:
    check_suffixes(given.name, given.suffixes)
    if not given.suffixes or not all(suffix.startswith(".") for suffix in given.suffixes):
        raise ContractError(
            f"{given.name}: its suffixes are {short(given.suffixes)}; expected a tuple such as ('.onnx',)."
        )
    if not (given.write or given.open):
        raise ContractError(f"{given.name}: it has neither write nor open.")
    for name in ("write", "facts", "open"):
        target = getattr(given, name)
        if target and not is_import_string(target):
            raise ContractError(f"{given.name}: {name} {short(target)} is not of the form 'package.module:name'.")
    if not isinstance(given.summary, str) or not given.summary.strip():
        raise ContractError(f"{given.name}: its summary is {short(given.summary)}; expected a few words.")


def _as_spec(spec: ModelSpec) -> ModelSpec:
    """``spec`` itself, or for a subclass a copy of its current values: lists read them often, for all plugins."""
    if type(spec) is ModelSpec or not isinstance(spec, ModelSpec):
        return spec
    return ModelSpec(**{f.name: getattr(spec, f.name) for f in fields(ModelSpec)})
