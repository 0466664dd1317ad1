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
        heaviest: no item is begun that could make those that wait weigh more; one that is not done is taken to be as
            heavy as the heaviest so far.
    """
    jobs: SimpleQueue[tuple[Future[R], T] | None] = SimpleQueue()
    ended = threading.Event()
    team = _start(threads, lambda: _work(function, jobs, ended)) if threads else []
    source = iter(items)
    pending: deque[Future[R]] = deque()
    weights: dict[Future[R], float] = {}  # of those that are done
    most = 0.0

    def room() -> bool:
        nonlocal most
        if not pending or len(pending) >= limit:
            return not pending
        for future in pending:
            if future not in weights and future.done() and future.exception() is None:
                weights[future] = weigh(future.result())
                most = max(most, weights[future])
        return sum(weights.values()) + most * (len(pending) - len(weights) + 1) <= heaviest

    try:
        if not threads:
            yield from map(function, source)
            return
        left = True
        while left or pending:
            while left and room() and (eager or not (pending and pending[0].done())):
                try:
                    item = next(source)
                except StopIteration:
                    left = False
                    break
                future: Future[R] = Future()
                pending.append(future)
                jobs.put((future, item))
                del item, future
            if pending:
                first = pending.popleft()
                weights.pop(first, None)
                yield first.result()
                del first
    finally:
        ended.set()
        for _ in team:
            jobs.put(None)
        for thread in team:
            thread.join(PATIENCE)  # one that hangs in a file system is left behind, and ends with the process
        if hasattr(source, "close"):
            source.close()


def _start(threads: int, work: Callable[[], None]) -> list[threading.Thread]:
    """Threads that compute on a core each, since there are several of them."""
    started = threading.Semaphore(0)
    before = torch.get_num_threads()

    def run() -> None:
        torch.get_num_threads()  # a thread takes the common number when it first asks
        torch.set_num_threads(1)  # of this thread; and the common number
        started.release()
        work()

    team = [threading.Thread(target=run, name=f"zoo-ahead-{i}", daemon=True) for i in range(threads)]
    for thread in team:
        thread.start()
    for _ in team:
        started.acquire()
    torch.set_num_threads(before)
    return team


def _work(function: Callable[[Any], Any], jobs: SimpleQueue[Any], ended: threading.Event) -> None:
    while (job := jobs.get()) is not None:
        future, item = job
        if not ended.is_set():
            try:
                future.set_result(function(item))
            except BaseException as e:  # noqa: BLE001  it is raised where the result is asked for
                future.set_exception(e)
        del job, future, item  # nothing is held while it waits
