"""The time of a call. Used by the timer of the benchmarks and by the race of kernels."""

from __future__ import annotations

import time
from collections.abc import Callable


def stopwatch(call: Callable[[], object], times: int = 1) -> float:
    """Seconds of one call, as the mean of so many."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times
