"""An unfinished download, which is resumed in this process or a later one."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.files.lock import cannot_write, free_space, refuse_irregular
from zoo.files.names import identity, sha256
from zoo.files.notes import hash_file, note_path, read_note, write_note, write_verified
from zoo.files.policy import policy

if TYPE_CHECKING:
    from http.client import HTTPResponse


class Part:
    """An unfinished download: the file, the digest of its contents, and the server's facts about the complete file."""

    def __init__(self, url: str, target: Path, source: str, bound: bool) -> None:
        self.url, self.target, self.source, self.bound = identity(url), target, identity(source), bound
        self.path = target.with_name(f"{target.name}.part")
        self.note = target.with_name(f".{target.name}.part.json")
        self.sha, self.size, self.limit = sha256(), 0, policy().max_download
        about = read_note(self.note)
        same = about.get("url") == self.source
        self.validator: str | None = about.get("validator") if same else None
        self.total: int | None = about.get("total") if same else None
        try:
            refuse_irregular(self.path)
            self.file = self.path.open("ab", buffering=0)  # unbuffered: received data survives a SIGKILL
            self.size = os.fstat(self.file.fileno()).st_size
            if self.size and self.resumable:
                hash_file(self.path, self.sha)
            else:
                self.restart()
        except OSError as e:
            cannot_write(target, e)

    @property
    def resumable(self) -> bool:
        """Without a hash in the name, only the server's headers show that its file is still the same."""
        return self.bound or self.validator is not None

    def restart(self) -> None:
        if os.fstat(self.file.fileno()).st_size:
            self.file.truncate(0)
        self.sha, self.size, self.validator, self.total = sha256(), 0, None, None

    def headers(self) -> dict[str, str]:
        from zoo import __version__

        headers = {"User-Agent": f"zoo/{__version__}"}
        if self.size:
            headers["Range"] = f"bytes={self.size}-"
            if self.validator:
                headers["If-Range"] = self.validator
        return headers

    def accept(self, response: HTTPResponse) -> bool:
        """Prepare for the body of ``response``. False if it does not continue this file, and the request must be
        repeated."""
        etag = response.headers.get("ETag", "")
        validator = (etag if etag and not etag.startswith("W/") else None) or response.headers.get("Last-Modified")
        length = response.headers.get("Content-Length", "")
        total = int(length) if re.fullmatch(r"[0-9]{1,20}", length) else None
        if response.status == 206:
            match = re.match(
                r"bytes ([0-9]{1,20})-[0-9]+/([0-9]{1,20}\b|\*)", response.headers.get("Content-Range", "")
            )
            total = int(match[2]) if match and match[2] != "*" else None
            # A 206 without its range may be the end of another file; a hash in the name would detect that.
            same = self.validator == validator or (self.bound and None in (self.validator, validator))
            same = same and (self.total or total) == (total or self.total)
            if match is None or int(match[1]) != self.size or not same:
                self.restart()
                return False
            validator, total = validator or self.validator, total or self.total
        else:
            self.restart()  # a server without ranges, or a changed file: start again
        self.validator, self.total = validator, total
        write_note(self.note, url=self.source, validator=validator, total=total)
        self.allow(total)
        needed = (total or 0) - self.size
        if needed > free_space(self.target.parent):
            cannot_write(self.target, OSError(errno.ENOSPC, "no space"), needed)
        return True

    def write(self, chunk: bytes) -> None:
        try:
            view = memoryview(chunk)
            while view:  # an unbuffered write may be partial
                view = view[self.file.write(view) or 0 :]
        except OSError as e:
            if e.errno in (errno.ENOSPC, errno.EDQUOT):
                self.discard()  # a full disk is worse than starting again
            cannot_write(self.target, e, (self.total or self.size + len(chunk)) - self.size)
        self.sha.update(chunk)
        self.size += len(chunk)
        self.allow(self.size)

    def allow(self, size: int | None) -> None:
        if self.limit is not None and size is not None and size > self.limit:
            self.discard()
            policy().check_size(self.source, size)

    @contextlib.contextmanager
    def nothing_left(self) -> Iterator[None]:
        """No file is left if the block raises before any data has arrived."""
        try:
            yield
        except BaseException:
            if self.size == 0:
                self.discard()
            raise

    def discard(self) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Move the file into place, and record its URL and that it was verified."""
        note = note_path(self.target)
        facts = {"url": self.url, "sha256": self.sha.hexdigest(), "fetched": round(time.time())}
        try:
            os.fsync(self.file.fileno())
            self.file.close()
            write_note(note, **facts)  # first: if killed in between, the file is not taken for another URL's
            self.path.replace(self.target)
            write_verified(note, self.target.stat(), **facts)
        except OSError as e:
            cannot_write(self.target, e)
        self.note.unlink(missing_ok=True)
