"""Reads what filters of arrays share as SciPy reads it: axes, sequences, borders, results; its types of errors as well.

Called by every function of `fastconv.ndimage`; that errors are RuntimeErrors where elsewhere they are ValueErrors is
SciPy's choice, on which programs may rely.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from fastconv.execution.arrays import holds_masks
from fastconv.execution.memory import empty
from fastconv.text import echo
from fastconv.typing import Array, ArrayLike, PaddingMode

OutputLike: TypeAlias = "Array | DTypeLike | None"
BorderName: TypeAlias = Literal[
    "reflect", "grid-mirror", "constant", "grid-constant", "nearest", "mirror", "wrap", "grid-wrap"
]
ModeLike: TypeAlias = "BorderName | Iterable[BorderName]"
SizeLike: TypeAlias = int | Iterable[int] | None
AxesLike: TypeAlias = "SupportsIndex | Iterable[SupportsIndex] | None"

# SciPy's names of borders, and fastconv's. Filters make no difference between SciPy's pairs of names.
BORDERS: dict[str, PaddingMode] = {
    "reflect": "symmetric",
    "grid-mirror": "symmetric",
    "mirror": "reflect",
    "nearest": "replicate",
    "wrap": "circular",
    "grid-wrap": "circular",
    "constant": "zeros",
    "grid-constant": "zeros",
}


def border(mode: object) -> PaddingMode:
    """The border of one axis by SciPy's name."""
    if not isinstance(mode, str) or mode not in BORDERS:
        raise RuntimeError(f"boundary mode not supported: {mode!r}; needs one of {', '.join(BORDERS)}")
    return BORDERS[mode]


def one_border(mode: object) -> PaddingMode:
    """The border that all axes share where a sequence of them has no meaning."""
    if not isinstance(mode, str) and isinstance(mode, Iterable):
        raise RuntimeError("A sequence of modes is not supported here: needs one mode for all axes")
    return border(mode)


def for_each(value: object, count: int, name: str = "argument") -> list[Any]:
    """One value for each of `count` axes: a sequence of so many, or one for all."""
    if isinstance(value, str) or not np.iterable(value):
        return [value] * count
    values = list(value)
    if len(values) != count:
        raise RuntimeError(
            f"sequence argument must have length equal to input rank: {name} has {len(values)}, needs {count}"
        )
    return values


def check_axes(axes: AxesLike, ndim: int) -> tuple[int, ...]:
    """The places of filtered axes, from the front; None is all of them."""
    if axes is None:
        return tuple(range(ndim))
    if np.isscalar(axes):
        axes = (integer(axes, "axes"),)
    elif not isinstance(axes, Iterable):
        raise ValueError("axes must be an integer, iterable of integers, or None")
    places = tuple(operator.index(axis) for axis in axes)
    for axis in places:
        if not -ndim <= axis < ndim:
            raise ValueError(f"specified axis: {axis} is out of range: axes needs -{ndim} to {ndim - 1}")
    places = tuple(axis % ndim for axis in places)
    if len(set(places)) != len(places):
        raise ValueError(f"axes must be unique, but are {', '.join(map(str, places))}")
    return places


def check_axis(axis: SupportsIndex, ndim: int) -> int:
    """The place of one axis, from the front."""
    place = integer(axis, "axis")
    if not -ndim <= place < ndim:
        raise np.exceptions.AxisError(place, ndim)
    return place % ndim


def number(cval: Any) -> float:
    """What lies beyond the array, where that is put in order: a real number."""
    if type(cval) is float:
        return cval
    check_real(cval, "cval")
    return float(cval)


def size_or_footprint(size: SizeLike, footprint: ArrayLike | None, level: int) -> SizeLike:
    """The size, unless there is a footprint: said once, to who is so many calls up."""
    if size is not None and footprint is not None:
        warnings.warn("ignoring size because footprint is set", UserWarning, stacklevel=level)
        return None
    return size


def check_type(dtype: np.dtype[Any]) -> None:
    """Filters take what SciPy's do: bool, integers, float32, float64."""
    if dtype.kind not in "biuf" or (dtype.kind == "f" and dtype.itemsize not in (4, 8)):
        raise RuntimeError(f"array type {dtype!r} not supported")


def real(x: ArrayLike) -> Array:
    """An array that is ordered: not complex."""
    array = np.asarray(x)
    if array.dtype.kind == "c":
        raise TypeError("Complex type not supported")
    return array


