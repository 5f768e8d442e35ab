"""How many threads a task may take, so that all tasks that run at a time take no more than there may be."""

from __future__ import annotations

import multiprocessing
import sys
import threading

import dask
import dask.system

from fastconv.first_use import importing
from fastconv.settings.threads import get_num_threads


def threads_of_a_task() -> int:
    return max(1, get_num_threads() // _tasks_at_a_time())


def _tasks_at_a_time() -> int:
    """Of this process; with dask's scheduler of processes, of all of them, since each takes itself to be alone."""
    if "distributed" in sys.modules:  # or this is none of its workers
        with importing:
            from distributed import get_worker

        try:
            return int(get_worker().state.nthreads)
        except ValueError:
            pass
    if threading.current_thread() is threading.main_thread() and multiprocessing.parent_process() is None:
        return 1  # the scheduler that has no threads
    return int(dask.config.get("num_workers", None) or dask.system.CPU_COUNT)  # pyright: ignore  (dask's types)
