"""What nodes and values say of themselves, as the lowering asks."""

from __future__ import annotations

from typing import cast

import numpy as np

from fastconv.graph.graph import Node, Value

DTYPES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1}


def sizes_of(value: Value) -> tuple[int, ...]:
    """A shape that is known in full."""
    assert value.shape is not None
    return cast("tuple[int, ...]", value.shape)


def given(node: Node, place: int) -> Value | None:
    """An input of a node, None where it is not there."""
    return node.inputs[place] if place < len(node.inputs) else None


def dtype_of(node: Node) -> int | None:
    """The number of the float dtype that a node's first input and output have; None for any other."""
    x, y = node.inputs[0], node.outputs[0]
    if x is None or y is None or x.dtype != y.dtype or x.dtype is None:
        return None
    return DTYPES.get(x.dtype)
