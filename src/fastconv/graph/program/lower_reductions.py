"""Reductions along axes, the places of extremes, and normalisation by statistics as steps in C. Fills the table of
`lowering.py`.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

import fastconv.backends.cython._engine as _engine
from fastconv.graph.elements import ELEMENTS
from fastconv.graph.graph import Node, Value
from fastconv.graph.operations.shape import sizes
from fastconv.graph.program.lower_elementwise import Operand, compute
from fastconv.graph.program.lowering import (
    MOST_AXES,
    Builder,
    attributes_of,
    axis_of,
    lowers,
    merged,
    strides_of,
)
from fastconv.graph.program.operands import DTYPES, dtype_of, given, sizes_of

_HOW = _engine.reductions()
_REDUCTIONS = {
    "ReduceL1": "sum of sizes",
    "ReduceL2": "root of squares",
    "ReduceLogSum": "sum",
    "ReduceMax": "greatest",
    "ReduceMean": "mean",
    "ReduceMin": "smallest",
    "ReduceProd": "product",
    "ReduceSum": "sum",
    "ReduceSumSquare": "sum of squares",
}


@lowers(*_REDUCTIONS, "ReduceLogSumExp")
def reduction(b: Builder, node: Node) -> bool:
    x, out, dtype, axes = node.inputs[0], node.outputs[0], dtype_of(node), given(node, 1)
    assert x is not None
    assert out is not None
    if dtype is None or x.is_constant or not prod(sizes_of(x)) or (axes is not None and not axes.is_constant):
        return False
    shape = sizes_of(x)
    along = set[int]()
    for wanted in sizes(axes.constant) if axes is not None else ():
        axis = axis_of(wanted, len(shape))
        if axis is None:
            return False
        along.add(axis)
    if not along and not attributes_of(node)["noop_with_empty_axes"]:
        along = set(range(len(shape)))
    rows = _in_rows(b, x, along)
    if rows is None:
        return False
    source, outer, count, inner = rows
    parts, target = (outer, count, inner), b.place(out)
    if node.operation == "ReduceLogSumExp":
        return _log_sum_exp(b, dtype, parts, source, target)
    if node.operation != "ReduceLogSum":
        _reduce(b, dtype, parts, _REDUCTIONS[node.operation], source, target)
        return True
    total = _Place(b, (outer * inner,), x.dtype)
    _reduce(b, dtype, parts, "sum", source, total.number)
    result = Value("", x.dtype, total.value.shape)
    return compute(b, [Node("Log", [total.value], [result])], result, target, total.known, (outer * inner,))


def _in_rows(b: Builder, x: Value, along: set[int]) -> tuple[int, int, int, int] | None:
    """Where an array lies, as (outer, count, inner), with what is reduced in the middle: where it lies like that
    already, or else copied."""
    shape = sizes_of(x)
    kept = [axis for axis in range(len(shape)) if axis not in along and shape[axis] != 1]
    reduced = [axis for axis in range(len(shape)) if axis in along and shape[axis] != 1]
    between = [axis for axis in kept if reduced and reduced[0] < axis < reduced[-1]]
    if not between:
        first, last = (reduced[0], reduced[-1] + 1) if reduced else (len(shape), len(shape))
        return b.place(x), prod(shape[:first]), prod(shape[first:last]), prod(shape[last:])
    assert x.dtype is not None
    order = [*kept, *reduced]
    walk = [strides_of(shape)[axis] for axis in order]
    sizes_, (source, target) = merged(
        [shape[a] for a in order], [walk, strides_of([shape[a] for a in order])], 2
    )
    if len(sizes_) > MOST_AXES:
        return None
    place = b.scratch(tuple(shape[axis] for axis in order), x.dtype)
    b.add("copy", (x.dtype.itemsize, sizes_, source, target), [b.place(x)], place)
    return place, prod(shape[axis] for axis in kept), prod(shape[axis] for axis in reduced), 1


class _Place:
    """An array between steps, as elementwise nodes read it."""

    def __init__(self, b: Builder, shape: tuple[int, ...], dtype: Any) -> None:
        self.number, self.value = b.scratch(shape, dtype), Value("", np.dtype(dtype), shape)
        self.known = {id(self.value): Operand(self.number, shape, strides_of(shape))}


def _reduce(b: Builder, dtype: int, parts: tuple[int, int, int], how: str, source: int, target: int) -> None:
    b.add("reduce", (dtype, parts, _HOW[how]), [source], target, algorithm=how, flops=prod(parts))


def _log_sum_exp(b: Builder, dtype: int, parts: tuple[int, int, int], source: int, target: int) -> bool:
    """log(sum(exp(x - greatest))) + greatest; of an infinite one nothing is subtracted."""
    outer, _, inner = parts
    kind = b.places.values[source].dtype
    greatest, powers, total = (
        _Place(b, shape, kind) for shape in ((outer, 1, inner), parts, (outer, 1, inner))
    )
    _reduce(b, dtype, parts, "greatest", source, greatest.number)
    truth, least, difference, result, log = (
        Value("", dtype, shape)
        for dtype, shape in (
            (np.dtype(np.bool_), (outer, 1, inner)), (kind, (outer, 1, inner)), (kind, parts), (kind, parts),
            (kind, (outer, 1, inner)),
        )
    )  # fmt: skip
    x, nothing = Value("", kind, parts), Value.of("", np.zeros((), kind))
    finite = [
        Node("IsInf", [greatest.value], [truth]),
        Node("Where", [truth, nothing, greatest.value], [least]),
    ]
    known = greatest.known | {id(x): Operand(source, parts, strides_of(parts))}
    moved = [*finite, Node("Sub", [x, least], [difference]), Node("Exp", [difference], [result])]
    compute(b, moved, result, powers.number, known)
    _reduce(b, dtype, parts, "sum", powers.number, total.number)
    end = Value("", kind, (outer, 1, inner))
    added = [*finite, Node("Log", [total.value], [log]), Node("Add", [log, least], [end])]
    return compute(b, added, end, target, greatest.known | total.known, (outer, 1, inner))


@lowers("ArgMax", "ArgMin")
def places_of_extremes(b: Builder, node: Node) -> bool:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    assert out is not None
    shape, a = sizes_of(x), attributes_of(node)
    axis = axis_of(a["axis"], len(shape))
    if x.dtype not in DTYPES or axis is None or not prod(shape):
        return False
    parts = prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])
    how = "greatest" if node.operation == "ArgMax" else "smallest"
    what = DTYPES[x.dtype], parts, _HOW[how], bool(a["select_last_index"])
    b.add("places", what, [b.place(x)], b.place(out), algorithm=f"place of the {how}", flops=prod(shape))
    return True


@lowers("LayerNormalization", "GroupNormalization", "InstanceNormalization")
def normalisation(b: Builder, node: Node) -> bool:
    x, scale, bias, out = node.inputs[0], given(node, 1), given(node, 2), node.outputs[0]
    dtype = dtype_of(node)
    assert x is not None
    assert out is not None
    shape, a = sizes_of(x), attributes_of(node)
    if dtype is None or scale is None or not prod(shape) or any(node.outputs[1:]):
        return False
    if node.operation == "LayerNormalization":
        axis = axis_of(a["axis"], len(shape))
        if axis is None:
            return False
        parts, factors = (prod(shape[:axis]), 1, prod(shape[axis:]), 1), shape[axis:]
    else:
        if len(shape) < 2:
            return False
        groups = a["num_groups"] if node.operation == "GroupNormalization" else shape[1]
        if groups < 1 or shape[1] % groups:
            return False
        parts, factors = (shape[0], groups, shape[1] // groups, prod(shape[2:])), shape[1:2]
    assert x.dtype is not None
    # Statistics may be wanted in more digits than the array has.
    if "stash_type" in a and ELEMENTS[a["stash_type"]].dtype.itemsize > x.dtype.itemsize:
        return False
    if parts[2] * parts[3] * x.dtype.itemsize > _engine.MOST_ROW_BYTES:
        return False
    if any(
        value.dtype != x.dtype or sizes_of(value) != factors for value in (scale, bias) if value is not None
    ):
        return False
    reads = [b.place(x), b.place(scale), -1 if bias is None else b.place(bias)]
    b.add("normalise", (dtype, parts, float(a["epsilon"])), reads, b.place(out), flops=8 * prod(shape))
    return True
