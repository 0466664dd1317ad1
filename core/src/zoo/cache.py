"""Where files live and how they get there: any URL becomes the path of a local file that is what its name promises.

Downloads share torch's own folder, so what torchvision has fetched is found and the other way round. Beside a file
``NAME`` there may be ``NAME.part`` (an unfinished download, which the next one goes on from) and three hidden ones:
``.NAME.json`` (size, time and SHA-256 when it was last hashed, so that it is hashed once and not at every load),
``.NAME.part.json`` (what the server said of the unfinished file) and ``.NAME.lock``. All of them may be deleted.

Environment variables: ``TORCH_HOME``, ``XDG_CACHE_HOME`` (where the folder is), ``ZOO_OFFLINE=1`` (touch no network),
``ZOO_MIRROR=https://host/prefix`` (ask there instead), ``ZOO_TIMEOUT`` (seconds without data, 15), and those of
huggingface_hub for ``hf://`` (``HF_HOME``, ``HF_ENDPOINT``, ``HF_TOKEN``, …).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from zoo.errors import CacheWarning, DownloadError, OfflineError, ZooError, suggest

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

CHUNK = 1 << 18
SILENCE = 'To silence this: warnings.filterwarnings("ignore", category=zoo.errors.CacheWarning).'

# --- names and places ------------------------------------------------------------------------------------------------


def cache_dir() -> Path:
    """The folder of downloaded files: torch's own, ``~/.cache/torch/hub/checkpoints`` unless configured otherwise.

    ``torch.hub.set_dir``, ``TORCH_HOME`` and ``XDG_CACHE_HOME`` move it, as they do for torch. ``TORCH_MODEL_ZOO``,
    which torch has given up, is used where it is set, with a CacheWarning.
    """
    if old := os.environ.get("TORCH_MODEL_ZOO"):
        advice = "torch itself ignores it: unset it, and set TORCH_HOME to move the cache"
        warnings.warn(f"The cache is TORCH_MODEL_ZOO={old}, but {advice}. {SILENCE}", CacheWarning, stacklevel=1)
        return Path(old).expanduser()
    if hub := getattr(sys.modules.get("torch.hub"), "get_dir", None):
        return Path(hub()) / "checkpoints"
    home = os.environ.get("TORCH_HOME", os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))  # noqa: PTH118
    return Path(home).expanduser() / "hub" / "checkpoints"


def offline() -> bool:
    """Whether ``ZOO_OFFLINE`` forbids to touch the network."""
    return os.environ.get("ZOO_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")


def promised_hash(url: str) -> tuple[str, bool] | None:
    """The beginning of the SHA-256 that a file's name promises, and whether it is binding; None if there is none.

    ``resnet50-0676ba61.pth`` promises (eight hexadecimal digits or more between a hyphen and the extension). A date
    in that place (``best-20240131.pth``) and digits after an underscore (``resnet18_fbgemm_16fa66dd.pth``; letters
    *and* digits, so that a step number is not taken for one) are not binding: a mismatch there warns.
    """
    match = re.search(r"([-_])([0-9a-f]{8,64})(?:\.\w+)+$", _file_name(url))
    if match is None:
        return None
    hyphen, digits = match[1] == "-", match[2]
    if not hyphen and (digits.isdigit() or digits.isalpha()):
        return None
    date = re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", digits)
    return digits, hyphen and date is None


def cached_path(url: str | os.PathLike[str]) -> Path | None:
    """The file of ``url`` if it is on this machine, else None (also for a malformed URL). No network, no hashing."""
    url = os.fspath(url)
    scheme = scheme_of(url)
    path: Path | None = None
    with contextlib.suppress(DownloadError, OSError, ValueError):
        if scheme in ("http", "https"):
            path = target_path(url)
        elif scheme == "hf":
            path = _cached_from_hub(*_parse_hub(url))
        elif scheme == "pkg":
            path = _packaged_file(url)
        elif scheme in ("file", ""):
            path = _local_path(url)
        return path if path and path.is_file() else None
    return None


def scheme_of(url: str) -> str:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.\-]+)://|(file):/", url)  # two letters at least: C:\ is a drive
    return (match[1] or match[2]).lower() if match else ""


def _file_name(url: str) -> str:
    path = urlsplit(url).path if scheme_of(url) in ("http", "https") else url
    if scheme_of(url) == "hf":
        path = path.rpartition("@")[0] or path
    return path.replace("\\", "/").rpartition("/")[2]


def without_query(url: str) -> str:
    return url.partition("?")[0].partition("#")[0]  # a signed URL's query is a secret: not for messages or the disk


def identity(url: str) -> str:
    """``url`` as it is written to disk: a query, which may hold a token, is replaced by its digest."""
    return url if without_query(url) == url else f"{without_query(url)}?{sha256(url.encode()).hexdigest()}"


def target_path(url: str) -> Path:
    """Where the file of an ``https://`` URL is, or will be once it is fetched."""
    name = _file_name(url)
    if name in ("", ".", ".."):
        raise DownloadError(f"{without_query(url)} names no file; expected a URL that ends in a file's name.")
    path = cache_dir() / name
    promise = promised_hash(url)
    if promise and promise[1]:
        return path
    # Half the hub calls its files model.safetensors: a name without a hash belongs to the first URL that took it.
    owner = read_note(note_path(path)).get("url", identity(url))
    return path if owner == identity(url) else path.parent / sha256(url.encode()).hexdigest()[:16] / name


