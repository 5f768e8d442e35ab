"""The textbook sum of a convolution of two arrays, in any dtype, with any border, any part of the full result.

Called by `convolve`, `correlate` and their two-dimensional kin. Floats and complex numbers are summed by the engine,
integers as well where float64 holds every sum; all else, one product after the other in its own dtype.
"""

# pyright: reportAttributeAccessIssue=false
# It takes arrays that may be complex to have no parts.
from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fastconv.execution.memory import empty
from fastconv.filtering import sums
from fastconv.filtering.blocks import Reach, block, regions
from fastconv.typing import Array, BackendName, PaddingMode, Precision


def convolve_part(
    x: Array,
    kernel: Array,
    starts: Sequence[int],
    shape: Sequence[int],
    border: PaddingMode = "zeros",
    fill: Any = 0,
    backend: BackendName | None = None,
    precision: Precision = "strict",
) -> Array:
    """What of the full convolution starts at `starts` and has that shape, in the dtype that both promote to.

    `precision` is that of sums of floats.
    """
    dtype = np.result_type(x.dtype, kernel.dtype)
    reaches = [
        Reach(taps - 1 - start, start, border) for taps, start in zip(kernel.shape, starts, strict=True)
    ]
    turned = np.flip(kernel)
    result = empty("signal", tuple(shape), dtype)
    if dtype.kind == "b":
        _real(x, turned, reaches, fill, count := empty("signal", result.shape, np.dtype(np.float64)), backend)
        return np.asarray(count > 0.5)
    if dtype.kind in "iu" and _held(x, turned, fill):
        _real(x, turned, reaches, fill, result, backend)
    elif dtype.char in "efd":
        wide = empty("signal", result.shape, np.dtype(np.float32)) if dtype.char == "e" else result
        _real(x, turned, reaches, fill, wide, backend, precision)
        if wide is not result:
            result[...] = wide
    elif dtype.char in "FD":
        _complex(x, turned, reaches, fill, result, backend)
    else:
        _products(x, turned, reaches, fill, result)
    return result


def _held(x: Array, kernel: Array, fill: Any) -> bool:
    """Whether float64 holds every sum of products of these integers."""
    if not x.size or not kernel.size:
        return True
    largest = [max(-int(array.min()), int(array.max()), 0) for array in (x, kernel)]
    count = min(x.size, kernel.size) if not fill else kernel.size
    return max(largest[0], abs(int(fill))) * largest[1] * count < 2**53


def _real(
    x: Array,
    kernel: Array,
    reaches: list[Reach],
    fill: Any,
    out: Array,
    backend: BackendName | None,
    precision: Precision = "strict",
) -> None:
    """Real sums, rounded towards nothing: those of integers are integers."""
    wide = np.ascontiguousarray(kernel, np.float64)
    terms = partial(sums.terms_nd, wide)
    if out.dtype.kind not in "iu":
        sums.correlate(x, wide, reaches, float(fill), out, terms, backend=backend, precision=precision)
        return
    total = empty("signal", out.shape, np.dtype(np.float64))
    sums.correlate(x, wide, reaches, float(fill), total, terms, backend=backend)
    np.rint(total, out=total)
    out[...] = total.astype(np.uint64 if out.dtype == np.uint64 else np.int64)


def _complex(
    x: Array, kernel: Array, reaches: list[Reach], fill: Any, out: Array, backend: BackendName | None
) -> None:
    """Four real convolutions, two where one operand is real."""
    parts = out.real.dtype
    scratch = empty("signal", out.shape, parts)
    for target, pairs in (
        (out.real, ((x.real, kernel.real, np.real(fill), 1), (x.imag, kernel.imag, np.imag(fill), -1))),
        (out.imag, ((x.real, kernel.imag, np.real(fill), 1), (x.imag, kernel.real, np.imag(fill), 1))),
    ):
        target[...] = 0
        for a, b, beyond, sign in pairs:
            if (b is kernel.imag or not np.iscomplexobj(kernel)) and not b.any():
                continue
            if not np.iscomplexobj(x) and not beyond and not a.any():
                continue
            _real(a.astype(parts, copy=False), b, reaches, beyond, scratch, backend)
            (np.add if sign > 0 else np.subtract)(target, scratch, out=target)


def _products(x: Array, kernel: Array, reaches: list[Reach], fill: Any, out: Array) -> None:
    """One product after the other, in the dtype of `out`: integers wrap, objects do what they do."""
    kernel = kernel.astype(out.dtype)
    for region in regions(out.shape, [reach.extent for reach in reaches], out.dtype.itemsize):
        window = block(x, reaches, region, fill, out.dtype)
        target = out[region]
        first = True
        for corner in np.ndindex(kernel.shape):
            part = window[
                tuple(slice(step, step + size) for step, size in zip(corner, target.shape, strict=True))
            ]
            product = part * kernel[corner]
            target[...] = product if first else target + product
            first = False
