"""JAX: functions of ``jax.lax``, compiled by XLA for the CPU.

Called by `peers`. In mode ``"plan"`` weights are constants of the compiled function, which XLA may
rearrange when it compiles; in the others they are its arguments, as in training. Compiling is never part of the time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.extend.backend
import jax.numpy as jnp
import numpy as np
from jax import lax

from fastconv.bench.layers.layer import Layer, from_layout, grad_output, to_layout
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.peers import reading
from fastconv.bench.runners.runner import PreparedLayer
from fastconv.typing import Array, Layout

Tensor = Any  # of JAX, whose types are not known where it is not installed
Function = Callable[..., Tensor]
VERSION: str = jax.__version__
_SIZES_OF_POOLS = ("PJRT_NPROC", "NPROC")  # read by XLA's client for CPUs when it is made; the older name too


def set_threads(n: int) -> None:
    """Of XLA's client, which is made anew: arrays and functions of before stay with theirs.

    There is no function for it; XLA takes the size of its pool from the environment, else from the processor.
    """
    before = {name: os.environ.get(name) for name in _SIZES_OF_POOLS}
    jax.extend.backend.clear_backends()
    os.environ.update(dict.fromkeys(_SIZES_OF_POOLS, str(n)))
    try:
        jax.local_devices(backend="cpu")
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Jax:
    name = "jax"
    peer = True

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        layout = settings.layout
        function = _function(layer, layout)
        if (
            function is None or arrays["x"].dtype.name != "float32"
        ):  # float64 is a setting of the whole process
            return None
        gradient = settings.mode == "gradient"
        if (
            gradient
            and layer.operation == "max_pool2d"
            and layer.options.get("dilation", 1) not in (1, (1, 1))
        ):
            return None  # not implemented there
        device = jax.local_devices(backend="cpu")[0]
        images = partial(_images, layout=layout)
        x, *weights = (to_layout(name, array, layout) for name, array in arrays.items())
        if settings.mode == "plan":
            return _call(jax.jit(lambda x: function(x, *weights)), jax.device_put([x], device), images)
        inputs = jax.device_put([x, *weights], device)
        if gradient:
            return _gradient(function, inputs, layout)
        return _call(jax.jit(function), inputs, images)


def _call(
    function: Function, inputs: list[Tensor], images: Callable[[Any], tuple[Array, ...]]
) -> PreparedLayer:
    def run() -> Any:
        return jax.block_until_ready(function(*inputs))

    run()  # compiles
    return PreparedLayer(run, images)


def _gradient(function: Function, inputs: list[Tensor], layout: Layout) -> PreparedLayer:
    result = jax.eval_shape(function, *inputs)
    n, *rest = result.shape
    shape = (n, *rest) if layout == "NCHW" else (n, rest[-1], *rest[:-1])
    device = next(iter(inputs[0].devices()))
    if len(inputs) == 2:  # the bias's gradient is part of the work of every runner
        inputs = [*inputs, jax.device_put(np.zeros(shape[1], result.dtype), device)]
    seed = jax.device_put(to_layout("grad_output", grad_output(shape, result.dtype), layout), device)

    def gradients(seed: Tensor, *inputs: Tensor) -> Any:
        return jax.vjp(function, *inputs)[1](seed)

    prepared = _call(jax.jit(gradients), [seed, *inputs], partial(_gradient_images, layout=layout))
    return replace(prepared, shape=shape)


def _function(layer: Layer, layout: Layout) -> Function | None:
    axes = (2, 3) if layout == "NCHW" else (1, 2)
    if layer.operation in reading.GLOBAL and not layer.options:
        reduce: Any = jnp.max if layer.operation == "global_max_pool2d" else jnp.mean
        return partial(reduce, axis=axes, keepdims=True)
    if layer.operation in reading.POOLINGS:
        windows = reading.pooling(layer)
        largest = layer.operation == "max_pool2d"
        return None if windows is None else partial(_pool, windows=windows, largest=largest, first=axes[0])
    windows = reading.convolution(layer)
    return None if windows is None else partial(_convolution, windows=windows, layout=layout)


def _convolution(
    x: Tensor, weight: Tensor, bias: Tensor = None, *, windows: reading.LayerWindows, layout: Layout
) -> Tensor:
    if windows.transposed:
        weight = _turned(weight, windows.groups, layout)
        result = lax.conv_general_dilated(
            x, weight, (1, 1), _transposed_pads(windows), lhs_dilation=windows.stride, rhs_dilation=windows.dilation,
            dimension_numbers=(layout, "OIHW", layout), feature_group_count=windows.groups,
        )  # fmt: skip
    else:
        order = "OIHW" if layout == "NCHW" else "HWIO"
        result = lax.conv_general_dilated(
            x, weight, windows.stride, windows.pads, rhs_dilation=windows.dilation,
            dimension_numbers=(layout, order, layout), feature_group_count=windows.groups,
        )  # fmt: skip
    if bias is None:
        return result
    return result + (bias[:, None, None] if layout == "NCHW" else bias)


def _turned(weight: Tensor, groups: int, layout: Layout) -> Tensor:
    """The weights of the convolution of the image with zeros between its pixels: OIHW, rotated by 180 degrees."""
    if layout == "NHWC":
        weight = weight.transpose(3, 2, 0, 1)
    channels, filters, *size = weight.shape
    parts = weight.reshape(groups, channels // groups, filters, *size).swapaxes(1, 2)
    return parts.reshape(groups * filters, channels // groups, *size)[:, :, ::-1, ::-1]


def _transposed_pads(windows: reading.LayerWindows) -> list[tuple[int, int]]:
    rows = zip(windows.kernel, windows.dilation, windows.pads, windows.output_padding, strict=True)
    return [(d * (k - 1) - before, d * (k - 1) - after + extra) for k, d, (before, after), extra in rows]


def _pool(x: Tensor, *, windows: reading.LayerWindows, largest: bool, first: int) -> Tensor:
    def spatial(pair: tuple[Any, Any], other: Any) -> tuple[Any, ...]:
        return (*[other] * first, *pair, *[other] * (2 - first))

    window = spatial(windows.kernel, 1), spatial(windows.stride, 1), spatial(windows.pads, (0, 0))
    if largest:
        return lax.reduce_window(x, -jnp.inf, lax.max, *window, window_dilation=spatial(windows.dilation, 1))
    return lax.reduce_window(x, 0.0, lax.add, *window) / math.prod(windows.kernel)


def _images(result: Tensor, layout: Layout) -> tuple[Array, ...]:
    return (from_layout(np.asarray(result), layout),)


def _gradient_images(result: tuple[Tensor, ...], layout: Layout) -> tuple[Array, ...]:
    x, *others = map(np.asarray, result)
    turned = (
        array.transpose(3, 2, 0, 1) if layout == "NHWC" and array.ndim == 4 else array for array in others
    )
    return (from_layout(x, layout), *turned)


RUNNERS = (Jax(),)
