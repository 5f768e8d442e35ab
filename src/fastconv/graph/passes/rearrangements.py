"""Shuffles of channels and pixels, and the mean of whole images, from their parts. Used by the pass `patterns`."""

from __future__ import annotations

import numpy as np

from fastconv.graph.graph import Node, Value
from fastconv.graph.passes.editor import Editor, told
from fastconv.graph.passes.matching import attribute, given, integers, is_float


def shuffle(node: Node, editor: Editor) -> None:
    """Reshape, Transpose, Reshape."""
    turned = editor.inner(node.inputs[0], "Transpose")
    parted = None if turned is None else editor.inner(turned.inputs[0], "Reshape")
    if turned is None or parted is None:
        return
    x, output = parted.inputs[0], node.outputs[0]
    sizes = [_numbers(value) for value in (x, parted.outputs[0], output)]
    order = tuple(turned.attributes.get("perm") or ())
    new = _channels(x, output, order, *sizes) or _pixels(x, output, order, *sizes)
    if new is not None:
        editor.replace(node, new, line=f"{told(new)} from 3 nodes")
        editor.remove(turned, parted)


def _numbers(value: Value | None) -> tuple[int, ...] | None:
    """The sizes after the first one, which follows from these and the number of elements."""
    if value is None or value.shape is None:
        return None
    sizes = tuple(size for size in value.shape[1:] if isinstance(size, int) and size > 0)
    return sizes if len(sizes) == len(value.shape) - 1 else None


_Sizes = tuple[int, ...] | None


def _channels(
    x: Value | None,
    output: Value | None,
    order: tuple[int, ...],
    before: _Sizes,
    parts: _Sizes,
    after: _Sizes,
) -> Node | None:
    """(N, g, k, H, W) to (N, k, g, H, W)"""
    if before is None or parts is None or len(before) != 3 or len(parts) != 4 or order != (0, 2, 1, 3, 4):
        return None
    groups, each, *size = parts
    if before != (groups * each, *size) or after != before:
        return None
    return Node("fastconv.ChannelShuffle", [x], [output], {"groups": groups})


def _pixels(
    x: Value | None,
    output: Value | None,
    order: tuple[int, ...],
    before: _Sizes,
    parts: _Sizes,
    after: _Sizes,
) -> Node | None:
    """(N, C, r, r, H, W) to (N, C, H, r, W, r)"""
    if before is None or parts is None or len(before) != 3 or len(parts) != 5 or order != (0, 1, 4, 2, 5, 3):
        return None
    channels, r, other, height, width = parts
    if (
        r != other
        or before != (channels * r * r, height, width)
        or after != (channels, height * r, width * r)
    ):
        return None
    return Node("DepthToSpace", [x], [output], {"blocksize": r, "mode": "CRD"})


def pool(node: Node, editor: Editor) -> None:
    """ReduceMean over the two spatial axes of images."""
    x, axes = node.inputs[0], integers(given(node, 1))
    if x is None or not is_float(x) or x.shape is None or len(x.shape) != 4 or axes is None:
        return
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        return
    (output,) = node.outputs
    assert output is not None
    if attribute(node, "keepdims"):
        new = [Node("GlobalAveragePool", [x], [output], name=node.name)]
    else:
        mean = Value(f"{output.name} pooled", None, None, None, output.element)
        places = Value.of("axes", np.array([2, 3], np.int64))
        new = [
            Node("GlobalAveragePool", [x], [mean], name=node.name),
            Node("Squeeze", [mean, places], [output]),
        ]
    editor.replace(node, *new, line=f"{told(new[0])} from ReduceMean")
