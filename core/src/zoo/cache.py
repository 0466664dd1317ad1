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
import errno
import json
import os
import re
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, cast
from urllib.parse import quote, unquote, urlsplit

from zoo.errors import CacheWarning, DownloadError, InvalidArgument, OfflineError, ZooError, suggest

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from http.client import HTTPResponse
    from importlib.resources.abc import Traversable

_CHUNK = 1 << 18
_TRIES = 5  # in a row that bring less than _PROGRESS
_PROGRESS = 1 << 20
_PAUSE = 0.5  # seconds before the second try; doubles with each
_WORTH_RETRYING = frozenset({408, 425, 429, 500, 502, 503, 504})
_SILENCE = 'To silence this: warnings.filterwarnings("ignore", category=zoo.errors.CacheWarning).'

# --- names and places ------------------------------------------------------------------------------------------------


def cache_dir() -> Path:
    """The folder of downloaded files: torch's own, ``~/.cache/torch/hub/checkpoints`` unless configured otherwise.

    ``torch.hub.set_dir``, ``TORCH_HOME`` and ``XDG_CACHE_HOME`` move it, as they do for torch. ``TORCH_MODEL_ZOO``,
    which torch has given up, is used where it is set, with a CacheWarning.
    """
    if old := os.environ.get("TORCH_MODEL_ZOO"):
        advice = "torch itself ignores it: unset it, and set TORCH_HOME to move the cache"
        warnings.warn(f"The cache is TORCH_MODEL_ZOO={old}, but {advice}. {_SILENCE}", CacheWarning, stacklevel=1)
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
    scheme = _scheme(url)
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


def _scheme(url: str) -> str:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.\-]+)://|(file):/", url)  # two letters at least: C:\ is a drive
    return (match[1] or match[2]).lower() if match else ""


def _file_name(url: str) -> str:
    path = urlsplit(url).path if _scheme(url) in ("http", "https") else url
    if _scheme(url) == "hf":
        path = path.rpartition("@")[0] or path
    return path.replace("\\", "/").rpartition("/")[2]


def _without_query(url: str) -> str:
    return url.partition("?")[0].partition("#")[0]  # a signed URL's query is a secret: not for messages or the disk


def _identity(url: str) -> str:
    """``url`` as it is written to disk: a query, which may hold a token, is replaced by its digest."""
    return url if _without_query(url) == url else f"{_without_query(url)}?{_sha256(url.encode()).hexdigest()}"


def target_path(url: str) -> Path:
    """Where the file of an ``https://`` URL is, or will be once it is fetched."""
    name = _file_name(url)
    if name in ("", ".", ".."):
        raise DownloadError(f"{_without_query(url)} names no file; expected a URL that ends in a file's name.")
    path = cache_dir() / name
    promise = promised_hash(url)
    if promise and promise[1]:
        return path
    # Half the hub calls its files model.safetensors: a name without a hash belongs to the first URL that took it.
    owner = _read_note(_note(path)).get("url", _identity(url))
    return path if owner == _identity(url) else path.parent / _sha256(url.encode()).hexdigest()[:16] / name


def _sha256(data: bytes = b"") -> Any:
    import hashlib  # loads OpenSSL

    return hashlib.sha256(data)


# --- what is known of a file -----------------------------------------------------------------------------------------


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")


def _note_elsewhere(path: Path) -> Path:
    """The note of a file that is not ours: in our cache, not beside it."""
    return cache_dir() / ".verified" / f"{_sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json"


