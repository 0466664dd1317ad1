"""What is known of a file: its size, time and hash when it was last verified, in a note."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import warnings
from pathlib import Path
from typing import Any

from zoo.errors import CacheWarning
from zoo.files.names import SILENCE, cache_dir, identity, sha256

CHUNK = 1 << 18


def note_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")


def note_elsewhere(path: Path) -> Path:
    """The note of a file that is not ours: in our cache, not beside it."""
    return cache_dir() / ".verified" / f"{sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json"


def read_note(note: Path) -> dict[str, Any]:
    try:
        facts = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def write_note(note: Path, **facts: Any) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written to is no error: the file is hashed again
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary = note.with_name(f"{note.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            temporary.write_text(json.dumps(facts))
            temporary.replace(note)
        finally:
            temporary.unlink(missing_ok=True)


def hash_file(path: Path, sha: Any) -> os.stat_result:
    with path.open("rb", buffering=0) as f:
        before = os.fstat(f.fileno())
        buffer = memoryview(bytearray(CHUNK))
        while n := f.readinto(buffer):
            sha.update(buffer[:n])
        return before


def verified(path: Path, note: Path, url: str, promise: tuple[str, bool] | None) -> str | None:
    """What is wrong with ``path``, None if nothing is. It is hashed if it changed since it was last hashed."""
    known, stat = read_note(note), path.stat()
    hexdigits, binding = promise or ("", False)
    digest = str(known.get("sha256", ""))
    unchanged = (known.get("size"), known.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns)
    if unchanged and (not binding or digest.startswith(hexdigits)):
        return None
    expected = hexdigits if binding else digest  # without a promise, it must be what was downloaded
    facts: dict[str, Any] = {"url": identity(url)}
    if promise or expected:
        sha = sha256()
        stat = hash_file(path, sha)
        facts["sha256"] = found = sha.hexdigest()
        if not found.startswith(expected):
            return f"its SHA-256 should begin with {expected[:16]} and begins with {found[: len(expected[:16])]}"
        if not expected:
            warn_unless(found, promise, path.name)
    write_note(note, size=stat.st_size, mtime_ns=stat.st_mtime_ns, **facts)
    return None


def warn_unless(digest: str, promise: tuple[str, bool] | None, name: str) -> None:
    if promise and not digest.startswith(promise[0]):
        warnings.warn(
            f"The name of {name} ends in {promise[0]}, which may be the beginning of its SHA-256, but that begins with "
            f"{digest[: len(promise[0])]}. It is used all the same. {SILENCE}",
            CacheWarning,
            stacklevel=2,
        )
