"""Train ConvMixer-64/8 on scikit-learn's handwritten digits, as ``ConvMixer_64_8_Weights.DIGITS_V1`` was trained.

    pip install -e '.[train]'
    python train.py

The data are 1,797 real scans of 8×8 pixels; the last 450 are held out. Takes minutes on a CPU, prints the held-out
accuracy, and writes the weights in half precision into the package, to a file whose name ends in its hash. Then enter
the name and the accuracy in weights.py.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn

import zoo
from zoo.io import save_image

CHECKPOINTS = Path(__file__).parent / "src/zoo_template_name/checkpoints"
HELD_OUT = 450
SIDE = 32  # pixels, as in the preprocessing of the weights


def write_data(folder: Path) -> Path:
    """The scans as ``train/DIGIT/NUMBER.png`` and ``val/DIGIT/NUMBER.png``."""
    digits = load_digits()
    scans = torch.from_numpy(digits.images * 255 / 16).round().to(torch.uint8)
    for i, (scan, label) in enumerate(zip(scans, digits.target.tolist(), strict=True)):
        part = folder / ("train" if i < len(scans) - HELD_OUT else "val") / str(label)
        part.mkdir(parents=True, exist_ok=True)
        save_image(scan[None], part / f"{i:04}.png")
    return folder


def jitter(scan: Tensor, target: dict[str, int], generator: torch.Generator) -> tuple[Tensor, dict[str, int]]:
    """A scan, uint8 [3, H, W], enlarged, with a small random rotation, scale, shear and shift."""
    large = nn.functional.interpolate(scan[None].float(), (SIDE, SIDE), mode="bilinear")
    change = torch.randn(1, 2, 3, generator=generator).clamp(-2, 2) * torch.tensor([0.12, 0.12, 0.1])
    grid = nn.functional.affine_grid(torch.eye(2, 3) + change, [1, 3, SIDE, SIDE], align_corners=False)
    moved = nn.functional.grid_sample(large, grid, padding_mode="border", align_corners=False)
    return moved[0].round().to(torch.uint8), target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder of the run")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS, help="folder for the weights")
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    data = write_data(options.output / "data")
    done = zoo.train(
        "convmixer_64_8", data, options.output / "run", None, preprocessing="DIGITS_V1", augment=jitter,
        epochs=options.epochs, batch_size=64, lr=5e-3, warmup=0.3, label_smoothing=0.05, clip=None,
    )  # fmt: skip
    published = zoo.get_model_weights("convmixer_64_8")["DIGITS_V1"]
    model = done.model.half().float()  # measured in half precision, as published
    figures = zoo.evaluate(model, data / "val", weights=published)
    print(f"{HELD_OUT} held-out scans: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.metrics.items()))

    options.checkpoints.mkdir(parents=True, exist_ok=True)
    unnamed = options.checkpoints / "convmixer_64_8_digits.safetensors"
    save_file({name: t.half() if t.is_floating_point() else t for name, t in model.state_dict().items()}, unnamed)
    digest = hashlib.sha256(unnamed.read_bytes()).hexdigest()[:8]
    path = unnamed.rename(unnamed.with_stem(f"{unnamed.stem}-{digest}"))
    print(f"{path}: {path.stat().st_size / 2**20:.3f} MB, {sum(p.numel() for p in model.parameters()):,} parameters")


if __name__ == "__main__":
    main()
