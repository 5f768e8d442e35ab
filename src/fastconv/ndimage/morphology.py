"""Grey morphology: `grey_erosion`, `grey_dilation`, and what is made of the two."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv.filtering import arguments as read
from fastconv.filtering.arguments import AxesLike, ModeLike, OutputLike, SizeLike
from fastconv.filtering.blocks import Reach, reach
from fastconv.filtering.missing import NanPolicy
from fastconv.filtering.parts import apply, check_progress, slab_numbers
from fastconv.ndimage.extrema import extreme_filter
from fastconv.progress import ProgressLike
from fastconv.typing import Array, ArrayLike, BackendName

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
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Grey erosion: the smallest pixel of a window, less the heights of a structuring element.

    Parameters
    ----------
    input, size, footprint, output, mode, cval, origin, axes, nan_policy, progress, backend
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
    element = _Element.read(
        "grey_erosion", size, footprint, structure, mode, cval, origin, axes, nan_policy, backend
    )  # fmt: skip
    return element.erode(read.array(input), output, progress)


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
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Grey dilation: the largest pixel of a window that is turned round, plus the heights of a structuring element.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes, nan_policy, progress, backend
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
    element = _Element.read(
        "grey_dilation", size, footprint, structure, mode, cval, origin, axes, nan_policy, backend
    )  # fmt: skip
    return element.dilate(read.array(input), output, progress)


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
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Erosion, then dilation: bright spots smaller than the window vanish.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes, nan_policy, progress, backend
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
    element = _Element.read(
        "grey_opening", size, footprint, structure, mode, cval, origin, axes, nan_policy, backend
    )  # fmt: skip
    return element.compound(lambda x, out: element.dilate(element.erode(x), out), input, output, progress)


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
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Dilation, then erosion: dark spots smaller than the window vanish.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes, nan_policy, progress, backend
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
    element = _Element.read(
        "grey_closing", size, footprint, structure, mode, cval, origin, axes, nan_policy, backend
    )  # fmt: skip
    return element.compound(lambda x, out: element.erode(element.dilate(x), out), input, output, progress)


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
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Dilation less erosion: large where pixels differ from their neighbours.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes, nan_policy, progress, backend
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
    element = _Element.read(
        "morphological_gradient", size, footprint, structure, mode, cval, origin, axes, nan_policy, backend
    )  # fmt: skip

    def gradient(x: Array, output: OutputLike) -> Array:
        dilated, into = element.dilate(x), _given(output)
        return _difference(dilated, element.erode(x, into), into, output)

    return element.compound(gradient, input, _given(output), progress)


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
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Dilation plus erosion, less the array twice.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes, nan_policy, progress, backend
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
    element = _Element.read(
        "morphological_laplace", size, footprint, structure, mode, cval, origin, axes, nan_policy, backend
    )  # fmt: skip

    def laplace(x: Array, output: OutputLike) -> Array:
        dilated, source = element.dilate(x), _apart(x, output)
        result = element.erode(x, output)
        result += dilated
        result -= source
        result -= source
        return result

    return element.compound(laplace, input, _given(output), progress)


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
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The array less its opening: bright spots smaller than the window.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes, nan_policy, progress, backend
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
    element = _Element.read(
        "white_tophat", size, footprint, structure, mode, cval, origin, axes, nan_policy, backend
    )  # fmt: skip

    def tophat(x: Array, output: OutputLike) -> Array:
        source, opened = _apart(x, output), element.dilate(element.erode(x), output)
        return _difference(source, opened, opened, output, where_they_differ=True)

    return element.compound(tophat, input, output, progress)


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
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The closing of an array less the array: dark spots smaller than the window.

    Parameters
    ----------
    input, size, footprint, structure, output, mode, cval, origin, axes, nan_policy, progress, backend
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
    element = _Element.read(
        "black_tophat", size, footprint, structure, mode, cval, origin, axes, nan_policy, backend
    )  # fmt: skip

    def tophat(x: Array, output: OutputLike) -> Array:
        source, closed = _apart(x, output), element.erode(element.dilate(x), output)
        return _difference(closed, source, closed, output, where_they_differ=True)

    return element.compound(tophat, input, output, progress)


@dataclass(frozen=True)
class _Element:
    """A structuring element, and how it is laid on."""

    op: str
    size: SizeLike
    footprint: ArrayLike | None
    structure: ArrayLike | None
    mode: ModeLike
    cval: float
    origin: Origin
    axes: AxesLike
    nan_policy: NanPolicy
    backend: BackendName | None

    @classmethod
    def read(cls, op: str, size: SizeLike, footprint: ArrayLike | None, *given: Any) -> _Element:
        if size is None and footprint is None and given[0] is None:
            raise ValueError("size, footprint, or structure must be specified")
        return cls(op, read.size_or_footprint(size, footprint, 4), footprint, *given)

    def erode(self, x: Array, output: OutputLike = None, progress: ProgressLike | None = None) -> Array:
        return extreme_filter(
            self.op, x, self.size, self.footprint, self.structure, output, self.mode, self.cval, self.origin,
            np.minimum, self.axes, self.nan_policy, progress, self.backend,
        )  # fmt: skip

    def dilate(self, x: Array, output: OutputLike = None, progress: ProgressLike | None = None) -> Array:
        places = read.check_axes(self.axes, x.ndim)
        structure, footprint = (
            None if each is None else np.flip(read.window(name, each))
            for name, each in (("structure", self.structure), ("footprint", self.footprint))
        )
        given = footprint if footprint is not None else structure
        if given is None:
            sizes = read.for_each(self.size, len(places), "size")
            pixels = tuple(read.integer(each, "size") for each in sizes)
        else:
            pixels = given.shape
        if len(pixels) < len(places):
            raise RuntimeError(f"footprint.ndim ({len(pixels)}) must match len(axes) ({len(places)})")
        shifts = [read.integer(each, "origin") for each in read.for_each(self.origin, len(places), "origin")]
        turned = [-shift - (1 - count % 2) for shift, count in zip(shifts, pixels, strict=False)]
        return extreme_filter(
            self.op, x, self.size, footprint, structure, output, self.mode, self.cval, turned,
            np.maximum, self.axes, self.nan_policy, progress, self.backend,
        )  # fmt: skip

    def compound(
        self,
        compute: Callable[[Array, OutputLike], Array],
        input: ArrayLike,
        output: OutputLike,
        progress: ProgressLike | None,
    ) -> Array:
        """What is made of an erosion and a dilation, or of one after the other; in slabs as each of them."""
        x = read.array(input)
        check_progress(self.op, progress)
        if slab_numbers(x, output, progress, x.itemsize) is None:
            return compute(x, output)
        read.real(x)

        def into(x: Array, out: Array) -> Array | None:
            result = compute(x, out)
            return np.ma.getmaskarray(result) if np.ma.isMaskedArray(x) else None

        first = _first_reach(x.ndim, self.size, self.footprint, self.structure, self.mode, self.axes)
        # Windows are turned round for the other filter: both reach as far on both sides.
        along = Reach(first.extent, first.extent, first.mode)
        return apply(self.op, into, along, x, output, progress, room=x.itemsize)


def _first_reach(
    ndim: int,
    size: SizeLike,
    footprint: ArrayLike | None,
    structure: ArrayLike | None,
    mode: ModeLike,
    axes: AxesLike,
) -> Reach:
    """How far windows reach along the first axis; what does not fit is left to the filter to refuse."""
    places = read.check_axes(axes, ndim)
    if 0 not in places:
        return Reach()
    # Windows lie along the axes in the order of the array; sizes, and footprints that are boxes, in that of `axes`.
    window = structure if footprint is None else footprint
    order = places
    if window is None:
        pixels = read.for_each(size, len(places), "size")
    else:
        pixels = [*np.asarray(window).shape]
        if structure is not None or not np.asarray(footprint, bool).all():
            order = tuple(sorted(places))
    if len(pixels) != len(places):
        return Reach()
    border = read.border(read.for_each(mode, len(places), "mode")[places.index(0)])
    return reach(max(1, int(pixels[order.index(0)])), 0, border)


def _given(output: OutputLike) -> Array | None:
    """The array, if it is one: as SciPy, some have no other dtype than that of what they are made of."""
    return output if isinstance(output, np.ndarray) else None


def _apart(x: Array, output: OutputLike) -> Array:
    """`x`, or a copy where `output` is where it is."""
    return x.copy() if isinstance(output, np.ndarray) and np.may_share_memory(x, output) else x


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
