"""A network as tiles see it: layers with a rule for each input and axis. Made by `operations.py` and `graphs.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastconv.tiles.axes import Cut, Rule
from fastconv.typing import Array, BackendName

# The blocks that the inputs are cut to, and for each input the cuts along the axes, to the outputs of these.
Run = Callable[[list[Array], list[tuple[Cut, ...]]], Any]


class TilingError(ValueError):
    """A network that cannot be computed tile by tile, or a tile that does not fit; names the layer."""


@dataclass(eq=False)
class Layer:
    """One step.

    Attributes
    ----------
    name : str
        For errors.
    inputs, outputs : list of int
        Numbers of values; the outputs have one size.
    rules : list of tuple of Rule
        For each input, a rule for each axis.
    run : callable
    fill : float, optional
        What is outside the image, where padding is put around the blocks before `run` sees them.
    inner : int
        Bytes of arrays that `run` makes for itself, for each output pixel.
    """

    name: str
    inputs: list[int]
    outputs: list[int]
    rules: list[tuple[Rule, ...]]
    run: Run
    fill: float | None = None
    inner: int = 0


@dataclass(eq=False)
class Network:
    """Layers in an order in which they can run, from one value to one value.

    Attributes
    ----------
    axes : tuple of int
        The spatial axes of every value, from the end.
    size : tuple of int
        Of the input, along these axes.
    backend : str, optional
        What it runs on; None is the current one.
    dtype : dtype, optional
        What the input is converted to.
    """

    name: str
    axes: tuple[int, ...]
    size: tuple[int, ...]
    layers: list[Layer] = field(default_factory=list)
    source: int = 0
    result: int = 0
    backend: BackendName | None = None
    dtype: Any = None

    @property
    def output_size(self) -> tuple[int, ...]:
        sizes = {self.source: self.size}
        for layer in self.layers:
            sizes.update(dict.fromkeys(layer.outputs, tuple(rule.count for rule in layer.rules[0])))
        return sizes[self.result]


def refuse(name: str, why: str) -> TilingError:
    return TilingError(f"tiles: {name} cannot be computed tile by tile: {why}")


def per_axis(cuts: Sequence[Cut]) -> tuple[tuple[int, int], ...]:
    """The padding that a layer puts around its block itself."""
    return tuple((cut.before, cut.after) for cut in cuts)
