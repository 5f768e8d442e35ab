"""The float64 reference: the operations of the benchmarks' oracle at every element, as arrays.

Called by the tests only. Arrays are batched NCHW; names, argument order and meaning are those of `fastconv`.
"""

import numpy as np

from fastconv.bench.oracle.definitions import FORWARD, pointwise, windows

pair, effective, pads = windows.pair, windows.effective, windows.sides
activate = pointwise.activate


def everywhere(result):
    """The array of a `Definition`, or those of values and indices."""
    return tuple(map(everywhere, result)) if isinstance(result, tuple) else result.everywhere()[0]


def __getattr__(name):
    if name not in FORWARD:
        raise AttributeError(name)
    return lambda *args, **options: everywhere(FORWARD[name](*args, **options))


def stochastic_pool2d(x, *args, uniforms=None, **options):
    """Value and index where `uniforms` are given, else the weighted mean."""
    options |= {"uniforms": uniforms, "return_indices": uniforms is not None}
    return everywhere(FORWARD["stochastic_pool2d"](x, *args, **options))


def some_window_is_empty(shape, options):
    """Whether a window of a pooling with these options has no pixel."""
    return any(axis.some_empty for axis in windows.sliding_axes(shape[2:], **options))


def fold_batch_norm(weight, bias, mean, variance, gamma=None, beta=None, eps=1e-5):
    scale = (1.0 if gamma is None else gamma) / np.sqrt(np.float64(variance) + eps)
    shift = (0.0 if bias is None else bias) - np.float64(mean)
    return weight * scale[:, None, None, None], shift * scale + (0.0 if beta is None else beta)
