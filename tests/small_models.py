"""Tests that model families of any size inherit: what every such model must do, shown on small ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn


class SmallModels:
    """A model is captured whole, works in half precision and autocast, and all its parameters are trained."""

    small: ClassVar[Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]]  # a model, and the size of its input
    half_precision: ClassVar[int] = 16  # steps of the type, of the outputs' spread, that halves may be off

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "model" in metafunc.fixturenames:
            metafunc.parametrize("model", self.small, indirect=True)

    @pytest.fixture
    def model(self, request: pytest.FixtureRequest) -> Any:
        torch.manual_seed(0)
        build, size = self.small[request.param]
        model = build().eval()
        for p in model.parameters():
            nn.init.normal_(p, std=0.2)
        model.size = size
        return model

    def batch(self, model: Any, n: int) -> Tensor:
        return torch.randn(n, 3, *model.size, generator=torch.Generator().manual_seed(n))

    def test_compiles_whole(self, model: nn.Module) -> None:
        x = self.batch(model, 2)
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), model(x))
        compiled.train()(x).sum().backward()
        torch.compiler.reset()

    def test_exports_for_any_batch(self, model: nn.Module) -> None:
        shapes = ({0: torch.export.Dim("batch", min=1, max=64)},)
        program = torch.export.export(model, (self.batch(model, 2),), dynamic_shapes=shapes).module()
        for n in (1, 3):
            x = self.batch(model, n)
            torch.testing.assert_close(program(x), model(x))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision(self, model: nn.Module, dtype: torch.dtype) -> None:
        x = self.batch(model, 8)
        with torch.no_grad():
            want = model(x)
            near = {"atol": self.half_precision * torch.finfo(dtype).eps * want.std().item(), "rtol": 0.1}
            half = copy.deepcopy(model).to(dtype)(x.to(dtype))
            with torch.autocast("cpu", dtype):
                cast = model(x)
        assert half.dtype == cast.dtype == dtype
        torch.testing.assert_close(half.float(), want, **near)
        torch.testing.assert_close(cast.float(), want, **near)

    def test_every_parameter_is_trained(self, model: nn.Module) -> None:
        model.train()(self.batch(model, 2)).square().sum().backward()
        for name, p in model.named_parameters():
            assert p.grad is not None, name
            assert p.grad.isfinite().all(), name
