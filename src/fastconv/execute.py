"""Runs one convolution: arrays in, problem, backend, array out. Called by the public functions and by plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.arrays import Array, Result, as_array, compute_dtype, float_result, images, native
from fastconv.backends import Backend
from fastconv.pad import check_sides, pad_sides
from fastconv.problem import ConvOptions, ConvProblem, padding_tables

Prepare = Callable[[Backend, ConvProblem], Any]


def read_weight(op: str, name: str, value: Any) -> Array:
    weight = as_array(op, name, value)
    if weight.ndim != 4:
        raise ValueError(f"{op}: {name} has {weight.ndim} dimensions (shape {weight.shape}), but needs 4")
    check_weight(op, name, weight)
    return weight


def check_weight(op: str, name: str, weight: Array) -> None:
    if 0 in weight.shape:
        raise ValueError(f"{op}: {name} has shape {weight.shape}: no size may be 0")


def read_bias(op: str, bias: Any, channels: int, dtype: np.dtype[Any]) -> Array | None:
    if bias is None:
        return None
    array = as_array(op, "bias", bias)
    if array.shape != (channels,):
        raise ValueError(
            f"{op}: bias has shape {array.shape}, but needs ({channels},), one for each output channel"
        )
    return native(array, dtype)


def _read_residual(op: str, residual: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
    if residual is None:
        return None
    array = as_array(op, "residual", residual)
    if array.shape != shape:
        raise ValueError(f"{op}: residual has shape {array.shape}, but the result has shape {shape}")
    return native(array, dtype)


class Call:
    """One convolution, checked in full before any work is done; `run` does it."""

    def __init__(
        self,
        o: ConvOptions,
        backend: Backend,
        x_shape: tuple[int, ...],
        batched: bool,
        dtype: np.dtype[Any],
        weight: Array,
        bias: Any,
        residual: Any,
        out: Any,
        *inputs: Any,
    ) -> None:
        self._o, self._backend, self._weight = o, backend, weight
        self._dtype = compute_dtype(dtype)
        self._problem = o.problem(x_shape, weight.shape, self._dtype)
        shape = self._problem.result_shape
        self._bias = read_bias(o.op, bias, self._problem.result_channels, self._dtype)
        self._residual = _read_residual(o.op, residual, shape if batched else shape[1:], self._dtype)
        check_algorithm(o, backend)
        self._padded = padding_tables(o, self._problem)
        if self._padded is not None:
            check_sides(o.op, self._padded[1], o.padding_mode, self._problem.size)
        self._result = Result(
            o.op, shape, dtype, out, weight, self._bias, self._residual, *inputs, batched=batched
        )  # fmt: skip

    def run(self, x: Array, prepare: Prepare | None = None) -> Array:
        """The result for the batch `x`; `prepare` gives prepared weights where a plan holds them."""
        o, backend, problem = self._o, self._backend, self._problem
        if problem.batch == 0:
            return self._result.value()
        x = native(x, self._dtype)
        if self._padded is not None:
            problem, sides = self._padded
            x = pad_sides(o.op, backend, x, sides, o.padding_mode, 0.0, o.layout)
        if prepare is None:
            prepared = backend.prepare(problem, native(self._weight, self._dtype))
        else:
            prepared = prepare(backend, problem)
        buffer = self._result.buffer
        residual = None if self._residual is None else self._residual.reshape(buffer.shape)
        backend.conv(problem, x, prepared, self._bias, residual, o.activation, buffer)
        return self._result.value()


def execute(
    o: ConvOptions,
    backend: Backend,
    x: Any,
    weight: Array,
    bias: Any,
    residual: Any,
    out: Any,
    prepare: Prepare | None = None,
) -> Array:
    """One convolution of a user's `x` with a `weight` that `read_weight` read."""
    x, batched = images(o.op, "x", x, o.layout)
    call = Call(o, backend, x.shape, batched, float_result(x, weight), weight, bias, residual, out, x)
    return call.run(x, prepare)


def check_algorithm(o: ConvOptions, backend: Backend) -> None:
    if o.algorithm is not None and o.algorithm not in backend.algorithms():
        names = ", ".join(map(repr, backend.algorithms()))
        raise ValueError(
            f"{o.op}: algorithm is {o.algorithm!r}, but the {backend.name} backend has only None, {names}"
        )
