"""docs/saving.md: its programs run and print what it states."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "saving.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_block_runs_and_prints_what_its_comments_say(tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    program = "\n".join(code for kind, code in BLOCKS if kind == "python")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == re.findall(r"^print\(.*\)  # (.*)$", program, re.MULTILINE)
    commands = [line for kind, code in BLOCKS if kind == "sh" for line in code.splitlines()]
    assert len(commands) == 3
    for command in commands:
        words = [sys.executable, "-m", *shlex.split(command)]
        found = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ))
        assert found.returncode == 0, found.stderr
    assert (tmp_path / "out.pt2").stat().st_size > 1_000_000


def test_every_key_of_the_metadata_is_documented(tmp_path):
    import json

    from safetensors import safe_open

    import zoo

    path = zoo.save(zoo.get_model("squeezenet1_1", weights="DIGITS_V1").half(), tmp_path / "a.safetensors")
    with safe_open(path, "pt") as f:
        keys = json.loads(f.metadata()["zoo"]).keys()
    table = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")))
    assert set(keys) == set(table)
