"""Networks for signals, games and capsules: a WaveNet-style stack, DQN, actor-critic, CapsNet."""

from __future__ import annotations

from typing import Any

from fastconv.arguments import integer
from fastconv.nn import functional as F
from fastconv.nn.blocks.attention import attend, attention_of
from fastconv.nn.containers import Sequential
from fastconv.nn.initialisers import normal
from fastconv.nn.layers.conv import Conv1D, Conv2D
from fastconv.nn.layers.dense import Dense, Flatten
from fastconv.nn.module import Module
from fastconv.typing import Layout

__all__ = ["ActorCritic", "CapsNet", "WaveNet", "actor_critic", "capsnet", "dqn", "wavenet"]


class DilatedUnit(Module):
    """``tanh`` times ``sigmoid`` of causal convolutions, to the next unit and to the result."""

    def __init__(self, channels: int, skips: int, kernel_size: int, dilation: int, **options: Any) -> None:
        super().__init__(**options)
        given: dict[str, Any] = {"padding": "causal", "dilation": dilation, "init": "glorot"}
        self.filter = Conv1D(channels, kernel_size, activation="tanh", **given)
        self.gate = Conv1D(channels, kernel_size, activation="sigmoid", **given)
        self.on = Conv1D(channels, 1)
        self.skip = Conv1D(skips, 1)

    def forward(self, x: Any) -> Any:
        y = self.filter(x) * self.gate(x)
        return x + self.on(y), self.skip(y)


