"""``zoo.train``: a model, a data set and a folder; the weights, figures and checkpoints of a run come into it."""

from __future__ import annotations

import csv
import inspect
import io
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from zoo import registry
from zoo.contract import Examples, TaskSpec, Trainable, Weights, check_count
from zoo.errors import InvalidArgument, TrainingError, TrainingWarning, UnreadableFile
from zoo.loading import default_size, loaded_weights, save
from zoo_tools.evaluation import evaluate
from zoo_training.augmentation import recipe as named_recipe
from zoo_training.checkpoints import told, write
from zoo_training.data import open_data
from zoo_training.loop import AUTOCAST, Loop
from zoo_training.parameters import EMA, freeze as freeze_parts, parameter_groups
from zoo_training.sampling import Augment

CHECKPOINT, BEST, LAST, FIGURES = "checkpoint.pt", "best.safetensors", "last.safetensors", "metrics.csv"
RATES = {"adamw": 5e-4, "sgd": 5e-3}  # of fine-tuning
OPTIMIZERS = tuple(RATES)


@dataclass(frozen=True)
class Training:
    """What came of a run.

    Attributes:
        output: its folder: ``best.safetensors``, ``last.safetensors``, ``metrics.csv``, ``checkpoint.pt``.
        model: with the last weights, in eval mode.
        categories: names of the classes, in label order.
        history: the figures of each epoch, as ``metrics.csv`` has them.
        best: the epoch, from 1, whose weights are in ``best.safetensors``.
    """

    output: Path
    model: nn.Module
    categories: Sequence[str]
    history: Sequence[dict[str, float]]
    best: int


