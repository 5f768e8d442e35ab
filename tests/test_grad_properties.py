"""What gradients of convolution keep to: `needs`, unbatched images, NaN, algorithms, threads."""

import numpy as np
import pytest

import cases
import fastconv
import reference_grad
from cases import case
from checks import DIRECT, assert_close, eps, normal, to_layout, weight_to_layout
from conftest import COMPILED
from fastconv import grad
from grad_checks import solved_gradient


@pytest.mark.parametrize("operation", ["conv2d", "conv_transpose2d", "separable_conv2d"])
def test_needs(backend, layout, operation):
    problem = solved_gradient(operation, {
        "conv2d": cases.CONV["reflect, grouped and strided"],
        "conv_transpose2d": cases.TRANSPOSE["groups"],
        "separable_conv2d": cases.SEPARABLE["circular"],
    }[operation])  # fmt: skip
    everything = problem.run(layout, np.float64)
    count = len(everything)
    for number in range(2**count):
        needs = tuple(bool(number >> i & 1) for i in range(count))
        some = problem.run(layout, np.float64, needs=needs)
        assert [part is not None for part in some] == list(needs)
        for part, full in zip(some, everything, strict=True):
            if part is not None:
                np.testing.assert_allclose(part, full, rtol=0, atol=1e-12 * (1 + np.abs(full).max()))


