"""Train SSDlite on generated pictures of shapes: how ``SSDLite320_MobileNet_V3_Large_Weights.SHAPES_V1`` came about.

    pip install zoo-detection[coco] zoo-segmentation
    python examples/train_detection.py --output out/
    python examples/train_detection.py --write-held-out out/held-out
    zoo evaluate --model ssdlite320_mobilenet_v3_large --weights SHAPES_V1 \\
        --images out/held-out --annotations out/held-out/instances.json

The pictures come from ``shapes.py``, in sizes from 112 to 208 pixels; the held-out ones have seeds that training never
sees. The MobileNet starts from zoo-segmentation's, which has learned to tell the same shapes apart. Training takes
``--minutes`` on one CPU core, beside two for making the pictures, and gets as far as it gets: the published weights
come from 2,271 steps, in half an hour of a core that had other work too. They are written in half precision under a
name that ends in their hash. Every five minutes they are kept in ``unfinished.safetensors``, which ``--start`` takes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from shapes import CLASSES, Picture, make_picture
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

import zoo
from zoo_detection import SSD

HELD_OUT = range(1_000_001, 1_000_501)  # seeds
SIDES = (112, 208)  # pixels, of the pictures
SIZE = 192  # pixels, of what the network sees
CONFIG = {
    "num_classes": len(CLASSES),
    "width_mult": 0.5,  # of MobileNetV3's channels: half of them are enough for five shapes
    "reduced_tail": False,
    "size": SIZE,
    "scales": (0.28, 0.42, 0.56, 0.7, 0.8, 0.9, 1.0),  # shapes take 0.23 to 0.65: the two finest maps find nearly all
}
PEAK = 2e-3  # learning rate


def picture(seed: int) -> Picture:
    """The picture that ``seed`` stands for, of a size that it stands for too."""
    height, width = np.random.default_rng((seed, 1)).integers(*SIDES, 2, endpoint=True).tolist()
    return make_picture(seed, (height, width))


def data(seeds: range) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Pictures resized as the model does, uint8 [N, 3, SIZE, SIZE], and their targets."""
    images, targets = torch.empty(len(seeds), 3, SIZE, SIZE, dtype=torch.uint8), []
    for slot, seed in zip(images, tqdm(seeds, unit="picture", mininterval=5), strict=True):
        made = picture(seed)
        height, width = made.class_map.shape
        image = torch.from_numpy(made.image).permute(2, 0, 1)[None].float()
        slot.copy_(F.interpolate(image, size=(SIZE, SIZE), mode="bilinear")[0].round())
        scale = torch.tensor([SIZE / width, SIZE / height] * 2)
        targets.append({"boxes": torch.from_numpy(made.boxes) * scale, "labels": torch.from_numpy(made.labels)})
    return images, targets


def augment(
    images: Tensor, targets: list[dict[str, Tensor]], generator: torch.Generator
) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """A batch [N, 3, SIZE, SIZE] in [0, 1] transposed or not, mirrored or not, its colours exchanged or inverted."""
    transpose, across, down, negative = torch.randint(0, 2, (4,), generator=generator).bool().tolist()
    images = images[:, torch.randperm(3, generator=generator)]
    images = 1 - images if negative else images
    images = images.mT if transpose else images
    images = images.flip([dim for dim, mirrored in ((-1, across), (-2, down)) if mirrored])

    def follow(boxes: Tensor) -> Tensor:
        x0, y0, x1, y1 = boxes[:, [1, 0, 3, 2]].unbind(1) if transpose else boxes.unbind(1)
        x0, x1 = (SIZE - x1, SIZE - x0) if across else (x0, x1)
        y0, y1 = (SIZE - y1, SIZE - y0) if down else (y0, y1)
        return torch.stack([x0, y0, x1, y1], 1)

    return images, [{**target, "boxes": follow(target["boxes"])} for target in targets]


