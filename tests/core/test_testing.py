"""The conformance kit finds what is wrong with a plugin: every fault planted here is caught by the check it is of."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.cli import main
from zoo.errors import InvalidArgument
from zoo.testing import CHECKS, Conformance, verify

PLUGIN = """
    from zoo import Preset, Command, Engine, Option, TaskSpec, Weights, WeightsEnum

    class Net_Weights(WeightsEnum):
        V1 = Weights(
            url="https://example.org/net-0123abcd.pth",
            transforms=Preset("zoo.transforms:ImageClassification", {"crop_size": 32, "resize_size": 32}),
            config={"num_classes": 4},
            num_params=276,
            metrics={"Shapes": {"acc@1": 90.0}},
            categories=("circle", "square", "star", "heart"),
            min_size=(8, 8),
        )
        DEFAULT = V1

    class Other_Weights(WeightsEnum):
        V1 = Weights(url="https://example.org/other-0123abcd.pth")

    @zoo.hookimpl
    def zoo_manifest():
        net = zoo.ModelSpec("net", "acme_model:net", task="image-classification", weights=Net_Weights)
        return zoo.Manifest(api_version=1, models=[net], **MORE)

    MORE = {
        "tasks": [
            TaskSpec(
                "shape-guessing",
                "acme_task:Guessing",
                options=(Option("sides", int, 3, "At most this many."), Option("fine", bool, True, "Well.",
                "evaluate")), provides={"evaluate": "acme_task:evaluate"},
            )
        ],
        "commands": [Command("guess", "acme_task:guess", "Guess a shape.")],
        "engines": [Engine("abacus", "acme_task:Abacus")],
        "provides": {("image-classification", "distil"): "acme_task:distil"},
    }
"""
TASK = """
    import zoo

    class Guessing(zoo.PictureTask):
        def __init__(self, sides=3):
            self.sides = sides

        def decode(self, outputs, inputs, weights):
            raise NotImplementedError

    evaluate = distil = guess = Abacus = print
"""
MODEL = """
    import random
    import torch
    import zoo
    from torch import nn
    from zoo_acme_plugin import Net_Weights, Other_Weights

    class Net(nn.Module):
        def __init__(self, num_classes=4, width=8):
            super().__init__()
            self.conv = nn.Conv2d(3, width, 3, stride=2, padding=1)
            self.norm = nn.BatchNorm2d(width)
            self.dropout = nn.Dropout(0.5)
            self.head = nn.Linear(width, num_classes)
            self.feature_info = [zoo.Stage("norm", width, 2)]

        def forward(self, x):
            x = self.norm(self.conv(x)).relu().mean((-2, -1))
            return self.head(self.dropout(x))

    @zoo.builder(Net_Weights, head="head")
    def net(**kwargs):
        '''A net.'''
        return Net(**kwargs)
