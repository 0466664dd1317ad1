"""Train LR-ASPP on generated pictures of shapes, as ``LRASPP_MobileNet_V3_Large_Weights.SHAPES_V1`` was trained.

    pip install zoo-segmentation zoo-training
    python examples/train_segmentation.py --output out/

The pictures come from ``shapes.py``, 160 pixels wide and high; those that are validated on, and those that are measured
on, have seeds that training never sees. The model sees them enlarged to 256 pixels, as the preprocessing of the weights
has it: what it tells apart is eight pixels wide, and so costs less of every edge. Prints held-out mean IoU and pixel
accuracy, and writes the weights in half precision under a name that ends in their hash. The published ones took an hour
and a half of one CPU core. ``--evaluate FILE`` measures a file and trains nothing.
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
HELD_OUT = range(1_000_001, 1_000_501)  # seeds of the pictures that it is measured on
VALIDATED = range(900_001, 900_101)
SIDE = 160  # pixels, of the pictures
CONFIG = {"width_mult": 0.5, "weights_backbone": None}  # half of MobileNetV3's channels are enough for five shapes
IGNORED = 255


def write_data(folder: Path, seeds: Sequence[int]) -> Path:
    """``images/SEED.png`` and ``masks/SEED.png``, whose pixels are the classes; what is there already stays."""
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
    """Turned or mirrored, and moved by up to 16 pixels; what comes in at the border belongs to no class."""
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
    parser.add_argument("--pictures", type=int, default=8000, help="how many to train on")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=0, help="processes that read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", metavar="FILE", help="begin with these weights, not at random")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--evaluate", metavar="FILE", help="measure these weights; do not train")
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
        model.eval().half().float(),  # measured as it is published, in half precision
        write_data(options.output / "held-out", HELD_OUT),
        weights=zoo.get_model_weights(MODEL)[ENTRY],
    )
    print(", ".join(f"{name} {value:.3f}" for name, value in figures.metrics.items()))
    if not options.evaluate:
        publish(halved(model), options.output / "lraspp_mobilenet_v3_large_shapes.safetensors")


if __name__ == "__main__":
    main()
