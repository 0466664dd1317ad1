"""``zoo serve`` in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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
