"""Open data by the name of its format, or by detecting the format."""

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
YEARS = ("train[0-9][0-9][0-9][0-9]", "val[0-9][0-9][0-9][0-9]")  # COCO's folder names
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
    """Training and validation data: ``train, val = zoo.open_data("photos", "image-classification")``.

    If ``path`` has a folder ``train`` (``training``) and a folder ``val`` (``valid``, ``validation``, ``test``), they
    are used; also ``train2017`` and ``val2017`` of any year, folders of these names in ``images`` (as for YOLO), and
    with ``annotations`` folders or ``….json`` files of these names. Categories are those of the training folder. All
    other data is split by :func:`split_indices`.

    Args:
        path: a folder or a file, depending on the format; see the docstrings of the readers. YOLO's ``data.yaml``
            stands for its folder.
        task: name of the task, such as ``"object-detection"``.
        format: a key of the task's ``provides["data"]``: ``"folders"``, ``"csv"``, ``"coco"``, ``"voc"``, ``"yolo"``,
            ``"masks"``, ``"flow"``; by default the first one that matches the data.
        annotations: a file or a folder, if it is not in ``path``.
        split: name of a single folder to split, although there are others; ``"."`` for ``path`` itself.
        val, seed, group: as for :func:`split_indices`.
        check: open the header and the end of every picture, and check that every video exists.
        **options: options of the reader, such as ``mapping={0: 0, 255: 1}`` for class maps.

    Raises:
        UnknownTask: no installed plugin has the task.
        InvalidArgument: the path does not exist; unknown format; problems of the data, each with its location.
    """
    place, truth = Path(path), None if annotations is None else Path(annotations)
    for name, given in (("path", place), ("annotations", truth)):
        if given is not None and not given.exists():
            raise InvalidArgument(f"{name}: {str(given)!r} does not exist.")
    if place.suffix.lower() in (".yaml", ".yml"):  # of YOLO; its paths are those of the folder
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
            f"The task {task!r} has no data readers; a plugin can provide them with "
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
            f"{str(path)!r}{beside} does not match any of the formats {', '.join(readers)}. Give format=…: the message "
            "then says what is missing."
        )
    try:
        return readers[kind](path, annotations, **options)
    except TypeError as e:
        raise InvalidArgument(f"The format {kind!r} cannot be opened with {dict(options)}: {e}") from e


def _folders(path: Path, annotations: Path | None) -> tuple[tuple[Path, Path | None], tuple[Path, Path | None]] | None:
    """The training and validation parts, if there are folders for both."""
    for base in (path, path / "images"):
        one, other = _named(base, TRAIN, YEARS[0]), _named(base, VALIDATION, YEARS[1])
        if one is not None and other is not None:
            return _part(base, annotations, one), _part(base, annotations, other)
    return None


def _named(base: Path, names: Sequence[str], pattern: str) -> str | None:
    """The first folder of one of these names; otherwise the only one that matches a pattern."""
    found = [name for name in names if (base / name).is_dir()]
    fitting = found or [folder.name for folder in base.glob(pattern) if folder.is_dir()]
    return fitting[0] if found or len(fitting) == 1 else None


def _part(base: Path, annotations: Path | None, name: str) -> tuple[Path, Path | None]:
    folder = base / name
    if not folder.is_dir():
        raise InvalidArgument(f"split: the folder {str(folder)!r} does not exist.")
    if annotations is None:
        return folder, None
    if annotations.is_dir():
        if (annotations / name).is_dir():
            return folder, annotations / name
        files = [file for file in sorted(annotations.glob(f"*{name}*")) if file.suffix.lower() in (".json", ".csv")]
        if files:
            return folder, files[0] if len(files) == 1 else annotations  # the reader selects its part
    raise InvalidArgument(
        f"annotations: expected a folder with {name!r} in it, a folder or one JSON or CSV file, since the data has "
        f"{str(folder)!r}; got {str(annotations)!r}. Use split=… to open a single part."
    )


def _check(readers: list[Any], files: bool) -> None:
    """Raise an error that lists every empty class and every file that cannot be opened."""
    problems = [
        f"the folder {name!r} has no file of a supported type" for r in readers for name in getattr(r, "empty", ())
    ]
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
            listed(f"The data cannot be used ({len(problems)} problems){which}; repair or remove:", problems)
        )
