"""Models with NaN or infinite outputs raise an error in every task."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zoo
from zoo.cli import main
from zoo.errors import NonFiniteResult
from zoo.running.finite import is_finite

EXAMPLES = Path(__file__).parents[2] / "examples"
FLOW = EXAMPLES / "images/flow"
SHAPES = EXAMPLES / "images/shapes.png"
# Model, weights, an input, and tensors whose first number becomes NaN or infinite.
CASES: dict[str, tuple[str, str, Any, list[str]]] = {
    "classification": (
        "squeezenet1_1",
        "DIGITS_V1",
        EXAMPLES / "images/digits/digit_4.png",
        ["features.0.weight", "classifier.1.bias"],
    ),
    "segmentation": (
        "lraspp_mobilenet_v3_large",
        "SHAPES_V1",
        SHAPES,
        ["backbone.0.0.weight", "classifier.low_classifier.bias"],
    ),
    "detection": ("ssdlite320_mobilenet_v3_large", "SHAPES_V1", SHAPES, ["backbone.features.0.0.0.weight"]),
    "video": ("mc3_tiny", "MOVING_SHAPES_V1", EXAMPLES / "videos/moving_shapes.gif", ["stem.0.weight", "fc.bias"]),
    "flow": (
        "raft_small",
        "SHAPES_V1",
        (FLOW / "frame1.png", FLOW / "frame2.png"),
        ["update_block.flow_head.conv2.bias"],
    ),
    "flow of a video": (
        "raft_small",
        "SHAPES_V1",
        EXAMPLES / "videos/moving_shapes.gif",
        ["update_block.flow_head.conv2.bias"],
    ),
}


def damaged(model: str, weights: str, name: str, value: float) -> torch.nn.Module:
    built = zoo.get_model(model, weights=weights).eval()
    with torch.no_grad():
        dict(built.named_parameters())[name].view(-1)[0] = value
    return built


@pytest.mark.parametrize("case", CASES)
def test_a_damaged_model_gives_no_answers(case: str) -> None:
    model, weights, source, names = CASES[case]
    for name in names:
        built = damaged(model, weights, name, float("nan"))
        pipe = zoo.pipeline(built, device="cpu", optimize=False)
        ((_, result), (_, other)) = pipe.stream([source, source])
        assert isinstance(result, NonFiniteResult)
        assert isinstance(other, NonFiniteResult)
        assert str(result) == (
            f"The model's output is NaN or infinite; the model's own {name} are not finite either: load other weights."
        )
        with pytest.raises(NonFiniteResult):
            pipe(source)


@pytest.mark.parametrize("model", ["fasterrcnn_mobilenet_v3_large_320_fpn", "ssdlite320_mobilenet_v3_large"])
def test_detectors_of_each_kind_find_no_nothing(model: str) -> None:
    """NaN scores are below every threshold, so that without the check nothing would be found silently; in any part of
    the model."""
    entry = zoo.get_model_weights(model)["DEFAULT"].value
    torch.manual_seed(0)
    built = zoo.get_model(model, weights=None, weights_backbone=None).eval()
    pipe = zoo.pipeline(built, entry, device="cpu", optimize=False)
    picture = torch.rand(3, 64, 64)
    assert len(pipe(picture)) >= 0  # untrained but finite
    parts = [
        "head.regression_head",
        "roi_heads.box_predictor.cls_score",
        "rpn.head.cls_logits",
        "head.classification_head",
    ]
    for part in (part for part in parts if part in dict(built.named_modules())):
        parameter = next(built.get_submodule(part).parameters())
        kept = parameter.detach().clone()
        with torch.no_grad():
            parameter.fill_(float("inf"))
        with pytest.raises(NonFiniteResult):
            pipe(picture)
        with torch.no_grad():
            parameter.copy_(kept)
    pipe(picture)


def test_one_bad_input_does_not_spoil_its_batch() -> None:
    for case, shape in (("classification", (3, 64, 64)), ("segmentation", (3, 96, 96))):
        model, weights, _, _ = CASES[case]
        pipe = zoo.pipeline(model, weights, device="cpu", optimize=False)
        good, bad = torch.rand(shape), torch.full(shape, float("nan"))
        results = [result for _, result in pipe.stream([good, bad, good])]
        assert [isinstance(result, NonFiniteResult) for result in results] == [False, True, False]
        assert "its parameters are finite" in str(results[1])


def test_in_evaluations_they_are_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, weights, source, (_, name) = CASES["classification"]
    for digit in "0123456789":
        (tmp_path / "data" / digit).mkdir(parents=True)
        shutil.copy(source, tmp_path / "data" / digit)
    built = damaged(model, weights, name, float("nan"))
    result = zoo.evaluate(built, tmp_path / "data", device="cpu", optimize=False, output=tmp_path / "out")
    assert (result.measured, dict(result.metrics)) == (0, {})
    assert len(result.failures) == 10
    assert f"the model's own {name}" in result.failures["4/digit_4.png"]
    assert result.notes == ("10 of 10 inputs gave NaN or infinite numbers; the metrics are for the others.",)
    torch.save(built.state_dict(), tmp_path / "bad.pth")
    capsys.readouterr()
    options = ["--model", model, "--weights", str(tmp_path / "bad.pth"), "--device", "cpu", "--set", "num_classes=10"]
    assert main(["evaluate", "--images", str(tmp_path / "data"), *options]) == 1
    got = capsys.readouterr()
    assert "Note: 10 of 10 inputs gave NaN or infinite numbers" in got.out
    assert "could not be read" not in got.out
    assert got.err.count("NaN or infinite") == 10


def test_the_command_tells_them_as_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, weights, source, (name,) = CASES["flow"]
    torch.save(damaged(model, weights, name, float("inf")).state_dict(), tmp_path / "bad.pth")
    command = [
        "predict",
        *map(str, source),
        "--model",
        model,
        "--weights",
        str(tmp_path / "bad.pth"),
        "--device",
        "cpu",
    ]
    assert main(command) == 1
    got = capsys.readouterr()
    assert "NaN or infinite" in got.err
    assert got.out == ""
    assert main([*command, "--json"]) == 1
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer.keys() == {"input", "error"}


def test_what_is_finite() -> None:
    inf = float("inf")
    for finite in (
        1,
        2.0,
        "nan",
        None,
        torch.ones(0),
        torch.ones(3).half(),
        [1.0, {"a": torch.tensor(True)}],
        np.arange(3),
    ):
        assert is_finite(finite), finite
    for bad in (inf, torch.tensor([1, inf]), [{"a": (1.0, -inf)}], np.array([np.nan]), torch.tensor(complex(0, inf))):
        assert not is_finite(bad), bad
    assert not is_finite(torch.tensor([1.0, float("nan")]).bfloat16())
