"""``hf://`` URLs, through the hub's own cache."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import Any

from zoo.errors import DownloadError
from zoo.files.http import Promise, offline_error
from zoo.files.names import check_names, offline, scheme_of
from zoo.files.notes import note_elsewhere, verified
from zoo.files.policy import Policy, policy
from zoo.files.redaction import redacted


def endpoint_of_hub() -> str:
    return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def parse_hub(url: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"hf://([^/@]+/[^/@]+)/([^@]*[^/@])(?:@(.+))?", url, re.IGNORECASE)
    if match is None:
        raise DownloadError(f"{redacted(url)} is not of the form hf://org/repo/file@revision.")
    repo, name, revision = match[1], match[2], match[3] or "main"
    for path in (repo, name, revision):
        check_names(path.split("/"), url)
    return repo, name, revision


def hub_folder(repo: str) -> Path:
    """The documented layout of the hub's cache: importing huggingface_hub is slow and may make a request."""
    env = os.environ
    if loaded := sys.modules.get("huggingface_hub.constants"):
        cache = Path(loaded.HF_HUB_CACHE)
    else:
        home = env.get("HF_HOME", os.path.join(env.get("XDG_CACHE_HOME", "~/.cache"), "huggingface"))  # noqa: PTH118
        cache = Path(env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE") or Path(home, "hub")).expanduser()
    return cache / f"models--{repo.replace('/', '--')}"


def cached_from_hub(repo: str, name: str, revision: str) -> Path | None:
    folder = hub_folder(repo)
    with contextlib.suppress(OSError):
        revision = (folder / "refs" / revision).read_text().strip()
    path = folder / "snapshots" / revision / name
    return path if path.is_file() else None


def commit_of(url: str, path: Path) -> str:
    """The commit that the revision of ``url`` named when ``path`` was downloaded."""
    return path.relative_to(hub_folder(parse_hub(url)[0]) / "snapshots").parts[0]


def resolved(url: str, path: Path) -> str:
    """``url``, with the commit that its branch or tag named when ``path`` was downloaded, if ``path`` is in the hub's
    cache."""
    if scheme_of(url) != "hf":
        return url
    repo, name, revision = parse_hub(url)
    with contextlib.suppress(ValueError):  # not in the hub's cache
        revision = commit_of(url, path)
    return f"hf://{repo}/{name}@{revision}"


def place_in_hub(url: str, commit: str) -> Path:
    """The path of the file of ``url`` in the hub's cache, after recording that its revision names ``commit``."""
    repo, name, revision = parse_hub(url)
    check_names([commit], url)
    _note_commit(hub_folder(repo), revision, commit)
    return hub_folder(repo) / "snapshots" / commit / name


def _note_commit(folder: Path, revision: str, commit: str) -> None:
    if revision != commit:
        ref = folder / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit)


def _hub_promise(path: Path, promise: Promise) -> Promise:
    blob = path.resolve().name  # the hub's cache names large files by their full SHA-256
    named = bool(re.fullmatch(r"[0-9a-f]{64}", blob))
    return (blob, True) if named and not (promise and promise[1] and len(promise[0]) == 64) else promise


def fetch_from_hub(url: str, progress: bool, force: bool, promise: Promise) -> Path:
    repo, name, revision = parse_hub(url)
    rules = policy()
    rules.check_address(endpoint_of_hub())
    path = None if force else cached_from_hub(repo, name, revision)
    wrong = None
    for again in (False, True):
        if path is not None:
            kept = _hub_promise(path, promise)
            wrong = verified(path, note_elsewhere(path), url, kept) if kept else None
            if wrong is None:
                return path
        if again:
            break
        if offline():
            why = f"is in the cache but was altered ({path}: {wrong})" if wrong else "is not in the hub's cache"
            raise offline_error(url, why)
        path = _download_from_hub(url, repo, name, revision, progress, force or wrong is not None, rules)
    raise DownloadError(
        f"{url} does not match the hash in its name: {wrong}. It was downloaded again; try another revision."
    )


