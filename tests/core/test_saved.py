"""Models that are saved with what they are: what comes back, what is refused, and all places that take such a file."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from servers import FileServer
from torch import nn

import zoo
from zoo.errors import CheckpointError, InvalidArgument
from zoo.files.safetensors import read_header

DIGITS = Path(__file__).parents[2] / "examples/images/digits"
NAMES = list("abc")


def same(a: nn.Module, b: nn.Module) -> bool:
    """Whether two models have the same tensors under the same names in the same modules."""
    ours, theirs = a.state_dict(), b.state_dict()
    return (
        list(ours) == list(theirs)
        and all(torch.equal(ours[k].cpu(), theirs[k].cpu()) and ours[k].dtype == theirs[k].dtype for k in ours)
        and {n: type(m) for n, m in a.named_modules()} == {n: type(m) for n, m in b.named_modules()}
    )


@pytest.fixture
def tuned(tmp_path):
    """A bundled model with a head of three classes that was put in by hand, saved."""
    model = zoo.get_model("squeezenet1_1", weights="DIGITS_V1")
    model.classifier[1] = nn.Conv2d(512, 3, 1)
    path = zoo.save(
        model, tmp_path / "tuned.safetensors", categories=NAMES, metrics={"mine": {"acc@1": 98.5}}, license="mit"
    )
    return path, model


# ── save and load ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_head_put_in_by_hand_comes_back(tuned):
    path, model = tuned
    again = zoo.load(path)
    assert same(model, again)
    weights = zoo.loading.loaded_weights(again)
    assert weights.categories == NAMES
    assert weights.config["num_classes"] == 3
    assert weights.metrics == {"mine": {"acc@1": 98.5}}
    assert weights.license == "mit"
    assert weights.transforms == zoo.get_weight("SqueezeNet1_1_Weights.DIGITS_V1").transforms
    assert weights.num_params == sum(p.numel() for p in model.parameters())
    assert not zoo.load_report(again).memory_mapped


def test_the_metadata_are_as_documented(tuned):
    with safe_open(tuned[0], "pt") as f:
        facts = json.loads(f.metadata()["zoo"])
    assert facts["format"] == 1
    assert facts["model"] == "classification/squeezenet1_1"
    assert facts["task"] == "image-classification"
    assert facts["versions"].keys() == {"zoo-core", "zoo-classification"}
    assert facts["trained_from"].startswith("pkg://zoo_classification/")


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("resnet18", {"num_classes": 5, "in_channels": 1}),
        ("vit_b_32", {"num_classes": 4, "image_size": 64}),
        ("inception_v3", {"num_classes": 4, "init_weights": False}),
        ("googlenet", {"num_classes": 4, "aux_logits": True, "init_weights": False}),
        ("ssdlite320_mobilenet_v3_large", {"num_classes": 4, "weights_backbone": None, "width_mult": 0.5}),
        ("ssd300_vgg16", {"num_classes": 4, "weights_backbone": None}),
        ("fasterrcnn_mobilenet_v3_large_fpn", {"num_classes": 4, "weights_backbone": None}),
        ("keypointrcnn_resnet50_fpn", {"num_classes": 3, "num_keypoints": 5, "weights_backbone": None}),
        ("retinanet_resnet50_fpn_v2", {"num_classes": 4, "weights_backbone": None}),
        ("fcos_resnet50_fpn", {"num_classes": 4, "weights_backbone": None}),
        ("lraspp_mobilenet_v3_large", {"num_classes": 4, "weights_backbone": None}),
        ("deeplabv3_mobilenet_v3_large", {"num_classes": 4, "weights_backbone": None, "aux_loss": True}),
        ("fcn", {"backbone": "resnet18", "num_classes": 4}),
        ("mc3_tiny", {"num_classes": 4}),
        ("raft_small", {}),
    ],
)
def test_every_kind_of_model_comes_back(name, config, tmp_path):
    model = zoo.get_model(name, **config)
    assert same(model, zoo.load(zoo.save(model, tmp_path / "model.safetensors")))
    if "num_classes" in config:
        model = zoo.reset_head(model, 7)
        again = zoo.load(zoo.save(model, tmp_path / "model.safetensors"))
        assert same(model, again)
        assert same(again, zoo.get_model(name, weights=tmp_path / "model.safetensors"))


def test_frozen_and_trained_norms_are_not_confused(tmp_path):
    """Whether a detector's norms are frozen depends on whether it was built to be filled."""
    plain = zoo.get_model("fasterrcnn_resnet50_fpn", weights=None, weights_backbone=None, num_classes=2)
    with zoo.loading.without_memory.filled_by_file():
        meant = zoo.get_model("fasterrcnn_resnet50_fpn", weights=None, num_classes=2)
    again = zoo.load(zoo.save(plain, tmp_path / "plain.safetensors"))
    kinds = [type(m) for m in (plain.backbone.body.bn1, again.backbone.body.bn1, meant.backbone.body.bn1)]
    assert kinds == [nn.BatchNorm2d, nn.BatchNorm2d, kinds[2]]
    assert kinds[2] is not nn.BatchNorm2d


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_come_back(dtype, tmp_path):
    model = zoo.get_model("squeezenet1_1", num_classes=2).to(dtype)
    again = zoo.load(zoo.save(model, tmp_path / "model.safetensors"))
    assert same(model, again)
    assert next(zoo.load(tmp_path / "model.safetensors", dtype=torch.float32).parameters()).dtype == torch.float32


