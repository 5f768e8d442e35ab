"""Deformable convolution, which reads between the grid's points, and its gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastconv.bench.oracle.definitions.common import (
    Array,
    Box,
    Definition,
    Indices,
    Part,
    Shape,
    by_group,
    computed,
    full_box,
    with_bias,
)
from fastconv.bench.oracle.definitions.conv_gradients import conv2d_bias_gradient
from fastconv.bench.oracle.definitions.windows import Axis, axes_of, inside


@dataclass(frozen=True)
class Field:
    """Where a deformable convolution reads: shifts (N, F, kH, kW, 2, I, J) and strengths (N, F, kH, kW, I, J).

    The channels are divided evenly among the F fields.
    """

    x: Array
    shifts: Array
    strengths: Array
    rows: Axis
    columns: Axis

    def corners(self, box: Box) -> Iterator[tuple[Array, Array, Array, Array, Array]]:
        """The four pixels around each place of images, channels, and windows (n, c, i, j), as (N, C, kH, kW, I, J).

        Each as pixel, its row and column, its share, and how that grows with the place along y and along x; where it
        is outside of the image, or has no share, the pixel is 0.
        """
        n, c, i, j = box
        shift = self.shifts[np.ix_(n, self.field_of(c))][..., i[:, None], j].astype(np.float64)
        y = shift[:, :, :, :, 0] + self.rows.reach(i).T[:, None, :, None]
        z = shift[:, :, :, :, 1] + self.columns.reach(j).T[:, None, :]
        image, channel = (index.reshape(*index.shape, 1, 1, 1, 1) for index in np.ix_(n, c))
        for down in (0, 1):
            for across in (0, 1):
                row, column = np.floor(y) + down, np.floor(z) + across
                along_y, along_x = 1 - np.abs(y - row), 1 - np.abs(z - column)
                is_pixel = inside(row, self.rows.size) & inside(column, self.columns.size)
                row = row.clip(0, self.rows.size - 1).astype(np.int64)
                column = column.clip(0, self.columns.size - 1).astype(np.int64)
                share = along_y * along_x * is_pixel
                pixel = np.where(is_pixel, self.x[image, channel, row, column], 0).astype(np.float64)
                slope_y = (2 * down - 1) * along_x * is_pixel
                slope_x = (2 * across - 1) * along_y * is_pixel
                yield pixel, row * self.columns.size + column, share, slope_y, slope_x

    def field_of(self, channels: Indices) -> Indices:
        field: Indices = channels * self.shifts.shape[1] // self.x.shape[1]
        return field

    def strength(self, box: Box) -> Array:
        n, c, i, j = box
        found: Array = self.strengths[np.ix_(n, self.field_of(c))][..., i[:, None], j].astype(np.float64)
        return found

    def taps(self, box: Box) -> Array:
        """(N, C, kH, kW, I, J): what each tap reads there."""
        # A neighbour without a share is not read: it may be infinite.
        read = sum(np.where(share != 0, pixel, 0) * share for pixel, _, share, *_ in self.corners(box))
        return self.strength(box) * read


def _field(
    x: Array, offset: Array, weight: Array, mask: Array | None, stride: Any, padding: Any, dilation: Any
) -> Field:
    rows, columns = axes_of(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    kernel, windows = weight.shape[2:], offset.shape[2:]
    fields = offset.shape[1] // (2 * math.prod(kernel))
    shifts = offset.reshape(x.shape[0], fields, *kernel, 2, *windows)
    shape = x.shape[0], fields, *kernel, *windows
    strengths = np.ones(shape) if mask is None else mask.reshape(shape)
    return Field(x, shifts, strengths, rows, columns)


def deform_conv2d(
    x: Array,
    offset: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    mask: Array | None = None,
) -> Definition:
    field = _field(x, offset, weight, mask, stride, padding, dilation)
    filters, per_group = weight.shape[:2]

    def at(box: Box) -> Part:
        n, k, i, j = box
        values, bound = (np.zeros(tuple(map(len, box))) for _ in range(2))
        for group, places in by_group(k // (filters // (x.shape[1] // per_group))):
            channels = np.arange(group * per_group, (group + 1) * per_group)
            read = field.taps([n, channels, i, j])
            taps = weight[k[places]].astype(np.float64)
            over = ((1, 2, 3), (1, 2, 3))
            values[:, places] = np.moveaxis(np.tensordot(read, taps, over), 3, 1)
            bound[:, places] = np.moveaxis(np.tensordot(np.abs(read), np.abs(taps), over), 3, 1)
        return with_bias((values, bound), bias, k)

    shape = x.shape[0], filters, *offset.shape[2:]
    return Definition(shape, math.prod(weight.shape[1:]), at, whole=(1,))


@dataclass(frozen=True)
class Back:
    """The gradients, each as a whole; of magnitudes, where arrays and slopes have no signs."""

    field: Field
    weight: Array
    grad_output: Array
    slope: Callable[[Array], Array] = np.asarray

    @property
    def box(self) -> Box:
        return full_box((*self.field.x.shape[:2], *self.grad_output.shape[2:]))

    @property
    def groups(self) -> int:
        return int(self.field.x.shape[1] // self.weight.shape[1])

    def grouped(self, array: Array, axis: int) -> Array:
        """The array with that axis divided into groups, and what is in each."""
        shape = array.shape
        parts = self.groups, shape[axis] // self.groups
        return array.astype(np.float64).reshape(*shape[:axis], *parts, *shape[axis + 1 :])

    def by_tap(self) -> Array:
        """(N, C, kH, kW, I, J): what comes back to each tap of each channel."""
        slopes, taps = self.grouped(self.grad_output, 1), self.grouped(self.weight, 0)
        sent: Array = np.einsum("ngoij,gocab->ngcabij", slopes, taps)
        return sent.reshape(*self.field.x.shape[:2], *sent.shape[3:])

    def by_field(self, per_channel: Array) -> Array:
        """Sums over the channels of each field."""
        images, fields = self.field.shifts.shape[:2]
        shape = images, fields, per_channel.shape[1] // fields, *per_channel.shape[2:]
        total: Array = per_channel.reshape(shape).sum(2)
        return total

    def of_x(self) -> Array:
        x = self.field.x
        grad = np.zeros((*x.shape[:2], math.prod(x.shape[2:])))
        image, channel = (index.reshape(*index.shape, 1, 1, 1, 1) for index in np.ix_(*self.box[:2]))
        sent = self.by_tap() * self.field.strength(self.box)
        for _, place, share, *_ in self.field.corners(self.box):
            np.add.at(grad, (image, channel, place), sent * share)
        return grad.reshape(x.shape)

    def of_offset(self) -> Array:
        sent = self.by_tap() * self.field.strength(self.box)
        grad = np.zeros(self.field.shifts.shape)
        for pixel, _, _, *slopes in self.field.corners(self.box):
            for axis, slope in enumerate(slopes):
                # A pixel that the slope does not see is not read: it may be infinite.
                grad[:, :, :, :, axis] += self.by_field(
                    np.where(slope != 0, sent * pixel, 0) * self.slope(slope)
                )
        return grad

    def of_weight(self) -> Array:
        slopes, read = self.grouped(self.grad_output, 1), self.grouped(self.field.taps(self.box), 1)
        return np.asarray(np.einsum("ngoij,ngcabij->gocab", slopes, read))

    def of_mask(self) -> Array:
        read = sum(
            np.where(share != 0, pixel, 0) * share for pixel, _, share, *_ in self.field.corners(self.box)
        )
        return self.by_field(self.by_tap() * read)


def deform_conv2d_gradients(
    x: Array,
    offset: Array,
    weight: Array,
    grad_output: Array,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    mask: Array | None = None,
    bias: Array | None = None,
) -> tuple[Definition | None, ...]:
    """Those of `x`, `offset`, `weight`, the bias, and `mask` where there is one."""
    field = _field(x, offset, weight, mask, stride, padding, dilation)
    exact = Back(field, weight, grad_output)
    positive = replace(field, x=np.abs(x), strengths=np.abs(field.strengths))
    magnitudes = Back(positive, np.abs(weight), np.abs(grad_output), np.abs)

    def whole(shape: Shape, part: Callable[[Back], Array]) -> Definition:
        return computed(shape, lambda: (part(exact).reshape(shape), part(magnitudes).reshape(shape)))

    return (
        whole(x.shape, Back.of_x),
        whole(offset.shape, Back.of_offset),
        whole(weight.shape, Back.of_weight),
        conv2d_bias_gradient(grad_output),
        None if mask is None else whole(mask.shape, Back.of_mask),
    )
