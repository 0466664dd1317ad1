"""zoo-timm and zoo-transformers installed together: shared tasks, defaults, cost of listing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.errors import NoDefault
from zoo.registry import default_model
from zoo_classification.embedding import EmbeddingTask, ImageEmbedding

hf = pytest.importorskip("transformers")
timm_models = pytest.importorskip("zoo_timm.models")
tiny = pytest.importorskip("tiny_transformers")

COFFEE = Path(__file__).parents[2] / "examples/images/photos/coffee.jpg"
TASKS = (
    "image-classification object-detection instance-segmentation semantic-segmentation panoptic-segmentation "
    "depth-estimation image-feature-extraction"
).split()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dinov2")
    tiny.save("dinov2", folder)
    return folder


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_bare_name(task: str) -> None:
    spec = zoo.get_task(task)
    assert spec.name == task
    for name in zoo.list_models(task=task):
        info = zoo.model_info(name)
        assert zoo.get_task(task, plugin=info.plugin).name == task


def test_image_feature_extraction_is_of_a_package_that_both_use(encoder: Path, tmp_path: Path) -> None:
    shared = zoo.get_task("image-feature-extraction")
    assert shared.implementation == "zoo_classification.embedding:EmbeddingTask"
    assert zoo.get_task("image-feature-extraction", plugin="timm") is shared
    own = zoo.get_task("image-feature-extraction", plugin="transformers")  # its models' outputs are not tensors
    assert own.implementation.startswith("zoo_transformers")
    assert [option.name for option in own.options] == [option.name for option in shared.options]
    model = zoo.get_model("timm/mobilenetv3_small_050", num_classes=0)
    described = zoo.model_info("timm/mobilenetv3_small_050").weights["DEFAULT"]
    from_timm = zoo.pipeline(model, described, "cpu", task="image-feature-extraction", normalize=True)(COFFEE)
    from_transformers = zoo.pipeline(encoder, device="cpu", normalize=True)(COFFEE)
    for result in (from_timm, from_transformers):
        assert type(result) is ImageEmbedding
        assert result.vector.norm() == pytest.approx(1, abs=1e-5)
        assert result.to_dict().keys() == {"vector"}
        assert result.save(tmp_path, "vector")[0].name == "vector.npy"


def test_a_built_model_is_read_as_its_own_plugin_does(encoder: Path) -> None:
    """A task name refers to the task of the model's own plugin, although zoo's own has the name without a prefix."""
    model = zoo.get_model(str(encoder))
    ready = zoo.pipeline(model, task="image-feature-extraction", device="cpu")
    assert ready.task is zoo.get_task("image-feature-extraction", plugin="transformers")
    torch.testing.assert_close(ready(COFFEE).vector, zoo.pipeline(encoder, device="cpu")(COFFEE).vector)
    given = zoo.pipeline(
        zoo.get_model("timm/mobilenetv3_small_050", num_classes=0),
        zoo.model_info("timm/mobilenetv3_small_050").weights["DEFAULT"],
        "cpu",
        task=EmbeddingTask(normalize=True),
    )
    assert given(COFFEE).vector.norm() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_without_a_model_a_default_is_taken_or_named(
    task: str, run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    done = run("predict", COFFEE, "--task", task)
    if done.status == 0:
        assert f"for {task}" in done.err
        assert default_model(task).task == task
        return
    assert "has its weights on this machine" in " ".join(done.err.split())
    assert "zoo pull " in done.err
    with pytest.raises(NoDefault, match="zoo pull"):
        zoo.pipeline(task=task)


def test_the_catalogues_name_defaults_of_what_nobody_else_serves() -> None:
    named = {
        (record.name, task): [
            zoo.get_weight(f"{record.name}/{default.model}.{default.weights}") for default in defaults
        ]
        for record in zoo.plugins()
        if record.manifest
        for task, defaults in record.manifest.defaults.items()
    }
    for plugin, task in [("timm", TASKS[-1]), *(("transformers", task) for task in TASKS[-3:])]:
        assert named[plugin, task]
        assert all(member.value.url.startswith("hf://") for member in named[plugin, task])


COLD = """
import sys, time
start = time.perf_counter()
import zoo
names = zoo.list_models()
took = time.perf_counter() - start
theirs = [n for p in ("timm", "transformers") for n in zoo.list_models(plugin=p, has_weights=True)]
ours = [n for n in names if zoo.model_info(n).plugin not in ("timm", "transformers")]
entries = sum(len(zoo.get_model_weights(zoo.model_info(n).full_name)) for n in theirs)
print(len(names), len(ours), entries, took, *(name in sys.modules for name in ("torch", "timm", "transformers")))
"""


def test_over_2000_weights_beyond_ours_and_no_torch() -> None:
    out = subprocess.run([sys.executable, "-c", COLD], capture_output=True, text=True, check=True).stdout.split()
    assert int(out[0]) > 1500
    assert int(out[2]) > 2000
    assert out[4:] == ["False"] * 3


def test_what_the_catalogues_hold_is_told(run: Callable[..., Any]) -> None:
    rows = json.loads(run("list", "--task", "image-feature-extraction", "--json").out)
    assert {row["plugin"] for row in rows} == {"timm", "transformers"}
