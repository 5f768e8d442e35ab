"""What a tile needs of every value of a network, and the network run on just that.

Along each axis a value is needed in a few intervals: one, or where a circular border lets both ends of an axis be seen,
two. A value is kept as one array of these, side by side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv.backends import use_backend
from fastconv.problem.dtypes import float_result
from fastconv.tiles.axes import Cut, Interval, merged
from fastconv.tiles.layers import Layer, Network
from fastconv.typing import Array

# Gives the pixels of the source in these intervals of each axis, side by side.
Read = Callable[[tuple[list[Interval], ...]], Array]


@dataclass(frozen=True)
class AxisPlan:
    """One axis of a tile.

    Attributes
    ----------
    needed : dict of int to list
        The intervals of each value.
    cuts : list of list
        For each layer and each interval of its outputs, the cut of each input.
    """

    needed: dict[int, list[Interval]]
    cuts: list[list[tuple[Cut, ...]]]


def axis_plan(network: Network, axis: int, start: int, stop: int) -> AxisPlan:
    """From the outputs back to the source."""
    wanted: dict[int, list[Interval]] = {network.result: [(start, stop)]}
    cuts: list[list[tuple[Cut, ...]]] = []
    needed: dict[int, list[Interval]] = {}
    for layer in reversed(network.layers):
        outputs = merged([part for value in layer.outputs for part in wanted.pop(value, [])])
        needed.update(dict.fromkeys(layer.outputs, outputs))
        own = [tuple(rules[axis].cut(*part) for rules in layer.rules) for part in outputs]
        cuts.append(own)
        for part in own:
            for value, cut in zip(layer.inputs, part, strict=True):
                wanted.setdefault(value, []).extend(cut.reads())
    needed[network.source] = merged(wanted[network.source])
    return AxisPlan(needed, cuts[::-1])


def compute(
    network: Network, plans: Sequence[AxisPlan], read: Read, weights: dict[int, int] | None = None
) -> Array:
    """The outputs that the plans are for; into `weights` go the bytes that a pixel of each value takes."""
    source = read(tuple(plan.needed[network.source] for plan in plans))
    if network.dtype is not None:
        source = source.astype(network.dtype, copy=False)
    values = {network.source: source}
    if weights is not None:
        weights[network.source] = _weight(source, network.axes)
    del source  # or it would be kept to the end
    last = {value: place for place, layer in enumerate(network.layers) for value in layer.inputs}
    with use_backend(network.backend) if network.backend else nullcontext(), np.errstate(all="ignore"):
        for place, layer in enumerate(network.layers):
            results = _layer(network, layer, place, plans, values)
            values.update(zip(layer.outputs, results, strict=True))
            if weights is not None:
                weights.update(
                    (v, _weight(y, network.axes)) for v, y in zip(layer.outputs, results, strict=True)
                )
            for value in {*layer.inputs, *layer.outputs}:
                if last.get(value, -1) <= place and value != network.result:
                    del values[value]
    return values[network.result]


def _layer(
    network: Network, layer: Layer, place: int, plans: Sequence[AxisPlan], values: dict[int, Array]
) -> list[Array]:
    """The outputs of a layer, in as many pieces as there are intervals, put together."""
    parts = [plan.needed[layer.outputs[0]] for plan in plans]
    pieces = list(itertools.product(*(range(len(along)) for along in parts)))
    results: list[Array] = []
    for piece in pieces:
        cuts = [plan.cuts[place][number] for plan, number in zip(plans, piece, strict=True)]
        by_input: list[tuple[Cut, ...]] = list(zip(*cuts, strict=True))
        blocks = [
            _block(values[value], network.axes, [plan.needed[value] for plan in plans], along, layer.fill)
            for value, along in zip(layer.inputs, by_input, strict=True)
        ]
        made = layer.run(blocks, by_input)
        wanted = [
            (cut.skip, cut.skip + along[number][1] - along[number][0])
            for cut, along, number in zip(by_input[0], parts, piece, strict=True)
        ]
        outputs = made if isinstance(made, tuple) else (made,)
        own = [_part(y, network.axes, wanted) for y in outputs[: len(layer.outputs)]]
        if len(pieces) == 1:
            return own
        results = results or [_room(y, network.axes, parts) for y in own]
        where = [_place(along, number) for along, number in zip(parts, piece, strict=True)]
        for whole, y in zip(results, own, strict=True):
            _part(whole, network.axes, where)[...] = y
    return results


def _room(piece: Array, axes: tuple[int, ...], parts: list[list[Interval]]) -> Array:
    shape = list(piece.shape)
    for axis, along in zip(axes, parts, strict=True):
        shape[axis] = sum(stop - start for start, stop in along)
    return np.empty(shape, piece.dtype)


def _place(along: list[Interval], number: int) -> Interval:
    """Where the pixels of an interval are among those of all."""
    before = sum(stop - start for start, stop in along[:number])
    return before, before + along[number][1] - along[number][0]


def _part(x: Array, axes: tuple[int, ...], parts: Sequence[Interval]) -> Array:
    index = [slice(None)] * x.ndim
    for axis, part in zip(axes, parts, strict=True):
        index[axis] = slice(*part)
    cut: Array = x[tuple(index)]
    return cut


def _block(
    x: Array, axes: tuple[int, ...], held: list[list[Interval]], cuts: Sequence[Cut], fill: float | None
) -> Array:
    """The pixels that the cuts say, of a value of which the intervals `held` are there."""
    parts, sides = [], []
    for have, cut in zip(held, cuts, strict=True):
        if cut.places is None:
            shift = _shift(have, cut.start)
            parts.append((cut.start + shift, cut.stop + shift))
        else:
            parts.append((0, sum(stop - start for start, stop in have)))
        sides.append((cut.before, cut.after))
    block = _part(x, axes, parts)
    if fill is None:
        return block
    if block.dtype.kind in "biu" and fill and not _holds(block.dtype, fill):
        block = block.astype(float_result(block.dtype))  # as the convolution would before it pads
    if any(map(any, sides)):
        block = _filled(block, axes, sides, fill)
    for axis, have, cut in zip(axes, held, cuts, strict=True):
        if cut.places is not None:
            block = _taken(block, axis, have, cut.places, fill)
    return block


def _shift(held: list[Interval], start: int) -> int:
    """From a pixel's place in the image to its place among those that are there."""
    total = 0
    for first, stop in held:
        if start < stop:
            return total - first
        total += stop - first
    raise AssertionError(f"pixel {start} is not in {held}")


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    with np.errstate(invalid="ignore"):
        return bool(np.array(value).astype(dtype) == value)


