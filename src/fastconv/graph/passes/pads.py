"""The pass `pads`: padding done by the convolution or pooling that follows."""

from __future__ import annotations

import math

import numpy as np

from fastconv.graph.graph import Node, Value
from fastconv.graph.operations.windows import Windows
from fastconv.graph.passes.editor import Editor, told
from fastconv.graph.passes.matching import attribute, given, integers, number

_CONVOLUTIONS = ("Conv", "fastconv.Conv")
# What gives no number below 0.
_NOT_NEGATIVE = ("Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softplus", "Sqrt")


def pads(editor: Editor) -> None:
    """Pad with zeros goes into convolutions, into AveragePool where its padding counts, and into MaxPool where what is
    pooled is not negative; with minus infinity into MaxPool."""
    for node in editor.nodes():
        if node.operation in (*_CONVOLUTIONS, "AveragePool", "MaxPool"):
            _take(node, editor)


def _take(node: Node, editor: Editor) -> None:
    pad = editor.inner(node.inputs[0], "Pad")
    if pad is None or pad.inputs[0] is None or attribute(node, "auto_pad") not in ("NOTSET", "VALID", ""):
        return
    kernel = _kernel(node)
    widths = _widths(pad, None if kernel is None else len(kernel) + 2)
    if kernel is None or widths is None:
        return
    own = attribute(node, "pads") if attribute(node, "auto_pad") != "VALID" else None
    own = tuple(own or (0,) * 2 * len(kernel))
    value = _value(pad)
    together = tuple(a + b for a, b in zip(own, widths, strict=True))
    attributes = {**node.attributes, "auto_pad": "NOTSET", "pads": together}
    if node.operation in _CONVOLUTIONS:
        allowed = value == 0
    else:  # windows that begin in the padding are left out with ceil_mode, but not where it is the image's
        allowed = not attribute(node, "ceil_mode") and _every_window_has_a_pixel(kernel, attributes)
        if node.operation == "AveragePool":
            allowed = allowed and value == 0 and (not any(own) or bool(attribute(node, "count_include_pad")))
            attributes["count_include_pad"] = 1
        else:
            zeros = value == 0 and _is_not_negative(editor.maker(pad.inputs[0]))
            allowed = allowed and len(node.outputs) == 1 and (value == -math.inf or zeros)
    if allowed:
        new = Node(
            node.operation, [pad.inputs[0], *node.inputs[1:]], node.outputs, attributes, name=node.name
        )
        editor.replace(node, new, line=f"{told(pad)} into {told(node)}")
        editor.remove(pad)


def _kernel(node: Node) -> tuple[int, ...] | None:
    if node.operation not in _CONVOLUTIONS:
        return tuple(attribute(node, "kernel_shape"))
    weight = node.inputs[1]
    if weight is None or weight.shape is None:
        return None
    sizes = tuple(size for size in weight.shape[2:] if isinstance(size, int))
    return sizes if len(sizes) == len(weight.shape) - 2 else None


def _widths(pad: Node, rank: int | None) -> tuple[int, ...] | None:
    """What is added to the spatial axes, before and after; None where something else is done, too."""
    widths, axes = integers(pad.inputs[1]), given(pad, 3)
    along = integers(axes) if axes is not None else list(range(rank or 0))
    if (
        rank is None
        or widths is None
        or along is None
        or len(widths) != 2 * len(along)
        or min(widths, default=0) < 0
    ):
        return None
    if attribute(pad, "mode") != "constant":
        return None
    before, after = [0] * rank, [0] * rank
    for place, axis in enumerate(along):
        before[axis % rank], after[axis % rank] = widths[place], widths[place + len(along)]
    return None if any((*before[:2], *after[:2])) else (*before[2:], *after[2:])


def _value(pad: Node) -> float | None:
    """What is put around."""
    value, x = given(pad, 2), pad.inputs[0]
    assert x is not None
    if value is None or (value.constant is not None and not value.constant.size):
        return 0
    return None if value.constant is None else number(Value.of("", np.reshape(value.constant, ())), x)


def _every_window_has_a_pixel(kernel: tuple[int, ...], attributes: dict[str, object]) -> bool:
    windows = Windows.of(kernel, attributes)
    assert windows.pads is not None
    return all(max(pads) < extent for pads, extent in zip(windows.pads, windows.extents, strict=True))


def _is_not_negative(node: Node | None) -> bool:
    if node is None:
        return False
    if node.operation in _CONVOLUTIONS:
        return node.attributes.get("activation") in ("relu", "relu6", "sigmoid")
    if node.operation == "Clip" and node.inputs[0] is not None:
        low = number(given(node, 1), node.inputs[0])
        return low is not None and low >= 0
    return node.operation in _NOT_NEGATIVE
