"""Resizes images axis by axis, forwards and backwards. Called by `ops/resize.py` and `grad/resize.py`."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import numpy as np

from fastconv import arguments
from fastconv.arguments import Pair
from fastconv.backends.protocol import Backend
from fastconv.execution.memory import empty
from fastconv.problem.layout import spatial_axes
from fastconv.problem.resize import COORDINATES, MODES, Axis, Coordinates, Mode, bands
from fastconv.text import echo
from fastconv.typing import Array, Layout, PairLike, RatioLike


class Resizing(NamedTuple):
    """How both axes are resized: for each its size before and after, and the inputs in an output pixel."""

    before: Pair
    after: Pair
    scales: tuple[float, float]
    mode: Mode
    coordinates: Coordinates
    antialias: bool

    def axis(self, i: int) -> Axis:
        return Axis(
            self.before[i], self.after[i], self.scales[i], self.mode, self.coordinates, self.antialias
        )


def read_resizing(
    op: str,
    before: Pair,
    size: PairLike | None,
    scale_factor: RatioLike | None,
    mode: Any,
    align_corners: Any,
    antialias: Any,
    coordinates: Any,
) -> Resizing:
    """The arguments of `resize2d`, checked."""
    word: Mode = arguments.choice(op, "mode", mode, MODES)
    smooth = arguments.flag(op, "antialias", antialias)
    corners = arguments.flag(op, "align_corners", align_corners)
    named: Coordinates
    if coordinates is None:
        named = "align_corners" if corners else "asymmetric" if word == "nearest" else "half_pixel"
    else:
        named = arguments.choice(op, "coordinates", coordinates, COORDINATES)
        if corners and named != "align_corners":
            raise ValueError(f"{op}: coordinates is {named!r}, but align_corners is True")
    if smooth and (word == "nearest" or named != "half_pixel"):
        raise ValueError(
            f"{op}: antialias is True, which needs mode 'linear' or 'cubic' and half_pixel coordinates, "
            f"but they are {word!r} and {named!r}"
        )
    if (size is None) == (scale_factor is None):
        raise ValueError(
            f"{op}: size is {echo(size)} and scale_factor is {echo(scale_factor)}, but needs one of them, and not both"
        )
    if size is not None:
        after = arguments.pair(op, "size", size, 1)
        scales = before[0] / after[0], before[1] / after[1]
    else:
        factors = _factors(op, cast(RatioLike, scale_factor))
        scaled = before[0] * factors[0], before[1] * factors[1]
        if not 1 <= min(scaled) <= max(scaled) < arguments.LARGEST + 1:
            raise ValueError(
                f"{op}: scale_factor is {echo(scale_factor)}, which makes images of {before} pixels {scaled}"
            )
        after = math.floor(scaled[0]), math.floor(scaled[1])
        scales = 1 / factors[0], 1 / factors[1]
    return Resizing(before, after, scales, word, named, smooth)


def _factors(op: str, value: RatioLike) -> tuple[float, float]:
    parts = value if isinstance(value, (tuple, list)) else (value, value)
    if len(parts) != 2:
        raise ValueError(
            f"{op}: scale_factor is {echo(value)}, but needs a number or a pair (vertical, horizontal)"
        )
    both = [arguments.number(op, "scale_factor", part) for part in parts]
    if not all(0 < factor < math.inf for factor in both):
        raise ValueError(f"{op}: scale_factor is {echo(value)}, but needs numbers above 0")
    return both[0], both[1]


def resize(
    op: str, engine: Backend, x: Array, how: Resizing, layout: Layout, out: Array, *, backwards: bool = False
) -> None:
    """`out` from `x`, first along the axis that leaves less to do for the other."""
    sizes = [(how.before[i], how.after[i]) for i in (0, 1)]
    source, result = (1, 0) if backwards else (0, 1)

    def growth(i: int) -> tuple[float, int]:
        """Of equal ones, the columns first where images grow: along a row of memory it takes longer."""
        ratio = sizes[i][result] / sizes[i][source]
        return ratio, -i if ratio > 1 else i

    order = sorted((0, 1), key=growth)
    for number, i in enumerate(order):
        axis = x.ndim + spatial_axes(layout)[i]
        shape = (*x.shape[:axis], sizes[i][result], *x.shape[axis + 1 :])
        target = out if number else empty(op, shape, x.dtype, "the image resized along one axis")
        around = math.prod(x.shape[:axis]), -1, math.prod(x.shape[axis + 1 :])
        _resample(engine, x.reshape(around), how.axis(i), backwards, target.reshape(around))
        x = target


def _resample(engine: Backend, x: Array, axis: Axis, backwards: bool, out: Array) -> None:
    """The middle one of three axes, band by band."""
    for first, last, low, high, (starts, counts, weights) in bands(axis, backwards):
        source, target = x[:, low:high], out[:, first:last]
        whole = target if target.flags.c_contiguous else np.empty(target.shape, out.dtype)
        engine.resample(np.ascontiguousarray(source), starts, counts, weights.astype(x.dtype), whole)
        if whole is not target:
            target[...] = whole
