"""Damaged files and unusual responses are read, or raise one of zoo's own errors. ``make fuzz`` runs longer.

An input is made from a target's name and a number: ``ZOO_FUZZ_SEED=NUMBER ZOO_FUZZ_SECONDS=0`` makes only that one.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz.targets import TARGETS, spoilt
from hypothesis import HealthCheck, given, settings, strategies as st

from zoo.errors import ZooError

SECONDS = float(os.environ.get("ZOO_FUZZ_SECONDS", "1.5"))  # for each target
FIRST = int(os.environ.get("ZOO_FUZZ_SEED", "0"))
KEYS = ("images", "annotations", "categories", "id", "image_id", "category_id", "bbox", "files", "version", "versions")
NAMES = ("Content-Length", "Content-Encoding", "ETag", "Retry-After", "Transfer-Encoding", "Content-Type", "Location")


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Short waits, and at most 2 GB of additional memory: a file that needs more is a bug."""
    monkeypatch.setenv("ZOO_TIMEOUT", "0.3")
    monkeypatch.setenv("ZOO_MAX_PIXELS", "1000000")
    monkeypatch.setattr("zoo.files.http.PAUSE", 0.0)
    monkeypatch.setattr("zoo.files.connection.LONGEST_WAIT", 0.0)
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (2 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner),
)
HEADER = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=30)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """A response with a Content-Range and other headers with arbitrary values."""
    numbers = [draw(st.integers(0, 300) | HEADER) for _ in "abc"]
    lines = [f"HTTP/1.1 {draw(st.sampled_from([200, 206, 416]))} X"]
    lines.append("Content-Range: " + draw(st.just("bytes {}-{}/{}".format(*numbers)) | HEADER))
    lines += draw(st.lists(st.tuples(st.sampled_from(NAMES), HEADER).map(": ".join), max_size=3))
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + draw(st.binary(max_size=200))


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("name", TARGETS)
def test_what_is_damaged_ends_in_an_error_of_our_own(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    examples = target.examples(tmp_path)
    suffixes = target.suffixes * (len(examples) if len(target.suffixes) == 1 else 1)
    for content, suffix in zip(examples, suffixes, strict=True):  # valid examples are read; for the responses only one
        assert read(name, content, tmp_path / f"good{suffix}")
        if name == "servers' answers":
            break
    end = time.monotonic() + SECONDS
    for seed in itertools.count(FIRST):
        rng = random.Random(f"{name} {seed}")
        which = rng.randrange(len(examples))
        try:
            read(name, (target.mutate or spoilt)(rng, examples[which]), tmp_path / f"bad{suffixes[which]}")
        except BaseException as e:
            e.add_note(f"ZOO_FUZZ_SEED={seed} ZOO_FUZZ_SECONDS=0 pytest tests/fuzz -k '{name}'")
            raise
        if time.monotonic() >= end:
            break


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("name", TARGETS)
def test_what_was_never_good_does_too(name: str, tmp_path: Path) -> None:
    trees = JSON.map(lambda tree: json.dumps(tree).encode())
    kinds = {"COCO files": trees, "locks": trees, "evaluation records": trees, "servers' answers": answers()}

    @settings(
        max_examples=int(40 * max(SECONDS, 1)), deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.binary(max_size=300) | kinds.get(name, st.nothing()))
    def never_good(content: bytes) -> None:
        read(name, content, tmp_path / f"any{TARGETS[name].suffixes[0]}")

    never_good()


def read(name: str, content: bytes, path: Path) -> bool:
    """Whether the file could be read; zoo's own errors are expected."""
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            TARGETS[name].read(path)
        except ZooError as e:
            return not str(e).strip()
    return True
