"""What servers, names and third-party files must not cause. Each fault is real, on loopback."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import FileServer, serving

from zoo import files
from zoo.cli import main
from zoo.errors import CacheWarning, DownloadError, InvalidArgument, PolicyError, ZooError
from zoo.files import connection, http, lock, names, notes
from zoo.files.redaction import redacted

CONTENT = bytes(range(256)) * 400
OTHER = CONTENT[::-1]
SHA = hashlib.sha256(CONTENT).hexdigest()
NAME = f"model-{SHA[:8]}.pth"
CERTIFICATE = Path(__file__).parents[1] / "reference" / "self-signed.pem"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; retries without the wait."""
    for name in os.environ:
        if name.startswith(("ZOO_", "HF_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delitem(sys.modules, "huggingface_hub.constants", raising=False)  # of other tests, with their folder
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setattr(http, "PAUSE", 0.001)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer()) as running:
        yield running


@pytest.fixture
def other() -> Iterator[FileServer]:
    """Another host, as far as a URL says."""
    with serving(FileServer()) as running:
        yield running


@pytest.fixture
def secure(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """https, with a certificate that is trusted for the test."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with serving(FileServer(CERTIFICATE)) as running:
        yield running


def refused(url: str, match: str, error: type[ZooError] = DownloadError) -> str:
    with pytest.raises(error, match=match) as e:
        files.fetch(url, progress=False)
    return str(e.value)


# --- one URL's bytes for another --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["note", "kill", "foreign", "garbage", "note of nobody"])
def test_a_file_whose_owner_is_not_known_is_nobodys(server, other, folder, lost):
    ours, theirs = server.put("/model.pth", CONTENT), other.put("/model.pth", OTHER)
    if lost == "foreign":
        folder.mkdir(parents=True)
        (folder / "model.pth").write_bytes(OTHER)
    elif lost == "kill":
        code = "import os, sys\nfrom zoo import files\nfrom pathlib import Path\nreal = Path.replace\n"
        code += "def replace(self, to):\n    real(self, to)\n    if self.suffix == '.part': os.kill(os.getpid(), 9)\n"
        code += "Path.replace = replace\nfiles.fetch(sys.argv[1])"
        assert subprocess.run([sys.executable, "-c", code, theirs], check=False).returncode == -signal.SIGKILL
        assert (folder / "model.pth").read_bytes() == OTHER
    else:
        files.fetch(theirs)
        note = folder / ".model.pth.json"
        note.unlink()
        if lost != "note":
            note.write_text("{" if lost == "garbage" else json.dumps({"url": ours}))
    assert files.cached_path(ours) is None
    for _ in range(2):
        assert files.fetch(ours).read_bytes() == CONTENT
    assert len(server.gets) == 1
    assert (folder / "model.pth").read_bytes() == OTHER  # and what was there is left alone
    assert files.fetch(theirs).read_bytes() == OTHER


def test_a_download_killed_before_its_note_is_finished_by_its_own_url(server, folder):
    url = server.put("/model.pth", CONTENT)
    code = "import os, sys\nfrom zoo import files\nfrom pathlib import Path\nreal = Path.replace\n"
    code += "def replace(self, to):\n    real(self, to)\n    if self.suffix == '.part': os.kill(os.getpid(), 9)\n"
    code += "Path.replace = replace\nfiles.fetch(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, url], check=False)
    assert files.fetch(url) == folder / "model.pth"
    assert len(server.gets) == 1


@pytest.mark.parametrize(
    "name",
    [
        ".model.pth.json",
        ".model.pth.lock",
        "model.pth.part",
        "MODEL.PTH.PART",
        "model.pth.lock",
        ".model.pth.part.json",
        ".model.pth.lock.json",
        ".verified",
    ],
)
def test_no_url_names_a_file_of_zoos_own(server, other, name):
    ours = server.put("/model.pth", CONTENT)
    forged = json.dumps({"url": ours, "sha256": hashlib.sha256(OTHER).hexdigest(), "size": len(OTHER)}).encode()
    evil = [other.put(f"/{name}", forged), other.put("/model.pth", OTHER)]
    kept = [files.fetch(url) for url in evil]
    files.fetch(evil[0], force=True)
    assert files.fetch(ours).read_bytes() == CONTENT
    assert [path.read_bytes() for path in kept] == [forged, OTHER]
    assert [files.fetch(url) for url in evil] == kept


def test_a_url_cannot_take_the_folder_of_another(server, other):
    ours = server.put("/model.pth", CONTENT)
    files.fetch(other.put("/model.pth", OTHER))
    own = http.target_path(ours).parent.name
    assert files.fetch(other.put(f"/{own}", OTHER)).name == f"_{own}_"
    assert files.fetch(ours).read_bytes() == CONTENT


def test_an_alteration_that_sets_the_time_back_is_noticed(server):
    url = server.put(f"/{NAME}", CONTENT)
    path = files.fetch(url)
    about = path.stat()
    with path.open("r+b") as f:
        f.write(b"evil")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    with pytest.warns(CacheWarning, match="was altered"):
        assert files.fetch(url).read_bytes() == CONTENT


def test_queries_tell_files_apart_and_signatures_do_not(server):
    for query in ("id=1", "id=2"):
        server.put(f"/get.bin?{query}", query.encode())
    urls = [f"{server.url}/get.bin?{query}" for query in ("id=1", "id=2")]
    assert [files.fetch(url).read_bytes() for url in (*urls, *urls)] == [b"id=1", b"id=2"] * 2
    server.log.clear()
    signatures = (
        "X-Amz-Date=1&X-Amz-Signature=a",
        "sig=b&se=2030&sp=r",
        "token=c",
        "Expires=1&Signature=d&Key-Pair-Id=K",
        "md5=e&expires=2",
    )
    for signature in signatures:
        server.put(f"/signed.bin?v=1&{signature}", CONTENT)
        assert files.fetch(f"{server.url}/signed.bin?v=1&{signature}").read_bytes() == CONTENT
    assert len(server.gets) == 1
    for url in (*urls, f"{server.url}/x?a=b&token=c", "https://h/x", "hf://a/b/c@d"):
        assert names.identity(names.identity(url)) == names.identity(url)


# --- redirects and secrets --------------------------------------------------------------------------------------------


def test_https_stays_https(secure, server, folder, monkeypatch):
    plain = server.put("/model.pth", OTHER) + "?token=hush"
    server.put("/model.pth?token=hush", OTHER)
    url = f"{secure.url}/model.pth"
    secure.fail(status=302, body=b"", headers={"Location": plain})
    said = refused(url, "redirects to http://127.*ZOO_ALLOW_DOWNGRADE=1")
    assert "hush" not in said
    assert server.log == []
    assert not (folder / "model.pth").exists()
    monkeypatch.setenv("ZOO_ALLOW_DOWNGRADE", "1")
    secure.fail(status=302, body=b"", headers={"Location": plain})
    assert files.fetch(url).read_bytes() == OTHER


def test_http_may_become_https(secure, server):
    target = secure.put("/a.pth", CONTENT)
    for status in (301, 302, 303, 307, 308):
        server.fail(status=status, body=b"", headers={"Location": target})
        assert files.fetch(f"{server.url}/{status}.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("scheme", ["ftp", "gopher", "data", "file"])
def test_redirects_lead_to_no_other_scheme(server, scheme):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        place = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/etc/passwd?token=hush"
        server.fail(status=302, body=b"", headers={"Location": place})
        assert "hush" not in refused(f"{server.url}/model.pth", f"redirects to {scheme}://")
        with pytest.raises(TimeoutError):
            listening.accept()


def test_a_redirect_without_an_end_is_not_read(server):
    server.fail(
        status=302, body=b"x" * 1000, headers={"Location": server.put("/a.pth", CONTENT), "Content-Length": "9" * 12}
    )
    assert files.fetch(f"{server.url}/model.pth").read_bytes() == CONTENT


def authorization(server: FileServer) -> list[str | None]:
    return [sent.get("Authorization") for sent in server.sent]


def test_a_login_is_sent_to_its_own_host_only(server, other, folder, monkeypatch):
    basic = "Basic " + base64.b64encode(b"me:p@ss/word").decode()
    login = server.url.replace("//", "//me:p%40ss%2Fword@")
    server.put("/here.pth", CONTENT)
    other.put("/there.pth", OTHER)
    server.fail(status=302, body=b"", headers={"Location": "/here.pth"})
    assert files.fetch(f"{login}/a.pth").read_bytes() == CONTENT
    assert authorization(server) == [basic, basic]
    server.fail(status=302, body=b"", headers={"Location": f"{other.url}/there.pth"})
    assert files.fetch(f"{login}/b.pth").read_bytes() == OTHER
    assert authorization(other) == [None]
    monkeypatch.setenv("ZOO_MIRROR", f"{login}/prefix")
    server.put("/prefix/c.pth", CONTENT)
    assert files.fetch("https://you:other@host.invalid/c.pth").read_bytes() == CONTENT
    assert authorization(server)[-1] == basic
    assert files.fetch("https://host.invalid/c.pth").exists()  # the same file for every login
    assert not [
        p for p in folder.rglob("*") if p.is_file() and (b"p%40ss" in p.read_bytes() or b"other@" in p.read_bytes())
    ]


def test_a_login_does_not_go_from_https_to_http(secure, server, monkeypatch):
    monkeypatch.setenv("ZOO_ALLOW_DOWNGRADE", "1")
    secure.fail(status=302, body=b"", headers={"Location": server.put("/a.pth", CONTENT)})
    files.fetch(secure.url.replace("//", "//me:secret@") + "/a.pth")
    assert authorization(secure) != [None]
    assert authorization(server) == [None]


def test_the_proxys_login_stays_with_the_proxy(server, other, monkeypatch):
    """A redirect leads from a host behind a proxy to one without a proxy."""
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:secret@"))
    server.fail(status=302, body=b"", headers={"Location": other.put("/a.pth", CONTENT)})
    assert files.fetch("http://host.invalid/a.pth").read_bytes() == CONTENT
    assert "Proxy-Authorization" in {name.title() for name in server.sent[0]}
    assert "Proxy-Authorization" not in {name.title() for name in other.sent[0]}


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 404},
        {"status": 500},
        {"cut": 10},
        {"body": b""},
        {"body": b"<html>"},
        {"headers": {"Content-Encoding": "gzip"}},
        {"status": 204},
    ],
)
def test_secrets_are_in_no_message_and_in_no_file(server, folder, fault, capsys):
    url = server.url.replace("//", "//me:hush-1@") + "/model.pth?token=hush-2&q=hush-3#hush-4"
    server.put("/model.pth?token=hush-2&q=hush-3", CONTENT)
    for _ in range(http.TRIES + 1):
        server.fail(**fault)
    said = refused(url, "model.pth")
    assert main(["pull", url]) in (0, 1)
    shown = capsys.readouterr()
    written = [p.read_bytes() for p in folder.rglob("*") if p.is_file()]
    assert "hush" not in said + shown.out + shown.err + str(written)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host/a.pth?sig=secret", "https://…@host/a.pth?…"),
        ("https://secret@host/a.pth#secret", "https://…@host/a.pth#…"),
        ("http://u:se@cret@proxy:3128", "http://…@proxy:3128"),
        ("http://u:se/cret@host/x", "http://…@host/x"),
        ("u:secret@proxy:3128", "…@proxy:3128"),
        ("HTTPS://U:secret@H/a;id=secret/b?c", "HTTPS://…@H/a;…/b?…"),
        ("x 'ftp://h/x?t=secret' (https://h/y?secret).", "x 'ftp://h/x?…' (https://h/y?…)."),
        ("Authorization: Bearer secret", "Authorization: Bearer …"),
        ("hf_secretsecret", "…"),
        ("https://host:443/x@y", "https://host:443/x@y"),
        ("hf://org/repo/file@main", "hf://org/repo/file@main"),
        ("C:\\x@y and /a/b?c", "C:\\x@y and /a/b?c"),
    ],
)
def test_what_is_shown_of_a_url(text, shown):
    assert redacted(text) == shown


def test_a_query_whose_end_nobody_knows_is_refused():
    assert "hush" not in refused("https://host/a.pth?token=my hush", "%20")


def test_a_password_that_breaks_a_url_is_not_shown(monkeypatch):
    assert "hush" not in refused("https://me:hu/hush@host/a.pth", "%2F")
    for mirror in ("me:hush@host", "https://host/?token=hush", "ftp://me:hush@host"):
        monkeypatch.setenv("ZOO_MIRROR", mirror)
        assert "hush" not in refused("https://host/a.pth", "ZOO_MIRROR", InvalidArgument)


# --- paths in URLs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "a\0.pth", "n" * 300 + ".pth", "CON", "nul.pth", "COM1.tar.gz", "a\u202e.pth", "a.pth.", "\n"],
)
@pytest.mark.parametrize("base", ["https://host/a/", "hf://org/repo/", "pkg://zoo/"])
def test_names_that_are_no_files_are_refused(base, name):
    assert files.cached_path(base + name) is None
    refused(base + name, "names no file|not of the form")


@pytest.mark.parametrize(
    "url",
    [
        "pkg://zoo/../../../../../../../etc/passwd",
        "pkg://zoo//etc/passwd",
        "pkg://../etc/passwd",
        "pkg:///etc/passwd",
        "pkg://zoo/a\\..\\b",
        "pkg://zoo/C:/x",
        "hf://a/b/../../../etc/passwd",
        "hf://a/b//etc/passwd",
        "hf://../../x",
        "hf://a/b/c@../../../x",
        "hf://a/b/c@/etc",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(url, monkeypatch):
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert files.cached_path(url) is None
    refused(url, "names no file|not of the form|not an importable package|no file")


def test_a_package_is_found_without_running_it(tmp_path, monkeypatch):
    (tmp_path / "loud_package" / "inner").mkdir(parents=True)
    for place in ("", "inner"):
        (tmp_path / "loud_package" / place / "__init__.py").write_text("raise SystemExit('imported')")
        (tmp_path / "loud_package" / place / "names.txt").write_text("cat")
    monkeypatch.syspath_prepend(tmp_path)
    for url in (
        "pkg://loud_package/names.txt",
        "pkg://loud_package.inner/names.txt",
        "pkg://loud_package/inner/names.txt",
    ):
        assert files.fetch(url) == files.cached_path(url)
        with files.open_resource(url) as f:
            assert f.read() == b"cat"
    assert not [name for name in sys.modules if name.startswith("loud_package")]


@pytest.mark.parametrize("kind", ["fifo", "link", "hard link", "dangling link", "folder", "device"])
@pytest.mark.parametrize("place", ["model.pth.part", ".model.pth.lock"])
def test_what_is_no_file_is_not_written_to(server, folder, tmp_path, kind, place):
    folder.mkdir(parents=True)
    victim, there = tmp_path / "victim", folder / place
    victim.write_text("precious")
    if kind == "fifo":
        os.mkfifo(there)
    elif kind == "link":
        there.symlink_to(victim)
    elif kind == "hard link":
        there.hardlink_to(victim)
    elif kind == "dangling link":
        there.symlink_to(tmp_path / "absent")
    elif kind == "device":
        there.symlink_to("/dev/null")
    else:
        there.mkdir()
    refused(server.put("/model.pth", CONTENT), "is not a file of zoo .*delete it")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "absent").exists()


# --- what servers do --------------------------------------------------------------------------------------------------


def test_path_parameters_are_secrets_that_tell_files_apart(server, folder):
    urls = [server.put(f"/model.pth;v={n};token=hush", str(n).encode()) for n in (1, 2)]
    assert [files.fetch(url).read_bytes() for url in (*urls, *urls)] == [b"1", b"2"] * 2
    server.put("/model.pth;v=1;token=new", b"1")
    assert files.fetch(f"{server.url}/model.pth;v=1;token=new") == files.fetch(urls[0]) == folder / "model.pth"
    assert len(server.gets) == 2
    assert not [p for p in folder.rglob("*") if "hush" in p.name or (p.is_file() and b"hush" in p.read_bytes())]


def test_what_cannot_be_parsed_is_not_repeated():
    assert "hush" not in refused("https://me:hush@ho\u2100st/a.pth", "cannot be read as a URL")
    assert "hush" not in refused("https://[me:hush@host/a.pth", "cannot be read as a URL")


@pytest.mark.parametrize("place", [".model.pth.json", ".model.pth.part.json", ".model.pth.lock.json"])
def test_notes_that_are_pipes_are_not_waited_for(server, folder, place):
    folder.mkdir(parents=True)
    os.mkfifo(folder / place)
    assert files.fetch(server.put("/model.pth", CONTENT)).read_bytes() == CONTENT
    assert files.cached_path(f"{server.url}/model.pth") is not None


def test_headers_without_an_end(monkeypatch):
    """``100 Continue`` forever, which no timeout ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    with client, contextlib.suppress(OSError):
                        client.recv(65536)
                        while True:
                            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

        threading.Thread(target=serve, daemon=True).start()
        refused(f"http://127.0.0.1:{listening.getsockname()[1]}/model.pth", "endless headers")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "GZIP", "identity, gzip"])