def train(
    model: str,
    data: str | os.PathLike[str] | tuple[Any, Any],
    output: str | os.PathLike[str],
    weights: Any = "DEFAULT",
    *,
    epochs: int = 10,
    batch_size: int = 16,
    task: str | None = None,
    device: str | torch.device = "auto",
    optimizer: str = "adamw",
    lr: float | None = None,
    weight_decay: float = 1e-2,
    layer_decay: float | None = None,
    warmup: float = 0.1,
    accumulate: int = 1,
    clip: float | None = 1.0,
    precision: str = "fp32",
    ema: float | None = None,
    freeze: Sequence[str] = (),
    recipe: str | None = None,
    flip: float = 0.5,
    augment: Augment | None = None,
    val: float = 0.2,
    patience: int | None = None,
    seed: int = 0,
    workers: int = 0,
    compile: bool = False,  # noqa: A002  torch's name
    checkpoint_minutes: float = 10.0,
    resume: bool = False,
    progress: bool | None = None,
    **config: Any,
) -> Training:
    """Train a model on data of one's own: ``zoo.train("resnet50", "pictures", "runs/a", epochs=10)``.

    The model gets a head for the data's classes. With the same seed, a run that was killed and goes on with ``resume``
    ends with the weights of one that was not. Under ``torchrun``, every process takes its share of each step.

    Args:
        model: its name.
        data: a folder, as :func:`zoo_training.data.open_data` reads it; or two readers, to train and to validate on.
        output: a folder that is made for the run.
        weights: what to begin with, as the builder takes it; None begins from scratch.
        batch_size: of one process.
        optimizer: ``"adamw"`` or ``"sgd"`` (momentum 0.9).
        lr: peak of the learning rate; by default 5e-4 for AdamW and 5e-3 for SGD.
        weight_decay: of parameters with two dimensions and more.
        layer_decay: factor of the rate from one transformer block to the one before it.
        warmup: share of the steps over which the rate rises; then it falls along half a cosine.
        accumulate: batches a step.
        clip: largest norm of a step's gradient; None for any.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"``, of :func:`torch.autocast`.
        ema: decay of a moving average of the weights, which is then what is validated and kept.
        freeze: paths of modules that are not trained; ``"backbone"`` is all but the head.
        recipe: augmentation by name, as :func:`zoo_training.augmentation.recipe` takes it; None for none. What a recipe
            mixes batches by (mixup, CutMix) is left out.
        flip: probability with which the recipe mirrors; 0 where left and right mean something, as of digits.
        augment: ``(input, target, generator)`` → ``(input, target)``, in place of a recipe.
        val: share of each class that is held out, where the data are not split.
        patience: stop after so many epochs without a lower loss on what was held out.
        workers: processes that read; 0 reads in this one.
        compile: run the model through :func:`torch.compile`.
        checkpoint_minutes: between checkpoints within an epoch; 0 writes one after each step.
        resume: go on from ``output``'s checkpoint.
        **config: arguments of the builder.

    Raises:
        InvalidArgument: a value out of range, a task that does not say how it is trained, data that cannot be right,
            ``output`` of another run.
        TrainingError: a loss that is not finite, or a file that cannot be written. The last checkpoint is kept.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("accumulate", accumulate)):
        check_count(name, value, 1)
    _check_choice("optimizer", optimizer, OPTIMIZERS)
    _check_choice("precision", precision, tuple(AUTOCAST))
    if recipe is not None and augment is not None:
        raise InvalidArgument("Both recipe and augment were given; expected one of them.")
    info = registry.model_info(model)
    spec = registry.get_task(task or info.task, plugin=info.plugin)
    make = registry.provided(spec, "train")
    if make is None:
        raise InvalidArgument(
            f"The task {spec.name!r} does not say how it is trained; a plugin would by "
            'zoo.TaskSpec(provides={"train": …}).'
        )
    piece: Trainable = make()
    readers = data if isinstance(data, tuple) else open_data(data, spec.name, val=val, seed=seed)
    _check_readers(readers)
    folder = Path(output)
    _check_folder(folder, resume)
    rank, world, where = _processes(device)

    torch.manual_seed(seed)  # a new head is the same in every process and every run
    categories = list(readers[0].categories)
    builder = registry.get_model_builder(info.full_name)
    taken = inspect.signature(builder).parameters.values()
    if any(p.name == "num_classes" or p.kind is p.VAR_KEYWORD for p in taken):
        config.setdefault("num_classes", len(categories))
    net = registry.get_model(info.full_name, weights=weights, **config)
    described = loaded_weights(net) or info.weights.get("DEFAULT")
    default = info.weights.get("DEFAULT")
    if described is not None and described.transforms is None:
        described = default
    if described is None:
        raise InvalidArgument(f"{info.name} has no weights whose preprocessing is known; it cannot be trained by name.")
    if recipe is not None:
        size = default_size(net, described)
        if size is None:
            raise InvalidArgument(
                f"{info.name} names no size of its inputs; give augment=recipe(…) in place of recipe."
            )
        augment = named_recipe(recipe, spec.name, size, flip=flip)
    net.to(where)
    frozen = freeze_parts(net, freeze)
    rate = RATES[optimizer] if lr is None else lr
    groups = parameter_groups(net, rate, weight_decay, layer_decay)
    make_optimizer: Any = torch.optim.AdamW if optimizer == "adamw" else torch.optim.SGD
    steps = epochs * -(-len(readers[0]) // (batch_size * accumulate * world))
    identity = {
        "model": info.full_name, "weights": str(weights), "categories": categories, "examples": list(readers[0].names),
        "config": json.loads(json.dumps(config, default=repr)), "epochs": epochs,
        "batch": batch_size * accumulate * world, "optimizer": optimizer, "lr": rate, "weight_decay": weight_decay,
        "layer_decay": layer_decay, "warmup": warmup, "clip": clip, "precision": precision, "ema": ema,
        "freeze": list(freeze), "recipe": recipe, "flip": flip, "seed": seed,
    }  # fmt: skip
    loop = Loop(
        net, piece, piece.prepare(net, described), readers,
        make_optimizer(groups, **({} if optimizer == "adamw" else {"momentum": 0.9})), epochs, batch_size, augment,
        accumulate, int(warmup * steps), clip, precision, None if ema is None else EMA(net, ema), frozen, seed,
        workers, compile, folder / CHECKPOINT, checkpoint_minutes, identity,
    )  # fmt: skip
    if rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
    if resume and (folder / CHECKPOINT).exists():
        loop.resume()
    elif rank == 0:
        loop.keep()  # the folder is this run's from now on
    shown = rank == 0 and (sys.stderr.isatty() if progress is None else progress)
    described = replace(described, categories=categories, metrics={}, extra={})
    watch = _Watch(folder, described, spec, readers[1], patience, shown, rank)
    loop.run(watch.step, watch.epoch)
    return Training(folder, net.eval(), categories, tuple(loop.history), best_epoch(loop.history, spec))


def best_epoch(history: Sequence[dict[str, float]], task: TaskSpec | None = None) -> int:
    """The first epoch, from 1, that is best by the task's first metric, and of those by the loss on what was held out;
    by the loss alone where there is no such metric. 0 where there is no epoch."""
    metric = task.metrics[0] if task is not None and task.metrics else None

    def rank(i: int) -> tuple[float, float]:
        value = history[i].get(f"val_{metric.key}", math.nan) if metric else math.nan
        sign = -1 if metric and metric.higher_is_better else 1
        return (math.inf if math.isnan(value) else sign * value, history[i]["val_loss"])

    return min(range(len(history)), key=rank) + 1 if history else 0


def write_model(path: Path, model: nn.Module, weights: Weights, figures: Mapping[str, float]) -> None:
    """Save a model with its categories and its figures on what was held out, by :func:`zoo.save`.

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
        )


