"""The textbook sum of a convolution of two arrays, in any dtype, with any border, any part of the full result.

Called by `convolve`, `correlate` and their two-dimensional kin. Floats, complex numbers and integers are summed by the
engine; all else, one product after the other in its own dtype.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fastconv.execution.memory import empty
from fastconv.filtering import sums
from fastconv.filtering.blocks import Reach, block, regions
from fastconv.filtering.integers import bits_of_sums, convolve_integers
from fastconv.signal import operands as read
from fastconv.typing import Array, BackendName, PaddingMode, Precision


def convolve_part(
    x: Array,
    kernel: Array,
    starts: Sequence[int],
    out: Array,
    border: PaddingMode = "zeros",
    fill: Any = 0,
    backend: BackendName | None = None,
    precision: Precision = "strict",
) -> None:
    """Put into `out` what of the full convolution starts at `starts`; `precision` is that of sums of floats.

    As in SciPy, a weight of 0 sees what is no number, and one that is none sees the zeros beyond the array.
    """
    reaches = read.reaches(starts, kernel.shape, border)
    turned = np.flip(kernel)
    if out.dtype.kind == "b":
        _real(x, turned, reaches, fill, count := empty("signal", out.shape, np.dtype(np.float64)), backend)
        np.greater(count, 0.5, out=out)
    elif out.dtype.kind in "iu":
        _integers(x, turned, reaches, fill, out, backend)
    elif out.dtype.char in "efd":
        wide = empty("signal", out.shape, np.dtype(np.float32)) if out.dtype.char == "e" else out
        _real(x, turned, reaches, fill, wide, backend, precision)
        if wide is not out:
            out[...] = wide
    elif out.dtype.char in "FD":

        def part(x: Array, kernel: Array, out: Array, fill: float) -> None:
            _real(x, kernel, reaches, fill, out, backend, precision)

        sums.by_parts(part, x, turned, out, fill)
    else:
        _products(x, turned, reaches, fill, out)


def _integers(
    x: Array, kernel: Array, reaches: list[Reach], fill: Any, out: Array, backend: BackendName | None
) -> Array:
    """Every tap sees a pixel where there are some beyond the array."""
    seen = any(reach.mode != "zeros" for reach in reaches) or bool(fill)
    taps = kernel.size if seen else max(1, min(x.size, kernel.size))
    total = empty("signal", out.shape, np.dtype(np.float64))

    def convolve(part: Array, weights: Array, beyond: int) -> Array:
        _real(part, weights, reaches, beyond, total, backend)
        return total

    bits = bits_of_sums(taps, kernel, out.shape, backend)
    out[...] = convolve_integers(x, kernel, int(fill), bits, out.dtype, convolve)
    return out


def _real(
    x: Array,
    kernel: Array,
    reaches: list[Reach],
    fill: Any,
    out: Array,
    backend: BackendName | None,
    precision: Precision = "strict",
) -> None:
    def weigh(x: Array, kernel: Array, fill: float, out: Array) -> None:
        terms = partial(sums.terms_nd, kernel)
        sums.correlate(x, kernel, reaches, fill, out, terms, backend=backend, precision=precision)

    wide = np.ascontiguousarray(kernel, np.float64)
    weigh(x, wide, float(fill), out)
    if wide.all() or x.dtype.kind != "f" or (math.isfinite(fill) and np.isfinite(x).all()):
        return
    # Filters leave weights of 0 out: what is no number, times one of these, is still to come.
    met = empty("signal", out.shape, np.dtype(np.float64))
    weigh((~np.isfinite(x)).astype(float), (wide == 0).astype(float), float(not math.isfinite(fill)), met)
    out[met > 0.5] = np.nan


def _products(x: Array, kernel: Array, reaches: list[Reach], fill: Any, out: Array) -> None:
    """One product after the other, in the dtype of `out`: objects do what they do."""
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
