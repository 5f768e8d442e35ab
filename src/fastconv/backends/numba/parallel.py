"""Shares the items of a kernel among threads; every primitive of the backend calls `run`.

Each thread takes one contiguous range of items, and an item is a set of outputs: results do not depend on the
number of threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from fastconv.threads import get_num_threads

Kernel = Callable[..., None]

# Elementary operations that are worth a thread: handing a range over costs about 20 microseconds.
_WORTH_A_THREAD = 400_000

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_size = 0


def _forget() -> None:
    """In a forked child the pool's threads do not exist, and the lock may be held by one of them."""
    global _lock, _pool, _size
    _lock, _pool, _size = threading.Lock(), None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _workers(count: int) -> ThreadPoolExecutor:
    """A pool of at least `count` threads. One that is too small ends when its last caller is done."""
    global _pool, _size
    with _lock:
        if _pool is None or _size < count:
            _pool, _size = ThreadPoolExecutor(count, "fastconv"), count
        return _pool


def threads_for(work: float) -> int:
    """Threads that `work` elementary operations are worth, at most as many as the user allows."""
    return max(1, min(get_num_threads(), int(work / _WORTH_A_THREAD) + 1))


def run(kernel: Kernel, items: int, work: float, *args: Any) -> None:
    """``kernel(start, stop, *args)`` over the ranges that make up ``range(items)``."""
    count = min(threads_for(work), items)
    ends = [items * i // count for i in range(count + 1)]
    futures: list[tuple[Future[None], int]] = []
    try:
        if count > 1:
            pool = _workers(count - 1)
            for i in range(1, count):
                futures.append((pool.submit(_call, kernel, ends[i], ends[i + 1], *args), i))
    except RuntimeError:  # no more threads may start: the system's limit, or the interpreter is shutting down
        pass
    mine = [0, *range(len(futures) + 1, count)]
    try:
        for i in mine:
            _call(kernel, ends[i], ends[i + 1], *args)
    finally:
        # A range that no worker has begun is taken back: a caller never waits for a busy pool.
        for future, i in futures:
            if future.cancel():
                _call(kernel, ends[i], ends[i + 1], *args)
            else:
                future.result()


def _call(kernel: Kernel, *args: Any) -> None:
    try:
        kernel(*args)
    except OSError:  # the compiled code could not be written to the cache folder, but is in memory
        kernel(*args)
