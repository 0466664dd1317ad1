"""A real HTTP server on loopback that misbehaves on request."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Fault:
    """What goes wrong with one GET. Later ones are answered well again."""

    status: int = 200
    headers: dict[str, str | None] = field(default_factory=dict)  # None: not sent, whatever the server would
    cut: int | None = None  # close the connection after this many bytes of the body
    hold: int | None = None  # send this many bytes of the body, then wait for server.release
    body: bytes | None = None  # serve this in place of the file
    trickle: float | None = None  # send a byte, wait this many seconds, and so on
    where: str = "body"  # what trickles: the body or the headers


class FileServer(http.server.ThreadingHTTPServer):
    """Serves ``files`` (path → content) with ranges and ETags; ``log`` holds (method, path, Range, status).

    ``sent`` holds the headers of each request.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.log: list[tuple[str, str, str | None, int]] = []
        self.sent: list[dict[str, str]] = []
        self.headers: dict[str, str] = {}
        self.ranges = self.etags = True
        self.heeds_if_range = True
        self.chunked = False
        self.status = 404  # of what is not there
        self.release = threading.Event()
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.server_port}"

    def put(self, path: str, content: bytes) -> str:
        """Serve ``content`` at ``path``; returns its URL."""
        self.files[path] = content
        return self.url + path

    def fail(self, **fault: Any) -> None:
        """Queue a fault: the first GET in line meets it."""
        self.faults.append(Fault(**fault))

    @property
    def gets(self) -> list[tuple[str, str | None, int]]:
        return [entry[1:] for entry in self.log if entry[0] == "GET"]

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients of these tests hang up and are killed on purpose


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        fault = server.faults.pop(0) if server.faults and self.command == "GET" else Fault()
        found = server.files.get(self.path, server.files.get(self.path.partition("?")[0]))
        content = found if fault.body is None else fault.body
        status = fault.status
        headers: dict[str, str | None] = dict(server.headers)
        if content is None or status >= 400:
            status, content = status if status >= 400 else server.status, b""
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        if server.etags:
            headers["ETag"] = etag
        headers |= fault.headers
        body, start = content, re.match(r"bytes=(\d+)-$", wanted or "")
        same = self.headers.get("If-Range", etag) == etag or not server.heeds_if_range
        if status == 200 and start and server.ranges and same:
            body = content[int(start[1]) :]
            status = 206 if body else 416
            first = f"{start[1]}-{len(content) - 1}" if body else "*"
            headers["Content-Range"] = f"bytes {first}/{len(content)}"
        server.log.append((self.command, self.path, wanted, status))
        server.sent.append(dict(self.headers))
        if fault.where == "headers" and fault.trickle:
            self.trickle(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10000, fault.trickle)
            return
        self.send_response(status)
        if server.chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.trickle:
            self.trickle(body, fault.trickle)
            return
        if fault.hold is not None:
            self.send(body[: fault.hold])
            server.release.wait(60)
            body = body[fault.hold :]
        self.send(body[: fault.cut])
        if fault.cut is not None:
            self.close_connection = True
        elif server.chunked:
            self.wfile.write(b"0\r\n\r\n")

    do_HEAD = do_GET

    def trickle(self, data: bytes, seconds: float) -> None:
        for i in range(len(data)):
            if self.server.release.wait(seconds):
                return
            self.wfile.write(data[i : i + 1])

    def send(self, body: bytes) -> None:
        if self.server.chunked and body:
            body = b"%x\r\n%s\r\n" % (len(body), body)
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextlib.contextmanager
def serving(server: FileServer) -> Iterator[FileServer]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