def _read_note(note: Path) -> dict[str, Any]:
    try:
        facts = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _write_note(note: Path, **facts: Any) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written to is no error: the file is hashed again
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary = note.with_name(f"{note.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            temporary.write_text(json.dumps(facts))
            temporary.replace(note)
        finally:
            temporary.unlink(missing_ok=True)


def _hash(path: Path, sha: Any) -> os.stat_result:
    with path.open("rb", buffering=0) as f:
        before = os.fstat(f.fileno())
        buffer = memoryview(bytearray(_CHUNK))
        while n := f.readinto(buffer):
            sha.update(buffer[:n])
        return before


def _verified(path: Path, note: Path, url: str, promise: tuple[str, bool] | None) -> str | None:
    """What is wrong with ``path``, None if nothing is. It is hashed if it changed since it was last hashed."""
    known, stat = _read_note(note), path.stat()
    hexdigits, binding = promise or ("", False)
    digest = str(known.get("sha256", ""))
    unchanged = (known.get("size"), known.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns)
    if unchanged and (not binding or digest.startswith(hexdigits)):
        return None
    expected = hexdigits if binding else digest  # without a promise, it must be what was downloaded
    facts: dict[str, Any] = {"url": _identity(url)}
    if promise or expected:
        sha = _sha256()
        stat = _hash(path, sha)
        facts["sha256"] = found = sha.hexdigest()
        if not found.startswith(expected):
            return f"its SHA-256 should begin with {expected[:16]} and begins with {found[: len(expected[:16])]}"
        if not expected:
            _warn_unless(found, promise, path.name)
    _write_note(note, size=stat.st_size, mtime_ns=stat.st_mtime_ns, **facts)
    return None


def _warn_unless(digest: str, promise: tuple[str, bool] | None, name: str) -> None:
    if promise and not digest.startswith(promise[0]):
        warnings.warn(
            f"The name of {name} ends in {promise[0]}, which may be the beginning of its SHA-256, but that begins with "
            f"{digest[: len(promise[0])]}. It is used all the same. {_SILENCE}",
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
        return _fetch(url, _scheme(url), progress)
    except ZooError:
        raise
    except (OSError, ValueError) as e:  # an unreadable folder, a name too long, a URL that cannot be parsed
        raise DownloadError(f"Could not open {_without_query(url)}: {e}.") from e


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
    if promise and promise[1] and not own and (wrong := _verified(path, _note_elsewhere(path), url, promise)):
        raise DownloadError(f"{path} is not what its name promises: {wrong}. Get it again, or give it another name.")
    return path


def _local_path(url: str) -> Path:
    if _scheme(url) != "file":
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
    except ImportError as e:
        raise DownloadError(f"{url}: the package {package} cannot be imported ({e}). Is it installed?") from e
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
    if _scheme(url) != "pkg":
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
            wrong = _verified(path, _note_elsewhere(path), url, promise) if promise else None
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
            wrong = _verified(target, _note(target), url, promise)
            if wrong is None:
                return target  # without a lock: the cache may be read-only
            why = f"is in the cache but was altered ({target}: {wrong})"
        if offline():
            raise _offline(url, why)
        with _locked(target):
            if target_path(url) != target:
                continue  # while we waited, another URL took the name
            if target.is_file():
                wrong = _verified(target, _note(target), url, promise)
                if wrong is None:
                    return target
                message = f"{target} was altered: {wrong}. It is fetched again and replaced."
                warnings.warn(f"{message} {_SILENCE}", CacheWarning, stacklevel=3)
            _download(url, target, promise, progress)
            return target


def _offline(url: str, why: str) -> OfflineError:
    shown = _without_query(url)
    return OfflineError(
        f"{shown} {why}, and ZOO_OFFLINE forbids to fetch it. Run `zoo pull` with the model's name or this URL ahead "
        "of time, where there is a network, or unset ZOO_OFFLINE."
    )


def _locked(target: Path) -> AbstractContextManager[Any]:
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(target.with_name(f".{target.name}.lock")).acquire()
    except OSError as e:
        _cannot_write(target, e)


def _cannot_write(target: Path, e: OSError, needed: int | None = None) -> NoReturn:
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        what = f"{target.name} needs {_megabytes(needed)} more" if needed else f"There is no space for {target.name}"
        do = "Free some space, or set TORCH_HOME to a folder on another disk."
        raise DownloadError(f"{what}; {target.parent} has {_megabytes(_free(target.parent))} left. {do}") from e
    raise DownloadError(
        f"Cannot write {target.name} to {target.parent} ({e.strerror or e}). Set TORCH_HOME to a folder that you can "
        "write to."
    ) from e


def _free(folder: Path) -> int:
    import shutil

    return shutil.disk_usage(folder).free


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MB"


def _mirrored(url: str) -> str:
    mirror = os.environ.get("ZOO_MIRROR", "").strip().rstrip("/")
    if mirror:
        if _scheme(mirror) not in ("http", "https"):
            raise InvalidArgument(f"ZOO_MIRROR={mirror} is no URL; expected https://host or https://host/prefix.")
        parts = urlsplit(url)
        url = mirror + (parts._replace(scheme="", netloc="").geturl() or "/")
    return quote(url, safe="%/:=&?~#+!$,;'@()*[]")


def _timeout() -> float:
    given = os.environ.get("ZOO_TIMEOUT") or "15"
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise InvalidArgument(f"ZOO_TIMEOUT={given}; expected a number of seconds above 0.")
    return seconds


class _Part:
    """An unfinished download: the file, the digest of what is in it, and what the server said of the whole."""

    def __init__(self, target: Path, source: str, bound: bool) -> None:
        self.target, self.source, self.bound = target, _identity(source), bound
        self.path = target.with_name(f"{target.name}.part")
        self.note = target.with_name(f".{target.name}.part.json")
        self.sha, self.size = _sha256(), 0
        about = _read_note(self.note)
        same = about.get("url") == self.source
        self.validator: str | None = about.get("validator") if same else None
        self.total: int | None = about.get("total") if same else None
        try:
            self.file = self.path.open("ab", buffering=0)  # unbuffered: what was received survives a SIGKILL
            self.size = self.path.stat().st_size
            if self.size and self.resumable:
                _hash(self.path, self.sha)
            else:
                self.restart()
        except OSError as e:
            _cannot_write(target, e)

    @property
    def resumable(self) -> bool:
        """Where the name promises no hash, only the server can tell that its file is still the same."""
        return self.bound or self.validator is not None

    def restart(self) -> None:
        if self.path.stat().st_size:
            self.file.truncate(0)
        self.sha, self.size, self.validator, self.total = _sha256(), 0, None, None

    def headers(self) -> dict[str, str]:
        from zoo import __version__

        headers = {"User-Agent": f"zoo/{__version__}"}
        if self.size:
            headers["Range"] = f"bytes={self.size}-"
            if self.validator:
                headers["If-Range"] = self.validator
        return headers

    def accept(self, response: HTTPResponse) -> bool:
        """Get ready for the body of ``response``. False if it does not continue what is there: ask again."""
        etag = response.headers.get("ETag", "")
        validator = (etag if etag and not etag.startswith("W/") else None) or response.headers.get("Last-Modified")
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
        if response.status == 206:
            match = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            total = int(match[2]) if match and match[2] != "*" else None
            same = (self.validator or validator) == (validator or self.validator)  # a 206 may leave Last-Modified out
            same = same and (self.total or total) == (total or self.total)
            if match is None or int(match[1]) != self.size or not same:
                self.restart()
                return False
            validator, total = validator or self.validator, total or self.total
        else:
            self.restart()  # a server without ranges, or a file that changed: all of it comes again
        self.validator, self.total = validator, total
        _write_note(self.note, url=self.source, validator=validator, total=total)
        needed = (total or 0) - self.size
        if needed > _free(self.target.parent):
            _cannot_write(self.target, OSError(errno.ENOSPC, "no space"), needed)
        return True

    def write(self, chunk: bytes) -> None:
        try:
            view = memoryview(chunk)
            while view:  # an unbuffered write may take a part of it
                view = view[self.file.write(view) or 0 :]
        except OSError as e:
            if e.errno in (errno.ENOSPC, errno.EDQUOT):
                self.discard()  # a full disk hurts more than having to start again
            _cannot_write(self.target, e, (self.total or self.size + len(chunk)) - self.size)
        self.sha.update(chunk)
        self.size += len(chunk)

    def discard(self) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Move the file into place, and remember that it was verified."""
        try:
            os.fsync(self.file.fileno())
            self.file.close()
            self.path.replace(self.target)
        except OSError as e:
            _cannot_write(self.target, e)
        self.note.unlink(missing_ok=True)


def _download(url: str, target: Path, promise: tuple[str, bool] | None, progress: bool) -> None:
    """Fetch ``url`` into ``target``, which the caller has locked."""
    source = _mirrored(url)
    expected = promise[0] if promise and promise[1] else ""
    for again in (False, True):
        part = _Part(target, source, bound=bool(expected))
        with contextlib.closing(part.file):
            if not (expected and part.sha.hexdigest().startswith(expected)):  # else it was complete, only not renamed
                _receive(source, part, progress)
            digest = part.sha.hexdigest()
            if digest.startswith(expected):
                part.finish()
                break
            part.discard()
            if again:
                raise DownloadError(
                    f"{_without_query(source)} is not what its name promises: its SHA-256 should begin with {expected} "
                    f"and begins with {digest[: len(expected)]}. It was fetched twice and deleted. If a proxy or a "
                    "mirror stands between, it alters files; ZOO_MIRROR=https://… asks another host."
                )
    stat = target.stat()
    _write_note(_note(target), url=_identity(url), size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=digest)
    _warn_unless(digest, promise, target.name)


def _receive(source: str, part: _Part, progress: bool) -> None:
    """Fill ``part`` with what ``source`` serves; where it breaks off, go on from there."""
    from http.client import HTTPException, IncompleteRead, InvalidURL
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from tqdm import tqdm

    visible = progress and ("ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty()))
    failures, furthest = 0, part.size
    with tqdm(desc=part.target.name, unit="B", unit_scale=True, unit_divisor=1024, disable=not visible) as bar:
        while True:
            pause = _PAUSE * 2**failures
            error: Exception
            try:
                with urlopen(Request(source, headers=part.headers()), timeout=_timeout()) as response:
                    _refuse_page(source, part.target, response)
                    if part.accept(response):
                        bar.total, bar.n = part.total, part.size
                        bar.refresh()
                        while chunk := response.read1(_CHUNK):
                            part.write(chunk)
                            bar.update(len(chunk))
                        if part.total is None or part.size == part.total:
                            return
                        raise IncompleteRead(b"", part.total - part.size)
                    error, pause = IncompleteRead(b""), 0.0
            except DownloadError:
                raise
            except (OSError, HTTPException) as e:
                error = e
                if isinstance(e, HTTPError):
                    e.close()
                    if e.code == 416:  # the server has no more than is here, yet this is not the file
                        part.restart()
                        pause = 0.0
                    elif e.code not in _WORTH_RETRYING:
                        raise _network_error(source, part, e) from e
                    pause = max(pause, _asked_to_wait(e.headers.get("Retry-After", "")))
                elif isinstance(e, InvalidURL) or _is_certificate(e):
                    raise _network_error(source, part, e) from e
            # Any progress earns new tries, but only beyond where an earlier one has been: a server without ranges
            # that always breaks off at the same place is given up.
            failures = 0 if part.size >= furthest + _PROGRESS else failures + 1
            furthest = max(furthest, part.size)
            if failures >= _TRIES:
                raise _network_error(source, part, error) from error
            if not part.resumable:
                part.restart()
            time.sleep(pause)


def _refuse_page(source: str, target: Path, response: HTTPResponse) -> None:
    if response.status not in (200, 206):
        raise DownloadError(f"{_without_query(source)}: the server answered {response.status} and no file.")
    if response.headers.get_content_type() == "text/html" and target.suffix.lower() not in (".html", ".htm"):
        raise DownloadError(
            f"{_without_query(source)}: the server answered with a web page in place of the file. Open the address in "
            "a browser to see what it wants (a login, a confirmation)."
        )


def _asked_to_wait(seconds: str) -> float:
    return min(float(seconds), 60.0) if seconds.isdigit() else 0.0


def _is_certificate(e: Exception) -> bool:
    from ssl import SSLCertVerificationError

    return isinstance(e, SSLCertVerificationError) or isinstance(getattr(e, "reason", None), SSLCertVerificationError)


def _network_error(source: str, part: _Part, e: Exception) -> DownloadError:
    from http.client import IncompleteRead
    from urllib.error import HTTPError

    reason = getattr(e, "reason", e)
    do = "Check the connection and the proxy settings (HTTPS_PROXY)"
    if isinstance(e, HTTPError):
        what = f"the server answered {e.code} {e.reason}"
        if e.code in (404, 410):
            do = "Check the URL"
        elif e.code in (401, 403):
            do = "The file is not public, or this network is barred from it"
    elif _is_certificate(e):
        what = f"the server's certificate cannot be verified ({reason})"
        do = "If a proxy of yours signs connections, name its certificate in SSL_CERT_FILE"
    elif isinstance(reason, TimeoutError):
        what = f"no data came for {_timeout():g} seconds (ZOO_TIMEOUT)"
    elif isinstance(e, IncompleteRead):
        what = f"the connection broke off after {part.size} of {part.total or 'an unknown number of'} bytes"
    else:
        what = str(reason) or type(e).__name__
    kept = " What has arrived is kept; the next try goes on from there." if part.size else ""
    return DownloadError(
        f"Could not download {_without_query(source)}: {what}. {do}, or set ZOO_MIRROR=https://… to a host that has "
        f"the file, or put it at {part.target} yourself.{kept}"
    )
