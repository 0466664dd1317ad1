"""Validation after each epoch: the task's scores, and the metrics of ``zoo.evaluate``."""

from __future__ import annotations

import itertools
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from zoo import Pipeline, draw, pipeline, registry
from zoo.contract import Examples, TaskSpec, Trainable, Weights
from zoo.errors import TrainingError, TrainingWarning, ZooError
from zoo_tools.evaluation import evaluate, evaluator_of
from zoo_training.data.showing import captioned
from zoo_training.loop import Loop, placed

PICTURES = 9  # number of pictures on the sheet of predictions


class HeldOut:
    """The validation metrics: called with the loop, returns name → value.

    If the task computes its scores from outputs that a pipeline can decode (``as_predicted`` of
    :class:`zoo.contract.Trainable`), each input runs through the model once, distributed over the processes: it is
    opened, prepared, decoded and measured with the parts of ``zoo.evaluate``, and some are drawn. Otherwise
    ``zoo.evaluate`` runs in addition to the scores, in the first process.

    Attributes:
        records: input → record of the task's evaluator in the last call; empty if the task has no evaluator.
        drawn: index of an input → its picture for the sheet, of the last call.
    """

    def __init__(self, reader: Any, spec: TaskSpec, weights: Weights, piece: Trainable) -> None:
        self.reader, self.spec, self.weights, self.piece = reader, spec, weights, piece
        self.records: Mapping[str, Any] = {}
        self.drawn: Mapping[int, Image.Image] = {}
        known = isinstance(reader, Examples) and registry.provided(spec, "evaluate") is not None
        self.scorer: Any = evaluator_of(spec)(reader, None, weights) if known else None
        self.once = known and getattr(piece, "as_predicted", False)

    def __call__(self, loop: Loop) -> dict[str, float]:
        if self.once:
            return self._measure(loop)
        figures = loop.score()
        self.drawn = self._draw(loop) if loop.rank == 0 and isinstance(self.reader, Examples) else {}
        if self.scorer is not None:
            shared: list[Any] = [None]
            if loop.rank == 0:
                done = evaluate(
                    loop.whole, self.reader, weights=self.weights, device=loop.device, task=self.spec.name,
                    batch_size=loop.batch_size, optimize=False, progress=False,
                )  # fmt: skip
                self.records = done.records
                _warn(done.failures)
                shared = [dict(done.metrics)]
            if loop.world > 1:
                dist.broadcast_object_list(shared)
            figures |= shared[0]
        return figures

    def _measure(self, loop: Loop) -> dict[str, float]:
        ready = self._pipeline(loop, loop.model)
        own = list(range(len(self.reader)))[loop.rank :: loop.world]
        dataset = _Opened(self.reader, own, ready.steps, loop.prepare)
        loader = DataLoader(dataset, loop.batch_size, collate_fn=list, num_workers=loop.workers)
        sums: dict[str, float] = defaultdict(float)
        records: dict[int, Any] = {}
        failures: dict[int, str] = {}
        drawn: dict[int, Image.Image] = {}
        chosen = self._chosen()
        together = loop.in_step(lambda: self._outputs(loop, self._spare(dataset)))
        for batch in loader:
            for i, opened in batch:
                if isinstance(opened, str):
                    failures[i] = opened
            there = [(i, opened) for i, opened in batch if i not in failures]
            for part in _of_one_size(there) if self.spec.same_size else [there] if there else []:
                indices, inputs, examples = zip(*[(i, *opened) for i, opened in part], strict=True)
                scores, outputs = together(partial(self._outputs, loop, examples))
                sums["inputs"] += len(part)
                for name, value in scores.items():
                    sums[name] += value.item() * len(part)
                for i, result in zip(indices, ready.steps.decode(outputs, inputs, self.weights), strict=True):
                    try:
                        records[i] = self.scorer.measure(self.reader.names[i], result)
                    except ZooError as e:
                        failures[i] = str(e)
                    if i in chosen:
                        drawn[i] = captioned(ready.steps.draw(result), self.reader.names[i])
        together.finish()
        if loop.world > 1:
            every: list[Any] = [None] * loop.world
            dist.all_gather_object(every, (dict(sums), records, failures, drawn))
            sums = defaultdict(float)
            for other, *_ in every:
                for name, value in other.items():
                    sums[name] += value
            records, failures, drawn = (
                {i: value for parts in every for i, value in parts[k].items()} for k in (1, 2, 3)
            )
        if loop.rank == 0:
            _warn({self.reader.names[i]: failures[i] for i in sorted(failures)})
        self.records = {self.reader.names[i]: records[i] for i in sorted(records)}
        self.drawn = {i: drawn[i] for i in sorted(drawn)}
        number = sums.pop("inputs")
        means = {name: value / number for name, value in sums.items()} if number else {"loss": float("nan")}
        return means | (dict(self.scorer.summarize(list(self.records.values()))) if records else {})

    @torch.no_grad()
    def _outputs(self, loop: Loop, examples: Sequence[Any]) -> tuple[Mapping[str, Tensor], Any]:
        """The task's scores of a batch, and the model's outputs."""
        seen: list[Any] = []
        hook = loop.model.register_forward_hook(lambda module, arguments, outputs: seen.append(outputs))
        try:
            arguments, targets = self.piece.collate(examples)
            scores = self.piece.score(loop.model.eval(), *placed((arguments, targets), loop.device))
        finally:
            hook.remove()
        return scores, self.piece.predicted(seen[-1]) if hasattr(self.piece, "predicted") else seen[-1]

    def _spare(self, dataset: _Opened) -> list[Any]:
        """A batch of the first example that can be opened."""
        for i in range(len(self.reader)):
            if not isinstance(opened := dataset.opened(i)[1], str):
                return [opened[1]]
        raise TrainingError("None of the validation examples can be opened.")

    def _pipeline(self, loop: Loop, model: nn.Module) -> Pipeline:
        return pipeline(model, self.weights, loop.device, task=self.spec.name, optimize=False)

    def _chosen(self) -> list[int]:
        """Inputs spread evenly over the validation data."""
        return sorted({round(i * (len(self.reader) - 1) / (PICTURES - 1)) for i in range(PICTURES)})

    def _draw(self, loop: Loop) -> dict[int, Image.Image]:
        ready, chosen = self._pipeline(loop, loop.whole), self._chosen()
        sources = [self.reader.source(i) for i in chosen]
        results = ready.stream(sources, batch_size=loop.batch_size, progress=False)
        return {
            i: captioned(ready.steps.draw(result), self.reader.names[i])
            for i, (_, result) in zip(chosen, results, strict=True)
            if not isinstance(result, Exception)
        }

    def sheet(self) -> Image.Image | None:
        """Pictures of the last call with their predictions; None if inputs are not files."""
        return draw.contact_sheet(list(self.drawn.values())) if self.drawn else None

    def confusion(self) -> list[list[int]] | None:
        """Counts of true × predicted classes in the last call; None if the task has no such counts."""
        count = getattr(self.scorer, "confusion", None)
        if count is None or not self.records:
            return None
        found: list[list[int]] = count(list(self.records.values()), len(self.weights.read_categories()))
        return found


