"""How many epochs a fine-tuned SqueezeNet and one from scratch take to reach the weights in the wheel, on digits.

    python benchmarks/finetuning.py --output out/finetuning

The start of the former is the published model with a new head, which knows no digit's name: its features come from the
scans that both are trained on, none of those that are held out. Both runs have the same settings and a rate that does
not fall, so that an epoch means the same in both.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from train_digits import augment, write_data

import zoo

MODEL, ENTRY = "squeezenet1_1", "DIGITS_V1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out/finetuning"))
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    published = zoo.get_model_weights(MODEL)[ENTRY].value.metrics["Digits"]["acc@1"]
    given = {"preprocessing": ENTRY, "batch_size": 64, "lr": 5e-4, "seed": options.seed}
    digits = write_data(options.output / "digits")
    start = zoo.save(zoo.reset_head(zoo.get_model(MODEL, weights=ENTRY), 10), options.output / "start.safetensors")
    for name, weights in (("fine-tuned", start), ("from scratch", None)):
        done = zoo.train(
            MODEL, digits, options.output / name, weights, augment=augment, epochs=options.epochs, schedule="constant",
            ema=0.98, **given,
        )  # fmt: skip
        scores = [row["val_acc@1"] for row in done.history]
        reached = next((i for i, score in enumerate(scores, 1) if score >= published - 1e-3), None)
        print(
            f"{name}: {published:.3f} % after {reached} epochs; best {max(scores):.3f} % of {len(scores)}", flush=True
        )


if __name__ == "__main__":
    main()
