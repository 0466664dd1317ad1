"""Files of int8 models: the published forms load, with torch's kernels and without; other cases raise clear errors."""

from __future__ import annotations

import dataclasses
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import int8_files
import pytest
import torch
from helpers import read_reference
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import zoo
from zoo.errors import CheckpointError, InvalidArgument, UnknownWeights, WeightsWarning
from zoo_quantized import MissingEngine, ResNet18_QuantizedWeights, eager, states

RESNET = "ResNet18_QuantizedWeights.IMAGENET1K_FBGEMM_V1"
OBSERVED = "MobileNet_V3_Large_QuantizedWeights.IMAGENET1K_QNNPACK_V1"
SMALL = (RESNET, OBSERVED, "MobileNet_V2_QuantizedWeights.IMAGENET1K_QNNPACK_V1",
         "GoogLeNet_QuantizedWeights.IMAGENET1K_FBGEMM_V1",
         "ShuffleNet_V2_X0_5_QuantizedWeights.IMAGENET1K_FBGEMM_V1")  # fmt: skip
ALL = [e if e in SMALL else pytest.param(e, marks=pytest.mark.slow) for e in int8_files.ENTRIES]


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return int8_files.write(RESNET, tmp_path_factory.mktemp("int8"))


def at(entry: str, path: Path) -> zoo.Weights:
    return dataclasses.replace(zoo.get_weight(entry).value, url=str(path))


def shapes(state: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [list(t.shape), str(t.dtype).removeprefix("torch.")] if torch.is_tensor(t) else [None, type(t).__name__]
        for name, t in state.items()
    }


@pytest.mark.parametrize("entry", ALL)
def test_published_form_loads_with_the_kernels_and_without(entry: str, tmp_path: Path) -> None:
    published = int8_files.ENTRIES[entry]
    weights = at(entry, int8_files.write(entry, tmp_path))
    before = torch.backends.quantized.engine
    int8 = zoo.get_model(published["model"], weights=weights, quantize=True)
    reference = zoo.get_model(published["model"], weights=weights, quantize="reference")
    assert torch.backends.quantized.engine == before
    assert int8.engine == zoo.get_weight(entry).meta["backend"]
    assert reference.engine == "reference"

    # The layout is the one that the published file has after loading: without auxiliary heads, converted.
    have = shapes(int8.state_dict())
    assert len(have) == published["entries_after_loading"]
    golden = {n: [s, d] for n, s, d in read_reference(f"golden/{published['model']}")["int8_layout"]}
    assert have == {n: golden[n] for n in have}

    x = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = int8(x), reference(x)
    assert a.std() > 0
    # QNNPACK rounds biases to integers; these errors add up over the layers.
    assert (a - b).abs().max() <= (0.1 if "FBGEMM" in entry else 0.6) * a.std()
    report = zoo.load_report(int8)
    assert {n.split(".")[0] for n in report.ignored} == {
        n.split(".")[0] for n in int8_files.content(entry) if "aux" in n
    }


def test_observed_state_becomes_what_torch_converts_it_to() -> None:
    """MobileNetV3's file, compared with torch.ao's conversion from a prepared model to int8."""
    state = int8_files.content(OBSERVED)
    with int8_files.prepared_for_training() as model:
        model.load_state_dict(state)
        torch.ao.quantization.convert(model.eval(), inplace=True)
    want, got = states.unpack(model.state_dict()), states.from_observed(state, eps=0.001)
    assert set(want) <= set(got)
    for name, value in want.items():
        if name.endswith(".weight"):  # folding batch norm rounds in a different order
            off = (got[name].int() - value.int()).abs()
            assert off.max() <= 1, name
            assert (off > 0).double().mean() < 1e-3, name
        else:
            assert torch.allclose(got[name].double(), value.double().reshape(got[name].shape), rtol=1e-5, atol=1e-6), (
                name
            )


