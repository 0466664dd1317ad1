"""Results stored in a file as they come, so that interrupted checks can be resumed. Does not import torch."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from zoo.errors import InvalidArgument
from zoo.testing.outcomes import Result


class Kept:
    """The results of one plugin's checks in a file, one JSON object per line; those of another version are ignored.

    Raises:
        InvalidArgument: an existing file has other contents.
    """

    def __init__(self, path: str | os.PathLike[str] | None, plugin: str, version: str | None) -> None:
        self.whose = {"plugin": plugin, "version": version}
        self.found: dict[tuple[str, str | None], Result] = {}
        self._file = None
        if path is None:
            return
        path = Path(path)
        text = path.read_text() if path.exists() else ""
        for line in text.splitlines():
            self._read(path, line)
        self._file = path.open("a")
        if text and not text.endswith("\n"):
            self._file.write("\n")

    def _read(self, path: Path, line: str) -> None:
        try:
            said = json.loads(line)
            whose = {key: said.pop(key) for key in self.whose}
            result = Result(**said)
        except (ValueError, TypeError, KeyError, AttributeError) as e:
            if not line.endswith("}"):  # the last line of a run that was killed
                return
            raise InvalidArgument(f"{path} is not a file of `zoo verify-plugin --resume`; give another file.") from e
        if whose == self.whose:
            self.found[result.check, result.model] = result

    def get(self, check: str, model: str | None) -> Result | None:
        """The outcome of a check that need not run again; None for a failed one."""
        known = self.found.get((check, model))
        return None if known is None or known.outcome == "failed" else known

    def keep(self, result: Result) -> None:
        if self._file is not None:
            self._file.write(json.dumps({**self.whose, **asdict(result)}) + "\n")
            self._file.flush()

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
