"""How long the first answer takes in a fresh process, as users have it: nothing is warm but the page cache.

    python benchmarks/first_answer.py [resnet50 …]

Three things are timed, each in new processes, in turns so that the machine's drift cancels; shown are the median of the
wall clock and, after a slash, of the CPU time (user and system, all threads), which other work on the machine changes
less:

- file → ready: from an imported torch to a model with a cached checkpoint's numbers in it, on the way that users take,
  beside torchvision's where it imports; with the import of the package in it, and without. The checkpoint has random
  numbers in the model's own layout, and the name and place that a download would have, and is noted as verified: both
libraries compare a download's hash once, when it is made.
- `import zoo_detection` with the modules of all its models, beside `import torch` alone.
- `zoo predict` on one picture with weights that are in the wheel, beside `import torch` and the forward.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import zoo
from zoo.files import promised_hash
from zoo.files.notes import note_path, write_verified

REPEATS = int(os.environ.get("ZOO_BENCH_REPEATS", "7"))
BARE = {"fasterrcnn_resnet50_fpn": {"weights_backbone": None}}
MODELS = ("resnet50", "vgg16", "vit_l_16", "efficientnet_b7", "fasterrcnn_resnet50_fpn")
DETECTORS = ("faster_rcnn", "mask_rcnn", "keypoint_rcnn", "retinanet", "fcos", "ssd", "ssdlite", "task")
DIGIT = Path(__file__).parents[1] / "examples/images/digits/digit_7.png"

# What the processes run: each prints its own seconds, by the wall and of the CPU.
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
OURS = "import zoo; model = zoo.get_model({name!r}, weights='DEFAULT')"
THEIRS = "import torchvision; model = torchvision.models.get_model({name!r}, weights='DEFAULT')"
FORWARD = """
import torch, zoo
pipe = zoo.pipeline('squeezenet1_1', 'DIGITS_V1', 'cpu')
x, = pipe.steps.collate([pipe.prepare(pipe.steps.load({picture!r}))])
"""

Seconds = tuple[float, float]


def timed(code: str, before: str, folder: str) -> Seconds:
    script = TIMED.format(before=before, timed=code)
    environment = {**os.environ, "TORCH_HOME": folder, "ZOO_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    wall, used = json.loads(done.stdout.splitlines()[-1])
    return wall, used


def whole(arguments: list[str], folder: str) -> Seconds:
    """A process from start to end."""
    environment = {**os.environ, "TORCH_HOME": folder, "ZOO_OFFLINE": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=True)
    end = time.perf_counter()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def median(runs: list[Seconds]) -> Seconds:
    return statistics.median(wall for wall, _ in runs), statistics.median(used for _, used in runs)


def shown(seconds: Seconds) -> str:
    return f"{seconds[0]:.3f} / {seconds[1]:.3f}"


def files(names: list[str], folder: Path) -> None:
    """A checkpoint of each model where a download would lie, with the note that zoo leaves beside one."""
    cache = folder / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    for name in names:
        url = zoo.get_model_weights(name).DEFAULT.url
        path = cache / Path(url).name
        torch.save(zoo.get_model(name, weights=None, **BARE.get(name, {})).state_dict(), path)
        promised, _ = promised_hash(path.name) or ("", False)
        write_verified(note_path(path), path.stat(), url=url, sha256=promised.ljust(64, "0"))


def main() -> None:
    names = sys.argv[1:] or list(MODELS)
    print(f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads, median of {REPEATS}")
    with_torchvision = (
        subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, check=False).returncode == 0
    )
    with tempfile.TemporaryDirectory() as folder:
        files(names, Path(folder))
        for title, imported in (("file → ready", ""), ("the same, package imported", ", {}")):
            print(f"\n{title:28}{'zoo':>16}{'torchvision':>16}{'times':>14}")
            for name in names:
                ours: list[Seconds] = []
                theirs: list[Seconds] = []
                for _ in range(REPEATS + 1):
                    ours.append(timed(OURS.format(name=name), "import torch" + imported.format("zoo"), folder))
                    if with_torchvision:
                        before = "import torch" + imported.format("torchvision")
                        theirs.append(timed(THEIRS.format(name=name), before, folder))
                a = median(ours[1:])
                b = median(theirs[1:]) if theirs else (float("nan"), float("nan"))
                print(f"{name:28}{shown(a):>16}{shown(b):>16}{b[0] / a[0]:>7.1f} / {b[1] / a[1]:.1f}", flush=True)
        if not with_torchvision:
            print("torchvision is not installed, or does not import; it was not measured.")
        modules = "zoo_detection." + ", zoo_detection.".join(DETECTORS)
        predict = ["-m", "zoo", "predict", str(DIGIT), "--model", "squeezenet1_1", "--weights", "DIGITS_V1"]
        alone: list[Seconds] = []
        plugin: list[Seconds] = []
        program: list[Seconds] = []
        forward: list[Seconds] = []
        for _ in range(REPEATS + 1):
            alone.append(whole(["-c", "import torch"], folder))
            plugin.append(whole(["-c", f"import zoo_detection, {modules}"], folder))
            program.append(whole(predict, folder))
            forward.append(
                timed("with torch.inference_mode(): pipe.model(x)", FORWARD.format(picture=str(DIGIT)), folder)
            )
        base, ours_, answer, run = (median(runs[1:]) for runs in (alone, plugin, program, forward))
        print(f"\n{'whole processes, seconds':28}{'wall / CPU':>16}")
        print(f"{'import torch':28}{shown(base):>16}")
        print(
            f"{'import zoo_detection':28}{shown(ours_):>16}  {ours_[0] / base[0]:.2f} / {ours_[1] / base[1]:.2f} times"
        )
        print(f"{'zoo predict, one picture':28}{shown(answer):>16}")
        over = [a - b - f for a, b, f in zip(answer, base, run, strict=True)]
        print(f"{'  its forward':28}{shown(run):>16}")
        print(f"{'  beside both':28}{over[0]:>8.3f} / {over[1]:.3f}")


if __name__ == "__main__":
    main()
