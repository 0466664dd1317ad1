"""Train LR-ASPP on generated pictures of shapes, as ``LRASPP_MobileNet_V3_Large_Weights.SHAPES_V1`` was trained.

    pip install zoo-segmentation zoo-training
    python examples/train_segmentation.py --output out/

The pictures come from ``shapes.py``, with 160 × 160 pixels; validation and test pictures have seeds that training never
uses. The preprocessing of the weights enlarges them to 256 pixels: the model's output has a stride of eight pixels, so
that edges become more precise. Prints held-out mean IoU and pixel accuracy, and writes the weights in half precision to
a file whose name ends in its hash. The published ones took an hour and a half on one CPU core. ``--evaluate FILE`` only
measures a file.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from publish import halved, publish
from shapes import CLASSES, make_picture
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

import zoo

MODEL, ENTRY = "lraspp_mobilenet_v3_large", "SHAPES_V1"
HELD_OUT = range(1_000_001, 1_000_501)  # seeds of the test pictures
VALIDATED = range(900_001, 900_101)
SIDE = 160  # side of the pictures in pixels
CONFIG = {"width_mult": 0.5, "weights_backbone": None}  # half of MobileNetV3's channels are enough for five shapes
IGNORED = 255


def write_data(folder: Path, seeds: Sequence[int]) -> Path:
    """Write ``images/SEED.png`` and ``masks/SEED.png`` with classes as pixel values; existing files are kept."""
    if (folder / "classes.txt").exists():
        return folder
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for seed in tqdm(seeds, unit="picture", mininterval=5):
        made = make_picture(seed, (SIDE, SIDE))
        Image.fromarray(made.image).save(folder / f"images/{seed}.png")
        Image.fromarray(made.class_map).save(folder / f"masks/{seed}.png")
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    return folder


def augment(image: Tensor, target: dict[str, Any], generator: torch.Generator) -> tuple[Tensor, dict[str, Any]]:
    """Randomly rotated or flipped, and shifted by up to 16 pixels; new pixels at the border are ignored."""
    turns, mirrored, *shift = torch.randint(0, 8, (4,), generator=generator).tolist()
    dy, dx = (4 * s - 16 for s in shift)
    pair = [torch.rot90(x, turns, (-2, -1)) for x in (image, target["mask"])]
    pair = [x.flip(-1) if mirrored % 2 else x for x in pair]
    moved = [F.pad(x, (dx, -dx, dy, -dy), value=fill) for x, fill in zip(pair, (128, IGNORED), strict=True)]
    return moved[0], {**target, "mask": moved[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--pictures", type=int, default=8000, help="number of training pictures")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=0, help="number of reader processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", metavar="FILE", help="start from these weights instead of random ones")
    parser.add_argument("--resume", action="store_true", help="resume from the last checkpoint")
    parser.add_argument("--evaluate", metavar="FILE", help="only measure these weights")
    options = parser.parse_args()

    config = {**CONFIG, "num_classes": len(CLASSES)}
    if options.evaluate:
        model = zoo.get_model(MODEL, weights=options.evaluate, **config)
    else:
        write_data(options.output / "data/train", range(options.pictures))
        write_data(options.output / "data/val", VALIDATED)
        model = zoo.train(
            MODEL, options.output / "data", options.output / "run", options.start, preprocessing=ENTRY,
            augment=augment, epochs=options.epochs, batch_size=options.batch_size, lr=3e-3, clip=None,
            workers=options.workers, seed=options.seed, resume=options.resume, **CONFIG,
        ).model  # fmt: skip
    figures = zoo.evaluate(
        model.eval().half().float(),  # measured in half precision, as published
        write_data(options.output / "held-out", HELD_OUT),
        weights=zoo.get_model_weights(MODEL)[ENTRY],
    )
    print(", ".join(f"{name} {value:.3f}" for name, value in figures.metrics.items()))
    if not options.evaluate:
        publish(halved(model), options.output / "lraspp_mobilenet_v3_large_shapes.safetensors")


if __name__ == "__main__":
    main()
