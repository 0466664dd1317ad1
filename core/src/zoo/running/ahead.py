"""Work done ahead of whoever needs it, in threads: decoding and resizing pictures, drawing and compressing them.

Threads, since Pillow and torch let others run while they work. A process would cost more by the copying of what it
made, and a second to start, and could only run what can be pickled.
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
AUTO_FROM = 16  # inputs from which "auto" starts any
PATIENCE = 5.0  # seconds for a thread to finish what it is at, when nobody wants it any more


def check_workers(workers: Any) -> int | str:
    """``workers`` if it is a number from 0 on, or ``"auto"``.

    Raises:
        InvalidArgument: it is neither.
    """
    if workers == "auto":
        return "auto"
    if isinstance(workers, str) or workers is None:
        raise InvalidArgument(f"workers is {workers!r}; expected a whole number from 0 on, or 'auto'.")
    return check_count("workers", workers, 0)


def count_workers(workers: int | str, inputs: int) -> int:
    """How many threads that means for so many inputs: with ``"auto"`` none for a few, else as many as cores."""
    if isinstance(workers, int):
        return workers
    return min(cores(), MOST) if inputs >= AUTO_FROM else 0


def cores() -> int:
    """How many this process may use."""
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
    """``map(function, items)``, where ``function`` is called in threads, ahead of time; results keep their order.

    Items are drawn by whoever iterates. What ``function`` raises is raised in its place, and ends the rest. When the
    iterator ends or is closed, so do its threads, and ``items`` if it is a generator.

    Args:
        threads: 0 calls ``function`` when its result is asked for, where it is asked for.
        limit: items that are drawn and not yet handed on, at most.
        eager: draw up to the limit before handing on; else a result that is ready is handed on first.
        weigh: what a result weighs while it waits.
        heaviest: none but the next to be handed on is begun that could make those that wait weigh more; one that is
            not done is taken to be as heavy as the heaviest so far.
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
    """Threads that compute on a core each, since there are several of them."""

    def __init__(self, function: Callable[[Any], Any], weigh: Callable[[Any], float], heaviest: float) -> None:
        self.function, self.weigh, self.heaviest = function, weigh, heaviest
        self.jobs: SimpleQueue[tuple[int, Future[Any], Any] | None] = SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.changed = threading.Condition()
        self.ended = False
        self.taken = self.handed = self.working = 0
        self.weights: dict[Future[Any], float] = {}  # of what waits
        self.most = 0.0

    def start(self, threads: int) -> None:
        started = threading.Semaphore(0)
        before = torch.get_num_threads()

        def run() -> None:
            torch.get_num_threads()  # a thread takes the common number when it first asks
            torch.set_num_threads(1)  # of this thread; and the common number
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
            thread.join(PATIENCE)  # one that hangs in a file system is left behind, and ends with the process

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
            except BaseException as e:  # noqa: BLE001  it is raised where the result is asked for
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
            del job, future, item, result, error  # nothing is held while it waits
