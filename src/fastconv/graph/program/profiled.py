"""Times of a program's steps, beside what the machine could do. Made by `Program.profile`."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastconv.graph.program.steps import StepInfo
from fastconv.limits import Limits
from fastconv.machine.roofline import DTYPES
from fastconv.text import (
    ABSENT,
    counted,
    digits,
    duration,
    filled_columns,
    shape_text,
    shortened,
    table_lines,
)


@dataclass(frozen=True)
class StepTime:
    """How long a step took.

    Attributes
    ----------
    step : StepInfo
        What it does: name, shape, operation, algorithm, flops, bytes.
    rounds : tuple of float
        Seconds in each round.
    bound : float
        Seconds that the machine's measured limits allow for the algorithm's operations and the bytes moved
        (`fastconv.limits.Limits.attainable`); NaN where there are none, or none of this dtype.
    share : float
        Of the sum over all steps.
    """

    step: StepInfo
    rounds: tuple[float, ...]
    bound: float
    share: float

    @property
    def seconds(self) -> float:
        """The median over the rounds."""
        return float(np.median(self.rounds))

    @property
    def rate(self) -> float:
        """The textbook's floating-point operations per second."""
        return self.step.flops / self.seconds if self.seconds else 0.0

    @property
    def reached(self) -> float:
        """The bound over the time: 1 is as fast as the machine can. NaN where there is no bound."""
        return self.bound / self.seconds if self.seconds else math.nan


@dataclass(frozen=True)
class OperationTime:
    """The sum over the steps of one operation by one algorithm: seconds (of medians), share, and FLOPs."""

    kind: str
    steps: int
    seconds: float
    share: float
    flops: int


@dataclass(frozen=True, repr=False)
class Profile:
    """Times of a program's steps; printed, it is a table.

    Attributes
    ----------
    name, backend : str
    threads : int
    steps : tuple of StepTime
        In the order in which they run.
    calls : tuple of float
        Seconds of whole calls, which were made in turns with those whose steps were timed.
    measured : bool
        Whether the machine's limits are known, so that there are bounds.
    """

    name: str
    backend: str
    threads: int
    steps: tuple[StepTime, ...]
    calls: tuple[float, ...]
    measured: bool

    @property
    def seconds(self) -> float:
        """The median of whole calls."""
        return float(np.median(self.calls))

    @property
    def flops(self) -> int:
        """Of a call, by the textbook."""
        return sum(time.step.flops for time in self.steps)

    def by_operation(self) -> list[OperationTime]:
        """The sums of each operation and algorithm, the longest first.

        Returns
        -------
        list of OperationTime
        """
        groups: dict[str, list[StepTime]] = {}
        for time in self.steps:
            groups.setdefault(time.step.kind, []).append(time)
        sums = [
            OperationTime(
                kind,
                len(times),
                sum(time.seconds for time in times),
                sum(time.share for time in times),
                sum(time.step.flops for time in times),
            )
            for kind, times in groups.items()
        ]
        return sorted(sums, key=lambda one: -one.seconds)

    def _steps(self) -> tuple[list[list[str]], set[int]]:
        """A table, and which of its columns hold numbers."""
        heads = [
            "step",
            "output",
            "shape",
            "operation",
            "algorithm",
            "µs",
            "share",
            "GFLOP/s",
            "reached",
            "in",
        ]
        rows = [
            [
                str(number),
                shortened(time.step.name, 28),
                shape_text(time.step.shape),
                time.step.operation,
                time.step.algorithm or ABSENT,
                digits(1e6 * time.seconds),
                f"{100 * time.share:.1f} %",
                digits(time.rate / 1e9) if time.step.flops else ABSENT,
                ABSENT if math.isnan(time.reached) else f"{100 * time.reached:.0f} %",
                time.step.where,
            ]
            for number, time in enumerate(self.steps, 1)
        ]
        return _filled([heads, *rows], {0, 5, 6, 7, 8})

    def _operations(self) -> tuple[list[list[str]], set[int]]:
        heads = ["operation", "steps", "µs", "share", "GFLOP/s"]
        rows = [
            [
                one.kind,
                str(one.steps),
                digits(1e6 * one.seconds),
                f"{100 * one.share:.1f} %",
                digits(one.flops / one.seconds / 1e9) if one.flops and one.seconds else ABSENT,
            ]
            for one in self.by_operation()
        ]
        return _filled([heads, *rows], {1, 2, 3, 4})

    def _headline(self) -> str:
        rate = f", {digits(self.flops / self.seconds / 1e9)} GFLOP/s" if self.flops and self.seconds else ""
        return (
            f"{self.name} on {self.backend}, {counted(self.threads, 'thread')}: {duration(self.seconds)} a call{rate}; "
            f"{duration(sum(time.seconds for time in self.steps))} in {counted(len(self.steps), 'step')} "
            f"(medians of {counted(len(self.calls), 'round')})"
        )

    def _note(self) -> str:
        if self.measured:
            return "reached: of what the machine's limits allow for the algorithm's operations and the bytes moved"
        return "reached: not known, as the machine's limits are not measured; fastconv info --measure does"

    def __str__(self) -> str:
        steps, sums = table_lines(*self._steps()), table_lines(*self._operations())
        return "\n".join([self._headline(), "", *steps, "", *sums, "", self._note()])

    def __repr__(self) -> str:
        steps = counted(len(self.steps), "step")
        return f"<Profile of {self.name!r} on {self.backend}: {duration(self.seconds)}, {steps}>"

    def _repr_html_(self) -> str:
        """For notebooks."""
        parts = [f"<p>{html.escape(self._headline())}</p>", _html_table(*self._steps())]
        parts += [_html_table(*self._operations()), f"<p>{html.escape(self._note())}</p>"]
        return "\n".join(parts)


def _filled(rows: list[list[str]], numbers: set[int]) -> tuple[list[list[str]], set[int]]:
    """Without columns in which nothing stands."""
    kept = filled_columns(rows)
    return [[row[place] for place in kept] for row in rows], {kept.index(n) for n in numbers if n in kept}


def _html_table(rows: Sequence[Sequence[str]], right: set[int]) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f'<{tag} style="text-align:{"right" if place in right else "left"}">{html.escape(cell)}</{tag}>'
            for place, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows[1:])
    return f"<table><thead><tr>{cells(rows[0], 'th')}</tr></thead><tbody>{body}</tbody></table>"


def step_times(
    steps: Sequence[StepInfo], rounds: Sequence[Sequence[int]], limits: Limits | None, threads: int
) -> tuple[StepTime, ...]:
    """The steps with their nanoseconds in each round."""
    times = [tuple(1e-9 * taken for taken in one) for one in zip(*rounds, strict=True)]
    usual = [float(np.median(taken)) for taken in times]
    total = sum(usual) or 1.0
    return tuple(
        StepTime(step, taken, _bound(step, limits, threads), own / total)
        for step, taken, own in zip(steps, times, usual, strict=True)
    )


def _bound(step: StepInfo, limits: Limits | None, threads: int) -> float:
    dtype = None if step.dtype is None else np.dtype(step.dtype).name
    if limits is None or dtype not in DTYPES or not (step.operations or step.bytes):
        return math.nan
    return limits.attainable(step.operations, step.bytes, dtype, threads)
