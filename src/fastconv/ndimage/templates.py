"""Where a picture looks like another, smaller one: `match_template`."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal, cast

import numpy as np

from fastconv.backends import resolve
from fastconv.execution.memory import empty
from fastconv.filtering import sums
from fastconv.filtering.blocks import Reach, regions
from fastconv.ndimage.means import uniform_filter
from fastconv.settings.threads import get_num_threads
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["match_template"]

_STRIP = 1 << 22  # bytes for each thread of what is matched at a time: four arrays of that size take part
_PIECE = 1 << 18  # bytes of what is divided at a time: all that takes part stays in cache
_SAMPLES = 48  # pixels along each axis that tell the middle of a strip
_FAR = 1e6  # times as far from the middle as others: a pixel whose products are added up by themselves
_FEW = 256  # such pixels; of more, transforms take them with the others
_PADDINGS = (
    "constant", "edge", "empty", "linear_ramp", "maximum", "mean", "median", "minimum", "reflect", "symmetric", "wrap",
)  # fmt: skip
_FLAT = 1e-13  # of the mean of its squares: up to where the variance of a window is rounding errors


def match_template(
    image: ArrayLike,
    template: ArrayLike,
    pad_input: bool = False,
    mode: str = "constant",
    constant_values: float = 0,
    *,
    backend: BackendName | None = None,
) -> Array:
    """The correlation coefficient of a template and of every window of an image: normalised cross-correlation.

    Parameters
    ----------
    image : array_like
        With two or three axes.
    template : array_like
        With as many, and no larger.
    pad_input : bool
        Pad the image so that the result has its shape, and is largest where the middle of the template lies;
        else there is a number for each window within the image, at its first pixel.
    mode : str
        How to pad, as for `numpy.pad`.
    constant_values : float
        What to pad with where `mode` is ``"constant"``.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        From -1 to 1; 0 where a window is of one colour. Float32 for such an image, else float64.

    Raises
    ------
    ValueError
        If the template is larger than the image, or has another number of axes, or there is no such `mode`.
    TypeError
        If one of them is complex or masked.

    Notes
    -----
    Arguments and answers are those of scikit-image's function of that name. A NaN or an infinity makes those windows
    NaN that hold it, and an outlier changes those only. The work is done strip by strip, in memory that does not grow
    with the image.

    References
    ----------
    J. P. Lewis, "Fast normalized cross-correlation", Vision Interface, 1995.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> image = np.random.default_rng(0).random((20, 30))
    >>> found = ndimage.match_template(image, image[5:9, 11:17])
    >>> [int(place) for place in np.unravel_index(found.argmax(), found.shape)]
    [5, 11]
    """
    resolve("match_template", backend)
    picture, part = np.asarray(image), np.asarray(template)
    if np.ma.isMaskedArray(image) or np.ma.isMaskedArray(template):
        raise TypeError(
            "match_template: image or template is a masked array, but needs a plain one: fill it first"
        )
    if picture.ndim not in (2, 3) or part.ndim != picture.ndim:
        raise ValueError(
            f"match_template: image has {picture.ndim} axes and template {part.ndim}, but both need two or three"
        )
    if any(size < taps for size, taps in zip(picture.shape, part.shape, strict=True)) or not part.size:
        raise ValueError(
            f"match_template: image has shape {picture.shape}, but needs to be as large as template, {part.shape}"
        )
    if not callable(mode) and mode not in _PADDINGS:
        raise ValueError(
            f"match_template: mode is {mode!r}, but needs to be one of numpy.pad's: {', '.join(_PADDINGS)}"
        )
    for name, array in (("image", picture), ("template", part)):
        if array.dtype.kind == "c":
            raise TypeError(f"match_template: {name} is {array.dtype}, but needs real numbers")
    narrow = picture.dtype.kind == "f" and picture.dtype.itemsize <= 4
    result_dtype = np.dtype(np.float32 if narrow else np.float64)
    if pad_input:
        options: dict[str, Any] = {"constant_values": constant_values} if mode == "constant" else {}
        # By as much as scikit-image does, which a ramp shows; then without what no window sees.
        wide = [(taps, taps) for taps in part.shape]
        padded = np.pad(picture.astype(result_dtype), wide, cast(Literal["constant"], mode), **options)
        starts = [taps - taps // 2 for taps in part.shape]
        lengths = [size + taps - 1 for size, taps in zip(picture.shape, part.shape, strict=True)]
        picture = padded[tuple(slice(at, at + n) for at, n in zip(starts, lengths, strict=True))]
    kernel = part.astype(np.float64)
    shape = tuple(size - taps + 1 for size, taps in zip(picture.shape, kernel.shape, strict=True))
    result = empty("match_template", shape, result_dtype)
    with np.errstate(
        all="ignore"
    ):  # what is not a number, or has a square that is none, stays in its windows
        kernel -= kernel.mean()
        length = math.sqrt(kernel.size * float((kernel * kernel).sum()))
        if not length:
            result.fill(0)
            return result
        extents = [taps - 1 for taps in kernel.shape]
        for region in regions(shape, extents, kernel.itemsize, _STRIP * get_num_threads()):
            seen = tuple(slice(p.start, p.stop + extent) for p, extent in zip(region, extents, strict=True))
            _match(picture[seen], kernel, length, result[region], backend)
    return result


def _match(x: Array, kernel: Array, length: float, out: Array, backend: BackendName | None) -> None:
    """The coefficients of all windows within a strip of the image."""
    # Fresh pages cost more than what is done to them.
    new = partial(empty, "match_template", dtype=np.dtype(np.float64))
    values = new(x.shape)
    values[...] = x
    # Sums of squares are differences of large numbers where an image is bright. Its mean may be that of one pixel.
    middle, size = _middle(values)
    values -= middle
    apart = np.zeros(0)
    far: tuple[Array, ...] = ()
    if not max(middle - float(x.min()), float(x.max()) - middle) <= _FAR * size:
        far = np.nonzero(~(np.abs(values) <= _FAR * size))
        apart = values[far] if far[0].size <= _FEW else apart
    if apart.size:
        values[far] = 0  # a transform would spread what rounds them
    products = new(out.shape)
    reaches = [Reach(0, taps - 1) for taps in kernel.shape]
    sums.correlate(values, kernel, reaches, 0.0, products, partial(sums.terms_nd, kernel), backend=backend)
    if apart.size:
        values[far] = apart
        _add_each(np.transpose(far), apart, kernel, products)
    # A window within the image is that of the pixel in its middle.
    within = tuple(
        slice(taps // 2, taps // 2 + count) for taps, count in zip(kernel.shape, out.shape, strict=True)
    )
    mean = uniform_filter(values, kernel.shape, backend=backend)[within]
    np.multiply(values, values, out=values)
    square = uniform_filter(values, kernel.shape, backend=backend)[within]
    filters = resolve("match_template", backend).filters
    if filters is not None:
        for plane in np.ndindex(out.shape[:-2]):
            filters.scores(products[plane], mean[plane], square[plane], length, _FLAT)
        out[...] = products
        return
    for region in regions(out.shape, [0] * out.ndim, products.itemsize, _PIECE):
        average = mean[region]
        variance = square[region] - average * average
        without = variance <= _FLAT * square[region]
        np.sqrt(np.maximum(variance, 0, out=variance), out=variance)
        variance *= length
        variance[without] = np.inf
        np.divide(products[region], variance, out=variance)
        out[region] = variance.clip(-1, 1, out=variance)


def _add_each(places: Array, values: Array, kernel: Array, products: Array) -> None:
    """The products of single pixels, in the windows that hold them."""
    for place, value in zip(places.tolist(), values, strict=True):
        windows, weights = [], []
        for at, taps, count in zip(place, kernel.shape, products.shape, strict=True):
            first, stop = max(0, at - taps + 1), min(at + 1, count)
            windows.append(slice(first, stop))
            weights.append(at - np.arange(first, stop))
        products[tuple(windows)] += value * kernel[np.ix_(*weights)]


def _middle(x: Array) -> tuple[float, float]:
    """The median of some pixels that are numbers, and how far others are from it."""
    some = x[tuple(slice(None, None, -(-size // _SAMPLES)) for size in x.shape)]
    some = some[np.isfinite(some)]
    if not some.size:
        return 0.0, 0.0
    middle = np.median(some)
    return float(middle), float(np.median(np.abs(some - middle)))
