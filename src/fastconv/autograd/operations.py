"""The table of operations: which rule records a call, and the arrays that it can be differentiated by."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from autograd.tracer import isbox

import fastconv
from fastconv.arrays import as_array
from fastconv.autograd import rules

Function = Callable[..., Any]


def _recorded(forward: Function, rule: Function, *names: str) -> Function:
    """`forward`; a call that autograd differentiates by one of the named arrays is recorded by `rule`."""
    signature, name = inspect.signature(forward), forward.__name__

    @functools.wraps(forward)
    def function(*args: Any, **kwargs: Any) -> Any:
        if not any(map(isbox, args)) and not any(map(isbox, kwargs.values())):
            return forward(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        options = dict(bound.arguments)
        arrays = {key: _read(name, key, options.pop(key)) for key in names}
        for key, value in options.items():
            if isbox(value):
                raise TypeError(f"{name}: cannot be differentiated by {key}, only by {', '.join(names)}")
        if options.pop("out", None) is not None:
            raise ValueError(f"{name}: out is given, but needs None while autograd keeps the results")
        return rule(name, arrays, options)

    summary = (forward.__doc__ or "").splitlines()[0]
    function.__module__ = "fastconv.autograd"
    function.__doc__ = (
        f"{summary}\n\nDifferentiable by {', '.join(names)}; arguments, result and errors: "
        f"see `{forward.__module__}.{name}`."
    )
    return function


def _read(op: str, name: str, value: Any) -> Any:
    return value if value is None or isbox(value) else as_array(op, name, value)


_OPERANDS = "x", "weight", "bias", "residual"
conv2d = _recorded(fastconv.conv2d, rules.convolution, *_OPERANDS)
depthwise_conv2d = _recorded(fastconv.depthwise_conv2d, rules.convolution, *_OPERANDS)
separable_conv2d = _recorded(
    fastconv.separable_conv2d,
    rules.convolution,
    "x",
    "depthwise_weight",
    "pointwise_weight",
    "bias",
    "residual",
)
conv_transpose2d = _recorded(fastconv.conv_transpose2d, rules.convolution, *_OPERANDS)
conv1d = _recorded(fastconv.conv1d, rules.convolution, *_OPERANDS)
conv_transpose1d = _recorded(fastconv.conv_transpose1d, rules.convolution, *_OPERANDS)
deform_conv2d = _recorded(fastconv.deform_conv2d, rules.deformable, "x", "offset", "weight", "bias", "mask")
max_pool2d = _recorded(fastconv.max_pool2d, rules.by_indices, "x")
adaptive_max_pool2d = _recorded(fastconv.adaptive_max_pool2d, rules.by_indices, "x")
global_max_pool2d = _recorded(fastconv.global_max_pool2d, rules.by_indices, "x")
fractional_max_pool2d = _recorded(fastconv.fractional_max_pool2d, rules.by_indices, "x")
stochastic_pool2d = _recorded(fastconv.stochastic_pool2d, rules.stochastic, "x")
avg_pool2d = _recorded(fastconv.avg_pool2d, rules.linear, "x")
adaptive_avg_pool2d = _recorded(fastconv.adaptive_avg_pool2d, rules.linear, "x")
global_avg_pool2d = _recorded(fastconv.global_avg_pool2d, rules.linear, "x")
max_unpool2d = _recorded(fastconv.max_unpool2d, rules.linear, "x")
pad2d = _recorded(fastconv.pad2d, rules.linear, "x")
unfold = _recorded(fastconv.unfold, rules.linear, "x")
fold = _recorded(fastconv.fold, rules.linear, "x")
lp_pool2d = _recorded(fastconv.lp_pool2d, rules.window_norm, "x")
local_response_norm = _recorded(fastconv.local_response_norm, rules.channel_norm, "x")
activation = _recorded(rules.activation, rules.elementwise, "x")