def test_old_observed_state_has_no_observers_on_the_scale_activation(tmp_path: Path) -> None:
    state = int8_files.content(OBSERVED)
    old = {name: value for name, value in state.items() if ".scale_activation." not in name}
    assert len(old) < len(state)
    torch.save(old, tmp_path / "old.pth")
    torch.save(state, tmp_path / "new.pth")
    a, b = (
        zoo.get_model("quantized_mobilenet_v3_large", weights=tmp_path / name, quantize="reference").state_dict()
        for name in ("old.pth", "new.pth")
    )
    assert all(torch.equal(a[name], b[name]) for name in a | b)


def test_saved_models_load_again(resnet_file: Path, tmp_path: Path) -> None:
    """Packed, pickled and plain files, from either kind of model to either."""
    x = torch.rand(2, 3, 64, 64)
    loaded = zoo.get_model("quantized_resnet18", weights=resnet_file, quantize=True)
    state = pickle.loads(pickle.dumps(loaded.state_dict()))
    torch.save(state, tmp_path / "packed.pth")
    reference = zoo.get_model("quantized_resnet18", weights=tmp_path / "packed.pth", quantize="reference")
    save_file(reference.state_dict(), tmp_path / "plain.safetensors")
    with torch.no_grad():
        for path in ("packed.pth", "plain.safetensors"):
            int8 = zoo.get_model("quantized_resnet18", weights=tmp_path / path, quantize=True)
            assert torch.equal(int8(x), loaded(x))
            again = zoo.get_model("quantized_resnet18", weights=tmp_path / path, quantize="reference")
            assert torch.equal(again(x), reference(x))
        fresh = zoo.get_model("quantized_resnet18", quantize=True)
        fresh.load_state_dict(torch.load(tmp_path / "packed.pth"))
        assert torch.equal(fresh(x), loaded(x))


def test_kind_of_weights_and_of_model_must_agree(resnet_file: Path, tmp_path: Path) -> None:
    entry = ResNet18_QuantizedWeights.IMAGENET1K_FBGEMM_V1
    with pytest.raises(
        UnknownWeights, match=r"resnet18\(quantize=False\), which are ResNet18_Weights.*quantize='auto'"
    ):
        zoo.get_model("quantized_resnet18", weights=entry, quantize=False)
    with pytest.raises(UnknownWeights, match=r"resnet18\(quantize=True\), which are ResNet18_QuantizedWeights"):
        zoo.get_model("quantized_resnet18", weights=entry.meta["unquantized"], quantize=True)
    with pytest.raises(CheckpointError, match=r"contains an int8 model.*quantize=True.*quantize='reference'"):
        zoo.get_model("quantized_resnet18", weights=resnet_file)
    torch.save(zoo.get_model("quantized_resnet18").state_dict(), tmp_path / "float.pth")
    for quantize in (True, "reference"):
        with pytest.raises(CheckpointError, match=r"contains a float model.*zoo_quantized\.quantize"):
            zoo.get_model("quantized_resnet18", weights=tmp_path / "float.pth", quantize=quantize)
        with pytest.raises(CheckpointError, match=r"fc.weight is \[1000, 512\] in the file, but \[7, 512\].*new head"):
            zoo.get_model("quantized_resnet18", weights=resnet_file, quantize=quantize, num_classes=7)
    with pytest.raises(InvalidArgument, match="quantize is 'int8'; expected False, True, 'reference' or 'auto'"):
        zoo.get_model("quantized_resnet18", quantize="int8")
    with pytest.raises(InvalidArgument, match=r"backend is 'x68'.*Did you mean 'x86'"):
        zoo.get_model("quantized_resnet18", quantize=True, backend="x68")


