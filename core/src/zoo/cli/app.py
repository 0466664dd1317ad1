"""The command line: ``zoo list · show · compare · predict · pull · …``, and the commands of plugins.

Commands read arguments, call the library and print. Each returns its exit status: 0 for success, 1 for an error
(reported on stderr), 2 for a command with wrong arguments, 130 for a command ended by Ctrl-C.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.main import get_command

import zoo
from zoo.cli import (
    cache,
    comparing,
    completion,
    doctor,
    files,
    helping,
    listing,
    offering,
    output,
    predicting,
    running,
    showing,
    tabling,
    verifying,
)
from zoo.cli.plugged import Commands
from zoo.errors import ZooError, harmless
from zoo.files import receiving

# Typer's own markup is off: zoo.cli.helping formats the help. Errors are printed without rich, which takes longer to
# import than most commands take to run.
app = typer.Typer(
    name="zoo",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
FIND, RUN, FILES, CHECK = "Find a model", "Run it", "Files of weights", "This installation"
app.command("list", rich_help_panel=FIND)(listing.list_models)
app.command("table", rich_help_panel=FIND)(tabling.table)
app.command("show", rich_help_panel=FIND)(showing.show)
app.command("compare", rich_help_panel=FIND)(comparing.compare)
app.command("tasks", rich_help_panel=FIND)(offering.tasks)
UNKNOWN = {"ignore_unknown_options": True}
app.command("predict", context_settings=UNKNOWN, rich_help_panel=RUN)(predicting.predict)
app.command("run", context_settings={**UNKNOWN, "allow_interspersed_args": False}, rich_help_panel=RUN)(running.run)
for command in (files.pull, files.lock, files.bundle, files.unbundle):
    app.command(rich_help_panel=FILES)(command)
app.add_typer(cache.app, name="cache", rich_help_panel=FILES)
app.command("plugins", rich_help_panel=CHECK)(offering.plugins)
app.command("doctor", rich_help_panel=CHECK)(doctor.doctor)
app.command("verify-plugin", rich_help_panel=CHECK)(verifying.verify_plugin)
app.command("completion", rich_help_panel=CHECK)(completion.completion)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"zoo {zoo.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find, fetch and run vision models of every installed plugin.

    Examples:
        zoo list --task object-detection
        zoo show resnet50
        zoo predict dog.jpg --model resnet50
    """


def _show_traceback(*error: Any) -> None:
    """The message of an unexpected exception; its text may come from a file or a plugin."""
    output.say(output.Painted(harmless("".join(traceback.format_exception(*error)))), end="", err=True)


def _print_usage_error(e: Any) -> None:
    """Print what is wrong with the arguments and where the help is, or the help if there were no arguments."""
    context = getattr(e, "ctx", None)
    if type(e).__name__ == "NoArgsIsHelpError" and context is not None:
        output.say(output.Painted(context.get_help()), err=True)
        return
    output.complain(f"Error: {e.format_message().removeprefix('Invalid value: ')}", "red")
    if context is not None:
        output.note(f"`{context.command_path} --help` shows how to use it.", err=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        arguments: by default those of this process.

    With ``ZOO_DEBUG=1`` an error is raised with its traceback instead of being printed as one line on stderr.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors=output.SPELT_OUT
            )  # the terminal's encoding may lack characters of a label or path
    receiving.lines.set(True)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: output.complain(f"Warning: {message}", "yellow")
        try:
            given = None if arguments is None else list(arguments)
            helping.given.set(tuple(sys.argv[1:] if given is None else given))
            if completion.asked():
                return completion.answer(get_command(app))
            status = app(given, prog_name="zoo", standalone_mode=False)
            sys.stdout.flush()  # here, where a closed pipe is not mistaken for an error
            return int(status or 0)
        except typer.Abort:
            return 130
        except KeyboardInterrupt as e:
            output.interrupted(str(e))
            return 130
        except BrokenPipeError:  # the reader of our output has closed the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (ZooError, OSError) as e:
            if os.environ.get("ZOO_DEBUG", "0") not in ("", "0"):
                raise
            output.print_error(e)
            return 1
        except Exception as e:
            # A command with wrong arguments. The class is click's, or in later versions of typer a copy of it.
            if not (hasattr(e, "show") and hasattr(e, "exit_code")):
                if arguments is None:  # the process ends with it
                    sys.excepthook = _show_traceback
                raise
            _print_usage_error(e)
            return int(e.exit_code)
