"""Publishing a saved model: its card, a repository of the hub (on loopback), a package."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from loopback_hub import TOKEN, Hub, Repository, serving
from PIL import Image

import zoo
from zoo.errors import CheckpointError, InvalidArgument, OfflineError, UploadError
from zoo_training.cards import WRITTEN, model_card, write_card

NAMES = ["blue", "red"]
FIGURES = {"held out": {"acc@1": 98.5, "loss": 1e-7}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder as written by zoo train: best and last weights, metrics, pictures by epoch."""
    model = zoo.reset_head(zoo.get_model("squeezenet1_1", weights="DIGITS_V1"), 2)
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    for name in ("best", "last"):
        zoo.save(model, folder / f"{name}.safetensors", categories=NAMES, metrics=FIGURES)
    (folder / "metrics.csv").write_text("epoch,loss\n1,0.5\n")
    for name in ("curves.png", "predictions_2.png", "predictions_10.png"):
        Image.new("RGB", (8, 8)).save(folder / name)
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    import huggingface_hub.constants as constants

    with Hub() as server, serving(server):
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[k], theirs[k]) for k in ours)


# ── cards ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_card_says_what_the_file_knows(run: Path) -> None:
    text = model_card(run / "best.safetensors", name="Colours", load="hf://org/colours", data="org/pictures")
    card = ModelCard(text)
    assert card.data.pipeline_tag == "image-classification"
    assert (card.data.library_name, card.data.license, card.data.datasets) == ("zoo", "bsd-3-clause", ["org/pictures"])
    found = {(r.dataset_name, r.metric_type, r.metric_name): r.metric_value for r in card.data.eval_results}
    assert found == {("held out", "accuracy", "Acc@1"): 98.5, ("held out", "loss", "loss"): 1e-7}
    assert 'import zoo\nmodel = zoo.pipeline("hf://org/colours")\nprint(model("picture.png"))\n' in text
    assert "| held out | Acc@1 | 98.5 |" in text
    assert "blue, red" in text
    assert "pkg://zoo_classification/checkpoints/squeezenet1_1_digits" in text  # its initial weights
    assert "pip install zoo-classification" in text


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    model = zoo.get_model("squeezenet1_1", num_classes=2)
    name = 'a|b\n---\nlicense: "x"\u2028<script>\x1b[0m'
    path = zoo.save(
        model, tmp_path / "m.safetensors", categories=[name, "[x](y)"], metrics={name: {name: 1.0}}, license=name
    )
    text = model_card(path, name=name, load='x")\nimport os', data=name, training={name: name}, pictures=[name])
    head = yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
    assert (head["license"], head["license_name"], head["model-index"][0]["name"]) == ("other", name, name)
    assert text.count("\n---\n") == 1
    assert "<script>" not in text.split("\n---\n")[1].replace("\\<script\\>", "")
    assert "\x1b" not in text
    assert "\nimport os" not in text


def test_a_card_beside_the_weights_and_one_that_is_somebodys_own(run: Path) -> None:
    card = write_card(run / "best.safetensors", training={"epochs": 10, "recipe": None})
    text = card.read_text()
    assert WRITTEN in text
    assert "| epochs | 10 |" in text
    assert "recipe" not in text
    assert "![predictions 10](predictions_10.png)" in text  # the last of the numbered ones
    assert "predictions_2" not in text
    assert 'zoo.pipeline("best.safetensors")' in text
    write_card(run / "best.safetensors")  # its own card is written again
    assert "epochs" not in card.read_text()
    card.write_text("mine")
    write_card(run / "best.safetensors")
    assert card.read_text() == "mine"
    (run / "bad.safetensors").write_bytes(b"no model")
    with pytest.raises(CheckpointError):
        model_card(run / "bad.safetensors")


