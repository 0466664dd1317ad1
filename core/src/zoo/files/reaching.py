"""Checks in two seconds whether a host can be reached; a library would retry for half a minute."""

from __future__ import annotations

import os
import socket
import threading
import urllib.request
from urllib.parse import urlsplit

from zoo.errors import DownloadError
from zoo.files.redaction import redacted

PATIENCE = 2.0  # seconds, if ZOO_TIMEOUT is not set


def check_reachable(endpoint: str, wanted: str) -> None:
    """Raise if ``endpoint``, or the proxy that is used for it, cannot be reached.

    A host that is only slow to accept a connection passes; the download waits for it.

    Raises:
        DownloadError: its name cannot be resolved, or the connection is refused; the message names ``wanted``.
    """
    parts = urlsplit(_asked(endpoint))
    try:
        host, port = parts.hostname or "", parts.port or {"http": 80}.get(parts.scheme, 443)
    except ValueError:  # invalid port
        return
    if not host:
        return  # the download reports what is wrong with the address
    from zoo.files.connection import timeout

    seconds = timeout() if os.environ.get("ZOO_TIMEOUT") else PATIENCE
    failed: list[str] = []
    tried = threading.Thread(target=_try, args=(host, port, seconds, failed), daemon=True)
    tried.start()
    tried.join(seconds)
    why = f"its name was not resolved in {seconds:g} seconds" if tried.is_alive() else failed[0] if failed else ""
    if why:
        raise DownloadError(
            f"Could not download {redacted(wanted)}: {host} cannot be reached ({why}), and the file is not in the "
            "hub's cache. Check the connection, or download it elsewhere: `zoo pull`, or `zoo bundle` for this machine."
        )


def _asked(endpoint: str) -> str:
    """The URL of the proxy if there is one, else ``endpoint``."""
    parts = urlsplit(endpoint)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return endpoint
    return proxy if "://" in proxy else f"http://{proxy}"


def _try(host: str, port: int, seconds: float, failed: list[str]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        failed.append(getattr(e, "strerror", None) or str(e))
        return
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as tried:
                tried.settimeout(seconds / 2)
                tried.connect(address)
            failed.clear()
            return
        except TimeoutError:
            failed.clear()
            return
        except OSError as e:
            failed.append(e.strerror or str(e))
