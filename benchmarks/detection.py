"""Speed and memory of detectors in training and inference, compared with torchvision's if it has the model.

    python benchmarks/detection.py [model …] [--optimize] [--memory] [--size 800 1066] [--device cuda]

Seconds per image of a training step (forward, losses, backward; batch size 2, 4 for SSD, 8 for SSDlite) and of
inference (one picture, from the picture to boxes, masks and keypoints in its pixels). Both libraries have the same
random weights, and thresholds that give a hundred objects, so that all postprocessing is included. Libraries are
measured alternately in one process, and a ratio is the median over the turns. ``--optimize`` adds inference with
zoo.optimize. ``--memory`` measures the peak memory of a training step and of inference instead of time, each in a
separate process: on the CPU the resident memory above that of the model, on CUDA the allocated memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import harness
import torch
from harness import Call, Report, Times, alone, in_turns, peak_of
from torch import Tensor, nn

import zoo

MODELS = (
    "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn", "fcos_resnet50_fpn", "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2", "ssd300_vgg16", "ssdlite320_mobilenet_v3_large", "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn",
)  # fmt: skip
BATCH = {"ssd300_vgg16": 4, "ssdlite320_mobilenet_v3_large": 8}  # batch size of a training step; 2 for others
OBJECTS = 8  # number of objects on a training picture
FOUND = 100  # number of objects to find on a picture
RANDOM = {"weights": None, "weights_backbone": None}
TARGETS = {"train": 1.0, "test": 1.1, "optimised": 1.5, "memory": 1.0}  # relative to torchvision


def build(library: str, name: str, size: Sequence[int], device: str) -> nn.Module:
    torch.manual_seed(0)
    get = zoo.get_model if library == "zoo" else harness.torchvision().models.get_model
    fixed = "ssd" in name or "320" in name  # these resize to a fixed size; the others keep the size
    sizes = {} if fixed else {"min_size": min(size), "max_size": max(size)}
    model: nn.Module = get(name, **RANDOM, **sizes)
    return model.to(device)


def picture(size: Sequence[int], seed: int, device: str) -> Tensor:
    """A random picture with detail at every scale, [3, H, W] in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    layers = [torch.rand(1, 3, size[0] // n, size[1] // n, generator=generator) for n in (2, 8, 32, 96)]
    layers = [nn.functional.interpolate(x, size=tuple(size), mode="bicubic") for x in layers]
    return torch.stack(layers).mean(0)[0].clamp(0, 1).to(device)


def truth(model: str, size: Sequence[int], seed: int, device: str) -> dict[str, Tensor]:
    """Random targets of a picture, from small to large: boxes, labels, and masks or keypoints if the model has them."""
    generator = torch.Generator().manual_seed(seed)
    limits = torch.tensor([size[1], size[0]])
    sides = limits * torch.logspace(-1.3, -0.3, OBJECTS)[:, None]
    corners = (limits - sides) * torch.rand(OBJECTS, 2, generator=generator)
    boxes = torch.cat([corners, corners + sides], dim=1)
    labels = torch.ones(OBJECTS, dtype=torch.int64)
    target = {"boxes": boxes, "labels": labels}
    if model.startswith("mask"):
        y, x = torch.arange(size[0])[:, None], torch.arange(size[1])
        left, top, right, bottom = boxes[:, :, None, None].unbind(1)
        target["masks"] = ((x >= left) & (x < right) & (y >= top) & (y < bottom)).to(torch.uint8)
    if model.startswith("keypoint"):
        places = corners[:, None] + sides[:, None] * torch.rand(OBJECTS, 17, 2, generator=generator)
        target["keypoints"] = torch.cat([places, torch.ones(OBJECTS, 17, 1)], dim=2)
    return {key: value.to(device) for key, value in target.items()}


@torch.inference_mode()
def spread(models: Sequence[nn.Module], name: str, image: Tensor) -> int:
    """Set the same thresholds for all models, so that the first finds about a hundred objects; return their number."""
    holders: list[Any] = [getattr(m, "roi_heads", m) for m in models]
    for holder in holders:
        holder.score_thresh = 0.0
    scores = models[0].eval()([image])[0]["scores"]
    for holder in holders:
        holder.score_thresh = float(scores[-1])
    return len(models[0]([image])[0]["scores"])


def training(model: nn.Module, name: str, size: Sequence[int], device: str) -> tuple[Call, int]:
    """A function for one step, without the optimizer's step, which is PyTorch's; and its number of images."""
    n = BATCH.get(name, 2)
    images = [picture(size, seed, device) for seed in range(n)]
    targets = [truth(name, size, seed, device) for seed in range(n)]

    def step() -> None:
        torch.manual_seed(0)  # both sample the same anchors
        model.train()
        model.zero_grad()
        sum(model(images, targets).values()).backward()

    return step, n


def inference(model: nn.Module, size: Sequence[int], device: str) -> Call:
    images = [picture(size, 0, device)]

    def predict() -> Any:
        with torch.inference_mode():
            return model.eval()(images)

    return predict


def libraries() -> tuple[str, ...]:
    return ("zoo", "torchvision") if harness.torchvision() else ("zoo",)


def speed(given: Any, report: Report) -> None:
    table = report.table(
        f"speed_{given.size[0]}", model="Network", train="train time (s / image)|.3g", test="test time (s / image)|.3g",
        train_times="times torchvision's: train|.2f", test_times="test|.2f", optimised="test, optimized|.2f",
        objects="objects|g",
    )  # fmt: skip
    wait = torch.cuda.synchronize if given.device != "cpu" else None

    def turns(calls: Sequence[Call]) -> dict[str, Times]:
        return in_turns(dict(zip(sides, calls, strict=False)), given.seconds, least=3, most=50, wait=wait)

    for name in given.models:
        sides = [*libraries(), "optimised"]
        models = [build(library, name, given.size, given.device) for library in libraries()]
        for other in models[1:]:
            other.load_state_dict(models[0].state_dict())
        steps = [training(model, name, given.size, given.device) for model in models]
        train = turns([step for step, _ in steps])
        for model in models:
            model.zero_grad()
        image = picture(given.size, 0, given.device)
        row: dict[str, float] = {"objects": spread(models, name, image)}
        if given.optimize:
            with torch.inference_mode():
                models.append(zoo.optimize(models[0], [image]))
            sides = [*libraries(), "optimised"]
        test = turns([inference(model, given.size, given.device) for model in models])
        row |= {"train": train["zoo"].median() / steps[0][1], "test": test["zoo"].median()}
        if "torchvision" in test:
            row["train_times"] = train["torchvision"].over(train["zoo"])
            row["test_times"] = test["torchvision"].over(test["zoo"])
            report.target(f"{name}, {given.size[0]}: training, times torchvision's", row["train_times"],
                          least=TARGETS["train"])  # fmt: skip
            report.target(f"{name}, {given.size[0]}: inference, times torchvision's", row["test_times"],
                          least=TARGETS["test"])  # fmt: skip
            if given.optimize:
                row["optimised"] = test["torchvision"].over(test["optimised"])
                report.target(f"{name}, {given.size[0]}: optimised, times torchvision's", row["optimised"],
                              least=TARGETS["optimised"])  # fmt: skip
        table.row(model=name, **row)


def peak(library: str, name: str, what: str, size: Sequence[int], device: str) -> float:
    """GB at the peak of a call, above the memory before it; after a first call on a small picture."""
    model = build(library, name, size, device)
    small = (96, 128)
    if what == "train":
        first, call = training(model, name, small, device)[0], training(model, name, size, device)[0]
    else:
        spread([model], name, picture(size, 0, device))
        first, call = inference(model, small, device), inference(model, size, device)
    first()
    if device == "cpu":
        return peak_of(call) / 1024
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return (torch.cuda.max_memory_allocated() - before) / 2**30


def memory(given: Any, report: Report) -> None:
    heads = {f"{what}_{lib}": f"{what}, {lib}, GB|.2f" for what in ("train", "test") for lib in libraries()}
    table = report.table(f"memory_{given.size[0]}", cold=True, model="Network", **heads)
    for name in given.models:
        row = {
            key: alone(peak, key.partition("_")[2], name, key.partition("_")[0], given.size, given.device)
            for key in heads
        }
        table.row(model=name, **row)
        for what in ("train", "test") if len(libraries()) > 1 else ():
            report.target(f"{name}, {given.size[0]}: memory, {what}, over torchvision's",
                          row[f"{what}_zoo"] / row[f"{what}_torchvision"], most=TARGETS["memory"])  # fmt: skip


def main() -> int:
    parser = harness.options(__doc__, MODELS, seconds=15.0)
    parser.add_argument("--optimize", action="store_true", help="also measure inference with zoo.optimize")
    parser.add_argument("--memory", action="store_true", help="measure peak memory instead of time")
    parser.add_argument("--size", type=int, nargs=2, default=[800, 1066], metavar=("HEIGHT", "WIDTH"))
    given = parser.parse_args()
    report = Report(given)
    (memory if given.memory else speed)(given, report)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
