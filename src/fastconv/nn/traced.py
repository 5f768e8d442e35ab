"""What stands for an array while a network is recorded: arithmetic and the usual methods, as operations.

`tape.py` and `symbols.py` have the two kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.nn.operation import Operation
from fastconv.typing import Array

# The operations that methods stand for; filled by the files of `operations/`.
METHODS: dict[str, Operation] = {}


class Traced:
    """An array's stand-in. NumPy's own functions refuse it: use arithmetic, its methods and `nn.functional`."""

    __slots__ = ()
    __array_ufunc__ = None  # so that ``array * traced`` comes here

    @property
    def shape(self) -> tuple[Any, ...]:
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype[Any]:
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise TypeError(
            "a network is being differentiated or drawn, and its values are not arrays: use arithmetic and "
            "fastconv.nn.functional in place of NumPy's functions"
        )

    def __bool__(self) -> bool:
        raise TypeError(
            "a network is being drawn or differentiated: what it does may not depend on its values"
        )

    def __add__(self, other: Any) -> Any:
        return METHODS["add"](self, other)

    def __radd__(self, other: Any) -> Any:
        return METHODS["add"](other, self)

    def __sub__(self, other: Any) -> Any:
        return METHODS["subtract"](self, other)

    def __rsub__(self, other: Any) -> Any:
        return METHODS["subtract"](other, self)

    def __mul__(self, other: Any) -> Any:
        return METHODS["multiply"](self, other)

    def __rmul__(self, other: Any) -> Any:
        return METHODS["multiply"](other, self)

    def __truediv__(self, other: Any) -> Any:
        return METHODS["divide"](self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return METHODS["divide"](other, self)

    def __neg__(self) -> Any:
        return METHODS["multiply"](self, -1.0)

    def __pow__(self, exponent: float) -> Any:
        return METHODS["power"](self, exponent=exponent)

    def __matmul__(self, other: Any) -> Any:
        return METHODS["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return METHODS["matmul"](other, self)

    def __getitem__(self, index: Any) -> Any:
        return METHODS["getitem"](self, index=index)

    def reshape(self, *shape: Any) -> Any:
        if len(shape) == 1 and not isinstance(shape[0], (int, str)):
            shape = tuple(shape[0])
        return METHODS["reshape"](self, shape=shape)

    def transpose(self, *axes: Any) -> Any:
        if len(axes) == 1 and not isinstance(axes[0], int):
            axes = tuple(axes[0])
        return METHODS["transpose"](self, axes=axes or tuple(range(self.ndim))[::-1])

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        return METHODS["sum"](self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        return METHODS["mean"](self, axis=axis, keepdims=keepdims)


def method(name: str) -> Callable[[Operation], Operation]:
    def add(operation: Operation) -> Operation:
        METHODS[name] = operation
        return operation

    return add


def is_traced(value: Any) -> bool:
    return isinstance(value, Traced)
