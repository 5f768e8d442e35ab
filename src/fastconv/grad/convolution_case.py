"""The one way through which all gradients of convolutions go: operands in, checks, backend, arrays out.

The gradient of a convolution's input is a transposed convolution of `grad_output` with the same weights, that of a
transposed convolution's input a plain one; the gradient of the weights is one primitive for both. All that follows
from shapes, dtypes and options alone is a `GradientCase`, worked out once and cached.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastconv.backends import resolve
from fastconv.backends.protocol import Backend
from fastconv.caches import kept
from fastconv.execution.arrays import Result, as_array, as_in_memory, native
from fastconv.execution.convolution import FAR_APART, ConvCall, check_algorithm, mixes_pixels, read_weight
from fastconv.execution.known_calls import Given, recall_gradients, remember
from fastconv.execution.memory import check_memory, empty, memory_errors
from fastconv.execution.padding import pad_image
from fastconv.grad.elementwise import Slope, read_slope, times_slope
from fastconv.grad.operands import Shape, check_grad, read_needs
from fastconv.grad.rearrange import add_padding
from fastconv.problem.case import ConvCase, find_case
from fastconv.problem.convolution import ConvOptions, ConvProblem
from fastconv.problem.dtypes import float_result
from fastconv.problem.layout import channel_axis
from fastconv.problem.padding import Borders
from fastconv.settings.precision import get_precision
from fastconv.typing import ActivationLike, Array, ArrayLike, BackendName, NeedsLike, Precision

Operand = Array | Shape  # an array, or of one that is not multiplied only its shape
Gradients = tuple[Array | None, Array | None, Array | None]


@dataclass(frozen=True, slots=True, eq=False)
class GradientCase:
    """What shapes, dtypes and options say about the gradients of one convolution.

    Attributes
    ----------
    of_input : ConvCase
        The input's gradient as a convolution of `grad_output`; that of the padded input where there are `borders`.
    of_weight : ConvProblem
        A plain convolution with the same weights.
    transposed : bool
        Whether the forward operation is: then its output is the image that `of_weight` reads.
    borders : tuple of Border or None
        What a padding mode other than zeros puts around the input first.
    x_shape, grad_shape : tuple of int
        Of the batch, unpadded, and of `grad_output` in the user's layout, always 4-D.
    weight_shape : tuple of int
    batched : bool
    dtype, result_dtype : dtype
        What is computed in, and what is returned.
    """

    of_input: ConvCase
    of_weight: ConvProblem
    transposed: bool
    borders: Borders | None
    x_shape: Shape
    grad_shape: Shape
    weight_shape: Shape
    batched: bool
    dtype: np.dtype[Any]
    result_dtype: np.dtype[Any]


@kept()
def find_gradients(
    o: ConvOptions,
    precision: Precision,
    x_shape: Shape,
    weight_shape: Shape,
    grad_shape: Shape,
    result_dtype: np.dtype[Any],
) -> GradientCase:
    """The case of a call; all errors about shapes are raised here."""
    forward = find_case(o, precision, x_shape, result_dtype, weight_shape, result_dtype)
    expected = forward.shape if forward.batched else forward.shape[1:]
    check_grad(o.op, grad_shape, expected, o.x_name, x_shape)
    problem, dtype = forward.problem, forward.dtype
    backward = replace(problem, transposed=not problem.transposed)
    of_input = ConvCase(
        backward, None, forward.shape, backward.result_in(o.layout), forward.batched, dtype,
        result_dtype if forward.borders is None else dtype,
    )  # fmt: skip
    return GradientCase(
        of_input, replace(problem, transposed=False, algorithm=None), problem.transposed, forward.borders,
        forward.x_shape, forward.shape, weight_shape, forward.batched, dtype, result_dtype,
    )  # fmt: skip


class GradientCall:
    """The gradients of one convolution that are needed, checked in full before any work is done; `run` does it."""

    def __init__(
        self,
        o: ConvOptions,
        backend: Backend,
        case: GradientCase,
        needs: tuple[bool, ...],
        out: Array | None = None,
        *inputs: Array,
    ) -> None:
        self._o, self._backend, self._case = o, backend, case
        dtype = case.result_dtype
        self._input: ConvCall | None = None
        self._unpadded, self._weight, self._bias = (None,) * 3
        if needs[0]:
            padded = case.borders is not None
            self._input = ConvCall(o, backend, case.of_input, None, None, None if padded else out, *inputs)
            if padded:
                self._unpadded = Result(o.op, case.x_shape, dtype, out, *inputs, batched=case.batched)
        else:
            check_algorithm(o, backend)
        if case.borders is not None:
            check_memory(o.op, case.of_weight.input_shape, dtype.itemsize, "the padded image")
        if needs[1]:
            self._weight = Result(o.op, case.weight_shape, dtype, out, *inputs)
        if needs[2]:
            channels = case.grad_shape[channel_axis(o.layout)]
            self._bias = Result(o.op, (channels,), dtype, out, *inputs)

    def run(self, x: Operand, weight: Operand, grad_output: Array, slope: Slope | None = None) -> Gradients:
        case = self._case
        grad = native(grad_output, case.dtype).reshape(case.grad_shape)
        if slope is not None:
            grad = times_slope(self._backend, slope, grad, empty(self._o.op, grad.shape, case.dtype))
        grad_x = None if self._input is None else self._input_gradient(self._input, weight, grad)
        self._sums(x, grad)
        grad_weight, grad_bias = (None if r is None else r.value() for r in (self._weight, self._bias))
        return grad_x, grad_weight, grad_bias

    def _input_gradient(self, call: ConvCall, weight: Operand, grad: Array) -> Array:
        o, case = self._o, self._case
        assert isinstance(weight, np.ndarray)
        grad_x = call.run(grad, weight)
        if self._unpadded is None:
            return grad_x
        assert case.borders is not None
        if case.x_shape[0]:
            grad_x = grad_x.reshape(case.of_input.shape)
            add_padding(self._backend, grad_x, case.borders, o.padding_mode, o.layout, self._unpadded.buffer)
        return self._unpadded.value()

    def _sums(self, x: Operand, grad: Array) -> None:
        """The gradients of weights and bias, which are sums over the batch; those of an empty one are 0."""
        o, case, backend = self._o, self._case, self._backend
        problem = case.of_weight
        weight, bias = (None if r is None else r.buffer for r in (self._weight, self._bias))
        if not case.x_shape[0]:
            for buffer in (weight, bias):
                if buffer is not None:
                    buffer[...] = 0
            return
        if weight is not None:
            assert isinstance(x, np.ndarray)
            image = native(x, case.dtype).reshape(case.x_shape)
            if case.borders is not None:
                image = pad_image(
                    o.op,
                    backend,
                    image,
                    case.borders,
                    o.padding_mode,
                    o.padding_value,
                    o.layout,
                    "the padded image",
                )
            x, grad_output = (grad, image) if case.transposed else (image, grad)
            backend.conv_weight_gradient(
                problem,
                x.reshape(problem.input_shape),
                grad_output.reshape(problem.output_shape),
                weight.reshape(problem.weight_shape),
                None if case.transposed else bias,
            )
            if not case.transposed:
                return
        if bias is not None:
            layout, (slopes,) = as_in_memory(o.layout, grad)
            backend.channel_sums(slopes, layout, bias)


def gradients(
    o: ConvOptions,
    x: Operand,
    weight: Operand,
    grad_output: ArrayLike,
    needs: tuple[bool, ...],
    *,
    activation: ActivationLike | None = None,
    output: ArrayLike | None = None,
    preactivation: ArrayLike | None = None,
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Gradients:
    """The gradients of one convolution that are needed; `x` and `weight` have been read."""
    engine = resolve(o.op, backend)
    grad = as_array(o.op, "grad_output", grad_output)
    slope = read_slope(o.op, activation, output, preactivation, grad.shape)
    arrays = [
        a for a in (x, weight, grad, None if slope is None else slope.value) if isinstance(a, np.ndarray)
    ]
    dtype = float_result(*(a.dtype for a in arrays))
    x_shape, weight_shape = (a.shape if isinstance(a, np.ndarray) else a for a in (x, weight))
    case = find_gradients(o, o.precision or get_precision(), x_shape, weight_shape, grad.shape, dtype)
    call = GradientCall(o, engine, case, needs, out, *arrays)
    with memory_errors(o.op):
        return call.run(x, weight, grad, slope)


def one_gradient(*arguments: Any, **named: Any) -> Array:
    """The one gradient that is needed, as `gradients` computes it."""
    (result,) = (g for g in gradients(*arguments, **named) if g is not None)
    return result


def all_gradients(
    op: str,
    x: ArrayLike,
    weight: ArrayLike,
    grad_output: ArrayLike,
    given: Given,
    needs: NeedsLike,
    activation: ActivationLike | None,
    output: ArrayLike | None,
    preactivation: ArrayLike | None,
    backend: BackendName | None,
    *,
    depthwise: bool = False,
) -> Gradients:
    """The gradients that a user asked for, from the arguments as they were given: `given` are the convolution's
    options, in the order of `ConvOptions.read`."""
    wanted = read_needs(op, needs)
    plain = activation is None and output is None and preactivation is None
    named = (*given, *map(int, wanted))
    if plain:
        known = recall_gradients(op, x, weight, grad_output, named, backend)
        if known is not None:
            return known
    o = ConvOptions.read(op, *given, depthwise=depthwise)  # type: ignore[arg-type]
    image, kernel = as_array(op, "x", x), read_weight(op, "weight", weight)
    results = gradients(
        o, image, kernel, grad_output, wanted,
        activation=activation, output=output, preactivation=preactivation, backend=backend,
    )  # fmt: skip
    if plain and image is x and kernel is weight and type(grad_output) is np.ndarray:
        shortcut = shortcut_of(o, image, kernel, grad_output, wanted, backend)
        remember(shortcut, op, named, backend, image, kernel, grad_output)
    return results


def shortcut_of(
    o: ConvOptions,
    x: Array,
    weight: Array,
    grad: Array,
    needs: tuple[bool, ...],
    backend: BackendName | None,
) -> Any:
    """What gives the same gradients again with less ado; None where there is no such thing."""
    dtype = float_result(x.dtype, weight.dtype, grad.dtype)
    case = find_gradients(o, o.precision or get_precision(), x.shape, weight.shape, grad.shape, dtype)
    if case.borders is not None or case.dtype != case.result_dtype or not case.x_shape[0]:
        return None
    shapes = x.shape, weight.shape, (case.grad_shape[channel_axis(o.layout)],)
    needed = tuple(shape if need else None for shape, need in zip(shapes, needs, strict=True))
    engine = resolve(o.op, backend)
    mixed = needs[0] and mixes_pixels(engine, case.of_input.problem, once=True)
    far = FAR_APART[case.dtype] if mixed else 0.0
    return engine.gradient_shortcut(case.of_input.problem, case.of_weight, case.transposed, needed, far)
