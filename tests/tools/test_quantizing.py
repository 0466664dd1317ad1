"""Post-training quantization: real weights, both engines; files as models; errors before the work."""

from __future__ import annotations

import copy
import importlib.util
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from zoo.errors import InvalidArgument, MissingExtra
from zoo_tools import int8, quantizing

DIGITS = Path(__file__).parents[2] / "examples/images/digits"
Run = Callable[..., SimpleNamespace]
needs_openvino = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("openvino", "nncf"))), reason="openvino and nncf are not installed"
)
needs_torchao = pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is not installed")


def digits() -> Any:
    return zoo.get_model("squeezenet1_1", weights="DIGITS_V1").eval()


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_missing_packages_are_told_before_anything_is_loaded(
    run: Run, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'zoo-tools\[int8"):
        zoo.quantize("squeezenet1_1", DIGITS, engine=engine, weights="no such file")
    ending = quantizing.SUFFIXES[engine]
    done = run("quantize", "squeezenet1_1", "--data", DIGITS, "--output", tmp_path / f"a{ending}")
    assert (done.status, "not installed" in done.err) == (1, True)


def test_what_cannot_be_asked(run: Run, tmp_path: Path) -> None:
    asked = ("quantize", "squeezenet1_1", "--data")
    assert "there is no" in run(*asked, tmp_path / "none", "--output", tmp_path / "a.xml").err
    assert run(*asked, DIGITS, "--output", tmp_path / "a.onnx").status == 2
    assert run("quantize", "squeezenet9", "--data", DIGITS, "--output", tmp_path / "a.xml").status == 1
    with pytest.raises(InvalidArgument, match="engine is 'tensorrt'"):
        zoo.quantize("squeezenet1_1", DIGITS, engine="tensorrt")


def test_few_pictures_are_shown_in_parts_too() -> None:
    pipe = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu")
    opened = [pipe.steps.load(file) for file in sorted(DIGITS.glob("*.png"))]
    every = list(quantizing._with_crops(opened, len(opened), 300))
    assert len(every) == 70
    assert every[0].size == opened[0].size
    assert all(a.width <= opened[0].width for a in every)
    assert len(list(quantizing._with_crops(opened, len(opened), 10))) == 10


@needs_openvino
def test_int8_by_openvino_is_the_model_in_files_and_copies(run: Run, tmp_path: Path) -> None:
    model = digits()
    fast = zoo.quantize(model, DIGITS)
    said = fast.quantization
    assert (said.engine, said.layers, said.samples) == ("openvino", 26, 70)
    pictures = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        want, got = model(pictures), fast(pictures)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    assert 0 < (got - want).abs().max() < 0.3 * want.std(), "quantized, and similar"
    assert torch.equal(copy.deepcopy(fast)(pictures), got)
    assert torch.equal(pickle.loads(pickle.dumps(fast))(pictures), got)
    pipe = zoo.pipeline(fast, device="cpu")
    results = pipe(sorted(DIGITS.glob("*.png")))
    assert [result.top(1)[0][0] for result in results] == list("0123456789")

    file = tmp_path / "digits.xml"
    done = run("quantize", "squeezenet1_1", "--weights", "DIGITS_V1", "--data", DIGITS, "--output", file, "--json")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["comparison"]["agreement"] == 1.0
    assert told["bytes"] < 1_000_000 < sum(p.numel() for p in model.parameters()) * 4
    answers = json.loads(run("predict", DIGITS, "--model", file, "--json", "--top", "1").out)
    assert [row["top"][0]["label"] for row in answers] == list("0123456789")
    assert run("quantize", "squeezenet1_1", "--data", DIGITS, "--output", file).status == 1, (
        "existing files are not overwritten"
    )


@needs_openvino
def test_accuracy_before_and_after_where_it_is_known_what_is_true(tmp_path: Path) -> None:
    for file in DIGITS.glob("*.png"):
        folder = tmp_path / file.stem[-1]
        folder.mkdir()
        (folder / file.name).write_bytes(file.read_bytes())
    model = digits()
    found = quantizing.compare(model, zoo.quantize(model, tmp_path), tmp_path)
    assert found.before["acc@1"] == found.after["acc@1"] == 100.0
    assert (found.measured, found.agreement, found.note) == (10, 1.0, "")


@needs_openvino
def test_any_module_and_batches_of_a_loader() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)).train()
    data = [(torch.randn(4, 3, 8, 8), torch.zeros(4)) for _ in range(5)]
    fast = zoo.quantize(net, data, samples=10)
    assert (fast.quantization.samples, fast.quantization.layers, net.training) == (10, 2, True)
    net.eval()
    torch.testing.assert_close(fast(data[0][0]), net(data[0][0]), atol=0.1, rtol=0.1)
    with pytest.raises(InvalidArgument, match="task is not known"):
        quantizing.save_quantized(fast, "model.xml")
    with pytest.raises(InvalidArgument, match="data is empty"):
        zoo.quantize(net, [])


@needs_openvino
@pytest.mark.usefixtures("offline")
def test_other_tasks_are_refused_before_weights_are_downloaded() -> None:
    detector = zoo.get_model("ssdlite320_mobilenet_v3_large", weights=None, weights_backbone=None)
    clips = zoo.get_model("mvit_v2_s", weights=None)
    for model in (detector, clips, "raft_small", "fasterrcnn_resnet50_fpn"):
        for data in ([torch.rand(1, 3, 320, 320)], [torch.rand(1, 3, 16, 224, 224)], "pictures"):
            with pytest.raises(InvalidArgument, match=r"task '[a-z-]+' cannot be quantized yet"):
                zoo.quantize(model, data)


@needs_torchao
@pytest.mark.slow
def test_int8_by_torchs_compiler() -> None:
    model = digits()
    fast = zoo.quantize(model, DIGITS, engine="torch", samples=10)
    with torch.no_grad():
        pictures = torch.rand(3, 3, 64, 64)
        assert (fast(pictures) - model(pictures)).abs().max() < 0.3 * model(pictures).std()
    assert fast.quantization.layers == 26
