"""Recurrent layers: LSTM, GRU and RNN, step by step in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from fastconv.graph.graph import Value
from fastconv.graph.operations import activations, arithmetic
from fastconv.graph.operations.quantised import dynamic_quantize, matmul_integer
from fastconv.graph.operations.shape import sizes
from fastconv.graph.operations.shape_rules import of_length
from fastconv.graph.operations.table import ALWAYS, Reading, Type, operation, upgrade
from fastconv.typing import Array

# Defaults are those of ONNX's operators; Affine and ScaledTanh are none.
_ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "relu": activations.relu,
    "tanh": arithmetic.hyperbolic_tangent,
    "sigmoid": activations.sigmoid,
    "affine": lambda x, alpha, beta: alpha * x + beta,
    "leakyrelu": lambda x, alpha=0.01: activations.leaky_relu(x, alpha=alpha),
    "thresholdedrelu": lambda x, alpha=1.0: activations.thresholded_relu(x, alpha=alpha),
    "scaledtanh": lambda x, alpha, beta: alpha * np.tanh(beta * x),
    "hardsigmoid": lambda x, alpha=0.2, beta=0.5: activations.hard_sigmoid(x, alpha=alpha, beta=beta),
    "elu": lambda x, alpha=1.0: activations.elu(x, alpha=alpha),
    "softsign": activations.softsign,
    "softplus": activations.softplus,
}
Direction = Literal["forward", "reverse", "bidirectional"]
_DIRECTIONS: dict[Direction, tuple[int, ...]] = {"forward": (1,), "reverse": (-1,), "bidirectional": (1, -1)}
_RNN, _GRU, _LSTM = ["Tanh"], ["Sigmoid", "Tanh"], ["Sigmoid", "Tanh", "Tanh"]
_WITHOUT_DEFAULTS = ("affine", "scaledtanh")
_WITH_BETA = (*_WITHOUT_DEFAULTS, "hardsigmoid")
_WITH_ALPHA = (*_WITH_BETA, "leakyrelu", "thresholdedrelu", "elu")

Function = Callable[[Array], Any]


@dataclass
class _Activations:
    """Names and parameters as a node gives them, in the order of directions and gates."""

    defaults: list[str]
    clip: float | None
    alpha: tuple[float, ...] | None
    beta: tuple[float, ...] | None
    names: tuple[str, ...] | None
    clipped: int = 2  # of each direction's functions: not that of an LSTM's cell, as in ONNX Runtime

    def functions(self, directions: int) -> list[list[Function]]:
        """Those of each direction."""
        alphas, betas, each = list(self.alpha or ()), list(self.beta or ()), len(self.defaults)
        names = self.names or self.defaults * directions
        if len(names) != each * directions:
            raise ValueError(f"{len(names)} activations, but it needs {each * directions}")
        made = [
            self._function(name.lower(), alphas, betas, self.clip if place % each < self.clipped else None)
            for place, name in enumerate(names)
        ]
        return [made[d * each : (d + 1) * each] for d in range(directions)]

    @staticmethod
    def _function(name: str, alphas: list[float], betas: list[float], limit: float | None) -> Function:
        function = _ACTIVATIONS.get(name)
        if function is None:
            raise ValueError(f"the activation {name!r} is not supported")
        given: dict[str, float] = {}
        if name in _WITH_ALPHA and alphas:
            given["alpha"] = alphas.pop(0)
        if name in _WITH_BETA and betas:
            given["beta"] = betas.pop(0)
        if name in _WITHOUT_DEFAULTS and len(given) < 2:
            raise ValueError(f"the activation {name!r} needs alpha and beta")
        if limit is None:
            return lambda x: function(x, **given)
        return lambda x: function(np.clip(x, -limit, limit), **given)


class _Layer:
    """What the three have in common: directions, lengths of sequences, and the order of axes."""

    def __init__(
        self,
        x: Array,
        lengths: Array | None,
        hidden: int,
        gates: int,
        direction: Direction,
        layout: int,
        activations: _Activations,
    ) -> None:
        self.batch_first = bool(layout)
        self.x = x.swapaxes(0, 1) if self.batch_first else x
        self.hidden, self.gates = hidden, gates
        self.directions = _DIRECTIONS[direction]
        steps, batch = self.x.shape[:2]
        self.are_given = lengths is not None
        self.lengths = np.full(batch, steps) if lengths is None else np.array(sizes(lengths))
        self.functions = activations.functions(len(self.directions))

    def initial(self, state: Array | None) -> Array:
        shape = (len(self.directions), self.x.shape[1], self.hidden)
        if state is None:
            return np.zeros(shape, self.x.dtype)
        return state.swapaxes(0, 1) if self.batch_first else state

    def run(
        self, step: Callable[..., tuple[Array, ...]], given: Sequence[Array], *states: Array
    ) -> tuple[Array, ...]:
        """Every direction's steps: all outputs, and the last states. `step` takes the direction, what is given for
        it at a time, and the states."""
        steps, batch = self.x.shape[:2]
        y = np.zeros((steps, len(self.directions), batch, self.hidden), self.x.dtype)
        last = [np.array(state) for state in states]
        for number, direction in enumerate(self.directions):
            now = tuple(state[number] for state in states)
            for t in range(steps) if direction > 0 else range(steps - 1, -1, -1):
                runs = (t < self.lengths)[:, np.newaxis]
                new = step(number, given[number][t], *now)
                y[t, number] = np.where(runs, new[0], 0)
                now = tuple(np.where(runs, after, before) for after, before in zip(new, now, strict=True))
            for state, value in zip(last, now, strict=True):
                # ONNX does not say what the last state of a sequence without steps is; in ONNX Runtime it is 0.
                state[number] = (
                    np.where(self.lengths[:, np.newaxis] > 0, value, 0) if self.are_given else value
                )
        if self.batch_first:
            return (y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in last))
        return (y, *last)

    def bias(self, bias: Array | None) -> tuple[Array, Array]:
        """Those of the input and of the state."""
        width = self.gates * self.hidden
        if bias is None:
            bias = np.zeros((len(self.directions), 2 * width), self.x.dtype)
        return bias[:, :width], bias[:, width:]


def _recurrent(defaults: list[str], inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x = inputs[0]
    assert x is not None
    directions = len(_DIRECTIONS[attributes.get("direction", "forward")])
    alpha, beta, names = (
        attributes.get(name) for name in ("activation_alpha", "activation_beta", "activations")
    )
    _Activations(defaults, None, alpha, beta, names).functions(directions)  # says what is wrong with them
    if x.shape is None:
        return [Type(x.dtype)] * 3
    hidden, r = attributes["hidden_size"], inputs[2]
    if r is not None and r.shape is not None and hidden not in r.shape and None not in r.shape:
        raise ValueError(f"hidden_size is {hidden}, but the weights of the state have the shape {r.shape}")
    of_length("axes of the input", x.shape, 3)
    first, second, _ = x.shape
    if attributes.get("layout", 0):
        state = Type(x.dtype, (first, directions, hidden))
        return [Type(x.dtype, (first, second, directions, hidden)), state, state]
    state = Type(x.dtype, (directions, second, hidden))
    return [Type(x.dtype, (first, directions, second, hidden)), state, state]


@operation("RNN", rule=partial(_recurrent, _RNN), grows=True)
def rnn(
    x: Array,
    w: Array,
    r: Array,
    b: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: Direction = "forward",
    hidden_size: int,
    layout: int = 0,
) -> Any:
    functions = _Activations(_RNN, clip, activation_alpha, activation_beta, activations)
    layer = _Layer(x, sequence_lens, hidden_size, 1, direction, layout, functions)
    of_input, of_state = layer.bias(b)

    def step(d: int, now: Array, h: Array) -> tuple[Array, ...]:
        return (layer.functions[d][0](now + h @ r[d].T + of_input[d] + of_state[d]),)

    return layer.run(step, [layer.x @ weight.T for weight in w], layer.initial(initial_h))


@operation("GRU", rule=partial(_recurrent, _GRU), grows=True)
def gru(
    x: Array,
    w: Array,
    r: Array,
    b: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: Direction = "forward",
    hidden_size: int,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> Any:
    functions = _Activations(_GRU, clip, activation_alpha, activation_beta, activations)
    layer = _Layer(x, sequence_lens, hidden_size, 3, direction, layout, functions)
    of_input, of_state = layer.bias(b)
    n = hidden_size

    def step(d: int, now: Array, h: Array) -> tuple[Array, ...]:
        f, g = layer.functions[d]
        given = now + of_input[d]
        both = f(given[:, : 2 * n] + h @ r[d][: 2 * n].T + of_state[d][: 2 * n])
        update, reset = both[:, :n], both[:, n:]
        last, bias = r[d][2 * n :].T, of_state[d][2 * n :]
        own = reset * (h @ last + bias) if linear_before_reset else (reset * h) @ last + bias
        return ((1 - update) * g(given[:, 2 * n :] + own) + update * h,)

    return layer.run(step, [layer.x @ weight.T for weight in w], layer.initial(initial_h))


def _long_short(
    layer: _Layer,
    given: Sequence[Array],
    product: Callable[[int, Array], Array],
    b: Array | None,
    p: Array | None,
    states: tuple[Array | None, Array | None],
    input_forget: int,
) -> Any:
    """An LSTM's steps, from the products of its inputs with their weights, and a function for those of the state."""
    of_input, of_state = layer.bias(b)
    n = layer.hidden
    peep = np.zeros((len(layer.directions), 3 * n), layer.x.dtype) if p is None else p

    def step(d: int, now: Array, h: Array, c: Array) -> tuple[Array, ...]:
        f, g, last = layer.functions[d]
        gates = now + product(d, h) + of_input[d] + of_state[d]
        i, o, forget, cell = (gates[:, k * n : (k + 1) * n] for k in range(4))
        pi, po, pf = (peep[d][k * n : (k + 1) * n] for k in range(3))
        i = f(i + pi * c)
        forget = 1 - i if input_forget else f(forget + pf * c)
        c = forget * c + i * g(cell)
        return f(o + po * c) * last(c), c

    return layer.run(step, given, *map(layer.initial, states))


