"""The classes of tasks, their results, and what they provide for verbs. Derive from them, or write the same methods."""

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


# Pictures for viewing are compressed fast: PNG's highest compression takes 5 times as long.
PICTURE_FORMATS: dict[str, dict[str, Any]] = {
    "png": {"compress_level": 1},
    "jpg": {"quality": 90},
    "webp": {"quality": 90, "method": 0},
}


LONGEST = 120  # characters of a result's repr


def save_picture(picture: Image.Image, folder: str | Path, stem: str, format: str = "png") -> Path:  # noqa: A002
    """Write a picture for viewing, quickly, as ``STEM.png`` or another of :data:`PICTURE_FORMATS`.

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
    """The result of a model for one input. Its ``repr`` is one line: its class and the first of :meth:`lines`."""

    def __init_subclass__(cls, *arguments: Any, **options: Any) -> None:
        super().__init_subclass__(*arguments, **options)
        if "__repr__" not in cls.__dict__:  # dataclasses would add one that prints every number of every tensor
            cls.__repr__ = Result.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        try:
            said = ", ".join(" ".join(line.split()) for line in self.lines(3))
        except Exception as e:  # noqa: BLE001  repr must work when something is wrong
            said = f"cannot be read: {type(e).__name__}"
        return f"<{type(self).__name__}: {said if len(said) <= LONGEST else said[: LONGEST - 1] + '…'}>"

    def lines(self, k: int = 5) -> list[str]:
        """The lines that ``zoo predict`` prints, for the ``k`` best labels or objects."""
        raise NotImplementedError

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """The object that ``zoo predict --json`` prints: plain JSON data."""
        raise NotImplementedError

    def draw(self) -> Image.Image:
        """A picture of the result."""
        raise NotImplementedError

    def save(self, folder: Path, stem: str, format: str = "png") -> list[Path]:  # noqa: A002  Pillow's word for it
        """Write the result into ``folder``, to files whose names begin with ``stem``; by default the drawn picture as
        ``STEM.png``.

        Several threads may call it, each for another result.

        Args:
            folder: an existing folder.
            stem: without a suffix.
            format: of pictures for viewing, ``"png"``, ``"jpg"`` or ``"webp"``. A result that writes no picture, or
                always in one format, need not have the argument.

        Returns:
            The paths.
        """
        return [save_picture(self.draw(), folder, stem, format)]

    def show(self) -> None:
        """Show the drawn picture: in a notebook below the cell, else in the system's image viewer.

        Raises:
            InvalidArgument: there is no display, as on a server.
        """
        show_picture(self.draw(), type(self).__name__)

    def to_pandas(self) -> Any:
        """The result as a ``pandas.DataFrame``: one row per label or object, with the columns of ``zoo predict --csv``.

        Raises:
            MissingPlugin: pandas is not installed.
        """
        return optional("pandas", "to_pandas()").DataFrame(flattened(self.to_dict(sys.maxsize)))

    def _repr_png_(self) -> bytes | None:
        """The picture that notebooks show."""
        try:
            return as_png(self.draw())
        except NotImplementedError:
            return None

    def _repr_html_(self) -> str:
        """The HTML that notebooks show: the picture and the lines."""
        return as_html(self)

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        """A class with the same methods is a result too, even without these four for display."""
        if cls is not Result:
            return NotImplemented
        names = ("lines", "to_dict", "draw", "save")
        return all(any(name in base.__dict__ for base in other.__mro__) for name in names) or NotImplemented


class Task(Protocol):
    """The steps from an input to its result; ``zoo.pipeline`` runs them in order.

    One object is made per pipeline, with the values of the task's options as keyword arguments.
    :class:`zoo.PictureTask` has all of them for tasks on pictures, except ``decode``.
    """

    def load(self, source: Any) -> Any:
        """Open an input that the user gave (a path, a PIL image, a tensor, or a tuple if several make one input).

        Raises:
            UnreadableFile, InvalidArgument: it cannot be opened. Other inputs still run.
        """

    def transform(self, weights: Weights) -> Callable[[Any], Any]:
        """The transform that prepares one input for a model with these weights.

        For inputs that go through the model part by part, such as a video too long for memory, it returns an iterator
        over one ``(input, prepared)`` per part; see :meth:`gather`.
        """
        raise NotImplementedError

    def collate(self, prepared: Sequence[Any]) -> tuple[Any, ...]:
        """Prepared inputs → the model's positional arguments."""
        raise NotImplementedError

    def decode(self, outputs: Any, inputs: Sequence[Any], weights: Weights) -> Sequence[Result]:
        """The model's outputs → one result per input."""
        raise NotImplementedError

    def draw(self, result: Any) -> Image.Image:
        """A picture of a result."""
        raise NotImplementedError

    def gather(self, source: Any, results: Iterator[Any]) -> Result:
        """The result of an input that went through the model part by part. ``results`` are those of its parts, which
        are prepared, collated and decoded batch by batch during the iteration."""
        raise NotImplementedError

    def sequence(self, source: Any) -> bool:
        """Whether a source alone is an input although several files make one: a video, which contains many pairs."""
        raise NotImplementedError

    def watched(self, model: nn.Module) -> Sequence[nn.Module]:
        """Modules whose outputs must be finite for a valid result: those from which a model, or :meth:`decode`, selects
        the largest values or those above a threshold, which would drop NaN without an error. The numbers of results
        themselves are always checked."""
        return ()

    def protocol(self, weights: Weights) -> Mapping[str, Any]:
        """The settings of inference that metrics depend on: a name, perhaps a key of ``weights.extra`` → a number, a
        word or a list. ``zoo evaluate`` shows them beside those of the published metrics."""
        return {}

    def example(self, model: nn.Module, weights: Weights | None, size: int | None = None) -> tuple[Any, ...]:
        """The model's positional arguments for one valid input of random noise, on the CPU.

        Args:
            model: built, perhaps on the meta device.
            weights: those that were or could be loaded into it, if known.
            size: approximate side of the input in pixels, increased to the model's minimum; by default as for
                predictions.
        """
        raise NotImplementedError


