"""Every code block of the README, and of the first pages it links to, works as stated."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pages
import pytest
from pages import ROOT

README = (ROOT / "README.md").read_text()


def blocks(page: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in pages.blocks(page) if not block.reason]


BLOCKS = blocks("README.md")
FILES = {code.split("\n", 1)[0].removeprefix("# "): code for _, code in BLOCKS if re.match(r"# [\w.]+\n", code)}
START, TORCHVISION = "docs/start.md", "docs/torchvision.md"
SHELL = [line for kind, code in [*BLOCKS, *blocks(START)] if kind == "sh" for line in code.splitlines()]


def test_every_block_is_of_a_kind_that_is_run_here():
    assert {kind for kind, _ in BLOCKS} == {"python", "sh", "toml"}
    assert set(FILES) == {"acme.py", "acme_net.py", "pyproject.toml"}


def test_python(tmp_path, monkeypatch):
    """The programs, in order, in one process, in the folder of the example pictures."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    program = "\n".join(code for kind, code in BLOCKS if kind == "python" and code not in FILES.values())
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True, env=os.environ
    )
    said = re.findall(r"^print\(.*\)  # (.*)$", program, re.MULTILINE)
    for want, got in zip(said, done.stdout.splitlines(), strict=True):
        assert re.fullmatch(".*".join(map(re.escape, want.split("…"))), got), got
    assert len(said) == 2
    assert (tmp_path / "coffee.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("page", "printed"),
    [(START, "circle"), (TORCHVISION, "2 tensors reinitialised, to be trained: classifier.1")],
)
def test_python_of_the_first_pages(page, printed, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    program = "\n".join(code for kind, code in blocks(page) if kind == "python")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert printed in done.stdout


def test_the_table_of_differences_is_what_the_tests_say():
    command = [sys.executable, str(ROOT / "scripts" / "differences.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pages_that_are_named_are_there():
    pages = (ROOT / "README.md", ROOT / "docs/start.md", ROOT / "docs/torchvision.md")
    links = [page.parent / link for page in pages for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text())]
    assert len(links) > 10
    assert [str(link) for link in links if not link.exists()] == []


def test_the_readme_opens_with_one_screen():
    """A picture of real predictions, two commands, three lines of Python, and a plugin; then the promises."""
    opening, _, rest = README.partition("## A plugin in a dozen lines")
    assert len(opening.splitlines()) <= 40
    assert opening.split("\n\n")[1].startswith("![")
    kinds = [(block.kind, pages.lines_of(block.text)) for block in pages.blocks("README.md")[:2]]
    assert [(kind, len(lines)) for kind, lines in kinds] == [("sh", 2), ("python", 4)]  # import, and three lines
    assert rest[rest.index("## ") :].startswith("## What it promises, and what was measured\n")
    assert len(README.splitlines()) < 140


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("zoo ")])
def test_shell(line, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(line)], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout


@pytest.mark.parametrize("line", sorted(set(re.findall(r"`(make [a-z]+)`", README))))
def test_make_targets_exist(line):
    """Run as a dry run, because ``make test`` runs this test."""
    command = shlex.split(line)
    done = subprocess.run([*command, "--dry-run"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "zoo predict" in done.stdout or "pytest" in done.stdout


def test_the_plugin(tmp_path):
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    for name, code in FILES.items():
        (source / name).write_text(code)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*command, str(site), str(source)], check=True)
    program = (
        "import zoo; assert 'acme_net' in zoo.list_models(); "
        "print(zoo.get_model('acme_net', num_classes=4)[3].out_features, zoo.model_info('acme_net').full_name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(site)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["4", "acme/acme_net"]
    lines = [line for name, code in FILES.items() if name.endswith(".py") for line in pages.lines_of(code)]
    assert len(lines) <= 12
