"""Folders and hub repositories of a kind that a plugin knows, as names of models."""

from __future__ import annotations

import json
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from servers import FileServer

import zoo
from zoo.errors import InvalidArgument, PluginError

PLUGIN = """
    import json

    @zoo.hookimpl
    def zoo_manifest():
        spec = zoo.ModelSpec("tiny", "NAME_parts:tiny", task="image-classification")
        return zoo.Manifest(api_version=1, models=[spec])

    @zoo.hookimpl
    def zoo_open_repository(path):
        if not (path / "NAME.json").exists():
            return None
        about = json.loads((path / "NAME.json").read_text())
        return zoo.Repository(
            about["builder"],
            zoo.Weights(
                url=(path / "w.pt").as_uri(), config={"num_classes": about["classes"]}, categories=list("abcdef"),
                transforms=zoo.Preset("zoo.transforms:ImageClassification", {"crop_size": 8, "resize_size": 8}),
            ),
        )
"""
PARTS = """
    import zoo
    from torch import nn

    @zoo.builder(head="1")
    def tiny(num_classes=10):
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, num_classes))
"""


@pytest.fixture
def files(plugin_folder: Any) -> dict[str, bytes]:
    """What is in a repository of the plugin ``alpha``'s kind."""
    plugin_folder.install("alpha", PLUGIN.replace("NAME", "alpha"))
    (plugin_folder.path / "alpha_parts.py").write_text(textwrap.dedent(PARTS))
    zoo.refresh()
    model = zoo.get_model("alpha/tiny", num_classes=6)
    torch.save(model.state_dict(), plugin_folder.path / "w.pt")
    return {
        "alpha.json": json.dumps({"builder": "alpha_parts:tiny", "classes": 6}).encode(),
        "w.pt": (plugin_folder.path / "w.pt").read_bytes(),
    }


@pytest.fixture
def folder(files: dict[str, bytes], tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def test_a_folder_is_a_name_wherever_a_model_is_named(folder: Path) -> None:
    want = torch.load(folder / "w.pt", weights_only=True)
    for name in (folder, str(folder)):
        assert torch.equal(zoo.get_model(name).get_parameter("1.weight"), want["1.weight"])
    assert zoo.load(folder, num_classes=2).get_parameter("1.weight").shape[0] == 2
    assert zoo.get_model(folder, weights=None).get_parameter("1.weight").shape[0] == 6
    info = zoo.model_info(folder)
    assert (info.full_name, info.source) == ("alpha/tiny", str(folder))
    assert zoo.pipeline(folder, device="cpu")(torch.zeros(3, 8, 8, dtype=torch.uint8)).label in "abcdef"


def test_a_saved_model_goes_before_what_plugins_know(folder: Path) -> None:
    zoo.save(zoo.get_model("squeezenet1_1", num_classes=2), folder / "model.safetensors")
    assert zoo.model_info(folder).full_name == "classification/squeezenet1_1"


def test_safetensors_of_others_are_a_plugins_too(folder: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, folder / "model.safetensors")
    assert zoo.model_info(folder).full_name == "alpha/tiny"


def test_what_nothing_knows_is_told(folder: Path) -> None:
    (folder / "alpha.json").unlink()
    with pytest.raises(InvalidArgument, match="contains no saved model"):
        zoo.get_model(folder)


def test_a_builder_that_nothing_registered_is_told(folder: Path) -> None:
    (folder / "alpha.json").write_text('{"builder": "os:system", "classes": 1}')
    with pytest.raises(PluginError, match=r"os:system.*not the builder of a registered model"):
        zoo.get_model(folder)
    (folder / "alpha.json").write_text("{")
    with pytest.raises(PluginError, match=r"Plugin 'alpha' failed to open .*repository: JSONDecodeError"):
        zoo.get_model(folder)


def test_a_repository_of_the_hub_is_a_name(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "c0ffee" + "0" * 34
    with FileServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.headers = {"X-Repo-Commit": commit}
        names = [*files, "model.onnx", ".gitattributes", "README.md"]
        for name in names:
            server.put(f"/org/repo/resolve/{commit}/{name}", files.get(name, b"#"))
        about = {"id": "org/repo", "sha": commit, "siblings": [{"rfilename": name} for name in names]}
        server.put("/api/models/org/repo/revision/main", json.dumps(about).encode())
        from huggingface_hub import constants

        for key, value in {
            "ENDPOINT": server.url,
            "HF_HUB_CACHE": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": True,
        }.items():
            monkeypatch.setattr(constants, key, value)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        info = zoo.model_info("hf://org/repo")
        assert (info.full_name, info.source) == ("alpha/tiny", f"hf://org/repo@{commit}")
        assert zoo.get_model("hf://org/repo").get_parameter("1.weight").shape[0] == 6
        asked = {path.rpartition("/")[2] for _, path, _, _ in server.log}
        assert not asked & {"model.onnx", ".gitattributes"}
        server.shutdown()
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert zoo.get_model("hf://org/repo").get_parameter("1.weight").shape[0] == 6
