"""Runs one convolution: arrays in, problem, backend, array out. Called by the public functions and by plans.

All that follows from shapes, dtypes and options alone is a `ConvCase` (`problem/case.py`); what is left for each call
is to look at the arrays themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.backends import resolve
from fastconv.backends.protocol import Backend
from fastconv.execution.arrays import Result, as_array, native
from fastconv.execution.known_calls import Given, recall_conv, remember
from fastconv.execution.memory import check_memory, empty, memory_errors
from fastconv.execution.padding import pad_image
from fastconv.first_use import importing
from fastconv.problem.case import ConvCase, find_case
from fastconv.problem.convolution import SUMS, ConvOptions, ConvProblem, with_algorithm
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import Kind, weight_sizes
from fastconv.settings.precision import get_precision
from fastconv.text import echo
from fastconv.typing import Array, ArrayLike, BackendName

# A plan's: the problem as it is to be done, and its prepared weights.
Prepare = Callable[[Backend, ConvProblem], tuple[ConvProblem, Any]]


# ---- what `precision="strict"` promises of numbers that are not finite, or far larger than the others ----

# Winograd's transforms and Fourier's mix the pixels of a tile: such a number, or the rounding of it, reaches results of
# windows that do not hold it. Sums do not. So a strict convolution looks at its image before it takes a transform.

# A number is far from those of a window where it is more than so many times as large as any of them. Photographs,
# normal noise and activations have none.
FAR_APART = {np.dtype(np.float32): 256.0, np.dtype(np.float64): 1e5}


def mixes_pixels(backend: Backend, problem: ConvProblem, once: bool = False) -> bool:
    """Whether it matters what the numbers are: transforms are to be taken where results are to be strict."""
    return problem.precision == "strict" and backend.transforms(problem, once)


def confined(backend: Backend, problem: ConvProblem, x: Array, once: bool) -> ConvProblem:
    """The problem, or the same one by sums where `x` has numbers that a transform would carry too far."""
    if not mixes_pixels(backend, problem, once) or backend.is_even(problem, x, FAR_APART[x.dtype]):
        return problem
    return with_algorithm(problem, SUMS)


# ---- calls ----

_PLAIN = Kind()


def kind_of(o: ConvOptions) -> Kind:
    return Kind(o.layout, depthwise=o.groups is None, transposed=o.output_padding is not None)


def read_weight(
    op: str, name: str, value: ArrayLike, kind: Kind = _PLAIN, x: ArrayLike | None = None
) -> Array:
    """A weight of four axes; an error says more where the image is known."""
    weight = as_array(op, name, value)
    check_weight(op, name, weight.shape, 4, kind, x)
    return weight


def native_weight(problem: ConvProblem, weight: Array) -> Array:
    """A user's weights as the backend takes them."""
    return native(weight, problem.dtype).reshape(problem.weight_shape)


def check_weight(
    op: str,
    name: str,
    shape: tuple[int, ...],
    dimensions: int = 4,
    kind: Kind = _PLAIN,
    x: ArrayLike | None = None,
) -> None:
    if len(shape) != dimensions:
        with importing:
            from fastconv.problem.hints import missing_axes

        x_shape = None if x is None else as_array(op, "x", x).shape
        hint = missing_axes(name, shape, dimensions, kind, x_shape)
        raise ValueError(
            f"{op}: {name} has {len(shape)} dimensions (shape {shape}), but needs {dimensions}{hint}"
        )
    if 0 in shape:
        raise ValueError(f"{op}: {name} has shape {shape}: no size may be 0")


def read_bias(op: str, bias: ArrayLike | None, channels: int, dtype: np.dtype[Any]) -> Array | None:
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
            f"{o.op}: algorithm is {echo(o.algorithm)}, but the {backend.name} backend has only None, {names}"
        )


def read_planned(
    o: ConvOptions,
    weight: ArrayLike,
    bias: ArrayLike | None,
    backend: BackendName | None,
) -> tuple[Array, Array | None, BackendName]:
    """A plan's own copies of weight and bias, and the name of its backend."""
    engine = resolve(o.op, backend)
    check_algorithm(o, engine)
    kept = read_weight(o.op, "weight", weight, kind_of(o)).copy()
    kept.flags.writeable = False
    outer, inner, _ = weight_sizes(kept.shape, o.layout)
    # Only plain convolutions may leave the groups to the number of input channels.
    channels = outer if o.output_padding is None or o.groups is None else inner * o.groups
    own = read_bias(o.op, bias, channels, compute_dtype(float_result(kept.dtype)))
    return kept, None if own is None else own.copy(), engine.name


