"""A large result cut into tiles: where to read for each, what of that is the image's border, where to write."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from fastconv.arguments import integer
from fastconv.backends import get_backend
from fastconv.graph.graph import Graph
from fastconv.graph.program import Program
from fastconv.onnx.model import Model
from fastconv.ops.plan_base import Plan
from fastconv.settings.memory import total_memory
from fastconv.tiles.axes import Interval
from fastconv.tiles.graphs import of_graph
from fastconv.tiles.layers import Network, TilingError
from fastconv.tiles.operations import of_operation
from fastconv.tiles.regions import AxisPlan, axis_plan, bytes_of, compute
from fastconv.typing import Array, ShapeLike

# Output pixels of a tile, 512 x 512 of an image: a tile costs some 0.2 ms besides its pixels, which is little of a tile
# of this size, and the arrays of larger ones leave the last cache where there are several layers (docs/tiles.md).
_USUAL = 1 << 18
_SMALLEST = 64  # of its longest one: below, a halo costs more than it saves
_SHARE = 16  # of all memory, the part that a tile's arrays may take by default
_KEPT_PLANS = 512


class Tile(NamedTuple):
    """One tile.

    Attributes
    ----------
    number : int
        Its place in the order of the tiling.
    read : tuple of tuple of slice
        For each axis of the source the parts that are read, in ascending order: one, or, where a circular border lets
        both ends be seen, two.
    border : tuple of (bool, bool)
        For each axis whether the tile reads up to the source's first and last pixel, where borders are padded.
    write : tuple of slice
        Its part of the destination.
    """

    number: int
    read: tuple[tuple[slice, ...], ...]
    border: tuple[tuple[bool, bool], ...]
    write: tuple[slice, ...]


class Tiling:
    """The tiles of an operation's or a network's result. Made by `tiling`; iterate over it for the `Tile`.

    Attributes
    ----------
    input_shape, output_shape : tuple of int
    dtype : dtype
        Of the output.
    axes : tuple of int
        The spatial axes, from the end; tiles are cut along these, and are of one image.
    tile : tuple of int
        Output pixels of a tile along these; those at the end may be smaller.
    alignment : tuple of int
        Tiles of a multiple of so many pixels are all made alike; others compute some pixels of inner layers twice.
    halo : tuple of (int, int)
        How many pixels of the source are read at most, before and after those that belong to the tile.
    """

    def __init__(self, op: Any, input_shape: ShapeLike, dtype: Any, tile: Any, algorithm: str | None) -> None:
        self.input_shape = tuple(integer("tiles", "input_shape", size, 0) for size in input_shape)
        if not all(self.input_shape[1:]):
            raise TilingError(f"tiles: the source has shape {self.input_shape}: only the batch may be empty")
        op = opened(op, self.input_shape)
        self._made_of = op, self.input_shape, np.dtype(dtype), tile, algorithm
        self._network = network = network_of(op, self.input_shape, np.dtype(dtype), algorithm)
        self.axes, size = network.axes, network.output_size
        if network.dtype is not None and not np.can_cast(dtype, network.dtype, "safe"):
            raise TypeError(f"tiles: the source is {np.dtype(dtype)}, but the network needs {network.dtype}")
        self._plans: dict[tuple[int, int, int], AxisPlan] = {}
        self._source_dtype = np.dtype(dtype)
        self._weights: dict[int, int] = {}
        sample = self._sample()
        self.dtype = sample.dtype
        shape = list(sample.shape)
        self._has_batch = len(self.input_shape) == len(self.axes) + 2
        if self._has_batch:
            shape[0] = self.input_shape[0]
        for axis, count in zip(self.axes, size, strict=True):
            shape[axis] = count
        self.output_shape = tuple(shape)
        self._steps = [_steps(network, axis) for axis in range(len(self.axes))]
        self.alignment = tuple(
            math.lcm(*(step.denominator for step in steps.values())) for steps in self._steps
        )
        self.tile = _tile(tile, size, self.alignment)
        most = total_memory() if tile is None else None
        if most is not None:
            self._shrink(most // _SHARE)
            self._made_of = op, self.input_shape, self._source_dtype, self.tile, algorithm
        self._counts = [-(-n // t) for n, t in zip(size, self.tile, strict=True)]

    def _shrink(self, most: int) -> None:
        """Halve the tile until its arrays take no more bytes than that, or it is as small as is worth while."""
        while self.memory > most:
            sides = zip(self.tile, self.alignment, strict=True)
            smaller = tuple(min(t, max(t // 2 // align, 1) * align) for t, align in sides)
            if smaller == self.tile or max(smaller) < _SMALLEST:
                return
            self.tile = smaller

    @functools.cached_property
    def halo(self) -> tuple[tuple[int, int], ...]:
        return tuple(self._halo(axis) for axis in range(len(self.axes)))

    def _halo(self, axis: int) -> tuple[int, int]:
        step, align = self._steps[axis][self._network.source], self.alignment[axis]
        count, size = self._network.output_size[axis], self._network.size[axis]
        before = after = 0
        middle = count // 2 // align * align
        for pixel in range(middle, min(middle + align, count)):
            parts = self._plan(axis, pixel, pixel + 1).needed[self._network.source]
            before = max(before, math.ceil(pixel * step) - parts[0][0])
            after = max(after, parts[-1][1] - math.floor((pixel + 1) * step))
        return min(before, size), min(after, size)

    def _sample(self) -> Array:
        """The result of one pixel, which shows the channels and the dtype, and finds what does not fit."""
        middle = [(size // 2, size // 2 + 1) for size in self._network.output_size]
        plans = [self._plan(axis, *part) for axis, part in enumerate(middle)]

        def zeros(parts: tuple[list[Interval], ...]) -> Array:
            shape = (
                [1, *self.input_shape[1:]]
                if len(self.input_shape) == len(self.axes) + 2
                else [*self.input_shape]
            )
            for axis, along in zip(self.axes, parts, strict=True):
                shape[axis] = sum(stop - start for start, stop in along)
            return np.zeros(shape, self._source_dtype)

        return compute(self._network, plans, zeros, self._weights)

    def _plan(self, axis: int, start: int, stop: int) -> AxisPlan:
        key = axis, start, stop
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _KEPT_PLANS:
                self._plans.clear()
            plan = self._plans.setdefault(key, axis_plan(self._network, axis, start, stop))
        return plan

    def __len__(self) -> int:
        images = self.output_shape[0] if self._has_batch else 1
        return math.prod(self._counts) * images

    def __iter__(self) -> Iterator[Tile]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> Tile:
        if not 0 <= index < len(self):
            raise IndexError(f"tiles: there are {len(self)} tiles, but the index is {index}")
        image, place = divmod(index, math.prod(self._counts))
        parts = []
        for number, size, tile in zip(
            np.unravel_index(place, self._counts), self._network.output_size, self.tile, strict=True
        ):
            parts.append((int(number) * tile, min((int(number) + 1) * tile, size)))
        return self._tile(index, image, parts)

    def _tile(self, index: int, image: int, parts: Sequence[Interval]) -> Tile:
        plans = [self._plan(axis, *part) for axis, part in enumerate(parts)]
        read, border = self._everything(self.input_shape, image)
        write, _ = self._everything(self.output_shape, image)
        for axis, plan, part, size in zip(self.axes, plans, parts, self._network.size, strict=True):
            needed = plan.needed[self._network.source]
            read[axis] = tuple(slice(*own) for own in needed)
            border[axis] = needed[0][0] == 0, needed[-1][1] == size
            write[axis] = (slice(*part),)
        return Tile(index, tuple(read), tuple(border), tuple(own[0] for own in write))

    def _everything(self, shape: tuple[int, ...], image: int) -> tuple[list[Any], list[Any]]:
        parts: list[Any] = [(slice(0, size),) for size in shape]
        if self._has_batch:
            parts[0] = (slice(image, image + 1),)
        return parts, [(True, True)] * len(shape)

    def compute(self, tile: Tile, source: Any) -> Array:
        """The values of one tile.

        Parameters
        ----------
        tile : Tile
        source : array_like
            Of `input_shape`: anything that gives an array for a tuple of slices; only what the tile reads is asked for.

        Returns
        -------
        ndarray
            What belongs to ``destination[tile.write]``.
        """
        return self.region([tile.write[axis] for axis in self.axes], lambda _: read(source, tile.read))

    def region(self, parts: Sequence[slice], reader: Any) -> Array:
        """The values of any part of the output; `reader` is given the intervals that it needs of each spatial axis."""
        plans = [self._plan(axis, part.start, part.stop) for axis, part in enumerate(parts)]
        return compute(self._network, plans, reader)

    def needs(self, axis: int, start: int, stop: int) -> list[Interval]:
        """The intervals of the source that outputs from `start` to `stop` need, along one of `axes`."""
        return self._plan(axis, start, stop).needed[self._network.source]

    @property
    def steps(self) -> list[Fraction]:
        """How many pixels of the source there are for one of the output, along each of `axes`."""
        return [steps[self._network.source] for steps in self._steps]

    @property
    def name(self) -> str:
        """Of the operation or the network."""
        return self._network.name

    @property
    def memory(self) -> int:
        """Bytes of arrays that live at once, at most, while one tile is computed: the layers' inputs and outputs, and
        copies of those that are padded; kernels have workspaces of a few MB for each thread besides."""
        plans = []
        for axis, (count, tile) in enumerate(zip(self._network.output_size, self.tile, strict=True)):
            start = (count - tile) // 2 // tile * tile
            plans.append(self._plan(axis, start, start + tile))
        return bytes_of(self._network, plans, self._weights)

    def __reduce__(self) -> tuple[Any, ...]:
        return Tiling, self._made_of

    def __repr__(self) -> str:
        tiles = f"{len(self)} tiles of {'x'.join(map(str, self.tile))}"
        return f"<Tiling of {self._network.name}: {self.input_shape} -> {self.output_shape}, {tiles}>"


def read(source: Any, parts: tuple[tuple[slice, ...], ...]) -> Array:
    """The parts of a source, side by side."""
    if all(len(along) == 1 for along in parts):
        return np.asarray(source[tuple(along[0] for along in parts)])
    axis = next(axis for axis, along in enumerate(parts) if len(along) > 1)
    pieces = [read(source, (*parts[:axis], (own,), *parts[axis + 1 :])) for own in parts[axis]]
    return np.concatenate(pieces, axis)


def opened(op: Any, shape: tuple[int, ...]) -> Any:
    """A network of `fastconv.nn` as a model, with the weights that it has now; what else there is as it is.

    Not as a program: for that of a large picture there need not be memory.
    """
    module = sys.modules.get("fastconv.nn.module")  # which takes long to load, for those who have none
    if module is None or not isinstance(op, module.Module):
        return op
    return Model(module.frozen_graph(op, (1, *shape[1:])), get_backend())


def network_of(op: Any, shape: tuple[int, ...], dtype: Any, algorithm: str | None) -> Network:
    if isinstance(op, Graph):
        return of_graph(op, shape, None, algorithm)
    if isinstance(op, (Model, Program)):
        return of_graph(op.source if isinstance(op, Program) else op.graph, shape, op.backend, algorithm)
    if algorithm is not None:
        raise ValueError("tiles: algorithm is for networks; an operation has its own argument of that name")
    return of_operation(op, shape, dtype)


def described(op: Any) -> Any:
    """What an operation or a network is, in numbers, words, arrays and graphs."""
    if isinstance(op, Plan):
        return type(op).__name__, op.__getstate__()["arguments"]
    if isinstance(op, functools.partial):
        return op.func, op.keywords
    if isinstance(op, (Model, Program)):
        return op.source if isinstance(op, Program) else op.graph, op.backend
    return op


def _steps(network: Network, axis: int) -> dict[int, Fraction]:
    """For each value how many of its pixels there are for an output pixel."""
    steps = {network.result: Fraction(1)}
    for layer in reversed(network.layers):
        own = max((steps[value] for value in layer.outputs if value in steps), default=None)
        if own is None:
            continue
        for value, rules in zip(layer.inputs, layer.rules, strict=True):
            inputs, outputs = rules[axis].step
            step = own * inputs / outputs
            if steps.setdefault(value, step) != step:
                raise TilingError(
                    f"tiles: {layer.name} cannot be computed tile by tile: its branches differ in scale"
                )
    steps.setdefault(network.source, Fraction(1))
    return steps


def _tile(tile: Any, size: tuple[int, ...], alignment: tuple[int, ...]) -> tuple[int, ...]:
    if tile is None:
        return _usual(size, alignment)
    given = tuple(tile) if isinstance(tile, (tuple, list)) else (tile,) * len(size)
    if len(given) != len(size):
        raise ValueError(f"tiles: tile is {tile!r}, but needs an integer or {len(size)} of them")
    return tuple(min(integer("tiles", "tile", t, 1), n) for t, n in zip(given, size, strict=True))


def _usual(size: tuple[int, ...], alignment: tuple[int, ...]) -> tuple[int, ...]:
    """As long in one direction as in another, but for axes that are shorter."""
    tile, left = dict[int, int](), _USUAL
    for axis in sorted(range(len(size)), key=size.__getitem__):
        side, align = round(left ** (1 / (len(size) - len(tile)))), alignment[axis]
        tile[axis] = min(-(-max(side, 1) // align) * align, size[axis])
        left = max(left // max(tile[axis], 1), 1)
    return tuple(tile[axis] for axis in range(len(size)))


def tiling(
    op: Any,
    input_shape: ShapeLike,
    tile: Any = None,
    *,
    dtype: Any = np.float32,
    algorithm: str | None = None,
) -> Tiling:
    """Cut the result of an operation or a network into tiles, each with exactly what it needs of the source.

    Parameters
    ----------
    op : callable
        A plan (`fastconv.plan_conv2d`, ...), a `functools.partial` of a function of `fastconv` or of a filter of
        `fastconv.ndimage` with all arguments but the array by name, a network of `fastconv.nn`, an ONNX model, a
        program, or a graph.
    input_shape : tuple of int
        Of the source; a network needs ``(N, C, H, W)`` (or ``(N, C, L)``), of any size.
    tile : int or tuple of int, optional
        Output pixels along each spatial axis; by default about 512 (of an image; as many pixels of a signal or a cube,
        or where an axis is shorter), less where the arrays of one tile would take more
        than a sixteenth of all memory.
    dtype : dtype
        Of the source.
    algorithm : str, optional
        For the convolutions of a network; with ``"direct"`` the values do not depend on the tiles in any bit.

    Returns
    -------
    Tiling

    Raises
    ------
    TilingError
        If a layer cannot be computed tile by tile; the message names it.
    ValueError, TypeError
        As the operation itself, or if `tile` does not fit.

    Examples
    --------
    >>> import functools, fastconv
    >>> pool = functools.partial(fastconv.max_pool2d, kernel_size=3, stride=2, padding=1)
    >>> made = fastconv.tiles.tiling(pool, (1, 1, 100, 100), tile=(25, 50))
    >>> made
    <Tiling of max_pool2d: (1, 1, 100, 100) -> (1, 1, 50, 50), 2 tiles of 25x50>
    >>> made[1].read[2], made[1].border[2], made[1].write[2]
    ((slice(49, 100, None),), (False, True), slice(25, 50, None))
    """
    return Tiling(op, input_shape, dtype, tile, algorithm)
