"""Runs inputs through a pipeline, in order: they are opened ahead of the model and decoded after it in threads."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from operator import length_hint
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from zoo.errors import InvalidArgument, NonFiniteResult, UnreadableFile, ZooError
from zoo.features import watched_outputs
from zoo.io.frames import VideoFrame
from zoo.io.image import open_image, open_reduced
from zoo.io.reopening import facts_of, reopened
from zoo.io.stored import Held, Stored
from zoo.running.ahead import ahead, count_workers
from zoo.running.engines import computing
from zoo.running.finite import describe_cause, is_finite
from zoo.running.memory import give_back

PROGRESS_FROM = 32  # least number of inputs for a progress bar
GIVE_BACK_EVERY = 1 << 26  # pixels of opened pictures after which free memory is returned to the system

Pair = tuple[Any, Any]  # an opened input, and the prepared one
Batch = list[tuple[Any, Pair | ZooError]]  # sources, with the pair or the error of each
_END = object()


class _Run(NamedTuple):
    """Inputs that went through the model together."""

    pairs: list[Pair]
    outputs: Any
    watched: dict[str, Any]
    error: Exception | None


class Stream:
    """One call of a pipeline.

    Args:
        pipe: the :class:`~zoo.Pipeline`, whose ``model`` may be replaced meanwhile.
        batch_size: number of inputs, or parts of one, that go through the model together.
        workers: threads that open inputs, or ``"auto"``.
        large: pixels of opened pictures from which a batch is run before it is full; also limits waiting pictures.
        progress: as for :meth:`~zoo.Pipeline.stream`.
    """

    def __init__(
        self, pipe: Any, *, batch_size: int, workers: int | str, large: int, progress: bool | None = None
    ) -> None:
        self.pipe, self.steps, self.batch_size, self.workers = pipe, pipe.steps, batch_size, workers
        self.large, self.progress = large, progress

    def run(self, sources: Sequence[Any]) -> Generator[tuple[Any, Any], None, None]:
        """``(source, result or error)`` for each, in order."""
        threads = count_workers(self.workers, len(sources))
        with contextlib.ExitStack() as opened_here:
            opened = ahead(
                self._open,
                sources,
                threads=threads,
                limit=self.batch_size + threads,
                weigh=lambda pair: pixels_of(pair[1]),
                heaviest=self.large,
            )
            opened_here.callback(opened.close)
            # The next batch is started before the outputs of this one are read, so that a GPU does not wait.
            read = ahead(self._read_all, self._computed(opened), threads=min(threads, 1), limit=2, eager=False)
            opened_here.callback(read.close)
            for batch, groups in read:
                results = itertools.chain.from_iterable(map(self._finished, groups))
                for source, pair in batch:
                    yield source, pair if isinstance(pair, Exception) else next(results)
                del batch, groups, results  # before the next one is computed

    # ── opening, in threads ──────────────────────────────────────────────────────────────────────────────────────

    def _open(self, source: Any) -> tuple[Any, Pair | ZooError]:
        """The source with its input and the prepared one, or with the error."""
        size = None
        try:
            files = None if self.pipe.keep_images else facts_of(source)
            if self.pipe.fast_decode and isinstance(source, str | Path):
                loaded, size = open_reduced(source, self.pipe.fast_decode)
            elif isinstance(source, Stored | Held):
                loaded = self.steps.load(open_image(io.BytesIO(source.read())))
            elif isinstance(source, VideoFrame):
                loaded = self.steps.load(source.image())
            else:
                loaded = self.steps.load(source)
            prepared = self.pipe.prepare(loaded)
        except (UnreadableFile, InvalidArgument) as e:
            return source, e
        if files is not None:
            loaded = reopened(loaded, source, files, self.steps.load, size)
        return source, (loaded, prepared)

    def _batches(self, opened: Iterable[tuple[Any, Pair | ZooError]]) -> Iterator[Batch]:
        """End a batch early if its pictures are large."""
        batch: Batch = []
        pixels = 0
        for source, pair in opened:
            batch.append((source, pair))
            pixels += pixels_of(pair)
            if len(batch) == self.batch_size or pixels >= self.large:
                yield batch
                batch, pixels = [], 0
        if batch:
            yield batch

    # ── running the model, in the consumer's thread ──────────────────────────────────────────────────────────────

    def _computed(self, opened: Iterable[tuple[Any, Pair | ZooError]]) -> Iterator[tuple[Batch, list[Any]]]:
        """Each batch with the outputs for its opened inputs, in groups that can go through the model together. An input
        with parts is a group of its own, with its result."""

        def kind(pair: Pair) -> Any:
            has_parts = isinstance(pair[1], Iterator)
            return has_parts, None if has_parts or not self.pipe.task.same_size else _shapes(pair[1])

        for batch in self._batches(opened):
            groups: list[Any] = []
            there = (pair for _, pair in batch if not isinstance(pair, Exception))
            for (has_parts, _), run in itertools.groupby(there, kind):
                if has_parts:
                    groups += ([self._run_parts(loaded, parts)] for loaded, parts in run)
                else:
                    groups.append(self._forward(list(run)))
            yield [(source, pair if isinstance(pair, Exception) else (None, None)) for source, pair in batch], groups
            del batch, groups  # before the next is opened

    @torch.inference_mode()
    def _forward(self, pairs: list[Pair]) -> _Run:
        model, device = self.pipe.model, self.pipe.device
        self.pipe.pixels += sum(map(pixels_of, pairs))  # of all streams: a server has one per batch
        if self.pipe.pixels >= GIVE_BACK_EVERY:
            self.pipe.pixels = 0
            give_back()
        arguments = self.steps.collate([prepared for _, prepared in pairs])
        watched = {str(i): module for i, module in enumerate(computing(model, self.pipe.watched(model)))}
        found: dict[str, Any] = {}
        try:
            with watched_outputs(watched, found):
                outputs = model(*(_to(argument, device) for argument in arguments))
        except Exception as e:  # noqa: BLE001  code after NaN may fail in any way
            return _Run(pairs, None, found, e)
        return _Run(pairs, outputs, found, None)

    def _run_parts(self, loaded: Any, parts: Iterator[Any]) -> Any | ZooError:
        """The result of an input with parts, with little more than one batch of its parts in memory."""
        count = length_hint(parts)
        reading: Generator[Any, None, None] = ahead(
            lambda _: next(parts, _END),
            itertools.repeat(None),
            threads=min(count_workers(self.workers, count), 1),  # parts are sequential
            limit=self.batch_size,
            weigh=lambda part: 0 if part is _END else pixels_of(part),
            heaviest=self.large,
        )

        def results() -> Iterator[Any]:
            self.pipe.expect(count)
            with progress_bar(count, "part", self.progress) as bar:
                there = itertools.takewhile(lambda part: part is not _END, reading)
                while batch := list(itertools.islice(there, self.batch_size)):
                    for result in self._finished(self._read(self._forward(batch))):
                        if isinstance(result, Exception):
                            raise result
                        yield result
                    bar.update(len(batch))
                    batch.clear()  # before the next one is read

        try:
            return self.steps.gather(loaded, results())
        except (UnreadableFile, InvalidArgument, NonFiniteResult) as e:  # a video that is damaged in the middle
            return e
        finally:
            reading.close()

    # ── decoding outputs, in a thread ────────────────────────────────────────────────────────────────────────────

    def _read_all(self, computed: tuple[Batch, list[Any]]) -> tuple[Batch, list[Any]]:
        batch, groups = computed
        return batch, [self._read(group) if isinstance(group, _Run) else group for group in groups]

    @torch.inference_mode()
    def _read(self, run: _Run) -> list[Any] | _Run:
        """One result per input; inputs are run again one by one if an output is not finite."""
        if not is_finite(run.watched):
            return [self._not_finite()] if len(run.pairs) == 1 else run
        if run.error is not None:
            raise run.error
        results = self.steps.decode(run.outputs, [loaded for loaded, _ in run.pairs], self.pipe.weights)
        return [result if is_finite(result) else self._not_finite() for result in results]

    def _finished(self, group: list[Any] | _Run) -> list[Any]:
        if not isinstance(group, _Run):
            return group
        alone = (self._read(self._forward([pair])) for pair in group.pairs)
        return [result for results in alone for result in results]

    def _not_finite(self) -> NonFiniteResult:
        if self.pipe.cause is None:
            self.pipe.cause = describe_cause(self.pipe.model)
        return NonFiniteResult(f"The model's output is NaN or infinite; {self.pipe.cause}.")


def _shapes(prepared: Any) -> Any:
    """The shape of a tensor, or those of an input's tensors."""
    return prepared.shape if isinstance(prepared, Tensor) else [_shapes(one) for one in prepared]


def pixels_of(pair: Pair | Exception) -> int:
    """The number of pixels of the pictures of an opened input."""
    return 0 if isinstance(pair, Exception) else _pixels(pair[0])


def _pixels(loaded: Any) -> int:
    if isinstance(loaded, Image.Image):
        return loaded.width * loaded.height
    if isinstance(loaded, Tensor):
        return loaded.numel() // 3
    return sum(map(_pixels, loaded)) if isinstance(loaded, list | tuple) else 0


def progress_bar(total: int, unit: str, progress: bool | None) -> Any:
    """A progress bar, shown only for long work if ``progress`` is None."""
    from tqdm import tqdm

    shown = total >= PROGRESS_FROM if progress is None else progress
    return tqdm(total=total or None, unit=unit, disable=not shown, leave=unit == "input")


def _to(value: Any, device: torch.device) -> Any:
    """Move to the device; to CUDA from pinned memory, without blocking."""
    if isinstance(value, Tensor):
        pinned = device.type == "cuda" and value.device.type == "cpu"
        return (value.pin_memory() if pinned else value).to(device, non_blocking=pinned)
    return [_to(v, device) for v in value] if isinstance(value, list | tuple) else value
