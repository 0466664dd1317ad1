"""Quantize a model of digits: how ``ShuffleNet_V2_X0_5_QuantizedWeights.DIGITS_V1`` came about.

    pip install zoo-quantized scikit-learn
    python examples/train_quantized_digits.py --output out/

The data and the way of training are those of ``train_digits.py``. The float model is then quantized, calibrated on 512
of the training scans, and both are measured on the 450 that are held out. Takes some ten minutes on one CPU core, and
writes the int8 weights as plain tensors (integers, scales, zero points) under a name that ends in their hash.
``--float FILE`` starts from a float model that was saved by an earlier run.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from tqdm import tqdm
from train_digits import HELD_OUT, SIDE, accuracy, data, jitter

import zoo
import zoo_quantized
from zoo.transforms import ImageClassification
from zoo_quantized.states import unpack

MODEL = "quantized_shufflenet_v2_x0_5"
PEAK = 4e-3  # learning rate


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    steps = epochs * -(-len(x) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=2e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=PEAK, total_steps=steps, pct_start=0.2)
    with tqdm(total=steps, unit="step") as bar:
        for _ in range(epochs):
            for batch in torch.randperm(len(x), generator=generator).split(64):
                loss = nn.functional.cross_entropy(model(jitter(x[batch], generator)), y[batch], label_smoothing=0.05)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.set_postfix(loss=f"{loss.item():.3f}")
                bar.update()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--float", type=Path, metavar="FILE", help="a float model to quantize; do not train")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(options.seed)
    preset = ImageClassification(crop_size=SIDE, resize_size=SIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    scans, labels = data()
    images = preset(scans)
    x, y = images[:-HELD_OUT], labels[:-HELD_OUT]
    held_out = (images[-HELD_OUT:], labels[-HELD_OUT:])

    model = zoo.get_model(MODEL, weights=options.float, num_classes=10)
    if options.float is None:
        train(model, x, y, options.epochs, options.seed)
        path = options.output / "shufflenet_v2_x0_5_digits_float.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
        print(f"{path}: {path.stat().st_size / 2**20:.2f} MB")
    print(f"float twin: {accuracy(model.eval(), *held_out):.4%} of {HELD_OUT} held-out scans")

    int8 = zoo_quantized.quantize(model, x[:512].split(64), backend="fbgemm")
    print(f"int8: {accuracy(int8, *held_out):.4%}")

    unnamed = options.output / "shufflenet_v2_x0_5_digits.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in unpack(int8.state_dict()).items()}, unnamed)
    digest = hashlib.sha256(unnamed.read_bytes()).hexdigest()[:8]
    path = unnamed.rename(unnamed.with_stem(f"{unnamed.stem}-{digest}"))
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MB")

    reference = zoo.get_model(MODEL, weights=path, num_classes=10, quantize="reference")
    print(f"reference: {accuracy(reference, *held_out):.4%}")


if __name__ == "__main__":
    main()
