"""Write the table of differences from torchvision in docs/torchvision.md: one row for each test of a difference.

    python scripts/differences.py [--check]

The rows are the ``differs`` marks of tests/clients/test_differences.py. ``--check`` changes nothing; the exit status is
1 if the table does not match the marks.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "torchvision.md"
TESTS = ROOT / "tests" / "clients" / "test_differences.py"
START, END = "<!-- differences: python scripts/differences.py -->\n", "<!-- end -->\n"


class Marks:
    """The arguments of every ``differs`` mark, in the order of the tests."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            self.rows += [mark.args for mark in item.iter_markers("differs") if mark.args not in self.rows]


def table() -> str:
    """The table's text."""
    marks = Marks()
    arguments = ["--collect-only", "-qq", "--no-header", "--no-summary", "-p", "no:cacheprovider", "-m", ""]
    status = pytest.main([*arguments, "--rootdir", str(ROOT), str(TESTS)], plugins=[marks])
    if status:
        raise SystemExit(f"The tests could not be collected ({status}).")
    lines = ["| what | torchvision 0.28 | zoo |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in marks.rows)]) + "\n"


def main(check: bool) -> int:
    """The command. Returns its exit status."""
    before, _, rest = PAGE.read_text().partition(START)
    old, _, after = rest.partition(END)
    new = table()
    if check:
        print("" if old == new else f"docs/torchvision.md does not match the tests; this script writes\n{new}")
        return int(old != new)
    PAGE.write_text(before + START + new + END + after)
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
