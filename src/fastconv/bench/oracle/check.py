"""Whether a result is right: compared with float64 before anything is timed.

Results and gradients are computed from their definitions at sampled elements (`definitions/`), so that layers of any
size are checked in milliseconds. Called for the runners of fastconv and of its peers alike, and by the suite in
``bench/``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastconv.bench.layers.layer import Layer, Shape, from_layout, grad_output
from fastconv.bench.layers.settings import Settings
from fastconv.bench.oracle.definitions import FORWARD, GRADIENTS, Box, Definition, full_box
from fastconv.typing import Array, Layout

SAMPLES = 64
TERMS = 1 << 20  # of all sampled elements together
# In units of eps * sum(|x| * |weight|): the tests hold fastconv to 16; other libraries add up in other orders.
ROUNDING = 64

AGREEMENT = {"float32": 1e-3, "float64": 1e-10}


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
        What `PreparedLayer.images` made: the result, or the gradients of `x`, the weights and the bias, NCHW.
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
    expected = definitions_of(layer, arrays, settings)
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


def definitions_of(layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> tuple[Definition, ...]:
    """The definitions of what `images` are."""
    options = dict(layer.options)
    if "rng" in options:
        options |= _draws(layer.operation, arrays["x"], options, settings.layout)
    found = FORWARD[layer.operation](**arrays, **options)
    results: tuple[Definition, ...] = found if isinstance(found, tuple) else (found,)
    if settings.mode != "gradient":
        return results
    options.pop("return_indices", None)
    options["grad_output"] = grad_output(results[0].shape, settings.dtype)
    gradients = GRADIENTS[layer.operation](**arrays, **options)
    return tuple(gradient for gradient in gradients if gradient is not None)


def _draws(operation: str, x: Array, options: dict[str, Any], layout: Layout) -> dict[str, Array]:
    """What the operation draws with its seed, which is taken out of the options, in the order of the layout."""
    rng = np.random.default_rng(options.pop("rng"))
    if operation == "fractional_max_pool2d":
        return {"random_samples": rng.random((*x.shape[:2], 2))}
    shape = FORWARD[operation](x, **options).shape
    order = (0, 1, 2, 3) if layout == "NCHW" else (0, 2, 3, 1)
    drawn = rng.random([shape[axis] for axis in order])
    return {"uniforms": from_layout(drawn, layout)}


def _compare(name: str, image: Array, expected: Definition, eps: float) -> float:
    if image.shape != expected.shape:
        raise WrongResult(f"{name}: the shape is {image.shape}, but needs {expected.shape}")
    if image.size == 0:
        return 0.0
    if not np.isfinite(image.sum(dtype=np.float64)):
        raise WrongResult(f"{name}: not all elements are finite")
    boxes = list(_sample(expected.shape, expected.terms))
    got = np.concatenate([image[np.ix_(*box)].ravel() for box in boxes])
    values, bound = (
        np.concatenate([part.ravel() for part in parts])
        for parts in zip(*(expected.at(box) for box in boxes), strict=True)
    )
    difference = np.abs(got - values)
    allowed = ROUNDING * eps * float(bound.max()) if image.dtype.kind == "f" else 0.0
    worst = int(difference.argmax())
    if not difference[worst] <= allowed:
        places = [place for box in boxes for place in itertools.product(*box)]
        raise WrongResult(
            f"{name}: element {tuple(map(int, places[worst]))} is {got[worst]:.8g}, but float64 gives "
            f"{values[worst]:.8g}; rounding explains a difference of {allowed:.2g}"
        )
    return float(difference[worst] / (np.abs(values).max() or 1.0))


def _sample(shape: Shape, terms: int) -> Iterator[Box]:
    """Corners of the array, places along its edges, and some anywhere: fewer where each costs many terms.

    Each box is one place along the leading axes, and there the crossings of two rows and two columns of the image.
    """
    most = min(SAMPLES, max(8, TERMS // max(terms, 1)))
    if math.prod(shape) <= most:
        yield full_box(shape)
        return
    rng = np.random.default_rng([*shape])
    leading, image = shape[:-2], shape[-2:]
    corners = rng.permutation(list(itertools.product(*({0, size - 1} for size in leading))))
    for number in range(most // 2 ** len(image)):
        # By turns at the ends of all axes, of one of the image's, of the other, and of none.
        turn, again = number % 4, number // 4
        places = corners[again % len(corners)] if turn == 0 else rng.integers(0, leading)
        yield [
            *places.reshape(-1, 1),
            *(
                np.unique([0, size - 1] if turn in (0, 1 + axis) else rng.integers(0, size, 2))
                for axis, size in enumerate(image)
            ),
        ]
