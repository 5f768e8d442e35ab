"""An axis of an array, and the array as (outer, count, inner) around it."""

from __future__ import annotations

import math
from typing import SupportsIndex

from fastconv.arguments import integer
from fastconv.text import echo


def read_axis(op: str, name: str, value: SupportsIndex, shape: tuple[int, ...]) -> int:
    """The axis, counted from the front."""
    if not shape:
        raise ValueError(f"{op}: {name} is {echo(value)}, but a number alone has no axes: needs an array")
    axis = integer(op, name, value, -len(shape), len(shape) - 1)
    return axis % len(shape)


def around_axis(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
