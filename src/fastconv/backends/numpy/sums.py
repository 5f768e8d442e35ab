"""Sums that keep their digits, however many terms they have: for the reference backend and its gradients.

A few terms are added one after the other; such a part goes into a total, and what rounding takes from the total is
added to the next part (Kahan 1965). Where NumPy itself adds, it does so in a wider dtype.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastconv.typing import Array

_PART = 16


class Sums:
    """An array of sums, to which terms are added through `part`."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._part, self._total, self._rest = (np.zeros(shape, dtype) for _ in range(3))
        self._terms = 0

    def part(self) -> Array:
        """The array to add the next term to, one term for each element."""
        if self._terms == _PART:
            self._settle()
        self._terms += 1
        return self._part

    def result(self) -> Array:
        self._settle()
        return self._total + self._rest

    def _settle(self) -> None:
        self._part += self._rest
        whole = self._total + self._part
        lost = self._part - (whole - self._total)
        # What an infinite sum loses is not a number, and is left out.
        self._total, self._rest = whole, np.where(np.isfinite(lost), lost, 0)
        self._part[...], self._terms = 0, 0


def total(terms: Iterable[Array]) -> Array:
    """The sum of at least one array."""
    sums: Sums | None = None
    for term in terms:
        sums = sums or Sums(term.shape, term.dtype)
        part = sums.part()
        part += term
    assert sums is not None
    return sums.result()


def wider(dtype: np.dtype[Any]) -> Any:
    return np.float64 if dtype == np.float32 else np.longdouble


def column_sums(x: Array) -> Array:
    """The sums of the columns of (rows, columns) in float64: NumPy would add one row after the other."""
    while x.shape[0] > 1:
        whole = x.shape[0] // _PART * _PART
        sums = x[:whole].reshape(-1, _PART, x.shape[1]).sum(1, dtype=np.float64)
        left = x[whole:].sum(0, dtype=np.float64, keepdims=True)
        x = np.concatenate([sums, left]) if whole < x.shape[0] else sums
    first: Array = x[0]
    return first
