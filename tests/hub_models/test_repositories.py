"""Folders and repositories in transformers' layout as models: build, save, errors; no code is executed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from loopback_hub import Hub, Repository, serving

import zoo
from zoo.errors import CheckpointError, InvalidArgument, OfflineError, PluginError, UnknownWeights

hf = pytest.importorskip("transformers")
tiny = pytest.importorskip("tiny_transformers")

COFFEE = Path(__file__).parents[2] / "examples/images/photos/coffee.jpg"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one folder for each of these families."""
    root = tmp_path_factory.mktemp("saved")
    for family in ("vit", "detr", "segformer", "glpn", "dinov2", "mask2former"):
        tiny.save(family, root / family)
    return root


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of one of them, for modification."""

    def copy(family: str) -> Path:
        return Path(shutil.copytree(saved / family, tmp_path / family))

    return copy


def change(path: Path, **values: Any) -> None:
    found = json.loads(path.read_text())
    for key, value in values.items():
        found.pop(key, None)
        if value is not None:
            found[key] = value
    path.write_text(json.dumps(found))


def test_a_folder_is_described_without_torch_or_transformers(saved: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, zoo; i = zoo.model_info(sys.argv[1]); w = i.weights['DEFAULT'];"
        "print(i.full_name, i.task, w.license, w.categories, 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, saved / "detr"], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == f"transformers/object-detector object-detection apache-2.0 {tiny.LABELS} False False"


@pytest.mark.parametrize("family", ["vit", "detr", "segformer", "glpn", "dinov2", "mask2former"])
def test_what_zoo_saves_of_it_needs_the_folder_no_more(family: str, folder: Any, tmp_path: Path) -> None:
    path = folder(family)
    before = zoo.pipeline(path, device="cpu")
    want = before(COFFEE).to_dict()
    file = zoo.save(before.model, tmp_path / "own.safetensors")
    shutil.rmtree(path)
    after = zoo.pipeline(file, device="cpu")
    assert after(COFFEE).to_dict() == want
    assert zoo.model_info(file).full_name.startswith("transformers/")


def test_another_number_of_classes_leaves_a_new_head_and_nothing_else(saved: Path) -> None:
    old = zoo.get_model(saved / "vit")
    new = zoo.get_model(saved / "vit", num_classes=3)
    assert new.get_parameter("classifier.weight").shape[0] == 3
    assert set(zoo.load_report(new).reinitialised) == {"classifier.weight", "classifier.bias"}
    for name, parameter in old.named_parameters():
        if not name.startswith("classifier."):
            assert torch.equal(parameter, new.get_parameter(name)), name
    for family, head in (("detr", "class_labels_classifier"), ("segformer", "decode_head.classifier")):
        assert zoo.get_model(saved / family, num_classes=2).get_parameter(f"{head}.weight").shape[0] in (2, 3)


def test_without_weights_and_by_its_config_alone(saved: Path) -> None:
    model = zoo.get_model(saved / "segformer", weights=None)
    assert isinstance(model, hf.SegformerForSemanticSegmentation)
    config = hf.SegformerConfig(**tiny.SEGFORMER)
    built = zoo.get_model("transformers/semantic-segmenter", config=config, num_classes=7)
    assert built(torch.zeros(1, 3, 64, 64)).logits.shape[1] == 7
    file = saved / "vit" / "model.safetensors"
    config = json.loads((saved / "vit" / "config.json").read_text())
    same = zoo.get_model("transformers/image-classifier", config=config, num_classes=5, weights=file)
    assert torch.equal(same.classifier.weight, zoo.get_model(saved / "vit").classifier.weight)


def test_weights_under_older_names_are_renamed_as_transformers_does(saved: Path, folder: Any) -> None:
    """A classifier's file, whose names all begin with ``vit.``, loaded into the model without head."""
    path = folder("vit")
    change(path / "config.json", architectures=["ViTModel"], id2label=None, label2id=None)
    model = zoo.get_model(path)
    want = zoo.get_model(saved / "vit").state_dict()
    assert all(torch.equal(value, want[f"vit.{name}"]) for name, value in model.state_dict().items())
    assert not any(name.startswith("pooler") for name in model.state_dict())  # the file has none
    result = zoo.pipeline(path, device="cpu")(COFFEE)
    assert result.vector.shape == (16,)


def test_a_file_that_lacks_tensors_is_refused(folder: Any) -> None:
    from safetensors.torch import load_file, save_file

    path = folder("vit")
    state = load_file(path / "model.safetensors")
    state.pop("vit.layernorm.weight")
    save_file(state, path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"vit\.layernorm\.weight missing"):
        zoo.get_model(path)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "BertForMaskedLM .* none of the tasks image-classification"),
        ({"architectures": None}, "an unnamed class"),
        ({"architectures": None, "auto_map": {"AutoModel": "evil.Model"}}, "none of the tasks"),
    ],
)
def test_what_serves_no_task_is_refused(values: dict[str, Any], problem: str, folder: Any) -> None:
    path = folder("vit")
    change(path / "config.json", **values)
    with pytest.raises(PluginError, match=problem):
        zoo.model_info(path)


def test_code_of_a_repository_is_never_run(folder: Any, tmp_path: Path) -> None:
    path = folder("vit")
    code = f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Model: pass\nclass Config: pass\nclass Processor: pass\n"
    (path / "evil.py").write_text(code)
    auto = {"AutoConfig": "evil.Config", "AutoModelForImageClassification": "evil.Model"}
    change(path / "config.json", auto_map=auto)
    change(path / "preprocessor_config.json", auto_map={"AutoImageProcessor": "evil.Processor"})
    assert zoo.pipeline(path, device="cpu")(COFFEE).label in tiny.LABELS
    change(path / "config.json", model_type="evil")
    with pytest.raises(InvalidArgument, match=r"no model of type 'evil'.*is not executed"):
        zoo.get_model(path)
    assert not (tmp_path / "ran").exists()