def test_an_encoding_that_nobody_asked_for_is_refused(server, folder, encoding):
    url = server.put("/model.pth", CONTENT)
    server.fail(headers={"Content-Encoding": encoding})
    refused(url, rf"encoded \({encoding}\)")
    assert not (folder / "model.pth").exists()
    server.fail(headers={"Content-Encoding": "identity"})
    assert files.fetch(url).read_bytes() == CONTENT
    server.fail(headers={"Content-Encoding": "gzip"})
    assert files.fetch(server.put("/model.tar.gz", CONTENT)).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "body", [b"", b"<!DOCTYPE html><p>login", b"\xef\xbb\xbf\n <HTML lang=en>", b"<!-- x --><head>"]
)
@pytest.mark.parametrize("name", ["model.pth", NAME])
def test_no_file_and_pages_without_a_type_are_refused(server, folder, name, body):
    server.fail(body=body)
    refused(server.put(f"/{name}", CONTENT), "web page" if body else "empty file")
    assert [p.name for p in folder.iterdir()] == [f".{name}.lock"]
    assert files.fetch(f"{server.url}/{name}").read_bytes() == CONTENT


@pytest.mark.parametrize("first", [{}, {"ETag": None, "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}])
def test_two_files_are_not_glued(server, first):
    """The server ignores If-Range, and its answer does not say of which file it is the tail."""
    server.heeds_if_range = False
    url = server.put("/model.pth", OTHER)
    server.fail(cut=1000, body=CONTENT, headers=first)
    server.fail(headers={"ETag": None})
    assert files.fetch(url).read_bytes() == OTHER


@pytest.mark.parametrize("fault", [{}, {"where": "headers"}, {"chunked": True}])
def test_a_byte_now_and_then_is_given_up(server, monkeypatch, fault):
    monkeypatch.setenv("ZOO_TIMEOUT", "0.3")
    url = server.put("/model.pth", CONTENT)
    if server_chunks := fault.pop("chunked", False):
        server.chunked = server_chunks  # the bytes are then taken for the size of a chunk that has no end
        server.put("/model.pth", b"1;" + b"a" * 1000)
    server.fail(trickle=0.05, **fault)
    start = time.monotonic()
    refused(url, r"less than 1024 bytes per second arrived over 1\.2 seconds \(4 × ZOO_TIMEOUT")
    assert 1.1 < time.monotonic() - start < 6


def test_slow_but_steady_is_waited_for(server, monkeypatch):
    monkeypatch.setenv("ZOO_TIMEOUT", "0.1")
    monkeypatch.setattr(connection, "SLOWEST", 20)
    server.fail(trickle=0.01)
    assert files.fetch(server.put("/model.pth", CONTENT[:100])).read_bytes() == CONTENT[:100]


@pytest.mark.parametrize(
    "value", ["²", "nan", "1e9", "-1", "9" * 5000, "Wed, 21 Oct 2099 07:28:00 GMT", "soon", "Wed, 99"]
)
def test_a_retry_after_that_says_no_time(server, value):
    server.fail(status=503, headers={"Retry-After": value})
    start = time.monotonic()
    assert files.fetch(server.put("/model.pth", CONTENT)).read_bytes() == CONTENT
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("value", ["²", "9" * 5000, "-1", "many"])
def test_a_length_that_is_no_number_is_none(server, value):
    server.fail(headers={"Content-Length": value})
    assert files.fetch(server.put("/model.pth", CONTENT)).read_bytes() == CONTENT


def test_a_retry_after_is_heeded(server):
    for date, least in ((False, 1.0), (True, 1.5)):
        after = email.utils.formatdate(time.time() + 3, usegmt=True) if date else "1"
        server.fail(status=429, headers={"Retry-After": after})
        start = time.monotonic()
        files.fetch(server.put("/model.pth", CONTENT), force=True)
        assert time.monotonic() - start >= least
    assert connection.asked_to_wait("3600") == connection.LONGEST_WAIT


@pytest.mark.parametrize("value", ["inf", "nan", "1e30", "0", "-1", "soon", "90000"])
def test_timeouts_that_are_none(server, monkeypatch, value):
    monkeypatch.setenv("ZOO_TIMEOUT", value)
    refused(server.put("/model.pth", CONTENT), f"ZOO_TIMEOUT={value}; expected", InvalidArgument)


def test_waiting_is_said_with_who_is_waited_for(server, folder, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.3)
    url = server.put(f"/{NAME}", CONTENT)
    server.fail(hold=1000)
    first = subprocess.Popen([sys.executable, "-c", "import sys, zoo.files; zoo.files.fetch(sys.argv[1])", url])
    while not (folder / f"{NAME}.part").exists() or not (folder / f"{NAME}.part").stat().st_size:
        time.sleep(0.01)
    threading.Timer(1.0, server.release.set).start()
    with pytest.warns(CacheWarning, match=rf"Waiting for {NAME}: process {first.pid} on .*\.lock"):
        assert files.fetch(url).read_bytes() == CONTENT
    assert first.wait(30) == 0
    assert not list(folder.glob(".*.lock.json"))


def test_a_bad_cached_file_says_the_way_out(server, folder, capsys):
    from zoo.loading import read_checkpoint

    url = server.put("/model.pth", b"PK\x03\x04 cut short")
    with pytest.raises(ZooError, match=f"`zoo pull --force {url}` downloads it again"):
        read_checkpoint(url, progress=False)
    server.put("/model.pth", CONTENT)
    assert main(["pull", "--force", url]) == 0
    assert (folder / "model.pth").read_bytes() == CONTENT
    assert str(folder / "model.pth") in capsys.readouterr().out


def test_a_way_out_is_only_for_what_can_be_fetched(tmp_path):
    mine = tmp_path / "mine.pth"
    mine.write_bytes(b"x")
    assert notes.way_out(mine) == ""


# --- policy -----------------------------------------------------------------------------------------------------------


def test_a_policy_says_where_from(server, secure, monkeypatch):
    url = server.put("/model.pth", CONTENT)
    files.fetch(url)
    monkeypatch.setenv("ZOO_HTTPS_ONLY", "1")
    refused(url, "https_only", PolicyError)  # in the cache or not
    assert files.fetch(secure.put("/b.pth", CONTENT)).exists()
    monkeypatch.setenv("ZOO_MIRROR", server.url)
    refused("https://host/c.pth", "https_only", PolicyError)
    monkeypatch.delenv("ZOO_HTTPS_ONLY")
    monkeypatch.delenv("ZOO_MIRROR")
    monkeypatch.setenv("ZOO_ALLOWED_HOSTS", "*.example.org, localhost")
    refused(url, r"its host 127\.0\.0\.1 is not one of allowed_hosts \(\*\.example\.org, localhost\)", PolicyError)
    refused("hf://org/repo/file", "its host huggingface.co is not one of allowed_hosts", PolicyError)
    refused("s3://bucket/file", "its host bucket is not", PolicyError)
    local = server.url.replace("127.0.0.1", "localhost")
    assert files.fetch(f"{local}/model.pth").read_bytes() == CONTENT
    server.fail(status=302, body=b"", headers={"Location": url})
    refused(f"{local}/redirected.pth", r"its host 127\.0\.0\.1 is not", PolicyError)


def test_a_policy_says_what(server, tmp_path, monkeypatch):
    from safetensors.numpy import save

    rules = tmp_path / "policy.toml"
    monkeypatch.setenv("ZOO_POLICY", str(rules))
    rules.write_text('safetensors_only = true\nallowed_licenses = ["apache-2.0", "bsd-*"]\n')
    good, bad = server.put("/good.safetensors", save({})), server.put("/bad.safetensors", CONTENT)
    assert files.fetch(good, license="Apache-2.0").exists()
    assert files.fetch(good, license="BSD-3-Clause").exists()
    with pytest.raises(PolicyError, match="licence is 'unknown'"):
        files.fetch(good)
    rules.write_text("safetensors_only = true\n")
    refused(bad, "is not safetensors", PolicyError)
    server.log.clear()
    refused(f"{server.url}/model.pth", "is not safetensors", PolicyError)
    assert server.log == []


@pytest.mark.parametrize("length", [True, False])
def test_a_policy_says_how_much(server, folder, monkeypatch, length):
    monkeypatch.setenv("ZOO_MAX_DOWNLOAD", "50 KB")
    server.chunked = not length
    refused(server.put("/model.pth", CONTENT), "larger than max_download, 51200 bytes", PolicyError)
    assert not list(folder.glob("model.pth*"))
    assert files.fetch(server.put("/small.pth", CONTENT[:50000])).exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("https_onyl = true", "Did you mean 'https_only'"),
        ("https_only = 'yes'", "expected true or false"),
        ("allowed_hosts = 3", "expected a list"),
        ("max_download = 'much'", "expected a number of bytes"),
        ("[", "cannot be read as TOML"),
        (None, "cannot be read"),
    ],
)
def test_a_policy_that_cannot_be_read_lets_nothing_through(server, tmp_path, monkeypatch, text, problem):
    monkeypatch.setenv("ZOO_POLICY", str(tmp_path / "policy.toml"))
    if text is not None:
        (tmp_path / "policy.toml").write_text(text)
    refused(server.put("/model.pth", CONTENT), problem, InvalidArgument)
    assert server.log == []


def test_a_whole_hash_is_held_to(server):
    url = server.put("/model.pth", CONTENT)
    assert files.fetch(url, sha256=SHA.upper()).read_bytes() == CONTENT
    server.put("/model.pth", OTHER)
    with pytest.raises(DownloadError, match=f"should begin with {SHA}"):
        files.fetch(url, sha256=SHA, force=True)
    with pytest.raises(InvalidArgument, match="64 hexadecimal digits"):
        files.fetch(url, sha256="abc")
    with pytest.raises(InvalidArgument, match="replace their sha256 too"):
        files.fetch(f"{server.url}/m-0676ba61.pth", sha256=SHA)
