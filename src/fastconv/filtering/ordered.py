"""Applies filters of order, which are extrema and ranks, to arrays with missing pixels, to stacks and to files.

Called by the extrema and the ranks of `fastconv.ndimage`, which give their filters as an `OrderFilter`: their arguments
have been read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fastconv.backends import resolve
from fastconv.filtering.arguments import OutputLike
from fastconv.filtering.blocks import Reach
from fastconv.filtering.known import Filter
from fastconv.filtering.missing import Missing, NanPolicy, check_policy, missing_beyond, missing_pixels
from fastconv.filtering.parts import apply
from fastconv.filtering.pictures import KernelCall
from fastconv.progress import ProgressLike
from fastconv.typing import Array, BackendName


@dataclass(eq=False)
class OrderFilter(Filter):
    """A filter of order whose arguments have been read; the backend's name is looked at here.

    Parameters
    ----------
    op : str
    reaches : sequence of Reach
        How far its windows reach along each axis.
    run : callable
        As for `Filter`; `out` may be where `x` is.
    omit : callable
        ``omit(x, out, cval, missing, beyond)`` does that without the missing pixels, `beyond` saying whether those
        beyond the array are some; windows without any other may get whatever comes.
    windows : callable
        ``windows(missing, combine, beyond)``: of which pixels the window holds a missing one (`numpy.maximum`), or
        nothing else (`numpy.minimum`).
    cval : float
    backend : {"cython", "numba", "numpy"} or None
    nan_policy : {"propagate", "omit"}
    nbytes : int
        What it holds.
    """

    op: str
    reaches: Sequence[Reach]
    run: Callable[[Array, Array, float], KernelCall | None]
    omit: Callable[[Array, Array, float, Missing, bool], None]
    windows: Callable[[Missing, np.ufunc, bool], Missing]
    cval: float
    backend: BackendName | None
    nan_policy: NanPolicy = "propagate"
    nbytes: int = 0

    def __post_init__(self) -> None:
        resolve(self.op, self.backend)
        if check_policy(self.op, self.nan_policy) == "interpolate":
            raise ValueError(
                f"{self.op}: nan_policy is 'interpolate', but what is put in order has no weights to scale: "
                "needs 'omit' or 'propagate'"
            )

    def into(self, x: Array, out: Array) -> Missing | None:
        """The filtered `x` into `out`; which of its pixels are missing, where `x` is masked."""
        masked = isinstance(x, np.ma.MaskedArray)
        if not masked and self.nan_policy == "propagate":
            self.do(x, out)
            return None
        data = np.ma.getdata(x) if masked else x
        missing = missing_pixels(x, self.nan_policy)
        beyond = missing_beyond(self.reaches, self.cval, self.nan_policy)
        if not beyond and (missing is None or not missing.any()):
            self.run(data, out, self.cval)
            return np.zeros(data.shape, bool) if masked else None
        if missing is None:
            missing = np.zeros(data.shape, bool)
        if self.nan_policy == "propagate":
            reached = self.windows(missing, np.maximum, beyond)
            self.run(data, out, self.cval)
            return reached
        none = self.windows(missing, np.minimum, beyond)
        self.omit(data, out, self.cval, missing, beyond)
        if out.dtype.kind == "f":
            out[none] = np.nan
        elif not masked:
            out[none] = 0
        return none if masked else None

    def applied(self, x: Array, output: OutputLike, progress: ProgressLike | None = None) -> Array:
        """The filtered array, masked where `x` is; in parts where it is large or somebody wants to be told."""
        room = 8 if self.nan_policy != "propagate" or np.ma.isMaskedArray(x) else None
        return apply(
            self.op, self.into, self.reaches[0] if x.ndim else Reach(), x, output, progress, room=room
        )
