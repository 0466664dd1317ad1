"""Write docs/sessions.md: commands and their output on a terminal of 80 columns, from the screens of the tests."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
SCREENS = ROOT / "tests" / "core" / "screens"
HEAD = """# Sessions

The output of commands on a terminal of 80 columns. Wider terminals show more columns of tables; piped output has all.
These are the screens that the tests compare, written by `scripts/sessions.py`.
"""
SHOWN = {
    "help": "All commands",
    "list": "Models by name",
    "list-detectors": "Models of a task, best first",
    "list-weights": "The best weights",
    "table": "All weights of a task",
    "show": "All details of one set of weights",
    "compare": "Models side by side",
    "predict": "A prediction, with packaged weights",
    "predict-help": "Help, with the options of the model's task",
    "tasks": "Tasks",
    "plugins": "Plugins",
    "misspelt-model": "A name that is misspelt",
    "misspelt-option": "An option that is misspelt",
    "missing-file": "A missing file, reported before anything is loaded",
}


def page() -> str:
    """The page."""
    parts = [HEAD]
    for name, title in SHOWN.items():
        parts.append(f"## {title}\n\n```console\n{(SCREENS / f'{name}.80.txt').read_text()}```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    (ROOT / "docs" / "sessions.md").write_text(page())
