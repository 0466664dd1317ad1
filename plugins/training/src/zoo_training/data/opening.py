"""Data by the name of their format, or by what they look like."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.contract import Examples
from zoo.errors import InvalidArgument, UnreadableFile, listed, suggest
from zoo.io import check_picture
from zoo_training.data.splitting import split_indices

TRAIN = ("train", "training")
VALIDATION = ("val", "valid", "validation", "test")
YEARS = ("train[0-9][0-9][0-9][0-9]", "val[0-9][0-9][0-9][0-9]")  # as COCO calls them
IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def open_data(
    path: str | os.PathLike[str],
    task: str,
    *,
    format: str | None = None,  # noqa: A002
    annotations: str | os.PathLike[str] | None = None,
    split: str | None = None,
    val: float = 0.2,
    seed: int = 0,
    group: str | None = None,
    check: bool = True,
    **options: Any,
) -> tuple[Examples, Examples]:
    """Data to train on, and to validate on: ``train, val = zoo.open_data("photos", "image-classification")``.

    Where ``path`` has a folder ``train`` (``training``) and one ``val`` (``valid``, ``validation``, ``test``), they are
    the two; also ``train2017`` and ``val2017``, of any year, and below ``images``, as YOLO's are; and with
    ``annotations`` that has folders, or ``….json`` files, of these names. Categories are those of the former. Other
    data are split by :func:`split_indices`.

    Args:
        path: a folder, or a file, as the format has it; what each looks like is in the docstrings of the readers.
            YOLO's ``data.yaml`` stands for its folder.
        task: the task's name, such as ``"object-detection"``.
        format: a key of what the task's ``provides["data"]`` names: ``"folders"``, ``"csv"``, ``"coco"``, ``"voc"``,
            ``"yolo"``, ``"masks"``, ``"flow"``; by default the first that the data look like.
        annotations: a file or a folder, where it is not in ``path``.
        split: the name of one folder that is to be split, though there are others; ``"."`` for ``path`` itself.
        val, seed, group: as :func:`split_indices` takes them.
        check: whether every picture is opened, as far as its header and its end, and every video looked for.
        **options: the reader's own, such as ``mapping={0: 0, 255: 1}`` of class maps.

    Raises:
        UnknownTask: no installed plugin has it.
        InvalidArgument: no such path or format; data of no known format; all that is wrong with them, with its place.
    """
    place, truth = Path(path), None if annotations is None else Path(annotations)
    for name, given in (("path", place), ("annotations", truth)):
        if given is not None and not given.exists():
            raise InvalidArgument(f"{name}: there is no {str(given)!r}.")
    if place.suffix.lower() in (".yaml", ".yml"):  # of YOLO, whose paths are what a folder has anyway
        place = place.absolute().parent
    readers = _readers(task)
    found = None if split is not None else _folders(place, truth)
    if found is None:
        if split not in (None, "."):
            place, truth = _part(place, truth, str(split))
        whole = _open(readers, format, place, truth, options)
        _check([whole], check)
        train, held = split_indices(whole, val, seed, group)
        return whole.select(train), whole.select(held)
    first = _open(readers, format, *found[0], options)
    second = _open(readers, format, *found[1], {**options, "categories": list(first.categories)})
    _check([first, second], check)
    return first, second


def _readers(task: str) -> Mapping[str, Any]:
    found = registry.provided(registry.get_task(task), "data")
    if found is None:
        raise InvalidArgument(
            f"The task {task!r} does not say how its data are read; a plugin would by "
            'zoo.TaskSpec(provides={"data": …}).'
        )
    return found  # type: ignore[no-any-return]


def _open(
    readers: Mapping[str, Any], kind: str | None, path: Path, annotations: Path | None, options: Mapping[str, Any]
) -> Any:
    if kind is not None and kind not in readers:
        raise InvalidArgument(f"format is {kind!r}; expected {', '.join(readers)}.{suggest(kind, readers)}")
    if kind is None:
        kind = next((name for name, reader in readers.items() if reader.matches(path, annotations)), None)
    if kind is None:
        beside = "" if annotations is None else f" with the annotations {str(annotations)!r}"
        raise InvalidArgument(
            f"{str(path)!r}{beside} looks like none of the formats {', '.join(readers)}. Give format=…: the "
            "message then says what is missing."
        )
    try:
        return readers[kind](path, annotations, **options)
    except TypeError as e:
        raise InvalidArgument(f"The format {kind!r} cannot be opened with {dict(options)}: {e}") from e


def _folders(path: Path, annotations: Path | None) -> tuple[tuple[Path, Path | None], tuple[Path, Path | None]] | None:
    """The parts for training and for validation, where there are folders for both."""
    for base in (path, path / "images"):
        one, other = _named(base, TRAIN, YEARS[0]), _named(base, VALIDATION, YEARS[1])
        if one is not None and other is not None:
            return _part(base, annotations, one), _part(base, annotations, other)
    return None


def _named(base: Path, names: Sequence[str], pattern: str) -> str | None:
    """The first folder of one of these names; else the only one that a pattern fits."""
    found = [name for name in names if (base / name).is_dir()]
    fitting = found or [folder.name for folder in base.glob(pattern) if folder.is_dir()]
    return fitting[0] if found or len(fitting) == 1 else None


def _part(base: Path, annotations: Path | None, name: str) -> tuple[Path, Path | None]:
    folder = base / name
    if not folder.is_dir():
        raise InvalidArgument(f"split: there is no folder {str(folder)!r}.")
    if annotations is None:
        return folder, None
    if annotations.is_dir():
        if (annotations / name).is_dir():
            return folder, annotations / name
        files = [file for file in sorted(annotations.glob(f"*{name}*")) if file.suffix.lower() in (".json", ".csv")]
        if files:
            return folder, files[0] if len(files) == 1 else annotations  # the reader knows which of them
    raise InvalidArgument(
        f"annotations: expected a folder with {name!r} in it, a folder or one JSON or CSV file, since the data have "
        f"{str(folder)!r}; given {str(annotations)!r}. Open one part by split=…."
    )


def _check(readers: list[Any], files: bool) -> None:
    """Raise an error with every class that is empty, and every file that cannot be opened."""
    problems = [f"the folder {name!r} has no file that is taken" for r in readers for name in getattr(r, "empty", ())]
    for reader in readers if files else ():
        if hasattr(reader, "problems"):
            problems += reader.problems()
            continue
        for i in range(len(reader)):
            source = reader.source(i)
            for file in source if isinstance(source, tuple) else (source,):
                try:
                    if file.suffix.lower() in IMAGES:
                        check_picture(file)
                    elif not file.is_file() or not file.stat().st_size:
                        problems.append(f"{str(file)!r} is {'empty' if file.is_file() else 'missing'}")
                except UnreadableFile as e:
                    problems.append(str(e))
    if problems:
        unread = sum("cannot be read" in problem for problem in problems)
        which = f": {unread} inputs cannot be read" if unread else ""
        raise InvalidArgument(
            listed(f"The data cannot be used ({len(problems)} problems){which}; mend or remove:", problems)
        )
