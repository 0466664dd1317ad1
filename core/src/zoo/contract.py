"""What a plugin hands to the registry: weights, models and tasks as plain data, described without importing torch."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum, EnumType
from typing import TYPE_CHECKING, Any

from zoo.errors import ContractError, InvalidArgument, UnknownWeights, suggest

if TYPE_CHECKING:
    from torch import Tensor

API_VERSION = 1
"""The version of this contract. A manifest that asks for a newer one is set aside with a sentence that says so."""

Metrics = Mapping[str, Mapping[str, float]]
"""Data set name → metric name → value, e.g. ``{"ImageNet-1K": {"acc@1": 80.858, "acc@5": 95.434}}``."""


def is_import_string(target: object) -> bool:
    """Whether ``target`` has the form ``"package.module:name"``; nothing is imported."""
    module, colon, name = target.partition(":") if isinstance(target, str) else ("", "", "")
    return bool(module and colon and name.isidentifier())


def load_object(target: str) -> Any:
    """The object that an import string ``"package.module:name"`` names; its module is imported.

    Raises:
        ContractError: the string has another form, or the module has no such name.
    """
    if not is_import_string(target):
        raise ContractError(f"{target!r} is not an import string; expected the form 'package.module:name'.")
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError as e:
        raise ContractError(f"{target!r} cannot be resolved: {e}.") from e


@functools.lru_cache(maxsize=64)
def _read_names(resource: str) -> tuple[str, ...]:
    from zoo.cache import open_resource

    with open_resource(resource) as f:
        return tuple(f.read().decode().splitlines())


@dataclass(frozen=True, slots=True)
class Preset:
    """A preprocessing that is built when it is asked for: an import string and the arguments to call it with.

    >>> Preset("zoo.transforms:ImageClassification", {"crop_size": 224})   # describes; imports nothing
    >>> preset()                                                           # builds the transform
    >>> preset(crop_size=256)                                              # builds it with another argument
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, **overrides: Any) -> Callable[..., Any]:
        made: Callable[..., Any] = load_object(self.target)(**{**self.arguments, **overrides})
        return made

    def __hash__(self) -> int:
        return hash(self.target)


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """One checkpoint and all that is known about it. ``dataclasses.replace(w, url=…)`` describes your own.

    Attributes:
        url: ``https://…``, ``hf://org/repo/file@revision``, ``file:///…`` or ``pkg://package/path`` (a file inside
            an installed wheel), or a scheme that a plugin serves. A name that ends in ``-<hex>.<ext>`` promises that
            the file's SHA-256 begins with those digits, and is held to it.
        transforms: builds the preprocessing that the weights were evaluated with.
        config: builder arguments that this checkpoint needs, such as ``num_classes`` or ``image_size``.
        num_params: number of parameters of the model.
        metrics: data set → metric → value; see :data:`Metrics`.
        gflops: billions of multiply-adds of one forward pass at the evaluation size.
        ops_unit: what ``gflops`` counts, the heading of ``zoo table``; ``"GIPS"`` where it is integer operations.
        file_size: of the file, in MB (2**20 bytes).
        categories: class names in label order, or a ``pkg://`` resource that lists one per line, read when asked.
        recipe: link to how the weights were trained.
        license: name of or link to the licence of the weights; ``"unknown"`` where nobody has said.
        min_size: smallest (height, width) the model accepts.
        docs: a sentence on where the weights come from.
        extra: further facts, shown in :attr:`meta` under their own keys (``keypoint_names``, ``backend``, …).
    """

    url: str
    transforms: Preset | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    num_params: int | None = None
    metrics: Metrics = field(default_factory=dict)
    gflops: float | None = None
    ops_unit: str = "GFLOPS"
    file_size: float | None = None
    categories: str | Sequence[str] | None = None
    recipe: str | None = None
    license: str = "unknown"
    min_size: tuple[int, int] | None = None
    docs: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:  # equal weights have equal URLs; mappings cannot be hashed
        return hash(self.url)

    def read_categories(self) -> list[str]:
        """Class names in label order; an empty list where there are none."""
        if isinstance(self.categories, str):
            return list(_read_names(self.categories))
        return list(self.categories or ())

    @property
    def meta(self) -> dict[str, Any]:
        """The same facts under the keys that torchvision uses (those that are known)."""
        known = {
            "num_params": self.num_params,
            "min_size": self.min_size,
            "categories": self.read_categories() or None,
            "recipe": self.recipe,
            "license": self.license,
            "_metrics": {data: dict(values) for data, values in self.metrics.items()},
            "_ops": self.gflops,
            "_file_size": self.file_size,
            "_docs": self.docs,
            **self.extra,
        }
        return {key: value for key, value in known.items() if value is not None}

    def get_state_dict(self, progress: bool = True, check_hash: bool = True) -> dict[str, Tensor]:
        """Fetch the file if need be and read it: name → tensor, as it was saved.

        Args:
            progress: show a progress bar while downloading.
            check_hash: hold the file to the digest in its name. ``False`` is accepted for code written for
                torchvision and changes nothing: a file that is not what its name promises is never loaded.
        """
        from zoo.checkpoint import read

        return read(self.url, progress=progress)


