"""The command line, on our own models and on a tiny plugin that is installed for the test, weights and all."""

from __future__ import annotations

import inspect
import json
import os
import pty
import re
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers import read_reference
from PIL import Image

import zoo
from zoo.cli import main, output, saving, views
from zoo.contract import preprocessing

MODELS = """
    from dataclasses import dataclass
    from pathlib import Path
    import torch
    from PIL import Image
    import zoo
    from shades_plugin import Shade_Weights

    class Shade(torch.nn.Module):
        def __init__(self, num_classes=2):
            super().__init__()
            self.fc = torch.nn.Linear(3, num_classes)

        def forward(self, x):
            return self.fc(x.mean((-2, -1)))

    @zoo.builder(Shade_Weights, head="fc")
    def shade(**kwargs):
        return Shade(**kwargs)

    @dataclass
    class Shown(zoo.Result):
        logits: torch.Tensor
        labels: list
        image: Image.Image

        def lines(self, k=5):
            best = self.logits.topk(min(k, 2)).indices.tolist()
            return [self.labels[i] if self.labels else f"class {i}" for i in best]

        def to_dict(self, k=5):
            return {"labels": self.lines(k)}

    class Drawn(Shown):
        def draw(self):
            return self.image.resize((4, 4))

    class Saved(Shown):
        def save(self, folder, stem):
            # Two files, one of them with more in its name.
            paths = [Path(folder, f"{stem}.txt"), Path(folder, f"{stem}-logits.txt")]
            for path, text in zip(paths, (self.lines(1)[0], str(self.logits.tolist()))):
                path.write_text(text)
            return paths

    class ShadeTask(zoo.PictureTask):
        kind = Drawn

        def __init__(self, loud=False, times=1):
            self.loud, self.times = loud, times

        def decode(self, outputs, inputs, weights):
            labels = self.times * list(weights.read_categories())
            labels = [label.upper() if self.loud else label for label in labels]
            return [self.kind(o, labels, i) for o, i in zip(outputs, inputs)]

    class SavingTask(ShadeTask):
        kind = Saved

    class PlainTask(ShadeTask):
        kind = Shown
"""

PLUGIN = """
    from zoo import Preset, Weights

    def entry(accuracy, file, **more):
        return Weights(
            url="file://" + FOLDER + "/" + file,
            transforms=Preset("zoo.transforms:ImageClassification", {"crop_size": 8, "resize_size": 8}),
            config={"num_classes": 2},
            num_params=8,
            metrics={"Walls": {"hits": accuracy, "misses": 100 - accuracy}},
            gflops=0.0012,
            categories=("dark", "light"),
            recipe="https://example.org/paint",
            license="MIT",
            **more,
        )

    class Shade_Weights(zoo.WeightsEnum):
        WALLS_V2 = entry(91.5, "shade.pt", docs="Painted twice.")
        WALLS_V1 = entry(88.25, "lost.pt")
        DEFAULT = WALLS_V2

    OPTIONS = (
        zoo.Option("loud", bool, False, "In capitals."),
        zoo.Option("times", int, 1, "How often."),
        zoo.Option("only", str, None, "For evaluation.", verb="evaluate"),
    )

    def task(name, cls):
        metrics = (zoo.Metric("hits", "Hits"), zoo.Metric("misses", "Misses", higher_is_better=False))
        return zoo.TaskSpec(
            name, "shades_models:" + cls, metrics=metrics, options=OPTIONS, suffixes=(".png", ".jpg")
        )

    @zoo.hookimpl
    def zoo_manifest():
        return zoo.Manifest(
            api_version=1,
            models=[
                zoo.ModelSpec("shade", "shades_models:shade", task="shade-telling", weights=Shade_Weights),
                zoo.ModelSpec("shade_untrained", "shades_models:shade", task="shade-telling", num_params=12_345),
            ],
            tasks=[
                task("shade-telling", "ShadeTask"),
                task("shade-saving", "SavingTask"),
                task("shade-plain", "PlainTask"),
            ],
        )
"""

Run = Callable[..., SimpleNamespace]


