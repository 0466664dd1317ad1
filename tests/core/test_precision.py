"""Half precision: float32 in and out, whatever is computed in between, and agreement or refusal with figures."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from reference.fill import fill_, images
from torch import Tensor, nn

import zoo
from zoo.errors import EngineError, InvalidArgument
from zoo.running import clock, packing, trials
from zoo.running.packing import PackedConv2d, PackedLinear, is_packed


def off(a: Tensor, b: Tensor) -> float:
    return ((a - b).square().mean().sqrt() / b.std()).item()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "swin_t", "shufflenet_v2_x0_5"])
def test_float32_in_and_out(name: str) -> None:
    model = fill_(zoo.get_model(name, weights=None, num_classes=10)).eval()
    x = (images((2, 3, 96, 96), seed=3) - 0.45) / 0.225
    fast = zoo.optimize(model, x, dtype="bfloat16", measure=False)
    report: Any = fast.optimization_report
    assert (report.dtype, report.engine) == ("bfloat16", "torch")
    assert 0 < report.off < 0.1
    assert {p.dtype for p in fast.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    with torch.inference_mode():
        found, expected = fast(x[:1]), model(x[:1])
    assert found.dtype == torch.float32
    assert 0 < off(found, expected) < 0.1
    for other in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        assert torch.equal(other(x[:1]), found)


def test_float16_on_a_cpu_that_is_slow_at_it() -> None:
    if torch.ops.mkldnn._is_mkldnn_fp16_supported():
        pytest.skip("this CPU has instructions for it")
    with pytest.raises(InvalidArgument, match=r"no instructions for it.*bfloat16"):
        zoo.optimize(nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8), dtype="float16")
    with pytest.raises(InvalidArgument, match="dtype is 'int8'; expected one of float32"):
        zoo.optimize(nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8), dtype="int8")


class Mixed(nn.Module):
    """Makes a tensor of single precision itself, which meets its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x) + torch.ones(8))


def test_autocast_where_a_model_cannot_be_cast() -> None:
    torch.manual_seed(0)
    model, x = Mixed().eval(), torch.rand(4, 8)
    fast = zoo.optimize(model, x, dtype="bfloat16")
    report: Any = fast.optimization_report
    assert report.taken == "autocast"
    assert report.notes[0].startswith("It runs under autocast, since when cast the model fails with RuntimeError")
    found = fast(x)
    assert found.dtype == torch.float32
    assert 0 < off(found, model(x)) < 0.1


class Delicate(nn.Module):
    """The small difference of large numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return (self.layer(x) + 1000) - 1000


def test_what_is_lost_in_half_precision_is_refused_with_the_figures() -> None:
    torch.manual_seed(0)
    model, x = Delicate().eval(), torch.rand(4, 8)
    with pytest.raises(EngineError, match=r"in bfloat16: an output would differ by .* and 1\.0e-01 is allowed"):
        zoo.optimize(model, x, dtype="bfloat16")
    before = model(x)
    with pytest.raises(EngineError):
        zoo.optimize(model, x, dtype="bfloat16", inplace=True)
    assert torch.equal(model(x), before)
    assert not model._forward_hooks


class Parts(nn.Module):
    """Only its layer is to be computed otherwise."""

    compute_parts = ("layer",)

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return (y + 1000) - 1000


def test_parts_of_a_model_that_need_the_digits_keep_them() -> None:
    torch.manual_seed(0)
    model, x = Parts().eval(), torch.rand(4, 8)
    fast = zoo.optimize(model, x, dtype="bfloat16")
    assert type(fast) is Parts
    assert off(fast(x), model(x)) < 0.1


def slow_by(seconds: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which steps take the given times."""
    monkeypatch.setattr(clock, "in_turns", lambda runs, device: [run() or seconds[str(run.args[0])] for run in runs])


@pytest.mark.parametrize(("seconds", "taken", "packed"), [
    ({"0": 1.0, "1": 0.9, "2": 0.8}, "channels-last", 2),
    ({"0": 1.0, "1": 0.9, "2": 0.95}, "folded", 0),
    ({"0": 1.0, "1": 1.1, "2": 1.2}, "plain", 0),
    ({"0": 1.0, "1": 1.1, "2": 1.01}, "channels-last", 2),
])  # fmt: skip
def test_what_does_not_pay_by_the_clock_is_taken_back(
    seconds: dict[str, float], taken: str, packed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_by(seconds, monkeypatch)
    model = nn.Sequential(nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 32, 3)).eval()
    fill_(model)
    x = torch.rand(1, 32, 16, 16)
    fast = zoo.optimize(model, x)
    report: Any = fast.optimization_report
    assert report.taken == taken
    assert report.packed == packed == sum(map(is_packed, fast.modules()))
    assert list(report.milliseconds) == ["plain", "folded", "channels-last"]
    assert (len(report.folded), report.channels_last) == (taken != "plain", taken == "channels-last")
    assert bool(report.notes) == (taken != "channels-last")
    if taken == "folded":
        assert report.notes == ("Not channels-last: 950.0 ms on the example, against 900.0 ms without it.",)
    torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-4)


