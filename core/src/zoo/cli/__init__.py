"""The command line, and what a plugin's command needs to read its options and to print in the same way.

A command is a Typer app, or a function for a Typer app, that a manifest names (:class:`zoo.Command`). It returns its
exit status; errors of :mod:`zoo.errors` that it raises are printed as one line on stderr.
"""

from __future__ import annotations

from zoo.cli.app import app, main
from zoo.cli.checking import check_device, check_there, find_model, needs_weights, read_weights
from zoo.cli.helping import reads_options
from zoo.cli.options import (
    Categories,
    Compile,
    Device,
    Dtype,
    EngineName,
    Set,
    for_builder,
    for_computing,
    read_assignments,
    read_categories,
    read_options,
)
from zoo.cli.output import (
    NONE,
    complain,
    counted,
    megabytes,
    number,
    on_terminal,
    paint,
    print_error,
    print_facts,
    print_json,
    say,
)
from zoo.cli.sinks import Coco
from zoo.cli.tables import Column, print_markdown, print_table
from zoo.cli.working import Work, working

__all__ = [
    "NONE",
    "Categories",
    "Coco",
    "Column",
    "Compile",
    "Device",
    "Dtype",
    "EngineName",
    "Set",
    "Work",
    "app",
    "check_device",
    "check_there",
    "complain",
    "counted",
    "find_model",
    "for_builder",
    "for_computing",
    "main",
    "megabytes",
    "needs_weights",
    "number",
    "on_terminal",
    "paint",
    "print_error",
    "print_facts",
    "print_json",
    "print_markdown",
    "print_table",
    "read_assignments",
    "read_categories",
    "read_options",
    "read_weights",
    "reads_options",
    "say",
    "working",
]
