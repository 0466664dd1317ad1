"""``zoo serve`` and other commands in processes of their own, in a terminal if it matters."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request
from types import SimpleNamespace


class Running:
    def __init__(self, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-c", "import sys; from zoo.cli import main; sys.exit(main())", "serve"]
        self.process = subprocess.Popen(
            [*command, *arguments, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_WAIT_POLICY": "passive", **environment},
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url.startswith("http://127.0.0.1:"):
            self.process.kill()
            raise AssertionError(self.url + self.process.communicate()[1])

    def ask(self, path: str, data: bytes | None = None, **headers: str) -> SimpleNamespace:
        request = urllib.request.Request(self.url + path, data, {k.replace("_", "-"): v for k, v in headers.items()})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return SimpleNamespace(status=answer.status, body=answer.read(), headers=answer.headers)
        except urllib.error.HTTPError as e:
            return SimpleNamespace(status=e.code, body=e.read(), headers=e.headers)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.process.communicate()
        return status


def started_in_a_terminal(*arguments: object) -> tuple[subprocess.Popen[bytes], int]:
    """A command in a terminal of 80 columns, and what is typed and shown there."""
    master, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from zoo.cli import main; sys.exit(main())", *map(str, arguments)],
        stdin=end,
        stdout=end,
        stderr=end,
        env={**os.environ, "COLUMNS": "80", "TERM": "xterm"},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C typed there is SIGINT
    )
    os.close(end)
    return process, master


def read_until(master: int, said: str, seconds: float) -> str:
    """What a terminal shows until something is said, or it is closed."""
    text, until = "", time.monotonic() + seconds
    while not re.search(said, text) and time.monotonic() < until:
        if select.select([master], [], [], 0.2)[0]:
            try:
                text += os.read(master, 65536).decode(errors="replace")
            except OSError:  # the end of it
                break
    return re.sub(r"\x1b\[[\d;]*m", "", text)  # colours
