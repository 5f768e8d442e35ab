"""What the definitions share: `Definition`, and how one is evaluated on a part of its result."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Shape = tuple[int, ...]
Box = Sequence[Indices]  # indices along each axis of a result; they mean all elements of their grid
Part = tuple[Array, Floats]  # values on the grid, and for each the sum of its terms' absolute values

BLOCK = 1 << 21  # terms that are computed at once, at most


@dataclass(frozen=True)
class Definition:
    """One result of an operation, which can be evaluated at any of its elements.

    Parameters
    ----------
    shape : tuple of int
        Of the whole result.
    terms : int
        How many products or pixels one element is made of.
    at : callable
        Evaluates the elements of a `Box`: their values, and for each the sum of its terms' absolute values, which is
        what rounding errors grow with; 0 for elements that are copied.
    whole : tuple of int
        Axes along which it is best evaluated as a whole, as their elements are made of the same terms.
    in_turns : bool
        Whether its terms are added one after the other, so that they are never in memory together.
    """

    shape: Shape
    terms: int
    at: Callable[[Box], Part]
    whole: tuple[int, ...] = ()
    in_turns: bool = False

    def everywhere(self) -> Part:
        """All elements, in blocks of bounded memory."""
        box = full_box(self.shape)
        most = max(1, BLOCK // max(1, 1 if self.in_turns else self.terms))
        values, bound = self.at([axis[:0] for axis in box])
        values, bound = np.zeros(self.shape, values.dtype), np.zeros(self.shape)
        for block in _blocks(box, most, self.whole):
            place = np.ix_(*block)
            values[place], bound[place] = self.at(block)
        return values, bound


def full_box(shape: Shape) -> list[Indices]:
    """The box of all elements."""
    return [np.arange(size) for size in shape]


def _blocks(box: Box, most: int, whole: tuple[int, ...]) -> Iterator[Box]:
    """The box in halves of halves, until they have no more than `most` elements."""
    sizes = [1 if axis in whole else len(indices) for axis, indices in enumerate(box)]
    longest = max(range(len(box)), key=sizes.__getitem__, default=0)
    if math.prod(map(len, box)) <= most or sizes[longest] < 2:
        yield box
        return
    half = len(box[longest]) // 2
    for part in (box[longest][:half], box[longest][half:]):
        yield from _blocks([*box[:longest], part, *box[longest + 1 :]], most, whole)


def computed(shape: Shape, compute: Callable[[], Part]) -> Definition:
    """A result that is cheapest computed as a whole, once, when an element of it is wanted first."""
    once = functools.cache(compute)

    def at(box: Box) -> Part:
        values, bound = (part[np.ix_(*box)] for part in once())
        return values, bound

    return Definition(shape, 1, at)


def copied(result: Array) -> Definition:
    """A result whose elements are those of an argument: they have no rounding."""

    def at(box: Box) -> Part:
        values = result[np.ix_(*box)]
        return values, np.zeros(values.shape)

    return Definition(result.shape, 1, at)


def with_bias(part: Part, bias: Array | None, channels: Indices) -> Part:
    """Sums of (N, K, ...) plus the bias of their channels."""
    if bias is None:
        return part
    values, bound = part
    added = bias[channels].astype(np.float64).reshape(-1, *(1,) * (values.ndim - 2))
    return values + added, bound + np.abs(added)


def by_group(groups: Indices) -> Iterator[tuple[int, Indices]]:
    """Each number that occurs, and the places at which it does."""
    for group in np.unique(groups):
        yield int(group), np.flatnonzero(groups == group)


def without_row(image: Definition) -> Definition:
    """A result with one row as one without rows: (N, C, 1, W) as (N, C, W)."""
    zero = np.zeros(1, np.int64)

    def at(box: Box) -> Part:
        values, bound = image.at([*box[:-1], zero, box[-1]])
        return values[..., 0, :], bound[..., 0, :]

    return replace(image, shape=(*image.shape[:-2], image.shape[-1]), at=at)
