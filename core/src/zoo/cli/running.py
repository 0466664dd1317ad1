"""``zoo run``: an unchanged Python program, with a torchvision that can be imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from zoo.errors import InvalidArgument

SITE = Path(__file__).parent / "site"


def run(
    program: Annotated[
        list[str],
        typer.Argument(
            metavar="PROGRAM [ARGUMENT]...", help="A script, -m MODULE, -c CODE, or a command such as pytest."
        ),
    ],
) -> int:
    """Run a Python program, unchanged, where the installed torchvision does not fit torch.

    Runs `python PROGRAM …` and returns its exit status. If the program imports torchvision and torchvision's compiled
    operators cannot be loaded ("operator torchvision::nms does not exist"), zoo's operators replace them; otherwise
    nothing is changed. The same holds in every Python process that the program starts.

    Examples:
        zoo run train.py --epochs 3
        zoo run -m pytest tests
    """
    first, *rest = program
    if first.startswith("-") or Path(first).exists():
        command = [sys.executable, *program]
    else:
        beside = shutil.which(first, path=str(Path(sys.executable).parent))  # of this environment, active or not
        found = beside or shutil.which(first)
        if found is None:
            raise InvalidArgument(f"{first!r} is neither a file nor a command; to run a module: zoo run -m {first}")
        command = [found, *rest]
    before = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SITE), *([before] if before else [])])}
    sys.stdout.flush()
    if os.name == "nt":  # where exec does not keep the process that others wait for
        return subprocess.run(command, env=environment, check=False).returncode
    os.execve(command[0], command, environment)