class _Opened(Dataset[Any]):
    """Index of an input, with its opened form for the pipeline and for the scores; or the reason why it failed."""

    def __init__(self, reader: Examples, indices: Sequence[int], steps: Any, prepare: Any) -> None:
        self.reader, self.indices, self.steps, self.prepare = reader, indices, steps, prepare

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> tuple[int, Any]:
        return self.opened(self.indices[place])

    def opened(self, i: int) -> tuple[int, Any]:
        try:
            loaded = self.steps.load(self.reader.source(i))
            return i, (loaded, self.prepare(loaded, self.reader.target(i)))
        except ZooError as e:
            return i, str(e)


def _of_one_size(batch: Sequence[tuple[int, Any]]) -> Iterator[list[tuple[int, Any]]]:
    """Group neighbours whose prepared inputs have the same shape: padding would change the results."""
    for _, run in itertools.groupby(batch, lambda one: _shape(one[1][1])):
        yield list(run)


def _shape(example: Any) -> Any:
    if isinstance(example, Tensor):
        return tuple(example.shape)
    return [_shape(one) for one in example] if isinstance(example, list | tuple) else None


def _warn(failures: Mapping[str, str]) -> None:
    if failures:
        name, why = next(iter(failures.items()))
        warnings.warn(
            f"{len(failures)} validation inputs are not part of the metrics, such as {name}: {why}",
            TrainingWarning,
            stacklevel=2,
        )
