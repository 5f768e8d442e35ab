"""One pooling: image in, windows, backend, image out. Called by the public functions (`pool.py`, `pool_adaptive.py`,
`pool_random.py`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from fastconv import arguments
from fastconv.arguments import Pair
from fastconv.backends import resolve
from fastconv.backends.protocol import Backend
from fastconv.execution.arrays import Result, as_array, images, native
from fastconv.execution.known_calls import Given, remember
from fastconv.execution.memory import check_memory, empty, memory_errors
from fastconv.problem import options as opt
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import channel_axis, check_layout, plane_size, spatial_axes
from fastconv.problem.pooling import PoolProblem, Reducer, SlidingWindows, Windows, axis_padding, sliding
from fastconv.typing import Array, ArrayLike, BackendName, Indices, Layout, PaddingLike, PairLike

AXES = ("height", "width")


def read(op: str, x: ArrayLike, layout: Layout) -> tuple[Array, bool, Pair]:
    """The batch, whether it was one, and the size of an image."""
    check_layout(op, layout)
    array, batched = images(op, "x", x, layout)
    return array, batched, plane_size(array.shape, layout)


def read_positions(op: str, value: ArrayLike, shape: tuple[int, ...], of: str) -> NDArray[np.int64]:
    """`indices` of the `shape` that the array `of` has, wherever they lie."""
    indices = as_array(op, "indices", value)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"{op}: indices has dtype {indices.dtype}, but needs integers")
    if indices.shape != shape:
        raise ValueError(f"{op}: indices has shape {indices.shape}, but needs the shape of {of}, {shape}")
    return native(indices, np.int64)


def check_positions(op: str, positions: NDArray[np.int64], plane: Pair, place: str) -> None:
    """Refuse positions outside of a `plane`, which is that of `place`."""
    # Read as unsigned numbers, negative ones are too large: one pass finds both.
    if positions.size and positions.view(np.uint64).max() >= plane[0] * plane[1]:
        raise ValueError(
            f"{op}: indices go from {positions.min()} to {positions.max()}, but {place} of {plane[0]}x{plane[1]} "
            f"has positions 0 to {plane[0] * plane[1] - 1}"
        )


def read_indices(
    op: str, value: ArrayLike, shape: tuple[int, ...], of: str, plane: Pair, place: str
) -> NDArray[np.int64]:
    """`indices` of the `shape` that the array `of` has, all within a `plane`, which is that of `place`."""
    positions = read_positions(op, value, shape, of)
    check_positions(op, positions, plane, place)
    return positions


def sliding_windows(
    op: str,
    size: Pair,
    kernel_size: PairLike,
    stride: PairLike | None,
    padding: PaddingLike,
    dilation: PairLike = 1,
    ceil_mode: bool = False,
    **rules: bool,
) -> tuple[SlidingWindows, SlidingWindows]:
    kernel = arguments.pair(op, "kernel_size", kernel_size, 1)
    steps = kernel if stride is None else arguments.pair(op, "stride", stride, 1)
    sides = opt.padding(op, padding)
    spread = arguments.pair(op, "dilation", dilation, 1)
    up = arguments.flag(op, "ceil_mode", ceil_mode)
    rows, columns = (
        sliding(
            op,
            AXES[a],
            size[a],
            kernel[a],
            steps[a],
            axis_padding(sides, a),
            spread[a],
            up,
            **rules,
        )
        for a in (0, 1)
    )
    return rows, columns


def with_borders(
    op: str, array: Array, layout: Layout, windows: tuple[SlidingWindows, SlidingWindows]
) -> tuple[Array, tuple[SlidingWindows, SlidingWindows]]:
    """Images with the padding of a maximum around them, and the same windows in these: none is empty there."""
    pads, within = [(0, 0)] * array.ndim, []
    for axis, w in zip(spatial_axes(layout), windows, strict=True):
        before = -w.first
        after = max(0, w.first + (w.count - 1) * w.stride + w.extent - w.size)
        pads[axis] = before, after
        size = before + w.size + after
        within.append(replace(w, size=size, first=0, counted=(0, size)))
    shape = tuple(n + sum(sides) for n, sides in zip(array.shape, pads, strict=True))
    check_memory(op, shape, array.itemsize, "the padded image")
    kind = array.dtype.kind
    lowest = False if kind == "b" else np.iinfo(array.dtype).min if kind in "iu" else -np.inf
    with memory_errors(op):
        return np.pad(array, pads, constant_values=lowest), (within[0], within[1])


def check_windows(op: str, engine: Backend, problem: PoolProblem) -> None:
    """Refuse a pooling whose windows are too many for a backend that lists them."""
    if engine.lists_windows:
        planes = problem.batch * problem.channels
        listed = sum(w.count * (planes if w.own else 1) for w in (problem.rows, problem.columns))
        check_memory(op, (listed, 4), 8, "the list of windows")


@overload
def pool(
    op: str,
    array: Array,
    batched: bool,
    layout: Layout,
    windows: tuple[Windows, Windows],
    reducer: Reducer,
    *,
    out: Array | None = None,
    backend: BackendName | None = None,
    return_indices: Literal[False] = False,
    power: float = 1.0,
    uniforms: Array | None = None,
    given: Given | None = None,
    padded_from: Array | None = None,
) -> Array: ...
@overload
def pool(
    op: str,
    array: Array,
    batched: bool,
    layout: Layout,
    windows: tuple[Windows, Windows],
    reducer: Reducer,
    *,
    out: Array | None = None,
    backend: BackendName | None = None,
    return_indices: bool = False,
    power: float = 1.0,
    uniforms: Array | None = None,
    given: Given | None = None,
    padded_from: Array | None = None,
) -> Array | tuple[Array, Indices]: ...
def pool(
    op: str,
    array: Array,
    batched: bool,
    layout: Layout,
    windows: tuple[Windows, Windows],
    reducer: Reducer,
    *,
    out: Array | None = None,
    backend: BackendName | None = None,
    return_indices: bool = False,
    power: float = 1.0,
    uniforms: Array | None = None,
    given: Given | None = None,
    padded_from: Array | None = None,
) -> Array | tuple[Array, Indices]:
    """`given` are the call's options as the user wrote them, where `recall` may find it again by them; `padded_from`
    is the user's array where `array` is not."""
    engine = resolve(op, backend)
    return_indices = arguments.flag(op, "return_indices", return_indices)
    dtype = array.dtype.newbyteorder("=") if reducer == "max" else float_result(array.dtype)
    compute = compute_dtype(dtype)
    channels, size = array.shape[channel_axis(layout)], plane_size(array.shape, layout)
    problem = PoolProblem(array.shape[0], channels, size, layout, compute, *windows, reducer, power)
    shape = problem.result_shape
    if return_indices:
        check_memory(op, shape, dtype.itemsize + 8, "the result with its indices")
    result = Result(op, shape, dtype, out, array, padded_from, batched=batched)
    indices = empty(op, shape, np.dtype(np.int64), "the array of indices") if return_indices else None
    check_windows(op, engine, problem)
    if problem.batch:
        with memory_errors(op):
            engine.pool(problem, native(array, compute), result.buffer, indices, uniforms)
    if indices is None:
        if given is not None and dtype == compute == array.dtype and problem.batch:
            plain = array if batched else array[0]
            remember(engine.pool_shortcut(problem, plain.shape[:-3] + shape[1:]), op, given, backend, plain)
        return result.value()
    return result.value(), indices if batched else indices[0]
