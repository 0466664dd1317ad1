"""Speed and memory of zoo.ops, compared with torchvision's compiled operators if torchvision can be imported.

    python benchmarks/ops.py [--threads N | --busy] [--device cuda] [--only nms]

Without torchvision, the comparison is with plain PyTorch: a loop over boxes, and gathered samples. Both sides are
measured alternately in one process; reported are the medians, and the speed of zoo.ops relative to the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import harness
import torch
from harness import Report, in_turns
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import zoo.ops as ours


def plain_nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    order, kept = scores.argsort(descending=True, stable=True), []
    while len(order):
        kept.append(order[0])
        iou = ours.box_iou(boxes[order[:1]], boxes[order[1:]])[0]
        order = order[1:][iou <= threshold]
    return torch.stack(kept)


def plain_batched_nms(boxes: Tensor, scores: Tensor, classes: Tensor, threshold: float) -> Tensor:
    members = [(classes == c).nonzero()[:, 0] for c in classes.unique()]
    kept = torch.cat([m[plain_nms(boxes[m], scores[m], threshold)] for m in members])
    return kept[scores[kept].argsort(descending=True)]


def plain_roi_align(
    input: Tensor,  # noqa: A002
    rois: Tensor,
    size: int,
    scale: float,
    samples: int,
    aligned: bool = False,
) -> Tensor:
    """Gather every sample with grid_sample, image by image, and average."""
    _, C, H, W = input.shape
    boxes = rois[:, 1:] * scale - (0.5 if aligned else 0)
    wh = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    step = (torch.arange(size * samples, device=input.device) + 0.5) / (size * samples)
    x, y = ((boxes[:, None, i] + wh[:, None, i] * step).clamp(0, n - 1) / (n - 1) * 2 - 1 for i, n in ((0, W), (1, H)))
    grid = torch.stack(
        [x[:, None, :].expand(-1, size * samples, -1), y[:, :, None].expand(-1, -1, size * samples)], dim=-1
    )
    out = input.new_empty(len(rois), C, size, size)
    for i in range(len(input)):
        mine = rois[:, 0] == i
        read = torch.nn.functional.grid_sample(input[i : i + 1], grid[mine].flatten(0, 1)[None], align_corners=True)
        read = read.view(C, -1, size, samples, size, samples).mean((3, 5))
        out[mine] = read.transpose(0, 1)
    return out


try:
    import torchvision.ops as theirs

    BASELINE = f"torchvision {__import__('torchvision').__version__}, compiled operators"
except ImportError:
    theirs = SimpleNamespace(nms=plain_nms, batched_nms=plain_batched_nms, roi_align=plain_roi_align)
    BASELINE = "plain PyTorch (torchvision is not installed): a loop over boxes, gathered samples"

Case = tuple[str, Callable[[Any], Any], float | None]  # name, function of the operators, and target ratio


def make_boxes(n: int, size: float, least: float, most: float) -> Tensor:
    corner = torch.rand(n, 2) * size
    return torch.cat([corner, corner + (least + torch.rand(n, 2) * (most - least)) * size], 1)


def cases(device: str) -> Iterator[Case]:
    """Random boxes; sizes are relative to the image."""
    for n in (1000, 2000, 10_000):
        for kind, least, most in (("small", 0.001, 0.02), ("medium", 0.02, 0.2), ("large", 0.1, 0.5)):
            boxes, scores = make_boxes(n, 1000, least, most).to(device), torch.rand(n).to(device)
            yield f"nms, {n:,} {kind} boxes", lambda ops, b=boxes, s=scores: ops.nms(b, s, 0.5), 2
    boxes, scores = make_boxes(8000, 1000, 0.02, 0.2).to(device), torch.rand(8000).to(device)
    classes = torch.randint(0, 80, (8000,)).to(device)
    yield "batched_nms, 8,000 boxes, 80 classes", lambda ops: ops.batched_nms(boxes, scores, classes, 0.5), 2

    for side, regions in ((50, 100), (50, 1000), (200, 1000)):
        contiguous = torch.randn(2, 256, side, side).to(device)
        last = contiguous.contiguous(memory_format=torch.channels_last)
        rois = torch.cat([torch.randint(0, 2, (regions, 1)), make_boxes(regions, side * 0.8, 0.1, 0.4)], 1).to(device)
        for size in (7, 14):
            for layout, x, target in (("contiguous", contiguous, 1.5), ("channels last", last, 10)):
                yield (
                    f"roi_align, {regions:,} regions, {side} x {side}, {size} x {size}, {layout}",
                    lambda ops, x=x, rois=rois, size=size: ops.roi_align(x, rois, size, 1.0, 2),
                    target,
                )
        for layout, x in (("contiguous", contiguous), ("channels last", last)):

            def both(ops: Any, x: Tensor = x, rois: Tensor = rois) -> None:
                x = x.detach().requires_grad_()
                out = ops.roi_align(x, rois, 7, 1.0, 2)
                out.backward(torch.ones_like(out))

            yield f"roi_align and backward, {regions:,} regions, {side} x {side}, {layout}", both, 1

    if hasattr(theirs, "MultiScaleRoIAlign"):
        for kind, layout in (("contiguous", torch.contiguous_format), ("channels last", torch.channels_last)):
            levels = {
                str(i): torch.randn(1, 256, 200 // 2**i, 272 // 2**i).to(device, memory_format=layout) for i in range(4)
            }
            proposals = [make_boxes(1000, 700, 0.02, 0.6).to(device)]
            yield (
                f"MultiScaleRoIAlign, 1,000 regions, 4 levels, {kind}",
                lambda ops, x=levels, b=proposals: ops.MultiScaleRoIAlign(list("0123"), 7, 2)(x, b, [(800, 1088)]),
                3,
            )


def allocated(call: Callable[[], Any]) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as p:
        result = call()
    del result
    held = most = 0
    for event in p.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def main() -> int:
    parser = harness.options(__doc__, seconds=1.0)
    parser.add_argument("--busy", action="store_true", help="measure processor time of one thread, on a busy machine")
    parser.add_argument("--only", default="", help="only cases whose name contains this text")
    given = parser.parse_args()
    given.threads, clock = (1, "processor") if given.busy else (given.threads, "wall")
    report = Report(given, against=BASELINE, clock=clock)
    torch.manual_seed(0)
    wait = torch.cuda.synchronize if given.device == "cuda" else None
    table = report.table(
        "operators", case="case", zoo="zoo, ms|.2f", theirs="torchvision, ms|.2f", times="ratio|.1f",
        target="target|g",
    )  # fmt: skip
    for case, run, target in cases(given.device):
        if given.only not in case:
            continue
        sides = {side: lambda run=run, ops=ops: run(ops) for side, ops in (("ours", ours), ("theirs", theirs))}
        times = in_turns(sides, given.seconds, least=5, most=15, wait=wait)
        ratio = times["theirs"].over(times["ours"], clock)
        mine, other = (times[side].median(clock) * 1e3 for side in ("ours", "theirs"))
        goal = 1 if given.device == "cuda" else target
        table.row(case=case, zoo=mine, theirs=other, times=ratio, target=goal)
        if "torchvision" in BASELINE.split("(")[0]:
            report.target(f"{case}: times as fast", ratio, least=goal)
    if given.device == "cpu" and given.only in "memory":
        memory(report)
    return report.finish()


def memory(report: Report) -> None:
    table = report.table("memory", case="what", mb="MB|.0f", seconds="seconds|.2f")
    x, rois = torch.randn(1, 256, 50, 68), torch.cat([torch.zeros(1000, 1), make_boxes(1000, 600, 0.05, 0.4)], 1)

    def align() -> Tensor:
        return ours.roi_align(x, rois, 7, 1 / 16, 2)

    turned, output = x.nbytes, 1000 * 256 * 49 * 4  # plus a copy of the features
    peak, taken = allocated(align) - turned, in_turns({"": align}, 0, least=3)[""].median()
    table.row(case="roi_align, 1,000 regions x 256 x 7 x 7", mb=peak / 1e6, seconds=taken)
    report.target("roi_align: memory, times its output", peak / output, most=2)
    for kind, least, most in (("small", 0.001, 0.02), ("medium", 0.02, 0.2)):
        boxes, scores = make_boxes(100_000, 1000, least, most), torch.rand(100_000)

        def suppress(boxes: Tensor = boxes, scores: Tensor = scores) -> Tensor:
            return ours.nms(boxes, scores, 0.5)

        peak, taken = allocated(suppress), in_turns({"": suppress}, 0, least=1)[""].median()
        table.row(case=f"nms, 100,000 {kind} boxes", mb=peak / 1e6, seconds=taken)
        report.target(f"nms of 100,000 {kind} boxes, MB", peak / 1e6, most=300)


if __name__ == "__main__":
    harness.start(main)
