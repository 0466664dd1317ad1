"""``zoo lock``, bundles carried to another machine, and what is in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import FileServer, serving

import zoo
from zoo import files
from zoo.cli import main
from zoo.errors import DownloadError, InvalidArgument, PolicyError
from zoo.files import cached, http

CONTENT = bytes(range(256)) * 400
OTHER = CONTENT[::-1]
SHA = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "c0ffee" + "0" * 34


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith(("ZOO_", "HF_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.delitem(sys.modules, "huggingface_hub.constants", raising=False)  # of other tests, with their folder
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(http, "PAUSE", 0.001)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(FileServer()) as running:
        running.put("/model.pth", CONTENT)
        yield running


def another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: FileServer | None = None) -> None:
    """Empty caches, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere" / "hf"))
    monkeypatch.delitem(sys.modules, "huggingface_hub.constants", raising=False)  # of other tests, with their folder
    if server:
        server.files.clear()


@pytest.fixture
def plugin(plugin_folder, server):
    plugin_folder.install(
        "parrots",
        f"""
        class Parrot_Weights(zoo.WeightsEnum):
            GREEN = zoo.Weights(url="{server.url}/model.pth", license="Apache-2.0", sha256="{SHA}")
            RED = zoo.Weights(url="{server.url}/other.pth", license="CC-BY-NC-4.0")
            DEFAULT = GREEN
        @zoo.hookimpl
        def zoo_manifest():
            return zoo.Manifest(api_version=1, models=[
                zoo.ModelSpec("parrot", "parrots_plugin:parrot", task="image-classification", weights=Parrot_Weights)])
        """,
        version="1.2",
    )
    zoo.refresh()


# --- zoo.lock ---------------------------------------------------------------------------------------------------------


def test_a_lock_says_exactly_what_is_used(plugin, server, quiet_plugins):
    assert main(["lock", "parrot", f"{server.url}/model.pth?token=hush"]) == 0
    text = Path("zoo.lock").read_text()
    assert "hush" not in text
    lock = json.loads(text)
    first = lock["files"][0]
    assert (first["size"], first["sha256"], first["license"]) == (len(CONTENT), SHA, "Apache-2.0")
    assert (first["url"], first["names"]) == (f"{server.url}/model.pth", ["Parrot_Weights.GREEN"])
    assert lock["versions"]["zoo-parrots"] == "1.2"
    assert "zoo-core" in lock["versions"]


def test_nothing_but_what_is_locked_is_loaded(server, monkeypatch, capsys, tmp_path):
    locked, unlocked = f"{server.url}/model.pth", server.put("/other.pth", OTHER)
    mine = tmp_path / "mine.pth"
    mine.write_bytes(OTHER)
    files.fetch(unlocked)
    assert main(["lock", locked, mine.as_uri()]) == 0
    monkeypatch.setenv("ZOO_LOCK", "zoo.lock")
    assert files.fetch(locked).read_bytes() == CONTENT
    assert files.fetch(f"{locked}?X-Amz-Signature=new").read_bytes() == CONTENT
    assert files.fetch(mine) == files.fetch("mine.pth").absolute() == files.fetch(mine.as_uri())
    (tmp_path / "own.pth").write_bytes(OTHER)
    for url in (unlocked, f"{locked}?v=2", "hf://org/repo/x.bin", tmp_path / "own.pth"):
        with pytest.raises(PolicyError, match=r"not in the lock ZOO_LOCK=zoo\.lock"):
            files.fetch(url)
    mine.write_bytes(CONTENT)
    with pytest.raises(DownloadError, match="should begin with"):
        files.fetch(mine)
    server.put("/model.pth", OTHER)  # its owner has replaced it
    assert main(["pull", "--locked", "--force"]) == 1
    assert "downloaded twice and deleted" in capsys.readouterr().err
    Path("zoo.lock").write_text("{}")
    with pytest.raises(InvalidArgument, match=r"is not a zoo\.lock"):
        files.fetch(locked)
    Path("zoo.lock").unlink()
    with pytest.raises(InvalidArgument, match="cannot be read"):
        files.fetch(locked)


def test_what_is_locked_is_pulled(server, monkeypatch, tmp_path, capsys):
    main(["lock", f"{server.url}/model.pth"])
    another_machine(monkeypatch, tmp_path)
    assert main(["pull", "--locked"]) == 0
    assert files.cached_path(f"{server.url}/model.pth").read_bytes() == CONTENT
    lock = json.loads(Path("zoo.lock").read_text())
    Path("zoo.lock").write_text(json.dumps(lock | {"versions": {"zoo-core": "99", "zoo-absent": "1"}}))
    assert main(["pull", "--locked"]) == 1
    said = capsys.readouterr().err
    assert "zoo-core 99 is locked, and" in said
    assert "zoo-absent 1 is locked, and not installed here: pip install zoo-absent==1" in said
    assert main(["pull"]) == main(["pull", "--locked", "x"]) == 2


