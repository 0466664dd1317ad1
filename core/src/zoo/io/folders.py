"""The files in a folder, as every command finds them: sorted naturally, without hidden files."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from zoo.errors import FolderWarning, InvalidArgument, UnreadableFile

_NUMBER = re.compile(r"([0-9]+)")


def natural_key(path: str | os.PathLike[str]) -> list[tuple[list[str | int], str]]:
    """The sort key: ``frame_2.png`` comes before ``frame_10.png``, and a folder's files stay together."""
    parts = Path(path).parts
    # Text and numbers alternate, so that the same types are compared; "01" and "1" differ by the name itself.
    pieces = ([int(p) if i % 2 else p for i, p in enumerate(_NUMBER.split(part))] for part in parts)
    return list(zip(pieces, parts, strict=True))


def find_files(
    folder: str | os.PathLike[str], suffixes: Sequence[str] | None = None, *, notes: list[str] | None = None
) -> list[Path]:
    """The files below a folder, at any depth, sorted by :func:`natural_key`.

    Files and folders whose name begins with a dot are left out: editors, file
    managers and archives leave ``.ipynb_checkpoints``, ``.thumbnails`` and ``._x.png`` among the data. Links are
    followed; each folder is searched once, so that loops end.

    Args:
        folder: folder to search; its own name may begin with a dot.
        suffixes: suffixes of the files to take, in lower case; the case of the files' suffixes is ignored. None takes
            all.
        notes: list that gets a message about folders that could not be read; by default a :class:`FolderWarning`.

    Raises:
        UnreadableFile: ``folder`` is not a folder, or cannot be read.
    """
    top = Path(folder)
    found: list[Path] = []
    unread: list[str] = []
    seen: set[tuple[int, int]] = set()
    linked: list[str] = []  # searched last, so that a folder is found by its own path if it has one
    left = [os.fspath(top)]
    while left or linked:
        place = left.pop() if left else linked.pop()
        try:
            facts = Path(place).stat()
            if (facts.st_dev, facts.st_ino) in seen:
                continue
            seen.add((facts.st_dev, facts.st_ino))
            with os.scandir(place) as items:
                for item in items:
                    if item.name.startswith("."):
                        continue
                    if _is_folder(item):
                        (linked if item.is_symlink() else left).append(item.path)
                    elif suffixes is None or Path(item.name).suffix.lower() in suffixes:
                        found.append(Path(item.path))
        except OSError as e:
            if place == os.fspath(top):
                raise UnreadableFile(f"The folder {str(top)!r} cannot be read: {e.strerror or e}.") from e
            unread.append(f"{place!r} ({e.strerror or e})" if len(place) < 300 else f"{place[:300]!r}… ({e.strerror})")
    if unread:
        more = f" and {len(unread) - 3} more" if len(unread) > 3 else ""
        text = f"Folders that cannot be read were left out: {', '.join(sorted(unread)[:3])}{more}."
        if notes is None:
            warnings.warn(text, FolderWarning, stacklevel=2)
        else:
            notes.append(text)
    return sorted(found, key=lambda path: natural_key(path.relative_to(top)))


def input_and_truth(
    path: str | os.PathLike[str],
    annotations: str | os.PathLike[str] | None,
    layouts: Sequence[tuple[str, str]],
    expected: str,
) -> tuple[Path, Path]:
    """The folder of inputs and the folder of their annotations.

    Args:
        path: the folder of inputs, or a folder that contains both.
        annotations: the folder of annotations, unless ``path`` contains both.
        layouts: names of the two within ``path``, such as ``("images", "masks")``; the first pair that exists is used.
        expected: description of the folder of annotations, for the message.

    Raises:
        InvalidArgument: there is no folder of annotations.
    """
    path = Path(path)
    images, truth = path, None if annotations is None else Path(annotations)
    if truth is None:
        images, truth = next(((path / a, path / b) for a, b in layouts if (path / b).is_dir()), (path, None))
    if truth is None or not truth.is_dir():
        given = "none was given" if truth is None else f"{str(truth)!r} is not a folder"
        raise InvalidArgument(f"annotations: expected {expected}; {given}.")
    return images, truth


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link to itself
        return False
