"""Work done ahead of its use, in threads: decoding and resizing pictures, drawing and compressing them.

Threads, since Pillow and torch release the GIL. Processes would have to copy their results, take a second to start, and
could only run picklable functions.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

import torch

from zoo.contract import check_count
from zoo.errors import InvalidArgument

T = TypeVar("T")
R = TypeVar("R")
MOST = 16  # threads of "auto"
AUTO_FROM = 16  # least number of inputs for which "auto" starts threads
PATIENCE = 5.0  # seconds for a thread to finish when its result is no longer needed


def check_workers(workers: Any) -> int | str:
    """``workers``, checked to be a number of at least 0, or ``"auto"``.

    Raises:
        InvalidArgument: it is neither.
    """
    if workers == "auto":
        return "auto"
    if isinstance(workers, str) or workers is None:
        raise InvalidArgument(f"workers is {workers!r}; expected a whole number of at least 0, or 'auto'.")
    return check_count("workers", workers, 0)


def count_workers(workers: int | str, inputs: int) -> int:
    """The number of threads for a number of inputs: with ``"auto"`` 0 for a few, else the number of cores."""
    if isinstance(workers, int):
        return workers
    return min(cores(), MOST) if inputs >= AUTO_FROM else 0


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ahead(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    threads: int,
    limit: int,
    eager: bool = True,
    weigh: Callable[[R], float] = lambda result: 0,
    heaviest: float = math.inf,
) -> Generator[R, None, None]:
    """``map(function, items)``, where ``function`` is called ahead of time in threads; results keep their order.

    Items are drawn by the consumer's thread. An exception of ``function`` is raised in place of its result, and ends
    the iteration. When the iterator ends or is closed, its threads end too, and ``items`` is closed if it is a
    generator.

    Args:
        threads: 0 calls ``function`` on demand, in the consumer's thread.
        limit: largest number of items that are drawn but whose results are not consumed.
        eager: draw items up to the limit before returning a result; else a ready result is returned first.
        weigh: result → its weight while it waits.
        heaviest: largest total weight of waiting results. An item that could exceed it is not started, unless its
            result is the next one; unfinished results are assumed to be as heavy as the heaviest so far.
    """
    source = iter(items)
    team = _Team(function, weigh, heaviest)
    pending: deque[Future[R]] = deque()
    left = True
    try:
        if not threads:
            yield from map(function, source)
            return
        team.start(threads)
        while left or pending:
            while left and len(pending) < limit and (eager or not (pending and pending[0].done())):
                try:
                    pending.append(team.take(next(source)))
                except StopIteration:
                    left = False
            if pending:
                first = pending.popleft()
                result = first.result()
                team.hand_on(first)
                yield result
                del first, result
    finally:
        team.end()
        if hasattr(source, "close"):
            source.close()


class _Team:
    """Threads that use one core each for torch, since there are several of them."""

    def __init__(self, function: Callable[[Any], Any], weigh: Callable[[Any], float], heaviest: float) -> None:
        self.function, self.weigh, self.heaviest = function, weigh, heaviest
        self.jobs: SimpleQueue[tuple[int, Future[Any], Any] | None] = SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.changed = threading.Condition()
        self.ended = False
        self.taken = self.handed = self.working = 0
        self.weights: dict[Future[Any], float] = {}  # of waiting results
        self.most = 0.0

    def start(self, threads: int) -> None:
        started = threading.Semaphore(0)
        before = torch.get_num_threads()

        def run() -> None:
            torch.get_num_threads()  # a thread takes the common number on its first call
            torch.set_num_threads(1)  # of this thread; also sets the common number
            started.release()
            self._work()

        self.threads += (threading.Thread(target=run, name=f"zoo-ahead-{i}", daemon=True) for i in range(threads))
        for thread in self.threads:
            thread.start()
        for _ in self.threads:
            started.acquire()
        torch.set_num_threads(before)

    def take(self, item: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.jobs.put((self.taken, future, item))
        self.taken += 1
        return future

    def hand_on(self, future: Future[Any]) -> None:
        with self.changed:
            self.weights.pop(future, None)
            self.handed += 1
            self.changed.notify_all()

    def end(self) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        for _ in self.threads:
            self.jobs.put(None)
        for thread in self.threads:
            thread.join(PATIENCE)  # a thread that hangs in a file system is abandoned, and ends with the process

    def _may_begin(self, number: int) -> bool:
        expected = sum(self.weights.values()) + (self.working + 1) * self.most
        return self.ended or number == self.handed or expected <= self.heaviest

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            number, future, item = job
            with self.changed:
                self.changed.wait_for(lambda number=number: self._may_begin(number))  # type: ignore[misc]
                self.working += 1
            result: Any = None
            error: BaseException | None = None
            try:
                if not self.ended:
                    result = self.function(item)
            except BaseException as e:  # noqa: BLE001  raised in the consumer
                error = e
            with self.changed:
                self.working -= 1
                if error is None and not self.ended:
                    self.weights[future] = self.weigh(result)
                    self.most = max(self.most, self.weights[future])
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)
                self.changed.notify_all()
            del job, future, item, result, error  # keep no references while waiting