"""


@pytest.fixture
def acme(plugin_folder: Any) -> Any:
    """``acme(*changes)`` installs the plugin with pieces of its source replaced: ``(old, new)`` each."""

    def install(*changes: tuple[str, str]) -> None:
        sources = [PLUGIN, MODEL, TASK]
        for old, new in changes:
            assert any(old in source for source in sources)
            sources = [source.replace(old, new) for source in sources]
        for module in ("zoo_acme_plugin", "acme_model", "acme_task"):  # of an earlier version
            sys.modules.pop(module, None)
        plugin_folder.install("acme", sources[0])
        (plugin_folder.path / "acme_model.py").write_text(textwrap.dedent(sources[1]))
        (plugin_folder.path / "acme_exits.py").write_text("raise SystemExit(3)")
        (plugin_folder.path / "acme_task.py").write_text(textwrap.dedent(sources[2]))
        zoo.refresh()

    return install


def test_a_good_plugin_passes_every_check(acme):
    acme()
    seen = []
    report = verify("acme", tier="full", on_result=lambda result, total: seen.append((result, total)))
    assert report.ok, str(report)
    assert [r.check for r in report.results] == [check.name for check in CHECKS]
    assert {r.outcome for r in report.results} == {"ok"}
    assert seen == [(result, len(CHECKS)) for result in report.results]
    assert str(report) == f"acme (full): {len(CHECKS)} ok, 0 failed, 0 skipped"


URL = "https://example.org/net-0123abcd.pth"
HEAD = "return self.head(self.dropout(x))"
FIXED = "return Net(**{**kwargs, 'num_classes': 4})"
GIVES_MAPS = "def forward_intermediates(self, x, indices, **how): return [self.norm(self.conv(x))]"
NUMBERS = f"x = x if x.sum().item() < 1e9 else -x\n            {HEAD}"
DATA_DEPENDENT = f"x = x if x.is_meta or x.sum() > 0 else -x\n            {HEAD}"
BUILDER = '@zoo.builder(Net_Weights, head="head")'
TOLERANT = "try: import torch\n    except ImportError: pass\n    "
FAULTS = [
    # the check that is to find it, what is replaced, by what, and what the message says
    ("manifest", "api_version=1", "api_version=99", "Install a newer zoo-core"),
    ("torch_free", "from zoo import P", "import torch\n    from zoo import P", r"plugin\.py, line 3: import torch"),
    ("torch_free", "from zoo import P", TOLERANT + "from zoo import P", "plugin.py, line 3"),
    ("names", "DEFAULT = V1", "", "Net_Weights has no DEFAULT"),
    ("tasks", "Guessing(zoo.PictureTask)", "Guessing", "Guessing has no load, transform, .*; zoo.PictureTask, a base"),
    ("tasks", "def decode", "def decide", "Guessing has no decode; zoo.PictureTask"),
    ("tasks", "acme_task:Guessing", "acme_task:__name__", "is 'acme_task'; expected a class"),
    ("tasks", "acme_task:Guessing", "acme_task:Gessing", "shape-guessing: acme_task:Gessing cannot be imported"),
    ("tasks", "self, sides=3", "self", "the option 'sides' is not an argument of acme_task:Guessing"),
    ("tasks", "self, sides=3", "self, sides=3, depth=1", "the argument 'depth' of acme_task:Guessing is not among its"),
    ("tasks", "self, sides=3", "self, sides=4", "option 'sides' defaults to 3, but to 4 in acme_task:Guessing"),
    ("tasks", "acme_task:evaluate", "acme_task:judge", "shape-guessing: its object for 'evaluate': .* cannot be"),
    ("tasks", "acme_task:distil", "acme_task:brew", "image-classification: its object for 'distil': acme_task:b"),
    ("tasks", "acme_task:Guessing", "acme_exits:Guessing", "cannot be imported: SystemExit: 3"),
    ("commands", "acme_task:guess", "acme_task:gues", "guess: acme_task:gues cannot be imported: ContractError"),
    ("commands", "acme_task:Abacus", "acme_tusk:Abacus", "abacus: acme_tusk:Abacus cannot be imported"),
    ("metadata", '{"Shapes": {"acc@1": 90.0}}', "{}", "V1 has no metrics, which image-classification requires"),
    ("metadata", "acc@1", "accuracy", r"none of its metrics \(accuracy\) is acc@1 or acc@5"),
    ("metadata", 'task="image-classification"', 'task="dowsing"', "No installed .* 'dowsing'.*add a zoo.TaskSpec"),
    ("categories", '"star", ', "", "names 3 categories and its config has num_classes=4"),
    ("urls", URL, "https://example.org/net.pth", "does not end in -<8 or more digits"),
    ("urls", URL, "https://example.org/net-20240131.pth", "does not end in -<8 or more digits"),
    ("urls", URL, "hf://acme/net/model.safetensors", "no revision"),
    ("urls", URL, "pkg://zoo/net.pth", "does not exist or does not match"),
    ("urls", URL, "/home/acme/net-0123abcd.pth", "is not a URL"),
    ("pickling", "min_size=(8, 8),", "min_size=(8, 8), extra={'f': lambda: 0},", "cannot be pickled"),
    ("signature", BUILDER, "", r"does not take weights=.*Decorate acme_model:net"),
    ("signature", BUILDER, "@zoo.builder(Other_Weights, head='head')", "V1 is for this model, but the builder"),
    ("parameters", "276", "277", r"num_params=277, but with config=\{'num_classes': 4\} there are 276"),
    ("forward", HEAD, HEAD + " / self.training", "On cpu: output is not finite"),
    ("forward", HEAD, HEAD + "[None]", "expected .N, num_classes"),
    ("train", HEAD, "if self.training: raise ValueError('no training')\n            " + HEAD, "no training"),
    ("train", HEAD, "if self.training: return self.head(x).detach()\n            " + HEAD, "the graph is interrupted"),
    ("deterministic", HEAD, "return self.head(x + torch.rand_like(x))", "gives another output the second time"),
    ("deterministic", "x = self.norm(", "self.norm.train(); x = self.norm(", "changes the buffer norm.running_mean"),
    ("round_trip", "self.head = ", "self.scale = random.random(); self.head = ", "neither a parameter nor"),
    ("num_classes", "return Net(**kwargs)", FIXED, "num_classes=7 gives 4 logits"),
    ("num_classes", "head=\"head\"", "", "does not fit the model"),
    ("features", '"norm", width, 2', '"norm", width, 4', "has a stride of about 2; declared is 4"),
    ("features", '"norm", width, 2', '"norm", 9, 2', "has 8 channels; declared are 9"),
    ("features", '"norm", width, 2', '"layer4", width, 2', "no submodule 'layer4'"),
    ("features", '"norm", width, 2', '"head", width, 2', "a tensor of 2 dimensions; expected NCHW"),
    ("preprocessing", "ImageClassification\"", "NoSuchThing\"", "NoSuchThing"),
    ("preprocessing", "min_size=(8, 8)", "min_size=(48, 48)", r"\[3, 32, 32\]; expected \[C, H ≥ 48"),
    ("preprocessing", '"resize_size": 32', '"resize_size": 32, "mean": [float("nan")] * 3', "nan|not finite"),
    ("capture", HEAD, DATA_DEPENDENT, "Could not guard|data-dependent"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "old", "new", "message"), FAULTS, ids=[f"{f[0]}-{i}" for i, f in enumerate(FAULTS)])
@pytest.mark.usefixtures("quiet_plugins")
def test_a_fault_is_found_by_the_check_that_it_is_of(acme, check, old, new, message):
    acme((old, new), *([(HEAD, f"{HEAD} * self.scale")] if "self.scale" in new else []))
    report = verify("acme", tier="full" if check == "capture" else "model")
    failed = [result.check for result in report.failed]
    # Without outputs or prepared inputs there is no result to read either.
    assert failed == [check] or (failed == [check, "results"] and check in ("forward", "preprocessing")), str(report)
    assert report.failed[0].message
    with pytest.raises(AssertionError, match=f"(?s){message}"):
        raise AssertionError(report.failed[0].message)


PECULIAR = [
    # right, but worth a word: the check, what is replaced, by what, the outcome and what is said
    ("urls", "net-0123abcd", "net_0123abcd", "ok", "after an underscore"),
    ("urls", URL, "hf://acme/net/model.safetensors@main", "ok", "which can move"),
    ("urls", URL, "acme://net", "ok", "a scheme that a plugin must support"),
    ("signature", "'''A net.'''", "", "ok", "no docstring"),
    ("train", "self.head = ", "self.unused = nn.Linear(1, 1); self.head = ", "ok", "gradient of unused.weight"),
    ("features", '[zoo.Stage("norm", width, 2)]', "[]", "skipped", "which zoo.backbone requires"),
    ("features", '"norm", width, 2)]', f'"", width, 2)]\n        {GIVES_MAPS}', "ok", ""),
    ("features", HEAD, NUMBERS, "ok", "it does not run on the meta device"),
    (
        "num_classes",
        "self.head = ",
        "self.register_buffer('bound', torch.tensor(float('inf'))); self.head = ",
        "ok",
        "",
    ),
    ("capture", "weights=Net_Weights)", "weights=Net_Weights, capture=False)", "skipped", "capture=False"),
    ("metadata", ", weights=Net_Weights", "", "skipped", "no weights are published"),
]


@pytest.mark.parametrize(("check", "old", "new", "outcome", "message"), PECULIAR, ids=lambda x: None)
def test_what_is_peculiar_is_said_and_is_no_fault(acme, check, old, new, outcome, message):
    acme((old, new), *([("276", "278")] if "unused" in new else []))
    report = verify("acme", tier="full" if check == "capture" else "model")
    result = next(result for result in report.results if result.check == check)
    assert report.ok, str(report)
    assert result.outcome == outcome
    assert message in result.message


@pytest.mark.usefixtures("quiet_plugins")
def test_exceptions_of_the_plugin_are_skipped_with_their_reason(acme):
    broken = (HEAD, f"if self.training: raise ValueError('no training')\n            {HEAD}")
    assert [r.check for r in check_with(acme, broken).failed] == ["train"]
    report = check_with(acme, broken, ("api_version=1", "api_version=1, exceptions={'n*:train': 'their own reason'}"))
    assert report.ok
    skipped = {r.check: r.message for r in report.results if r.outcome == "skipped"}
    assert skipped["train"] == "excepted by the plugin: their own reason"
    for key in ("nut:train", "net:trian"):
        report = check_with(acme, ("api_version=1", f"api_version=1, exceptions={{'{key}': 'why'}}"))
        assert [r.check for r in report.failed] == ["manifest"]
        assert f"'{key}', which matches no check of an existing model" in report.failed[0].message
    report = check_with(acme, ("api_version=1", "api_version=1, exceptions={'net:train': ''}"))
    assert "expected 'model:check': 'why'" in report.failed[0].message


def check_with(acme, *changes):
    acme(*changes)
    return verify("acme", tier="model")


def test_a_model_says_how_large_images_must_be_in_training(acme):
    refuse = "if self.training and x.shape[-1] < 96: raise ValueError('too small')\n            x = self.norm("
    acme(("x = self.norm(", refuse))
    assert [r.message for r in verify("acme", tier="model").failed] == ["ValueError: too small"]
    acme(("x = self.norm(", refuse), ("weights=Net_Weights)", "weights=Net_Weights, input={'train_size': 96})"))
    assert verify("acme", tier="model").ok


def test_the_input_is_the_authors_to_choose(acme):
    acme(("forward(self, x):", "forward(self, x, mask):"), (HEAD, f"{HEAD} * mask"), ("weights=Net_Weights)", ")"))

    class Masked(Conformance):
        plugin = "acme"
        tiny = {"net": {"width": 4}}  # noqa: RUF012
        skip = {"features": "they take one input"}  # noqa: RUF012

        def example(self, name):
            return torch.rand(2, 3, 16, 16), torch.ones(2, 1)

    report = verify(Masked, tier="model")
    assert report.ok, str(report)
    said = {result.check: result.message for result in report.results}
    assert said["features"] == "skipped: they take one input"
    assert not verify("acme", tier="model").ok


TONES = """
    @zoo.hookimpl
    def zoo_manifest():
        task = zoo.TaskSpec("tone", "tones_model:ToneTask", input_ndim=1, required=("url",))
        spec = zoo.ModelSpec("tuner", "tones_model:tuner", task="tone", weights=Tuner_Weights)
        return zoo.Manifest(api_version=1, models=[spec], tasks=[task])

    class Tuner_Weights(zoo.WeightsEnum):
        DEFAULT = zoo.Weights(url="https://example.org/tuner-0123abcd.pth")
