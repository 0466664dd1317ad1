"""The wheels of every package: built, inspected, and used outside the source tree."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import zoo

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "core", *sorted(p.parent for p in (ROOT / "plugins").glob("*/pyproject.toml"))]


def project(package: Path) -> dict:
    return tomllib.loads((package / "pyproject.toml").read_text())["project"]


def test_versions_are_in_lockstep():
    version = project(PACKAGES[0])["version"]
    assert zoo.__version__ == version
    for package in PACKAGES[1:]:
        assert project(package)["version"] == version
        ours = [d for d in project(package)["dependencies"] if d.startswith("zoo-")]
        assert ours
        assert all(d.partition("==")[2] == version for d in ours), f"{package.name} depends on {ours}"


def test_core_depends_on_no_particular_torch():
    torch = [d for d in project(ROOT / "core")["dependencies"] if d.startswith("torch")]
    assert torch == ["torch>=2.8"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*command, str(folder), *map(str, PACKAGES)], check=True)
    return {wheel.name.split("-")[0]: wheel for wheel in folder.glob("*.whl")}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_a_wheel_is_pure_typed_and_licensed(wheels, package):
    name = project(package)["name"].replace("-", "_")
    wheel = wheels[name]
    assert wheel.name.endswith("-py3-none-any.whl")
    assert wheel.stat().st_size < 8 * 2**20
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        metadata = Parser().parsestr(content.read(next(n for n in names if n.endswith("/METADATA"))).decode())
    module = "zoo" if name == "zoo_core" else name
    assert f"{module}/py.typed" in names or name == "zoo_all"  # zoo-all has only dependencies
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert all(n.startswith((f"{module}/", f"{name}-")) for n in names)
    assert not any(n.endswith((".so", ".pyd", ".c", ".cpp")) for n in names)
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata["Requires-Python"] == ">=3.11"


SMOKE = """
import sys, zoo
assert "main" not in zoo.__file__ and zoo.__file__.startswith(sys.argv[1]), zoo.__file__
assert len(zoo.list_models(plugin="classification")) == 80
assert [p.state for p in zoo.plugins()] == ["ready"] * len(zoo.plugins())
assert zoo.get_model("resnet18", weights=None, num_classes=7).fc.out_features == 7
assert zoo.get_weight("ResNet18_Weights.DEFAULT").meta["categories"][0] == "tench"
assert zoo.draw.font(12).getname()[0] == "DejaVu Sans"
"""


def test_installed_wheels_work_without_the_source_tree(wheels, site_without_zoo, tmp_path):
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, *map(str, wheels.values())], check=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(site_without_zoo)])}
    python = [sys.executable, "-S", "-W", "error::UserWarning"]
    subprocess.run([*python, "-c", SMOKE, str(site)], env=environment, cwd=tmp_path, check=True)
    digit = sorted((ROOT / "examples/images/digits").glob("*.png"))[0]
    command = [*python, "-m", "zoo", "predict", str(digit), "--model", "squeezenet1_1", "--weights", "DIGITS_V1"]
    out = subprocess.run(
        [*command, "--top", "1"], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert digit.stem.split("_")[1] in out.stdout
