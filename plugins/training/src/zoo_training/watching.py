"""Progress of a run, and its output files: metrics, curves, pictures, weights."""

from __future__ import annotations

import csv
import importlib.util
import io
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import nn

from zoo.contract import TaskSpec, Weights
from zoo.loading import save
from zoo_training.cards import CARD, write_card
from zoo_training.charts import confusion_image, curves
from zoo_training.checkpoints import told, write
from zoo_training.loop import Loop
from zoo_training.validation import HeldOut

BEST, LAST, FIGURES, CURVES = "best.safetensors", "last.safetensors", "metrics.csv", "curves.png"
PREDICTIONS, CONFUSION = "predictions.png", "confusion"
SAY_EVERY = 30.0  # seconds between the lines of an epoch, where there is no terminal whose line could move


def best_epoch(history: Sequence[dict[str, float]], task: TaskSpec | None = None) -> int:
    """The first epoch, from 1, that is best by the task's first metric and, for equal values, by the validation loss;
    by the loss only if there is no such metric. 0 if there is no epoch."""
    metric = task.metrics[0] if task is not None and task.metrics else None

    def rank(i: int) -> tuple[float, float]:
        value = history[i].get(f"val_{metric.key}", math.nan) if metric else math.nan
        sign = -1 if metric and metric.higher_is_better else 1
        loss = history[i].get("val_loss", math.nan)
        return tuple(math.inf if math.isnan(v) else v for v in (sign * value, loss))  # type: ignore[return-value]

    return min(range(len(history)), key=rank) + 1 if history else 0


def write_model(path: Path, model: nn.Module, weights: Weights, figures: Mapping[str, float]) -> None:
    """Save a model with its categories and its validation metrics, with :func:`zoo.save`.

    Raises:
        TrainingError: it cannot be written.
    """
    with told(path):
        save(
            model,
            path,
            categories=weights.read_categories(),
            metrics={"held out": {name: value for name, value in figures.items() if math.isfinite(value)}},
            transforms=weights.transforms,
            trained_from=weights.url or None,
            extra=weights.extra,
        )


