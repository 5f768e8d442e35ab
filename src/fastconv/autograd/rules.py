"""How a call is recorded: its value, its gradients, and what to differentiate again; a rule for each kind of operation.

Called by the functions of `operations.py` with the arrays, some of which are autograd's boxes, and all other arguments
by name.
"""

# What autograd.numpy has is made when it is imported:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import make_vjp
from autograd.tracer import getval

import fastconv
from fastconv import grad
from fastconv.autograd import composed
from fastconv.autograd.primitives import Maps, Primitive, apply, contract
from fastconv.caches import constant
from fastconv.execution.arrays import as_array
from fastconv.grad.elementwise import determined_by_output
from fastconv.problem import options as opt
from fastconv.problem.dtypes import float_result
from fastconv.problem.layout import channels_last, plane_size
from fastconv.typing import Array, BackendName, Layout

Named = dict[str, Any]


@constant
def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


def _accepted(function: Callable[..., Any], options: Named) -> Named:
    return {name: value for name, value in options.items() if name in _parameters(function)}


def linear(name: str, arrays: Named, options: Named) -> Any:
    """Averages, padding, unpooling, unfold and fold."""
    forward, gradient, x = getattr(fastconv, name), getattr(grad, name), arrays["x"]
    value = forward(getval(x), **options)
    if "value" in options:  # what `pad2d` fills with: its constant part
        options = options | {"value": 0.0}
    back = _accepted(gradient, options | {"input_size": x.shape})
    return _apply_linear(value, (partial(gradient, **back), partial(forward, **options)), x)


def _apply_linear(value: Array, maps: Maps, x: Any) -> Any:
    """`maps` as `contract` takes them: the transposed map, and the map."""
    return apply(Primitive(value, _of_one(lambda g, x: maps[0](g)), lambda x: contract(maps, x, None)), x)


def _of_one(gradient: Callable[[Array, Array], Array]) -> Callable[..., tuple[Any, ...]]:
    """An `Primitive.gradient` where there is but one array, from ``gradient(grad_output, x)``."""
    return lambda wanted, g, x: (gradient(g, x),)


def pick(name: str, arrays: Named, options: Named) -> Any:
    """Poolings that pick one pixel of every window: linear, as long as they pick the same ones."""
    forward, gradient, x = getattr(fastconv, name), getattr(grad, name), arrays["x"]
    value, indices = forward(getval(x), **options | {"return_indices": True})
    back = _accepted(gradient, options | {"input_size": x.shape, "indices": indices})
    picked = partial(_pick, indices=indices, layout=options["layout"])
    result = _apply_linear(value, (partial(gradient, **back), picked), x)
    return (result, indices) if options["return_indices"] else result


def _pick(x: Array, indices: Array, layout: Layout) -> Array:
    """The pixels of `x` at flat positions in its planes; one for each channel may come without spatial axes."""
    channels = x.shape[-1:] if channels_last(layout) else ()
    size = plane_size(x.shape, layout)
    lead = x.shape[: x.ndim - len(channels) - 2]
    picked = math.prod(indices.shape[len(lead) : indices.ndim - len(channels)])
    planes = x.reshape(*lead, math.prod(size), *channels)
    flat = indices.reshape(*lead, picked, *channels)
    return np.take_along_axis(planes, flat, len(lead)).reshape(indices.shape)


def random_pick(name: str, arrays: Named, options: Named) -> Any:
    """`stochastic_pool2d`: picks by indices, or else means of windows, weighted by their own pixels."""
    if options["training"]:
        return pick(name, arrays, options)
    x = arrays["x"]
    value = fastconv.stochastic_pool2d(getval(x), **options)
    sums = _accepted(fastconv.avg_pool2d, options) | {"divisor_override": 1}
    window_sum = partial(grad.avg_pool2d, input_size=x.shape, **sums), partial(fastconv.avg_pool2d, **sums)
    mean = partial(composed.weighted_mean, window_sum=window_sum)
    return apply(Primitive(value, _of_one(lambda g, x: make_vjp(mean)(x)[0](g)), mean), x)


def window_norm(name: str, arrays: Named, options: Named) -> Any:
    """`lp_pool2d`."""

    def largest(x: Any) -> Any:
        windows = _accepted(fastconv.max_pool2d, options) | {"return_indices": False}
        return pick("max_pool2d", {"x": anp.abs(x)}, windows)

    x, power = arrays["x"], float(options["norm_type"])
    value = fastconv.lp_pool2d(getval(x), **options)
    norm = partial(composed.lp_norm, power=power, window_sum=_window_sum(x.shape, options))
    gradient = _of_one(partial(grad.lp_pool2d, **options))
    return apply(Primitive(value, gradient, largest if math.isinf(power) else norm), x)


