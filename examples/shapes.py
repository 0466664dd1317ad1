"""Training pictures of shapes: textured backgrounds, overlapping shapes of five kinds, noise.

    from shapes import CLASSES, make_picture
    picture = make_picture(seed=7, size=(160, 160))

Everything is determined by the seed. Needs only NumPy and Pillow. ``python examples/shapes.py FILE.png`` writes one.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

CLASSES = ("background", "circle", "square", "triangle", "star", "ring")

EXAMPLE = 2_000_107  # seed of examples/images/shapes.png, 160 × 160 pixels; not used in training

SUPERSAMPLING = 4  # shapes are drawn larger by this factor and averaged, for smooth edges
LEAST_VISIBLE = 0.5  # minimum visible share of each shape

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """A picture and its ground truth.

    Attributes:
        image: uint8 [H, W, 3].
        class_map: uint8 [H, W], index in :data:`CLASSES` for every pixel.
        boxes: float32 [n, 4], left, top, right, bottom of the visible part of each shape, in pixels.
        labels: int64 [n], 1 to 5.
        masks: bool [n, H, W], the visible pixels of each shape.
    """

    image: NDArray[np.uint8]
    class_map: NDArray[np.uint8]
    boxes: Floats
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]


def make_picture(
    seed: int,
    size: tuple[int, int] = (160, 160),
    *,
    max_shapes: int = 5,
    radius: tuple[float, float] = (0.16, 0.34),
) -> Picture:
    """The picture for ``seed``.

    Args:
        size: height and width in pixels.
        max_shapes: up to this many shapes are drawn; those that would hide too much of others are left out.
        radius: minimum and maximum radius of the shapes' circumcircles, relative to the shorter side.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    canvas = texture(rng, height, width)
    owner = np.zeros((height, width), np.int64)  # 0 for the background, otherwise 1 + index of the shape
    labels: list[int] = []
    areas: list[int] = []
    for _ in range(rng.integers(1, max_shapes + 1)):
        label = int(rng.integers(1, len(CLASSES)))
        r = rng.uniform(*radius) * min(size)
        cover = outline(label, rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height, r, rng, size)
        inside = cover >= 0.5
        after = np.where(inside, len(labels) + 1, owner)
        visible = np.bincount(after.ravel(), minlength=len(labels) + 2)[1:]
        hidden = any(seen < LEAST_VISIBLE * area for seen, area in zip(visible, areas, strict=False))
        if hidden or not inside.any():
            continue
        canvas += (distinct_texture(rng, canvas, inside) - canvas) * cover[..., None]
        owner = after
        labels.append(label)
        areas.append(int(inside.sum()))
    canvas += rng.normal(0, rng.uniform(0, 12), canvas.shape).astype(np.float32)

    masks = owner == np.arange(1, len(labels) + 1)[:, None, None]
    return Picture(
        image=np.clip(np.rint(canvas), 0, 255).astype(np.uint8),
        class_map=np.array([0, *labels], np.uint8)[owner],
        boxes=np.array([_box(mask) for mask in masks], np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int64),
        masks=masks,
    )


def texture(rng: np.random.Generator, height: int, width: int, strength: float = 1.0) -> Floats:
    """A colour with a gradient, clouds, and sometimes stripes; float [H, W, 3], roughly in 0 to 255."""
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(height, width)
    angle, turn = rng.uniform(0, 2 * np.pi, 2)
    base = rng.uniform(30, 225, 3)
    pattern = base + np.multiply.outer(np.cos(angle) * x + np.sin(angle) * y, strength * rng.uniform(-60, 60, 3))
    cells = int(rng.integers(2, 24))
    coarse = rng.normal(0, strength * rng.uniform(5, 25), (cells, cells, 3)).astype(np.float32)
    clouds = [Image.fromarray(coarse[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(3)]
    pattern += np.stack([np.asarray(cloud) for cloud in clouds], -1)
    if rng.random() < 0.4:
        waves = np.sin((np.cos(turn) * x + np.sin(turn) * y) * rng.uniform(15, 90))
        pattern += np.multiply.outer(
            np.sign(waves) if rng.random() < 0.5 else waves, strength * rng.uniform(-30, 30, 3)
        )
    return pattern.astype(np.float32)


def distinct_texture(rng: np.random.Generator, behind: Floats, inside: NDArray[np.bool_]) -> Floats:
    """A smoother texture, with a mean colour far from that of the covered area, so that shapes are visible."""
    covered = behind[inside].mean(0)
    while True:
        candidate = texture(rng, *inside.shape, strength=0.5)
        if np.linalg.norm(candidate[inside].mean(0) - covered) > 100:
            return candidate


def outline(label: int, x: float, y: float, radius: float, rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """The share of every pixel that the shape covers, in [0, 1]: float [H, W]. Randomly rotated."""
    s = SUPERSAMPLING
    height, width = size
    large = Image.new("L", (width * s, height * s))
    draw = ImageDraw.Draw(large)
    cx, cy, r = x * s, y * s, radius * s
    turn = rng.uniform(0, 2 * np.pi)
    name = CLASSES[label]
    if name in ("circle", "ring"):
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=255)
        if name == "ring":
            hole = r * rng.uniform(0.4, 0.6)
            draw.ellipse((cx - hole, cy - hole, cx + hole, cy + hole), fill=0)
    else:
        corners = {"square": 4, "triangle": 3, "star": 10}[name]
        angles = turn + 2 * np.pi * np.arange(corners) / corners
        reach = np.where(np.arange(corners) % 2, rng.uniform(0.38, 0.5), 1.0) if name == "star" else np.ones(corners)
        points = zip(cx + r * reach * np.cos(angles), cy + r * reach * np.sin(angles), strict=True)
        draw.polygon([(float(px), float(py)) for px, py in points], fill=255)
    return np.asarray(large.reduce(s), np.float32) / 255


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=EXAMPLE)
    parser.add_argument("--size", type=int, nargs=2, default=(160, 160), metavar=("HEIGHT", "WIDTH"))
    options = parser.parse_args()
    options.file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(make_picture(options.seed, tuple(options.size)).image).save(options.file)


if __name__ == "__main__":
    main()