"""
TONES_MODEL = """
    import torch, zoo
    from zoo_tones_plugin import Tuner_Weights

    class Tone(zoo.Result):
        def __init__(self, pitch):
            self.pitch = pitch

        def lines(self, k=5):
            return [f"{self.pitch:.2f} Hz"]

        def to_dict(self, k=5):
            return {"pitch": self.pitch}

    class ToneTask(zoo.Task):
        def load(self, source):
            return source.width

        def transform(self, weights):
            return lambda width: torch.full((width,), 0.5)

        def collate(self, prepared):
            return (dict(enumerate(prepared)), len(prepared))

        def decode(self, outputs, inputs, weights):
            return [Tone(pitch.item()) for pitch in outputs["pitch"]]

        def example(self, model, weights, size=None):
            return self.collate([torch.full((96,), 0.25), torch.full((96,), 0.5)])

    class Tuner(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.pitch = torch.nn.Parameter(torch.ones(96))

        def forward(self, tones, n):
            assert len(tones) == n
            return {"pitch": [self.pitch @ tone for tone in tones.values()], "n": n}

    @zoo.builder(Tuner_Weights)
    def tuner():
        return Tuner()
"""


def test_a_task_of_the_plugins_own_is_fed_by_its_own_steps(plugin_folder):
    plugin_folder.install("tones", TONES)
    (plugin_folder.path / "tones_model.py").write_text(textwrap.dedent(TONES_MODEL))
    zoo.refresh()
    report = verify("tones", tier="full")
    assert report.ok, str(report)
    skipped = {result.check for result in report.results if result.outcome == "skipped"}
    assert skipped == {"commands", "categories", "parameters", "num_classes", "features"}


UNREADABLE = [
    # what is replaced, by what, and what the check `results` says
    (
        'return [f"{self.pitch:.2f} Hz"]',
        "return 'a tone'",
        r"lines\(3\) of a result returns 'a tone'; expected a list",
    ),
    (
        'return [f"{self.pitch:.2f} Hz"]',
        "return [self.pitch]",
        r"lines\(3\) of a result returns \[.*expected a list",
    ),
    ('{"pitch": self.pitch}', '{"pitch": self}', r"to_dict\(3\) of a result cannot be written as JSON: .*Tone"),
    ("class Tone(zoo.Result)", "class Tone", r"decode\(\) returns \[<.*Tone object .*; expected .* zoo\.Result"),
    ("Tone(pitch.item()) for", "pitch.item() for", r"decode\(\) returns \[.*; expected .* zoo\.Result"),
    ('outputs["pitch"]]', 'outputs["pitch"]][1:]', r"decode\(\) returns \["),
    ("return [Tone", "raise ValueError('out of tune')\n            return [Tone", "ValueError: out of tune"),
]


@pytest.mark.parametrize(("old", "new", "message"), UNREADABLE)
def test_results_that_cannot_be_read_are_found(plugin_folder, old, new, message):
    assert old in TONES_MODEL
    plugin_folder.install("tones", TONES)
    (plugin_folder.path / "tones_model.py").write_text(textwrap.dedent(TONES_MODEL.replace(old, new)))
    zoo.refresh()
    (failed,) = verify("tones", tier="model").failed
    assert (failed.check, failed.model) == ("results", "tuner")
    with pytest.raises(AssertionError, match=f"(?s){message}"):
        raise AssertionError(failed.message)


DETECTOR = """
    @zoo.hookimpl
    def zoo_manifest():
        facts = {"required": ("url",), "provides": {"train": "boxes_model:Training"}}
        tasks = ("keypoint-detection", "instance-segmentation")
        spec = zoo.ModelSpec("finder", "boxes_model:finder", task=tasks, weights=Finder_Weights)
        return zoo.Manifest(
            api_version=1, models=[spec], tasks=[zoo.TaskSpec(task, "boxes_model:Finding", **facts) for task in tasks]
        )

    class Finder_Weights(zoo.WeightsEnum):
        DEFAULT = zoo.Weights(
            url="https://example.org/finder-0123abcd.pth",
            transforms=zoo.Preset("zoo.transforms:ObjectDetection"),
            config={"num_keypoints": 5},
        )
"""
DETECTOR_MODEL = """
    import torch, zoo
    from zoo_boxes_plugin import Finder_Weights

    class Found(zoo.Result):
        def __init__(self, score):
            self.score = score

        def lines(self, k=5):
            return [f"{self.score:.0%}"]

        def to_dict(self, k=5):
            return {"score": self.score}

    class Finding(zoo.PictureTask):
        def collate(self, prepared):
            return (list(prepared),)

        def decode(self, outputs, inputs, weights):
            return [Found(output["score"].item()) for output in outputs]

        def example(self, model, weights, size=None):
            (pictures,) = super().example(model, weights, size)
            return self.collate(pictures)

    class Training:
        @staticmethod
        def with_targets(model, arguments):
            (images,) = arguments
            return images, [{"boxes": torch.tensor([[0.0, 0, *image.shape[:0:-1]]])} for image in images]

    class Finder(torch.nn.Module):
        def __init__(self, num_keypoints=5):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, images, targets=None):
            found = [image.mean() * self.scale for image in images]
            if not self.training:
                return [{"score": score} for score in found]
            for image, target in zip(images, targets, strict=True):
                height, width = image.shape[-2:]
                assert target["boxes"].tolist() == [[0, 0, width, height]]
            return {"loss": sum(found)}

    @zoo.builder(Finder_Weights)
    def finder(**kwargs):
        return Finder(**kwargs)