class WaveNet(Module):
    """A stack of dilated causal convolutions of signals: van den Oord et al., "WaveNet", 2016.

    Parameters
    ----------
    outputs : int
        Channels of the result at each place, which sees that place and those before it.
    width, skips : int
        Channels between units, and from each to the result.
    layers : int
        Units, whose dilations are 1, 2, 4, ...
    kernel_size : int

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.models.WaveNet()(np.ones((2, 1, 100))).shape
    (2, 1, 100)
    """

    shown = ("outputs", "width", "skips", "layers", "kernel_size")

    def __init__(
        self,
        outputs: int = 1,
        width: int = 16,
        skips: int = 32,
        layers: int = 6,
        kernel_size: int = 2,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.outputs, self.width, self.skips = outputs, width, skips
        self.layers, self.kernel_size = integer("WaveNet", "layers", layers, 1), kernel_size
        self.first = Conv1D(width, 1)
        self.units = [DilatedUnit(width, skips, kernel_size, 2**place) for place in range(layers)]
        self.last = Sequential(Conv1D(skips, 1, activation="relu"), Conv1D(outputs, 1))

    def forward(self, x: Any) -> Any:
        x, total = self.first(x), None
        for unit in self.units:
            x, skip = unit(x)
            total = skip if total is None else total + skip
        return self.last(F.relu(total))


def wavenet(outputs: int = 1, layers: int = 6, *, layout: Layout | None = None) -> WaveNet:
    """A `WaveNet` with its defaults."""
    return WaveNet(outputs, layers=layers, layout=layout)


def _frames(hidden: int, attention: str | None) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for place, (filters, kernel_size, stride) in enumerate(((32, 8, 4), (64, 4, 2), (64, 3, 1))):
        parts[str(place)] = Conv2D(filters, kernel_size, stride, activation="relu")
        attend(parts, attention, filters)
    return parts | {"3": Flatten(), "4": Dense(hidden, activation="relu")}


def dqn(
    actions: int, hidden: int = 512, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """The value of each action, from 4 frames of 84x84 pixels: Mnih et al., "Human-level Control", 2015.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> nn.models.dqn(4).summary((1, 4, 84, 84)).parameters
    1686180
    """
    return Sequential(_frames(hidden, attention) | {"5": Dense(actions)}, layout=layout)


class ActorCritic(Module):
    """Scores of the actions, and the value of the state, from frames: Mnih et al., "Asynchronous Methods", 2016.

    Parameters
    ----------
    actions, hidden : int
    attention : {"se", "cbam", "eca", "spatial", "non_local"}, optional
        Behind every convolution.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> scores, value = nn.models.ActorCritic(6)(np.ones((2, 4, 84, 84)))
    >>> scores.shape, value.shape
    ((2, 6), (2, 1))
    """

    def __init__(
        self, actions: int, hidden: int = 512, *, attention: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.body = Sequential(_frames(hidden, attention))
        self.actor, self.critic = Dense(actions), Dense(1)

    def forward(self, x: Any) -> Any:
        features = self.body(x)
        return self.actor(features), self.critic(features)


def actor_critic(
    actions: int, hidden: int = 512, *, attention: str | None = None, layout: Layout | None = None
) -> ActorCritic:
    """An `ActorCritic`."""
    return ActorCritic(actions, hidden, attention=attention, layout=layout)


def _squashed(s: Any) -> Any:
    """Vectors along the last axis, with lengths between 0 and 1."""
    squares = F.sum(s * s, axis=-1, keepdims=True)
    return s * (F.sqrt(squares + 1e-9) / (squares + 1.0))


class Capsules(Module):
    """Capsules that agree on those of the next layer, by dynamic routing.

    Parameters
    ----------
    count, size : int
        Capsules of the result, and numbers in each.
    routings : int
    """

    shown = ("count", "size", "routings")

    def __init__(self, count: int, size: int, routings: int = 3, **options: Any) -> None:
        super().__init__(**options)
        self.count, self.size = count, size
        self.routings = integer("Capsules", "routings", routings, 1)
        self.declare("weight")

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (None, self.count * self.size, None)

    def forward(self, x: Any) -> Any:
        """``(N, capsules, numbers)`` to ``(N, count, size)``."""
        inputs, numbers = x.shape[1:]
        shape = (inputs, self.count * self.size, numbers)
        self.check("weight", shape, f"x has {inputs} capsules of {numbers}")
        self.make("weight", shape, normal(0.1))
        told = (self.weight @ x.reshape((-1, inputs, numbers, 1))).reshape(
            (-1, inputs, self.count, self.size)
        )
        shares: Any = 1.0 / self.count
        scores: Any = None
        result: Any = None
        for place in range(self.routings):
            result = _squashed(F.sum(told * shares, axis=1, keepdims=True))
            if place < self.routings - 1:
                agreed = F.sum(told * result, axis=-1, keepdims=True)
                scores = agreed if scores is None else scores + agreed
                shares = F.softmax(scores, axis=2)
        return result.reshape((-1, self.count, self.size))


class CapsNet(Module):
    """A network of capsules, whose lengths are the classes: Sabour et al., "Dynamic Routing Between Capsules", 2017.

    Parameters
    ----------
    num_classes, routings : int
    filters : int
        Of both convolutions.
    kernel_size : int
        Of both convolutions, the second of which has the stride 2.
    size : int
        Numbers of each capsule of the first kind; those of the classes have twice as many.
    attention : {"se", "cbam", "eca", "spatial", "non_local"}, optional
        Behind the first convolution.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.models.CapsNet(filters=16, kernel_size=5)(np.ones((2, 1, 16, 16))).shape
    (2, 10)
    """

    def __init__(
        self,
        num_classes: int = 10,
        routings: int = 3,
        *,
        filters: int = 256,
        kernel_size: int = 9,
        size: int = 8,
        attention: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if filters % size:
            raise ValueError(f"CapsNet: filters is {filters}, but needs to be a multiple of size, {size}")
        self.size = integer("CapsNet", "size", size, 1)
        self.conv = Conv2D(filters, kernel_size, activation="relu")
        self.attention = attention_of(attention, filters)
        self.primary = Conv2D(filters, kernel_size, 2)
        self.digits = Capsules(num_classes, 2 * size, routings)

    def forward(self, x: Any) -> Any:
        y = self.conv(x)
        y = self.primary(y if self.attention is None else self.attention(y))
        if F.channel_axis(4) == 3:
            y = y.transpose(0, 3, 1, 2)
        channels, height, width = y.shape[1:]
        y = y.reshape((-1, channels // self.size, self.size, height, width)).transpose(0, 1, 3, 4, 2)
        capsules = y.reshape((-1, channels // self.size * height * width, self.size))
        classes = self.digits(_squashed(capsules))
        return F.sqrt(F.sum(classes * classes, axis=-1) + 1e-9)


def capsnet(
    num_classes: int = 10, routings: int = 3, *, attention: str | None = None, layout: Layout | None = None
) -> CapsNet:
    """The `CapsNet` of the paper without its decoder, for images of 28x28 pixels and one channel.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.capsnet().summary((1, 1, 28, 28)).parameters:,}"
    '6,804,224'
    """
    return CapsNet(num_classes, routings, attention=attention, layout=layout)
