"""The code blocks of the repository's pages: how they are found, marked, read and run.

A block that cannot run in the tests has a comment before it that says why, ``<!-- not run: needs a cluster -->``. Its
Python is compiled, and its commands are read by the real command line without running them.
"""

from __future__ import annotations

import importlib
import re
import shlex
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import typer
from typer.main import get_command

import zoo
from zoo.cli import helping
from zoo.cli.app import app
from zoo.contract import load_object
from zoo.files.http import target_path
from zoo.files.names import identity, promised_hash
from zoo.files.notes import note_path, write_verified
from zoo.registry import registry

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "core/*.md", "plugins/*/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md" and "generated" not in path.parts and "_build" not in path.parts
)
_FENCE = re.compile(
    r"(?:^[ ]*<!-- not run: (?P<reason>[^>]+?) -->\n\s*)?"
    r"^(?P<indent>[ ]*)```(?P<kind>[^\s`]*)[ ]?(?P<name>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_INDENTED = re.compile(r"^ {4}(?:\$ |(?:zoo|pip|python|torchrun|make|import|from|>>>) )", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        page: path of its page from the root of the repository.
        line: of the fence, from 1.
        kind: the language beside the fence; ``""`` for none.
        name: what follows the language, such as a file's name.
        text: the code, without its indentation.
        reason: why it is not run; ``""`` where it is.
    """

    page: str
    line: int
    kind: str
    name: str
    text: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def find_blocks(text: str, page: str) -> list[Block]:
    found = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("indent")) + 1
        code = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        found.append(Block(page, line, match["kind"], match["name"], code, match["reason"] or ""))
    return found


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    return find_blocks((ROOT / page).read_text(), page)


def to_run(page: str, *kinds: str) -> list[str]:
    """The text of a page's blocks of these languages that are not marked."""
    return [block.text for block in blocks(page) if block.kind in kinds and not block.reason]


def without_fences(text: str) -> str:
    return _FENCE.sub("", text)


def indented_code(text: str) -> list[str]:
    """Lines of code that stand indented, without a fence, where no test finds them."""
    text = without_fences(text)
    return [text[m.start() : text.find("\n", m.start())].strip() for m in _INDENTED.finditer(text)]


def lines_of(code: str, kind: str = "sh") -> list[str]:
    """The commands of a shell block: comments are left out, continued lines are joined. In a ``console`` block the
    commands are the lines that begin with ``$``."""
    lines = [line.strip() for line in code.replace("\\\n", " ").splitlines()]
    if kind == "console":
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line and not line.startswith("#")]


# ── read without running ─────────────────────────────────────────────────────────────────────────────────────────

DISTRIBUTIONS = {
    project["name"]: project
    for path in (*ROOT.glob("core/pyproject.toml"), *ROOT.glob("plugins/*/pyproject.toml"))
    for project in [tomllib.loads(path.read_text())["project"]]
}
OTHER_PROGRAMS = {"cat", "cd", "cp", "curl", "eval", "find", "mv", "parallel", "pytest", "srun", "torchrun"}


def check_code(block: Block) -> None:
    """Raise an AssertionError or SyntaxError where the code of a block cannot be right."""
    if block.kind in ("python", "py"):
        compile(block.text, str(block), "exec")
    elif block.kind == "toml":
        tomllib.loads(block.text)
    elif block.kind in ("sh", "console"):
        for line in lines_of(block.text, block.kind):
            check_command(line)
    else:
        raise AssertionError(f"{block}: {block.kind or 'no language'} is not a language that can be checked.")


def check_command(line: str, *, complete: bool = True) -> None:
    """Raise an AssertionError where a command's program, packages, options or arguments do not exist.

    Args:
        line: the command.
        complete: whether its arguments are all there; text names commands without them.
    """
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    if "zoo" in words[:-1] and (words[0] == "zoo" or words[0] in OTHER_PROGRAMS or words[:2] == ["python", "-m"]):
        _check_zoo(words[words.index("zoo") + 1 :], line, complete)
    elif words[0] == "pip":
        for package in (word for word in words[2:] if not word.startswith("-")):
            _check_package(package, line)
    elif words[0] == "python":
        assert words[1] == "-m" or (ROOT / words[1]).is_file(), f"{line}: no file {words[1]}"
    elif words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets), f"{line}: no such target"
    else:
        assert words[0] in OTHER_PROGRAMS, f"{line}: what is {words[0]}?"


