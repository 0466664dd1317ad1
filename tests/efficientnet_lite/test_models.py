"""EfficientNet-Lite with its real weights: true labels on real photographs; padding; files in the published layout."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import layout, read_reference
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import zoo
from zoo.errors import InvalidArgument
from zoo.nn import StochasticDepth
from zoo_efficientnet_lite.efficientnet_lite import EfficientNetLite, SameConv, from_published

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "examples" / "images" / "photos"
MODELS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
# Rows of (expand_ratio, kernel_size, stride, channels, blocks).
TINY = ((1, 3, 1, 8, 1), (2, 5, 2, 16, 2), (2, 3, 2, 16, 1))


@pytest.fixture(scope="module")
def classify() -> zoo.Pipeline:
    """Lite0. Its weights are in a package that zoo-efficientnet-lite depends on: without it these tests fail."""
    return zoo.pipeline("efficientnet_lite0")


# Measured with the code that the checkpoints were published with, on the same preprocessed pictures.
TOP = {
    "camera": [("tripod", 0.9386), ("harmonica", 0.0091), ("binoculars", 0.0085)],
    "chelsea": [("tiger cat", 0.3748), ("Egyptian cat", 0.3629), ("tabby", 0.1775)],
    "coffee": [("espresso", 0.9589), ("cup", 0.0122), ("consomme", 0.0068)],
}


@pytest.mark.parametrize("photo", TOP)
def test_photographs_are_recognised(classify: zoo.Pipeline, photo: str) -> None:
    result = classify(PHOTOS / f"{photo}.jpg")
    # The two cats differ by 0.01, less than the effect of another JPEG decoder.
    assert dict(result.top(3)) == pytest.approx(dict(TOP[photo]), abs=0.01)
    assert result.top(1)[0][1] > 0.93 or photo == "chelsea"


def test_logits_are_those_of_the_published_code() -> None:
    model = zoo.get_model("efficientnet_lite0", weights="DEFAULT").eval()
    x = torch.linspace(-1, 1, 3 * 224 * 224).reshape(1, 3, 224, 224).sin()
    with torch.inference_mode():
        logits = model(x)[0, ::125]
    want = [0.1926, -0.9236, -0.8787, -0.7432, 0.3189, 0.6834, -1.2906, -0.477]
    assert logits.tolist() == pytest.approx(want, abs=1e-3)


def test_the_published_file_is_loaded_whole() -> None:
    report = zoo.load_report(zoo.get_model("efficientnet_lite0", weights="DEFAULT"))
    assert len(report.converted) == len(report.loaded) == 296
    assert not report.reinitialised
    assert not report.ignored


def test_the_readme_begins_with_what_the_model_says() -> None:
    found = importlib.util.spec_from_file_location("readme_picture", ROOT / "scripts" / "readme_picture.py")
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    drawn, kept = script.sheet(), Image.open(script.PICTURE).convert("RGB")
    assert drawn.size == kept.size
    difference = np.abs(np.asarray(drawn, float) - np.asarray(kept, float))
    assert difference.mean() < 2, "run scripts/readme_picture.py"  # JPEG's own
    first = re.search(r"!\[(.*?)\]\((.*?)\)", (ROOT / "README.md").read_text(), re.DOTALL)
    assert ROOT / first[2] == script.PICTURE
    for labels in TOP.values():
        assert labels[0][0] in first[1]


def test_the_demo_installs_what_it_runs() -> None:
    command = ["make", "demo", "--dry-run", "VENV=there-is-none"]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert any("pip install" in line and "-e ./plugins/efficientnet_lite" in line for line in lines)
    assert any("zoo predict examples/images/photos --model efficientnet_lite0" in line for line in lines)


@pytest.mark.parametrize("name", MODELS)
def test_published_layout_becomes_ours(name: str) -> None:
    """Every tensor of the published file has a parameter of the same shape, and vice versa."""
    published = read_reference("efficientnet_lite")[name]
    with torch.device("meta"):
        model = zoo.get_model(name)
        file = {key: torch.empty(shape, dtype=getattr(torch, dtype)) for key, shape, dtype in published}
    ours = from_published(file, model)
    assert [(key, tuple(t.shape), str(t.dtype).removeprefix("torch.")) for key, t in ours.items()] == layout(model)
    assert from_published(ours, model) is ours
    assert sum(p.numel() for p in model.parameters()) == zoo.model_info(name).num_params


@pytest.mark.parametrize("name", MODELS[1:])
def test_files_in_extras_load(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with a file of random numbers instead of the real weights."""
    entry = zoo.get_model_weights(name).DEFAULT.value
    torch.manual_seed(0)
    file = {
        key: torch.randn(shape).abs() * 0.1 if dtype == "float32" else torch.tensor(7)
        for key, shape, dtype in read_reference("efficientnet_lite")[name]
    }
    package = tmp_path / "acme_lite_file"
    package.mkdir()
    (package / "__init__.py").touch()
    torch.save(file, package / "lite.pth", _use_new_zipfile_serialization=False)  # the published ones' format
    monkeypatch.syspath_prepend(str(tmp_path))
    weights = dataclasses.replace(entry, url="pkg://acme_lite_file/lite.pth", sha256=None)
    model = zoo.get_model(name, weights=weights)
    last = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)][-1]
    assert torch.equal(last.running_var, file["_bn1.running_var"])
    assert torch.equal(model.features[0][0].weight, file["_conv_stem.weight"])
    assert torch.equal(model.features[5][0].depthwise[0].weight, file["_blocks.11._depthwise_conv.weight"])


