"""The validated description of a convolution that every backend sees, and all its error texts.

`ConvOptions` holds what a user says without arrays, `ConvProblem` adds the shapes. Nothing below this file
raises a shape error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, SupportsFloat, SupportsIndex, cast

import numpy as np

from fastconv import arguments
from fastconv.arguments import Pair
from fastconv.caches import kept
from fastconv.first_use import importing
from fastconv.problem import options as opt
from fastconv.problem.layout import (
    batch_shape,
    channels_last,
    check_layout,
    image_sizes,
    layout_in_memory,
    spatial_axes,
    weight_shape,
    weight_sizes,
)
from fastconv.problem.options import Activation, Padding, Sides
from fastconv.problem.padding import Border, Borders, whole_borders
from fastconv.problem.sizes import conv_size, same_sides
from fastconv.text import echo
from fastconv.typing import ActivationLike, Layout, PaddingLike, PaddingMode, PairLike, Precision


@dataclass(frozen=True, slots=True, eq=False)
class ConvOptions:
    """The options of a convolution, read and checked as far as that goes without shapes.

    However they were written, equal options are one object as long as `_equal` remembers them, so that they are hashed
    by identity.
    """

    op: str
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int | None  # None: depthwise, one group for each input channel
    output_padding: Pair | None  # None: not transposed
    padding_mode: PaddingMode
    padding_value: float
    layout: Layout
    activation: Activation | None
    precision: Precision | None
    algorithm: str | None
    x_name: str  # what the user calls the two operands: a gradient may be given their sizes alone
    weight_name: str

    @staticmethod
    def read(
        op: str,
        stride: PairLike,
        padding: PaddingLike,
        dilation: PairLike,
        groups: SupportsIndex | None,
        padding_mode: PaddingMode = "zeros",
        padding_value: SupportsFloat = 0.0,
        layout: Layout = "NCHW",
        activation: ActivationLike | None = None,
        precision: Precision | None = None,
        algorithm: str | None = None,
        output_padding: PairLike | None = None,
        x_name: str = "x",
        weight_name: str = "weight",
        *,
        depthwise: bool = False,
    ) -> ConvOptions:
        """With `depthwise`, there is a group for each input channel, and `groups` is not looked at."""
        if algorithm is not None and not issubclass(type(algorithm), str):
            raise TypeError(f"{op}: algorithm is {echo(algorithm)}, but needs None or a name")
        return _equal(
            op,
            arguments.pair(op, "stride", stride, 1),
            opt.padding(op, padding),
            arguments.pair(op, "dilation", dilation, 1),
            None if depthwise else arguments.integer(op, "groups", cast(SupportsIndex, groups), 1),
            None if output_padding is None else arguments.pair(op, "output_padding", output_padding, 0),
            *opt.padding_fill(op, padding_mode, padding_value),
            check_layout(op, layout),
            opt.activation(op, activation),
            None if precision is None else arguments.precision(op, precision),
            None if algorithm is None else str.__str__(algorithm),
            x_name,
            weight_name,
        )

    def as_arguments(self) -> dict[str, Any]:
        """What a user would write for the public functions that take such options."""
        padding = self.padding
        given: dict[str, Any] = {
            "stride": self.stride,
            "padding": padding if isinstance(padding, str) else (padding[:2], padding[2:]),
            "dilation": self.dilation,
            "layout": self.layout,
            "activation": None if self.activation is None else self.activation.as_option(),
            "precision": self.precision,
            "algorithm": self.algorithm,
        }
        if self.groups is not None:
            given["groups"] = self.groups
        if self.output_padding is not None:
            return given | {"output_padding": self.output_padding}
        return given | {"padding_mode": self.padding_mode, "padding_value": self.padding_value}

    def problem(
        self,
        x_shape: tuple[int, ...],
        weight_shape: tuple[int, ...],
        dtype: np.dtype[Any],
        precision: Precision,
    ) -> ConvProblem:
        """The problem for an input and a weight of these (4-D) shapes; cached.

        `precision` counts where the options have none.
        """
        return _problem(self, x_shape, weight_shape, dtype, self.precision or precision)


@kept()
def _equal(*options: Any) -> ConvOptions:
    """The one object for these options, which have been read."""
    return ConvOptions(*options)


# An algorithm: any kernel for the textbook sum. By "direct" users ask for those that have the same bits.
SUMS = "sums"


@dataclass(frozen=True, slots=True, eq=False)
class ConvProblem:
    """A 2-D convolution, or the transposed one that is its input gradient.

    A transposed problem describes the convolution whose input gradient it computes: its operand has
    `output_shape`, its result `input_shape`, its bias `channels` elements.

    A problem of one channel and one filter is in NCHW, whatever the user's arrays are in: all of them are the same
    memory in both layouts, and are reshaped for the backend.
    """

    op: str
    batch: int
    channels: int
    size: Pair
    filters: int
    kernel: Pair
    stride: Pair
    padding: Sides
    dilation: Pair
    groups: int
    out_size: Pair
    layout: Layout
    dtype: np.dtype[Any]
    transposed: bool
    precision: Precision
    algorithm: str | None

    def _shape(self, channels: int, size: Pair) -> tuple[int, int, int, int]:
        return batch_shape(self.layout, self.batch, channels, size)

    @property
    def channels_last(self) -> bool:
        return channels_last(self.layout)

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        return self._shape(self.channels, self.size)

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        return self._shape(self.filters, self.out_size)

    @property
    def operand_shape(self) -> tuple[int, int, int, int]:
        return self.output_shape if self.transposed else self.input_shape

    @property
    def result_shape(self) -> tuple[int, int, int, int]:
        return self.input_shape if self.transposed else self.output_shape

    def result_in(self, layout: Layout) -> tuple[int, int, int, int]:
        """The shape of the result as a user of that layout gets it."""
        return batch_shape(layout, *image_sizes(self.result_shape, self.layout))

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return weight_shape(self.layout, self.filters, self.channels // self.groups, self.kernel)

    @property
    def result_channels(self) -> int:
        return self.channels if self.transposed else self.filters

    @property
    def flops(self) -> int:
        """Two for each multiplication of the textbook sum, padding included."""
        per_pixel = 2 * self.filters * (self.channels // self.groups) * self.kernel[0] * self.kernel[1]
        return self.batch * self.out_size[0] * self.out_size[1] * per_pixel


@kept()
def _problem(
    o: ConvOptions,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    dtype: np.dtype[Any],
    precision: Precision,
) -> ConvProblem:
    try:
        return _fitting(o, x_shape, w_shape, dtype, precision)
    except _ChannelsError as error:
        raise ValueError(f"{error}{_what_fits(o, x_shape, w_shape, dtype, precision)}") from None


class _ChannelsError(ValueError):
    """The channels of image and weight do not fit."""


def _what_fits(o: ConvOptions, x_shape: tuple[int, ...], w_shape: tuple[int, ...], *how: Any) -> str:
    """Arrays in the other layout, where these fit."""
    with importing:
        from fastconv.problem.hints import Operands, what_fits

    row = spatial_axes(o.layout)[0] + 4
    signal = o.op.endswith("1d") and x_shape[row] == 1
    weight_row = 0 if channels_last(o.layout) else 2

    def gives(layout: Layout, x: tuple[int, ...], weight: tuple[int, ...]) -> str | None:
        if signal:  # an image with one row
            last = channels_last(layout)
            x = (x[0], 1, *x[1:]) if last else (*x[:2], 1, x[2])
            weight = (1, *weight) if last else (*weight[:2], 1, weight[2])
        values = {field.name: getattr(o, field.name) for field in fields(o)} | {"layout": layout}
        try:
            found = _fitting(_equal(*values.values()), x, weight, *how)
        except ValueError:
            return None
        size = found.size if found.transposed else found.out_size
        return f"{found.result_channels} channels of {size[1] if signal else f'{size[0]}x{size[1]}'}"

    if signal:
        x_shape = x_shape[:row] + x_shape[row + 1 :]
        w_shape = w_shape[:weight_row] + w_shape[weight_row + 1 :]
    transposed = o.output_padding is not None
    return what_fits(Operands(o.layout, x_shape, w_shape, o.x_name, o.weight_name, transposed), gives)


def _fitting(
    o: ConvOptions,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    dtype: np.dtype[Any],
    precision: Precision,
) -> ConvProblem:
    batch, in_channels, image = image_sizes(x_shape, o.layout)
    outer, inner, kernel = weight_sizes(w_shape, o.layout)
    transposed = o.output_padding is not None
    groups = o.groups
    if groups is None:
        groups = _depthwise_groups(o, in_channels, inner, outer)
    if in_channels % groups:
        raise _ChannelsError(
            f"{o.op}: {o.x_name} has {in_channels} channels, which groups={groups} does not divide"
        )
    if transposed:
        if outer != in_channels:
            raise _ChannelsError(
                f"{o.op}: {o.weight_name} has {outer} input channels, but {o.x_name} has {in_channels}"
            )
        filters, channels = in_channels, inner * groups
    else:
        if inner != in_channels // groups:
            where = f"in {groups} groups (expected {in_channels // groups})" if groups > 1 else "in all"
            raise _ChannelsError(
                f"{o.op}: {o.weight_name} has {inner} input channels per group, "
                f"but {o.x_name} has {in_channels} channels {where}"
            )
        if outer % groups:
            raise _ChannelsError(
                f"{o.op}: {o.weight_name} has {outer} output channels, which groups={groups} does not divide"
            )
        filters, channels = outer, in_channels
    if transposed:
        size, padding = _transposed_size(o, image, kernel)
        out_size = image
    else:
        size, padding = image, _sides(o, image, kernel)
        out_size = _output_size(o, size, kernel, padding)
    layout = layout_in_memory(o.layout, channels, filters)
    problem = ConvProblem(
        o.op, batch, channels, size, filters, kernel, o.stride, padding, o.dilation, groups, out_size,
        layout, dtype, transposed, precision, o.algorithm,
    )  # fmt: skip
    _check_countable(problem)
    return problem


@kept()
def with_algorithm(problem: ConvProblem, algorithm: str) -> ConvProblem:
    """The same problem, to be done by that algorithm."""
    return replace(problem, algorithm=algorithm)


def _check_countable(problem: ConvProblem) -> None:
    """Refuse images whose bytes a pointer could not count: kernels would lose count of them as well."""
    for shape in (problem.input_shape, problem.output_shape):
        if math.prod(max(1, n) for n in shape) * problem.dtype.itemsize >= 2**63:
            raise MemoryError(f"{problem.op}: an image of shape {shape} is more than an array can hold")


def _depthwise_groups(o: ConvOptions, in_channels: int, inner: int, outer: int) -> int:
    if inner != 1:
        raise _ChannelsError(
            f"{o.op}: {o.weight_name} has {inner} input channels per group, but needs 1 (one for each channel)"
        )
    if outer % in_channels:
        raise _ChannelsError(
            f"{o.op}: {o.weight_name} has {outer} output channels, "
            f"but needs a multiple of {o.x_name}'s {in_channels} channels"
        )
    return in_channels


def _sides(o: ConvOptions, size: Pair, kernel: Pair) -> Sides:
    if o.padding == "valid":
        return 0, 0, 0, 0
    if o.padding == "same":
        (top, bottom), (left, right) = map(same_sides, size, kernel, o.stride, o.dilation)
        return top, bottom, left, right
    if o.padding == "full":
        vertical, horizontal = (d * (k - 1) for d, k in zip(o.dilation, kernel, strict=True))
        return vertical, vertical, horizontal, horizontal
    assert not isinstance(o.padding, str)
    return o.padding


def _output_size(o: ConvOptions, size: Pair, kernel: Pair, padding: Sides) -> Pair:
    top, bottom, left, right = padding
    height = conv_size(size[0], kernel[0], o.stride[0], top, bottom, o.dilation[0])
    width = conv_size(size[1], kernel[1], o.stride[1], left, right, o.dilation[1])
    if height < 1 or width < 1:
        padded = f"{size[0] + top + bottom}x{size[1] + left + right}"
        raise ValueError(
            f"{o.op}: the kernel {kernel[0]}x{kernel[1]} with dilation {o.dilation} is larger than "
            f"the padded image {padded}, so that nothing would come out"
        )
    return height, width


def _transposed_size(o: ConvOptions, image: Pair, kernel: Pair) -> tuple[Pair, Sides]:
    """Size of the result, and the padding of the convolution whose input gradient it is."""
    extra = o.output_padding
    assert extra is not None
    for axis, name in enumerate(("vertical", "horizontal")):
        if extra[axis] >= max(o.stride[axis], o.dilation[axis]) and extra[axis] > 0:
            raise ValueError(
                f"{o.op}: output_padding is {extra[axis]} ({name}), but needs to be smaller than "
                f"stride {o.stride[axis]} or dilation {o.dilation[axis]}"
            )
    if o.padding == "same":
        if extra != (0, 0):
            raise ValueError(
                f"{o.op}: output_padding is {extra}, but padding='same' already fixes the output size"
            )
        size = image[0] * o.stride[0], image[1] * o.stride[1]
        return size, _sides(o, size, kernel)
    padding = _sides(o, image, kernel)
    reach = [d * (k - 1) + 1 for d, k in zip(o.dilation, kernel, strict=True)]
    height, width = (
        (image[a] - 1) * o.stride[a] - padding[2 * a] - padding[2 * a + 1] + reach[a] + extra[a]
        for a in (0, 1)
    )
    if height < 1 or width < 1:
        raise ValueError(
            f"{o.op}: the padding {padding} removes the whole output (it would be {height}x{width}); needs less padding"
        )
    return (height, width), padding


def padding_tables(o: ConvOptions, problem: ConvProblem) -> tuple[ConvProblem, Borders] | None:
    """For a padding mode other than zeros: the unpadded problem, and how to pad first."""
    if o.padding_mode == "zeros" or problem.padding == (0, 0, 0, 0):
        return None
    with np.errstate(over="ignore"):
        if math.isfinite(o.padding_value) and not np.isfinite(problem.dtype.type(o.padding_value)):
            raise ValueError(
                f"{o.op}: padding_value is {o.padding_value}, which the dtype {problem.dtype} of the sums cannot hold"
            )
    borders = _border(problem, 0), _border(problem, 1)
    stride = tuple(problem.kernel[a] if borders[a].seen else problem.stride[a] for a in (0, 1))
    dilation = tuple(1 if borders[a].seen else problem.dilation[a] for a in (0, 1))
    shape = batch_shape(o.layout, problem.batch, problem.channels, (borders[0].length, borders[1].length))
    weight = weight_shape(o.layout, problem.filters, problem.channels // problem.groups, problem.kernel)
    values = {field.name: getattr(o, field.name) for field in fields(o)}
    changed = {
        "stride": stride, "dilation": dilation, "padding": (0, 0, 0, 0), "padding_mode": "zeros", "padding_value": 0.0,
    }  # fmt: skip
    inner = _equal(*(values | changed).values())
    return inner.problem(shape, weight, problem.dtype, problem.precision), borders


def _border(problem: ConvProblem, axis: int) -> Border:
    size, outputs, taps = problem.size[axis], problem.out_size[axis], problem.kernel[axis]
    whole = whole_borders(problem.size, problem.padding)[axis]
    if whole.length <= 8 * (size + outputs * taps):
        return whole
    return whole._replace(seen=(outputs, taps, problem.stride[axis], problem.dilation[axis]))
