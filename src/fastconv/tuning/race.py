"""Measures calls against each other within a bounded time. Called by `choice.py`."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping

from fastconv.machine.stopwatch import stopwatch

Call = Callable[[], object]

ROUNDS = 61
LEAST = 5  # rounds before anybody is out
BLOCK = 300e-6  # seconds that a sample lasts at least
BEHIND = 1.5  # times the fastest's best sample: who takes longer is out


def race(entrants: Mapping[str, Callable[[], Call]], seconds: float) -> dict[str, float]:
    """Seconds of a call of each: medians of samples that were taken in turns.

    Parameters
    ----------
    entrants : mapping of str to callable
        Makes the call, when its first turn has come. The most promising come first.
    seconds : float
        After as many, no turn begins but the very first one.

    Returns
    -------
    dict
        In the order of `entrants`; those whose turn did not come are left out. Where there was time for no more than
        one call of an entrant, which also warms up, that one counts.
    """
    end = time.perf_counter() + seconds
    calls: dict[str, Call] = {}
    first: dict[str, float] = {}
    for name, make in entrants.items():
        if first and time.perf_counter() >= end:
            break
        calls[name] = make()
        first[name] = stopwatch(calls[name])
    samples: dict[str, list[float]] = {name: [] for name in calls}
    running = list(calls)
    for done in range(1, ROUNDS + 1):
        for name in running:
            if time.perf_counter() >= end:
                return _medians(first, samples)
            once = min([first[name], *samples[name]])
            samples[name].append(stopwatch(calls[name], math.ceil(BLOCK / max(once, 1e-7))))
        if done >= LEAST:
            best = {name: min(samples[name]) for name in running}
            running = [name for name in running if best[name] <= BEHIND * min(best.values())]
        if len(running) == 1:
            break
        running.reverse()  # nobody comes after the same neighbour every time
    return _medians(first, samples)


def _medians(first: Mapping[str, float], samples: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(samples[name] or [first[name]]) for name in first}
