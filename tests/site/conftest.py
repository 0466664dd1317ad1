"""Pages in headless Chromium. `make test-site` runs these, in an environment that has Playwright."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from generated_catalogue import generated_facts

from zoo_tools.catalogue import build_catalogue, collect
from zoo_tools.catalogue.speeds import Speeds

sync_api = pytest.importorskip("playwright.sync_api", reason="browser tests need Playwright: make test-site")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``real``, a catalogue of the installed models, with some measured times; ``large``, one with 5,000 weights."""
    folder = tmp_path_factory.mktemp("sites")
    times = {"resnet18": 20.0, "resnet50": 60.0, "mobilenet_v3_small": 5.0, "vit_b_16": 110.0, "alexnet": 25.0}
    row = {"weights": None, "device": "cpu", "torch": "2.13.0", "threads": 2, "batch": 1, "engine": "eager"}
    row |= {"precision": "float32", "date": "2026-11-01", "machine": "a CPU", "memory_mb": 400.0, "per_second": 10.0}
    build_catalogue(folder / "real", facts=collect(Speeds({**row, "model": m, "ms": ms} for m, ms in times.items())))
    build_catalogue(folder / "large", facts=generated_facts(5000))
    return folder


@pytest.fixture(scope="session")
def server(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("No chromium was found: apt-get install chromium, or set CHROMIUM to the path of one.")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


class Window:
    """A page, and its problems: console messages, errors, failed requests and requests to other machines."""

    def __init__(self, context: Any, base: str) -> None:
        self.context, self.base = context, base
        self.page = context.new_page()
        self.page.set_default_timeout(30_000)
        self.wrong: list[str] = []
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.wrong.append(str(e)))
        self.page.on("requestfailed", lambda r: self.wrong.append(f"failed: {r.url}"))
        self.page.on("response", lambda r: self.wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        self.page.on(
            "request", lambda r: None if r.url.startswith((base, "data:", "file:")) else self.wrong.append(r.url)
        )

    def open(self, path: str) -> Any:
        self.page.goto(path if "://" in path else f"{self.base}/{path}")
        return self.page


@pytest.fixture
def window(browser: Any, server: str) -> Iterator[Any]:
    """``window(width=390, color_scheme="dark", …)``; the test fails if any of the pages had problems."""
    opened: list[Window] = []

    def make(width: int = 1440, height: int = 900, **options: Any) -> Window:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        opened.append(Window(context, server))
        return opened[-1]

    yield make
    for one in opened:
        one.context.close()
    assert [wrong for one in opened for wrong in one.wrong] == []
