"""What every transformer promises, shown on tiny ones: it is captured whole, works in half precision and autocast,
in any memory format, and its parameters are all trained."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from zoo_classification.maxvit import MaxVit
from zoo_classification.swin_transformer import V2, swin
from zoo_classification.vision_transformer import VisionTransformer

# Sizes at which windows are shifted and images padded.
TINY: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "vit": (lambda: VisionTransformer(32, 8, 2, 2, 16, 24, num_classes=5), 32),
    "swin": (lambda: swin(8, [2, 2], [1, 2], 4, 0.0, num_classes=5), 44),
    "swin_v2": (lambda: swin(8, [2, 2], [1, 2], 4, 0.0, num_classes=5, **V2), 44),
    "maxvit": (lambda: MaxVit(32, 8, 2, [8, 16], [1, 2], 4, 0.0, num_classes=5), 32),
}


@pytest.fixture(params=TINY)
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    model = TINY[request.param][0]().eval()
    for p in model.parameters():
        nn.init.normal_(p, std=0.2)
    model.size = TINY[request.param][1]
    return model


def images(model: nn.Module, n: int) -> Tensor:
    return torch.randn(n, 3, model.size, model.size, generator=torch.Generator().manual_seed(n))


def test_compiles_whole(model: nn.Module) -> None:
    x = images(model, 2)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))
    compiled.train()(x).sum().backward()


def test_exports_for_any_batch(model: nn.Module) -> None:
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},)
    program = torch.export.export(model, (images(model, 2),), dynamic_shapes=shapes).module()
    for n in (1, 3):
        x = images(model, n)
        torch.testing.assert_close(program(x), model(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(model: nn.Module, dtype: torch.dtype) -> None:
    x = images(model, 8)
    with torch.no_grad():
        want = model(x)
        near = {"atol": 16 * torch.finfo(dtype).eps * want.std().item(), "rtol": 0.1}
        half = copy.deepcopy(model).to(dtype)(x.to(dtype))
        with torch.autocast("cpu", dtype):
            cast = model(x)
    assert half.dtype == cast.dtype == dtype
    torch.testing.assert_close(half.float(), want, **near)
    torch.testing.assert_close(cast.float(), want, **near)


def test_images_of_a_batch_do_not_mix(model: nn.Module) -> None:
    x = images(model, 3)
    torch.testing.assert_close(model(x), torch.cat([model(x[i : i + 1]) for i in range(3)]))


def test_channels_last(model: nn.Module) -> None:
    x = images(model, 2)
    want = model(x)
    model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x.to(memory_format=torch.channels_last)), want)


def test_every_parameter_is_trained(model: nn.Module) -> None:
    model.train()(images(model, 2)).square().sum().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
