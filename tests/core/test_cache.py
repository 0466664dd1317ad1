"""Files: downloaded from a real server that interrupts, stalls and sends wrong data."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest
from servers import Fault, FileServer, serving

import zoo
from zoo import files, registry
from zoo.errors import CacheWarning, DownloadError, InvalidArgument, OfflineError
from zoo.files import http, notes, part as part_module

MB = 1 << 20
CONTENT = bytes(range(256)) * (3 * MB // 256)
SHA = hashlib.sha256(CONTENT).hexdigest()
NAME = f"model-{SHA[:8]}.pth"
HALF = len(CONTENT) // 2
SETTINGS = ("TORCH_MODEL_ZOO", "TORCH_HUB", "XDG_CACHE_HOME", "ZOO_OFFLINE", "ZOO_MIRROR", "ZOO_TIMEOUT", "HF_ENDPOINT")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; retries without the wait."""
    for name in (*SETTINGS, "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delitem(sys.modules, "huggingface_hub.constants", raising=False)  # of other tests, with their folder
    monkeypatch.setattr(http, "PAUSE", 0.001)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A file server on loopback, asked directly whatever proxy this machine has."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(FileServer()) as running:
        yield running


@pytest.fixture
def tls_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """The same behind a certificate that nobody trusts."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(FileServer(Path(__file__).parents[1] / "reference" / "self-signed.pem")) as running:
        yield running


def python(code: str, *args: str, **options: Any) -> subprocess.Popen[str]:
    """Another process that runs ``code``."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([sys.executable, "-c", code, *args], **options)


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


FETCH = """
import sys
from zoo import files
print("asking", flush=True)
print(files.fetch(sys.argv[1], progress=False))
"""


def wait_for(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def alter(path: Path, unnoticed: bool = False) -> None:
    """Change one byte in the middle; ``unnoticed``: with the times of its note, so that only hashing could tell."""
    stat = path.stat()
    with path.open("r+b") as f:
        f.seek(HALF)
        f.write(bytes([path.read_bytes()[HALF] ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns if unnoticed else stat.st_mtime_ns + 10**9))
    if unnoticed:
        note = next(p for p in (notes.note_path(path), notes.note_elsewhere(path)) if p.exists())
        note.write_text(json.dumps(json.loads(note.read_text()) | {"ctime_ns": path.stat().st_ctime_ns}))


# --- where files are --------------------------------------------------------------------------------------------------


def test_the_folder_follows_torchs_rule(tmp_path, monkeypatch):
    import torch

    def rule_without_torch() -> Path:
        with monkeypatch.context() as m:
            m.delitem(sys.modules, "torch.hub")
            return files.cache_dir()

    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    for settings in (
        {"TORCH_HOME": str(tmp_path)},
        {"TORCH_HOME": "~/elsewhere"},
        {"TORCH_HOME": None, "XDG_CACHE_HOME": str(tmp_path)},
        {"TORCH_HOME": None, "XDG_CACHE_HOME": None},
    ):
        for name, value in settings.items():
            monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
        expected = Path(torch.hub.get_dir(), "checkpoints")
        assert (files.cache_dir(), rule_without_torch()) == (expected, expected), settings
    torch.hub.set_dir(tmp_path / "set")
    assert files.cache_dir() == tmp_path / "set" / "checkpoints"


def test_the_old_variable_is_honoured_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_MODEL_ZOO", str(tmp_path / "old"))
    with pytest.warns(CacheWarning, match=r"TORCH_HOME.*filterwarnings"):
        assert files.cache_dir() == tmp_path / "old"


@pytest.mark.parametrize(
    ("url", "promise"),
    [
        ("https://h/models/lraspp_mobilenet_v3_large-d234d4ea.pth", ("d234d4ea", True)),
        ("https://h/vit_h_14_swag-80465313.pth?download=1", ("80465313", True)),
        ("hf://org/repo/model-0676ba61.safetensors@main", ("0676ba61", True)),
        ("https://h/resnet18_fbgemm_16fa66dd.pth", ("16fa66dd", False)),
        ("https://h/best-20240131.pth", ("20240131", False)),
        ("https://h/foo_12345678.pth", None),
        ("https://h/model-epoch-20.pth", None),
        ("https://h/model-0676ba61/weights.pth", None),
        ("https://h/pytorch_model-00001-of-00002.bin", None),
        ("https://h/model.pth", None),
    ],
)
def test_what_a_name_promises(url, promise):
    assert files.promised_hash(url) == promise


def test_importing_costs_nothing():
    code = "import sys, zoo.files; print(*sys.modules)"
    heavy = {"torch", "numpy", "huggingface_hub", "filelock", "tqdm", "urllib.request", "http.client", "ssl", "hashlib"}
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}  # it imports some
    assert not heavy & set(finish(python(code, env=env)).split())


# --- downloads --------------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_once(server, folder):
    url = server.put(f"/models/{NAME}", CONTENT)
    assert files.cached_path(url) is None
    path = files.fetch(url)
    assert path == folder / NAME == files.cached_path(url) == http.target_path(url)
    assert path.read_bytes() == CONTENT
    assert files.fetch(url) == path
    assert server.gets == [(f"/models/{NAME}", None, 200)]
    assert {p.name for p in folder.iterdir()} == {NAME, f".{NAME}.json", f".{NAME}.lock"}


def test_a_warm_file_is_not_hashed_locked_or_written(server, folder):
    url = server.put(f"/{NAME}", CONTENT)
    path = files.fetch(url)
    alter(path, unnoticed=True)
    before = {p.name: p.stat().st_mtime_ns for p in (folder, *folder.iterdir())}
    with filelock.FileLock(folder / f".{NAME}.lock"):  # code that needs the lock would wait forever
        assert str(path) in finish(python(FETCH, url))
    assert before == {p.name: p.stat().st_mtime_ns for p in (folder, *folder.iterdir())}
    assert len(server.gets) == 1


def test_an_altered_file_is_fetched_again(server):
    url = server.put(f"/{NAME}", CONTENT)
    path = files.fetch(url)
    alter(path)
    with pytest.warns(CacheWarning, match=f"was altered.*{SHA[:8]}"):
        assert files.fetch(url).read_bytes() == CONTENT
    path.write_bytes(CONTENT[:HALF])
    with pytest.warns(CacheWarning, match="was altered"):
        assert files.fetch(url).read_bytes() == CONTENT
    assert len(server.gets) == 3


def test_without_a_promise_an_altered_download_is_noticed_too(server):
    url = server.put("/model.safetensors", CONTENT)
    path = files.fetch(url)
    os.utime(path)  # a new time alone is not an alteration
    files.fetch(url)
    alter(path)
    with pytest.warns(CacheWarning, match="was altered"):
        assert files.fetch(url).read_bytes() == CONTENT
    assert len(server.gets) == 2


def test_a_file_put_there_by_someone_else(server, folder):
    url = server.put(f"/{NAME}", CONTENT)
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(CONTENT)
    assert files.fetch(url) == folder / NAME
    assert server.log == []
    numbered = f"model_fbgemm_{SHA[:8]}.pth"  # not binding, and right
    (folder / numbered).write_bytes(CONTENT)
    assert files.cached_path(f"{server.url}/{numbered}") == files.fetch(f"{server.url}/{numbered}") == folder / numbered
    assert server.log == []
    (folder / "plain.pth").write_bytes(b"mine")  # nothing promised: whose it is, nobody knows
    assert files.cached_path(server.put("/plain.pth", b"theirs")) is None
    assert files.fetch(f"{server.url}/plain.pth").read_bytes() == b"theirs"
    assert (folder / "plain.pth").read_bytes() == b"mine"


def test_torch_hub_and_zoo_find_each_others_files(server, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    torch.save({"weight": torch.arange(3.0)}, tmp_path / "saved.pth")
    saved = (tmp_path / "saved.pth").read_bytes()
    for name in ("theirs", "ours"):
        url = server.put(f"/{name}-{hashlib.sha256(saved).hexdigest()[:8]}.pth", saved)
        first, second = torch.hub.load_state_dict_from_url, files.fetch
        for ask in (first, second) if name == "theirs" else (second, first):
            ask(url, progress=False)
    assert len(server.gets) == 2


def test_same_name_from_two_places_is_two_files(server):
    urls = [server.put(f"/{org}/model.safetensors", org.encode()) for org in ("one", "two")]
    for _ in range(2):
        assert [files.fetch(url).read_bytes() for url in urls] == [b"one", b"two"]
    assert [files.cached_path(url).name for url in urls] == ["model.safetensors"] * 2
    assert len(server.gets) == 2


def test_secrets_of_a_signed_url_are_not_written_down(server, folder):
    url = server.put("/model.bin?signature=hush", b"x")
    files.fetch(url)
    notes = [p.read_text() for p in folder.glob(".*.json")]
    assert notes
    assert "hush" not in str(notes)
    with pytest.raises(DownloadError) as e:
        files.fetch(f"{server.url}/absent.bin?signature=hush")
    assert "hush" not in str(e.value)


# --- what servers do --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NAME, "model.pth"])
def test_goes_on_where_it_broke_off(server, name):
    url = server.put(f"/{name}", CONTENT)
    server.fail(cut=HALF)
    assert files.fetch(url).read_bytes() == CONTENT
    assert server.gets == [(f"/{name}", None, 200), (f"/{name}", f"bytes={HALF}-", 206)]


def test_goes_on_in_the_next_program(server, folder):
    url = server.put(f"/{NAME}", CONTENT)
    for _ in range(http.TRIES):
        server.fail(cut=1000)
    with pytest.raises(DownloadError, match=r"connection was lost after 5000 of 3145728 bytes.*is kept"):
        files.fetch(url)
    assert (folder / f"{NAME}.part").stat().st_size == 5000
    assert files.fetch(url).read_bytes() == CONTENT
    assert server.gets[-1] == (f"/{NAME}", "bytes=5000-", 206)


def test_a_complete_part_needs_no_request(server, folder):
    folder.mkdir(parents=True)
    (folder / f"{NAME}.part").write_bytes(CONTENT)  # killed between the last byte and the renaming
    assert files.fetch(f"{server.url}/{NAME}").read_bytes() == CONTENT
    assert server.log == []


def test_a_wrong_part_is_thrown_away(server, folder):
    url = server.put(f"/{NAME}", CONTENT)
    folder.mkdir(parents=True)
    for wrong in (b"?" * HALF, b"?" * len(CONTENT)):  # found out by the hash; by the server's 416
        (folder / f"{NAME}.part").write_bytes(wrong)
        path = files.fetch(url)
        assert path.read_bytes() == CONTENT
        path.unlink()


def test_a_server_without_ranges(server):
    server.ranges = False
    url = server.put("/model.pth", CONTENT)
    server.fail(cut=HALF)
    assert files.fetch(url).read_bytes() == CONTENT
    assert [status for *_, status in server.gets] == [200, 200]


def test_a_server_that_always_breaks_off_is_given_up(server):
    server.ranges = False
    url = server.put(f"/{NAME}", CONTENT)
    for _ in range(50):
        server.fail(cut=HALF)
    with pytest.raises(DownloadError, match="connection was lost"):
        files.fetch(url)
    assert len(server.gets) <= http.TRIES + 1


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_a_file_that_changed_meanwhile_is_not_mixed(server, heeds_if_range):
    server.heeds_if_range = heeds_if_range
    new = CONTENT[::-1]
    url = server.put("/model.pth", new)
    server.fail(cut=HALF, body=CONTENT)
    assert files.fetch(url).read_bytes() == new
    assert [status for *_, status in server.gets] == ([200, 200] if heeds_if_range else [200, 206, 200])


def test_without_promise_or_etag_it_starts_again(server):
    server.etags = False
    url = server.put("/model.pth", CONTENT)
    server.fail(cut=HALF)
    assert files.fetch(url).read_bytes() == CONTENT
    assert [wanted for _, wanted, _ in server.gets] == [None, None]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_busy_server_is_asked_again(server, status):
    url = server.put(f"/{NAME}", CONTENT)
    server.fail(status=status)
    server.fail(status=status, headers={"Retry-After": "0"})
    assert files.fetch(url).read_bytes() == CONTENT
    assert [s for *_, s in server.gets] == [status, status, 200]


@pytest.mark.parametrize(("status", "advice"), [(404, "Check the URL"), (403, "not public"), (507, "ZOO_MIRROR")])
def test_a_refusal_is_final(server, folder, status, advice):
    server.fail(status=status)
    with pytest.raises(DownloadError, match=rf"answered {status}.*{advice}"):
        files.fetch(f"{server.url}/{NAME}")
    assert len(server.gets) == 1
    assert not (folder / NAME).exists()


def test_a_server_that_always_fails_is_given_up(server):
    for _ in range(50):
        server.fail(status=502)
    with pytest.raises(DownloadError, match="answered 502"):
        files.fetch(f"{server.url}/{NAME}")
    assert len(server.gets) == http.TRIES


def test_wrong_content_once_and_always(server, folder):
    url = server.put(f"/{NAME}", CONTENT)
    server.fail(body=b"wrong")
    assert files.fetch(url).read_bytes() == CONTENT
    (folder / NAME).unlink()
    server.put(f"/{NAME}", b"wrong")
    got = hashlib.sha256(b"wrong").hexdigest()[:8]
    with pytest.raises(DownloadError, match=f"should begin with {SHA[:8]} and begins with {got}"):
        files.fetch(url)
    assert len(server.gets) == 4
    assert not [p for p in folder.iterdir() if p.suffix in (".pth", ".part")]


def test_a_hash_after_an_underscore_only_warns(server):
    good = server.put(f"/resnet_fbgemm_{SHA[:8]}.pth", CONTENT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files.fetch(good)
    bad = server.put("/resnet_qnnpack_37f702c5.pth", CONTENT)
    with pytest.warns(CacheWarning, match=f"37f702c5.*begins with {SHA[:8]}"):
        path = files.fetch(bad)
    assert path.read_bytes() == CONTENT
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was said once
        files.fetch(bad)


def test_a_web_page_is_not_a_checkpoint(server, folder):
    url = server.put("/model.pth", b"<html>Please log in</html>")
    server.fail(headers={"Content-Type": "text/html; charset=utf-8"})
    with pytest.raises(DownloadError, match="web page"):
        files.fetch(url)
    assert not (folder / "model.pth").exists()


def test_a_stalling_server_is_left(server, folder, monkeypatch):
    monkeypatch.setenv("ZOO_TIMEOUT", "0.3")
    url = server.put(f"/{NAME}", CONTENT)
    server.fail(hold=HALF)
    assert files.fetch(url).read_bytes() == CONTENT
    assert server.gets[1][1] == f"bytes={HALF}-"
    (folder / NAME).unlink()
    for _ in range(http.TRIES):
        server.fail(hold=0)
    with pytest.raises(DownloadError, match=r"no data arrived for 0\.3 seconds \(ZOO_TIMEOUT\)"):
        files.fetch(url)
    monkeypatch.setenv("ZOO_TIMEOUT", "soon")
    with pytest.raises(InvalidArgument, match="ZOO_TIMEOUT=soon"):
        files.fetch(url)


def test_a_body_of_unknown_length(server):
    server.chunked = True
    url = server.put(f"/{NAME}", CONTENT)
    server.fail(cut=HALF)
    assert files.fetch(url).read_bytes() == CONTENT
    assert [wanted for _, wanted, _ in server.gets] == [None, f"bytes={HALF}-"]


def test_no_network(server):
    server.server_close()
    with pytest.raises(DownloadError, match=r"refused.*HTTPS_PROXY.*ZOO_MIRROR") as e:
        files.fetch(f"{server.url}/{NAME}")
    assert str(http.target_path(f"/{NAME}")) in str(e.value)


def test_an_untrusted_certificate(tls_server):
    with pytest.raises(DownloadError, match=r"certificate.*SSL_CERT_FILE"):
        files.fetch(f"{tls_server.url}/{NAME}")
    assert tls_server.log == []


@pytest.mark.parametrize("url", ["https://host", "https://host/", "https://host/..", "https://[half/x.pth"])
def test_a_url_that_names_no_file(url):
    assert files.cached_path(url) is None
    with pytest.raises(DownloadError):
        files.fetch(url)


# --- offline, mirrors -------------------------------------------------------------------------------------------------


def test_offline(server, folder, monkeypatch):
    url = server.put(f"/{NAME}", CONTENT)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(OfflineError, match=f"{folder / NAME}.*zoo pull"):
        files.fetch(url)
    assert server.log == []
    monkeypatch.setenv("ZOO_OFFLINE", "0")
    path = files.fetch(url)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert files.fetch(url) == path
    alter(path)
    with pytest.raises(OfflineError, match="was altered"):
        files.fetch(url)
    assert path.exists()
    assert len(server.gets) == 1


def test_a_mirror_replaces_the_host(server, monkeypatch):
    server.put(f"/prefix/models/{NAME}", CONTENT)
    monkeypatch.setenv("ZOO_MIRROR", f"{server.url}/prefix/")
    url = f"https://download.example.org/models/{NAME}"
    assert files.fetch(url).read_bytes() == CONTENT
    monkeypatch.setenv("ZOO_MIRROR", "somewhere")
    assert files.fetch(url).read_bytes() == CONTENT  # from the cache: the mirror is not asked
    with pytest.raises(InvalidArgument, match="ZOO_MIRROR=somewhere"):
        files.fetch("https://download.example.org/other.pth")


# --- the disk ---------------------------------------------------------------------------------------------------------


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file" / "torch"))
    with pytest.raises(DownloadError, match=r"Cannot write.*Set TORCH_HOME"):
        files.fetch(server.put(f"/{NAME}", CONTENT))
    assert server.log == []


def test_a_verified_file_needs_no_note(server, folder):
    url = server.put(f"/{NAME}", CONTENT)
    (folder / f".{NAME}.json").mkdir(parents=True)  # as unwritable as in a read-only cache
    for _ in range(2):
        assert files.fetch(url).read_bytes() == CONTENT
    assert len(server.gets) == 1
    assert not list(folder.glob("*.tmp"))


def test_too_large_for_the_disk_is_said_before_it_is_full(server, folder):
    url = server.put(f"/{NAME}", b"")
    server.fail(headers={"Content-Length": str(2**60)})
    with pytest.raises(DownloadError, match=r"needs 1099511627776\.0 MB more; .* has [\d.]+ MB left.*TORCH_HOME"):
        files.fetch(url)
    assert not (folder / NAME).exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_fills_up(server, folder, monkeypatch):
    folder.mkdir(parents=True)
    part = folder / f"{NAME}.part"
    part.symlink_to("/dev/full")
    monkeypatch.setattr(part_module, "refuse_irregular", lambda path: None)
    with pytest.raises(DownloadError, match=r"needs 3\.0 MB more.*Free some space"):
        files.fetch(server.put(f"/{NAME}", CONTENT))
    assert not part.is_symlink()


# --- several processes ------------------------------------------------------------------------------------------------


def test_eight_processes_make_one_download(server, folder):
    url = server.put(f"/{NAME}", CONTENT)
    server.fail(hold=HALF)
    processes = [python(FETCH, url) for _ in range(8)]
    for process in processes:
        assert process.stdout.readline() == "asking\n"
    server.release.set()
    assert {finish(process).strip() for process in processes} == {str(folder / NAME)}
    assert server.gets == [(f"/{NAME}", None, 200)]


def test_killed_half_way_the_others_go_on(server, folder):
    url = server.put(f"/{NAME}", CONTENT)
    server.fail(hold=HALF)
    first = python(FETCH, url)
    part = folder / f"{NAME}.part"
    wait_for(lambda: part.exists() and part.stat().st_size == HALF)
    others = [python(FETCH, url) for _ in range(7)]
    for process in others:
        assert process.stdout.readline() == "asking\n"
    first.send_signal(signal.SIGKILL)
    assert {finish(process).strip() for process in others} == {str(folder / NAME)}
    first.communicate()
    assert (folder / NAME).read_bytes() == CONTENT
    assert server.gets == [(f"/{NAME}", None, 200), (f"/{NAME}", f"bytes={HALF}-", 206)]


def test_two_files_of_one_name_asked_for_at_once(server, folder):
    one, two = (server.put(f"/{org}/model.safetensors", CONTENT + org.encode()) for org in ("one", "two"))
    server.fail(hold=HALF)
    first = python(FETCH, one)
    wait_for(lambda: len(server.gets) == 1)
    second = python(FETCH, two)
    assert second.stdout.readline() == "asking\n"
    server.release.set()
    paths = [Path(finish(process).split()[-1]) for process in (first, second)]
    assert [path.read_bytes()[-3:] for path in paths] == [b"one", b"two"]


def test_interrupted_it_can_go_on(server, folder):
    url = server.put("/model.pth", CONTENT)
    server.fail(hold=HALF)
    process = python(FETCH, url)
    part = folder / "model.pth.part"
    wait_for(lambda: part.exists() and part.stat().st_size == HALF)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    assert not (folder / "model.pth").exists()
    assert files.fetch(url).read_bytes() == CONTENT
    assert server.gets[1] == ("/model.pth", f"bytes={HALF}-", 206)


def test_progress_is_shown_on_a_terminal_only(server, folder):
    url = server.put(f"/{NAME}", CONTENT)
    code = "import sys; from zoo import files; files.fetch(sys.argv[1])"
    process = python(code, url)
    assert process.communicate(timeout=30) == ("", "")
    (folder / NAME).unlink()
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = python(code, url, stderr=theirs)
    os.close(theirs)
    shown = b""
    with open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123  a descriptor
        try:
            while chunk := terminal.read(1000):
                shown += chunk
        except OSError:  # how Linux says that the other end was closed
            pass
    process.communicate(timeout=30)
    assert f"{NAME}: 100%" in shown.decode()


# --- files that are here already --------------------------------------------------------------------------------------


def test_paths_and_file_urls(tmp_path, monkeypatch):
    path = tmp_path / "my model.pth"
    path.write_bytes(b"x")
    monkeypatch.setenv("HOME", str(tmp_path))
    for url in (path, str(path), "~/my model.pth", path.as_uri(), f"file:{path}", f"file://localhost{path}"):
        assert files.fetch(url) == files.cached_path(url) == path
    with pytest.raises(DownloadError, match=r"no file .*my_model\.pth\. Did you mean 'my model\.pth'\?"):
        files.fetch(tmp_path / "my_model.pth")
    with pytest.raises(DownloadError, match="no file"):
        files.fetch((tmp_path / "absent" / "x").as_uri())
    with pytest.raises(DownloadError, match="is a folder"):
        files.fetch(tmp_path)
    with pytest.raises(DownloadError, match="file:///"):
        files.fetch("file://relative/model.pth")


def test_a_local_file_is_held_to_its_name(tmp_path):
    good, bad = tmp_path / NAME, tmp_path / f"truncated-{SHA[:8]}.pth"
    good.write_bytes(CONTENT)
    bad.write_bytes(CONTENT[:HALF])
    assert files.fetch(good) == good
    with pytest.raises(DownloadError, match=f"should begin with {SHA[:8]}"):
        files.fetch(bad)
    numbered = tmp_path / "checkpoint-00010000.pth"
    numbered.write_bytes(b"mine")
    assert files.fetch(numbered) == numbered
    assert {p.name for p in tmp_path.iterdir()} == {good.name, bad.name, numbered.name, "torch"}  # no litter
    alter(good, unnoticed=True)
    assert files.fetch(good) == good  # hashed once, not at every load
    os.utime(good)
    with pytest.raises(DownloadError, match="does not match the hash in its name"):
        files.fetch(good)


def test_files_inside_packages(tmp_path, monkeypatch):
    for package, init in (("regular_package", True), ("namespace_package", False)):
        (tmp_path / package / "data").mkdir(parents=True)
        (tmp_path / package / "data" / "names.txt").write_text("cat\ndog\n")
        if init:
            (tmp_path / package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for package in ("regular_package", "namespace_package"):
        url = f"pkg://{package}/data/names.txt"
        assert files.fetch(url) == files.cached_path(url) == tmp_path / package / "data" / "names.txt"
        with files.open_resource(url) as f:
            assert f.read() == b"cat\ndog\n"
    for url, problem in (
        ("pkg://regular_package/data/absent.txt", "has no file data/absent.txt"),
        ("pkg://absent_package/x", "Is it installed"),
        ("pkg://regular_package", "pkg://package/path"),
    ):
        assert files.cached_path(url) is None
        with pytest.raises(DownloadError, match=problem):
            files.fetch(url)
    with pytest.raises(DownloadError, match="pkg://package/path"):
        files.open_resource("https://host/names.txt")


def test_a_package_in_an_archive(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("zipped_package/__init__.py", "")
        archive.writestr("zipped_package/names.txt", "cat")
    monkeypatch.syspath_prepend(tmp_path / "archive.zip")
    with files.open_resource("pkg://zipped_package/names.txt") as f:
        assert f.read() == b"cat"
    with pytest.raises(DownloadError, match="inside an archive"):
        files.fetch("pkg://zipped_package/names.txt")


def test_an_unknown_scheme_lists_the_known_ones():
    with pytest.raises(DownloadError, match=r"opens gopher:// URLs.*https://.*file://.*hf://.*pkg://"):
        files.fetch("gopher://host/model.pth")
    assert files.cached_path("gopher://host/model.pth") is None


def test_a_plugin_serves_a_scheme_of_its_own(plugin_folder, tmp_path):
    plugin_folder.install(
        "shelf",
        f"""
        from pathlib import Path
        @zoo.hookimpl
        def zoo_manifest():
            return zoo.Manifest(api_version=1)
        @zoo.hookimpl
        def zoo_open_weights(url, progress):
            if url.startswith("shelf://"):
                return Path({str(tmp_path)!r}, url.removeprefix("shelf://"))
        """,
    )
    zoo.refresh()
    (tmp_path / NAME).write_bytes(CONTENT)
    assert registry.fetch(f"shelf://{NAME}") == tmp_path / NAME
    (tmp_path / NAME).write_bytes(CONTENT[:HALF])
    with pytest.raises(DownloadError, match="does not match the hash in its name"):
        registry.fetch(f"shelf://{NAME}")


# --- the hub ----------------------------------------------------------------------------------------------------------

COMMIT = "c0ffee" + "0" * 34


@pytest.fixture
def hub(server, monkeypatch):
    """The few answers of the hub that a download needs."""
    server.headers = {"X-Repo-Commit": COMMIT}
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    server.put("/org/repo/resolve/main/model.safetensors", CONTENT)
    return server


def ask_hub(url: str) -> str:
    """In a process of its own: huggingface_hub reads its environment when it is imported."""
    code = "import sys\nfrom zoo import errors, files\n"
    code += "try: print(files.fetch(sys.argv[1], progress=False))\n"
    code += "except errors.DownloadError as e: print(type(e).__name__, e)\n"
    return finish(python(code, url)).strip()


def test_a_file_of_the_hub_is_fetched_once(hub, tmp_path, monkeypatch):
    url = "hf://org/repo/model.safetensors@main"
    assert files.cached_path(url) is None
    path = Path(ask_hub(url))
    assert path.is_relative_to(tmp_path / "hf")
    assert path.read_bytes() == CONTENT
    methods = [method for method, asked, *_ in hub.log if asked == "/org/repo/resolve/main/model.safetensors"]
    assert methods == ["HEAD", "GET"]
    hub.log.clear()
    for same in (url, "hf://org/repo/model.safetensors", f"hf://org/repo/model.safetensors@{COMMIT}"):
        assert files.fetch(same) == files.cached_path(same) == path
        assert Path(ask_hub(same)) == path
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert Path(ask_hub(url)) == path
    assert ask_hub("hf://org/repo/other.bin").startswith("OfflineError hf://org/repo/other.bin is not in the hub's")
    assert hub.log == []  # a warm cache makes no request, nor does ZOO_OFFLINE


def test_an_altered_file_of_the_hub_is_fetched_again(hub, monkeypatch):
    url = "hf://org/repo/model.safetensors"
    path = Path(ask_hub(url))
    alter(path)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert "was altered" in ask_hub(url)
    monkeypatch.delenv("ZOO_OFFLINE")
    assert Path(ask_hub(url)).read_bytes() == CONTENT


def test_what_the_hub_does_not_have(hub):
    assert ask_hub("hf://org/repo/absent.bin").startswith("DownloadError Could not download hf://org/repo/absent.bin")
    with pytest.raises(DownloadError, match="hf://org/repo/file@revision"):
        files.fetch("hf://repo/model.bin")
    assert files.cached_path("hf://repo/model.bin") is None


def test_a_hub_that_is_down(hub):
    hub.server_close()
    hub.shutdown()
    started = time.monotonic()
    said = ask_hub("hf://org/repo/model.safetensors")
    assert re.fullmatch(
        r"DownloadError Could not download hf://org/repo/model.safetensors: 127.0.0.1 cannot be reached [^\n]+\.", said
    ), said
    assert time.monotonic() - started < 15, "the hub's library would try for 20 seconds"


SLOW = pytest.param(500, marks=pytest.mark.slow)  # the hub's library tries for 20 seconds


@pytest.mark.parametrize("fault", [SLOW, "HF_HUB_OFFLINE", 401, 403, 404, "cut", "no hub", "not a URL"])
def test_a_hub_that_fails_is_said_in_one_sentence(hub, monkeypatch, fault):
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "2")
    url = "hf://org/repo/model.safetensors"
    if fault == "HF_HUB_OFFLINE":
        monkeypatch.setenv(fault, "1")
    elif fault == "cut":
        hub.faults.extend(Fault(cut=10) for _ in range(20))
    elif fault == "no hub":
        hub.headers.clear()  # a server of another kind: without X-Repo-Commit
    elif fault == "not a URL":
        monkeypatch.setenv("HF_ENDPOINT", "me:hush@nowhere")
    else:
        hub.headers["X-Error-Message"] = "https://cdn/x?Signature=hush"
        hub.files.clear()
        hub.status = fault
    said = ask_hub(url)
    assert re.fullmatch(
        rf"DownloadError Could not download {url}: [^\n]+; check the name[^\n]+ use another host\.", said
    ), said
    assert len(said) < 500
    assert "hush" not in said


def test_notes_that_are_no_json_are_ignored(server, folder):
    url = server.put(f"/{NAME}", CONTENT)
    files.fetch(url)
    for garbage in (b"\xff\x00", b"[1]", json.dumps({"size": "x"}).encode()):
        (folder / f".{NAME}.json").write_bytes(garbage)
        assert files.fetch(url).read_bytes() == CONTENT
    assert len(server.gets) == 1
