"""Dynamic batching: requests that arrive at the same time run through the model together."""

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
    """The maximum number of requests is waiting."""


class Room:
    """Limits the total pixels of opened pictures; a picture larger than the limit is opened alone."""

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
    """A thread that runs a model on the waiting pictures: full batches under load, otherwise single pictures.

    Args:
        ready: the pipeline.
        max_batch: maximum batch size.
        max_wait: maximum time in seconds that the first picture of a batch waits for others.
        limit: maximum number of waiting pictures.
        seen: called with the size of each batch.
    """

    def __init__(
        self, ready: zoo.Pipeline, max_batch: int, max_wait: float, limit: int, seen: Callable[[int], None]
    ) -> None:
        self.ready, self.max_batch, self.max_wait, self.limit, self.seen = ready, max_batch, max_wait, limit, seen
        self.waiting = 0  # changed only in the event loop
        self.jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="zoo-serve", daemon=True)
        self.thread.start()

    async def __call__(self, picture: Any) -> Any:
        """The result of a picture.

        Raises:
            Overloaded: too many pictures are waiting.
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
        """End the thread after the waiting pictures, or after ``patience`` seconds if the model hangs."""
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
            wanted = [job for job in batch if not job[0].done()]  # skip requests whose client has disconnected
            if wanted:
                self.seen(len(wanted))
                self._answer([future for future, _ in wanted], self._results([picture for _, picture in wanted]))
            del first, batch, wanted  # the pictures

    def _results(self, pictures: Sequence[Any]) -> list[Any]:
        try:
            stream = self.ready.stream(pictures, batch_size=self.max_batch, workers=0, progress=False)
            return [result for _, result in stream]
        except Exception as e:  # noqa: BLE001  a task's code can raise anything for a picture
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
            with contextlib.suppress(RuntimeError):  # the loop has ended: the result is not needed
                future.get_loop().call_soon_threadsafe(answer, future, result)
