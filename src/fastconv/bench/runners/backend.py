"""fastconv's own backends as runners. Called by `measure/` and by the suite in ``bench/``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import fastconv
from fastconv.bench.layers.layer import Layer, from_layout, grad_output, to_layout
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.runner import PreparedLayer
from fastconv.typing import Array, BackendName, Layout

Function = Callable[..., Any]
UNFOLD = "unfold"  # among the algorithms to measure


class BackendRunner:
    """One of fastconv's backends, choosing its algorithm or with a given one."""

    peer = False

    def __init__(self, backend: BackendName, algorithm: str | None = None) -> None:
        self.backend, self.algorithm = backend, algorithm
        self.name = f"{backend} {algorithm}" if algorithm else backend

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        layout = settings.layout
        function: Function = getattr(fastconv, layer.operation)
        known = inspect.signature(function).parameters
        if layout != "NCHW" and "layout" not in known:
            return None
        options: dict[str, Any] = {"backend": self.backend, "layout": layout, **layer.options}
        options |= {"precision": settings.precision, "algorithm": self.algorithm}
        inputs = {name: to_layout(name, array, layout) for name, array in arrays.items()}
        if settings.mode == "gradient":
            return _gradient(function, inputs, options)
        images = partial(_images, layout=layout)
        call = partial(function, **inputs, **_only(known, options))
        make: Function | None = getattr(fastconv, f"plan_{layer.operation}", None)
        if make is None:
            return PreparedLayer(call, images, self.algorithm or "")
        x = inputs.pop("x")
        options = _only(inspect.signature(make).parameters, options)
        once = settings.mode == "call"
        try:
            plan = make(**inputs, **options, input_shape=None if once else x.shape)
            work = plan._work(x.shape, once)
        except ValueError:
            if self.algorithm is None:
                raise
            return None  # it cannot do this layer
        run = call if once else partial(plan, x)
        return PreparedLayer(run, images, work.algorithm, flops=work.flops, weight_bytes=work.weight_bytes)


class UnfoldRunner:
    """The whole matrix of im2col, by `fastconv.unfold`, and NumPy's product with the weights."""

    name = f"cython {UNFOLD}"
    peer = False

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        plain = layer.operation == "conv2d" and not {"groups", "activation", "padding_mode"} & set(
            layer.options
        )
        if not plain or settings.layout != "NCHW" or settings.mode == "gradient":
            return None
        x, weight, bias = arrays["x"], arrays["weight"], arrays.get("bias")
        n, filters = len(x), len(weight)
        options = {"kernel_size": weight.shape[2:], "backend": "cython", **layer.options}
        size = fastconv.conv2d(x, weight, **layer.options).shape[2:]
        rows = weight.reshape(filters, -1)

        def run() -> Array:
            result: Array = rows @ fastconv.unfold(x, **options)
            if bias is not None:
                result += bias[:, None]
            return result.reshape(n, filters, *size)

        return PreparedLayer(run, partial(_images, layout="NCHW"), UNFOLD)


def _gradient(function: Function, inputs: dict[str, Array], options: dict[str, Any]) -> PreparedLayer | None:
    """All gradients; the rule's arguments are found by their names."""
    name = function.__name__
    rule: Function | None = getattr(fastconv.grad, name, None)
    if rule is None:
        return None
    wanted = inspect.signature(rule).parameters
    known = inspect.signature(function).parameters
    available: dict[str, Any] = {**inputs, **options}
    forward = partial(function, **inputs, **_only(known, options))
    result = forward(return_indices=True) if "indices" in wanted and "return_indices" in known else forward()
    if isinstance(result, tuple):
        result, available["indices"] = result
    layout: Layout = options["layout"]
    shape = from_layout(result, layout).shape
    available["grad_output"] = to_layout("grad_output", grad_output(shape, result.dtype), layout)
    available["input_size"] = inputs["x"].shape
    if "activation" in options or "activation" not in wanted:
        available["output"] = result
    run = partial(rule, **_only(wanted, available))
    return PreparedLayer(run, partial(_gradients, layout=layout), shape=shape)


def _only(known: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in known}


def _images(result: Any, layout: Layout) -> tuple[Array, ...]:
    arrays = result if isinstance(result, tuple) else (result,)
    return tuple(from_layout(array, layout) for array in arrays)


def _gradients(result: Any, layout: Layout) -> tuple[Array, ...]:
    """That of `x` first; those of weights, whose axes are in another order, follow."""
    x, *others = result if isinstance(result, tuple) else (result,)
    weights = (
        array.transpose(array.ndim - 1, array.ndim - 2, *range(array.ndim - 2))
        if layout == "NHWC" and array.ndim > 2
        else array
        for array in others
        if array is not None
    )
    return (from_layout(x, layout), *weights)
