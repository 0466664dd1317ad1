"""Models on a GPU and on a CPU have equal outputs, losses and gradients, and similar ones in 16 bits."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from one_of_a_family import SMALL, built
from torch import Tensor, nn

import zoo

HALF = ("resnet18", "vit_b_32", "swin_t", "swin_v2_t", "swin3d_t", "convnext_tiny")
RANDOM: dict[str, Any] = {"weights": None, "weights_backbone": None}
DETECTORS = {
    "fasterrcnn": {"backbone": "mobilenet_v3_small", "min_size": 96, "max_size": 128},
    "maskrcnn": {"backbone": "mobilenet_v3_small", "min_size": 96, "max_size": 128},
    "keypointrcnn": {"backbone": "mobilenet_v3_small", "min_size": 96, "max_size": 128},
    "retinanet": {"backbone": "mobilenet_v3_small", "min_size": 96, "max_size": 128},
    "fcos": {"backbone": "mobilenet_v3_small", "min_size": 96, "max_size": 128},
    "ssdlite320_mobilenet_v3_large": {},
    "ssd300_vgg16": {},
}


def near(a: Any, b: Any, slack: float = 1e-4) -> None:
    """``a`` of the GPU and ``b`` of the CPU are equal within ``slack`` of the standard deviation of ``b``."""
    if isinstance(b, dict):
        assert a.keys() == b.keys()
        for key in b:
            near(a[key], b[key], slack)
    elif isinstance(b, list | tuple):
        for x, y in zip(a, b, strict=True):
            near(x, y, slack)
    elif not isinstance(b, Tensor):
        assert a == b
    else:
        assert a.device.type == "cuda"
        spread = b.std().item() if b.numel() > 1 else b.abs().item()
        torch.testing.assert_close(a.cpu(), b, rtol=slack, atol=slack * max(spread, 1e-12))


def stirred(model: nn.Module) -> nn.Module:
    """Initialize heads that start at zero, whose outputs would be constant."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.02)
    return model


@pytest.mark.parametrize("name", SMALL)
def test_outputs_and_gradients(name: str) -> None:
    model, x = built(name)
    model, x = stirred(model.eval()).double(), x.double()
    twin = copy.deepcopy(model).cuda()
    outputs, others = twin(x.cuda()), model(x)
    near(outputs, others, 1e-6)
    for result in (outputs, others):
        values = list(result.values()) if isinstance(result, dict) else [result]
        sum(v.square().mean() for v in values).backward()
    want = dict(model.named_parameters())
    for path, p in twin.named_parameters():
        if (g := want[path].grad) is not None:
            assert p.grad is not None
            assert (p.grad.cpu() - g).norm() <= 1e-6 * g.norm() + 1e-12, path


# Outputs of random models with batch norm are too small for float16.
@pytest.mark.parametrize(
    ("name", "dtype"), [(n, torch.bfloat16) for n in SMALL] + [(n, torch.float16) for n in HALF], ids=str
)
def test_in_16_bits(name: str, dtype: torch.dtype) -> None:
    model, x = built(name)
    stirred(model.eval().cuda())
    slack = 0.03 if dtype == torch.bfloat16 else 0.004
    with torch.no_grad():
        want = model(x.cuda())
        with torch.autocast("cuda", dtype=dtype):
            cast = model(x.cuda())
        model.to(dtype, memory_format=torch.channels_last if x.dim() == 4 else torch.preserve_format)
        half = model(x.cuda().to(dtype))
    want, cast, half = (v["out"] if isinstance(v, dict) else v for v in (want, cast, half))
    assert half.dtype == dtype
    for got in (cast, half):
        assert (got.float() - want).abs().mean() < slack * want.std()


def scene(seed: int = 0) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    g = torch.Generator().manual_seed(seed)
    images = [torch.rand(3, 90, 120, generator=g), torch.rand(3, 100, 80, generator=g)]
    boxes = torch.tensor([[5.0, 5, 40, 50], [30, 20, 75, 80]])
    masks = torch.zeros(2, 100, 120, dtype=torch.uint8)
    masks[0, 5:50, 5:40] = masks[1, 20:80, 30:75] = 1
    points = torch.tensor([[[20.0, 20, 1]] * 17, [[50.0, 50, 1]] * 17])
    targets = [
        {"boxes": boxes, "labels": torch.tensor([1, 1]), "masks": masks[:, :h, :w], "keypoints": points}
        for h, w in (i.shape[-2:] for i in images)
    ]
    return images, targets


def detector(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = zoo.get_model(name, **RANDOM, **DETECTORS[name])
    for part in (m for m in model.modules() if hasattr(m, "fg_bg_sampler")):
        part.fg_bg_sampler.batch_size_per_image = 10**6  # use all: random samples differ between devices
        part.fg_bg_sampler.positive_fraction = 1.0
    for m in model.modules():
        if isinstance(m, nn.Dropout | nn.Dropout2d):
            m.p = 0.0
    return model


def on_cuda(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.cuda()
    if isinstance(value, dict):
        return {k: on_cuda(v) for k, v in value.items()}
    return [on_cuda(v) for v in value]


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors(name: str) -> None:
    model = detector(name).eval()
    images, targets = scene()
    twin = copy.deepcopy(model).cuda()
    with torch.inference_mode():
        near(twin.comparable(on_cuda(images)), model.comparable(images), 2e-3)  # type: ignore[operator]
        found = twin(on_cuda(images))
        with torch.autocast("cuda", dtype=torch.bfloat16):
            cast = twin(on_cuda(images))
    for each in (*found, *cast):
        assert all(v.device.type == "cuda" and v.isfinite().all() for v in each.values())
    losses, others = twin.train()(on_cuda(images), on_cuda(targets)), model.train()(images, targets)
    assert losses.keys() == others.keys()
    for key, loss in losses.items():
        torch.testing.assert_close(loss.cpu(), others[key], rtol=2e-3, atol=1e-5)
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in twin.parameters() if p.grad is not None)


def test_raft() -> None:
    torch.manual_seed(0)
    model = zoo.get_model("raft_small", weights="SHAPES_V1").eval()
    a, b = torch.rand(2, 1, 3, 128, 160) * 2 - 1
    with torch.inference_mode():
        want = model(a, b, num_flow_updates=4)
        near(copy.deepcopy(model).cuda()(a.cuda(), b.cuda(), num_flow_updates=4), want, 5e-3)


@pytest.mark.parametrize("name", ["resnet18", "vit_b_32", "swin_t"])
def test_compiled(name: str) -> None:
    model, x = built(name)
    stirred(model.eval().cuda())
    with torch.inference_mode():
        near(torch.compile(model)(x.cuda()), model(x.cuda()).cpu(), 1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "vit_b_32"])
def test_optimized(name: str, dtype: torch.dtype) -> None:
    model, x = built(name)
    stirred(model.eval().cuda().to(dtype))
    fast = zoo.optimize(model, x.cuda().to(dtype))
    with torch.inference_mode():
        got, want = fast(x.cuda().to(dtype)), model(x.cuda().to(dtype))
    assert got.is_cuda
    assert (got - want).float().abs().max() < (1e-3 if dtype == torch.float32 else 0.2) * want.float().std()
    assert fast.optimization_report.ran, fast.optimization_report


def test_built_and_loaded_on_the_device() -> None:
    model = zoo.get_model("squeezenet1_1", weights="DIGITS_V1", device="cuda", dtype=torch.float16)
    assert {(p.device.type, p.dtype) for p in model.parameters()} == {("cuda", torch.float16)}
