"""``zoo new-plugin``: packages for models of every task, really installed; and errors."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

import zoo
from zoo.errors import CheckpointError, InvalidArgument, UnknownModel
from zoo.loading import loaded_weights
from zoo_training import packaging
from zoo_training.packaging import new_plugin

FIGURES = {"held out": {"acc@1": 98.5, "loss": 1e-7}}
# Plugin → the model in it, its weights, arguments.
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "boxes": ("ssdlite320_mobilenet_v3_large", "SHAPES_V1", {}),
    "regions": ("lraspp_mobilenet_v3_large", "SHAPES_V1", {}),
    "clips": ("mc3_tiny", "DEFAULT", {}),
    "motion": ("raft_small", "SHAPES_V1", {}),
    "small": ("quantized_shufflenet_v2_x0_5", "DIGITS_V1", {"quantize": True}),
    "numbers": ("squeezenet1_1", "DIGITS_V1", {}),
}


def saved(folder: Path, **facts: Any) -> Path:
    model = zoo.reset_head(zoo.get_model("squeezenet1_1", weights="DIGITS_V1"), 2)
    return zoo.save(model, folder / "best.safetensors", **{"categories": ["blue", "red"], "metrics": FIGURES, **facts})


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    return saved(tmp_path)


def pip(*words: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, words)]
    subprocess.run(command, check=True)


def python(site: Path, code: str, *, status: int = 0) -> str:
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed new plugin for every task, from its wheel."""
    work = tmp_path_factory.mktemp("plugins")
    folders = []
    for plugin, (name, weights, config) in MODELS.items():
        model = zoo.get_model(name, weights=weights, **config)
        path = zoo.save(model, work / f"{plugin}.safetensors", metrics=loaded_weights(model).metrics)
        folders.append(new_plugin(f"zoo-{plugin}", path, work, license="MIT").folder)
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", work / "wheels", *folders)
    wheels = sorted((work / "wheels").glob("*.whl"))
    assert len(wheels) == len(MODELS)
    pip("install", "--no-deps", "--no-index", "--target", work / "site", *wheels)
    return work / "site"


def test_models_of_every_task_come_back_from_a_wheel(site: Path, tmp_path: Path) -> None:
    code = f"""
import json, torch, zoo
found = {{}}
for plugin in {list(MODELS)!r}:
    model = zoo.get_model(plugin, weights="DEFAULT")
    again = zoo.load(zoo.save(model, {str(tmp_path)!r} + f"/{{plugin}}.safetensors"))
    state = [t for t in again.state_dict().values() if isinstance(t, torch.Tensor)]
    state = [t.dequantize() if t.is_quantized else t for t in state]
    found[plugin] = [zoo.model_info({str(tmp_path)!r} + f"/{{plugin}}.safetensors").full_name,
                     sum(t.double().abs().sum().item() for t in state)]
print(json.dumps(found))
"""
    found = json.loads(python(site, code).splitlines()[-1])
    for plugin, (name, weights, config) in MODELS.items():
        state = [
            t
            for t in zoo.get_model(name, weights=weights, **config).state_dict().values()
            if isinstance(t, torch.Tensor)
        ]
        total = sum((t.dequantize() if t.is_quantized else t).double().abs().sum().item() for t in state)
        assert found[plugin] == [f"{plugin}/{plugin}", pytest.approx(total, rel=1e-6)]


def test_listing_them_imports_no_torch(site: Path) -> None:
    code = (
        "import sys, zoo; print(zoo.list_models(plugin='boxes'), zoo.model_info('boxes').tasks, 'torch' in sys.modules)"
    )
    assert python(site, code).strip() == "['boxes'] ('object-detection',) False"


@pytest.mark.slow
@pytest.mark.parametrize("plugin", MODELS)
def test_they_keep_the_contract_as_they_come(site: Path, plugin: str) -> None:
    code = f"import sys, zoo.cli; sys.exit(zoo.cli.main(['verify-plugin', {plugin!r}, '--tier', 'model']))"
    assert f"{plugin} 0.1.0: ok" in python(site, code)


