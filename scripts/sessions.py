"""Write docs/sessions.md: commands and what they print on a terminal of 80 columns, from the screens of the tests."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
SCREENS = ROOT / "tests" / "core" / "screens"
HEAD = """# Sessions

What commands print on a terminal of 80 columns. A wider one shows more columns of tables; piped, a table has them all.
These are the screens that the tests compare, written here by `scripts/sessions.py`.
"""
SHOWN = {
    "help": "All commands",
    "list": "Models by name",
    "list-detectors": "Models of a task, the best first",
    "list-weights": "The best weights",
    "table": "All weights of a task",
    "show": "One entry of weights in every detail",
    "compare": "Models side by side",
    "predict": "A prediction, with weights that come with the package",
    "predict-help": "Help, with the options of the model's task",
    "tasks": "Tasks",
    "plugins": "Plugins",
    "misspelt-model": "A name that is misspelt",
    "misspelt-option": "An option that is misspelt",
    "missing-file": "A file that is missing, told before anything is loaded",
}


def page() -> str:
    """The page."""
    parts = [HEAD]
    for name, title in SHOWN.items():
        parts.append(f"## {title}\n\n```console\n{(SCREENS / f'{name}.80.txt').read_text()}```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    (ROOT / "docs" / "sessions.md").write_text(page())
