"""Notes about files: size, times and hash when a file was last verified."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import warnings
from pathlib import Path
from typing import Any

from zoo.errors import CacheWarning
from zoo.files.names import SILENCE, cache_dir, identity, scheme_of, sha256
from zoo.files.redaction import redacted

CHUNK = 1 << 18


def note_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")


def note_elsewhere(path: Path) -> Path:
    """The note of a file outside the cache; the note itself is in the cache."""
    return cache_dir() / ".verified" / f"{sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json"


def read_note(note: Path) -> dict[str, Any]:
    try:
        facts = json.loads(note.read_bytes() if note.is_file() else b"")  # reading a pipe would block
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def write_note(note: Path, **facts: Any) -> None:
    with contextlib.suppress(OSError):  # a read-only cache is not an error: the file is hashed again
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary = note.with_name(f"{note.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            temporary.unlink(missing_ok=True)
            with temporary.open("x") as f:  # not through a link
                f.write(json.dumps(facts))
            temporary.replace(note)
        finally:
            temporary.unlink(missing_ok=True)


def write_verified(note: Path, stat: os.stat_result, **facts: Any) -> None:
    write_note(note, size=stat.st_size, mtime_ns=stat.st_mtime_ns, ctime_ns=stat.st_ctime_ns, **facts)


def unchanged(known: dict[str, Any], stat: os.stat_result, note: Path) -> bool:
    """Whether a file matches its note. A program that writes to it can reset the modification time, but not the
    inode's.

    Copying a cache changes the inode's time; in a read-only cache, where notes cannot be updated, only size and
    modification time are compared.
    """
    same = (known.get("size"), known.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns)
    return same and (known.get("ctime_ns") == stat.st_ctime_ns or not os.access(note.parent, os.W_OK))


def hash_file(path: Path, sha: Any) -> os.stat_result:
    with path.open("rb", buffering=0) as f:
        before = os.fstat(f.fileno())
        buffer = memoryview(bytearray(CHUNK))
        while n := f.readinto(buffer):
            sha.update(buffer[:n])
        return before


def full_hash(path: Path) -> str:
    sha = sha256()
    hash_file(path, sha)
    return str(sha.hexdigest())


def verified(path: Path, note: Path, url: str, promise: tuple[str, bool] | None) -> str | None:
    """The problem with ``path``, None if there is none. The file is hashed if it changed since it was last hashed."""
    known, stat = read_note(note), path.stat()
    hexdigits, binding = promise or ("", False)
    digest = str(known.get("sha256", ""))
    if unchanged(known, stat, note) and (not binding or digest.startswith(hexdigits)):
        return None
    # The full hash of the download; or the promised one, if the two differ.
    expected = digest if digest.startswith(hexdigits) or not binding else hexdigits
    sha = sha256()
    stat = hash_file(path, sha)
    found = sha.hexdigest()
    if not found.startswith(expected):
        n = max(16, next((i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), 0) + 1)
        return f"its SHA-256 should begin with {expected[:n]} and begins with {found[: len(expected[:n])]}"
    if not expected:
        warn_unless(found, promise, path.name)
    kept = {"fetched": known["fetched"]} if digest == found and "fetched" in known else {}
    write_verified(note, stat, url=identity(url), sha256=found, **kept)
    return None


def warn_unless(digest: str, promise: tuple[str, bool] | None, name: str) -> None:
    if promise and not digest.startswith(promise[0]):
        warnings.warn(
            f"The name of {name} ends in {promise[0]}, which may be the beginning of its SHA-256, but that begins with "
            f"{digest[: len(promise[0])]}. It is used anyway. {SILENCE}",
            CacheWarning,
            stacklevel=2,
        )


def way_out(path: Path) -> str:
    """A sentence for the message about an unusable file: how to download it again, if zoo can; else ""."""
    url = str((read_note(note_path(path)) or read_note(note_elsewhere(path))).get("url", ""))
    if scheme_of(url) not in ("http", "https", "hf"):
        return ""
    return f" `zoo pull --force {redacted(url)}` downloads it again."
