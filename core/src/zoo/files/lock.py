"""Writing to the cache: locks, refusal of links and devices, and error messages."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from zoo.errors import CacheWarning, DownloadError
from zoo.files.names import SILENCE
from zoo.files.notes import read_note, write_note

PATIENCE = 2.0  # seconds to wait for a lock before it is reported


@contextlib.contextmanager
def locked(target: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of ``target``; ``.NAME.lock.json`` names the process that holds it.

    Raises:
        DownloadError: it cannot be locked.
        TimeoutError: another process has it and ``wait`` is False.
    """
    from filelock import FileLock, Timeout

    path = target.with_name(f".{target.name}.lock")
    holder = target.with_name(f"{path.name}.json")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        refuse_irregular(path)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=PATIENCE if wait else 0)
        except Timeout:
            if not wait:
                raise TimeoutError(str(path)) from None
            by = read_note(holder)
            who = f"process {by.get('pid', 'unknown')} on {by.get('host', 'an unknown machine')}"
            warnings.warn(
                f"Waiting for {target.name}: {who} is downloading it (it holds {path}). {SILENCE}",
                CacheWarning,
                stacklevel=2,
            )
            lock.acquire()
    except TimeoutError:
        raise
    except OSError as e:
        cannot_write(target, e)
    try:
        write_note(holder, pid=os.getpid(), host=platform.node())
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def refuse_irregular(path: Path) -> None:
    """Raise if another program put something else in the place of a file, so that nothing is written through a link.

    Raises:
        DownloadError: ``path`` is a link (a hard one too), FIFO, device, socket or folder.
    """
    with contextlib.suppress(FileNotFoundError):
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
            raise DownloadError(f"{path} is not a file of zoo (but a link, pipe, device or folder): delete it.")


def cannot_write(target: Path, e: OSError, needed: int | None = None) -> NoReturn:
    if isinstance(e, DownloadError):
        raise e
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        what = f"{target.name} needs {megabytes(needed)} more" if needed else f"There is no space for {target.name}"
        do = "Free some space (`zoo cache prune`), or set TORCH_HOME to a folder on another disk."
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
