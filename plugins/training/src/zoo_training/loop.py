"""The training loop: steps, validation and checkpoints. It is independent of tasks, whose parts are passed in."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from zoo.contract import Trainable
from zoo.errors import TrainingError
from zoo_training.checkpoints import read_checkpoint, write_checkpoint
from zoo_training.parameters import EMA, swap
from zoo_training.sampling import Augment, Prepared, Share, mixed, shares, steps_of
from zoo_training.schedules import Schedule, set_rate, warmup_cosine
from zoo_training.sharding import InStep, gathered, load_optimizer_state, spread

AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Loop:
    """All parts of a run; :meth:`run` is the loop.

    Attributes:
        model: on its device, with frozen parameters marked; it is trained in place.
        task: provides loss, collation and scores.
        prepare: the task's preparation of examples for this model.
        data: readers for training and validation.
        optimizer: each of its groups has a ``peak_lr``.
        batch_size: batch size of one process.
        accumulate: number of batches in a step.
        warmup: number of steps of the warm-up.
        clip: maximum gradient norm, or None.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"``, for :func:`torch.autocast`.
        ema: moving average, which is validated and saved instead of the parameters, or None.
        frozen: modules that stay in eval mode.
        schedule: step, number of steps and number of warm-up steps → factor of the peak rate.
        mix: mixes the batches of a process: ``(arguments, targets, generator)`` → arguments and targets.
        shard: shard the parameters over the processes with FSDP2, instead of a copy in each; the model must already be
            sharded (:func:`zoo_training.sharding.shard`), and ``whole`` in the first process must be an unsharded
            copy.
        whole: the unsharded model, which is saved with the weights of the epoch; by default ``model`` itself.
        validation: computes the metrics of an epoch; by default :meth:`score`.
        checkpoint: file to resume from, or None.
        minutes: time between checkpoints within an epoch; 0 for each step.
        identity: settings that must be the same when a run is resumed.
    """

    model: nn.Module
    task: Trainable
    prepare: Callable[[Any, Any], Any]
    data: tuple[Any, Any]
    optimizer: torch.optim.Optimizer
    epochs: int
    batch_size: int
    augment: Augment | None = None
    accumulate: int = 1
    warmup: int = 0
    clip: float | None = None
    precision: str = "fp32"
    ema: EMA | None = None
    frozen: Sequence[nn.Module] = ()
    seed: int = 0
    workers: int = 0
    compiled: bool = False
    schedule: Schedule = warmup_cosine
    mix: Callable[[Any, Any, torch.Generator], tuple[Any, Any]] | None = None
    shard: bool = False
    whole: nn.Module = None  # type: ignore[assignment]  # set in __post_init__
    validation: Callable[[Loop], dict[str, float]] | None = None
    checkpoint: Path | None = None
    minutes: float = 10.0
    identity: Mapping[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # of the epoch's steps until now
    epoch: int = 0
    step: int = 0  # of the epoch

    def __post_init__(self) -> None:
        together = dist.is_available() and dist.is_initialized()
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if together else (0, 1)
        self.device = next(self.model.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.whole = self.model if self.whole is None else self.whole
        copies = self.world > 1 and not self.shard
        self.runs: nn.Module = DistributedDataParallel(self.model) if copies else self.model
        if self.compiled:
            self.runs = torch.compile(self.runs)  # type: ignore[assignment]
        self.written = time.monotonic()

    @property
    def steps(self) -> list[list[int]]:
        """The indices of the examples in each step of this epoch."""
        size = self.batch_size * self.accumulate * self.world
        return steps_of(len(self.data[0]), size, self.seed, self.epoch)

    def run(
        self,
        on_step: Callable[[Loop, int], None] = lambda loop, steps: None,
        on_epoch: Callable[[Loop, dict[str, float]], bool] = lambda loop, row: False,
    ) -> None:
        """Train until ``epochs`` are done or ``on_epoch`` returns True.

        Args:
            on_step: called after each step with the loop and the number of steps of the epoch.
            on_epoch: called with the loop and the metrics of the epoch, before the checkpoint is written; the model
                then has the averaged parameters, if any.

        Raises:
            TrainingError: a loss or gradient is NaN or infinite (with the names of the inputs); a file cannot
                be written.
        """
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            while self.epoch < self.epochs:
                steps = self.steps
                for plan, batches in zip(steps[self.step :], self._batches(steps[self.step :]), strict=True):
                    self._step(plan, batches, len(steps))
                    on_step(self, len(steps))
                    if self._due():
                        self.keep()
                stop = self._finish_epoch(on_epoch)
                self.keep()
                if stop:
                    return

    def _finish_epoch(self, on_epoch: Callable[[Loop, dict[str, float]], bool]) -> bool:
        before = None if self.ema is None else swap(self.model, self.ema.state)
        if self.world > 1:  # each process has its own running statistics
            for buffer in self.model.buffers():
                dist.broadcast(buffer, 0)
        if self.shard and self.world > 1:
            state = gathered(self.model.state_dict(), self.rank == 0)
            if self.rank == 0:
                self.whole.load_state_dict(state)
        torch.manual_seed(mixed(self.seed, self.rank))  # detectors sample boxes for their losses
        try:
            figures = self.score() if self.validation is None else self.validation(self)
            scores = {f"val_{name}": value for name, value in figures.items()}
            row = {
                "epoch": self.epoch + 1,
                "loss": sum(self.losses) / len(self.losses),
                "lr": self.optimizer.param_groups[-1]["lr"],
                **scores,
            }
            self.history.append(row)
            stop = on_epoch(self, row)
        finally:
            if before is not None:
                swap(self.model, before)
        self.epoch, self.step, self.losses = self.epoch + 1, 0, []
        return stop

    def examples(self, epoch: int) -> Prepared:
        """The training examples, augmented for ``epoch`` and prepared."""
        return Prepared(self.data[0], self.prepare, self.augment, self.seed, epoch)

    def _batches(self, steps: Sequence[list[int]]) -> Iterator[list[tuple[Share, Any]]]:
        """For each step, this process's shares and their examples."""
        plan = [list(shares(indices, self.accumulate, self.rank, self.world)) for indices in steps]
        dataset = self.examples(self.epoch)
        sampler = [share.indices for parts in plan for share in parts]
        loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=self.task.collate, num_workers=self.workers)
        loaded = iter(loader)
        for parts in plan:
            yield [(share, next(loaded)) for share in parts]

    def _step(self, indices: list[int], batches: list[tuple[Share, Any]], steps: int) -> None:
        # The seed depends on the step only, so that a resumed run draws the same random numbers.
        torch.manual_seed(mixed(self.seed, self.epoch, self.step, self.rank))
        self.runs.train()
        for module in self.frozen:
            module.eval()
        set_rate(self.optimizer, self.schedule(self.epoch * steps + self.step, self.epochs * steps, self.warmup))
        total = torch.zeros((), dtype=torch.float64)
        for number, (share, (arguments, targets)) in enumerate(batches):
            if self.mix is not None:
                seed = mixed(self.seed, self.epoch, self.step, self.rank, number)
                arguments, targets = self.mix(arguments, targets, torch.Generator().manual_seed(seed))
            with self._gradients_wait(number < len(batches) - 1):
                with self._autocast():
                    losses = self.task.loss(self.runs, *placed((arguments, targets), self.device))
                    loss = torch.stack([value.float() for value in losses.values()]).sum()
                self._check_finite(loss, losses, share.indices)
                if number == 0:  # as late as possible: the next gradients reuse the memory
                    self.optimizer.zero_grad(set_to_none=True)
                # DDP averages over processes; the step's mean is over examples.
                self.scaler.scale(loss * share.weight * self.world).backward()  # type: ignore[no-untyped-call]
            total += loss.detach().double().cpu() * share.weight
        self.scaler.unscale_(self.optimizer)
        every = [p for g in self.optimizer.param_groups for p in g["params"]]
        if self.clip is None:
            norm = gathered(gradient_norm(every))
        else:
            norm = gathered(nn.utils.clip_grad_norm_(every, self.clip))
        if not self.scaler.is_enabled():  # the scaler skips such a step itself
            self._check_finite(norm, {"norm of the gradient": norm}, indices, "gradient")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema is not None:
            self.ema.update(self.model)
        if self.world > 1:
            total = total.to(self.device)
            dist.all_reduce(total)
        self.losses.append(total.item())
        self.step += 1

    @contextlib.contextmanager
    def _gradients_wait(self, wait: bool) -> Iterator[None]:
        """While active, processes do not exchange gradients if ``wait``."""
        runs: Any = self.runs
        if self.shard and self.world > 1:
            runs.set_requires_gradient_sync(not wait)
        with runs.no_sync() if wait and self.world > 1 and not self.shard else contextlib.nullcontext():
            yield

    def _check_finite(
        self, value: Tensor, parts: Mapping[str, Tensor], indices: Sequence[int], what: str = "loss"
    ) -> None:
        if value.isfinite():
            return
        named = ", ".join(f"{name} {part.item():g}" for name, part in parts.items())
        inputs = ", ".join(str(self.data[0].source(i)) for i in indices)
        raise TrainingError(
            f"The {what} is not finite in epoch {self.epoch + 1}, step {self.step + 1} ({named}); the step was not "
            f"applied. Its inputs: {inputs}. Check them, or use a lower rate; the last checkpoint is kept."
        )

    @torch.no_grad()
    def score(self) -> dict[str, float]:
        """The means of the task's scores over the validation data."""
        self.model.eval()
        own = list(range(len(self.data[1])))[self.rank :: self.world]
        batches = [own[i : i + self.batch_size] for i in range(0, len(own), self.batch_size)]
        dataset = Prepared(self.data[1], self.prepare, None, self.seed, 0)
        loader = DataLoader(dataset, batch_sampler=batches, collate_fn=self.task.collate, num_workers=self.workers)
        sums: dict[str, float] = defaultdict(float)

        def scores(batch: tuple[Any, Any]) -> Mapping[str, Tensor]:
            with self._autocast():
                return self.task.score(self.model, *placed(batch, self.device))

        together = self.in_step(lambda: scores(self.task.collate([dataset[0]])))
        for indices, batch in zip(batches, loader, strict=True):
            for name, value in together(partial(scores, batch)).items():
                sums[name] += value.item() * len(indices)
        together.finish()
        if self.world > 1:
            every: list[Any] = [None] * self.world
            dist.all_gather_object(every, dict(sums))
            sums = defaultdict(float)
            for part in every:
                for name, value in part.items():
                    sums[name] += value
        return {name: value / len(self.data[1]) for name, value in sums.items()}

    def in_step(self, spare: Callable[[], Any]) -> InStep:
        """The function that calls the model in validation, in all processes; ``spare`` makes one for any input."""
        return InStep(self.shard and self.world > 1, self.device, spare)

    def _autocast(self) -> Any:
        kind = AUTOCAST[self.precision]
        return contextlib.nullcontext() if kind is None else torch.autocast(self.device.type, kind)

    # ── resuming ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _due(self) -> bool:
        """Whether to write a checkpoint within the epoch; a sharded state is gathered by all processes together."""
        due = [time.monotonic() - self.written >= 60 * self.minutes]
        if self.shard and self.world > 1:
            dist.broadcast_object_list(due)
        return due[0]

    def keep(self) -> None:
        """Write the checkpoint, in the first process."""
        self.written = time.monotonic()
        if self.checkpoint is None or (self.rank and not self.shard):
            return
        kept = self.rank == 0
        state = {
            "identity": dict(self.identity),
            "model": gathered(self.model.state_dict(), kept),
            "optimizer": gathered(self.optimizer.state_dict(), kept),
            "scaler": self.scaler.state_dict(),
            "ema": None if self.ema is None else gathered(self.ema.state_dict(), kept),
            "epoch": self.epoch,
            "step": self.step,
            "losses": self.losses,
            "history": self.history,
        }
        if kept:
            write_checkpoint(self.checkpoint, state)

    def resume(self) -> None:
        """Resume from the checkpoint.

        Raises:
            TrainingError: the checkpoint is from another run.
        """
        if self.checkpoint is None:
            raise TrainingError("This run has no checkpoint to resume from.")
        saved = read_checkpoint(self.checkpoint, mmap=self.shard)
        if saved["identity"] != dict(self.identity):
            keys = sorted({*saved["identity"], *self.identity})
            was, now = saved["identity"], self.identity
            others = "; ".join(f"{k} was {was.get(k)!r}, is {now.get(k)!r}" for k in keys if was.get(k) != now.get(k))
            raise TrainingError(
                f"{self.checkpoint} is from another run: {others}. Use the same settings or a new folder."
            )
        self.model.load_state_dict(spread(saved["model"], self.model.state_dict()))
        load_optimizer_state(self.optimizer, saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        if self.ema is not None:
            average = saved["ema"]
            self.ema.load_state_dict({**average, "state": spread(average["state"], self.ema.state)})
        self.epoch, self.step = saved["epoch"], saved["step"]
        self.losses, self.history = saved["losses"], saved["history"]


def gradient_norm(parameters: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of all their gradients together, which stay as they are."""
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def placed(value: Any, device: torch.device) -> Any:
    """``value`` with its tensors on ``device``."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: placed(item, device) for key, item in value.items()}
    return type(value)([placed(item, device) for item in value]) if isinstance(value, list | tuple) else value
