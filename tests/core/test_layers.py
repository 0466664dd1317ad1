"""The order of the core's layers and the absence of import circles, read off the imports, function-level ones too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from layers import LAYERS

import zoo

ROOT = Path(__file__).parents[2]
PACKAGES = {
    path.name: path for path in sorted([*ROOT.glob("core/src/*"), *ROOT.glob("plugins/*/src/*")]) if path.is_dir()
}
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules(package: str) -> dict[str, Path]:
    files = sorted(PACKAGES[package].rglob("*.py"))
    names = [".".join((package, *f.relative_to(PACKAGES[package]).with_suffix("").parts)) for f in files]
    return {name.removesuffix(".__init__"): file for name, file in zip(names, files, strict=True)}


def imported(file: Path, known: dict[str, Path]) -> set[str]:
    """The modules among ``known`` that ``file`` imports, wherever in it; ``zoo.name`` is where ``zoo`` gets it from."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name != "zoo"}
        elif isinstance(node, ast.ImportFrom):
            for name in (alias.name for alias in node.names):
                full = f"{node.module}.{name}"
                found.add(
                    full if full in known else zoo._LAZY.get(name, "zoo") if node.module == "zoo" else node.module
                )
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "zoo":
            full = f"zoo.{node.attr}"
            found.add(full if full in known else zoo._LAZY.get(node.attr, "zoo"))
    return found & known.keys()


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected parts of more than one module: what each can reach and be reached from."""
    reach = {start: set(graph[start]) for start in graph}
    for middle in graph:
        for start in graph:
            if middle in reach[start]:
                reach[start] |= reach[middle]
    parts = {frozenset(b for b in reach[a] if a in reach[b]) for a in graph if a in reach[a]}
    return sorted(sorted(part) for part in parts)


def test_lower_layers_of_the_core_never_import_upper_ones() -> None:
    known = modules("zoo")
    wrong = []
    for name, file in known.items():
        layer = name.split(".")[1] if "." in name else "__init__"
        for other in imported(file, known):
            above = other.split(".")[1] if "." in other else "__init__"
            if layer != "__init__" and LEVEL[above] > LEVEL[layer]:
                wrong.append(f"{name} imports {other}")
    assert not wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    known = modules(package)
    assert circles({name: imported(file, known) - {name} for name, file in known.items()}) == []


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
