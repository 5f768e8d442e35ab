"""`precision="strict"`: what is not finite, or far larger than the rest, stays within the windows that hold it."""

import numpy as np
import pytest

import fastconv
import fastconv.nn as nn
from checks import from_layout, normal, to_layout, unless_refused, weight_to_layout
from fastconv import grad
from fastconv.execution.convolution import FAR_APART, is_even

# Where transforms are chosen: Winograd's tiles of two and three pixels, and Fourier's.
LAYERS = {
    "3x3": ((2, 64, 30, 29), (64, 64, 3, 3), {"padding": 1}),
    "3x3, dilated": ((1, 64, 30, 29), (64, 64, 3, 3), {"padding": 2, "dilation": 2}),
    "3x3 stride 2": ((1, 64, 40, 41), (64, 64, 3, 3), {"padding": 1, "stride": 2}),
    "groups": ((1, 64, 24, 26), (64, 32, 3, 3), {"padding": 1, "groups": 2}),
    "17x17": ((1, 2, 70, 71), (3, 2, 17, 17), {"padding": 8}),
    "circular": ((1, 64, 20, 22), (64, 64, 3, 3), {"padding": 1, "padding_mode": "circular"}),
    "depthwise 31x31": ((1, 3, 90, 91), (3, 1, 31, 31), {"padding": 15, "groups": 3}),
}
PIXEL = (0, 1, 9, 11)
NUMBERS = [np.nan, np.inf, -np.inf, 1e8]


def holders(x_shape, weight_shape, options, operation=fastconv.conv2d):
    """Which results have the pixel in their window."""
    mark, ones = np.zeros(x_shape), np.ones(weight_shape)
    mark[PIXEL] = 1
    return operation(mark, ones, **options, backend="numpy", algorithm="direct") != 0


def check(actual, even, held, number):
    """`even` is the result of an ordinary number in the pixel's place."""
    scale = np.sqrt(np.mean(np.square(even, dtype=np.float64)))
    assert np.abs(actual[~held] - even[~held]).max() < 3e-6 * scale
    if np.isfinite(number):
        assert np.abs(actual[held]).max() > 1e4 * scale
    else:
        assert not np.isfinite(actual[held]).any()


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", LAYERS)
def test_convolutions_confine_it(backend, layout, name, number):
    x_shape, weight_shape, options = LAYERS[name]
    x, weight = normal(x_shape, dtype="float32"), normal(weight_shape, 1, dtype="float32")
    weight = np.where(np.abs(weight) < 0.1, np.float32(0.1), weight)
    held = holders(x_shape, weight_shape, options)
    options = {**options, "layout": layout, "precision": "strict"}
    ours = weight_to_layout(weight, layout)
    plan = fastconv.plan_conv2d(ours, **options)
    algorithms = [None, *(name for name in fastconv.algorithms() if name.startswith(("winograd", "fft")))]
    even = from_layout(fastconv.conv2d(to_layout(x, layout), ours, **options, algorithm="direct"), layout)
    plan(to_layout(x, layout))
    x[PIXEL] = number
    ours_x = to_layout(x, layout)
    for algorithm in algorithms:
        actual = unless_refused(fastconv.conv2d, ours_x, ours, **options, algorithm=algorithm)
        if actual is not None:
            check(from_layout(actual, layout), even, held, number)
    for _ in range(2):  # the second call knows its arguments
        check(from_layout(plan(ours_x), layout), even, held, number)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_gradient_of_the_input_confines_it(backend, layout, number):
    slope, weight = normal((1, 64, 30, 29), dtype="float32"), normal((64, 64, 3, 3), 1, dtype="float32")
    weight = np.where(np.abs(weight) < 0.1, np.float32(0.1), weight)
    shape = to_layout(slope, layout).shape
    held = holders(slope.shape, weight.shape, {"padding": 1}, fastconv.conv_transpose2d)
    ours, options = weight_to_layout(weight, layout), {"padding": 1, "layout": layout}
    even = grad.conv2d_input(shape, ours, to_layout(slope, layout), **options, algorithm="direct")
    slope[PIXEL] = number
    for _ in range(2):
        actual = grad.conv2d_input(shape, ours, to_layout(slope, layout), **options, precision="strict")
        check(from_layout(actual, layout), from_layout(even, layout), held, number)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_gradient_of_weights_confines_it(backend, layout, number):
    """A corner's pixel is seen by four of nine taps."""
    x, slope = normal((2, 32, 30, 28), dtype="float32"), normal((2, 32, 30, 28), 1, dtype="float32")
    shape, options = (
        weight_to_layout(np.empty((32, 32, 3, 3)), layout).shape,
        {"padding": 1, "layout": layout},
    )
    options["precision"] = "strict"
    slope[:, :, 0, 0] = np.where(slope[:, :, 0, 0] < 0, -1, 1)
    even = grad.conv2d_weight(to_layout(x, layout), shape, to_layout(slope, layout), **options)
    x[0, 1, 0, 0] = number
    actual = grad.conv2d_weight(to_layout(x, layout), shape, to_layout(slope, layout), **options)
    if layout == "NHWC":
        actual, even = (a.transpose(3, 2, 0, 1) for a in (actual, even))
    unseen = np.ones(actual.shape, bool)
    unseen[:, 1, :2, :2] = False
    np.testing.assert_allclose(actual[unseen], even[unseen], rtol=1e-4, atol=1e-3)
    assert np.isfinite(number) or not np.isfinite(actual[:, 1, 1, 1]).any()