@pytest.mark.parametrize("name", ["3x3 stride 2", "groups", "same, stride and dilation", "circular"])
def test_unbatched(backend, layout, name):
    problem = cases.CONV[name]
    problem = solved_gradient("conv2d", case((1, *problem.x[1:]), *problem.weights, **dict(problem.options)))
    x, weight, slope = problem.arguments(layout, np.float64)
    options = problem.options | {"layout": layout}
    batched, single = grad.conv2d(x, weight, slope, **options), grad.conv2d(x[0], weight, slope[0], **options)
    for ours, theirs in zip(single, (batched[0][0], *batched[1:]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    of_input = grad.conv2d_input(x.shape[1:], weight, slope[0], **options)
    np.testing.assert_array_equal(of_input, single[0])
    of_weight = grad.conv2d_weight(x[0], weight.shape, slope[0], **options)
    np.testing.assert_allclose(of_weight, single[1], rtol=0, atol=1e-12 * np.abs(of_weight).max())


def test_strided_images_of_several_sizes(backend, layout):
    """The size of the image is the caller's to say; pixels that no window sees get 0."""
    weight, slope = normal((4, 3, 3, 3)), normal((1, 4, 3, 3))
    for size in (7, 8):
        x = normal((1, 3, size, size))
        expected = reference_grad.conv2d(x, weight, slope, 2)[0]
        arrays = weight_to_layout(weight, layout), to_layout(slope, layout)
        actual = grad.conv2d_input(to_layout(x, layout).shape, *arrays, 2, layout=layout)
        assert_close(actual, to_layout(expected, layout), 1e-13, np.float64)
    assert (actual[:, -1] == 0).all() if layout == "NHWC" else (actual[:, :, -1] == 0).all()


def test_overlapping_windows_accumulate(backend):
    ones = np.ones((1, 1, 3, 3))
    actual = grad.conv2d_input((1, 1, 5, 5), ones, np.ones((1, 1, 3, 3)))
    per_axis = np.array([1.0, 2, 3, 2, 1])
    np.testing.assert_array_equal(actual[0, 0], np.outer(per_axis, per_axis))


@pytest.mark.parametrize("name", ["3x3 stride 2", "1x1", "groups", "depthwise", "5x5"])
def test_nan_stays_with_its_channel(backend, layout, dtype, name):
    """Whatever the algorithm: other channels' weights and other images know nothing of a NaN."""
    problem = solved_gradient("conv2d", cases.CONV[name])
    x, weight, slope = problem.arguments(layout, dtype)
    options = problem.options | {"layout": layout}
    groups = problem.options.get("groups", 1)
    clean = grad.conv2d(x, weight, slope, **options)
    last = (..., -1) if layout == "NHWC" else (slice(None), -1)
    middle = (0, 2, 2) if layout == "NHWC" else (0, slice(None), 2, 2)

    broken = x.copy()
    broken[middle][-1] = np.nan
    grad_x, grad_weight, grad_bias = grad.conv2d(broken, weight, slope, **options)
    first = weight_to_nchw(grad_weight, layout), weight_to_nchw(clean[1], layout)
    per_group = len(first[0]) // groups
    wrong = np.isnan(first[0])
    assert wrong[-per_group:, -1].any()
    wrong[-per_group:, -1] = False
    assert not wrong.any()
    keep = np.ones(first[0].shape, bool)
    keep[-per_group:, -1] = False
    np.testing.assert_array_equal(first[0][keep], first[1][keep])
    np.testing.assert_array_equal(grad_x, clean[0])
    np.testing.assert_array_equal(grad_bias, clean[2])

    broken = slope.copy()
    broken[last][0, 1, 1] = np.nan
    grad_x, grad_weight, grad_bias = grad.conv2d(x, weight, broken, **options)
    grad_weight = weight_to_nchw(grad_weight, layout)
    assert np.isnan(grad_weight[-1]).any()
    np.testing.assert_array_equal(grad_weight[:-1], first[1][:-1])
    assert np.isnan(grad_bias[-1])
    np.testing.assert_array_equal(grad_bias[:-1], clean[2][:-1])
    np.testing.assert_array_equal(grad_x[1:], clean[0][1:])
    assert np.isnan(grad_x[0]).any()


def weight_to_nchw(weight, layout):
    return weight if layout == "NCHW" else weight.transpose(3, 2, 0, 1)


@pytest.mark.parametrize("name", ["several panels", "3x3 stride 2", "groups"])
def test_direct_confines_nan_to_the_windows(backend, layout, dtype, name):
    problem = solved_gradient("conv2d", cases.CONV[name])
    slope = problem.grad_output.copy()
    slope[0, -1, 1, 2] = np.nan
    arrays = (
        weight_to_layout(problem.weights[0], layout).astype(dtype),
        to_layout(slope, layout).astype(dtype),
    )
    expected = reference_grad.conv2d(problem.x, problem.weights[0], slope, **problem.options)[0]
    assert np.isfinite(expected[0]).any()
    assert np.isnan(expected).any()
    shape = to_layout(problem.x, layout).shape
    actual = grad.conv2d_input(shape, *arrays, layout=layout, algorithm="direct", **problem.options)
    tolerance = DIRECT * eps(dtype) * problem.bounds[0].max()
    assert_close(actual, to_layout(expected, layout), tolerance, dtype)


@pytest.mark.parametrize("name", ["batch", "3x3 stride 2", "dilation", "groups", "circular"])
def test_every_algorithm_is_right_or_refuses(backend, layout, dtype, name):
    problem, accepted = solved_gradient("conv2d", cases.CONV[name]), 0
    for algorithm in fastconv.algorithms():
        try:
            gradients = problem.run(layout, dtype, algorithm=algorithm)
        except ValueError as refusal:
            assert str(refusal).startswith(f"grad.conv2d: algorithm is {algorithm!r}")  # noqa: PT017
        else:
            accepted += 1
            problem.compare(gradients, layout, dtype)
    assert accepted


def test_precision(backend, layout, dtype):
    """Within the strict bound, and one that a sum of that length can keep."""
    problem = solved_gradient("conv2d", cases.CONV["several panels"])
    problem.check(layout, dtype, factor=DIRECT, precision="strict")


@pytest.mark.parametrize("operation", ["conv2d", "depthwise_conv2d", "conv_transpose2d", "separable_conv2d"])
def test_repeated_calls_give_the_same_bits(backend, layout, operation):
    tables = {"conv2d": cases.CONV["several panels"], "depthwise_conv2d": cases.DEPTHWISE["large"],
              "conv_transpose2d": cases.TRANSPOSE["deep"], "separable_conv2d": cases.SEPARABLE["stride 2"]}  # fmt: skip
    problem = solved_gradient(operation, tables[operation])
    for ours, theirs in zip(problem.run(layout, np.float32), problem.run(layout, np.float32), strict=True):
        np.testing.assert_array_equal(ours, theirs)


THREADED = {
    "3x3": case((3, 24, 30, 29), (40, 24, 3, 3), padding=1),
    "1x1": case((2, 64, 20, 21), (96, 64, 1, 1)),
    "stem": case((2, 3, 61, 60), (32, 3, 7, 7), padding=3, stride=2),
    "grouped": case((3, 32, 16, 17), (32, 4, 3, 3), groups=8, padding=1),
    "depthwise": case((2, 48, 30, 31), (48, 1, 3, 3), groups=48, padding=1),
    "strided": case((2, 20, 33, 32), (36, 20, 3, 3), stride=2, padding=1),
    "dilated": case((2, 20, 33, 32), (36, 20, 3, 3), dilation=3, padding=3),
    "few pixels": case((1, 128, 4, 4), (160, 128, 3, 3), padding=1),
    "reflect": case((2, 20, 21, 22), (36, 20, 3, 3), padding=1, padding_mode="reflect"),
}


@pytest.mark.parametrize("name", THREADED)
def test_bits_do_not_depend_on_the_number_of_threads(backend, layout, dtype, name):
    problem = THREADED[name]
    options = dict(problem.options) | {"layout": layout}
    x = to_layout(normal(problem.x, dtype=dtype), layout)
    weight = weight_to_layout(normal(problem.weights[0], dtype=dtype), layout)
    y = fastconv.conv2d(x, weight, **options)
    slope = normal(y.shape, seed=3, dtype=dtype)

    def run():
        plain = grad.conv2d(x, weight, slope, **options)
        return *plain, *grad.conv2d(x, weight, slope, activation="silu", preactivation=y, **options)

    with fastconv.num_threads(1):
        expected = run()
    for count in (2, 3, 4):
        with fastconv.num_threads(count):
            for ours, theirs in zip(run(), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_empty_batch_gives_zeros(backend, layout):
    problem = solved_gradient("conv2d", cases.CONV["empty batch"])
    grad_x, grad_weight, grad_bias = problem.run(layout, np.float32)
    assert grad_x.size == 0
    assert (grad_weight == 0).all()
    assert (grad_bias == 0).all()


def test_infinity_reaches_only_the_taps_that_see_it(backend, dtype):
    """One row of 10 pixels has 8 windows of 3: only the last tap sees the last pixel."""
    x = np.zeros((1, 1, 1, 10), dtype)
    x[..., 9] = np.inf
    grad_weight = grad.conv2d_weight(x, (1, 1, 1, 3), np.ones((1, 1, 1, 8), dtype))
    np.testing.assert_array_equal(grad_weight.ravel(), [0, 0, np.inf])


@pytest.mark.parametrize("backend", COMPILED, indirect=True)  # the others write the padding out
def test_huge_dilation_of_one_window(backend):
    far = 2**30
    one = np.ones((16, 1, 1, 1), np.float32)
    grad_weight = grad.conv2d_weight(one, (1, 1, 2, 2), one, dilation=far, padding=((far, 0), (far, 0)))
    np.testing.assert_array_equal(grad_weight.ravel(), [0, 0, 0, 16])
