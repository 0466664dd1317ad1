"""The command line: ``zoo list · table · show · predict · run · pull · cache · lock · …``, and what plugins bring.

Commands read arguments, call the library and print. Each returns its exit status: 0, or 1 where something went wrong
(it is named on stderr); 2 is a command that was typed wrongly, 130 one that was ended by Ctrl-C.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

import zoo
from zoo.cli import cache, doctor, files, listing, output, predicting, running, verifying
from zoo.cli.plugged import Commands
from zoo.errors import ZooError, harmless

# Without markup neither help nor usage errors need rich, which takes longer to import than most commands to run.
app = typer.Typer(
    name="zoo",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("list")(listing.list_models)
app.command("table")(listing.table)
app.command("show")(listing.show)
app.command("predict", context_settings={"ignore_unknown_options": True})(predicting.predict)
app.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(running.run)
for command in (files.pull, files.lock, files.bundle, files.unbundle):
    app.command()(command)
app.add_typer(cache.app, name="cache")
app.command("doctor")(doctor.doctor)
app.command("verify-plugin")(verifying.verify_plugin)


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
    """Vision models from every installed plugin: find, describe, fetch and run them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        arguments: by default those of this process.

    With ``ZOO_DEBUG=1`` an error is raised with its traceback in place of one line on stderr.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a label or path may be beyond the terminal's encoding
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: output.complain(f"Warning: {message}", "yellow")
        try:
            given = None if arguments is None else list(arguments)
            status = app(given, prog_name="zoo", standalone_mode=False)
            sys.stdout.flush()  # here, where a closed pipe can be told from an error
            return int(status or 0)
        except (KeyboardInterrupt, typer.Abort):
            print(file=sys.stderr)
            return 130
        except BrokenPipeError:  # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (ZooError, OSError) as e:
            if os.environ.get("ZOO_DEBUG", "0") not in ("", "0"):
                raise
            output.print_error(e)
            return 1
        except Exception as e:
            # A command that was typed wrongly; the class is click's, or in later versions of typer a copy of its own.
            if not (hasattr(e, "show") and hasattr(e, "exit_code")):
                raise
            shown = io.StringIO()
            e.show(shown)
            output.say(output.Painted(harmless(shown.getvalue())), end="", err=True)
            return int(e.exit_code)
