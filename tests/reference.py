"""The float64 reference: every operation as the loops of its definition, written from the contract alone.

Called by the tests only. Arrays are batched NCHW; names, argument order and meaning are those of `fastconv`.
"""

import math
from itertools import product

import numpy as np


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def effective(kernel, dilation):
    """Extent of a dilated kernel."""
    return dilation * (kernel - 1) + 1


# ---------------------------------------------------------------------------------------------- padding


def pads(padding, size, kernel, stride=1, dilation=1):
    """((top, bottom), (left, right)) of a padding argument for an image, kernel, stride and dilation."""
    kernel, stride, dilation = pair(kernel), pair(stride), pair(dilation)
    if isinstance(padding, str):
        return tuple(_named_pads(padding, *axis) for axis in zip(size, kernel, stride, dilation, strict=True))
    return tuple(pair(axis) for axis in pair(padding))


def _named_pads(name, size, kernel, stride, dilation):
    if name == "valid":
        return 0, 0
    if name == "full":
        return (effective(kernel, dilation) - 1,) * 2
    assert name == "same"
    total = max((math.ceil(size / stride) - 1) * stride + effective(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def source_index(position, size, mode):
    """Which pixel of 0 ... size - 1 stands at `position` of the padded axis; None for the fill value."""
    if 0 <= position < size:
        return position
    if mode == "zeros":
        return None
    if mode == "replicate":
        return 0 if position < 0 else size - 1
    if mode == "circular":
        return position % size
    assert mode == "reflect"
    return -position if position < 0 else 2 * (size - 1) - position


def pad2d(x, padding, mode="zeros", value=0.0):
    (top, bottom), (left, right) = pads(padding, x.shape[2:], 1)
    height, width = x.shape[2:]
    out = np.full((*x.shape[:2], height + top + bottom, width + left + right), value, dtype=x.dtype)
    for i, j in product(range(out.shape[2]), range(out.shape[3])):
        row, column = source_index(i - top, height, mode), source_index(j - left, width, mode)
        if row is not None and column is not None:
            out[:, :, i, j] = x[:, :, row, column]
    return out


# ------------------------------------------------------------------------------------------ convolution


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros"):
    x, weight = np.float64(x), np.float64(weight)
    (c_out, per_group, kh, kw), (sh, sw), (dh, dw) = weight.shape, pair(stride), pair(dilation)
    x = pad2d(x, pads(padding, x.shape[2:], (kh, kw), stride, dilation), padding_mode)
    height = (x.shape[2] - effective(kh, dh)) // sh + 1
    width = (x.shape[3] - effective(kw, dw)) // sw + 1
    out = np.zeros((x.shape[0], c_out, height, width))
    for g, i, j in product(range(groups), range(height), range(width)):
        inputs = slice(g * per_group, (g + 1) * per_group)
        outputs = slice(g * (c_out // groups), (g + 1) * (c_out // groups))
        window = x[
            :, inputs, i * sh : i * sh + effective(kh, dh) : dh, j * sw : j * sw + effective(kw, dw) : dw
        ]
        out[:, outputs, i, j] = np.einsum("ncab,ocab->no", window, weight[outputs])
    return out if bias is None else out + np.float64(bias)[:, None, None]


def depthwise_conv2d(x, weight, bias=None, **options):
    return conv2d(x, weight, bias, groups=x.shape[1], **options)


def separable_conv2d(x, depthwise_weight, pointwise_weight, bias=None, **options):
    return conv2d(depthwise_conv2d(x, depthwise_weight, **options), pointwise_weight, bias)


def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Every pixel scatters the weights, scaled by itself; then the padding is cropped."""
    x, weight = np.float64(x), np.float64(weight)
    (n, c_in, height, width), (_, per_group, kh, kw) = x.shape, weight.shape
    (sh, sw), (dh, dw), extra = pair(stride), pair(dilation), pair(output_padding)
    scattered = ((height - 1) * sh + effective(kh, dh), (width - 1) * sw + effective(kw, dw))
    if padding == "same":  # the gradient of a "same" convolution of an image of size * stride pixels
        size = (height * sh, width * sw)
        crop = pads("same", size, (kh, kw), stride, dilation)
    else:
        crop = pads(padding, (height, width), (kh, kw), stride, dilation)
        size = tuple(
            s - before - after + e for s, (before, after), e in zip(scattered, crop, extra, strict=True)
        )
    canvas = np.zeros((n, per_group * groups, *(s + t for s, t in zip(scattered, size, strict=True))))
    for g, i, j in product(range(groups), range(height), range(width)):
        inputs = slice(g * (c_in // groups), (g + 1) * (c_in // groups))
        window = canvas[:, g * per_group : (g + 1) * per_group, i * sh :, j * sw :]
        window = window[:, :, : effective(kh, dh) : dh, : effective(kw, dw) : dw]
        window += np.einsum("nc,coab->noab", x[:, inputs, i, j], weight[inputs])
    (top, _), (left, _) = crop
    out = canvas[:, :, top : top + size[0], left : left + size[1]]
    return out if bias is None else out + np.float64(bias)[:, None, None]


def bilinear(plane, y, x):
    """The value of (C, H, W) at a fractional position; pixels outside are zero, and those of share 0 do not count."""
    total = np.zeros(plane.shape[0])
    for row, column in product((math.floor(y), math.floor(y) + 1), (math.floor(x), math.floor(x) + 1)):
        if 0 <= row < plane.shape[1] and 0 <= column < plane.shape[2]:
            share = (1 - abs(y - row)) * (1 - abs(x - column))
            total += share * plane[:, row, column] if share else 0
    return total


def deform_conv2d(x, offset, weight, bias=None, stride=1, padding=0, dilation=1, mask=None):
    x, offset, weight = np.float64(x), np.float64(offset), np.float64(weight)
    (n, c_in, *size), (c_out, per_group, kh, kw) = x.shape, weight.shape
    (sh, sw), (dh, dw), groups = pair(stride), pair(dilation), c_in // weight.shape[1]
    (top, _), (left, _) = pads(padding, size, (kh, kw), stride, dilation)
    offset_groups = offset.shape[1] // (2 * kh * kw)
    offset = offset.reshape(n, offset_groups, kh, kw, 2, *offset.shape[2:])
    height, width = offset.shape[5:]
    mask = np.ones((n, offset_groups * kh * kw, height, width)) if mask is None else np.float64(mask)
    mask = mask.reshape(n, offset_groups, kh, kw, height, width)
    taps = np.zeros((n, c_in, kh, kw, height, width))
    for b, og, a, t, i, j in product(*map(range, mask.shape)):
        channels = slice(og * c_in // offset_groups, (og + 1) * c_in // offset_groups)
        dy, dx = offset[b, og, a, t, :, i, j]
        value = bilinear(x[b, channels], i * sh - top + a * dh + dy, j * sw - left + t * dw + dx)
        taps[b, channels, a, t, i, j] = mask[b, og, a, t, i, j] * value
    out = np.zeros((n, c_out, height, width))
    for o in range(c_out):
        g = o // (c_out // groups)
        out[:, o] = np.einsum("ncabij,cab->nij", taps[:, g * per_group : (g + 1) * per_group], weight[o])
    return out if bias is None else out + np.float64(bias)[:, None, None]


def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    (kh, kw), (dh, dw), (sh, sw) = pair(kernel_size), pair(dilation), pair(stride)
    x = pad2d(x, pads(padding, x.shape[2:], (kh, kw), stride, dilation))
    height = (x.shape[2] - effective(kh, dh)) // sh + 1
    width = (x.shape[3] - effective(kw, dw)) // sw + 1
    out = np.zeros((*x.shape[:2], kh, kw, height, width), dtype=x.dtype)
    for a, b, i, j in product(*map(range, out.shape[2:])):
        out[:, :, a, b, i, j] = x[:, :, i * sh + a * dh, j * sw + b * dw]
    return out.reshape(x.shape[0], x.shape[1] * kh * kw, height * width)


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    (kh, kw), (dh, dw), (sh, sw), size = pair(kernel_size), pair(dilation), pair(stride), pair(output_size)
    (top, bottom), (left, right) = pads(padding, size, (kh, kw), stride, dilation)
    height = (size[0] + top + bottom - effective(kh, dh)) // sh + 1
    width = (size[1] + left + right - effective(kw, dw)) // sw + 1
    columns = np.float64(x).reshape(x.shape[0], x.shape[1] // (kh * kw), kh, kw, height, width)
    out = np.zeros((*columns.shape[:2], size[0] + top + bottom, size[1] + left + right))
    for a, b, i, j in product(*map(range, columns.shape[2:])):
        out[:, :, i * sh + a * dh, j * sw + b * dw] += columns[:, :, a, b, i, j]
    return out[:, :, top : top + size[0], left : left + size[1]]


# ---------------------------------------------------------------------------------------------- pooling


def windows(size, kernel, stride, padding=(0, 0), dilation=1, ceil_mode=False):
    """For each output of one axis: the pixels of its window, and the window's extent inside the padding."""
    before, after = padding
    count = (
        size + before + after - effective(kernel, dilation) + (stride - 1 if ceil_mode else 0)
    ) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + before:
        count -= 1
    table = []
    for start in (i * stride - before for i in range(count)):
        pixels = [start + a * dilation for a in range(kernel) if 0 <= start + a * dilation < size]
        table.append((pixels, min(start + kernel, size + after) - start))
    return table


def adaptive_windows(size, count):
    return [list(range(i * size // count, -((i + 1) * size // -count))) for i in range(count)]


def pool(x, rows, columns, reduce, dtype=None):
    """`reduce(plane, rows of the window, columns of the window)` for every output pixel of every plane."""
    out = np.zeros((*x.shape[:2], len(rows), len(columns)), dtype=dtype or np.float64)
    for n, c, i, j in product(*map(range, out.shape)):
        out[n, c, i, j] = reduce(x[n, c], rows[i], columns[j])
    return out


def first_maximum(plane, rows, columns):
    """(row, column) of the largest element: the first of equals, the last of NaNs."""
    best = rows[0], columns[0]
    for where in product(rows, columns):
        if plane[where] > plane[best] or np.isnan(plane[where]):
            best = where
    return best


def _max_pool(x, rows, columns, return_indices):
    index = pool(
        x, rows, columns, lambda p, r, c: np.ravel_multi_index(first_maximum(p, r, c), p.shape), np.int64
    )
    flat = [
        np.take(plane, i)
        for plane, i in zip(x.reshape(-1, *x.shape[2:]), index.reshape(-1, *index.shape[2:]), strict=True)
    ]
    values = np.array(flat, dtype=x.dtype).reshape(index.shape)
    return (values, index) if return_indices else values


def _window_axes(x, kernel_size, stride, padding=0, dilation=1, ceil_mode=False):
    kernel, stride, dilation = pair(kernel_size), pair(stride or kernel_size), pair(dilation)
    axes = zip(
        x.shape[2:],
        kernel,
        stride,
        pads(padding, x.shape[2:], kernel, stride, dilation),
        dilation,
        strict=True,
    )
    return [windows(*axis, ceil_mode) for axis in axes]


def _pixels(table):
    return [pixels for pixels, _ in table]


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    rows, columns = map(_pixels, _window_axes(x, kernel_size, stride, padding, dilation, ceil_mode))
    return _max_pool(x, rows, columns, return_indices)


def avg_pool2d(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    def mean(plane, row, column):
        (rows, height), (columns, width) = row, column
        divisor = divisor_override or (height * width if count_include_pad else len(rows) * len(columns))
        return sum(float(plane[where]) for where in product(rows, columns)) / divisor

    return pool(x, *_window_axes(x, kernel_size, stride, padding, 1, ceil_mode), mean)


def lp_pool2d(x, norm_type, kernel_size, stride=None, ceil_mode=False):
    kh, kw = pair(kernel_size)

    def norm(plane, rows, columns):
        values = [abs(float(plane[where])) for where in product(rows, columns)]
        if norm_type == math.inf:
            return max(values)
        return (sum(v**norm_type for v in values) * kh * kw / len(values)) ** (1 / norm_type)

    return pool(x, *map(_pixels, _window_axes(x, kernel_size, stride, ceil_mode=ceil_mode)), norm)


def _mean(plane, rows, columns):
    return math.fsum(float(plane[where]) for where in product(rows, columns)) / (len(rows) * len(columns))


def _adaptive_axes(x, output_size):
    return [
        adaptive_windows(size, count or size)
        for size, count in zip(x.shape[2:], pair(output_size), strict=True)
    ]


def adaptive_avg_pool2d(x, output_size):
    return pool(x, *_adaptive_axes(x, output_size), _mean)


def adaptive_max_pool2d(x, output_size, return_indices=False):
    return _max_pool(x, *_adaptive_axes(x, output_size), return_indices)


def global_avg_pool2d(x, *, keepdims=True):
    out = adaptive_avg_pool2d(x, 1)
    return out if keepdims else out[:, :, 0, 0]


def global_max_pool2d(x, return_indices=False, *, keepdims=True):
    both = adaptive_max_pool2d(x, 1, True)
    value, index = both if keepdims else (part[:, :, 0, 0] for part in both)
    return (value, index) if return_indices else value


def fractional_windows(size, count, kernel, sample):
    """Graham's pseudo-random intervals, as PyTorch computes them."""
    starts = [size - kernel]
    if count > 1:
        alpha = (size - kernel) / (count - 1)
        starts = [int((i + sample) * alpha) - int(sample * alpha) for i in range(count - 1)] + starts
    return [list(range(start, start + kernel)) for start in starts]


def fractional_max_pool2d(x, kernel_size, output_size, return_indices=False, *, random_samples):
    (kh, kw), (height, width) = pair(kernel_size), pair(output_size)
    value = np.zeros((*x.shape[:2], height, width), dtype=x.dtype)
    index = np.zeros(value.shape, dtype=np.int64)
    for n, c in product(*map(range, x.shape[:2])):
        along_w, along_h = map(float, random_samples[n, c])
        rows = fractional_windows(x.shape[2], height, kh, along_h)
        columns = fractional_windows(x.shape[3], width, kw, along_w)
        value[n, c], index[n, c] = (
            part[0, 0] for part in _max_pool(x[n : n + 1, c : c + 1], rows, columns, True)
        )
    return (value, index) if return_indices else value


def stochastic_pool2d(x, kernel_size, stride=None, padding=0, *, uniforms=None):
    """Zeiler & Fergus: (value, index) sampled with one uniform per output; without, the weighted mean."""
    rows, columns = map(_pixels, _window_axes(x, kernel_size, stride, padding))
    if uniforms is None:

        def weighted(plane, rows, columns):
            values = [float(plane[where]) for where in product(rows, columns)]
            return sum(v * v for v in values) / sum(values) if sum(values) else 0.0

        return pool(x, rows, columns, weighted)
    index = np.zeros(uniforms.shape, dtype=np.int64)
    value = np.zeros(uniforms.shape, dtype=x.dtype)
    for n, c, i, j in product(*map(range, uniforms.shape)):
        places = list(product(rows[i], columns[j]))
        cumulative = np.cumsum([float(x[n, c, *where]) for where in places])
        chosen = np.flatnonzero(cumulative > uniforms[n, c, i, j] * cumulative[-1])
        where = places[chosen[0]] if len(chosen) else places[0]
        index[n, c, i, j], value[n, c, i, j] = np.ravel_multi_index(where, x.shape[2:]), x[n, c, *where]
    return value, index


def max_unpool2d(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    kernel, stride, padding = pair(kernel_size), pair(stride or kernel_size), pair(padding)
    size = output_size or tuple(
        (n - 1) * s - 2 * p + k for n, s, p, k in zip(x.shape[2:], stride, padding, kernel, strict=True)
    )
    out = np.zeros((*x.shape[:2], *size), dtype=x.dtype)
    for where in np.ndindex(x.shape):
        out[where[0], where[1], *np.unravel_index(indices[where], out.shape[2:])] = x[where]
    return out


# ------------------------------------------------------------------------------------ norms, activations


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    x = np.float64(x)
    out = np.zeros_like(x)
    for c in range(x.shape[1]):
        near = [d for d in range(c - size // 2, c - size // 2 + size) if 0 <= d < x.shape[1]]
        squares = sum(x[:, d] ** 2 for d in near)
        out[:, c] = x[:, c] / (k + alpha / size * squares) ** beta
    return out


def fold_batch_norm(weight, bias, mean, variance, gamma=None, beta=None, eps=1e-5):
    scale = (1.0 if gamma is None else gamma) / np.sqrt(np.float64(variance) + eps)
    shift = (0.0 if bias is None else bias) - np.float64(mean)
    return weight * scale[:, None, None, None], shift * scale + (0.0 if beta is None else beta)


def _sigmoid(v):
    return 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))


SCALAR_ACTIVATIONS = {
    "relu": lambda v: max(v, 0.0),
    "relu6": lambda v: min(max(v, 0.0), 6.0),
    "leaky_relu": lambda v, slope=0.01: v if v >= 0 else slope * v,
    "clip": lambda v, low, high: min(max(v, low), high),
    "sigmoid": _sigmoid,
    "tanh": math.tanh,
    "silu": lambda v: v * _sigmoid(v),
    "hardswish": lambda v: v * (min(max(v + 3, 0.0), 6.0) / 6),
    "gelu": lambda v: v * 0.5 * math.erfc(-v / math.sqrt(2)),
}


def activate(x, activation):
    """The activation of a finished output; a NaN stays a NaN."""
    if activation is None:
        return x
    name, *parameters = (activation,) if isinstance(activation, str) else activation
    function = SCALAR_ACTIVATIONS[name]
    return np.array([v if math.isnan(v) else function(v, *parameters) for v in map(float, x.flat)]).reshape(
        x.shape
    )
