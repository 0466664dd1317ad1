"""The inputs in a path, folder, batch or list."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.contract import TaskSpec
from zoo.errors import InvalidArgument
from zoo.io.folders import find_files, natural_key

_SOURCES = (str, Path, Image.Image, Tensor)


def from_arrays(inputs: Any, ndim: int, bgr: bool = False) -> Any:
    """``inputs`` with numpy arrays, also inside lists and tuples, converted to channels-first tensors.

    Args:
        inputs: as for a pipeline.
        ndim: dimensions of one input: 3 for a picture [H, W, C] (2 for greyscale), 4 for a video
            [T, H, W, C]. An array with one more is a batch.
        bgr: whether their channels are blue, green, red, as in OpenCV.

    Raises:
        InvalidArgument: an array has another shape or dtype, or ``bgr`` is given without an array.
    """
    if isinstance(inputs, list | tuple):
        return type(inputs)(from_arrays(one, ndim, bgr) for one in inputs)
    if not isinstance(inputs, np.ndarray):
        if bgr:
            raise InvalidArgument(f"bgr=True is for numpy arrays, as OpenCV reads them; got {type(inputs).__name__}.")
        return inputs
    array = inputs[..., None] if inputs.ndim == ndim - 1 else inputs
    if array.ndim not in (ndim, ndim + 1) or array.shape[-1] not in (1, 3, 4):
        shape = ", ".join(map(str, inputs.shape))
        raise InvalidArgument(
            f"Cannot predict from an array of shape ({shape}); expected channels last, (height, width, 3), as "
            "in OpenCV and Pillow. torch tensors have channels first."
        )
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if array.dtype not in (np.uint8, np.float32, np.float16):
        raise InvalidArgument(f"Cannot predict from an array of {array.dtype}; expected uint8, or float in [0, 1].")
    array = array[..., :3] if array.shape[-1] == 4 else array
    if array.shape[-1] == 1:
        array = np.repeat(array, 3, axis=-1)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array[..., ::-1] if bgr else array, -1, -3)))


class Inputs:
    """Splits the inputs of a task: ``steps``, the task's object, determines which files contain several."""

    def __init__(self, task: TaskSpec, steps: Any) -> None:
        self.task = task
        self.steps = steps

    def expand(self, inputs: Any) -> list[Any]:
        """As :meth:`zoo.Pipeline.expand`."""
        if self.task.inputs_per_sample > 1:
            return self._expand_groups(inputs, self.task.inputs_per_sample)
        found: list[Any] = []
        for item in inputs if isinstance(inputs, list | tuple) else [inputs]:
            if _is_folder(item):
                found += self._search(item, 1)
            elif self._is_batch(item):
                found += list(item)
            elif isinstance(item, _SOURCES):
                found.append(item)
            else:
                raise InvalidArgument(f"Cannot predict from {type(item).__name__}; expected a path, picture or tensor.")
        if not found:
            raise InvalidArgument("There is nothing to predict: the list of inputs is empty.")
        return found

    def _expand_groups(self, inputs: Any, n: int) -> list[Any]:
        """Inputs of ``n`` files: a tuple is one input, or several if it has batches; other files are grouped by ``n``.

        A sequence is one input.
        """
        found: list[Any] = []
        loose: list[Any] = []
        for item in inputs if isinstance(inputs, list) else [inputs]:
            if _is_folder(item):
                found += self._search(item, n)
            elif self._is_sequence(item):
                found.append(item)
            elif isinstance(item, list | tuple):
                if len(item) != n or not all(isinstance(one, _SOURCES) and not _is_folder(one) for one in item):
                    kinds = ", ".join(type(one).__name__ for one in item)
                    raise InvalidArgument(f"Cannot predict from ({kinds}); expected {n} paths, pictures or tensors.")
                if len({len(one) for one in item if self._is_batch(one)}) > 1:
                    raise InvalidArgument(
                        "The batches of a tuple have different numbers of pictures; expected the same."
                    )
                found += zip(*item, strict=True) if all(map(self._is_batch, item)) else [tuple(item)]
            elif isinstance(item, _SOURCES):
                loose.append(item)
                if len(loose) == n:
                    found.append(tuple(loose))
                    loose.clear()
            else:
                raise InvalidArgument(f"Cannot predict from {type(item).__name__}; expected {n} paths or pictures.")
        if loose:
            rest = ", ".join(str(x) if isinstance(x, str | Path) else type(x).__name__ for x in loose)
            raise InvalidArgument(
                f"{n} files make one input of this task, and these are left over: {rest}. A file that"
                " contains several, such as a video, is one input."
            )
        if not found:
            raise InvalidArgument("There is nothing to predict: the list of inputs is empty.")
        return found

    def _is_sequence(self, item: Any) -> bool:
        """Whether one source is a complete input of a task whose inputs have several files."""
        return self.task.inputs_per_sample > 1 and isinstance(item, _SOURCES) and self.steps.sequence(item)

    def _is_batch(self, item: Any) -> bool:
        return isinstance(item, Tensor) and item.ndim == self.task.input_ndim + 1

    def _search(self, folder: str | Path, n: int) -> list[Any]:
        """The inputs in ``folder``: sequences, and each other file with the next ``n - 1`` files."""
        files = find_files(folder, self.task.suffixes)
        sequences: dict[Any, None] = dict.fromkeys(file for file in files if self._is_sequence(file))
        others = [file for file in files if file not in sequences]
        if n == 1:
            groups: list[Any] = others
        else:
            together = [list(run) for _, run in itertools.groupby(sorted(others, key=_place), lambda p: p.parent)]
            groups = [group for run in together for group in zip(*(run[i:] for i in range(n)), strict=False)]
        if not groups and (others or not sequences):
            needed = f"at least {n} " if n > 1 else ""
            where = " in one folder" if n > 1 and len(others) >= n else ""
            kinds = ", ".join(self.task.suffixes)
            raise InvalidArgument(f"The folder {folder} has no inputs; expected {needed}files of {kinds}{where}.")
        return list(sequences) + groups

    def is_several(self, inputs: Any) -> bool:
        """Whether the result for ``inputs`` is a list even for a single input."""
        kinds = list if self.task.inputs_per_sample > 1 and isinstance(inputs, tuple) else list | tuple
        return (
            isinstance(inputs, kinds)
            or _is_folder(inputs)
            or (self._is_batch(inputs) and not self._is_sequence(inputs))
        )


def _place(file: Path) -> Any:
    return natural_key(file.parent), natural_key(file.name)


def _is_folder(item: Any) -> bool:
    return isinstance(item, str | Path) and Path(item).is_dir()
