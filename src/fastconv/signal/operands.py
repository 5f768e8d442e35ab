"""Reads what convolutions of two signals share: their modes, which part of the full result those are, their axes.

Called by every function of `fastconv.signal`; the types of errors and what tests look for in them are SciPy's.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, Literal, SupportsIndex, TypeAlias

from fastconv.backends import resolve
from fastconv.filtering.arguments import array, window
from fastconv.filtering.blocks import Reach
from fastconv.filtering.missing import NanPolicy, check_policy
from fastconv.typing import Array, ArrayLike, BackendName, PaddingMode

ModeLike: TypeAlias = Literal["full", "same", "valid"]
MethodLike: TypeAlias = Literal["auto", "direct", "fft"]
AxesLike: TypeAlias = "SupportsIndex | Iterable[SupportsIndex] | None"


def conjugate(x: Array) -> Array:
    """What is real stays what it is: NumPy's `conj` makes an int8 of bool."""
    return x.conj() if x.dtype.kind == "c" else x


def two(
    op: str,
    in1: ArrayLike,
    in2: ArrayLike,
    nan_policy: NanPolicy,
    backend: BackendName | None,
    names: str = "in1 and in2",
) -> tuple[Array, Array]:
    """Both as arrays, with as many axes; only the first one may be masked. Other arguments are looked at first."""
    check_policy(op, nan_policy)
    resolve(op, backend)
    a, b = array(in1, "in1"), window("in2", in2)
    if a.ndim != b.ndim:
        raise ValueError(f"{names} should have the same dimensionality: they have {a.ndim} and {b.ndim} axes")
    return a, b


def check_mode(mode: object) -> None:
    """One of the three modes."""
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"acceptable mode flags are 'valid', 'same', or 'full', not {mode!r}")


def wants_swap(mode: str, a: Sequence[int], b: Sequence[int], axes: Iterable[int] | None = None) -> bool:
    """Whether the second is the larger one of a valid convolution, which needs one that is at least as large."""
    if mode != "valid":
        return False
    places = list(range(len(a)) if axes is None else axes)
    if all(a[i] >= b[i] for i in places):
        return False
    if not all(b[i] >= a[i] for i in places):
        raise ValueError(
            "For 'valid' mode, one must be at least as large as the other in every dimension: "
            f"the shapes are {tuple(a)} and {tuple(b)}"
        )
    return True


def part(mode: str, size: int, taps: int) -> tuple[int, int]:
    """Where a mode's result starts in the full one of ``size + taps - 1`` numbers, and how long it is."""
    if mode == "full":
        return 0, size + taps - 1
    if mode == "same":
        return (taps - 1) // 2, size
    return min(size, taps) - 1, abs(size - taps) + 1


def parts(mode: str, a: Sequence[int], b: Sequence[int]) -> tuple[list[int], tuple[int, ...]]:
    """The same along all axes: where each starts, and the shape."""
    each = [part(mode, *sizes) for sizes in zip(a, b, strict=True)]
    return [start for start, _ in each], tuple(size for _, size in each)


def reaches(starts: Iterable[int], kernel: Sequence[int], border: PaddingMode = "zeros") -> list[Reach]:
    """How far windows of a kernel of that shape reach whose results start there in the full ones."""
    return [Reach(taps - 1 - start, start, border) for start, taps in zip(starts, kernel, strict=True)]


def check_axes(a: Array, b: Array, axes: AxesLike) -> list[int]:
    """The axes to convolve along; along the others the arrays are multiplied."""
    if axes is None:
        places = list(range(a.ndim))
    else:
        values: list[Any] = list(axes) if isinstance(axes, Iterable) else [axes]
        try:
            places = [operator.index(axis) for axis in values]
        except TypeError:
            raise ValueError(f"axes must be a scalar or iterable of integers, not {axes!r}") from None
        if not places:
            raise ValueError("when provided, axes cannot be empty")
        if any(not -a.ndim <= axis < a.ndim for axis in places):
            raise ValueError(f"axes exceeds dimensionality of input: {axes!r}, for {a.ndim} axes")
        places = [axis % a.ndim for axis in places]
        if len(set(places)) != len(places):
            raise ValueError("all axes must be unique")
    for axis in range(a.ndim):
        if axis not in places and a.shape[axis] != b.shape[axis] and 1 not in (a.shape[axis], b.shape[axis]):
            raise ValueError(f"incompatible shapes for in1 and in2: {a.shape} and {b.shape}")
    return places
