"""The HTTP service: requests and responses."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import importlib.resources
import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import prometheus_client as prometheus
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import zoo
from zoo.errors import InvalidArgument, NonFiniteResult, UnreadableFile, ZooError
from zoo.io import open_image, opened
from zoo_serving.batcher import Batcher, Overloaded, Room

RETRY = {"Retry-After": "1"}
QUIET = 2.0  # seconds to wait for the rest of a body whose response has been sent
OPENED = 1 << 25  # maximum pixels of opened pictures, over all requests: 100 MB


@dataclass(frozen=True)
class Limits:
    """Limits of a request, and of concurrent requests.

    Attributes:
        max_bytes: maximum size of a picture's file.
        max_pixels: maximum number of pixels of a picture.
        concurrency: maximum number of concurrent requests; others get 503.
        timeout: seconds from the beginning of a request to its response.
        threads: number of threads that decode and draw pictures.
    """

    max_bytes: int = 20 << 20
    max_pixels: int = 25_000_000
    concurrency: int = 64
    timeout: float = 30.0
    threads: int = 2


@dataclass
class Metrics:
    """The content of /metrics, in a separate registry."""

    registry: prometheus.CollectorRegistry = field(default_factory=prometheus.CollectorRegistry)

    def __post_init__(self) -> None:
        r = self.registry
        self.requests = prometheus.Counter("zoo_requests", "Requested predictions.", ["model", "status"], registry=r)
        self.seconds = prometheus.Histogram(
            "zoo_request_seconds", "Seconds from request to response.", ["model"], registry=r
        )
        self.batches = prometheus.Histogram(
            "zoo_batch_size",
            "Batch sizes.",
            ["model"],
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=r,
        )
        self.active = prometheus.Gauge("zoo_active_requests", "Predictions in progress.", registry=r)


class Service:
    """Models served over HTTP.

    Args:
        models: name → pipeline.
        max_batch, max_wait: as for :class:`Batcher`.
        limits: limits of requests.
        token: token that requests must have; None for no authentication.
        urls: allowed prefixes of picture URLs, each with host and path.
    """

    def __init__(
        self,
        models: Mapping[str, zoo.Pipeline],
        *,
        max_batch: int = 8,
        max_wait: float = 0.005,
        limits: Limits | None = None,
        token: str | None = None,
        urls: Sequence[str] = (),
    ) -> None:
        self.models, self.limits, self.token, self.urls = dict(models), limits or Limits(), token, tuple(urls)
        self.metrics = Metrics()
        self.batchers = {
            name: Batcher(
                ready, max_batch, max_wait, self.limits.concurrency, self.metrics.batches.labels(name).observe
            )
            for name, ready in models.items()
        }
        self.pool = ThreadPoolExecutor(self.limits.threads, thread_name_prefix="zoo-decode")
        self.room = Room(max(OPENED, self.limits.max_pixels))
        self.active = 0

    def app(self) -> Starlette:
        """The application for ASGI servers."""

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            yield
            for batcher in self.batchers.values():
                await asyncio.to_thread(batcher.close, self.limits.timeout)
            self.pool.shutdown(wait=False)

        routes = [
            Route("/", self.page),
            Route("/docs", self.docs),
            Route("/openapi.json", self.openapi),
            Route("/health", self.health),
            Route("/models", self.guarded(self.list_models)),
            Route("/metrics", self.guarded(self.show_metrics)),
            Route("/predict", self.guarded(self.predict), methods=["POST"]),
        ]
        return Starlette(
            routes=routes,
            lifespan=lifespan,
            middleware=[Middleware(_Drained, seconds=self.limits.timeout)],
            exception_handlers={HTTPException: _failed, Exception: _failed},
        )

    def guarded(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Require the token."""

        async def guard(request: Request) -> Response:
            if self.token is not None:
                given = request.headers.get("authorization", "").encode("latin-1")  # the original bytes
                if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
                    raise HTTPException(
                        401, "A token is required: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"}
                    )
            return await answer(request)

        return guard

    # ── predictions ──────────────────────────────────────────────────────────────────────────────────────────────

    async def predict(self, request: Request) -> Response:
        name = request.query_params.get("model") or next(iter(self.models))
        if name not in self.models:
            raise HTTPException(404, f"Unknown model {name[:200]!r}; expected one of {', '.join(self.models)}.")
        started, status = time.monotonic(), 500
        try:
            if self.active >= self.limits.concurrency:
                raise HTTPException(503, "Too many concurrent requests; try again.", RETRY)
            self.active += 1
            self.metrics.active.set(self.active)
            try:
                async with asyncio.timeout(self.limits.timeout):
                    response = await self._answer(request, name)
            except TimeoutError:
                limit = f"within {self.limits.timeout:g} s"
                if not hasattr(request.state, "arrived"):
                    raise HTTPException(
                        408, f"The picture was not received {limit}.", {"Connection": "close"}
                    ) from None
                raise HTTPException(503, f"No result {limit}; try again.", RETRY) from None
            finally:
                self.active -= 1
                self.metrics.active.set(self.active)
            status = response.status_code
            return response
        except HTTPException as e:
            status = e.status_code
            raise
        except ClientDisconnect:
            status = 499  # the client has disconnected
            return Response(status_code=400)
        finally:
            self.metrics.requests.labels(name, str(status)).inc()
            self.metrics.seconds.labels(name).observe(time.monotonic() - started)

    async def _answer(self, request: Request, name: str) -> Response:
        drawn = _wants_picture(request)
        top = request.query_params.get("top", "5")
        if not (top.isascii() and top.isdecimal() and len(top) < 5 and 1 <= int(top) <= 1000):
            raise HTTPException(422, f"top is {top[:20]!r}; expected a number from 1 to 1000.")
        data = await self._body(request)
        loop = asyncio.get_running_loop()
        try:
            pixels = await loop.run_in_executor(self.pool, self._count, data)
            async with self.room.of(pixels):
                picture = await loop.run_in_executor(self.pool, open_image, io.BytesIO(data))
                del data
                result = await self.batchers[name](picture)
                if not drawn:
                    return JSONResponse({"model": name, **result.to_dict(int(top))})
                return Response(await loop.run_in_executor(self.pool, _png, result), media_type="image/png")
        except Overloaded:
            raise HTTPException(503, "Too many pictures are waiting for this model; try again.", RETRY) from None
        except (NonFiniteResult, InvalidArgument, UnreadableFile) as e:
            raise HTTPException(422 if isinstance(e, NonFiniteResult | InvalidArgument) else 400, str(e)) from e
        except NotImplementedError as e:
            raise HTTPException(406, "The task of this model cannot draw results; request application/json.") from e
        except ZooError as e:
            raise HTTPException(422, str(e)) from e

    def _count(self, data: bytes) -> int:
        """Pixels of a picture, from its header."""
        if not data:
            raise UnreadableFile("The request contains no picture: its body is empty.")
        with opened(io.BytesIO(data)) as header:
            width, height = header.size
        if width * height > self.limits.max_pixels:
            raise HTTPException(
                413, f"The picture has {width} × {height} pixels; at most {self.limits.max_pixels} are allowed."
            )
        return int(width * height)

    async def _body(self, request: Request) -> bytes:
        """The bytes of the picture that a request contains or links to."""
        most, count = self.limits.max_bytes, 0
        too_large = HTTPException(413, f"The body has more than {most} bytes.")
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > most + 4096:
            raise too_large

        async def receive() -> Any:
            nonlocal count
            message = await request.receive()
            count += len(message.get("body", b""))
            if count > most + 4096:  # plus the overhead of multipart
                raise too_large
            return message

        limited = Request(request.scope, receive)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            async with limited.form(max_files=1, max_fields=4) as form:
                request.state.arrived = True
                files = [value for value in form.values() if isinstance(value, UploadFile)]
                if len(files) != 1:
                    raise HTTPException(400, "The form has no file; expected one, as in: curl -F file=@dog.jpg")
                content: bytes = await files[0].read()
                return content
        body: bytes = await limited.body()
        request.state.arrived = True
        if kind != "application/json":
            return body
        try:
            url = json.loads(body)["url"]
        except (ValueError, TypeError, KeyError, RecursionError) as e:
            raise HTTPException(
                400, 'The body is not JSON with a URL; expected {"url": "https://…"}, or a picture.'
            ) from e
        if not isinstance(url, str) or not url.startswith(self.urls or ("\0",)):
            allowed = (
                f"allowed prefixes: {', '.join(self.urls)}" if self.urls else "zoo serve --allow-urls allows prefixes"
            )
            raise HTTPException(403, f"This URL is not allowed; {allowed}.")
        return await asyncio.get_running_loop().run_in_executor(self.pool, self._fetch, url)

    def _fetch(self, url: str) -> bytes:
        try:
            with _opener.open(url, timeout=self.limits.timeout) as answer:
                data: bytes = answer.read(self.limits.max_bytes + 1)
        except (OSError, ValueError, urllib.error.URLError) as e:
            raise HTTPException(400, f"The URL cannot be read: {e}") from e
        if len(data) > self.limits.max_bytes:
            raise HTTPException(413, f"The file at the URL has more than {self.limits.max_bytes} bytes.")
        return data

    # ── information ──────────────────────────────────────────────────────────────────────────────────────────────

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "models": list(self.models)})

    async def list_models(self, request: Request) -> Response:
        return JSONResponse(
            {
                "models": [
                    {
                        "name": name,
                        "task": ready.task.name,
                        "categories": list(ready.weights.read_categories()),
                        "device": str(ready.device),
                    }
                    for name, ready in self.models.items()
                ]
            }
        )

    async def show_metrics(self, request: Request) -> Response:
        return Response(prometheus.generate_latest(self.metrics.registry), media_type=prometheus.CONTENT_TYPE_LATEST)

    async def page(self, request: Request) -> Response:
        return HTMLResponse(_file("page.html"), headers=PAGE_HEADERS)

    async def docs(self, request: Request) -> Response:
        return HTMLResponse(_file("docs.html"), headers=PAGE_HEADERS)

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(describe(list(self.models), self.token is not None))


