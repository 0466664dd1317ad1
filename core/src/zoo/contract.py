"""What a plugin hands to the registry: weights, models and tasks as plain data, described without importing torch."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from zoo.errors import ContractError, InvalidArgument, UnknownWeights, suggest

if TYPE_CHECKING:
    from torch import Tensor

API_VERSION = 1
"""The version of this contract. A manifest that asks for a newer one is set aside with a sentence that says so."""

Metrics = Mapping[str, Mapping[str, float]]
"""Data set name → metric name → value, e.g. ``{"ImageNet-1K": {"acc@1": 80.858, "acc@5": 95.434}}``."""


def load_object(target: str) -> Any:
    """The object that an import string ``"package.module:name"`` names; its module is imported.

    Raises:
        ContractError: the string has another form, or the module has no such name.
    """
    module, colon, name = target.partition(":")
    if not (module and colon and name.isidentifier()):
        raise ContractError(f"{target!r} is not an import string; expected the form 'package.module:name'.")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError as e:
        raise ContractError(f"{target!r} cannot be resolved: {e}.") from e


@functools.lru_cache(maxsize=64)
def _read_names(resource: str) -> tuple[str, ...]:
    from zoo.cache import open_resource

    with open_resource(resource) as f:
        return tuple(f.read().decode().splitlines())


@dataclass(frozen=True)
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


@dataclass(frozen=True, kw_only=True)
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


class WeightsEnum(Enum):
    """The published weights of one model: members are :class:`Weights`, ``DEFAULT`` names the best of them."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, member in cls.__members__.items():
            if not isinstance(member.value, Weights):
                raise ContractError(f"{cls.__name__}.{name} is {member.value!r}; expected zoo.Weights(…).")
            if name not in (member.name, "DEFAULT"):
                raise ContractError(
                    f"{cls.__name__}.{name} and .{member.name} have equal values. Only DEFAULT may repeat another "
                    "member; give the others different URLs or facts, or drop one."
                )

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


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")


def check_name(kind: str, name: object) -> str:
    """``name`` if it can be a model's, plugin's or task's name: letters, digits, ``_``, ``-`` and ``.``."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ContractError(f"{name!r} is not a {kind} name; expected letters, digits, '_', '-' or '.'.")
    return name


@dataclass(frozen=True)
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

    The four steps are import strings, imported when something is predicted. ``zoo.pipeline`` runs them in order.

    Attributes:
        name: the task's name on the hub, such as ``image-classification``.
        metrics: the columns of ``zoo table``; the first is what ``zoo list`` shows.
        load: ``load(source) → input``: opens what the user named (a path, a PIL image, a tensor).
        transform: ``transform(weights: Weights) → callable`` that prepares one input; by default the weights' own.
        collate: ``collate(list of prepared inputs) → tuple`` of positional arguments of the model.
        decode: ``decode(outputs, inputs, weights) → list`` of results, one per input.
        draw: ``draw(result) → PIL.Image.Image``.
        suffixes: file name endings that ``zoo predict`` picks from a folder, e.g. ``(".jpg", ".png")``.
        required: fields of :class:`Weights` that the task's entries must have; the conformance kit checks them.
    """

    name: str
    metrics: tuple[Metric, ...] = field(default=(), kw_only=True)
    load: str = field(kw_only=True)
    transform: str | None = field(default=None, kw_only=True)
    collate: str = field(kw_only=True)
    decode: str = field(kw_only=True)
    draw: str | None = field(default=None, kw_only=True)
    suffixes: tuple[str, ...] = field(default=(), kw_only=True)
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
    problems = []
    for kind, items, wanted in (("models", manifest.models, ModelSpec), ("tasks", manifest.tasks, TaskSpec)):
        seen: set[str] = set()
        for item in items:
            if not isinstance(item, wanted):
                problems.append(f"{kind} holds {item!r}; expected zoo.{wanted.__name__}(…)")
                continue
            try:
                check_name(kind[:-1], item.name)
                if isinstance(item, ModelSpec):
                    check_model(item)
            except ContractError as e:
                problems.append(str(e))
            if item.name in seen:
                problems.append(f"{item.name!r} is there twice among its {kind}")
            seen.add(item.name)
    names = {m.name for m in manifest.models if isinstance(m, ModelSpec)}
    for old, new in manifest.renamed.items():
        if new not in names or old in names:
            problems.append(f"renamed={{{old!r}: {new!r}}}: the new name must be a model of this plugin, the old none")
    if problems:
        raise ContractError("\n".join(problems))
    return manifest


def check_model(spec: ModelSpec) -> None:
    """Raise ContractError if ``spec`` cannot be right: the form of its import string, its tasks, its weights."""
    module, _, name = spec.builder.partition(":") if isinstance(spec.builder, str) else ("", "", "")
    if not module or not name.isidentifier():
        raise ContractError(f"{spec.name}: builder {spec.builder!r} is not of the form 'package.module:name'.")
    if not spec.tasks:
        raise ContractError(f"{spec.name}: it has no task.")
    for task in spec.tasks:
        check_name("task", task)
    if spec.weights is not None and not (isinstance(spec.weights, type) and issubclass(spec.weights, WeightsEnum)):
        raise ContractError(f"{spec.name}: weights is {spec.weights!r}; expected a subclass of zoo.WeightsEnum.")


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
