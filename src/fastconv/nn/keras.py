"""Weights of Keras: its layouts and its order of arrays, turned into those of this library. Used by users."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastconv.nn.core import Core
from fastconv.nn.export import drawn, unbuilt_again
from fastconv.nn.layers.conv import Conv1D, Conv2D, ConvTranspose2D, DepthwiseConv2D
from fastconv.nn.layers.dense import Dense, Flatten
from fastconv.nn.layers.norm import BatchNorm2D, GroupNorm, LayerNorm
from fastconv.nn.module import Module
from fastconv.nn.scope import setting
from fastconv.nn.state import state_of
from fastconv.problem.layout import channels_last
from fastconv.typing import Array

# The spatial shape, channels first, of what each dense layer sees flattened, by the layer's identity.
Flattened = Mapping[int, tuple[int, ...]]


def from_keras_weights(net: Module, weights: Any, *, input_shape: Any = None) -> Module:
    """Take over the weights of a Keras model of the same layers.

    Kernels of convolutions are ``(kH, kW, C_in, C_out)`` there, of depthwise ones ``(kH, kW, C, multiplier)``, of
    transposed ones ``(kH, kW, C_out, C_in)``, of dense layers ``(features, units)`` or ``(1, 1, features, units)``;
    batch normalisation has gamma, beta, moving mean and moving variance, in this order. What else differs belongs to
    the layers: Keras's epsilon of batch normalisation is 1e-3, and its pooling and strides pad as ``padding="same"``
    does here.

    Parameters
    ----------
    net : Module
        Changed in place; it need not have been called yet.
    weights : list of array_like, Keras model, or dict of str to list
        ``model.get_weights()``, or anything that has this method: arrays in the order of the layers of `net`. Where a
        model has its layers in another order: the arrays of each layer by its path in `net`.
    input_shape : tuple of int, optional
        That of an input of `net`, in its layout. Needed where a dense layer follows `Flatten`: Keras flattens images
        with their channels last, this library with their channels first, as PyTorch does.

    Returns
    -------
    Module
        `net`.

    Raises
    ------
    ValueError, TypeError
        If arrays are missing, left over or of another shape, with the layer's path; then nothing is loaded.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> net = nn.Sequential(nn.Conv2D(4, 3, padding="same"), nn.Flatten(), nn.Dense(2), layout="NHWC")
    >>> weights = [np.ones((3, 3, 1, 4)), np.zeros(4), np.ones((64, 2)), np.zeros(2)]  # model.get_weights()
    >>> net = nn.from_keras_weights(net, weights, input_shape=(1, 4, 4, 1))
    >>> net[0].weight.shape, net[2].weight.shape
    ((4, 1, 3, 3), (2, 64))
    """
    op = "from_keras_weights"
    given = weights.get_weights() if hasattr(weights, "get_weights") else weights
    layers = {path: module for path, module in net.named_modules() if module.__dict__["_parameters"]}
    shapes = _flattened(net, op, input_shape)
    if isinstance(given, Mapping):
        unknown = [path for path in given if path not in layers]
        missing = [path for path in layers if path not in given]
        if unknown or missing:
            raise ValueError(f"{op}: not in the network: {unknown[:5]}; without arrays: {missing[:5]}")
        groups = {path: list(given[path]) for path in layers}
    else:
        if isinstance(given, (str, np.ndarray)) or not isinstance(given, Sequence):
            raise TypeError(f"{op}: weights is {type(given).__name__}, but needs a list of arrays")
        groups = _dealt(op, layers, list(given))
    state: dict[str, Array] = {
        path: array for path, array in state_of(net).items() if path.endswith("num_batches_tracked")
    }
    for path, module in layers.items():
        arrays = [np.asarray(array) for array in groups[path]]
        try:
            for name, array in _converted(module, arrays, shapes):
                state[f"{path}.{name}" if path else name] = array
        except ValueError as error:
            raise ValueError(f"{op}: layer {path or '(whole)'} ({type(module).__name__}): {error}") from None
    net.load_state_dict(state)
    return net


def _names(module: Core) -> list[str]:
    """The arrays of a layer, in Keras's order."""
    held = [name for name in ("weight", "bias") if name in module.__dict__["_parameters"]]
    return held + (["running_mean", "running_var"] if isinstance(module, BatchNorm2D) else [])


def _dealt(op: str, layers: Mapping[str, Core], arrays: list[Any]) -> dict[str, list[Any]]:
    """To each layer its share of the list."""
    counts = {path: len(_names(module)) for path, module in layers.items()}
    wanted = sum(counts.values())
    if wanted != len(arrays):
        raise ValueError(f"{op}: weights has {len(arrays)} arrays, but the network's layers need {wanted}")
    places = iter(arrays)
    return {path: [next(places) for _ in range(count)] for path, count in counts.items()}


