"""Quantize a model of digits, as ``ShuffleNet_V2_X0_5_QuantizedWeights.DIGITS_V1`` was made.

    pip install zoo-quantized zoo-training scikit-learn
    python examples/train_quantized_digits.py --output out/

Data and training are those of ``train_digits.py``. The float model is then quantized, calibrated on 512 of the training
scans, and both are measured on the 450 held-out ones. Takes about ten minutes on one CPU core, and writes the int8
weights as plain tensors (integers, scales, zero points) to a file whose name ends in its hash. ``--float FILE`` starts
from a saved float model of an earlier run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from publish import publish
from train_digits import HELD_OUT, accuracy, augment, data, write_data

import zoo
import zoo_quantized
from zoo_quantized.states import unpack

MODEL = "quantized_shufflenet_v2_x0_5"
PEAK = 4e-3  # learning rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--float", type=Path, metavar="FILE", help="a float model to quantize; do not train")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    preset = zoo.get_model_weights("squeezenet1_1")["DIGITS_V1"].transforms()
    scans, labels = data()
    images = preset(scans)
    x = images[:-HELD_OUT]
    held_out = (images[-HELD_OUT:], labels[-HELD_OUT:])

    if options.float is None:
        model = zoo.train(
            MODEL, write_data(options.output / "data"), options.output / "run", None, preprocessing="DIGITS_V1",
            augment=augment, epochs=options.epochs, batch_size=64, lr=PEAK, weight_decay=2e-2, warmup=0.2,
            label_smoothing=0.05, seed=options.seed,
        ).model  # fmt: skip
    else:
        model = zoo.get_model(MODEL, weights=options.float, num_classes=10)
    print(f"float twin: {accuracy(model.eval(), *held_out):.4%} of {HELD_OUT} held-out scans")

    int8 = zoo_quantized.quantize(model, x[:512].split(64), backend="fbgemm")
    print(f"int8: {accuracy(int8, *held_out):.4%}")

    path = publish(unpack(int8.state_dict()), options.output / "shufflenet_v2_x0_5_digits.safetensors")
    reference = zoo.get_model(MODEL, weights=path, num_classes=10, quantize="reference")
    print(f"reference: {accuracy(reference, *held_out):.4%}")


if __name__ == "__main__":
    main()