def _check_package(text: str, line: str) -> None:
    name, _, extras = text.partition("[")
    if not name.startswith("zoo-") or name == "zoo-template-name":
        return
    assert name in DISTRIBUTIONS, f"{line}: no package {name}"
    for extra in filter(None, extras.rstrip("]").split(",")):
        assert extra in DISTRIBUTIONS[name].get("optional-dependencies", {}), f"{line}: {name} has no extra {extra}"


def _command_in_sources(name: str, line: str) -> Any:
    """The command of a package in this repository that is not installed. The package does not stay imported."""
    path, modules = list(sys.path), set(sys.modules)
    try:
        for manifest in (*ROOT.glob("plugins/*/src/*/plugin.py"), *ROOT.glob("examples/*/src/*/plugin.py")):
            sys.path.append(str(manifest.parents[1]))
            for command in importlib.import_module(f"{manifest.parent.name}.plugin").zoo_manifest().commands:
                if command.name == name:
                    made = load_object(command.target)
                    if not isinstance(made, typer.Typer):
                        function, made = made, typer.Typer(add_completion=False)
                        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
                        made.command(name, context_settings=settings)(function)
                    return get_command(made)
    finally:
        sys.path[:] = path
        ours = {manifest.parent.name for manifest in ROOT.glob("*/*/src/*/plugin.py")}
        for module in set(sys.modules) - modules:
            if module.partition(".")[0] in ours:
                del sys.modules[module]
    raise AssertionError(f"{line}: no command {name}")


def _command(words: list[str], line: str) -> tuple[Any, Any, list[str]]:
    """The command that the words name, the context that it is in, and the words that follow."""
    root: Any = get_command(app)
    context = root.context_class(root, info_name="zoo")
    name, *rest = words
    try:
        command = root.get_command(context, name)
    except Exception as e:  # click's, or a copy of it that typer has: the package is not installed
        if not hasattr(e, "exit_code"):
            raise
        command = None
    if command is None:
        command = _command_in_sources(name, line)
    if hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"{line}: {name} has no command {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, context, rest


def _check_zoo(words: list[str], line: str, complete: bool) -> None:
    if words[0].startswith("-"):
        assert words[0] in ("--help", "--version"), line
        return
    command, context, rest = _command(words, line)
    interspersed = getattr(command, "context_settings", {}).get("allow_interspersed_args", True)
    options = {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--help"}
    if verbs := helping.verbs_of(command):
        asked = helping.task_at_hand(words)
        tasks = [asked] if asked else [spec for offers in registry().tasks.values() for spec, _ in offers]
        options |= {f"--{name.replace('_', '-')}" for task in tasks for name in task.options_of(*verbs)}
    for word in rest if interspersed else ():
        if re.match(r"--?[a-z]", word):
            assert word.partition("=")[0] in options, f"{line}: no option {word}"
    if not complete or "--help" in rest or any("…" in word or word in ("&", "|", ">") for word in rest):
        return
    try:
        command.make_context(words[0], list(rest), parent=context)
    except Exception as e:
        if not hasattr(e, "format_message"):  # of click's, or of a copy of it that typer has
            raise
        raise AssertionError(f"{line}: {e.format_message()}") from e


# ── weights that would be downloaded ─────────────────────────────────────────────────────────────────────────────


def put_in_place_of_downloads(*models: str) -> None:
    """Fill the cache with files of random numbers in place of the published ones of these models (``resnet50``, or
    ``resnet50.IMAGENET1K_V1``), and with notes that say that they were verified."""
    for name in models:
        model, _, entry = name.partition(".")
        weights = zoo.get_model_weights(model)[entry or "DEFAULT"].value
        path = target_path(weights.url)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        made = zoo.get_model(model, weights=None, **_without_backbone(model), **weights.config)
        torch.save(made.state_dict(), path)
        promise = promised_hash(weights.url) or ("", False)
        write_verified(note_path(path), path.stat(), url=identity(weights.url), sha256=promise[0].ljust(64, "0"))


def _without_backbone(model: str) -> dict[str, None]:
    return {"weights_backbone": None} if zoo.model_info(model).task.endswith(("detection", "segmentation")) else {}
