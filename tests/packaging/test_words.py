"""No tracked text has a phrase that docs/words.txt lists."""

import re
import subprocess
from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
LIST = ROOT / "docs" / "words.txt"

# Folders that have not been rewritten yet. Remove each line when its folder is done.
NOT_YET: set[str] = set()

TEXT = {"", ".css", ".html", ".js", ".md", ".py", ".pyi", ".sh", ".toml", ".txt", ".yml"}
LEFT_OUT = re.compile(
    r"docs/words\.txt|CHANGELOG\.md|(.*[/.])?LICENSE(\.txt)?|.*\.min\.js|tests/reference/.*|measurements/.*|.*/categories/.*"
)

# What separates two words of a sentence: blanks, or one line break with the end of a string literal or comment line
# before it and the beginning of the next after it.
GAP = re.compile(r"""[ \t]*["']?[ \t]*\\?\n[ \t]*(?:#+|[>*|]|[rfb]{0,2}["'])?[ \t]*|[ \t]+""")


class Phrase(NamedTuple):
    """One line of the list."""

    pattern: re.Pattern[str]
    instead: str


def phrases(text: str) -> list[Phrase]:
    """The phrases of a list.

    Raises:
        ValueError: a line does not say what to write instead.
    """
    found = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            phrase, _, instead = line.partition(" → ")
            if not instead.strip():
                raise ValueError(f"{line!r}: expected PHRASE → WHAT TO WRITE INSTEAD")
            pattern = phrase.removeprefix("re:") if phrase.startswith("re:") else re.escape(phrase)
            start = "" if pattern.startswith("(?<") else r"(?<!\w)"
            found.append(Phrase(re.compile(rf"{start}(?:{pattern})(?!\w)", re.IGNORECASE), instead.strip()))
    return found


def search(text: str, listed: list[Phrase]) -> list[tuple[int, str, str]]:
    """Each phrase in a text: its line, the words as they are there, and what to write instead."""
    pieces, starts, origins, length, end = [], [0], [0], 0, 0  # starts in the joined text, origins in the text
    for gap in GAP.finditer(text):
        pieces += [text[end : gap.start()], " "]
        length += gap.start() - end + 1
        end = gap.end()
        starts.append(length)
        origins.append(end)
    joined = "".join([*pieces, text[end:]])
    found = []
    for pattern, instead in listed:
        for match in pattern.finditer(joined):
            start = match.start() + len(match[0]) - len(match[0].lstrip())
            piece = bisect_right(starts, start) - 1
            line = text.count("\n", 0, origins[piece] + start - starts[piece]) + 1
            found.append((line, match[0].strip(), instead))
    return sorted(found)


def tracked() -> dict[str, list[str]]:
    """Folder → the tracked text files that the list applies to; of core, plugins and tests, each subfolder is one."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = {}
    for name in names.split("\0"):
        if name and Path(name).suffix in TEXT and not LEFT_OUT.fullmatch(name):
            parts = Path(name).parent.parts
            parts = parts[: 2 if parts[:1] in [("core",), ("plugins",), ("tests",)] else 1]
            found.setdefault("/".join(parts) or ".", []).append(name)
    return found


LISTED = phrases(LIST.read_text(encoding="utf-8"))


def test_the_list_is_long_and_names_each_phrase_once():
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert len(LISTED) == len(lines) >= 80
    assert len({line.partition(" → ")[0] for line in lines}) == len(lines)


@pytest.mark.parametrize("folder", sorted(tracked()))
def test_texts_have_no_phrase_of_the_list(folder: str):
    if folder in NOT_YET:
        pytest.skip("not rewritten yet")
    found = [
        f"{name}:{line}: {words!r}: write: {instead}"
        for name in tracked()[folder]
        for line, words, instead in search((ROOT / name).read_text(encoding="utf-8"), LISTED)
    ]
    assert not found, "\n".join(["phrases of docs/words.txt:", *found])


class TestSearch:
    LISTED = phrases("# a comment\n\nlorem ipsum → dolor\nre:(?:sit|sat) amet → is reported\n")

    @pytest.mark.parametrize(
        "text",
        [
            "the file lorem ipsum\n",
            "the file Lorem  ipsum.\n",
            "# the file lorem\n# ipsum\n",
            '    """The file lorem\n    ipsum."""\n',
            'raise ValueError(\n    f"{name} lorem "\n    f"ipsum"\n)\n',
            "> the file lorem\n> ipsum\n",
        ],
    )
    def test_a_phrase_is_found_across_breaks(self, text: str):
        ((line, words, instead),) = search(text, self.LISTED)
        assert words.lower() == "lorem ipsum"
        assert instead == "dolor"
        assert text.splitlines()[line - 1].lower().count("lorem") == 1

    def test_the_line_is_that_of_its_first_word(self):
        assert search("one\ntwo\n\nthree sit\namet\n", self.LISTED) == [(4, "sit amet", "is reported")]

    def test_words_are_matched_entirely(self):
        assert search("lorem_ipsum, sit ameter", self.LISTED) == []

    def test_a_line_without_a_suggestion_is_an_error(self):
        with pytest.raises(ValueError, match="lorem ipsum"):
            phrases("lorem ipsum\n")

    def test_a_blank_line_ends_a_sentence(self):
        assert search("# Lorem\n\nIpsum dolor\n", self.LISTED) == []
