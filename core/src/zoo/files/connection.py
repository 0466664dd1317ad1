"""One GET over HTTP: the mirror, the login, redirects, timeouts. Imported for a download."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import io
import math
import os
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import IO, Any, cast
from urllib.parse import quote, unquote, urljoin, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from zoo.errors import DownloadError, InvalidArgument
from zoo.files.names import scheme_of
from zoo.files.policy import policy
from zoo.files.redaction import redacted

SLOWEST = 1024  # bytes per second
PATIENCE = 4  # timeouts over which a server must have been faster than that
LONGEST_HEAD = 1 << 20  # bytes
LONGEST_WAIT = 60.0  # longest Retry-After in seconds that is obeyed


class TooSlow(Exception):
    """The server is too slow to ever send the file. Not an OSError, since those are tried again."""


def open_url(url: str, headers: Mapping[str, str]) -> HTTPResponse:
    """The response to a GET of ``url``. Its login is sent only to its own host."""
    address, login = without_login(url)
    request = Request(quote(address, safe="%/:=&?~#+!$,;'@()*[]"), headers=dict(headers))
    if login:
        token = base64.b64encode(unquote(login if ":" in login else f"{login}:").encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    policy().check_address(address)
    opener = OpenerDirector()
    for handler in (
        ProxyHandler,
        _Http,
        _Https,
        _Redirects,
        HTTPDefaultErrorHandler,
        HTTPErrorProcessor,
        UnknownHandler,
    ):
        opener.add_handler(handler())  # not ftp:, file: and data:, which urlopen opens too
    return cast("HTTPResponse", opener.open(request, timeout=timeout()))


def without_login(url: str) -> tuple[str, str]:
    """``url`` without its ``user:password@``, and this login."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    with contextlib.suppress(ValueError):
        parts._replace(netloc=host).port  # noqa: B018  raises for a password with a "/"
        return parts._replace(netloc=host).geturl(), login
    raise DownloadError(
        f"{redacted(url)} has no valid host and port; in a password, write /, ? and # as %2F, %3F, %23."
    )


def mirrored(url: str) -> str:
    mirror = os.environ.get("ZOO_MIRROR", "").strip().rstrip("/")
    if not mirror:
        return url
    if scheme_of(mirror) not in ("http", "https") or "?" in mirror or "#" in mirror:
        raise InvalidArgument(
            f"ZOO_MIRROR={redacted(mirror)} is not the URL of a folder; expected https://host or https://host/prefix."
        )
    return mirror + (urlsplit(url)._replace(scheme="", netloc="").geturl() or "/")


def timeout() -> float:
    given = os.environ.get("ZOO_TIMEOUT") or "15"
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86400:
        raise InvalidArgument(f"ZOO_TIMEOUT={given}; expected a number of seconds above 0, at most a day.")
    return seconds


def asked_to_wait(given: str) -> float:
    """The seconds of a ``Retry-After``, at most a minute; 0 if it is not a time, or over a day."""
    seconds = 0.0
    if given.isascii() and given.strip().isdigit():
        seconds = float(given)
    else:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            seconds = email.utils.parsedate_to_datetime(given).timestamp() - time.time()
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds <= 86400 else 0.0


class _Redirects(HTTPRedirectHandler):
    """https is not downgraded, only http and https are followed, and the login is sent only to its host."""

    def http_error_302(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any) -> Any:
        fp.close()  # unread: it may be endless
        new = urljoin(req.full_url, headers.get("Location") or headers.get("URI") or "")
        scheme = scheme_of(new)
        if scheme not in ("http", "https"):
            raise DownloadError(
                f"{redacted(req.full_url)} redirects to {redacted(new)}; only http and https are followed."
            )
        if scheme == "http" and req.type == "https" and not policy().allow_downgrade:
            raise DownloadError(
                f"{redacted(req.full_url)} redirects to {redacted(new)}, which others in the network can alter; "
                "ZOO_ALLOW_DOWNGRADE=1 allows it."
            )
        policy().check_address(new)
        return super().http_error_302(req, io.BytesIO(), code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> Any:
        newurl, _ = without_login(newurl)
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None:
            new.remove_header("Proxy-authorization")  # the new host's proxy gets its own
            login = req.unredirected_hdrs.get("Authorization")
            if login and _origin(newurl) == _origin(req.full_url):
                new.add_unredirected_header("Authorization", login)
        return new


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443}.get(parts.scheme, 80)


class _Paced(io.RawIOBase):
    """Counts received bytes and the time waited for them, to detect a server that sends only a byte now and then."""

    def __init__(self, raw: io.RawIOBase, seconds: float) -> None:
        self.raw, self.seconds, self.waited, self.came = raw, seconds, 0.0, 0
        self.head = LONGEST_HEAD  # bytes left for the headers

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        start = time.monotonic()
        n = cast("Any", self.raw).readinto(buffer) or 0
        self.waited += min(time.monotonic() - start, self.seconds)  # longer if this process was stopped
        self.came += n
        self.head -= n
        if self.head < 0:
            raise HTTPException("the server's response has endless headers")
        if n and self.waited >= PATIENCE * self.seconds:
            if self.came < SLOWEST * self.waited:
                raise TooSlow
            self.waited, self.came = 0.0, 0
        return int(n)

    def close(self) -> None:
        self.raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.paced = _Paced(cast("Any", self.fp).detach(), sock.gettimeout())
        self.fp: Any = io.BufferedReader(self.paced)

    def begin(self) -> None:
        super().begin()
        self.paced.head = sys.maxsize


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Http(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_Connection, req)


class _Https(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_SecureConnection, req)
