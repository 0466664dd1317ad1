"""Update the table of hostile cases in docs/security.md: ``make security``. It counts the tests without running them.

``--check`` changes nothing; the exit status is 1 if the table does not match the tests. Tests of cases that are known
to fail are marked as xfail.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "security.md"
START, END = "<!-- hostile cases: make security -->\n", "<!-- end -->\n"
KINDS = {  # kind of attack → test files, all of whose tests are cases of it
    "Servers, redirects, names, secrets, caches": ("core/test_hostile_servers.py", "core/test_cache.py"),
    "Locks, bundles, policies": ("core/test_locking.py",),
    "Checkpoints": ("core/test_checkpoint.py",),
    "Saved models": ("core/test_hostile_saved.py",),
    "Pictures, animations, devices": ("integration/test_pictures.py",),
    "Plugins": ("integration/test_hostile_plugins.py", "integration/test_plugins.py", "core/test_discovery.py"),
    "What is shown on a terminal": ("core/test_terminal.py",),
    "Damaged files and odd answers, by fuzzing": ("fuzz/test_fuzz.py",),
}


class Cases:
    """Count the tests of each file, and those that are known to fail."""

    def __init__(self) -> None:
        self.tried, self.survived = Counter[str](), Counter[str]()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            file = item.path.relative_to(ROOT / "tests").as_posix()
            self.tried[file] += 1
            self.survived[file] += not any(mark.name == "xfail" for mark in item.iter_markers())


def table() -> str:
    cases = Cases()
    files = [str(ROOT / "tests" / file) for of_kind in KINDS.values() for file in of_kind]
    arguments = ["--collect-only", "-qq", "--no-header", "--no-summary", "-p", "no:cacheprovider", "-m", ""]
    status = pytest.main([*arguments, "--rootdir", str(ROOT), *files], plugins=[cases])
    if status:
        raise SystemExit(f"The tests could not be collected ({status}).")
    lines = ["| kind | cases tried | survived | tests |", "| --- | ---: | ---: | --- |"]
    for kind, of_kind in KINDS.items():
        tried, survived = (sum(count[file] for file in of_kind) for count in (cases.tried, cases.survived))
        lines.append(f"| {kind} | {tried} | {survived} | {', '.join(f'`tests/{file}`' for file in of_kind)} |")
    return "\n".join(lines) + "\n"


def main(check: bool) -> int:
    before, _, rest = PAGE.read_text().partition(START)
    old, _, after = rest.partition(END)
    new = table()
    if check:
        print("" if old == new else f"docs/security.md does not match the tests; `make security` writes\n{new}")
        return int(old != new)
    PAGE.write_text(before + START + new + END + after)
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
