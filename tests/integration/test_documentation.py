"""The documentation: every page is linked, every variable documented, and the first page's programs run."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from zoo.files.policy import Policy

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [p for p in sorted(DOCS.rglob("*.md")) if "generated" not in p.parts and "_build" not in p.parts]


def test_every_page_is_in_a_table_of_contents() -> None:
    reached = {DOCS / "index.md"}
    left = list(reached)
    while left:
        page = left.pop()
        for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.splitlines():
                if not line or line.startswith(":"):
                    continue
                found = (page.parent / f"{line}.md").resolve()
                if "generated" in found.parts:
                    continue
                assert found.is_file(), f"{page.name} names {line}"
                if found not in reached:
                    reached.add(found)
                    left.append(found)
    assert set(PAGES) == reached


def test_links_between_pages_lead_somewhere() -> None:
    checked = 0
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, fragment = link.partition("#")
            if "://" in link or "generated/" in link:
                continue
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name} links to {link}"
            if fragment and target.suffix == ".md":
                titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
                slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
                assert fragment in slugs, f"{page.name} links to {link}"
            checked += 1
    assert checked > 40


def test_every_environment_variable_is_documented() -> None:
    sources = [*(ROOT / "core/src").rglob("*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    named = {name for path in sources for name in re.findall(r"\bZOO_[A-Z_]*[A-Z]\b", path.read_text())}
    named |= {f"ZOO_{rule.name.upper()}" for rule in dataclasses.fields(Policy)}
    page = (DOCS / "reference/environment.md").read_text()
    assert {name for name in named if f"`{name}" not in page} == set()
    documented = set(re.findall(r"\bZOO_[A-Z_]*[A-Z]\b", page))
    assert documented == named


def test_modules_with_a_reference_page_are_those_that_plugins_may_use() -> None:
    written = re.search(r"MODULES = \((.*?)\)", (DOCS / "reference_pages.py").read_text(), re.DOTALL)
    assert written
    modules = re.findall(r"zoo\.\w+", written[1])
    index = (DOCS / "reference/index.md").read_text()
    assert [m for m in modules if f"generated/{m}\n" not in index] == []
    promised = (DOCS / "plugins.md").read_text().split("### What a plugin may use")[1].split("###")[0]
    for module in modules:
        assert f"`{module}`" in promised, module