@pytest.mark.parametrize(("name", "published"), [*zip(MODELS, (407, 631, 899), strict=True)])
def test_multiply_adds(name: str, published: float) -> None:
    """Convolutions and the linear layer alone have about 5 % fewer operations than the authors state."""
    size = zoo.get_model_weights(name).DEFAULT.transforms().crop_size[0]
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        zoo.get_model(name).eval()(torch.empty(1, 3, size, size))
    assert 0.94 * published < counter.get_total_flops() / 2e6 < published


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (7, 8), (8, 5), (1, 1), (2, 3)])
def test_padding_is_tensorflows_same(kernel_size: int, stride: int, size: tuple[int, int]) -> None:
    """By definition: ceil(n / s) outputs, with the smaller half of the padding before."""
    layer = SameConv(2, 3, kernel_size, stride, norm_layer=nn.Identity, activation=False)
    x = torch.randn(1, 2, *size)
    pads = []
    for n in reversed(size):
        total = max((-(-n // stride) - 1) * stride + kernel_size - n, 0)
        pads += [total // 2, total - total // 2]
    want = F.conv2d(F.pad(x, pads), layer[0].weight, stride=stride)
    got = layer(x)
    assert got.shape[-2:] == (-(-size[0] // stride), -(-size[1] // stride))
    assert torch.allclose(got, want, atol=1e-6)


def test_an_odd_pixel_of_padding_is_below_and_to_the_right() -> None:
    layer = SameConv(1, 1, 3, 2, norm_layer=nn.Identity, activation=False)
    nn.init.zeros_(layer[0].weight)
    layer[0].weight.data[0, 0, 0, 0] = 1  # selects the top left of each window
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert layer(x).flatten().tolist() == [0, 2, 8, 10]  # symmetric padding would start outside, with zeros


def test_scaling_keeps_stem_head_and_the_ends() -> None:
    with torch.device("meta"):
        small, large = zoo.get_model("efficientnet_lite0"), EfficientNetLite(width=2.0, depth=3.1)
    assert [len(stage) for stage in small.features[1:-1]] == [1, 2, 2, 3, 3, 4, 1]
    assert [len(stage) for stage in large.features[1:-1]] == [1, 7, 7, 10, 10, 13, 1]
    for model in (small, large):
        assert (model.features[0][0].out_channels, model.features[-1][0].out_channels) == (32, 1280)
    norm = small.features[0][1]
    assert (norm.eps, norm.momentum) == (1e-3, 0.01)
    assert not any(isinstance(m, nn.SiLU) for m in small.modules())


def test_tiny_network_learns_and_bends() -> None:
    torch.manual_seed(0)
    model = EfficientNetLite(stages=TINY, num_classes=5, in_channels=1, norm_layer=nn.BatchNorm2d)
    model(torch.randn(4, 1, 16, 18)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    drops = [m.p for m in model.modules() if isinstance(m, StochasticDepth)]
    assert drops == pytest.approx([0, 0.05, 0.1, 0.15])
    assert EfficientNetLite(stages=TINY, num_classes=0)(torch.randn(2, 3, 16, 16)).shape == (2, 1280)


def test_a_new_head_and_grey_pictures_beside_weights() -> None:
    with pytest.warns(zoo.errors.WeightsWarning, match="first convolution"):
        model = zoo.get_model("efficientnet_lite0", weights="DEFAULT", num_classes=7, in_channels=1)
    assert zoo.load_report(model).reinitialised == ("classifier.1.weight", "classifier.1.bias")
    assert model.eval()(torch.rand(2, 1, 33, 32)).shape == (2, 7)


def test_backbone_of_its_stages() -> None:
    model = zoo.get_model("efficientnet_lite0")
    stages = [(stage.channels, stage.stride) for stage in zoo.feature_info(model)]
    assert stages == [(16, 2), (24, 4), (40, 8), (112, 16), (320, 32)]
    features = zoo.backbone("efficientnet_lite0", weights="DEFAULT").eval()(torch.rand(1, 3, 64, 64))
    assert [tuple(t.shape[1:]) for t in features.values()] == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]


@pytest.mark.parametrize(
    "wrong",
    [{"dropout": -0.1}, {"stochastic_depth_prob": 2}, {"in_channels": 0}, {"width": 0}, {"depth": -1}, {"stages": ()}],
)
def test_arguments_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        zoo.get_model("efficientnet_lite0", **wrong)
