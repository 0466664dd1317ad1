"""``hf://`` URLs, through the hub's own cache."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import Any

from zoo.errors import DownloadError
from zoo.files.http import offline_error
from zoo.files.names import offline, promised_hash
from zoo.files.notes import note_elsewhere, verified


def parse_hub(url: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"hf://([^/@]+/[^/@]+)/([^@]*[^/@])(?:@(.+))?", url, re.IGNORECASE)
    if match is None:
        raise DownloadError(f"{url} is not of the form hf://org/repo/file@revision.")
    return match[1], match[2], match[3] or "main"


def cached_from_hub(repo: str, name: str, revision: str) -> Path | None:
    """Reads the documented layout of the hub's cache: importing huggingface_hub is slow and may make a request."""
    env = os.environ
    if loaded := sys.modules.get("huggingface_hub.constants"):
        cache = Path(loaded.HF_HUB_CACHE)
    else:
        home = env.get("HF_HOME", os.path.join(env.get("XDG_CACHE_HOME", "~/.cache"), "huggingface"))  # noqa: PTH118
        cache = Path(env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE") or Path(home, "hub")).expanduser()
    folder = cache / f"models--{repo.replace('/', '--')}"
    with contextlib.suppress(OSError):
        revision = (folder / "refs" / revision).read_text().strip()
    path = folder / "snapshots" / revision / name
    return path if path.is_file() else None


def _hub_promise(url: str, path: Path) -> tuple[str, bool] | None:
    blob = path.resolve().name  # the hub's cache names large files by their whole SHA-256
    return (blob, True) if re.fullmatch(r"[0-9a-f]{64}", blob) else promised_hash(url)


def fetch_from_hub(url: str, progress: bool) -> Path:
    repo, name, revision = parse_hub(url)
    path = cached_from_hub(repo, name, revision)
    wrong = None
    for again in (False, True):
        if path is not None:
            promise = _hub_promise(url, path)
            wrong = verified(path, note_elsewhere(path), url, promise) if promise else None
            if wrong is None:
                return path
        if again:
            break
        if offline():
            why = f"is in the cache but was altered ({path}: {wrong})" if wrong else "is not in the hub's cache"
            raise offline_error(url, why)
        path = _download_from_hub(url, repo, name, revision, progress, replace=wrong is not None)
    raise DownloadError(f"{url} is not what its name promises: {wrong}. It was fetched again; try another revision.")


def _download_from_hub(url: str, repo: str, name: str, revision: str, progress: bool, replace: bool) -> Path:
    import huggingface_hub.errors
    import huggingface_hub.utils

    bars: Any = huggingface_hub.utils
    # The hub's HTTP library has changed twice; the error it raises on a broken connection is a base of this class.
    bases: tuple[Any, ...] = huggingface_hub.errors.HfHubHTTPError.__mro__
    errors: tuple[type[Exception], ...] = (*bases[: bases.index(Exception)], OSError, ValueError)
    quiet = not progress and not bars.are_progress_bars_disabled()
    if quiet:
        bars.disable_progress_bars()
    try:
        return Path(huggingface_hub.hf_hub_download(repo, name, revision=revision, force_download=replace))
    except errors as e:
        raise DownloadError(
            f"Could not fetch {url}: {e}\nCheck the name, the connection and, for a private repository, HF_TOKEN; "
            "HF_ENDPOINT=https://… asks another host."
        ) from e
    finally:
        if quiet:
            bars.enable_progress_bars()
