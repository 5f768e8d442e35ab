"""The kernels that walk: gradients of depthwise convolution's weights, and of its input, on shapes where rows, columns,
lanes and images end early. Small integers, whose sums are exact."""

import itertools

import numpy as np
import pytest

import fastconv
from checks import from_layout, guarded, to_layout, weight_to_layout
from conftest import COMPILED
from fastconv import grad
from fastconv.problem.convolution import ConvOptions

pytestmark = pytest.mark.parametrize("backend", COMPILED, indirect=True)

# Images, height, width, padding at each side, channels.
SHAPES = {
    "one pixel": (2, 1, 1, ((3, 3), (3, 3)), 3),
    "one row": (1, 1, 37, ((3, 3), (3, 3)), 5),
    "one column": (2, 37, 1, ((3, 3), (3, 3)), 17),
    "smaller than the kernel": (3, 2, 3, ((4, 2), (2, 4)), 4),
    "a vector": (2, 16, 16, ((1, 1), (1, 1)), 16),
    "beyond a vector": (1, 9, 35, ((0, 2), (2, 0)), 19),
    "no padding": (2, 15, 34, ((0, 0), (0, 0)), 3),
    "beside the image": (1, 7, 9, ((9, 8), (8, 40)), 2),
    "even": (2, 14, 28, ((0, 1), (0, 1)), 33),
    "many rows": (2, 150, 5, ((2, 2), (2, 2)), 2),
    "many columns": (1, 5, 150, ((2, 2), (2, 2)), 2),
    "many images": (90, 4, 7, ((1, 1), (1, 2)), 3),
}
KERNELS = [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)]  # and strides


def integers(shape, dtype, seed=0):
    return np.random.default_rng([*shape, seed]).integers(-4, 5, shape).astype(dtype)


