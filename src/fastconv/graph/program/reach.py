"""How far the steps in C read and write, from the numbers that they are given. Used by `lowering.py`, which lets none
go beyond the memory of what it touches, however wrong a number is that came so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from fastconv.typing import Array

# The first byte, and the one behind the last, from where a place begins.
Span = tuple[int, int]
_FLOATS, _INDEX, _TRUTH = (4, 8), 8, 1


def reach(kind: str, what: Sequence[Any]) -> list[Span]:
    """Of a step's operands in their order, and of its result.

    Parameters
    ----------
    kind : str
        The method of the engine's network that adds the step.
    what : sequence
        That method's arguments but for the places.
    """
    return _REACHES[kind](*what)


def whole(item: int, *sizes: int) -> Span:
    """All of an array."""
    return 0, item * prod(sizes)


def walked(item: int, sizes: Sequence[int], strides: Sequence[int]) -> Span:
    """What is walked in steps of `strides` elements."""
    first, last = 0, 0
    for size, stride in zip(sizes, strides, strict=True):
        if not size:
            return 0, 0
        if stride < 0:
            first += (size - 1) * stride
        else:
            last += (size - 1) * stride
    return item * first, item * (1 + last)


def _copy(item: int, sizes: Any, source: Any, target: Any) -> list[Span]:
    return [walked(item, sizes, source), walked(item, sizes, target)]


def _elementwise(
    dtype: int, sizes: Any, strides: Any, target: Any, code: Any, truths: int, gives_truth: bool
) -> list[Span]:
    items = [_TRUTH if truths >> place & 1 else _FLOATS[dtype] for place in range(len(strides))]
    read = [walked(item, sizes, walk) for item, walk in zip(items, strides, strict=True)]
    return [*read, walked(_TRUTH if gives_truth else _FLOATS[dtype], sizes, target)]


def _pad(item: int, sizes: Any, rows: Array, columns: Array, value: bytes) -> list[Span]:
    outer, height, width, inner = sizes
    for table, size in ((rows, height), (columns, width)):
        if table.size and (table.min() < -1 or table.max() >= size):
            raise ValueError(f"places from {table.min()} to {table.max()} of an axis of {size}")
    return [whole(item, *sizes), whole(item, outer, len(rows), len(columns), inner)]


def _resample(dtype: int, sizes: Any, starts: Array, counts: Array, weights: Array) -> list[Span]:
    outer, size, count, inner = sizes
    if starts.min(initial=0) < 0 or (starts + counts).max(initial=0) > size or len(starts) != count:
        raise ValueError(f"{count} sums of places of an axis of {size}")
    return [whole(_FLOATS[dtype], outer, size, inner), whole(_FLOATS[dtype], outer, count, inner)]


def _normalise(dtype: int, sizes: Any, eps: float) -> list[Span]:
    item, (_, groups, channels, _) = _FLOATS[dtype], sizes
    factors = whole(item, groups, channels)
    return [whole(item, *sizes), factors, factors, whole(item, *sizes)]


def _reduce(dtype: int, sizes: Any, how: int) -> list[Span]:
    outer, _, inner = sizes
    return [whole(_FLOATS[dtype], *sizes), whole(_FLOATS[dtype], outer, inner)]


def _places(dtype: int, sizes: Any, how: int, last: bool) -> list[Span]:
    outer, _, inner = sizes
    return [whole(_FLOATS[dtype], *sizes), whole(_INDEX, outer, inner)]


def _alike(dtype: int, sizes: Any, *_: Any) -> list[Span]:
    return [whole(_FLOATS[dtype], *sizes)] * 2


_REACHES: dict[str, Callable[..., list[Span]]] = {
    "copy": _copy,
    "elementwise": _elementwise,
    "local_response_norm": _alike,
    "normalise": _normalise,
    "pad": _pad,
    "places": _places,
    "reduce": _reduce,
    "resample": _resample,
    "softmax": _alike,
}