class _Drained:
    """Reads what a client still sends after its response, such as the rest of a body that is too large.

    Otherwise, the server closes a connection with unread data, which resets it: clients that send the whole body first
    get a broken pipe and not the response. Reading ends after ``seconds``, or when nothing arrives for ``QUIET``
    seconds.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # A client that waits for "100 Continue" does not send its body after another response.
        unread = (b"expect", b"100-continue") not in scope["headers"]

        async def received() -> Message:
            nonlocal unread
            message = await receive()
            unread = bool(message.get("more_body", False))  # False in http.disconnect
            return message

        async def sent(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if not (last and unread):
                await send(message)
                return
            await send({**message, "more_body": True})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.seconds):
                    while unread:
                        async with asyncio.timeout(QUIET):
                            await received()
            await send({"type": "http.response.body"})

        await self.app(scope, received, sent)


PAGE_HEADERS = {"Content-Security-Policy": "default-src 'self' 'unsafe-inline'; img-src 'self' blob: data:"}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Does not follow redirects: an allowed URL must not lead to one that is not allowed."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))


def _file(name: str) -> str:
    return (importlib.resources.files("zoo_serving") / name).read_text(encoding="utf-8")


def _wants_picture(request: Request) -> bool:
    """Whether the request accepts PNG and not JSON.

    Raises:
        HTTPException: it accepts neither.
    """
    accepted = [kind.partition(";")[0].strip().lower() for kind in request.headers.get("accept", "*/*").split(",")]
    if any(kind in ("application/json", "application/*", "*/*") for kind in accepted):
        return accepted[0] in ("image/png", "image/*")
    if any(kind in ("image/png", "image/*") for kind in accepted):
        return True
    raise HTTPException(406, "Accept must contain application/json or image/png.")


def _png(result: Any) -> bytes:
    drawn = io.BytesIO()
    result.draw().save(drawn, "PNG")
    return drawn.getvalue()


async def _failed(request: Request, e: Exception) -> Response:
    status, detail, headers = (
        (e.status_code, e.detail, e.headers) if isinstance(e, HTTPException) else (500, "Internal error.", None)
    )
    return JSONResponse({"error": detail}, status, headers)


def describe(models: Sequence[str], guarded: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 description of the service."""
    error = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    reasons = {
        "400": "No picture, or a damaged one.",
        "401": "A token is required.",
        "404": "Unknown model.",
        "406": "Neither JSON nor PNG is accepted, or the task cannot draw results.",
        "408": "The picture was not received in time.",
        "413": "Too many bytes or pixels.",
        "422": "The picture cannot be processed.",
        "503": "Overloaded; see Retry-After.",
    }
    binary = {"schema": {"type": "string", "format": "binary"}}
    form = {"schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}}
    url = {"schema": {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]}}
    parameters = [
        {"name": "model", "in": "query", "schema": {"type": "string", "enum": list(models)}},
        {"name": "top", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 5}},
    ]
    answer = {"application/json": {"schema": {"type": "object"}}, "image/png": binary}
    plain = {"responses": {"200": {"description": "OK"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "zoo serve", "version": zoo.__version__},
        "paths": {
            "/predict": {
                "post": {
                    "summary": "Predict a picture.",
                    "parameters": parameters,
                    "requestBody": {
                        "required": True,
                        "content": {"image/*": binary, "multipart/form-data": form, "application/json": url},
                    },
                    "responses": {
                        "200": {"description": "The result, as JSON or as a picture.", "content": answer},
                        **{status: {"description": reason, **error} for status, reason in reasons.items()},
                    },
                }
            },
            "/models": {"get": {"summary": "Models with their tasks and categories.", **plain}},
            "/health": {"get": {"summary": "Health check.", **plain}},
            "/metrics": {"get": {"summary": "Metrics for Prometheus.", **plain}},
        },
        "components": {
            "schemas": {"Error": {"type": "object", "properties": {"error": {"type": "string"}}}},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}] if guarded else [],
    }