def test_published_example(resnet_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantized classification as torchvision's documentation shows it, with a generated file and a smaller ResNet."""
    from zoo.io import read_image
    from zoo.models.quantization import ResNet18_QuantizedWeights, resnet18

    picture = tmp_path / "picture.png"
    Image.radial_gradient("L").resize((130, 110)).convert("RGB").save(picture)
    member = ResNet18_QuantizedWeights.DEFAULT
    monkeypatch.setattr(member, "_value_", at(RESNET, resnet_file))

    img = read_image(str(picture))
    weights = ResNet18_QuantizedWeights.DEFAULT
    model = resnet18(weights=weights, quantize=True)
    model.eval()
    preprocess = weights.transforms()
    batch = preprocess(img).unsqueeze(0)
    prediction = model(batch).squeeze(0).softmax(0)
    class_id = prediction.argmax().item()
    score = prediction[class_id].item()
    category_name = weights.meta["categories"][class_id]
    assert 0.001 < score <= 1
    assert category_name in read_reference("categories")["imagenet_1k"]


def test_unquantized_weights_load_with_quantize_false(tmp_path: Path) -> None:
    twin = zoo.get_model("resnet18")
    torch.save(twin.state_dict(), tmp_path / "float.pth")
    unquantized = at(repr(ResNet18_QuantizedWeights.DEFAULT.meta["unquantized"]), tmp_path / "float.pth")
    for quantize in ({}, {"quantize": False}):
        model = zoo.get_model("quantized_resnet18", weights=unquantized, **quantize)
        x = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            assert torch.allclose(model.eval()(x), twin.eval()(x), atol=1e-6)


def test_weights_decide_where_quantize_is_not_said(resnet_file: Path) -> None:
    weights = at(RESNET, resnet_file)
    assert zoo.get_model("quantized_resnet18", weights=weights).engine == "fbgemm"
    with torch.device("meta"):  # the file of DEFAULT, without loading it
        model = zoo.get_model("quantized_resnet18", weights="DEFAULT")
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == 20


def test_the_engine_is_the_nearest_that_there_is(resnet_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = at(RESNET, resnet_file)
    monkeypatch.setattr(eager, "_supported", lambda: ["qnnpack", "x86"])
    assert eager.engine_for("fbgemm") == "x86"
    assert eager.engine_for("onednn") == "x86"
    assert eager.engine_for("qnnpack") == "qnnpack"
    assert zoo.get_model("quantized_resnet18", weights=weights, quantize=True).engine == "x86"

    monkeypatch.setattr(eager, "_supported", lambda: ["none"])
    with pytest.raises(MissingEngine, match=r"without int8 kernels.*quantize='reference'"):
        zoo.get_model("quantized_resnet18", weights=weights, quantize=True)
    with pytest.warns(WeightsWarning, match="runs with quantize='reference'"):
        assert zoo.get_model("quantized_resnet18", weights=weights).engine == "reference"


def test_without_torch_ao(resnet_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that has none any more."""
    for name in ("quantization", "nn.quantized", "nn.intrinsic.quantized"):
        monkeypatch.setitem(sys.modules, f"torch.ao.{name}", None)
    with pytest.raises(MissingEngine, match=r"has no torch\.ao.*quantize='reference'"):
        zoo.get_model("quantized_resnet18", weights=resnet_file, quantize=True)
    with pytest.raises(MissingEngine, match=r"has no torch\.ao"):
        zoo.get_model("quantized_resnet18").eval().fuse_model()
    model = zoo.get_model("quantized_resnet18", weights=resnet_file, quantize="reference")
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))).all()


def test_int8_models_stay_on_the_cpu(resnet_file: Path) -> None:
    model = zoo.get_model("quantized_resnet18", weights=resnet_file, quantize=True)
    assert model.devices == ("cpu",)
    with pytest.raises(InvalidArgument, match=r"runs on the CPU, not on meta.*quantize='reference'"):
        model.to("meta")
    assert model.to("cpu") is model
    reference = zoo.get_model("quantized_resnet18", weights=resnet_file, quantize="reference")
    assert reference.devices is None
    assert reference.to("meta")(torch.rand(1, 3, 64, 64, device="meta")).shape == (1, 1000)


def test_reference_mode_has_no_auxiliary_heads() -> None:
    assert zoo.get_model("quantized_googlenet", quantize="reference", init_weights=False).aux1 is None
    with pytest.raises(InvalidArgument, match="aux_logits=False"):
        zoo.get_model("quantized_googlenet", quantize="reference", init_weights=False, aux_logits=True)


def test_loading_and_running_say_nothing_of_deprecations(resnet_file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zoo.get_model("quantized_resnet18", weights=resnet_file, quantize=True)(torch.rand(1, 3, 64, 64))
        zoo.get_model("quantized_shufflenet_v2_x0_5", quantize=True)
