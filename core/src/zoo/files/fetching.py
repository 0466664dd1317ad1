"""Any URL becomes the path of a local file that is what its name promises."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from zoo.errors import DownloadError, InvalidArgument, ZooError
from zoo.files.http import Promise, fetch_http, target_path
from zoo.files.hub import cached_from_hub, fetch_from_hub, hub_folder, parse_hub
from zoo.files.local import local_file, local_path, packaged_file
from zoo.files.lockfile import locked_file
from zoo.files.names import promised_hash, scheme_of
from zoo.files.notes import note_elsewhere, verified
from zoo.files.policy import policy
from zoo.files.redaction import redacted

# Weights in forms that nothing here reads, or whose tensors a repository with safetensors has in those too.
_OTHER_FORMS = (".h5", ".msgpack", ".ot", ".onnx", ".onnx_data", ".tflite", ".gguf", ".mlmodel")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")

OpenForeign = Callable[[str, bool], Path | None]


def cached_path(url: str | os.PathLike[str]) -> Path | None:
    """The file of ``url`` if it is on this machine, else None (also for a malformed URL).

    No network, and no package's code is run. Hashed is only what another program has downloaded under a name that
    ends in digits after an underscore.
    """
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
    url: str | os.PathLike[str],
    *,
    progress: bool = True,
    force: bool = False,
    sha256: str | None = None,
    license: str = "unknown",  # noqa: A002  the field's name
    open_foreign: OpenForeign = lambda url, progress: None,
) -> Path:
    """The path of a local file with the content of ``url``, fetched first if it is not on this machine yet.

    Args:
        url: ``https://…``, ``http://…``, ``hf://org/repo/file@revision``, ``file:///…``, ``pkg://package/path`` (a
            file inside an installed package), a path, or a URL of a scheme that ``open_foreign`` serves.
        progress: show a progress bar on stderr while downloading, if that is a terminal or a notebook.
        force: fetch it again, whatever the cache has.
        sha256: the file's whole SHA-256, 64 hexadecimal digits, where it is known; it is held to them.
        license: of the file, for a policy that allows only some.
        open_foreign: ``open_foreign(url, progress) → path or None``, asked for any other scheme. That of the plugins
            is :func:`zoo.registry.open_weights`; :func:`zoo.registry.fetch` asks it.

    A name that promises a SHA-256 (see :func:`promised_hash`) is held to it, wherever the file comes from.

    Raises:
        DownloadError: it cannot be fetched, read or written, or is not what its name promises.
        OfflineError: it is not on this machine and ``ZOO_OFFLINE`` is set.
        PolicyError: ``ZOO_POLICY`` or ``ZOO_LOCK`` do not allow it.
        InvalidArgument: ``sha256`` or an environment variable is not what it should be.
    """
    url = os.fspath(url)
    try:
        rules, entry = policy(), locked_file(url)
        rules.check_wanted(url, license)
        path = _fetch(
            url, scheme_of(url), progress, force, _promise(url, sha256, entry.sha256 if entry else None), open_foreign
        )
        rules.check_content(url, path)
        return path
    except ZooError:
        raise
    except OSError as e:  # an unreadable folder
        raise DownloadError(f"Could not open {redacted(url)}: {redacted(e)}.") from e
    except ValueError:  # whose message shows what could not be parsed
        raise DownloadError(f"{redacted(url)} cannot be read as a URL or a path.") from None


def _promise(url: str, *given: str | None) -> Promise:
    """What the file is held to: a whole hash that is known, else the beginning of one in its name."""
    promise = promised_hash(url)
    for sha in filter(None, given):
        if not re.fullmatch(r"[0-9a-fA-F]{64}", sha):
            raise InvalidArgument(f"sha256={sha!r} of {redacted(url)}; expected 64 hexadecimal digits.")
        if promise and promise[1] and not sha.lower().startswith(promise[0]):
            raise InvalidArgument(
                f"{redacted(url)} should have the SHA-256 {sha}, but its name or what else is known of it says "
                f"{promise[0]}. Where the URL of weights was replaced, replace their sha256 too."
            )
        promise = sha.lower(), True
    return promise


def _fetch(url: str, scheme: str, progress: bool, force: bool, promise: Promise, open_foreign: OpenForeign) -> Path:
    if scheme in ("http", "https"):
        if re.search(r"[\s\"<>`]", url.partition("?")[2]):  # where a message would not know where the secret ends
            raise DownloadError(f"{redacted(url.partition('?')[0])}: its query has spaces or quotes; write %20, %22.")
        return fetch_http(url, progress, force, promise)
    if scheme == "hf":
        return fetch_from_hub(url, progress, force, promise)
    if scheme == "pkg":
        path = packaged_file(url)
    elif scheme in ("file", ""):
        path = local_file(url)
    else:
        policy().check_address(url)
        opened = open_foreign(url, progress)
        if opened is None:
            raise DownloadError(
                f"{redacted(url)}: nothing here opens {scheme}:// URLs. Known are https://, http://, file:///path, "
                "hf://org/repo/file@revision, pkg://package/path and plain paths; a plugin may serve others."
            )
        path = opened
    own = scheme in ("file", "") and promise and promise[0].isdigit()  # somebody's own checkpoint-00010000.pth
    if promise and promise[1] and not own and (wrong := verified(path, note_elsewhere(path), url, promise)):
        raise DownloadError(f"{path} is not what its name promises: {wrong}. Get it again, or give it another name.")
    return path


def hub_snapshot(url: str, names: list[str], progress: bool = True) -> Path:
    """The folder of ``hf://org/name@commit`` with its files, which are fetched; pickles are not where there are
    safetensors, nor what no torch reads.

    Args:
        url: the repository at a commit, as :func:`hub_listing` says it.
        names: of its files.
        progress: show progress bars.

    Raises:
        DownloadError, PolicyError: as :func:`zoo.files.fetch`; also where there is nothing to fetch.
    """
    left_out = _OTHER_FORMS + (_PICKLES if any(name.endswith(".safetensors") for name in names) else ())
    wanted = [name for name in names if not name.lower().endswith(left_out) and not name.startswith(".")]
    if not wanted:
        raise DownloadError(f"{redacted(url)} has no file that could be of a model.")
    repository, _, commit = url.partition("@")
    for name in wanted:
        fetch(f"{repository}/{name}@{commit}", progress=progress)
    return hub_folder(repository.removeprefix("hf://")) / "snapshots" / commit
