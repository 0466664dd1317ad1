"""Requests that come at the same time go through the model together."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import zoo

_END: Any = object()


class Overloaded(Exception):
    """As many requests wait as may."""


class Room:
    """For opened pictures, of so many pixels together at a time; one that has more is there alone."""

    def __init__(self, pixels: int) -> None:
        self.pixels, self.used, self.changed = pixels, 0, asyncio.Condition()

    @contextlib.asynccontextmanager
    async def of(self, pixels: int) -> AsyncIterator[None]:
        async with self.changed:
            await self.changed.wait_for(lambda: not self.used or self.used + pixels <= self.pixels)
            self.used += pixels
        try:
            yield
        finally:
            self.used -= pixels
            async with self.changed:
                self.changed.notify_all()


class Batcher:
    """One thread that runs a model on what has come meanwhile: full batches under load, single pictures else.

    Args:
        ready: the pipeline.
        max_batch: pictures that go through the model together, at most.
        max_wait: seconds that the first of a batch waits for others.
        limit: pictures that may wait.
        seen: is told the size of each batch.
    """

    def __init__(
        self, ready: zoo.Pipeline, max_batch: int, max_wait: float, limit: int, seen: Callable[[int], None]
    ) -> None:
        self.ready, self.max_batch, self.max_wait, self.limit, self.seen = ready, max_batch, max_wait, limit, seen
        self.waiting = 0  # changed in the event loop alone
        self.jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="zoo-serve", daemon=True)
        self.thread.start()

    async def __call__(self, picture: Any) -> Any:
        """The result of a picture.

        Raises:
            Overloaded: too many wait already.
        """
        if self.waiting >= self.limit:
            raise Overloaded
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting += 1
        future.add_done_callback(self._left)
        self.jobs.put((future, picture))
        return await future

    def _left(self, _: object) -> None:
        self.waiting -= 1

    def close(self, patience: float | None = None) -> None:
        """End the thread when it has done what waits; no longer than ``patience`` seconds, for a model that hangs."""
        self.jobs.put(_END)
        self.thread.join(patience)

    def _work(self) -> None:
        while (first := self.jobs.get()) is not _END:
            batch = [first]
            until = time.monotonic() + self.max_wait
            while len(batch) < self.max_batch:
                try:
                    job = self.jobs.get(timeout=max(0.0, until - time.monotonic()))
                except queue.Empty:
                    break
                if job is _END:
                    self.jobs.put(_END)
                    break
                batch.append(job)
            wanted = [job for job in batch if not job[0].done()]  # whoever gave up is not computed
            if wanted:
                self.seen(len(wanted))
                self._answer([future for future, _ in wanted], self._results([picture for _, picture in wanted]))
            del first, batch, wanted  # the pictures

    def _results(self, pictures: Sequence[Any]) -> list[Any]:
        try:
            stream = self.ready.stream(pictures, batch_size=self.max_batch, workers=0, progress=False)
            return [result for _, result in stream]
        except Exception as e:  # noqa: BLE001  one picture may make the code of a task raise anything
            return [e] if len(pictures) == 1 else [self._results([picture])[0] for picture in pictures]

    def _answer(self, futures: Sequence[asyncio.Future[Any]], results: Sequence[Any]) -> None:
        def answer(future: asyncio.Future[Any], result: Any) -> None:
            if future.done():
                return
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

        for future, result in zip(futures, results, strict=True):
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits for it
                future.get_loop().call_soon_threadsafe(answer, future, result)
