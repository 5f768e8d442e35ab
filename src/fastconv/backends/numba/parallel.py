"""Shares the items of a kernel among threads; every primitive of the backend calls `run`.

Threads claim ranges of items, and an item is a set of outputs: results do not depend on the number of threads. Long
work is cut into ranges of some milliseconds, between which Python handles signals: a call ends soon where one raises.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from fastconv.settings.threads import get_num_threads

# Nanoseconds of work that are worth a thread: handing a range over takes about 20 microseconds.
_WORTH_A_THREAD = 30_000
# And of what is done between two looks for a signal.
_RANGE = 4_000_000
_PATIENCE = 0.05  # seconds in which a waiting caller looks for one

_lock = threading.RLock()  # a signal's handler may come within, and make calls
_tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()  # of the pool, whose threads wait for them
_threads = 0
_generation = 0  # of processes


def _forget() -> None:
    """In a forked child the pool's threads do not exist, and a lost thread may hold the lock."""
    global _lock, _tasks, _threads, _generation
    _lock, _tasks, _threads = threading.RLock(), SimpleQueue(), 0
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _serve(tasks: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        tasks.get()()


def _submit(task: Callable[[], None], count: int) -> None:
    """Have `task` done by so many threads, as far as there may be so many."""
    global _threads
    if _threads < count:
        try:
            with _lock:
                while _threads < count:
                    threading.Thread(target=_serve, args=(_tasks,), name="fastconv", daemon=True).start()
                    _threads += 1
        except RuntimeError:  # the system's limit, or the interpreter is shutting down
            pass
    for _ in range(min(count, _threads)):
        _tasks.put(task)


def threads_for(nanoseconds: float) -> int:
    """Threads that so much work is worth, at most as many as the user allows."""
    return max(1, min(get_num_threads(), int(nanoseconds / _WORTH_A_THREAD)))


class _Job:
    """The items of one kernel, in ranges that threads claim one after the other until the job ends."""

    def __init__(self, kernel: Callable[..., None], items: int, size: int, args: tuple[object, ...]) -> None:
        self._kernel, self._items, self._size, self._args = kernel, items, size, args
        self._claims = itertools.count()  # whose next number no two threads get
        # One for each other thread that has begun. Those that begin after the end find nothing to do.
        self._begun: list[None] = []
        self._results: SimpleQueue[BaseException | None] = SimpleQueue()  # of those
        self._ended, self.generation = False, _generation

    def work(self) -> None:
        while not self._ended:
            start = next(self._claims) * self._size
            if start >= self._items:
                return
            _call(self._kernel, start, min(start + self._size, self._items), *self._args)

    def help(self) -> None:
        """What the threads of the pool do."""
        self._begun.append(None)
        try:
            self.work()
        except BaseException as error:
            self._results.put(error)
        else:
            self._results.put(None)

    def end(self) -> None:
        """Wait for those who have begun to end their range, and raise what one of them has raised."""
        self._ended = True
        while self._begun:
            try:
                error = self._results.get(timeout=_PATIENCE)
            except Empty:
                if self.generation != _generation:
                    raise RuntimeError(
                        "fastconv: the process was forked within this call, which cannot go on here"
                    ) from None
            else:
                self._begun.pop()
                if error is not None:
                    raise error


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
    try:
        _submit(job.help, count - 1)
        job.work()
        # Nothing is left to claim. A thread that has not begun is not waited for.
        job.end()
    except BaseException:
        # What others write to is not to change any more after this call.
        if job.generation == _generation:
            job.end()
        raise


def _call(kernel: Callable[..., None], *args: object) -> None:
    try:
        kernel(*args)
    except OSError:  # the compiled code could not be written to its folder, but is in memory
        kernel(*args)