@pytest.mark.parametrize(
    ("name", "tag", "example"),
    [
        ("ssdlite320_mobilenet_v3_large", "object-detection", '"picture.png"'),
        ("lraspp_mobilenet_v3_large", "image-segmentation", '"picture.png"'),
        ("mc3_tiny", "video-classification", '"video.mp4"'),
        ("raft_small", None, '("frame1.png", "frame2.png")'),
    ],
)
def test_cards_of_other_tasks(name: str, tag: str | None, example: str, tmp_path: Path) -> None:
    config = {} if name in ("mc3_tiny", "raft_small") else {"num_classes": 3, "weights_backbone": None}
    labels = ["__background__", "a", "b"] if config else None
    text = model_card(zoo.save(zoo.get_model(name, **config), tmp_path / "m.safetensors", categories=labels))
    assert ("of 2 categories" in text) == (labels is not None)
    assert "background" not in text
    head = yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
    assert head.get("pipeline_tag") == tag
    assert "license" not in head
    assert "| licence | not stated |" in text
    assert example in text


# ── the hub ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_pushed_is_loaded_by_its_name(run: Path, hub: Hub) -> None:
    done = zoo.push_to_hub(run, "org/colours", license="mit", private=True)
    repository = hub.repositories["org/colours"]
    assert repository.private
    sha, files = repository.at("main")
    assert done.commit == sha
    assert set(files) - {".gitattributes"} == set(done.files)
    assert {"README.md", "model.safetensors", "pictures/curves.png", "pictures/predictions_10.png"} == set(done.files)
    assert hub.large.keys() == {hashlib.sha256(files["model.safetensors"]).hexdigest()}  # uploaded with LFS
    card = files["README.md"].decode()
    assert ModelCard(card).data.license == "mit"
    assert 'zoo.pipeline("hf://org/colours")' in card
    assert same(zoo.load(run / "best.safetensors"), zoo.get_model("hf://org/colours"))
    info = zoo.model_info("hf://org/colours")
    assert (info.weights["SAVED"].license, info.weights["SAVED"].categories) == ("mit", NAMES)


def test_a_model_is_pushed_to_a_branch_and_again(run: Path, hub: Hub) -> None:
    model = zoo.load(run / "best.safetensors")
    zoo.push_to_hub(
        model, "org/colours", revision="v1", metrics={"mine": {"acc@1": 90.0}}, token=TOKEN, message="first"
    )
    repository = hub.repositories["org/colours"]
    assert "model.safetensors" not in repository.at("main")[1]
    assert repository.messages[-1] == "first"
    assert zoo.model_info("hf://org/colours@v1").weights["SAVED"].metrics == {"mine": {"acc@1": 90.0}}
    again = zoo.push_to_hub(model, "hf://org/colours", revision="v1")
    assert "org/colours already existed: a commit was added to v1." in again.notes
    assert len(repository.commits) == 3


def test_a_card_and_a_model_of_others_stay(run: Path, hub: Hub) -> None:
    repository = hub.repositories["org/theirs"] = Repository()
    repository.commit("main", {"README.md": b"# mine", "model.safetensors": b"theirs"}, "theirs")
    with pytest.raises(UploadError, match=r"may be another model.*--replace"):
        zoo.push_to_hub(run, "org/theirs")
    assert repository.at("main")[1]["model.safetensors"] == b"theirs"
    done = zoo.push_to_hub(run, "org/theirs", replace=True)
    assert "README.md" not in done.files
    assert any("was not changed" in note for note in done.notes)
    assert repository.at("main")[1]["README.md"] == b"# mine"
    own = run / "card.md"
    own.write_text("# my own card")
    zoo.push_to_hub(run, "org/theirs", replace=True, card=own)
    assert repository.at("main")[1]["README.md"] == b"# my own card"


@pytest.mark.parametrize(
    ("arrange", "said"),
    [
        (lambda hub, set_: set_.delenv("HF_TOKEN"), "There is no token"),
        (lambda hub, set_: set_.setenv("HF_TOKEN", "hf_wrongwrong"), "does not accept the token"),
        (lambda hub, set_: hub.organisations.clear(), "no write access to org"),
        (lambda hub, set_: hub.refuse.update({"/preupload/": 403}), "no write access to org"),
        (lambda hub, set_: hub.refuse.update({"/large/": 413}), "exceeds the size limit of the hub"),
        (lambda hub, set_: hub.refuse.update({"/commit/": 412}), "the hub answered 412"),
        (lambda hub, set_: hub.repositories.update({"org/new": Repository()}), "already exists and is public"),
    ],
    ids=["no token", "wrong token", "organisation", "read only", "size", "conflict", "public"],
)
def test_what_the_hub_refuses_is_told(arrange: Any, said: str, run: Path, hub: Hub, monkeypatch: Any) -> None:
    arrange(hub, monkeypatch)
    with pytest.raises(UploadError, match=said) as e:
        zoo.push_to_hub(run, "org/new", private=True)
    assert TOKEN not in str(e.value)
    there = hub.repositories.get("org/new")
    assert there is None or "model.safetensors" not in there.at("main")[1]


