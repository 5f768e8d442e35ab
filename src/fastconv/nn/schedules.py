"""Schedules: the rate of an optimiser's steps, from how many there were.

They hold no functions that are made within others, so that a network which was trained with one can be pickled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any


class Schedule:
    """A function of the number of steps that were taken. In place of one, any such function will do.

    Attributes
    ----------
    factor : float
        All rates are multiplied by this; `OnPlateau` lowers it.
    """

    def __init__(self, function: Callable[[int], float], text: str) -> None:
        self._function, self._text = function, text
        self.factor = 1.0

    def __call__(self, step: int) -> float:
        return self._function(step) * self.factor

    def __repr__(self) -> str:
        return self._text


def constant(rate: float) -> Schedule:
    """Always the same.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> nn.schedules.constant(0.1)(1000)
    0.1
    """
    return Schedule(partial(_constant, rate), f"{rate:g}")


def step(rate: float, every: int, factor: float = 0.1) -> Schedule:
    """Multiplied by a factor every so many steps.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> nn.schedules.step(1.0, every=10, factor=0.5)(25)
    0.25
    """
    return Schedule(partial(_step, rate, every, factor), f"step({rate:g}, {every}, {factor:g})")


def exponential(rate: float, factor: float) -> Schedule:
    """Multiplied by a factor at each step."""
    return Schedule(partial(_step, rate, 1, factor), f"exponential({rate:g}, {factor:g})")


def cosine(rate: float, steps: int, least: float = 0.0) -> Schedule:
    """From `rate` down to `least` along half a cosine: Loshchilov and Hutter, "SGDR", 2017.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> schedule = nn.schedules.cosine(1.0, steps=100)
    >>> [round(schedule(n), 2) for n in (0, 50, 100, 1000)]
    [1.0, 0.5, 0.0, 0.0]
    """
    return Schedule(partial(_cosine, rate, steps, least), f"cosine({rate:g}, {steps})")


def warm_up(then: float | Schedule, steps: int) -> Schedule:
    """From near 0 in equal steps up to a schedule, which begins then.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> schedule = nn.schedules.warm_up(0.4, steps=4)
    >>> [round(schedule(n), 2) for n in range(6)]
    [0.1, 0.2, 0.3, 0.4, 0.4, 0.4]
    """
    after = schedule_of(then)
    return Schedule(partial(_warm_up, after, steps), f"warm_up({after!r}, {steps})")


def _constant(rate: float, n: int) -> float:
    return rate


def _step(rate: float, every: int, factor: float, n: int) -> float:
    return float(rate * factor ** (n // every))


def _cosine(rate: float, steps: int, least: float, n: int) -> float:
    return least + (rate - least) * 0.5 * (1 + math.cos(math.pi * min(n / steps, 1.0)))


def _warm_up(after: Schedule, steps: int, n: int) -> float:
    return after(0) * (n + 1) / steps if n < steps else after(n - steps)


def schedule_of(rate: Any) -> Schedule:
    """A number as a schedule."""
    if isinstance(rate, Schedule):
        return rate
    if callable(rate):
        return Schedule(rate, getattr(rate, "__name__", "schedule"))  # pyright: ignore  (a callable)
    return constant(float(rate))
