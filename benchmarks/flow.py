"""Speed of RAFT compared with torchvision's, and its memory for several frame sizes.

    python benchmarks/flow.py [--threads N]

RAFT small at 440×1024 with 12 updates, the same weights and frames in both, alternately in one process. Memory: peak
resident memory of a process that predicts one pair, above the memory with the built model, with the full correlation
volume and with the local one.
"""

from __future__ import annotations

import harness
import torch
from harness import Report, alone, in_turns, peak_of

import zoo

UPDATES = 12
SIZES = ((440, 1024), (544, 960), (720, 1280), (1080, 1920))
FULL_AT_MOST = 720  # rows; above, the full volume exceeds the memory of many machines


def frames(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    first = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return first, torch.roll(first, (2, -3), (2, 3))


@torch.inference_mode()
def speed(report: Report, seconds: float) -> None:
    models = {"zoo": zoo.get_model("raft_small").eval()}
    if (theirs := harness.torchvision()) is not None:
        models["torchvision"] = theirs.models.optical_flow.raft_small().eval()
        models["torchvision"].load_state_dict(models["zoo"].state_dict())
    pair = frames(440, 1024)
    times = in_turns(
        {side: lambda m=m: m(*pair, num_flow_updates=UPDATES) for side, m in models.items()}, seconds, least=5
    )
    flows = [model(*pair, num_flow_updates=UPDATES)[-1] for model in models.values()]
    table = report.table(
        "speed", side="", wall="seconds|.2f", times="of ours|.2f", cpu="seconds of the processor|.2f",
        times2="of ours |.2f", off="furthest apart, px|.0e",
    )  # fmt: skip
    for side, taken in times.items():
        table.row(
            side=side, wall=taken.median(), times=taken.over(times["zoo"]), cpu=taken.median("processor"),
            times2=taken.over(times["zoo"], "processor"), off=(flows[-1] - flows[0]).abs().max().item(),
        )  # fmt: skip
    if theirs is not None:
        over = times["torchvision"].over(times["zoo"], "processor")
        report.target("raft_small: times as fast as torchvision, by processor time", over, least=1)


@torch.inference_mode()
def predict_once(threads: int, height: int, width: int, correlation: str) -> tuple[float, float]:
    """MB above the model's memory, and processor seconds."""
    torch.set_num_threads(threads)
    model = zoo.get_model("raft_small", correlation=correlation).eval()
    pair = frames(-(-height // 8) * 8, width)
    model(*frames(128, 128), num_flow_updates=1)  # one-time allocations of the libraries
    peak = peak_of(lambda: model(*pair, num_flow_updates=UPDATES))
    used = in_turns({"": lambda: model(*pair, num_flow_updates=UPDATES)}, 0, least=1)[""].median("processor")
    return peak, used


def main() -> int:
    parser = harness.options(__doc__, seconds=15)
    parser.add_argument("--only", choices=("speed", "memory"))
    given = parser.parse_args()
    report = Report(given, updates=UPDATES)
    if given.only != "memory":
        speed(report, given.seconds)
    if given.only != "speed":
        table = report.table(
            "memory", size="frames", full="full, MB|,.0f", full_s="s of the processor|.1f", local="local, MB|,.0f",
            local_s="s of the processor |.1f",
        )  # fmt: skip
        for height, width in SIZES:
            row: dict[str, float] = {}
            for correlation in ("full", "local") if height <= FULL_AT_MOST else ("local",):
                found = alone(predict_once, given.threads, height, width, correlation)
                row[correlation], row[f"{correlation}_s"] = found
            table.row(size=f"{height} × {width}", **row)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
