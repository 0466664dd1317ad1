"""Speed of the video models: inference on one clip, relative to torchvision in the same process.

    python benchmarks/video.py [r3d_18 mvit_v2_s …] [--threads 1]

Both models have the same weights and input, a clip of 16 frames of the evaluation size of the weights; runs alternate,
so that other work on the machine affects both equally. Outputs are compared. Without torchvision, only zoo's times are
reported.
"""

from __future__ import annotations

import harness
import torch
from harness import Report, in_turns

import zoo

FRAMES = 16


@torch.inference_mode()
def main() -> int:
    names = zoo.list_models(task="video-classification")
    given = harness.options(__doc__, [n for n in names if not n.endswith("_tiny")]).parse_args()
    report = Report(given)
    theirs = harness.torchvision()
    table = report.table(
        "clips", model="model", clip="clip", zoo="ours, s|.3g", theirs="torchvision, s|.3g",
        times="ours over theirs|.2f", cpu="by processor time|.2f",
    )  # fmt: skip
    for name in given.models:
        side = zoo.get_model_weights(name).DEFAULT.transforms().crop_size[0]
        clip = torch.randn(1, 3, FRAMES, side, side, generator=torch.Generator().manual_seed(0))
        models = {"zoo": zoo.get_model(name).eval()}
        if theirs and name in theirs.models.list_models(module=theirs.models.video):
            models["theirs"] = theirs.models.get_model(name).eval()
            models["theirs"].load_state_dict(models["zoo"].state_dict())
            torch.testing.assert_close(models["zoo"](clip), models["theirs"](clip), rtol=1e-3, atol=1e-3)
        calls = {side: lambda m=m, clip=clip: m(clip) for side, m in models.items()}
        times = in_turns(calls, given.seconds, least=3)
        row = {side: taken.median() for side, taken in times.items()}
        if "theirs" in times:
            row["times"] = times["zoo"].over(times["theirs"])
            row["cpu"] = times["zoo"].over(times["theirs"], "processor")
            report.target(f"{name}: our processor time over torchvision's", row["cpu"], most=1.05)
        table.row(model=name, clip=f"{FRAMES}×{side}×{side}", **row)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
