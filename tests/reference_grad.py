"""The float64 reference of every gradient: those of the benchmarks' oracle at every element, as arrays.

Called by the tests only. Arrays are batched NCHW; a gradient of several arguments is a tuple of arrays.
"""

import numpy as np

from fastconv.bench.oracle.definitions import conv_gradients, deform, move, pointwise, pool_gradients
from reference import everywhere

SLOPES = pointwise.ACTIVATIONS
activation = pointwise.activation


def _all(gradients):
    return tuple(None if gradient is None else everywhere(gradient) for gradient in gradients)


def conv2d(*args, **options):
    """(grad_x, grad_weight, grad_bias) of x, weight and grad_output."""
    return _all(conv_gradients.conv2d_gradients(*args, **options))


def depthwise_conv2d(*args, **options):
    return _all(conv_gradients.depthwise_conv2d_gradients(*args, **options))


def separable_conv2d(*args, **options):
    """(grad_x, grad_depthwise_weight, grad_pointwise_weight, grad_bias)."""
    return _all(conv_gradients.separable_conv2d_gradients(*args, **options))


def conv_transpose2d(*args, **options):
    return _all(conv_gradients.conv_transpose2d_gradients(*args, **options))


def deform_conv2d(*args, **options):
    """(grad_x, grad_offset, grad_weight, grad_bias, grad_mask) of x, offset, weight and grad_output."""
    return _all(deform.deform_conv2d_gradients(*args, **options))


def pad2d(grad_output, padding, mode="zeros"):
    around = move.sides(padding, (1, 1), 1)
    size = [n - sum(side) for n, side in zip(grad_output.shape[2:], around, strict=True)]
    x = np.empty((*grad_output.shape[:2], *size))
    return everywhere(move.pad2d_gradient(grad_output, x, padding, mode))


def unfold(grad_output, input_size, **options):
    return everywhere(move.unfold_gradient(grad_output, np.empty(input_size), **options))


def by_indices(grad_output, indices, input_size):
    """Max pooling of every kind."""
    return everywhere(pool_gradients.by_indices(grad_output, indices, input_size))


def avg_pool2d(grad_output, x, *args, **options):
    return everywhere(pool_gradients.avg_pool2d_gradient(grad_output, x, *args, **options))


def adaptive_avg_pool2d(grad_output, x):
    return everywhere(pool_gradients.adaptive_avg_pool2d_gradient(grad_output, x, grad_output.shape[2:]))


def lp_pool2d(grad_output, x, *args, **options):
    return everywhere(pool_gradients.lp_pool2d_gradient(grad_output, x, *args, **options))


def max_unpool2d(grad_output, indices):
    return everywhere(move.max_unpool2d_gradient(grad_output, indices, indices))


def local_response_norm(grad_output, x, *args):
    return everywhere(pointwise.local_response_norm_gradient(grad_output, x, *args))
