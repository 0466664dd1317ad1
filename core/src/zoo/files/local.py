"""Files that are here already: paths, ``file://``, and ``pkg://`` inside installed packages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from zoo.errors import DownloadError, suggest
from zoo.files.names import scheme_of

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def local_path(url: str) -> Path:
    if scheme_of(url) != "file":
        return Path(url).expanduser()
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise DownloadError(f"{url} names the host {parts.netloc!r}; a file on this machine is file:///path/to/file.")
    if os.name == "nt":
        from urllib.request import url2pathname

        return Path(url2pathname(parts.path))
    return Path(unquote(parts.path))


def local_file(url: str) -> Path:
    path = local_path(url)
    if path.is_file():
        return path
    if path.is_dir():
        raise DownloadError(f"{path} is a folder; expected a file.")
    close = suggest(path.name, (p.name for p in path.parent.iterdir())) if path.parent.is_dir() else ""
    raise DownloadError(f"There is no file {path}.{close}")


def _packaged(url: str) -> Traversable:
    from importlib import resources

    package, _, name = url.partition("://")[2].partition("/")
    if not (package and name):
        raise DownloadError(f"{url} names no file in a package; expected pkg://package/path.")
    try:
        found = resources.files(package)
    except (ImportError, TypeError) as e:  # TypeError: a module that is no package has no files
        raise DownloadError(f"{url}: {package} is no package that can be imported ({e}). Is it installed?") from e
    for part in name.split("/"):  # one by one: a namespace package takes no more
        found = found / part
    if not found.is_file():
        raise DownloadError(f"{url}: the installed package {package} has no file {name}.")
    return found


def packaged_file(url: str) -> Path:
    found = _packaged(url)
    if isinstance(found, Path):
        return found
    raise DownloadError(f"{url} is inside an archive ({found}); install the package unpacked, as pip does.")


def open_resource(url: str) -> BinaryIO:
    """Open a ``pkg://package/path`` resource for reading bytes.

    Raises:
        DownloadError: the package is not installed or has no such file.
    """
    if scheme_of(url) != "pkg":
        raise DownloadError(f"{url} is no resource of a package; expected pkg://package/path.")
    return cast("BinaryIO", _packaged(url).open("rb"))
