"""Optimisers: how parameters follow their gradients. State is kept by the parameters' paths.

The rate is a number, or a schedule (`schedules.py`). Names and defaults are PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastconv import backends
from fastconv.backends.protocol import DESCENT, MOMENTS, SQUARES, Update
from fastconv.nn.schedules import Schedule, schedule_of
from fastconv.typing import Array

Slots = dict[str, Array]


def _slot(slots: Slots, name: str, weight: Array) -> Array:
    if name not in slots:
        slots[name] = np.zeros_like(weight)
    return slots[name]


class Optimiser:
    """What all have: the rate, the count of steps, decay, clipping and the state of each parameter.

    Parameters
    ----------
    rate : float or Schedule
    weight_decay : float
        This times a parameter is added to its gradient (for `AdamW`: taken off it, times the rate).
    clip_norm : float, optional
        All gradients together are scaled to this Euclidean norm where theirs is larger.
    clip_value : float, optional
        Each number of a gradient is limited to this magnitude.
    """

    decoupled = False  # whether decay goes beside the gradient

    def __init__(
        self,
        rate: float | Schedule,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        self.schedule = schedule_of(rate)
        self.weight_decay = float(weight_decay)
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.steps = 0
        self.slots: dict[str, Slots] = {}

    @property
    def rate(self) -> float:
        """The rate of the next step."""
        return self.schedule(self.steps)

    def step(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> float:
        """Change parameters in place.

        Parameters
        ----------
        parameters, gradients : dict of str to ndarray
            By paths; those without a gradient stay.

        Returns
        -------
        float
            The norm of all gradients together, before they are clipped.
        """
        rate = self.rate
        self.steps += 1
        norm, factor = self._clipping(gradients)
        if self._at_once(parameters, gradients, rate, factor):
            return norm
        for path, gradient in gradients.items():
            weight = parameters[path]
            if factor != 1:
                gradient = gradient * weight.dtype.type(factor)
            if self.clip_value is not None:
                gradient = np.clip(gradient, -self.clip_value, self.clip_value)
            if self.weight_decay and not self.decoupled:
                gradient = gradient + weight * weight.dtype.type(self.weight_decay)
            slots = self.slots.setdefault(path, {})
            if self.weight_decay and self.decoupled:
                weight *= weight.dtype.type(1 - rate * self.weight_decay)
            self.update(weight, gradient, slots, rate)
        return norm

    def _at_once(
        self, parameters: Mapping[str, Array], gradients: Mapping[str, Array], rate: float, factor: float
    ) -> bool:
        """The step in one call, where the backend has that for this rule and these arrays."""
        known = _RULES.get(type(self).update)
        kinds = {array.dtype for arrays in (parameters, gradients) for array in arrays.values()}
        if known is None or len(kinds) != 1 or not kinds <= _FLOATS or not gradients:
            return False
        words, numbers = known(self, rate)
        decay, kept = (0.0, 1 - rate * self.weight_decay) if self.decoupled else (self.weight_decay, 1.0)
        limit = math.inf if self.clip_value is None else float(self.clip_value)
        weights, slopes = [parameters[path] for path in gradients], list[Array]()
        states: tuple[list[Array | None], list[Array | None]] = [], []
        for (path, gradient), weight in zip(gradients.items(), weights, strict=True):
            if not (weight.flags.writeable and weight.flags.aligned and _is_dense(weight)):
                return False
            slopes.append(_alike(gradient, weight))
            slots = self.slots.setdefault(path, {})
            for held, word in zip(states, words, strict=True):
                if word is not None:
                    slots[word] = _alike(_slot(slots, word, weight), weight)
                held.append(None if word is None else slots[word])
        update = Update(
            scale=factor, limit=limit, decay=decay, kept=kept,
            **{"nesterov": False, "rate": rate, **numbers},
        )  # fmt: skip
        return backends.resolve("optimizer", None).optimiser_step(weights, slopes, *states, update)

    def _clipping(self, gradients: Mapping[str, Array]) -> tuple[float, float]:
        if self.clip_norm is None:
            return 0.0, 1.0
        squares = [float(np.sum(g * g, dtype=np.float64)) for g in gradients.values()]
        norm = float(np.sqrt(np.sum(squares, dtype=np.float64)))
        return norm, min(1.0, self.clip_norm / norm) if norm > 0 else 1.0

    def update(self, weight: Array, gradient: Array, slots: Slots, rate: float) -> None:
        """Change one parameter in place."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Array]:
        """The arrays of the state, by path and name, and the number of steps.

        Returns
        -------
        dict of str to ndarray
        """
        state = {
            f"{path}:{name}": array for path, slots in self.slots.items() for name, array in slots.items()
        }
        return state | {":steps": np.array(self.steps, np.int64)}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what `state_dict` gave.

        Parameters
        ----------
        state : dict of str to ndarray
        """
        self.slots = {}
        for key, array in state.items():
            path, _, name = key.rpartition(":")
            if name == "steps" and not path:
                self.steps = int(array)
            else:
                self.slots.setdefault(path, {})[name] = np.array(array)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.schedule!r})"


class SGD(Optimiser):
    """Gradient descent, with momentum.

    Parameters
    ----------
    rate : float or Schedule
    momentum : float
        ``velocity = momentum * velocity + gradient``; the parameter moves by ``-rate * velocity``.
    nesterov : bool
        It moves by ``-rate * (gradient + momentum * velocity)``.
    weight_decay, clip_norm, clip_value
        As of every optimiser.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> weights = {"w": np.array([1.0])}
    >>> _ = nn.SGD(0.1).step(weights, {"w": np.array([2.0])})
    >>> weights["w"]
    array([0.8])
    """

    def __init__(
        self,
        rate: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        **clipping: Any,
    ) -> None:
        super().__init__(rate, weight_decay, **clipping)
        self.momentum, self.nesterov = float(momentum), bool(nesterov)

    def update(self, weight: Array, gradient: Array, slots: Slots, rate: float) -> None:
        kind = weight.dtype.type
        if self.momentum:
            velocity = _slot(slots, "velocity", weight)
            velocity *= kind(self.momentum)
            velocity += gradient
            gradient = gradient + kind(self.momentum) * velocity if self.nesterov else velocity
        weight -= kind(rate) * gradient


class RMSprop(Optimiser):
    """Steps divided by the root of a running mean of squared gradients: Hinton, lecture 6e, 2012.

    Parameters
    ----------
    rate : float or Schedule
    alpha : float
        What stays of the mean at each step (Keras: `rho`, 0.9).
    eps : float
    momentum, weight_decay, clip_norm, clip_value
        As of `SGD`.
    """

    def __init__(
        self,
        rate: float | Schedule = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        **clipping: Any,
    ) -> None:
        super().__init__(rate, weight_decay, **clipping)
        self.alpha, self.eps, self.momentum = float(alpha), float(eps), float(momentum)

    def update(self, weight: Array, gradient: Array, slots: Slots, rate: float) -> None:
        kind = weight.dtype.type
        square = _slot(slots, "square", weight)
        square *= kind(self.alpha)
        square += kind(1 - self.alpha) * gradient * gradient
        step = gradient / (np.sqrt(square) + kind(self.eps))
        if self.momentum:
            velocity = _slot(slots, "velocity", weight)
            velocity *= kind(self.momentum)
            velocity += step
            step = velocity
        weight -= kind(rate) * step


class Adam(Optimiser):
    """Steps by running means of the gradient and of its square: Kingma and Ba, 2015.

    Parameters
    ----------
    rate : float or Schedule
    betas : (float, float)
        What stays of the two means at each step.
    eps : float
        PyTorch's 1e-8 (Keras: 1e-7).
    weight_decay, clip_norm, clip_value
        As of every optimiser.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> weights = {"w": np.array([1.0])}
    >>> _ = nn.Adam(0.1).step(weights, {"w": np.array([20.0])})
    >>> weights["w"].round(6)
    array([0.9])
    """

    def __init__(
        self,
        rate: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **clipping: Any,
    ) -> None:
        super().__init__(rate, weight_decay, **clipping)
        self.betas, self.eps = (float(betas[0]), float(betas[1])), float(eps)

    def update(self, weight: Array, gradient: Array, slots: Slots, rate: float) -> None:
        kind = weight.dtype.type
        first, second = self.betas
        mean = _slot(slots, "mean", weight)
        square = _slot(slots, "square", weight)
        mean *= kind(first)
        mean += kind(1 - first) * gradient
        square *= kind(second)
        square += kind(1 - second) * (gradient * gradient)
        root = np.sqrt(square)
        root *= kind(1 / (1 - second**self.steps) ** 0.5)
        root += kind(self.eps)
        np.divide(mean, root, out=root)
        root *= kind(rate / (1 - first**self.steps))
        weight -= root


class AdamW(Adam):
    """`Adam` whose decay goes beside the gradient: Loshchilov and Hutter, "Decoupled Weight Decay", 2019.

    Parameters
    ----------
    rate, betas, eps, weight_decay, clip_norm, clip_value
        As of `Adam`; each step takes ``rate * weight_decay`` of the parameter off it.
    """

    decoupled = True

    def __init__(
        self,
        rate: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        **clipping: Any,
    ) -> None:
        super().__init__(rate, betas, eps, weight_decay, **clipping)


def _lie_alike(array: Array, other: Array) -> bool:
    """Whether the elements of two arrays of one shape are in the same places; axes of one element lead nowhere."""
    return array.strides == other.strides or all(
        size == 1 or step == other_step
        for size, step, other_step in zip(array.shape, array.strides, other.strides, strict=True)
    )


def _is_dense(array: Array) -> bool:
    """Whether it has no gaps in memory, in whatever order of its axes."""
    return array.flags.c_contiguous or _lie_alike(np.empty_like(array), array)


def _alike(array: Array, like: Array) -> Array:
    """The same numbers, lying in memory as another array's."""
    if _lie_alike(array, like) and array.flags.aligned and array.dtype == like.dtype:
        return array
    result = np.empty_like(like)
    result[...] = array
    return result


