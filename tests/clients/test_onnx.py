"""torch.onnx.export(model, x) with either exporter: one model of each family."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from one_of_a_family import SMALL, built
from torch.utils._pytree import tree_leaves

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

QUICK = ("mobilenet_v3_small", "shufflenet_v2_x0_5")
LARGE = {"alexnet": (1, 3, 224, 224)}  # the older exporter supports only pooling that divides maps evenly
CASES = [
    pytest.param(name, dynamo, marks=[] if name in QUICK and not dynamo else pytest.mark.slow, id=f"{name}-{dynamo}")
    for name in SMALL
    for dynamo in (False, True)
]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Silences the output of both exporters."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(("name", "dynamo"), CASES)
def test_the_file_gives_the_models_results(name: str, dynamo: bool, tmp_path: Path) -> None:
    model, x = built(name)
    x = torch.randn(LARGE[name]) if name in LARGE else x
    model.eval()
    with torch.no_grad():
        want = tree_leaves(model(x))
    options = {"dynamo": True, "verbose": False} if dynamo else {"dynamo": False}
    torch.onnx.export(model, (x,), tmp_path / "model.onnx", **options)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert len(found) == len(want)
    for a, b in zip(found, want, strict=True):
        torch.testing.assert_close(torch.from_numpy(a), b, atol=1e-3, rtol=1e-3)
