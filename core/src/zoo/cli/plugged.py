"""The commands of plugins beside those of the core: found by name, imported when they run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, get_type_hints

import typer
from typer.core import TyperGroup
from typer.main import get_command

from zoo import registry
from zoo.cli import output
from zoo.cli.helping import Page, page_of, show_with_rich, summary_of
from zoo.contract import Command, load_object
from zoo.errors import PluginError, suggest, told
from zoo.registry import PluginRecord
from zoo.registry.first_party import commands_of_ours

OTHERS = "Other commands"


class Commands(TyperGroup):
    """The core's commands, which plugins cannot replace, then those of plugins, grouped by package."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.suggest_commands = False  # a feature of newer typers; get_command does it, including plugins' commands

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _saying_what_was_interrupted():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _saying_what_was_interrupted():
            return super().invoke(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return show_with_rich(own)
        found = registry.find_command(cmd_name)
        if found is None:
            distribution = commands_of_ours().get(cmd_name)
            if distribution is not None:
                ctx.fail(f"{cmd_name!r} comes with {distribution}, which is not installed: pip install {distribution}")
            if near := suggest(cmd_name, [*self.commands, *(name for name, _, _ in self.plugged())]):
                ctx.fail(f"No such command {cmd_name!r}.{near}")
            return None
        try:
            command = load_object(found.target)
            if not isinstance(command, typer.Typer):
                function, command = command, typer.Typer(add_completion=False, rich_markup_mode=None)
                reads = (
                    typer.Context in get_type_hints(function).values()
                )  # the rest are options of a task, see read_options
                settings = {"ignore_unknown_options": reads, "allow_extra_args": reads}
                command.command(cmd_name, context_settings=settings)(function)
            return show_with_rich(get_command(command))
        except KeyboardInterrupt as e:
            raise KeyboardInterrupt(f"the command {cmd_name!r}, {found.target!r}, was imported.") from e
        except (Exception, SystemExit) as e:  # anything that a plugin's code raises
            raise PluginError(f"The command {cmd_name!r} cannot be loaded: {told(e)}") from e

    def plugged(self) -> list[tuple[str, Command, PluginRecord]]:
        """The commands of plugins, by the names that work: full names where the core has the bare one."""
        return [(f"{r.name}:{c.name}" if name in self.commands else name, c, r) for name, c, r in registry.commands()]

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *(name for name, _, _ in self.plugged())]

    def page(self, ctx: Any) -> Page:
        """The help of ``zoo`` itself: commands in groups, those of plugins by package."""
        page = page_of(self, ctx.command_path)
        options = page.sections.pop("Options")
        for name in super().list_commands(ctx):
            command = self.commands[name]
            if not command.hidden:
                group = getattr(command, "rich_help_panel", None)
                title = group if isinstance(group, str) else OTHERS
                page.sections.setdefault(title, []).append((name, summary_of(command)))
        for name, plugged, record in self.plugged():
            title = f"From {record.distribution or record.name}"
            page.sections.setdefault(title, []).append((name, plugged.summary))
        page.sections["Options"] = options
        page.text.append("`zoo COMMAND --help` explains a command, with examples.")
        return page

    def get_help(self, ctx: Any) -> str:
        return str(show_with_rich(self).get_help(ctx))


@contextlib.contextmanager
def _saying_what_was_interrupted() -> Iterator[None]:
    """A Ctrl-C with a message about where it happened: typer only keeps the exit status."""
    try:
        yield
    except KeyboardInterrupt as e:
        output.interrupted(str(e))
        raise typer.Abort from None
