"""Weights as parameters hold them, with channels first in either layout, and as a layout's operations take them.

A parameter of a network in NHWC lies in memory as that layout's operations read it, and is a view with channels first:
so its names and shapes, and files of it, do not depend on the layout, and nothing is copied.
"""

from __future__ import annotations

import numpy as np

from fastconv.problem.layout import channels_last
from fastconv.typing import Array, Layout


def in_layout(weight: Array, layout: Layout) -> Array:
    """(outer, inner, *kernel) as the layout has it: (*kernel, inner, outer) with channels last."""
    return weight.transpose(*range(2, weight.ndim), 1, 0) if channels_last(layout) else weight


def from_layout(weight: Array, layout: Layout) -> Array:
    """The reverse of `in_layout`."""
    return weight.transpose(-1, -2, *range(weight.ndim - 2)) if channels_last(layout) else weight


def stored(weight: Array, layout: Layout) -> Array:
    """The same numbers, in memory as the layout's operations read them."""
    if weight.ndim < 3:
        return np.ascontiguousarray(weight)
    return from_layout(np.ascontiguousarray(in_layout(weight, layout)), layout)
