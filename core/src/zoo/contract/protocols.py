"""What tasks, their results and what they provide for verbs consist of. Derive from these classes, or write alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from zoo.contract.showing import as_html, as_png, show_picture
from zoo.contract.tables import flattened, optional
from zoo.contract.weights import Weights
from zoo.errors import InvalidArgument

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor, nn


# How pictures to look at are compressed: by what is fast. The greatest compression of PNG takes 5 times as long.
PICTURE_FORMATS: dict[str, dict[str, Any]] = {
    "png": {"compress_level": 1},
    "jpg": {"quality": 90},
    "webp": {"quality": 90, "method": 0},
}


LONGEST = 120  # characters of what a result says of itself in a line


def save_picture(picture: Image.Image, folder: str | Path, stem: str, format: str = "png") -> Path:  # noqa: A002
    """Write a picture to look at, quickly, as ``STEM.png`` or another of :data:`PICTURE_FORMATS`.

    Returns:
        The path.

    Raises:
        InvalidArgument: another format.
    """
    if format not in PICTURE_FORMATS:
        raise InvalidArgument(f"format is {format!r}; expected one of {', '.join(PICTURE_FORMATS)}.")
    path = Path(folder) / f"{stem}.{format}"
    opaque = picture if format == "png" or picture.mode in ("L", "RGB") else picture.convert("RGB")
    opaque.save(path, **PICTURE_FORMATS[format])
    return path


@runtime_checkable
class Result(Protocol):
    """What a model says of one input. Its ``repr`` is a line: its class, and what its :meth:`lines` say first."""

    def __init_subclass__(cls, *arguments: Any, **options: Any) -> None:
        super().__init_subclass__(*arguments, **options)
        if "__repr__" not in cls.__dict__:  # before dataclasses give it one that prints every number of every tensor
            cls.__repr__ = Result.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        try:
            said = ", ".join(" ".join(line.split()) for line in self.lines(3))
        except Exception as e:  # noqa: BLE001  a repr is what one looks at when something is wrong
            said = f"cannot be read: {type(e).__name__}"
        return f"<{type(self).__name__}: {said if len(said) <= LONGEST else said[: LONGEST - 1] + '…'}>"

    def lines(self, k: int = 5) -> list[str]:
        """What ``zoo predict`` prints; of what is found, the ``k`` best."""
        raise NotImplementedError

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """What ``zoo predict --json`` prints: plain data, as JSON has it."""
        raise NotImplementedError

    def draw(self) -> Image.Image:
        """A picture of it."""
        raise NotImplementedError

    def save(self, folder: Path, stem: str, format: str = "png") -> list[Path]:  # noqa: A002  Pillow's word for it
        """Write it into ``folder``, to files whose names begin with ``stem``; by default ``STEM.png``, what is drawn.

        It may be called in several threads, of a result each.

        Args:
            folder: there already.
            stem: without an ending.
            format: of pictures to look at, ``"png"``, ``"jpg"`` or ``"webp"``. A result of a task that writes none, or
                always in one format, need not have the argument.

        Returns:
            The paths.
        """
        return [save_picture(self.draw(), folder, stem, format)]

    def show(self) -> None:
        """Show what is drawn: in a notebook beneath the cell, else with the system's viewer of pictures.

        Raises:
            InvalidArgument: there is nothing to show it on, as on a server.
        """
        show_picture(self.draw(), type(self).__name__)

    def to_pandas(self) -> Any:
        """All that was found as a ``pandas.DataFrame``: a row for each thing, columns as of ``zoo predict --csv``.

        Raises:
            MissingPlugin: pandas is not installed.
        """
        return optional("pandas", "to_pandas()").DataFrame(flattened(self.to_dict(sys.maxsize)))

    def _repr_png_(self) -> bytes | None:
        """What notebooks show of a result."""
        try:
            return as_png(self.draw())
        except NotImplementedError:
            return None

    def _repr_html_(self) -> str:
        """What notebooks show of a result, where they can: the picture, and what it says."""
        return as_html(self)

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        """What is written alike is a result too, without what is shown by these four methods."""
        if cls is not Result:
            return NotImplemented
        names = ("lines", "to_dict", "draw", "save")
        return all(any(name in base.__dict__ for base in other.__mro__) for name in names) or NotImplemented


class Task(Protocol):
    """The steps from what a user names to what a user reads; ``zoo.pipeline`` runs them in order.

    An object is made for each pipeline, with the values of the task's options as keyword arguments.
    :class:`zoo.PictureTask` has all of it for tasks on pictures but ``decode``.
    """

    def load(self, source: Any) -> Any:
        """An input: opens what the user named (a path, a PIL image, a tensor, a tuple where several make one input).

        Raises:
            UnreadableFile, InvalidArgument: it cannot be had. Other inputs go on.
        """

    def transform(self, weights: Weights) -> Callable[[Any], Any]:
        """What prepares one input for a model with these weights.

        For inputs that go through the model part by part, as no memory holds all of a long video, what it gives is an
        iterator, of an ``(input, prepared)`` for each part; see :meth:`gather`.
        """
        raise NotImplementedError

    def collate(self, prepared: Sequence[Any]) -> tuple[Any, ...]:
        """Prepared inputs → the model's positional arguments."""
        raise NotImplementedError

    def decode(self, outputs: Any, inputs: Sequence[Any], weights: Weights) -> Sequence[Result]:
        """The model's outputs → a result for each input."""
        raise NotImplementedError

    def draw(self, result: Any) -> Image.Image:
        """A picture of a result."""
        raise NotImplementedError

    def gather(self, source: Any, results: Iterator[Any]) -> Result:
        """The result of an input that went through the model part by part; ``results`` are those of its parts, which
        are prepared, collated and decoded a batch at a time while it is iterated over."""
        raise NotImplementedError

    def sequence(self, source: Any) -> bool:
        """Whether a source is an input by itself also where several files make one: a video, which holds many pairs."""
        raise NotImplementedError

    def watched(self, model: nn.Module) -> Sequence[nn.Module]:
        """Modules whose outputs must be finite for a result to be one: those from which a model, or :meth:`decode`,
        picks what is largest or large enough, so that NaN would be left out and nothing found. The numbers of results
        themselves are always checked."""
        return ()

    def protocol(self, weights: Weights) -> Mapping[str, Any]:
        """How inputs are turned into results, as far as figures depend on it: a name, perhaps a key of
        ``weights.extra`` → a number, a word or a list. ``zoo evaluate`` shows it beside how the published figures were
        measured."""
        return {}

    def example(self, model: nn.Module, weights: Weights | None, size: int | None = None) -> tuple[Any, ...]:
        """The model's positional arguments for one valid input of noise, on the CPU.

        Args:
            model: built, perhaps on the meta device.
            weights: what was or might be loaded into it, if that is known.
            size: about how large the input should be, in pixels of a side; by default as large as for predictions. It
                is as large as the model needs, if that is more.
        """
        raise NotImplementedError


