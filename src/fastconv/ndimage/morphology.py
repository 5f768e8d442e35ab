"""Grey morphology: `grey_erosion`, `grey_dilation`, and what is made of the two."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from fastconv.filtering import arguments as read
from fastconv.filtering.arguments import AxesLike, ModeLike, OutputLike, SizeLike
from fastconv.ndimage.extrema import extreme_filter
from fastconv.typing import Array, ArrayLike

__all__ = [
    "black_tophat",
    "grey_closing",
    "grey_dilation",
    "grey_erosion",
    "grey_opening",
    "morphological_gradient",
    "morphological_laplace",
    "white_tophat",
]

Origin = int | Iterable[int]


def grey_erosion(
    input: ArrayLike,
    size: SizeLike = None,
    footprint: ArrayLike | None = None,
    structure: ArrayLike | None = None,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: float = 0.0,
    origin: Origin = 0,
    *,
    axes: AxesLike = None,
) -> Array:
    """Grey erosion: the smallest pixel of a window, less the heights of a structuring element.

    Parameters
    ----------
    input, size, footprint, output, mode, cval, origin, axes
        As for `minimum_filter`.
    structure : array_like, optional
        Heights of the structuring element, taken off before the minimum is found; flat by default.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.grey_erosion(np.array([0, 3, 3, 3, 0]), size=3)
    array([0, 0, 3, 0, 0])
    """
    _check(size, footprint, structure)
    return extreme_filter(input, size, footprint, structure, output, mode, cval, origin, np.minimum, axes)


def grey_dilation(
    input: ArrayLike,
    size: SizeLike = None,
    footprint: ArrayLike | None = None,
    structure: ArrayLike | None = None,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: float = 0.0,
    origin: Origin = 0,
    *,
    axes: AxesLike = None,
) -> Array:
    """Grey dilation: the largest pixel of a window that is turned round, plus the heights of a structuring element.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes
        As for `grey_erosion`; heights are added before the maximum is found.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.grey_dilation(np.array([0, 0, 3, 0, 0]), size=3)
    array([0, 3, 3, 3, 0])
    """
    _check(size, footprint, structure)
    x = read.array(input)
    places = read.check_axes(axes, x.ndim)
    if structure is not None:
        structure = np.flip(np.asarray(structure))
    if footprint is not None:
        footprint = np.flip(np.asarray(footprint))
    given = footprint if footprint is not None else structure
    pixels = read.for_each(size, len(places), "size") if given is None else np.shape(given)
    if len(pixels) < len(places):
        raise RuntimeError(f"footprint.ndim ({len(pixels)}) must match len(axes) ({len(places)})")
    shifts = read.for_each(origin, len(places), "origin")
    turned = [-shift - (1 - count % 2) for shift, count in zip(shifts, pixels, strict=False)]
    return extreme_filter(x, size, footprint, structure, output, mode, cval, turned, np.maximum, axes)


def _check(size: SizeLike, footprint: ArrayLike | None, structure: ArrayLike | None) -> None:
    if size is None and footprint is None and structure is None:
        raise ValueError("size, footprint, or structure must be specified")


def _one_of(size: SizeLike, footprint: ArrayLike | None) -> SizeLike:
    """The size, unless there is a footprint: said once, where two filters would say it twice."""
    if size is not None and footprint is not None:
        warnings.warn("ignoring size because footprint is set", UserWarning, stacklevel=3)
        return None
    return size


def grey_opening(
    input: ArrayLike,
    size: SizeLike = None,
    footprint: ArrayLike | None = None,
    structure: ArrayLike | None = None,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: float = 0.0,
    origin: Origin = 0,
    *,
    axes: AxesLike = None,
) -> Array:
    """Erosion, then dilation: bright spots smaller than the window vanish.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes
        As for `grey_erosion`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.grey_opening(np.array([0, 9, 0, 3, 3, 3, 0]), size=3)
    array([0, 0, 0, 3, 3, 3, 0])
    """
    size = _one_of(size, footprint)
    eroded = grey_erosion(input, size, footprint, structure, None, mode, cval, origin, axes=axes)
    return grey_dilation(eroded, size, footprint, structure, output, mode, cval, origin, axes=axes)


def grey_closing(
    input: ArrayLike,
    size: SizeLike = None,
    footprint: ArrayLike | None = None,
    structure: ArrayLike | None = None,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: float = 0.0,
    origin: Origin = 0,
    *,
    axes: AxesLike = None,
) -> Array:
    """Dilation, then erosion: dark spots smaller than the window vanish.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes
        As for `grey_erosion`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.grey_closing(np.array([5, 0, 5, 2, 2, 2, 5]), size=3)
    array([5, 5, 5, 2, 2, 2, 5])
    """
    size = _one_of(size, footprint)
    dilated = grey_dilation(input, size, footprint, structure, None, mode, cval, origin, axes=axes)
    return grey_erosion(dilated, size, footprint, structure, output, mode, cval, origin, axes=axes)


def morphological_gradient(
    input: ArrayLike,
    size: SizeLike = None,
    footprint: ArrayLike | None = None,
    structure: ArrayLike | None = None,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: float = 0.0,
    origin: Origin = 0,
    *,
    axes: AxesLike = None,
) -> Array:
    """Dilation less erosion: large where pixels differ from their neighbours.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes
        As for `grey_erosion`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.morphological_gradient(np.array([0, 0, 5, 5]), size=3)
    array([0, 5, 5, 0])
    """
    dilated = grey_dilation(input, size, footprint, structure, None, mode, cval, origin, axes=axes)
    into = output if isinstance(output, np.ndarray) else None
    eroded = grey_erosion(input, size, footprint, structure, into, mode, cval, origin, axes=axes)
    return _difference(dilated, eroded, into, output)


def morphological_laplace(
    input: ArrayLike,
    size: SizeLike = None,
    footprint: ArrayLike | None = None,
    structure: ArrayLike | None = None,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: float = 0.0,
    origin: Origin = 0,
    *,
    axes: AxesLike = None,
) -> Array:
    """Dilation plus erosion, less the array twice.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes
        As for `grey_erosion`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.morphological_laplace(np.array([0, 0, 5, 5]), size=3)
    array([ 0,  5, -5,  0])
    """
    x = read.array(input)
    dilated = grey_dilation(x, size, footprint, structure, None, mode, cval, origin, axes=axes)
    into = output if isinstance(output, np.ndarray) else None
    source = x.copy() if into is not None and np.may_share_memory(x, into) else x
    result = grey_erosion(x, size, footprint, structure, into, mode, cval, origin, axes=axes)
    result += dilated
    result -= source
    result -= source
    return result


def white_tophat(
    input: ArrayLike,
    size: SizeLike = None,
    footprint: ArrayLike | None = None,
    structure: ArrayLike | None = None,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: float = 0.0,
    origin: Origin = 0,
    *,
    axes: AxesLike = None,
) -> Array:
    """The array less its opening: bright spots smaller than the window.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes
        As for `grey_erosion`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.white_tophat(np.array([0, 9, 0, 3, 3, 3, 0]), size=3)
    array([0, 9, 0, 0, 0, 0, 0])
    """
    x = read.array(input)
    size = _one_of(size, footprint)
    source = x.copy() if output is not None and np.may_share_memory(x, output) else x
    eroded = grey_erosion(x, size, footprint, structure, None, mode, cval, origin, axes=axes)
    opened = grey_dilation(eroded, size, footprint, structure, output, mode, cval, origin, axes=axes)
    return _difference(source, opened, opened, output, where_they_differ=True)


def black_tophat(
    input: ArrayLike,
    size: SizeLike = None,
    footprint: ArrayLike | None = None,
    structure: ArrayLike | None = None,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: float = 0.0,
    origin: Origin = 0,
    *,
    axes: AxesLike = None,
) -> Array:
    """The closing of an array less the array: dark spots smaller than the window.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes
        As for `grey_erosion`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.black_tophat(np.array([5, 0, 5, 2, 2, 2, 5]), size=3)
    array([0, 5, 0, 0, 0, 0, 0])
    """
    x = read.array(input)
    size = _one_of(size, footprint)
    source = x.copy() if output is not None and np.may_share_memory(x, output) else x
    dilated = grey_dilation(x, size, footprint, structure, None, mode, cval, origin, axes=axes)
    closed = grey_erosion(dilated, size, footprint, structure, output, mode, cval, origin, axes=axes)
    return _difference(closed, source, closed, output, where_they_differ=True)


def _difference(
    a: Array, b: Array, out: Array | None, output: OutputLike, where_they_differ: bool = False
) -> Array:
    """`a` less `b`; masked where one of them is. Booleans are refused, or give where they differ, as SciPy's do."""
    booleans = where_they_differ and a.dtype == b.dtype == np.bool_
    subtract = np.bitwise_xor if booleans else np.subtract
    result = subtract(np.ma.getdata(a), np.ma.getdata(b), out=None if out is None else np.ma.getdata(out))
    masked = np.ma.isMaskedArray(a) or np.ma.isMaskedArray(b)
    mask = np.ma.getmaskarray(a) | np.ma.getmaskarray(b) if masked else None
    return read.with_mask(np.asarray(result), mask, output)