class _Body(dict[str, Any]):
    """What a class statement defines, each entry once: of two of one name, the first would be lost in silence."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self and isinstance(value, Weights):
            raise ContractError(f"{self.get('__qualname__', '')}.{name} is there twice; give one of them another name.")
        super().__setitem__(name, value)


class _WeightsType(EnumType):
    """Makes an enum of weights in a third of the time that EnumType takes.

    A hundred plugins of a hundred models define ten thousand of them before the first name can be listed. What an
    enum is made of is taken from WeightsEnum itself, which EnumType made: only its members are added here.
    """

    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **kwds: Any) -> Any:  # type: ignore[override]
        return super().__prepare__(name, bases, **kwds) if bases == (Enum,) else _Body()

    def __new__(metacls, cls: str, bases: tuple[type, ...], body: Any, **kwds: Any) -> Any:
        if bases == (Enum,):
            return super().__new__(metacls, cls, bases, body, **kwds)
        if len(bases) > 1 or bases[0]._member_names_:  # type: ignore[attr-defined]
            raise ContractError(f"{cls}: an enum of weights has one base, which has no members of its own.")
        rest: dict[str, Any] = {"_member_names_": [], "_member_map_": {}}
        given: list[tuple[str, Weights]] = []
        for name, value in body.items():
            if isinstance(value, Weights):
                given.append((name, value))
            elif name[0] == "_" or callable(value) or hasattr(value, "__get__"):
                rest[name] = value
            else:
                raise ContractError(f"{cls}.{name} is {value!r}; expected zoo.Weights(…).")
        enum: Any = type.__new__(metacls, cls, bases, rest)
        names, members = rest["_member_names_"], rest["_member_map_"]
        by_value: dict[Weights, Any] = {}
        for name, value in given:
            member = by_value.get(value)
            if member is None:
                member = object.__new__(enum)
                member._name_, member._value_, member.__objclass__, member._sort_order_ = name, value, enum, len(names)
                names.append(name)
                by_value[value] = member
            elif name != "DEFAULT":
                raise ContractError(
                    f"{cls}.{name} and .{member.name} have equal values. Only DEFAULT may repeat another member; give "
                    "the others different URLs or facts, or drop one."
                )
            members[name] = member
            type.__setattr__(enum, name, member)
        return enum


class WeightsEnum(Enum, metaclass=_WeightsType):
    """The published weights of one model: members are :class:`Weights`, ``DEFAULT`` names the best of them."""

    @classmethod
    def _missing_(cls, value: object) -> WeightsEnum | None:
        return next((member for member in cls if member.value == value), None)

    @classmethod
    def verify(cls, given: Any) -> WeightsEnum | None:
        """The member that ``given`` names: None, a member, ``"IMAGENET1K_V2"`` or ``"ResNet50_Weights.IMAGENET1K_V2"``.

        Raises:
            UnknownWeights: anything else; the members are listed.
        """
        if given is None or isinstance(given, cls):
            return given
        if isinstance(given, str):
            member = cls.__members__.get(given.removeprefix(f"{cls.__name__}."))
            if member is not None:
                return member
        close = suggest(given, cls.__members__) if isinstance(given, str) else ""
        members = ", ".join(cls.__members__) or "none yet"
        raise UnknownWeights(f"{given!r} is none of {cls.__name__}'s weights ({members}).{close}")

    @property
    def url(self) -> str:
        return self.value.url  # type: ignore[no-any-return]

    @property
    def transforms(self) -> Preset | None:
        """Builds the preprocessing: ``weights.transforms()``."""
        return self.value.transforms  # type: ignore[no-any-return]

    @property
    def meta(self) -> dict[str, Any]:
        return self.value.meta  # type: ignore[no-any-return]

    def get_state_dict(self, progress: bool = True, check_hash: bool = True) -> dict[str, Tensor]:
        return self.value.get_state_dict(progress=progress, check_hash=check_hash)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    __str__ = __repr__

    # By name: a member stays itself, also when its facts were corrected since it was pickled.
    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return getattr, (type(self), self.name)

    def __copy__(self) -> WeightsEnum:
        return self

    def __deepcopy__(self, memo: Any) -> WeightsEnum:
        return self


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}")


def short(value: object) -> str:
    """``repr(value)``, cut where nobody would read on; for messages about what a plugin gave."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text)} characters)"


