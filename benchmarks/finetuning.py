"""Number of epochs until a fine-tuned SqueezeNet, and one from scratch, reach the published digits weights.

    python benchmarks/finetuning.py [--epochs 24] [--folder out/finetuning]

Fine-tuning starts from the published model with a new head, which has not learned any class; its features were trained
on the same training scans, not on held-out ones. Both runs have the same settings and a constant learning rate, so that
epochs are comparable.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import harness
from harness import Report
from train_digits import augment, write_data

import zoo

MODEL, ENTRY = "squeezenet1_1", "DIGITS_V1"
FINETUNED = "fine-tuned"
GOAL = 10  # epochs


def main() -> int:
    parser = harness.options(__doc__)
    parser.add_argument("--folder", type=Path, default=Path("out/finetuning"))
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    report = Report(given, epochs=given.epochs, seed=given.seed)
    published = zoo.get_model_weights(MODEL)[ENTRY].value.metrics["Digits"]["acc@1"]
    settings = {"preprocessing": ENTRY, "batch_size": 64, "lr": 5e-4, "seed": given.seed}
    digits = write_data(given.folder / "digits")
    start = zoo.save(zoo.reset_head(zoo.get_model(MODEL, weights=ENTRY), 10), given.folder / "start.safetensors")
    table = report.table("epochs", run="run", reached="as good as the wheel's after|g", best="best, %|.3f")
    for name, weights in ((FINETUNED, start), ("from scratch", None)):
        done = zoo.train(
            MODEL, digits, given.folder / name, weights, augment=augment, epochs=given.epochs, schedule="constant",
            ema=0.98, **settings,
        )  # fmt: skip
        scores = [row["val_acc@1"] for row in done.history]
        reached = next((i for i, score in enumerate(scores, 1) if score >= published - 1e-3), None)
        table.row(run=name, reached=reached or f"not within {given.epochs}", best=max(scores))
        if name == FINETUNED:
            report.target("epochs of fine-tuning", reached or float("inf"), most=GOAL)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