def test_the_clock_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "in_turns", None)
    report: Any = zoo.optimize(nn.Linear(8, 8), torch.rand(1, 8), measure=False).optimization_report
    assert report.milliseconds == {}


def test_something_slower_is_believed_when_it_is_so_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([[1.0, 0.9, 0.95], [1.0, 0.9, 0.95], [1.0, 0.9, 0.9]])

    def in_turns(runs: Any, device: Any) -> list[float]:
        for run in runs:
            run()
        return next(answers)

    monkeypatch.setattr(clock, "in_turns", in_turns)
    model = fill_(nn.Sequential(nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.Conv2d(64, 32, 3))).eval()
    assert zoo.optimize(model, torch.rand(1, 32, 16, 16)).optimization_report.channels_last
    assert trials.SESSIONS == 3


LAYERS = {
    "convolution": (lambda: nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False), (2, 32, 16, 16)),
    "grouped": (lambda: nn.Conv2d(64, 64, 3, groups=2, dilation=2), (1, 64, 16, 16)),
    "linear": (lambda: nn.Linear(256, 512), (64, 256)),
    "linear of a sequence": (lambda: nn.Linear(256, 512, bias=False), (2, 50, 256)),
}


@pytest.mark.skipif(packing._CONVOLUTION is None, reason="torch has no oneDNN here")
@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_layers(make: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = make().to(dtype).requires_grad_(False)
    x = torch.randn(shape).to(dtype)
    if dtype not in packing.dtypes():
        pytest.skip("oneDNN has no bfloat16 here")
    assert packing.can_pack(layer, {x.shape})
    packed = packing.packed(layer)
    assert isinstance(packed, PackedConv2d | PackedLinear)
    shapes = [x, x[:1], torch.cat([x, x]), x[..., : shape[-1] // 2] if x.dim() == 4 else x[: shape[0] // 2], x[:0]]
    for given in [*shapes, *shapes]:
        close = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 2e-2}
        torch.testing.assert_close(packed(given), layer(given), **close)
        assert len(packed.orders) <= packing.MANY
    with torch.inference_mode():
        torch.testing.assert_close(packed(x), layer(x), **close)
    assert packed.state_dict().keys() == layer.state_dict().keys()
    wide = x.clone().requires_grad_()
    packed(wide).float().sum().backward()  # the usual way
    assert wide.grad is not None
    with torch.autocast("cpu", torch.bfloat16):
        assert packed(x).dtype == layer(x).dtype == torch.bfloat16
    layer.weight.mul_(2)  # the same tensor
    torch.testing.assert_close(packed(x), layer(x), **close)
    copied = pickle.loads(pickle.dumps(copy.deepcopy(packed)))
    assert torch.equal(copied(x), packed(x))
    torch.testing.assert_close(packed.double()(x.double()), layer.double()(x.double()))


def test_pipelines_compute_in_what_is_asked_for() -> None:
    digit = "examples/images/digits/digit_7.png"
    plain = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu")
    half = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", dtype="bfloat16")
    assert half.optimization is not None
    assert half.optimization.dtype == "bfloat16"
    a, b = plain(digit), half(digit)
    assert a.label == b.label == "7"
    assert b.probabilities.dtype == torch.float32
    assert 0 < (a.probabilities - b.probabilities).abs().max() < 0.02
    with pytest.raises(InvalidArgument, match="optimize=False excludes dtype, engine and compile"):
        zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", dtype="bfloat16", optimize=False)
    with pytest.raises(InvalidArgument, match="remove one of them"):
        zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", engine="onnxruntime", compile=True)
    model = zoo.get_model("squeezenet1_1", weights="DIGITS_V1").eval()
    given = zoo.pipeline(model, device="cpu", dtype=torch.bfloat16)
    assert given(digit).label == "7"
    assert {p.dtype for p in model.parameters()} == {torch.float32}
