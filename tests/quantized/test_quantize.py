"""Calibration and conversion of the user's own models, and the included model of digits."""

from __future__ import annotations

import copy
import json
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
import zoo_quantized
from zoo.cli import main
from zoo.errors import InvalidArgument, WeightsWarning
from zoo_quantized import eager

NAME = "quantized_shufflenet_v2_x0_5"
DIGITS = Path(__file__).parents[2] / "examples" / "images" / "digits"


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    made = zoo.get_model(NAME, num_classes=10).train()
    made(torch.randn(8, 3, 64, 64))
    return made


def batches(n: int = 3) -> list[Tensor]:
    return list(torch.randn(n, 4, 3, 64, 64, generator=torch.Generator().manual_seed(0)))


@torch.no_grad()
@pytest.mark.parametrize("backend", [*eager.ENGINES, "reference"])
def test_the_result_is_near_the_float_model(model: Any, backend: str) -> None:
    if backend not in (*torch.backends.quantized.supported_engines, "reference"):
        pytest.skip(f"torch has no {backend} here")
    before, engine = copy.deepcopy(model.state_dict()), torch.backends.quantized.engine
    int8 = zoo_quantized.quantize(model, batches(), backend, progress=False)
    assert torch.backends.quantized.engine == engine
    assert int8.engine == backend
    assert model.training
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())  # the model is not modified
    x = batches(1)[0]
    want = copy.deepcopy(model).eval()(x)
    assert (int8(x) - want).abs().mean() < 0.1 * want.std()
    assert type(int8) is type(model)


def test_batches_may_be_of_a_data_loader(model: Any, capfd: pytest.CaptureFixture[str]) -> None:
    data = torch.utils.data.TensorDataset(torch.cat(batches()), torch.arange(12))
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    from_loader = zoo_quantized.quantize(model, loader)
    assert "calibrating" in capfd.readouterr().err
    from_list = zoo_quantized.quantize(model, batches(), progress=False)
    assert "calibrating" not in capfd.readouterr().err
    with torch.no_grad():
        assert torch.equal(from_loader(batches()[0]), from_list(batches()[0]))


@torch.no_grad()
def test_models_and_states_survive_pickling_and_copying(model: Any, tmp_path: Path) -> None:
    int8 = zoo_quantized.quantize(model, batches(1), "fbgemm", progress=False)
    x = batches(1)[0]
    want = int8(x)
    assert torch.equal(copy.deepcopy(int8)(x), want)
    state = pickle.loads(pickle.dumps(int8.state_dict()))
    torch.save(state, tmp_path / "mine.pth")
    again = zoo.get_model(NAME, weights=tmp_path / "mine.pth", num_classes=10, quantize=True)
    assert torch.equal(again(x), want)


@torch.no_grad()
def test_a_model_with_other_classes_and_channels_can_be_quantized() -> None:
    model = zoo.get_model("quantized_resnet18", num_classes=4, in_channels=1)
    data = [torch.randn(2, 1, 40, 40)]
    for backend in ("x86", "reference"):
        assert zoo_quantized.quantize(model, data, backend, progress=False)(data[0]).shape == (2, 4)


def test_what_cannot_be_quantized_says_why(model: Any) -> None:
    quantize = zoo_quantized.quantize
    with pytest.raises(InvalidArgument, match=r"is a ResNet; expected a quantizable float model"):
        quantize(zoo.get_model("resnet18"), batches())
    with pytest.raises(InvalidArgument, match="is a Linear"):
        quantize(nn.Linear(2, 2), batches())  # type: ignore[type-var]
    with pytest.raises(InvalidArgument, match="is already quantized"):
        quantize(zoo.get_model(NAME, quantize="reference"), batches())
    fused = copy.deepcopy(model).eval()
    fused.fuse_model()
    with pytest.raises(InvalidArgument, match=r"fuse_model\(\) was called"):
        quantize(fused, batches())
    with pytest.raises(InvalidArgument, match="calibration_batches is empty"):
        quantize(model, [], progress=False)
    with pytest.raises(InvalidArgument, match=r"is a Tensor; expected batches of images.*\[images\]"):
        quantize(model, batches()[0], progress=False)
    with pytest.raises(InvalidArgument, match=r"Batch 2 .* is torch.uint8 \[3, 8, 8\]; expected float images"):
        quantize(model, [*batches(1), torch.zeros(3, 8, 8, dtype=torch.uint8)], progress=False)
    with pytest.raises(InvalidArgument, match=r"backend is 'qnpack'.*Did you mean 'qnnpack'"):
        quantize(model, batches(), "qnpack", progress=False)


