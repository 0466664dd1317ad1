"""``zoo train`` for detection, segmentation and video, validated with the code of ``zoo.evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coco_squares import squares
from colours import pictures
from PIL import Image

import zoo
import zoo_quantized
from zoo.cli import main
from zoo.errors import InvalidArgument
from zoo_detection.training import Preparation
from zoo_training.training import best_epoch, train


def test_a_detector_learns_a_square(tmp_path: Path) -> None:
    root = squares(tmp_path / "data", 10)
    data = zoo.open_data(root / "images", "object-detection", annotations=root / "annotations.json", val=0.3)
    name = "ssdlite320_mobilenet_v3_large"
    done = train(name, data, tmp_path / "a", "SHAPES_V1", epochs=4, batch_size=4, device="cpu")
    assert done.categories == ["__background__", "square"]
    assert done.history[-1]["loss"] < done.history[0]["loss"] / 1.5
    assert done.history[-1]["val_loss"] < done.history[0]["val_loss"]
    assert all(0 <= row["val_box_map"] <= 100 for row in done.history)
    assert done.best == best_epoch(done.history, zoo.get_task("object-detection"))


def test_crowds_are_no_objects_to_learn() -> None:
    boxes = torch.tensor([[0.0, 0, 9, 9], [1, 1, 5, 5]])
    target = {"boxes": boxes, "labels": torch.tensor([1, 2]), "iscrowd": torch.tensor([1, 0]), "image_id": 3}
    _, kept = Preparation(lambda image: image)(torch.rand(3, 9, 9), target)
    assert kept["boxes"].tolist() == boxes[1:].tolist()
    assert kept["labels"].tolist() == [2]


def test_a_segmenter_learns_halves(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for i in range(8):
        mask = np.zeros((64, 80), np.uint8)
        mask[:, int(generator.integers(20, 60)) :] = 1
        picture = np.where(mask[..., None] == 1, (30, 60, 200), (200, 200, 60)).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / "data" / "images" / f"{i}.png")
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{i}.png")
    entry = "SHAPES_V1"
    done = train(
        "lraspp_mobilenet_v3_large",
        tmp_path / "data",
        tmp_path / "a",
        entry,
        epochs=12,
        batch_size=3,
        device="cpu",
        lr=3e-3,
    )
    assert done.history[-1]["val_miou"] > 90
    assert done.history[-1]["val_loss"] < done.history[0]["val_loss"] / 4


@pytest.mark.parametrize("task", ["object-detection", "semantic-segmentation", "video-classification", "optical-flow"])
def test_tasks_say_how_they_are_trained(task: str) -> None:
    piece = zoo.registry.provided(zoo.get_task(task), "train")()
    assert all(callable(getattr(piece, step)) for step in ("prepare", "collate", "loss", "score"))


def test_an_int8_model_is_trained_as_its_float_twin_and_quantized_then(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 10)
    name, given = "quantized_shufflenet_v2_x0_5", {"preprocessing": "DIGITS_V1", "device": "cpu", "epochs": 1}
    done = train(name, data, tmp_path / "a", None, **given)
    int8 = zoo_quantized.quantize(done.model, [torch.rand(4, 3, 64, 64)], progress=False)
    assert int8(torch.rand(2, 3, 64, 64)).shape == (2, 2)
    packed = [module.weight() for module in int8.modules() if callable(getattr(module, "weight", None))]
    assert {weight.dtype for weight in packed} == {torch.qint8}
    with pytest.raises(InvalidArgument, match=r"has no parameters to train\. Train a float model and quantize it"):
        train(name, data, tmp_path / "b", None, quantize=True, **given)
    with pytest.raises(InvalidArgument, match=r"has no weights 'DIGITS_V9'.*its weights: .*DIGITS_V1"):
        train(name, data, tmp_path / "b", None, **{**given, "preprocessing": "DIGITS_V9"})


def test_quantization_aware_training_gives_an_int8_file_as_good_as_the_float_model(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = pictures(tmp_path / "data", 20)
    name, given = "quantized_shufflenet_v2_x0_5", {"device": "cpu", "batch_size": 8, "lr": 4e-3}
    train(name, data, tmp_path / "float", None, preprocessing="DIGITS_V1", epochs=16, warmup=0.0, **given)
    model, lines = tmp_path / "float/last.safetensors", {}
    options = ["--data", str(data), "--epochs", "3", "--batch-size", "8", "--lr", "5e-4", "--device", "cpu", "--qat"]
    assert main(["train", "--model", name, "--weights", str(model), "--output", str(tmp_path / "int8"), *options]) == 0
    int8 = zoo.load(tmp_path / "int8/last.safetensors").eval()
    assert isinstance(int8.fc.weight(), torch.Tensor)
    assert int8.fc.weight().dtype == torch.qint8
    assert (tmp_path / "int8/last.safetensors").stat().st_size < 0.4 * model.stat().st_size
    for path in (model, tmp_path / "int8/last.safetensors"):
        lines[path.parent.name] = zoo.evaluate(path, data, device="cpu", progress=False).metrics["acc@1"]
    assert lines["float"] > 90
    assert abs(lines["int8"] - lines["float"]) <= 2.5, "one of 40 pictures"
    assert main(["predict", str(data / "blue/000.png"), "--model", str(tmp_path / "int8/best.safetensors")]) == 0
    assert "deprecated" not in capfd.readouterr().err
    card = (tmp_path / "int8/README.md").read_text()
    assert "qat" in card
    for other, why in (
        ("squeezenet1_1", "does not support quantization-aware training"),
        (name, "qat and fsdp were both given"),
    ):
        with pytest.raises(InvalidArgument, match=why):
            train(
                other, data, tmp_path / "c", None, preprocessing="DIGITS_V1", qat=True, fsdp=other == name, device="cpu"
            )


def test_quantization_aware_training_goes_on_as_if_unbroken(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 8)
    name, given = (
        "quantized_shufflenet_v2_x0_5",
        {"preprocessing": "DIGITS_V1", "device": "cpu", "qat": True, "seed": 3},
    )

    def stop(loop: Any) -> None:
        raise KeyboardInterrupt

    whole = train(name, data, tmp_path / "a", None, epochs=2, batch_size=4, **given).model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo_training.watching.Watch.step", lambda watch, loop, n: stop(loop) if loop.epoch else None)
        with pytest.raises(KeyboardInterrupt):
            train(name, data, tmp_path / "b", None, epochs=2, batch_size=4, checkpoint_minutes=0, **given)
    again = train(name, data, tmp_path / "b", None, epochs=2, batch_size=4, resume=True, **given).model
    picture = torch.rand(2, 3, 64, 64)
    assert torch.equal(whole(picture), again(picture))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quantized_googlenet", "quantized_inception_v3"])
def test_models_with_auxiliary_heads_are_trained_for_int8_without_them(name: str, tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 4)
    given = {"epochs": 1, "batch_size": 4, "device": "cpu", "qat": True, "init_weights": False}
    with pytest.raises(InvalidArgument, match="Pass aux_logits=False"):
        train(name, data, tmp_path / "a", None, **given)
    train(name, data, tmp_path / "b", None, aux_logits=False, **given)
    int8 = zoo.load(tmp_path / "b/best.safetensors").eval()
    assert int8.fc.weight().dtype == torch.qint8
    assert zoo.evaluate(tmp_path / "b/best.safetensors", data, device="cpu", progress=False).measured == 8


def test_what_cannot_be_trained_for_int8_is_told_with_what_can_be_done(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 2)
    with pytest.raises(InvalidArgument, match=r"does not support quantization-aware training.*zoo quantize"):
        train("squeezenet1_1", data, tmp_path / "a", "DIGITS_V1", qat=True, device="cpu")


@pytest.mark.parametrize(
    ("model", "given", "why"),
    [
        ("lraspp_mobilenet_v3_large", {"qat": True}, "does not support quantization-aware training"),
        ("squeezenet1_1", {"qat": True, "fsdp": True}, "qat and fsdp were both given"),
        ("squeezenet1_1", {"freeze": ["feature"]}, r"SqueezeNet has no submodule 'feature'"),
        ("squeezenet1_1", {"preprocessing": "DIGITS_V9"}, r"no weights 'DIGITS_V9'"),
        ("squeezenet1_1", {"drop": 0.5}, "drop"),
    ],
)
def test_what_cannot_be_trained_raises_before_data_is_read(
    model: str, given: dict[str, Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgument, match=why):
        train(model, tmp_path / "none", tmp_path / "run", None, device="cpu", **given)
    assert not (tmp_path / "run").exists()