def write_table(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    """Write a CSV file.

    Raises:
        TrainingError: it cannot be written.
    """
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    write(path, lambda f: f.write(text.getvalue().encode()))


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write a PNG file.

    Raises:
        TrainingError: it cannot be written.
    """
    write(path, lambda f: picture.save(f, "PNG"))


class Watch:
    """Observes a run: :meth:`zoo_training.loop.Loop.run` calls :meth:`step` and :meth:`epoch`.

    In the first process, after each epoch, it writes ``metrics.csv``, ``curves.png``, ``predictions.png`` (predictions
    on validation pictures), ``confusion.csv`` and ``confusion.png`` of the best epoch for classification,
    ``last.safetensors``, and ``best.safetensors`` with its card, ``README.md``; ``tensorboard/`` if TensorBoard is
    installed.

    Args:
        folder: folder of the run.
        weights: description of the saved weights.
        held_out: the metrics of an epoch.
        patience: stop after this many epochs without improvement, or None.
        shown: whether to print progress to standard error: on a terminal one line that is updated; elsewhere one line
            per epoch, and one every 30 seconds within an epoch.
        finished: the model in training → the model to save.
    """

    def __init__(
        self, folder: Path, weights: Weights, task: TaskSpec, held_out: HeldOut, patience: int | None, shown: bool,
        finished: Callable[[nn.Module], nn.Module] = lambda model: model,
    ) -> None:  # fmt: skip
        self.folder, self.weights, self.task, self.held_out = folder, weights, task, held_out
        self.patience, self.shown, self.finished = patience, shown, finished
        self.begin, self.done, self.steps = time.monotonic(), 0, 0
        self.moves = sys.stderr.isatty() and os.environ.get("CI", "") in ("", "0")  # otherwise plain lines
        self.said = self.begin
        self.board: Any = None

    def step(self, loop: Loop, steps: int) -> None:
        self.done, self.steps = self.done + 1, steps
        now = time.monotonic()
        if not self.shown or not (self.moves or now - self.said >= SAY_EVERY):
            return
        line, self.said = progress(loop, steps, (now - self.begin) / self.done, columns()), now
        print(f"\r{line}\033[K" if self.moves else line, end="" if self.moves else "\n", file=sys.stderr, flush=True)

    def epoch(self, loop: Loop, row: dict[str, float]) -> bool:
        best = best_epoch(loop.history, self.task)
        stop = self.patience is not None and row["epoch"] - best >= self.patience
        sheet = self.held_out.sheet() if loop.rank == 0 else None
        if loop.rank == 0:
            self._write(loop, row, best, sheet)
        if self.shown:
            line = summary(row, self.task, loop.epochs, columns())
            print(f"\r{line}\033[K" if self.moves else line, file=sys.stderr, flush=True)
            self.said = time.monotonic()
            if stop:
                print(f"stopped: no improvement on epoch {best} for {self.patience} epochs", file=sys.stderr)
        return stop

    def _write(self, loop: Loop, row: dict[str, float], best: int, sheet: Image.Image | None) -> None:
        names = list(dict.fromkeys(name for other in loop.history for name in other))
        write_table(self.folder / FIGURES, [names, *([row.get(name, "") for name in names] for row in loop.history)])
        write_picture(self.folder / CURVES, curves(loop.history))
        if sheet is not None:
            write_picture(self.folder / PREDICTIONS, sheet)
        figures = {key.removeprefix("val_"): value for key, value in row.items() if key.startswith("val_")}
        model = self.finished(loop.whole)
        write_model(self.folder / LAST, model, self.weights, figures)
        if best == row["epoch"]:
            write_model(self.folder / BEST, model, self.weights, figures)
            if (matrix := self.held_out.confusion()) is not None:
                classes = list(self.weights.read_categories())
                counts = [[name, *row] for name, row in zip(classes, matrix, strict=True)]
                rows: list[Sequence[Any]] = [["true \\ predicted", *classes], *counts]
                write_table(self.folder / f"{CONFUSION}.csv", rows)
                write_picture(self.folder / f"{CONFUSION}.png", confusion_image(matrix, classes))
            with told(self.folder / CARD):
                write_card(self.folder / BEST)
        self._show_board(loop, row, sheet)

    def _show_board(self, loop: Loop, row: dict[str, float], sheet: Image.Image | None) -> None:
        if self.board is None:
            if importlib.util.find_spec("tensorboard") is None:
                return
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(self.folder / "tensorboard"))
        for name, value in row.items():
            if name != "epoch":
                part = "held out" if name.startswith("val_") else "training"
                self.board.add_scalar(f"{part}/{name.removeprefix('val_')}", value, row["epoch"])
        if sheet is not None:
            from zoo.transforms.functional import pil_to_tensor

            self.board.add_image("predictions", pil_to_tensor(sheet), row["epoch"])
        self.board.flush()

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


def columns() -> int:
    """Width of the terminal of standard error; 80 if it is not a terminal."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def progress(loop: Loop, steps: int, pace: float, width: int) -> str:
    """The state of a run in one line of fewer than ``width`` characters, most important parts first.

    Args:
        steps: number of steps in the epoch.
        pace: seconds per step.
    """
    left = (loop.epochs - loop.epoch) * steps - loop.step
    size = loop.batch_size * loop.accumulate * loop.world
    parts = [
        f"epoch {loop.epoch + 1}/{loop.epochs}",
        f"step {loop.step}/{steps}",
        f"loss {loop.losses[-1]:.4f}",
        f"{duration(pace * left)} left",
        f"lr {loop.optimizer.param_groups[-1]['lr']:.2e}",
        f"{size / pace:.1f} examples/s",
    ]
    return _line(parts, width)


def summary(row: Mapping[str, float], task: TaskSpec, epochs: int, width: int) -> str:
    """The metrics of an epoch in one line of fewer than ``width`` characters: losses first, then the task's metrics,
    then others."""
    first = ["loss", "val_loss", *(f"val_{metric.key}" for metric in task.metrics)]
    names = [name for name in dict.fromkeys([*first, *row]) if name in row and name not in ("epoch", "lr")]
    return _line([f"epoch {row['epoch']}/{epochs}", *(f"{name} {row[name]:.4g}" for name in names)], width)


def _line(parts: list[str], width: int) -> str:
    """As many of ``parts`` as fit."""
    while len(parts) > 1 and len("  ".join(parts)) >= width:
        parts = parts[:-1]
    return "  ".join(parts)[: max(1, width - 1)]


def duration(seconds: float) -> str:
    """Format seconds as ``0:42`` or ``3:05:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
