"""zoo-timm's tables compared with the installed timm: names, facts, parameters, preprocessing pixel by pixel."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

import zoo

timm = pytest.importorskip("zoo_timm.models").timm
from timm.data import create_transform  # noqa: E402

from zoo_timm.weights import CATALOGUE, EVALUATION, TIMM, _facts, preset_of  # noqa: E402

ROOT = Path(__file__).parents[2]
ADVICE = "python scripts/timm_catalogue.py updates the tables"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    found = importlib.util.spec_from_file_location("timm_catalogue", ROOT / "scripts" / "timm_catalogue.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_tables_are_of_the_installed_timm(script):
    presets: list[object] = []
    now = script.facts(presets)
    assert timm.__version__ == TIMM, ADVICE
    assert list(CATALOGUE) == list(now), f"{sorted(set(CATALOGUE) ^ set(now))[:20]}: {ADVICE}"
    known, drifted = _facts(), []
    for model, tags in now.items():
        ours = known["models"].get(model, {})
        for tag in ours.keys() | tags.keys():
            told = {k: v for k, v in ours.get(tag, {}).items() if k not in ("num_params", "preset")}
            said = {k: v for k, v in tags.get(tag, {}).items() if k != "preset"}
            same = told == said and known["presets"][ours[tag]["preset"]] == presets[tags[tag]["preset"]]
            drifted += [] if same else [f"{model}.{tag}"]
    assert not drifted, f"{len(drifted)} differ ({', '.join(drifted[:20])}): {ADVICE}"


SAMPLE = (
    "resnet18 convnext_atto vit_tiny_patch16_224 swin_tiny_patch4_window7_224 mobilenetv3_small_050 regnety_002 "
    "vit_base_patch16_clip_224 efficientnet_b0 beit_base_patch16_224 deit_tiny_distilled_patch16_224"
)


@pytest.mark.parametrize("model", SAMPLE.split())
def test_parameters_family_and_head_are_those_of_the_built_model(script, model):
    row = {k: v for k, v in CATALOGUE[model].items() if k not in ("weights", "task")}
    told = {tag: f["num_params"] for tag, f in _facts()["models"].get(model, {}).items() if "num_params" in f}
    found = script.built(model, CATALOGUE[model].get("weights", []))
    assert (row, told) == ({k: v for k, v in found.items() if k != "others"}, found.get("others", {}))


def test_every_fact_of_every_entry_can_be_read():
    entries = 0
    for model in CATALOGUE:
        for member in CATALOGUE.enum(model) or ():
            w = member.value
            entries += 1
            assert w.url.startswith(("hf://", "https://"))
            assert all([w.num_params, w.license, w.transforms])
            assert w.config["tag"] == member.name
            assert w.categories is None or len(w.read_categories()) == w.config["num_classes"] == 1000
    assert len(CATALOGUE) > 1300
    assert entries > 1800
    enum = zoo.get_model_weights("timm/resnet50")
    assert enum.DEFAULT.name == timm.get_pretrained_cfg("resnet50").tag
    assert enum["a1_in1k"].value.extra["paper"] == "https://arxiv.org/abs/2110.00476"
    assert enum["fb_swsl_ig1b_ft_in1k"].value.license == "CC-BY-NC-4.0"
    assert zoo.get_weight("timm/resnet50.a1_in1k") is enum["a1_in1k"] is zoo.get_weight("timm/resnet50_Weights.a1_in1k")


def pictures() -> list[Image.Image]:
    generator = torch.Generator().manual_seed(0)
    noise = (torch.rand(3, 90, 70, generator=generator) * 255).byte()
    wide = Image.fromarray(noise.permute(1, 2, 0).numpy()).resize((401, 303), Image.Resampling.BICUBIC)
    return [wide, wide.crop((0, 0, 211, 303)), wide.convert("L")]


def test_preprocessing_is_timms_own_pixel_by_pixel():
    presets = [p for p in _facts()["presets"] if max(p["input_size"]) <= 448]
    assert len(presets) > 100
    seen = set()
    for facts in presets:
        keys = "input_size interpolation crop_pct crop_mode mean std".split()
        if (what := json.dumps({key: facts[key] for key in keys})) in seen:  # only those that differ in the tested keys
            continue
        seen.add(what)
        theirs = create_transform(**{k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(what).items()})
        ours = preset_of(facts)()
        picture = pictures()[len(seen) % 3]
        assert torch.equal(ours(picture), theirs(picture.convert("RGB"))), facts
    kinds = {preset_of(facts).target for facts in _facts()["presets"]}
    assert kinds == {"zoo.transforms:ImageClassification", EVALUATION}


def test_the_wheel_is_small(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", tmp_path, ROOT / "plugins" / "timm"], check=True)
    (wheel,) = tmp_path.glob("zoo_timm-*.whl")
    assert wheel.stat().st_size < 1_000_000
    names = zipfile.ZipFile(io.BytesIO(wheel.read_bytes())).namelist()
    assert {"zoo_timm/models.json", "zoo_timm/weights.json"} <= set(names)


LISTED = """
import sys, zoo
models = zoo.list_models()
theirs = [zoo.model_info(name).full_name for name in zoo.list_models(plugin="timm", has_weights=True)]
weights = sum(len(zoo.get_model_weights(name)) for name in theirs)
print(len(models), weights, "torch" in sys.modules, zoo.model_info("resnet50").plugin)
"""


def test_all_is_listed_without_torch():
    done = subprocess.run([sys.executable, "-c", LISTED], capture_output=True, text=True, check=True)
    models, weights, torch_imported, owner = done.stdout.split()
    assert int(models) > 1400
    assert int(weights) > 1800
    assert (torch_imported, owner) == ("False", "classification")


def test_they_rank_as_strangers(run):
    assert zoo.model_info("resnet50").full_name == "classification/resnet50"
    assert "timm/resnet50" in zoo.list_models()
    assert zoo.model_info("convnext_atto").full_name == "timm/convnext_atto"
    assert not any(record.first_party for record in zoo.plugins() if record.name == "timm")
    assert "timm" not in (ROOT / "docs" / "ledger.txt").read_text()
    text = " ".join(run("doctor").out.split())
    assert "If torchvision does not fit the installed torch, zoo's operators are registered" in text
    assert "shared names of classification and timm: " in text


def test_what_is_shown_of_an_entry(run):
    out = " ".join(run("show", "timm/resnet50.a1_in1k").out.split())
    assert "resnet50_Weights.a1_in1k DEFAULT" in out
    assert "resize the shorter side to 235 (bicubic); crop the central 224 × 224" in out
    assert "Apache-2.0" in out
    border = next(
        (model, member.name)
        for model in CATALOGUE
        for member in CATALOGUE.enum(model) or ()
        if member.transforms.target == EVALUATION
    )
    assert "the rest filled" in run("show", f"timm/{border[0]}.{border[1]}").out
