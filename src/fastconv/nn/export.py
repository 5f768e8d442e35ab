"""A network as a graph, and what follows from that: programs, files, sums of costs.

Used by `module.py` and `stateful.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastconv.graph import Graph, Value
from fastconv.nn.core import Core, path_of
from fastconv.nn.scope import SCOPE, setting
from fastconv.nn.state import state_of
from fastconv.nn.symbols import Drawing, Symbol
from fastconv.typing import Array


def shapes_of(op: str, input_shape: Any) -> dict[str, tuple[Any, ...]]:
    """The shapes of inputs by their names: one is called ``x``, several ``x0``, ``x1``, ..."""
    if isinstance(input_shape, Mapping):
        return {str(name): tuple(shape) for name, shape in input_shape.items()}
    if not isinstance(input_shape, Sequence) or isinstance(input_shape, str) or not len(input_shape):
        raise TypeError(
            f"{op}: input_shape is {input_shape!r}, but needs a tuple of sizes, or several of them"
        )
    if isinstance(input_shape[0], Sequence) and not isinstance(input_shape[0], str):
        return {f"x{place}": tuple(shape) for place, shape in enumerate(input_shape)}
    return {"x": tuple(input_shape)}


def drawn(net: Core, op: str, input_shape: Any) -> tuple[Graph, Drawing]:
    """Call a network on symbols.

    Sizes are integers; the first, that of the batch, may also be a word or None: any.
    """
    shapes = shapes_of(op, input_shape)
    names: dict[int, str] = {}

    def name_of(array: Array) -> str:
        if id(array) not in names:
            names.update((id(value), path) for path, value in state_of(net).items())
        return names.get(id(array), "constant")

    paths = {id(module): path for path, module in net.named_modules()}

    def where() -> str:
        if not SCOPE.modules:
            return ""
        module = SCOPE.modules[-1]
        return paths[id(module)] if id(module) in paths else path_of(module)

    drawing = Drawing(name_of, where)
    inputs = {}
    for name, shape in shapes.items():
        sizes = tuple("N" if place == 0 and size is None else size for place, size in enumerate(shape))
        if not all(isinstance(size, (int, np.integer)) for size in sizes[1:]):
            raise ValueError(f"{op}: input_shape is {shape}, but only the batch may be unknown")
        sizes = tuple(int(size) if not isinstance(size, str) else size for size in sizes)
        inputs[name] = Symbol(Value(name, net.dtype, sizes))
    with setting(tracer=drawing, training=False):
        result = net(*inputs.values())
    results = result if isinstance(result, (tuple, list)) else (result,)
    outputs = dict(result) if isinstance(result, dict) else {}
    if not outputs:
        outputs = {"y" if len(results) == 1 else f"y{place}": one for place, one in enumerate(results)}
    for name, one in outputs.items():
        if not isinstance(one, Symbol):
            raise TypeError(
                f"{op}: output {name} is {type(one).__name__}, but a network needs to give arrays"
            )
    return drawing.graph(inputs, outputs, type(net).__name__), drawing


def build(net: Core, input_shape: Any, rng: Any, init: Any) -> None:
    """Make the parameters that are not there yet, by calling the network on symbols."""
    with setting(rng=np.random.default_rng(rng), initialiser=init):
        drawn(net, "build", input_shape)


def unbuilt_again(built: list[Any]) -> None:
    """Forget parameters that were made for a look."""
    for module, name in built:
        held = module.__dict__["_parameters" if name in module.__dict__["_parameters"] else "_buffers"]
        held[name] = None
