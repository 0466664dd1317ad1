"""Help: the page of a command, made from the command and printed by rich.

A command's docstring is its page: the first paragraph is the summary, paragraphs that begin with ``\\b`` keep their
lines, and the lines below ``Examples:`` are commands to copy. Options are grouped by their
``rich_help_panel``.
"""

from __future__ import annotations

import enum
import inspect
import io
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from zoo import registry
from zoo.cli import output
from zoo.contract import TaskSpec
from zoo.errors import ZooError, harmless

WIDEST = 110  # columns; longer lines are hard to read
F = TypeVar("F", bound=Callable[..., Any])

given: ContextVar[tuple[str, ...]] = ContextVar("given", default=())  # the words of the current command line


def reads_options(*verbs: str) -> Callable[[F], F]:
    """Decorate a command that takes a task's options for these verbs (see :func:`zoo.cli.read_options`): its help shows
    the options of the model that is named beside ``--help``, and its shell completion completes them.

    >>> @cli.reads_options("predict", "evaluate")
    ... def evaluate(context: typer.Context, model: str): ...
    """

    def mark(function: F) -> F:
        function.zoo_verbs = verbs  # type: ignore[attr-defined]
        return function

    return mark


def verbs_of(command: Any) -> tuple[str, ...]:
    return getattr(getattr(command, "callback", None), "zoo_verbs", ())


@dataclass
class Page:
    """A command's help, before it is formatted.

    Attributes:
        usage: ``zoo predict [OPTIONS] PATH...``
        summary: the first paragraph.
        text: further paragraphs; those whose lines are kept begin with a line break.
        examples: commands to copy.
        sections: title → rows: what to type, and what it does.
    """

    usage: str
    summary: str
    text: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    sections: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def page_of(command: Any, path: str, task: TaskSpec | None = None) -> Page:
    """The page of the command ``path``, with the options of ``task`` after its own."""
    summary, text, examples = read_docstring(command.help or "")
    page = Page(" ".join([path, *_usage(command)]), summary, text, examples)
    arguments = [p for p in command.params if p.param_type_name == "argument" and not getattr(p, "hidden", False)]
    for param in arguments:
        if getattr(param, "help", None):
            page.sections.setdefault("Arguments", []).append((_metavar(param), _help(param)))
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    panels: dict[str, list[tuple[str, str]]] = {}
    for param in options:
        panel = getattr(param, "rich_help_panel", None) or "Options"
        panels.setdefault(panel, []).append((spelt(param), _help(param)))
    panels.setdefault("Options", []).append(("--help", "Show this help."))
    first = {"Options": panels.pop("Options")}
    page.sections |= first | panels
    if verbs := verbs_of(command):
        if task is None:
            page.text.append("Each task has further options: add a model to --help to see those of its task.")
        else:
            rows = [
                (f"--{o.name.replace('_', '-')} {_kind(o.type)}".rstrip(), _default(o.help, o.default))
                for o in task.options_of(*verbs).values()
            ]
            page.sections[f"Options of {task.name}"] = rows or [("none", "")]
    return page


def read_docstring(text: str) -> tuple[str, list[str], list[str]]:
    """The summary, the other paragraphs and the examples of a docstring."""
    text = inspect.cleandoc(text).partition("\f")[0]
    text, _, tail = text.partition("\nExamples:\n")
    block = re.match(r"(?:[ \t]+.*\n?|\n)*", tail)
    examples = [line.strip() for line in (block[0] if block else "").splitlines() if line.strip()]
    text += tail[block.end() :] if block else ""
    paragraphs = []
    for part in re.split(r"\n\s*\n", text.strip()):
        kept = part.startswith("\b")
        part = part.removeprefix("\b").strip("\n")
        paragraphs.append(f"\n{part}" if kept else " ".join(part.split()))
    return paragraphs[0].strip(), [p for p in paragraphs[1:] if p.strip()], examples


def summary_of(command: Any) -> str:
    """A command's line in a list of commands."""
    return str(command.short_help or read_docstring(command.help or "")[0])


