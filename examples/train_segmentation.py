"""Train LR-ASPP on generated pictures of shapes: how ``LRASPP_MobileNet_V3_Large_Weights.SHAPES_V1`` came about.

    pip install zoo-segmentation
    python examples/train_segmentation.py --output out/

The pictures come from ``shapes.py``; those that it is measured on have seeds that training never sees. Prints the
held-out mean IoU and pixel accuracy, and writes the weights in half precision under a name that ends in their hash.
The published ones took three rounds on one CPU core: two of a quarter of an hour each, which come to a mean IoU of
80 %, and one of an hour (4,777 steps, beside other work) on pictures that are enlarged: what the model tells apart is
eight pixels wide, and so costs less of every edge.

    python examples/train_segmentation.py
    python examples/train_segmentation.py --start out/FIRST --pictures 8000 --seed 1
    python examples/train_segmentation.py --start out/SECOND --pictures 8000 --seed 2 \\
        --enlarge 256 --small 0 --minutes 60

In the first two the learning rate rose along a cosine, not yet along a line. On the way the weights are kept in
``unfinished.safetensors``. ``--evaluate FILE`` measures such a file, of the last round with ``--enlarge 256``, and
trains nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from shapes import CLASSES, make_picture
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

import zoo
from zoo.transforms import SemanticSegmentation
from zoo_segmentation.losses import IGNORED, segmentation_loss
from zoo_segmentation.metrics import ConfusionMatrix, Scores

SMALL = 96  # pixels
HELD_OUT = range(1_000_001, 1_000_501)  # seeds of the pictures that it is measured on
WIDTH = 0.5  # of MobileNetV3's channels: half of them are enough for five shapes
PEAK = 3e-3  # learning rate
CHECKPOINT = 250  # steps from one save to the next


def data(seeds: range, side: int) -> tuple[Tensor, Tensor]:
    """Pictures, uint8 [N, 3, side, side], and their class maps, uint8 [N, side, side]."""
    pictures = [make_picture(seed, (side, side)) for seed in tqdm(seeds, unit="picture")]
    images = torch.stack([torch.from_numpy(picture.image) for picture in pictures]).permute(0, 3, 1, 2)
    return images, torch.stack([torch.from_numpy(picture.class_map) for picture in pictures])


def augment(images: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turned or mirrored, and moved by up to 16 pixels; what comes in at the border belongs to no class."""
    turns, mirrored, *shift = torch.randint(0, 8, (4,), generator=generator).tolist()
    pair = [torch.rot90(x, turns, (-2, -1)) for x in (images, target[:, None].float())]
    pair = [x.flip(-1) if mirrored % 2 else x for x in pair]
    dy, dx = (4 * s - 16 for s in shift)
    images, target = (F.pad(x, (dx, -dx, dy, -dy), value=fill) for x, fill in zip(pair, (0.0, IGNORED), strict=True))
    return images, target[:, 0].long()


@torch.inference_mode()
def evaluate(model: nn.Module, images: Tensor, target: Tensor, side: int) -> Scores:
    """As the pipeline sees them: enlarged to ``side``, and the logits shrunk to the pictures' size."""
    preset = SemanticSegmentation(resize_size=side)
    matrix = ConfusionMatrix(len(CLASSES))
    for batch, truth in zip(images.split(20), target.split(20), strict=True):
        matrix.update(truth, resized(model(preset(batch))["out"], truth.shape[-1]).argmax(1))
    return matrix.compute()


def resized(x: Tensor, side: int, **how: Any) -> Tensor:
    return x if x.shape[-1] == side else F.interpolate(x, size=(side, side), **{"mode": "bilinear", **how})


def train(model: nn.Module, images: Tensor, target: Tensor, options: argparse.Namespace) -> None:
    generator = torch.Generator().manual_seed(options.seed)
    preset, steps = SemanticSegmentation(resize_size=None), options.steps
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=1e-2, fused=True)
    model.train().to(memory_format=torch.channels_last)
    start, done, step = time.monotonic(), 0.0, 0
    with tqdm(total=None if options.minutes else steps, unit="step", mininterval=10) as bar:
        while done < 1:
            for group in optimizer.param_groups:  # up for a tenth of the way, and down along a cosine
                rate = PEAK * min(1.0, done / 0.1 + 0.01) * (1 + math.cos(math.pi * max(0.0, done - 0.1) / 0.9)) / 2
                group["lr"] = rate
            chosen = torch.randint(len(images), (options.batch_size,), generator=generator)
            x, y = augment(preset(images[chosen]), target[chosen], generator)
            if done < options.small:  # what a shape is can be learned from small pictures; where it ends cannot
                x = resized(x, SMALL, antialias=True)
                y = resized(y[:, None].float(), SMALL, mode="nearest-exact")[:, 0].long()
            else:
                x = resized(x, options.enlarge or options.side, antialias=True)
            outputs = model(x.contiguous(memory_format=torch.channels_last))
            outputs = {name: resized(logits, y.shape[-1]) for name, logits in outputs.items()}
            loss = segmentation_loss(outputs, y, ignore_index=IGNORED)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            done = (time.monotonic() - start) / 60 / options.minutes if options.minutes else step / steps
            bar.update()
            bar.set_postfix(loss=f"{loss.item():.3f}", done=f"{done:.1%}", refresh=False)
            if step % CHECKPOINT == 0:
                save(model, options.output / "unfinished.safetensors")
    print(f"{step} steps in {(time.monotonic() - start) / 60:.0f} minutes")


def save(model: nn.Module, path: Path) -> None:
    """In half precision, which halves the file and costs nothing that can be measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.contiguous() for name, t in model.state_dict().items()}
    save_file({name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"))
    parser.add_argument("--steps", type=int, default=4800)
    parser.add_argument("--minutes", type=float, help="train for so long, however many steps that makes")
    parser.add_argument("--pictures", type=int, default=4000, help="how many to train on")
    parser.add_argument("--side", type=int, default=160, help="of the pictures, in pixels")
    parser.add_argument("--enlarge", type=int, metavar="SIDE", help="show the model pictures enlarged to this size")
    parser.add_argument("--small", type=float, default=0.8, help=f"share of the steps on pictures of {SMALL} pixels")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", metavar="FILE", help="begin with these weights, not at random")
    parser.add_argument("--evaluate", metavar="FILE", help="measure these weights; do not train")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    config = {"num_classes": len(CLASSES), "width_mult": WIDTH, "weights_backbone": None}
    model = zoo.get_model("lraspp_mobilenet_v3_large", weights=options.evaluate or options.start, **config)
    if not options.evaluate:
        train(model, *data(range(options.pictures), options.side), options)
    model.eval().half().float()  # measured as it is published, in half precision
    scores = evaluate(model, *data(HELD_OUT, options.side), options.enlarge or options.side)
    print(f"held out: mean IoU {scores.miou:.3f} %, pixel accuracy {scores.pixel_acc:.3f} %")
    print(", ".join(f"{name} {iou:.1f} %" for name, iou in zip(CLASSES, scores.iou, strict=True)))
    if options.evaluate:
        return

    unnamed = options.output / "lraspp_mobilenet_v3_large_shapes.safetensors"
    save(model, unnamed)
    digest = hashlib.sha256(unnamed.read_bytes()).hexdigest()[:8]
    path = unnamed.rename(unnamed.with_stem(f"{unnamed.stem}-{digest}"))
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MB")


if __name__ == "__main__":
    main()
