"""Files whose pixels are classes, as numbers or as colours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import InvalidArgument, UnreadableFile
from zoo.io import opened
from zoo_classification.data import read_table, read_text

# Pillow's modes with one integer per pixel.
INDEXED = ("P", "L", "1", "I", "I;16", "I;16B", "I;16L")


class ClassMapping:
    """The mapping from pixel values, numbers or colours, to classes.

    Args:
        given: value → class. Values are all numbers, ``255``, or all colours: ``(255, 0, 0)``, ``"#ff0000"`` or
            ``"255,0,0"``.

    Raises:
        InvalidArgument: ``given`` is not such a mapping.
    """

    def __init__(self, given: Mapping[Any, int]) -> None:
        read = {key: _value(key) for key in given}
        kinds = {len(value) for value in read.values()}
        labels = list(given.values())
        if kinds not in ({1}, {3}) or any(type(label) is not int or not 0 <= label <= 255 for label in labels):
            raise InvalidArgument(
                f"mapping is {dict(given)}; expected pixel value → class from 0 to 255, with values that are all "
                "numbers, such as 255, or all colours, such as (255, 0, 0) or '#ff0000'."
            )
        self.colours = kinds == {3}
        values = np.array([_packed(np.array(value)) if self.colours else value[0] for value in read.values()])
        order = np.argsort(values, kind="stable")
        self._values, self._labels = values[order], np.array(labels)[order]

    def read(self, path: Path) -> Tensor:
        """The classes in a file, int64 [H, W].

        Raises:
            UnreadableFile: the file is not a picture, or is damaged.
            InvalidArgument: the file has values that are not in the mapping.
        """
        if self.colours:
            with opened(path) as picture:
                values = _packed(np.asarray(picture.convert("RGB")).astype(np.int64))
        else:
            values = read_class_map(path).numpy()
        at = np.searchsorted(self._values, values).clip(max=len(self._values) - 1)
        if (unknown := self._values[at] != values).any():
            others = np.unique(values[unknown])[:5].tolist()
            shown = ", ".join(f"#{value:06x}" if self.colours else str(value) for value in others)
            raise InvalidArgument(f"{str(path)!r} has the values {shown}, which are not in mapping.")
        return torch.from_numpy(self._labels[at])


def _value(key: Any) -> tuple[int, ...]:
    """One number, or red, green and blue; empty if ``key`` is neither."""
    if isinstance(key, str):
        if match := re.fullmatch(r"#([0-9a-fA-F]{6})", key.strip()):
            return tuple(bytes.fromhex(match[1]))
        parts: Any = key.split(",") if re.fullmatch(r"[\d,\s]+", key) else ()
        key = [int(part) for part in parts if part.strip()]
    values = (key,) if type(key) is int else tuple(key) if isinstance(key, tuple | list) else ()
    inside = all(type(value) is int and value >= 0 and (len(values) == 1 or value < 256) for value in values)
    return values if len(values) in (1, 3) and inside else ()


def _packed(colours: Any) -> Any:
    """Colours [..., 3] as numbers 0xRRGGBB."""
    return colours[..., 0] << 16 | colours[..., 1] << 8 | colours[..., 2]


def read_class_map(path: Path) -> Tensor:
    """The classes in a PNG, int64 [H, W]: its palette's indices, or its grey levels.

    Raises:
        UnreadableFile: the file is not a picture, is damaged, or has colours.
    """
    with opened(path) as picture:
        mode, values = picture.mode, np.asarray(picture).astype(np.int64)
    if mode not in INDEXED:
        raise UnreadableFile(
            f"{str(path)!r} has pixels of mode {mode}; expected one number per pixel: a palette or grey levels. If "
            "colours represent classes, pass mapping={(0, 0, 0): 0, (128, 0, 0): 1, …}."
        )
    return torch.from_numpy(values)


def colours_beside(folder: Path) -> dict[str, tuple[int, ...]] | None:
    """Class → colour, if a file in the folder defines it: ``class_dict.csv`` (columns name, r, g, b),
    ``label_colors.txt`` (lines ``128 0 0 name``, as in CamVid) or ``labelmap.txt`` (lines ``name:128,0,0::``).

    Raises:
        InvalidArgument, UnreadableFile: the file has another form; the message names the line.
    """
    if (file := folder / "class_dict.csv").is_file():
        rows = [(n, row["name"], [row[key] for key in "rgb"]) for n, row in read_table(file, ("name", "r", "g", "b"))]
    else:
        forms = {"label_colors.txt": r"(\d+)\s+(\d+)\s+(\d+)\s+(.+)", "labelmap.txt": r"(.+?):(\d+),(\d+),(\d+):.*"}
        file = next((folder / name for name in forms if (folder / name).is_file()), file)
        if not file.is_file():
            return None
        rows = []
        for n, line in enumerate(read_text(file).splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            match = re.fullmatch(forms[file.name], line.strip())
            if match is None:
                raise InvalidArgument(f"{str(file)!r}, line {n}: {line[:60]!r}; expected a class and its colour.")
            parts = match.groups()
            first = file.name == "labelmap.txt"
            rows.append((n, parts[0] if first else parts[3], list(parts[1:] if first else parts[:3])))
    found: dict[str, tuple[int, ...]] = {}
    for n, name, colour in rows:
        if not all(part.isdecimal() and int(part) < 256 for part in colour):
            raise InvalidArgument(f"{str(file)!r}, line {n}: the colour {colour}; expected three numbers up to 255.")
        if name in found:
            raise InvalidArgument(f"{str(file)!r}, line {n}: the class {name!r} has a colour already.")
        found[name] = tuple(map(int, colour))
    return found
