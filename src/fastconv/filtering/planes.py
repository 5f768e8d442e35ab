"""Correlation of a block with a kernel over any of its axes, as 2-D convolutions of the engine.

Called by the sums of filters (`sums.py`). The last two axes that the kernel extends along become rows and columns of
an image; what lies between and after them becomes part of these, and the kernel's dilation: a row of W pixels with C
channels is a row of W * C numbers of which a window sees every Cth. Axes before them become input channels, so that
the engine sums over them, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastconv.backends import resolve
from fastconv.caches import kept
from fastconv.execution.memory import empty
from fastconv.filtering.blocks import Reach
from fastconv.ops.conv import conv2d
from fastconv.typing import Array, BackendName, Precision

TRANSFORMS = 100  # weights from which the engine may take transforms; of fewer it is told to sum
_LONG_ROW = 256
_REST = 1e-11  # of a kernel's sum: what rounding its weights may leave
_MOVED = 64  # sizes of weights that may be moved
_SORTED = 4096  # the largest weights, among which those are
_KEPT = 512  # weights of a kernel that are rounded once for many calls
_INTERLEAVED = 81  # weights up to which a kernel with holes is faster than planes one by one


def correlate_block(
    x: Array, kernel: Array, backend: BackendName | None, precision: Precision = "strict"
) -> Array:
    """The sums of all windows that lie within `x`, which is float32 or float64, as is the result."""
    kernel = as_dtype(kernel, x.dtype)
    axes = [axis for axis, size in enumerate(kernel.shape) if size > 1]
    if not axes:
        with np.errstate(all="ignore"):
            return np.asarray(x * kernel.reshape(()))
    shape = tuple(size - taps + 1 for size, taps in zip(x.shape, kernel.shape, strict=True))
    if len(axes) > 2:
        return _over_leading(x, kernel, axes, shape, backend, precision)
    inner = math.prod(x.shape[axes[-1] + 1 :])
    if 1 < inner < 16 and kernel.size > _INTERLEAVED:
        planes = np.moveaxis(x.reshape(*x.shape[: axes[-1] + 1], inner), -1, 0)
        sums = correlate_block(
            np.ascontiguousarray(planes), kernel.reshape(1, *kernel.shape[: axes[-1] + 1]), backend, precision
        )
        return np.moveaxis(sums, 0, -1).reshape(shape)
    if len(axes) == 1 and inner < 16:
        rows, columns = math.prod(x.shape[: axes[0]]), x.shape[axes[0]] * inner
        each = columns >= _LONG_ROW  # threads share images, and one of several short rows is worth sharing
        image = x.reshape(rows, 1, columns) if each else x.reshape(1, rows, columns)
        weight, dilation = kernel.reshape(1, 1, 1, -1), (1, inner)
    elif len(axes) == 1:
        image, weight, dilation = x.reshape(-1, x.shape[axes[0]], inner), kernel.reshape(1, 1, -1, 1), (1, 1)
    else:
        first, second = axes
        between = math.prod(x.shape[first + 1 : second])
        image = x.reshape(math.prod(x.shape[:first]), x.shape[first] * between, x.shape[second] * inner)
        weight = kernel.reshape(1, 1, kernel.shape[first], kernel.shape[second])
        dilation = between, inner
    # A weight that is no number would reach all that a transform makes.
    algorithm = None if kernel.size >= TRANSFORMS and np.isfinite(kernel).all() else "direct"
    sums = conv2d(
        image[:, None], weight, dilation=dilation, precision=precision, algorithm=algorithm, backend=backend
    )
    return sums.reshape(shape)


def correlate_whole(
    x: Array,
    kernel: Array,
    reaches: Sequence[Reach],
    out: Array,
    backend: BackendName | None,
    precision: Precision = "strict",
) -> bool:
    """The sums by a large kernel over the last two axes, zeros beyond, without a copy of the array or its border.

    False where the arrays are not planes of one dtype, or where the backend has no transforms in tiles.
    """
    if x.ndim < 2 or x.dtype != out.dtype or kernel.size < TRANSFORMS or not has_transforms(backend):
        return False
    if not np.isfinite(kernel).all():  # the zeros beyond, which no kernel of the engine visits, make it NaN
        return False
    if x.shape[:-2] != out.shape[:-2] or any(reach.extent for reach in reaches[:-2]) or not out.size * x.size:
        return False
    if not (x.flags.c_contiguous and out.flags.c_contiguous):
        return False
    padding = []
    for axis in (-2, -1):
        reach = reaches[axis]
        after = out.shape[axis] + reach.extent - reach.before - x.shape[axis]
        if (reach.extent and reach.mode != "zeros") or min(reach.before, after) < 0:
            return False
        padding.append((reach.before, after))
    kernel = as_dtype(kernel, x.dtype).reshape(1, 1, *kernel.shape[-2:])
    conv2d(
        x.reshape(-1, 1, *x.shape[-2:]), kernel, padding=(padding[0], padding[1]), precision=precision,
        out=out.reshape(-1, 1, *out.shape[-2:]), backend=backend,
    )  # fmt: skip
    return True


def has_transforms(backend: BackendName | None) -> bool:
    """Whether large kernels are transforms, whose memory the engine bounds."""
    return "fft" in resolve("filter", backend).algorithms()


def transform_error(size: int, taps: int, length: int) -> float:
    """The most by which transforms in float64 of arrays of `size` and `taps` numbers, none above 1, may err.

    For a convolution by transforms of `length` numbers (C. Percival, "Rapid multiplication modulo the sum and
    difference of highly composite numbers", Mathematics of Computation, 2003).
    """
    return 12 * max(1.0, math.log2(length)) * 2.0**-53 * math.sqrt(size * taps)


def as_dtype(kernel: Array, dtype: np.dtype[Any]) -> Array:
    """A kernel of that dtype, whose sum is that of the float64 one to the last digit.

    Weights rounded one by one would make all of a picture brighter or darker by some 1e-8 of it, which no error of a
    single sum shows, but the mean does. The largest ones are moved by their last digit, in pairs of equal weights.
    """
    if dtype == kernel.dtype or not np.all(np.isfinite(kernel)):
        return kernel.astype(dtype, copy=False)
    kernel = kernel.astype(np.float64, copy=False)
    if kernel.size > _KEPT:
        return _rounded(kernel.ravel()).reshape(kernel.shape)
    return np.frombuffer(_rounded_before(kernel.tobytes()), np.float32).reshape(kernel.shape)


@kept()
def _rounded_before(kernel: bytes) -> bytes:
    return _rounded(np.frombuffer(kernel)).tobytes()


def _rounded(given: Array) -> Array:
    flat = given.astype(np.float32)
    rest = float(np.sum(given - flat))
    bound = _REST * float(np.abs(given).sum())
    if abs(rest) <= bound:
        return flat
    for alike in _largest_weights(np.abs(given)):
        moved = np.nextafter(flat[alike], np.float32(math.copysign(math.inf, rest)))
        step = float(np.sum(moved.astype(np.float64) - flat[alike]))
        if abs(step) < 2 * abs(rest):
            flat[alike] = moved
            rest -= step
        if abs(rest) <= bound:
            break
    return flat


def _largest_weights(magnitudes: Array) -> Iterator[Array]:
    """Where the largest ones are, then the next, of which there may be several each."""
    places = np.arange(magnitudes.size)
    if magnitudes.size > _SORTED:
        places = np.argpartition(magnitudes, -_SORTED)[-_SORTED:]
    order = places[np.argsort(-magnitudes[places], kind="stable")]
    order = order[magnitudes[order] > 0]  # a weight of 0 sees no pixel, and does not begin to
    sizes = magnitudes[order]
    starts = np.flatnonzero(np.concatenate([[True], sizes[1:] != sizes[:-1]]))
    ends = np.append(starts[1:], order.size)
    if places.size < magnitudes.size:
        starts, ends = starts[:-1], ends[:-1]  # of the last size, some are not here
    for start, end in zip(starts[:_MOVED], ends, strict=False):
        yield order[start:end]


def _over_leading(
    x: Array,
    kernel: Array,
    axes: list[int],
    shape: tuple[int, ...],
    backend: BackendName | None,
    precision: Precision,
) -> Array:
    """Where the kernel extends along more than two axes: the weights along the first ones are those of channels."""
    lead, first, second = axes[:-2], *axes[-2:]
    x = np.moveaxis(x, lead, range(len(lead)))
    kernel = np.moveaxis(kernel, lead, range(len(lead)))
    taps, rest = kernel.shape[: len(lead)], x.shape[len(lead) :]
    counts = tuple(size - tap + 1 for size, tap in zip(x.shape, taps, strict=False))
    # Axes of the image that are left: those before the rows, the rows, those between, the columns, those after.
    first, second = first - len(lead), second - len(lead)
    batch, between = math.prod(rest[:first]), math.prod(rest[first + 1 : second])
    columns = math.prod(rest[second:])
    weight = kernel.reshape(
        1, math.prod(taps), kernel.shape[len(lead) + first], kernel.shape[len(lead) + second]
    )
    left = [size for axis, size in enumerate(shape) if axis not in lead]
    result = empty("filter", (*counts, *left), x.dtype)
    for corner in np.ndindex(*counts):
        stack = x[tuple(slice(start, start + tap) for start, tap in zip(corner, taps, strict=True))]
        channels = stack.reshape(math.prod(taps), batch, rest[first] * between, columns)
        sums = conv2d(
            channels.swapaxes(0, 1), weight, dilation=(between, math.prod(rest[second + 1 :])),
            precision=precision, backend=backend,
        )  # fmt: skip
        result[corner] = sums.reshape(left)
    return np.moveaxis(result, range(len(lead)), lead)
