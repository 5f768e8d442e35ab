"""Primitives that move pixels to and from positions in their planes: scatter, scatter_add and gather.

Those that do not compute are compiled for unsigned integers of each size (`compile.bits`). Called by the backend.
"""

from __future__ import annotations

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import bits, kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, Layout


def scatter(values: Array, indices: Array, layout: Layout, out: Array) -> None:
    """`out` is 0 but for `values` at flat positions of their planes; the last value for a position stays."""
    _run_scatter(bits(values), indices, layout, bits(out), add=0)


def scatter_add(values: Array, indices: Array, layout: Layout, out: Array) -> None:
    """The same, but the values for a position are added, in the order in which they stand."""
    _run_scatter(values, indices, layout, out, add=1)


def _run_scatter(values: Array, indices: Array, layout: Layout, out: Array, add: int) -> None:
    last = channels_last(layout)
    channels = values.shape[3 if last else 1]
    planes = values.shape[0] * channels
    parallel.run(
        _scatter, planes, out.size + 4 * values.size, read(values), read(indices),
        channels if last else 1, values.size // planes, out.size // planes, add, write(out),
    )  # fmt: skip


@kernel
def _scatter(
    start: int, stop: int, values: Array, indices: Array, channels: int, pixels: int, out_pixels: int, add: int,
    out: Array,
) -> None:  # fmt: skip
    """An item is a plane; channels first, `channels` is 1 and planes count as images."""
    item = start
    while item < stop:
        # Planes of one image together: channels last, they are neighbours in memory.
        image, first = item // channels, item % channels
        last = min(channels, first + stop - item)
        origin = image * out_pixels
        if last - first == channels:
            clear(out, origin * channels, (origin + out_pixels) * channels)
        else:
            for p in range(origin, origin + out_pixels):
                clear(out, p * channels + first, p * channels + last)
        for p in range(image * pixels, (image + 1) * pixels):
            # Unsigned, because numba would look for negative indices.
            at, to = unsigned(p * channels + first), unsigned(origin * channels + first)
            for c in range(unsigned(last - first)):
                place = to + unsigned(indices[at + c]) * unsigned(channels) + c
                value = values[at + c]
                out[place] = out[place] + value if add == 1 else value
        item += last - first


def gather(x: Array, indices: Array, layout: Layout, out: Array) -> None:
    """``out[i]`` is the pixel at the flat position ``indices[i]`` of its plane of `x`."""
    last = channels_last(layout)
    channels = x.shape[3] if last else 1
    images = x.shape[0] if last else x.shape[0] * x.shape[1]
    parallel.run(
        _gather, out.size // channels, 2 * out.size, read(bits(x)), read(indices), channels,
        x.size // (images * channels), out.size // (images * channels), write(bits(out)),
    )  # fmt: skip


@kernel
def _gather(
    start: int, stop: int, x: Array, indices: Array, channels: int, x_pixels: int, pixels: int, out: Array
) -> None:
    """An item is a pixel of the result in all channels; channels first, planes count as images."""
    item = start
    while item < stop:
        origin = item // pixels * x_pixels
        last = min(stop, (item // pixels + 1) * pixels)
        for p in range(item, last):
            at, start = unsigned(p * channels), unsigned(origin * channels)
            for c in range(unsigned(channels)):
                out[at + c] = x[start + unsigned(indices[at + c]) * unsigned(channels) + c]
        item = last
