"""A newcomer's first ten minutes: the README is followed in an empty environment, with the wheels that it installs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pages
import pytest
from pages import DISTRIBUTIONS, ROOT

from zoo.registry.first_party import FIRST_PARTY

README = pages.blocks("README.md")
FILES = {match[1]: block.text for block in README if (match := re.match(r"# ([\w.]+)\n", block.text))}
PROGRAMS = [block.text for block in README if block.kind == "python" and block.text not in FILES.values()]
COMMANDS = [line for block in README if block.kind == "sh" for line in pages.lines_of(block.text)]
Run = Callable[..., str]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of this repository's packages: what an index would have."""
    folder = tmp_path_factory.mktemp("index")
    sources = [ROOT / "core", *(path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml")))]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), *map(str, sources)], check=True)
    assert len(list(folder.glob("*.whl"))) == len(DISTRIBUTIONS)
    return folder


@pytest.fixture(scope="module")
def newcomer(wheels: Path, site_without_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A folder with the repository's examples, and a shell with a new environment: torch is there, zoo is not."""
    place = tmp_path_factory.mktemp("newcomer")
    for folder in ("images", "videos"):
        shutil.copytree(ROOT / "examples" / folder, place / "examples" / folder)
    subprocess.run([sys.executable, "-m", "venv", place / "venv"], check=True)
    (site,) = (place / "venv").glob("lib/python*/site-packages")
    for bundled in site.glob("setuptools*"):  # with venv of Python 3.11; torch needs a newer one, which is installed
        shutil.rmtree(bundled)
    (site / "here.pth").write_text(f"{site_without_zoo}\n")
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ZOO_", "PIP_", "PYTHON"))},
        "PATH": os.pathsep.join([str(place / "venv/bin"), os.environ["PATH"]]),
        "TORCH_HOME": str(place / "cache"),
        "ZOO_OFFLINE": "1",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_BUILD_ISOLATION": "0",  # the build backend is there
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }

    def run(line: str, *, folder: Path = place) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line], cwd=folder, env=variables, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    empty = "import importlib.util as u; print(u.find_spec('zoo'), u.find_spec('torch') is not None)"
    assert run(f'python -c "{empty}"') == "None True\n"
    return place, run


@pytest.fixture(scope="module")
def followed(newcomer: tuple[Path, Run]) -> dict[str, str]:
    """Each command of the README in order, with what it prints; the seconds that all took are under ``""``."""
    _, run = newcomer
    begun = time.monotonic()
    printed = {line: run(line) for line in COMMANDS}
    return {**printed, "": str(time.monotonic() - begun)}


def test_the_commands_predict_what_the_picture_shows(followed: dict[str, str], newcomer: tuple[Path, Run]) -> None:
    place, _ = newcomer
    assert [line.split()[0] for line in COMMANDS] == ["pip", "zoo"]
    predicted = followed[COMMANDS[1]]
    caption = re.search(r"!\[(.*?)\]", (ROOT / "README.md").read_text(), re.DOTALL)
    assert caption
    shown = re.findall(r"([A-Za-z ]+?) (\d+) %", " ".join(caption[1].split()))
    assert len(shown) >= 5
    for label, share in shown:
        found = re.search(rf"(\d+\.\d+)% +{label.strip()}", predicted)
        assert found, f"{label} is not in\n{predicted}"
        assert abs(float(found[1]) - float(share)) <= 1
    assert len([file for file in (place / "out").iterdir() if file.suffix in (".jpg", ".png")]) == 3
    assert float(followed[""]) < 600


def test_what_is_installed_is_what_the_readme_names(followed: dict[str, str], newcomer: tuple[Path, Run]) -> None:
    place, run = newcomer
    assert run("python -c 'import zoo; print(zoo.__file__)'").startswith(str(place / "venv"))
    named = set(COMMANDS[0].split()[2:])
    installed = {line.split()[0] for line in run("pip list").splitlines() if line.startswith("zoo-")}
    assert named == installed
    assert named <= {"zoo-core", *(ours.distribution for ours in FIRST_PARTY)}


def test_the_programs_print_what_their_comments_say(followed: dict[str, str], newcomer: tuple[Path, Run]) -> None:
    place, run = newcomer
    (place / "first.py").write_text("\n".join(PROGRAMS))
    printed = run("python first.py").splitlines()
    said = re.findall(r"^print\(.*\)  # (.*)$", "\n".join(PROGRAMS), re.MULTILINE)
    assert len(said) >= 2
    for want, got in zip(said, printed, strict=True):
        assert re.fullmatch(".*".join(map(re.escape, want.split("…"))), got), f"{got} is not {want}"
    assert (place / "coffee.png").stat().st_size > 1000


def test_the_plugin_joins(followed: dict[str, str], newcomer: tuple[Path, Run]) -> None:
    place, run = newcomer
    (place / "acme").mkdir()
    for name, text in FILES.items():
        (place / "acme" / name).write_text(text)
    run("pip install --quiet .", folder=place / "acme")
    assert "acme_net" in run("zoo list 'acme*'")
    assert "acme" in run("zoo doctor")
    program = "import zoo; print(zoo.get_model('acme_net', num_classes=4)[3].out_features)"
    assert run(f'python -c "{program}"') == "4\n"
    assert "ok" in run("zoo verify-plugin acme --tier model")


def test_the_first_page_of_the_documentation_works_too(followed: dict[str, str], newcomer: tuple[Path, Run]) -> None:
    """docs/start.md installs more packages, and shows every task."""
    place, run = newcomer
    for block in pages.blocks("docs/start.md"):
        if block.kind == "sh":
            for line in pages.lines_of(block.text):
                assert run(line), line
        else:
            (place / "start.py").write_text(block.text)
            assert "circle" in run("python start.py")
    assert (place / "shapes.png").stat().st_size > 1000
