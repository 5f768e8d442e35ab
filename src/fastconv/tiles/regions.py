"""What a tile needs of every value of a network, and the network run on just that.

Along each axis a value is needed in a few intervals: one, or where a circular border lets both ends of an axis be seen,
two. A value is kept as one array of these, side by side; the source may be in several.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from fastconv.backends import use_backend
from fastconv.tiles.axes import Cut, Interval, merged
from fastconv.tiles.blocks import Mosaic, part_of
from fastconv.tiles.layers import Layer, Network
from fastconv.typing import Array

# Gives the pixels of the source in these intervals of each axis: side by side, or wherever they are.
Read = Callable[[tuple[list[Interval], ...]], Array | Mosaic]


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

    def mosaic(array: Array, value: int) -> Mosaic:
        made = Mosaic.of(array, network.axes, [plan.needed[value] for plan in plans])
        if weights is not None:
            weights[value] = made.pixel_bytes()
        return made

    source = read(tuple(plan.needed[network.source] for plan in plans))
    if network.dtype is not None and source.dtype != network.dtype:
        source = (source.whole() if isinstance(source, Mosaic) else source).astype(network.dtype)
    values = {network.source: source if isinstance(source, Mosaic) else mosaic(source, network.source)}
    del source  # or it would be kept to the end
    last = {value: place for place, layer in enumerate(network.layers) for value in layer.inputs}
    with use_backend(network.backend) if network.backend else nullcontext(), np.errstate(all="ignore"):
        for place, layer in enumerate(network.layers):
            for value, array in zip(layer.outputs, _layer(network, layer, place, plans, values), strict=True):
                values[value] = mosaic(array, value)
            for value in {*layer.inputs, *layer.outputs}:
                if last.get(value, -1) <= place and value != network.result:
                    del values[value]
    return values[network.result].whole()


def _layer(
    network: Network, layer: Layer, place: int, plans: Sequence[AxisPlan], values: dict[int, Mosaic]
) -> list[Array]:
    """The outputs of a layer, in as many pieces as there are intervals, put together."""
    parts = [plan.needed[layer.outputs[0]] for plan in plans]
    pieces = list(itertools.product(*(range(len(along)) for along in parts)))
    results: list[Array] = []
    for piece in pieces:
        cuts = [plan.cuts[place][number] for plan, number in zip(plans, piece, strict=True)]
        by_input: list[tuple[Cut, ...]] = list(zip(*cuts, strict=True))
        blocks = [
            values[value].block([cut.stretches() for cut in along], layer.fill)
            for value, along in zip(layer.inputs, by_input, strict=True)
        ]
        made = layer.run(blocks, by_input)
        wanted = [
            (cut.skip, cut.skip + along[number][1] - along[number][0])
            for cut, along, number in zip(by_input[0], parts, piece, strict=True)
        ]
        outputs = made if isinstance(made, tuple) else (made,)
        own = [part_of(y, network.axes, wanted) for y in outputs[: len(layer.outputs)]]
        if len(pieces) == 1:
            return own
        results = results or [_room(y, network.axes, parts) for y in own]
        where = [_place(along, number) for along, number in zip(parts, piece, strict=True)]
        for whole, y in zip(results, own, strict=True):
            part_of(whole, network.axes, where)[...] = y
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