def test_a_package_is_small_plain_and_says_what_it_is(colours: Path, tmp_path: Path) -> None:
    done = new_plugin("zoo-colours", colours, tmp_path, license="mit")
    assert done.notes == ()
    project = tomllib.loads((done.folder / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["license"]) == ("zoo-colours", "MIT")
    versions = {"zoo-core": zoo.__version__, "zoo-classification": zoo.__version__}
    assert sorted(project["dependencies"]) == sorted(f"{name}~={version}" for name, version in versions.items())
    assert project["entry-points"]["zoo.plugins"] == {"colours": "zoo_colours.plugin"}
    for source in done.folder.rglob("*.py"):
        ast.parse(source.read_text())
    (weights,) = done.folder.rglob("*.safetensors")
    with safe_open(weights, "pt") as ours, safe_open(colours, "pt") as theirs:
        facts = json.loads(ours.metadata()["zoo"])
        assert all(torch.equal(ours.get_tensor(k), theirs.get_tensor(k)) for k in theirs.keys())  # noqa: SIM118
    assert (facts["model"], facts["weights"]["license"], facts["weights"]["metrics"]) == (
        "colours/colours",
        "MIT",
        FIGURES,
    )
    readme = (done.folder / "README.md").read_text()
    assert 'zoo.pipeline("colours")' in readme
    assert "pip install zoo-colours" in readme
    assert not readme.startswith("---")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]  # no temporary files remain


def test_many_categories_and_odd_ones(tmp_path: Path) -> None:
    model = zoo.get_model("squeezenet1_1", num_classes=30)
    labels = [f"class {i}" for i in range(30)]
    for name, odd in (("zoo-many", False), ("zoo-odd", True)):
        labels[3] = 'a "b"\n\u2028\\' if odd else labels[3]
        path = zoo.save(
            model, tmp_path / f"{name}.safetensors", categories=labels,
            metrics={'"""': {"acc@1": 1.0, "x": float("nan")}},
            transforms=zoo.get_weight("SqueezeNet1_1_Weights.DEFAULT").transforms, license='proprietary "x"\n',
        )  # fmt: skip
        folder = new_plugin(name, path, tmp_path).folder
        package = name.replace("-", "_")
        assert (folder / "src" / package / "categories.txt").exists() != odd
        pip("install", "--no-deps", "--no-index", "--no-build-isolation", "--target", tmp_path / "site", folder)
        code = f"import zoo; print(ascii(zoo.model_info({name[4:]!r}).weights['V1'].meta))"
        meta = ast.literal_eval(python(tmp_path / "site", code))
        assert meta["categories"] == labels
        assert meta["_metrics"] == {'"""': {"acc@1": 1.0}}
        assert meta["license"] == 'proprietary "x"\n'


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("-colours", "is not a valid name of a package"),
        ("a/b", "is not a valid name of a package"),
        ("../colours", "is not a valid name of a package"),
        ("", "is not a valid name of a package"),
        ("7colours", "is not a valid Python name"),
        ("class", "is not a valid Python name"),
        ("zoo-7", "is not a valid Python name"),
        ("zoo-detection", "is used by zoo-detection"),
        ("detection", "is used by zoo-detection"),
        ("json", "the existing module 'json'"),
        ("zoo-local", "cannot be named 'local'"),
        ("zoo-core", "cannot be named 'core'"),
        ("zoo-resnet50", "which is the same as or too similar to classification/resnet50"),
        ("zoo-ResNet50", "which is the same as or too similar to classification/resnet50"),
    ],
)
def test_names_that_cannot_be(name: str, said: str, colours: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidArgument, match=said):
        new_plugin(name, colours, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_of_data_hides_nothing(colours: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "data" / "hues").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "data"))
    assert new_plugin("hues", colours, tmp_path).plugin == "hues"


def test_nothing_is_overwritten(colours: Path, tmp_path: Path) -> None:
    (tmp_path / "zoo-colours").mkdir()
    (tmp_path / "zoo-colours" / "mine.txt").write_text("mine")
    with pytest.raises(InvalidArgument, match="already exists"):
        new_plugin("zoo-colours", colours, tmp_path)
    assert (tmp_path / "zoo-colours" / "mine.txt").read_text() == "mine"
    with pytest.raises(InvalidArgument, match=r"The folder .* does not exist"):
        new_plugin("zoo-colours", colours, tmp_path / "absent")


