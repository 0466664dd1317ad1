"""Every code block of the README, and of the first pages it links to, works as stated."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(page: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


BLOCKS = blocks(README)
FILES = {code.split("\n", 1)[0].removeprefix("# "): code for _, code in BLOCKS if re.match(r"# [\w.]+\n", code)}
START, TORCHVISION = ((ROOT / "docs" / f"{page}.md").read_text() for page in ("start", "torchvision"))
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
    assert done.stdout.startswith("7 [('7', 0.9")
    assert (tmp_path / "seven.png").stat().st_size > 1000


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


def test_what_the_comments_say_is_printed():
    import zoo

    shown = re.search(r"^# (\[.*\])$", README, re.MULTILINE)
    assert repr(zoo.list_models(include="resnet*", min_metrics={"acc@1": 80})) == shown[1]


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("zoo ")])
def test_shell(line):
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(line)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout


@pytest.mark.parametrize("line", [line for line in SHELL if not line.startswith("zoo ")])
def test_make_targets_exist(line):
    """Run as a dry run, because ``make test`` runs this test."""
    command = shlex.split(line, comments=True)
    assert command[0] == "make"
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
    assert sum(len(code.splitlines()) for name, code in FILES.items() if name.endswith(".py")) <= 30
