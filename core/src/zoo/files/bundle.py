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

    Files inside installed packages come with those and are left out.

    Raises:
        InvalidArgument: the lock has a file of a path or of a plugin's scheme, for which there is no place elsewhere.
        DownloadError: ``fetch`` could not get a file.
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
    """Put the files of ``archive`` into the caches, each where its URL will look for it, and yield them.

    A bundle says which bytes are a URL's: it is trusted as the machine that wrote it, within ``ZOO_POLICY`` and
    ``ZOO_LOCK``. No name in it is used as a path.

    Raises:
        InvalidArgument: it is no bundle.
        DownloadError: a file is damaged or has no place here; those before it are there.
        PolicyError: a file that is not allowed.
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
        # RuntimeError: it is encrypted. OSError: an offset in it is before its beginning.
        if isinstance(e, (ZooError, FileNotFoundError, PermissionError)):
            raise
        raise InvalidArgument(f"{archive} is no whole bundle ({e}); `zoo bundle` writes one.") from e


def _put(packed: zipfile.ZipFile, file: LockedFile) -> Path:
    rules, entry, promise = policy(), locked_file(file.url), promised_hash(file.url)
    rules.check_wanted(file.url, file.license)
    rules.check_size(file.url, file.size)
    if entry and entry.sha256 != file.sha256:
        raise PolicyError(f"{file.url} of the bundle is another file than that of ZOO_LOCK.")
    if promise and promise[1] and not file.sha256.startswith(promise[0]):
        raise DownloadError(f"{file.url} of the bundle is not what its name promises.")
    if packed.getinfo(file.sha256).file_size != file.size:  # of which no more is read
        raise DownloadError(f"{file.url} of the bundle is not of the size that its lock says.")
    if scheme_of(file.url) == "hf":
        path = place_in_hub(file.url, file.commit)
    elif scheme_of(file.url) in ("http", "https"):
        rules.check_address(file.url)
        path = target_path(file.url)
    else:
        raise DownloadError(f"{file.url} of the bundle has no place in a cache.")
    with packed.open(file.sha256) as content:
        install(file.url, path, iter(lambda: content.read(CHUNK), b""), file.sha256)
    if scheme_of(file.url) == "hf":  # that cache has notes of its own
        for ours in (note_path(path), path.with_name(f".{path.name}.lock")):
            ours.unlink(missing_ok=True)
    rules.check_content(file.url, path)
    return path
