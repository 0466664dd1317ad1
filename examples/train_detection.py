"""Train SSDlite on generated pictures of shapes, as ``SSDLite320_MobileNet_V3_Large_Weights.SHAPES_V1`` was trained.

    pip install zoo-detection[coco] zoo-segmentation zoo-training
    python examples/train_detection.py --output out/
    python examples/train_detection.py --write-held-out out/held-out
    zoo evaluate --model ssdlite320_mobilenet_v3_large --weights SHAPES_V1 \\
        --images out/held-out --annotations out/held-out/instances.json

The pictures come from ``shapes.py``, in sizes from 112 to 208 pixels; validation and test pictures have seeds that
training never uses. The MobileNet starts from zoo-segmentation's, which was trained on the same shapes. Five epochs of
8,000 pictures take about twenty minutes on one CPU core. The weights are written in half precision, to a file whose
name ends in its hash; those in the package are from an earlier run. ``--start`` takes a saved model.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from publish import halved, publish
from shapes import CLASSES, Picture, make_picture
from torch import Tensor
from tqdm import tqdm

import zoo

MODEL = "ssdlite320_mobilenet_v3_large"
HELD_OUT = range(1_000_001, 1_000_501)  # seeds
VALIDATED = range(900_001, 900_101)
SIDES = (112, 208)  # sides of the pictures in pixels
CONFIG = {
    "num_classes": len(CLASSES),
    "width_mult": 0.5,  # half of MobileNetV3's channels are enough for five shapes
    "reduced_tail": False,
    "size": 192,  # input size of the network in pixels
    "scales": (0.28, 0.42, 0.56, 0.7, 0.8, 0.9, 1.0),  # shapes have 0.23 to 0.65: the two finest maps find nearly all
}


def picture(seed: int, sides: tuple[int, int] = SIDES) -> Picture:
    """The picture for ``seed``, which also determines its size."""
    height, width = np.random.default_rng((seed, 1)).integers(*sides, 2, endpoint=True).tolist()
    return make_picture(seed, (height, width))


def augment(image: Tensor, target: dict[str, Any], generator: torch.Generator) -> tuple[Tensor, dict[str, Any]]:
    """A picture, uint8 [3, H, W], randomly transposed and flipped, with colours permuted or inverted."""
    transpose, across, down, negative = torch.randint(0, 2, (4,), generator=generator).bool().tolist()
    image = image[torch.randperm(3, generator=generator)]
    image = 255 - image if negative else image
    image = image.mT if transpose else image
    height, width = image.shape[-2:]
    boxes = target["boxes"][:, [1, 0, 3, 2]] if transpose else target["boxes"]
    x0, y0, x1, y1 = boxes.unbind(1)
    x0, x1 = (width - x1, width - x0) if across else (x0, x1)
    y0, y1 = (height - y1, height - y0) if down else (y0, y1)
    image = image.flip([dim for dim, mirrored in ((-1, across), (-2, down)) if mirrored])
    return image.contiguous(), {**target, "boxes": torch.stack([x0, y0, x1, y1], 1)}


def write_pictures(
    folder: Path,
    seeds: Sequence[int],
    annotations: str = "_annotations.coco.json",
    sides: tuple[int, int] = SIDES,
) -> None:
    """Write ``SEED.png`` for each seed, and their objects in COCO format. Existing pictures are kept."""
    if (folder / annotations).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    images, objects = [], []
    for seed in tqdm(seeds, unit="picture", mininterval=5):
        made, name = picture(seed, sides), f"{seed}.png"
        height, width = made.class_map.shape
        Image.fromarray(made.image).save(folder / name)
        images.append({"id": seed, "file_name": name, "height": height, "width": width})
        for box, label, mask in zip(made.boxes.tolist(), made.labels.tolist(), made.masks, strict=True):
            x0, y0, x1, y1 = box
            found = {"bbox": [x0, y0, x1 - x0, y1 - y0], "category_id": label, "area": int(mask.sum()), "iscrowd": 0}
            objects.append({"id": len(objects) + 1, "image_id": seed, **found})
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES) if i]
    contents = {"images": images, "annotations": objects, "categories": categories}
    (folder / annotations).write_text(json.dumps(contents))


def write_held_out(folder: Path, seeds: Sequence[int] = HELD_OUT) -> None:
    """Write test pictures, with ``instances.json``, for ``zoo evaluate``."""
    write_pictures(folder, seeds, "instances.json")


def write_start(path: Path) -> Path:
    """Save the detector with the MobileNet of zoo-segmentation's packaged model."""
    model = zoo.get_model(MODEL, weights_backbone=None, **CONFIG)
    trunk = zoo.get_model("lraspp_mobilenet_v3_large", weights="SHAPES_V1").backbone
    # The detector takes a feature map inside a block, so the names differ; the order is the same.
    mine, learned = (part.state_dict().values() for part in (model.backbone.get_submodule("features"), trunk))
    for value, start in zip(mine, learned, strict=True):
        value.copy_(start)
    return zoo.save(model, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=8000, help="number of training pictures")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--workers", type=int, default=0, help="number of reader processes")
    parser.add_argument("--precision", default="fp32", help="bf16 on processors with bfloat16 matrix products")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", metavar="FILE", help="start from this saved model instead of a MobileNet")
    parser.add_argument("--write-held-out", type=Path, metavar="DIR", help="write held-out pictures; do not train")
    parser.add_argument("--resume", action="store_true", help="resume from the last checkpoint")
    options = parser.parse_args()
    if options.write_held_out:
        write_held_out(options.write_held_out)
        return

    options.output.mkdir(parents=True, exist_ok=True)
    write_pictures(options.output / "data/train", range(options.pictures))
    write_pictures(options.output / "data/val", VALIDATED)
    done = zoo.train(
        MODEL, options.output / "data", options.output / "run",
        options.start or write_start(options.output / "start.safetensors"), augment=augment, epochs=options.epochs,
        batch_size=options.batch_size, lr=2e-3, warmup=0.05, clip=10.0, precision=options.precision,
        workers=options.workers, seed=options.seed, resume=options.resume,
    )  # fmt: skip
    write_held_out(options.output / "held-out")
    figures = zoo.evaluate(
        done.model.half().float(),  # measured in half precision, as published
        options.output / "held-out", options.output / "held-out/instances.json",
        weights=zoo.get_model_weights(MODEL)["SHAPES_V1"],
    )  # fmt: skip
    print(", ".join(f"{name} {value:.3f}" for name, value in figures.metrics.items()))
    publish(halved(done.model), options.output / "ssdlite320_mobilenet_v3_large_shapes.safetensors")


if __name__ == "__main__":
    main()