def check_name(kind: str, name: object) -> str:
    """``name`` if it can be a model's, plugin's or task's: up to 100 letters, digits, ``_``, ``-`` and ``.``."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ContractError(
            f"{short(name)} is not a {kind} name; expected letters, digits, '_', '-' or '.', at most 100 of them."
        )
    return name


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model that a plugin offers.

    Attributes:
        name: as users type it; its full name is ``plugin/name``.
        builder: import string of the builder; imported only when a model is built.
        task: the task's name, or several, the main one first.
        weights: the enum of its weights, if any are published.
        num_params: number of parameters; by default that of the ``DEFAULT`` weights.
        paper: title and link of the paper.
        family: the models it is tested and listed with; by default the module that holds the builder.
        capture: whether ``torch.compile`` and ``torch.export`` work on it.
        input: facts about the input, e.g. ``{"num_frames": 16}``, where the model is particular.
    """

    name: str
    builder: str
    task: str | tuple[str, ...] = field(kw_only=True)
    weights: type[WeightsEnum] | None = field(default=None, kw_only=True)
    num_params: int | None = field(default=None, kw_only=True)
    paper: str | None = field(default=None, kw_only=True)
    family: str | None = field(default=None, kw_only=True)
    capture: bool = field(default=True, kw_only=True)
    input: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    @property
    def tasks(self) -> tuple[str, ...]:
        return (self.task,) if isinstance(self.task, str) else tuple(self.task)

    @property
    def default_weights(self) -> Weights | None:
        """The ``DEFAULT`` entry, else the first, else None."""
        members = self.weights.__members__ if self.weights else {}
        chosen = members.get("DEFAULT") or next(iter(members.values()), None)
        return chosen.value if chosen else None

    @property
    def parameters(self) -> int | None:
        default = self.default_weights
        return self.num_params or (default.num_params if default else None)


@dataclass(frozen=True)
class Metric:
    """A column of ``zoo table``: the key in :attr:`Weights.metrics`, its heading, and whether more is better."""

    key: str
    title: str
    higher_is_better: bool = True


