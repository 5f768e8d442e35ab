"""Every operation of `ops/table.py` as autograd records it: by the rule for its kind of derivative."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from autograd.tracer import isbox

from fastconv.autograd import rules
from fastconv.execution.arrays import as_array
from fastconv.ops.table import OPERATIONS

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


_RULES = {
    "convolution": rules.convolution,
    "deformable": rules.deformable,
    "linear": rules.linear,
    "pick": rules.pick,
    "random_pick": rules.random_pick,
    "window_norm": rules.window_norm,
    "channel_norm": rules.channel_norm,
    "product": rules.product,
    "softmax": rules.softmax,
    "normalised": rules.normalised,
}
RECORDED = {
    name: _recorded(row.function, _RULES[row.kind], *row.arrays) for name, row in OPERATIONS.items()
} | {"activation": _recorded(rules.activation, rules.elementwise, "x")}
