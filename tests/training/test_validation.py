"""Validation opens each input and runs the model once per epoch, for loss, metrics and pictures together."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coco_squares import squares
from colours import pictures
from PIL import Image
from torch import nn

import zoo
from zoo_detection.training import Training
from zoo_training.training import train
from zoo_video.training import Preparation

DETECTOR, SEGMENTER = "ssdlite320_mobilenet_v3_large", "lraspp_mobilenet_v3_large"


def halves(root: Path, n: int) -> Path:
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i in range(n):
        mask = np.zeros((48, 64), np.uint8)
        mask[:, 10 * i + 4 :] = 1
        picture = np.where(mask[..., None] == 1, (30, 60, 200), (200, 200, 60)).astype(np.uint8)
        Image.fromarray(picture).save(root / f"images/{i}.png")
        Image.fromarray(mask).save(root / f"masks/{i}.png")
    return root


def videos(root: Path, n: int) -> Path:
    """For each class ``n`` videos of 40 frames in 4 seconds: a bar that moves right, or down."""
    for name in ("right", "down"):
        (root / name).mkdir(parents=True)
        for i in range(n):
            frames = []
            for t in range(40):
                frame = np.full((32, 32, 3), 20 * i, np.uint8)
                frame[:, (t + i) % 32] = 250
                frames.append(Image.fromarray(frame if name == "right" else frame.transpose(1, 0, 2)))
            frames[0].save(root / name / f"{i}.gif", save_all=True, append_images=frames[1:], duration=100)
    return root


def opened(task: str, root: Path) -> tuple[Any, Any]:
    if task == "object-detection":
        data = squares(root, 6)
        return zoo.open_data(data / "images", task, annotations=data / "annotations.json", val=0.5)
    make = {"image-classification": pictures, "semantic-segmentation": halves, "video-classification": videos}[task]
    return zoo.open_data(make(root, 4 if task != "semantic-segmentation" else 6), task, val=0.5)


@pytest.mark.parametrize(
    ("task", "model", "entry"),
    [
        ("image-classification", "squeezenet1_1", "DIGITS_V1"),
        ("semantic-segmentation", SEGMENTER, "SHAPES_V1"),
        ("object-detection", DETECTOR, "SHAPES_V1"),
        ("video-classification", "mc3_tiny", "DEFAULT"),
    ],
)
def test_one_pass_gives_loss_figures_and_pictures(
    task: str, model: str, entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = opened(task, tmp_path / "data")
    loads: list[Any] = []
    seen: list[int] = []
    steps = type(zoo.pipeline(model, weights=entry, device="cpu").steps)
    load, score = steps.load, zoo.registry.provided(zoo.get_task(task), "train").score

    def counted(self: Any, net: nn.Module, arguments: Any, targets: Any) -> Any:
        hook = net.register_forward_hook(lambda module, given, outputs: seen.append(len(given[0])))
        try:
            return score(self, net, arguments, targets)
        finally:
            hook.remove()

    with monkeypatch.context() as patch:
        patch.setattr(steps, "load", lambda self, source: (loads.append(source), load(self, source))[1])
        patch.setattr(zoo.registry.provided(zoo.get_task(task), "train"), "score", counted)
        patch.setattr("zoo_training.validation.evaluate", lambda *args, **kwargs: pytest.fail("a second time"))
        done = train(model, readers, tmp_path / "a", entry, epochs=2, batch_size=2, device="cpu", seed=1)
    assert sum(seen) == len(loads) == 2 * len(readers[1])
    assert all(math.isfinite(row["val_loss"]) for row in done.history)
    with Image.open(tmp_path / "a/predictions.png") as sheet:
        assert len(sheet.convert("RGB").getcolors(1 << 24) or ()) > 5
    found = zoo.evaluate(tmp_path / "a/last.safetensors", readers[1], device="cpu", optimize=False, batch_size=2)
    assert found.metrics
    for name, value in found.metrics.items():
        assert done.history[-1][f"val_{name}"] == pytest.approx(value, abs=1e-9, nan_ok=True)


def test_a_detector_computes_losses_and_detections_of_the_same_features() -> None:
    model = zoo.get_model(DETECTOR, weights="SHAPES_V1").eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    piece = Training()
    arguments = piece.with_targets(model, ([torch.rand(3, 80, 80, generator=torch.Generator().manual_seed(0))],))
    given: list[Any] = []
    hook = model.register_forward_hook(lambda module, args, outputs: given.append(outputs))
    score = piece.score(model, arguments, None)
    hook.remove()
    assert len(given) == 1
    with torch.no_grad():
        losses, _ = model(*arguments, return_losses=True)
        alone = model(arguments[0])
    assert score["loss"].item() == pytest.approx(sum(losses.values()).item(), rel=1e-6)
    assert all(torch.equal(value, alone[0][name]) for name, value in piece.predicted(given[0])[0].items())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())


class Foreign(nn.Module):
    """A detector with losses in train mode, and detections in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images: list[torch.Tensor], targets: Any = None) -> Any:
        x = self.norm(torch.stack(images))
        if self.training:
            return {"one": x.square().mean(), "other": x.new_tensor(1.0)}
        return [{"boxes": x.new_zeros(0, 4), "labels": torch.zeros(0), "scores": x.new_zeros(0)} for _ in images]


def test_detectors_of_others_are_scored_in_train_mode_with_norms_as_they_are() -> None:
    model, given = Foreign().eval(), []
    model.register_forward_hook(lambda module, args, outputs: given.append(outputs))
    picture = torch.rand(3, 8, 8)
    loss = Training().score(model, ([picture], [{}]), None)["loss"].item()
    assert loss == pytest.approx(picture.square().mean().item() + 1, rel=1e-4)  # not normalized with batch statistics
    assert Training().predicted(given[-1])[0]["boxes"].shape == (0, 4)
    assert not any(module.training for module in model.modules())
    assert model.norm.num_batches_tracked == 0


def test_files_of_video_models_sample_as_they_were_trained(tmp_path: Path) -> None:
    readers = zoo.open_data(videos(tmp_path / "data", 3), "video-classification", val=0.34)
    for reader in readers:
        reader.frames, reader.frame_rate = 8, 5
    train("mc3_tiny", readers, tmp_path / "a", epochs=1, batch_size=2, device="cpu")
    pipe = zoo.pipeline(tmp_path / "a/best.safetensors", device="cpu")
    clip, _ = readers[1][0]
    assert pipe.weights.extra["num_frames"] == 8
    assert pipe.prepare.sampling == {"clips": 1, "frames": 8, "stride": None, "frame_rate": 5}
    video = pipe.steps.load(readers[1].source(0))
    seen = pipe.prepare(video)
    example, label = Preparation(pipe.weights.transforms(), pipe.prepare)(clip, readers[1].target(0))
    assert seen.shape == (1, *example.shape)
    axis = 1 if label == readers[1].categories.index("right") else 2  # of a frame [3, H, W]; the bar is the brightest
    for frames in (seen[0], example):
        places = frames.sum((0, axis + 1)).argmax(1).tolist()
        assert {(b - a) % frames.shape[-1] for a, b in itertools.pairwise(places)} == {2}, "5 of 10 per second"
    assert label == readers[1].target(0)["label"]