def _filled(block: Array, axes: tuple[int, ...], sides: Sequence[tuple[int, int]], fill: float) -> Array:
    widths = [(0, 0)] * block.ndim
    for axis, pair in zip(axes, sides, strict=True):
        widths[axis] = pair
    return np.pad(block, widths, constant_values=fill)


def _taken(block: Array, axis: int, held: list[Interval], places: Any, fill: float) -> Array:
    pixels = np.concatenate([np.arange(*part) for part in held])
    outside = places < 0
    result: Array = np.take(block, np.searchsorted(pixels, np.where(outside, pixels[0], places)), axis)
    if outside.any():
        where: list[Any] = [slice(None)] * block.ndim
        where[axis] = outside
        result[tuple(where)] = fill
    return result


def _weight(x: Array, axes: tuple[int, ...]) -> int:
    """The bytes of a pixel, all its channels together."""
    pixels = math.prod(x.shape[axis] for axis in axes)
    return int(x.nbytes // pixels)


def bytes_of(network: Network, plans: Sequence[AxisPlan], weights: dict[int, int]) -> int:
    """The most that values of the network take together while a tile is computed."""

    def pixels(value: int) -> int:
        return math.prod(sum(stop - start for start, stop in plan.needed[value]) for plan in plans)

    def held(value: int) -> int:
        return weights[value] * pixels(value)

    last = {value: place for place, layer in enumerate(network.layers) for value in layer.inputs}
    alive = most = held(network.source)
    for place, layer in enumerate(network.layers):
        made = sum(map(held, layer.outputs))
        copies = sum(map(held, layer.inputs)) if layer.fill is not None else 0
        most = max(most, alive + made + copies + layer.inner * pixels(layer.outputs[0]))
        gone = {value for value in {*layer.inputs, *layer.outputs} if last.get(value, -1) <= place}
        alive += made - sum(held(value) for value in gone if value != network.result)
    return most
