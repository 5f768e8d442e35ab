"""Tasks on processes of this machine: what they share is sent once to each, and one that dies costs its tasks a repeat.

Called by `running.py`.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any

from fastconv.backends import get_backend, set_backend
from fastconv.settings.precision import get_precision, set_precision
from fastconv.settings.threads import set_num_threads

_ATTEMPTS = 3  # in a row without a result

_shared: list[Any] = []


def _begin(shared: Any, backend: Any, precision: Any, threads: int) -> None:
    """In each process, with the settings of the caller."""
    _shared[:] = [shared]
    set_backend(backend)
    set_precision(precision)
    set_num_threads(threads)


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(_shared[0], *arguments)


def on_processes(
    function: Callable[..., Any],
    shared: Any,
    tasks: Iterator[tuple[Any, tuple[Any, ...]]],
    workers: int,
    threads: int,
) -> Iterator[tuple[Any, Any]]:
    """What ``function(shared, *arguments)`` gives for each task, as it is ready.

    Parameters
    ----------
    function : callable
        Of a module.
    shared : object
        That can be pickled.
    tasks : iterator of (key, arguments)
        Of which `workers` are taken at a time.
    workers, threads : int
        Processes, and the threads of each.

    Yields
    ------
    key, result

    Raises
    ------
    BrokenProcessPool
        If processes die time and again without any result between.
    """
    spawn = multiprocessing.get_context("spawn")  # a fork would have the locks of threads that it has not
    waiting: list[tuple[Any, tuple[Any, ...]]] = []
    failed = 0
    while True:
        with ProcessPoolExecutor(
            workers, spawn, _begin, (shared, get_backend(), get_precision(), threads)
        ) as pool:
            running: dict[Future[Any], tuple[Any, tuple[Any, ...]]] = {}
            try:
                while True:
                    waiting += islice(tasks, max(0, workers - len(running) - len(waiting)))
                    while waiting:
                        running[pool.submit(_call, function, waiting[-1][1])] = waiting[-1]
                        waiting.pop()
                    if not running:
                        return
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        key, _ = running.pop(future)
                        failed = 0
                        yield key, result
            except BrokenProcessPool:
                failed += 1
                if failed == _ATTEMPTS:
                    raise
                waiting += running.values()
            finally:
                pool.shutdown(cancel_futures=True)