def test_what_is_wrong_is_told_before_the_hub_is_asked(run: Path, hub: Hub, monkeypatch: Any) -> None:
    for name in ("colours", "org/", "org/a b", "org/a--b", "a/b/c", "org/" + "x" * 96):
        with pytest.raises(InvalidArgument, match="expected 'org/name'"):
            zoo.push_to_hub(run, name)
    with pytest.raises(InvalidArgument, match="'nowhere' does not exist"):
        zoo.push_to_hub("nowhere", "org/new")
    with pytest.raises(InvalidArgument, match="expected a model, or the path"):
        zoo.push_to_hub(3, "org/new")
    with pytest.raises(InvalidArgument, match=r"The file 'absent\.png' does not exist"):
        zoo.push_to_hub(run, "org/new", pictures=["absent.png"])
    with pytest.raises(InvalidArgument, match="dry_run=True"):
        zoo.push_to_hub(run, "org/new", output="folder")
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"ZOO_OFFLINE is set.*--dry-run"):
        zoo.push_to_hub(run, "org/new")
    assert hub.asked == []


def test_a_dry_run_writes_the_folder_and_asks_nobody(run: Path, hub: Hub, offline: None, run_command: Any) -> None:
    target = run.parent / "colours"
    done = run_command("push", run, "org/colours", "--dry-run", "--output", target, "--json")
    assert done.status == 0, done.err
    assert sorted(json.loads(done.out)["files"]) == sorted(
        p.relative_to(target).as_posix() for p in target.rglob("*.*")
    )
    assert hub.asked == []
    assert same(zoo.load(run / "best.safetensors"), zoo.load(target))
    before = (target / "README.md").read_bytes()
    assert "already exists" in run_command("push", run, "org/colours", "--dry-run", "--output", target).err
    assert (target / "README.md").read_bytes() == before


@pytest.fixture
def run_command(request: pytest.FixtureRequest) -> Any:
    """The common fixture ``run``, whose name is used otherwise here."""
    from zoo.cli import main

    capture = request.getfixturevalue("capsys")

    def command(*words: object) -> SimpleNamespace:
        status = main([str(word) for word in words])
        out, err = capture.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return command


def test_the_command_pushes_in_a_process_of_its_own(run: Path, hub: Hub, tmp_path: Path) -> None:
    env = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    words = ["push", str(run / "last.safetensors"), "org/colours", "--metric", "own data:acc@1=91"]
    done = subprocess.run([sys.executable, "-m", "zoo", *words], env=env, capture_output=True, text=True, check=True)
    assert f"{hub.url}/org/colours" in done.stdout
    assert zoo.model_info("hf://org/colours").weights["SAVED"].metrics == {"own data": {"acc@1": 91.0}}


def test_nothing_of_the_hub_is_imported_for_a_dry_run(run: Path) -> None:
    code = (
        f"import sys, zoo; zoo.push_to_hub({str(run)!r}, 'org/x', dry_run=True, output={str(run / 'out')!r}); "
        "print([m for m in ('torch', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_repository_is_pushed_on_and_made_a_package(run: Path, hub: Hub, run_command: Any, tmp_path: Path) -> None:
    zoo.push_to_hub(run, "org/colours")
    done = run_command("push", "hf://org/colours", "org/again", "--private")
    assert done.status == 0, done.err
    assert hub.repositories["org/again"].private
    made = run_command("new-plugin", "zoo-colours", "--from", "hf://org/again", "--output", tmp_path)
    assert made.status == 0, made.err
    assert len(list((tmp_path / "zoo-colours").rglob("*.safetensors"))) == 1
