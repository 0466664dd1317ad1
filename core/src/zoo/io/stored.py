"""Inputs that are not local files: members of tar archives, and files at URLs. Read one at a time.

An archive has the layout of WebDataset: the files of an example are adjacent (``0001.jpg``, ``0001.cls``), and those
with a task's suffixes are its inputs. Its headers are read once, the contents on access. Single files at http(s) URLs
are downloaded; all other URLs are opened by fsspec, an optional dependency. Never imports torch.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import InvalidArgument, MissingPlugin, UnreadableFile
from zoo.files import offline, policy, redacted
from zoo.io.folders import natural_key

LISTS = (".txt", ".lst", ".list")
LARGEST = 1 << 28  # bytes of one input from the web
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


class Held:
    """An input whose bytes are in memory or read on access."""

    def __init__(self, data: bytes, name: str = "bytes") -> None:
        self.data, self.name = data, name

    def __str__(self) -> str:
        return self.name

    def read(self) -> bytes:
        return self.data


@dataclass(frozen=True, slots=True)
class Stored:
    """A member of an archive, or a file at a URL.

    Attributes:
        where: path or URL of the file.
        member: its name in the archive, if ``where`` is an archive.
        start: offset of its content.
        size: of the content in bytes; None for the whole file.
        stamp: (size, time) of a local archive, to detect changes.
    """

    where: str
    member: str = ""
    start: int = 0
    size: int | None = None
    stamp: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"{redacted(self.where)}/{self.member}" if self.member else redacted(self.where)

    def __fspath__(self) -> str:
        return str(self)

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            UnreadableFile: it does not exist, or is shorter than the archive says.
        """
        try:
            with _open(self.where) as file:
                file.seek(self.start)
                data: bytes = file.read() if self.size is None else file.read(self.size)
        except UnreadableFile:
            raise
        except Exception as e:  # a file system of fsspec may raise any exception
            raise UnreadableFile(f"{str(self)!r} cannot be read: {redacted(str(e)) or type(e).__name__}") from e
        if self.size is not None and len(data) != self.size:
            raise UnreadableFile(f"{str(self)!r} is truncated: it has {len(data)} of {self.size} bytes.")
        return data


def is_url(path: str) -> bool:
    return "://" in path


def is_stored(path: str, suffixes: Sequence[str]) -> bool:
    """Whether :func:`find_stored` has to find the inputs of a path: an archive, a list or a URL."""
    lower = path.lower()
    if is_url(path):
        return True
    named = lower.endswith((".tar", *PACKED)) or (lower.endswith(LISTS) and not lower.endswith(tuple(suffixes)))
    return named and not Path(path).is_dir()


def find_stored(path: str, suffixes: Sequence[str]) -> Iterator[Any]:
    """The inputs of an archive, a list file or a URL (a file, an archive, a list, a folder or a glob).

    A list has one input per line; empty lines, and those that begin with ``#``, are skipped. Relative paths are
    relative to the working directory, as for ``xargs``.

    Raises:
        UnreadableFile: it cannot be read, or is damaged.
        InvalidArgument: an archive is compressed, or contains no inputs of the task.
        MissingPlugin: a URL requires fsspec, which is not installed.
    """
    found = 0
    for one in _found(path, suffixes):
        yield one
        found += 1
    if not found:
        kinds = ", ".join(suffixes)
        raise InvalidArgument(f"{redacted(path)} has no inputs; expected files of {kinds}.")


def _found(path: str, suffixes: Sequence[str]) -> Iterator[Any]:
    lower = path.lower()
    if lower.endswith(PACKED):
        raise InvalidArgument(
            f"{redacted(path)} is compressed, so single pictures cannot be read from it. Give an uncompressed .tar; "
            "pictures are compressed already."
        )
    if lower.endswith(".tar"):
        yield from _members(path, suffixes)
    elif lower.endswith(LISTS) and not lower.endswith(tuple(suffixes)):
        yield from _lines(path, suffixes)
    elif is_url(path):
        yield from _at(path, suffixes)
    else:
        yield path


