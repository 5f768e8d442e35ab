"""Sizes and enums as the kernels take them; used by the backend."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.problem.layout import channel_axis, channels_last
from fastconv.problem.pooling import AdaptiveWindows, PoolProblem, SlidingWindows, Windows
from fastconv.typing import Array, Layout

# In the order of the enums of fastconv.h.
LAYOUTS = {"NCHW": 0, "NHWC": 1}
_REDUCERS = ("max", "sum", "power", "sample", "weighted")
ELEMENT_TYPES = {
    np.dtype(name): number
    for number, name in enumerate(("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"))
}
ELEMENT_TYPES[np.dtype(bool)] = ELEMENT_TYPES[np.dtype(np.uint8)]


def planes(x: Array, layout: Layout) -> tuple[int, int, int]:
    """Batch, channels and pixels of a plane."""
    batch, channels = x.shape[0], x.shape[channel_axis(layout)]
    return batch, channels, x.size // (batch * channels)


def places(values: Array, image: Array, layout: Layout) -> tuple[int, int, int, int]:
    """Batch, channels, values of a plane, and pixels of a plane that they have places in."""
    return *planes(values, layout), planes(image, layout)[2]


def pixels(x: Array, layout: Layout) -> tuple[int, ...]:
    """Planes of pixels, their height and width, and the elements of a pixel."""
    return x.shape if channels_last(layout) else (x.shape[0] * x.shape[1], *x.shape[2:], 1)


def pool_arguments(
    problem: PoolProblem,
) -> tuple[tuple[int, ...], tuple[Any, ...], tuple[Any, ...], int, int, int, float]:
    """The first arguments of the engine's `pool` and `PoolShortcut`."""
    return (
        (problem.batch, problem.channels, *problem.size), _windows(problem.rows), _windows(problem.columns),
        LAYOUTS[problem.layout], ELEMENT_TYPES[problem.dtype], _REDUCERS.index(problem.reducer), problem.power,
    )  # fmt: skip


def _windows(w: Windows) -> tuple[tuple[float, ...], Array | None]:
    """The numbers of fc_windows, and the samples of fractional windows."""
    if isinstance(w, SlidingWindows):
        numbers = w.size, w.count, w.step, w.kernel, w.stride, w.first, *w.counted, w.unit, w.divisor or 0.0
        return (0, *numbers), None
    if isinstance(w, AdaptiveWindows):
        return (1, w.size, w.count, w.step, 0, 0, 0, 0, 0, 1.0, 0.0), None
    return (2, w.size, w.count, w.step, w.kernel, 0, 0, 0, 0, 1.0, 0.0), np.ascontiguousarray(w.samples)
