"""Commands that plugins bring, beside the core's own: found by name, imported when they run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, get_type_hints

import typer
from typer.core import TyperGroup
from typer.main import get_command

from zoo import registry
from zoo.cli import output
from zoo.contract import Command, load_object
from zoo.errors import PluginError, harmless, suggest, told
from zoo.registry import PluginRecord
from zoo.registry.first_party import commands_of_ours

CORE = "Commands"


class Commands(TyperGroup):
    """The core's commands, which plugins cannot take away; then theirs, each under the package that brings it."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _saying_what_was_interrupted():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _saying_what_was_interrupted():
            return super().invoke(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        found = registry.find_command(cmd_name)
        if found is None:
            distribution = commands_of_ours().get(cmd_name)
            if distribution is not None:
                ctx.fail(f"{cmd_name!r} comes with {distribution}, which is not installed: pip install {distribution}")
            if near := suggest(cmd_name, [name for name, _, _ in self._plugged()]):
                ctx.fail(f"No such command {cmd_name!r}.{near}")
            return None
        try:
            command = load_object(found.target)
            if not isinstance(command, typer.Typer):
                function, command = command, typer.Typer(add_completion=False, rich_markup_mode=None)
                reads = (
                    typer.Context in get_type_hints(function).values()
                )  # the rest: options of a task, see read_options
                settings = {"ignore_unknown_options": reads, "allow_extra_args": reads}
                command.command(cmd_name, context_settings=settings)(function)
            return _with_harmless_help(get_command(command))
        except KeyboardInterrupt as e:
            raise KeyboardInterrupt(f"the command {cmd_name!r}, {found.target!r}, was imported.") from e
        except (Exception, SystemExit) as e:  # whatever a plugin's own code raises
            raise PluginError(f"The command {cmd_name!r} cannot be loaded: {told(e)}") from e

    def _plugged(self) -> list[tuple[str, Command, PluginRecord]]:
        """What plugins bring, by the names that work: full ones where the bare one is the core's own."""
        return [(f"{r.name}:{c.name}" if name in self.commands else name, c, r) for name, c, r in registry.commands()]

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *(name for name, _, _ in self._plugged())]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        own = super().list_commands(ctx)
        sections = {CORE: [(name, self.commands[name].get_short_help_str(200)) for name in own]}
        for name, command, record in self._plugged():
            sections.setdefault(f"From {harmless(record.distribution or record.name, line=True)}", []).append(
                (name, harmless(command.summary, line=True))
            )
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


@contextlib.contextmanager
def _saying_what_was_interrupted() -> Iterator[None]:
    """Of a Ctrl-C that says where it came: typer keeps the exit status alone."""
    try:
        yield
    except KeyboardInterrupt as e:
        if str(e):
            output.complain(f"Interrupted: {e}", "yellow")
            e.args = ()
        raise


def _with_harmless_help(command: Any) -> Any:
    """A plugin's command, its help and that of its subcommands shown as what they are: a stranger's text."""
    get_help = command.get_help
    command.get_help = lambda ctx: harmless(get_help(ctx))
    for name, sub in getattr(command, "commands", {}).items():
        command.commands[name] = _with_harmless_help(sub)
    return command
