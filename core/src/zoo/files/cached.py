"""The files in the cache: who wrote them, whether they are intact, and which can be deleted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo.files.lock import locked
from zoo.files.names import cache_dir, promised_hash
from zoo.files.notes import full_hash, note_path, read_note, unchanged, way_out


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A file of the cache.

    Attributes:
        path: of the file.
        state: ``"zoo's"`` (downloaded by zoo), ``"unfinished"`` (an interrupted download of zoo) or ``"foreign"``
            (written or altered by torch.hub or another program).
        size: in bytes.
        url: its URL without secrets; empty if it is not known.
        sha256: all 64 digits, if they are known.
        unused: days since it was last read or written, according to the file system.
    """

    path: Path
    state: str
    size: int
    url: str
    sha256: str
    unused: float


def cached_files() -> list[CachedFile]:
    """The files of the cache, by path. Nothing is hashed."""
    folder, found = cache_dir(), []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file():
            continue
        about = path.stat()
        part_note = read_note(path.with_name(f".{path.name}.json")) if path.suffix == ".part" else {}
        note = part_note or read_note(note_path(path))
        state = "unfinished" if part_note else "foreign"
        if "fetched" in note and unchanged(note, about, path):
            state = "zoo's"
        unused = (time.time() - max(about.st_atime, about.st_mtime)) / 86400
        facts = str(note.get("url", "")), str(note.get("sha256", ""))
        found.append(CachedFile(path, state, about.st_size, *facts, max(unused, 0.0)))
    return found


def verify_cache() -> Iterator[tuple[CachedFile, str]]:
    """Hash every finished file; yield it and the problem with it: empty, or a message with the remedy."""
    for file in cached_files():
        if file.state == "unfinished":
            continue
        promise = promised_hash(file.path.name)
        expected = file.sha256 or (promise[0] if promise and promise[1] else "")
        found = full_hash(file.path)
        wrong = ""
        if not found.startswith(expected) or (promise and promise[1] and not found.startswith(promise[0])):
            wrong = f"its SHA-256 should begin with {expected} and is {found}.{way_out(file.path)}"
        yield (file, wrong)


def prune(
    *, unused: float | None = None, foreign: bool = False, dry_run: bool = False
) -> tuple[list[CachedFile], list[Path]]:
    """Delete unfinished downloads and notes of missing files; with ``unused``, also files that zoo downloaded.

    Args:
        unused: delete files that have not been read or written for this many days; 0: all.
        foreign: also delete foreign files.
        dry_run: delete nothing.

    Returns:
        The files that were deleted, or would be, and those that were kept because a process holds their locks.
    """
    gone, busy = [], []
    for file in cached_files():
        old = unused is not None and file.unused >= unused
        if file.state == "unfinished" or (old and (foreign or file.state != "foreign")):
            target = file.path.with_suffix("") if file.state == "unfinished" else file.path
            try:
                with contextlib.nullcontext() if dry_run else locked(target, wait=False):
                    if not dry_run:
                        file.path.unlink(missing_ok=True)
                        note_path(file.path).unlink(missing_ok=True)
                gone.append(file)
            except TimeoutError:
                busy.append(file.path)
    if not dry_run:
        _sweep(cache_dir())
    return gone, busy


def _sweep(folder: Path) -> None:
    """Delete notes without a file, temporary files of killed processes, and empty folders of single files."""
    for note in (*folder.glob(".*.json"), *folder.glob("*/.*.json")):
        named = note.with_name(note.name[1:].removesuffix(".json"))
        if note.parent.name != ".verified" and named.suffix != ".lock" and not named.exists():
            note.unlink(missing_ok=True)
    for temporary in (*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")):
        if time.time() - temporary.stat().st_mtime > 3600:
            temporary.unlink(missing_ok=True)