def test_weights_say_their_whole_hash(plugin, server, quiet_plugins):
    weights = zoo.get_weight("Parrot_Weights.GREEN").value
    server.put("/model.pth", OTHER)
    with pytest.raises(DownloadError, match=f"should begin with {SHA}"):
        weights.get_state_dict(progress=False)


def test_allowed_licences_are_those_of_weights(plugin, server, quiet_plugins, monkeypatch, capsys):
    server.put("/other.pth", OTHER)
    monkeypatch.setenv("ZOO_ALLOWED_LICENSES", "apache-2.0")
    assert main(["pull", "parrot"]) == 0
    assert main(["pull", "parrot", "--all"]) == 1
    assert "its licence is 'CC-BY-NC-4.0'" in capsys.readouterr().err


# --- bundles ----------------------------------------------------------------------------------------------------------


def test_a_bundle_carries_files_to_a_machine_without_a_network(server, monkeypatch, tmp_path, capsys):
    in_hub = tmp_path / "hf" / "models--org--repo"
    (in_hub / "snapshots" / COMMIT / "sub").mkdir(parents=True)
    (in_hub / "refs").mkdir()
    (in_hub / "refs" / "main").write_text(COMMIT)
    (in_hub / "snapshots" / COMMIT / "sub" / "a.bin").write_bytes(OTHER)
    urls = [f"{server.url}/model.pth", server.put(f"/m-{SHA[:8]}.pth", CONTENT), server.put("/x/model.pth", OTHER)]
    urls += ["hf://org/repo/sub/a.bin", "pkg://zoo/py.typed"]
    assert main(["bundle", "all.zip", *urls]) == 0
    another_machine(monkeypatch, tmp_path, server)
    shutil.rmtree(tmp_path / "hf")
    code = "import sys; from zoo.cli import main; sys.exit(main(['unbundle', 'all.zip']))"
    subprocess.run([sys.executable, "-c", code], check=True)
    server.log.clear()
    assert [files.fetch(url).read_bytes() for url in urls] == [CONTENT, CONTENT, OTHER, OTHER, b""]
    assert server.log == []
    placed = (tmp_path / "elsewhere" / "hf" / "models--org--repo").rglob("*")
    assert sorted(p.name for p in placed if p.is_file()) == ["a.bin", "main"]
    assert [problem for _, problem in cached.verify_cache()] == [""] * 3


def test_what_is_locked_is_bundled(server):
    assert main(["lock", f"{server.url}/model.pth"]) == main(["bundle", "all.zip"]) == 0
    with zipfile.ZipFile("all.zip") as packed:
        assert packed.read(SHA) == CONTENT


def test_a_path_is_not_bundled(tmp_path, capsys):
    (tmp_path / "mine.pth").write_bytes(CONTENT)
    assert main(["bundle", "all.zip", (tmp_path / "mine.pth").as_uri()]) == 1
    assert "has no place in another machine's cache" in capsys.readouterr().err
    assert not Path("all.zip").exists()


def forged(url: str, content: bytes = CONTENT, **facts: object) -> None:
    entry = {"url": url, "size": len(content), "sha256": SHA, **facts}
    with zipfile.ZipFile("all.zip", "w") as packed:
        packed.writestr("zoo.lock", json.dumps({"version": 1, "files": [entry], "versions": {}}))
        packed.writestr(str(entry["sha256"]), content)


@pytest.mark.parametrize(
    ("url", "facts", "problem"),
    [
        ("https://host/model.pth", {"content": OTHER}, "does not have the SHA-256"),
        ("https://host/m-0676ba61.pth", {}, "does not match the hash in its name"),
        ("https://host/..", {}, "names no file"),
        ("hf://org/repo/../../x", {"commit": COMMIT}, "names no file"),
        ("hf://org/repo/x", {"commit": "../../.."}, "names no file"),
        ("hf://org/repo/x", {"commit": ""}, "names no file"),
        ("file:///etc/passwd", {}, "no place in a cache"),
        ("/etc/passwd", {}, "no place in a cache"),
        ("https://host/model.pth", {"sha256": "../../evil"}, "is not a zoo.lock"),
        ("https://host/model.pth", {"size": "1"}, "is not a zoo.lock"),
        ("https://host/model.pth", {"size": 1}, "does not have the size"),
        ("https://host/model.pth", {"strange": 1}, "is not a zoo.lock"),
    ],
)
def test_a_forged_bundle(url, facts, problem, capsys, tmp_path):
    forged(url, **facts)
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert main(["unbundle", "all.zip"]) == 1
    assert problem in capsys.readouterr().err
    assert {p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock"} == before


def test_a_bundle_is_held_to_lock_and_policy(server, monkeypatch, capsys):
    url = f"{server.url}/model.pth"
    main(["lock", url])
    monkeypatch.setenv("ZOO_LOCK", "zoo.lock")
    forged(url, OTHER, sha256=hashlib.sha256(OTHER).hexdigest())
    assert main(["unbundle", "all.zip"]) == 1
    assert "differs from the file in ZOO_LOCK" in capsys.readouterr().err
    monkeypatch.delenv("ZOO_LOCK")
    monkeypatch.setenv("ZOO_MAX_DOWNLOAD", "1 KB")
    assert main(["unbundle", "all.zip"]) == 1
    assert "max_download" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"no zip"])
