"""What moves numbers, and what normalises them, as steps in C. Fills the table of `lowering.py`.

How the elements of a result lie in the input is asked of NumPy: the operation runs on memory that nobody touches, and
what comes out is a view of it, with strides.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fastconv.graph.graph import Node, Value
from fastconv.graph.operations import TABLE
from fastconv.graph.operations.shape import to_depth, to_space
from fastconv.graph.program.lowering import (
    MOST_AXES,
    Builder,
    attributes_of,
    axis_of,
    is_same_in_both,
    lowers,
    merged,
    order_in,
    strides_in,
    strides_of,
    transposes_to,
)
from fastconv.graph.program.operands import dtype_of, sizes_of
from fastconv.problem.layout import channels_last, other_layout
from fastconv.typing import Array, Layout


@lowers("Expand", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")
def rearranged(b: Builder, node: Node) -> bool:
    x = node.inputs[0]
    assert x is not None
    if any(value is not None and not value.is_constant for value in node.inputs[1:]):
        return False
    if _is_no_move(b, node):
        return True
    operation = TABLE[node.operation]
    untouched = np.empty(sizes_of(x), x.dtype)
    constants = [None if value is None else value.constant for value in node.inputs[1:]]
    counted = {"outputs": len(node.outputs)} if operation.counts_outputs else {}
    results = operation.run(untouched, *constants, **node.attributes, **counted)
    if not isinstance(results, tuple):
        results = (results,)
    pairs = [(value, view) for value, view in zip(node.outputs, results, strict=False) if value is not None]
    return add_views(b, x, untouched, pairs)


def _is_no_move(b: Builder, node: Node) -> bool:
    """Let what a Transpose makes be where its input is, if one of them has its channels last."""
    x, out, turned = node.inputs[0], node.outputs[0], transposes_to(node)
    if turned is None or x is None or out is None or x.dtype is None:
        return False
    to_last = channels_last(turned)
    if not channels_last(b.layout(out if to_last else x)):
        return False
    source, target = b.place(x, other_layout(turned)), b.place(out, b.layout(out))
    if target != b.places.of(out) or not b.places.view(out, source, 0):
        b.add("copy", (x.dtype.itemsize, [1, prod(sizes_of(x))], [0, 1], [0, 1]), [source], target)
    return True


@lowers("DepthToSpace", "SpaceToDepth", "fastconv.ChannelShuffle")
def blocks(b: Builder, node: Node) -> bool:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    assert out is not None
    if len(sizes_of(x)) != 4:
        return False
    n, c, h, w = sizes_of(x)
    a, layout = attributes_of(node), b.layout(out)
    if channels_last(layout):
        untouched = np.empty((n, h, w, c), x.dtype)
        view: Any = untouched.reshape(n, h, w, a["groups"], c // a["groups"]).swapaxes(3, 4)
        return add_views(b, x, untouched, [(out, view)], layout)
    untouched = np.empty((n, c, h, w), x.dtype)
    if node.operation == "fastconv.ChannelShuffle":
        view = untouched.reshape(n, a["groups"], c // a["groups"], h, w).swapaxes(1, 2)
    else:
        view = (to_space if node.operation == "DepthToSpace" else to_depth)(
            untouched, a["blocksize"], a["mode"]
        )
    return add_views(b, x, untouched, [(out, view)])


def add_views(
    b: Builder, x: Value, untouched: Array, pairs: list[tuple[Value, Any]], layout: Layout = "NCHW"
) -> bool:
    """Let results be views of the input: such that need no step, where they lie in memory as arrays do, or copies.

    The elements of a view have the order of the result's; it may have more axes.
    """
    if untouched.itemsize > 8:
        return False
    first = untouched.__array_interface__["data"][0]
    last = first + max(untouched.nbytes, 1)
    for _, view in pairs:
        start = view.__array_interface__["data"][0]
        if view.size and not (first <= start < last and np.may_share_memory(view, untouched)):
            return False
        if any(stride % view.itemsize for stride in view.strides):
            return False
    plans = [(value, view, _region(view)) for value, view in pairs]
    if any(len(region[0]) > MOST_AXES for _, _, region in plans):
        return False
    source = b.place(x, layout)
    for value, view, (sizes, (from_strides, to_strides)) in plans:
        offset = view.__array_interface__["data"][0] - first if view.size else 0
        in_order = view.flags.c_contiguous
        if in_order and not x.is_constant and b.places.view(value, source, offset):
            continue
        part = b.part(source, offset, x) if offset else source
        b.add("copy", (view.itemsize, sizes, from_strides, to_strides), [part], b.place(value, layout))
    return True


def _region(view: Any) -> tuple[list[int], list[list[int]]]:
    walks = [[stride // view.itemsize for stride in view.strides], strides_of(view.shape)]
    return merged(view.shape, walks, 2)


@lowers("Concat")
def joined(b: Builder, node: Node) -> bool:
    out = node.outputs[0]
    assert out is not None
    shape = sizes_of(out)
    axis = axis_of(node.attributes["axis"], len(shape))
    values = [value for value in node.inputs if value is not None]
    if axis is None or not prod(shape) or any(value.dtype != out.dtype for value in values):
        return False
    around = {(*shape[:axis], *shape[axis + 1 :])}
    if {(*sizes_of(v)[:axis], *sizes_of(v)[axis + 1 :]) for v in values} != around:
        return False
    assert out.dtype is not None
    layout = b.layout(out)
    item, walk = out.dtype.itemsize, strides_in(layout, shape)
    order = order_in(layout, len(shape))
    if item > 8:
        return False
    regions, begin = [], 0
    for value in values:
        own = sizes_of(value)
        walks = [strides_of(own) if value.is_constant else strides_in(layout, own), walk]
        region = merged([own[i] for i in order], [[walk[i] for i in order] for walk in walks], 2)
        regions.append((value, begin * walk[axis], region))
        begin += own[axis]
    if any(len(sizes) > MOST_AXES for _, _, (sizes, _) in regions):
        return False
    target = b.place(out, layout)
    in_one_piece = not channels_last(layout) and prod(shape[:axis]) == 1
    for value, offset, (sizes, (from_strides, to_strides)) in regions:
        if not prod(sizes_of(value)):
            continue
        is_made_so = not value.is_constant and (b.layout(value) == layout or is_same_in_both(value))
        if in_one_piece and is_made_so and b.places.put_into(value, out, offset * item):
            continue
        within = channels_last(layout) and axis == 1 and is_made_so and target == b.places.of(out)
        if within and b.make_within(value, out, offset * item):
            continue
        part = b.part(target, offset * item, value)
        b.add(
            "copy",
            (item, sizes, from_strides, to_strides),
            [b.place(value, "NCHW" if value.is_constant else layout)],
            part,
        )
    return True


@lowers("Softmax", "LogSoftmax")
def softmax(b: Builder, node: Node) -> bool:
    x, out, dtype = node.inputs[0], node.outputs[0], dtype_of(node)
    assert x is not None
    assert out is not None
    shape = sizes_of(x)
    a = attributes_of(node)
    axis = axis_of(a["axis"], len(shape))
    if dtype is None or axis is None or not prod(shape):
        return False
    inner = 1 if a["flat"] else prod(shape[axis + 1 :])
    sizes = prod(shape[:axis]), prod(shape[axis:]) // inner, inner
    logarithm = node.operation == "LogSoftmax"
    b.add("softmax", (dtype, sizes, logarithm), [b.place(x)], b.place(out))
    return True


@lowers("LRN")
def local_response_norm(b: Builder, node: Node) -> bool:
    x, out, dtype = node.inputs[0], node.outputs[0], dtype_of(node)
    assert x is not None
    assert out is not None
    shape = sizes_of(x)
    if dtype is None or len(shape) < 3 or not prod(shape):
        return False
    a = attributes_of(node)
    if a["size"] < 1:
        return False
    sizes = shape[0], shape[1], prod(shape[2:])
    what = dtype, sizes, a["size"], a["alpha"], a["beta"], a["bias"]
    b.add("local_response_norm", what, [b.place(x)], b.place(out))
    return True
