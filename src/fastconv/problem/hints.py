"""What errors about axes and channels say beside what is wrong: the lines that fit.

Called by `convolution.py` and by what reads weights (`execution/convolution.py`), which import it on their way to an
error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fastconv.problem.layout import Kind, channels_last, other_layout
from fastconv.typing import Layout

Shape = tuple[int, ...]

_MOST_COLOURS = 4  # of a photograph: so few numbers along the last axis are its channels


class Operands(NamedTuple):
    """A batch of images and a weight as a user gave them; those of signals have one spatial axis."""

    layout: Layout
    x: Shape
    weight: Shape
    x_name: str
    weight_name: str
    transposed: bool


def what_fits(given: Operands, gives: Callable[[Layout, Shape, Shape], str | None]) -> str:
    """The end of an error: which array may be in the other layout, or both, and what comes out then.

    `gives` says that for arrays of a layout; None where they do not fit either.
    """
    here, other = given.layout, other_layout(given.layout)
    x, weight = given.x, given.weight
    spatial = len(x) - 2
    first, last = -1 - spatial, -1
    steps = (last, first) if channels_last(other) else (first, last)
    turn = (spatial + 1, spatial, *range(spatial))
    if channels_last(other):
        moved, turned = (x[0], x[-1], *x[1:-1]), (weight[-1], weight[-2], *weight[:-2])
    else:
        moved, turned = (x[0], *x[2:], x[1]), (*weight[2:], weight[1], weight[0])
        turn = (*range(2, spatial + 2), 1, 0)
    outer, inner = ("C_in", "C_out") if given.transposed else ("C_out", "C_in")
    kernel = ("kH", "kW") if spatial == 2 else ("k",)
    axes = (*kernel, inner, outer) if channels_last(other) else (outer, inner, *kernel)

    def fits(layout: Layout, x: Shape, weight: Shape) -> str | None:
        """A window of more than a pixel is not meant to be channels alone, though their numbers may fit."""
        row = 0 if channels_last(layout) else 2
        shrinks = set(weight[row : row + spatial]) == {1} != set(window)
        return None if shrinks else gives(layout, x, weight)

    window = weight[:spatial] if channels_last(here) else weight[2:]
    tried: list[tuple[str, str | None]] = []
    inner_count, outer_count = (weight[-2], weight[-1]) if channels_last(here) else (weight[1], weight[0])
    channels = x[-1] if channels_last(here) else x[1]
    if not given.transposed and inner_count == 1 < channels and outer_count % channels == 0:
        tried.append((f"groups={channels}", f"{outer_count} channels, each of one"))
    if not given.x_name.endswith("_size"):
        line = f"np.moveaxis({given.x_name}, {steps[0]}, {steps[1]})"
        tried.append((line, fits(here, moved, weight)))
    if not given.weight_name.endswith("_size"):
        line = f"{given.weight_name}.transpose({', '.join(map(str, turn))})"
        tried.append((line, fits(here, x, turned)))
    line = f"layout={other!r}, where {given.weight_name} is ({', '.join(axes)}),"
    tried.append((line, fits(other, x, weight)))
    sizes = any(name.endswith("_size") for name in (given.x_name, given.weight_name))
    if not (given.transposed or sizes) and spatial == 2 and inner_count == outer_count == 1:
        plane = f"{given.weight_name}{'[..., 0, 0]' if channels_last(here) else '[0, 0]'}"
        planes = (-3, -2) if channels_last(here) or x[-1] <= _MOST_COLOURS else (-2, -1)
        kin = f"fastconv.ndimage.correlate({given.x_name}, {plane}, axes={planes})"
        tried.append((kin, "each channel, filtered by itself"))
    fitting = [f"{line} gives {result}" for line, result in tried if result is not None]
    return f"; {'; or '.join(fitting)}" if fitting else ""


def missing_axes(name: str, shape: Shape, dimensions: int, kind: Kind, x: Shape | None) -> str:
    """The end of an error about a weight that lacks axes: how it, and an `x` that lacks some, get them."""
    last = channels_last(kind.layout)
    if len(shape) == dimensions - 2:
        line, image = ("[..., None, None]", "[..., None]") if last else ("[None, None]", "[None]")
        also = f", x{image} an image of one" if x is not None and len(x) == dimensions - 2 else ""
        if kind.transposed:
            return f"; {name}{line} is one filter of one channel{also}"
        axes = ""  # of an image with channels, as given or as most are
        if x is not None and len(x) > len(shape):
            channels_end = last or x[-1] <= _MOST_COLOURS
            first = len(x) - len(shape) - 1
            places = range(first, len(x) - 1) if channels_end else range(-len(shape), 0)
            axes = f", axes={tuple(places)}"
        kin = f"fastconv.ndimage.correlate(x, {name}{axes}) takes arrays as they are"
        return f"; {name}{line} is one filter of one channel{also}, and {kin}"
    if len(shape) != dimensions - 1 or kind.transposed:
        return ""
    count = shape[-1] if last else shape[0]
    one = f"{name}{'[..., None]' if last else '[None]'} is one filter of {count} channel{'s' * (count > 1)}"
    each = f"{name}{'[..., None, :]' if last else '[:, None]'} is {count} filters of one channel"
    channels = None
    if x is not None and len(x) in (dimensions - 1, dimensions):
        channels = x[-1 if last else 1 - dimensions]
    if kind.depthwise or (channels == 1 and count > 1):
        return f"; {each}"
    return f"; {one}" if channels == count else f"; {one}, {each}"
