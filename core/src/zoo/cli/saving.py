"""Results as files: saved to a temporary folder, then moved to unused names in a tree like that of the inputs."""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from zoo.cli.output import as_json
from zoo.errors import InvalidArgument


def save(result: Any, scratch: Path, stem: str, form: str, task: str = "") -> list[Path]:
    """The files that a result writes, and ``STEM.json`` with its data, in a new folder in ``scratch``.

    Raises:
        InvalidArgument: the result cannot be drawn, or not in this format.
    """
    more = {"format": form} if "format" in inspect.signature(result.save).parameters else {}
    if not more and form != "png":
        raise InvalidArgument(
            f"--format {form}: results of the task {task!r} have their own file formats; remove the option."
        )
    folder = scratch / os.urandom(8).hex()
    folder.mkdir()
    try:
        made: list[Path] = result.save(folder, stem, **more)
    except NotImplementedError as e:  # zoo.Result's own draw()
        raise InvalidArgument(
            f"--output: the task {task!r} draws no pictures; remove it, or give --format none to write only records."
        ) from e
    record = folder / f"{stem}.json"
    if more and record not in made:  # a result with its own formats decides that too
        record.write_text(as_json(result.to_dict()) + "\n", encoding="utf-8")
        made = [*made, record]
    return made


def place(made: Sequence[Path], folder: Path, stem: str, ours: Collection[Path] = ()) -> list[Path]:
    """Move files whose names begin with ``stem`` into ``folder``: ``dog.png``, or ``dog-2.png`` if that exists.

    Args:
        made: files in a temporary folder, which is deleted.
        ours: files that may be replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (stem if n == 1 else f"{stem}-{n}" for n in itertools.count(1)):
        targets = [folder / f"{name}{file.name.removeprefix(stem)}" for file in made]
        taken: list[Path] = []
        try:
            for target in targets:
                if target not in ours:
                    target.touch(exist_ok=False)  # another process that writes there finds the name taken
                    taken.append(target)
        except FileExistsError:
            for target in taken:
                target.unlink()
            continue
        for file, target in zip(made, targets, strict=True):
            file.replace(target)
        for empty in {file.parent for file in made}:
            empty.rmdir()
        return targets
    raise AssertionError  # the names do not end


class Tree:
    """The places of results in the output folder: the same tree as their inputs have in the folder that was given, or
    one folder if files were given. For several folders, the tree below their common parent."""

    def __init__(self, given: Iterable[str]) -> None:
        folders = [Path(path).absolute() for path in given if Path(path).is_dir()]
        self.top = Path(os.path.commonpath(folders)) if folders else None
        self.folders = folders

    def place_of(self, source: Any) -> tuple[Path, str]:
        """The folder within the output, and the stem of the files' names."""
        each = source if isinstance(source, list | tuple) else [source]
        stems = [getattr(file, "stem", None) or Path(file).stem for file in each]
        files = [Path(file) for file in each]
        parent = files[0].absolute().parent
        inside = self.top is not None and any(parent.is_relative_to(folder) for folder in self.folders)
        within = parent.relative_to(self.top) if inside and self.top is not None else Path()
        return within, "-".join(stems)
