"""``zoo.lock``: the exact files that a project uses. If ``ZOO_LOCK`` names one, no other file is loaded."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.errors import InvalidArgument, PolicyError
from zoo.files.names import identity, scheme_of
from zoo.files.redaction import redacted

VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedFile:
    """One file of a lock.

    Attributes:
        url: its URL without login and signature; the rest of a query is replaced by a digest.
        size: in bytes.
        sha256: all 64 digits.
        license: of the weights, from :attr:`zoo.Weights.license`.
        commit: the commit that the revision of an ``hf://`` URL named.
        names: the weights that load it, as they were requested.
    """

    url: str
    size: int
    sha256: str
    license: str = "unknown"
    commit: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """The files that a project uses, and the versions of zoo and of the plugins that it was made with."""

    files: tuple[LockedFile, ...]
    versions: Mapping[str, str]

    def find(self, url: str) -> LockedFile | None:
        wanted = lock_url(url)
        return next((file for file in self.files if file.url == wanted), None)

    def dump(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, indent=2) + "\n"


def lock_url(url: str) -> str:
    return identity(url) if scheme_of(url) else Path(url).expanduser().absolute().as_uri()


def parse_lock(text: str | bytes, source: object) -> Lock:
    """Read a file that :meth:`Lock.dump` wrote.

    Raises:
        InvalidArgument: it is not a lock, or has a later version.
    """
    try:
        facts: dict[str, Any] = json.loads(text)
        if facts["version"] != VERSION:
            raise ValueError(f"version {facts['version']!r} is not supported")
        if not all(isinstance(f["size"], int) and re.fullmatch("[0-9a-f]{64}", f["sha256"]) for f in facts["files"]):
            raise ValueError("a size or SHA-256 is invalid")
        files = tuple(LockedFile(**{**file, "names": tuple(file.get("names", ()))}) for file in facts["files"])
        return Lock(files=files, versions=dict(facts["versions"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise InvalidArgument(
            f"{source} is not a zoo.lock ({type(e).__name__}: {e}); `zoo lock NAME…` writes one."
        ) from e


def read_lock(path: str | os.PathLike[str]) -> Lock:
    try:
        text = Path(path).expanduser().read_bytes()
    except OSError as e:
        raise InvalidArgument(f"The lock {path} cannot be read ({e.strerror}); `zoo lock NAME…` writes one.") from e
    return parse_lock(text, path)


def locked_file(url: str) -> LockedFile | None:
    """The locked file of ``url``; None if ``ZOO_LOCK`` is not set.

    Raises:
        PolicyError: there is a lock, and the file is not in it.
    """
    path = os.environ.get("ZOO_LOCK")
    if not path:
        return None
    locked = read_lock(path).find(url)
    if locked is None:
        raise PolicyError(f"{redacted(url)} is not in the lock ZOO_LOCK={path}; `zoo lock` writes a new one.")
    return locked
