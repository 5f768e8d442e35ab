"""The types of arguments and results, for annotations of one's own; used by every module that users call.

What ends in ``Like`` is what an argument may be given as. Sizes and counts are anything with ``__index__``: Python's
and NumPy's integers, not floats. The words are `typing.Literal`, so that a type checker finds one that is misspelt.

Examples
--------
>>> import numpy as np, fastconv
>>> from fastconv.typing import Array, ArrayLike, PaddingMode
>>> def blur(image: ArrayLike, border: PaddingMode = "reflect") -> Array:
...     return fastconv.conv2d(image, np.full((1, 1, 3, 3), 1 / 9), padding=1, padding_mode=border)
>>> blur(np.ones((1, 4, 4))).shape
(1, 4, 4)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, SupportsFloat, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastconv.shown import shows

__all__ = [
    "ActivationLike",
    "ActivationName",
    "Array",
    "ArrayLike",
    "BackendName",
    "Indices",
    "Layout",
    "NeedsLike",
    "NestedNumbers",
    "OutputSizeLike",
    "PaddingLike",
    "PaddingMode",
    "PaddingWord",
    "PairLike",
    "Precision",
    "RatioLike",
    "SeedLike",
    "ShapeLike",
    "SidesLike",
    "SignalPaddingLike",
    "SingleLike",
    "SupportsArray",
    "SupportsDLPack",
    "ThreadingName",
]
__dir__ = shows(__name__)

Layout: TypeAlias = Literal["NCHW", "NHWC"]
PaddingMode: TypeAlias = Literal["zeros", "reflect", "replicate", "circular", "symmetric", "constant"]
PaddingWord: TypeAlias = Literal["valid", "same", "full"]
Precision: TypeAlias = Literal["fast", "strict"]
BackendName: TypeAlias = Literal["cython", "numba", "numpy"]
ThreadingName: TypeAlias = Literal["pool", "openmp"]
ActivationName: TypeAlias = Literal[
    "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish", "gelu"
]


class SupportsArray(Protocol):
    """What NumPy reads by ``__array__``: its own arrays and numbers, PyTorch's tensors, pandas' tables."""

    def __array__(self) -> NDArray[Any]: ...


class SupportsDLPack(Protocol):
    """What NumPy reads by DLPack, without a copy where it lies in the CPU's memory."""

    def __dlpack__(self) -> object: ...

    def __dlpack_device__(self) -> tuple[Any, Any]: ...


Array: TypeAlias = NDArray[Any]
Indices: TypeAlias = NDArray[np.int64]  # of pooled pixels, in the flat plane of an image


class NestedNumbers(Protocol):
    """Sequences of numbers or arrays, or of such sequences: lists, tuples and their like, no strings and no mappings.

    A string holds only strings, which `__contains__` tells (it comes first, as pyright takes what follows for granted);
    a mapping does not `count`.
    """

    def __len__(self) -> int: ...

    def __contains__(self, value: object, /) -> bool: ...

    def __getitem__(self, index: int, /) -> float | SupportsArray | NestedNumbers: ...

    def count(self, value: Any, /) -> int: ...


ArrayLike: TypeAlias = SupportsArray | SupportsDLPack | NestedNumbers

_Two: TypeAlias = tuple[SupportsIndex, SupportsIndex] | list[int]
PairLike: TypeAlias = SupportsIndex | _Two  # for both axes, or (vertical, horizontal)
SidesLike: TypeAlias = (  # for all sides, (vertical, horizontal), or ((top, bottom), (left, right))
    PairLike | tuple[_Two, _Two] | list[list[int]] | list[tuple[int, int]]
)
PaddingLike: TypeAlias = SidesLike | PaddingWord
SingleLike: TypeAlias = SupportsIndex | tuple[SupportsIndex] | list[int]  # for an operation on signals
SignalPaddingLike: TypeAlias = PairLike | tuple[PairLike] | PaddingWord  # both sides, or (before, after)

OutputSizeLike: TypeAlias = (  # None keeps the input's size
    PairLike | tuple[SupportsIndex | None, SupportsIndex | None] | list[int | None] | None
)
RatioLike: TypeAlias = SupportsFloat | tuple[SupportsFloat, SupportsFloat] | list[float]
ShapeLike: TypeAlias = Sequence[SupportsIndex] | NDArray[np.integer[Any]]
NeedsLike: TypeAlias = tuple[bool | np.bool, ...] | list[bool] | NDArray[np.bool]

ActivationLike: TypeAlias = (
    ActivationName
    | tuple[Literal["leaky_relu"], SupportsFloat]
    | tuple[Literal["clip"], SupportsFloat, SupportsFloat]
)

if TYPE_CHECKING:
    from numpy.random import BitGenerator, Generator, SeedSequence

    _Seeds: TypeAlias = int | np.integer[Any] | Sequence[int] | NDArray[np.integer[Any]]
    SeedLike: TypeAlias = _Seeds | SeedSequence | BitGenerator | Generator  # what makes a generator
else:
    SeedLike = object  # numpy.random takes long to import, and is needed only where numbers are drawn
