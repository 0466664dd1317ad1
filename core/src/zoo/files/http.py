"""Downloads a file from a server into the cache, complete and with a verified hash.

Data is written to ``NAME.part`` and hashed as it arrives. An interrupted download is resumed, in this process or a
later one; only a complete file with the right hash gets its name.
"""

from __future__ import annotations

import contextlib
import re
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import CacheWarning, DownloadError, OfflineError
from zoo.files import receiving
from zoo.files.names import SILENCE, cache_dir, check_names, file_name, identity, offline, promised_hash, sha256
from zoo.files.notes import CHUNK, full_hash, note_path, read_note, verified, warn_unless
from zoo.files.part import Part
from zoo.files.policy import policy
from zoo.files.redaction import redacted

if TYPE_CHECKING:
    from http.client import HTTPResponse

Promise = tuple[str, bool] | None


def target_path(url: str) -> Path:
    """The path of the file of an ``https://`` URL, whether or not it is downloaded."""
    (name,) = check_names([file_name(url)], url)
    if name.startswith(".") or re.search(r"\.(part|lock)$|^[0-9a-f]{16}$", name, re.IGNORECASE):
        name = f"_{name}_"  # names of notes, locks, unfinished files and the folders below are reserved
    path = cache_dir() / name
    promise = promised_hash(url)
    if promise and promise[1]:
        return path
    # Many files are called model.safetensors: a name without a hash belongs to the first URL that used it, which is in
    # its note. A file without a note was not written by zoo.
    known, asked = read_note(note_path(path)), identity(url)
    if known.get("url") == asked and "sha256" in known:
        return path
    own: Path = path.parent / sha256(asked.encode()).hexdigest()[:16] / name
    if "url" in known or own.is_file():
        return own
    if not path.is_file() or (promise and full_hash(path).startswith(promise[0])):
        return path
    return own


def fetch_http(url: str, progress: bool, force: bool, promise: Promise) -> Path:
    """``promise`` is that of the name, or a full hash that is known otherwise."""
    rules = policy()
    if rules.https_only or rules.allowed_hosts is not None:  # files in the cache came from there too
        from zoo.files.connection import mirrored

        rules.check_address(mirrored(url))
    while True:
        target = target_path(url)
        why = "was to be downloaded again" if force else f"is not in the cache (it would be {target})"
        if target.is_file() and not force:
            wrong = verified(target, note_path(target), url, promise)
            if wrong is None:
                return target  # without a lock: the cache may be read-only
            why = f"is in the cache but was altered ({target}: {wrong})"
        if offline():
            raise offline_error(url, why)
        from zoo.files import http, lock

        with lock.locked(target):
            if target_path(url) != target:
                continue  # another URL took the name meanwhile
            if target.is_file() and not force:
                wrong = verified(target, note_path(target), url, promise)
                if wrong is None:
                    return target
                message = f"{target} was altered: {wrong}. It is downloaded again and replaced."
                warnings.warn(f"{message} {SILENCE}", CacheWarning, stacklevel=3)
            http.download(url, target, promise, progress, force)
            return target


def offline_error(url: str, why: str) -> OfflineError:
    return OfflineError(
        f"{redacted(url)} {why}, and ZOO_OFFLINE forbids downloading it. Run `zoo pull` with the model's name or this "
        "URL ahead of time, with a network, or unset ZOO_OFFLINE."
    )


TRIES = 5  # consecutive tries that receive less than PROGRESS
PROGRESS = 1 << 20
PAUSE = 0.5  # seconds before the second try; doubles with each
_WORTH_RETRYING = frozenset({408, 425, 429, 500, 502, 503, 504})


def download(url: str, target: Path, promise: Promise, progress: bool, restart: bool = False) -> None:
    """Download ``url`` to ``target``, which the caller has locked."""
    from zoo.files.connection import mirrored

    source = mirrored(url)
    expected = promise[0] if promise and promise[1] else ""
    for again in (False, True):
        part = Part(url, target, source, bound=bool(expected))
        with contextlib.closing(part.file), part.nothing_left():
            if restart and not again:
                part.restart()
            if not (expected and part.sha.hexdigest().startswith(expected)):  # else it was complete, only not renamed
                _receive(source, part, progress)
            digest = part.sha.hexdigest()
            if not (expected and digest.startswith(expected)):
                _refuse_content(source, part)
            if digest.startswith(expected):
                part.finish()
                break
            part.discard()
            if again:
                raise DownloadError(
                    f"{redacted(source)} does not match the hash in its name: its SHA-256 should begin with {expected} "
                    f"and begins with {digest[: len(expected)]}. It was downloaded twice and deleted. If a proxy or a "
                    "mirror is in use, it alters files; ZOO_MIRROR=https://… selects another host."
                )
    warn_unless(digest, promise, target.name)


def install(url: str, target: Path, chunks: Iterable[bytes], expected: str) -> None:
    """Store a file that was not downloaded as the file of ``url``, if its SHA-256 is ``expected``."""
    from zoo.files.lock import locked

    with locked(target):
        part = Part(url, target, url, bound=True)
        with contextlib.closing(part.file):
            part.restart()
            for chunk in chunks:
                part.write(chunk)
            if part.sha.hexdigest() != expected:
                part.discard()
                raise DownloadError(
                    f"The file for {redacted(url)} does not have the SHA-256 {expected}; it was deleted."
                )
            part.finish()


