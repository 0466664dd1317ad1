"""The result of `make site`: the documentation with the catalogue. ZOO_BUILT_SITE is its folder."""

from __future__ import annotations

import functools
import http.server
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

PAGES = ("index.html", "start.html", "training.html", "reference/generated/zoo.html", "cli.html")


@pytest.fixture(scope="module")
def site() -> Path:
    if "ZOO_BUILT_SITE" not in os.environ:
        pytest.skip("make test-site builds the site and sets ZOO_BUILT_SITE")
    folder = Path(os.environ["ZOO_BUILT_SITE"]).resolve()
    assert (folder / "index.html").is_file()
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_no_link_of_the_site_is_broken(site: Path) -> None:
    ids: dict[Path, set[str]] = {}
    links: list[tuple[Path, str]] = []
    for page in site.rglob("*.html"):
        if "_static" in page.parts:  # templates of the theme
            continue
        text = page.read_text("utf-8", errors="replace")
        ids[page] = set(re.findall(r'\sid="([^"]*)"', text))
        links += [(page, link) for link in re.findall(r'<(?:a|link|img|script)\s[^>]*?(?:href|src)="([^"]*)"', text)]
    assert len(links) > 5000
    broken = set()
    for page, link in links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if target.is_dir():
            target /= "index.html"
        fragment = unquote(parts.fragment)
        if not target.is_file() or (fragment and target in ids and fragment not in ids[target]):
            broken.add(f"{page.relative_to(site)}: {link}")
    assert broken == set()


def test_the_catalogue_is_inside_and_leads_back(site: Path) -> None:
    assert 'href="catalogue/index.html"' in (site / "start.html").read_text()
    assert 'href="../../catalogue/index.html"' in (site / "reference/generated/zoo.html").read_text()
    assert 'href="../index.html">Documentation' in (site / "catalogue/index.html").read_text()
    assert 'href="../../../index.html"' in (site / "catalogue/models/classification/resnet50.html").read_text().replace(
        "../../../../index.html", "../../../index.html"
    )
    assert list((site / "catalogue/pictures").rglob("*.webp"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_have_no_errors_fetch_nothing_and_axe_finds_nothing_serious(
    browser: Any, address: str, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on("response", lambda r: wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    page.on("request", lambda r: None if r.url.startswith((address, "data:")) else wrong.append(r.url))
    for path in PAGES:
        page.goto(f"{address}/{path}")
        wrong += [
            f"{path}: {v['id']}: {v['nodes'][0]['html'][:200]}"
            for v in axe.run(page, options={"preload": False}).response[
                "violations"
            ]  # preloading would request style sheets
            if v["impact"] in ("serious", "critical")
        ]
    page.goto(f"{address}/start.html")
    page.click("text=Catalogue")
    page.wait_for_url("**/catalogue/index.html")
    context.close()
    assert wrong == []
