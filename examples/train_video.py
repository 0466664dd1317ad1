"""Train a tiny MC3 on generated clips of moving shapes, as ``MC3_Tiny_Weights.MOVING_SHAPES_V1`` was trained.

    pip install zoo-video zoo-training
    python examples/train_video.py --output out/

A circle, square, triangle or cross moves left, right, up or down over a random background and re-enters on the opposite
side: sixteen classes. The position of a shape does not depend on its direction, so a single frame cannot determine the
class. Clips are generated on access; test clips have their own seeds. Takes about twenty minutes on one CPU core,
prints the held-out accuracy (and that on clips with identical frames, which should not exceed what the shape alone
allows), and writes the weights in half precision to a file whose name ends in its hash. ``--clip FILE`` only writes the
clip ``examples/videos/moving_shapes.gif``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from publish import halved, publish
from torch import Tensor, nn
from torch.utils.data import Dataset

import zoo
from zoo.transforms import VideoClassification
from zoo.transforms.functional import to_pil_image

SHAPES = ("circle", "square", "triangle", "cross")
DIRECTIONS = {"right": (1, 0), "down": (0, 1), "left": (-1, 0), "up": (0, -1)}
CLASSES = tuple(f"{shape} moving {direction}" for shape in SHAPES for direction in DIRECTIONS)
FRAMES, SIDE = 16, 32
HELD_OUT = 4096
VALIDATED_SEED = 10**9


def distance(shape: Tensor, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Distance of every pixel from its shape, negative inside: one shape per clip, [N, T, H, W]."""
    ax, ay = x.abs(), y.abs()
    circle = (x.square() + y.square()).sqrt() - radius
    square = torch.maximum(ax, ay) - 0.85 * radius
    triangle = torch.maximum(0.866 * ax + 0.5 * y, -y) - 0.55 * radius - 0.1 * y
    cross = torch.maximum(torch.minimum(ax, ay) - 0.3 * radius, torch.maximum(ax, ay) - radius)
    every = torch.stack([circle, square, triangle, cross], 1)
    return every[torch.arange(len(shape)), shape]


def clips(shape: Tensor, motion: Tensor, generator: torch.Generator, side: int = SIDE, noise: float = 0.02) -> Tensor:
    """Clips of one shape each: uint8 [N, T, 3, ``side``, ``side``].

    Args:
        shape: [N], indices of ``SHAPES``.
        motion: [N, T, 2], motion of the shape to the right and down per frame, relative to the side of a frame.
        noise: standard deviation of independent noise in every pixel of every frame, for values in [0, 1].
    """
    n, frames = motion.shape[:2]

    def uniform(*size: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(*size, generator=generator) * (high - low) + low

    centre = uniform(n, 1, 2) + motion.cumsum(1)
    pixels = (torch.arange(side) + 0.5) / side
    # The nearest copy of the shape, which re-enters on the opposite side.
    x = (pixels - centre[..., :1] + 0.5).remainder(1) - 0.5
    y = (pixels - centre[..., 1:] + 0.5).remainder(1) - 0.5
    x, y = x[:, :, None, :].expand(-1, -1, side, -1), y[:, :, :, None].expand(-1, -1, -1, side)
    turn = uniform(n, 1, 1, 1, low=-0.3, high=0.3)
    x, y = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    inside = (0.5 - side * distance(shape, x, y, uniform(n, 1, 1, 1, low=0.16, high=0.26))).clamp(0, 1)[:, :, None]

    coarse = nn.functional.interpolate(uniform(n, 3, 4, 4), size=(side, side), mode="bicubic", align_corners=False)
    dark = (uniform(n, 1, 1, 1) < 0.5).float()
    ground = (0.35 * coarse + 0.6 * (1 - dark))[:, None]
    colour = uniform(n, 1, 3, 1, 1, low=0.0, high=0.4) + 0.6 * dark[:, None]
    made = ground + inside * (colour - ground) + noise * torch.randn(n, frames, 3, side, side, generator=generator)
    return (made.clamp(0, 1) * 255).round().to(torch.uint8)


def batch(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """``n`` random clips, and the indices of their ``CLASSES``."""
    labels = torch.randint(len(CLASSES), (n,), generator=generator)
    across = torch.tensor(list(DIRECTIONS.values()), dtype=torch.float32)[labels % len(DIRECTIONS)]
    angle = torch.atan2(across[:, 1], across[:, 0]) + (torch.rand(n, generator=generator) - 0.5) * math.pi / 6
    speed = 0.015 + 0.045 * torch.rand(n, generator=generator)  # relative to the side of a frame
    step = torch.stack([angle.cos(), angle.sin()], 1) * speed[:, None]
    return clips(labels // len(DIRECTIONS), step[:, None].expand(-1, FRAMES, -1), generator), labels


class Clips(Dataset[Any]):
    """Random clips generated on access, as a reader for ``zoo.train``."""

    categories = CLASSES

    def __init__(self, n: int, seed: int) -> None:
        self.names, self.seed = [f"clip {i}" for i in range(n)], seed

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[Tensor, dict[str, int]]:
        frames, labels = batch(1, torch.Generator().manual_seed(self.seed + i))
        return frames[0], {"label": int(labels[0])}

    def source(self, i: int) -> str:
        return self.names[i]

    def counts(self) -> Mapping[str, int]:
        return {}


def write_clip(path: Path) -> None:
    """A triangle that moves right for two seconds, then up for two seconds: 64 frames of 96×96 pixels."""
    step = torch.tensor([DIRECTIONS["right"]] * 32 + [DIRECTIONS["up"]] * 32) * 0.03
    (frames,) = clips(
        torch.tensor([SHAPES.index("triangle")]), step[None], torch.Generator().manual_seed(10), 96, noise=0.0
    )
    pictures = [to_pil_image(frame).quantize(64, dither=Image.Dither.NONE) for frame in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=60, loop=0)


@torch.inference_mode()
def accuracy(model: nn.Module, preset: VideoClassification, still: bool) -> float:
    """Accuracy on held-out clips, or on clips that repeat a single frame."""
    right = 0
    for seed in range(HELD_OUT // 128):
        frames, labels = batch(128, torch.Generator().manual_seed(10**6 + seed))
        if still:
            frames = frames[:, :1].expand_as(frames)
        right += (model(preset(frames)).argmax(1) == labels).sum().item()
    return right / HELD_OUT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--clips", type=int, default=32_000, help="number of training clips")
    parser.add_argument("--workers", type=int, default=0, help="number of processes that generate clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="resume from the last checkpoint")
    parser.add_argument("--clip", type=Path, metavar="FILE", help="write the example clip as a GIF; do not train")
    options = parser.parse_args()
    if options.clip:
        write_clip(options.clip)
        return

    data = Clips(options.clips, 10**7 * options.seed), Clips(256, VALIDATED_SEED)
    model = zoo.train(
        "mc3_tiny", data, options.output / "run", None, epochs=options.epochs, batch_size=32, lr=3e-3,
        label_smoothing=0.05, clip=None, workers=options.workers, seed=options.seed, resume=options.resume,
    ).model.half().float()  # fmt: skip  # measured in half precision, as published
    preset = VideoClassification(crop_size=SIDE, resize_size=(SIDE, SIDE))
    print(f"held-out accuracy: {accuracy(model, preset, still=False):.4%} of {HELD_OUT} clips")
    print(f"on clips without motion: {accuracy(model, preset, still=True):.4%}; guessing the motion gives at most 25%")
    publish(halved(model), options.output / "mc3_tiny_moving_shapes.safetensors")


if __name__ == "__main__":
    main()