@pytest.fixture
def shades(plugin_folder: Any, tmp_path: Path) -> Path:
    """The plugin ``shades`` is installed; the folder holds its weights and two pictures."""
    (plugin_folder.path / "shades_models.py").write_text(textwrap.dedent(MODELS))
    plugin_folder.install("shades", f"FOLDER = {str(tmp_path)!r}\n" + textwrap.dedent(PLUGIN), distribution="shades")
    ones = torch.ones(1, 3)
    torch.save({"fc.weight": torch.cat([-ones, ones]), "fc.bias": torch.zeros(2)}, tmp_path / "shade.pt")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (12, 9), "black").save(pictures / "cellar.png")
    Image.new("RGB", (9, 12), "white").save(pictures / "snow.png")
    zoo.refresh()
    return tmp_path


def in_new_process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """``python -m zoo`` with the plugins of this process."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **options.pop("env", {})}
    command = [sys.executable, "-m", "zoo", *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, **options)


# ── list ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_list_is_a_table_that_scripts_can_read(run: Run) -> None:
    got = run("list", "resnet[15]*", "squeezenet1_0")
    assert (got.status, got.err) == (0, "")
    assert [line.split() for line in got.out.splitlines()] == [
        ["Name", "Task", "Params", "GFLOPs", "Acc@1"],
        ["resnet101", "image-classification", "44.5M", "7.80", "81.886"],
        ["resnet152", "image-classification", "60.2M", "11.51", "82.284"],
        ["resnet18", "image-classification", "11.7M", "1.81", "69.758"],
        ["resnet50", "image-classification", "25.6M", "4.09", "80.858"],
        ["squeezenet1_0", "image-classification", "1.2M", "0.82", "58.092"],
    ]


def test_metrics_of_several_tasks_are_named_in_each_row(run: Run, shades: Path) -> None:
    got = run("list", "shade*", "resnet18")
    assert [re.split(r"\s{2,}", line) for line in got.out.splitlines()] == [
        ["Name", "Task", "Params", "GFLOPs", "Value", "Metric"],
        ["resnet18", "image-classification", "11.7M", "1.810", "69.758", "Acc@1"],
        ["shade", "shade-telling", "8", "0.001", "91.500", "Hits"],
        ["shade_untrained", "shade-telling", "12.3K", "-", "-", "-"],
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--task", "shade-telling"], ["shade", "shade_untrained"]),
        (["--plugin", "shades", "--has-weights"], ["shade"]),
        (["--plugin", "shades", "--no-weights"], ["shade_untrained"]),
        (["--plugin", "shades", "--exclude", "*_untrained"], ["shade"]),
        (["shade*", "--max-params", "12k"], ["shade"]),
        (["resnet*", "--max-params", "0.0257B", "--min-metric", "acc@1=80", "--min-metric", "acc@5=95"], ["resnet50"]),
        (["shade*", "--max-metric", "misses=9"], ["shade"]),
    ],
)
def test_every_filter(run: Run, shades: Path, options: list[str], expected: list[str]) -> None:
    assert [row["name"] for row in json.loads(run("list", "--json", *options).out)] == expected


def test_list_json_has_the_facts_as_numbers(run: Run) -> None:
    (row,) = json.loads(run("list", "resnet50", "--json").out)
    assert row == {
        "name": "resnet50",
        "task": "image-classification",
        "tasks": ["image-classification"],
        "plugin": "classification",
        "num_params": 25_557_032,
        "gflops": 4.089,
        "metric": "acc@1",
        "value": 80.858,
        "weights": ["IMAGENET1K_V1", "IMAGENET1K_V2"],
        "default_weights": "IMAGENET1K_V2",
    }


def test_nothing_found_says_so_and_exits_as_grep_does(run: Run) -> None:
    got = run("list", "resnet")
    assert (got.status, got.out) == (1, "")
    assert "try 'resnet*'" in got.err
    got = run("list", "no*", "--json")
    assert (got.status, json.loads(got.out)) == (1, [])


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["list", "--max-params", "many"], 2, "'many' is not a number of parameters"),
        (["list", "--max-params", "1_"], 2, "not a number of parameters"),
        (["list", "--min-metric", "acc@1"], 2, "'acc@1' is not a bound of a metric"),
        (["list", "--min-metric", "acc@1=high"], 2, "not a bound of a metric"),
        (["list", "--min-metric", "=80"], 2, "not a bound of a metric"),
        (["predict", "a.png", "--model", "resnet50", "--batch-size", "-1"], 2, "Invalid value for '--batch-size'"),
        (["predict", "a.png", "--model", "resnet50", "--top", "0"], 2, "Invalid value for '--top'"),
        (["lst"], 2, "Did you mean 'list'?"),
        (["list", "--task", "image-clasification"], 1, "Did you mean 'image-classification'"),
        (["list", "--min-metric", "acc1=3"], 1, "No weights have a metric 'acc1'"),
        (["table", "clasification"], 1, "'clasification' is neither a task (image-classification"),
        (["table", "classification", "--plugin", "nope"], 1, "There is no plugin 'nope'"),
        (["show", "resnet5O"], 1, "There is no model 'resnet5O'. Did you mean 'resnet50'"),
        (["predict", "a.png", "--model", "resnett"], 1, "There is no model 'resnett'"),
        (["pull", "ResNet50_Weights.V3"], 1, "'V3' is not one of ResNet50_Weights's weights"),
        (["pull", "z*"], 1, "match 'z*'"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(run: Run, arguments: list[str], status: int, said: str) -> None:
    got = run(*arguments)
    assert (got.status, got.out) == (status, "")
    assert said in " ".join(got.err.split())
    assert "Traceback" not in got.err


# ── table ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_table_is_the_published_table(run: Run) -> None:
    """Every row, in its order, with the numbers as they were published."""
    head, rule, *lines = run("table", "classification", "--format", "markdown").out.splitlines()
    assert head == "| **Weight** | **Acc@1** | **Acc@5** | **Params** | **GFLOPs** | **Recipe** | **Licence** |"
    assert rule == "| --- | --- | --- | --- | --- | --- | --- |"
    published = [
        f"| `{row['weights']}` | {row['acc@1']} | {row['acc@5']} | {row['params']} | {row['gflops']} | "
        f"[link]({row['recipe']}) |"
        for row in read_reference("table_classification")
    ]
    rows = [re.fullmatch(r"(.* \|) ([^|]+) \|", line) for line in lines if "DIGITS" not in line]
    assert [row[1] for row in rows if row] == published
    # 39 are known from timm's configurations, 12 from the authors of SWAG.
    assert Counter(row[2] for row in rows if row) == {"unknown": 64, "BSD-3-Clause": 39, "CC-BY-NC-4.0": 12}


def test_table_as_text_is_one_line_a_row_nothing_cut(run: Run) -> None:
    got = run("table", "image-classification")
    rows = {line.split()[0]: line.split()[1:] for line in got.out.splitlines()}
    assert rows["RegNet_Y_128GF_Weights.IMAGENET1K_SWAG_E2E_V1"] == [
        "88.228",
        "98.682",
        "644.8M",
        "374.570",
        "ImageNet-1K",
        "CC-BY-NC-4.0",
        "DEFAULT",
    ]
    got = run("table", "image-classification", "--recipes")
    rows = {line.split()[0]: line.split()[1:] for line in got.out.splitlines()}
    assert rows["RegNet_Y_128GF_Weights.IMAGENET1K_SWAG_E2E_V1"][5] == "https://github.com/facebookresearch/SWAG"


def test_json_is_standard_though_a_metric_is_not_a_number(run: Run) -> None:
    assert re.search(r"VGG16_Weights\.IMAGENET1K_FEATURES +nan", run("table", "classification").out)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    rows = json.loads(run("table", "classification", "--format", "json").out, parse_constant=refuse)
    features = next(row for row in rows if row["weights"] == "VGG16_Weights.IMAGENET1K_FEATURES")
    assert features["metrics"] == {"ImageNet-1K": {"acc@1": None, "acc@5": None}}
    assert features["num_params"] == 138_357_544


def test_table_json_and_the_order_of_an_enum(run: Run, shades: Path) -> None:
    for name in ("shades", "shade-telling"):
        rows = json.loads(run("table", name, "--format", "json").out)
        assert [row["weights"] for row in rows] == ["Shade_Weights.WALLS_V2", "Shade_Weights.WALLS_V1"]
    assert rows[1] == {
        "weights": "Shade_Weights.WALLS_V1",
        "task": "shade-telling",
        "metrics": {"Walls": {"hits": 88.25, "misses": 11.75}},
        "num_params": 8,
        "gflops": 0.0012,
        "ops_unit": "GFLOPS",
        "recipe": "https://example.org/paint",
        "license": "MIT",
        "runtime": None,
    }


# ── show ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_show_tells_every_entry_and_what_is_in_the_cache(run: Run, shades: Path) -> None:
    facts, v2, v1 = run("show", "shade").out.split("\n\n")
    assert re.search(r"plugin +shades \(shades 1\.0\)", facts)
    assert v2.startswith("Shade_Weights.WALLS_V2  DEFAULT\n")
    assert v1.startswith("Shade_Weights.WALLS_V1\n")
    for expected in (
        "about +Painted twice.",
        "metrics +Walls: hits 91.5, misses 8.5",
        "labels +2 \\(dark, light\\)",
        "preprocessing +resize the shorter side to 8 \\(bilinear\\); crop the central 8 × 8",
        "licence +MIT",
        "recipe +https://example.org/paint",
        f"in the cache +{shades}/shade.pt",
    ):
        assert re.search(expected, v2), expected
    assert re.search("in the cache +no", v1)


def test_show_json(run: Run) -> None:
    info = json.loads(run("show", "resnet50", "--json").out)
    assert info["num_params"] == 25_557_032
    assert info["default_weights"] == "IMAGENET1K_V2"
    v2 = info["weights"]["IMAGENET1K_V2"]
    assert v2["name"] == "ResNet50_Weights.IMAGENET1K_V2"
    assert v2["transforms"]["arguments"]["resize_size"] == 232
    assert v2["categories"][:2] == ["tench", "goldfish"]
    assert v2["cached"] is None


def test_show_a_model_without_weights(run: Run, shades: Path) -> None:
    got = run("show", "shade_untrained")
    assert got.status == 0
    assert "No weights are published" in got.out


@pytest.mark.parametrize("name", sorted(preprocessing.WORDS))
def test_preprocessing_is_described_with_the_presets_own_defaults(name: str) -> None:
    """The words are made without importing the preset, so its defaults are written twice: they must agree."""
    preset = getattr(zoo.transforms, name)
    assumed = preprocessing.WORDS[name][0]
    real = {k: p.default for k, p in inspect.signature(preset).parameters.items()}
    for argument in ("resize_size", "crop_size", "interpolation"):
        if real.get(argument, inspect.Parameter.empty) is not inspect.Parameter.empty:
            assert assumed[argument] == getattr(real[argument], "value", real[argument])
    assert set(assumed) <= set(real)


def test_preprocessing_that_is_not_the_usual() -> None:
    sizes = {"crop_size": (224, 200), "resize_size": (256, 280), "interpolation": "bicubic"}
    preset = zoo.Preset("zoo.transforms:ImageClassification", {**sizes, "mean": (0.5,), "std": (0.25,)})
    assert preprocessing.describe(preset) == (
        "resize to 256 × 280 (bicubic); crop the central 224 × 200; scale to [0, 1]; "
        "normalise by mean=(0.5,), std=(0.25,)"
    )
    assert preprocessing.describe(zoo.Preset("lens.prep:Warp", {"k": 3})) == "lens.prep:Warp(k=3)"


# ── predict ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_predict_prints_the_labels_of_each_picture(run: Run, shades: Path) -> None:
    got = run("predict", shades / "pictures", "--model", "shade")
    assert (got.status, got.err) == (0, "")
    assert got.out == f"{shades}/pictures/cellar.png\n  dark\n  light\n\n{shades}/pictures/snow.png\n  light\n  dark\n"
    snow = shades / "pictures/snow.png"
    got = run("predict", snow, "--model", "shade", "--top", 1, "--weights", shades / "shade.pt")
    assert got.out == f"{snow}  class 1\n"  # a bare file does not say what its classes are


def test_an_unreadable_picture_is_named_and_the_others_go_on(run: Run, shades: Path) -> None:
    broken, missing, empty = shades / "broken.png", shades / "missing.png", shades / "empty"
    broken.write_bytes((shades / "pictures/snow.png").read_bytes()[:40])
    empty.mkdir()
    paths = (broken, shades / "pictures/snow.png", missing, empty, shades / "pictures/cellar.png")
    got = run("predict", *paths, "--model", "shade", "--top", 1)
    assert got.status == 1
    assert got.out.split() == [str(paths[1]), "light", str(paths[4]), "dark"]
    for path in (broken, missing, empty):
        assert str(path) in got.err
    assert len(got.err.splitlines()) == 3

    got = run("predict", *paths, "--model", "shade", "--top", 1, "--json")
    assert got.status == 1
    entries = {entry["input"]: entry for entry in json.loads(got.out)}
    assert set(entries) == set(map(str, paths))
    assert entries[str(paths[1])] == {"input": str(paths[1]), "labels": ["light"]}
    assert "does not exist" in entries[str(missing)]["error"]


def test_predict_json_of_nothing_is_an_array(run: Run, shades: Path) -> None:
    (shades / "empty").mkdir()
    got = run("predict", shades / "empty", "--model", "shade", "--json")
    assert got.status == 1
    assert [list(entry) for entry in json.loads(got.out)] == [["input", "error"]]


def test_output_writes_over_nothing(run: Run, shades: Path) -> None:
    """Not over inputs, not over results of another folder's picture of the same name, nor of another run's."""
    pictures = shades / "pictures"
    before = (pictures / "snow.png").read_bytes()
    (shades / "other").mkdir()
    Image.new("RGB", (9, 9), "black").save(shades / "other/snow.jpg")
    inputs = (pictures / "snow.png", shades / "other/snow.jpg")
    for expected in ([2, 3], [4, 5]):
        got = run("predict", *inputs, "--model", "shade", "--json", "--output", pictures)
        (pictures / "predictions.jsonl").unlink()  # so that nothing says whose the files are
        written = [path for entry in json.loads(got.out) for path in entry["output"]]
        assert written == [str(pictures / f"snow-{n}{end}") for n in expected for end in (".png", ".json")]
        assert [Image.open(path).size for path in written[::2]] == [(4, 4), (4, 4)]
    assert (pictures / "snow.png").read_bytes() == before


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_output_of_results_that_save_themselves_or_cannot_be_drawn(run: Run, shades: Path) -> None:
    folder = shades / "made/on/demand"
    command = ("predict", shades / "pictures/snow.png", "--model", "shade", "--output", folder)
    got = run(*command, "--task", "shade-saving")
    assert got.status == 0
    assert (folder / "snow.txt").read_text() == "light"
    assert str(folder / "snow.txt") in got.out
    assert str(folder / "snow-logits.txt") in got.out
    (folder / "predictions.jsonl").unlink()
    run(*command, "--task", "shade-saving")
    (folder / "predictions.jsonl").unlink()
    assert names(folder) == ["snow-2-logits.txt", "snow-2.txt", "snow-logits.txt", "snow.txt"]
    (folder / "snow.txt").write_text("precious")
    (folder / "snow-2.txt").unlink()  # the other file of that name is still there
    got = run(*command, "--task", "shade-saving", "--json")
    assert json.loads(got.out)[0]["output"] == [str(folder / f"snow-3{end}") for end in (".txt", "-logits.txt")]
    assert (folder / "snow.txt").read_text() == "precious"
    (folder / "predictions.jsonl").unlink()
    before = names(folder)
    got = run(*command, "--task", "shade-plain")
    assert got.status == 1
    assert "'shade-plain' draws no pictures" in got.err
    assert [name for name in names(folder) if name != "predictions.jsonl"] == before
    got = run(*command, "--task", "shade-plain", "--format", "none")
    assert (got.status, got.err) == (0, "")
    got = run(*command, "--task", "shade-saving", "--format", "webp", "--overwrite")
    assert (got.status, got.out) == (1, "")
    assert "--format webp: results of the task 'shade-saving' have their own file formats" in got.err


def test_output_of_several_at_once_writes_over_nothing(tmp_path: Path) -> None:
    class Note(zoo.Result):
        def __init__(self, text: str) -> None:
            self.text = text

        def save(self, folder: Path, stem: str) -> list[Path]:
            paths = [folder / f"{stem}{end}" for end in (".txt", "-copy.txt")]
            for path in paths:
                path.write_text(self.text)
            return paths

    texts = [f"note {i}" for i in range(64)]
    with ThreadPoolExecutor(8) as pool:
        (tmp_path / ".scratch").mkdir()

        def write(text: str) -> list[Path]:
            return saving.place(saving.save(Note(text), tmp_path / ".scratch", "note", "png"), tmp_path, "note")

        written = list(pool.map(write, texts))
    assert [[path.read_text() for path in paths] for paths in written] == [[text, text] for text in texts]
    assert not list((tmp_path / ".scratch").iterdir())
    assert len(names(tmp_path)) == 129


def test_output_folder_that_cannot_be_is_an_error_of_one_line(run: Run, shades: Path) -> None:
    (shades / "file").write_text("")
    got = run("predict", shades / "pictures", "--model", "shade", "--output", shades / "file")
    assert (got.status, got.out) == (1, "")
    assert len(got.err.splitlines()) == 1
    assert str(shades / "file") in got.err


def test_a_classifier_of_ours_is_drawn(run: Run, shades: Path) -> None:
    torch.save(zoo.get_model("squeezenet1_1").state_dict(), shades / "own.pt")
    arguments = ("--model", "squeezenet1_1", "--weights", shades / "own.pt", "--output", shades / "drawn", "--top", 3)
    got = run("predict", shades / "pictures/snow.png", *arguments)
    assert (got.status, got.err) == (0, "")
    assert re.search(r"snow\.png\n( +\d+\.\d\d%  class \d+\n){3}  → .*drawn/snow\.png\n", got.out)
    assert Image.open(shades / "drawn/snow.png").width > 300


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--loud"], 0, "LIGHT"),
        (["--loud=no"], 0, "light"),
        (["--times", "2", "--loud=true"], 0, "LIGHT"),
        (["--times", "two"], 2, "times is 'two'; expected a whole number. How often."),
        (["--times", "--loud"], 2, "times is '--loud'; expected a whole number."),
        (["--loud=perhaps"], 2, "loud is 'perhaps'; expected true or false. In capitals."),
        (["--loudly"], 2, "No such option: --loudly. shade-telling has --loud, --times. Did you mean '--loud'"),
        (["--only", "x"], 2, "No such option: --only. shade-telling has --loud, --times."),
        (["--tpo", "3"], 2, "Did you mean '--top'"),
    ],
)
def test_options_of_the_task(run: Run, shades: Path, options: list[str], status: int, said: str) -> None:
    got = run("predict", *options, shades / "pictures/snow.png", "--model", "shade", "--top", 1)
    assert got.status == status
    assert said in " ".join((got.err if status else got.out).split())


# ── pull ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pull_goes_on_after_an_error(run: Run, shades: Path) -> None:
    got = run("pull", "shade")
    assert (got.status, got.err) == (0, "")
    assert got.out.split() == ["Shade_Weights.WALLS_V2", "0.0", "MB", str(shades / "shade.pt")]
    got = run("pull", "no_such_model", "Shade_Weights.WALLS_V1", "shade", f"file://{shades}/shade.pt")
    assert got.status == 1
    assert got.out.count(str(shades / "shade.pt")) == 1
    first, second = got.err.splitlines()
    assert "no_such_model" in first
    assert "Shade_Weights.WALLS_V1" in second
    assert "lost.pt" in second


@pytest.mark.parametrize(
    ("name", "every", "expected"),
    [
        ("resnet50", False, "ResNet50:2"),
        ("resnet50", True, "ResNet50:1 ResNet50:2"),
        ("classification/resnet18", False, "ResNet18:1"),
        ("ResNet50_Weights.IMAGENET1K_V1", False, "ResNet50:1"),
        ("resnet[13]?", False, "ResNet18:1 ResNet34:1"),
        ("ResNet1*_V2", False, "ResNet101:2 ResNet152:2"),
    ],
)
def test_what_pull_is_asked_for(name: str, every: bool, expected: str) -> None:
    found = [repr(entry) for entry in views.find_weights(name, every=every)]
    assert [re.sub(r"_Weights\.IMAGENET1K_V", ":", entry) for entry in found] == expected.split()


# ── doctor ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_doctor_on_a_healthy_installation(run: Run, shades: Path, own_cache: Path) -> None:
    files = own_cache / "hub/checkpoints"
    files.mkdir(parents=True)
    (files / "a.pth").write_bytes(b"x" * 2**20)
    (files / "b.pth.part").write_bytes(b"")
    (files / ".a.pth.json").write_text("{}")
    got = run("doctor", "--json")
    assert got.status == 0
    facts = json.loads(got.out)
    assert facts["versions"]["zoo"] == zoo.__version__
    assert facts["versions"]["torch"].startswith(torch.__version__.partition("+")[0])
    plugins = {plugin["name"]: plugin for plugin in facts["plugins"]}
    ours, theirs = plugins["classification"], plugins["shades"]
    assert (ours["name"], ours["state"], ours["distribution"]) == ("classification", "ready", "zoo-classification")
    assert (theirs["name"], theirs["version"], theirs["models"]) == ("shades", "1.0", 2)
    cache = facts["cache"]
    assert (cache["path"], cache["files"], cache["size"], cache["writable"]) == (str(files), 1, 2**20, True)
    assert cache["unfinished"] == [str(files / "b.pth.part")]
    assert cache["free"] > 0


@pytest.mark.usefixtures("shades")
def test_doctor_explains_failures_conflicts_and_complaints(
    run: Run, plugin_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin_folder.install("broken", "raise ImportError('no module named quux')")
    plugin_folder.install_models("twin_a", "double", "resnet50")
    plugin_folder.install_models("twin_b", "double")
    monkeypatch.setenv("ZOO_STRICT", "1")  # makes failures errors elsewhere
    got = run("doctor")
    assert got.status == 1
    text = " ".join(got.out.split())
    assert "failed broken zoo-broken 1.0 stage import module zoo_broken_plugin" in text
    assert "ImportError: no module named quux" in text
    assert "shared name double: twin_a/double, twin_b/double; means none of them" in text
    assert "shared name resnet50: classification/resnet50, twin_a/resnet50; means classification/resnet50" in text
    assert "Traceback" not in text
    assert 'zoo_broken_plugin.py", line 2' in run("doctor", "--verbose").out


def test_doctor_sums_shared_names_up(run: Run, plugin_folder: Any) -> None:
    shared = [f"resnet{n}" for n in (18, 34, 50, 101, 152)] + ["vgg11", "vgg13", "vgg16", "vgg19"]
    plugin_folder.install_models("catalogue", *shared)
    plugin_folder.install_models("few", "alexnet")
    text = " ".join(run("doctor").out.split())
    assert (
        "9 shared names of catalogue and classification: resnet101, resnet152, resnet18 and 6 more; they mean "
        "classification's, and catalogue/resnet101 is available by its full name" in text
    )
    assert "shared name alexnet: classification/alexnet, few/alexnet; means classification/alexnet" in text
    assert len(json.loads(run("doctor", "--json").out)["conflicts"]) == 10


def test_doctor_tells_what_a_plugin_notes(run: Run, plugin_folder: Any) -> None:
    plugin_folder.install(
        "noted",
        """
        @zoo.hookimpl
        def zoo_manifest():
            return zoo.Manifest(api_version=1, notes=["It changes how pictures are read."])
        """,
    )
    assert "note It changes how pictures are read." in " ".join(run("doctor").out.split())


def test_doctor_shows_the_environment_without_its_secrets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("ZOO_MIRROR", "https://me:secret@mirror.example/zoo")
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    got = run("doctor")
    assert "secret" not in got.out
    assert re.search("HF_TOKEN +\\(set\\)", got.out)
    assert re.search("ZOO_MIRROR +https://…@mirror.example/zoo", got.out)
    assert "nothing is fetched" in got.out


def test_doctor_survives_a_cache_that_is_no_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    cache = json.loads(run("doctor", "--json").out)["cache"]
    assert (cache["exists"], cache["writable"]) == (False, False)


# ── the program ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_but_predict_imports_torch(shades: Path) -> None:
    """With torch, Pillow and rich blocked, every other command works; a plugin that fails is reported on stderr."""
    code = """
        import sys

        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("torch", "PIL", "numpy", "rich", "huggingface_hub"):
                    raise ImportError(f"{name} is blocked")

        sys.meta_path.insert(0, Blocked())
        from zoo.cli import main

        for command in ("--version", "list", "list --json", "table shades", "show resnet50", "show shade", "doctor",
                        "pull shade"):
            assert main(command.split()) == 0, command
        assert "torch" not in sys.modules
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"zoo {zoo.__version__}\n")


