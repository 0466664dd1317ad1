"""What a task is: how files become inputs, and outputs become results."""

from __future__ import annotations

from dataclasses import dataclass, field


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
        evaluate: ``evaluate(images: Path, annotations: Path | None, weights: Weights) → zoo.Evaluator``:
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
