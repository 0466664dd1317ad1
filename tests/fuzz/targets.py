"""Fuzzing targets: for each kind of file or response, some valid examples, and the code that reads it."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

import zoo
from zoo import files
from zoo.files.bundle import unpack
from zoo.files.lockfile import read_lock
from zoo_detection.evaluation import CocoEvaluator
from zoo_optical_flow.flo import read_flo, write_flo
from zoo_tools.records import FORMAT, SAID, Records


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes:
        examples: writes valid inputs to an empty folder.
        read: reads a file with such an input; any exception other than zoo's own errors is a bug.
        suffixes: suffixes of the file names, one for each example, or one for all.
        mutate: makes an invalid input from a valid one.
    """

    examples: Callable[[Path], list[bytes]]
    read: Callable[[Path], object]
    suffixes: tuple[str, ...] = ("",)
    mutate: Callable[[random.Random, bytes], bytes] | None = None


# ── mutations ────────────────────────────────────────────────────────────────────────────────────────────────────

ODD_BYTES = [b"\0", b"\xff", b"\xff" * 4, b"\0" * 8, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"{", b"}", b"[", b'"', b"\n"]
ODD_VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 2**31, 2**63, 10**30, -0.0, 0.5, 1e308, float("nan"), float("inf"), "", "a", "\0",
    "\ud800", "../../etc/passwd", "/etc/passwd", "a" * 300, "🐶", [], [[]], [None], {}, {"": None}, [1, 2], [1e308] * 4,
    "1", "deep", "huge",
]  # fmt: skip


