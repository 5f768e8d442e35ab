"""Runs one convolution: arrays in, problem, backend, array out. Called by the public functions and by plans.

All that follows from shapes, dtypes and options alone is a `Case`, worked out once and cached; what is left for
each call is to look at the arrays themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from fastconv.arrays import Array, Result, as_array, check_image, compute_dtype, empty, float_result, native
from fastconv.backends import Backend, resolve
from fastconv.options import Sides
from fastconv.pad import check_sides, pad_sides
from fastconv.precision import get_precision
from fastconv.problem import ConvOptions, ConvProblem, padding_tables
from fastconv.shortcuts import Given, recall_conv, remember

Prepare = Callable[[Backend, ConvProblem], Any]


def read_weight(op: str, name: str, value: Any) -> Array:
    weight = as_array(op, name, value)
    check_weight(op, name, weight.shape)
    return weight


def check_weight(op: str, name: str, shape: tuple[int, ...], dimensions: int = 4) -> None:
    if len(shape) != dimensions:
        raise ValueError(f"{op}: {name} has {len(shape)} dimensions (shape {shape}), but needs {dimensions}")
    if 0 in shape:
        raise ValueError(f"{op}: {name} has shape {shape}: no size may be 0")


def read_bias(op: str, bias: Any, channels: int, dtype: np.dtype[Any]) -> Array | None:
    if bias is None:
        return None
    array = as_array(op, "bias", bias)
    if array.shape != (channels,):
        raise ValueError(
            f"{op}: bias has shape {array.shape}, but needs ({channels},), one for each output channel"
        )
    return native(array, dtype)


def check_algorithm(o: ConvOptions, backend: Backend) -> None:
    if o.algorithm is not None and o.algorithm not in backend.algorithms():
        names = ", ".join(map(repr, backend.algorithms()))
        raise ValueError(
            f"{o.op}: algorithm is {o.algorithm!r}, but the {backend.name} backend has only None, {names}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What shapes, dtypes and options say about a call.

    Attributes
    ----------
    problem : ConvProblem
        What the backend is given, padding modes other than zeros already applied.
    sides : tuple of int or None
        What to pad first, for such a mode.
    x_shape, shape : tuple of int
        Of the batch and of the result as the backend sees it, always 4-D.
    batched : bool
    dtype, result_dtype : dtype
        What is computed in, and what is returned.
    """

    problem: ConvProblem
    sides: Sides | None
    x_shape: tuple[int, ...]
    shape: tuple[int, ...]
    batched: bool
    dtype: np.dtype[Any]
    result_dtype: np.dtype[Any]


@lru_cache(maxsize=1024)
def find_case(
    o: ConvOptions,
    precision: str,
    x_shape: tuple[int, ...],
    x_dtype: Any,
    weight_shape: tuple[int, ...],
    weight_dtype: Any,
) -> Case:
    """The case of a call; all errors about shapes are raised here."""
    batched = check_image(o.op, o.x_name, x_shape, o.layout)
    full = x_shape if batched else (1, *x_shape)
    result_dtype = float_result(x_dtype, weight_dtype)
    dtype = compute_dtype(result_dtype)
    problem = o.problem(full, weight_shape, dtype, precision)
    shape, sides = problem.result_shape, None
    padded = padding_tables(o, problem)
    if padded is not None:
        check_sides(o.op, padded[1], o.padding_mode, problem.size)
        problem, sides = padded
    return Case(problem, sides, full, shape, batched, dtype, result_dtype)


class Call:
    """One convolution, checked in full before any work is done; `run` does it."""

    def __init__(
        self, o: ConvOptions, backend: Backend, case: Case, bias: Any, residual: Any, out: Any, *inputs: Any
    ) -> None:
        self._o, self._backend, self._case = o, backend, case
        shape = case.shape if case.batched else case.shape[1:]
        self._bias = self._residual = None
        if bias is not None:
            self._bias = read_bias(o.op, bias, case.problem.result_channels, case.dtype)
        if residual is not None:
            array = as_array(o.op, "residual", residual)
            if array.shape != shape:
                raise ValueError(
                    f"{o.op}: residual has shape {array.shape}, but the result has shape {shape}"
                )
            self._residual = native(array, case.dtype).reshape(case.shape)
        if o.algorithm is not None:
            check_algorithm(o, backend)
            backend.weight_form(case.problem)  # refuses what the algorithm cannot do
        self._result: Result | None = None
        if out is None and case.dtype == case.result_dtype:
            self._own = empty(o.op, shape, case.dtype)
            self._buffer = self._own.reshape(case.shape)
        else:
            self._result = Result(
                o.op, case.shape, case.result_dtype, out, *inputs, bias, residual, batched=case.batched
            )  # fmt: skip
            self._buffer = self._result.buffer

    def run(self, x: Array, weight: Array, prepare: Prepare | None = None) -> Array:
        """The result for `x`; `prepare` gives prepared weights where a plan holds them."""
        o, backend, case = self._o, self._backend, self._case
        if case.shape[0]:
            problem = case.problem
            x = native(x, case.dtype).reshape(case.x_shape)
            if case.sides is not None:
                x = pad_sides(o.op, backend, x, case.sides, o.padding_mode, 0.0, o.layout)
            if prepare is None:
                prepared = backend.prepare(problem, native(weight, case.dtype), once=True)
            else:
                prepared = prepare(backend, problem)
            backend.conv(problem, x, prepared, self._bias, self._residual, o.activation, self._buffer)
        if self._result is not None:
            return self._result.value()
        return self._own


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
    x = as_array(o.op, "x", x)
    case = find_case(o, o.precision or get_precision(), x.shape, x.dtype, weight.shape, weight.dtype)
    return Call(o, backend, case, bias, residual, out, x, weight).run(x, weight, prepare)


def shortcut_of(backend: Backend, o: ConvOptions, x: Array, weight: Array, once: bool) -> Any:
    """What does the same call again with less ado; None where there is no such thing."""
    case = find_case(o, o.precision or get_precision(), x.shape, x.dtype, weight.shape, weight.dtype)
    if case.sides is not None or case.dtype != case.result_dtype or not case.shape[0]:
        return None
    shape = case.shape if case.batched else case.shape[1:]
    return backend.conv_shortcut(case.problem, o.activation, shape, once)


def convolve(
    op: str, x: Any, weight: Any, bias: Any, residual: Any, out: Any, backend: Any, given: Given
) -> Array:
    """One call of a public function; `given` are its options, in the order of `ConvOptions.read`."""
    if residual is None:
        result = recall_conv(op, x, weight, bias, out, given, backend)
        if result is not None:
            return result
    options = ConvOptions.read(op, *given)
    engine = resolve(op, backend)
    array = read_weight(op, "weight", weight)
    result = execute(options, engine, x, array, bias, residual, out)
    if residual is None and type(x) is np.ndarray and array is weight:
        remember(shortcut_of(engine, options, x, array, once=True), op, given, backend, x, array)
    return result
