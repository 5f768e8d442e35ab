"""The filters of `fastconv.ndimage` as networks of one layer, which sees so many pixels around on each axis.

A filter puts its border around whatever it is given. At an edge of the image that is the border it needs; elsewhere it
spoils as many results as the filter reaches, which are not used.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv import ndimage
from fastconv.filtering.arguments import border, check_axes, check_axis, for_each, spread, widen
from fastconv.tiles.axes import Scaled
from fastconv.tiles.layers import Layer, Network, refuse

_TWICE = ("grey_opening", "grey_closing", "white_tophat", "black_tophat")  # a filter of what another gave
_WHY = {
    **dict.fromkeys(
        ("generic_gradient_magnitude", "generic_laplace"), "how far its function reaches is not known"
    ),
    "match_template": "it is given a template of the image's kind, and its result may have another size",
}
FILTERS: dict[str, Callable[..., Any]] = {name: getattr(ndimage, name) for name in ndimage.__all__}


def of_filter(function: Callable[..., Any], given: dict[str, Any], shape: tuple[int, ...]) -> Network:
    """The network of a filter with all of its arguments but the array; every axis may be cut."""
    name = function.__name__
    if name in _WHY:
        raise refuse(name, _WHY[name])
    try:
        bound = inspect.signature(function).bind(None, **given)
    except TypeError as error:
        raise TypeError(f"tiles: {name}: {error}; give the arguments with functools.partial") from None
    bound.apply_defaults()
    told = bound.arguments | bound.arguments.get("kwargs", {})
    if not shape or not all(shape):
        raise refuse(name, f"the source has shape {shape}, but needs pixels")
    if told["output"] is not None and not isinstance(told["output"], (type, np.dtype, str)):
        raise refuse(name, "it has output=")
    if any(border(mode) == "circular" for mode in for_each(told["mode"], np.size(told["mode"]))):
        raise refuse(name, "mode='wrap' lets the pixels at one end see those at the other")
    rules = tuple(
        Scaled(size, 1, 1, far) for size, far in zip(shape, _reaches(name, told, len(shape)), strict=True)
    )
    layer = Layer(name, [0], [1], [rules], lambda blocks, cuts: function(blocks[0], **given))
    return Network(name, tuple(range(-len(shape), 0)), shape, [layer], 0, 1)


def _reaches(name: str, told: dict[str, Any], ndim: int) -> list[int]:
    """How many pixels before or after its own a result is made of, at most, along each axis."""
    places = (check_axis(told["axis"], ndim),) if "axis" in told else check_axes(told.get("axes"), ndim)
    count = len(places)
    origins = [abs(int(origin)) for origin in for_each(told.get("origin", 0), count, "origin")]
    sizes = [1] * ndim
    for key in ("weights", "footprint", "structure"):
        window = None if told.get(key) is None else np.asarray(told[key])
        if window is not None and "axis" in told:
            sizes[places[0]] = window.size
        elif window is not None:
            sizes = [max(pair) for pair in zip(sizes, widen(window, places, ndim, key).shape, strict=True)]
    along = [1] * count
    if told.get("size") is not None:
        along = [int(size) for size in for_each(told["size"], count, "size")]
    elif "sigma" in told:
        sigmas = for_each(told["sigma"], count, "sigma")
        radii = for_each(told.get("radius"), count, "radius")
        wide = told.get("truncate", 4.0)
        along = [
            2 * (int(wide * s + 0.5) if r is None else int(r)) + 1 for s, r in zip(sigmas, radii, strict=True)
        ]
    elif name in ("laplace", "prewitt", "sobel"):
        along = [3] * count
    sizes = [max(pair) for pair in zip(sizes, spread(along, places, ndim, 1), strict=True)]
    if name in ("prewitt", "sobel"):  # which smooth along all other axes
        sizes = [3] * ndim
    far = [size // 2 + origin for size, origin in zip(sizes, spread(origins, places, ndim, 0), strict=True)]
    return [2 * reach for reach in far] if name in _TWICE else far