def _members(path: str, suffixes: Sequence[str]) -> Iterator[Stored]:
    stamp = None
    try:
        if not is_url(path):
            about = Path(path).stat()
            stamp = about.st_size, about.st_mtime_ns
        with _open(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # it would keep them all
                if member.isreg() and member.name.lower().endswith(tuple(suffixes)):
                    yield Stored(path, member.name, member.offset_data, member.size, stamp)
    except (OSError, tarfile.TarError) as e:
        raise UnreadableFile(f"{redacted(path)!r} cannot be read as a tar archive: {redacted(str(e))}") from e


def _lines(path: str, suffixes: Sequence[str]) -> Iterator[Any]:
    try:
        with _open(path) as file:
            for raw in file:
                line = raw.decode("utf-8-sig", errors="surrogateescape").rstrip("\r\n")
                if not line.strip() or line.startswith("#"):
                    continue
                if "\0" in line:
                    raise UnreadableFile(f"{redacted(path)!r} is not a list of paths: it has zero bytes.")
                if line.lower().endswith(".tar"):
                    yield from _members(line, suffixes)
                else:
                    yield Stored(line) if is_url(line) else line
    except OSError as e:
        raise UnreadableFile(f"{redacted(path)!r} cannot be read: {e}") from e


def _at(url: str, suffixes: Sequence[str]) -> Iterator[Stored]:
    if _is_web(url) and url.partition("?")[0].lower().endswith(tuple(suffixes)):
        yield Stored(url)
        return
    system, path = _file_system(url)
    try:
        if any(c in path for c in "*[") and not url.startswith("http"):
            files = system.glob(path)
        elif not url.lower().endswith(tuple(suffixes)) and system.isdir(path):
            files = system.find(path)
        else:
            yield Stored(url)
            return
    except Exception as e:  # a file system of fsspec may raise any exception
        raise UnreadableFile(f"{redacted(url)!r} cannot be listed: {redacted(str(e)) or type(e).__name__}") from e
    for file in sorted(files, key=natural_key):
        if file.lower().endswith(".tar"):
            yield from _members(system.unstrip_protocol(file), suffixes)
        elif file.lower().endswith(tuple(suffixes)):
            yield Stored(system.unstrip_protocol(file))


def _open(path: str) -> Any:
    if not is_url(path):
        return Path(path).open("rb")
    if _is_web(path) and not path.lower().endswith(".tar"):  # fsspec can read its members one at a time
        return io.BytesIO(_get(path))
    system, inside = _file_system(path)
    return system.open(inside, "rb")


def _is_web(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def _get(url: str) -> bytes:
    """The content of a file on the web, downloaded like weights, but without the mirror and the cache."""
    if offline():
        raise UnreadableFile(f"{redacted(url)!r} cannot be read: ZOO_OFFLINE forbids downloading it.")
    from zoo.files.connection import open_url

    limit = policy().max_download or LARGEST
    with open_url(url, {"User-Agent": "zoo"}) as answer:
        data: bytes = answer.read(limit + 1)
    if len(data) > limit:
        raise UnreadableFile(f"{redacted(url)!r} is larger than {limit >> 20} MB; download it first.")
    return data


def _file_system(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs

        found: tuple[Any, str] = url_to_fs(url)
    except ImportError as e:
        missing = f": {e}" if "fsspec" not in str(e) else ""
        raise MissingPlugin(
            f"{redacted(url)!r} requires fsspec, which is not installed (or lacks a package for the scheme{missing}): "
            "pip install 'zoo-core[fsspec]', and the package of the scheme, such as s3fs, gcsfs or aiohttp"
        ) from e
    except ValueError as e:
        raise UnreadableFile(f"{redacted(url)!r} cannot be opened: {redacted(str(e))}") from e
    return found
