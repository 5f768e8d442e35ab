"""What takes elements from places that are known before a run: padding, gathering, tiling, resizing. Fills the table of
`lowering.py`.

Along each axis there is a table of sources, -1 for a value that is no element; a step does two axes that follow on each
other.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fastconv.graph.graph import Node, Value
from fastconv.graph.operations.pad import pad_sources
from fastconv.graph.operations.resize import axes_of, inputs_of
from fastconv.graph.operations.shape import sizes
from fastconv.graph.program.lower_moves import add_views
from fastconv.graph.program.lowering import Builder, attributes_of, axis_of, lowers
from fastconv.graph.program.operands import dtype_of, given, sizes_of
from fastconv.problem.resize import table_of
from fastconv.typing import Array

_ITEMS = (1, 2, 4, 8)


@lowers("Pad")
def pad(b: Builder, node: Node) -> bool:
    x, pads, value, axes, out = (
        node.inputs[0],
        given(node, 1),
        given(node, 2),
        given(node, 3),
        node.outputs[0],
    )
    assert x is not None
    assert out is not None
    if pads is None or any(known is not None and not known.is_constant for known in (pads, value, axes)):
        return False
    shape, mode, amounts = sizes_of(x), attributes_of(node)["mode"], sizes(pads.constant)
    along = list(range(len(shape))) if axes is None else [axis % len(shape) for axis in sizes(axes.constant)]
    if not prod(sizes_of(out)) or not prod(shape) or len(amounts) != 2 * len(along):
        return False
    tables: dict[int, Array] = {}
    for place, axis in enumerate(along):
        before, after = amounts[place], amounts[place + len(along)]
        if not before and not after:
            continue
        tables[axis] = pad_sources(shape[axis], before, after, mode)
    fill = 0 if value is None or not value.constant.size else value.constant.item()
    return _add_tables(b, x, out, tables, fill)


@lowers("Gather")
def gather(b: Builder, node: Node) -> bool:
    x, indices, out = node.inputs[0], given(node, 1), node.outputs[0]
    assert x is not None
    assert out is not None
    shape = sizes_of(x)
    axis = axis_of(attributes_of(node)["axis"], len(shape))
    if axis is None or indices is None or not indices.is_constant or not prod(sizes_of(out)):
        return False
    size, wanted = shape[axis], np.asarray(indices.constant, np.int64)
    if wanted.min() < -size or wanted.max() >= size:
        return False
    table = np.where(wanted < 0, wanted + size, wanted).ravel()
    steps = set(np.diff(table).tolist())
    if len(steps) <= 1:  # as a slice is
        step = steps.pop() if steps else 1
        untouched = np.empty(shape, x.dtype)
        first: list[Any] = [slice(None)] * len(shape)
        first[axis] = slice(int(table[0]), int(table[0]) + 1)
        start = untouched[tuple(first)]
        strides = list(start.strides)
        strides[axis] *= step
        sizes_ = (*shape[:axis], len(table), *shape[axis + 1 :])
        view = np.lib.stride_tricks.as_strided(start, sizes_, strides)
        return add_views(b, x, untouched, [(out, view)])
    return _add_tables(b, x, out, {axis: table}, 0)


@lowers("Tile")
def tile(b: Builder, node: Node) -> bool:
    x, repeats, out = node.inputs[0], given(node, 1), node.outputs[0]
    assert x is not None
    assert out is not None
    shape = sizes_of(x)
    if repeats is None or not repeats.is_constant or not prod(sizes_of(out)):
        return False
    counts = sizes(repeats.constant)
    if len(counts) != len(shape):
        return False
    untouched = np.empty(shape, x.dtype)
    apart = untouched.reshape([size for each in shape for size in (1, each)])
    whole = [size for count, each in zip(counts, shape, strict=True) for size in (count, each)]
    return add_views(b, x, untouched, [(out, np.broadcast_to(apart, whole))])


@lowers("Resize")
def resize(b: Builder, node: Node) -> bool:
    """Axis by axis, what makes the image smaller first; where each output is an input, by tables of these."""
    x, out, dtype = node.inputs[0], node.outputs[0], dtype_of(node)
    assert x is not None
    assert out is not None
    a = attributes_of(node)
    places_mode = a["coordinate_transformation_mode"]
    known = [None if value is None else value.constant for value in (*node.inputs[1:], None, None, None)]
    if places_mode == "tf_crop_and_resize" or not prod(sizes_of(x)) or not prod(sizes_of(out)):
        return False
    if any(value is not None and not value.is_constant for value in node.inputs[2:]):
        return False
    shape = sizes_of(x)
    axes = axes_of(shape, a["axes"], known[1], known[2], None, a["keep_aspect_ratio_policy"])
    changing = sorted((axis.count / axis.size, number) for number, axis in axes.items() if axis.changes)
    how = (
        a["mode"],
        a["nearest_mode"],
        a["cubic_coeff_a"],
        bool(a["antialias"]),
        bool(a["exclude_outside"]),
    )
    seen = {number: inputs_of(axes[number], axes[number].places(places_mode), *how) for _, number in changing}
    if all(weights is None for _, weights in seen.values()):
        return _add_tables(b, x, out, {number: index[:, 0] for number, (index, _) in seen.items()}, 0)
    if dtype is None:
        return False
    source = b.place(x)
    for place, (_, number) in enumerate(changing):
        axis = axes[number]
        index, weights = seen[number]
        taps = table_of(index, np.ones(index.shape) if weights is None else weights)
        sizes = prod(shape[:number]), axis.size, axis.count, prod(shape[number + 1 :])
        shape = (*shape[:number], axis.count, *shape[number + 1 :])
        last = place == len(changing) - 1
        target = b.place(out) if last else b.scratch(shape, x.dtype)
        tables = np.ascontiguousarray(taps.starts), np.ascontiguousarray(taps.counts)
        what = dtype, sizes, *tables, np.ascontiguousarray(taps.weights, x.dtype)
        flops = 2 * prod(shape) * taps.weights.shape[1]
        b.add("resample", what, [source], target, flops=flops)
        source = target
    return True


def _add_tables(b: Builder, x: Value, out: Value, tables: dict[int, Array], fill: Any) -> bool:
    """Steps that take along each of some axes what a table says."""
    assert x.dtype is not None
    shape, dtype = sizes_of(x), x.dtype
    if dtype.itemsize not in _ITEMS:
        return False
    if not tables:
        untouched = np.empty(shape, dtype)
        return add_views(b, x, untouched, [(out, untouched)])
    pairs: list[tuple[int, ...]] = []
    for axis in sorted(tables):
        if pairs and pairs[-1] == (axis - 1,):
            pairs[-1] = axis - 1, axis
        else:
            pairs.append((axis,))
    # What makes the array smaller comes first.
    pairs.sort(key=lambda pair: prod(len(tables[a]) / shape[a] for a in pair))
    source, value = b.place(x), np.array(fill).astype(dtype).tobytes()
    for place, pair in enumerate(pairs):
        first, last = pair[0], pair[-1]
        rows = tables[first] if len(pair) > 1 else np.zeros(1)
        parts = (
            prod(shape[:first]),
            shape[first] if len(pair) > 1 else 1,
            shape[last],
            prod(shape[last + 1 :]),
        )
        shape = tuple(len(tables[a]) if a in pair else size for a, size in enumerate(shape))
        target = b.place(out) if place == len(pairs) - 1 else b.scratch(shape, dtype)
        both = [np.ascontiguousarray(table, np.int64) for table in (rows, tables[last])]
        b.add("pad", (dtype.itemsize, parts, *both, value), [source], target, algorithm="copy")
        source = target
    return True
