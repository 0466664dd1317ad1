"""Any URL becomes the path of a local file that is what its name promises."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from zoo.errors import DownloadError, ZooError
from zoo.files.http import fetch_http, target_path
from zoo.files.hub import cached_from_hub, fetch_from_hub, parse_hub
from zoo.files.local import local_file, local_path, packaged_file
from zoo.files.names import promised_hash, scheme_of, without_query
from zoo.files.notes import note_elsewhere, verified

OpenForeign = Callable[[str, bool], Path | None]


def cached_path(url: str | os.PathLike[str]) -> Path | None:
    """The file of ``url`` if it is on this machine, else None (also for a malformed URL). No network, no hashing."""
    url = os.fspath(url)
    scheme = scheme_of(url)
    path: Path | None = None
    with contextlib.suppress(DownloadError, OSError, ValueError):
        if scheme in ("http", "https"):
            path = target_path(url)
        elif scheme == "hf":
            path = cached_from_hub(*parse_hub(url))
        elif scheme == "pkg":
            path = packaged_file(url)
        elif scheme in ("file", ""):
            path = local_path(url)
        return path if path and path.is_file() else None
    return None


def fetch(
    url: str | os.PathLike[str], *, progress: bool = True, open_foreign: OpenForeign = lambda url, progress: None
) -> Path:
    """The path of a local file with the content of ``url``, fetched first if it is not on this machine yet.

    Args:
        url: ``https://…``, ``http://…``, ``hf://org/repo/file@revision``, ``file:///…``, ``pkg://package/path`` (a
            file inside an installed package), a path, or a URL of a scheme that ``open_foreign`` serves.
        progress: show a progress bar on stderr while downloading, if that is a terminal or a notebook.
        open_foreign: ``open_foreign(url, progress) → path or None``, asked for any other scheme. That of the plugins
            is :func:`zoo.registry.open_weights`; :func:`zoo.registry.fetch` asks it.

    A name that promises a SHA-256 (see :func:`promised_hash`) is held to it, wherever the file comes from.

    Raises:
        DownloadError: it cannot be fetched, read or written, or is not what its name promises.
        OfflineError: it is not on this machine and ``ZOO_OFFLINE`` is set.
    """
    url = os.fspath(url)
    try:
        return _fetch(url, scheme_of(url), progress, open_foreign)
    except ZooError:
        raise
    except (OSError, ValueError) as e:  # an unreadable folder, a name too long, a URL that cannot be parsed
        raise DownloadError(f"Could not open {without_query(url)}: {e}.") from e


def _fetch(url: str, scheme: str, progress: bool, open_foreign: OpenForeign) -> Path:
    if scheme in ("http", "https"):
        return fetch_http(url, progress)
    if scheme == "hf":
        return fetch_from_hub(url, progress)
    if scheme == "pkg":
        path = packaged_file(url)
    elif scheme in ("file", ""):
        path = local_file(url)
    else:
        opened = open_foreign(url, progress)
        if opened is None:
            raise DownloadError(
                f"{url}: nothing here opens {scheme}:// URLs. Known are https://, http://, file:///path, "
                "hf://org/repo/file@revision, pkg://package/path and plain paths; a plugin may serve others."
            )
        path = opened
    promise = promised_hash(url)
    own = scheme in ("file", "") and promise and promise[0].isdigit()  # somebody's own checkpoint-00010000.pth
    if promise and promise[1] and not own and (wrong := verified(path, note_elsewhere(path), url, promise)):
        raise DownloadError(f"{path} is not what its name promises: {wrong}. Get it again, or give it another name.")
    return path
