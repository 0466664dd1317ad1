"""OpenVINO's intermediate representation: ``model.xml``, with the weights in ``model.bin`` next to it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from zoo.contract import Capture
from zoo.errors import CheckpointError
from zoo_tools.formats import KEY, onnx

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 1 << 24  # characters of metadata


def write(capture: Capture, path: Path) -> None:
    """Write a program as OpenVINO IR, by way of ONNX, which has all the operators of detectors.

    Raises:
        ImportError: openvino, onnx or onnxscript is not installed.
    """
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        between = Path(folder) / "model.onnx"
        onnx.write(capture, between)
        model = openvino.convert_model(between)
        model.set_rt_info(capture.facts, [KEY])
        openvino.save_model(model, path, compress_to_fp16=False)


def facts(path: Path) -> str | None:
    """The entry ``zoo`` in ``rt_info``. Needs neither OpenVINO nor the file of weights.

    Raises:
        CheckpointError: the file is not OpenVINO IR, or damaged.
    """
    found: list[str] = []
    place: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        place.append(name)
        if place[:1] != ["net"]:
            raise ValueError(f"its root is <{name}>, not <net>")
        if place == ["net", "rt_info", KEY] and len(attributes.get("value", "")) <= LARGEST:
            found.append(attributes.get("value", ""))

    def refuse(*_: object) -> None:
        raise ValueError("it declares entities")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, lambda name: place.pop()
    parser.EntityDeclHandler = refuse
    try:
        with path.open("rb") as f:
            parser.ParseFile(f)
    except (ValueError, expat.ExpatError) as e:
        raise CheckpointError(f"{path} is not an OpenVINO model, or it is damaged or truncated ({e}).") from e
    return found[0] if found else None


def open(path: Path) -> Callable[..., dict[str, Tensor]]:  # noqa: A001  the name in zoo.Format
    """A module that runs the file with OpenVINO on the CPU, in float32 as it was written.

    Raises:
        ImportError: openvino is not installed.
        CheckpointError: OpenVINO cannot run the file.
    """
    import openvino
    import torch

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    try:
        compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    except RuntimeError as e:
        raise CheckpointError(f"OpenVINO cannot run {path}: {str(e).splitlines()[-1]}") from e
    told = json.loads(facts(path) or "{}").get("outputs", [])
    known = {one["name"] for one in told if isinstance(one, dict) and "name" in one}
    names = [_name(port, known) for port in compiled.outputs]

    def run(*arguments: Tensor) -> dict[str, Tensor]:
        request = compiled.create_infer_request()  # one per call: threads may call it at the same time
        found = request.infer([t.detach().cpu().numpy() for t in arguments])
        return {name: torch.from_numpy(found[i].copy()) for i, name in enumerate(names)}

    return run


def _name(port: Any, known: set[str]) -> str:
    """The name of an output: OpenVINO may know several, of which the description has one."""
    name: str = next((name for name in sorted(port.get_names()) if name in known), None) or port.get_any_name()
    return name
