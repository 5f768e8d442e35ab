"""Each kernel of the compiled backend for the gradient of weights by itself: right, within its precision, and with the
same bits for any number of threads."""

import functools

import numpy as np
import pytest

import cases
import fastconv
from checks import guarded, normal, to_layout, weight_to_layout
from conftest import skip_unless_available
from fastconv.problem.convolution import ConvOptions
from reference_grad import conv2d as reference

LIMITS = {"fast": 8, "strict": 3}
SHAPES = {
    "3x3": cases.case((2, 16, 28, 28), (16, 16, 3, 3), padding=1),
    "3x3, few channels": cases.case((4, 2, 20, 20), (3, 2, 3, 3), padding=1),
    "3x3 stride 2": cases.case((4, 16, 29, 29), (16, 16, 3, 3), padding=1, stride=2),
    "3x3 dilation 3": cases.case((4, 16, 29, 29), (16, 16, 3, 3), padding=3, dilation=3),
    "2x2": cases.case((4, 16, 28, 28), (16, 16, 2, 2)),
    "4x4": cases.case((4, 16, 28, 28), (16, 16, 4, 4), padding=1),
    "5x5": cases.case((4, 16, 28, 28), (16, 16, 5, 5), padding=2),
    "1x7": cases.case((2, 8, 14, 28), (8, 8, 1, 7), padding=(0, 3)),
    "7x7, groups": cases.case((4, 16, 28, 28), (16, 8, 7, 7), padding=3, groups=2),
    "512 channels": cases.case((2, 512, 7, 7), (80, 512, 3, 3), padding=1),
    "31x31": cases.case((2, 3, 64, 60), (5, 3, 31, 31), padding=15),
    "17x17 stride 2": cases.case((3, 2, 65, 61), (2, 1, 17, 17), padding=8, stride=2, groups=2),
    "9x9 dilation 3": cases.case((3, 2, 50, 70), (2, 2, 9, 9), padding=5, dilation=3),
    "kernel larger than the image": cases.case((2, 2, 20, 24), (3, 2, 33, 37), padding=(18, 19)),
    "long row": cases.case((1, 1, 1, 9000), (1, 1, 1, 700)),
    "rows": cases.case((3, 4, 1, 900), (6, 2, 1, 40), padding=(0, 20), groups=2),
    "depthwise": cases.case((2, 5, 30, 30), (10, 1, 5, 5), padding=2, groups=5),
}


def textbook_error(x, weight, slope, expected, options):
    """What the definition loses where float32 adds up pixel by pixel: the kernels' sums in parts lose less."""
    x, slope = x.astype(np.float32), slope.astype(np.float32)
    columns = fastconv.unfold(x, weight.shape[2:], **options, backend="numpy")
    columns = columns.reshape(len(x), -1, weight.shape[1] * weight[0, 0].size, slope[0, 0].size)
    groups = columns.shape[1]
    slope = slope.reshape(len(x), groups, -1, slope[0, 0].size)
    total = np.zeros((groups, slope.shape[2], columns.shape[2]), np.float32)
    for image in range(len(x)):
        for pixel in range(slope.shape[3]):
            total += slope[image, :, :, None, pixel] * columns[image, :, None, :, pixel]
    return np.sqrt(np.mean((total.reshape(expected.shape) - expected) ** 2))


def options_of(name):
    return {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | dict(SHAPES[name].options)


@functools.cache  # each layout and precision asks for them
def random_problem(name, seed):
    """An image, weights, the gradient of the result, the exact gradients, and the textbook's error."""
    options = options_of(name)
    x, weight = normal(SHAPES[name].x, seed), normal(SHAPES[name].weights[0], seed)
    slope = normal(fastconv.conv2d(x, weight, **options, backend="numpy").shape, seed + 7)
    _, expected, expected_bias = reference(x, weight, slope, **options)
    unfolded = {name: options[name] for name in ("stride", "padding", "dilation")}
    return x, weight, slope, expected, expected_bias, textbook_error(x, weight, slope, expected, unfolded)


@pytest.mark.parametrize("precision", LIMITS)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in ("31x31", "long row") else ()) for name in SHAPES],
)
def test_every_kernel(layout, name, precision):
    dtype = np.dtype(np.float32)
    skip_unless_available("cython")
    from fastconv.backends import cython
    from fastconv.backends.cython import _engine

    errors, textbook = {}, []
    for seed in range(3):
        x, weight, slope, expected, expected_bias, error = random_problem(name, seed)
        textbook.append(error)
        problem = ConvOptions.read("test", *options_of(name).values(), layout=layout).problem(
            to_layout(x, layout).shape, weight_to_layout(weight, layout).shape, dtype, precision
        )
        conv = cython._conv(problem)
        image, gradient = (guarded(to_layout(a, layout).astype(dtype)) for a in (x, slope))
        for kernel, kernel_name in enumerate(_engine.gradients()):
            if not conv.gradient_accepts(kernel):
                continue
            results = []
            for threads in (1, 2, 3):
                out = np.full(weight_to_layout(weight, layout).shape, np.nan, dtype)
                bias = np.full(problem.filters, np.nan, dtype)
                conv.gradient(kernel, image, gradient, out, bias, threads)
                results.append((out, bias))
            for out, bias in results[1:]:
                np.testing.assert_array_equal(out, results[0][0])
                np.testing.assert_array_equal(bias, results[0][1])
            error = results[0][0] - weight_to_layout(expected, layout)
            errors.setdefault(kernel_name, []).append(np.sqrt(np.mean(error**2)))
            bound = np.finfo(dtype).eps * np.abs(slope).sum()
            np.testing.assert_allclose(results[0][1], expected_bias, rtol=0, atol=bound)
    assert len(errors) >= 2 or precision == "strict"
    assert np.mean(errors["gradient_direct"]) <= np.mean(textbook)
    for kernel_name, found in errors.items():
        assert np.mean(found) <= LIMITS[precision] * np.mean(textbook), kernel_name
