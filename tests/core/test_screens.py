"""What the commands look like on terminals of several kinds, compared with the screens in ``tests/core/screens``.

``ZOO_RENEW_SCREENS=1 pytest tests/core/test_screens.py`` writes the screens again; look at what changed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from terminal import ROOT, in_terminal, screen

SCREENS = Path(__file__).parent / "screens"
PLUGINS = "classification,detection,quantized,tools"
# Name of the screen → the command, and the widths it is looked at.
COMMANDS: dict[str, tuple[list[str], tuple[int, ...]]] = {
    "help": (["--help"], (80, 140)),
    "predict-help": (["predict", "--model", "fcos_resnet50_fpn", "--help"], (80,)),
    "export-help": (["export", "--help"], (80,)),
    "list": (["list", "resnet*"], (80, 40)),
    "list-detectors": (["list", "--task", "object-detection", "--sort", "box_map"], (80, 140)),
    "list-weights": (["list", "--weights", "--task", "image-classification", "--limit", "8"], (60, 80, 140)),
    "table": (["table", "object-detection"], (80, 140)),
    "show": (["show", "SqueezeNet1_1_Weights.DIGITS_V1"], (80,)),
    "compare": (["compare", "resnet18", "resnet50.IMAGENET1K_V1"], (80, 40)),
    "tasks": (["tasks"], (80,)),
    "plugins": (["plugins"], (80,)),
    "misspelt-model": (["show", "resnet5O"], (80,)),
    "misspelt-option": (["predict", "dog.jpg", "--model", "fcos_resnet50_fpn", "--min-scor", "0.3"], (80,)),
    "misspelt-command": (["lst"], (80,)),
    "missing-file": (["predict", "missing.jpg", "--model", "resnet50"], (80,)),
    "nothing": (["list", "resnet"], (80,)),
    "predict": (["predict", "digit.png", "--model", "SqueezeNet1_1_Weights.DIGITS_V1", "--top", "2"], (80,)),
}
CASES = [(name, columns) for name, (_, widths) in COMMANDS.items() for columns in widths]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the drawing of a digit."""
    picture = Image.new("L", (64, 64), 255)
    ImageDraw.Draw(picture).line([(20, 14), (44, 14), (30, 52)], fill=0, width=7)
    picture.save(tmp_path / "digit.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_PLUGINS", PLUGINS)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    return tmp_path


def masked(text: str) -> str:
    """Without what differs from machine to machine: probabilities, and words that the installed packages choose."""
    text = re.sub(r"/\S*(?=/zoo_classification/)", "/…", text)
    return re.sub(r" *\d+\.\d\d%", "  ##.##%", text)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("name", "columns"), CASES)
def test_the_screen_is_as_it_was(name: str, columns: int) -> None:
    command, _ = COMMANDS[name]
    shown = in_terminal(*command, columns=columns)
    file = SCREENS / f"{name}.{columns}.txt"
    text = f"$ zoo {' '.join(command)}\n{masked(shown.text)}"
    if os.environ.get("ZOO_RENEW_SCREENS", "0") not in ("", "0"):
        file.write_text(text)
    assert text == file.read_text()
    for line in shown.text.splitlines():
        words = max(map(len, line.split()), default=0)  # a name or a path is never broken
        assert len(line) <= columns or words >= columns // 2, line


@pytest.mark.usefixtures("folder")
def test_colours_go_to_terminals_that_show_them() -> None:
    assert "\x1b[" in in_terminal("list", "resnet18").raw
    assert "\x1b[" in in_terminal("list", "--help").raw
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        for command in (["list", "resnet18"], ["list", "--help"], ["show", "nope"]):
            shown = in_terminal(*command, **variables)
            assert "\x1b" not in shown.raw, (command, variables)
            assert len(shown.text) > 20


@pytest.mark.usefixtures("folder")
def test_a_terminal_of_another_encoding_gets_what_it_can_show() -> None:
    for command in (["show", "resnet50"], ["predict", "--help"]):
        shown = in_terminal(*command, PYTHONIOENCODING="latin-1", LC_ALL="C")
        assert shown.status == 0
        assert "\\u" not in shown.text
        assert "?" not in shown.text.replace("?*", "")
    shown = in_terminal("show", "SqueezeNet1_1_Weights.DIGITS_V1", PYTHONIOENCODING="ascii")
    assert shown.status == 0
    assert "\\x" not in shown.text


@pytest.mark.usefixtures("folder")
def test_no_row_of_a_table_is_broken() -> None:
    """However narrow the terminal: a name stands whole in a line of its own."""
    wide = in_terminal("list", "--task", "object-detection", columns=200).text.splitlines()
    names = [line.split()[0] for line in wide[1:-1]]
    narrow = in_terminal("list", "--task", "object-detection", columns=42).text.splitlines()
    assert [line.split()[0] for line in narrow[1 : len(names) + 1]] == names
    assert "Not shown" in " ".join(narrow)


def test_the_screen_of_what_a_terminal_is_told() -> None:
    assert screen("a\rb\n") == "b\n"
    assert screen("50%\r\x1b[2K\x1b[1A\x1b[2Kdone\n") == "done\n"
    assert screen("\x1b[31mred\x1b[0m \x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\\n") == "red link\n"
    assert screen("one\ntwo\x1b[1A!\n") == "one!\ntwo\n" or screen("one\ntwo\x1b[1A!\n") == "one!\ntwo\n"


def test_the_sessions_in_the_documentation_are_these_screens(examples: Path) -> None:
    import runpy

    made = runpy.run_path(str(ROOT / "scripts" / "sessions.py"))["page"]()
    assert (ROOT / "docs" / "sessions.md").read_text() == made, "run scripts/sessions.py"
    assert made.count("```console") >= 10