def test_a_plugin_that_fails_is_one_warning_on_stderr(plugin_folder: Any) -> None:
    plugin_folder.install("broken", "raise SystemExit('bye')")
    done = in_new_process("list", "resnet18")
    assert done.returncode == 0
    assert done.stderr.startswith("Warning: Plugin 'broken' (zoo-broken 1.0) failed at stage 'import' and is not used")
    assert "resnet18" in done.stdout


def test_debug_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DEBUG", "1")
    with pytest.raises(zoo.errors.UnknownModel):
        main(["show", "nope"])


def test_interrupting_a_download_is_quiet(plugin_folder: Any, tmp_path: Path) -> None:
    plugin_folder.install(
        "slow",
        """
        import time

        @zoo.hookimpl
        def zoo_manifest():
            return zoo.Manifest(api_version=1)

        @zoo.hookimpl
        def zoo_open_weights(url, progress):
            print("waiting", flush=True)
            time.sleep(60)
        """,
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "zoo", "pull", "slow://weights.pt"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "Interrupted.\n")


@pytest.mark.parametrize("command", ["list", "table classification"])
def test_a_reader_that_has_seen_enough_hears_nothing(command: str) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "zoo", *command.split()], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_labels_beyond_the_encoding_do_not_end_the_program() -> None:
    done = in_new_process("show", "resnet50", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert "224 x 224" in done.stdout  # our own signs in ASCII
    done = in_new_process("show", "你好", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 1
    assert "\\u4f60\\u597d" in done.stderr  # and all else as escapes


def on_a_terminal(*arguments: str, columns: int, **variables: str) -> list[str]:
    """The lines that a command shows on a terminal of this many columns, escape sequences and all."""
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    env |= {"TERM": "xterm-256color", "COLUMNS": str(columns), **variables}
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "zoo", *arguments], stdout=terminal, stderr=terminal, env=env
    ) as process:
        os.close(terminal)
        shown = b""
        try:
            while chunk := os.read(controller, 65536):
                shown += chunk
        except OSError:  # how a terminal says that nobody writes to it any more
            pass
        os.close(controller)
    assert process.returncode == 0
    return shown.decode().splitlines()


