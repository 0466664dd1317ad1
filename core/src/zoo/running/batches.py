"""A model as a function of columns, for data engines (Ray Data, datasets, Spark, Daft, Dask)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from zoo.contract import check_count
from zoo.errors import InvalidArgument, UnreadableFile, ZooError
from zoo.io.stored import Held, Stored, is_url
from zoo.running.pipelines import Pipeline, pipeline

INPUTS = ("path", "bytes", "image")
NAMES = {"label": "labels", "probability": "scores", "score": "scores", "box": "boxes", "id": "ids"}
_building = threading.Lock()


class BatchPredictor:
    """A picklable function from a batch, a dict of columns, to a dict of columns of the same length.

    The model is built once per process, on the first call: only the arguments are pickled. A row that cannot be
    predicted has the reason in the column ``error``, which is "" for others (text in all batches, since engines take
    the columns' types from the first); it does not affect other rows.

    Args:
        model: a model's name, or a file or folder that :func:`zoo.save` wrote.
        weights, device, task: as for :func:`zoo.pipeline`.
        dtype, engine: as for :func:`zoo.pipeline`, if they are given.
        column: name of the column of inputs; by default the first existing one of ``path``, ``bytes`` and ``image``.
        top: largest number of labels or objects per row.
        batch_size: number of inputs that go through the model together.
        workers: threads that open inputs, as for :func:`zoo.pipeline`.
        **options: options of the task and arguments of the builder, as for :func:`zoo.pipeline`.

    Raises:
        InvalidArgument: ``model`` is another type; when called, there is no column of inputs.
        ZooError: when called, the model cannot be built, for example because its plugin is not installed in this
            process.
    """

    def __init__(
        self,
        model: str | Path,
        weights: Any = "DEFAULT",
        device: str = "auto",
        *,
        dtype: Any = None,
        engine: str | None = None,
        task: str | None = None,
        column: str | None = None,
        top: int = 5,
        batch_size: int = 8,
        workers: int | str = "auto",
        **options: Any,
    ) -> None:
        if not isinstance(model, str | Path):
            raise InvalidArgument(
                f"BatchPredictor builds a model in each process: expected a name or file, got {type(model).__name__}. "
                "zoo.save writes a file."
            )
        self.top, self.batch_size = check_count("top", top, 1), check_count("batch_size", batch_size, 1)
        given = {"dtype": dtype, "engine": engine}
        more = {name: value for name, value in given.items() if value is not None}
        self.arguments = (str(model), weights, str(device))
        self.options = {"task": task, "workers": workers, **more, **options}
        self.column = column
        self._pipeline: Pipeline | None = None
        self._kinds: dict[str, bool] | None = None  # column → whether it contains lists

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_pipeline": None}

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline of this process, built on first use."""
        with _building:
            if self._pipeline is None:
                self._pipeline = pipeline(*self.arguments, **self.options)
        return self._pipeline

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Predict a batch.

        Args:
            batch: columns of the same length. ``path``: paths, or URLs. ``bytes``: the content of files. ``image``: PIL
                images, uint8 arrays [H, W, C], or ``{"bytes": …, "path": …}``.

        Returns:
            The columns of the batch except ``bytes`` and ``image``, and the data of :meth:`zoo.Result.to_dict`:
            ``labels`` and ``scores``, for detectors ``boxes`` and ``ids``, lists with one item per label or object; and
            ``error``.
        """
        column = self._find_column(batch)
        ready = self.pipeline
        values = list(batch[column])
        results = self._results(ready, [_source(value, ready.takes_bytes) for value in values])
        rows = [{} if isinstance(r, Exception) else columns_of(r.to_dict(self.top)) for r in results]
        kinds = self._kinds_of(rows)
        found: dict[str, list[Any]] = {
            name: list(column) for name, column in batch.items() if name not in ("bytes", "image")
        }
        for name, is_list in kinds.items():
            found[name] = [row.get(name, [] if is_list else None) for row in rows]
        found["error"] = [str(r) or type(r).__name__ if isinstance(r, Exception) else "" for r in results]
        return found

    def _find_column(self, batch: Mapping[str, Any]) -> str:
        for name in INPUTS if self.column is None else (self.column,):
            if name in batch:
                return name
        wanted = ", ".join(INPUTS) if self.column is None else self.column
        raise InvalidArgument(f"The batch has the columns {', '.join(batch)}; expected {wanted}, or give column=.")

    def _results(self, ready: Pipeline, sources: Sequence[Any]) -> list[Any]:
        there = [source for source in sources if not isinstance(source, Exception)]
        try:
            found = iter([result for _, result in self._stream(ready, there)])
        except Exception as e:  # for one or all inputs: the task's or the model's code may raise anything
            alone = [self._alone(ready, source) for source in there]
            if there and all(isinstance(r, Exception) and not isinstance(r, ZooError) for r in alone):
                raise e if len(there) == 1 else ExceptionGroup(f"No row of {len(there)} can be predicted", [e]) from e
            found = iter(alone)
        return [source if isinstance(source, Exception) else next(found) for source in sources]

    def _stream(self, ready: Pipeline, sources: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
        return ready.stream(sources, batch_size=self.batch_size, progress=False)

    def _alone(self, ready: Pipeline, source: Any) -> Any:
        try:
            return next(result for _, result in self._stream(ready, [source]))
        except Exception as e:  # noqa: BLE001
            return e

    def _kinds_of(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
        """The columns of results, the same for all batches: if no row has a result, they are determined with a black
        picture."""
        there = [row for row in rows if row]
        if self._kinds is None and not there and self.pipeline.takes_bytes:
            answer = self._alone(self.pipeline, Image.new("RGB", (64, 64)))
            there = [] if isinstance(answer, Exception) else [columns_of(answer.to_dict(self.top))]
        kinds = dict(self._kinds or {})
        for row in there:
            kinds.update({name: isinstance(value, list) for name, value in row.items()})
        self._kinds = kinds or None
        return kinds


def columns_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """The data of :meth:`zoo.Result.to_dict` in columns that Arrow supports: the first list of objects becomes one list
    per key; other structures become JSON."""
    found: dict[str, Any] = {}
    spread = False
    for key, value in result.items():
        objects = isinstance(value, list) and all(isinstance(one, dict) for one in value)
        if objects and not spread:
            spread = True
            names = list(dict.fromkeys(name for one in value for name in one)) or ["label", "score"]
            if key == "objects" and not value:
                names = ["label", "id", "score", "box"]
            for name in names:
                found[NAMES.get(name, name if name.endswith("s") else f"{name}s")] = [one.get(name) for one in value]
        elif isinstance(value, dict) or (objects and value):
            found[key] = json.dumps(value)
        else:
            found[key] = value
    return found


def _source(value: Any, takes_bytes: bool) -> Any:
    """The input for a pipeline, or the error."""
    if isinstance(value, dict):  # a picture in Hugging Face's datasets
        value = value.get("bytes") or value.get("path")
    if isinstance(value, Stored | Held) and takes_bytes:
        return value
    if isinstance(value, str | Path):
        return Stored(str(value)) if takes_bytes and is_url(str(value)) else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        if takes_bytes:
            return Held(bytes(value))
        return UnreadableFile("The task opens files by their path; it does not accept bytes.")
    if isinstance(value, Image.Image | Tensor):
        return value
    if isinstance(value, np.ndarray):
        try:
            return Image.fromarray(value)
        except (TypeError, ValueError) as e:
            return UnreadableFile(f"An array {list(value.shape)} of {value.dtype} is not a picture: {e}")
    return UnreadableFile(f"{value!r} is not an input; expected a path, bytes, a picture or an array.")