def _usage(command: Any) -> Iterator[str]:
    yield "[OPTIONS]"
    for param in command.params:
        if param.param_type_name == "argument" and not getattr(param, "hidden", False):
            yield f"[{_metavar(param)}]" if not param.required else _metavar(param)
    if hasattr(command, "commands"):
        yield "COMMAND"


def _metavar(param: Any) -> str:
    name = (param.metavar or param.name).upper() if not param.metavar else param.metavar
    return f"{name}..." if param.nargs == -1 and not name.endswith("...") else name


def spelt(param: Any) -> str:
    """An option as it is typed: ``-o, --output FILE``."""
    names = ", ".join(sorted(param.opts, key=len))
    if param.secondary_opts:
        names += f" / {', '.join(param.secondary_opts)}"
    if param.is_flag or getattr(param, "count", False):
        return names
    return f"{names} {param.metavar or _kind_of(param)}"


def choices_of(param: Any) -> list[str]:
    """The possible values of an option or argument, if it lists them. Versions of typer store them differently."""
    kept = getattr(param, "type_descriptor", None) or getattr(param, "type", None)
    return [str(getattr(choice, "value", choice)) for choice in getattr(kept, "choices", None) or ()]


def _type_of(param: Any) -> str:
    about = getattr(param, "type_descriptor", None)
    if about is None:
        return str(param.type.name)
    return "path" if about.is_path else str(param.bare_type())


def _kind_of(param: Any) -> str:
    if choices := choices_of(param):
        return "|".join(choices)
    name = _type_of(param)
    if "int" in name:
        return "N"
    if "float" in name:
        return "X"
    own: str = max(param.opts, key=len).rpartition("-")[2].upper()
    return {"path": "PATH", "file": "FILE", "directory": "DIR"}.get(name, own)


def _kind(kind: type) -> str:
    return {int: "N", float: "X", str: "TEXT", bool: "[yes|no]"}.get(kind, "")


def _help(param: Any) -> str:
    text = param.help or ""
    shown = getattr(param, "show_default", True)
    default = param.default if shown is not False else None
    if callable(default) or getattr(param, "is_flag", False) or "UNSET" in type(default).__name__.upper():
        default = None
    text = _default(text, default)
    notes = []
    if param.required and param.param_type_name == "option":
        notes.append("required")
    if getattr(param, "multiple", False) and "epeat" not in text:
        notes.append("may be repeated")
    if variable := getattr(param, "envvar", None):
        notes.append(f"or environment variable {variable}")
    return f"{text} ({', '.join(notes)})".strip() if notes else text


def _default(text: str, default: Any) -> str:
    if default is None or default is False or default in ((), "") or "y default" in text:
        return text
    value = default.value if isinstance(default, enum.Enum) else default
    return f"{text} [default: {value}]".strip()


# ── the task ─────────────────────────────────────────────────────────────────────────────────────────────────────


def task_at_hand(words: Sequence[str]) -> TaskSpec | None:
    """The task of the model that the words name, by ``--task``, ``--model`` or as an argument; None if there is
    none."""
    said = dict(_pairs(words))
    try:
        if task := said.get("--task"):
            return registry.get_task(task)
        names = [said["--model"]] if "--model" in said else [w for w in words[1:] if not w.startswith("-")]
        for name in names:
            info = registry.model_info(name) if "--model" in said or _is_model(name) else None
            if info is not None:
                return registry.get_task(info.task, plugin=info.plugin)
    except ZooError:
        return None
    return None


def _is_model(name: str) -> bool:
    now = registry.registry()
    return name in now.entries or name in now.by_bare_name or ".safetensors" in name or "_Weights." in name


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        yield name, value if equals else following


# ── output ───────────────────────────────────────────────────────────────────────────────────────────────────────