def test_wrappers_layouts_and_copies(tmp_path):
    model = zoo.get_model("resnet18", num_classes=2).to(memory_format=torch.channels_last)
    averaged = torch.optim.swa_utils.AveragedModel(nn.DataParallel(model))
    for n, wrapped in enumerate([averaged, copy.deepcopy(model), pickle.loads(pickle.dumps(model))]):
        assert same(model, zoo.load(zoo.save(wrapped, tmp_path / f"{n}.safetensors")))
    assert not [key for key in model.state_dict() if "built" in key]


def test_int8_comes_back(tmp_path):
    model = zoo.get_model("quantized_resnet18", quantize=True).eval()
    again = zoo.load(zoo.save(model, tmp_path / "int8.safetensors")).eval()
    picture = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(picture), again(picture))


def test_the_file_that_was_loaded_can_be_saved_over(tuned):
    path, model = tuned
    path.chmod(0o640)
    mapped = zoo.get_model("squeezenet1_1", weights=path, mmap=True)
    for n in range(3):
        with torch.no_grad():
            mapped.classifier[1].bias.fill_(n)
        zoo.save(mapped, path)
    assert zoo.load(path).classifier[1].bias.tolist() == [2, 2, 2]
    assert torch.equal(mapped.features[0].weight, model.features[0].weight)
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208


def test_readers_see_the_old_file_or_the_new_one(tuned):
    path, model = tuned
    wrong, done = [], threading.Event()

    def read() -> None:
        while not done.is_set():
            bias = zoo.load(path).classifier[1].bias
            if bias.unique().numel() != 1 and not torch.equal(bias, model.classifier[1].bias):
                wrong.append(bias)

    other = copy.deepcopy(model)
    reader = threading.Thread(target=read)
    reader.start()
    for n in range(8):
        with torch.no_grad():
            other.classifier[1].bias.fill_(n)
        zoo.save(other, path)
    done.set()
    reader.join()
    assert wrong == []


