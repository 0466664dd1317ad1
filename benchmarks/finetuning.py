"""How many epochs a fine-tuned SqueezeNet and one from scratch take to reach the weights in the wheel, on digits.

    python benchmarks/finetuning.py --output out/finetuning

The start of the former is what ``zoo.train`` makes of generated pictures of shapes, which have no digits. Both runs
have the same settings and a rate that does not fall, so that an epoch means the same in both.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from shapes import CLASSES, make_picture
from train_digits import augment, write_data

import zoo

MODEL, ENTRY = "squeezenet1_1", "DIGITS_V1"


def write_shapes(folder: Path, n: int) -> Path:
    """``NAME/SEED.png``: one shape each, 64 pixels wide and high."""
    for seed in range(n):
        made = make_picture(seed, (64, 64), max_shapes=1)
        if len(made.labels):
            place = folder / CLASSES[made.labels[0]] / f"{seed}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(made.image).save(place)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out/finetuning"))
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--shapes", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    published = zoo.get_model_weights(MODEL)[ENTRY].metrics["Digits"]["acc@1"]
    given = {"preprocessing": ENTRY, "batch_size": 64, "lr": 5e-4, "seed": options.seed}
    source = write_shapes(options.output / "shapes", options.shapes)
    zoo.train(MODEL, source, options.output / "source", None, epochs=8, **given)
    digits = write_data(options.output / "digits")
    for name, start in (("fine-tuned", options.output / "source/last.safetensors"), ("from scratch", None)):
        done = zoo.train(
            MODEL, digits, options.output / name, start, augment=augment, epochs=options.epochs, schedule="constant",
            ema=0.98, **given,
        )  # fmt: skip
        scores = [row["val_acc@1"] for row in done.history]
        reached = next((i for i, score in enumerate(scores, 1) if score >= published - 1e-3), None)
        print(
            f"{name}: {published:.3f} % after {reached} epochs; best {max(scores):.3f} % of {len(scores)}", flush=True
        )


if __name__ == "__main__":
    main()
