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
from functools import cached_property, reduce
from typing import Any

import numpy as np

from fastconv.backends import resolve
from fastconv.execution.memory import empty
from fastconv.filtering import arguments as read
from fastconv.filtering.arguments import OutputLike
from fastconv.filtering.blocks import Reach
from fastconv.filtering.casting import cast
from fastconv.filtering.known import Filter
from fastconv.filtering.missing import (
    Missing,
    NanPolicy,
    boxes_with,
    check_policy,
    missing_beyond,
    missing_pixels,
)
from fastconv.filtering.parts import apply, part, touched_regions
from fastconv.filtering.pictures import KernelCall
from fastconv.progress import ProgressLike
from fastconv.text import echo
from fastconv.typing import Array, BackendName

_TIE = 1e-11  # of a quotient: how far from an integer or a tie rounding may leave it
_REST = 1e-12  # of the sum of a kernel's magnitudes: what rounding leaves of one that is 0


def check_saturate(op: str, saturate: object) -> None:
    if not isinstance(saturate, (bool, np.bool)):
        raise TypeError(f"{op}: saturate is {echo(saturate)}, but needs True or False")


@dataclass(eq=False)
class LinearFilter(Filter):
    """A linear filter whose arguments have been read; the backend's name is looked at here.

    Parameters
    ----------
    op : str
    run : callable
        As for `Filter`; `out` may have any dtype that filters give. What of the result it is begins where the array
        does, and is longer or shorter than it by the same for its parts.
    reaches : sequence of Reach
        How far its windows reach along each axis.
    weights : sequence of ndarray
        The kernel, or kernels along single axes whose product it is.
    cval : complex
    backend : {"cython", "numba", "numpy"} or None
    nan_policy : {"propagate", "omit", "interpolate"}
    saturate : bool
    windows : sequence of sequence of Reach, optional
        The boxes that windows are put together from; the one of `reaches` by default.
    """

    op: str
    run: Callable[[Array, Array, complex], KernelCall | None]
    reaches: Sequence[Reach]
    weights: Sequence[Array]
    cval: complex
    backend: BackendName | None
    nan_policy: NanPolicy = "propagate"
    saturate: bool = False
    windows: Sequence[Sequence[Reach]] = ()

    def __post_init__(self) -> None:
        resolve(self.op, self.backend)
        check_policy(self.op, self.nan_policy)
        check_saturate(self.op, self.saturate)
        if self.nan_policy != "propagate" and self._complex:
            raise TypeError(
                f"{self.op}: nan_policy is {self.nan_policy!r}, but needs 'propagate' of complex weights"
            )
        if self.nan_policy == "interpolate" and abs(self.total) <= _REST * self._magnitude:
            raise ValueError(
                f"{self.op}: nan_policy is 'interpolate', but the weights sum to 0: needs 'omit' or 'propagate'"
            )

    @cached_property
    def nbytes(self) -> int:
        """Of the weights, and about what is made of them."""
        return 2 * sum(each.nbytes for each in self.weights)

    @cached_property
    def _complex(self) -> bool:
        return any(map(np.iscomplexobj, self.weights))

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
        return missing_beyond(self.reaches, self.cval, self.nan_policy)

    def _reached(self, missing: Missing, combine: np.ufunc, shape: tuple[int, ...]) -> Missing:
        """Of which pixels of the result does the window hold a missing one, or nothing else?"""
        found = (
            boxes_with(missing, each, combine, self._beyond, shape)
            for each in self.windows or (self.reaches,)
        )
        return reduce(combine, found)

    def _check_real(self, x: Array, is_complex: bool) -> None:
        if is_complex and (np.ma.isMaskedArray(x) or self.nan_policy != "propagate"):
            raise TypeError(f"{self.op}: missing pixels need a real array and real weights")

    def into(self, x: Array, out: Array) -> Missing | None:
        """The filtered `x` into `out`; which of its pixels are missing, where `x` is masked."""
        if self.nan_policy == "propagate" and not isinstance(x, np.ma.MaskedArray):
            self.do(x, out)
            return None
        data, beyond = np.ma.getdata(x), self._beyond
        missing = missing_pixels(x, self.nan_policy)
        if missing is None and not beyond:
            self.run(data, out, self.cval)
            return None
        if missing is None:
            missing = np.zeros(data.shape, bool)
        masked = np.ma.isMaskedArray(x)
        if not beyond and not missing.any():
            self.run(data, out, self.cval)
            return np.zeros(out.shape, bool) if masked else None
        filled = np.where(missing, data.dtype.type(0), data)
        shared = np.may_share_memory(data, out)
        target = empty(self.op, out.shape, out.dtype) if shared else out
        self.run(filled, target, 0.0 if beyond else self.cval)
        if self.nan_policy == "propagate":
            none = self._reached(missing, np.logical_or, out.shape)
        else:
            if self.nan_policy == "interpolate":
                self._divide(filled, missing, target)
            none = self._reached(missing, np.logical_and, out.shape)
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
        room: int | None = None,
    ) -> Array:
        """The filtered array, masked where `x` is; in parts where it is large or somebody wants to be told.

        `room` is that of `apply`; missing pixels take some, too.
        """
        is_complex = complex_result or x.dtype.kind == "c"
        self._check_real(x, is_complex)
        reach = self.reaches[0] if x.ndim else Reach()
        if not is_complex and not self._complex:
            read.number(self.cval)
        if self.nan_policy != "propagate" or np.ma.isMaskedArray(x):
            room = 8
        return apply(self.op, self.into, reach, x, output, progress, complex_result=is_complex, room=room)

    def of_shape(self, x: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """What of the filtered array is of that shape, as that dtype, masked where `x` is."""
        self._check_real(x, dtype.kind == "c")
        out = empty(self.op, shape, dtype)
        return read.with_mask(out, self.into(x, out), None)

    def _divide(self, filled: Array, missing: Missing, out: Array) -> None:
        """Sums of the pixels that are there, scaled to the kernel's whole weight, where some are missing."""
        beyond, least = self._beyond, _REST * self._magnitude
        touched = self._reached(missing, np.logical_or, out.shape)
        for region in touched_regions(touched, self.reaches):
            values, there = part(filled, self.reaches, region), part(missing, self.reaches, region)
            shape = tuple(
                size + longer - whole
                for size, longer, whole in zip(values.x.shape, out.shape, filled.shape, strict=True)
            )
            sums, weights = (empty(self.op, shape, np.dtype(np.float64)) for _ in range(2))
            self.run(values.x.astype(np.float64), sums, 0.0 if beyond else self.cval)
            self.run((~there.x).astype(np.float64), weights, 0.0 if beyond else 1.0)
            sums, weights = sums[values.inner], weights[there.inner]
            with np.errstate(all="ignore"):
                mean = np.where(np.abs(weights) > least, sums / weights * self.total, np.nan)
            if out.dtype.kind in "iu":  # an integer or a tie is one, whatever the quotient's last digits
                half = np.rint(2 * mean) / 2
                mean = np.where(np.abs(mean - half) <= _TIE * np.abs(half), half, mean)
            here = touched[region]
            out[region][here] = cast(mean[here], out.dtype, self.saturate)