@runtime_checkable
class Examples(Protocol):
    """Data of a task: what a reader is. ``provides["data"]`` names a mapping of the name of a format → a reader.

    A reader is called with ``(path, annotations=None, *, categories=None)`` and raises
    :class:`zoo.errors.InvalidArgument` with all that is wrong, each with its place, when it is made. It has
    ``matches(path, annotations)``, which says whether data look like its format. Readers are
    ``torch.utils.data.Dataset``; they read a file when it is asked for, and can be pickled. Pictures are upright. A
    reader may have ``problems()``, which opens every input and says what is wrong with it, a sentence for each; without
    it, whoever trains on the data opens the files alone. It may have ``truth(i)``, what is true of an example as JSON
    has it, or ``annotation(i)``, the file that says it: whether records of an evaluation are of the same truth is told
    by them, and else by every target.
    Inputs and targets by task:

    ========================  =============================  ==========================================================
    image-classification      uint8 [3, H, W]                ``{"label": int}``
    object-detection and kin  uint8 [3, H, W]                ``boxes`` float32 [n, 4] xyxy in pixels, ``labels`` int64
                                                             [n] from 1, ``area`` float32 [n], ``iscrowd`` int64 [n],
                                                             ``image_id``; ``masks`` uint8 [n, H, W] and ``keypoints``
                                                             float32 [n, K, 3] where there are any
    semantic-segmentation     uint8 [3, H, W]                ``{"mask": int64 [H, W]}``, 255 for what does not count
    video-classification      uint8 [T, 3, H, W]             ``{"label": int}``
    optical-flow              a pair of uint8 [3, H, W]      ``{"flow": float32 [2, H, W], "valid": bool [H, W]}``
    ========================  =============================  ==========================================================

    Attributes:
        categories: names of the labels, by number. Of detectors the first is the background.
        names: one of each example, which stays the same while the data do; paths with ``/``.
    """

    categories: Sequence[str]
    names: Sequence[str]

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, i: int) -> tuple[Any, dict[str, Any]]:
        """Input and target of an example.

        Raises:
            UnreadableFile: a file that cannot be read.
        """
        raise NotImplementedError

    def target(self, i: int) -> dict[str, Any]:
        """What is true of an example; its input is not decoded."""
        raise NotImplementedError

    def source(self, i: int) -> Any:
        """What a pipeline takes: a path, or a tuple of them."""
        raise NotImplementedError

    def select(self, indices: Sequence[int]) -> Examples:
        """A reader of the same kind, of these examples alone, in this order."""
        raise NotImplementedError

    def counts(self) -> Mapping[str, int]:
        """How many examples, or objects, each category has; nothing is decoded. Empty where it cannot be said."""
        raise NotImplementedError


