"""Reductions along axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv.graph.graph import Size, Value
from fastconv.graph.operations.shape import sizes
from fastconv.graph.operations.table import Reading, Type, operation, upgrade
from fastconv.typing import Array

_NAMES = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")


def _reduced(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, axes = inputs[0], inputs[1] if len(inputs) > 1 else None
    assert x is not None
    if x.shape is None or (axes is not None and axes.constant is None):
        return [Type(x.dtype)]
    wanted = [] if axes is None else [axis % len(x.shape) for axis in sizes(axes.constant)]
    if not wanted:
        wanted = [] if attributes.get("noop_with_empty_axes") else [*range(len(x.shape))]
    shape: list[Size] = []
    for axis, size in enumerate(x.shape):
        if axis not in wanted:
            shape.append(size)
        elif attributes.get("keepdims", 1):
            shape.append(1)
    return [Type(x.dtype, tuple(shape))]


def _reduction(name: str) -> Callable[[Callable[..., Any]], None]:
    def add(reduce: Callable[..., Any]) -> None:
        @operation(name, rule=_reduced)
        def run(
            x: Array, axes: Array | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
        ) -> Any:
            along: tuple[int, ...] | None = None if axes is None else tuple(sizes(axes))
            if not along:
                along = () if noop_with_empty_axes else tuple(range(x.ndim))
            return reduce(x, axis=along, keepdims=bool(keepdims)).astype(x.dtype)

    return add


@_reduction("ReduceSum")
def _sum(x: Array, **along: Any) -> Any:
    return x.sum(**along, dtype=x.dtype)


@_reduction("ReduceMean")
def _mean(x: Array, **along: Any) -> Any:
    if x.size:
        return x.mean(**along)
    return np.divide(x.sum(**along), 0)  # not a number, without NumPy's warning


@_reduction("ReduceProd")
def _product(x: Array, **along: Any) -> Any:
    return x.prod(**along, dtype=x.dtype)


@_reduction("ReduceMax")
def _maximum(x: Array, **along: Any) -> Any:
    return x.max(**along, initial=_least(x.dtype))


@_reduction("ReduceMin")
def _minimum(x: Array, **along: Any) -> Any:
    return x.min(**along, initial=_greatest(x.dtype))


def _least(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "f":
        return -np.inf
    return False if dtype.kind == "b" else np.iinfo(dtype).min


def _greatest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "f":
        return np.inf
    return True if dtype.kind == "b" else np.iinfo(dtype).max


@_reduction("ReduceL1")
def _absolute_sum(x: Array, **along: Any) -> Any:
    return np.abs(x).sum(**along, dtype=x.dtype)


@_reduction("ReduceL2")
def _norm(x: Array, **along: Any) -> Any:
    return np.sqrt((x * x).sum(**along))


@_reduction("ReduceSumSquare")
def _square_sum(x: Array, **along: Any) -> Any:
    return (x * x).sum(**along, dtype=x.dtype)


@_reduction("ReduceLogSum")
def _log_sum(x: Array, **along: Any) -> Any:
    return np.log(x.sum(**along))


@_reduction("ReduceLogSumExp")
def _log_sum_exp(x: Array, axis: tuple[int, ...], keepdims: bool) -> Any:
    x = x.astype(np.float64) if x.dtype.kind in "iu" else x
    top = x.max(axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    result = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return result if keepdims else result.squeeze(axis)


@upgrade("ReduceSum", to=13)
@upgrade(*(f"Reduce{name}" for name in _NAMES if name != "Sum"), to=18)
def axes_are_an_input(reading: Reading) -> None:
    reading.to_input("axes", 1)
