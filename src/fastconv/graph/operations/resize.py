"""Resize, in all its modes: along each axis, which inputs an output is made of, and with which weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fastconv.graph.graph import Size, Value
from fastconv.graph.operations import shape_rules
from fastconv.graph.operations.shape import sizes as as_sizes
from fastconv.graph.operations.table import RETIRED, Reading, Type, operation, upgrade
from fastconv.typing import Array

Coordinates = Literal[
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
    "tf_half_pixel_for_nn",  # up to set 12
]
Rounding = Literal[
    "round_prefer_floor",
    "round_prefer_ceil",
    "floor",
    "ceil",
    "ceil_where_smaller",  # and floor elsewhere, as set 10 has it; no word of ONNX's
]


@dataclass(frozen=True)
class Axis:
    """One axis that changes: `size` elements become `count`, `scale` times as many (which may be no whole number);
    between its corners lie the places of `length` elements."""

    size: int
    count: int
    length: float
    scale: np.float32
    start: float  # of the region that is seen (tf_crop_and_resize)
    end: float

    @property
    def changes(self) -> bool:
        return self.count != self.size or bool(self.scale != 1)

    def places(self, mode: str) -> Array:
        """Where each output lies among the inputs; in float32, as elsewhere, since a floor sees the difference."""
        out = np.arange(self.count, dtype=np.float32)
        if mode == "align_corners":
            return out * 0 if self.length == 1 else out * (self.size - 1) / (self.length - 1)
        if mode == "asymmetric":
            return out / self.scale
        if mode == "tf_crop_and_resize":
            whole = self.size - 1
            if self.count == 1:
                return out + 0.5 * (self.start + self.end) * whole
            return self.start * whole + out * (self.end - self.start) * whole / (self.count - 1)
        if mode == "tf_half_pixel_for_nn":
            return (out + 0.5) / self.scale
        if mode == "half_pixel_symmetric":
            moved = np.float32(self.size / 2) * (1 - self.count / (self.scale * self.size))
            return (moved + (out.astype(np.float64) + 0.5) / self.scale - 0.5).astype(np.float32)
        if mode == "pytorch_half_pixel" and self.count == 1:
            return out * 0
        return (out + 0.5) / self.scale - 0.5


# What lies in the middle but for the rounding of its place: the bound of ONNX Runtime 1.32.
_MIDDLE = 1e-6


def _nearest(places: Array, mode: str) -> Array:
    if mode == "ceil":
        return np.ceil(places)
    whole = np.floor(places)
    if mode == "floor":
        return whole
    beyond = places - whole - 0.5
    return whole + (beyond >= -_MIDDLE if mode == "round_prefer_ceil" else beyond > _MIDDLE)


def cubic_kernel(distance: Array, a: float) -> Array:
    """Keys' kernel."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _taps(axis: Axis, places: Array, reach: int, cubic: float | None, antialias: bool, inside: bool) -> Any:
    """Indices and weights of each output's inputs, (count, taps). To average, the kernel is stretched."""
    stretch = min(float(axis.scale), 1.0) if antialias else 1.0
    first = math.floor(-reach / stretch) + 1
    base = np.floor(places)
    index = base[:, np.newaxis] + np.arange(first, 2 - first)
    distance = (index - places[:, np.newaxis]) * stretch
    weights = np.clip(1 - np.abs(distance), 0, 1) if cubic is None else cubic_kernel(distance, cubic)
    if inside:
        weights = np.where((index < 0) | (index >= axis.size), 0, weights)
    if inside or antialias:
        weights = weights / weights.sum(axis=1, keepdims=True)
    return np.clip(index, 0, axis.size - 1).astype(np.int64), weights


def inputs_of(
    axis: Axis, places: Array, mode: str, nearest_mode: str, cubic: float, antialias: bool, inside: bool
) -> tuple[Array, Array | None]:
    """Indices of the inputs that each output is made of, (count, taps), and their weights; None where it is one."""
    if mode == "nearest":
        if nearest_mode == "ceil_where_smaller":
            nearest_mode = "ceil" if axis.scale < 1 else "floor"
        index = np.clip(_nearest(places, nearest_mode), 0, axis.size - 1).astype(np.int64)
        return index[:, np.newaxis], None
    is_cubic = mode == "cubic"
    return _taps(axis, places, 2 if is_cubic else 1, cubic if is_cubic else None, antialias, inside)  # type: ignore[no-any-return]


def _along(x: Array, axis: int, index: Array, weights: Array) -> Array:
    """Sums of elements along an axis."""
    shape = (-1,) + (1,) * (x.ndim - axis - 1)
    total: Any = 0
    for tap in range(index.shape[1]):
        total = total + np.take(x, index[:, tap], axis) * weights[:, tap].astype(x.dtype).reshape(shape)
    return np.asarray(total)


def scaled(size: int, factor: float) -> int:
    """So many times the elements; in float32, in which a third of ten times three is ten."""
    return math.floor(np.float32(factor) * np.float32(size))


