"""Fully connected layers, activations, and layers that change shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.arguments import integer
from fastconv.nn import functional as F
from fastconv.nn.module import Module
from fastconv.nn.operations.conv import DENSE
from fastconv.problem.options import activation as read_activation
from fastconv.typing import ActivationLike


class Dense(Module):
    """A fully connected layer: `fastconv.dense`, of the last axis.

    Parameters
    ----------
    units : int
        Outputs (PyTorch: `out_features` of Linear).
    bias : bool
    activation : str or tuple, optional
    init : str or callable

    Attributes
    ----------
    weight : (units, features) ndarray
    bias : (units,) ndarray or None

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.Dense(10)(np.ones((2, 30))).shape
    (2, 10)
    """

    shown = ("units", "activation")

    def __init__(
        self,
        units: int,
        *,
        bias: bool = True,
        activation: ActivationLike | None = None,
        init: Any = "he",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = integer("Dense", "units", units, 1)
        read_activation("Dense", activation)
        self.activation, self.init = activation, init
        self.declare("weight")
        self.declare("bias", bias)

    def forward(self, x: Any) -> Any:
        if x.ndim < 2:
            raise ValueError(f"x has shape {x.shape}, but needs (N, ..., features)")
        features = int(x.shape[-1])
        self.check("weight", (self.units, features), f"x has {features} features")
        self.make("weight", (self.units, features), self.init)
        self.make("bias", (self.units,), "zeros")
        return DENSE(x, self.weight, self.bias, activation=self.activation)

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (self.units, None) if name == "weight" else (self.units,)


class Flatten(Module):
    """Rows of all numbers of each image, with the channels first in either layout.

    So the same weights follow in both, and PyTorch's; Keras's flattened images in NHWC are ordered otherwise.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.Flatten()(np.ones((2, 3, 4, 4))).shape
    (2, 48)
    """

    def forward(self, x: Any) -> Any:
        return F.flatten(x)


class Reshape(Module):
    """Another shape for each image; the batch stays.

    Parameters
    ----------
    shape : tuple of int
        Without the batch; one size may be -1.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.Reshape((3, -1))(np.ones((2, 3, 4, 4))).shape
    (2, 3, 16)
    """

    shown = ("shape",)

    def __init__(self, shape: Any, **options: Any) -> None:
        super().__init__(**options)
        self.shape = tuple(integer("Reshape", "shape", size, -1) for size in shape)

    def forward(self, x: Any) -> Any:
        shape = self.shape
        if -1 in shape:
            whole = int(np.prod(x.shape[1:], dtype=np.int64))
            rest = int(np.prod([size for size in shape if size != -1], dtype=np.int64))
            if not rest or whole % rest:
                raise ValueError(f"x has shape {x.shape}, which does not become {shape}")
            shape = tuple(whole // rest if size == -1 else size for size in shape)
        return x.reshape((x.shape[0], *shape))


class Activation(Module):
    """An activation by itself.

    Parameters
    ----------
    name : str or tuple
        As `activation` of `fastconv.conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.Activation("relu")(np.array([[-1.0, 2.0]]))
    array([[0., 2.]], dtype=float32)
    """

    shown = ("name",)

    def __init__(self, name: ActivationLike, **options: Any) -> None:
        super().__init__(**options)
        read_activation("Activation", name)
        self.name = name

    def forward(self, x: Any) -> Any:
        return F.activation(x, self.name)


class Softmax(Module):
    """Probabilities of classes: `fastconv.softmax`.

    Parameters
    ----------
    axis : int, optional
        By default that of the channels, or of a row's numbers.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.Softmax()(np.zeros((1, 4)))
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """

    shown = ("axis",)

    def __init__(self, axis: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def forward(self, x: Any) -> Any:
        along = self.axis
        if along is None:
            along = F.channel_axis(x.ndim) if x.ndim > 2 else x.ndim - 1
        return F.softmax(x, along)


class Identity(Module):
    """What it is given.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.Identity()(np.ones(2)).shape
    (2,)
    """

    def forward(self, x: Any) -> Any:
        return x
