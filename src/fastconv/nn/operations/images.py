"""What moves the pixels of images or makes new ones between them: padding, resampling, shuffles, unpooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import grad
from fastconv.nn.operation import Operation, Pullback
from fastconv.nn.operations.conv import draw_padding
from fastconv.nn.operations.pool import pair
from fastconv.nn.symbols import Drawing, Symbol, is_last
from fastconv.ops.pad2d import pad2d
from fastconv.ops.pool import max_unpool2d
from fastconv.ops.resize import resize2d
from fastconv.ops.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from fastconv.problem.options import padding_in_numbers
from fastconv.typing import Array


def _record_pad(
    needs: tuple[bool, ...], x: Array, *, padding: Any, mode: Any, value: float, layout: Any
) -> tuple[Array, Pullback]:
    y = pad2d(x, padding, mode, value, layout=layout)
    return y, lambda slope: (grad.pad2d(slope, padding, mode, layout=layout),)


def _emit_pad(drawing: Drawing, x: Symbol, *, padding: Any, mode: Any, value: float, layout: Any) -> Symbol:
    top, bottom, left, right = padding_in_numbers("pad2d", padding)
    last = is_last({"layout": layout})
    padded = draw_padding(drawing, drawing.images(x, last), [(top, bottom), (left, right)], mode, value)
    return drawing.back(padded, last)


def _run_pad(x: Array, *, padding: Any, mode: Any, value: float, layout: Any) -> Array:
    return pad2d(x, padding, mode, value, layout=layout)


PAD2D = Operation("pad2d", _run_pad, _record_pad, _emit_pad)


def _record_resize(needs: tuple[bool, ...], x: Array, **options: Any) -> tuple[Array, Pullback]:
    size = x.shape
    return resize2d(x, **options), lambda slope: (grad.resize2d(slope, size, **options),)


def _emit_resize(
    drawing: Drawing,
    x: Symbol,
    *,
    layout: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
    antialias: bool = False,
) -> Symbol:
    last = is_last({"layout": layout})
    image = drawing.images(x, last)
    attributes: dict[str, Any] = {"mode": mode, "axes": (2, 3)}
    if mode == "nearest":
        attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    elif align_corners:
        attributes["coordinate_transformation_mode"] = "align_corners"
    if antialias and mode != "nearest":
        attributes |= {"antialias": 1} | ({"cubic_coeff_a": -0.5} if mode == "cubic" else {})
    if size is None:
        factors = [scale_factor] * 2 if np.ndim(scale_factor) == 0 else list(scale_factor)
        given = [image, None, drawing.constant(factors, np.float32)]
    else:
        given = [image, None, None, drawing.constant(pair(size))]
    return drawing.back(drawing.node("Resize", given, **attributes), last)


RESIZE2D = Operation("resize2d", resize2d, _record_resize, _emit_resize)


def _record_shuffle(needs: tuple[bool, ...], x: Array, *, factor: int, layout: Any) -> tuple[Array, Pullback]:
    y = pixel_shuffle(x, factor, layout=layout)
    return y, lambda slope: (grad.pixel_shuffle(slope, factor, layout=layout),)


def _emit_shuffle(drawing: Drawing, x: Symbol, *, factor: int, layout: Any) -> Symbol:
    last = is_last({"layout": layout})
    image = drawing.images(x, last)
    return drawing.back(drawing.node("DepthToSpace", [image], blocksize=factor, mode="CRD"), last)


PIXEL_SHUFFLE = Operation(
    "pixel_shuffle",
    lambda x, *, factor, layout: pixel_shuffle(x, factor, layout=layout),
    _record_shuffle,
    _emit_shuffle,
)


def _record_unshuffle(
    needs: tuple[bool, ...], x: Array, *, factor: int, layout: Any
) -> tuple[Array, Pullback]:
    y = pixel_unshuffle(x, factor, layout=layout)
    return y, lambda slope: (grad.pixel_unshuffle(slope, factor, layout=layout),)


def _emit_unshuffle(drawing: Drawing, x: Symbol, *, factor: int, layout: Any) -> Symbol:
    """As a reshape, a transpose and a reshape: SpaceToDepth of ONNX orders the channels otherwise."""
    last = is_last({"layout": layout})
    image = drawing.images(x, last)
    n, c, h, w = image.shape
    parts = drawing.constant((-1, c, h // factor, factor, w // factor, factor))
    split = drawing.node("Reshape", [image, parts])
    moved = drawing.node("Transpose", [split], perm=(0, 1, 3, 5, 2, 4))
    whole = drawing.constant((-1, c * factor * factor, h // factor, w // factor))
    y = drawing.node("Reshape", [moved, whole])
    y.value.shape = (n, *y.shape[1:])
    return drawing.back(y, last)


PIXEL_UNSHUFFLE = Operation(
    "pixel_unshuffle",
    lambda x, *, factor, layout: pixel_unshuffle(x, factor, layout=layout),
    _record_unshuffle,
    _emit_unshuffle,
)


def _record_channels(
    needs: tuple[bool, ...], x: Array, *, groups: int, layout: Any
) -> tuple[Array, Pullback]:
    y = channel_shuffle(x, groups, layout=layout)
    return y, lambda slope: (grad.channel_shuffle(slope, groups, layout=layout),)


def _emit_channels(drawing: Drawing, x: Symbol, *, groups: int, layout: Any) -> Symbol:
    last = is_last({"layout": layout})
    image = drawing.images(x, last)
    n, c, h, w = image.shape
    split = drawing.node("Reshape", [image, drawing.constant((-1, groups, c // groups, h, w))])
    moved = drawing.node("Transpose", [split], perm=(0, 2, 1, 3, 4))
    y = drawing.node("Reshape", [moved, drawing.constant((-1, c, h, w))])
    y.value.shape = (n, *y.shape[1:])
    return drawing.back(y, last)


CHANNEL_SHUFFLE = Operation(
    "channel_shuffle",
    lambda x, *, groups, layout: channel_shuffle(x, groups, layout=layout),
    _record_channels,
    _emit_channels,
)


def _record_unpool(
    needs: tuple[bool, ...], x: Array, indices: Array, **options: Any
) -> tuple[Array, Pullback]:
    y = max_unpool2d(x, indices, **options)
    return y, lambda slope: (grad.max_unpool2d(slope, indices, layout=options["layout"]), None)


MAX_UNPOOL2D = Operation("max_unpool2d", max_unpool2d, _record_unpool)