def result_array(output: OutputLike, x: Array, complex_result: bool = False) -> Array:
    """Where a filter of `x` puts its result: `output` itself, or an array of that dtype, of that of `x` by default."""
    if x.dtype.kind in "SUVmM":
        raise RuntimeError(f"array type {x.dtype!r} not supported")
    if output is None:
        dtype = np.promote_types(x.dtype, np.complex64) if complex_result else x.dtype.newbyteorder("=")
        return empty("filter", x.shape, dtype)
    if isinstance(output, np.ndarray) or not isinstance(output, (type, np.dtype, str)):
        array = np.asarray(output)
        if array.shape != x.shape:
            raise RuntimeError(f"output shape not correct: it has {array.shape}, needs {x.shape}")
        if not array.flags.writeable:
            raise ValueError("output is read-only, but needs to be writeable")
        if complex_result and array.dtype.kind != "c":
            raise RuntimeError("output must have complex dtype")
        return array
    dtype = np.dtype(output)
    if isinstance(output, str):
        if complex_result and dtype.kind != "c":
            raise RuntimeError("output must have complex dtype")
        if not issubclass(dtype.type, np.number):
            raise RuntimeError("output must have numeric dtype")
    elif complex_result and dtype.kind != "c":
        warnings.warn("promoting specified output dtype to complex", stacklevel=3)
        dtype = np.promote_types(dtype, np.complex64)
    return empty("filter", x.shape, dtype)


@contextmanager
def apart(x: Array, out: Array) -> Iterator[Array]:
    """Where to put a result while `x` is read: `out`, or if they share memory an array that goes there in the end."""
    target = empty("filter", out.shape, out.dtype) if np.may_share_memory(x, out) else out
    yield target
    if target is not out:
        out[...] = target


def check_complex(x: Array, output: OutputLike) -> None:
    """As SciPy, filters of several passes refuse a real dtype for a complex result, which those of one pass promote."""
    if x.dtype.kind == "c" and isinstance(output, (type, np.dtype)) and np.dtype(output).kind != "c":
        raise RuntimeError("output must have complex dtype")


def array(input: ArrayLike, name: str = "input") -> Array:
    """As NumPy reads it; a masked array keeps its mask, and one in a file is known as such."""
    if type(input) is np.ndarray or isinstance(input, (np.ma.MaskedArray, np.memmap)):
        return input
    return unmasked(name, input, ": needs one masked array instead of a sequence of them")


def unmasked(name: str, value: ArrayLike, instead: str) -> Array:
    """As NumPy reads it; refused where a mask hides elements of it. `instead` ends the sentence."""
    if type(value) is np.ndarray:
        return value
    if np.ma.is_masked(value) or holds_masks(value):
        raise ValueError(f"{name} has masked elements, whose mask would be lost{instead}")
    return np.asarray(value)


def window(name: str, value: ArrayLike) -> Array:
    """Weights or a footprint, of which no element is missing."""
    return unmasked(name, value, ": fill it first with what the element is to count")


def with_mask(out: Array, mask: Array | None, output: OutputLike) -> Array:
    """`out`, which `result_array` made from `output`, with that mask; None is a result without masked pixels."""
    if mask is None:
        return output if isinstance(output, np.ndarray) else out
    if isinstance(output, np.ma.MaskedArray):
        output.mask = mask
        return output
    return np.ma.MaskedArray(out, mask)


def integer(value: Any, name: str) -> int:
    """An argument that is a whole number."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {echo(value)}") from None


def check_real(value: Any, name: str) -> None:
    """An argument that has a size: a real number."""
    if isinstance(value, str) or value is None or np.ndim(value) or np.iscomplexobj(value):
        raise TypeError(f"{name} must be a real number, not {echo(value)}")


def check_origin(origin: Any, size: int, message: str = "invalid origin") -> None:
    """A window of `size` pixels may be moved as long as it covers its own pixel."""
    if not 0 <= size // 2 + integer(origin, "origin") < size:
        raise ValueError(f"{message}: origin is {origin}, but needs {-(size // 2)} to {(size - 1) // 2}")


def spread(values: list[Any], axes: tuple[int, ...], ndim: int, filling: Any) -> list[Any]:
    """Values of the filtered axes among those of all axes.

    Where all axes are filtered, values stay in the order that they have, whatever the order of `axes`: so does SciPy.
    """
    if len(axes) == ndim:
        return list(values)
    result = [filling] * ndim
    for value, axis in zip(values, axes, strict=True):
        result[axis] = value
    return result


def widen(window: Array, axes: tuple[int, ...], ndim: int, name: str = "footprint") -> Array:
    """A window over filtered axes as one over all axes, with one pixel along the others."""
    if len(axes) < ndim:
        if window.ndim != len(axes):
            raise RuntimeError(f"{name}.ndim ({window.ndim}) must match len(axes) ({len(axes)})")
        window = np.expand_dims(window, tuple(axis for axis in range(ndim) if axis not in axes))
    if window.ndim != ndim or 0 in window.shape:
        used = sum(size > 0 for size in window.shape)
        if 0 in window.shape:
            needed = f"{name} has shape {window.shape}, but no axis may be empty"
        elif 0 < window.ndim < ndim:
            needed = f"needs {ndim} axes, or axes={tuple(range(window.ndim))} to filter along the first ones"
        else:
            needed = f"{name} has shape {window.shape}, but needs {ndim} axes"
        raise RuntimeError(f"{name}.ndim ({used}) must match len(axes) ({len(axes)}): {needed}")
    return window
