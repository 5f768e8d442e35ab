"""Applies a filter to arrays with missing pixels, to stacks of any length and to memory-mapped files.

Called by the linear filters of `fastconv.ndimage`, which give it as a `LinearFilter`: their arguments have been read.
A missing pixel is a masked one or, where NaN do not propagate, a NaN. It counts as 0 in the sums of the windows that
hold it; "interpolate" divides these by the weights of the pixels that are there (normalised convolution: H. Knutsson
and C.-F. Westin, 1993), for the parts of the array that missing pixels reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fastconv import arguments
from fastconv.execution.memory import empty
from fastconv.filtering import arguments as read
from fastconv.filtering import sliding
from fastconv.filtering.arguments import OutputLike
from fastconv.filtering.blocks import PASS_BYTES, Reach, block, regions
from fastconv.filtering.casting import cast
from fastconv.filtering.parts import check_progress, in_slabs, part, touched_regions, wants_parts
from fastconv.progress import ProgressLike
from fastconv.typing import Array

NanPolicy = Literal["propagate", "omit", "interpolate"]
Missing = NDArray[np.bool_]
_REST = 1e-12  # of the sum of a kernel's magnitudes: what rounding leaves of one that is 0


@dataclass(frozen=True)
class LinearFilter:
    """A linear filter whose arguments have been read.

    Parameters
    ----------
    op : str
    run : callable
        ``run(x, out, cval)`` puts the filtered `x` into `out`, which may have any dtype that filters give.
    reaches : sequence of Reach
        How far its windows reach along each axis.
    weights : sequence of ndarray
        The kernel, or kernels along single axes whose product it is.
    cval : complex
    nan_policy : {"propagate", "omit", "interpolate"}
    saturate : bool
    """

    op: str
    run: Callable[[Array, Array, complex], None]
    reaches: Sequence[Reach]
    weights: Sequence[Array]
    cval: complex
    nan_policy: NanPolicy = "propagate"
    saturate: bool = False

    def __post_init__(self) -> None:
        arguments.choice(self.op, "nan_policy", self.nan_policy, get_args(NanPolicy))
        if self.nan_policy != "propagate" and any(map(np.iscomplexobj, self.weights)):
            raise TypeError(
                f"{self.op}: nan_policy is {self.nan_policy!r}, but needs 'propagate' of complex weights"
            )
        if self.nan_policy == "interpolate" and abs(self.total) <= _REST * self._magnitude:
            raise ValueError(
                f"{self.op}: nan_policy is 'interpolate', but the weights sum to 0: needs 'omit' or 'propagate'"
            )

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return math.prod(float(np.sum(each)) for each in self.weights)

    @property
    def _magnitude(self) -> float:
        return math.prod(float(np.abs(each).sum()) for each in self.weights)

    @property
    def _beyond(self) -> bool:
        """Are the pixels beyond the array missing?"""
        border = any(each.mode == "zeros" and each.extent for each in self.reaches)
        return border and self.nan_policy != "propagate" and bool(np.isnan(self.cval))

    def into(self, x: Array, out: Array) -> Missing | None:
        """The filtered `x` into `out`; which of its pixels are missing, where `x` is masked."""
        data, beyond = np.ma.getdata(x), self._beyond
        missing = np.ma.getmaskarray(x) if np.ma.isMaskedArray(x) else None
        if self.nan_policy != "propagate" and data.dtype.kind == "f":
            nan = np.isnan(data)
            missing = nan if missing is None else nan | missing
        if missing is None and not beyond:
            self.run(data, out, self.cval)
            return None
        if missing is None:
            missing = np.zeros(data.shape, bool)
        masked = np.ma.isMaskedArray(x)
        if not beyond and not missing.any():
            self.run(data, out, self.cval)
            return missing if masked else None
        filled = np.where(missing, data.dtype.type(0), data)
        shared = np.may_share_memory(data, out)
        target = empty(self.op, out.shape, out.dtype) if shared else out
        self.run(filled, target, 0.0 if beyond else self.cval)
        if self.nan_policy == "propagate":
            none = _reached(missing, self.reaches, np.logical_or, beyond)
        else:
            if self.nan_policy == "interpolate":
                self._divide(filled, missing, target)
            none = _reached(missing, self.reaches, np.logical_and, beyond)
            if out.dtype.kind == "f":
                target[none] = np.nan
            elif not masked:
                target[none] = 0
        if shared:
            out[...] = target
        return none if masked else None

    def applied(
        self,
        x: Array,
        output: OutputLike,
        progress: ProgressLike | None = None,
        *,
        complex_result: bool = False,
    ) -> Array:
        """The filtered array, masked where `x` is; in parts where it is large or somebody wants to be told."""
        is_complex = complex_result or x.dtype.kind == "c"
        if is_complex and (np.ma.isMaskedArray(x) or self.nan_policy != "propagate"):
            raise TypeError(f"{self.op}: missing pixels need a real array and real weights")
        check_progress(self.op, progress)
        out = read.result_array(output, np.ma.getdata(x), complex_result=is_complex)
        if wants_parts(x, output, progress):
            mask = in_slabs(self.op, self.into, self.reaches[0] if x.ndim else Reach(), x, out, progress)
        else:
            mask = self.into(x, out)
        return read.with_mask(out, mask, output)

    def _divide(self, filled: Array, missing: Missing, out: Array) -> None:
        """Sums of the pixels that are there, scaled to the kernel's whole weight, where some are missing."""
        beyond, least = self._beyond, _REST * self._magnitude
        touched = _reached(missing, self.reaches, np.logical_or, beyond)
        for region in touched_regions(touched, self.reaches):
            values, there = part(filled, self.reaches, region), part(missing, self.reaches, region)
            sums, weights = (empty(self.op, values.x.shape, np.dtype(np.float64)) for _ in range(2))
            self.run(values.x.astype(np.float64), sums, 0.0 if beyond else self.cval)
            self.run((~there.x).astype(np.float64), weights, 0.0 if beyond else 1.0)
            sums, weights = sums[values.inner], weights[there.inner]
            with np.errstate(all="ignore"):
                mean = np.where(np.abs(weights) > least, sums / weights * self.total, np.nan)
            here = touched[region]
            out[region][here] = cast(mean[here], out.dtype, self.saturate)


def _reached(missing: Missing, reaches: Sequence[Reach], combine: np.ufunc, beyond: bool) -> Missing:
    """Of which pixels does the window hold a missing one, or nothing else?"""
    for axis, each in enumerate(reaches):
        if not each.extent:
            continue
        along = [Reach()] * missing.ndim
        along[axis] = each
        result = empty("filter", missing.shape, missing.dtype)
        for region in regions(missing.shape, [other.extent for other in along], 1, PASS_BYTES):
            window = block(missing, along, region, beyond, missing.dtype)
            result[region] = sliding.extrema(window, axis, each.extent + 1, combine)
        missing = result
    return missing
