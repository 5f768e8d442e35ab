"""Networks: layers, training, and the networks of the field, on NumPy arrays.

A network is called like a function; `Module.fit` trains it, `Module.compile` makes it a program, `Module.save` and
`load` keep it in files. `layers` are those whose names begin with a capital letter; `functional`, `losses`,
`initialisers`, `schedules`, `augment`, `data`, `blocks` and `models` are modules of functions and classes.
"""

from __future__ import annotations

from fastconv.nn import augment, blocks, data, functional, initialisers, losses, models, schedules
from fastconv.nn.checkpoint import checkpoint
from fastconv.nn.containers import Parallel, Residual, Sequential
from fastconv.nn.gradients import input_gradient, value_and_grad
from fastconv.nn.keras import from_keras_weights
from fastconv.nn.layers.conv import Conv1D, Conv2D, ConvTranspose2D, DepthwiseConv2D
from fastconv.nn.layers.dense import Activation, Dense, Flatten, Identity, Reshape, Softmax
from fastconv.nn.layers.norm import (
    BatchNorm2D,
    Dropout,
    GroupNorm,
    InstanceNorm2D,
    LayerNorm,
    LocalResponseNorm,
    SpatialDropout2D,
)
from fastconv.nn.layers.pool import (
    AdaptiveAvgPool2D,
    AdaptiveMaxPool2D,
    AvgPool2D,
    FractionalMaxPool2D,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    LpPool2D,
    MaxPool2D,
    MaxUnpool2D,
    Pad2D,
    PixelShuffle,
    PixelUnshuffle,
    StochasticPool2D,
    Upsample2D,
)
from fastconv.nn.layers.several_conv import DeformConv2D, OctaveConv2D, SeparableConv2D
from fastconv.nn.load import load
from fastconv.nn.module import Module
from fastconv.nn.optimisers import SGD, Adam, AdamW, Optimiser, RMSprop
from fastconv.nn.pictures import plot_feature_maps, plot_filters, plot_grad_cam, plot_history
from fastconv.nn.scope import training
from fastconv.nn.seen import feature_maps, grad_cam
from fastconv.nn.training.callbacks import Callback, EarlyStopping, OnPlateau
from fastconv.shown import shows

__all__ = [
    "SGD",
    "Activation",
    "Adam",
    "AdamW",
    "AdaptiveAvgPool2D",
    "AdaptiveMaxPool2D",
    "AvgPool2D",
    "BatchNorm2D",
    "Callback",
    "Conv1D",
    "Conv2D",
    "ConvTranspose2D",
    "DeformConv2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "FractionalMaxPool2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GroupNorm",
    "Identity",
    "InstanceNorm2D",
    "LayerNorm",
    "LocalResponseNorm",
    "LpPool2D",
    "MaxPool2D",
    "MaxUnpool2D",
    "Module",
    "OctaveConv2D",
    "OnPlateau",
    "Optimiser",
    "Pad2D",
    "Parallel",
    "PixelShuffle",
    "PixelUnshuffle",
    "RMSprop",
    "Reshape",
    "Residual",
    "SeparableConv2D",
    "Sequential",
    "Softmax",
    "SpatialDropout2D",
    "StochasticPool2D",
    "Upsample2D",
    "augment",
    "blocks",
    "checkpoint",
    "data",
    "feature_maps",
    "from_keras_weights",
    "functional",
    "grad_cam",
    "initialisers",
    "input_gradient",
    "load",
    "losses",
    "models",
    "plot_feature_maps",
    "plot_filters",
    "plot_grad_cam",
    "plot_history",
    "schedules",
    "training",
    "value_and_grad",
]
__dir__ = shows(__name__)
