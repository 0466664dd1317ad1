"""A task as its plugin describes it: name, options, metrics, and the import string of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.contract.weights import Preset
from zoo.errors import InvalidArgument

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Metric:
    """A column of ``zoo table``: the key in :attr:`Weights.metrics`, its heading, and whether higher is better."""

    key: str
    title: str
    higher_is_better: bool = True


@dataclass(frozen=True)
class Option:
    """An option of a task: ``zoo.pipeline(model, clips=4)``, ``zoo predict --clips 4``.

    Attributes:
        name: an identifier: the argument's name, and with hyphens that of the command line's option.
        type: ``int``, ``float``, ``bool`` or ``str``.
        default: its value if it is not given; None if the task then decides.
        help: one line.
        verb: ``"predict"`` for an option of the task itself, else a key of :attr:`TaskSpec.provides`, whose object gets
            it as a keyword argument.
        known_as: its names in other libraries. An error for one of them suggests the option's name.
    """

    name: str
    type: type[int] | type[float] | type[bool] | type[str]
    default: Any
    help: str
    verb: str = "predict"
    known_as: tuple[str, ...] = ()

    def read(self, text: str) -> Any:
        """The value of ``text`` from a command line.

        Raises:
            InvalidArgument: it is not a value of the option's type.
        """
        if self.default is None and text.lower() in ("none", "null"):
            return None
        try:
            return _WORDS[text.lower()] if self.type is bool else self.type(text)
        except (ValueError, KeyError):
            kind = {int: "a whole number", float: "a number", bool: "true or false"}[self.type]
            raise InvalidArgument(f"{self.name} is {text!r}; expected {kind}. {self.help}") from None


@dataclass(frozen=True)
class TaskSpec:
    """A task: how files become inputs, and how a model's outputs become readable results.

    Attributes:
        name: the task's name on the hub, such as ``image-classification``.
        implementation: import string of a class of the :class:`Task` protocol, imported for the first prediction. It is
            called with the values of the options for ``"predict"``.
        metrics: the columns of ``zoo table``; ``zoo list`` shows the first.
        options: options of the task, and of the objects that it provides for other verbs.
        provides: verb → import string of the object that it needs of the task: ``"evaluate"`` (makes an
            :class:`Evaluator`), ``"export"`` (makes an :class:`Exportable`), ``"train"``; other plugins' verbs may use
            any key.
        suffixes: suffixes of the files that are taken from a folder, e.g. ``(".jpg", ".png")``.
        inputs_per_sample: how many files make one input. If 2, ``load`` gets a tuple of two sources: the given inputs
            in pairs; in a folder, each file with the next one.
        input_ndim: dimensions of an input that is given as a tensor: 3 for a picture [C, H, W], 4 for a video [T, C, H,
            W]. A tensor with one more is a batch.
        same_size: whether only inputs of the same prepared size can be in one batch.
        transforms: the preprocessing of models without weights, if it is the same for all.
        required: fields of :class:`Weights` that weights of the task must have; the conformance kit checks them.
    """

    name: str
    implementation: str
    metrics: tuple[Metric, ...] = field(default=(), kw_only=True)
    options: tuple[Option, ...] = field(default=(), kw_only=True)
    provides: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    suffixes: tuple[str, ...] = field(default=(), kw_only=True)
    inputs_per_sample: int = field(default=1, kw_only=True)
    input_ndim: int = field(default=3, kw_only=True)
    same_size: bool = field(default=False, kw_only=True)
    transforms: Preset | None = field(default=None, kw_only=True)
    required: tuple[str, ...] = field(default=("transforms", "num_params", "metrics"), kw_only=True)

    def option_meant(self, given: Mapping[str, Any]) -> str:
        """A sentence that suggests the option for an argument of ``given`` that is its name in another library, or
        ""."""
        for option in self.options:
            for other in option.known_as if option.verb == "predict" else ():
                if other in given:
                    return f"Did you mean {option.name}={given[other]!r}, the option of {self.name}?"
        return ""

    def options_of(self, *verbs: str) -> dict[str, Option]:
        """Name → option, for those of ``verbs``, in the order of the verbs."""
        return {option.name: option for verb in verbs for option in self.options if option.verb == verb}

    def take_options(self, config: dict[str, Any], *verbs: str) -> dict[str, Any]:
        """The options for these verbs in ``config``; they are removed from it."""
        return {name: config.pop(name) for name in self.options_of(*verbs) if name in config}
