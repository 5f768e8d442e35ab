"""Filters that are done along one axis after the other.

Called by the separable filters of `fastconv.ndimage`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv.execution.memory import empty
from fastconv.typing import Array

Pass = Callable[[Array, Array], None]  # from, into


def run(x: Array, out: Array, passes: Sequence[Pass], between: np.dtype[Any] | None = None) -> Array:
    """`x` through all passes into `out`; what lies between two of them has the dtype of `out`, or that one."""
    if not passes:
        with np.errstate(all="ignore"):
            out[...] = x
        return out
    dtype = out.dtype if between is None else between
    spare: list[Array] = []
    source = x
    for left, step in zip(range(len(passes) - 1, -1, -1), passes, strict=True):
        if not left or (left % 2 == 0 and dtype == out.dtype and not np.may_share_memory(x, out)):
            target = out
        else:
            target = spare.pop() if spare else empty("filter", out.shape, dtype)
        step(source, target)
        if source is not x and source is not out:
            spare.append(source)
        source = target
    return out


def between(result: np.dtype[Any], saturate: bool) -> np.dtype[Any] | None:
    """What lies between two passes where integers are rounded once, at the end; None: the dtype of the result."""
    if not saturate or result.kind not in "iu":
        return None
    return np.dtype(np.float32 if result.itemsize == 1 else np.float64)
