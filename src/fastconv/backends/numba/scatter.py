"""Primitives that move pixels to and from positions in their planes: scatter, scatter_add and gather.

Those that do not compute are compiled for unsigned integers of each size (`compile.bits`). Called by the backend.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import bits, device, kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear
from fastconv.backends.numba.totals import PART, add_part
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, Layout

# How many values may be added at one place one after the other. Where it gets more, as windows that large are rare, all
# are added again, in totals.
_MOST = 4 * PART


def scatter(values: Array, indices: Array, layout: Layout, out: Array) -> None:
    """`out` is 0 but for `values` at flat positions of their planes; the last value for a position stays."""
    _run(_scatter, bits(values), indices, layout, bits(out))


def scatter_add(values: Array, indices: Array, layout: Layout, out: Array) -> None:
    """The same, but the values for a position are added, in the order in which they stand."""
    _run(_scatter_add, values, indices, layout, out)


def _run(compute: Callable[..., None], values: Array, indices: Array, layout: Layout, out: Array) -> None:
    last = channels_last(layout)
    channels = values.shape[3 if last else 1]
    planes = values.shape[0] * channels
    parallel.run(
        compute, planes, out.size + 4 * values.size, read(values), read(indices),
        channels if last else 1, values.size // planes, out.size // planes, write(out),
    )  # fmt: skip


@device
def _clear(out: Array, image: int, first: int, last: int, channels: int, out_pixels: int) -> None:
    """Channels from `first` to `last` of an image."""
    origin = image * out_pixels
    if last - first == channels:
        clear(out, origin * channels, (origin + out_pixels) * channels)
    else:
        for p in range(origin, origin + out_pixels):
            clear(out, p * channels + first, p * channels + last)


@kernel
def _scatter(
    start: int,
    stop: int,
    values: Array,
    indices: Array,
    channels: int,
    pixels: int,
    out_pixels: int,
    out: Array,
) -> None:
    """An item is a plane; channels first, `channels` is 1 and planes count as images."""
    item = start
    while item < stop:
        # Planes of one image together: channels last, they are neighbours in memory.
        image, first = item // channels, item % channels
        last = min(channels, first + stop - item)
        _clear(out, image, first, last, channels, out_pixels)
        for p in range(image * pixels, (image + 1) * pixels):
            # Unsigned, because numba would look for negative indices.
            at, to = unsigned(p * channels + first), unsigned(image * out_pixels * channels + first)
            for c in range(unsigned(last - first)):
                out[to + unsigned(indices[at + c]) * unsigned(channels) + c] = values[at + c]
        item += last - first


@kernel
def _scatter_add(
    start: int,
    stop: int,
    values: Array,
    indices: Array,
    channels: int,
    pixels: int,
    out_pixels: int,
    out: Array,
) -> None:
    """Items as above."""
    counts = np.empty(out_pixels * min(channels, stop - start), np.uint8)
    item = start
    while item < stop:
        image, first = item // channels, item % channels
        count = min(channels - first, stop - item)
        origin, wide, n = unsigned(image * out_pixels * channels + first), unsigned(channels), unsigned(count)
        _clear(out, image, first, first + count, channels, out_pixels)
        clear(counts, 0, out_pixels * count)
        most = np.uint8(0)
        for p in range(image * pixels, (image + 1) * pixels):
            at = unsigned(p * channels + first)
            for c in range(n):
                place = unsigned(indices[at + c])
                out[origin + place * wide + c] += values[at + c]
                # It passes `_MOST` before it begins anew.
                readings = np.uint8(counts[place * n + c] + 1)
                counts[place * n + c] = readings
                most = max(most, readings)
        if most > _MOST:
            _add_totals(values, indices, image, first, count, channels, pixels, out_pixels, out)
        item += count


@device
def _add_totals(
    values: Array, indices: Array, image: int, first: int, count: int, channels: int, pixels: int,
    out_pixels: int, out: Array,
) -> None:  # fmt: skip
    origin, wide, n = unsigned(image * out_pixels * channels + first), unsigned(channels), unsigned(count)
    rests = np.empty(out_pixels * count, out.dtype)
    clear(rests, 0, rests.size)
    _clear(out, image, first, first + count, channels, out_pixels)
    for p in range(image * pixels, (image + 1) * pixels):
        at = unsigned(p * channels + first)
        for c in range(n):
            place = unsigned(indices[at + c])
            to, own = origin + place * wide + c, place * n + c
            out[to], rests[own] = add_part(out[to], rests[own], values[at + c])
    for place in range(unsigned(out_pixels)):
        for c in range(n):
            out[origin + place * wide + c] += rests[place * n + c]


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