def untrained() -> SSD:
    """The detector, on the MobileNet of the model that zoo-segmentation brings along."""
    model: SSD = zoo.get_model("ssdlite320_mobilenet_v3_large", weights_backbone=None, **CONFIG)
    trunk = zoo.get_model("lraspp_mobilenet_v3_large", weights="SHAPES_V1").backbone
    # The detector reads a map inside a block, so the names differ; the order is the same.
    mine, learned = (part.state_dict().values() for part in (model.backbone.get_submodule("features"), trunk))
    for value, start in zip(mine, learned, strict=True):
        value.copy_(start)
    return model


def train(model: SSD, images: Tensor, targets: list[dict[str, Tensor]], options: argparse.Namespace) -> None:
    generator = torch.Generator().manual_seed(options.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=1e-2, fused=True)
    model.train().to(memory_format=torch.channels_last)
    begin = written = time.monotonic()
    mean = 0.0
    with tqdm(unit="step", mininterval=10) as bar:
        while (done := (time.monotonic() - begin) / (60 * options.minutes)) < 1:
            for group in optimizer.param_groups:
                group["lr"] = PEAK * min(done / 0.05, (1 + math.cos(math.pi * done)) / 2)
            chosen = torch.randint(len(images), (options.batch_size,), generator=generator)
            batch = augment(images[chosen] / 255, [targets[i] for i in chosen.tolist()], generator)
            losses = model(*batch)
            loss = torch.stack(list(losses.values())).sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            mean += 0.01 * (loss.item() - mean)
            bar.update()
            bar.set_postfix(done=f"{done:.0%}", loss=f"{mean:.3f}", refresh=False)
            if time.monotonic() - written > 300:
                save(model, options.output / "unfinished.safetensors")
                written = time.monotonic()


def save(model: nn.Module, path: Path) -> None:
    """In half precision."""
    state = {key: value.half() if value.is_floating_point() else value for key, value in model.state_dict().items()}
    save_file({key: value.contiguous() for key, value in state.items()}, path)


def write_held_out(folder: Path, seeds: range = HELD_OUT) -> None:
    """``SEED.png`` for each, and ``instances.json`` as COCO has it, for ``zoo evaluate``."""
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for seed in tqdm(seeds, unit="picture"):
        made, name = picture(seed), f"{seed}.png"
        height, width = made.class_map.shape
        Image.fromarray(made.image).save(folder / name)
        images.append({"id": seed, "file_name": name, "height": height, "width": width})
        for box, label, mask in zip(made.boxes.tolist(), made.labels.tolist(), made.masks, strict=True):
            x0, y0, x1, y1 = box
            found = {"bbox": [x0, y0, x1 - x0, y1 - y0], "category_id": label, "area": int(mask.sum()), "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, "image_id": seed, **found})
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES) if i]
    contents = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(contents))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"))
    parser.add_argument("--minutes", type=float, default=30, help="of training")
    parser.add_argument("--pictures", type=int, default=8000, help="how many to train on")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", metavar="FILE", help="begin with these weights, not with a MobileNet's alone")
    parser.add_argument("--write-held-out", type=Path, metavar="DIR", help="write held-out pictures; do not train")
    options = parser.parse_args()
    if options.write_held_out:
        write_held_out(options.write_held_out)
        return

    torch.manual_seed(options.seed)
    options.output.mkdir(parents=True, exist_ok=True)
    model = untrained()
    if options.start:
        model = zoo.get_model("ssdlite320_mobilenet_v3_large", weights=options.start, weights_backbone=None, **CONFIG)
    train(model, *data(range(options.pictures)), options)
    unnamed = options.output / "ssdlite320_mobilenet_v3_large_shapes.safetensors"
    save(model, unnamed)
    digest = hashlib.sha256(unnamed.read_bytes()).hexdigest()[:8]
    path = unnamed.rename(unnamed.with_stem(f"{unnamed.stem}-{digest}"))
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MB")


if __name__ == "__main__":
    main()
