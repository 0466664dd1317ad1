"""Plugins import only public, documented names of the core and of each other, which third parties can use too."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "plugins.md").read_text()
SECTION = GUIDE.split("### What a plugin may use\n")[1].split("\n### ")[0]
PUBLIC = {*re.findall(r"`(zoo(?:\.\w+)*)`", SECTION)}


def imports(file: Path) -> list[tuple[str, str]]:
    """Module and name of everything imported from zoo and its plugins, including ``zoo.name`` in the text."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and re.match(r"zoo(\.|_|$)", node.module or ""):
            found += [(str(node.module), alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names if re.match(r"zoo\.", alias.name)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "zoo":
            found.append(("zoo", node.attr))
    return found


def test_plugins_import_public_names_alone() -> None:
    wrong, seen = [], 0
    for file in sorted([*ROOT.glob("plugins/*/src/**/*.py"), *ROOT.glob("examples/*/src/**/*.py")]):
        own = file.relative_to(ROOT).parts[file.relative_to(ROOT).parts.index("src") + 1]
        for module, name in imports(file):
            if module.partition(".")[0] == own:
                continue
            seen += 1
            if (name.startswith("_") and name != "__version__") or any(
                part.startswith("_") for part in module.split(".")
            ):
                wrong.append(f"{file.name}: {module}.{name} is private")
            elif module.partition(".")[0] == "zoo" and module not in PUBLIC:
                wrong.append(f"{file.name}: {module} is not among what docs/plugins.md lets plugins use")
            elif name and not documented(module, name):
                wrong.append(f"{file.name}: {module}.{name} has no docstring")
    assert not wrong, "\n".join(wrong)
    assert seen > 300


def documented(module: str, name: str) -> bool:
    found = getattr(importlib.import_module(module), name)
    return not (inspect.isfunction(found) or inspect.isclass(found)) or bool(inspect.getdoc(found))


def test_nouns_never_import_verbs() -> None:
    for file in ROOT.glob("plugins/*/src/**/*.py"):
        package = file.relative_to(ROOT).parts[1]
        if package not in ("tools", "training"):
            verbs = ("zoo_tools", "zoo_training")
            assert not [module for module, _ in imports(file) if module.startswith(verbs)], file
