"""Optimised detectors: outputs are compared before selection, because detections are discontinuous."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.running.optimization import NORMS

RANDOM: dict[str, Any] = {"weights": None, "weights_backbone": None}
SMALL: dict[str, Any] = {"backbone": "mobilenet_v3_small", "min_size": 96, "max_size": 128}


def detector(name: str, **config: Any) -> nn.Module:
    torch.manual_seed(0)
    model = zoo.get_model(name, **RANDOM, **config).eval()
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):  # as after training, so that folding has an effect
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 1.5)
    return model


def picture() -> Tensor:
    return torch.rand(3, 90, 120, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "name", ["maskrcnn", "keypointrcnn", "fasterrcnn", "retinanet", "fcos", "ssdlite320_mobilenet_v3_large"]
)
def test_every_batch_norm_is_folded_though_detections_sit_on_the_threshold(name: str) -> None:
    model = detector(name, **({} if "lite" in name else SMALL))
    holder: Any = getattr(model, "roi_heads", model)
    holder.score_thresh, holder.detections_per_img = 0.0, 20
    with torch.inference_mode():
        holder.score_thresh = float(model([picture()])[0]["scores"][-1])  # the last one is just at the threshold
    norms = sum(isinstance(m, NORMS) for m in model.modules())
    fast = zoo.optimize(model, ([picture()],), measure=False)
    report: Any = fast.optimization_report
    assert (len(report.folded), report.channels_last, report.notes) == (norms, True, ())
    with torch.inference_mode():
        found, before = fast([picture()])[0], model([picture()])[0]
    assert abs(len(found["scores"]) - len(before["scores"])) <= 1
    n = min(len(found["scores"]), len(before["scores"]))
    torch.testing.assert_close(found["scores"][:n], before["scores"][:n], rtol=1e-3, atol=1e-5)


def test_a_detector_that_would_find_something_else_is_left_as_it_was() -> None:
    model = detector("fcos", **SMALL)

    comparable, calls = model.comparable, []

    def drifting(*inputs: Any) -> Any:
        calls.append(inputs)
        features, predictions = comparable(*inputs)
        return {name: f + 0.1 * len(calls) for name, f in features.items()}, predictions

    model.comparable = drifting  # type: ignore[assignment]
    fast = zoo.optimize(model, ([picture()],), inplace=True)
    report: Any = fast.optimization_report
    assert not report.folded
    assert any("undone" in note for note in report.notes)
