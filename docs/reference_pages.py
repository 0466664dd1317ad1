"""Pages that are made from the code: an API page for each module that plugins may use."""

from __future__ import annotations

import importlib
from pathlib import Path

import zoo
from zoo.registry.first_party import FIRST_PARTY

# Modules whose public names are documented; docs/plugins.md promises them. zoo itself is a page of its own.
MODULES = (
    "zoo.contract zoo.errors zoo.files zoo.registry zoo.loading zoo.nn zoo.ops zoo.transforms zoo.io zoo.draw "
    "zoo.features zoo.utils zoo.testing zoo.cli"
).split()


def write_pages(folder: Path) -> None:
    """Write them to ``folder``; files with the same content are not rewritten."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "zoo.md", _top())
    seen = {id(getattr(zoo, name)): "zoo" for name in zoo._LAZY}
    for module in MODULES:
        _write(folder / f"{module}.md", _module(module, seen))


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def _module(name: str, seen: dict[int, str]) -> str:
    """A module's public names; those that another page has already, are named with it."""
    module = importlib.import_module(name)
    public = getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")])
    known = {n: seen[id(value)] for n in public if id(value := getattr(module, n)) in seen and callable(value)}
    seen.update({id(getattr(module, n)): name for n in public if n not in known})
    text = f".. automodule:: {name}\n   :members:\n"
    if known:
        text += f"   :exclude-members: {', '.join(known)}\n"
    also = ", ".join(f"{{py:obj}}`{n} <{page}.{n}>`" for n, page in known.items())
    return f"# {name}\n\n" + (f"Also here: {also}.\n\n" if also else "") + _rst(text)


def _rst(text: str) -> str:
    return f"```{{eval-rst}}\n{text}```\n"


def _top() -> str:
    """The names of ``zoo`` by where they come from; those of other packages with what to install."""
    parts = ["# zoo\n", "`import zoo`: every name is imported when it is first used.\n"]
    modules: dict[str, list[str]] = {}
    for name, module in zoo._LAZY.items():
        modules.setdefault(module, []).append(name)
    titles = {
        "zoo.registry": "Find and build models",
        "zoo.running.pipelines": "Predict",
        "zoo.running.batches": "Predict from workers of others",
        "zoo.running.optimization": "Make it fast",
        "zoo.loading": "Load and save",
        "zoo.features": "Features",
        "zoo.running.tasks": "Tasks",
        "zoo.contract": "What plugins say",
    }
    for module, title in titles.items():
        directives = [_directive(name) for name in modules[module]]
        parts += [f"## {title}\n", _rst("\n".join(directives))]
    for ours in FIRST_PARTY:
        if ours.names:
            names = ", ".join(f"`zoo.{name}`" for name in ours.names)
            parts += [f"## With {ours.distribution}\n", f"`pip install {ours.distribution}` brings {names}.\n"]
            functions = [name for name, module in ours.names.items() if not module.endswith(f".{name}")]
            directives = [_directive(name) for name in functions if _installed(name)]
            if directives:
                parts.append(_rst("\n".join(directives)))
    return "\n".join(parts)


def _installed(name: str) -> bool:
    return getattr(zoo, name, None) is not None


def _directive(name: str) -> str:
    value = getattr(zoo, name)
    kind = "autoclass" if isinstance(value, type) else "autofunction" if callable(value) else "autodata"
    members = "   :members:\n" if kind == "autoclass" else ""
    return f".. {kind}:: zoo.{name}\n{members}"
