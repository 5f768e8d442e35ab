"""Gradients of functions of networks. Used by `module.py`, and by users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastconv.nn.core import Core, place
from fastconv.nn.operation import Operation, Pullback
from fastconv.nn.scope import SCOPE, setting
from fastconv.nn.state import parameters
from fastconv.nn.tape import Tape, Variable
from fastconv.typing import Array


def value_and_grad(function: Callable[..., Any]) -> Callable[..., tuple[float, dict[str, Array]]]:
    """A function that also gives the gradients of a network's parameters.

    Parameters
    ----------
    function : callable
        ``function(net, *args)``, which calls the network and gives one number.

    Returns
    -------
    callable
        Takes the same; gives the number, and a dict of the gradients of trainable parameters, by their paths.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> net = nn.Dense(1, init="ones")
    >>> def loss(net, x, y):
    ...     return nn.losses.mean_squared_error(net(x), y)
    >>> value, gradients = nn.value_and_grad(loss)(net, np.array([[1.0, 2.0]]), np.array([[5.0]]))
    >>> value, gradients["weight"]
    (4.0, array([[-4., -8.]], dtype=float32))
    """

    def call(net: Core, *arguments: Any) -> tuple[float, dict[str, Array]]:
        found = loss_and_gradients(net, function, arguments)
        return found.value, found.gradients

    return call


class Found(NamedTuple):
    """A value, the gradients of parameters and these themselves, by their paths, and what else the function gave."""

    value: float
    gradients: dict[str, Array]
    parameters: dict[str, Array]
    more: Any


def loss_and_gradients(
    net: Core, function: Callable[..., Any], arguments: tuple[Any, ...], debug: bool = False
) -> Found:
    """The value of ``function(net, *arguments)``, and the gradients of the parameters."""
    wanted = parameters(net, trainable=True)
    tape = Tape(wanted.values(), place if debug else None)
    with setting(tracer=tape):
        result = function(net, *arguments)
    result, more = result if isinstance(result, tuple) else (result, None)
    value = _differentiated(tape, result)
    if tape.has_made:
        wanted = parameters(net, trainable=True)
    return Found(value, {path: tape.gradient_of(array) for path, array in wanted.items()}, wanted, more)


def _differentiated(tape: Tape, result: Any) -> float:
    if not isinstance(result, Variable) or result.value.size != 1:
        raise ValueError(
            f"the function gave {type(result).__name__} {getattr(result, 'shape', '')}, but needs to give one "
            "number that depends on what is differentiated"
        )
    tape.walk_back(result, np.ones_like(result.value))
    return float(result.value.reshape(()))


def input_gradient(function: Callable[..., Any]) -> Callable[..., tuple[float, Array]]:
    """A function that also gives the gradient of a network's input: for attacks, and for pictures of what counts.

    Parameters
    ----------
    function : callable
        ``function(net, x, *args)``, which calls the network and gives one number.

    Returns
    -------
    callable
        Takes the same; gives the number, and an array of the shape of `x`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> net = nn.Dense(1, init="ones")
    >>> nn.input_gradient(lambda net, x: (net(x) ** 2).sum())(net, np.array([[1.0, 2.0]]))
    (9.0, array([[6., 6.]], dtype=float32))
    """

    def call(net: Core, x: Any, *arguments: Any) -> tuple[float, Array]:
        array = np.array(x, net.dtype)
        tape = Tape()
        variable = tape.watch(array)
        with setting(tracer=tape):
            result = function(net, variable, *arguments)
        return _differentiated(tape, result), tape.gradient_of(array)

    return call


def _checkpoint_record(needs: tuple[bool, ...], *arrays: Array, call: Any) -> tuple[Array, Pullback]:
    return call.first(arrays[: call.inputs]), lambda gradient: call.again(arrays, gradient)


CHECKPOINT = Operation(
    "checkpoint", lambda *arrays, call: call.first(arrays[: call.inputs]), _checkpoint_record
)


class Recomputed:
    """A part's call that is made twice: for its value, and when its gradients are asked for."""

    def __init__(self, part: Core, inputs: int) -> None:
        self.part, self.inputs = part, inputs
        names = ("layout", "dtype", "training", "rng")
        self._scope: dict[str, Any] = {name: getattr(SCOPE, name) for name in names}
        self._modules = list(SCOPE.modules)
        self._before: Any = None

    def first(self, inputs: tuple[Array, ...]) -> Array:
        self._before = SCOPE.generator().bit_generator.state
        return self.part(*inputs)  # type: ignore[no-any-return]

    def again(self, arrays: tuple[Array, ...], gradient: Array) -> tuple[Any, ...]:
        """With the same random numbers, and without counting the batch twice."""
        inputs, weights = arrays[: self.inputs], arrays[self.inputs :]
        tape = Tape(weights)
        variables = [tape.watch(array) for array in inputs]
        generator = self._scope["rng"] or SCOPE.generator()
        now = generator.bit_generator.state
        generator.bit_generator.state = self._before
        try:
            with setting(**self._scope, modules=self._modules, tracer=tape, recomputing=True):
                result = self.part(*variables)
            tape.walk_back(result, gradient)
        finally:
            generator.bit_generator.state = now
        return tuple(tape.gradient_of(array) for array in arrays)
