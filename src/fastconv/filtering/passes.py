"""Filters that are done along one axis after the other.

Called by the separable filters of `fastconv.ndimage`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv.execution.memory import empty
from fastconv.filtering.casting import cast
from fastconv.typing import Array

Pass = Callable[[Array, Array], None]  # from, into
# Two passes in a single way through the array, if they can be had so.
Pair = Callable[[Any, Any, Array, Array], bool]


def run(
    x: Array,
    out: Array,
    passes: Sequence[Pass],
    between: np.dtype[Any] | None = None,
    pair: Pair | None = None,
    saturate: bool = False,
) -> Array:
    """`x` through all passes into `out`; what lies between two of them has the dtype of `out`, or that one.

    Without a pass `x` is copied, and kept in range where that is wanted of what passes give.
    """
    if not passes:
        with np.errstate(all="ignore"):
            out[...] = cast(x, out.dtype, True) if saturate and out.dtype.kind in "iu" else x
        return out
    if np.may_share_memory(x, out):
        out[...] = run(x, empty("filter", out.shape, out.dtype), passes, between, pair)
        return out
    dtype = out.dtype if between is None else between
    spare: list[Array] = []
    source, left = x, list(passes)

    def target(rest: int) -> Array:
        if not rest or (rest % 2 == 0 and dtype == out.dtype):
            return out
        return spare.pop() if spare else empty("filter", out.shape, dtype)

    while left:
        into = target(len(left) - 2) if pair is not None and len(left) > 1 else None
        if (
            pair is not None
            and into is not None
            and into is not source
            and pair(left[0], left[1], source, into)
        ):
            left = left[2:]
        else:
            if into is not None and into is not out:
                spare.append(into)
            into = target(len(left) - 1)
            left.pop(0)(source, into)
        if source is not x and source is not out:
            spare.append(source)
        source = into
    return out


def between(x: np.dtype[Any], result: np.dtype[Any], saturate: bool) -> np.dtype[Any] | None:
    """What lies between two passes where integers are rounded once, at the end; None: the dtype of the result."""
    if not saturate or result.kind not in "iu":
        return None
    return np.dtype(np.float32 if x.itemsize == result.itemsize == 1 else np.float64)
