"""Training throughput and memory: zoo's loop and models compared with a plain loop and torchvision's, on the same data.

    python benchmarks/training.py [MODEL ...] [--rounds 3] [--steps 10]

Each measurement runs in a separate process, alternately, with two threads and two reader processes. Pictures are
generated JPEGs; both sides read them with Pillow, prepare them with the presets of the model's weights and train from
scratch with SGD. The time is from the end of the second step to that of the last; on a busy machine, processor time is
more reliable. The peak is the resident memory of the training process. If torchvision cannot be imported, only zoo is
measured.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from harness import Report, alone, resident
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

MODELS = {  # name → task, batch size, side of the pictures
    "resnet18": ("image-classification", 16, 256),
    "ssdlite320_mobilenet_v3_large": ("object-detection", 8, 320),
    "fasterrcnn_mobilenet_v3_large_320_fpn": ("object-detection", 4, 320),
    "lraspp_mobilenet_v3_large": ("semantic-segmentation", 4, 256),
}
CLASSES = 3
WARM = 2  # warm-up steps, not counted
RATE = 1e-3


# ── the data ─────────────────────────────────────────────────────────────────────────────────────────────────────


def write_data(folder: Path, task: str, n: int, side: int) -> None:
    """``n`` pictures, each with a bright square, and the ground truth in the task's format."""
    chance = np.random.default_rng(0)
    images, objects = [], []
    for i in range(n):
        pixels = chance.integers(0, 120, (side, side, 3), dtype=np.uint8)
        x, y, w = (int(v) for v in chance.integers(side // 8, side // 3, 3))
        label = 1 + i % (CLASSES - 1)
        pixels[y : y + w, x : x + w, label] = 255
        name = {"image-classification": f"{label}/{i}.jpg", "semantic-segmentation": f"images/{i}.jpg"}
        file = folder / name.get(task, f"{i}.jpg")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file, quality=90)
        if task == "semantic-segmentation":
            mask = np.zeros((side, side), np.uint8)
            mask[y : y + w, x : x + w] = label
            (folder / "masks").mkdir(exist_ok=True)
            Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
        images.append({"id": i, "file_name": file.name, "height": side, "width": side})
        objects.append({"id": i, "image_id": i, "category_id": label, "bbox": [x, y, w, w], "area": w * w})
    if task == "object-detection":
        named = [{"id": c, "name": str(c)} for c in range(1, CLASSES)]
        content = {"images": images, "annotations": objects, "categories": named}
        (folder / "annotations.json").write_text(json.dumps(content))


# ── zoo's side ───────────────────────────────────────────────────────────────────────────────────────────────────


def run_zoo(name: str, folder: Path, batch: int, on_step: Callable[[], None]) -> None:
    import zoo
    from zoo import registry
    from zoo_training.loop import Loop
    from zoo_training.parameters import parameter_groups

    task, _, _ = MODELS[name]
    (reader, _) = zoo.open_data(folder, task, val=0.01)
    options = {} if task == "image-classification" else {"weights_backbone": None}
    classes = {"image-classification": CLASSES - 1}.get(task, CLASSES)
    model = zoo.get_model(name, num_classes=classes, **options)
    piece = registry.provided(registry.get_task(task), "train")()
    weights = zoo.get_model_weights(name).DEFAULT.value
    optimizer = torch.optim.SGD(parameter_groups(model, RATE), momentum=0.9)
    data = (reader, reader.select([0]))
    loop = Loop(
        model=model, task=piece, prepare=piece.prepare(model, weights), data=data, optimizer=optimizer, epochs=1,
        batch_size=batch, workers=2,
    )  # fmt: skip
    loop.run(lambda *_: on_step(), lambda *_: True)


# ── the plain loop ───────────────────────────────────────────────────────────────────────────────────────────────


class Plain(Dataset[Any]):
    """The same pictures for torchvision."""

    def __init__(self, folder: Path, task: str, transform: Callable[[Any], Any]) -> None:
        self.task, self.transform = task, transform
        self.files = sorted(folder.rglob("*.jpg"), key=lambda file: int(file.stem))
        if task == "object-detection":
            self.objects = json.loads((folder / "annotations.json").read_text())["annotations"]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        file = self.files[i]
        with Image.open(file) as picture:
            image = self.transform(picture.convert("RGB"))
        if self.task == "image-classification":
            return image, int(file.parent.name) - 1
        if self.task == "semantic-segmentation":
            with Image.open(file.parents[1] / "masks" / f"{file.stem}.png") as picture:
                mask = torch.from_numpy(np.asarray(picture).astype(np.int64))
            return image, F.interpolate(mask[None, None].float(), image.shape[-2:], mode="nearest-exact")[0, 0].long()
        x, y, w, h = self.objects[i]["bbox"]
        return image, {
            "boxes": torch.tensor([[x, y, x + w, y + h]], dtype=torch.float32),
            "labels": torch.tensor([self.objects[i]["category_id"]]),
        }


def collate(examples: Iterable[tuple[Any, Any]]) -> tuple[Any, Any]:
    images, targets = zip(*examples, strict=True)
    if isinstance(targets[0], dict):
        return list(images), list(targets)
    return torch.stack(images), torch.stack([torch.as_tensor(target) for target in targets])


def run_torchvision(name: str, folder: Path, batch: int, on_step: Callable[[], None]) -> None:
    from torchvision import models

    task, _, _ = MODELS[name]
    kind = {"object-detection": models.detection, "semantic-segmentation": models.segmentation}.get(task, models)
    classes = {"image-classification": CLASSES - 1}.get(task, CLASSES)
    options = {} if task == "image-classification" else {"weights_backbone": None}
    model: nn.Module = getattr(kind, name)(weights=None, num_classes=classes, **options)
    transform = models.get_model_weights(name).DEFAULT.transforms()
    loader = DataLoader(
        Plain(folder, task, transform), batch, shuffle=True, drop_last=True, collate_fn=collate, num_workers=2
    )
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=0.9)
    model.train()
    for images, targets in loader:
        if task == "object-detection":
            loss = sum(model(images, targets).values())
        else:
            outputs = model(images)
            loss = F.cross_entropy(outputs["out"] if isinstance(outputs, dict) else outputs, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        on_step()


# ── measuring ────────────────────────────────────────────────────────────────────────────────────────────────────


def measure(side: str, name: str, folder: str, threads: int) -> tuple[float, float, float]:
    """Examples per second, processor seconds of the training process per example, and peak memory in MB."""
    torch.set_num_threads(threads)
    batch = MODELS[name][1]
    ends: list[float] = []
    busy: list[float] = []

    def on_step() -> None:
        ends.append(time.perf_counter())
        busy.append(time.process_time())

    (run_zoo if side == "zoo" else run_torchvision)(name, Path(folder), batch, on_step)
    full = len(ends) - (side == "zoo")  # zoo's last step may have fewer examples
    n = batch * (full - WARM)
    speed, effort = n / (ends[full - 1] - ends[WARM - 1]), (busy[full - 1] - busy[WARM - 1]) / n
    return speed, effort, resident("VmHWM")


def main() -> int:
    parser = harness.options(__doc__, list(MODELS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    given = parser.parse_args()
    report = Report(given, steps=given.steps)
    sides = ("zoo", "torchvision") if harness.torchvision() else ("zoo",)
    table = report.table(
        "throughput", model="", zoo="zoo, examples/s|.3g", theirs="torchvision's|.3g", ratio="ratio|.2f",
        cpu="by processor time|.2f", mb="zoo, peak MB|,.0f", theirs_mb="torchvision's |,.0f",
    )  # fmt: skip
    for name in given.models:
        task, batch, side_length = MODELS[name]
        with tempfile.TemporaryDirectory() as folder:
            write_data(Path(folder), task, batch * (given.steps + 1), side_length)
            turns = [
                {side: alone(measure, side, name, folder, given.threads) for side in sides} for _ in range(given.rounds)
            ]
        found = {s: [statistics.median(each) for each in zip(*(t[s] for t in turns), strict=True)] for s in sides}
        ours, theirs = found["zoo"], found.get("torchvision")
        row = {"zoo": ours[0], "mb": ours[2]}
        if theirs:
            ratio = statistics.median(t["zoo"][0] / t["torchvision"][0] for t in turns)
            row |= {"theirs": theirs[0], "ratio": ratio, "cpu": theirs[1] / ours[1], "theirs_mb": theirs[2]}
            report.target(f"{name}: throughput, times the plain loop's", ratio, least=1)
            report.target(f"{name}: peak of memory, times the plain loop's", ours[2] / theirs[2], most=1)
        table.row(model=f"{name}, batches of {batch}", **row)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
