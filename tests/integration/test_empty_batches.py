"""Empty batches give empty results of the usual shape."""

from __future__ import annotations

import pytest
import torch
from one_of_a_family import SMALL, built

import zoo


@pytest.mark.parametrize("name", SMALL)
def test_empty_batch(name: str) -> None:
    model, x = built(name)
    with torch.no_grad():
        for mode in (True, False):
            out = model.train(mode)(x[:0])
            out = out["out"] if isinstance(out, dict) else out if isinstance(out, torch.Tensor) else out[0]
            assert list(out.shape) == ([0, 21, *x.shape[2:]] if out.ndim == 4 else [0, 400 if x.ndim == 5 else 1000])


@pytest.mark.parametrize("correlation", ["full", "local"])
@pytest.mark.parametrize("name", ["raft_small", "raft_large"])
def test_empty_batch_of_frames(name: str, correlation: str) -> None:
    frames = torch.zeros(0, 3, 128, 136)
    flows = zoo.get_model(name, correlation=correlation).eval()(frames, frames, num_flow_updates=2)
    assert [list(flow.shape) for flow in flows] == [[0, 2, 128, 136]] * 2
    sum(flow.sum() for flow in flows).backward()


@pytest.mark.parametrize("mode", [False, "reference", True])
def test_empty_batch_of_quantizable_models(mode: bool | str) -> None:
    if mode is True and torch.backends.quantized.supported_engines == ["none"]:
        pytest.skip("torch has no int8 kernels here")
    for name in ("quantized_resnet18", "quantized_shufflenet_v2_x0_5", "quantized_mobilenet_v3_large"):
        model = zoo.get_model(name, quantize=mode).eval()
        with torch.no_grad():
            assert model(torch.zeros(0, 3, 64, 64)).shape == (0, 1000)
