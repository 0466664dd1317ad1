"""Activations that zoo.optimize computes with the convolution or linear layer before them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from reference.fill import fill_
from torch import Tensor, nn

import zoo
from zoo.running import packing

ACTIVATIONS = {
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "hardtanh": nn.Hardtanh(-0.5, 0.25),
    "leaky": nn.LeakyReLU(0.2),
    "silu": nn.SiLU(),
    "hardswish": nn.Hardswish(),
    "sigmoid": nn.Sigmoid(),
    "hardsigmoid": nn.Hardsigmoid(),
    "tanh": nn.Tanh(),
    "gelu": nn.GELU(),
    "gelu by tanh": nn.GELU("tanh"),
}
pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available() or packing._CONVOLUTION is None, reason="torch without oneDNN"
)


@pytest.fixture(autouse=True)
def _small_layers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "LEAST_WEIGHTS", 1)
    monkeypatch.setattr(packing, "LEAST_WORK", 1)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return 4 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def optimized(model: nn.Module, x: Tensor, **options: Any) -> Any:
    return zoo.optimize(model, x, measure=False, **options)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_every_activation(kind: str, normed: bool, inplace: bool) -> None:
    act = copy.deepcopy(ACTIVATIONS[kind])
    if inplace and not hasattr(act, "inplace"):
        pytest.skip("this activation has no in-place form")
    act.inplace = inplace
    norm = nn.BatchNorm2d(24) if normed else nn.Identity()
    model = fill_(nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), norm, act, nn.Conv2d(24, 6, 1))).eval()
    x = noise(2, 3, 12, 10)
    fast = optimized(model, x)
    assert fast.optimization_report.fused == {"2": "0"}
    assert isinstance(fast[2], nn.Identity)
    assert fast.optimization_report.notes == ()
    for seed, n in ((2, 2), (3, 1)):
        torch.testing.assert_close(fast(noise(n, 3, 12, 10, seed=seed)), model(noise(n, 3, 12, 10, seed=seed)))
    wide = x.clone().requires_grad_()  # PyTorch's own operators
    torch.testing.assert_close(fast(wide), model(x))
    for again in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast)), optimized(fast, x)):
        torch.testing.assert_close(again(x), model(x))
    program = torch.export.export(fast, (x,), strict=False)
    torch.testing.assert_close(program.module()(x), model(x))


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_linear_layers(kind: str) -> None:
    model = fill_(nn.Sequential(nn.Linear(512, 512), copy.deepcopy(ACTIVATIONS[kind]), nn.Linear(512, 8))).eval()
    x = noise(2, 20, 512)
    fast = optimized(model, x)
    assert fast.optimization_report.fused == {"1": "0"}
    torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-4)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.other, self.norm = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        self.act, self.inplace, self.second = nn.ReLU(), nn.ReLU(inplace=True), nn.SiLU()


class ReadToo(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.act(y) + y


class ReadBefore(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        z = y * 2
        return self.inplace(y) + z


class ViewedBefore(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z = y[:, :4]
        self.inplace(y)
        return z


class Returned(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(x)
        return y, self.act(y)


class NormReadToo(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.act(self.norm(y)) + y


class SharedByTwo(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.other(self.act(self.conv(x))))


class OtherInputToo(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x)) + self.act(x).mean()


class OnlySometimes(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z = self.conv(x + 1)
        return self.act(y) + z


class TwoActivations(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.act(y) + self.second(y)


class ChangedBetween(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y += 1
        return self.inplace(y)


class Watched(Net):
    def __init__(self) -> None:
        super().__init__()
        self.act.register_forward_hook(lambda module, inputs, output: output + inputs[0])

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x))


class OwnActivation(nn.ReLU):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's name
        return super().forward(input) * 2


def with_own_activation() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), OwnActivation(), nn.Conv2d(8, 8, 1))


@pytest.mark.parametrize(
    "make",
    [ReadToo, ReadBefore, ViewedBefore, Returned, NormReadToo, SharedByTwo, OtherInputToo, OnlySometimes,
     TwoActivations, ChangedBetween, Watched, with_own_activation],
)  # fmt: skip
def test_what_must_not_be_fused(make: Any) -> None:
    model = fill_(make()).eval()
    x = noise(2, 3, 9, 9)
    fast = optimized(copy.deepcopy(model), x)
    assert fast.optimization_report.fused == {}
    assert fast.optimization_report.notes == ()  # seen while watching, and not only when outputs were compared
    torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-5)


class UsedAfter(Net):
    """Everything after the in-place activation reads its result."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        self.inplace(y)
        return self.other(y) + y


class Twice(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x)) + self.act(self.conv(x + 1))


class Before(Net):
    """The batch norm stays, after the activation."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.inplace(self.conv(x)))


@pytest.mark.parametrize(("make", "fused"), [(UsedAfter, "inplace"), (Twice, "act"), (Before, "inplace")])
def test_what_is_fused(make: Any, fused: str) -> None:
    model = fill_(make()).eval()
    x = noise(2, 3, 9, 9)
    fast = optimized(copy.deepcopy(model), x)
    assert fast.optimization_report.fused == {fused: "conv"}
    assert ("norm" in fast.optimization_report.folded) == (make is UsedAfter)
    torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-5)


def test_a_published_family_in_half_precision() -> None:
    model = fill_(zoo.get_model("mobilenet_v3_small", num_classes=10)).eval()
    x = noise(2, 3, 64, 64)
    fast = optimized(model, x, dtype="bfloat16")
    assert len(fast.optimization_report.fused) > 30
    assert fast.optimization_report.off < 0.1
    assert not [path for path, m in fast.named_modules() if type(m) is nn.Hardswish and "activation" not in path]


def test_another_number_of_threads_has_weights_in_its_own_order(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fill_(nn.Sequential(nn.Conv2d(3, 24, 3), nn.SiLU(), nn.Conv2d(24, 6, 1))).eval()
    x, reordered = noise(1, 3, 20, 20), []
    fast = optimized(model, x)
    arranged = packing.PackedConv2d.arranged
    monkeypatch.setattr(
        packing.PackedConv2d, "arranged", lambda self, shape: [reordered.append(self), arranged(self, shape)][1]
    )
    before = torch.get_num_threads()
    try:
        for threads in (before, before + 1, before, before + 1):
            torch.set_num_threads(threads)
            torch.testing.assert_close(fast(x), model(x))
    finally:
        torch.set_num_threads(before)
    assert reordered == [fast[0], fast[2]], "once for the second number, which oneDNN may want another layout for"
