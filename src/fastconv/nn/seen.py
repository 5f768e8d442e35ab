"""What a network sees: the values of a layer, and where in an image a class shows (Grad-CAM). Used by `pictures.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastconv
from fastconv.nn.core import Core
from fastconv.nn.layers.conv import Conv2D
from fastconv.nn.module import Module
from fastconv.nn.scope import setting
from fastconv.nn.tape import Tape, Variable
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, ArrayLike


def layer_of(op: str, net: Module, layer: str | Module | None) -> tuple[str, Core]:
    """A layer by its path, or itself; by default the last convolution of images."""
    held = dict(net.named_modules())
    if layer is None:
        convolutions = [(path, module) for path, module in held.items() if isinstance(module, Conv2D)]
        if not convolutions:
            raise ValueError(f"{op}: the network has no Conv2D: layer needs to be a path")
        return convolutions[-1]
    for path, module in held.items():
        if path == layer or module is layer:
            return path, module
    raise ValueError(
        f"{op}: layer is {layer!r}, but the network has {', '.join(map(repr, [*held][1:9]))}, ..."
    )


def _called(
    op: str, net: Module, x: ArrayLike, place: tuple[str, Core], take: Callable[[Any], Any], tape: Tape | None
) -> Any:
    """Call the network, with the result of a layer handed to a function, whose result goes on."""
    taken: list[Any] = []

    def catch(value: Any) -> Any:
        value = value.value if isinstance(value, Variable) else value  # of a layer that was made just now
        if not isinstance(value, np.ndarray):
            raise ValueError(
                f"{op}: layer {place[0]!r} gives {type(value).__name__}, but needs to give one array"
            )
        taken.append(take(value))
        return taken[-1]

    with setting(caught=(place[1], catch), tracer=tape, training=False):
        output = net(np.asarray(x))
    if not taken:
        raise ValueError(f"{op}: layer {place[0]!r} was not called")
    return output


def feature_maps(net: Module, x: ArrayLike, layer: str | Module | None = None) -> Array:
    """What a layer gives for some inputs, in inference mode.

    Parameters
    ----------
    net : Module
    x : array_like
        Inputs of the network.
    layer : str or Module, optional
        Its path, as `Module.named_parameters` and `Module.summary` have it; by default the last `Conv2D`.

    Returns
    -------
    ndarray
        In the network's layout.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> net = nn.Sequential(nn.Conv2D(4, 3, activation="relu"), nn.Flatten(), nn.Dense(2))
    >>> nn.feature_maps(net, np.ones((1, 1, 8, 8)), "0").shape
    (1, 4, 6, 6)
    """
    found: list[Array] = []

    def keep(value: Array) -> Array:
        found.append(value.copy())
        return value

    _called("feature_maps", net, x, layer_of("feature_maps", net, layer), keep, None)
    return found[-1]


def grad_cam(net: Module, x: ArrayLike, target: Any = None, layer: str | Module | None = None) -> Array:
    """Where in each image a class shows: Selvaraju et al., "Grad-CAM", 2017.

    The channels of a layer, weighed by the mean of the class score's gradient, added, what is negative left out, and
    enlarged to the images' size.

    Parameters
    ----------
    net : Module
        Gives scores ``(N, classes)``.
    x : (N, C, H, W) or (N, H, W, C) array_like
    target : int or (N,) array_like of int, optional
        The class, of all or of each; by default the one of the highest score.
    layer : str or Module, optional
        One that gives images; by default the last `Conv2D`.

    Returns
    -------
    (N, H, W) ndarray
        From 0 to 1, the largest of each image being 1, unless nothing speaks for the class.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> net = nn.Sequential(nn.Conv2D(4, 3, padding=1), nn.Activation("relu"), nn.Flatten(), nn.Dense(2))
    >>> nn.grad_cam(net, np.ones((3, 1, 8, 8)), target=0).shape
    (3, 8, 8)
    """
    op = "grad_cam"
    path, module = layer_of(op, net, layer)
    tape, kept = Tape(), list[Array]()

    def watch(value: Array) -> Any:
        if value.ndim != 4:
            raise ValueError(f"{op}: layer {path!r} gives {value.shape}, but needs to give images")
        kept.append(value.copy())
        return tape.watch(kept[-1])

    output = _called(op, net, x, (path, module), watch, tape)
    if getattr(output, "ndim", 0) != 2:
        raise ValueError(
            f"{op}: the network gives {getattr(output, 'shape', output)}, but needs (N, classes)"
        )
    scores = output.value
    classes = scores.argmax(axis=1) if target is None else np.broadcast_to(np.asarray(target), len(scores))
    if classes.dtype.kind not in "iu" or classes.min() < 0 or classes.max() >= scores.shape[1]:
        raise ValueError(f"{op}: target is {target!r}, but needs classes from 0 to {scores.shape[1] - 1}")
    slope = np.zeros_like(scores)
    slope[np.arange(len(scores)), classes] = 1
    tape.walk_back(output, slope)
    maps, gradient = kept[-1], tape.gradient_of(kept[-1])
    last = channels_last(net.layout or "NCHW")
    axes, channel = ((1, 2), 3) if last else ((2, 3), 1)
    shares = gradient.mean(axis=axes, keepdims=True)
    found = np.maximum((maps * shares).sum(axis=channel), 0)
    shape = np.asarray(x).shape
    large = fastconv.resize2d(found[:, np.newaxis], shape[1:3] if last else shape[2:4], mode="linear")[:, 0]
    most = large.max(axis=(1, 2), keepdims=True)
    return large / np.where(most > 0, most, 1)
