"""The service on a socket, with uvicorn; closes connections of clients that begin a request and do not finish it."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from zoo import cli
from zoo.errors import InvalidArgument
from zoo_serving.service import Service


def bound(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet.

    Raises:
        InvalidArgument: the address is in use, or does not belong to this machine.
    """
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except OSError as e:
        found.close()
        raise InvalidArgument(
            f"Cannot listen on {host}:{port}: {e.strerror or e}. Use another --port (0: a free one) or --host."
        ) from e
    return found


def server(service: Service) -> Server:
    """The server; ``run([bound(…)])`` serves until SIGINT or SIGTERM, then finishes current requests."""
    timeout = service.limits.timeout

    class Patient(_Patient):
        patience = timeout

    config = uvicorn.Config(
        service.app(),
        http=Patient,
        log_level="warning",
        timeout_graceful_shutdown=int(timeout) + 1,
        timeout_keep_alive=30,
        backlog=512,
    )
    return Server(config)


class Server(uvicorn.Server):  # type: ignore[misc]
    """Prints the address when it listens."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        for listening in self.servers if self.started else ():
            for one in listening.sockets:
                at, on = one.getsockname()[:2]
                cli.say(f"http://{f'[{at}]' if ':' in at else at}:{on}")
                sys.stdout.flush()


class _Patient(H11Protocol):  # type: ignore[misc]
    """Closes a connection whose request has not begun, or is incomplete, for ``patience`` seconds. Bodies and responses
    have their own time limits (:class:`zoo_serving.service.Limits`)."""

    patience: float
    late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self.late is None:
            self.late = self.loop.call_later(self.patience, self.transport.close)

    def _stop(self) -> None:
        if self.late is not None:
            self.late.cancel()
            self.late = None
