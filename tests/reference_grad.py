"""The float64 reference of every gradient: what each product or copy of the forward definition sends back.

Called by the tests only. Arrays are batched NCHW. The loops are those of `reference.py`, read backwards; nothing here
uses that a gradient of one operation is another operation.
"""

import math
from itertools import product

import numpy as np

import reference
from reference import effective, pads, pair, source_index


def pad2d(grad_output, padding, mode="zeros"):
    (top, bottom), (left, right) = pads(padding, (1, 1), 1)
    height, width = grad_output.shape[2] - top - bottom, grad_output.shape[3] - left - right
    grad = np.zeros((*grad_output.shape[:2], height, width))
    for i, j in product(range(grad_output.shape[2]), range(grad_output.shape[3])):
        row, column = source_index(i - top, height, mode), source_index(j - left, width, mode)
        if row is not None and column is not None:
            grad[:, :, row, column] += grad_output[:, :, i, j]
    return grad


# ------------------------------------------------------------------------------------------ convolution


def conv2d(x, weight, grad_output, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros"):
    """(grad_x, grad_weight, grad_bias)."""
    x, weight, grad_output = np.float64(x), np.float64(weight), np.float64(grad_output)
    (c_out, per_group, kh, kw), (sh, sw), (dh, dw) = weight.shape, pair(stride), pair(dilation)
    sides = pads(padding, x.shape[2:], (kh, kw), stride, dilation)
    image = reference.pad2d(x, sides, padding_mode)
    grad_image, grad_weight = np.zeros_like(image), np.zeros_like(weight)
    height, width = grad_output.shape[2:]
    for g, a, b in product(range(groups), range(kh), range(kw)):
        inputs = slice(g * per_group, (g + 1) * per_group)
        outputs = slice(g * (c_out // groups), (g + 1) * (c_out // groups))
        rows = slice(a * dh, a * dh + (height - 1) * sh + 1, sh)
        columns = slice(b * dw, b * dw + (width - 1) * sw + 1, sw)
        slope, seen = grad_output[:, outputs], (slice(None), inputs, rows, columns)
        grad_weight[outputs, :, a, b] = np.tensordot(slope, image[seen], ((0, 2, 3), (0, 2, 3)))
        grad_image[seen] += np.einsum("noij,oc->ncij", slope, weight[outputs, :, a, b])
    return pad2d(grad_image, sides, padding_mode), grad_weight, grad_output.sum((0, 2, 3))


def depthwise_conv2d(x, weight, grad_output, **options):
    return conv2d(x, weight, grad_output, groups=x.shape[1], **options)


def separable_conv2d(x, depthwise_weight, pointwise_weight, grad_output, **options):
    """(grad_x, grad_depthwise_weight, grad_pointwise_weight, grad_bias)."""
    middle = reference.depthwise_conv2d(x, depthwise_weight, **options)
    grad_middle, grad_pointwise, grad_bias = conv2d(middle, pointwise_weight, grad_output)
    grad_x, grad_depthwise, _ = depthwise_conv2d(x, depthwise_weight, grad_middle, **options)
    return grad_x, grad_depthwise, grad_pointwise, grad_bias


def conv_transpose2d(x, weight, grad_output, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """(grad_x, grad_weight, grad_bias); what the forward loops scatter and then crop, the loops here collect."""
    x, weight, grad_output = np.float64(x), np.float64(weight), np.float64(grad_output)
    (_, c_in, height, width), (_, per_group, kh, kw) = x.shape, weight.shape
    (sh, sw), (dh, dw) = pair(stride), pair(dilation)
    size = grad_output.shape[2:] if padding == "same" else (height, width)
    (top, _), (left, _) = pads(padding, size, (kh, kw), stride, dilation)
    out_height, out_width = grad_output.shape[2:]
    tall = max((height - 1) * sh + effective(kh, dh), top + out_height)
    wide = max((width - 1) * sw + effective(kw, dw), left + out_width)
    canvas = np.zeros((*grad_output.shape[:2], tall, wide))
    canvas[:, :, top : top + out_height, left : left + out_width] = grad_output
    grad_x, grad_weight = np.zeros_like(x), np.zeros_like(weight)
    for g, a, b in product(range(groups), range(kh), range(kw)):
        inputs = slice(g * (c_in // groups), (g + 1) * (c_in // groups))
        rows = slice(a * dh, a * dh + (height - 1) * sh + 1, sh)
        columns = slice(b * dw, b * dw + (width - 1) * sw + 1, sw)
        reached = canvas[:, g * per_group : (g + 1) * per_group, rows, columns]
        grad_x[:, inputs] += np.einsum("noij,co->ncij", reached, weight[inputs, :, a, b])
        grad_weight[inputs, :, a, b] = np.tensordot(x[:, inputs], reached, ((0, 2, 3), (0, 2, 3)))
    return grad_x, grad_weight, grad_output.sum((0, 2, 3))


def _bilinear(y, x, height, width):
    """The pixels that a place reads: (row, column, share, slope along y, slope along x); slopes to the right."""
    for a, b in product((0, 1), (0, 1)):
        row, column = math.floor(y) + a, math.floor(x) + b
        if 0 <= row < height and 0 <= column < width:
            vertical, horizontal = 1 - abs(y - row), 1 - abs(x - column)
            yield row, column, vertical * horizontal, (2 * a - 1) * horizontal, vertical * (2 * b - 1)


def deform_conv2d(x, offset, weight, grad_output, stride=1, padding=0, dilation=1, mask=None):
    """(grad_x, grad_offset, grad_weight, grad_bias, grad_mask)."""
    x, offset, weight, grad_output = (np.float64(a) for a in (x, offset, weight, grad_output))
    (n, c_in, *size), (c_out, per_group, kh, kw) = x.shape, weight.shape
    (sh, sw), (dh, dw), groups = pair(stride), pair(dilation), c_in // weight.shape[1]
    (top, _), (left, _) = pads(padding, size, (kh, kw), stride, dilation)
    height, width = offset.shape[2:]
    offset_groups = offset.shape[1] // (2 * kh * kw)
    shifts = offset.reshape(n, offset_groups, kh, kw, 2, height, width)
    masked = mask is not None
    mask = np.ones((n, offset_groups, kh, kw, height, width)) if mask is None else np.float64(mask)
    mask = mask.reshape(n, offset_groups, kh, kw, height, width)
    slopes = grad_output.reshape(n, groups, c_out // groups, height, width)
    by_tap = np.einsum("ngoij,gocab->ngcabij", slopes, weight.reshape(groups, -1, per_group, kh, kw))
    by_tap = by_tap.reshape(n, c_in, kh, kw, height, width)
    taps = np.zeros_like(by_tap)
    grad_x, grad_shifts, grad_mask = np.zeros_like(x), np.zeros_like(shifts), np.zeros_like(mask)
    for b, og, s, t, i, j in product(*map(range, mask.shape)):
        where = slice(og * c_in // offset_groups, (og + 1) * c_in // offset_groups)
        dy, dx = shifts[b, og, s, t, :, i, j]
        place = i * sh - top + s * dh + dy, j * sw - left + t * dw + dx
        slope, factor = by_tap[b, where, s, t, i, j], mask[b, og, s, t, i, j]
        for row, column, share, down, right in _bilinear(*place, *size):
            pixel = x[b, where, row, column]
            if share:
                taps[b, where, s, t, i, j] += factor * share * pixel
                grad_x[b, where, row, column] += factor * share * slope
                grad_mask[b, og, s, t, i, j] += share * (slope @ pixel)
            for axis, change in enumerate((down, right)):
                grad_shifts[b, og, s, t, axis, i, j] += factor * change * (slope @ pixel) if change else 0
    taps = taps.reshape(n, groups, per_group, kh, kw, height, width)
    grad_weight = np.einsum("ngoij,ngcabij->gocab", slopes, taps).reshape(weight.shape)
    grad_mask = grad_mask.reshape(n, offset_groups * kh * kw, height, width) if masked else None
    return grad_x, grad_shifts.reshape(offset.shape), grad_weight, grad_output.sum((0, 2, 3)), grad_mask


def unfold(grad_output, input_size, kernel_size, dilation=1, padding=0, stride=1):
    """Column by column, each element goes back to its pixel."""
    (kh, kw), (dh, dw), (sh, sw) = pair(kernel_size), pair(dilation), pair(stride)
    n, c, height, width = input_size
    (top, _), (left, right) = pads(padding, (height, width), (kh, kw), stride, dilation)
    out_width = (width + left + right - effective(kw, dw)) // sw + 1
    grad = np.zeros(input_size)
    columns = grad_output.reshape(n, c, kh, kw, grad_output.shape[2])
    for a, b, place in product(*map(range, columns.shape[2:])):
        row = place // out_width * sh + a * dh - top
        column = place % out_width * sw + b * dw - left
        if 0 <= row < height and 0 <= column < width:
            grad[:, :, row, column] += columns[:, :, a, b, place]
    return grad


# ---------------------------------------------------------------------------------------------- pooling


def by_indices(grad_output, indices, input_size):
    """Max pooling of every kind."""
    grad = np.zeros(input_size)
    for n, c, i, j in np.ndindex(grad_output.shape):
        row, column = divmod(int(indices[n, c, i, j]), input_size[3])
        grad[n, c, row, column] += grad_output[n, c, i, j]
    return grad


def by_windows(grad_output, x, rows, columns, slope):
    """`slope(plane, rows of the window, columns of the window)` gives {pixel: its slope} for every window."""
    grad = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(grad_output.shape):
        for where, value in slope(x[n, c], rows[i], columns[j]).items():
            grad[n, c, *where] += grad_output[n, c, i, j] * value
    return grad


def avg_pool2d(
    grad_output, x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):  # fmt: skip
    def share(plane, row, column):
        (rows, height), (columns, width) = row, column
        divisor = divisor_override or (height * width if count_include_pad else len(rows) * len(columns))
        return dict.fromkeys(product(rows, columns), 1 / divisor)

    axes = reference._window_axes(x, kernel_size, stride, padding, 1, ceil_mode)
    return by_windows(grad_output, x, *axes, share)


def adaptive_avg_pool2d(grad_output, x):
    def share(plane, rows, columns):
        return dict.fromkeys(product(rows, columns), 1 / (len(rows) * len(columns)))

    axes = reference._adaptive_axes(x, grad_output.shape[2:])
    return by_windows(grad_output, x, *axes, share)


def lp_pool2d(grad_output, x, norm_type, kernel_size, stride=None, ceil_mode=False):
    kh, kw = pair(kernel_size)

    def slopes(plane, rows, columns):
        places = list(product(rows, columns))
        values = {where: float(plane[where]) for where in places}
        largest = max(places, key=lambda where: abs(values[where]))  # the first of equals
        if norm_type == math.inf:
            return {largest: float(np.sign(values[largest]))}
        scale = kh * kw / len(places)
        norm = (sum(abs(v) ** norm_type for v in values.values()) * scale) ** (1 / norm_type)
        return {
            where: math.copysign(scale * abs(v) ** (norm_type - 1) * norm ** (1 - norm_type), v)
            for where, v in values.items()
            if v
        }

    axes = reference._window_axes(x, kernel_size, stride, ceil_mode=ceil_mode)
    return by_windows(grad_output, x, *map(reference._pixels, axes), slopes)


def max_unpool2d(grad_output, indices):
    grad = np.zeros(indices.shape)
    for n, c in np.ndindex(indices.shape[:2]):
        stays = {int(index): number for number, index in enumerate(indices[n, c].flat)}  # the last one
        for index, number in stays.items():
            grad[n, c].flat[number] = grad_output[n, c].flat[index]
    return grad


# ------------------------------------------------------------------------------------ norms, activations


def local_response_norm(grad_output, x, size, alpha=1e-4, beta=0.75, k=1.0):
    """The Jacobian of the channels at every pixel, element by element."""
    grad, channels = np.zeros_like(x), range(x.shape[1])
    for c in channels:
        near = [d for d in range(c - size // 2, c - size // 2 + size) if d in channels]
        base = k + alpha / size * sum(x[:, d] ** 2 for d in near)
        grad[:, c] += grad_output[:, c] * base**-beta
        for d in near:
            inner = alpha / size * 2 * x[:, d]
            grad[:, d] += grad_output[:, c] * x[:, c] * -beta * base ** (-beta - 1) * inner
    return grad


def _sigmoid_slope(v):
    s = reference._sigmoid(v)
    return s * (1 - s)


def _hardswish_slope(v):
    return 0.0 if v <= -3 else 1.0 if v >= 3 else (2 * v + 3) / 6


SLOPES = {
    "relu": lambda v: float(v > 0),
    "relu6": lambda v: float(0 < v < 6),
    "leaky_relu": lambda v, slope=0.01: 1.0 if v > 0 else slope,
    "clip": lambda v, low, high: float(low < v < high),
    "sigmoid": _sigmoid_slope,
    "tanh": lambda v: 1 / math.cosh(v) ** 2 if abs(v) < 300 else 0.0,
    "silu": lambda v: reference._sigmoid(v) + v * _sigmoid_slope(v),
    "hardswish": _hardswish_slope,
    "gelu": lambda v: 0.5 * math.erfc(-v / math.sqrt(2)) + v * math.exp(-v * v / 2) / math.sqrt(2 * math.pi),
}


def activation(grad_output, preactivation, name):
    name, *parameters = (name,) if isinstance(name, str) else name
    slopes = [SLOPES[name](v, *parameters) for v in map(float, preactivation.flat)]
    return grad_output * np.reshape(slopes, preactivation.shape)
