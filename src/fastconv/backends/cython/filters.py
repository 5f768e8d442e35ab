"""Filters of pictures by the kernels of ``csrc/filter``; each class method takes pictures as `Window` has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.backends.cython.sizes import ELEMENT_TYPES
from fastconv.problem.filtering import Weights, Window
from fastconv.settings.threads import get_num_threads
from fastconv.typing import Array

_DTYPES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1}


class Filters:
    """See `fastconv.backends.protocol.Filters`; the engine is the compiled module."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def sums(
        self,
        window: Window,
        first: Weights,
        second: Weights | None,
        dtype: np.dtype[Any],
        x: Array,
        out: Array,
    ) -> bool:
        return bool(
            self._engine.filter_sums(
                _picture(window, x, out), first, second, x, out, _DTYPES[dtype], get_num_threads()
            )
        )

    def means(self, window: Window, dtype: np.dtype[Any], x: Array, out: Array) -> None:
        self._engine.filter_means(_picture(window, x, out), x, out, _DTYPES[dtype], get_num_threads())

    def scores(self, products: Array, mean: Array, square: Array, length: float, flat: float) -> None:
        self._engine.filter_scores(products, mean, square, length, flat, get_num_threads())

    def extrema(self, window: Window, largest: bool, x: Array, out: Array) -> None:
        self._engine.filter_extrema(_picture(window, x, out), largest, x, out, get_num_threads())

    def network(
        self,
        window: Window,
        offsets: NDArray[np.int64],
        exchanges: NDArray[np.int32],
        place: int,
        x: Array,
        out: Array,
    ) -> None:
        self._engine.filter_network(
            _picture(window, x, out), offsets, exchanges, place, x, out, get_num_threads()
        )


def _picture(window: Window, x: Array, out: Array) -> tuple[Any, ...]:
    """The numbers of fc_filter."""
    between = -1 if window.between is None else ELEMENT_TYPES[window.between]
    types = ELEMENT_TYPES[x.dtype], ELEMENT_TYPES[out.dtype], between, int(window.saturate)
    return x.shape, window.kernel, window.before, window.rows, window.columns, window.constant, types