def show_with_rich(command: Any, path: str = "") -> Any:
    """Print the help of a command and its subcommands as such pages, with control characters removed."""

    def get_help(ctx: Any) -> str:
        task = task_at_hand(given.get()) if verbs_of(command) else None
        page = command.page(ctx) if hasattr(command, "page") else page_of(command, ctx.command_path, task)
        if not hasattr(command, "page"):
            for name, sub in sorted(getattr(command, "commands", {}).items()):
                if not sub.hidden:
                    page.sections.setdefault("Commands", []).append((name, summary_of(sub)))
        return laid_out(page)

    command.get_help = get_help
    for sub in getattr(command, "commands", {}).values():
        show_with_rich(sub)
    return command


def laid_out(page: Page) -> str:
    """The page as text for stdout: in colour on a terminal, and as wide as the terminal."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    out = io.StringIO()
    console = Console(
        file=out,
        width=min(output.columns(), WIDEST),
        force_terminal=output.coloured(sys.stdout),
        color_system="standard" if output.coloured(sys.stdout) else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )

    def heading(title: str) -> None:
        console.print()
        console.print(Text(f"{harmless(title, line=True)}:", style="bold yellow"))

    console.print(Text("Usage: ", style="bold yellow") + Text(harmless(page.usage, line=True), style="bold"))
    if page.summary:
        console.print()
        console.print(Text(harmless(page.summary)))
    for paragraph in page.text:
        console.print()
        kept = paragraph.startswith("\n")
        shown = Text(harmless(paragraph).strip("\n"), no_wrap=kept, overflow="ignore" if kept else "fold")
        console.print(shown, soft_wrap=kept)
    if page.examples:
        heading("Examples")
        for example in page.examples:
            console.print(Padding(_example(harmless(example, line=True)), (0, 0, 0, 2)))
    for title, rows in page.sections.items():
        heading(title)
        grid = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False, expand=False)
        short = max((len(left) for left, _ in rows if len(left) <= LEFT), default=0)
        grid.add_column(width=max(short, 1), no_wrap=True)
        grid.add_column(overflow="fold")
        for left, right in rows:
            name, text = _spelt(harmless(left, line=True)), Text(harmless(right, line=True))
            if len(name) <= LEFT:
                grid.add_row(name, text)
                continue
            console.print(Padding(grid, (0, 0, 0, 2))) if grid.row_count else None
            console.print(Padding(name, (0, 0, 0, 2)), no_wrap=True, crop=False, overflow="ignore")
            columns = grid.columns
            grid = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
            grid.add_column(width=columns[0].width, no_wrap=True)
            grid.add_column(overflow="fold")
            grid.add_row(Text(), text)
        console.print(Padding(grid, (0, 0, 0, 2)))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


LEFT = 26  # characters of the first column; a longer text gets its own line


def _spelt(left: str) -> Any:
    from rich.text import Text

    shown = Text()
    for part in re.split(r"([ ,/]+)", left):
        style = "cyan" if part.startswith("-") or part.islower() else "green"
        shown.append(part, style=style if part.strip(" ,/") else "")
    return shown


def _example(line: str) -> Any:
    from rich.text import Text

    command, mark, comment = line.partition("  # ")
    return Text("$ ", style="dim") + Text(command, style="cyan") + Text(mark + comment, style="dim")


def as_markdown(page: Page, level: int = 2) -> str:
    """The page for the documentation."""
    parts = [f"{'#' * level} `{page.usage.partition(' [')[0]}`", page.summary, f"```text\n{page.usage}\n```"]
    for paragraph in page.text:
        parts.append(f"```text{paragraph}\n```" if paragraph.startswith("\n") else _escaped(paragraph))
    if page.examples:
        parts.append("```console\n" + "\n".join(f"$ {line}" for line in page.examples) + "\n```")
    for title, rows in page.sections.items():
        parts.append(f"**{title}**")
        parts.append(
            "\n".join(["| | |", "| --- | --- |", *(f"| `{_cell(a)}` | {_escaped(_cell(b))} |" for a, b in rows)])
        )
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    return re.sub(r"(?<![\\`])([<>*_])", r"\\\1", text)
