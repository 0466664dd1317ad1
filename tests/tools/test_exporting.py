"""Exported files: their content, errors, and that failed exports leave no files."""

from __future__ import annotations

import dataclasses
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from servers import FileServer, serving
from torch import Tensor, nn

import zoo
from zoo.errors import ExportError, InvalidArgument, MissingPlugin, UnknownModel

DIGITS: dict[str, Any] = {"model": "squeezenet1_1", "weights": "DIGITS_V1"}
PICTURE = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def expected(picture: Tensor = PICTURE) -> Tensor:
    with torch.no_grad():
        return zoo.get_model("squeezenet1_1", weights="DIGITS_V1").eval()(picture)


def test_onnx_is_the_model_and_says_what_it_is(tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    report = zoo.export(path=tmp_path / "digits.onnx", **DIGITS)
    assert (report.format, report.files) == ("onnx", (tmp_path / "digits.onnx",))
    assert report.inputs == {"image": "float32 [1, 3, 64, 64]"}, "the crop size of the weights' preprocessing"
    assert report.outputs == {"output": "float32 [1, 10]"}
    session = ort.InferenceSession(report.path)
    (logits,) = session.run(["output"], {"image": PICTURE.numpy()})
    torch.testing.assert_close(torch.from_numpy(np.asarray(logits)), expected(), atol=1e-4, rtol=1e-4)
    facts = json.loads(session.get_modelmeta().custom_metadata_map["zoo"])
    assert facts["model"] == "squeezenet1_1"
    assert facts["categories"] == list("0123456789")
    assert facts["weights"].startswith("pkg://zoo_classification")


def test_exported_program_is_the_model_and_says_what_it_is(tmp_path: Path) -> None:
    report = zoo.export(path=tmp_path / "digits.pt2", image_size=(48, 64), **DIGITS)
    assert report.inputs == {"image": "float32 [1, 3, 48, 64]"}
    files = {"zoo": ""}
    program = torch.export.load(report.path, extra_files=files)
    picture = PICTURE[:, :, :48]
    torch.testing.assert_close(program.module()(picture), expected(picture))
    assert json.loads(files["zoo"])["categories"] == list("0123456789")


def test_secrets_of_urls_are_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    entry = zoo.get_weight("SqueezeNet1_1_Weights.DIGITS_V1").value
    with serving(FileServer()) as server:
        url = server.put("/digits.safetensors", zoo.files.fetch(entry.url).read_bytes()).replace(
            "://", "://me:pass1234@"
        )
        model = zoo.get_model("squeezenet1_1", weights=dataclasses.replace(entry, url=f"{url}?token=sesame"))
    report = zoo.export(model, tmp_path / "digits.pt2", task="image-classification")
    files = {"zoo": ""}
    torch.export.load(report.path, extra_files=files)
    assert json.loads(files["zoo"])["weights"].endswith("/digits.safetensors?…")
    with zipfile.ZipFile(report.path) as archive:
        assert not any(
            b"sesame" in archive.read(name) or b"pass1234" in archive.read(name) for name in archive.namelist()
        )


class Two(nn.Module):
    """Needs eval mode, and returns a dict with a tuple in it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 2, 3)

    def forward(self, x: Tensor) -> dict[str, Any]:
        if self.training:
            raise RuntimeError("this is for training")
        x = self.conv(self.norm(x))
        return {"map": x, "sums": (x.sum((2, 3)), x.sum(1))}


def test_a_model_that_is_built_is_exported_as_it_is(tmp_path: Path) -> None:
    model = Two().train()
    report = zoo.export(model, tmp_path / "two.pt2", image_size=8, task="semantic-segmentation")
    assert report.inputs == {"image": "float32 [1, 4, 8, 8]"}
    outputs = {"map": "float32 [1, 2, 6, 6]", "sums_0": "float32 [1, 2]", "sums_1": "float32 [1, 6, 6]"}
    assert report.outputs == outputs
    assert all(m.training for m in model.modules())
    x = torch.rand(1, 4, 8, 8)
    got, want = torch.export.load(report.path).module()(x), model.eval()(x)
    torch.testing.assert_close(got, want)


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0.5] if x.mean() > 0.1 else x


@pytest.mark.parametrize("name", ["out.onnx", "out.pt2"])
def test_what_cannot_be_captured_leaves_nothing_behind(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExportError, match=r"Branches could not be exported as .*: .*data-dependent") as caught:
        zoo.export(Branches(), tmp_path / name, image_size=8, task="image-classification")
    assert caught.value.__cause__ is not None
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")


def test_a_file_is_not_written_over_by_accident(tmp_path: Path, run: Any) -> None:
    path = tmp_path / "digits.pt2"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match=r"digits\.pt2 already exists"):
        zoo.export(path=path, **DIGITS)
    got = run("export", "squeezenet1_1", "--weights", "DIGITS_V1", path)
    assert got.status == 1
    assert "use --overwrite to replace it" in got.err
    assert path.read_text() == "precious"
    with pytest.raises(ExportError):
        zoo.export(Branches(), path, image_size=8, task="image-classification", overwrite=True)
    assert path.read_text() == "precious", "a failed export must not replace the file"
    got = run("export", "squeezenet1_1", "--weights", "DIGITS_V1", "--force", path)
    assert (got.status, got.err) == (0, "")
    assert got.out.splitlines()[0] == f"{path}  torch-export  3.0 MB"
    assert [line.split() for line in got.out.splitlines()[1:]] == [
        ["in", "image", "float32", "[1,", "3,", "64,", "64]"],
        ["out", "output", "float32", "[1,", "10]"],
    ]
    torch.testing.assert_close(torch.export.load(path).module()(PICTURE), expected())


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (
            {"path": "out.bin"},
            InvalidArgument,
            r"out.bin does not have the suffix of a format.*\.onnx for onnx, \.pt2",
        ),
        ({"format": "tflite"}, InvalidArgument, "format is 'tflite'; expected one of onnx, torch-export"),
        ({"image_size": (1, 2, 3)}, InvalidArgument, r"image_size is \(1, 2, 3\); expected \(height, width\)"),
        ({"image_size": (0, 8)}, InvalidArgument, "the height in image_size is 0"),
        ({"image_size": 3}, InvalidArgument, "the images are 3×3 and this model needs at least"),
        ({"path": "nowhere/out.onnx"}, InvalidArgument, "The folder .* does not exist"),
        ({"model": "resnet51"}, UnknownModel, "resnet50"),
        ({"model": 5}, InvalidArgument, "not int"),
        ({"model": nn.Conv2d(3, 3, 1)}, InvalidArgument, "Give the task of the model"),
        ({"model": nn.Conv2d(3, 3, 1), "task": "image-classification"}, InvalidArgument, "give image_size"),
        (
            {"model": nn.Conv2d(3, 3, 1), "task": "image-classification", "image_size": 8, "frames": 3},
            InvalidArgument,
            "frames: unknown options for a built model; options of its task: none",
        ),
        ({"frames": 3}, TypeError, "frames"),
    ],
)
def test_what_cannot_be_is_told_at_once(
    arguments: dict[str, Any], error: type[Exception], match: str, tmp_path: Path
) -> None:
    options = {**DIGITS, "path": "out.pt2", **arguments}
    with pytest.raises(error, match=match):
        zoo.export(**{**options, "path": tmp_path / options["path"]})
    assert list(tmp_path.iterdir()) == []


def test_an_input_that_the_model_does_not_take_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"Conv2d does not accept float32 \[1, 3, 2, 2\]: RuntimeError: .*[Kk]ernel"):
        zoo.export(nn.Conv2d(3, 3, 5), tmp_path / "out.pt2", image_size=2, task="image-classification")


def test_weights_in_a_file_of_their_own_come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch's exporter does above 2 GB."""

    def write(capture: zoo.Capture, target: Path) -> None:
        target.write_text("graph")
        target.with_name(f"{target.name}.data").write_text("weights")

    monkeypatch.setattr("zoo_tools.formats.onnx.write", write)
    report = zoo.export(path=tmp_path / "big.onnx", **DIGITS)
    assert [file.name for file in report.files] == ["big.onnx", "big.onnx.data"]
    assert [file.read_text() for file in report.files] == ["graph", "weights"]
    report.path.unlink()
    with pytest.raises(FileExistsError, match=r"big\.onnx\.data already exists"):
        zoo.export(path=tmp_path / "big.onnx", **DIGITS)
    assert [file.name for file in tmp_path.iterdir()] == ["big.onnx.data"]


def test_without_onnx_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingPlugin, match=r"onnxscript.*pip install 'zoo-tools\[onnx\]'"):
        zoo.export(path=tmp_path / "digits.onnx", **DIGITS)
    assert zoo.export(path=tmp_path / "digits.pt2", **DIGITS).path.is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["squeezenet1_1", "out.pt2", "--image-size", "64x"], "--image-size 64x: expected HEIGHTxWIDTH"),
        (["squeezenet1_1", "out.pt2", "--max-detections", "5"], "No such option: --max-detections"),
        (["mc3_tiny", "out.pt2", "--frame", "5"], "No such option: --frame. video-classification has --frames."),
        (["squeezenet1_1", "a.pt2", "b.pt2"], "Expected one FILE to write, not a.pt2, b.pt2"),
    ],
)
def test_what_was_typed_wrongly_is_said(run: Any, arguments: list[str], said: str) -> None:
    got = run("export", *arguments)
    assert got.status == 2
    assert said in " ".join(got.err.split())


def test_a_task_that_says_nothing_of_export_takes_single_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = zoo.TaskSpec("pairs", "a:b", inputs_per_sample=2)
    monkeypatch.setattr("zoo.registry.get_task", lambda name, plugin=None: task)
    with pytest.raises(
        InvalidArgument, match=r"'pairs' has no export function.*TaskSpec\(provides=\{\"export\": …\}\)"
    ):
        zoo.export(nn.Conv2d(3, 3, 1), tmp_path / "out.pt2", image_size=8, task="pairs")