ESCAPES = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\")


def test_a_terminal_gets_colour_and_lines_that_fit() -> None:
    lines = on_a_terminal("list", "resn*", columns=60)
    assert "\x1b[" in lines[0]
    plain = [ESCAPES.sub("", line) for line in lines]
    assert max(map(len, plain)) <= 60
    assert plain[-1] == "8 models"
    lines = on_a_terminal("table", "classification", columns=80)
    assert max(len(ESCAPES.sub("", line)) for line in lines) <= 80
    assert not any("http" in line for line in lines)
    lines = on_a_terminal("table", "classification", "--recipes", columns=220)
    assert any("\x1b]8;" in line and "references/classification#alexnet-and-vgg" in line for line in lines)
    assert not any("\x1b[" in line for line in on_a_terminal("show", "resnet50", columns=80, NO_COLOR="1"))


@pytest.mark.parametrize(
    ("n", "text"),
    [(None, "-"), (0, "0"), (650, "650"), (1_235_496, "1.2M"), (61_100_840, "61.1M"), (1_500_000_000, "1.5B")],
)
def test_counts(n: int | None, text: str) -> None:
    assert output.count(n) == text


@pytest.mark.parametrize(("x", "text"), [(None, "-"), (7.995, "8"), (1.498, "1.5"), (0.004, "0.004"), (0.0, "0")])
def test_gflops(x: float | None, text: str) -> None:
    assert output.gflops(x) == text
