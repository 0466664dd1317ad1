"""What a user names as inputs: files, folders, quoted wildcards, URLs, ``-``, and videos for tasks on pictures."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from zoo.contract import TaskSpec
from zoo.errors import InvalidArgument, UnreadableFile
from zoo.io.folders import find_files, natural_key
from zoo.io.stored import Held, find_stored, is_stored, is_url

STDIN = "-"
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")


def as_paths(words: Iterable[str]) -> list[str | Held]:
    """Quoted wildcards become the files that match, ``-`` becomes the contents of standard input: a picture, or a list
    of paths, one per line. Other words are unchanged.

    Raises:
        UnreadableFile: nothing matches, or standard input is empty.
    """
    found: list[str | Held] = []
    for word in words:
        if word == STDIN:
            found += _standard_input()
        elif any(c in word for c in "*?[") and not is_url(word) and not Path(word).exists():
            matching = sorted(glob.glob(word, recursive=True), key=natural_key)  # noqa: PTH207  of any root
            if not matching:
                raise UnreadableFile(f"No file matches {word!r}.")
            found += matching
        else:
            found.append(word)
    return found


def _standard_input() -> list[str | Held]:
    if sys.stdin is None or sys.stdin.isatty():
        raise InvalidArgument("- is standard input, which is a terminal here: cat dog.jpg | zoo predict - …")
    data = sys.stdin.buffer.read()
    if not data:
        raise UnreadableFile("Standard input is empty; expected a picture, or paths of inputs, one per line.")
    try:
        text = data.decode("utf-8-sig") if b"\0" not in data else ""
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() or (text and text.replace("\n", "").replace("\r", "").isprintable()):
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if lines:
            return [*lines]
    return [Held(data, STDIN)]


def is_video_for(path: Any, task: TaskSpec) -> bool:
    """Whether a path is a video, and the task takes pictures."""
    takes_pictures = task.inputs_per_sample == 1 and task.input_ndim == 3
    return takes_pictures and isinstance(path, str) and path.lower().endswith(VIDEOS) and not is_url(path)


def sources_of(paths: Sequence[str | Held], task: TaskSpec, frame_rate: float = 1.0) -> list[Any]:
    """The single inputs of a task that takes files one at a time."""
    found: list[Any] = []
    for path in paths:
        if not isinstance(path, str):
            found.append(path)
        elif is_video_for(path, task):
            from zoo.io.frames import video_frames

            found += video_frames(path, frame_rate)
        elif is_stored(path, task.suffixes):
            found += find_stored(path, task.suffixes)
        elif Path(path).is_dir():
            found += find_files(path, task.suffixes)
        else:
            found.append(path)
    return found
