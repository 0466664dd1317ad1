"""Low precision under autocast: sums and counts do not lose precision."""

from __future__ import annotations

import pytest
import torch
from one_of_a_family import SMALL, built

# float16 has no fast convolutions on CPUs: a few models test overflow and loss of precision.
HALF = ("vit_b_32", "swin_t", "swin_v2_t", "swin3d_t", "convnext_tiny")
CASES = [(name, torch.bfloat16) for name in SMALL if name not in ("maxvit_t", "s3d")]
CASES += [(name, torch.float16) for name in HALF]


@pytest.mark.parametrize(("name", "dtype"), CASES, ids=lambda value: str(value).removeprefix("torch."))
def test_results_are_near_those_of_single_precision(name: str, dtype: torch.dtype) -> None:
    model, x = built(name)
    model.eval()
    with torch.no_grad():
        for module in model.modules():  # heads initialised to zero would hide differences
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and not module.weight.any():
                torch.nn.init.normal_(module.weight, std=0.02)
        whole = model(x)
        with torch.autocast("cpu", dtype=dtype):
            half = model(x)
    for a, b in zip(*([v["out"]] if isinstance(v, dict) else [v] for v in (whole, half)), strict=True):
        assert (a - b.float()).abs().mean() < (0.03 if dtype == torch.bfloat16 else 0.004) * a.std()
