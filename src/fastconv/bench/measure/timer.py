"""Times calls side by side: in turns, round after round, so that what disturbs the machine disturbs all of them.

Called by `session.py` and `studies.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TypeVar

from fastconv.bench.layers.settings import Settings

Key = TypeVar("Key", bound=Hashable)

LONG = 0.5  # seconds of a call: it is made only twice
ENOUGH = 1.5  # seconds: after as much in all, two samples are enough
MOST_CALLS = 10_000


def measure(
    calls: Mapping[Key, Callable[[], object]],
    settings: Settings,
    progress: Callable[[], None] = lambda: None,
) -> dict[Key, tuple[float, ...]]:
    """Seconds of one call of each, a sample for each round.

    A sample is the mean of as many calls as fill ``settings.block``. Before it comes a pause, in which the threads
    that other libraries leave spinning go to sleep, and a warm-up as long as the sample (none for calls above `LONG`).

    Parameters
    ----------
    calls : mapping of key to callable
        Called without arguments. They have been called before, so that all is compiled and prepared.
    settings : Settings
        Its `rounds`, `block` and `idle` are used.
    progress : callable
        Called after each round, outside of all samples.

    Returns
    -------
    dict
        The samples of each key. Calls that take seconds have fewer of them, but two at least.
    """
    first = {key: _first(call) for key, call in calls.items()}
    repeats = {key: min(MOST_CALLS, max(1, round(settings.block / first[key]))) for key in calls}
    samples = {key: [first[key]] if first[key] > LONG else [] for key in calls}
    order = list(calls)
    for _ in range(max(2, settings.rounds)):
        for key in order:
            if len(samples[key]) >= 2 and sum(samples[key]) * repeats[key] > ENOUGH:
                continue
            time.sleep(settings.idle)
            if first[key] <= LONG:
                _seconds(calls[key], repeats[key])
            samples[key].append(_seconds(calls[key], repeats[key]))
        order.reverse()  # nobody comes after the same neighbour every time
        progress()
    return {key: tuple(values) for key, values in samples.items()}


def _first(call: Callable[[], object]) -> float:
    """The faster of two calls; long ones are made only once."""
    once = _seconds(call, 1)
    return max(once if once > LONG else min(once, _seconds(call, 1)), 1e-7)


def _seconds(call: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


class Neighbours:
    """How many cores other programs, and other guests of the same host, use meanwhile (Linux; else 0)."""

    def __init__(self) -> None:
        self._start = self._now()

    def _now(self) -> tuple[float, float, float]:
        """Seconds: on the clock, of this process, and of all that is not idle."""
        return time.perf_counter(), sum(os.times()[:4]), _busy()

    def cores(self) -> float:
        """The mean number since the object was made."""
        clock, own, busy = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return max(0.0, (busy - own) / clock) if clock > 0 else 0.0


def _busy() -> float:
    """Seconds that all processors were not idle, those taken away by the host included."""
    try:
        words = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    except (OSError, IndexError, UnicodeDecodeError):
        return 0.0
    user, nice, system, _, _, *rest = map(int, words[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")
