"""Any URL becomes the path of a local file with a verified hash."""

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

# Weights in formats that nothing here reads, or that repeat the safetensors of a repository.
_OTHER_FORMS = (".h5", ".msgpack", ".ot", ".onnx", ".onnx_data", ".tflite", ".gguf", ".mlmodel")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")

OpenForeign = Callable[[str, bool], Path | None]


def cached_path(url: str | os.PathLike[str]) -> Path | None:
    """The file of ``url`` if it is on this machine, else None (also for a malformed URL).

    Uses no network and runs no package's code. Only files that another program has downloaded, with names that end in
    digits after an underscore, are hashed.
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
    """The path of a local file with the content of ``url``, downloaded if it is not on this machine.

    Args:
        url: ``https://…``, ``http://…``, ``hf://org/repo/file@revision``, ``file:///…``, ``pkg://package/path`` (a
            file inside an installed package), a path, or a URL of a scheme that ``open_foreign`` supports.
        progress: show a progress bar on stderr while downloading, if it is a terminal or a notebook.
        force: download it again even if it is in the cache.
        sha256: the file's full SHA-256, 64 hexadecimal digits, if it is known; it is checked.
        license: of the file, for a policy that allows only some.
        open_foreign: ``open_foreign(url, progress) → path or None``, called for any other scheme.
            :func:`zoo.registry.fetch` passes :func:`zoo.registry.open_weights`, which calls the plugins.

    A SHA-256 in the name (see :func:`promised_hash`) is checked for files from any source.

    Raises:
        DownloadError: it cannot be downloaded, read or written, or does not match the hash in its name.
        OfflineError: it is not on this machine and ``ZOO_OFFLINE`` is set.
        PolicyError: ``ZOO_POLICY`` or ``ZOO_LOCK`` do not allow it.
        InvalidArgument: ``sha256`` or an environment variable is invalid.
    """
    url = os.fspath(url)
    try:
        rules, locked = policy(), locked_file(url)
        rules.check_wanted(url, license)
        path = _fetch(
            url, scheme_of(url), progress, force, _promise(url, sha256, locked.sha256 if locked else None), open_foreign
        )
        rules.check_content(url, path)
        return path
    except ZooError:
        raise
    except OSError as e:  # an unreadable folder
        raise DownloadError(f"Could not open {redacted(url)}: {redacted(e)}.") from e
    except ValueError:  # its message shows what could not be parsed
        raise DownloadError(f"{redacted(url)} cannot be read as a URL or a path.") from None


def _promise(url: str, *given: str | None) -> Promise:
    """The hash to check: a known full hash, else the beginning of one in the file's name."""
    promise = promised_hash(url)
    for sha in filter(None, given):
        if not re.fullmatch(r"[0-9a-fA-F]{64}", sha):
            raise InvalidArgument(f"sha256={sha!r} of {redacted(url)}; expected 64 hexadecimal digits.")
        if promise and promise[1] and not sha.lower().startswith(promise[0]):
            raise InvalidArgument(
                f"{redacted(url)} should have the SHA-256 {sha}, but its name or its note says "
                f"{promise[0]}. If you replaced the URL of weights, replace their sha256 too."
            )
        promise = sha.lower(), True
    return promise


def _fetch(url: str, scheme: str, progress: bool, force: bool, promise: Promise, open_foreign: OpenForeign) -> Path:
    if scheme in ("http", "https"):
        if re.search(r"[\s\"<>`]", url.partition("?")[2]):  # a message could not determine where the secret ends
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
                f"{redacted(url)}: no installed plugin opens {scheme}:// URLs. Supported are https://, http://, "
                "file:///path, hf://org/repo/file@revision, pkg://package/path and paths; a plugin may add others."
            )
        path = opened
    own = scheme in ("file", "") and promise and promise[0].isdigit()  # a user's checkpoint-00010000.pth
    if promise and promise[1] and not own and (wrong := verified(path, note_elsewhere(path), url, promise)):
        raise DownloadError(f"{path} does not match the hash in its name: {wrong}. Get it again, or rename it.")
    return path


def hub_snapshot(url: str, names: list[str], progress: bool = True) -> Path:
    """The folder of ``hf://org/name@commit``, after its files are downloaded, except pickles beside safetensors and
    formats of other frameworks.

    Args:
        url: the repository at a commit, as :func:`hub_listing` returns it.
        names: of its files.
        progress: show progress bars.

    Raises:
        DownloadError, PolicyError: as for :func:`zoo.files.fetch`; also if there is no file to download.
    """
    left_out = _OTHER_FORMS + (_PICKLES if any(name.endswith(".safetensors") for name in names) else ())
    wanted = [name for name in names if not name.lower().endswith(left_out) and not name.startswith(".")]
    if not wanted:
        raise DownloadError(f"{redacted(url)} has no file of a model.")
    repository, _, commit = url.partition("@")
    for name in wanted:
        fetch(f"{repository}/{name}@{commit}", progress=progress)
    return hub_folder(repository.removeprefix("hf://")) / "snapshots" / commit