@runtime_checkable
class Examples(Protocol):
    """A reader of a task's data. ``provides["data"]`` names a mapping: name of a format → reader.

    A reader is called with ``(path, annotations=None, *, categories=None)`` and raises
    :class:`zoo.errors.InvalidArgument` that lists all errors with their places. It has ``matches(path, annotations)``,
    which returns whether data look like its format. Readers are ``torch.utils.data.Dataset``; they read a file on
    access, and can be pickled. Pictures are upright. A reader may have ``problems()``, which opens every input and
    returns one sentence per problem; without it, training only opens the files. It may have ``truth(i)``, the ground
    truth of an example as JSON data, or ``annotation(i)``, the file of the ground truth: they decide whether records of
    an evaluation have the same ground truth; without them, all targets do. Inputs and targets by task:

    ========================  =============================  ==========================================================
    image-classification      uint8 [3, H, W]                ``{"label": int}``
    object-detection, …       uint8 [3, H, W]                ``boxes`` float32 [n, 4] xyxy in pixels, ``labels`` int64
                                                             [n] from 1, ``area`` float32 [n], ``iscrowd`` int64 [n],
                                                             ``image_id``; ``masks`` uint8 [n, H, W] and ``keypoints``
                                                             float32 [n, K, 3] where there are any
    semantic-segmentation     uint8 [3, H, W]                ``{"mask": int64 [H, W]}``, 255 for what does not count
    video-classification      uint8 [T, 3, H, W]             ``{"label": int}``
    optical-flow              a pair of uint8 [3, H, W]      ``{"flow": float32 [2, H, W], "valid": bool [H, W]}``
    ========================  =============================  ==========================================================

    Attributes:
        categories: names of the labels, by number. Of detectors the first is the background.
        names: one per example, unchanged as long as the data are; paths with ``/``.
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
        """The target of an example; its input is not decoded."""
        raise NotImplementedError

    def source(self, i: int) -> Any:
        """The input for a pipeline: a path, or a tuple of paths."""
        raise NotImplementedError

    def select(self, indices: Sequence[int]) -> Examples:
        """A reader of the same class with only these examples, in this order."""
        raise NotImplementedError

    def counts(self) -> Mapping[str, int]:
        """The number of examples or objects per category, without decoding. Empty if it is not known."""
        raise NotImplementedError


class Evaluator(Protocol):
    """An evaluation on one data set: ``provides["evaluate"]`` is called with ``(images, annotations, weights)``.
    ``images`` is a path, or :class:`Examples`, in which case there are no annotations.

    It may also have ``reader``, the :class:`Examples` with the ground truth; ``notes``: sentences to read with the
    metrics, such as what was left out; ``protocol``, like :meth:`Task.protocol`, its own settings that the metrics
    depend on; and ``confusion(records, num_classes)``, which counts inputs (or their parts) by true class, one per row,
    and predicted class.
    """

    @property
    def sources(self) -> Mapping[str, Any]:
        """The inputs, in order: a name, unchanged as long as the data are → the input for the pipeline."""

    def measure(self, name: str, result: Any) -> Any:
        """The data that the metrics need of the result for one input: small, and JSON.

        Raises:
            UnreadableFile, InvalidArgument: the annotation of this input is missing or does not fit. The input counts
                as unreadable.
        """

    def summarize(self, records: Sequence[Any]) -> Mapping[str, float]:
        """The metrics of these records (in the order of ``sources``): metric → value, NaN if it is undefined."""


@dataclass(frozen=True)
class Exportable:
    """A module that can be captured, as ``provides["export"]`` returns it when called with ``(model, image_size)``.

    If the user requests them, it gets two more keywords, whose support is optional: ``dynamic``, the names of the axes
    of variable size, and ``preprocessing``, the :class:`Preset` to include in the graph together with the
    postprocessing.

    Attributes:
        module: takes and returns tensors whose sizes do not depend on values. Its outputs are a tensor, or a dict,
            tuple or list of tensors; keys are the outputs' names.
        arguments: its example arguments: tensors of the shapes that the file will take.
        inputs: names of the arguments.
        onnx: called for ONNX, returns a dict: custom operator → the onnxscript function that replaces it.
        axes: argument → axis → its name (``batch``, ``height``, ``width``, …), for those whose size may vary. Their
            size in the example is at least 2.
        multiples: name of an axis → the number that its size must be a multiple of.
        layouts: argument → description of its contents, such as ``"RGB, 0 to 255"``.
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
        facts: JSON to store in the file unchanged: the facts that :func:`zoo.pipeline` needs.
        onnx: as for :class:`Exportable`.
        options: further options: ``opset``.
    """

    program: Any
    inputs: Sequence[str]
    outputs: Sequence[str]
    facts: str
    onnx: Callable[[], dict[Any, Any]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class Trainable(Protocol):
    """The training of a task: ``provides["train"]`` names such a class, which is called with the options for the verb
    ``"train"`` that the user gave.

    An example goes through ``prepare``, several through ``collate``, and ``loss`` runs the model on them.

    Attributes:
        as_predicted: whether ``score`` runs the model on the same inputs as a pipeline. Then its outputs, returned by
            ``predicted``, are decoded and measured too, and no input is opened or run twice.
        defaults: default arguments of :func:`zoo.train` for the task: ``lr``, ``weight_decay``, ``schedule``, ….
    """

    as_predicted: bool = False
    defaults: Mapping[str, Any] = MappingProxyType({})

    def check(self, model: nn.Module, arguments: tuple[Any, ...], targets: Any, categories: Sequence[str]) -> None:
        """Check a batch before the first step; ``categories`` are those of the data.

        Raises:
            InvalidArgument: the model cannot be trained on the targets, or its head has another size.
        """

    def size(self, model: nn.Module, weights: Weights) -> tuple[int, int] | None:
        """(height, width) of augmented inputs if neither a crop of the preprocessing nor the model fixes it; None if
        there is none."""
        return None

    def predicted(self, outputs: Any) -> Any:
        """The outputs of the model in the last ``score`` → its outputs in a pipeline."""
        return outputs

    def sampling(self, data: Any, weights: Weights) -> Mapping[str, Any]:
        """The keys of :attr:`zoo.Weights.extra` of the trained weights that describe how the reader ``data`` makes
        inputs from files; ``weights`` describe the initial weights."""
        return {}

    def with_targets(self, model: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Artificial positional arguments of the model in train mode, for those of :meth:`Task.example`."""
        return arguments

    def prepare(self, model: nn.Module, weights: Weights) -> Callable[[Any, Any], Any]:
        """The function that turns a reader's ``(input, target)`` into an example for ``model``, with the preprocessing
        of ``weights``.

        It is also called in worker processes, so it must be picklable and must not contain the model.
        """
        raise NotImplementedError

    def collate(self, examples: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
        """Examples → the model's positional arguments, and what else :meth:`loss` needs, all of them tensors or lists,
        tuples and dicts of tensors."""
        raise NotImplementedError

    def loss(self, model: nn.Module, arguments: tuple[Any, ...], targets: Any) -> Mapping[str, Tensor]:
        """Name → a scalar, the mean over the examples; the sum of the scalars is minimised. Call ``model`` itself, not
        a part of it: it may be wrapped."""
        raise NotImplementedError

    def score(self, model: nn.Module, arguments: tuple[Any, ...], targets: Any) -> Mapping[str, Tensor]:
        """Name → a mean over the examples, with the model in eval mode; includes ``"loss"``."""
        raise NotImplementedError
