"""Train LR-ASPP on generated pictures of shapes: how ``LRASPP_MobileNet_V3_Large_Weights.SHAPES_V1`` came about.

    pip install zoo-segmentation
    python examples/train_segmentation.py --output out/

The pictures come from ``shapes.py``; those that it is measured on have seeds that training never sees. Prints the
held-out mean IoU and pixel accuracy, and writes the weights in half precision under a name that ends in their hash.
The published ones took two rounds, a quarter of an hour each on one CPU core that has nothing else to do:

    python examples/train_segmentation.py
    python examples/train_segmentation.py --start out/FIRST --pictures 8000 --seed 1

``--evaluate FILE`` measures such a file and trains nothing.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

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
def evaluate(model: nn.Module, images: Tensor, target: Tensor) -> Scores:
    preset = SemanticSegmentation(resize_size=None)
    matrix = ConfusionMatrix(len(CLASSES))
    for batch, truth in zip(images.split(20), target.split(20), strict=True):
        matrix.update(truth, model(preset(batch))["out"].argmax(1))
    return matrix.compute()


def train(model: nn.Module, images: Tensor, target: Tensor, options: argparse.Namespace) -> None:
    generator = torch.Generator().manual_seed(options.seed)
    preset, steps = SemanticSegmentation(resize_size=None), options.steps
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=PEAK, total_steps=steps, pct_start=0.1)
    model.train().to(memory_format=torch.channels_last)
    with tqdm(range(steps), unit="step", mininterval=10) as bar:
        for step in bar:
            chosen = torch.randint(len(images), (options.batch_size,), generator=generator)
            x, y = augment(preset(images[chosen]), target[chosen], generator)
            if step < options.small * steps:  # what a shape is can be learned from small pictures; where it ends cannot
                x = F.interpolate(x, size=(SMALL, SMALL), mode="bilinear", antialias=True)
                y = F.interpolate(y[:, None].float(), size=(SMALL, SMALL), mode="nearest-exact")[:, 0].long()
            loss = segmentation_loss(model(x.contiguous(memory_format=torch.channels_last)), y, ignore_index=IGNORED)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"))
    parser.add_argument("--steps", type=int, default=4800)
    parser.add_argument("--pictures", type=int, default=4000, help="how many to train on")
    parser.add_argument("--side", type=int, default=160, help="of the pictures, in pixels")
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
    scores = evaluate(model, *data(HELD_OUT, options.side))
    print(f"held out: mean IoU {scores.miou:.3f} %, pixel accuracy {scores.pixel_acc:.3f} %")
    print(", ".join(f"{name} {iou:.1f} %" for name, iou in zip(CLASSES, scores.iou, strict=True)))
    if options.evaluate:
        return

    options.output.mkdir(parents=True, exist_ok=True)
    unnamed = options.output / "lraspp_mobilenet_v3_large_shapes.safetensors"
    model.to(memory_format=torch.contiguous_format).half()
    save_file(model.state_dict(), unnamed)
    digest = hashlib.sha256(unnamed.read_bytes()).hexdigest()[:8]
    path = unnamed.rename(unnamed.with_stem(f"{unnamed.stem}-{digest}"))
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MB")


if __name__ == "__main__":
    main()