def _window_sum(size: tuple[int, ...], options: Named) -> Maps:
    """The sums of windows, scaled as `lp_pool2d` scales them: its L_1 norms of what is not negative."""
    first: Named = options | {"norm_type": 1}
    return (
        lambda g: grad.lp_pool2d(g, np.ones(size, g.dtype), **first),
        lambda v: (
            fastconv.lp_pool2d(np.maximum(v, 0), **first) - fastconv.lp_pool2d(np.maximum(-v, 0), **first)
        ),
    )


def channel_norm(name: str, arrays: Named, options: Named) -> Any:
    """`local_response_norm`."""
    value = fastconv.local_response_norm(getval(arrays["x"]), **options)
    again = partial(composed.local_response_norm, **options)
    gradient = _of_one(partial(grad.local_response_norm, **options))
    return apply(Primitive(value, gradient, again), arrays["x"])


def softmax(name: str, arrays: Named, options: Named) -> Any:
    """`softmax` and `log_softmax`, whose gradients take the output."""
    value = getattr(fastconv, name)(getval(arrays["x"]), **options)
    gradient = _of_one(lambda g, x: getattr(grad, name)(g, value, **options))
    again = partial(getattr(composed, name), dim=options["dim"])
    return apply(Primitive(value, gradient, again), arrays["x"])


def normalised(name: str, arrays: Named, options: Named) -> Any:
    """Normalisation by mean and variance."""
    forward, gradient = getattr(fastconv, name), getattr(grad, name)
    value = forward(**{key: getval(array) for key, array in arrays.items()}, **options)
    back = _accepted(gradient, options)

    def gradients(wanted: tuple[int, ...], g: Array, x: Array, weight: Any, bias: Any) -> tuple[Any, ...]:
        found = gradient(g, x, weight=weight, needs=tuple(i in wanted for i in range(3)), **back)
        return tuple(found[i] for i in wanted)

    again = getattr(composed, name)
    return apply(Primitive(value, gradients, partial(again, **_accepted(again, options))), *arrays.values())


def deformable(name: str, arrays: Named, options: Named) -> Any:
    """`deform_conv2d`."""

    def gradient(wanted: tuple[int, ...], g: Array, x: Array, *rest: Any) -> tuple[Any, ...]:
        offset, weight, _, mask = rest
        found = grad.deform_conv2d(x, offset, weight, g, mask=mask, **options)
        return tuple(found[i] for i in wanted)

    value = fastconv.deform_conv2d(**{key: getval(array) for key, array in arrays.items()}, **options)
    again = partial(composed.deform_conv2d, **_accepted(composed.deform_conv2d, options))
    return apply(Primitive(value, gradient, again), *arrays.values())


def activation(x: Any, name: Any, *, backend: BackendName | None = None) -> Array:
    """The activation of a convolution, on its own.

    Parameters
    ----------
    x : array_like
        Of any shape; integers are promoted together with float32.
    name : str, tuple or None
        As `activation` of `fastconv.conv2d`.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of the shape of `x`.

    Raises
    ------
    ValueError, TypeError
        If there is no such activation, or `x` has no real dtype.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.autograd
    >>> fastconv.autograd.activation(np.array([-1.0, 0.5, 8.0]), "relu6")
    array([0. , 0.5, 6. ])
    """
    op = "activation"
    array = as_array(op, "x", x)
    dtype = float_result(array.dtype)
    if opt.activation(op, name) is None or not array.size:
        return array.astype(dtype)
    image, kernel = array.reshape(1, 1, 1, -1), np.ones((1, 1, 1, 1), dtype)
    return fastconv.conv2d(image, kernel, activation=name, backend=backend).reshape(array.shape)


def elementwise(name: str, arrays: Named, options: Named) -> Any:
    """`activation`."""
    kind = opt.activation(name, options["name"])
    if kind is None:
        return arrays["x"]
    value = activation(getval(arrays["x"]), **options)
    gradient = _of_one(lambda g, x: grad.activation(g, value, preactivation=x, **options))
    return apply(Primitive(value, gradient, partial(composed.activate, kind)), arrays["x"])


def _activated(name: str, arrays: Named, options: Named) -> tuple[opt.Activation | None, Array, Named]:
    """The activation of a call that ends with one, its value, and what its gradient takes the slope from."""
    forward = getattr(fastconv, name)
    raw = {key: getval(array) for key, array in arrays.items()}
    kind = opt.activation(name, options["activation"])
    slope: Named = {"activation": options["activation"], "output": None, "preactivation": None}
    if kind is None or determined_by_output(kind):
        value = slope["output"] = forward(**raw, **options)
    else:
        slope["preactivation"] = forward(**raw, **options | {"activation": None})
        value = activation(slope["preactivation"], options["activation"], backend=options["backend"])
    return kind, value, slope