@dataclass(frozen=True)
class TaskSpec:
    """How files become inputs, and a model's outputs become results that a person can read.

    The steps are import strings, imported when something is predicted. ``zoo.pipeline`` runs them in order.

    Attributes:
        name: the task's name on the hub, such as ``image-classification``.
        metrics: the columns of ``zoo table``; the first is what ``zoo list`` shows.
        load: ``load(source) → input``: opens what the user named (a path, a PIL image, a tensor).
        transform: ``transform(weights: Weights) → callable`` that prepares one input; by default the weights' own.
            Further parameters that it has are options of ``zoo.pipeline``: ``transform(weights, pad=True)`` is called
            with what ``zoo.pipeline(model, pad=False)`` says, or ``zoo predict --pad=false``.
        collate: ``collate(list of prepared inputs) → tuple`` of positional arguments of the model.
        decode: ``decode(outputs, inputs, weights) → list`` of results, one per input. Its further parameters are
            options too.
        draw: ``draw(result) → PIL.Image.Image``.
        evaluate: ``evaluate(images: Path, annotations: Path | None, weights: Weights) → zoo.evaluation.Evaluator``:
            what knows how a data set lies on the disk and how results are scored, for ``zoo evaluate``. Further
            parameters are options there, as those of ``transform`` are.
        export: ``export(model, image_size: (height, width) | None) → zoo.Exportable``: the model as a graph can hold
            it, for ``zoo.export`` and ``zoo export``, of which further parameters are options. By default the model
            itself, given one picture.
        suffixes: file name endings that ``zoo predict`` picks from a folder, e.g. ``(".jpg", ".png")``.
        inputs_per_sample: how many files make one input. Where it is 2, ``load`` gets a tuple of two sources: what was
            named is taken two at a time, of a folder every file with the one that follows it.
        sequence: ``sequence(source) → bool``: whether a source is an input by itself, also where ``inputs_per_sample``
            is more than one: a video, which holds many pairs of frames. ``load`` gets it as it is.
        gather: ``gather(input, results) → result``. It is for inputs that go through the model part by part, as no
            memory holds all of a long video: their transform returns an iterator, of an ``(input, prepared)`` for each
            part. The parts are prepared, collated and decoded a batch at a time, and ``results`` iterates over what
            ``decode`` makes of them.
        input_ndim: dimensions of an input that is given as a tensor: 3 for a picture [C, H, W], 4 for a video [T, C, H,
            W]. A tensor with one more is a batch.
        same_size: whether only inputs that are prepared to one size can go through the model together.
        required: fields of :class:`Weights` that the task's entries must have; the conformance kit checks them.
    """

    name: str
    metrics: tuple[Metric, ...] = field(default=(), kw_only=True)
    load: str = field(kw_only=True)
    transform: str | None = field(default=None, kw_only=True)
    collate: str = field(kw_only=True)
    decode: str = field(kw_only=True)
    draw: str | None = field(default=None, kw_only=True)
    evaluate: str | None = field(default=None, kw_only=True)
    export: str | None = field(default=None, kw_only=True)
    suffixes: tuple[str, ...] = field(default=(), kw_only=True)
    inputs_per_sample: int = field(default=1, kw_only=True)
    sequence: str | None = field(default=None, kw_only=True)
    gather: str | None = field(default=None, kw_only=True)
    input_ndim: int = field(default=3, kw_only=True)
    same_size: bool = field(default=False, kw_only=True)
    required: tuple[str, ...] = field(default=("transforms", "num_params", "metrics"), kw_only=True)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that a plugin offers, returned by its ``zoo_manifest`` hook.

    Attributes:
        api_version: the :data:`API_VERSION` that the plugin was written for.
        models: the models.
        tasks: tasks that the plugin brings.
        renamed: old model names → present ones; an old name works with a ``DeprecationWarning``.
    """

    api_version: int
    models: Sequence[ModelSpec] = ()
    tasks: Sequence[TaskSpec] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


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
        models=tuple(map(_plain, manifest.models)),
        tasks=tuple(manifest.tasks),
        renamed=dict(manifest.renamed),
    )
    problems: list[str] = []
    enums: dict[str, type[WeightsEnum]] = {}
    for kind, items, wanted in (("model", read.models, ModelSpec), ("task", read.tasks, TaskSpec)):
        seen: set[str] = set()
        for item in items:
            if not isinstance(item, wanted):
                problems.append(f"{kind}s holds {short(item)}; expected zoo.{wanted.__name__}(…)")
                continue
            try:
                check_name(kind, item.name)
                if isinstance(item, ModelSpec):
                    check_model(item)
                    if item.weights and enums.setdefault(item.weights.__name__, item.weights) is not item.weights:
                        problems.append(f"{item.name}: another enum of its weights is called {item.weights.__name__}")
                elif isinstance(item, TaskSpec):
                    check_task(item)
            except ContractError as e:
                problems.append(str(e))
                continue
            if item.name in seen:
                problems.append(f"{item.name!r} is there twice among its {kind}s")
            seen.add(item.name)
    names = {m.name for m in read.models if isinstance(m, ModelSpec)}
    for old, new in read.renamed.items():
        if new not in names or old in names:
            problems.append(f"renamed={{{old!r}: {new!r}}}: the new name must be a model of this plugin, the old none")
    if len(problems) > 10:
        problems[10:] = [f"and {len(problems) - 10} problems more"]
    if problems:
        raise ContractError("\n".join(problems))
    return read


def _plain(spec: ModelSpec) -> ModelSpec:
    """``spec`` itself, or of a subclass what it says now: lists ask again and again, and for all plugins at once."""
    if type(spec) is ModelSpec or not isinstance(spec, ModelSpec):
        return spec
    return ModelSpec(**{f.name: getattr(spec, f.name) for f in fields(ModelSpec)})


def check_model(spec: ModelSpec) -> None:
    """Raise ContractError if ``spec`` cannot be right: the form of its import string, its tasks, its weights."""
    if not is_import_string(spec.builder):
        raise ContractError(f"{spec.name}: builder {short(spec.builder)} is not of the form 'package.module:name'.")
    if not spec.tasks:
        raise ContractError(f"{spec.name}: it has no task.")
    for task in spec.tasks:
        check_name("task", task)
    if spec.num_params is not None and not isinstance(spec.num_params, int):
        raise ContractError(f"{spec.name}: num_params is {short(spec.num_params)}; expected a whole number.")
    if spec.weights is None:
        return
    if not (isinstance(spec.weights, type) and issubclass(spec.weights, WeightsEnum)):
        raise ContractError(f"{spec.name}: weights is {short(spec.weights)}; expected a subclass of zoo.WeightsEnum.")
    for member in spec.weights.__members__.values():
        _check_weights(member)


_Number = (int, float)


def _check_weights(member: WeightsEnum) -> None:
    """Raise ContractError if a fact that lists are filtered by is of another type than the contract says."""
    w: Weights = member._value_
    right = isinstance(w.url, str) and isinstance(w.num_params or 0, int) and isinstance(w.gflops or 0, _Number)
    try:
        for of_data in w.metrics.values():
            for value in of_data.values():
                right = right and isinstance(value, _Number)
    except AttributeError:
        right = False
    if not right:
        raise ContractError(
            f"{member!r}: expected a str as url, whole num_params, a number of gflops, and metrics of the form "
            f"{{data set: {{metric: number}}}}; they are {short((w.url, w.num_params, w.gflops, w.metrics))}."
        )


def check_task(task: TaskSpec) -> None:
    """Raise ContractError if ``task`` cannot be right: the form of its import strings, its metrics, its suffixes."""
    needed = ("load", "collate", "decode")
    for step in (*needed, "transform", "draw", "evaluate", "export", "sequence", "gather"):
        target = getattr(task, step)
        if (target is not None or step in needed) and not is_import_string(target):
            raise ContractError(f"{task.name}: {step} {short(target)} is not of the form 'package.module:name'.")
    if not all(isinstance(metric, Metric) for metric in task.metrics):
        raise ContractError(f"{task.name}: metrics is {short(task.metrics)}; expected a tuple of zoo.Metric(…).")
    if not isinstance(task.suffixes, tuple) or not all(isinstance(s, str) for s in task.suffixes):
        raise ContractError(f"{task.name}: suffixes is {short(task.suffixes)}; expected a tuple such as ('.png',).")


def check_count(name: str, value: object, minimum: int = 0) -> int:
    """``value`` if it is a whole number of at least ``minimum``, else an InvalidArgument that says so."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise InvalidArgument(f"{name} is {value!r}; expected a whole number of at least {minimum}.")
    return value


@dataclass(frozen=True)
class Stage:
    """A place in a model where features of one resolution can be read off: what ``zoo.feature_info`` lists.

    Attributes:
        path: of the submodule whose output they are, as in ``model.get_submodule(path)``.
        channels: number of channels.
        stride: input pixels per feature cell.
        layout: order of the output's dimensions: ``NCHW``, ``NHWC`` or ``NLC`` (a sequence of patches).
    """

    path: str
    channels: int
    stride: int
    layout: str = "NCHW"