def _descent(of: Any, rate: float) -> Any:
    word = "velocity" if of.momentum else None
    return (word, None), {"rule": DESCENT, "nesterov": of.nesterov, "first": of.momentum}


def _by_squares(of: Any, rate: float) -> Any:
    word = "velocity" if of.momentum else None
    numbers = {"rule": SQUARES, "first": of.momentum, "second": of.alpha, "eps": of.eps}
    return ("square", word), numbers


def _by_moments(of: Any, rate: float) -> Any:
    first, second = of.betas
    numbers = {"rule": MOMENTS, "first": first, "second": second, "eps": of.eps}
    numbers |= {
        "rate": rate / (1 - first**of.steps),
        "root_scale": 1 / (1 - second**of.steps) ** 0.5,
    }
    return ("mean", "square"), numbers


_FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}
# The names of the state, and the numbers of a step, by the method that is the same in arithmetic on arrays.
_RULES: dict[Any, Callable[[Any, float], Any]] = {
    SGD.update: _descent,
    RMSprop.update: _by_squares,
    Adam.update: _by_moments,
}
_NAMED: dict[str, type[Any]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW}


def optimiser_of(value: Any) -> Optimiser:
    """The one that a word means, with its defaults, or an optimiser itself."""
    if isinstance(value, Optimiser):
        return value
    if isinstance(value, str) and value in _NAMED:
        return _NAMED[value]()  # type: ignore[no-any-return]
    raise ValueError(
        f"optimizer is {value!r}, but needs an optimiser or one of {', '.join(map(repr, _NAMED))}"
    )
