"""Write docs/cli.md: every command of the core and of this repository's plugins, from the commands themselves."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(path) for path in sorted(ROOT.glob("plugins/*/src")) if str(path) not in sys.path]

HEAD = """# Command line

Every command of `zoo`, as its `--help` has it. This page is written by `scripts/cli_reference.py`.
[Sessions](sessions.md) shows what they print.

The exit status is 0, or 1 where something went wrong (it is named on stderr); 2 is a command that was typed wrongly,
130 one that was ended by Ctrl-C. On a terminal there is colour, unless `NO_COLOR` is set, and tables fit its width;
piped output is plain, with all columns. Long work shows on stderr how far it is; where that is no terminal, or `CI` is
set, in plain lines. Models are named as any table prints them: `resnet50`, `classification/resnet50`,
`resnet50.IMAGENET1K_V2`, `ResNet50_Weights.IMAGENET1K_V2`. `zoo completion` makes a shell complete all of it.
"""


def commands() -> Iterator[tuple[str, str, Any]]:
    """Heading, how it is typed, and the command."""
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
