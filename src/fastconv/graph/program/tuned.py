"""What measuring says of the convolutions of a program. Called by `program.py`; needs the ``cython`` backend.

The layout of every image is that of the least predicted cost, as without measuring.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from fastconv.backends.cython import BACKEND
from fastconv.problem.convolution import ConvProblem
from fastconv.problem.layout import channels_last
from fastconv.text import counted
from fastconv.tuning.choice import Choice, choose
from fastconv.tuning.entries import in_words
from fastconv.typing import Array


class Choices:
    """The choices for the problems of a program, each made once."""

    def __init__(self) -> None:
        self._made: dict[str, Choice] = {}
        self._met: list[Choice] = []

    def __call__(self, problem: ConvProblem, weight: Array) -> ConvProblem:
        """The problem as it is to be done; `weight` is that of NCHW."""
        words = in_words(problem)
        if words not in self._made:
            self._made[words] = choose(BACKEND, problem, partial(_in_layout, problem, weight))
        self._met.append(self._made[words])
        return self._met[-1].problem

    def told(self) -> Iterator[str]:
        """How many were measured, and why others were not."""
        measured = sum(choice.entry is not None for choice in self._met)
        yield (
            f"tune: {measured} of {counted(len(self._met), 'step')} with weights by the kernel that was measured to be "
            "the fastest"
        )
        reasons = [choice.told for choice in self._met if choice.entry is None]
        yield from (f"tune: {reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons))


def _in_layout(problem: ConvProblem, weight: Array) -> Array:
    """Dense layers and signals have fewer axes."""
    planar = weight.reshape(problem.filters, problem.channels // problem.groups, *problem.kernel)
    return np.ascontiguousarray(planar.transpose(2, 3, 1, 0) if channels_last(problem.layout) else planar)
