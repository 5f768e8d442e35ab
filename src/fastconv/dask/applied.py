"""An operation or a network on a dask array: which chunks each chunk of the result needs, and its task."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph

from fastconv.dask.threads import threads_of_a_task
from fastconv.settings.threads import num_threads
from fastconv.tiles import Tiling, tiling
from fastconv.tiles.axes import Interval
from fastconv.tiles.blocks import Mosaic, Piece
from fastconv.tiles.journal import fingerprint
from fastconv.tiles.tiled import described, opened
from fastconv.typing import Array

_MARGIN = 1.25  # so many times its size a result may keep

# A chunk of the input along an axis, and the pixels of it that are needed.
Needed = tuple[int, Piece]


@dataclass(frozen=True)
class Block:
    """What a task makes.

    Attributes
    ----------
    parts : list of slice
        Its place in the result, along the spatial axes.
    pieces : list of list of Piece
        For each spatial axis, the pixels that are needed of the chunks it is given.
    """

    parts: list[slice]
    pieces: list[list[Piece]]


def apply(op: Any, x: Any, *, algorithm: str | None = None) -> Any:
    """An operation or a network on a dask array.

    Parameters
    ----------
    op : callable
        As for `fastconv.tiles.tiling`: a network of `fastconv.nn`, an ONNX model, a program, a graph, a plan, or a
        `functools.partial` of a function of `fastconv` or of a filter of `fastconv.ndimage` with all arguments but
        the array by name.
    x : dask.array.Array
        A network needs ``(N, C, H, W)`` or ``(N, C, L)``. The channels are in one chunk, but for filters; all others
        may be of any size.
    algorithm : str, optional
        For the convolutions of a network; ``"direct"`` gives the same bits whatever the chunks.

    Returns
    -------
    dask.array.Array
        With a chunk for each of `x`'s, as far as there are as many pixels, and one task for each.

    Raises
    ------
    TilingError
        If a layer cannot be computed chunk by chunk; the message names it.
    ValueError, TypeError
        As the operation itself, or if `x` is no dask array, its chunks are not known, or its channels are in several.

    Examples
    --------
    >>> import dask.array as da, fastconv, fastconv.dask, numpy as np
    >>> plan = fastconv.plan_conv2d(np.ones((4, 1, 3, 3), np.float32), padding=1, padding_mode="reflect")
    >>> x = da.ones((2, 1, 20, 20), chunks=(1, 1, 8, 20), dtype=np.float32)
    >>> fastconv.dask.apply(plan, x).chunks
    ((1, 1), (4,), (8, 8, 4), (20,))
    """
    if not isinstance(x, da.Array):
        raise TypeError(f"fastconv.dask: x is {type(x).__name__}, but needs to be a dask array")
    if any(math.isnan(size) for size in x.shape):
        raise ValueError(
            f"fastconv.dask: x has chunks of unknown sizes {x.chunks}; needs x.compute_chunk_sizes()"
        )
    op = opened(op, x.shape)  # pyright: ignore  (dask's types)
    made = tiling(op, x.shape, dtype=x.dtype, algorithm=algorithm)  # pyright: ignore  (dask's types)
    axes = [axis % x.ndim for axis in made.axes]
    batch = [0] if x.ndim > len(axes) + 1 else []
    for axis in range(x.ndim):
        if axis not in (*axes, *batch) and len(x.chunks[axis]) > 1:
            raise ValueError(
                f"fastconv.dask: the channels, axis {axis}, are in chunks of {x.chunks[axis]}, but need to be in one: "
                f"x.rechunk({{{axis}: -1}})"
            )
    along = [_along(made, number, x.chunks[axis]) for number, axis in enumerate(axes)]
    name = f"{made.name}-{fingerprint(x.name, x.chunks, described(op), algorithm)}"
    chunks: list[tuple[int, ...]] = [(size,) for size in made.output_shape]
    shift = len(made.output_shape) - x.ndim  # a network may drop the axis of the channels
    for axis, parts in zip(axes, along, strict=True):
        chunks[axis + shift] = tuple(part.stop - part.start for part, _ in parts)
    for axis in batch:
        chunks[axis] = x.chunks[axis]
    tasks = _tasks(name, x, axes, along, batch, [axis + shift for axis in axes], len(chunks))
    tasks[f"{name}-tiling"] = made
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[x])  # pyright: ignore  (dask's types)
    return da.Array(graph, name, tuple(chunks), meta=np.empty((0,) * len(chunks), made.dtype))  # pyright: ignore  (dask's types)


def _along(made: Tiling, axis: int, chunks: Sequence[int]) -> list[tuple[slice, list[Needed]]]:
    """The chunks of the result along an axis, and what each needs of those of the input."""
    ends = list(itertools.accumulate(chunks))
    count, per_pixel = made.output_shape[made.axes[axis]], made.steps[axis]
    bounds = [min(math.ceil(end / per_pixel), count) for end in ends[:-1]]
    result = []
    for start, stop in itertools.pairwise([0, *bounds, count]):
        if start < stop:
            result.append((slice(start, stop), _needed(made.needs(axis, start, stop), chunks, ends)))
    return result


def _needed(needed: list[Interval], chunks: Sequence[int], ends: Sequence[int]) -> list[Needed]:
    pieces: list[Needed] = []
    for low, high in needed:
        for chunk, (size, end) in enumerate(zip(chunks, ends, strict=True)):
            start = end - size
            first, last = max(low, start), min(high, end)
            if first < last:
                pieces.append((chunk, Piece(first, last, len(pieces), first - start)))
    return pieces


def _tasks(
    name: str,
    x: Any,
    axes: list[int],
    along: list[list[tuple[slice, list[Needed]]]],
    batch: list[int],
    places: list[int],
    rank: int,
) -> dict[Any, Any]:
    images = range(len(x.chunks[0])) if batch else range(1)
    tasks: dict[Any, Any] = {}
    for image, *numbers in itertools.product(images, *(range(len(parts)) for parts in along)):
        own = [parts[number] for parts, number in zip(along, numbers, strict=True)]
        keys = []
        for pieces in itertools.product(*(pieces for _, pieces in own)):
            key = [0] * x.ndim
            for axis, (number, _) in zip(axes, pieces, strict=True):
                key[axis] = number
            if batch:
                key[0] = image
            keys.append((x.name, *key))
        place = [0] * rank
        for axis, number in zip(places, numbers, strict=True):
            place[axis] = number
        if batch:
            place[0] = image
        block = Block([part for part, _ in own], [[part for _, part in pieces] for _, pieces in own])
        tasks[name, *place] = (compute, f"{name}-tiling", block, *keys)
    return tasks


def compute(made: Tiling, block: Block, *chunks: Array) -> Array:
    """The task."""
    grid = itertools.product(*(range(len(along)) for along in block.pieces))
    mosaic = Mosaic(made.axes, dict(zip(grid, map(np.asarray, chunks), strict=True)), block.pieces)
    with num_threads(threads_of_a_task()):
        result = made.region(block.parts, lambda _: mosaic)
    # A view would keep all of what it was cut from, or be an input, which others have, too.
    cut = isinstance(result.base, np.ndarray) and result.base.nbytes > _MARGIN * result.nbytes
    return result.copy() if cut or any(np.may_share_memory(result, chunk) for chunk in chunks) else result
