"""Pictures in two class folders, blue and red, and the command that trains on them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (40, 60, 200), "red": (200, 50, 40)}


def pictures(root: Path, n: int) -> Path:
    generator = np.random.default_rng(0)
    for name, base in COLOURS.items():
        (root / name).mkdir(parents=True)
        for i in range(n):
            picture = np.array(base) + generator.normal(0, 40, (24, 32, 3)) + generator.normal(0, 25, 3)
            Image.fromarray(picture.clip(0, 255).astype("uint8")).save(root / name / f"{i:03}.png")
    return root


def command(data: Path, output: Path, *more: str) -> list[str]:
    paths = ["--data", str(data), "--output", str(output), "--device", "cpu"]
    return ["-m", "zoo", "train", "--model", "squeezenet1_1", "--weights", "DIGITS_V1", *paths, *more]


def figures(output: Path) -> list[dict[str, str]]:
    with (output / "metrics.csv").open() as f:
        return list(csv.DictReader(f))
