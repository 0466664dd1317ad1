"""Predicting where only a task is named: the smallest of its defaults whose weights are on this machine, said aloud."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo.contract import check_manifest
from zoo.errors import ContractError, InvalidArgument, NoDefault, UnknownTask
from zoo.registry import default_model, discovery

ROOT = Path(__file__).parents[2]
COFFEE = ROOT / "examples/images/photos/coffee.jpg"

# A plugin of a task of its own, with weights of three sizes: here, in the cache once they are fetched, and never here.
PLUGIN = """
    from zoo import Default, Manifest, Metric, ModelSpec, TaskSpec, Weights, WeightsEnum

    class Net_Weights(WeightsEnum, builder="net"):
        LARGE = Weights(url="FOLDER/large.pth", license="MIT")
        SMALL = Weights(url="FOLDER/small.pth", license="CC-BY-NC-4.0")
        TOY = Weights(url="FOLDER/toy.pth")
        CACHED = Weights(url="https://example.org/net-c0ffee12.pth", file_size=3.0)
        DEFAULT = LARGE

    @zoo.hookimpl
    def zoo_manifest():
        return Manifest(
            api_version=1,
            models=[ModelSpec("net", "NAME_parts:net", task="TASK", weights=Net_Weights)],
            tasks=[TaskSpec("TASK", "nowhere:Task")] if "TASK" == "depth" else [],
            defaults={"TASK": [
                Default("net", "TOY", trained_on="noise"), Default("net"), Default("net", "SMALL"),
                Default("net", "CACHED"),
            ]},
        )
