"""What is not ours is shown harmless: names of files, texts of plugins, labels, URLs and errors, in every output."""

from __future__ import annotations

import ast
import os
import pty
import re
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies as st
from PIL import Image

import zoo
import zoo_tools
from zoo.cli import output, tables
from zoo.errors import ZooError, ZooWarning, harmless, told

Run = Callable[..., SimpleNamespace]
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202egnp.\u200b\x7f\r\b\udcff"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b2J\u202egnp.\u200b\x7f\r\x08\udcff"
ROOT = Path(__file__).parents[2]


def check(text: str) -> None:
    """``text`` has nothing that a terminal obeys or hides."""
    assert not {c for c in text if not (c.isprintable() or c in "\n\t" or unicodedata.category(c) == "Zs")}


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("résumé 你好 🐶 a\u00a0b\u3000c", "résumé 你好 🐶 a\u00a0b\u3000c"),
        (EVIL, SHOWN),
        ("a\nb\tc", "a\nb\tc"),
        ("a\u2028b\u2029c\x85d\x0be", r"a\u2028b\u2029c\x85d\x0be"),
        ("\u2066a\u2069\ufeff\u00ad\U000e0041", r"\u2066a\u2069\ufeff\xad\U000e0041"),
        (ValueError("\x1b"), r"\x1b"),
        (Path("a\x1bb"), r"a\x1bb"),
    ],
)
def test_what_is_harmful_is_written_out(given_: object, shown: str) -> None:
    assert harmless(given_) == harmless(harmless(given_)) == shown
    assert "\n" not in harmless(f"x\n{given_}", line=True)


@given(st.text(st.characters()))
def test_nothing_else_comes_through(text: str) -> None:
    check(harmless(text))
    check(harmless(text, line=True).replace("\t", "\x1b").replace("\n", "\x1b"))
    if text.isprintable():
        assert harmless(text) == text


def test_messages_of_errors_and_warnings() -> None:
    for kind in (ZooError, zoo.errors.DownloadError, zoo.errors.UnknownModel):
        assert str(kind(EVIL)) == SHOWN
    assert str(ZooWarning(EVIL)) == SHOWN
    assert told(OSError(EVIL)) == f"OSError: {SHOWN}"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn(EVIL, zoo.errors.CacheWarning, stacklevel=1)
    assert str(caught[0].message) == SHOWN