def sha256(data: bytes = b"") -> Any:
    import hashlib  # loads OpenSSL

    return hashlib.sha256(data)


# --- what is known of a file -----------------------------------------------------------------------------------------


def note_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")


def _note_elsewhere(path: Path) -> Path:
    """The note of a file that is not ours: in our cache, not beside it."""
    return cache_dir() / ".verified" / f"{sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json"


def read_note(note: Path) -> dict[str, Any]:
    try:
        facts = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def write_note(note: Path, **facts: Any) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written to is no error: the file is hashed again
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary = note.with_name(f"{note.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            temporary.write_text(json.dumps(facts))
            temporary.replace(note)
        finally:
            temporary.unlink(missing_ok=True)


def hash_file(path: Path, sha: Any) -> os.stat_result:
    with path.open("rb", buffering=0) as f:
        before = os.fstat(f.fileno())
        buffer = memoryview(bytearray(CHUNK))
        while n := f.readinto(buffer):
            sha.update(buffer[:n])
        return before


def verified(path: Path, note: Path, url: str, promise: tuple[str, bool] | None) -> str | None:
    """What is wrong with ``path``, None if nothing is. It is hashed if it changed since it was last hashed."""
    known, stat = read_note(note), path.stat()
    hexdigits, binding = promise or ("", False)
    digest = str(known.get("sha256", ""))
    unchanged = (known.get("size"), known.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns)
    if unchanged and (not binding or digest.startswith(hexdigits)):
        return None
    expected = hexdigits if binding else digest  # without a promise, it must be what was downloaded
    facts: dict[str, Any] = {"url": identity(url)}
    if promise or expected:
        sha = sha256()
        stat = hash_file(path, sha)
        facts["sha256"] = found = sha.hexdigest()
        if not found.startswith(expected):
            return f"its SHA-256 should begin with {expected[:16]} and begins with {found[: len(expected[:16])]}"
        if not expected:
            warn_unless(found, promise, path.name)
    write_note(note, size=stat.st_size, mtime_ns=stat.st_mtime_ns, **facts)
    return None


def warn_unless(digest: str, promise: tuple[str, bool] | None, name: str) -> None:
    if promise and not digest.startswith(promise[0]):
        warnings.warn(
            f"The name of {name} ends in {promise[0]}, which may be the beginning of its SHA-256, but that begins with "
            f"{digest[: len(promise[0])]}. It is used all the same. {SILENCE}",
            CacheWarning,
            stacklevel=2,
        )


# --- any URL ---------------------------------------------------------------------------------------------------------


def fetch(url: str | os.PathLike[str], *, progress: bool = True) -> Path:
    """The path of a local file with the content of ``url``, fetched first if it is not on this machine yet.

    Args:
        url: ``https://…``, ``http://…``, ``hf://org/repo/file@revision``, ``file:///…``, ``pkg://package/path`` (a
            file inside an installed package), a path, or a URL of a scheme that a plugin serves.
        progress: show a progress bar on stderr while downloading, if that is a terminal or a notebook.

    A name that promises a SHA-256 (see :func:`promised_hash`) is held to it, wherever the file comes from.

    Raises:
        DownloadError: it cannot be fetched, read or written, or is not what its name promises.
        OfflineError: it is not on this machine and ``ZOO_OFFLINE`` is set.
    """
    url = os.fspath(url)
    try:
        return _fetch(url, scheme_of(url), progress)
    except ZooError:
        raise
    except (OSError, ValueError) as e:  # an unreadable folder, a name too long, a URL that cannot be parsed
        raise DownloadError(f"Could not open {without_query(url)}: {e}.") from e


def _fetch(url: str, scheme: str, progress: bool) -> Path:
    if scheme in ("http", "https"):
        return _fetch_http(url, progress)
    if scheme == "hf":
        return _fetch_from_hub(url, progress)
    if scheme == "pkg":
        path = _packaged_file(url)
    elif scheme in ("file", ""):
        path = _local_file(url)
    else:
        from zoo.discovery import open_weights

        opened = open_weights(url, progress=progress)
        if opened is None:
            raise DownloadError(
                f"{url}: nothing here opens {scheme}:// URLs. Known are https://, http://, file:///path, "
                "hf://org/repo/file@revision, pkg://package/path and plain paths; a plugin may serve others."
            )
        path = Path(opened)
    promise = promised_hash(url)
    own = scheme in ("file", "") and promise and promise[0].isdigit()  # somebody's own checkpoint-00010000.pth
    if promise and promise[1] and not own and (wrong := verified(path, _note_elsewhere(path), url, promise)):
        raise DownloadError(f"{path} is not what its name promises: {wrong}. Get it again, or give it another name.")
    return path


def _local_path(url: str) -> Path:
    if scheme_of(url) != "file":
        return Path(url).expanduser()
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise DownloadError(f"{url} names the host {parts.netloc!r}; a file on this machine is file:///path/to/file.")
    if os.name == "nt":
        from urllib.request import url2pathname

        return Path(url2pathname(parts.path))
    return Path(unquote(parts.path))


def _local_file(url: str) -> Path:
    path = _local_path(url)
    if path.is_file():
        return path
    if path.is_dir():
        raise DownloadError(f"{path} is a folder; expected a file.")
    close = suggest(path.name, (p.name for p in path.parent.iterdir())) if path.parent.is_dir() else ""
    raise DownloadError(f"There is no file {path}.{close}")


# --- pkg:// ----------------------------------------------------------------------------------------------------------


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


def _packaged_file(url: str) -> Path:
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


# --- hf:// -----------------------------------------------------------------------------------------------------------


def _parse_hub(url: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"hf://([^/@]+/[^/@]+)/([^@]*[^/@])(?:@(.+))?", url, re.IGNORECASE)
    if match is None:
        raise DownloadError(f"{url} is not of the form hf://org/repo/file@revision.")
    return match[1], match[2], match[3] or "main"


def _cached_from_hub(repo: str, name: str, revision: str) -> Path | None:
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


def _fetch_from_hub(url: str, progress: bool) -> Path:
    repo, name, revision = _parse_hub(url)
    path = _cached_from_hub(repo, name, revision)
    wrong = None
    for again in (False, True):
        if path is not None:
            promise = _hub_promise(url, path)
            wrong = verified(path, _note_elsewhere(path), url, promise) if promise else None
            if wrong is None:
                return path
        if again:
            break
        if offline():
            why = f"is in the cache but was altered ({path}: {wrong})" if wrong else "is not in the hub's cache"
            raise _offline(url, why)
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


# --- https:// --------------------------------------------------------------------------------------------------------


def _fetch_http(url: str, progress: bool) -> Path:
    promise = promised_hash(url)
    while True:
        target = target_path(url)
        why = f"is not in the cache (it would be {target})"
        if target.is_file():
            wrong = verified(target, note_path(target), url, promise)
            if wrong is None:
                return target  # without a lock: the cache may be read-only
            why = f"is in the cache but was altered ({target}: {wrong})"
        if offline():
            raise _offline(url, why)
        from zoo import download

        with download.locked(target):
            if target_path(url) != target:
                continue  # while we waited, another URL took the name
            if target.is_file():
                wrong = verified(target, note_path(target), url, promise)
                if wrong is None:
                    return target
                message = f"{target} was altered: {wrong}. It is fetched again and replaced."
                warnings.warn(f"{message} {SILENCE}", CacheWarning, stacklevel=3)
            download.download(url, target, promise, progress)
            return target


def _offline(url: str, why: str) -> OfflineError:
    shown = without_query(url)
    return OfflineError(
        f"{shown} {why}, and ZOO_OFFLINE forbids to fetch it. Run `zoo pull` with the model's name or this URL ahead "
        "of time, where there is a network, or unset ZOO_OFFLINE."
    )