@operation("LSTM", rule=partial(_recurrent, _LSTM), grows=True)
def lstm(
    x: Array,
    w: Array,
    r: Array,
    b: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    initial_c: Array | None = None,
    p: Array | None = None,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: Direction = "forward",
    hidden_size: int,
    input_forget: int = 0,
    layout: int = 0,
) -> Any:
    functions = _Activations(_LSTM, clip, activation_alpha, activation_beta, activations)
    layer = _Layer(x, sequence_lens, hidden_size, 4, direction, layout, functions)
    given = [layer.x @ weight.T for weight in w]
    return _long_short(layer, given, lambda d, h: h @ r[d].T, b, p, (initial_h, initial_c), input_forget)


@operation("com.microsoft.DynamicQuantizeLSTM", rule=partial(_recurrent, _LSTM), grows=True)
def quantised_lstm(
    x: Array,
    w: Array,
    r: Array,
    b: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    initial_c: Array | None = None,
    p: Array | None = None,
    w_scale: Array | None = None,
    w_zero: Array | None = None,
    r_scale: Array | None = None,
    r_zero: Array | None = None,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: Direction = "forward",
    hidden_size: int,
    input_forget: int = 0,
) -> Any:
    """With weights of 8 bits, (directions, inputs, 4 * hidden); inputs and states are quantised as they come."""
    functions = _Activations(_LSTM, clip, activation_alpha, activation_beta, activations)
    layer = _Layer(x, sequence_lens, hidden_size, 4, direction, 0, functions)
    of_w, of_r = (w_scale, w_zero), (r_scale, r_zero)
    given = [_quantised_product(layer.x, w[d], *of_w, d) for d in range(len(w))]

    def product(d: int, h: Array) -> Any:
        return _quantised_product(h, r[d], *of_r, d)

    return _long_short(layer, given, product, b, p, (initial_h, initial_c), input_forget)


@upgrade("com.microsoft.DynamicQuantizeLSTM", to=ALWAYS)
def scales_are_needed(reading: Reading) -> None:
    if any(reading.input(place) is None for place in range(8, 12)):
        reading.refuse("scales and zero points of its weights are missing")


def _quantised_product(x: Array, weight: Array, scale: Any, zero: Any, direction: int) -> Any:
    whole, own_scale, own_zero = dynamic_quantize(x)
    product = matmul_integer(whole, weight, own_zero, np.asarray(zero[direction]))
    return product * (own_scale * scale[direction])
