"""A layer to measure: one call of an operation, by its shapes and options alone.

Networks are tables of these; the runners of fastconv and of its peers make calls of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv.arguments import Pair
from fastconv.typing import Array, Layout

Shape = tuple[int, ...]
LAYOUTS = ("NCHW", "NHWC")


@dataclass(frozen=True)
class Layer:
    """One call of ``fastconv.<operation>``.

    Parameters
    ----------
    name : str
        What tables call it.
    operation : str
        The public function.
    shapes : mapping of str to tuple of int
        The array arguments by their names there, in its order, with the shapes of ``layout="NCHW"``.
    options : mapping, optional
        Its other arguments.
    same_filters : bool
        Whether all filters are equal: those of a depthwise convolution then are one filter for every channel.
    """

    name: str
    operation: str
    shapes: Mapping[str, Shape]
    options: Mapping[str, Any] = field(default_factory=dict)
    same_filters: bool = False

    def __hash__(self) -> int:
        """By the names: mappings have no hash."""
        return hash((self.name, self.operation))

    @property
    def batch(self) -> int:
        """Number of images."""
        return self.shapes["x"][0]

    def arrays(self, dtype: DTypeLike = np.float32, seed: int = 0) -> dict[str, Array]:
        """Normally distributed arguments, NCHW; weights are scaled so that results are of order 1."""
        rng = np.random.default_rng(seed)
        made = {}
        for name, shape in self.shapes.items():
            array = rng.standard_normal(shape, np.float32)
            if name.endswith("weight"):
                array /= np.float32(math.sqrt(math.prod(shape[1:])))
                if self.same_filters:
                    array[:] = array[0]
            made[name] = array.astype(dtype, copy=False)
        return made

    def flops(self, result: Shape) -> int:
        """Two for each multiplication of the textbook sum; 0 for what is not a sum of products."""
        weights = [shape for name, shape in self.shapes.items() if name.endswith("weight")]
        per_filter = sum(math.prod(shape[1:]) for shape in weights)
        if "transpose" in self.operation:
            return 2 * math.prod(self.shapes["x"]) * per_filter
        if len(weights) == 2:  # separable: the first convolution has the channels of the second one's weights
            depthwise, pointwise = weights
            pixels = result[0] * math.prod(result[2:])
            return 2 * pixels * (math.prod(depthwise) + math.prod(pointwise))
        return 2 * math.prod(result) * per_filter

    def bytes(self, result: Shape, itemsize: int = 4, gradient: bool = False) -> int:
        """What has to come from memory at least, and to go there: arguments and result, each once.

        Gradients are as large as the arguments, and made of that of the result; where there are weights, of the
        arguments, too.
        """
        arguments = sum(map(math.prod, self.shapes.values()))
        if gradient and any(name.endswith("weight") for name in self.shapes):
            arguments *= 2
        return itemsize * (arguments + math.prod(result))

    def weight_bytes(self, itemsize: int = 4) -> int:
        """What the weights alone take, without a bias."""
        return itemsize * sum(
            math.prod(shape) for name, shape in self.shapes.items() if name.endswith("weight")
        )

    def __str__(self) -> str:
        """As in ``1x64x56x56 * 64x64x3x3, stride 2``."""
        operands = [shape for name, shape in self.shapes.items() if name != "bias"]
        text = " * ".join("x".join(map(str, shape)) for shape in operands)
        return ", ".join([text, *(f"{key} {_text(value)}" for key, value in self.options.items())])


def _text(value: Any) -> str:
    return "x".join(map(_text, value)) if isinstance(value, (tuple, list)) else str(value)


def grad_output(shape: Shape, dtype: DTypeLike) -> Array:
    """The gradient of a result of that shape, NCHW, with which every runner's gradients start."""
    return np.random.default_rng(1).standard_normal(shape, np.float32).astype(dtype, copy=False)


def to_layout(name: str, array: Array, layout: Layout) -> Array:
    """An NCHW argument of that name as ``layout`` has it, contiguous."""
    if layout == "NHWC" and array.ndim > 2:
        axes = range(2, array.ndim)
        array = array.transpose(*axes, 1, 0) if name.endswith("weight") else array.transpose(0, *axes, 1)
    return np.ascontiguousarray(array)


def from_layout(array: Array, layout: Layout) -> Array:
    """An image of that layout as NCHW."""
    return np.moveaxis(array, -1, 1) if layout == "NHWC" and array.ndim > 2 else array


def conv(
    name: str,
    x: Shape,
    filters: int,
    kernel: int | Pair,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    bias: bool = True,
) -> Layer:
    """A convolution of `x`, which is (N, C, H, W)."""
    size = (kernel, kernel) if isinstance(kernel, int) else kernel
    shapes: dict[str, Shape] = {"x": x, "weight": (filters, x[1] // groups, *size)}
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _layer(name, "conv2d", shapes, options, filters if bias else 0)


def transposed(
    name: str, x: Shape, filters: int, kernel: int, stride: int, padding: int = 0, output_padding: int = 0
) -> Layer:
    """A transposed convolution of `x`, which is (N, C, H, W)."""
    shapes: dict[str, Shape] = {"x": x, "weight": (x[1], filters, kernel, kernel)}
    options = {"stride": stride, "padding": padding, "output_padding": output_padding}
    return _layer(name, "conv_transpose2d", shapes, options, filters)


def pool(name: str, kind: str, x: Shape, kernel: int, stride: int, padding: int = 0) -> Layer:
    """A pooling of `x`, which is (N, C, H, W); `kind` is ``"max"`` or ``"avg"``."""
    return _layer(
        name, f"{kind}_pool2d", {"x": x}, {"kernel_size": kernel, "stride": stride, "padding": padding}
    )


DEFAULTS = {"padding": 0, "dilation": 1, "groups": 1, "output_padding": 0}  # not worth a word


def _layer(
    name: str, operation: str, shapes: dict[str, Shape], options: dict[str, Any], bias: int = 0
) -> Layer:
    if bias:
        shapes = {**shapes, "bias": (bias,)}
    defaults = DEFAULTS if operation.endswith("pool2d") else {**DEFAULTS, "stride": 1}
    kept = {key: value for key, value in options.items() if key not in defaults or value != defaults[key]}
    return Layer(name, operation, shapes, kept)
