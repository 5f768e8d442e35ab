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

from fastconv.settings.threads import get_num_threads

# Nanoseconds of work that are worth a thread: handing a range over takes about 20 microseconds.
_WORTH_A_THREAD = 30_000

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_size = 0


def _forget() -> None:
    """In a forked child the pool's threads do not exist, and a lost thread may hold the lock."""
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


def threads_for(nanoseconds: float) -> int:
    """Threads that so much work is worth, at most as many as the user allows."""
    return max(1, min(get_num_threads(), int(nanoseconds / _WORTH_A_THREAD)))


def run(kernel: Callable[..., None], items: int, nanoseconds: float, *args: Any) -> None:
    """``kernel(start, stop, *args)`` over ranges that make up ``range(items)``; about so much work in all."""
    count = min(threads_for(nanoseconds), items)
    if count == 1:
        _call(kernel, 0, items, *args)
        return
    ends = [items * i // count for i in range(count + 1)]
    mine, *shares = [(kernel, ends[i], ends[i + 1], *args) for i in range(count)]
    futures: list[Future[None]] = [Future() for _ in shares]
    try:
        pool = _workers(count - 1)
        for future, share in zip(futures, shares, strict=True):
            pool.submit(_work, future, *share)
    except RuntimeError:  # no more threads may start: the system's limit, or the interpreter is shutting down
        pass
    try:
        _call(*mine)
    finally:
        # A share that no worker has begun is taken back: a caller never waits for a busy pool.
        for future, share in zip(futures, shares, strict=True):
            if future.cancel():
                _call(*share)
            else:
                future.result()


def _work(future: Future[None], kernel: Callable[..., None], *args: Any) -> None:
    """A worker's share, unless its caller has taken it back."""
    if future.set_running_or_notify_cancel():
        try:
            _call(kernel, *args)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)


def _call(kernel: Callable[..., None], *args: Any) -> None:
    try:
        kernel(*args)
    except OSError:  # the compiled code could not be written to its folder, but is in memory
        kernel(*args)
