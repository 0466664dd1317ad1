"""Pipelines, evaluation, training and export give the same results on a GPU as on a CPU."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from colours import pictures

import zoo

ROOT = Path(__file__).parents[2]
BUNDLED = {
    "squeezenet1_1": ("DIGITS_V1", "examples/images/digits"),
    "efficientnet_lite0": ("DEFAULT", "examples/images/photos"),
    "ssdlite320_mobilenet_v3_large": ("SHAPES_V1", "examples/images/shapes.png"),
    "lraspp_mobilenet_v3_large": ("SHAPES_V1", "examples/images/shapes.png"),
}


def answers(name: str, device: str, **options: object) -> list[dict[str, object]]:
    weights, inputs = BUNDLED[name]
    ready = zoo.pipeline(name, weights, device=device, **options)
    results = ready(str(ROOT / inputs))
    return [r.to_dict() for r in (results if isinstance(results, list) else [results])]


def same(a: object, b: object) -> None:
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()  # type: ignore[attr-defined]
        for key in a:
            same(a[key], b[key])  # type: ignore[index]
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)  # type: ignore[arg-type]
        for x, y in zip(a, b, strict=True):  # type: ignore[call-overload]
            same(x, y)
    elif isinstance(a, float):
        assert a == pytest.approx(b, rel=2e-3, abs=2e-3)
    else:
        assert a == b


@pytest.mark.parametrize("name", BUNDLED)
def test_answers(name: str) -> None:
    same(answers(name, "cuda"), answers(name, "cpu"))
    same(answers(name, "cuda", optimize=True), answers(name, "cpu"))


def test_many_inputs_with_workers(tmp_path: Path) -> None:
    files = sorted(pictures(tmp_path, 40).rglob("*.png"))
    files.insert(7, tmp_path / "broken.png")
    files[7].write_bytes(b"no picture")
    ready = zoo.pipeline("squeezenet1_1", "DIGITS_V1", device="cuda", workers=4)
    reference = zoo.pipeline("squeezenet1_1", "DIGITS_V1", device="cpu", workers=0)
    pairs = list(zip(ready.stream(files), reference.stream(files), strict=True))
    assert [source for (source, _), _ in pairs] == files
    assert [isinstance(r, Exception) for (_, r), _ in pairs] == [f == files[7] for f in files]
    for (source, a), (_, b) in pairs:
        if source != files[7]:
            same(a.to_dict(), b.to_dict())


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_training(precision: str, tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 30)
    zoo.train(
        "squeezenet1_1", data, tmp_path / "run", "DIGITS_V1", epochs=4, device="cuda", precision=precision, workers=2
    )
    with (tmp_path / "run" / "metrics.csv").open() as f:
        last = list(csv.DictReader(f))[-1]
    assert float(next(v for k, v in last.items() if "acc@1" in k)) > 90
    ready = zoo.pipeline(tmp_path / "run" / "best.safetensors")
    assert ready.device.type == "cuda"
    assert ready(next((data / "red").glob("*.png"))).top(1)[0][0] == "red"


def test_detectors_train_in_16_bits() -> None:
    model = zoo.get_model("ssdlite320_mobilenet_v3_large", weights="SHAPES_V1", device="cuda").train()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    scaler = torch.amp.GradScaler("cuda")
    images = [torch.rand(3, 160, 160, device="cuda") for _ in range(2)]
    targets = [
        {"boxes": torch.tensor([[10.0, 10, 90, 90]], device="cuda"), "labels": torch.tensor([1], device="cuda")}
    ] * 2
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.float16):
            loss = sum(model(images, targets).values())
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["squeezenet1_1", "lraspp_mobilenet_v3_large"])
def test_exported_from_the_device(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    weights, _ = BUNDLED[name]
    model = zoo.get_model(name, weights=weights, device="cuda").eval()
    x = torch.rand(1, 3, 96, 96)
    zoo.export(model, tmp_path / "m.onnx", image_size=96)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    got = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    with torch.inference_mode():
        want = model(x.cuda())
    want = want["out"] if isinstance(want, dict) else want
    torch.testing.assert_close(torch.from_numpy(got), want.cpu(), rtol=1e-3, atol=1e-3)