def test_what_is_no_bundle(damage, capsys):
    Path("all.zip").write_bytes(damage)
    assert main(["unbundle", "all.zip"]) == 1
    assert "is not a complete bundle" in capsys.readouterr().err


# --- zoo cache --------------------------------------------------------------------------------------------------------


def as_json(capsys: pytest.CaptureFixture[str], *command: str) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    main(["cache", *command, "--json"])
    return {Path(file["path"]).name: file for file in json.loads(capsys.readouterr().out)}


@pytest.fixture
def full_cache(server, folder):
    """One file of zoo, one interrupted download, one file of torch.hub."""
    files.fetch(f"{server.url}/model.pth?token=hush")
    for _ in range(http.TRIES):
        server.fail(cut=100)
    with pytest.raises(DownloadError):
        files.fetch(server.put(f"/broken-{SHA[:8]}.pth", CONTENT))
    (folder / "hub.pth").write_bytes(OTHER)
    (folder / "browser.pth.part").write_bytes(OTHER)
    return folder


def test_the_cache_is_listed(full_cache, capsys):
    found = as_json(capsys, "list")
    states = {name: file["state"] for name, file in found.items()}
    assert states == {"model.pth": "zoo's", f"broken-{SHA[:8]}.pth.part": "unfinished", "hub.pth": "foreign",
                      "browser.pth.part": "foreign"}  # fmt: skip
    assert found["model.pth"]["sha256"] == SHA
    assert main(["cache", "list"]) == 0
    text = capsys.readouterr().out
    assert "hush" not in text
    assert "4 files, 0.3 MB" in text


def test_the_cache_is_verified(full_cache, capsys):
    assert main(["cache", "verify"]) == 0
    assert "nothing known  " in capsys.readouterr().out
    about = (full_cache / "model.pth").stat()
    with (full_cache / "model.pth").open("r+b") as f:
        f.write(b"evil")
    os.utime(full_cache / "model.pth", ns=(about.st_atime_ns, about.st_mtime_ns))
    (full_cache / f"theirs-{SHA[:8]}.pth").write_bytes(OTHER)  # which torch.hub would load
    assert main(["cache", "verify"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert f"should begin with {SHA}" in first
    assert "`zoo pull --force http://127" in first
    assert f"theirs-{SHA[:8]}.pth: its SHA-256 should begin with {SHA[:8]}" in second
    assert as_json(capsys, "verify")["model.pth"]["problem"]


def test_a_short_promise_is_backed_by_the_whole_hash(server, folder, monkeypatch):
    """Another file whose hash begins with the same digits, as if eight of them had been forged."""
    url = server.put(f"/m-{SHA[:8]}.pth", CONTENT)
    path = files.fetch(url)
    path.write_bytes(OTHER)
    monkeypatch.setattr(cached, "full_hash", lambda path: SHA[:8] + "0" * 56)
    assert [problem != "" for _, problem in cached.verify_cache()] == [True]


def test_pruning_makes_room(full_cache, server, capsys):
    kept = {"model.pth", "hub.pth", "browser.pth.part"}
    assert {*as_json(capsys, "prune", "--dry-run")} == {f"broken-{SHA[:8]}.pth.part"}
    assert (full_cache / f"broken-{SHA[:8]}.pth.part").exists()
    assert main(["cache", "prune"]) == 0
    assert {p.name for p in full_cache.iterdir() if not p.name.startswith(".")} == kept
    assert not (full_cache / f".broken-{SHA[:8]}.pth.part.json").exists()
    assert as_json(capsys, "prune", "--unused", "1") == {}
    assert {*as_json(capsys, "prune", "--unused", "0")} == {"model.pth"}
    assert not (full_cache / ".model.pth.json").exists()
    assert {*as_json(capsys, "prune", "--unused", "0", "--foreign")} == {"hub.pth", "browser.pth.part"}


def test_what_was_altered_or_is_in_use_is_not_pruned(full_cache, capsys):
    from zoo.files.lock import locked

    (full_cache / "model.pth").write_bytes(OTHER)  # no longer what zoo has fetched
    assert as_json(capsys, "prune", "--unused", "0").keys() == {f"broken-{SHA[:8]}.pth.part"}
    (full_cache / "model.pth").write_bytes(CONTENT)
    note = full_cache / ".model.pth.json"
    about = (full_cache / "model.pth").stat()
    times = {"mtime_ns": about.st_mtime_ns, "ctime_ns": about.st_ctime_ns}
    note.write_text(json.dumps(json.loads(note.read_text()) | times))
    with locked(full_cache / "model.pth"):
        assert as_json(capsys, "prune", "--unused", "0") == {}
        main(["cache", "prune", "--unused", "0"])
        assert "model.pth is in use" in capsys.readouterr().err
    assert (full_cache / "model.pth").exists()
