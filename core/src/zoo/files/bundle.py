"""Files in one archive, for a machine without a network."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from zoo.errors import DownloadError, InvalidArgument, PolicyError, ZooError
from zoo.files.http import install, target_path
from zoo.files.hub import place_in_hub
from zoo.files.lockfile import Lock, LockedFile, locked_file, parse_lock
from zoo.files.names import promised_hash, scheme_of
from zoo.files.notes import CHUNK, note_path
from zoo.files.policy import policy

MANIFEST = "zoo.lock"
MAX_MANIFEST = 1 << 26  # bytes


def pack(archive: Path, lock: Lock, fetch: Callable[[LockedFile], Path]) -> None:
    """Write the files of ``lock`` and the lock itself into ``archive``, a zip file without compression.

    Files inside installed packages are left out.

    Raises:
        InvalidArgument: the lock has a file from a path or a plugin's scheme, which another machine's cache cannot
            hold.
        DownloadError: ``fetch`` failed for a file.
    """
    for file in lock.files:
        if scheme_of(file.url) not in ("http", "https", "hf", "pkg"):
            raise InvalidArgument(
                f"{file.url} has no place in another machine's cache; expected https:// and hf:// files."
            )
    unfinished = archive.with_name(f"{archive.name}.part")
    try:
        with zipfile.ZipFile(unfinished, "w") as packed:
            packed.writestr(MANIFEST, lock.dump())
            for sha256, file in {f.sha256: f for f in lock.files if scheme_of(f.url) != "pkg"}.items():
                packed.write(fetch(file), sha256)
        unfinished.replace(archive)
    finally:
        unfinished.unlink(missing_ok=True)


def unpack(archive: Path) -> Iterator[tuple[LockedFile, Path]]:
    """Copy the files of ``archive`` into the caches, each to the place for its URL, and yield them.

    A bundle defines the contents of URLs: it is trusted like the machine that wrote it, within ``ZOO_POLICY`` and
    ``ZOO_LOCK``. No name in it is used as a path.

    Raises:
        InvalidArgument: it is not a bundle.
        DownloadError: a file is damaged or has no place here; earlier files are copied.
        PolicyError: a file is not allowed.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            if packed.getinfo(MANIFEST).file_size > MAX_MANIFEST:
                raise zipfile.BadZipFile(f"its {MANIFEST} is too large")
            lock = parse_lock(packed.read(MANIFEST), archive)
            for file in lock.files:
                if scheme_of(file.url) != "pkg":
                    yield file, _put(packed, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError, ValueError, OSError) as e:
        # RuntimeError: it is encrypted. OSError: an offset in it is negative.
        if isinstance(e, (ZooError, FileNotFoundError, PermissionError)):
            raise
        raise InvalidArgument(f"{archive} is not a complete bundle ({e}); `zoo bundle` writes one.") from e


def _put(packed: zipfile.ZipFile, file: LockedFile) -> Path:
    rules, locked, promise = policy(), locked_file(file.url), promised_hash(file.url)
    rules.check_wanted(file.url, file.license)
    rules.check_size(file.url, file.size)
    if locked and locked.sha256 != file.sha256:
        raise PolicyError(f"{file.url} of the bundle differs from the file in ZOO_LOCK.")
    if promise and promise[1] and not file.sha256.startswith(promise[0]):
        raise DownloadError(f"{file.url} of the bundle does not match the hash in its name.")
    if packed.getinfo(file.sha256).file_size != file.size:  # only this many bytes are read
        raise DownloadError(f"{file.url} of the bundle does not have the size in its lock.")
    if scheme_of(file.url) == "hf":
        path = place_in_hub(file.url, file.commit)
    elif scheme_of(file.url) in ("http", "https"):
        rules.check_address(file.url)
        path = target_path(file.url)
    else:
        raise DownloadError(f"{file.url} of the bundle has no place in a cache.")
    with packed.open(file.sha256) as content:
        install(file.url, path, iter(lambda: content.read(CHUNK), b""), file.sha256)
    if scheme_of(file.url) == "hf":  # the hub's cache keeps its own notes
        for ours in (note_path(path), path.with_name(f".{path.name}.lock")):
            ours.unlink(missing_ok=True)
    rules.check_content(file.url, path)
    return path
