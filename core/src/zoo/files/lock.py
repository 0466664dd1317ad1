"""Writing to the cache: under a lock, and what is said where it cannot be."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from zoo.errors import DownloadError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def locked(target: Path) -> AbstractContextManager[Any]:
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(target.with_name(f".{target.name}.lock")).acquire()
    except OSError as e:
        cannot_write(target, e)


def cannot_write(target: Path, e: OSError, needed: int | None = None) -> NoReturn:
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        what = f"{target.name} needs {megabytes(needed)} more" if needed else f"There is no space for {target.name}"
        do = "Free some space, or set TORCH_HOME to a folder on another disk."
        raise DownloadError(f"{what}; {target.parent} has {megabytes(free_space(target.parent))} left. {do}") from e
    raise DownloadError(
        f"Cannot write {target.name} to {target.parent} ({e.strerror or e}). Set TORCH_HOME to a folder that you can "
        "write to."
    ) from e


def free_space(folder: Path) -> int:
    import shutil

    return shutil.disk_usage(folder).free


def megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MB"
