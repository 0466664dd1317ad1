"""Exported files that run as models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo import registry
from zoo.contract import TaskSpec, load_object
from zoo.errors import InvalidArgument
from zoo.registry.exported import ExportedFile

Run = Callable[..., Mapping[str, Tensor]]


class Exported:
    """Runs an exported file on the output of a task's ``collate``, and returns the input of its ``decode``.

    A task whose files have other outputs than its models derives from this class, and names it as
    ``provides["exported"]``.

    Args:
        run: tensors in the order of the file's inputs → its outputs by name.
        file: the file and its facts.
    """

    def __init__(self, run: Run, file: ExportedFile) -> None:
        self.run, self.file, self.weights = run, file, file.weights
        self.inputs: list[dict[str, Any]] = list(file.facts.get("inputs", []))

    def __call__(self, *arguments: Tensor) -> Any:
        """The arguments of the model → its outputs."""
        return self.restore(self.batched(*arguments))

    def restore(self, outputs: Mapping[str, Tensor]) -> Any:
        """The file's outputs → the model's: a tensor if there is one, else a dict."""
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    @property
    def has(self) -> list[str]:
        """The parts in the file beside the model: ``preprocessing``, ``postprocessing``."""
        return list(self.file.facts.get("inside", []))

    def batched(self, *arguments: Tensor) -> dict[str, Tensor]:
        """The outputs of a batch [N, …]: a file with a fixed batch size is run several times."""
        if "preprocessing" in self.has:
            arguments = tuple(t.movedim(1, -1).contiguous() for t in arguments)
        fixed = self.inputs[0]["shape"][0] if self.inputs else None
        total = len(arguments[0])
        step = fixed if isinstance(fixed, int) else max(total, 1)
        parts = [self._checked(*(t[i : i + step] for t in arguments)) for i in range(0, total, step)]
        if len(parts) == 1:
            return dict(parts[0])
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _checked(self, *arguments: Tensor) -> Mapping[str, Tensor]:
        if self.inputs and len(arguments) != len(self.inputs):
            raise InvalidArgument(f"{self.file.source} takes {len(self.inputs)} inputs, not {len(arguments)}.")
        for port, t in zip(self.inputs, arguments, strict=False):
            shape = port["shape"]
            if len(shape) != t.ndim or any(isinstance(n, int) and n != m for n, m in zip(shape, t.shape, strict=True)):
                raise InvalidArgument(
                    f"{self.file.source} takes {port['name']} only as {said(shape)}, not {said(list(t.shape))}. Export "
                    "it with variable sizes: dynamic=('batch', 'height', 'width')."
                )
        return self.run(*arguments)


class ExportedModel(nn.Module):
    """An exported file as a model: it has the same inputs and outputs as the exported model, on the CPU.

    Attributes:
        file: the facts of the file.
    """

    devices = ("cpu",)

    def __init__(self, file: ExportedFile, run: Exported) -> None:
        super().__init__()
        self.file = file
        self._run = (run,)  # a tuple, so that it is not registered as a submodule
        self._weights = file.weights

    @property
    def mixes_no_sizes(self) -> bool:
        """Whether inputs of different sizes cannot be in one batch, because the file does the preprocessing."""
        return "preprocessing" in self._run[0].has

    def forward(self, *arguments: Any) -> Any:
        return self._run[0](*arguments)

    def to(self, *args: Any, **kwargs: Any) -> ExportedModel:
        """Return self; the file cannot be moved or converted.

        Raises:
            InvalidArgument: the device is not the CPU, or a dtype is given.
        """
        found: Any = torch._C._nn._parse_to(*args, **kwargs)
        device, dtype = found[:2]
        if (device is not None and device.type not in self.devices) or dtype is not None:
            raise InvalidArgument(
                f"{self.file.source} runs on the CPU with the exported dtypes, not on {device or dtype}."
            )
        return self

    def get_extra_state(self) -> dict[str, str]:
        """What identifies the model: the contents of the file."""
        with self.file.path.open("rb") as f:
            return {"sha256": hashlib.file_digest(f, "sha256").hexdigest()}

    def set_extra_state(self, state: Any) -> None:
        """Empty: the weights are in the file."""

    def __deepcopy__(self, memo: Any) -> ExportedModel:
        return self  # it is immutable

    def __reduce__(self) -> tuple[Any, ...]:
        return open_exported, (self.file,)


def open_exported(file: ExportedFile) -> ExportedModel:
    """The model of an exported file.

    Raises:
        MissingPlugin: a package that runs such files is not installed; the message says what to install.
        CheckpointError: it cannot be run.
        UnknownTask: no installed plugin has its task.
    """
    spec = task_of_file(file)
    registry.check_format(file.format, to_write=False)
    run = load_object(file.format.open)(file.path)
    make = registry.provided(spec, "exported") or Exported
    return ExportedModel(file, make(run, file))


def task_of_file(file: ExportedFile) -> TaskSpec:
    """The task of an exported file, from its plugin."""
    return registry.get_task(file.task, plugin=file.name.partition("/")[0])


def said(shape: list[int | str]) -> str:
    return "×".join(map(str, shape))
