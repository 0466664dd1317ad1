"""Train SqueezeNet 1.1 on scikit-learn's handwritten digits, as ``SqueezeNet1_1_Weights.DIGITS_V1`` was trained.

    pip install zoo-classification zoo-training scikit-learn
    python examples/train_digits.py --output out/

The data are 1,797 real scans of 8×8 pixels with 16 grey levels; the last 450 are held out. Takes a few minutes on two
CPU cores, prints the held-out accuracy, and writes the weights in half precision to a file whose name ends in its hash.
``--pictures DIR`` only writes the first held-out scan of every digit, as in ``examples/images/digits``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from publish import halved, publish
from sklearn.datasets import load_digits
from torch import Tensor, nn

import zoo
from zoo.io import save_image

HELD_OUT = 450
SIDE = 64
PEAK = 5e-4  # learning rate


def data() -> tuple[Tensor, Tensor]:
    """The scans as uint8 [1797, 3, 8, 8], and their labels."""
    digits = load_digits()
    grey = torch.from_numpy(digits.images * 255 / 16).round().to(torch.uint8)
    return grey[:, None].expand(-1, 3, -1, -1), torch.from_numpy(digits.target)


def write_pictures(folder: Path) -> None:
    """The first held-out scan of each digit, as PNG files of 8×8 grey pixels: ``digit_0.png`` to ``digit_9.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    scans, labels = data()
    for digit in range(10):
        first = (labels[-HELD_OUT:] == digit).nonzero()[0].item() - HELD_OUT
        save_image(scans[first, :1], folder / f"digit_{digit}.png")


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image [N, C, H, W] with a small random rotation, scale, shear and shift, like another handwriting."""
    n = len(images)
    theta = torch.eye(2, 3) + torch.randn(n, 2, 3, generator=generator).clamp(-2, 2) * torch.tensor([0.12, 0.12, 0.1])
    grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def augment(scan: Tensor, target: dict[str, int], generator: torch.Generator) -> tuple[Tensor, dict[str, int]]:
    """A scan, uint8 [3, 8, 8], at the input size of the model, and jittered."""
    large = nn.functional.interpolate(scan[None].float(), (SIDE, SIDE), mode="bilinear")
    return jitter(large, generator)[0].round().to(torch.uint8), target


def write_data(folder: Path) -> Path:
    """The scans as ``train/DIGIT/NUMBER.png`` and ``val/DIGIT/NUMBER.png``, for ``zoo train --data``."""
    scans, labels = data()
    for i, (scan, label) in enumerate(zip(scans, labels.tolist(), strict=True)):
        part = folder / ("train" if i < len(scans) - HELD_OUT else "val") / str(label)
        part.mkdir(parents=True, exist_ok=True)
        save_image(scan[:1], part / f"{i:04}.png")
    return folder


@torch.inference_mode()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    guesses = torch.cat([model(batch).argmax(1) for batch in images.split(150)])
    return (guesses == labels).double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"))
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", metavar="ENTRY", help="start from these weights, a name such as DIGITS_V1 or a file")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write pictures of held-out scans; do not train")
    options = parser.parse_args()
    if options.pictures:
        write_pictures(options.pictures)
        return
    done = zoo.train(
        "squeezenet1_1", write_data(options.output / "data"), options.output / "run", options.start,
        preprocessing="DIGITS_V1", augment=augment, epochs=options.epochs, batch_size=64, lr=PEAK, dropout=0.2,
        label_smoothing=0.05, seed=options.seed,
    )  # fmt: skip
    model = done.model.half().float()  # measured in half precision, as published
    preset = zoo.get_model_weights("squeezenet1_1")["DIGITS_V1"].transforms()
    scans, labels = data()
    right = accuracy(model, preset(scans[-HELD_OUT:]), labels[-HELD_OUT:])
    print(f"held-out accuracy: {right:.4%} of {HELD_OUT} scans")
    publish(halved(model), options.output / "squeezenet1_1_digits.safetensors")


if __name__ == "__main__":
    main()
