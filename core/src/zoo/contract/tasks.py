"""A task as its plugin describes it: its name, its options, its metrics, and where its steps are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.contract.weights import Preset
from zoo.errors import InvalidArgument

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Metric:
    """A column of ``zoo table``: the key in :attr:`Weights.metrics`, its heading, and whether more is better."""

    key: str
    title: str
    higher_is_better: bool = True


@dataclass(frozen=True)
class Option:
    """What users may say to a task: ``zoo.pipeline(model, clips=4)``, ``zoo predict --clips 4``.

    Attributes:
        name: an identifier; of the argument, and with hyphens of the option on the command line.
        type: ``int``, ``float``, ``bool`` or ``str``.
        default: its value where nothing is said; None where the task then decides by itself.
        help: one line.
        verb: whom it is for: ``"predict"`` for the task itself, else a key of :attr:`TaskSpec.provides`, whose piece
            gets it as a keyword argument.
        known_as: names that other libraries have for it. Whoever gives one is told the option's own name.
    """

    name: str
    type: type[int] | type[float] | type[bool] | type[str]
    default: Any
    help: str
    verb: str = "predict"
    known_as: tuple[str, ...] = ()

    def read(self, text: str) -> Any:
        """The value that ``text`` means, as it is typed on a command line.

        Raises:
            InvalidArgument: it means none of the option's type.
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
    """A task: how files become inputs, and a model's outputs become results that a person can read.

    Attributes:
        name: the task's name on the hub, such as ``image-classification``.
        implementation: import string of a class of the :class:`Task` protocol, imported when something is predicted.
            It is called with the values of the options for ``"predict"``.
        metrics: the columns of ``zoo table``; the first is what ``zoo list`` shows.
        options: what users may say, to the task and to what it provides for other verbs.
        provides: verb → import string of what it needs of the task: ``"evaluate"`` (makes an :class:`Evaluator`),
            ``"export"`` (makes an :class:`Exportable`), ``"train"``; any key, for anyone's verb.
        suffixes: file name endings that are picked from a folder, e.g. ``(".jpg", ".png")``.
        inputs_per_sample: how many files make one input. Where it is 2, ``load`` gets a tuple of two sources: what was
            named is taken two at a time, of a folder every file with the one that follows it there.
        input_ndim: dimensions of an input that is given as a tensor: 3 for a picture [C, H, W], 4 for a video [T, C, H,
            W]. A tensor with one more is a batch.
        same_size: whether only inputs that are prepared to one size can go through the model together.
        transforms: the preprocessing of models that have no weights to say one, where it is the same for all.
        required: fields of :class:`Weights` that the task's entries must have; the conformance kit checks them.
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
        """A sentence that names the option for predictions that an argument of ``given`` is called elsewhere, or ""."""
        for option in self.options:
            for other in option.known_as if option.verb == "predict" else ():
                if other in given:
                    return f"Did you mean {option.name}={given[other]!r}, the option of {self.name}?"
        return ""

    def options_of(self, *verbs: str) -> dict[str, Option]:
        """Name → option, for those of ``verbs``, each verb's after the one's before."""
        return {option.name: option for verb in verbs for option in self.options if option.verb == verb}

    def take_options(self, config: dict[str, Any], *verbs: str) -> dict[str, Any]:
        """What of ``config`` is an option for these verbs; taken out of it."""
        return {name: config.pop(name) for name in self.options_of(*verbs) if name in config}