def _converted(module: Core, arrays: list[Array], shapes: Flattened) -> Iterator[tuple[str, Array]]:
    names = _names(module)
    if len(names) != len(arrays):
        raise ValueError(f"got {len(arrays)} arrays, but needs {len(names)}: {', '.join(names)}")
    read = next((one for kind, one in _KERNELS.items() if isinstance(module, kind)), None)
    if read is None or [*module.__dict__["_parameters"]] != [n for n in names if not n.startswith("running")]:
        raise ValueError("Keras has no such layer")
    for name, array in zip(names, arrays, strict=True):
        yield name, read(module, array, shapes) if name == "weight" or read is _features else array


def _check_rank(array: Array, axes: str) -> None:
    if array.ndim != len(axes.split(", ")):
        raise ValueError(f"the kernel has shape {array.shape}, but needs ({axes})")


def _conv2d(module: Any, kernel: Array, shapes: Flattened) -> Array:
    _check_rank(kernel, "kH, kW, C_in, C_out")
    if module.groups > 1 and kernel.shape[2:] == (module.groups, module.filters // module.groups):
        return _depthwise(module, kernel, shapes)  # what is a layer of its own in Keras
    return kernel.transpose(3, 2, 0, 1)


def _depthwise(module: Any, kernel: Array, shapes: Flattened) -> Array:
    _check_rank(kernel, "kH, kW, C, multiplier")
    height, width, channels, multiplier = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)


def _transposed(module: Any, kernel: Array, shapes: Flattened) -> Array:
    _check_rank(kernel, "kH, kW, C_out, C_in")
    return kernel.transpose(3, 2, 0, 1)


def _conv1d(module: Any, kernel: Array, shapes: Flattened) -> Array:
    _check_rank(kernel, "kL, C_in, C_out")
    return kernel.transpose(2, 1, 0)


def _dense(module: Any, kernel: Array, shapes: Flattened) -> Array:
    if kernel.ndim == 4 and kernel.shape[:2] == (1, 1):
        kernel = kernel[0, 0]  # Keras's MobileNet ends in a 1x1 convolution of one pixel
    _check_rank(kernel, "features, units")
    shape = shapes.get(id(module))
    return kernel.T if shape is None else _channels_first(kernel, shape).T


def _features(module: Any, array: Array, shapes: Flattened) -> Array:
    """A number for each channel, or for each feature of what was flattened."""
    shape = shapes.get(id(module))
    return array if shape is None else _channels_first(array, shape)


def _channels_first(array: Array, shape: tuple[int, ...]) -> Array:
    """Features that were flattened with the channels last, along the first axis, as with the channels first."""
    if not shape:
        raise ValueError("it follows Flatten: needs input_shape=, as Keras flattens with the channels last")
    if len(array) != math.prod(shape):
        raise ValueError(f"{len(array)} features, but images of {shape} have {math.prod(shape)}")
    channels, *sizes = shape
    images = array.reshape(*sizes, channels, *array.shape[1:])
    return np.moveaxis(images, len(sizes), 0).reshape(array.shape)


_KERNELS: dict[type, Callable[[Any, Array, Flattened], Array]] = {
    Conv2D: _conv2d,
    DepthwiseConv2D: _depthwise,
    ConvTranspose2D: _transposed,
    Conv1D: _conv1d,
    Dense: _dense,
    BatchNorm2D: _features,
    LayerNorm: _features,
    GroupNorm: _features,
}


def _flattened(net: Module, op: str, input_shape: Any) -> dict[int, tuple[int, ...]]:
    """For each layer that sees what a `Flatten` gave what that was given; nothing where it is not known."""
    after: dict[int, Core] = {}
    last: Core | None = None
    for _, module in net.named_modules():
        if isinstance(module, Flatten):
            last = module
        elif module.__dict__["_parameters"]:
            if last is not None:
                after[id(module)] = last
            if not isinstance(module, (BatchNorm2D, LayerNorm)):
                last = None
    if not after or input_shape is None:
        return dict.fromkeys(after, ())
    given: dict[int, tuple[int, ...]] = {}
    built: list[Any] = []
    with setting(initialiser="zeros", built=built):
        _, drawing = drawn(net, op, input_shape)
    for node, places in zip(drawing.nodes, drawing.places, strict=True):
        x = node.inputs[0]
        if places and x is not None and x.shape is not None:
            given.setdefault(places[-1], tuple(int(size) for size in x.shape[1:]))  # type: ignore[arg-type]
    unbuilt_again(built)
    last_axis = channels_last(net.layout or "NCHW")
    found = {}
    for layer, flatten in after.items():
        shape = given.get(id(flatten), ())
        found[layer] = (shape[-1], *shape[:-1]) if last_axis and shape else shape
    return found
