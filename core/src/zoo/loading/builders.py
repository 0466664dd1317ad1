"""The decorator of builders. A builder's body only builds the architecture; everything else is done here.

With weights, a model is built without memory (its parameters on the meta device), and the file's tensors are assigned
to it. Tensors that are not in the file — computed buffers, a head of another size — are computed on the real device.
"""

from __future__ import annotations

import functools
import inspect
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar, cast

from torch import nn

from zoo.contract import Weights, WeightsEnum, load_object
from zoo.errors import CheckpointError, InvalidArgument, UnknownWeights, WeightsWarning, ZooError, suggest
from zoo.files import redacted, resolved
from zoo.loading.arguments import as_source, check_sizes, listed
from zoo.loading.assigning import Convert, HeadMismatch, load, without_prefix
from zoo.loading.built_with import BuiltWith
from zoo.loading.checkpoints import Contents, StateDict, may_be_mapped, read_contents
from zoo.loading.foreign import Fill, filled, fits, report_of
from zoo.loading.hints import evaluate_hints
from zoo.loading.reports import built_by, check_preset
from zoo.loading.signatures import check_names, signature_of
from zoo.loading.without_memory import (
    built_for_file,
    compute_buffers,
    filled_by_file,
    filled_from_outside,
    initialise_rest,
    inside_a_filled_model,
    is_filled_from_outside,
    meta_is_asked_for,
    rebuilding,
)
from zoo.registry import fetch
from zoo.registry.saved import SavedModel, saved_in

P = ParamSpec("P")
M = TypeVar("M", bound=nn.Module)
Enums = tuple[type[WeightsEnum], ...]
EnumOrChoice = type[WeightsEnum] | Callable[..., type[WeightsEnum] | Enums] | None
CLASSES = "num_classes"  # the default argument that heads depend on


def builder(
    weights: EnumOrChoice = None,
    *,
    like: Callable[..., nn.Module] | None = None,
    head: str | tuple[str, ...] | Mapping[str, str] = (),
    stem: str | None = None,
    convert: Convert | None = None,
    ignore: tuple[str, ...] = (),
    legacy: str | None = None,
    on_meta: Callable[[Mapping[str, Any]], bool] = lambda arguments: True,
    when_loading: Mapping[str, Any] | None = None,
    told_by_file: Callable[[StateDict], Mapping[str, Any]] = lambda state: {},
    fill: Fill | None = None,
) -> Callable[[Callable[P, M]], Callable[..., M]]:
    """Make a function that builds an architecture into a builder that takes ``weights=``.

    The builder accepts, besides the function's own arguments:

    - ``weights``: None, a member of the enum, its name, ``"DEFAULT"``, a :class:`zoo.Weights`, a path or a URL.
    - ``progress``: show a progress bar while downloading.
    - ``mmap``: whether the file is mapped, as in :func:`zoo.loading.read_checkpoint`.
    - ``pretrained`` and positional arguments, as before torchvision 0.13, with a ``DeprecationWarning``.

    The weights' ``config`` gives the arguments that the caller does not. If ``num_classes`` differs from the file's,
    the head is newly initialised, as ``zoo.load_report(model)`` shows.

    Args:
        weights: the enum of the model's weights, or a function of the builder's arguments that returns one or several:
            the first that has the requested member is used.
        like: a builder that the function calls, whose arguments below, except ``legacy``, are the defaults.
        head: paths of the modules whose shape depends on ``num_classes``; or path → the argument that it depends on.
        stem: path of the first convolution, adapted from RGB if ``in_channels`` is given.
        convert: ``convert(state_dict, model) → state_dict`` converts old key layouts to the current one.
        ignore: prefixes of keys that a file may have although the model does not.
        legacy: the member that ``pretrained=True`` selects; by default the first of the enum.
        on_meta: whether the model with these arguments can be built without memory; one whose construction reads its
            parameters (a quantized model, for example) cannot.
        when_loading: arguments for loaded weights, instead of their ``config``'s, unless the caller gives them.
        told_by_file: ``told_by_file(state_dict) → arguments`` that are determined from the file's tensors, if neither
            the caller nor the weights give them.
        fill: ``fill(state_dict, **arguments) → model`` builds a model and loads the file's tensors with its own
            library. It is called if they do not have the model's names and shapes, except the head's, and replaces
            ``stem`` and ``convert``; it also makes a new head for ``num_classes``.

    >>> @zoo.builder(ResNet50_Weights, head="fc", stem="conv1")
    ... def resnet50(**kwargs): return ResNet(Bottleneck, [3, 4, 6, 3], **kwargs)
    """

    def decorate(function: Callable[P, M]) -> Callable[..., M]:
        own = _Builder(
            function=function,
            enum=weights,
            head=head
            if isinstance(head, Mapping)
            else dict.fromkeys((head,) if isinstance(head, str) else head, CLASSES),
            stem=stem,
            convert=convert,
            ignore=ignore,
            legacy=legacy,
            on_meta=on_meta,
            when_loading=when_loading or {},
            told_by_file=told_by_file,
            fill=fill,
            parameters=inspect.signature(function).parameters,
        )
        if like is not None:
            base = getattr(like, "own", None)
            if not isinstance(base, _Builder):
                raise InvalidArgument(f"like is {like!r}; expected a function decorated by zoo.builder.")
            own = replace(base, **{name: getattr(own, name) for name in ("function", "enum", "legacy", "parameters")})

        @functools.wraps(function)
        def build(*args: Any, **kwargs: Any) -> M:
            return cast(M, own(*args, **kwargs))

        vars(build).pop("__signature__", None)  # belongs to the undecorated function
        build.__wrapped__ = own  # type: ignore[assignment]  # its signature is read on demand
        build.own = own  # type: ignore[attr-defined]
        build.weights_enum = weights if isinstance(weights, type) else None  # type: ignore[attr-defined]
        return build

    return decorate