def test_what_was_interrupted_leaves_the_old_file(tuned, monkeypatch):
    path, model = tuned
    before = path.read_bytes()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        zoo.save(model, path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────


def test_what_cannot_be_written_down_is_named(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(InvalidArgument, match="norm_layer=InstanceNorm2d"):
        zoo.save(zoo.get_model("resnet18", norm_layer=nn.InstanceNorm2d), path)
    model = zoo.get_model("resnet18", num_classes=2)
    with pytest.raises(InvalidArgument, match="not made by a builder"):
        zoo.save(nn.Linear(2, 2), path)
    with pytest.raises(InvalidArgument, match="1 categories for a model of 2 classes"):
        zoo.save(model, path, categories=["one"])
    with pytest.raises(InvalidArgument, match="extra"):
        zoo.save(model, path, extra={"when": object()})
    with pytest.raises(InvalidArgument, match=r"ends in \.safetensors"):
        zoo.save(model, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="os:system"):
        zoo.save(model, path, transforms=zoo.Preset("os:system", {}))
    model.layer4 = nn.Identity()
    with pytest.raises(CheckpointError, match=r"missing in it: layer4\.0\.bn1\.bias"):
        zoo.save(model, path)
    assert not path.exists()


def test_what_was_replaced_by_hand_is_kept_or_told(tmp_path):
    path = tmp_path / "model.safetensors"

    def with_part(name, part):
        model = zoo.get_model("resnet18", num_classes=2)
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, part)
        return model

    grey = with_part("conv1", nn.Conv2d(1, 64, 7, 2, 3, bias=False))
    assert same(grey, zoo.load(zoo.save(grey, path)))
    assert zoo.loading.loaded_weights(zoo.load(path)).config["in_channels"] == 1
    both = with_part("conv1", nn.Conv2d(5, 64, 7, 2, 3, bias=False))
    both.fc = nn.Linear(512, 9)
    assert same(both, zoo.load(zoo.save(both, path)))
    path.unlink()
    for name, part, said in (
        ("conv1", nn.Conv2d(3, 64, 3, 1, 1, bias=False), r"of another shape: conv1.weight \[64, 3, 3, 3\]"),
        ("fc", nn.Sequential(nn.Dropout(), nn.Linear(512, 2)), "not in the builder's model: fc.1.bias"),
        ("layer1.0.relu", nn.GELU(), r"of another kind: layer1.0.relu GELU, built ReLU"),
        ("avgpool", nn.AdaptiveMaxPool2d(1), "avgpool AdaptiveMaxPool2d, built AdaptiveAvgPool2d"),
    ):
        with pytest.raises(CheckpointError, match=said):
            zoo.save(with_part(name, part), path)
    norms = nn.SyncBatchNorm.convert_sync_batchnorm(zoo.get_model("resnet18", num_classes=2))
    assert isinstance(zoo.load(zoo.save(norms, path)).bn1, nn.BatchNorm2d)


def test_figures_and_names_of_numpy_and_torch_are_plain(tmp_path, monkeypatch):
    import numpy as np

    monkeypatch.setenv("HOME", str(tmp_path))
    model = zoo.get_model("resnet18", num_classes=2)
    figures = {"a": torch.tensor(0.5), "b": np.float64(0.25), "c": np.int64(3)}
    path = zoo.save(model, "~/a.safetensors", categories=np.array(["x", "ł"]), metrics={"d": figures})
    assert path == tmp_path / "a.safetensors"
    weights = zoo.model_info("~/a.safetensors").weights["SAVED"]
    assert (weights.metrics, weights.categories) == ({"d": {"a": 0.5, "b": 0.25, "c": 3}}, ["x", "ł"])
    with pytest.raises(InvalidArgument, match="not a OrderedDict"):
        zoo.save(model.state_dict(), path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="a user who may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path):
    (tmp_path / "only").mkdir(mode=0o555)
    with pytest.raises(PermissionError):
        zoo.save(zoo.get_model("resnet18", num_classes=2), tmp_path / "only/a.safetensors")


def test_several_threads_save_to_one_path(tmp_path):
    models = [zoo.get_model("squeezenet1_1", num_classes=2) for _ in range(3)]
    path, wrong = tmp_path / "a.safetensors", []

    def save(model):
        try:
            for _ in range(3):
                zoo.save(model, path)
        except (OSError, zoo.errors.ZooError) as e:
            wrong.append(e)

    threads = [threading.Thread(target=save, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert any(same(model, zoo.load(path)) for model in models)
    assert os.listdir(tmp_path) == ["a.safetensors"]  # noqa: PTH208


# ── wherever a name is taken ─────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_a_name(tuned):
    path, model = tuned
    assert same(model, zoo.get_model(str(path)))
    assert zoo.get_model(path, num_classes=5).classifier[1].out_channels == 5
    assert not torch.equal(zoo.get_model(path, weights=None).features[0].weight, model.features[0].weight)
    assert zoo.pipeline(path)(DIGITS / "digit_7.png").label in NAMES
    info = zoo.model_info(str(path))
    assert (info.full_name, info.default_weights) == ("classification/squeezenet1_1", "SAVED")
    meta = zoo.get_model(path, device="meta")
    assert meta.classifier[1].weight.is_meta
    assert meta.classifier[1].out_channels == 3


def test_a_folder_is_a_name(tuned, tmp_path):
    path, model = tuned
    assert same(model, zoo.load(tmp_path))
    zoo.save(model, tmp_path / "second.safetensors")
    with pytest.raises(InvalidArgument, match=r"second\.safetensors, tuned\.safetensors"):
        zoo.load(tmp_path)
    path.rename(tmp_path / "model.safetensors")
    assert same(model, zoo.load(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidArgument, match="contains no saved model"):
        zoo.load(tmp_path / "empty")


def test_a_registered_name_is_no_folder(tmp_path, monkeypatch):
    (tmp_path / "resnet18").mkdir()
    monkeypatch.chdir(tmp_path)
    assert zoo.model_info("resnet18").source is None


def zoo_command(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoo", *map(str, words)], capture_output=True, text=True, env={**os.environ, **env}
    )


def test_commands_take_a_file(tuned, tmp_path):
    path, _ = tuned
    found = zoo_command("predict", DIGITS / "digit_7.png", "--model", path, "--json")
    assert {label["label"] for label in json.loads(found.stdout)[0]["top"]} == set(NAMES), found.stderr
    shown = zoo_command("show", path)
    assert "classification" in shown.stdout
    assert "acc@1 98.5" in shown.stdout
    others = tmp_path / "names.txt"
    others.write_text("x\ny\nz\n")
    found = zoo_command("predict", DIGITS / "digit_7.png", "--model", path, "--json", "--categories", others)
    assert {label["label"] for label in json.loads(found.stdout)[0]["top"]} == set("xyz")
    torch.save(zoo.load(path).state_dict(), tmp_path / "bare.pth")
    found = zoo_command(
        "predict", DIGITS / "digit_7.png", "--model", "squeezenet1_1", "--weights", tmp_path / "bare.pth",
        "--set", "num_classes=3", "--json",
    )  # fmt: skip
    assert len(json.loads(found.stdout)[0]["top"]) == 3


def test_showing_a_file_needs_no_torch(tuned):
    code = (
        f"import sys, zoo; print(zoo.model_info({str(tuned[0])!r}).weights['SAVED'].categories, 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "['a', 'b', 'c'] False"


def test_the_header_says_what_is_in_the_file(tuned):
    with tuned[0].open("rb") as f:
        header, _, begin, size = read_header(f)
    assert max(entry["data_offsets"][1] for entry in header.values()) + begin == size
    assert begin % 8 == 0


# ── at creation ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_device_and_type_at_creation():
    model = zoo.get_model("squeezenet1_1", weights="DIGITS_V1", dtype=torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert next(zoo.get_model("resnet18", device="meta").parameters()).is_meta
    with pytest.raises(InvalidArgument, match="floating point dtype"):
        zoo.get_model("resnet18", dtype=torch.int8)
    with pytest.raises(InvalidArgument, match="cannot be used here"):
        zoo.get_model("resnet18", device="nonsense")


# ── heads ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", zoo.list_models(task="image-classification", plugin="classification"))
def test_the_heads_of_classifiers_are_made_anew(name, tmp_path):
    with torch.device("meta"):  # no numbers are needed to see what is kept
        config = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        model = zoo.get_model(name, num_classes=5, **config)
        before = dict(model.named_parameters())
        zoo.reset_head(model, 3)
        wanted = zoo.get_model(name, num_classes=3, **config)
    after = dict(model.named_parameters())
    assert {k: v.shape for k, v in after.items()} == {k: v.shape for k, v in wanted.named_parameters()}
    assert {k for k in after if after[k] is not before.get(k)} <= {
        k
        for k in after
        if k.rpartition(".")[0] in {c.rpartition(".")[0] for c in after if before[c].shape != after[c].shape}
    }
    assert any(before[k].shape != after[k].shape for k in after)


def test_a_new_head_is_initialised_as_its_builder_does():
    model = zoo.get_model("retinanet_resnet50_fpn_v2", weights=None, weights_backbone=None, num_classes=4)
    body = model.backbone.body.conv1.weight.clone()
    zoo.reset_head(model, 9)
    scores = model.head.classification_head.cls_logits
    assert scores.bias.unique().tolist() == pytest.approx([-4.595], abs=1e-3)  # of a probability of 0.01
    assert model.head.classification_head.num_classes == 9
    assert torch.equal(model.backbone.body.conv1.weight, body)
    model.train()(
        list(torch.rand(1, 3, 64, 64)), [{"boxes": torch.tensor([[2.0, 2, 40, 40]]), "labels": torch.tensor([8])}]
    )


def test_a_head_follows_its_model():
    model = zoo.reset_head(zoo.get_model("squeezenet1_1", weights="DIGITS_V1", dtype=torch.bfloat16).eval(), 2)
    assert model.classifier[1].weight.dtype == torch.bfloat16
    assert not any(module.training for module in model.modules())
    assert zoo.loading.loaded_weights(model).read_categories() == []
    with pytest.raises(InvalidArgument, match="whole number from 1"):
        zoo.reset_head(model, 0)
    with pytest.raises(InvalidArgument, match="no head"):
        zoo.reset_head(zoo.get_model("raft_small"), 2)


@pytest.mark.parametrize(
    ("name", "path", "size"),
    [
        ("fasterrcnn_mobilenet_v3_large_fpn", "roi_heads.box_predictor.cls_score.weight", 6),
        ("ssd300_vgg16", "head.classification_head.module_list.0.weight", 4 * 6),
        ("retinanet_resnet50_fpn", "head.classification_head.cls_logits.weight", 9 * 6),
        ("fcn_resnet50", "classifier.4.weight", 6),
        ("mc3_tiny", "fc.weight", 6),
    ],
)
def test_a_bare_state_dict_tells_its_number_of_classes(name, path, size, tmp_path):
    config = {} if name == "mc3_tiny" else {"weights_backbone": None}
    model = zoo.get_model(name, num_classes=6, **config)
    torch.save(model.state_dict(), tmp_path / "bare.pth")
    again = zoo.get_model(name, weights=tmp_path / "bare.pth", **config)
    assert again.get_parameter(path).shape[0] == size
    assert torch.equal(again.get_parameter(path), model.get_parameter(path))


def test_a_bare_state_dict_tells_what_shapes_tell(tmp_path):
    path = tmp_path / "bare.pth"

    def again(name, **config):
        model = zoo.get_model(name, **config)
        torch.save(model.state_dict(), path)
        return model, zoo.get_model(name, weights=path)

    for config in ({"width_mult": 0.5, "reduced_tail": False}, {"width_mult": 1.4, "reduced_tail": True}):
        model, read = again("ssdlite320_mobilenet_v3_large", weights_backbone=None, num_classes=3, **config)
        assert same(model, read)
    model, read = again("vit_b_32", image_size=96, num_classes=2)
    assert read.image_size == 96
    assert same(model, read)
    model, read = again("fcn_resnet50", weights_backbone=None, aux_loss=True, num_classes=3)
    assert same(model, read)


# ── the hub ──────────────────────────────────────────────────────────────────────────────────────────────────────

COMMIT = "c0ffee" + "0" * 34


def test_a_repository_of_the_hub_is_a_name(tuned, tmp_path):
    with FileServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.headers = {"X-Repo-Commit": COMMIT}
        server.put(f"/org/repo/resolve/{COMMIT}/model.safetensors", tuned[0].read_bytes())
        about = {
            "id": "org/repo",
            "sha": COMMIT,
            "siblings": [{"rfilename": n} for n in ("README.md", "model.safetensors")],
        }
        for revision in ("main", "v1"):
            server.put(f"/api/models/org/repo/revision/{revision}", json.dumps(about).encode())
        env = {
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        for name in ("hf://org/repo", "hf://org/repo@v1"):
            found = zoo_command("predict", DIGITS / "digit_7.png", "--model", name, "--json", **env)
            assert {label["label"] for label in json.loads(found.stdout)[0]["top"]} == set(NAMES), found.stderr
        shown = zoo_command("show", "hf://org/repo", **env)
        assert f"hf://org/repo/model.safetensors@{COMMIT}" in shown.stdout
        absent = zoo_command("show", "hf://org/absent", **env)
        assert absent.returncode == 1
        assert "Could not list hf://org/absent" in absent.stderr
        server.shutdown()
    offline = zoo_command("show", "hf://org/repo", ZOO_OFFLINE="1", **env)
    assert f"hf://org/repo/model.safetensors@{COMMIT}" in offline.stdout, offline.stderr


def test_evaluate_and_export_take_a_file(tuned, tmp_path):
    path, _ = tuned
    for label in NAMES:
        (tmp_path / "data" / label).mkdir(parents=True)
        shutil.copy(DIGITS / "digit_7.png", tmp_path / "data" / label)
    measured = zoo_command("evaluate", "--model", path, "--images", tmp_path / "data", "--json")
    assert json.loads(measured.stdout)["measured"] == 3, measured.stderr
    written = zoo_command("export", path, tmp_path / "out.pt2")
    assert (tmp_path / "out.pt2").stat().st_size > 1_000_000, written.stderr


def test_export_writes_the_categories_that_are_given(tuned, tmp_path):
    torch.save(zoo.load(tuned[0]).state_dict(), tmp_path / "bare.pth")
    (tmp_path / "names.json").write_text('["x", "y", "zażółć"]')
    words = ("export", "squeezenet1_1", tmp_path / "out.pt2", "--weights", tmp_path / "bare.pth")
    words += ("--image-size", "64", "--categories")
    written = zoo_command(*words, tmp_path / "names.json")
    facts = {"zoo": ""}
    torch.export.load(tmp_path / "out.pt2", extra_files=facts)
    assert written.returncode == 0, written.stderr
    assert json.loads(facts["zoo"])["categories"] == ["x", "y", "zażółć"], written.stderr
    (tmp_path / "names.json").write_text('["x", "y"]')
    refused = zoo_command(*words, tmp_path / "names.json", "--force")
    assert "2 categories for a model of 3 classes" in refused.stderr
