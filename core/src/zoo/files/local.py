"""Local files: paths, ``file://``, and ``pkg://`` inside installed packages."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from zoo.errors import DownloadError, MissingExtra, suggest
from zoo.files.names import check_names, scheme_of
from zoo.files.redaction import redacted

_NAME = re.compile(r"[\w.-]+")
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:.*;.*\bextra\s*==\s*[\"'](?P<extra>[\w.-]+)[\"'])?")


def local_path(url: str) -> Path:
    if scheme_of(url) != "file":
        return Path(url).expanduser()
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise DownloadError(
            f"{redacted(url)} names the host {redacted('//' + parts.netloc)[2:]!r}; a file on this machine is "
            "file:///path/to/file."
        )
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


def _places(url: str) -> Iterator[tuple[Path, Any]]:
    """The possible paths of a ``pkg://`` file, each with the loader of its package. No package is imported."""
    package, _, name = url.partition("://")[2].partition("/")
    if not (package and name):
        raise DownloadError(f"{url} names no file in a package; expected pkg://package/path.")
    check_names(name.split("/"), url)
    top, *inner = package.split(".")
    try:  # only a top level package: finding a subpackage would import its parent
        spec = importlib.util.find_spec(top) if package.replace(".", "_").isidentifier() else None
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None or spec.submodule_search_locations is None:
        raise _not_there(url, top)
    for folder in spec.submodule_search_locations:  # a namespace package may have several
        yield Path(folder, *inner, *name.split("/")), spec.loader


def _not_there(url: str, package: str) -> DownloadError:
    """The error for a missing package; it says what to install if the metadata of an installed distribution does."""
    import importlib.metadata

    what = f"{url}: {package} is not an importable package."
    for distribution in importlib.metadata.distributions():
        try:
            name, requires = distribution.metadata["Name"], distribution.requires or ()
        except Exception:  # noqa: BLE001  another distribution is damaged
            continue
        for m in filter(None, map(_REQUIREMENT.match, requires if _NAME.fullmatch(str(name)) else ())):
            if re.sub(r"[-_.]+", "_", m["name"]).lower() != package.lower():
                continue
            if m["extra"]:
                return MissingExtra(f"{what} It comes with an extra: pip install '{name}[{m['extra']}]'")
            return DownloadError(f"{what} {name} needs it: pip install {m['name']}")
    return DownloadError(f"{what} Is it installed?")


def packaged_file(url: str) -> Path:
    for path, loader in _places(url):
        if path.is_file():
            return path
        if _in_archive(path, loader) is not None:
            raise DownloadError(f"{url} is inside an archive ({path}); install the package unpacked, as pip does.")
    raise _absent(url)


def _in_archive(path: Path, loader: Any) -> bytes | None:
    """The content of a file that only the loader of its package can open, as in a zip file."""
    from zipimport import zipimporter

    try:
        return loader.get_data(str(path)) if isinstance(loader, zipimporter) else None
    except OSError:
        return None


def _absent(url: str) -> DownloadError:
    package, _, name = url.partition("://")[2].partition("/")
    return DownloadError(f"{url}: the installed package {package} has no file {name}.")


def open_resource(url: str) -> BinaryIO:
    """Open a ``pkg://package/path`` resource for reading bytes. The package is not imported.

    Raises:
        DownloadError: the package is not installed or has no such file.
    """
    if scheme_of(url) != "pkg":
        raise DownloadError(f"{redacted(url)} is not a resource of a package; expected pkg://package/path.")
    for path, loader in _places(url):
        if path.is_file():
            return path.open("rb")
        if (content := _in_archive(path, loader)) is not None:
            return BytesIO(content)
    raise _absent(url)