def test_what_a_full_disk_interrupts_leaves_nothing(colours: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def full(path: Path, *_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        new_plugin("zoo-colours", colours, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.safetensors"]


def test_what_the_file_lacks_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path, metrics=None)
    with pytest.raises(InvalidArgument, match="does not have metrics"):
        new_plugin("zoo-colours", path, tmp_path)
    with pytest.raises(InvalidArgument, match=r"None of the file's metrics \(loss\) is a metric of image-"):
        new_plugin("zoo-colours", path, tmp_path, metrics={"mine": {"loss": 1.0}})
    done = new_plugin("zoo-colours", path, tmp_path, metrics={"mine": {"acc@1": 90.0}})
    assert "'mine': {'acc@1': 90.0}" in (done.folder / "src/zoo_colours/weights.py").read_text()
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        new_plugin("zoo-bad", tmp_path / "bad.safetensors", tmp_path)
    with pytest.raises(InvalidArgument, match="does not exist"):
        new_plugin("zoo-bad", tmp_path / "absent.safetensors", tmp_path)


def test_a_model_of_no_package(tmp_path: Path) -> None:
    @zoo.register_model(name="of_this_session")
    @zoo.builder()
    def of_this_session(num_classes: int = 2) -> torch.nn.Module:
        return torch.nn.Linear(2, num_classes)

    path = zoo.save(of_this_session(), tmp_path / "m.safetensors", metrics=FIGURES)
    with pytest.raises((InvalidArgument, UnknownModel), match="does not belong to an installed package"):
        new_plugin("zoo-mine", path, tmp_path)


def test_licence_and_size_are_noted(tmp_path: Path, monkeypatch: Any, run: Any) -> None:
    path = saved(tmp_path, license="unknown")
    monkeypatch.setattr(packaging, "LARGE", 1000)
    done = run("new-plugin", "zoo-colours", "--from", path, "--output", tmp_path)
    assert done.status == 0
    assert "No licence is stated" in done.err
    assert "package indexes usually accept" in done.err
    assert "license" not in tomllib.loads((tmp_path / "zoo-colours/pyproject.toml").read_text())["project"]


def test_the_command_reads_figures_and_names(tmp_path: Path, run: Any) -> None:
    path = saved(tmp_path, metrics=None)
    words = ["new-plugin", "zoo-colours", "--from", path, "--output", tmp_path]
    assert "expected DATA:NAME=VALUE" in run(*words, "--metric", "acc@1=9").err
    done = run(*words, "--metric", "own: data:acc@1=97.5", "--model", "two-colours")
    assert "plugin 'colours' with the model 'two-colours'" in done.out
    assert "'own: data': {'acc@1': 97.5}" in (tmp_path / "zoo-colours/src/zoo_colours/weights.py").read_text()
    assert "def two_colours(" in (tmp_path / "zoo-colours/src/zoo_colours/model.py").read_text()


def test_a_builder_like_another(tmp_path: Path) -> None:
    base = zoo.get_model_builder("squeezenet1_1")

    @zoo.register_model(name="alike")
    @zoo.builder(like=base)
    def alike(**kwargs: Any) -> torch.nn.Module:
        model: torch.nn.Module = base(**{"num_classes": 3, **kwargs})
        return model

    torch.save(base(num_classes=4).state_dict(), tmp_path / "four.pth")
    assert alike(weights=tmp_path / "four.pth", num_classes=4).classifier[1].out_channels == 4
    model = alike(weights=tmp_path / "four.pth", num_classes=5)  # the head has the same path
    assert zoo.load_report(model).reinitialised == ("classifier.1.weight", "classifier.1.bias")
    assert zoo.reset_head(model, 2).classifier[1].out_channels == 2
    with pytest.raises(InvalidArgument, match="like is"):
        zoo.builder(like=torch.nn.Linear)(alike)


def test_what_is_in_the_wheel(colours: Path, tmp_path: Path) -> None:
    folder = new_plugin("zoo-colours", colours, tmp_path).folder
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", tmp_path, folder)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = {name for name in content.namelist() if not name.endswith("/RECORD")}
    assert wheel.name == "zoo_colours-0.1.0-py3-none-any.whl"
    assert {"zoo_colours/plugin.py", "zoo_colours/py.typed"} < names
    assert not [name for name in names if name.startswith("tests")]
    assert len([name for name in names if name.endswith(".safetensors")]) == 1