class Evaluator(Protocol):
    """What a task knows about one data set: ``provides["evaluate"]`` is called with ``(images, annotations, weights)``.
    ``images`` is a path, or :class:`Examples`, where there are no annotations.

    It may also have ``reader``, the :class:`Examples` that its truth comes from; ``notes``: sentences that whoever
    reads the figures should know, such as what was left out; a ``protocol``, like :meth:`Task.protocol`, of what the
    figures depend on of its own; and ``confusion(records, num_classes)``, which counts inputs (or their parts) by true
    class, a row each, and predicted class.
    """

    @property
    def sources(self) -> Mapping[str, Any]:
        """The inputs, in order: a name that stays the same while the data do → what the pipeline takes."""

    def measure(self, name: str, result: Any) -> Any:
        """What the figures need of the result for one input: small, and of what JSON has.

        Raises:
            UnreadableFile, InvalidArgument: what is known of this input is missing or does not fit. It counts as one
                that could not be read.
        """

    def summarize(self, records: Sequence[Any]) -> Mapping[str, float]:
        """The figures that follow from these records (in the order of ``sources``): metric → value, NaN for none."""


@dataclass(frozen=True)
class Exportable:
    """A module as it can be captured: what ``provides["export"]``, called with ``(model, image_size)``, returns.

    Where the user asks for them it is called with two keywords more, which it may do without: ``dynamic``, the names of
    the axes that are to be free, and ``preprocessing``, the :class:`Preset` that is to become part of the graph, with
    what follows the model.

    Attributes:
        module: takes and returns tensors whose sizes depend on no values. Its outputs are a tensor, or a dict, tuple
            or list of tensors; keys are the outputs' names.
        arguments: what it is called with: tensors of the shapes that the file will take.
        inputs: names of the arguments.
        onnx: called for ONNX, gives a dict: custom operator → the function of onnxscript that stands for it.
        axes: argument → axis → its name (``batch``, ``height``, ``width``, …), for those that may be free. The example
            has at least two of each that is.
        multiples: name of an axis → the number that its size must be a multiple of.
        layouts: argument → what it holds in words, such as ``"RGB, 0 to 255"``.
    """

    module: nn.Module
    arguments: tuple[Tensor, ...]
    inputs: Sequence[str]
    onnx: Callable[[], dict[Any, Any]] | None = None
    axes: Mapping[str, Mapping[int, str]] = field(default_factory=dict, kw_only=True)
    multiples: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    layouts: Mapping[str, str] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class Capture:
    """What a :class:`Format` writes to a file.

    Attributes:
        program: the model as a ``torch.export.ExportedProgram``.
        inputs: names of its arguments, in order; ``outputs`` likewise.
        facts: JSON, to be kept in the file as it is: what :func:`zoo.pipeline` needs to know of it.
        onnx: as of :class:`Exportable`.
        options: what else was said: ``opset``.
    """

    program: Any
    inputs: Sequence[str]
    outputs: Sequence[str]
    facts: str
    onnx: Callable[[], dict[Any, Any]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class Trainable(Protocol):
    """What training needs of a task: ``provides["train"]`` names a class of it, which is called with those of the
    task's options for the verb ``"train"`` that the user gave.

    An example goes through ``prepare``, several through ``collate``, and ``loss`` runs the model on them.

    Attributes:
        as_predicted: whether ``score`` runs the model on what a pipeline would give it, so that its outputs, as
            ``predicted`` gives them, can be decoded and measured too, and nothing is opened or run a second time.
        defaults: arguments of :func:`zoo.train` that suit the task: ``lr``, ``weight_decay``, ``schedule``, ….
    """

    as_predicted: bool = False
    defaults: Mapping[str, Any] = MappingProxyType({})

    def check(self, model: nn.Module, arguments: tuple[Any, ...], targets: Any, categories: Sequence[str]) -> None:
        """Look at a batch before the first step; ``categories`` are the data's.

        Raises:
            InvalidArgument: targets that the model cannot be trained on, or a head of another size.
        """

    def size(self, model: nn.Module, weights: Weights) -> tuple[int, int] | None:
        """(height, width) that augmentation gives inputs, where neither the preprocessing cuts them out nor the model
        takes one size only; None where none can be said."""
        return None

    def predicted(self, outputs: Any) -> Any:
        """What the model gave in ``score``, in its last call → what it gives a pipeline."""
        return outputs

    def sampling(self, data: Any, weights: Weights) -> Mapping[str, Any]:
        """What :attr:`zoo.Weights.extra` of the trained weights says of how inputs are made of files, as the reader
        ``data`` makes them; ``weights`` describe what training began with."""
        return {}

    def with_targets(self, model: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The model's positional arguments in train mode, made up for those of :meth:`Task.example`."""
        return arguments

    def prepare(self, model: nn.Module, weights: Weights) -> Callable[[Any, Any], Any]:
        """What makes a reader's ``(input, target)`` an example for ``model``, whose preprocessing ``weights`` name.

        It is called in processes of their own too, so it must be picklable and must not hold the model.
        """
        raise NotImplementedError

    def collate(self, examples: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
        """Examples → the model's positional arguments, and what :meth:`loss` needs beside them, all tensors or lists,
        tuples and dicts of such."""
        raise NotImplementedError

    def loss(self, model: nn.Module, arguments: tuple[Any, ...], targets: Any) -> Mapping[str, Tensor]:
        """Name → a scalar that is a mean over the examples; their sum is minimised. Call ``model`` itself, not a part
        of it: it may be wrapped."""
        raise NotImplementedError

    def score(self, model: nn.Module, arguments: tuple[Any, ...], targets: Any) -> Mapping[str, Tensor]:
        """Name → a mean over the examples, of a model in eval mode; ``"loss"`` among them."""
        raise NotImplementedError
