"""ONNX: written by torch's exporter, run by ONNX Runtime."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from zoo.contract import Capture
from zoo.errors import CheckpointError, InvalidArgument
from zoo_tools.formats import KEY

if TYPE_CHECKING:
    from torch import Tensor

OPSETS = (18, 23)  # 18 adds Resize with antialiasing; 23 is the latest that torch's exporter supports
LARGEST = 1 << 24  # bytes of metadata
_METADATA = 14  # field number in ModelProto


def write(capture: Capture, path: Path) -> None:
    """Write a program as ONNX.

    Raises:
        InvalidArgument: the opset is not supported.
        ImportError: onnx or onnxscript is not installed.
    """
    import torch

    opset = capture.options.get("opset")
    made = torch.onnx.export(
        capture.program,
        (),
        dynamo=True,
        input_names=list(capture.inputs),
        output_names=list(capture.outputs),
        opset_version=opset,
        custom_translation_table={**_in_double(), **(capture.onnx() if capture.onnx else {})},
        verbose=False,
    )
    if made is None:
        raise RuntimeError("torch returned no program")
    _name_axes(made.model.graph, capture.options.get("axes", {}))
    made.model.metadata_props[KEY] = capture.facts
    made.save(path)


def check_opset(opset: Any) -> None:
    """Raise InvalidArgument if ``opset`` is not supported."""
    if isinstance(opset, bool) or not isinstance(opset, int) or not OPSETS[0] <= opset <= OPSETS[1]:
        raise InvalidArgument(f"opset is {opset!r}; expected an integer from {OPSETS[0]} to {OPSETS[1]}.")


def _in_double() -> dict[Any, Any]:
    """Compute sizes in double precision, as Python does: in single precision, 799.99 would be rounded to 800."""
    import operator

    import torch
    from onnxscript import DOUBLE, opset18

    op: Any = opset18

    def truediv(a: Any, b: Any) -> Any:
        return op.Div(op.Cast(a, to=DOUBLE.dtype), op.Cast(b, to=DOUBLE.dtype))

    def sym_float(a: Any) -> Any:
        return op.Cast(a, to=DOUBLE.dtype)

    return {operator.truediv: truediv, torch.sym_float: sym_float}


def _name_axes(graph: Any, axes: Mapping[str, Mapping[int, str]]) -> None:
    """Rename the symbol ``s77`` to ``batch``, in the inputs and wherever it occurs alone or in a sum."""
    names: dict[str, str] = {}
    for value in graph.inputs:
        for axis, name in axes.get(value.name, {}).items():
            symbol = getattr(value.shape[axis], "value", None)
            if isinstance(symbol, str) and symbol.isidentifier():
                names[symbol] = name
    for value in [*graph.inputs, *graph.outputs, *(out for node in graph for out in node.outputs)]:
        for axis, size in enumerate(value.shape or ()):
            text = getattr(size, "value", None)
            if isinstance(text, str):
                value.shape[axis] = re.sub(r"\w+", lambda m: names.get(m[0], m[0]), text)


def facts(path: Path) -> str | None:
    """The entry ``zoo`` of the metadata. The rest of the file is skipped, whatever its size.

    Raises:
        CheckpointError: the file is not ONNX, or damaged.
    """
    try:
        with path.open("rb") as f:
            size = path.stat().st_size
            found = None
            while f.tell() < size:
                field, kind = divmod(_number(f), 8)
                if kind == 0:
                    _number(f)
                elif kind == 2:
                    length = _number(f)
                    end = f.tell() + length
                    if end > size:
                        raise ValueError("a field is longer than the file")
                    if field == _METADATA and length <= LARGEST:
                        found = _entry(f.read(length)) or found
                    f.seek(end)
                else:
                    raise ValueError(f"a field of kind {kind}")
            return found
    except (ValueError, EOFError) as e:
        raise CheckpointError(f"{path} is not an ONNX file, or it is damaged or truncated ({e}).") from e


def _number(f: BinaryIO) -> int:
    value = shift = 0
    while shift < 64:
        byte = f.read(1)
        if not byte:
            raise EOFError("it ends in a number")
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
        shift += 7
    raise ValueError("a number of more than 64 bits")


def _entry(data: bytes) -> str | None:
    """The value of a metadata entry, if its key is ``zoo``."""
    import io

    f, parts = io.BytesIO(data), dict[int, bytes]()
    while f.tell() < len(data):
        field, kind = divmod(_number(f), 8)
        if kind != 2:
            raise ValueError(f"metadata of kind {kind}")
        parts[field] = f.read(_number(f))
    return parts.get(2, b"").decode() if parts.get(1) == KEY.encode() else None


def open(path: Path) -> Callable[..., dict[str, Tensor]]:  # noqa: A001  the name in zoo.Format
    """A module that runs the file with ONNX Runtime on the CPU, with the same number of threads as torch.

    Raises:
        ImportError: onnxruntime is not installed.
        CheckpointError: ONNX Runtime cannot run the file.
    """
    import onnxruntime
    import torch

    from zoo_tools.engines.onnxruntime import session_options

    try:
        session = onnxruntime.InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime's errors have no common base class but Exception
        raise CheckpointError(f"ONNX Runtime cannot run {path}: {str(e).splitlines()[0]}") from e
    inputs = [one.name for one in session.get_inputs()]
    outputs = [one.name for one in session.get_outputs()]

    def run(*arguments: Tensor) -> dict[str, Tensor]:
        feed = {name: t.detach().cpu().numpy() for name, t in zip(inputs, arguments, strict=True)}
        return {name: torch.as_tensor(v) for name, v in zip(outputs, session.run(outputs, feed), strict=True)}

    return run