def _receive(source: str, part: Part, progress: bool) -> None:
    """Download ``source`` into ``part``; resume after an interruption."""
    from http.client import HTTPException, IncompleteRead, InvalidURL
    from urllib.error import HTTPError

    from zoo.errors import harmless
    from zoo.files.connection import TooSlow, asked_to_wait, open_url

    failures, furthest = 0, part.size
    with receiving.bar(harmless(part.target.name, line=True), progress) as bar:
        while True:
            pause = PAUSE * 2**failures
            error: Exception
            try:
                with open_url(source, part.headers()) as response:
                    _refuse_answer(source, part.target, response)
                    if part.accept(response):
                        bar.total, bar.n = part.total, part.size
                        bar.refresh()
                        while chunk := response.read1(CHUNK):
                            part.write(chunk)
                            bar.update(len(chunk))
                        if part.total is None or part.size == part.total:
                            return
                        raise IncompleteRead(b"", part.total - part.size)
                    error, pause = IncompleteRead(b""), 0.0
            except DownloadError:
                raise
            except TooSlow as e:
                raise _network_error(source, part, e) from None
            except (OSError, HTTPException) as e:
                error = e
                if isinstance(e, HTTPError):
                    e.close()
                    if e.code == 416:  # the server has no further bytes, but this is not the file
                        part.restart()
                        pause = 0.0
                    elif e.code not in _WORTH_RETRYING:
                        raise _network_error(source, part, e) from e
                    pause = max(pause, asked_to_wait(e.headers.get("Retry-After", "")))
                elif isinstance(e, InvalidURL) or _is_certificate(e) or _has_no_host(e):
                    raise _network_error(source, part, e) from e
            # Progress beyond all earlier tries allows new tries: a server without ranges that always stops at the same
            # place is given up.
            failures = 0 if part.size >= furthest + PROGRESS else failures + 1
            furthest = max(furthest, part.size)
            if failures >= TRIES:
                raise _network_error(source, part, error) from error
            if not part.resumable:
                part.restart()
            time.sleep(pause)


def _refuse_answer(source: str, target: Path, response: HTTPResponse) -> None:
    if response.status not in (200, 206):
        raise DownloadError(f"{redacted(source)}: the server answered {response.status} without a file.")
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        _refuse_page(source, target)
    given = [*response.headers.get_all("Content-Encoding", []), *response.headers.get_all("Transfer-Encoding", [])]
    encoding = ", ".join(part for part in given if part.strip().lower() not in ("", "identity", "chunked"))
    if encoding and target.suffix.lower() not in (".gz", ".tgz", ".bz2", ".xz", ".zst"):
        raise DownloadError(
            f"{redacted(source)}: the server sent the file encoded ({encoding[:20]}), which was not requested. Put "
            f"the decoded file at {target}, or set ZOO_MIRROR=https://… to a host that sends it unencoded."
        )


def _refuse_content(source: str, part: Part) -> None:
    """Raise for a response that is not the file although its status is 200."""
    with part.path.open("rb") as f:
        start = f.read(512)
    try:
        if re.match(
            rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body|script|\?xml)\b", start, re.I | re.S
        ):
            _refuse_page(source, part.target)
        if not start:
            raise DownloadError(f"{redacted(source)}: the server sent an empty file.")
    except DownloadError:
        part.discard()
        raise


def _refuse_page(source: str, target: Path) -> None:
    if target.suffix.lower() not in (".html", ".htm", ".xml", ".svg"):
        raise DownloadError(
            f"{redacted(source)}: the server sent a web page instead of the file. Open the address in "
            "a browser to see what it requires (a login, a confirmation)."
        )


def _has_no_host(e: Exception) -> bool:
    """Whether the host's name does not exist, or no name server answers: trying again would not help."""
    from socket import gaierror

    return isinstance(e, gaierror) or isinstance(getattr(e, "reason", None), gaierror)


def _is_certificate(e: Exception) -> bool:
    from ssl import SSLCertVerificationError

    return isinstance(e, SSLCertVerificationError) or isinstance(getattr(e, "reason", None), SSLCertVerificationError)


def _network_error(source: str, part: Part, e: Exception) -> DownloadError:
    from http.client import IncompleteRead
    from urllib.error import HTTPError

    from zoo.files.connection import PATIENCE, SLOWEST, TooSlow, timeout

    reason = getattr(e, "reason", e)
    do = "Check the connection and the proxy settings (HTTPS_PROXY)"
    if isinstance(e, HTTPError):
        what = redacted(f"the server answered {e.code} {e.reason}")
        if e.code in (404, 410):
            do = "Check the URL"
        elif e.code in (401, 403):
            do = "The file is not public, or access from this network is blocked"
    elif _is_certificate(e):
        what = f"the server's certificate cannot be verified ({reason})"
        do = "If your proxy signs connections, name its certificate in SSL_CERT_FILE"
    elif isinstance(reason, TimeoutError):
        what = f"no data arrived for {timeout():g} seconds (ZOO_TIMEOUT)"
    elif isinstance(e, TooSlow):
        what = f"less than {SLOWEST} bytes per second arrived over {PATIENCE * timeout():g} seconds (4 × ZOO_TIMEOUT)"
    elif isinstance(e, IncompleteRead):
        what = f"the connection was lost after {part.size} of {part.total or 'an unknown number of'} bytes"
    else:
        what = redacted(getattr(reason, "strerror", None) or reason) or type(e).__name__
    kept = " The received part is kept; the next try resumes it." if part.size else ""
    return DownloadError(
        f"Could not download {redacted(source)}: {what}. {do}, or set ZOO_MIRROR=https://… to a host that has "
        f"the file, or put it at {part.target} yourself.{kept}"
    )
