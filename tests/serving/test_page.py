"""The page at ``/`` in a real browser: a picture is dropped, or chosen; the predictions are shown."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

for name in ("starlette", "uvicorn", "prometheus_client", "multipart", "zoo_serving"):
    pytest.importorskip(name)
playwright = pytest.importorskip("playwright.sync_api")

from serving_process import Running  # noqa: E402

IMAGES = Path(__file__).parents[2] / "examples/images"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed (apt-get install chromium)")
DROP = """([text, name]) => {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0))
  const data = new DataTransfer()
  data.items.add(new File([bytes], name))
  const target = document.getElementById("drop")
  for (const kind of ["dragover", "drop"])
    target.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}))
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    running = Running("squeezenet1_1=DIGITS_V1", "ssdlite320_mobilenet_v3_large=SHAPES_V1", ZOO_SERVE_TOKEN="secret")
    yield running
    running.end()


@pytest.fixture
def page(server: Running) -> Iterator[Any]:
    """The page, and its console messages; without ``wait_for_function``, which the page's policy forbids."""
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": 900, "height": 1000})
        page.set_default_timeout(90_000)
        page.said = []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(server.url + "/")
        page.locator("#model option").nth(1).wait_for(state="attached")
        yield page
        browser.close()


def test_a_picture_is_dropped(page: Any, tmp_path: Path) -> None:
    picture = base64.b64encode((IMAGES / "shapes.png").read_bytes()).decode()
    page.select_option("#model", "ssdlite320_mobilenet_v3_large")
    page.evaluate(DROP, [picture, "shapes.png"])
    page.wait_for_selector("#status.error")
    assert "token is required" in page.inner_text("#status")
    page.fill("#token", "secret")
    page.evaluate(DROP, [picture, "shapes.png"])
    page.wait_for_selector("#drawn:not([hidden])")
    assert page.evaluate("() => document.getElementById('drawn').decode().then(() => true)")
    assert page.inner_text("#status") == "shapes.png"
    assert '"objects"' in page.inner_text("#answer")
    assert '"label"' in page.inner_text("#answer")
    assert page.get_attribute("#drawn", "alt") == "Predictions on shapes.png"
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert [text for text in page.said if "401" not in text] == []


def test_a_picture_is_chosen_and_bad_ones_told(page: Any, tmp_path: Path) -> None:
    page.fill("#token", "secret")
    page.set_input_files("#file", IMAGES / "digits/digit_7.png")
    page.wait_for_selector("#drawn:not([hidden])")
    assert '"label": "7"' in page.inner_text("#answer")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    page.set_input_files("#file", tmp_path / "bad.png")
    page.wait_for_selector("#status.error")
    assert "not in a picture format" in page.inner_text("#status")
    assert page.is_hidden("#answer")
    assert page.is_hidden("#drawn")


def test_the_description_is_a_page(page: Any, server: Running) -> None:
    page.goto(server.url + "/docs")
    page.wait_for_selector("text=POST /predict")
    assert "Overloaded" in page.inner_text("body")
    assert page.said == []