"""


@pytest.fixture
def install(plugin_folder: Any, tmp_path: Path) -> Callable[..., Path]:
    """Install the plugin; gives the folder of its files, which hold as many bytes as is said."""

    def go(name: str = "alpha", task: str = "depth", **sizes: int) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, size in sizes.items():
            (folder / f"{file}.pth").write_bytes(bytes(size))
        plugin_folder.install(name, PLUGIN.replace("FOLDER", str(folder)).replace("TASK", task))
        zoo.refresh()
        return folder

    return go


def test_the_smallest_of_those_at_hand_is_meant(install: Callable[..., Path], own_cache: Path) -> None:
    folder = install(large=2000, small=1000, toy=10)
    assert (default_model("depth").name, default_model("depth").weights) == ("net", "SMALL")
    (folder / "small.pth").unlink()
    assert default_model("alpha/depth").weights == "LARGE"
    checkpoints = own_cache / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "net-c0ffee12.pth").write_bytes(bytes(100))
    assert default_model("depth").weights == "CACHED"


def test_what_has_seen_no_pictures_of_the_world_comes_last_and_is_said(install: Callable[..., Path]) -> None:
    folder = install(large=2000, toy=10)
    assert default_model("depth").weights == "LARGE"
    (folder / "large.pth").unlink()
    chosen = default_model("depth")
    assert (chosen.weights, chosen.trained_on) == ("TOY", "noise")
    assert "were trained only on noise. For others: zoo pull Net_Weights.CACHED (3 MB)" in str(chosen)


def test_what_a_policy_forbids_is_not_at_hand(install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    install(large=2000, small=1000)
    monkeypatch.setenv("ZOO_ALLOWED_LICENSES", "MIT")
    assert default_model("depth").weights == "LARGE"


def test_where_nothing_is_at_hand_downloads_are_offered_and_none_is_begun(
    install: Callable[..., Path], run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*args: Any, **options: Any) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr("zoo.files.fetching._fetch", fetch)
    install()
    with pytest.raises(NoDefault, match=r"Nothing is downloaded automatically.*zoo pull Net_Weights\.CACHED \(3 MB\)"):
        zoo.pipeline(task="depth")
    done = run("predict", COFFEE, "--task", "keypoint-detection")
    assert done.status == 1
    assert "zoo pull keypointrcnn_resnet50_fpn" in done.err


def test_ours_go_before_smaller_ones_of_strangers(install: Callable[..., Path], run: Callable[..., Any]) -> None:
    install(task="image-classification", small=1)
    assert default_model().name == "efficientnet_lite0"
    assert default_model().task == "image-classification"
    assert default_model("image-classification") == default_model()


def test_a_task_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    scan = discovery.scan
    monkeypatch.setattr(discovery, "scan", lambda: (record for record in scan() if record.name == "classification"))
    zoo.refresh()
    try:
        with pytest.raises(UnknownTask, match="pip install zoo-detection"):
            zoo.pipeline(task="object-detection")
        assert "pip install zoo-optical-flow" in run("predict", COFFEE, "--task", "optical-flow").err
        with pytest.raises(UnknownTask, match="pip install zoo-transformers"):
            default_model("depth-estimation")
        chosen = default_model()
        assert (chosen.name, chosen.weights) == ("squeezenet1_1", "DIGITS_V1")
        assert "trained only on hand-written digits. For others: pip install zoo-efficientnet-lite" in str(chosen)
    finally:
        monkeypatch.undo()
        zoo.refresh()


def test_a_task_without_defaults_says_which_models_there_are(plugin_folder: Any) -> None:
    plugin_folder.install(
        "beta",
        """
        @zoo.hookimpl
        def zoo_manifest():
            return zoo.Manifest(
                api_version=1, models=[zoo.ModelSpec("net", "m:net", task="sorting")],
                tasks=[zoo.TaskSpec("sorting", "m:Task")],
            )
        """,
    )
    zoo.refresh()
    with pytest.raises(NoDefault, match=r"has a default model for sorting\. Name a model of this task: net"):
        default_model("sorting")


@pytest.mark.parametrize(
    ("defaults", "problem"),
    [
        ({"t": ["a"]}, r"defaults of 't': 'a'; expected zoo\.Default"),
        ({"t": [zoo.Default("b")]}, "'b' is not a model of this plugin with this task"),
        ({"u": [zoo.Default("a")]}, "'a' is not a model of this plugin with this task"),
        ({"t": [zoo.Default("a")]}, "'DEFAULT' is not among the weights of a"),
    ],
)
def test_a_manifest_with_defaults_that_cannot_be_is_set_aside(defaults: Any, problem: str) -> None:
    manifest = zoo.Manifest(api_version=1, models=[zoo.ModelSpec("a", "m:f", task="t")], defaults=defaults)
    with pytest.raises(ContractError, match=problem):
        check_manifest(manifest)


def test_weights_without_a_model_are_refused(run: Callable[..., Any]) -> None:
    with pytest.raises(InvalidArgument, match="without a model"):
        zoo.pipeline(weights="DIGITS_V1")
    done = run("predict", COFFEE, "--weights", "DIGITS_V1")
    assert done.status == 2
    assert "--weights needs --model" in done.err


TASKS = {
    "image-classification": "photos/coffee.jpg",
    "object-detection": "shapes.png",
    "semantic-segmentation": "shapes.png",
    "video-classification": "../videos/moving_shapes.gif",
    "optical-flow": "flow",
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_of_ours_with_weights_in_a_package_predicts_without_a_model(
    task: str, run: Callable[..., Any], offline: None
) -> None:
    done = run("predict", ROOT / "examples/images" / TASKS[task], "--task", task)
    assert (done.status, done.err.count("No model was given:")) == (0, 1)
    assert task in done.err
    assert done.out


def test_a_photograph_without_anything_else(run: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    done = run("predict", COFFEE, "--top", 1)
    assert "espresso" in done.out
    assert "efficientnet_lite0 (IMAGENET1K_V1, 18.0 MB, ImageNet-1K) for image-classification" in done.err
    assert zoo.pipeline(device="cpu")(COFFEE).label == "espresso"
    assert "efficientnet_lite0" in capsys.readouterr().err


def test_choosing_imports_no_torch() -> None:
    code = "import sys; from zoo.registry import default_model as d; print(d().name, 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["efficientnet_lite0", "False"]