def outputs(sizes, padding, kernel, stride):
    return tuple((n + sum(pad) - kernel) // stride + 1 for n, pad in zip(sizes, padding, strict=True))


def seen(size, out, pad, tap, stride):
    """The outputs of an axis whose tap is inside the image, and the pixels that it sees."""
    at = np.arange(out) * stride + tap - pad
    inside = (at >= 0) & (at < size)
    return np.flatnonzero(inside), at[inside]


def taps_of(x, grad_output, padding, kernel, stride):
    """For each tap: what of the gradient meets what of the image, (row, column, gradient, pixels)."""
    for r, s in np.ndindex(kernel, kernel):
        rows, y = seen(x.shape[2], grad_output.shape[2], padding[0][0], r, stride)
        columns, at = seen(x.shape[3], grad_output.shape[3], padding[1][0], s, stride)
        yield r, s, np.ix_(rows, columns), np.ix_(y, at)


def weight_gradient(x, grad_output, padding, kernel, stride):
    """By definition, from pixels of the image alone."""
    expected = np.zeros((grad_output.shape[1], 1, kernel, kernel), x.dtype)
    x = x.repeat(grad_output.shape[1] // x.shape[1], axis=1)
    for r, s, of, at in taps_of(x, grad_output, padding, kernel, stride):
        with np.errstate(invalid="ignore"):
            expected[:, 0, r, s] = (grad_output[:, :, *of] * x[:, :, *at]).sum((0, 2, 3))
    return expected


def by_kernel(x, grad_output, padding, kernel, stride, layout, threads=2):
    """What `gradient_depthwise` gives, which may not be what is chosen, in NCHW."""
    from fastconv.backends import cython
    from fastconv.backends.cython import _engine

    shape = (grad_output.shape[1], 1, kernel, kernel)
    weight = weight_to_layout(np.full(shape, np.nan, x.dtype), layout)
    bias = np.full(shape[0], np.nan, x.dtype)
    image, slope = (guarded(to_layout(a, layout)) for a in (x, grad_output))
    options = ConvOptions.read("test", stride, padding, 1, x.shape[1], layout=layout)
    conv = cython._conv(options.problem(image.shape, weight.shape, x.dtype, "strict"))
    number = _engine.gradients().index("gradient_depthwise")
    assert conv.gradient_accepts(number)
    conv.gradient(number, image, slope, weight, bias, threads)
    return weight if layout == "NCHW" else weight.transpose(3, 2, 0, 1), bias


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_weights(backend, layout, dtype, kernel):
    for name, (images, height, width, padding, channels) in SHAPES.items():
        out = outputs((height, width), padding, *kernel)
        if min(out) < 1:
            continue
        for multiplier in (1, 2):
            x = integers((images, channels, height, width), dtype)
            slope = integers((images, channels * multiplier, *out), dtype, 1)
            weight, bias = by_kernel(x, slope, padding, *kernel, layout)
            np.testing.assert_array_equal(weight, weight_gradient(x, slope, padding, *kernel), name)
            np.testing.assert_array_equal(bias, slope.sum((0, 2, 3)), name)


@pytest.mark.parametrize("kernel", KERNELS[:5], ids=str)
def test_an_infinite_gradient_meets_the_image_alone(backend, layout, dtype, kernel):
    """Nothing beside the image, no end of another row, and none of the lanes that have no output."""
    for name, (images, height, width, padding, channels) in SHAPES.items():
        out = outputs((height, width), padding, *kernel)
        if min(out) < 1:
            continue
        x, slope = np.ones((images, channels, height, width), dtype), np.ones((images, channels, *out), dtype)
        for array, other in ((slope, x), (x, slope)):
            for edge in np.s_[..., 0, :], np.s_[..., -1, :], np.s_[..., 0], np.s_[..., -1]:
                before = array[edge].copy()
                array[edge] = np.inf
                weight, _ = by_kernel(x, slope, padding, *kernel, layout)
                expected = weight_gradient(x, slope, padding, *kernel)
                np.testing.assert_array_equal(weight, expected, name)
                array[edge] = before
            assert np.isfinite(other).all()


def test_bits_of_weights_do_not_depend_on_the_number_of_threads(backend, layout, dtype):
    rng = np.random.default_rng(0)
    for kernel in KERNELS:
        x = rng.normal(size=(5, 19, 40, 43)).astype(dtype)
        padding = ((1, 1), (1, 1))
        slope = rng.normal(size=(5, 19, *outputs(x.shape[2:], padding, *kernel))).astype(dtype)
        expected = by_kernel(x, slope, padding, *kernel, layout, threads=1)
        for threads in (2, 3):
            actual = by_kernel(x, slope, padding, *kernel, layout, threads=threads)
            np.testing.assert_array_equal(actual[0], expected[0])
            np.testing.assert_array_equal(actual[1], expected[1])


def test_wide_images_are_walked(backend, layout):
    """However many pixels a packed line would have."""
    x, slope = integers((1, 1, 3, 70000), np.float32), integers((1, 1, 3, 70000), np.float32, 1)
    padding = ((1, 1), (1, 1))
    weight, _ = by_kernel(x, slope, padding, 3, 1, layout)
    np.testing.assert_array_equal(weight, weight_gradient(x, slope, padding, 3, 1))


# ---- the input at a stride of 2: a transposed convolution ----


def input_gradient(x, weight, grad_output, padding):
    expected = np.zeros(x.shape, x.dtype)
    for r, s, of, at in taps_of(x, grad_output, padding, weight.shape[2], 2):
        expected[:, :, *at] += weight[:, 0, r, s][:, None, None] * grad_output[:, :, *of]
    return expected


@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
def test_input_at_stride_2(backend, layout, dtype, kernel):
    for name, (images, height, width, padding, channels) in SHAPES.items():
        out = outputs((height, width), padding, kernel, 2)
        if min(out) < 1:
            continue
        x = integers((images, channels, height, width), dtype)
        weight = integers((channels, 1, kernel, kernel), dtype, 2)
        slope = integers((images, channels, *out), dtype, 1)
        expected = input_gradient(x, weight, slope, padding)
        shape = to_layout(x, layout).shape
        arrays = guarded(weight_to_layout(weight, layout)), guarded(to_layout(slope, layout))
        options = {"stride": 2, "padding": padding, "groups": channels, "layout": layout}
        actual = grad.conv2d_input(shape, *arrays, algorithm="depthwise_transposed", **options)
        np.testing.assert_array_equal(from_layout(actual, layout), expected, name)


@pytest.mark.parametrize("kernel", [2, 3, 4, 5, 7])
def test_transposed_with_all_that_follows(backend, layout, dtype, kernel):
    """Bias, residual and activation; a NaN reaches the outputs that see it, and infinity no others."""
    algorithm = None if kernel == 7 and layout == "NCHW" else "depthwise_transposed"
    for channels, height, width in ((5, 3, 20), (35, 9, 4)):
        x = integers((2, channels, height, width), dtype)
        weight, bias = integers((channels, 1, kernel, kernel), dtype, 1), integers((channels,), dtype, 2)
        x[0, 0, 0, 0], x[1, -1, -1, -1], weight[weight == 0] = np.nan, np.inf, 1
        for padding in (0, 1, 2):
            options = {"stride": 2, "padding": padding, "output_padding": 1, "groups": channels}
            size = fastconv.conv_transpose2d(np.zeros_like(x), weight, **options).shape
            residual = integers(size, dtype, 3)
            expected = input_gradient(np.zeros(size, dtype), weight, x, ((padding, padding),) * 2)
            expected = expected + bias[:, None, None] + residual
            expected = np.where(expected < 0, 0, expected)
            arrays = to_layout(x, layout), weight_to_layout(weight, layout), bias
            options |= {"residual": to_layout(residual, layout), "activation": "relu", "layout": layout}
            actual = fastconv.conv_transpose2d(*arrays, algorithm=algorithm, **options)
            np.testing.assert_array_equal(from_layout(actual, layout), expected)


@pytest.mark.parametrize("layout", ["NHWC"], indirect=True)
def test_transposed_by_any_kernel_at_any_stride(backend, layout, dtype):
    """Also kernels smaller than the stride, whose outputs are bias alone in part, and 1-D ones."""
    cases = [((3, 3), (3, 3)), ((4, 4), (4, 4)), ((8, 8), (4, 4)), ((1, 9), (1, 2)), ((9, 1), (3, 1))]
    cases += [((6, 7), (2, 2)), ((2, 3), (5, 4)), ((5, 2), (1, 3)), ((4, 4), (2, 2)), ((1, 1), (2, 3))]
    for (kernel, stride), channels, size in itertools.product(
        cases, (1, 3, 16, 21, 40), ((1, 1), (2, 3), (3, 7), (4, 8), (3, 13), (2, 30))
    ):
        x = integers((2, channels, *size), dtype)
        weight, bias = integers((channels, 1, *kernel), dtype, 1), integers((channels,), dtype, 2)
        whole = np.zeros(
            (2, channels, *((n - 1) * s + k for n, s, k in zip(size, stride, kernel, strict=True)))
        )
        for y, at in np.ndindex(*size):
            rows, columns = (slice(s * i, s * i + k) for s, i, k in zip(stride, (y, at), kernel, strict=True))
            whole[:, :, rows, columns] += x[:, :, y, at, None, None] * weight[:, 0]
        for top, bottom, left, right in ((0, 0, 0, 0), (1, 0, 2, 1), (0, 3, 0, 4), (5, 1, 3, 9)):
            if top + bottom >= whole.shape[2] or left + right >= whole.shape[3]:
                continue
            cut = whole[:, :, top : whole.shape[2] - bottom, left : whole.shape[3] - right]
            actual = fastconv.conv_transpose2d(
                guarded(to_layout(x, layout)),
                guarded(weight_to_layout(weight, layout)),
                bias,
                stride=stride,
                padding=((top, bottom), (left, right)),
                groups=channels,
                layout=layout,
                algorithm="depthwise_transposed" if channels > 1 else None,  # one is a plane in either layout
            )
            np.testing.assert_array_equal(from_layout(actual, layout), cut + bias[:, None, None])


def test_bits_of_inputs_do_not_depend_on_the_number_of_threads(backend, layout, dtype):
    rng = np.random.default_rng(0)
    for channels, height, width in ((1, 90, 43), (40, 21, 9)):
        x, weight = rng.normal(size=(2, channels, height, width)), rng.normal(size=(channels, 1, 3, 3))
        arrays = to_layout(x.astype(dtype), layout), weight_to_layout(weight.astype(dtype), layout)
        options = {"stride": 2, "padding": 1, "groups": channels, "layout": layout}
        options["algorithm"] = "depthwise_transposed"
        with fastconv.num_threads(1):
            expected = fastconv.conv_transpose2d(*arrays, **options)
        for threads in (2, 3):
            with fastconv.num_threads(threads):
                np.testing.assert_array_equal(fastconv.conv_transpose2d(*arrays, **options), expected)


def test_what_walks_is_chosen(backend, layout):
    from fastconv.backends import cython
    from fastconv.backends.cython import _engine

    for channels, size, kernel, stride in ((96, 112, 3, 2), (144, 56, 3, 1), (240, 28, 5, 2), (960, 7, 3, 1)):
        shapes = (1, channels, size, size), (channels, 1, kernel, kernel)
        x, weight = (
            to_layout(np.empty(shapes[0], bool), layout),
            weight_to_layout(np.empty(shapes[1]), layout),
        )
        options = ConvOptions.read("test", stride, kernel // 2, 1, channels, layout=layout)
        problem = options.problem(x.shape, weight.shape, np.dtype(np.float32), "fast")
        conv = cython._conv(problem)
        assert _engine.gradients()[conv.choose_gradient()] == "gradient_depthwise"
    shape = to_layout(np.empty((1, 96, 56, 56), bool), layout).shape
    walked = [(2, 2), (3, 2), (4, 2), (5, 2)]
    for kernel, stride in walked if layout == "NCHW" else [*walked, (3, 3), (7, 2), (8, 4)]:
        weight = weight_to_layout(np.ones((96, 1, kernel, kernel), np.float32), layout)
        options = {"stride": stride, "padding": (kernel - 1) // 2, "groups": 96, "layout": layout}
        assert fastconv.plan_conv_transpose2d(weight, **options).algorithm(shape) == "depthwise_transposed"