def spoilt(rng: random.Random, content: bytes) -> bytes:
    """Flip bits, or remove, duplicate, swap or insert bytes, in one to four places."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        length = min(len(data) - at, 1 << rng.randrange(8))
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = data[at : at + length]
        elif kind == 3:
            data[at : at + length] = rng.randbytes(length)
        elif kind == 4:
            odd = rng.choice(ODD_BYTES)
            data[at : at + len(odd)] = odd
        elif rng.random() < 0.2:
            del data[at:]
    return bytes(data)


def spoilt_json(rng: random.Random, content: bytes) -> bytes:
    """Change, remove, duplicate or rename a value in the tree; sometimes mutate bytes instead."""
    if rng.random() < 0.2:
        return spoilt(rng, content)
    return b"\n".join(_spoilt_value(rng, line) if rng.random() < 0.7 else line for line in content.split(b"\n"))


def _spoilt_value(rng: random.Random, line: bytes) -> bytes:
    try:
        tree = json.loads(line)
    except ValueError:
        return line
    for _ in range(rng.randint(1, 3)):
        places = list(_places(tree))
        if not places:
            break
        holder, key = rng.choice(places)
        kind = rng.randrange(4)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[rng.choice(["id", "name", "bbox", "", "x"])] = holder.pop(key)
        elif kind == 1:
            holder.insert(key, copy.deepcopy(holder[key]))
        else:
            holder[key] = copy.deepcopy(rng.choice(ODD_VALUES))
    deep = "[" * 100_000 + "]" * 100_000
    return json.dumps(tree).replace('"deep"', deep).replace('"huge"', "9" * 5000).encode()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _places(tree[key])


# ── checkpoints ──────────────────────────────────────────────────────────────────────────────────────────────────


def checkpoints(folder: Path) -> list[bytes]:
    tensors = {"conv.weight": torch.randn(4, 3, 3, 3), "conv.bias": torch.zeros(4, dtype=torch.float16)}
    made = []
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        for content in (tensors, {"state_dict": tensors, "epoch": 3, "args": {"lr": 0.1}}):
            buffer = io.BytesIO()
            torch.save(content, buffer, **options)
            made.append(buffer.getvalue())
    made.append(save({name: t.float() for name, t in tensors.items()}, {"format": "pt"}))
    return made


# ── annotations and records ──────────────────────────────────────────────────────────────────────────────────────


def coco(folder: Path) -> list[bytes]:
    boxes = [{"id": i, "image_id": i % 2, "category_id": 1 + i % 2, "bbox": [1, 2, 3, 4.5]} for i in range(1, 5)]
    full: dict[str, Any] = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 8, "height": 8} for i in range(2)],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "car"}],
        "annotations": boxes,
    }
    outline = {"segmentation": [[1, 1, 4, 1, 4, 4]], "area": 4.5, "iscrowd": 0, "keypoints": [1, 2, 2] * 17}
    rle = {"segmentation": {"counts": [10, 4, 50], "size": [8, 8]}, "area": 4, "iscrowd": 1}
    rich = {**full, "annotations": [{**boxes[0], **outline}, {**boxes[1], **rle}], "info": {"year": 2026}}
    return [json.dumps(tree).encode() for tree in (full, rich)]


def read_coco(path: Path) -> None:
    for i in range(2):
        (path.parent / f"{i}.png").touch()
    weights = zoo.Weights(url="file:///w.pth", categories=("person", "car"))
    evaluator = CocoEvaluator(path.parent, path, weights)
    images = list(evaluator._truth["images"])
    evaluator.summarize([{"image_id": image["id"], "kinds": ["bbox", "segm"], "detections": []} for image in images])


IDENTITY = {**dict.fromkeys(SAID, "x"), "format": FORMAT}


def records(folder: Path) -> list[bytes]:
    with Records(folder / "out", IDENTITY, {"a": [], "b": []}) as made:
        for name in ("a", "b"):
            made.add(name, {"acc@1": 1.0, "top": [1, 2, 3]}, *[[]] * (FORMAT - 1))
    return [(folder / "out" / "records.jsonl").read_bytes()]


def read_records(path: Path) -> None:
    target = path.parent / "out" / "records.jsonl"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(path.read_bytes())
    with Records(target.parent, IDENTITY, {"a": [], "b": []}):
        pass


def locks(folder: Path) -> list[bytes]:
    file = {"url": "https://h/a-01234567.pth", "size": 3, "sha256": "0" * 64, "license": "MIT", "names": ["a"]}
    return [json.dumps({"version": 1, "files": [file], "versions": {"zoo-core": "0.1.0"}}).encode()]


def bundles(folder: Path) -> list[bytes]:
    from zoo.files.bundle import pack
    from zoo.files.lockfile import Lock, LockedFile
    from zoo.files.notes import full_hash

    (folder / "a.pth").write_bytes(b"content of a file")
    locked = LockedFile(url="https://h/a.pth", size=17, sha256=full_hash(folder / "a.pth"), names=("a",))
    pack(folder / "b.zip", Lock(files=(locked,), versions={}), lambda file: folder / "a.pth")
    return [(folder / "b.zip").read_bytes()]


# ── pictures and flow ────────────────────────────────────────────────────────────────────────────────────────────

FORMATS = ("png", "jpg", "gif", "webp", "bmp", "tiff", "ppm", "tga", "ico")


def pictures(folder: Path) -> list[bytes]:
    made = []
    rng = np.random.default_rng(0)
    for suffix in FORMATS:
        image = Image.fromarray(rng.integers(0, 255, (16, 20, 3), dtype=np.uint8))
        image.save(folder / f"p.{suffix}")
        made.append((folder / f"p.{suffix}").read_bytes())
    return made


def flows(folder: Path) -> list[bytes]:
    write_flo(torch.randn(2, 5, 7), folder / "f.flo")
    return [(folder / "f.flo").read_bytes()]


# ── responses of servers ─────────────────────────────────────────────────────────────────────────────────────────

BODY = b"content of a checkpoint " * 8
HEADERS = (
    "Content-Range: bytes {a}-{b}/{n}", "Content-Range: bytes */{n}", "Content-Length: {b}", "Accept-Ranges: none",
    'ETag: "x"', "ETag: \xff", "Last-Modified: yesterday", "Retry-After: {n}", "Location: {place}",
    "Content-Type: text/html", "Content-Encoding: gzip", "Transfer-Encoding: chunked",
)  # fmt: skip


def answers(folder: Path) -> list[bytes]:
    head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\nETag: "v1"\r\n\r\n'.encode()
    partial = f"HTTP/1.1 206 Partial\r\nContent-Range: bytes 10-{len(BODY) - 1}/{len(BODY)}\r\n\r\n".encode()
    return [head + BODY, partial + BODY[10:], b"HTTP/1.1 302 Found\r\nLocation: /other\r\n\r\n", head + BODY[:50]]


def spoilt_answer(rng: random.Random, content: bytes) -> bytes:
    """Change the status, add headers with unusual numbers; sometimes mutate bytes instead."""
    if rng.random() < 0.3:
        return spoilt(rng, content)
    head, _, body = content.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if rng.random() < 0.5:
        lines[0] = f"HTTP/1.{rng.randrange(3)} {rng.choice([100, 200, 204, 206, 301, 308, 404, 416, 429, 503, 999])} X"
    for _ in range(rng.randrange(4)):
        numbers = [
            rng.choice([0, 1, 9, 10, len(BODY), len(BODY) - 1, -1, 2**63, 10**40, "", "x", "0x1", "²", "9" * 5000])
            for _ in "abn"
        ]
        place = rng.choice(
            ["/", "", "ftp://h/", "file:///etc/passwd", "//", "http://[", "/\x01", "http://127.0.0.1:1/"]
        )
        a, b, n = numbers
        lines.insert(rng.randint(1, len(lines)), rng.choice(HEADERS).format(a=a, b=b, n=n, place=place))
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body[: rng.choice([None, 0, 10, len(BODY)])]


@functools.cache
def _server() -> tuple[socket.socket, list[bytes]]:
    """A server that sends the same bytes for every request."""
    listener, said = socket.create_server(("127.0.0.1", 0)), [b""]

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(1)
                connection.recv(65536)
                connection.sendall(said[0])

    threading.Thread(target=serve, daemon=True).start()
    return listener, said


def read_answer(path: Path) -> None:
    listener, said = _server()
    said[0] = path.read_bytes()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/{path.name}"
    fetched = files.fetch(url, progress=False, force=True)
    assert fetched.is_file()
    part = fetched.with_name(f"{fetched.name}.part")
    part.write_bytes(BODY[:10])
    files.fetch(url, progress=False, force=True)


TARGETS = {
    "checkpoints": Target(
        checkpoints, lambda p: zoo.loading.read_checkpoint(p), (".pth", ".pth", ".pth", ".pth", ".safetensors")
    ),
    "COCO files": Target(coco, read_coco, (".json",), spoilt_json),
    "evaluation records": Target(records, read_records, (".jsonl",), spoilt_json),
    "locks": Target(locks, read_lock, (".lock",), spoilt_json),
    "bundles": Target(bundles, lambda p: list(unpack(p)), (".zip",)),
    "flow files": Target(flows, read_flo, (".flo",)),
    "pictures": Target(pictures, zoo.io.read_image, tuple(f".{suffix}" for suffix in FORMATS)),
    "servers' answers": Target(answers, read_answer, (".pth",), spoilt_answer),
}
