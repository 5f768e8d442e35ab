"""Whether a result is right: compared with float64 before anything is timed.

Convolutions and poolings are computed from their definitions at sampled elements (`definitions/`), so that layers of
any size are checked in milliseconds; the other operations by the numpy backend in float64, in full.
Called for the runners of fastconv and of its peers alike, and by the suite in ``bench/``.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fastconv.bench.definitions import FORWARD, GRADIENTS, Definition, Where
from fastconv.bench.layer import Layer, Shape, grad_output
from fastconv.bench.results import Settings
from fastconv.bench.runner import Backend
from fastconv.typing import Array

SAMPLES = 64
TERMS = 1 << 20  # of all sampled elements together
# In units of eps * sum(|x| * |weight|): the tests hold fastconv to 16; other libraries add up in other orders.
ROUNDING = 64
# Largest element by the largest sum of absolute terms, where only the elements are known.
CANCELLATION = 16

AGREEMENT = {"float32": 1e-3, "float64": 1e-10}
Expected = Definition | Array


class WrongResult(AssertionError):
    """A result that rounding does not explain."""


def check(layer: Layer, arrays: Mapping[str, Array], images: tuple[Array, ...], settings: Settings) -> float:
    """Compare a result, or all gradients, with float64.

    Parameters
    ----------
    layer : Layer
    arrays : mapping of str to ndarray
        The layer's arguments, NCHW.
    images : tuple of ndarray
        What `Call.images` made: the result, or the gradients of `x`, the weights and the bias, NCHW.
    settings : Settings

    Returns
    -------
    float
        The largest difference as a fraction of the largest expected element (of each array; the worst of them).

    Raises
    ------
    WrongResult
        If a shape is another, an element is not finite, or a difference is more than rounding explains.
    """
    compute = _gradients if settings.mode == "gradient" else _result
    expected = compute(layer, arrays, settings)
    if len(images) > len(expected) or len(images) < min(len(expected), len(layer.shapes)):
        raise WrongResult(f"{layer.name} ({layer}): {len(images)} arrays, but needs {len(expected)}")
    eps = float(np.finfo(settings.dtype).eps)
    return max(
        _compare(f"{layer.name} ({layer})", image, definition, eps)
        for image, definition in zip(images, expected, strict=False)
    )


def agree(layer: Layer, images: tuple[Array, ...], others: tuple[Array, ...]) -> None:
    """Compare two results of a layer in full; `check` looks at some elements only.

    Raises
    ------
    WrongResult
        If they differ by more than `AGREEMENT` of the largest element.
    """
    for image, other in zip(images, others, strict=False):
        allowed = (
            AGREEMENT[image.dtype.name] * float(np.abs(other).max(initial=0))
            if image.dtype.kind == "f"
            else 0
        )
        difference = float(np.abs(image - other).max(initial=0))
        if not difference <= allowed:
            raise WrongResult(f"{layer.name} ({layer}): differs by {difference:.2g} from the runner before")


def _compare(name: str, image: Array, expected: Expected, eps: float) -> float:
    if image.shape != expected.shape:
        raise WrongResult(f"{name}: the shape is {image.shape}, but needs {expected.shape}")
    if image.size == 0:
        return 0.0
    if not np.isfinite(image.sum(dtype=np.float64)):
        raise WrongResult(f"{name}: not all elements are finite")
    where: tuple[Array, ...] | None = None
    if isinstance(expected, Definition):
        where = _sample(expected.shape, expected.terms)
        values, bound = expected.at(where)
        got = image[where]
    else:
        got, values, bound = image, expected, CANCELLATION * np.abs(expected)
    difference = np.abs(got - values)
    allowed = ROUNDING * eps * float(bound.max()) if image.dtype.kind == "f" else 0.0
    worst = np.unravel_index(difference.argmax(), difference.shape)
    if not difference[worst] <= allowed:
        place = worst if where is None else [index[worst] for index in where]
        raise WrongResult(
            f"{name}: element {tuple(map(int, place))} is {got[worst]:.8g}, but float64 gives {values[worst]:.8g}; "
            f"rounding explains a difference of {allowed:.2g}"
        )
    return float(difference[worst] / (np.abs(values).max() or 1.0))


def _sample(shape: Shape, terms: int) -> Where:
    """Corners of the array, places along its edges, and some anywhere: fewer where each costs many terms."""
    most = min(SAMPLES, max(8, TERMS // max(terms, 1)))
    rng = np.random.default_rng([*shape])
    if math.prod(shape) <= most:
        places = np.indices(shape).reshape(len(shape), -1).T
    else:
        corners = np.array(list(itertools.product(*((0, n - 1) for n in shape))))
        anywhere = rng.integers(0, shape, (most, len(shape)))
        axis = rng.integers(max(0, len(shape) - 2), len(shape), most // 3)  # of the image, where it is one
        edges = anywhere[: most // 3]
        edges[np.arange(most // 3), axis] = rng.integers(0, 2, most // 3) * (np.array(shape)[axis] - 1)
        corners = rng.permutation(np.unique(corners, axis=0))[: most // 4]
        places = np.concatenate([corners, anywhere])[:most]
    return tuple(places.T)


def _result(layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> tuple[Expected, ...]:
    define = FORWARD.get(layer.operation)
    if define is None or not _knows(define, layer):
        return _by_numpy(layer, arrays, replace(settings, mode="call"))
    return (define(**arrays, **layer.options),)


def _gradients(layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> tuple[Expected, ...]:
    define = GRADIENTS.get(layer.operation)
    if define is None or not _knows(define, layer):
        return _by_numpy(layer, arrays, settings)
    grad = grad_output(FORWARD[layer.operation](**arrays, **layer.options).shape, settings.dtype)
    return define(arrays["x"], arrays["weight"], grad, **layer.options)


def _knows(define: Callable[..., Any], layer: Layer) -> bool:
    known = inspect.signature(define).parameters
    return set(layer.options) <= set(known)


def _by_numpy(layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> tuple[Expected, ...]:
    doubles = {
        name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in arrays.items()
    }
    # In the same layout, as random numbers are drawn in its order.
    call = Backend("numpy").prepare(layer, doubles, replace(settings, dtype="float64"))
    if call is None:
        raise ValueError(f"check: {layer.name} ({layer.operation}) has no {settings.mode}")
    return call.images(call.run())
