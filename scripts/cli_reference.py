"""Write docs/cli.md: every command of the core and of this repository's plugins, generated from the commands."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(path) for path in sorted(ROOT.glob("plugins/*/src")) if str(path) not in sys.path]

HEAD = """# Command line

All commands of `zoo`, with the text of their `--help`. This page is written by `scripts/cli_reference.py`.
[Sessions](sessions.md) shows examples of their output.

The exit status is 0 on success, 1 after an error (reported on stderr), 2 for invalid usage, and 130 after Ctrl-C. On a
terminal, output is coloured unless `NO_COLOR` is set, and tables fit its width; piped output is plain, with all
columns. Long work shows its progress on stderr: in plain lines if stderr is not a terminal, or `CI` is set. Names of
models can be given as in any table: `resnet50`, `classification/resnet50`, `resnet50.IMAGENET1K_V2`,
`ResNet50_Weights.IMAGENET1K_V2`. `zoo completion` sets up shell completion for all of them.
"""


def commands() -> Iterator[tuple[str, str, Any]]:
    """Heading, usage, and the command."""
    import typer
    from typer.main import get_command

    from zoo.cli.app import app
    from zoo.contract import load_object
    from zoo.registry.first_party import FIRST_PARTY

    root: Any = get_command(app)
    for name, command in root.commands.items():
        group = command.rich_help_panel
        yield group, f"zoo {name}", command
        for sub_name, sub in getattr(command, "commands", {}).items():
            yield group, f"zoo {name} {sub_name}", sub
    for ours in FIRST_PARTY:
        if ours.commands:
            manifest = importlib.import_module(f"{ours.package}.plugin").zoo_manifest()
            for plugged in manifest.commands:
                heading, path, target = f"From {ours.distribution}", f"zoo {plugged.name}", load_object(plugged.target)
                if isinstance(target, typer.Typer):
                    several: Any = get_command(target)
                    yield heading, path, several
                    for sub_name, sub in several.commands.items():
                        yield heading, f"{path} {sub_name}", sub
                    continue
                single = typer.Typer(add_completion=False, rich_markup_mode=None)
                single.command(plugged.name, context_settings={"ignore_unknown_options": True})(target)
                yield heading, path, get_command(single)


def page() -> str:
    """The page."""
    from zoo.cli.helping import as_markdown, page_of, summary_of

    parts, group = [HEAD], ""
    for heading, path, command in commands():
        if heading != group:
            group = heading
            parts.append(f"## {group}\n")
        page = page_of(command, path)
        for name, sub in getattr(command, "commands", {}).items():
            page.sections.setdefault("Commands", []).append((name, summary_of(sub)))
        parts.append(as_markdown(page, 3) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    (ROOT / "docs" / "cli.md").write_text(page())
