"""Train ConvMixer-64/8 on scikit-learn's handwritten digits: how ``ConvMixer_64_8_Weights.DIGITS_V1`` came about.

    pip install -e '.[train]'
    python train.py

The data are 1,797 real scans of 8×8 pixels; the last 450 are held out. Takes minutes on a CPU, prints the held-out
accuracy, and writes the weights in half precision into the package, under a name that ends in their hash. weights.py
is then told both.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from tqdm import trange
from zoo_template_name.model import convmixer_64_8
from zoo_template_name.weights import ConvMixer_64_8_Weights

CHECKPOINTS = Path(__file__).parent / "src/zoo_template_name/checkpoints"
HELD_OUT = 450
EPOCHS = 60
PEAK = 5e-3  # learning rate


def jitter(images: Tensor) -> Tensor:
    """Each image [N, C, H, W] turned, scaled, sheared and moved a little, as another hand might write it."""
    scale = torch.tensor([0.12, 0.12, 0.1])
    theta = torch.eye(2, 3) + torch.randn(len(images), 2, 3).clamp(-2, 2) * scale
    grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def main() -> None:
    torch.manual_seed(0)
    digits = load_digits()
    grey = torch.from_numpy(digits.images * 255 / 16).round().to(torch.uint8)
    prepare: Any = ConvMixer_64_8_Weights.DIGITS_V1.transforms
    images, labels = prepare()(grey[:, None].expand(-1, 3, -1, -1)), torch.from_numpy(digits.target)
    x, y = images[:-HELD_OUT], labels[:-HELD_OUT]

    model = convmixer_64_8(num_classes=10)
    steps = EPOCHS * -(-len(x) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=PEAK, total_steps=steps)
    for _ in trange(EPOCHS, unit="epoch"):
        for batch in torch.randperm(len(x)).split(64):
            loss = nn.functional.cross_entropy(model(jitter(x[batch])), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    model.eval().half().float()  # measured as it is published, in half precision
    with torch.inference_mode():
        found = model(images[-HELD_OUT:]).topk(5).indices == labels[-HELD_OUT:, None]
    first, any_of_five = found[:, 0].double().mean(), found.any(1).double().mean()
    print(f"{HELD_OUT} held-out scans: {first:.3%} right at first, {any_of_five:.3%} among the first five")

    CHECKPOINTS.mkdir(exist_ok=True)
    unnamed = CHECKPOINTS / "convmixer_64_8_digits.safetensors"
    save_file({name: t.half() if t.is_floating_point() else t for name, t in model.state_dict().items()}, unnamed)
    digest = hashlib.sha256(unnamed.read_bytes()).hexdigest()[:8]
    path = unnamed.rename(unnamed.with_stem(f"{unnamed.stem}-{digest}"))
    print(
        f"{path.name}: {path.stat().st_size / 2**20:.3f} MB, {sum(p.numel() for p in model.parameters()):,} parameters"
    )


if __name__ == "__main__":
    main()
