"""The one timer: calls side by side, in turns, round after round, so that what disturbs the machine disturbs all.

Called by `session.py` and `studies.py`, by the demo, and by the suite and `regret.py` in ``bench/``; each says by a
`Pace` how long it takes.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.runner import ApartCall
from fastconv.machine.stopwatch import stopwatch

Key = TypeVar("Key", bound=Hashable)
Call = Callable[[], object]

LONG = 0.5  # seconds of a call that is made as few times as possible
MOST_CALLS = 10_000  # of a sample
ENOUGH = 1.5  # seconds of samples of a layer by one runner


@dataclass(frozen=True)
class Pace:
    """How often and for how long calls are timed.

    Parameters
    ----------
    rounds : int
        Samples of each call, at most.
    least : int
        Samples of each call, whatever they take.
    block : float
        Seconds that a sample lasts at least, as the mean of several calls where one is shorter; 0 for a single call.
    rest : float
        Seconds of pause before each sample, in which the threads that other libraries leave spinning go to sleep.
    warm : bool
        Whether each sample comes after as many calls that are not timed (none above `LONG`).
    enough : float
        After as many seconds in the samples of a call, `least` of them are enough.
    budget : float
        After as many seconds in all, `least` rounds are enough.
    """

    rounds: int
    least: int = 2
    block: float = 0.0
    rest: float = 0.0
    warm: bool = False
    enough: float = math.inf
    budget: float = math.inf


class Timer(Generic[Key]):
    """Times some calls.

    Parameters
    ----------
    calls : mapping of key to callable
        Called without arguments. They have been called before, so that all is compiled and prepared.
    pace : Pace
        Where it has a `block`, each call is made twice at once, to see how many fill it; those above `LONG` once.
    shuffle : random.Random, optional
        Draws the order of each round; by default every second one is in reverse.
    """

    def __init__(self, calls: Mapping[Key, Call], pace: Pace, shuffle: random.Random | None = None) -> None:
        self.calls, self.pace, self._shuffle = dict(calls), pace, shuffle
        self.first: dict[Key, float] = {}  # seconds of a call, roughly
        self.repeats = dict.fromkeys(calls, 1)  # calls in a sample
        if pace.block > 0:
            self.first = {key: _first(call) for key, call in calls.items()}
            self.repeats = {
                key: min(MOST_CALLS, max(1, math.ceil(pace.block / once))) for key, once in self.first.items()
            }

    def only(self, keys: Iterable[Key]) -> None:
        """Time no others than these."""
        self.calls = {key: self.calls[key] for key in keys}

    def rounds(self, key: Key) -> int:
        """How many samples of a call its pace has time for, as far as can be told before."""
        if self._is_long(key):
            return 1
        fit = self.pace.enough / (self.first[key] * self.repeats[key])
        return int(min(self.pace.rounds, max(self.pace.least, fit)))

    def run(self, progress: Call = lambda: None) -> dict[Key, tuple[float, ...]]:
        """Seconds of one call of each, a sample for each round.

        Parameters
        ----------
        progress : callable
            Called after each round, outside of all samples.

        Returns
        -------
        dict
            The samples of each key. The first call of one above `LONG` is among them.
        """
        samples = {key: [self.first[key]] if self._is_long(key) else [] for key in self.calls}
        order, end = list(self.calls), time.perf_counter() + self.pace.budget
        for done in range(self.pace.rounds):
            if done >= self.pace.least and time.perf_counter() > end:
                break
            if self._shuffle is not None:
                self._shuffle.shuffle(order)
            for key in order:
                if not self._has_enough(key, samples[key]):
                    samples[key].append(self._sample(key))
            order.reverse()  # nobody comes after the same neighbour every time
            progress()
        return {key: tuple(values) for key, values in samples.items()}

    def _is_long(self, key: Key) -> bool:
        return self.first.get(key, 0) > LONG

    def _has_enough(self, key: Key, values: list[float]) -> bool:
        return len(values) >= self.pace.least and sum(values) * self.repeats[key] >= self.pace.enough

    def _sample(self, key: Key) -> float:
        call, times = self.calls[key], self.repeats[key]
        if self.pace.rest:
            time.sleep(self.pace.rest)
        if self.pace.warm and not self._is_long(key):
            _seconds(call, times)
        return _seconds(call, times)


def side_by_side(
    calls: Mapping[Key, Call], settings: Settings, progress: Call = lambda: None
) -> dict[Key, tuple[float, ...]]:
    """The samples of each call at the pace of a measurement's settings."""
    pace = Pace(max(2, settings.rounds), block=settings.block, rest=settings.idle, warm=True, enough=ENOUGH)
    return Timer(calls, pace).run(progress)


def _first(call: Call) -> float:
    """The faster of two calls; long ones are made only once."""
    once = _seconds(call)
    return max(once if once > LONG else min(once, _seconds(call)), 1e-7)


def _seconds(call: Call, times: int = 1) -> float:
    """Of one call, as the mean of so many."""
    return call.seconds(times) if isinstance(call, ApartCall) else stopwatch(call, times)