def _resized(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x = shape_rules.first(inputs)
    if x.shape is None:
        return [Type(x.dtype)]
    rank = len(x.shape)
    along = [axis % rank for axis in attributes.get("axes") or range(rank)]
    scales, sizes = shape_rules.constant(inputs, 2), shape_rules.integers(inputs, 3)
    known = all(isinstance(x.shape[axis], int) for axis in along)
    new: dict[int, Size] = dict.fromkeys(along, None)
    if sizes:
        if attributes.get("keep_aspect_ratio_policy", "stretch") == "stretch":
            new.update(zip(along, sizes, strict=True))
    elif scales and known:
        lengths: Any = x.shape
        new.update((axis, scaled(lengths[axis], factor)) for axis, factor in zip(along, scales, strict=True))
    return [shape_rules.changed(x, new)]


@operation("Resize", rule=_resized, grows=True)
def resize(
    x: Array,
    roi: Array | None = None,
    scales: Array | None = None,
    sizes: Array | None = None,
    *,
    antialias: int = 0,
    axes: tuple[int, ...] | None = None,
    coordinate_transformation_mode: Coordinates = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: Literal["stretch", "not_larger", "not_smaller"] = "stretch",
    mode: Literal["nearest", "linear", "cubic"] = "nearest",
    nearest_mode: Rounding = "round_prefer_floor",
) -> Any:
    places_mode = coordinate_transformation_mode
    region: list[float] | None = None
    if places_mode == "tf_crop_and_resize" and roi is not None and roi.size:
        region = [float(value) for value in roi]
    wanted = axes_of(x.shape, axes, scales, sizes, region, keep_aspect_ratio_policy)
    result = x.astype(np.float32) if x.dtype.kind in "iub" and mode != "nearest" else x
    outside: list[tuple[int, Array]] = []
    for number, axis in wanted.items():
        places = axis.places(places_mode)
        if places_mode == "tf_crop_and_resize":
            outside.append((number, (places < 0) | (places > axis.size - 1)))
        elif not axis.changes:
            continue
        index, weights = inputs_of(
            axis, places, mode, nearest_mode, cubic_coeff_a, bool(antialias), bool(exclude_outside)
        )
        result = (
            np.take(result, index[:, 0], number)
            if weights is None
            else _along(result, number, index, weights)
        )
    for number, mask in outside:
        part: list[Any] = [slice(None)] * x.ndim
        part[number] = mask
        result[tuple(part)] = extrapolation_value
    return _back(result, x.dtype)


def _back(result: Array, dtype: Any) -> Array:
    """Integers are rounded."""
    if dtype.kind in "iu" and result.dtype.kind == "f":
        limits = np.iinfo(dtype)
        result = np.clip(np.rint(result), limits.min, limits.max)
    return result.astype(dtype, copy=False)


def axes_of(
    shape: tuple[int, ...],
    axes: tuple[int, ...] | None,
    scales: Array | None,
    sizes: Array | None,
    region: list[float] | None,
    policy: str,
) -> dict[int, Axis]:
    """The axes that are resized, by their numbers; `region` holds the starts and ends of what is seen, if not all."""
    along = [axis % len(shape) for axis in (range(len(shape)) if axes is None else axes)]
    count = len(along)
    seen = [0.0] * count + [1.0] * count if region is None else region
    if sizes is not None and sizes.size:
        given = as_sizes(sizes)
        factors = [size / shape[axis] for axis, size in zip(along, given, strict=True)]
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * count
            given = [math.floor(factor * shape[axis] + 0.5) for axis in along]
        lengths = [float(size) for size in given]
    elif scales is not None and scales.size:
        factors = [float(scale) for scale in scales]
        if len(factors) != count or not all(0 < factor < math.inf for factor in factors):
            raise ValueError(f"Resize: scales {factors} for {count} axes")
        given = [scaled(shape[axis], factor) for axis, factor in zip(along, factors, strict=True)]
        # Where images grow, PyTorch and ONNX Runtime count whole elements; where they shrink, ONNX's tests do not.
        lengths = [
            count if factor > 1 else float(np.float32(factor) * shape[axis])
            for axis, factor, count in zip(along, factors, given, strict=True)
        ]
    else:
        raise ValueError("Resize: needs scales or sizes")
    return {
        axis: Axis(shape[axis], given[k], lengths[k], np.float32(factors[k]), seen[k], seen[k + count])
        for k, axis in enumerate(along)
    }


@upgrade("Resize", to=11)
def scales_come_third(reading: Reading) -> None:
    """Operator set 10 had scales alone, and counted from the corners; which pixel is nearest, it left to its test."""
    x, scales = reading.inputs
    reading.inputs = [x, None, scales]
    reading.attributes["coordinate_transformation_mode"] = "asymmetric"
    factors = None if scales is None or scales.constant is None else scales.constant
    rounding = "ceil_where_smaller"
    if factors is not None and factors.size:
        rounding = "floor" if factors.min() >= 1 else "ceil" if factors.max() <= 1 else rounding
    reading.attributes["nearest_mode"] = rounding


def _scales_are_an_input(reading: Reading) -> None:
    reading.to_input("scales", 1, np.float32)


def _is_resize(reading: Reading) -> None:
    reading.operation = "Resize"
    reading.attributes.setdefault("mode", "nearest")


RETIRED["Upsample"] = [(9, _scales_are_an_input), (10, _is_resize)]
