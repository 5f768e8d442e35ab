"""Pictures of networks: histories, filters, feature maps, Grad-CAM. Needs the ``plot`` extra; used by users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastconv.first_use import importing
from fastconv.nn.module import Module
from fastconv.nn.seen import feature_maps, grad_cam, layer_of
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, ArrayLike


def _plots(op: str) -> Any:
    """matplotlib.pyplot, which only who draws needs."""
    try:
        with importing:
            import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f'{op}: needs matplotlib ({error}): pip install "fastconv[plot]"') from None
    return plt


def plot_history(history: Mapping[str, Sequence[float]]) -> Any:
    """Draw what `Module.fit` gave: the loss, and each metric, by epochs; with validation beside it.

    Parameters
    ----------
    history : dict of str to list of float

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> figure = nn.plot_history({"loss": [1.0, 0.5], "val_loss": [1.1, 0.7], "accuracy": [0.6, 0.9]})
    >>> [axis.get_title() for axis in figure.axes]
    ['loss', 'accuracy']
    """
    names = list(dict.fromkeys(name.removeprefix("val_") for name in history))
    if not names:
        raise ValueError("plot_history: history is empty")
    plt = _plots("plot_history")
    figure, axes = plt.subplots(
        1, len(names), figsize=(4.5 * len(names), 3.2), squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes[0], names, strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if key in history:
                numbers = history[key]
                axis.plot(np.arange(1, len(numbers) + 1), numbers, label=label, marker=".")
        axis.set_title(name)
        axis.set_xlabel("epoch")
        axis.legend()
    return figure


def _sheet(op: str, pictures: Sequence[Array], columns: int, **how: Any) -> Any:
    """Small pictures in rows."""
    plt = _plots(op)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(1.3 * columns, 1.3 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture in zip(axes.flat, pictures, strict=False):
        axis.imshow(picture, **how)
    return figure


def plot_filters(net: Module, layer: str | Module | None = None, *, most: int = 64, columns: int = 8) -> Any:
    """Draw the filters of a convolution: in colours where they have three channels, else their mean over channels.

    Parameters
    ----------
    net : Module
    layer : str or Module, optional
        A convolution, by its path; by default the last `Conv2D`.
    most, columns : int
        How many are drawn, and how many in a row.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> net = nn.Sequential(nn.Conv2D(6, 3), nn.Flatten(), nn.Dense(2)).build((1, 1, 8, 8))
    >>> len(nn.plot_filters(net, "0").axes)
    6
    """
    path, module = layer_of("plot_filters", net, layer)
    weight = module.__dict__["_parameters"].get("weight")
    if weight is None or weight.ndim != 4:
        raise ValueError(
            f"plot_filters: layer {path!r} has no filters of images yet: needs a convolution that was built"
        )
    weight = weight[:most]
    if weight.shape[1] == 3:
        low, high = weight.min(), weight.max()
        return _sheet(
            "plot_filters", list((weight.transpose(0, 2, 3, 1) - low) / max(high - low, 1e-12)), columns
        )
    means = weight.mean(axis=1)
    reach = float(np.abs(means).max()) or 1.0
    return _sheet("plot_filters", list(means), columns, cmap="RdBu", vmin=-reach, vmax=reach)


def plot_feature_maps(
    net: Module, x: ArrayLike, layer: str | Module | None = None, *, most: int = 64, columns: int = 8
) -> Any:
    """Draw the channels that a layer gives for an image.

    Parameters
    ----------
    net : Module
    x : array_like
        Inputs of the network; the first is drawn.
    layer : str or Module, optional
        By its path; by default the last `Conv2D`.
    most, columns : int
        How many are drawn, and how many in a row.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> net = nn.Sequential(nn.Conv2D(6, 3, activation="relu"), nn.Flatten(), nn.Dense(2))
    >>> len(nn.plot_feature_maps(net, np.ones((1, 1, 8, 8)), "0").axes)
    6
    """
    maps = feature_maps(net, x, layer)
    if maps.ndim != 4:
        raise ValueError(f"plot_feature_maps: layer {layer!r} gives {maps.shape}, but needs to give images")
    first = maps[0] if not channels_last(net.layout or "NCHW") else np.moveaxis(maps[0], -1, 0)
    return _sheet("plot_feature_maps", list(first[:most]), columns, cmap="magma")


def plot_grad_cam(
    net: Module,
    x: ArrayLike,
    target: Any = None,
    layer: str | Module | None = None,
    *,
    columns: int = 4,
) -> Any:
    """Draw images with what speaks for a class laid over them.

    Parameters
    ----------
    net, x, target, layer
        As of `grad_cam`.
    columns : int
        How many images in a row.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> net = nn.Sequential(nn.Conv2D(4, 3, padding=1), nn.Activation("relu"), nn.Flatten(), nn.Dense(2))
    >>> len(nn.plot_grad_cam(net, np.ones((3, 1, 8, 8)), target=0).axes)
    3
    """
    shown = grad_cam(net, x, target, layer)
    images = np.asarray(x, np.float64)
    images = images if channels_last(net.layout or "NCHW") else np.moveaxis(images, 1, -1)
    colours = images if images.shape[-1] == 3 else np.repeat(images.mean(-1, keepdims=True), 3, axis=-1)
    low, high = colours.min(axis=(1, 2, 3), keepdims=True), colours.max(axis=(1, 2, 3), keepdims=True)
    figure = _sheet("plot_grad_cam", list((colours - low) / np.maximum(high - low, 1e-12)), columns)
    for axis, part in zip(figure.axes, shown, strict=False):
        axis.imshow(part, cmap="jet", vmin=0, vmax=1, alpha=0.45)
    return figure