class ConvCall:
    """One convolution, checked in full before any work is done; `run` does it."""

    def __init__(
        self,
        o: ConvOptions,
        backend: Backend,
        case: ConvCase,
        bias: ArrayLike | None,
        residual: ArrayLike | None,
        out: Array | None,
        *inputs: Array,
    ) -> None:
        self._o, self._backend, self._case = o, backend, case
        shape = case.shape if case.batched else case.shape[1:]
        self._bias = self._residual = None
        if bias is not None:
            bias = as_array(o.op, "bias", bias)
            self._bias = read_bias(o.op, bias, case.problem.result_channels, case.dtype)
        if residual is not None:
            residual = as_array(o.op, "residual", residual)
            if residual.shape != shape:
                raise ValueError(
                    f"{o.op}: residual has shape {residual.shape}, but the result has shape {shape}"
                )
            self._residual = native(residual, case.dtype).reshape(case.problem.result_shape)
        if o.algorithm is not None:
            check_algorithm(o, backend)
            backend.weight_form(case.problem)  # refuses what the algorithm cannot do
        if case.borders is not None:
            check_memory(o.op, case.problem.input_shape, case.dtype.itemsize, "the padded image")
        self._result: Result | None = None
        if out is None and case.dtype == case.result_dtype:
            self._own = empty(o.op, shape, case.dtype)
            buffer = self._own
        else:
            self._result = Result(
                o.op, case.shape, case.result_dtype, out, *inputs, bias, residual, batched=case.batched
            )  # fmt: skip
            buffer = self._result.buffer
        self._buffer = buffer.reshape(case.problem.result_shape)

    def run(self, x: Array, weight: Array, prepare: Prepare | None = None) -> Array:
        """The result for `x`; `prepare` gives prepared weights where a plan holds them."""
        o, backend, case = self._o, self._backend, self._case
        if case.shape[0]:
            x = native(x, case.dtype).reshape(case.x_shape)
            if case.borders is not None:
                x = pad_image(
                    o.op,
                    backend,
                    x,
                    case.borders,
                    o.padding_mode,
                    o.padding_value,
                    o.layout,
                    "the padded image",
                )
            x = x.reshape(case.problem.operand_shape)
            with memory_errors(o.op):
                problem, prepared = self._prepared(x, weight, prepare)
                backend.conv(problem, x, prepared, self._bias, self._residual, o.activation, self._buffer)
        if self._result is not None:
            return self._result.value()
        return self._own

    def _prepared(self, x: Array, weight: Array, prepare: Prepare | None) -> tuple[ConvProblem, Any]:
        """The problem as it is done for this image, and its weights."""
        backend, problem = self._backend, self._case.problem
        if prepare is None:
            problem = confined(backend, problem, x, once=True)
            return problem, backend.prepare(problem, native_weight(problem, weight), once=True)
        planned, prepared = prepare(backend, problem)
        by_sums = confined(backend, planned, x, once=False)
        return (planned, prepared) if by_sums is planned else prepare(backend, by_sums)


def execute(
    o: ConvOptions,
    backend: Backend,
    x: ArrayLike,
    weight: Array,
    bias: ArrayLike | None,
    residual: ArrayLike | None,
    out: Array | None,
    prepare: Prepare | None = None,
) -> Array:
    """One convolution of a user's `x` with a `weight` that `read_weight` read."""
    x = as_array(o.op, "x", x)
    case = find_case(o, o.precision or get_precision(), x.shape, x.dtype, weight.shape, weight.dtype)
    return ConvCall(o, backend, case, bias, residual, out, x, weight).run(x, weight, prepare)


def shortcut_of(
    backend: Backend,
    o: ConvOptions,
    x: Array,
    weight: Array,
    once: bool,
    planned: Callable[[ConvProblem], ConvProblem] | None = None,
) -> Any:
    """What does the same call again with less ado; None where there is no such thing.

    `planned` gives the problem as a plan does it.
    """
    case = find_case(o, o.precision or get_precision(), x.shape, x.dtype, weight.shape, weight.dtype)
    if case.borders is not None or case.dtype != case.result_dtype or not case.shape[0]:
        return None
    shape = case.shape if case.batched else case.shape[1:]
    problem = case.problem if planned is None else planned(case.problem)
    far = FAR_APART[problem.dtype] if mixes_pixels(backend, problem, once) else 0.0
    return backend.conv_shortcut(problem, o.activation, shape, once, far)


def convolve(
    op: str,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    residual: ArrayLike | None,
    out: Array | None,
    backend: BackendName | None,
    given: Given,
    depthwise: bool = False,
) -> Array:
    """One call of a public function; `given` are its options, in the order of `ConvOptions.read`."""
    if residual is None:
        result = recall_conv(op, x, weight, bias, out, given, backend)
        if result is not None:
            return result
    options = ConvOptions.read(op, *given, depthwise=depthwise)  # type: ignore[arg-type]
    engine = resolve(op, backend)
    array = read_weight(op, "weight", weight, kind_of(options), x)
    result = execute(options, engine, x, array, bias, residual, out)
    if residual is None and type(x) is np.ndarray and array is weight:
        remember(shortcut_of(engine, options, x, array, once=True), op, given, backend, x, array)
    return result
