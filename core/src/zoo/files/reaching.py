"""Whether a host can be reached at all: told in two seconds, where a library would try again for half a minute."""

from __future__ import annotations

import os
import socket
import threading
import urllib.request
from urllib.parse import urlsplit

from zoo.errors import DownloadError
from zoo.files.redaction import redacted

PATIENCE = 2.0  # seconds, where ZOO_TIMEOUT says nothing


def check_reachable(endpoint: str, wanted: str) -> None:
    """Raise if nobody answers at ``endpoint``, or at the proxy that is asked in its place.

    A host that is merely slow to accept a connection passes: whoever fetches the file knows how to wait.

    Raises:
        DownloadError: its name cannot be resolved, or the connection is refused; it says that ``wanted`` cannot be had.
    """
    parts = urlsplit(_asked(endpoint))
    try:
        host, port = parts.hostname or "", parts.port or {"http": 80}.get(parts.scheme, 443)
    except ValueError:  # of a port
        return
    if not host:
        return  # whoever fetches the file says what is wrong with the address
    from zoo.files.connection import timeout

    seconds = timeout() if os.environ.get("ZOO_TIMEOUT") else PATIENCE
    failed: list[str] = []
    tried = threading.Thread(target=_try, args=(host, port, seconds, failed), daemon=True)
    tried.start()
    tried.join(seconds)
    why = f"its name was not resolved in {seconds:g} seconds" if tried.is_alive() else failed[0] if failed else ""
    if why:
        raise DownloadError(
            f"Could not fetch {redacted(wanted)}: {host} cannot be reached ({why}), and it is not in the hub's cache. "
            "Check the connection, or fetch it where there is one: `zoo pull`, or `zoo bundle` for this machine."
        )


def _asked(endpoint: str) -> str:
    """The proxy, where there is one."""
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
