"""Rules of shapes and dtypes that many operations share, and the arithmetic of sizes that may be symbols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.graph.graph import Size, Value
from fastconv.graph.operations.table import Type

_BOOL = np.dtype(np.bool_)


def same(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    """The type of the first input."""
    first = inputs[0]
    return [Type() if first is None else Type(first.dtype, first.shape)]


def broadcast(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    """The dtype of the first input, and the shape of all together."""
    given = [value for value in inputs if value is not None]
    return [Type(given[0].dtype, broadcast_shape([value.shape for value in given]))]


def comparison(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    return [Type(_BOOL, broadcast(inputs, attributes)[0].shape)]


def broadcast_shape(shapes: Sequence[tuple[Size, ...] | None]) -> tuple[Size, ...] | None:
    """What the shapes give together; a symbol meets 1 or itself only, else the size is not known."""
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        return None
    if known.count(known[0]) == len(known):  # most are alike
        return known[0]
    rank = max(map(len, known))
    padded = [(1,) * (rank - len(shape)) + shape for shape in known]
    return tuple(_together(sizes) for sizes in zip(*padded, strict=True))


def _together(sizes: Sequence[Size]) -> Size:
    numbers = {size for size in sizes if isinstance(size, int) and size != 1}
    if len(numbers) > 1:
        raise ValueError(f"sizes {', '.join(map(str, sizes))} do not go together")
    if numbers:
        return numbers.pop()
    others = {size for size in sizes if size != 1}
    if not others:
        return 1
    return others.pop() if len(others) == 1 else None
