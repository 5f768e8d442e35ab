"""Layers that normalise, and those that drop values at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.arguments import integer
from fastconv.nn import functional as F
from fastconv.nn.module import Module
from fastconv.nn.operations import norm
from fastconv.nn.operations.synchronised import SYNCHRONISED_BATCH_NORM
from fastconv.nn.scope import SCOPE


class BatchNorm2D(Module):
    """Batch normalisation of images, or of rows: `fastconv.batch_norm`.

    In training by the statistics of the batch, which the running ones follow; else by those. It may be called with a
    residual, an array of the input's shape or None, and an activation, which follow: in training, and where the
    activation only cuts off, as ReLU, in the same pass over memory.

    Parameters
    ----------
    momentum : float
        Of new statistics in the running ones, as in PyTorch; Keras's is 1 less this.
    eps : float
        PyTorch's 1e-5 (Keras: 1e-3).
    affine : bool
        Whether there are weight and bias.

    Attributes
    ----------
    weight, bias : (C,) ndarray or None
    running_mean, running_var : (C,) ndarray

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> layer, x = nn.BatchNorm2D(), np.arange(8.0).reshape(2, 1, 2, 2)
    >>> with nn.training():
    ...     y = layer(x)
    >>> abs(float(y.mean())) < 1e-6, layer.running_mean
    (True, array([0.35], dtype=float32))
    """

    shown = ("momentum", "eps")

    def __init__(
        self, momentum: float = 0.1, eps: float = 1e-5, *, affine: bool = True, **options: Any
    ) -> None:
        super().__init__(**options)
        self.momentum, self.eps, self.affine = float(momentum), float(eps), bool(affine)
        self.declare("weight", affine)
        self.declare("bias", affine)
        self._buffers["running_mean"] = None
        self._buffers["running_var"] = None
        self.buffer("num_batches_tracked", np.array(0, np.int64))

    def forward(self, x: Any, residual: Any = None, activation: Any = None) -> Any:
        rows = x.ndim == 2
        channels = int(x.shape[1]) if rows else self.channels(x)
        self._build(channels)
        image = x
        if rows:
            one = (-1, 1, 1, channels) if F.channel_axis(4) == 3 else (-1, channels, 1, 1)
            image = x.reshape(one)
        # The lists themselves: a tape or a graph has nothing to do with running statistics.
        state = self._buffers
        given: dict[str, Any] = {"mean": state["running_mean"], "variance": state["running_var"]}
        given |= {"eps": self.eps, "layout": SCOPE.layout}
        momentum = 0.0 if SCOPE.recomputing else self.momentum
        if SCOPE.training and SCOPE.exchange is not None:
            y = SYNCHRONISED_BATCH_NORM(image, self.weight, self.bias, momentum=momentum, **given)
        elif SCOPE.training:
            if not rows and norm.cuts_off(activation):
                given["activation"], activation = activation, None
                short, residual = residual, None
            else:
                given["activation"], short = None, None
            y = norm.TRAIN_BATCH(image, self.weight, self.bias, short, momentum=momentum, **given)
        else:
            y = norm.BATCH_NORM(image, self.weight, self.bias, **given)
        if SCOPE.training and not SCOPE.recomputing:
            state["num_batches_tracked"] = np.asarray(state["num_batches_tracked"] + 1)
        y = y.reshape((-1, channels)) if rows else y
        return F.activation(y if residual is None else y + residual, activation)

    def _build(self, channels: int) -> None:
        held = self._buffers["running_mean"]
        if held is not None and held.shape != (channels,):
            raise ValueError(f"x has {channels} channels, but the layer was made for {held.size}")
        self.make("weight", (channels,), "ones")
        self.make("bias", (channels,), "zeros")
        if held is None:
            self._buffers["running_mean"] = np.zeros(channels, SCOPE.dtype)
            self._buffers["running_var"] = np.ones(channels, SCOPE.dtype)
            if SCOPE.built is not None:
                SCOPE.built += [(self, "running_mean"), (self, "running_var")]

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (None,)


class GroupNorm(Module):
    """Normalisation of groups of channels of each image: `fastconv.group_norm`.

    Parameters
    ----------
    num_groups : int
        Divides the channels.
    eps : float
    affine : bool

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.GroupNorm(2)(np.ones((1, 4, 3, 3))).shape
    (1, 4, 3, 3)
    """

    shown = ("num_groups", "eps")

    def __init__(self, num_groups: int, eps: float = 1e-5, *, affine: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.num_groups, self.eps = integer("GroupNorm", "num_groups", num_groups, 1), float(eps)
        self.declare("weight", affine)
        self.declare("bias", affine)

    def forward(self, x: Any) -> Any:
        channels = self.channels(x)
        if channels % self.num_groups:
            raise ValueError(
                f"x has {channels} channels, but needs a multiple of the {self.num_groups} groups"
            )
        self.check("weight", (channels,), f"x has {channels} channels")
        self.make("weight", (channels,), "ones")
        self.make("bias", (channels,), "zeros")
        options: dict[str, Any] = {"groups": self.num_groups, "eps": self.eps, "layout": SCOPE.layout}
        return norm.GROUP_NORM(x, self.weight, self.bias, **options)

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (None,)


class InstanceNorm2D(Module):
    """Normalisation of each channel of each image: `fastconv.instance_norm`.

    Parameters
    ----------
    eps : float
    affine : bool
        Whether there are weight and bias; there are none by default, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.InstanceNorm2D()(np.ones((1, 4, 3, 3))).shape
    (1, 4, 3, 3)
    """

    shown = ("eps",)

    def __init__(self, eps: float = 1e-5, *, affine: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.eps = float(eps)
        self.declare("weight", affine)
        self.declare("bias", affine)

    def forward(self, x: Any) -> Any:
        channels = self.channels(x)
        self.check("weight", (channels,), f"x has {channels} channels")
        self.make("weight", (channels,), "ones")
        self.make("bias", (channels,), "zeros")
        return norm.INSTANCE_NORM(x, self.weight, self.bias, eps=self.eps, layout=SCOPE.layout)

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (None,)


class LayerNorm(Module):
    """Normalisation of what is at each place: `fastconv.layer_norm`.

    Of the last axes of rows; of images, along the channels, as ConvNeXt does.

    Parameters
    ----------
    normalized_shape : int or tuple of int, optional
        The sizes of the last axes; by default of the channels, in either layout.
    eps : float
    affine : bool

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.LayerNorm()(np.ones((1, 4, 3, 3))).shape, nn.LayerNorm((3, 3))(np.ones((1, 4, 3, 3))).shape
    ((1, 4, 3, 3), (1, 4, 3, 3))
    """

    shown = ("normalized_shape", "eps")

    def __init__(
        self, normalized_shape: Any = None, eps: float = 1e-5, *, affine: bool = True, **options: Any
    ) -> None:
        super().__init__(**options)
        shape = normalized_shape
        self.normalized_shape = (
            None if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        )
        self.eps = float(eps)
        self.declare("weight", affine)
        self.declare("bias", affine)

    def forward(self, x: Any) -> Any:
        axis = F.channel_axis(x.ndim)
        moved = self.normalized_shape is None and axis != x.ndim - 1
        if moved:
            x = x.transpose(0, *range(2, x.ndim), 1)
        shape = self.normalized_shape or (int(x.shape[-1]),)
        self.check("weight", shape, f"the last axes are {tuple(x.shape[-len(shape) :])}")
        self.make("weight", shape, "ones")
        self.make("bias", shape, "zeros")
        y = norm.LAYER_NORM(x, self.weight, self.bias, shape=shape, eps=self.eps)
        return y.transpose(0, y.ndim - 1, *range(1, y.ndim - 1)) if moved else y

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (None,) if self.normalized_shape is None else self.normalized_shape


class LocalResponseNorm(Module):
    """Each pixel divided by those of neighbouring channels: `fastconv.local_response_norm`, as in AlexNet.

    Parameters
    ----------
    size, alpha, beta, k
        As of `fastconv.local_response_norm`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.LocalResponseNorm(5)(np.ones((1, 4, 3, 3))).shape
    (1, 4, 3, 3)
    """

    shown = ("size", "alpha", "beta", "k")

    def __init__(
        self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, **options: Any
    ) -> None:
        super().__init__(**options)
        self.size = integer("LocalResponseNorm", "size", size, 1)
        self.alpha, self.beta, self.k = float(alpha), float(beta), float(k)

    def forward(self, x: Any) -> Any:
        self.channels(x)
        return norm.LOCAL_RESPONSE_NORM(
            x, size=self.size, alpha=self.alpha, beta=self.beta, k=self.k, layout=SCOPE.layout
        )


class Dropout(Module):
    """In training, zeros in place of numbers at random, the others divided by their share: Srivastava et al., 2014.

    Parameters
    ----------
    rate : float
        The share that is dropped, from 0 to below 1 (PyTorch: `p`).

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.Dropout(0.5)(np.ones(4, np.float32))
    array([1., 1., 1., 1.], dtype=float32)
    """

    shown = ("rate",)

    def __init__(self, rate: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        self.rate = float(rate)
        if not 0 <= self.rate < 1:
            raise ValueError(f"{type(self).__name__}: rate is {rate}, but needs a number from 0 to below 1")

    def forward(self, x: Any) -> Any:
        return F.dropout(x, self.rate)


class SpatialDropout2D(Dropout):
    """As `Dropout`, of whole channels: Tompson et al., 2015; PyTorch's Dropout2d.

    Parameters
    ----------
    rate : float

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> with nn.training():
    ...     y = nn.SpatialDropout2D(0.5)(np.ones((2, 8, 4, 4)))
    >>> bool(((y == 0).all((2, 3)) | (y == 2).all((2, 3))).all())
    True
    """

    def forward(self, x: Any) -> Any:
        self.channels(x)
        shape = [1] * x.ndim
        shape[0], axis = x.shape[0], F.channel_axis(x.ndim)
        shape[axis] = x.shape[axis]
        return F.dropout(x, self.rate, tuple(shape))