class _Watch:
    """What is seen and written while a run goes on."""

    def __init__(
        self,
        folder: Path,
        weights: Weights,
        task: TaskSpec,
        held_out: Any,
        patience: int | None,
        shown: bool,
        rank: int,
    ) -> None:
        self.folder, self.weights, self.task, self.held_out = folder, weights, task, held_out
        self.patience, self.shown, self.rank = patience, shown, rank
        self.begin, self.done = time.monotonic(), 0

    def step(self, loop: Loop, steps: int) -> None:
        self.done += 1
        if self.shown:
            pace = (time.monotonic() - self.begin) / self.done
            left = (loop.epochs - loop.epoch) * steps - loop.step
            rate = loop.optimizer.param_groups[-1]["lr"]
            size = loop.batch_size * loop.accumulate * loop.world
            print(
                f"\repoch {loop.epoch + 1}/{loop.epochs}  step {loop.step}/{steps}  loss {loop.losses[-1]:.4f}  "
                f"lr {rate:.2e}  {size / pace:.1f} examples/s  {pace * left:.0f} s left ",
                end="", file=sys.stderr, flush=True,
            )  # fmt: skip

    def measure(self, loop: Loop) -> Mapping[str, float]:
        """The task's figures on what was held out, by ``zoo.evaluate``'s own code."""
        if not isinstance(self.held_out, Examples):
            return {}
        done = evaluate(
            loop.model, self.held_out, weights=self.weights, device=loop.device, task=self.task.name,
            batch_size=loop.batch_size, optimize=False, progress=False,
        )  # fmt: skip
        if done.failures:
            name, why = next(iter(done.failures.items()))
            warnings.warn(
                f"{len(done.failures)} inputs that were held out are not in the figures, such as {name}: {why}",
                TrainingWarning,
                stacklevel=2,
            )
        return done.metrics

    def epoch(self, loop: Loop, row: dict[str, float]) -> bool:
        if self.rank == 0 and registry.provided(self.task, "evaluate") is not None:
            row |= {f"val_{name}": value for name, value in self.measure(loop).items()}
        if loop.world > 1:  # every process must stop after the same epoch
            shared = [row]
            dist.broadcast_object_list(shared)
            row |= shared[0]
        best = best_epoch(loop.history, self.task)
        if self.rank == 0:
            rows = io.StringIO(newline="")
            table = csv.DictWriter(rows, list(row))
            table.writeheader()
            table.writerows(loop.history)
            write(self.folder / FIGURES, lambda f: f.write(rows.getvalue().encode()))
            for name in (LAST, BEST) if best == row["epoch"] else (LAST,):
                figures = {key.removeprefix("val_"): value for key, value in row.items() if key.startswith("val_")}
                write_model(self.folder / name, loop.model, self.weights, figures)
            if self.shown:
                text = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
                print(f"\repoch {loop.epoch + 1}/{loop.epochs}  {text}\033[K", file=sys.stderr)
        return self.patience is not None and row["epoch"] - best >= self.patience


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InvalidArgument(f"{name} is {value!r}; expected one of {', '.join(choices)}.")


def _check_readers(readers: tuple[Any, Any]) -> None:
    """Raise InvalidArgument if a part or a class is empty, or an input cannot be read."""
    for what, reader in zip(("train", "validate"), readers, strict=True):
        if not len(reader):
            raise InvalidArgument(f"There is nothing to {what} on: the data set is empty.")
    if empty := [name for name, number in readers[0].counts().items() if not number]:
        raise InvalidArgument(f"These classes have nothing to train on: {', '.join(empty)}.")
    bad = []
    for reader in readers:
        for i in range(len(reader)):
            try:
                reader[i]
            except UnreadableFile as e:
                bad.append(str(e))
    if bad:
        raise InvalidArgument(f"{len(bad)} inputs cannot be read; mend or remove them:\n" + "\n".join(bad[:20]))


def _check_folder(folder: Path, resume: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise InvalidArgument(f"output: {folder} is a file; expected a folder.")
    if resume and not (folder / CHECKPOINT).exists() and any(folder.glob("*")):
        raise InvalidArgument(f"output: {folder} has no {CHECKPOINT} to go on from.")
    if not resume and folder.exists() and any(folder.iterdir()):
        raise InvalidArgument(f"output: {folder} is not empty. Go on with resume (--resume), or name another folder.")


def _processes(device: str | torch.device) -> tuple[int, int, torch.device]:
    """This process's rank, how many there are, and its device; joins torchrun's group if there is one."""
    from zoo.running.devices import pick_device

    world = int(os.environ.get("WORLD_SIZE", "1"))
    where = pick_device(device)
    if world > 1:
        if where.type == "cuda":
            where = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(where)
        if not dist.is_initialized():
            try:
                dist.init_process_group("nccl" if where.type == "cuda" else "gloo")
            except (RuntimeError, ValueError) as e:
                raise TrainingError(f"The processes of torchrun cannot be joined: {e}") from e
        return dist.get_rank(), dist.get_world_size(), where
    return 0, 1, where
