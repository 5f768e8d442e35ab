"""Gradients of what keeps the shape: activations, also fused into those of a convolution, and normalisation."""

from __future__ import annotations

from typing import NamedTuple, SupportsFloat, SupportsIndex

from fastconv import arguments
from fastconv.backends import resolve
from fastconv.backends.protocol import Backend
from fastconv.execution.arrays import Result, as_array, as_in_memory, images, native
from fastconv.execution.memory import memory_errors
from fastconv.problem import options as opt
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import check_layout
from fastconv.problem.options import Activation
from fastconv.typing import ActivationLike, Array, ArrayLike, BackendName, Layout

__all__ = ["activation", "local_response_norm"]


class Slope(NamedTuple):
    """An activation, and the array that determines its slope: its output or its input."""

    activation: Activation
    value: Array
    from_output: bool


def read_slope(
    op: str,
    name: ActivationLike | None,
    output: ArrayLike | None,
    preactivation: ArrayLike | None,
    shape: tuple[int, ...],
    argument: str = "activation",
) -> Slope | None:
    """The slope of the activation that a user named; None where there is no activation."""
    known = opt.activation(op, name, argument)
    if known is None:
        return None
    by_output = output is not None and determined_by_output(known)
    if not by_output and preactivation is None:
        if output is None and determined_by_output(known):
            raise ValueError(f"{op}: {argument} is {name!r}, which needs output= or preactivation=")
        raise ValueError(
            f"{op}: {argument} is {name!r}, whose output does not determine its slope: needs preactivation=, "
            "the activation's input"
        )
    source = "output" if by_output else "preactivation"
    value = as_array(op, source, output if by_output else preactivation)
    if value.shape != shape:
        raise ValueError(f"{op}: {source} has shape {value.shape}, but grad_output has shape {shape}")
    return Slope(known, value, by_output)


def determined_by_output(known: Activation) -> bool:
    if known.name == "leaky_relu":
        return known.a > 0  # otherwise positive and negative inputs share their outputs
    return known.name in ("relu", "clip", "sigmoid", "tanh")


def times_slope(backend: Backend, slope: Slope, grad_output: Array, out: Array) -> Array:
    """`out`, filled; it and `grad_output` are what a backend takes."""
    if out.size:
        value = native(slope.value, out.dtype).reshape(out.shape)
        known = slope.activation
        if slope.from_output and known.name == "clip" and slope.value.dtype.kind not in "biu":
            # The limits as they are in the output, which may have been rounded past them.
            low, high = (float(slope.value.dtype.type(limit)) for limit in (known.a, known.b))
            known = known._replace(a=low, b=high)
        backend.activation_gradient(known, grad_output, value, slope.from_output, out)
    return out


def activation(
    grad_output: ArrayLike,
    output: ArrayLike | None,
    name: ActivationLike,
    *,
    preactivation: ArrayLike | None = None,
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of an activation's input: `grad_output` times the activation's slope.

    Parameters
    ----------
    grad_output : array_like
        The gradient of the activation's output; of any shape.
    output : array_like or None
        The activation's output, of the same shape. It determines the slope of ``"relu"``, ``"relu6"``,
        ``"sigmoid"``, ``"tanh"``, ``("clip", low, high)`` and of ``"leaky_relu"`` with a slope above 0.
    name : str or tuple
        The activation, as for `fastconv.conv2d`.
    preactivation : array_like, optional
        The activation's input: needed for ``"silu"``, ``"hardswish"``, ``"gelu"`` and for ``"leaky_relu"`` with a
        slope of 0 or below; for the others it may stand in for `output`.
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping an input.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of the shape of `grad_output`; its dtype is that of both arrays promoted together.

    Raises
    ------
    ValueError
        If the shapes differ, or the array that determines the slope is missing.
    TypeError
        If an argument is of the wrong kind.

    Notes
    -----
    At a kink the slope is PyTorch's: that of ``"relu"`` and ``"clip"`` is 0, that of ``"leaky_relu"`` the one to
    the left, that of ``"hardswish"`` the outer one.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> output = np.array([0.0, 0.0, 3.0])
    >>> fastconv.grad.activation(np.array([1.0, 2.0, 4.0]), output, "relu")
    array([0., 0., 4.])
    """
    op = "grad.activation"
    grad = as_array(op, "grad_output", grad_output)
    slope = read_slope(op, name, output, preactivation, grad.shape, "name")
    if slope is None:
        raise TypeError(f"{op}: name is None, but needs the name of an activation")
    engine = resolve(op, backend)
    dtype = float_result(grad.dtype, slope.value.dtype)
    result = Result(op, grad.shape, dtype, out, grad, slope.value)
    times_slope(engine, slope, native(grad, compute_dtype(dtype)), result.buffer)
    return result.value()


def local_response_norm(
    grad_output: ArrayLike,
    x: ArrayLike,
    size: SupportsIndex,
    alpha: SupportsFloat = 1e-4,
    beta: SupportsFloat = 0.75,
    k: SupportsFloat = 1.0,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.local_response_norm`.

    ``g[c] / d[c]**beta - 2 * alpha * beta / size * x[c] * sum of g[i] * x[i] / d[i]**(beta + 1)``, where ``d`` is the
    base of the forward function's power, over all channels `i` whose sum holds channel `c`.

    Parameters
    ----------
    grad_output : array_like
        Of the shape of `x`.
    x : array_like
        The input of the forward call.
    size, alpha, beta, k, layout
        As for `fastconv.local_response_norm`.
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping an input.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of the shape of `x`.

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[3.0]], [[4.0]]])
    >>> fastconv.grad.local_response_norm(np.ones_like(x), x, 3, alpha=3.0, beta=0.5, k=0.0).ravel().round(3)
    array([ 0.032, -0.024])
    """
    op = "grad.local_response_norm"
    check_layout(op, layout)
    image, batched = images(op, "x", x, layout)
    grad = as_array(op, "grad_output", grad_output)
    shape = image.shape if batched else image.shape[1:]
    if grad.shape != shape:
        raise ValueError(f"{op}: grad_output has shape {grad.shape}, but x has shape {shape}")
    count = arguments.integer(op, "size", size, 1)
    alpha, beta, k = (
        arguments.number(op, name, v) for name, v in (("alpha", alpha), ("beta", beta), ("k", k))
    )
    engine = resolve(op, backend)
    dtype = float_result(image.dtype, grad.dtype)
    result = Result(op, image.shape, dtype, out, image, grad, batched=batched)
    if image.shape[0]:
        given = (native(a, compute_dtype(dtype)).reshape(image.shape) for a in (image, grad))
        seen, (source, slopes, target) = as_in_memory(layout, *given, result.buffer)
        with memory_errors(op):
            engine.local_response_norm_gradient(source, slopes, count, alpha, beta, k, seen, target)
    return result.value()
