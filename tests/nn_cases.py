"""Layers and parts of networks with an input for each, and what the tests of `fastconv.nn` do with them."""

import numpy as np

import fastconv.nn as nn
from fastconv.nn import functional as F


class Own(nn.Module):
    """A module of one's own: arithmetic, parts of arrays, sums."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(5)
        self.scale = np.linspace(0.5, 1.5, 5, dtype=np.float32)

    def forward(self, x):
        y = self.dense(x) * self.scale - 0.25
        gate = F.sigmoid(y[:, 1:4]) / (1.5 + F.exp(-(y[:, 0:1] ** 2)))
        joined = F.concatenate([y, gate], axis=1)
        return F.log_softmax(joined) + joined.mean(axis=1, keepdims=True) + F.sqrt(F.absolute(joined) + 1.0)


class Products(nn.Module):
    """Products of matrices, and axes moved about."""

    def __init__(self):
        super().__init__()
        self.matrix = np.arange(12.0, dtype=np.float32).reshape(3, 4) / 7

    def forward(self, x):
        rows = x.reshape((-1, 3, 4)).transpose(0, 2, 1) @ self.matrix
        return F.maximum(rows, axis=1) + rows.sum(axis=(1,))


IMAGE, SIGNAL, ROWS = (2, 4, 7, 9), (2, 4, 13), (3, 6)
# Of each kind of layer some, as functions that make one, and the shape of an input with channels first.
LAYERS = {
    "Conv2D": (lambda: nn.Conv2D(5, 3, padding=1), IMAGE),
    "Conv2D same": (lambda: nn.Conv2D(6, (3, 2), stride=2, padding="same", activation="relu"), IMAGE),
    "Conv2D full": (lambda: nn.Conv2D(3, 2, padding="full", activation="silu"), IMAGE),
    "Conv2D grouped": (lambda: nn.Conv2D(6, 3, (1, 2), 2, 2, 2, activation="gelu", bias=False), IMAGE),
    "Conv2D reflect": (lambda: nn.Conv2D(3, 3, padding=((1, 2), (0, 1)), padding_mode="reflect"), IMAGE),
    "Conv2D symmetric": (lambda: nn.Conv2D(3, 3, padding=((1, 9), (0, 1)), padding_mode="symmetric"), IMAGE),
    "Conv2D constant": (lambda: nn.Conv2D(3, 3, 2, 1, padding_mode="constant", padding_value=1.5), IMAGE),
    "Conv2D of one pixel": (lambda: nn.Conv2D(3, 3, padding=1, activation=("leaky_relu", 0.2)), (1, 5, 1, 1)),
    "Conv2D large": (lambda: nn.Conv2D(3, 9, padding=4, activation="hardswish"), (1, 2, 5, 6)),
    "DepthwiseConv2D": (lambda: nn.DepthwiseConv2D(3, 2, 1, depth_multiplier=2, activation="tanh"), IMAGE),
    "SeparableConv2D": (lambda: nn.SeparableConv2D(5, 3, padding="same", activation="relu6"), IMAGE),
    "ConvTranspose2D": (lambda: nn.ConvTranspose2D(6, 3, 2, 1, groups=2, output_padding=1), IMAGE),
    "ConvTranspose2D up": (lambda: nn.ConvTranspose2D(3, 2, 2, activation="sigmoid"), IMAGE),
    "DeformConv2D": (lambda: nn.DeformConv2D(3, 3, padding=1), IMAGE),
    "DeformConv2D modulated": (lambda: nn.DeformConv2D(3, 3, stride=2, padding=1, modulated=True), IMAGE),
    "Conv1D": (lambda: nn.Conv1D(5, 3, stride=2, padding=1, activation="relu"), SIGNAL),
    "Conv1D causal": (lambda: nn.Conv1D(4, 3, padding="causal", dilation=4, groups=2), SIGNAL),
    "Conv1D constant": (lambda: nn.Conv1D(4, 3, padding=2, padding_mode="constant", padding_value=-1), SIGNAL),
    "Conv1D same": (lambda: nn.Conv1D(4, 4, padding="same"), SIGNAL),
    "MaxPool2D": (lambda: nn.MaxPool2D(3, 2, 1), IMAGE),
    "MaxPool2D same": (lambda: nn.MaxPool2D(3, 2, "same"), IMAGE),
    "AvgPool2D same": (lambda: nn.AvgPool2D((2, 3), (1, 2), "same", count_include_pad=False), IMAGE),
    "MaxPool2D ceil": (lambda: nn.MaxPool2D((2, 3), ceil_mode=True), IMAGE),
    "AvgPool2D": (lambda: nn.AvgPool2D(3, 2, 1, count_include_pad=False), IMAGE),
    "AvgPool2D divisor": (lambda: nn.AvgPool2D(2, divisor_override=3), IMAGE),
    "LpPool2D": (lambda: nn.LpPool2D(2, 2), IMAGE),
    "AdaptiveAvgPool2D": (lambda: nn.AdaptiveAvgPool2D((3, 4)), IMAGE),
    "AdaptiveAvgPool2D even": (lambda: nn.AdaptiveAvgPool2D((7, 3)), IMAGE),
    "AdaptiveMaxPool2D": (lambda: nn.AdaptiveMaxPool2D((3, 4)), IMAGE),
    "GlobalAvgPool2D": (lambda: nn.GlobalAvgPool2D(), IMAGE),
    "GlobalAvgPool2D rows": (lambda: nn.GlobalAvgPool2D(keepdims=False), IMAGE),
    "GlobalMaxPool2D": (lambda: nn.GlobalMaxPool2D(), IMAGE),
    "Pad2D": (lambda: nn.Pad2D(((1, 0), (2, 3)), value=0.5), IMAGE),
    "Pad2D replicate": (lambda: nn.Pad2D(2, "replicate"), IMAGE),
    "Pad2D symmetric": (lambda: nn.Pad2D((1, 9), "symmetric"), IMAGE),
    "Pad2D constant": (lambda: nn.Pad2D(1, "constant", -2.0), IMAGE),
    "Pad2D circular": (lambda: nn.Pad2D((1, 2), "circular"), IMAGE),
    "Upsample2D": (lambda: nn.Upsample2D(2), IMAGE),
    "Upsample2D linear": (lambda: nn.Upsample2D((2, 3), "linear"), IMAGE),
    "Upsample2D corners": (lambda: nn.Upsample2D(2, "linear", align_corners=True), IMAGE),
    "Upsample2D cubic": (lambda: nn.Upsample2D(1.5, "cubic"), IMAGE),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), (2, 8, 3, 5)),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), (2, 3, 4, 6)),
    "Dense": (lambda: nn.Dense(5, activation="relu"), ROWS),
    "Dense of images": (lambda: nn.Sequential(nn.Flatten(), nn.Dense(5, activation="gelu")), IMAGE),
    "Reshape": (lambda: nn.Reshape((2, -1)), ROWS),
    "BatchNorm2D": (lambda: nn.BatchNorm2D(), IMAGE),
    "BatchNorm2D rows": (lambda: nn.BatchNorm2D(), ROWS),
    "GroupNorm": (lambda: nn.GroupNorm(2), IMAGE),
    "InstanceNorm2D": (lambda: nn.InstanceNorm2D(affine=True), IMAGE),
    "LayerNorm": (lambda: nn.LayerNorm(), IMAGE),
    "LayerNorm rows": (lambda: nn.LayerNorm(6), ROWS),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3, 0.5), IMAGE),
    "Dropout": (lambda: nn.Dropout(0.4), IMAGE),
    "SpatialDropout2D": (lambda: nn.SpatialDropout2D(0.4), IMAGE),
    "Softmax": (lambda: nn.Softmax(), IMAGE),
    **{f"Activation {name}": (lambda name=name: nn.Activation(name), IMAGE) for name in
       ("relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish", "gelu")},
    "Parallel": (lambda: nn.Parallel(nn.Conv2D(2, 1), nn.Identity(), nn.Conv2D(3, 3, padding=1)), IMAGE),
    "Parallel add": (lambda: nn.Parallel(nn.Conv2D(4, 1), nn.Identity(), mode="add"), IMAGE),
    "Residual": (
        lambda: nn.Residual(nn.Conv2D(4, 3, padding=1), nn.BatchNorm2D(), activation="relu"),
        IMAGE,
    ),
    "Residual shortcut": (
        lambda: nn.Residual(
            nn.Conv2D(6, 3, 2, 1), nn.Activation("relu"), nn.Conv2D(6, 1), shortcut=nn.Conv2D(6, 1, 2)
        ),
        IMAGE,
    ),
    "Octave": (
        lambda: nn.Sequential(
            nn.OctaveConv2D(6, 3, padding=1, alpha=0.5, activation="relu", first=True),
            nn.OctaveConv2D(4, 3, padding=1, alpha=0.25),
            lambda parts: F.concatenate([parts[0], F.resize2d(parts[1], scale_factor=2)]),
        ),
        (2, 3, 8, 6),
    ),
    "Own": (Own, ROWS),
    "Products": (Products, (2, 12)),
}  # fmt: skip
RANDOM = ("Dropout", "SpatialDropout2D")


def in_layout(x, layout):
    """An array with channels first, as a layout has it."""
    return np.moveaxis(x, 1, -1) if layout == "NHWC" and x.ndim > 2 else x


def channels_first(y, layout):
    return np.moveaxis(y, -1, 1) if layout == "NHWC" and y.ndim > 2 else y


def made(name, layout="NCHW", dtype="float64", seed=0):
    """A layer with parameters of no special values, and an input with channels first."""
    make, shape = LAYERS[name]
    return with_numbers(make(), shape, layout, dtype, seed)


def with_numbers(net, shape, layout="NCHW", dtype="float64", seed=0):
    """A network with parameters and statistics of no special values, and an input."""
    rng = np.random.default_rng(seed)
    net.astype(dtype).__dict__["layout"] = layout
    x = rng.standard_normal(shape).astype(dtype)
    net.build(in_layout(x, layout).shape, rng=1)
    state = net.state_dict()
    for path, array in state.items():
        if "running_var" in path:
            state[path] = rng.uniform(0.5, 2, array.shape)
        elif (array.ndim < 2 and array.dtype.kind == "f") or "offset" in path:
            state[path] = array + 0.3 * rng.standard_normal(array.shape)
    net.load_state_dict(state)
    return net, x


def slope_errors(net, x, layout, seed=77, step=1e-6, training=True):
    """How far gradients are from differences along a random direction, of the input and of all parameters together.

    Relative to the gradient's norm; the loss is a sum of the outputs with random factors.
    """
    rng = np.random.default_rng(seed)
    x = in_layout(x, layout)
    with nn.training(training):
        nn.scope.SCOPE.rng = np.random.default_rng(5)
        factors = rng.standard_normal(net(x).shape)

    before = net.state_dict()

    def value(state, x):
        net.load_state_dict(state)
        with nn.training(training):
            nn.scope.SCOPE.rng = np.random.default_rng(5)  # the same numbers are dropped
            return float((net(x) * factors).sum())

    nn.scope.SCOPE.rng = np.random.default_rng(5)
    net.load_state_dict(before)
    with nn.training(training):
        net.forward(x)
    of_x = net.backward(factors)
    gradients = net.gradients
    errors = {}
    aside = rng.standard_normal(x.shape)
    numeric = (value(before, x + step * aside) - value(before, x - step * aside)) / (2 * step)
    errors["x"] = abs(numeric - (of_x * aside).sum()) / np.sqrt((of_x**2).sum() + 1e-30)
    if gradients:
        aside = {path: rng.standard_normal(g.shape) for path, g in gradients.items()}
        moved = [
            before | {path: before[path] + sign * step * d for path, d in aside.items()} for sign in (1, -1)
        ]
        numeric = (value(moved[0], x) - value(moved[1], x)) / (2 * step)
        exact = sum((gradients[path] * d).sum() for path, d in aside.items())
        size = np.sqrt(sum((g**2).sum() for g in gradients.values()) + 1e-30)
        errors["parameters"] = abs(numeric - exact) / size
    net.load_state_dict(before)
    nn.scope.SCOPE.rng = None
    return errors
