"""Options that belong to a task (``--clips 4``) or a builder (``--set``) and not to a command."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import registry
from zoo.contract import TaskSpec
from zoo.errors import InvalidArgument, suggest


def read_options(
    context: typer.Context, words: Iterable[str], task: TaskSpec, *verbs: str
) -> tuple[list[str], dict[str, Any]]:
    """The words that are not options, and the values of the options.

    Args:
        context: the command's; its own options are suggested for misspelt ones.
        words: those that the command did not parse itself.
        task: the task that has the options.
        verbs: selects the options: those for ``"predict"``, for ``"evaluate"``, ….
    """
    others: list[str] = []
    values: dict[str, Any] = {}
    known = {name.replace("_", "-"): option for name, option in task.options_of(*verbs).items()}
    left = iter(words)
    for word in left:
        if not word.startswith("-") or word == "-" or Path(word).exists():
            others.append(word)
            continue
        spelt, given, text = word.partition("=")
        option = known.get(spelt.removeprefix("--").replace("_", "-"))
        if option is None:
            every = {f"--{name}" for name in known}
            has = f" {task.name} has {', '.join(sorted(every))}." if every else ""
            own = {name for parameter in context.command.params for name in parameter.opts}
            raise typer.BadParameter(f"No such option: {spelt}.{has}{suggest(spelt, every | own)}")
        if not given:
            following = "true" if option.type is bool else next(left, None)
            if following is None:
                raise typer.BadParameter(f"{spelt} needs a value. {option.help}")
            text = following
        try:
            values[option.name] = option.read(text)
        except InvalidArgument as e:
            raise typer.BadParameter(str(e)) from e
    return others, values


def read_assignments(given: Iterable[str]) -> dict[str, Any]:
    """The arguments of ``--set NAME=VALUE``. Values are numbers, true, false, null or lists, as in JSON or in Python;
    else text."""
    values: dict[str, Any] = {}
    for argument in given:
        name, equals, text = argument.partition("=")
        if not (equals and name.isidentifier()):
            raise typer.BadParameter(f"--set {argument}: expected NAME=VALUE, such as num_classes=6.")
        values[name] = _value(text)
    return values


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:  # Python's notation: True, None, (1, 2)
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return text if isinstance(found, bytes | set | complex) or found is ... else found


def read_categories(file: Path) -> list[str]:
    """The class names in a file: one per line, in label order, or a list in JSON.

    Raises:
        InvalidArgument: the file cannot be read, or contains no names.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        names = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except (OSError, ValueError, RecursionError) as e:
        raise InvalidArgument(f"--categories {file} cannot be read: {e}") from e
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InvalidArgument(
            f"--categories {file}: expected one name per line without empty lines, or a JSON list of names."
        )
    return list(names)


def for_builder(arguments: Iterable[str] | None, categories: Path | None) -> dict[str, Any]:
    """``--set`` and ``--categories`` as keyword arguments of :func:`zoo.pipeline`."""
    return read_assignments(arguments or ()) | (
        {} if categories is None else {"categories": read_categories(categories)}
    )


PRECISIONS = ("float32", "bfloat16", "float16")


def for_computing(dtype: str | None, engine: str, compile: bool) -> dict[str, Any]:  # noqa: A002  as of zoo.pipeline
    """``--dtype``, ``--engine`` and ``--compile`` as keyword arguments of :func:`zoo.pipeline`, checked without torch;
    empty if no option is given.

    Raises:
        InvalidArgument: no such precision or engine.
        MissingPlugin: a module that the engine needs is not installed.
    """
    if dtype is not None and dtype not in PRECISIONS:
        raise typer.BadParameter(f"--dtype is {dtype!r}; expected one of {', '.join(PRECISIONS)}.")
    if compile and engine not in ("torch", "compile"):
        raise typer.BadParameter(f"--engine {engine} and --compile name two engines; remove one of them.")
    engine = "compile" if compile else engine
    registry.usable_engine(engine)
    given = {"dtype": dtype if dtype != "float32" else None, "engine": engine if engine != "torch" else None}
    return {name: value for name, value in given.items() if value is not None}


COMPUTE = "Computing"
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Compute on cpu, cuda, cuda:1 or mps; auto takes the best available.",
        rich_help_panel=COMPUTE,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="|".join(PRECISIONS),
        help="Compute in this precision, by default the model's own.",
        rich_help_panel=COMPUTE,
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        help="Compute with this engine; `zoo doctor` lists them.",
        rich_help_panel=COMPUTE,
    ),
]
Compile = Annotated[bool, typer.Option("--compile", help="Compute with --engine compile.", rich_help_panel=COMPUTE)]
BUILDER = "The model's builder"
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Give the builder an argument: --set num_classes=6.",
        rich_help_panel=BUILDER,
    ),
]
Categories = Annotated[
    Path | None,
    typer.Option(
        "--categories",
        metavar="FILE",
        help="Read the class names from this file, in label order: one per line, or a JSON list.",
        rich_help_panel=BUILDER,
    ),
]
