"""Pictures that are read again on access, so that the results of any number of files fit in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from zoo.errors import UnreadableFile

LONG = 1024  # metadata of a picture (a colour profile, a thumbnail) of this many bytes is not kept

Facts = list[tuple[str, tuple[int, int]]]

_last = threading.local()  # the last picture of this thread: drawing reads the same pixels many times


class ReopenedImage(Image.Image):
    """A PIL image of known size whose pixels are read from its file on access, and not kept for long.

    After it is drawn on, it keeps its pixels. Pickling and copying include the pixels.

    Raises:
        UnreadableFile: on access to pixels, the file is missing or has changed.
    """

    _own: Any = None
    _again: _Again | None = None
    _place: tuple[int, ...] = ()

    def __init__(
        self, like: Image.Image, again: _Again, place: tuple[int, ...] = (), size: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self._again, self._place = again, place
        vars(self).update(mode=like.mode, _mode=like.mode, _size=size or like.size)  # by either name in Pillow 10
        self.info = {k: v for k, v in like.info.items() if not isinstance(v, bytes | str) or len(v) < LONG}
        self.readonly = 1  # Pillow makes a copy before it changes pixels

    def _get_pixels(self) -> Any:
        if self._own is None and self._again is not None:
            return self._again.read(self._place).im
        return self._own

    def _set_pixels(self, pixels: Any) -> None:
        self._own = pixels

    im = _im = property(_get_pixels, _set_pixels)

    def __eq__(self, other: object) -> bool:
        return self.copy() == (other.copy() if isinstance(other, ReopenedImage) else other)

    __hash__ = None  # type: ignore[assignment]


class _Again:
    """An input that can be loaded again, as long as its files are unchanged."""

    __slots__ = ("files", "load", "several")  # there is one per result

    def __init__(self, several: type[Any] | None, files: Facts, load: Callable[[Any], Any]) -> None:
        self.several, self.files, self.load = several, files, load

    def read(self, place: Sequence[int]) -> Any:
        """The picture at index ``place`` of the loaded input."""
        if getattr(_last, "input", None) is not self:
            for file, before in self.files:
                if _facts(file) != before:
                    what = "has changed" if Path(file).exists() else "was deleted"
                    raise UnreadableFile(
                        f"{file!r} {what} since it was read, so its result cannot be drawn; with keep_images=True the "
                        "picture is kept in memory."
                    )
            paths = [Path(file) for file, _ in self.files]  # absolute: the working directory may have changed
            _last.loaded, _last.input = self.load(self.several(paths) if self.several else paths[0]), self
        found = _last.loaded
        for i in place:
            found = found[i]
        return found


def _facts(file: str | Path) -> tuple[int, int] | None:
    """Size and time of an existing file."""
    try:
        about = Path(file).stat()
    except (OSError, ValueError):
        return None
    return about.st_size, about.st_mtime_ns


def facts_of(source: Any) -> Facts | None:
    """The files of an input, each with its size and time to detect changes; None for other inputs, such as tensors and
    URLs."""
    found = []
    for file in source if isinstance(source, list | tuple) else [source]:
        facts = _facts(file) if isinstance(file, str | Path) else None
        if facts is None:
            return None
        found.append((str(Path(file).absolute()), facts))
    return found


def reopened(
    loaded: Any, source: Any, files: Facts, load: Callable[[Any], Any], size: tuple[int, int] | None = None
) -> Any:
    """``loaded`` with its pictures replaced by :class:`ReopenedImage`; other items are unchanged.

    Args:
        loaded: a PIL image, or a list or tuple with PIL images.
        source: its path, or a list or tuple of paths.
        files: :func:`facts_of` the source, taken before it was loaded.
        load: function that loads a source.
        size: size of a single picture that was loaded smaller than ``load`` returns it.
    """
    again = _Again(type(source) if isinstance(source, list | tuple) else None, files, load)
    return _replaced(loaded, again, (), size)


def _replaced(value: Any, again: _Again, place: tuple[int, ...], size: tuple[int, int] | None) -> Any:
    if type(value) is Image.Image:
        return ReopenedImage(value, again, place, size)
    if type(value) in (list, tuple):
        return type(value)(_replaced(one, again, (*place, i), None) for i, one in enumerate(value))
    return value
