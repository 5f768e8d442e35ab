"""Normalisation, softmax, and what drops values at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import grad
from fastconv.backends import resolve
from fastconv.execution.arrays import native
from fastconv.execution.memory import empty, memory_errors
from fastconv.execution.normalisation import (
    bounds_of,
    follow,
    rounded,
    train_batch,
    train_batch_gradient,
    unbiased,
)
from fastconv.nn.operation import Operation, Pullback
from fastconv.nn.symbols import Drawing, Symbol, is_last
from fastconv.ops.norm import local_response_norm
from fastconv.ops.normalise import batch_norm, group_norm, instance_norm, layer_norm
from fastconv.ops.softmax import log_softmax, softmax
from fastconv.problem.layout import channel_axis
from fastconv.problem.options import activation as read
from fastconv.typing import Array


def _run_batch(
    x: Array, weight: Array | None, bias: Array | None, *, mean: Any, variance: Any, eps: float, layout: Any
) -> Array:
    return batch_norm(x, mean, variance, weight, bias, eps=eps, layout=layout)


def _record_batch(
    needs: tuple[bool, ...],
    x: Array,
    weight: Array | None,
    bias: Array | None,
    *,
    mean: Any,
    variance: Any,
    eps: float,
    layout: Any,
) -> tuple[Array, Pullback]:
    y = batch_norm(x, mean, variance, weight, bias, eps=eps, layout=layout)
    known = np.copy(mean), np.copy(variance)  # they may be written to before the gradient is asked for

    def back(slope: Array) -> tuple[Any, ...]:
        return grad.batch_norm(slope, x, *known, weight, False, eps, needs=needs, layout=layout)

    return y, back


def _vector(drawing: Drawing, value: Any, size: int, default: float, like: Symbol) -> Symbol:
    return drawing.symbol(np.full(size, default, like.dtype) if value is None else value, like)


def _emit_batch(
    drawing: Drawing, x: Symbol, weight: Any, bias: Any, *, mean: Any, variance: Any, eps: float, layout: Any
) -> Symbol:
    if mean is None:
        raise ValueError("batch_norm with the statistics of the batch has no form as a graph")
    last = is_last({"layout": layout})
    image = drawing.images(x, last)
    channels = image.shape[1]
    given = [_vector(drawing, weight, channels, 1.0, x), _vector(drawing, bias, channels, 0.0, x)]
    given += [drawing.symbol(drawing.lift(value), x) for value in (mean, variance)]
    y = drawing.node("BatchNormalization", [image, *given], epsilon=float(eps))
    return drawing.back(y, last)


BATCH_NORM = Operation("batch_norm", _run_batch, _record_batch, _emit_batch)


def cuts_off(activation: Any) -> bool:
    """Whether `TRAIN_BATCH` can do an activation, too."""
    return bounds_of(read("activation", activation)) is not None


def _trained(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    residual: Array | None,
    *,
    mean: Array | None,
    variance: Array | None,
    momentum: float,
    eps: float,
    activation: Any,
    layout: Any,
) -> tuple[Array, Array]:
    """The result, and the statistics of the batch, which the running ones, where there are any, follow."""
    y = empty("batch_norm", x.shape, x.dtype)
    if not x.shape[0]:
        return y, np.zeros((2, x.shape[channel_axis(layout)]))
    engine, known = resolve("batch_norm", None), read("activation", activation)
    short = None if residual is None else native(residual, x.dtype)
    with memory_errors("batch_norm"):
        found = train_batch(
            "batch_norm", engine, native(x, x.dtype), layout, weight, bias, short, eps, known, y
        )
    if mean is not None and variance is not None and momentum:
        follow(mean, found[0], momentum)
        follow(variance, unbiased(found, x.size // found.shape[1]), momentum)
    return y, found


def _record_trained(
    needs: tuple[bool, ...],
    x: Array,
    weight: Array | None,
    bias: Array | None,
    residual: Array | None,
    **options: Any,
) -> tuple[Array, Pullback]:
    y, found = _trained(x, weight, bias, residual, **options)
    activation, eps, layout = read("activation", options["activation"]), options["eps"], options["layout"]
    output = None if activation is None else y

    def back(slope: Array) -> tuple[Any, ...]:
        of_residual = slope if needs[3] else None
        if not x.shape[0]:
            of_x, totals = slope, np.zeros_like(found)
        else:
            if needs[3] and activation is not None:
                of_residual = empty("grad.batch_norm", x.shape, x.dtype)
            of_x = empty("grad.batch_norm", x.shape, x.dtype)
            with memory_errors("grad.batch_norm"):
                totals = train_batch_gradient(
                    resolve("grad.batch_norm", None), native(x, x.dtype), native(slope, x.dtype), layout, output,
                    weight, found, eps, activation, of_x, None if activation is None else of_residual,
                )  # fmt: skip
        of_weight, of_bias = rounded(totals, x.dtype)
        return of_x if needs[0] else None, of_weight, of_bias, of_residual

    return y, back


def _emit_trained(*_: Any, **__: Any) -> Symbol:
    raise ValueError("batch_norm with the statistics of the batch has no form as a graph")


# In training: by the batch's statistics, then a residual, which may be missing, and an activation that only cuts off.
TRAIN_BATCH = Operation(
    "batch_norm", lambda *arrays, **o: _trained(*arrays, **o)[0], _record_trained, _emit_trained
)


def _run_group(x: Array, weight: Any, bias: Any, *, groups: int, eps: float, layout: Any) -> Array:
    return group_norm(x, groups, weight, bias, eps, layout=layout)


def _record_group(
    needs: tuple[bool, ...], x: Array, weight: Any, bias: Any, *, groups: int, eps: float, layout: Any
) -> tuple[Array, Pullback]:
    y = group_norm(x, groups, weight, bias, eps, layout=layout)
    return y, lambda slope: grad.group_norm(slope, x, groups, weight, eps, needs=needs, layout=layout)


def _emit_group(
    drawing: Drawing, x: Symbol, weight: Any, bias: Any, *, groups: int, eps: float, layout: Any
) -> Symbol:
    last = is_last({"layout": layout})
    image = drawing.images(x, last)
    channels = image.shape[1]
    given = [_vector(drawing, weight, channels, 1.0, x), _vector(drawing, bias, channels, 0.0, x)]
    kind = 11 if x.dtype == np.float64 else 1
    y = drawing.node(
        "GroupNormalization", [image, *given], num_groups=groups, epsilon=float(eps), stash_type=kind
    )
    return drawing.back(y, last)


GROUP_NORM = Operation("group_norm", _run_group, _record_group, _emit_group)


def _run_instance(x: Array, weight: Any, bias: Any, *, eps: float, layout: Any) -> Array:
    return instance_norm(x, weight, bias, eps, layout=layout)


def _record_instance(
    needs: tuple[bool, ...], x: Array, weight: Any, bias: Any, *, eps: float, layout: Any
) -> tuple[Array, Pullback]:
    y = instance_norm(x, weight, bias, eps, layout=layout)
    return y, lambda slope: grad.instance_norm(slope, x, weight, eps, needs=needs, layout=layout)


def _emit_instance(drawing: Drawing, x: Symbol, weight: Any, bias: Any, *, eps: float, layout: Any) -> Symbol:
    last = is_last({"layout": layout})
    image = drawing.images(x, last)
    channels = image.shape[1]
    given = [_vector(drawing, weight, channels, 1.0, x), _vector(drawing, bias, channels, 0.0, x)]
    return drawing.back(drawing.node("InstanceNormalization", [image, *given], epsilon=float(eps)), last)


INSTANCE_NORM = Operation("instance_norm", _run_instance, _record_instance, _emit_instance)


def _run_layer(x: Array, weight: Any, bias: Any, *, shape: tuple[int, ...], eps: float) -> Array:
    return layer_norm(x, shape, weight, bias, eps)


def _record_layer(
    needs: tuple[bool, ...], x: Array, weight: Any, bias: Any, *, shape: tuple[int, ...], eps: float
) -> tuple[Array, Pullback]:
    y = layer_norm(x, shape, weight, bias, eps)
    return y, lambda slope: grad.layer_norm(slope, x, shape, weight, eps, needs=needs)


def _emit_layer(
    drawing: Drawing, x: Symbol, weight: Any, bias: Any, *, shape: tuple[int, ...], eps: float
) -> Symbol:
    scale = drawing.symbol(np.ones(shape, x.dtype) if weight is None else weight, x)
    given = [x, scale, None if bias is None else drawing.symbol(bias, x)]
    kind = 11 if x.dtype == np.float64 else 1
    return drawing.node("LayerNormalization", given, axis=-len(shape), epsilon=float(eps), stash_type=kind)


LAYER_NORM = Operation("layer_norm", _run_layer, _record_layer, _emit_layer)


def _record_response(needs: tuple[bool, ...], x: Array, **options: Any) -> tuple[Array, Pullback]:
    y = local_response_norm(x, **options)
    return y, lambda slope: (grad.local_response_norm(slope, x, **options),)


def _emit_response(
    drawing: Drawing, x: Symbol, *, size: int, alpha: float, beta: float, k: float, layout: Any
) -> Symbol:
    last = is_last({"layout": layout})
    image = drawing.images(x, last)
    y = drawing.node("LRN", [image], size=size, alpha=float(alpha), beta=float(beta), bias=float(k))
    return drawing.back(y, last)


LOCAL_RESPONSE_NORM = Operation("local_response_norm", local_response_norm, _record_response, _emit_response)


def _record_softmax(needs: tuple[bool, ...], x: Array, *, dim: int) -> tuple[Array, Pullback]:
    y = softmax(x, dim)
    return y, lambda slope: (grad.softmax(slope, y, dim),)


def _record_log_softmax(needs: tuple[bool, ...], x: Array, *, dim: int) -> tuple[Array, Pullback]:
    y = log_softmax(x, dim)
    return y, lambda slope: (grad.log_softmax(slope, y, dim),)


SOFTMAX = Operation(
    "softmax",
    lambda x, *, dim: softmax(x, dim),
    _record_softmax,
    lambda drawing, x, *, dim: drawing.node("Softmax", [x], axis=dim),
)
LOG_SOFTMAX = Operation(
    "log_softmax",
    lambda x, *, dim: log_softmax(x, dim),
    _record_log_softmax,
    lambda drawing, x, *, dim: drawing.node("LogSoftmax", [x], axis=dim),
)
