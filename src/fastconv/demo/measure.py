"""Times one step on every backend and compares the results. Called by :func:`fastconv.demo.run_demo`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from fastconv.bench.measure.timer import Pace, Timer
from fastconv.demo.steps import Step
from fastconv.machine.stopwatch import stopwatch
from fastconv.typing import Array, BackendName

REFERENCE: BackendName = "numpy"
# A slow operation gets fewer calls, so that a large photograph does not take all day.
PACE = Pace(rounds=7, least=1, enough=1.0)


@dataclass(frozen=True)
class Outcome:
    """What one step gave: shapes, seconds per call and extra seconds of the first call, and the comparison.

    ``difference`` holds, per backend other than the reference, the largest absolute difference to it:
    infinity for a wrong shape or dtype, NaN if the result holds one. ``allowed`` is the bound.
    """

    title: str
    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]
    seconds: dict[BackendName, float]
    first_call: dict[BackendName, float]
    difference: dict[BackendName, float]
    allowed: float

    @property
    def wrong(self) -> list[BackendName]:
        """The backends whose result is too far from the reference."""
        return [name for name, value in self.difference.items() if not value <= self.allowed]

    @property
    def agrees(self) -> bool:
        """Whether all backends give the same result, up to rounding."""
        return not self.wrong

    @property
    def share_of_allowed(self) -> float:
        """The largest difference as a fraction of the allowed one."""
        return max(self.difference.values(), default=0.0) / self.allowed if self.allowed else 0.0


def measure(step: Step, x: Array, names: Sequence[BackendName]) -> tuple[Array, Outcome]:
    """Run ``step`` on every backend of ``names``.

    Returns
    -------
    tuple
        The reference's result, and the :class:`Outcome`.
    """
    seconds: dict[BackendName, float] = {}
    first_call: dict[BackendName, float] = {}
    difference: dict[BackendName, float] = {}
    if REFERENCE in names:
        expected, first_call[REFERENCE], seconds[REFERENCE] = timed(step, x, REFERENCE)
    else:
        expected = step.run(x, REFERENCE)
    for name in names:
        if name != REFERENCE:
            result, first_call[name], seconds[name] = timed(step, x, name)
            difference[name] = largest_difference(result, expected)
    outcome = Outcome(
        step.title,
        x.shape,
        expected.shape,
        seconds,
        first_call,
        difference,
        allowed_difference(step, x, expected),
    )
    return expected, outcome


def timed(step: Step, x: Array, name: BackendName) -> tuple[Array, float, float]:
    """Give the result, the seconds that the first call took beyond a usual one, and those of a usual one.

    The first call is a warm-up, where numba compiles; a usual one is the median of several after it.
    """
    results: list[Array] = []
    first = stopwatch(lambda: results.append(step.run(x, name)))
    samples = Timer({name: lambda: step.run(x, name)}, PACE).run()
    usual = median(samples[name])
    return results[0], max(0.0, first - usual), usual


def largest_difference(result: Array, expected: Array) -> float:
    """Give ``max |result - expected|``, or infinity for another shape or dtype."""
    if result.shape != expected.shape or result.dtype != expected.dtype:
        return math.inf
    return float(np.abs(result - expected).max())


def allowed_difference(step: Step, x: Array, expected: Array) -> float:
    """Bound the difference that rounding explains.

    A sum of n products is off by about ``sqrt(n) eps`` times the sum of ``|w| |x|``, as its n roundings go
    either way, each backend adding up in its own order; the fast algorithms (Winograd) may lose up to 8 times
    as much.
    """
    if step.terms == 0:
        return 0.0
    return 8 * math.sqrt(step.terms) * float(np.finfo(expected.dtype).eps) * step.magnitude(x, REFERENCE)