def _download_from_hub(
    url: str, repo: str, name: str, revision: str, progress: bool, replace: bool, rules: Policy
) -> Path:
    from zoo.files.reaching import check_reachable

    check_reachable(endpoint_of_hub(), url)
    import huggingface_hub.utils

    bars: Any = huggingface_hub.utils
    quiet = not progress and not bars.are_progress_bars_disabled()
    if quiet:
        bars.disable_progress_bars()
    try:
        if rules.max_download is not None:
            about = huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repo, name, revision=revision))
            rules.check_size(url, about.size)
        return Path(huggingface_hub.hf_hub_download(repo, name, revision=revision, force_download=replace))
    except DownloadError:
        raise
    except Exception as e:  # noqa: BLE001
        # The hub's library lets the errors of its HTTP library through, which has changed twice. They are not chained,
        # since they show signed addresses.
        raise DownloadError(
            f"Could not download {url}: {_reason(e)}; check the name, the revision, the connection and, for a private "
            "repository, HF_TOKEN, or set HF_ENDPOINT=https://… to use another host."
        ) from None
    finally:
        if quiet:
            bars.enable_progress_bars()


def _reason(e: Exception) -> str:
    if isinstance(e, FileNotFoundError) and isinstance(e.__cause__, Exception):
        e = e.__cause__  # its own message says that the file is not in the cache either
    status = getattr(getattr(e, "response", None), "status_code", None)
    said = {
        401: "there is no such repository, or it is private",
        403: "access to it is refused (its terms may have to be accepted on its page)",
        404: "the hub has no such repository, revision or file",
        429: "the hub's rate limit is reached (429)",
    }
    if status in said:
        return said[status]
    if status is not None:
        return f"the hub answered {status}"
    sentence = re.split(r"(?<=\w)[.:;]?(?:\s*\n|\.\s)", str(e).strip(), maxsplit=1)[0]
    return redacted(f"{type(e).__name__}: {sentence}".rstrip(" .:"))


def _parse_repository(url: str) -> tuple[str, str]:
    address, at, wanted = url.partition("@")
    repo, _, revision = parse_hub(f"{address}/x{at}{wanted}")
    return repo, revision


def hub_fetched(url: str, commit: str) -> None:
    """Record which commit ``hf://org/name[@revision]`` named when its files were downloaded, for use without a
    network."""
    repo, revision = _parse_repository(url)
    check_names([commit], url)
    with contextlib.suppress(OSError):  # a read-only cache
        _note_commit(hub_folder(repo), revision, commit)


def hub_listing(url: str) -> tuple[str, list[str]]:
    """The commit of ``hf://org/name[@revision]``, and the names of its files.

    Raises:
        DownloadError: there is no such repository or revision, or the hub cannot be reached.
        OfflineError: ``ZOO_OFFLINE`` is set and it is not in the hub's cache.
        PolicyError: ``ZOO_POLICY`` does not allow the request.
    """
    repo, revision = _parse_repository(url)
    policy().check_address(endpoint_of_hub())
    if offline():
        folder = hub_folder(repo)
        with contextlib.suppress(OSError):
            revision = (folder / "refs" / revision).read_text().strip()
        snapshot = folder / "snapshots" / revision
        if not snapshot.is_dir():
            raise offline_error(url, "is not in the hub's cache")
        return revision, [file.relative_to(snapshot).as_posix() for file in snapshot.rglob("*") if file.is_file()]
    from zoo.files.reaching import check_reachable

    check_reachable(endpoint_of_hub(), url)
    import huggingface_hub

    try:
        about = huggingface_hub.HfApi().model_info(repo, revision=revision)
    except Exception as e:  # noqa: BLE001  as above
        raise DownloadError(
            f"Could not list {url}: {_reason(e)}; check the name, the revision, the connection and, for a "
            "private repository, HF_TOKEN."
        ) from None
    return str(about.sha), [file.rfilename for file in about.siblings or ()]
