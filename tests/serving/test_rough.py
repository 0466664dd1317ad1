"""``zoo serve`` with slow clients, closed connections and invalid requests; and with slow models."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

for name in ("starlette", "uvicorn", "prometheus_client", "multipart", "zoo_serving"):
    pytest.importorskip(name)

from serving_process import read_until, started_in_a_terminal  # noqa: E402

import zoo  # noqa: E402
from zoo_serving.hosting import bound, server  # noqa: E402
from zoo_serving.service import Limits, Service  # noqa: E402

IMAGES = Path(__file__).parents[2] / "examples/images"
DIGIT = (IMAGES / "digits/digit_7.png").read_bytes()


class Hosted:
    """A service in a thread of this process."""

    def __init__(self, service: Service) -> None:
        self.service, self.running = service, server(service)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        until = time.monotonic() + 30
        while not self.running.started and time.monotonic() < until:
            time.sleep(0.01)
        self.port = self.running.servers[0].sockets[0].getsockname()[1]

    def run(self) -> None:
        self.running.run([bound("127.0.0.1", 0)])

    def connect(self, sent: bytes = b"") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        client.sendall(sent)
        return client

    def ask(self, path: str, data: bytes | None = None, **headers: str) -> SimpleNamespace:
        names = {key.replace("_", "-"): value for key, value in headers.items()}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, names)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return SimpleNamespace(status=answer.status, body=answer.read(), headers=answer.headers)
        except urllib.error.HTTPError as e:
            return SimpleNamespace(status=e.code, body=e.read(), headers=e.headers)

    def close(self) -> float:
        started = time.monotonic()
        self.running.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive()
        return time.monotonic() - started


@contextlib.contextmanager
def hosted(pipe: Any, **limits: Any) -> Iterator[Hosted]:
    there = Hosted(Service({"digits": pipe}, limits=Limits(**{"max_bytes": 1 << 20, **limits})))
    yield there
    there.close()


@pytest.fixture(scope="module")
def pipe() -> zoo.Pipeline:
    return zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", workers=0, keep_images=True)


@pytest.fixture(scope="module")
def there(pipe: zoo.Pipeline) -> Iterator[Hosted]:
    with hosted(pipe, timeout=1.5, max_pixels=4_000_000) as found:
        yield found


def head(length: int, *more: str) -> bytes:
    lines = ["POST /predict HTTP/1.1", "Host: x", f"Content-Length: {length}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def answer(client: socket.socket) -> bytes:
    """All data until the connection is closed."""
    found = b""
    with client, contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            found += part
    return found


def is_well(there: Hosted) -> bool:
    found = there.ask("/predict", DIGIT)
    return found.status == 200 and json.loads(found.body)["top"][0]["label"] == "7" and there.service.active == 0


def test_a_body_that_does_not_come(there: Hosted) -> None:
    started = time.monotonic()
    found = answer(there.connect(head(len(DIGIT)) + DIGIT[:20]))
    assert found.startswith(b"HTTP/1.1 408")
    assert b"within 1.5 s" in found
    assert 1 < time.monotonic() - started < 10
    assert is_well(there)


@pytest.mark.parametrize("begun", [b"", b"POST /pre", b"GET /health HTTP/1.1\r\nHost: x\r\n"])
def test_a_request_that_is_not_begun_or_left_half(there: Hosted, begun: bytes) -> None:
    started = time.monotonic()
    assert answer(there.connect(begun)) == b""
    assert 1 < time.monotonic() - started < 10


def test_headers_that_trickle(there: Hosted) -> None:
    client, started = there.connect(b"GET /health HTTP/1.1\r\n"), time.monotonic()
    with pytest.raises(OSError), client:  # noqa: PT012  a closed connection: reset or broken pipe
        for i in range(100):
            client.sendall(f"X-{i}: y\r\n".encode())
            time.sleep(0.1)
    assert time.monotonic() - started < 9


def test_the_second_request_of_a_connection_is_waited_for_no_longer(there: Hosted) -> None:
    client = there.connect(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    found = b""
    while b'"ok"' not in found and (part := client.recv(65536)):  # headers may arrive separately
        found += part
    assert b'"ok"' in found
    client.sendall(b"POST /predict HT")
    started = time.monotonic()
    assert answer(client) == b""
    assert time.monotonic() - started < 10


def test_connections_that_are_cut(there: Hosted) -> None:
    for sent in (head(len(DIGIT)) + DIGIT[:50], head(len(DIGIT)) + DIGIT, head(9)[:30], b"\0\1\2garbage\r\n\r\n"):
        for reset in (False, True):
            client = there.connect(sent)
            if reset:  # by RST
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    until = time.monotonic() + 10
    while there.service.active and time.monotonic() < until:
        time.sleep(0.02)
    assert is_well(there)
    assert 'status="500"' not in there.ask("/metrics").body.decode()


def test_a_body_larger_than_it_says_or_without_end(there: Hosted) -> None:
    chunked = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    client = there.connect(chunked)
    block = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with contextlib.suppress(OSError):
        for _ in range(64):
            client.sendall(block)
    found = b""
    with contextlib.suppress(OSError):
        found = answer(client)
    assert found == b"" or found.startswith(b"HTTP/1.1 413")
    assert answer(there.connect(head(10**18, "Connection: close"))).startswith(b"HTTP/1.1 413")
    assert answer(there.connect(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n")).startswith(
        b"HTTP/1.1 400"
    )
    assert is_well(there)


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/predict", (), 413),
        ("/predict?model=resnet", (), 404),
        ("/predict?top=0", (), 422),
        ("/predict", ("Accept: text/html",), 406),
        ("/nothing", (), 404),
        ("/health", (), 405),
    ],
)
def test_a_client_that_sends_a_whole_body_first_gets_the_response(
    there: Hosted, path: str, more: tuple[str, ...], status: int
) -> None:
    size = 6 << 20  # more than the buffers of two sockets
    for closing in (False, True):
        start = head(size, *more, *["Connection: close"] * closing)
        client = there.connect(start.replace(b"/predict", path.encode(), 1))
        for _ in range(6):
            time.sleep(0.05)
            client.sendall(bytes(1 << 20))
        found = client.recv(65536)
        assert found.startswith(f"HTTP/1.1 {status} ".encode())
        if not closing:  # the next request of the connection
            client.sendall(head(len(DIGIT), "Connection: close") + DIGIT)
            found = answer(client)
            assert b"HTTP/1.1 200" in found


def test_a_client_that_sends_without_end_is_cut_off(there: Hosted) -> None:
    client, started = there.connect(head(10**18)), time.monotonic()
    with pytest.raises(OSError), client:  # noqa: PT012  a closed connection: reset or broken pipe
        while time.monotonic() - started < 15:
            client.sendall(bytes(1 << 20))
    assert 1 < time.monotonic() - started < 10
    assert is_well(there)


def test_a_client_that_asks_before_it_sends_is_not_waited_for(there: Hosted) -> None:
    started = time.monotonic()
    found = answer(there.connect(head(10**9, "Expect: 100-continue", "Connection: close")))
    assert found.startswith(b"HTTP/1.1 413")
    assert b"100 Continue" not in found
    assert time.monotonic() - started < 1
    assert is_well(there)


def huge(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header states this size."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")


def encoded(kind: str, mode: str, **options: Any) -> bytes:
    data = io.BytesIO()
    Image.new(mode, (40, 30)).save(data, kind, **options)
    return data.getvalue()


FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n'


@pytest.mark.parametrize(
    ("data", "headers", "status"),
    [
        (huge(60_000, 60_000), {}, {400, 413}),
        (huge(2_147_483_647, 2_147_483_647), {}, {400, 413}),
        (huge(4001, 1000), {}, {413}),
        (huge(0, 5), {}, {400}),
        (encoded("GIF", "P"), {}, {200}),
        (encoded("JPEG", "CMYK"), {}, {200}),
        (encoded("PNG", "I;16"), {}, {200}),
        (encoded("TIFF", "F"), {}, {422}),
        (encoded("PNG", "RGBA"), {"Content_Type": "image/jpeg"}, {200}),
        (DIGIT, {"Content_Type": "text/html; charset=unknown"}, {200}),
        (DIGIT, {"Content_Type": "\x80\xff"}, {200}),
        (DIGIT, {"Content_Type": "application/json"}, {400}),
        (gzip.compress(DIGIT), {"Content_Encoding": "gzip"}, {400}),
        (b'{"url": 5}', {"Content_Type": "application/json"}, {403}),
        (b"[" * 100_000, {"Content_Type": "application/json"}, {400}),
        (b'{"url": "file:///etc/passwd"}', {"Content_Type": "application/json; charset=utf-8"}, {403}),
        (PART % (b"file", b"7.png", DIGIT) + b"--b--\r\n", {"Content_Type": FORM}, {200}),
        (PART % (b"other", b"\xff", DIGIT) + b"--b--\r\n", {"Content_Type": FORM}, {200, 400}),
        (PART % (b"a", b"1", DIGIT) + PART % (b"b", b"2", DIGIT) + b"--b--\r\n", {"Content_Type": FORM}, {400}),
        (PART % (b"file", b"7.png", DIGIT), {"Content_Type": FORM}, {200, 400}),
        (PART % (b"file", b"7.png", b""), {"Content_Type": FORM}, {400}),
        (DIGIT, {"Content_Type": FORM}, {400}),
        (DIGIT, {"Content_Type": "multipart/form-data; boundary=" + "x" * 5000}, {400}),
        (DIGIT, {"Accept": "text/html"}, {406}),
        (DIGIT, {"Accept": ""}, {200, 406}),
    ],
)
def test_bodies_of_all_kinds(there: Hosted, data: bytes, headers: dict[str, str], status: set[int]) -> None:
    found = there.ask("/predict", data, **{"Content_Type": "application/octet-stream", **headers})
    assert found.status in status, found.body
    assert found.status == 200 or json.loads(found.body)["error"]


@pytest.mark.parametrize("query", ["top=" + "9" * 5000, "top=%D9%A3", "top=-1", "top=", "model=" + "x" * 3000])
def test_queries(there: Hosted, query: str) -> None:
    found = there.ask(f"/predict?{query}", DIGIT)
    assert found.status in (404, 422)
    assert len(found.body) < 400


def test_a_token_of_other_letters(pipe: zoo.Pipeline) -> None:
    there = Hosted(Service({"digits": pipe}, token="Schlüssel"))
    try:
        client = there.connect(b"GET /models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
        client.sendall("Authorization: Bearer Schlüssel\r\n\r\n".encode())
        assert answer(client).startswith(b"HTTP/1.1 200")
        for wrong in (
            "Bearer Schl\xfcssel",
            "Bearer ",
            "",
            "Basic Schlüssel".encode().decode("latin-1"),
            "Bearer x" * 99,
        ):
            found = there.ask("/predict", DIGIT, Authorization=wrong)
            assert (found.status, found.headers["www-authenticate"]) == (401, "Bearer")
            assert "ssel" not in found.body.decode()
    finally:
        there.close()


class Slow:
    """A slow pipeline, with an adjustable time."""

    def __init__(self, pipe: zoo.Pipeline, seconds: float) -> None:
        self.pipe, self.seconds, self.go = pipe, seconds, threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipe, name)

    def stream(self, *arguments: Any, **options: Any) -> Any:
        self.go.wait(self.seconds)
        return self.pipe.stream(*arguments, **options)


def test_a_slow_model_is_bound_on_time_and_overload_told(pipe: zoo.Pipeline) -> None:
    slow = Slow(pipe, 60)
    with hosted(slow, timeout=1.0, concurrency=3) as there:
        found: list[Any] = []
        asking = [threading.Thread(target=lambda: found.append(there.ask("/predict", DIGIT))) for _ in range(8)]
        started = time.monotonic()
        for one in asking:
            one.start()
        for one in asking:
            one.join(30)
        assert time.monotonic() - started < 15
        assert {one.status for one in found} == {503}
        assert {one.headers["retry-after"] for one in found} == {"1"}
        told = [json.loads(one.body)["error"] for one in found]
        assert sum("within 1 s" in text for text in told) == 3
        assert sum("Too many" in text for text in told) == 5
        assert there.ask("/health").status == 200
        slow.go.set()
        until = time.monotonic() + 20
        while there.ask("/predict", DIGIT).status != 200 and time.monotonic() < until:
            time.sleep(0.1)
        assert is_well(there)


def test_a_model_that_hangs_does_not_hold_the_end_back(pipe: zoo.Pipeline) -> None:
    slow = Slow(pipe, 60)
    with hosted(slow, timeout=1.0) as there:
        assert there.ask("/predict", DIGIT).status == 503
        assert there.close() < 15
        slow.go.set()


def test_opened_pictures_of_all_requests_have_a_bound(pipe: zoo.Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """24 pictures of 2 million pixels each, four at the same time."""
    from zoo_serving import service

    most = 0
    real = service.open_image

    def opening(data: Any) -> Any:
        nonlocal most
        most = max(most, there.service.room.used)
        return real(data)

    monkeypatch.setattr(service, "OPENED", 8_000_000)
    monkeypatch.setattr(service, "open_image", opening)
    picture = io.BytesIO()
    Image.new("L", (2000, 1000)).save(picture, "PNG")
    with hosted(pipe, max_pixels=3_000_000) as there:
        found: list[int] = []
        asking = [
            threading.Thread(target=lambda: found.append(there.ask("/predict", picture.getvalue()).status))
            for _ in range(24)
        ]
        for one in asking:
            one.start()
        for one in asking:
            one.join(60)
        assert found == [200] * 24
        assert 2_000_000 <= most <= 8_000_000
        assert there.service.room.used == 0


@pytest.mark.parametrize("how", ["ctrl-c", "SIGTERM"])
def test_its_end_in_a_terminal(how: str) -> None:
    process, master = started_in_a_terminal("serve", "squeezenet1_1=DIGITS_V1", "--port", 0)
    try:
        assert "http://127.0.0.1:" in read_until(master, r"http://127.0.0.1:\d+", 100)
        if how == "ctrl-c":
            os.write(master, b"\x03")
        else:
            process.send_signal(signal.SIGTERM)
        text = read_until(master, "(?!)", 60)
        assert process.wait(60) in ((130,) if how == "ctrl-c" else (-signal.SIGTERM, 143))
        assert "Traceback" not in text
        lines = [line.strip() for line in text.replace("^C", "").splitlines() if line.strip()]
        assert lines == (["Interrupted; finishing the current requests."] if how == "ctrl-c" else []), text
    finally:
        process.kill()
        os.close(master)


def test_the_address_is_taken(there: Hosted) -> None:
    command = [sys.executable, "-c", "import sys; from zoo.cli import main; sys.exit(main())", "serve"]
    done = subprocess.run(
        [*command, "squeezenet1_1=DIGITS_V1", "--port", str(there.port)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{there.port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