def test_pickles_and_files_in_pieces_are_refused(folder: Any) -> None:
    path = folder("vit")
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    with pytest.raises(PluginError, match=r"no model\.safetensors; other files, such as pickles, are not read"):
        zoo.get_model(path)
    (path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(PluginError, match="in several files"):
        zoo.get_model(path)


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_damaged_json_is_told(text: str, folder: Any) -> None:
    path = folder("vit")
    (path / "preprocessor_config.json").write_text(text)
    with pytest.raises(PluginError, match=r"preprocessor_config\.json"):
        zoo.model_info(path)


def test_a_processor_that_cannot_be_is_told(folder: Any) -> None:
    path = folder("vit")
    change(path / "preprocessor_config.json", image_processor_type="NobodysProcessor")
    change(path / "config.json", model_type="vit")
    with pytest.raises(CheckpointError, match="cannot create an image processor"):
        zoo.pipeline(path, device="cpu")


@pytest.mark.parametrize("config", [{}, 7, {"model_type": "nobody"}, '{"model_type": 1}'])
def test_a_config_that_is_none_is_told(config: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"config|no model of type"):
        zoo.get_model("transformers/image-classifier", config=config)


# ── the hub ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on loopback for huggingface_hub, with an empty cache."""
    from huggingface_hub import constants

    with serving(Hub()) as server:
        for key, value in {
            "ENDPOINT": server.url,
            "HF_HUB_CACHE": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": True,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
        }.items():
            monkeypatch.setattr(constants, key, value)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def publish(hub: Hub, name: str, folder: Path, **more: bytes) -> str:
    repository = hub.repositories.setdefault(name, Repository())
    files = {file.name: file.read_bytes() for file in folder.iterdir()} | more
    return repository.commit("main", files, "weights")


def test_any_repository_of_the_hub(hub: Hub, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = publish(hub, "someone/net", saved / "detr", **{"pytorch_model.bin": b"pickle", "modeling.py": b"raise 1"})
    ours = zoo.pipeline("hf://someone/net", device="cpu")
    want = zoo.pipeline(saved / "detr", device="cpu")(COFFEE).to_dict()
    assert ours(COFFEE).to_dict() == want
    assert zoo.model_info("hf://someone/net").source == f"hf://someone/net@{commit}"
    assert not any("pytorch_model.bin" in line for line in hub.asked)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert zoo.pipeline("hf://someone/net", device="cpu")(COFFEE).to_dict() == want


def test_a_checkpoint_of_the_table(
    hub: Hub, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    first = publish(hub, "facebook/detr-resnet-50", saved / "detr")
    ours = zoo.pipeline("detr-resnet-50", device="cpu")
    want = zoo.pipeline(saved / "detr", device="cpu")(COFFEE).to_dict()
    assert ours(COFFEE).to_dict() == want
    report = zoo.load_report(ours.model)
    assert report.source == f"hf://facebook/detr-resnet-50/model.safetensors@{first}"
    assert ours.weights.metrics == {"COCO-val2017": {"box_map": 42.0}}
    assert ours.weights.license == "apache-2.0"

    untrained = zoo.get_model("transformers/detr-resnet-50", weights=None, num_classes=2)
    assert type(untrained) is type(ours.model)
    renewed = zoo.get_model("detr-resnet-50.main", num_classes=2)
    assert renewed.class_labels_classifier.weight.shape[0] == 3
    transforms = zoo.get_weight("detr_resnet_50_Weights.main").transforms
    assert transforms is not None
    assert transforms()(torch.zeros(3, 40, 60, dtype=torch.uint8)).shape[0] == 3

    file = zoo.save(ours.model, tmp_path / "own.safetensors")
    publish(hub, "facebook/detr-resnet-50", saved / "detr", **{"README.md": b"changed"})
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert zoo.load_report(zoo.get_model("detr-resnet-50", weights="DEFAULT")).source == report.source
    assert zoo.pipeline(file, device="cpu")(COFFEE).to_dict() == want
    done = run("predict", COFFEE, "--model", "detr-resnet-50", "--json", "--min-score", "0.2")
    assert (done.status, done.err) == (0, "")
    with pytest.raises(OfflineError):
        zoo.get_model("detr-resnet-101", weights="DEFAULT")


def test_settings_of_a_processor_of_several_parts(hub: Hub, folder: Any) -> None:
    path = folder("dinov2")
    settings = json.loads((path / "preprocessor_config.json").read_text())
    (path / "preprocessor_config.json").unlink()
    with pytest.raises(InvalidArgument, match="have no preprocessing"):
        zoo.pipeline(path, device="cpu")
    (path / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    want = zoo.pipeline(path, device="cpu")(COFFEE).to_dict()
    publish(hub, "facebook/dinov2-small", path)
    assert zoo.pipeline("dinov2-small", device="cpu")(COFFEE).to_dict() == want


def test_names_of_weights_that_are_none(hub: Hub, saved: Path) -> None:
    publish(hub, "facebook/detr-resnet-50", saved / "detr")
    with pytest.raises(UnknownWeights):
        zoo.get_model("detr-resnet-50", weights="mane")
    with pytest.raises(UnknownWeights):
        zoo.get_model("detr-resnet-50", weights=zoo.get_weight("yolos_tiny_Weights.main"))
    own = zoo.get_model("detr-resnet-50", weights=saved / "detr" / "model.safetensors")
    assert torch.equal(own.class_labels_classifier.bias, zoo.get_model(saved / "detr").class_labels_classifier.bias)