@pytest.mark.parametrize("number", NUMBERS)
def test_networks_confine_it(backend, number):
    net = nn.Sequential(nn.Conv2D(64, 3, padding="same")).build((1, 64, 20, 22))
    x = normal((1, 64, 20, 22), dtype="float32")
    held = holders(x.shape, (64, 64, 3, 3), {"padding": 1})
    with fastconv.use_precision("strict"):
        run = net.compile((1, 64, 20, 22))
        even = run(x).copy()
        x[PIXEL] = number
        actual = run(x)
    check(actual, even, held, number)


def test_what_is_even(backend, dtype):
    engine = fastconv.backends.resolve("test", None)
    x = normal((3, 50, 701), dtype=dtype)
    for even in (
        x,
        x * 1e30,
        x / 1e30,
        np.zeros_like(x),
        np.ones(1, dtype),
        np.where(np.arange(701) % 2, x, 0),
    ):
        assert is_even(engine, even)
    for number in (*NUMBERS, -1e8, np.finfo(dtype).max):
        for size in (2, 7, 100_000):
            for place in (0, 1, size // 2, size - 1):
                one = np.ones(size, dtype)
                one[place] = number
                assert not is_even(engine, one), (number, size, place)
    assert not is_even(engine, np.array([0, 1], dtype))  # the others are nothing
    assert not is_even(engine, np.full(1, np.nan, dtype))
    assert is_even(engine, np.full(100_000, np.finfo(dtype).max / 2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_even_is_the_same_in_any_order_of_the_axes_and_with_any_number_of_threads(backend, dtype):
    """Just below and just above what is far, in arrays of more than one share."""
    engine, far = fastconv.backends.resolve("test", None), FAR_APART[np.dtype(dtype)]
    x = np.abs(normal((2, 3, 300, 171), dtype=dtype)) + 1
    at = (1, 2, 299, 170)
    x[at] = 0
    mean = x.sum(dtype=np.float64) / (x.size - 1)
    for factor in (0.99, 1.01):
        x[at] = factor * far * mean
        for view in (x, x.transpose(0, 2, 3, 1), x.T, x[:, ::-1], np.repeat(x, 2, axis=3)[..., ::2]):
            for threads in (1, 2, 3):
                with fastconv.num_threads(threads):
                    assert is_even(engine, view) == (factor < 1)