def product(name: str, arrays: Named, options: Named) -> Any:
    """`dense`."""
    kind, value, slope = _activated(name, arrays, options)
    back = {"backend": options["backend"]}

    def gradients(wanted: tuple[int, ...], g: Array, x: Array, weight: Array, bias: Any) -> tuple[Any, ...]:
        found = grad.dense(x, weight, g, needs=tuple(i in wanted for i in range(3)), **slope, **back)
        return tuple(found[i] for i in wanted)

    def again(x: Any, weight: Any, bias: Any) -> Any:
        y = anp.dot(x, anp.transpose(weight))
        y = y if bias is None else y + bias
        return y if kind is None else composed.activate(kind, y)

    return apply(Primitive(value, gradients, again), *arrays.values())


def convolution(name: str, arrays: Named, options: Named) -> Any:
    """All convolutions but the deformable one: of `x` and weights; then bias, residual and activation."""
    gradient = getattr(grad, name)
    kind, value, slope = _activated(name, arrays, options)
    product = _separable(options) if name == "separable_conv2d" else _product(name, options)
    back = _backward(gradient, options)
    last = len(arrays) - 1  # the residual

    def gradients(wanted: tuple[int, ...], g: Array, *operands: Any) -> tuple[Any, ...]:
        factors, needs, fused = operands[: last - 1], tuple(i in wanted for i in range(last)), slope
        if last in wanted and kind is not None:  # the residual's gradient is that of the activation's input
            output, before = slope["output"], slope["preactivation"]
            g = grad.activation(
                g, output, options["activation"], preactivation=before, backend=options["backend"]
            )
            fused = {}
        found = (*gradient(*factors, g, needs=needs, **fused, **back), g)
        return tuple(found[i] for i in wanted)

    def again(*operands: Any) -> Any:
        *factors, bias, residual = operands
        y = product(*factors)
        if bias is not None:
            spatial = factors[-1].ndim - 2 if not channels_last(options["layout"]) else 0
            y = y + anp.reshape(bias, (-1, *(1,) * spatial))
        if residual is not None:
            y = y + residual
        return y if kind is None else composed.activate(kind, y)

    return apply(Primitive(value, gradients, again), *arrays.values())


def _backward(gradient: Callable[..., Any], options: Named) -> Named:
    """The options that a gradient shares; an algorithm that can do a convolution may not be able to do its way back."""
    accepted = _accepted(gradient, options)
    return {key: value for key, value in accepted.items() if key not in ("activation", "algorithm")}


def _product(name: str, options: Named) -> Callable[[Any, Any], Any]:
    """A convolution alone, as `contract` takes it; what its padding adds is by itself, as `x` has no part in it."""
    forward, gradient = getattr(fastconv, name), getattr(grad, name)
    options = _accepted(forward, options | {"activation": None})
    back = _backward(gradient, options)
    if options.get("padding_value"):
        linear = _product(name, options | {"padding_mode": "zeros", "padding_value": 0.0})

        def affine(x: Any, weight: Any) -> Any:
            no_x, no_weight = (np.broadcast_to(np.zeros((), v.dtype), v.shape) for v in (x, weight))
            of_padding = (
                lambda g: gradient(no_x, no_weight, g, needs=(False, True, False), **back)[1],
                lambda weight: forward(no_x, weight, **options),
            )
            return linear(x, weight) + contract(of_padding, weight, None)

        return affine

    def product(x: Any, weight: Any) -> Any:
        # Stand-ins for the operand whose gradient is computed: only its shape counts.
        no_x, no_weight = (np.broadcast_to(np.zeros((), v.dtype), v.shape) for v in (x, weight))
        maps = (
            lambda weight, g: gradient(no_x, weight, g, needs=(True, False, False), **back)[0],
            lambda x, g: gradient(x, no_weight, g, needs=(False, True, False), **back)[1],
            lambda x, weight: forward(x, weight, **options),
        )
        return contract(maps, x, weight, None)

    return product


def _separable(options: Named) -> Callable[[Any, Any, Any], Any]:
    depthwise = _product("depthwise_conv2d", options)
    pointwise = _product("conv2d", {key: options[key] for key in ("layout", "precision", "backend")})
    return lambda x, first, second: pointwise(depthwise(x, first), second)
