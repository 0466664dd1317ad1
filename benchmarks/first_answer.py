"""Time of the first output in a new process, as users experience it: only the page cache is warm.

    python benchmarks/first_answer.py [resnet50 …]

Three things are timed, each in new processes, alternately, so that changes of the machine cancel; medians are reported:

- file → ready: from an imported torch to a model with the numbers of a cached checkpoint, by the usual calls, compared
  with torchvision if it can be imported; with and without the import of the package. The checkpoint has random numbers
  in the model's own layout, the name and place of a download, and is marked as verified: both libraries compute a
  download's hash only once.
- `import zoo_detection` with the modules of all its models, compared with `import torch`.
- `zoo predict` on one picture with packaged weights, compared with `import torch` and the forward pass.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import harness
import torch
from harness import Report, Times, fresh

import zoo
from zoo.files import promised_hash
from zoo.files.notes import note_path, write_verified

BARE = {"fasterrcnn_resnet50_fpn": {"weights_backbone": None}}
MODELS = ("resnet50", "vgg16", "vit_l_16", "efficientnet_b7", "fasterrcnn_resnet50_fpn")
LARGE = ("vgg16", "vit_l_16")  # the target is 10 times as fast; 3 times for the others
DETECTORS = ("faster_rcnn", "mask_rcnn", "keypoint_rcnn", "retinanet", "fcos", "ssd", "ssdlite", "task")
DIGIT = Path(__file__).parents[1] / "examples/images/digits/digit_7.png"

# The code of the processes: each prints its wall and processor seconds.
TIMED = """
import json, os, sys, time
def clock():
    used = os.times()
    return time.perf_counter(), used.user + used.system
{before}
start = clock()
{timed}
end = clock()
print(json.dumps([end[0] - start[0], end[1] - start[1]]))
"""
LOAD = "import {0}; model = {0}.{1}get_model({2!r}, weights='DEFAULT')"
FORWARD = f"""
import torch, zoo
pipe = zoo.pipeline('squeezenet1_1', 'DIGITS_V1', 'cpu')
x, = pipe.steps.collate([pipe.prepare(pipe.steps.load({str(DIGIT)!r}))])
"""


def files(names: list[str], folder: Path) -> None:
    """Write a checkpoint of each model in the place of a download, with the note that marks it as verified."""
    cache = folder / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    for name in names:
        url = zoo.get_model_weights(name).DEFAULT.url
        path = cache / Path(url).name
        torch.save(zoo.get_model(name, weights=None, **BARE.get(name, {})).state_dict(), path)
        promised, _ = promised_hash(path.name) or ("", False)
        write_verified(note_path(path), path.stat(), url=url, sha256=promised.ljust(64, "0"))


def main() -> int:
    parser = harness.options(__doc__, MODELS)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    report = Report(given)
    ours, theirs = ("zoo", ""), ("torchvision", "models.")
    sides = [ours, theirs] if harness.torchvision() else [ours]
    with tempfile.TemporaryDirectory() as folder:
        environment = {"TORCH_HOME": folder, "ZOO_OFFLINE": "1"}
        files(given.models, Path(folder))

        def timed(code: str, before: str) -> tuple[float, float]:
            wall, used = json.loads(fresh(["-c", TIMED.format(before=before, timed=code)], environment).output)
            return wall, used

        def whole(*arguments: str) -> tuple[float, float]:
            return fresh(arguments, environment)[:2]

        def turns(calls: dict[str, Callable[[], tuple[float, float]]]) -> dict[str, Times]:
            found = {name: Times() for name in calls}
            for turn in range(given.repeats + 1):
                for name, call in calls.items():
                    wall, used = call()
                    found[name].wall += [wall] * (turn > 0)  # the first turn reads files from disk
                    found[name].processor += [used] * (turn > 0)
            return found

        table = report.table(
            "ready", cold=True, name="a cached file → ready", zoo="zoo, s|.2f", theirs="torchvision, s|.2f",
            times="times|.1f", zoo2="package imported: zoo, s|.2f", theirs2="torchvision, s|.2f", times2="times|.1f",
            cpu="times by processor time|.1f",
        )  # fmt: skip
        for name in given.models:
            row = {}
            for end, imported in (("", False), ("2", True)):
                codes = {package: LOAD.format(package, models, name) for package, models in sides}
                before = {package: f"import torch, {package}" if imported else "import torch" for package in codes}
                found = turns({p: lambda code=code, b=before[p]: timed(code, b) for p, code in codes.items()})
                row["zoo" + end] = found["zoo"].median()
                if len(sides) > 1:
                    row["theirs" + end] = found["torchvision"].median()
                    row["times" + end] = row["theirs" + end] / row["zoo" + end]
                    if not end:
                        row["cpu"] = found["torchvision"].median("processor") / found["zoo"].median("processor")
            table.row(name=name, **row)
            if "times" in row:
                goal = 10 if name in LARGE else 3
                report.target(f"{name}: file → ready, times as fast as torchvision", row["times"], least=goal)
        modules = "zoo_detection." + ", zoo_detection.".join(DETECTORS)
        predict = ["-m", "zoo", "predict", str(DIGIT), "--model", "squeezenet1_1", "--weights", "DIGITS_V1"]
        found = turns(
            {
                "`import torch`": lambda: whole("-c", "import torch"),
                "`import zoo_detection`, all its models": lambda: whole("-c", f"import zoo_detection, {modules}"),
                "`zoo predict`, one picture": lambda: whole(*predict),
                "its forward pass": lambda: timed("with torch.inference_mode(): pipe.model(x)", FORWARD),
            }
        )
    table = report.table("whole", cold=True, name="a whole process", wall="seconds|.3f", cpu="of the processor|.3f")
    for name, taken in found.items():
        table.row(name=name, wall=taken.median(), cpu=taken.median("processor"))
    torch_, plugin, answer, forward = found.values()
    report.target("`import zoo_detection`, times `import torch`, by processor time", plugin.over(torch_, "processor"),
                  most=1.15)  # fmt: skip
    over = statistics.median(a - b - c for a, b, c in zip(answer.wall, torch_.wall, forward.wall, strict=True))
    report.target("`zoo predict` beside `import torch` and the forward pass, s", over, most=0.4)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