@dataclass(frozen=True)
class _Builder:
    """The arguments of :func:`builder`, and what the builder does when it is called."""

    function: Callable[..., nn.Module]
    enum: EnumOrChoice
    head: Mapping[str, str]
    stem: str | None
    convert: Convert | None
    ignore: tuple[str, ...]
    legacy: str | None
    on_meta: Callable[[Mapping[str, Any]], bool]
    when_loading: Mapping[str, Any]
    told_by_file: Callable[[StateDict], Mapping[str, Any]]
    fill: Fill | None
    parameters: Mapping[str, inspect.Parameter]

    @property
    def __signature__(self) -> inspect.Signature:
        return signature_of(self.function)

    @property
    def __wrapped__(self) -> Callable[..., nn.Module]:
        return self.function

    @property
    def name(self) -> str:
        return self.function.__name__

    def __call__(
        self, *args: Any, weights: Any = None, progress: bool = True, mmap: bool | None = None, **kwargs: Any
    ) -> nn.Module:
        if args or "pretrained" in kwargs or "pretrained_backbone" in kwargs:
            kwargs = self._modernise(args, {"weights": weights, "progress": progress, **kwargs})
            weights, progress = kwargs.pop("weights", None), kwargs.pop("progress", True)
        check_sizes(kwargs)
        if not kwargs.keys() <= self.parameters.keys():
            check_names(self.function, kwargs)
        chosen = self._weights(weights, kwargs)
        if chosen is None or filled_from_outside.get():
            model, arguments, filled = self.function(**kwargs), kwargs, is_filled_from_outside()
        else:
            model, arguments, filled = self._build_filled(chosen, progress, mmap, kwargs)
        model._built_by = f"{self.function.__module__}:{self.name}"  # type: ignore[assignment]
        model._built_with = BuiltWith(arguments, filled, self)  # type: ignore[assignment]
        evaluate_hints(model)
        return model

    # ── arguments ────────────────────────────────────────────────────────────────────────────────────────────────

    def _modernise(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments as before torchvision 0.13: ``resnet50(True)``, ``pretrained=True``, ``pretrained_backbone=…``."""
        order = ["weights", "progress", *(n for n, p in self.parameters.items() if p.kind is not p.VAR_KEYWORD)]
        if len(args) > len(order):
            raise TypeError(f"{self.name}() takes at most {len(order)} positional arguments, {len(args)} were given.")
        kwargs |= zip(order, args, strict=False)
        advice = []
        if "pretrained" in kwargs:
            kwargs["weights"] = kwargs.pop("pretrained")
        if isinstance(kwargs["weights"], bool):
            kwargs["weights"] = self._legacy_weights(kwargs) if kwargs["weights"] else None
            advice.append(f"weights={kwargs['weights']!r}")
        if "pretrained_backbone" in kwargs:
            kwargs["weights_backbone"] = kwargs.pop("pretrained_backbone")
        if isinstance(kwargs.get("weights_backbone"), bool):
            default = self.parameters["weights_backbone"].default if "weights_backbone" in self.parameters else None
            kwargs["weights_backbone"] = default if kwargs["weights_backbone"] else None
            advice.append(f"weights_backbone={kwargs['weights_backbone']!r}")
        advice += [f"{name}=…" for name in order[: len(args)] if not any(a.startswith(f"{name}=") for a in advice)]
        warnings.warn(
            f"{self.name}() is called as before torchvision 0.13; write {self.name}({', '.join(advice)}) instead.",
            DeprecationWarning,
            stacklevel=4,
        )
        return kwargs

    def _enums(self, kwargs: Mapping[str, Any]) -> Enums:
        if self.enum is None:
            return ()
        chosen = self.enum if isinstance(self.enum, type) else self.enum(**kwargs)
        return chosen if isinstance(chosen, tuple) else (chosen,)

    def _legacy_weights(self, kwargs: Mapping[str, Any]) -> WeightsEnum | None:
        passed = {
            k: v for k, v in kwargs.items() if k not in ("weights", "progress", "pretrained", "pretrained_backbone")
        }
        enum = next((enum for enum in self._enums(passed) if len(enum)), None)
        if enum is None:
            raise UnknownWeights(f"No weights are published for {self.name}; build it with weights=None.")
        return enum[self.legacy] if self.legacy else next(iter(enum))

    def _weights(self, given: Any, kwargs: Mapping[str, Any]) -> Weights | None:
        """The description of the weights that ``weights=`` selects."""
        if given is None:
            return None
        if isinstance(given, Weights):
            return given
        enums = self._enums(kwargs)
        if isinstance(given, WeightsEnum):
            if not isinstance(given, enums):
                raise UnknownWeights(self._foreign(given, enums, kwargs))
            value: Weights = given.value
            return value
        for enum in enums if isinstance(given, str) else ():
            if given.removeprefix(f"{enum.__name__}.") in enum.__members__:
                return self._weights(enum.verify(given), kwargs)
        if isinstance(given, (str, os.PathLike)) and (source := as_source(given)) is not None:
            return Weights(url=source)
        known = [name for enum in enums for name in enum.__members__]
        close = suggest(given, known) if known and isinstance(given, str) else ""
        raise UnknownWeights(
            f"{self.name} cannot load weights={redacted(repr(given))}: expected one of its weights "
            f"({', '.join(dict.fromkeys(known)) or 'none are published'}), a zoo.Weights, a file or a URL.{close}"
        )

    def _foreign(self, given: WeightsEnum, enums: Enums, kwargs: Mapping[str, Any]) -> str:
        """The error message for a member of an enum that this model does not have with these arguments."""
        theirs = " or ".join(f"{enum.__name__} ({', '.join(enum.__members__)})" for enum in enums) or "none"
        config = given.value.config
        if callable(self.enum) and not isinstance(self.enum, type):
            chosen = listed({k: v for k, v in kwargs.items() if k in self.parameters})
            other = {k: config[k] for k in kwargs if k in config and config[k] != kwargs[k]}
            hint = f" {given!r} is loaded with {listed(other)}." if other else ""
            return f"{given!r} is not among the weights of {self.name}({chosen}), which are {theirs}.{hint}"
        return f"{given!r} is for another model than {self.name}, whose weights are {theirs}."

    # ── building ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _build_filled(
        self, weights: Weights, progress: bool, mmap: bool | None, kwargs: dict[str, Any]
    ) -> tuple[nn.Module, dict[str, Any], bool]:
        """The model with the tensors of a file, its arguments, and the value of ``filled`` for builders inside it."""
        described = {**weights.config, **self.when_loading}
        arguments = {**described, **{k: v for k, v in kwargs.items() if v is not None or k not in described}}
        if meta_is_asked_for():
            with inside_a_filled_model():
                return self.function(**arguments), arguments, True
        path = fetch(weights.url, progress=progress, sha256=weights.sha256, license=weights.license)
        weights = replace(weights, url=resolved(weights.url, path))
        saved = saved_in(path, weights.url)
        if saved is not None:
            weights = check_preset(self._described(weights, saved))
            arguments = {
                **weights.config,
                **{k: v for k, v in kwargs.items() if v is not None or k not in weights.config},
            }
        found = read_contents(path, mmap=may_be_mapped(weights.url, path) if mmap is None else mmap)
        if saved is None:
            told = self._told(found.state, redacted(weights.url))
            arguments |= {k: v for k, v in told.items() if arguments.get(k) is None}
        with rebuilding(saved.filled if saved else None):
            try:
                model = self._filled(found, weights, arguments, kwargs, saved is not None)
            except HeadMismatch as e:
                sizes = {name: self.size_told(name, key, shape, arguments) for name, (key, shape) in e.heads.items()}
                if None in sizes.values() or any(arguments.get(name) is not None for name in sizes):
                    raise
                arguments |= sizes
                model = self._filled(found, weights, arguments, kwargs, saved is not None)
            except ZooError:
                raise
            except (TypeError, ValueError, RuntimeError, OverflowError) as e:
                if saved is None or kwargs:
                    raise
                raise CheckpointError(
                    f"{redacted(weights.url)}: {self.name} cannot be built with the file's arguments, "
                    f"{listed(arguments)} ({type(e).__name__}: {e})."
                ) from e
        model._weights = weights  # type: ignore[assignment]
        return model, arguments, saved.filled if saved else True

    def _described(self, weights: Weights, saved: SavedModel) -> Weights:
        """The facts of a saved model's file that is given as weights.

        Raises:
            CheckpointError: it is of another model.
        """
        builder = saved.entry().spec.builder
        if builder != f"{self.function.__module__}:{self.name}":
            raise CheckpointError(f"{redacted(weights.url)} contains a {saved.name!r}; {self.name} cannot build it.")
        bare = weights == Weights(url=weights.url)
        return saved.weights if bare else replace(weights, config={**saved.arguments, **weights.config})

    def size_told(self, name: str, key: str, shape: tuple[int, ...], arguments: Mapping[str, Any]) -> int | None:
        """The value of the argument ``name`` for which the model's tensor ``key`` has this shape, or None.

        Sizes are linear in their argument: two models, built without memory, give the slope.
        """
        first, second = 2, 3
        with filled_by_file():
            a, b = (self.function(**{**arguments, name: n}).state_dict()[key].shape for n in (first, second))
        for theirs, s2, s3 in zip(shape, a, b, strict=False):
            if s3 != s2:
                n, rest = divmod(theirs - s2, s3 - s2)
                return first + n if not rest and first + n >= 0 and len(shape) == len(a) else None
        return None

    def _filled(
        self, found: Contents, weights: Weights, arguments: dict[str, Any], kwargs: Mapping[str, Any], saved: bool
    ) -> nn.Module:
        model, placed = built_for_file(lambda: self.function(**arguments), on_meta=bool(self.on_meta(arguments)))
        if self.fill is not None and not fits(model, found.state, self.head):
            source, new_head = redacted(weights.url), kwargs.get(CLASSES) is not None
            model = filled(self.fill, self.name, source, found, arguments)
            report = report_of(model, found, source, self.head if new_head else (), new_head=new_head)
            model._load_report = report  # type: ignore[assignment]
            return model
        report = load(
            model,
            found.state,
            source=redacted(weights.url),
            head=self.head,
            new_head={name for name in self.head.values() if kwargs.get(name) is not None},
            stem=self.stem if kwargs.get("in_channels") is not None else None,
            convert=self.convert,
            ignore=self.ignore,
            memory_mapped=found.memory_mapped,
            taken=found.taken,
            keep_dtype=saved,
        )
        initialise_rest(self.name, model, placed, lambda: self.function(**arguments))
        compute_buffers(self.name, model, lambda: self.function(**arguments))
        if placed.device.type != "cpu":
            model.to(placed.device)
        if kwargs.get("in_channels") not in (None, 3) and f"{self.stem}.weight" in report.converted:
            warnings.warn(
                f"{self.name}: the first convolution was adapted from 3 to {kwargs['in_channels']} channels (summed or "
                "repeated and rescaled, see zoo.loading.adapt_stem); fine-tune it. To silence this: "
                "warnings.simplefilter('ignore', zoo.errors.WeightsWarning)",
                WeightsWarning,
                stacklevel=4,
            )
        model._load_report = report  # type: ignore[assignment]
        return model

    def _told(self, state: StateDict, source: str) -> Mapping[str, Any]:
        state = without_prefix(state)[0]
        first: tuple[int, ...] = getattr(state.get(f"{self.stem}.weight"), "shape", ())
        other = len(first) > 3 and first[1] != 3 and "in_channels" in self.__signature__.parameters
        channels = {"in_channels": first[1]} if other else {}
        try:
            return {**channels, **self.told_by_file(state)}
        except CheckpointError:
            raise
        except Exception as e:
            why = f"its number of classes cannot be determined ({type(e).__name__}: {e})"
            raise CheckpointError(f"{source} does not fit {self.name}: {why}.") from e


def builder_of(model: nn.Module) -> _Builder:
    """The builder that made ``model``.

    Raises:
        InvalidArgument: it was not made by a function that ``zoo.builder`` decorates.
    """
    made = getattr(model, "_built_with", None)
    if made is not None and made.builder is not None:
        own: _Builder = made.builder
        return own
    named = built_by(model)
    found = getattr(load_object(named), "own", None) if named else None
    if not isinstance(found, _Builder):
        raise InvalidArgument(f"This {type(model).__name__} was not made by a builder of zoo.")
    return found
