"""Shares the items of a kernel among threads; every primitive of the backend calls `run`.

Threads claim ranges of items, and an item is a set of outputs: results do not depend on the number of threads. Long
work is cut into ranges of some milliseconds, between which Python handles signals: a call ends soon where one raises.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from fastconv.settings.threads import get_num_threads

# Nanoseconds of work that are worth a thread: handing a range over takes about 20 microseconds.
_WORTH_A_THREAD = 30_000
# And of what is done between two looks for a signal.
_RANGE = 4_000_000
_PATIENCE = 0.05  # seconds in which a waiting caller looks for one

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_size = 0
_generation = 0  # of processes


def _forget() -> None:
    """In a forked child the pool's threads do not exist, and a lost thread may hold the lock."""
    global _lock, _pool, _size, _generation
    _lock, _pool, _size = threading.Lock(), None, 0
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _workers(count: int) -> ThreadPoolExecutor:
    """A pool of at least `count` threads. One that is too small ends when its last caller is done."""
    global _pool, _size
    with _lock:
        if _pool is None or _size < count:
            _pool, _size = ThreadPoolExecutor(count, "fastconv"), count
        return _pool


def threads_for(nanoseconds: float) -> int:
    """Threads that so much work is worth, at most as many as the user allows."""
    return max(1, min(get_num_threads(), int(nanoseconds / _WORTH_A_THREAD)))


class _Job:
    """The items of one kernel, in ranges that threads claim one after the other until the job ends."""

    def __init__(self, kernel: Callable[..., None], items: int, size: int, args: tuple[object, ...]) -> None:
        self._kernel, self._items, self._size, self._args = kernel, items, size, args
        self._claims = itertools.count()  # whose next number no two threads get
        self.ended = False

    def work(self) -> None:
        while not self.ended:
            start = next(self._claims) * self._size
            if start >= self._items:
                return
            _call(self._kernel, start, min(start + self._size, self._items), *self._args)

    def help(self, future: Future[None]) -> None:
        """What a worker does, unless the caller has done without it."""
        if future.set_running_or_notify_cancel():
            try:
                self.work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)


def run(kernel: Callable[..., None], items: int, nanoseconds: float, *args: object) -> None:
    """``kernel(start, stop, *args)`` over ranges that make up ``range(items)``; about so much work in all."""
    count = min(threads_for(nanoseconds), items)
    size = -(-items // count) if items else 1
    if nanoseconds > _RANGE:
        size = max(1, min(size, int(items * (_RANGE / nanoseconds))))
    job = _Job(kernel, items, size, args)
    if count <= 1:
        job.work()
        return
    futures: list[Future[None]] = [Future() for _ in range(count - 1)]
    generation = _generation
    try:
        try:
            pool = _workers(count - 1)
            for future in futures:
                pool.submit(job.help, future)
        except (
            RuntimeError
        ):  # no more threads may start: the system's limit, or the interpreter is shutting down
            pass
        job.work()
        # Nothing is left to claim. A worker that has not begun is not waited for.
        for future in futures:
            if not future.cancel():
                while not wait([future], _PATIENCE).done:
                    if generation != _generation:
                        raise RuntimeError(
                            "fastconv: the process was forked within this call, which cannot go on here"
                        )
                future.result()
    except BaseException:
        job.ended = True
        # Those at work end after their range; what they write to is not to change any more after this call.
        if generation == _generation:
            wait([future for future in futures if not future.cancel()])
        raise


def _call(kernel: Callable[..., None], *args: object) -> None:
    try:
        kernel(*args)
    except OSError:  # the compiled code could not be written to its folder, but is in memory
        kernel(*args)
