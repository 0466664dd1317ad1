"""The catalogue in a browser: search, filters, comparison, plots; keyboard, phone, no JavaScript."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

PAGES = (
    "real/index.html",
    "real/index.html?task=object-detection",
    "real/index.html?compare=resnet18.IMAGENET1K_V1&compare=resnet50.IMAGENET1K_V2&open=1",
    "real/plots.html",
    "real/tasks.html",
    "real/plugins.html",
    "real/tasks/image-classification.html",
    "real/plugins/tools.html",
    "real/models/classification/resnet50.html",
    "real/models/detection/maskrcnn_resnet50_fpn.html",
)


def names(page: Any) -> list[str]:
    """The displayed weights, in the order of the table."""
    found: list[str] = page.locator("#weights tbody tr").evaluate_all("rows => rows.map(row => row.dataset.i)")
    return found


def search(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.evaluate("location.href")).query)


def until(page: Any, expression: str, text: str) -> None:
    """Wait for the text, without ``wait_for_function``, which the pages' policy forbids."""
    for _ in range(200):
        if text in page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"{expression} is {page.evaluate(expression)!r}, without {text!r}")


def settled(page: Any, text: str) -> None:
    """Wait for the number of matching weights."""
    until(page, "document.getElementById('count').textContent", text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_pages_fit_the_screen_and_axe_finds_nothing_serious(window: Any, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    one = window(width, color_scheme=scheme)
    problems = []
    for path in PAGES:
        page = one.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        found = axe.run(page).response["violations"]
        problems += [
            f"{path}: {v['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
            for v in found
            if v["impact"] in ("serious", "critical")
            for node in v["nodes"][:2]
        ]
    assert problems == []


def test_search_narrows_the_table_and_is_in_the_url(window: Any) -> None:
    page = window().open("real/index.html")
    assert page.locator("#weights tbody tr").count() == 100
    page.keyboard.press("/")
    page.keyboard.type("resnet50 v2")
    until(page, "location.search", "q=")
    found = names(page)
    assert "resnet50.IMAGENET1K_V2" in found
    assert all("resnet50" in name and "v2" in name.lower() for name in found)
    page.reload()
    assert names(page) == found
    assert page.locator("#q").input_value() == "resnet50 v2"
    page.fill("#q", "no such model")
    page.wait_for_selector("#empty:not([hidden])")
    page.click("[data-clear]")
    assert page.locator("#weights tbody tr").count() == 100
    assert search(page) == {}


def test_a_task_names_the_columns_and_filters_work_together(window: Any) -> None:
    page = window().open("real/index.html")
    page.click("[data-task=semantic-segmentation]")
    assert search(page) == {"task": ["semantic-segmentation"]}
    heads = page.locator("#weights thead th:visible").all_inner_texts()
    assert [head.split(" ↓")[0].lower() for head in heads[2:4]] == ["mean iou", "pixelwise acc"]
    cells = page.locator("#weights tbody td.m0")
    values = cells.evaluate_all("cells => cells.filter(c => c.dataset.v).map(c => Number(c.dataset.v))")
    assert len(values) > 5
    assert values == sorted(values, reverse=True), "best first"
    page.click("[data-task=image-classification]")
    page.check("[data-facet=license] input[value='BSD-3-Clause']")
    page.click("[data-facet=can] [data-more]")
    page.check("[data-facet=can] input[value=onnx]")
    page.fill("#pmax", "30")
    page.fill("#bound", "60")
    until(page, "location.search", "bound=60")
    rows = page.locator("#weights tbody tr")
    assert rows.count() > 0
    for row in rows.all():
        assert row.locator(".licence").inner_text() == "BSD-3-Clause"
        assert "onnx" in row.get_attribute("data-c").split()
        assert float(row.locator(".m0").get_attribute("data-v")) >= 60
        assert float(row.locator("td.n").nth(3).get_attribute("data-v")) <= 30e6
    expected = names(page)
    assert search(page) == {
        "task": ["image-classification"], "license": ["BSD-3-Clause"], "can": ["onnx"], "pmax": ["30"], "bound": ["60"],
    }  # fmt: skip
    page.reload()
    assert names(page) == expected
    page.click("#clear")
    assert search(page) == {"task": ["image-classification"]}
    page.go_back()
    assert names(page) == expected
    assert page.locator("[data-facet=can] input[value=onnx]").is_checked()


def test_columns_sort_both_ways_by_mouse_and_keys(window: Any) -> None:
    page = window().open("real/index.html?task=image-classification")
    read = "rows => rows.map(r => r.cells[6].dataset.v).filter(v => v).map(Number)"
    head = page.locator("th[data-sort=params] button")
    head.click()
    sizes = page.locator("#weights tbody tr").evaluate_all(read)
    assert sizes == sorted(sizes)
    assert page.locator("th[data-sort=params]").get_attribute("aria-sort") == "ascending"
    head.focus()
    page.keyboard.press("Enter")
    sizes = page.locator("#weights tbody tr").evaluate_all(read)
    assert sizes == sorted(sizes, reverse=True)
    assert search(page)["sort"] == ["-params"]
    page.select_option("#sort", "ms")
    assert names(page)[0].startswith("mobilenet_v3_small")
    page.select_option("#sort", "")
    top = page.locator("#weights tbody tr").evaluate_all("rows => rows.map(r => Number(r.cells[3].dataset.v))")
    assert top == sorted(top, reverse=True)


def test_weights_are_compared(window: Any) -> None:
    one = window(permissions=["clipboard-read", "clipboard-write"])
    page = one.open("real/index.html?q=resnet50")
    page.check("[aria-label='Compare resnet50.IMAGENET1K_V1']")
    assert page.locator("#compare").is_disabled()
    page.check("[aria-label='Compare resnet50.IMAGENET1K_V2']")
    page.click("#compare")
    dialog = page.locator("#dialog")
    assert dialog.is_visible()
    row = dialog.locator("tr", has_text="Acc@1, ImageNet-1K")
    assert [text.split()[0] for text in row.locator("td").all_inner_texts()] == ["76.130", "80.858"]
    assert row.locator(".best").inner_text().startswith("80.858")
    page.click("#markdown")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines()[0] == "|  | `resnet50.IMAGENET1K_V1` | `resnet50.IMAGENET1K_V2` |"
    assert "| Acc@1, ImageNet-1K | 76.130 | 80.858 |" in copied
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert "open" not in search(page)
    again = window().open("real/" + "index.html?compare=resnet50.IMAGENET1K_V1&compare=alexnet.IMAGENET1K_V1&open=1")
    assert again.locator("#comparison thead a").all_inner_texts() == ["resnet50", "alexnet"]
    again.click("#close")
    again.click("[aria-label='Leave out alexnet.IMAGENET1K_V1']")
    assert search(again)["compare"] == ["resnet50.IMAGENET1K_V1"]


def test_lines_are_copied(window: Any) -> None:
    one = window(permissions=["clipboard-read", "clipboard-write"])
    page = one.open("real/index.html?q=resnet50.IMAGENET1K_V2")
    row = page.locator("tr[data-i='resnet50.IMAGENET1K_V2']")
    row.locator(".mini").first.click()
    assert page.evaluate("navigator.clipboard.readText()") == 'zoo.get_model("resnet50", weights="IMAGENET1K_V2")'
    row.locator(".mini").last.click()
    assert page.evaluate("navigator.clipboard.readText()") == (
        "zoo predict photo.jpg --model resnet50 --weights IMAGENET1K_V2"
    )
    page.goto(f"{one.base}/real/models/classification/resnet50.html")
    page.locator("[data-copy]").first.click()
    assert page.evaluate("navigator.clipboard.readText()") == "pip install zoo-classification"


def test_plots_have_marks_a_line_a_tip_and_lead_to_models(window: Any) -> None:
    page = window().open("real/plots.html?task=image-classification")
    data = json.loads(page.locator("#points").text_content())
    known = [p for p in data["points"] if "ImageNet-1K" in p["metrics"].get("acc@1", {}) and p["params"]]
    dots = page.locator("#plot svg .points circle, #plot svg g.points circle")
    assert dots.count() == len(known) > 100
    assert page.locator("#plot svg g[aria-label=line] path").count() == 1
    assert page.locator("#front tbody tr").count() > 5
    values = [float(text) for text in page.locator("#front tbody td:nth-child(2)").all_inner_texts()]
    assert values == sorted(values), "a higher cost gives a higher value"
    box = dots.nth(3).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#plot g[aria-label=tip] text")
    assert "Acc@1" in page.locator("#plot g[aria-label=tip] text").text_content()
    before = dots.first.get_attribute("cx")
    page.select_option("#cost", "gflops")
    assert search(page)["cost"] == ["gflops"]
    assert dots.first.get_attribute("cx") != before
    page.select_option("#cost", "ms0")
    times = len([p for p in known if p["ms"]])
    assert dots.count() == times >= 5
    assert page.locator("#plot").get_attribute("aria-label").startswith("Acc@1 on ImageNet-1K against ms: a CPU")
    page.reload()
    assert page.locator("#cost").input_value() == "ms0"
    page.select_option("#task", "optical-flow")
    assert dots.count() > 1
    href = page.locator("#plot svg a").first.get_attribute("href")
    assert href.startswith("models/optical_flow/raft")
    box = dots.first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url("**/models/optical_flow/raft*.html")
    assert page.locator("h1").inner_text().startswith("raft")


def test_rows_are_there_without_javascript(window: Any) -> None:
    page = window(java_script_enabled=False).open("real/index.html")
    assert page.locator("#weights tbody tr").count() > 150
    assert page.locator("#weights tbody tr").last.is_visible()
    assert not page.locator("#q").is_visible()
    assert not page.locator("#tray").is_visible()
    assert not page.locator("button:visible").count()
    page.locator("#weights tbody a").first.click()
    assert page.locator("h1").is_visible()


def test_a_file_on_the_disk_works_as_a_server_does(window: Any, folder: Path) -> None:
    page = window().open((folder / "real/index.html").as_uri())
    page.fill("#q", "resnet18")
    until(page, "location.search", "q=resnet18")
    assert "resnet18.IMAGENET1K_V1" in names(page)
    page = window().open((folder / "real/plots.html").as_uri())
    assert page.locator("#plot svg circle").count() > 100


def test_five_thousand_weights_are_searched_at_once(window: Any) -> None:
    page = window().open("large/index.html")
    assert page.locator("#count").inner_text() == "5,000 weights"
    assert page.locator("#weights tbody tr").count() == 100
    timed = """() => {
        const start = performance.now();
        document.querySelector("th[data-sort=params] button").click();
        document.body.offsetHeight;
        return performance.now() - start;
    }"""
    milliseconds = sorted(page.evaluate(timed) for _ in range(5))
    assert milliseconds[0] < 400, f"sorting and showing took {milliseconds} ms"
    page.fill("#q", "net0123")
    settled(page, "10 of 5,000")
    assert len(names(page)) == 10
    page.fill("#q", "")
    settled(page, "5,000 weights")
    page.click("#more")
    assert page.locator("#weights tbody tr").count() == 300
    page.click("#every")
    assert page.locator("#weights tbody tr").count() == 5000


def test_colours_are_chosen_and_kept(window: Any) -> None:
    page = window(color_scheme="light").open("real/index.html")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    button = page.locator("[data-theme-button]")
    button.click()
    assert button.get_attribute("aria-label") == "Colours: light"
    button.click()
    dark = page.evaluate(background)
    assert dark != light
    page.goto(page.url.replace("index.html", "plots.html"))
    assert page.evaluate(background) == dark
    page.locator("[data-theme-button]").click()
    assert page.evaluate(background) == light


FOCUSED = """() => {
    const element = document.activeElement;
    return element.id || element.getAttribute("aria-label") || element.textContent.trim();
}"""


def test_keys_reach_everything(window: Any) -> None:
    page = window().open("real/index.html?q=alexnet")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(90):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(FOCUSED))
    wanted = {
        "q",
        "sort",
        "pmin",
        "Compare alexnet.IMAGENET1K_V1",
        "alexnet",
        "Copy a line of Python for alexnet.IMAGENET1K_V1",
    }
    assert wanted <= reached


def test_a_telephone_has_filters_behind_a_heading(window: Any) -> None:
    page = window(390, 844, has_touch=True).open("real/index.html?task=image-classification")
    assert not page.locator("#pmax").is_visible()
    page.locator("#filters summary").tap()
    page.fill("#pmax", "2")
    until(page, "location.search", "pmax=2")
    assert page.locator("#weights tbody tr").first.is_visible()
    facts = page.request.get(page.url.partition("index.html")[0] + "catalogue.json").json()
    small = {
        weights["name"]
        for model in facts["models"]
        for weights in model["weights"]
        if 0 < (weights.get("num_params") or model["num_params"] or 0) <= 2_000_000
    }
    assert set(names(page)) <= small