def test_printing_functions(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [tables.Column(EVIL, code=True), tables.Column("link", link=True), tables.Column("n", number=True)]
    tables.print_table(columns, [[EVIL + "\nrow", EVIL, EVIL]])
    tables.print_markdown(columns, [[EVIL + "\nrow", EVIL, EVIL]])
    output.print_facts([("fact", EVIL + "\nError: more")])
    output.print_error(EVIL + "\nError: none of ours")
    output.complain(f"Warning: {EVIL}", "yellow")
    output.say(output.paint(EVIL + "\n", "red"), EVIL + "\n", Path(EVIL))
    output.print_json({EVIL: [EVIL, Path(EVIL)]})
    out, err = capsys.readouterr()
    check(out + err)
    assert out.count(SHOWN) == 2 * 4 + 1 + 3  # of tables the title and three cells, the fact, what is painted and said
    lines = out.splitlines()
    assert sum(line.startswith("Error") for line in lines + err.splitlines()) == 1


PLUGIN = rf"""
EVIL = {EVIL!r}

class Evil_Weights(zoo.WeightsEnum):
    V1 = zoo.Weights(
        url="https://h/a.pth", docs=EVIL, license=EVIL, categories=(EVIL,), recipe=EVIL, config={{EVIL: EVIL}},
        metrics={{EVIL: {{EVIL: 1.0}}}}, transforms=zoo.Preset("a:b", {{EVIL: EVIL}}),
    )

@zoo.hookimpl
def zoo_manifest():
    return zoo.Manifest(api_version=1, models=[
        zoo.ModelSpec("evil_net", "os:getcwd", task="evil", weights=Evil_Weights, paper=EVIL, input={{EVIL: EVIL}}),
    ], commands=[zoo.Command("dig", "evil_commands:dig", EVIL), zoo.Command("dug", "evil_commands:app", EVIL),
                 zoo.Command("dud", "evil_broken:app", EVIL)])
"""
COMMANDS = rf"""
import typer
EVIL = {EVIL!r}
def dig(n: int = typer.Option(3, help=EVIL)) -> int:
    raise OSError(EVIL)
dig.__doc__ = EVIL
app = typer.Typer(help=EVIL, rich_markup_mode=None)
app.command("deep", help=EVIL)(dig)
app.command("deeper", help=EVIL)(dig)
"""
TOLD = {  # a command → whether something harmful is in what it says
    "list evil_net": False, "list": False, "table evil": True, "table evil --format markdown": True,
    "table evil --format json": False, "show evil_net": True, "show evil_net --json": False, "doctor": True,
    "doctor -v": True, "doctor --json": False, "--help": True, "dig --help": True, "dig": True, "dug --help": True,
    "dug deep --help": True, "dud": True, "lock evil_net": False, f"show {EVIL}": True, f"{EVIL}": True,
    f"list --{EVIL}": True, f"predict {EVIL} --model squeezenet1_1 --weights DIGITS_V1": True, f"pull {EVIL}": True,
    f"pull https://127.0.0.1:1/{EVIL}.pth": False, f"list {EVIL}": False, f"list --plugin {EVIL}": True,
    f"verify-plugin {EVIL}": True, f"dig --n {EVIL}": False, f"cache {EVIL}": True, "list --plugin evil": False,
    "verify-plugin evil": False, f"evaluate --model squeezenet1_1 --weights DIGITS_V1 --images {EVIL}": True,
}  # fmt: skip


@pytest.mark.usefixtures("quiet_plugins", "offline")
@pytest.mark.parametrize("line", TOLD, ids=lambda line: harmless(line)[:40])
def test_every_command(plugin_folder: Any, run: Run, line: str) -> None:
    plugin_folder.install("evil", PLUGIN, version=f"1.0{EVIL[:10]}")
    plugin_folder.install("broken", f"raise OSError({EVIL!r})")
    (plugin_folder.path / "evil_commands.py").write_text(COMMANDS)
    (plugin_folder.path / "evil_broken.py").write_text(f"raise SystemExit({EVIL!r})")
    zoo.refresh()
    got = run(*line.split(" "))
    check(got.out + got.err)
    if TOLD[line]:
        assert r"\x1b[2J" in got.out + got.err


@pytest.mark.usefixtures("offline")
def test_names_of_files_and_labels(run: Run, tmp_path: Path, own_cache: Path) -> None:
    name = f"{EVIL}\nError: not ours.png"
    picture = tmp_path / name.replace("\udcff", "")
    Image.new("RGB", (64, 64)).save(picture)
    broken = tmp_path / f"broken{picture.name}"
    broken.write_bytes(b"no picture")
    got = run("predict", picture, broken, "--model", "squeezenet1_1", "--weights", "DIGITS_V1")
    assert (got.status, got.out.count("\n")) == (1, 6)
    check(got.out + got.err)
    assert not re.search("^Error: not", got.out + got.err, re.MULTILINE)
    cache = own_cache / "hub" / "checkpoints"
    cache.mkdir(parents=True, exist_ok=True)
    picture.rename(cache / picture.name)
    for command in ("list", "verify", "prune"):
        got = run("cache", command, *(["--unused", 0, "--foreign"] if command == "prune" else []))
        check(got.out + got.err)
        assert not re.search("^Error: not", got.out + got.err, re.MULTILINE)
        assert r"\x1b[2J" in got.out + got.err


def test_a_traceback_that_nobody_foresaw(plugin_folder: Any) -> None:
    plugin_folder.install("evil", PLUGIN)
    (plugin_folder.path / "evil_commands.py").write_text(f"def dig() -> int:\n    raise LookupError({EVIL!r})\n")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plugin_folder.path), *filter(None, sys.path)])}
    done = subprocess.run([sys.executable, "-m", "zoo", "dig"], env=env, capture_output=True, text=True)
    check(done.stderr)
    assert done.returncode == 1
    assert f"LookupError: {SHOWN}" in done.stderr


def test_a_terminal_gets_our_colours_alone(plugin_folder: Any) -> None:
    plugin_folder.install("evil", PLUGIN)
    plugin_folder.install("broken", f"raise OSError({EVIL!r})")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plugin_folder.path), *filter(None, sys.path)])}
    env |= {"TERM": "xterm-256color", "COLUMNS": "100"}
    for command in (["show", "evil_net"], ["doctor"], ["table", "evil"]):
        controller, terminal = pty.openpty()
        with subprocess.Popen([sys.executable, "-m", "zoo", *command], stdout=terminal, stderr=terminal, env=env):
            os.close(terminal)
            shown = b""
            try:
                while chunk := os.read(controller, 65536):
                    shown += chunk
            except OSError:  # nobody writes to it any more
                pass
            os.close(controller)
        text = shown.decode()
        assert "\x1b[" in text  # ours
        check(re.sub(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b\x07]*\x1b\\|\r(?=\n)", "", text))
        assert r"\x1b[2J" in text


def test_commands_print_through_what_makes_it_harmless() -> None:
    """``print`` itself has text of ours alone, in the core's commands and in those of zoo-tools."""
    files = [*ROOT.glob("core/src/zoo/cli/*.py"), *(Path(zoo_tools.__file__).parent / "commands").glob("*.py")]
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "print"
                and file.name not in ("output.py", "tables.py")
            ):
                shown = ast.unparse(node)
                ours = [isinstance(a, (ast.Constant, ast.IfExp)) or "as_json" in ast.unparse(a) for a in node.args]
                assert all(ours) or "zoo.__version__" in shown, f"{file.name}: {shown}"
