"""Folders as they are: hidden files, numbers without zeros, links that loop, places that cannot be read."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo
from zoo.errors import FolderWarning, InvalidArgument, UnreadableFile
from zoo.io import find_files, natural_key


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def found(folder: Path, *suffixes: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [path.relative_to(folder).as_posix() for path in find_files(folder, suffixes or None)]


def test_numbers_are_in_order(tmp_path: Path) -> None:
    names = ["1.png", "2.png", "09.png", "9.png", "10.png", "a/x_2_9.png", "a/x_2_10.png", "a/x_11_1.png", "b10/1.png"]
    assert found(touch(tmp_path, *reversed(names), "b9/7.png")) == [*names[:-1], "b9/7.png", "b10/1.png"]
    assert sorted(["x²", "x2", "x", "2x", "x10"], key=natural_key) == ["2x", "x", "x2", "x10", "x²"]


def test_what_is_hidden_is_left_out_and_suffixes_are_of_any_case(tmp_path: Path) -> None:
    data = touch(tmp_path / ".data", "a.PNG", "._a.png", ".ipynb_checkpoints/a-checkpoint.png", "b/.thumbnails/c/d.png")
    touch(data, "b/x.Png", "b/notes.txt")
    assert found(data, ".png") == ["a.PNG", "b/x.Png"]  # though the folder itself is hidden
    assert found(data) == ["a.PNG", "b/notes.txt", "b/x.Png"]


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    elsewhere = touch(tmp_path / "elsewhere", "1.png")
    data = touch(tmp_path / "data", "z/2.png", "z/y/3.png")
    links = {
        "a": data / "z",
        "z/up": data,
        "z/y/self": data / "z/y/self",
        "other": elsewhere,
        "4.png": data / "z/2.png",
    }
    for name, target in links.items():
        (data / name).symlink_to(target)
    (data / "dangling").symlink_to(tmp_path / "nowhere")
    assert found(data, ".png") == ["4.png", "other/1.png", "z/2.png", "z/y/3.png"]


@contextlib.contextmanager
def nested(folder: Path, name: str, levels: int, file: str) -> Iterator[None]:
    """Within, ``folder/name/name/…/file``: made, and taken away, where no path would reach."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open(file, os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    try:
        yield
    finally:
        top, next_ = folder / name, folder / f"{name[1:]}-"
        while (top / name).exists():
            (top / name).rename(next_)
            top.rmdir()
            next_.rename(top)
        (top / file).unlink()
        top.rmdir()


def test_1200_levels(tmp_path: Path) -> None:
    with nested(tmp_path, "d", 1200, "x.png"):
        (path,) = find_files(tmp_path, (".png",))
    assert len(path.relative_to(tmp_path).parts) == 1201


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on a path's length is the system's")
def test_folders_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """Nested deeper than a path can say; whatever the rights of who runs this."""
    touch(tmp_path, "a/x.png")
    notes: list[str] = []
    with nested(tmp_path / "a", "d" * 200, 25, "y.png"):
        with pytest.warns(FolderWarning, match=r"Folders that cannot be read were left out: .*File name too long"):
            assert [path.name for path in find_files(tmp_path)] == ["x.png"]
        assert len(find_files(tmp_path, notes=notes)) == 1
    assert len(notes) == 1
    with pytest.raises(UnreadableFile, match="nowhere' cannot be read: No such file"):
        find_files(tmp_path / "nowhere")


def test_pairs_of_frames_stay_in_their_folders(tmp_path: Path) -> None:
    touch(
        tmp_path, *(f"{scene}/{i}.bmp" for scene in ("A", "B10", "B9") for i in (1, 9, 10)), "1.bmp", "A/deeper/1.bmp"
    )
    pipe = zoo.pipeline("raft_small", weights="SHAPES_V1", device="cpu", optimize=False)
    pairs = [tuple(p.relative_to(tmp_path).as_posix() for p in pair) for pair in pipe.expand(tmp_path)]
    assert pairs == [(f"{s}/{i}.bmp", f"{s}/{j}.bmp") for s in ("A", "B9", "B10") for i, j in ((1, 9), (9, 10))]
    for scene in "CD":
        touch(tmp_path / "alone", f"{scene}/1.bmp")
    with pytest.raises(InvalidArgument, match=r"expected at least 2 files of .* in one folder"):
        pipe.expand(tmp_path / "alone")
