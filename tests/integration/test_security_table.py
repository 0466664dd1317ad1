"""The table of hostile cases in docs/security.md is generated from the tests by ``make security``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_is_what_the_tests_say() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "security_table.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
