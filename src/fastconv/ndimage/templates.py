"""Where a picture looks like another, smaller one: `match_template`."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal, cast

import numpy as np

from fastconv.execution.memory import empty
from fastconv.filtering import sums
from fastconv.filtering.blocks import Reach, regions
from fastconv.ndimage.means import uniform_filter
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["match_template"]

_PIECE = 1 << 18  # bytes of what is divided at a time: all that takes part stays in cache


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
        If the template is larger than the image, or has another number of axes.

    Notes
    -----
    Arguments and answers are those of scikit-image's function of that name.

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
    narrow = picture.dtype.kind == "f" and picture.dtype.itemsize <= 4
    result_dtype = np.dtype(np.float32 if narrow else np.float64)
    if pad_input:
        before = [taps // 2 for taps in part.shape]
        widths = [(first, taps - 1 - first) for first, taps in zip(before, part.shape, strict=True)]
        options: dict[str, Any] = {"constant_values": constant_values} if mode == "constant" else {}
        picture = np.pad(picture.astype(np.float64), widths, cast(Literal["constant"], mode), **options)
    # Fresh pages cost more than what is done to them.
    new = partial(empty, "match_template", dtype=np.dtype(np.float64))
    # Sums of squares are differences of large numbers where an image is bright: it is moved to a mean of 0.
    values = new(picture.shape)
    values[...] = picture
    values -= values.mean()
    kernel = part.astype(np.float64)
    kernel -= kernel.mean()
    shape = tuple(size - taps + 1 for size, taps in zip(values.shape, kernel.shape, strict=True))
    products = new(shape)
    reaches = [Reach(0, taps - 1) for taps in kernel.shape]
    sums.correlate(values, kernel, reaches, 0.0, products, partial(sums.terms_nd, kernel), backend=backend)
    # A window within the image is that of the pixel in its middle.
    within = tuple(
        slice(taps // 2, taps // 2 + count) for taps, count in zip(kernel.shape, shape, strict=True)
    )
    mean = uniform_filter(values, kernel.shape, backend=backend)[within]
    np.multiply(values, values, out=values)
    square = uniform_filter(values, kernel.shape, backend=backend)[within]
    flat = float(square.max(initial=0.0)) * kernel.size * np.finfo(np.float64).eps
    length = math.sqrt(kernel.size * float((kernel * kernel).sum()))
    result = empty("match_template", shape, result_dtype)
    if not length:
        result.fill(0)
        return result
    for region in regions(shape, [0] * len(shape), products.itemsize, _PIECE):
        average = mean[region]
        variance = square[region] - average * average
        without = variance <= flat
        np.sqrt(np.maximum(variance, 0, out=variance), out=variance)
        variance *= length
        variance[without] = np.inf
        np.divide(products[region], variance, out=variance)
        result[region] = variance.clip(-1, 1, out=variance)
    return result