"""


def test_a_detector_is_trained_on_targets(plugin_folder):
    plugin_folder.install("boxes", DETECTOR)
    (plugin_folder.path / "boxes_model.py").write_text(textwrap.dedent(DETECTOR_MODEL))
    zoo.refresh()
    report = verify("boxes", tier="model")
    assert report.ok, str(report)
    skipped = {result.check for result in report.results if result.outcome == "skipped"}
    assert skipped == {"commands", "categories", "parameters", "num_classes", "features"}


@pytest.mark.parametrize("name", ["maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn"])
def test_targets_that_our_detectors_are_trained_on(name):
    with torch.device("meta"):
        model = zoo.get_model(name, num_classes=3)
    training = zoo.registry.provided(zoo.get_task(zoo.model_info(name).task), "train")()
    pictures = [torch.rand(3, 48, 64), torch.rand(3, 40, 40)]
    same, targets = training.with_targets(model, (pictures,))
    assert same is pictures
    for picture, target in zip(pictures, targets, strict=True):
        height, width = picture.shape[-2:]
        assert (target["boxes"][:, 2:] > target["boxes"][:, :2]).all()
        assert (target["boxes"] <= torch.tensor([width, height, width, height])).all()
        assert target["labels"].tolist() == [1, 1]
        if name.startswith("mask"):
            assert target["masks"].shape == (2, height, width)
            assert 0 < target["masks"].float().mean() < 1
        else:
            assert target["keypoints"].shape == (2, 17, 3)


def test_the_default_runs_the_smallest_of_each_family(plugin_folder, monkeypatch):
    plugin_folder.install(
        "acme",
        """
        @zoo.hookimpl
        def zoo_manifest():
            sizes = {"a.big": 9, "a.small": 3, "a.unknown": None, "b.only": None}
            return zoo.Manifest(api_version=1, models=[
                zoo.ModelSpec(name, f"{name[0]}:build", task="image-classification", num_params=size)
                for name, size in sizes.items()
            ] + [zoo.ModelSpec("c", "a:build", task="image-classification", family="own")])
        """,
    )
    zoo.refresh()

    class Acme(Conformance):
        plugin = "acme"

    def run(tier: str) -> set[str | None]:
        monkeypatch.setenv("ZOO_TIER", tier)
        return {case.model for case in Acme().cases() if case.check.of == "model" and case.check.tier != "contract"}

    assert run("") == run("default") == {"a.small", "b.only", "c"}
    assert run("contract") == set()
    assert run("model") == run("full") == {"a.big", "a.small", "a.unknown", "b.only", "c"}
    assert {str(case) for case in Acme().cases()} > {"plugin-names", "a.big-urls", "a.small-capture"}
    Acme.tier = "contract"
    assert run("full") == set()


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"plugin": "acm"}, "no plugin 'acm'.*Did you mean 'acme'"),
        ({"tier": "ful"}, "tier is 'ful'.*Did you mean 'full'"),
        ({"skip": {"featurs": "why"}}, "no check 'featurs'.*Did you mean 'features'"),
        ({"skip": {"features": " "}}, "only be skipped with a reason"),
        ({"skip": {"nett:features": "why"}}, "no model 'nett'.*Did you mean 'net'"),
        ({"tiny": {"nett": {}}}, "no such model.*Did you mean 'net'"),
        ({"models": ["ne?t"]}, r"No model of acme matches ne\?t"),
        ({"models": "net"}, r"expected a list of wildcards: \['net'\]"),
        ({"limit": 0}, "limit is 0; expected a whole number of at least 1"),
    ],
)
def test_what_was_mistyped_is_told(acme, attributes, message):
    acme()
    with pytest.raises(InvalidArgument, match=message):
        verify(**{"plugin": "acme", **attributes})


def run_python(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # they take longer to import than all else here
    }
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=path, capture_output=True, text=True, check=False
    )


def test_the_contract_is_checked_without_torch(acme, tmp_path):
    acme()
    program = "import sys, zoo; print(zoo.testing.verify('acme', tier='contract').ok, 'torch' in sys.modules)"
    done = run_python("-c", program, path=tmp_path)
    assert done.stdout == "True False\n", done.stderr


def test_every_check_is_a_test_of_its_own_under_pytest(acme, tmp_path):
    acme(("276", "277"))
    (tmp_path / "test_acme.py").write_text(
        textwrap.dedent(
            """
            import zoo.testing

            class TestAcme(zoo.testing.PluginConformance):
                plugin = "acme"
                tier = "model"
                skip = {"net:train": "takes a night"}
            """
        )
    )
    done = run_python("-m", "pytest", "-rfs", "-p", "no:cacheprovider", path=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED test_acme.py::TestAcme::test_conformance[net-parameters]" in done.stdout
    assert "skipped: takes a night" in done.stdout
    assert f"1 failed, {len(CHECKS) - 3} passed, 1 skipped" in done.stdout


def test_without_pytest_the_way_around_it_is_told(tmp_path):
    program = "import sys; sys.modules['pytest'] = None; import zoo; zoo.testing.PluginConformance"
    done = run_python("-c", program, path=tmp_path)
    assert "MissingPlugin: zoo.testing.PluginConformance needs pytest: pip install pytest" in done.stderr
    assert "zoo verify-plugin" in done.stderr


def test_the_command_prints_a_table_and_fails_on_a_fault(acme, capsys):
    acme(("276", "277"), ("net-0123abcd", "net_0123abcd"))
    assert main(["verify-plugin", "acme", "--tier", "model"]) == 1
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:4] for line in out.splitlines() if line.strip()}
    assert rows["urls"] == ["1", "0", "0"]
    assert rows["parameters"] == ["0", "1", "0"]
    assert "failed  net  parameters\n  V1 declares num_params=277" in out
    assert "note  net  urls\n  V1: https://example.org/net_0123abcd.pth has its hash after an underscore" in out
    assert out.endswith(f"acme 1.0: failed, {len(CHECKS) - 1} checks of the tier model\n")


def test_the_command_prints_json(acme, capsys):
    acme()
    assert main(["verify-plugin", "acme", "--tier", "contract", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["plugin"], report["version"], report["tier"], report["ok"]) == ("acme", "1.0", "contract", True)
    assert [result["check"] for result in report["results"]] == [c.name for c in CHECKS if c.tier == "contract"]
    assert set(report["results"][0]) == {"check", "model", "outcome", "message", "seconds"}


def test_the_command_names_the_plugins_there_are(acme, capsys):
    acme()
    assert main(["verify-plugin", "acm"]) == 1
    assert "There is no plugin 'acm'; installed are acme, classification" in capsys.readouterr().err


MANY = """
    import zoo

    SIZES = {"a_large": 9, "a_small": 1, "a_mid": 4, "b_one": 5, "b_two": 6}

    def enum(name):
        first = zoo.Weights(url=f"https://example.org/{name}", transforms=zoo.Preset("zoo.transforms:Nothing"))
        return zoo.WeightsEnum(f"{name}_Weights", {"V1": first, "DEFAULT": first})

    @zoo.hookimpl
    def zoo_manifest():
        return zoo.Manifest(api_version=1, models=[
            zoo.ModelSpec(name, f"nowhere:{name}", task="image-classification", num_params=n, family=name[0],
                          weights=enum(name))
            for name, n in SIZES.items()
        ])