def test_fuse_model_wants_the_mode_that_it_is_for(model: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"call model\.eval\(\) first"):
        copy.deepcopy(model).train().fuse_model(is_qat=False)
    with pytest.raises(InvalidArgument, match=r"call model\.train\(\) first"):
        copy.deepcopy(model).eval().fuse_model(is_qat=True)
    with pytest.raises(InvalidArgument, match="is already quantized"):
        zoo.get_model(NAME, quantize="reference").fuse_model()


def test_predict_reads_the_digits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, with the weights in the wheel; without int8 kernels it works with a warning."""
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    command = ["predict", str(DIGITS), "--model", NAME, "--weights", "DIGITS_V1", "--top", "1", "--json"]
    for _ in range(2):
        assert main(command) == 0
        found = {Path(r["input"]).stem: r["top"][0] for r in json.loads(capsys.readouterr().out)}
        assert {name: top["label"] for name, top in found.items()} == {f"digit_{i}": str(i) for i in range(10)}
        assert all(top["probability"] > 0.9 for top in found.values())
        monkeypatch.setattr(eager, "_supported", lambda: [])
        monkeypatch.setattr("warnings.warn", lambda *a, **k: None)  # the second time, tested below


def test_pipelines_take_what_is_listed_as_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    image = DIGITS / "digit_3.png"
    pipeline = zoo.pipeline(NAME, weights="DIGITS_V1", quantize="reference")
    assert pipeline.model.engine == "reference"
    assert pipeline(image).label == "3"
    enum = zoo.get_model_weights(NAME)
    asked: list[Any] = []
    monkeypatch.setattr("zoo.registry.get_model", lambda name, weights, **k: asked.append(weights))
    for options in ({}, {"quantize": False}):
        with pytest.raises(InvalidArgument):  # nothing was built
            zoo.pipeline(NAME, **options)
    assert asked == [enum.DEFAULT, "DEFAULT"]


def test_pipelines_run_int8_on_the_cpu_even_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.running.pipelines.pick_device", lambda device: torch.device("meta"))
    pipeline = zoo.pipeline(NAME, weights="DIGITS_V1", quantize=True)
    assert pipeline.device == torch.device("cpu")
    assert pipeline(DIGITS / "digit_5.png").label == "5"


def test_no_kernels_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eager, "_supported", lambda: [])
    with pytest.warns(WeightsWarning, match="cannot run int8 models here.*slower"):
        assert zoo.pipeline(NAME, weights="DIGITS_V1")(DIGITS / "digit_8.png").label == "8"


@torch.no_grad()
@pytest.mark.parametrize("backend", eager.ENGINES)
def test_whole_models_can_be_copied_and_pickled_on_any_engine(model: Any, backend: str, tmp_path: Path) -> None:
    there = [engine for engine in torch.backends.quantized.supported_engines if engine != "none"]
    if backend not in there:
        pytest.skip(f"torch has no {backend} here")
    int8 = zoo_quantized.quantize(model, batches(1), backend, progress=False)
    x = batches(1)[0]
    want = int8(x)
    torch.save(nn.Sequential(int8).eval(), tmp_path / "model.pt")
    for engine in there:  # independent of the engine that is set during the copy
        with eager.using(engine):
            copies = [copy.deepcopy(int8), pickle.loads(pickle.dumps(int8)), copy.deepcopy(nn.Sequential(int8).eval())]
            copies.append(torch.load(tmp_path / "model.pt", weights_only=False))
            assert torch.backends.quantized.engine == engine
        for copied in copies:
            assert torch.equal(copied(x), want)
            assert not any(m.training for m in copied.modules())
            assert repr(copied)


def test_models_of_two_engines_run_in_many_threads_each_on_its_own() -> None:
    """torch's engine is global to the process: with another model's engine results would differ or fail."""
    engines = [e for e in ("fbgemm", "qnnpack", "x86") if e in torch.backends.quantized.supported_engines][:2]
    if len(engines) < 2:
        pytest.skip("this torch has one engine")
    before, wrong = torch.backends.quantized.engine, []

    def work(i: int) -> None:
        for _ in range(30):
            with eager.using(engines[i % 2]), eager.using(engines[i % 2]):
                for _ in range(3):
                    time.sleep(0.0002)
                    if torch.backends.quantized.engine != engines[i % 2]:
                        wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert torch.backends.quantized.engine == before
    with eager.using(engines[0]), eager.using(engines[1]):
        assert torch.backends.quantized.engine == engines[1]
    assert torch.backends.quantized.engine == before
