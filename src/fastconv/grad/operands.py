"""Reads what only gradients are given: `grad_output`, sizes of arrays that are not needed themselves, and `needs`.

Called by the public functions of this package.
"""

from __future__ import annotations

import numpy as np

from fastconv import arguments
from fastconv.execution.arrays import as_array
from fastconv.execution.convolution import check_weight
from fastconv.problem.layout import check_image, check_layout, spatial_axes
from fastconv.text import echo
from fastconv.typing import Array, ArrayLike, Layout, NeedsLike, ShapeLike

Shape = tuple[int, ...]


def read_needs(
    op: str, needs: NeedsLike, names: tuple[str, ...] = ("x", "weight", "bias")
) -> tuple[bool, ...]:
    """Which gradients are asked for, in the order of `names`."""
    wanted = f"{len(names)} booleans, for {', '.join(names[:-1])} and {names[-1]}"
    sequence = isinstance(needs, (tuple, list)) or (isinstance(needs, np.ndarray) and needs.ndim == 1)
    if not sequence or not all(isinstance(need, (bool, np.bool)) for need in needs):
        raise TypeError(f"{op}: needs is {echo(needs)}, but needs {wanted}")
    if len(needs) != len(names):
        raise ValueError(f"{op}: needs has {len(needs)} values, but needs {wanted}")
    return tuple(map(bool, needs))


def read_size(op: str, name: str, value: ShapeLike) -> Shape:
    """A full shape."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__") or getattr(value, "ndim", 1) != 1:
        raise TypeError(f"{op}: {name} is {echo(value)} ({type(value).__name__}), but needs a full shape")
    return tuple(arguments.integer(op, name, n, 0) for n in value)


def read_input_size(
    op: str, value: ShapeLike, layout: Layout, name: str = "input_size"
) -> tuple[Shape, Shape, bool]:
    """The shape of an image or of a batch, the same with a batch, and whether it had one."""
    check_layout(op, layout)
    shape = read_size(op, name, value)
    batched = check_image(op, name, shape, layout)
    return shape, shape if batched else (1, *shape), batched


def read_weight_size(op: str, value: ShapeLike) -> Shape:
    shape = read_size(op, "weight_size", value)
    check_weight(op, "weight_size", shape)
    return shape


def read_planes(op: str, name: str, value: ArrayLike, other: str, shape: Shape, layout: Layout) -> Array:
    """An array of as many planes as the argument `other`, whose `shape` has been checked, but of any size."""
    array = as_array(op, name, value)
    wanted: list[int | str] = list(shape)
    for axis, size in zip(spatial_axes(layout), ("oH", "oW"), strict=True):
        wanted[axis] = size
    fits = array.ndim == len(wanted) and all(
        w in (n, "oH", "oW") for n, w in zip(array.shape, wanted, strict=True)
    )
    if not fits:
        pattern = f"({', '.join(map(str, wanted))})"
        raise ValueError(f"{op}: {name} has shape {array.shape}, but {other} {shape} needs {pattern}")
    check_image(op, name, array.shape, layout)
    return array


def read_grad(op: str, value: ArrayLike, shape: Shape, layout: Layout) -> Array:
    """`grad_output` of a pooling into any number of windows of an image of that shape."""
    return read_planes(op, "grad_output", value, "input_size", shape, layout)


def check_grad(op: str, got: Shape, expected: Shape, name: str, shape: Shape) -> None:
    """Refuse a `grad_output` whose shape no forward call gives whose argument `name` has this `shape`."""
    if got != expected:
        raise ValueError(
            f"{op}: grad_output has shape {got}, but a forward call with {name} {shape} gives {expected}"
        )