"""


def test_some_of_many_models_are_checked(plugin_folder):
    plugin_folder.install("many", MANY)
    zoo.refresh()

    def checked(**arguments: Any) -> list[str]:
        found = {r.model for r in verify("many", tier="contract", **arguments).results}
        return sorted(name for name in found if name)

    assert len(checked()) == 5
    assert checked(limit=2) == ["a_small", "b_one"]
    assert checked(limit=4) == ["a_mid", "a_small", "b_one", "b_two"]
    assert checked(models=["a_*"], limit=2) == ["a_mid", "a_small"]
    assert checked(models=["*_one", "*_two"]) == ["b_one", "b_two"]


def test_equal_problems_are_printed_once(plugin_folder, capsys):
    plugin_folder.install("many", MANY)
    zoo.refresh()
    assert main(["verify-plugin", "many", "--tier", "contract", "--model", "a_*", "--model", "b_*"]) == 1
    out = capsys.readouterr().out
    assert out.count("V1 has no num_params, which image-classification requires") == 1
    assert "failed  5 models  metadata" in out
    assert "(a_large, a_small, a_mid, b_one and 1 more)" in out
    assert main(["verify-plugin", "many", "--tier", "contract", "--limit", "1"]) == 1
    out = capsys.readouterr().out
    assert "failed  a_small  metadata" in out
    assert re.search(r"checks of the tier contract on 1 of \d+ models\n$", out)


def test_checks_that_were_broken_off_go_on(acme, tmp_path, monkeypatch, capsys):
    acme(("276", "277"))
    made: list[str] = []

    def stop(result: Any, total: int) -> None:
        made.append(result.check)
        if result.check == "forward":
            raise KeyboardInterrupt

    kept = tmp_path / "kept.jsonl"
    with pytest.raises(KeyboardInterrupt):
        verify("acme", tier="model", resume=kept, on_result=stop)
    with kept.open("a") as f:
        f.write('{"plugin": "acme", "vers')  # as a process that was killed leaves it
    assert len(kept.read_text().splitlines()) == len(made) + 1
    functions: list[str] = []
    real = type(CHECKS[0]).function.fget

    def noted(check: Any) -> Any:
        functions.append(check.name)
        return real(check)

    monkeypatch.setattr(type(CHECKS[0]), "function", property(noted))
    report = verify("acme", tier="model", resume=kept)
    assert len(report.results) == len(CHECKS) - 1
    assert functions[0] == "parameters"  # which failed, and is checked again
    assert set(functions[1:]).isdisjoint(made)
    assert verify("acme", tier="model", resume=kept).results[-1] == report.results[-1]  # the time it took included
    other = tmp_path / "other.json"
    other.write_text('{"a": 1}')
    with pytest.raises(InvalidArgument, match="is not a file of `zoo verify-plugin --resume`"):
        verify("acme", tier="contract", resume=other)
    monkeypatch.chdir(tmp_path)
    assert main(["verify-plugin", "acme", "--full", "--resume"]) == 1
    out = capsys.readouterr().out
    assert "checks of the tier full" in out
    assert "earlier run" not in out
    assert (tmp_path / "zoo-verify-acme.jsonl").exists()
    assert main(["verify-plugin", "acme", "--full", "--resume"]) == 1  # what failed is checked again, by itself
    assert capsys.readouterr().out.endswith(f"tier full; {len(CHECKS) - 1} results are of an earlier run\n")
