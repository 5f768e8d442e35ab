"""Filters that are done along one axis after the other.

Called by the separable filters of `fastconv.ndimage`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv.execution.memory import empty
from fastconv.filtering.casting import cast
from fastconv.filtering.pictures import KernelCall
from fastconv.typing import Array

# From, into; and the call of a kernel that did it, where there was one.
Pass = Callable[[Array, Array], KernelCall | None]
# Two passes in a single way through the array; None where they cannot be had so.
Pair = Callable[[Any, Any, Array, Array], KernelCall | None]


def run(
    x: Array,
    out: Array,
    passes: Sequence[Pass],
    between: np.dtype[Any] | None = None,
    pair: Pair | None = None,
    saturate: bool = False,
) -> KernelCall | None:
    """`x` through all passes into `out`; what lies between two of them has the dtype of `out`, or that one.

    Returns the call of a kernel that did all of them, where there was a single one. Without a pass `x` is copied, and
    kept in range where that is wanted of what passes give.
    """
    if not passes:
        with np.errstate(all="ignore"):
            out[...] = cast(x, out.dtype, True) if saturate and out.dtype.kind in "iu" else x
        return None
    if np.may_share_memory(x, out):
        apart = empty("filter", out.shape, out.dtype)
        run(x, apart, passes, between, pair)
        out[...] = apart
        return None
    dtype = out.dtype if between is None else between
    spare: list[Array] = []
    source, left = x, list(passes)

    def target(rest: int) -> Array:
        if not rest or (rest % 2 == 0 and dtype == out.dtype):
            return out
        return spare.pop() if spare else empty("filter", out.shape, dtype)

    while True:
        call = None
        into = target(len(left) - 2) if pair is not None and len(left) > 1 else None
        if pair is not None and into is not None and into is not source:
            call = pair(left[0], left[1], source, into)
        if call is not None:
            left = left[2:]
        else:
            if into is not None and into is not out:
                spare.append(into)
            into = target(len(left) - 1)
            call = left.pop(0)(source, into)
        if not left:
            return call if source is x else None
        if source is not x and source is not out:
            spare.append(source)
        assert into is not None
        source = into


def between(x: np.dtype[Any], result: np.dtype[Any], saturate: bool) -> np.dtype[Any] | None:
    """What lies between two passes where integers are rounded once, at the end; None: the dtype of the result."""
    if not saturate or result.kind not in "iu":
        return None
    return np.dtype(np.float32 if x.itemsize == result.itemsize == 1 else np.float64)
