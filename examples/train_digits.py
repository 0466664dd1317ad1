"""Train SqueezeNet 1.1 on scikit-learn's handwritten digits: how ``SqueezeNet1_1_Weights.DIGITS_V1`` came about.

    pip install zoo-classification scikit-learn
    python examples/train_digits.py --output out/

The data are 1,797 real scans of 8×8 pixels, 16 grey levels; the last 450 are held out. Takes a few minutes on two
CPU cores, prints the held-out accuracy, and writes the weights in half precision under a name that ends in their hash.
``--pictures DIR`` writes the first held-out scan of every digit instead, as the pictures in ``examples/images/digits``.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from tqdm import tqdm

import zoo
from zoo.io import save_image
from zoo.transforms import ImageClassification

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
    """Each image [N, C, H, W] turned, scaled, sheared and moved at random, a little: as another hand might write it."""
    n = len(images)
    theta = torch.eye(2, 3) + torch.randn(n, 2, 3, generator=generator).clamp(-2, 2) * torch.tensor([0.12, 0.12, 0.1])
    grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


@torch.inference_mode()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    guesses = torch.cat([model(batch).argmax(1) for batch in images.split(150)])
    return (guesses == labels).double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"))
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write pictures of held-out scans; do not train")
    options = parser.parse_args()
    if options.pictures:
        write_pictures(options.pictures)
        return

    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    preset = ImageClassification(crop_size=SIDE, resize_size=SIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    scans, labels = data()
    images = preset(scans)
    x, y = images[:-HELD_OUT], labels[:-HELD_OUT]

    model = zoo.get_model("squeezenet1_1", num_classes=10, dropout=0.2)
    # SqueezeNet ends in a ReLU, below which a logit has no gradient; it learns without and is published with it.
    relu, model.classifier[2] = model.classifier[2], nn.Identity()
    steps = options.epochs * -(-len(x) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=PEAK, total_steps=steps, pct_start=0.1)
    with tqdm(total=steps, unit="step") as bar:
        for _ in range(options.epochs):
            for batch in torch.randperm(len(x), generator=generator).split(64):
                loss = nn.functional.cross_entropy(model(jitter(x[batch], generator)), y[batch], label_smoothing=0.05)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.set_postfix(loss=f"{loss.item():.3f}")
                bar.update()

    model.classifier[2] = relu
    model.eval().half().float()  # measured as it is published, in half precision
    print(f"held-out accuracy: {accuracy(model, images[-HELD_OUT:], labels[-HELD_OUT:]):.4%} of {HELD_OUT} scans")

    options.output.mkdir(parents=True, exist_ok=True)
    unnamed = options.output / "squeezenet1_1_digits.safetensors"
    save_file({name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}, unnamed)
    digest = hashlib.sha256(unnamed.read_bytes()).hexdigest()[:8]
    path = unnamed.rename(unnamed.with_stem(f"{unnamed.stem}-{digest}"))
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MB")


if __name__ == "__main__":
    main()
