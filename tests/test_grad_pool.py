"""Gradients of pooling and unpooling: by windows, by indices, with ties, overlaps and NaN."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
import reference
import reference_grad
import strategies
from checks import assert_close, eps, from_layout, guarded, normal, to_layout
from fastconv import grad
from grad_checks import check_directions
from test_pool import WINDOWS, integers, sprinkle

NORMS = [1, 2, 3, 1.5, 4.0, 0.5, np.inf]
UNPADDED = [name for name in WINDOWS if "padding" not in WINDOWS[name][1]]


def run(operation, arrays, *arguments, layout, **options):
    """The library's answer in NCHW; a size among the arguments comes as a tuple."""
    arrays = [guarded(to_layout(a, layout)) for a in arrays]
    return from_layout(getattr(grad, operation)(*arrays, *arguments, layout=layout, **options), layout)


def sized(shape, layout):
    return shape if layout == "NCHW" else (shape[0], *shape[2:], shape[1])


def check_max(operation, indices, shape, layout, dtype, slope=None):
    """`units` times the same sum of magnitudes; a single share is exact."""
    slope = normal(indices.shape, seed=1) if slope is None else slope
    expected = reference_grad.by_indices(slope, indices, shape)
    tolerance = 4 * eps(dtype) * np.nan_to_num(reference_grad.by_indices(abs(slope), indices, shape))
    arrays = slope.astype(dtype), indices
    assert_close(run(operation, arrays, sized(shape, layout), layout=layout), expected, tolerance, dtype)


@pytest.mark.parametrize("name", WINDOWS)
def test_max(backend, layout, dtype, name):
    """With many ties: the gradient goes to the first of equal maxima in row-major order."""
    shape, options = WINDOWS[name]
    x = integers(shape)
    _, indices = reference.max_pool2d(x, **options, return_indices=True)
    ours = fastconv.max_pool2d(to_layout(x, layout), **options, layout=layout, return_indices=True)[1]
    np.testing.assert_array_equal(from_layout(ours, layout), indices)
    check_max("max_pool2d", indices, shape, layout, dtype)


def test_ties_and_overlaps_by_hand(backend, layout):
    x = np.zeros((1, 1, 3, 3))
    _, indices = fastconv.max_pool2d(to_layout(x, layout), 2, 1, layout=layout, return_indices=True)
    slope = np.array([[[[1.0, 10], [100, 1000]]]])
    actual = run("max_pool2d", (slope, from_layout(indices, layout)), sized(x.shape, layout), layout=layout)
    np.testing.assert_array_equal(actual[0, 0], [[1, 10, 0], [100, 1000, 0], [0, 0, 0]])
    x[0, 0, 1, 1] = 1  # all four windows hold it
    _, indices = fastconv.max_pool2d(to_layout(x, layout), 2, 1, layout=layout, return_indices=True)
    actual = run("max_pool2d", (slope, from_layout(indices, layout)), sized(x.shape, layout), layout=layout)
    np.testing.assert_array_equal(actual[0, 0], [[0, 0, 0], [0, 1111, 0], [0, 0, 0]])


@given(strategies.poolings(largest_dilation=3), strategies.layouts, strategies.dtypes, st.booleans())
def test_max_random(backend, problem, layout, dtype, nans):
    shape, options = problem
    if reference.some_window_is_empty(shape, options):
        return
    x = sprinkle(integers(shape), (np.nan,) if nans else ())
    _, indices = reference.max_pool2d(x, **options, return_indices=True)
    check_max("max_pool2d", indices, shape, layout, np.dtype(dtype))


@pytest.mark.parametrize("size", [1, 3, (2, 5), (9, 20)], ids=str)
def test_adaptive(backend, layout, dtype, size):
    shape = (2, 17, 7, 13)
    x = integers(shape)
    _, indices = reference.adaptive_max_pool2d(x, size, True)
    check_max("adaptive_max_pool2d", indices, shape, layout, dtype)
    slope = normal(indices.shape, seed=2)
    expected, bound = (reference_grad.adaptive_avg_pool2d(s, x) for s in (slope, abs(slope)))
    actual = run("adaptive_avg_pool2d", (slope.astype(dtype),), sized(shape, layout), layout=layout)
    assert_close(actual, expected, 8 * eps(dtype) * bound, dtype)


@pytest.mark.parametrize("shape", [(2, 17, 7, 13), (1, 3, 1, 1), (3, 64, 30, 31), (0, 2, 3, 4)], ids=str)
def test_global(backend, layout, dtype, shape):
    x = integers(shape)
    _, indices = reference.adaptive_max_pool2d(x, 1, True)
    slope = normal(indices.shape, seed=2)
    check_max("global_max_pool2d", indices, shape, layout, dtype, slope)
    average = np.broadcast_to(slope / (shape[2] * shape[3]), shape)
    size, given_slope = sized(shape, layout), slope.astype(dtype)
    actual = run("global_avg_pool2d", (given_slope,), size, layout=layout)
    assert_close(actual, average, 2 * eps(dtype) * abs(average), dtype)
    flat = given_slope[:, :, 0, 0], indices[:, :, 0, 0]
    squeezed = grad.global_avg_pool2d(flat[0], size, keepdims=False, layout=layout)
    np.testing.assert_array_equal(from_layout(squeezed, layout), actual)
    if len(x):
        image = grad.global_avg_pool2d(flat[0][0], size[1:], keepdims=False, layout=layout)
        np.testing.assert_array_equal(image, squeezed[0])
    by_index = grad.global_max_pool2d(*flat, size, keepdims=False, layout=layout)
    expected = reference_grad.by_indices(given_slope, indices, shape)
    assert_close(from_layout(by_index, layout), expected, 0, dtype)


@pytest.mark.parametrize("operation", ["fractional_max_pool2d", "stochastic_pool2d"])
def test_random_choices(backend, layout, dtype, operation):
    x = abs(normal((2, 5, 9, 11)))
    options = {"output_size": (4, 5)} if operation == "fractional_max_pool2d" else {"stride": 2, "padding": 1}
    function = getattr(fastconv, operation)
    _, indices = function(to_layout(x, layout), 3, **options, layout=layout, return_indices=True, rng=3)
    check_max(operation, from_layout(indices, layout), x.shape, layout, dtype)


@pytest.mark.parametrize("kind", ["int8", "int32", "uint64", ">i8"])
def test_kinds_of_indices(backend, layout, kind):
    x, slope = integers((2, 3, 6, 8)), normal((2, 3, 3, 4))
    _, indices = reference.max_pool2d(x, 2, return_indices=True)
    expected = reference_grad.by_indices(slope, indices, x.shape)
    actual = run("max_pool2d", (slope, indices.astype(kind)), sized(x.shape, layout), layout=layout)
    np.testing.assert_array_equal(actual, expected)


# ---------------------------------------------------------------------------------------------- windows

RULES = [{}, {"count_include_pad": False}, {"divisor_override": 3}, {"divisor_override": -2}]


@pytest.mark.parametrize("name", WINDOWS)
def test_average(backend, layout, dtype, name):
    shape, options = WINDOWS[name]
    for rule in RULES:
        check_average(shape, options | rule, layout, dtype)


def check_average(shape, options, layout, dtype):
    x = np.zeros(shape)
    slope = normal(reference.avg_pool2d(x, **options).shape, seed=4)
    expected, bound = (reference_grad.avg_pool2d(s, x, **options) for s in (slope, abs(slope)))
    actual = run("avg_pool2d", (slope.astype(dtype),), sized(shape, layout), layout=layout, **options)
    assert_close(actual, expected, 16 * eps(dtype) * np.abs(bound), dtype)


@given(strategies.poolings(), strategies.layouts, strategies.dtypes, st.sampled_from(RULES))
def test_average_random(backend, problem, layout, dtype, rule):
    shape, options = problem
    check_average(shape, options | rule, layout, np.dtype(dtype))


@pytest.mark.parametrize("width", range(1, 40))
def test_average_of_every_width(backend, layout, dtype, width):
    for options in ({"kernel_size": 3, "stride": 2, "padding": 1}, {"kernel_size": (2, 1)}):
        check_average((1, 17, 5, width), options, layout, dtype)


@pytest.mark.parametrize("norm_type", NORMS)
@pytest.mark.parametrize("name", UNPADDED)
def test_lp(backend, layout, dtype, name, norm_type):
    shape, options = WINDOWS[name]
    x = normal(shape)
    slope = normal(reference.lp_pool2d(x, norm_type, **options).shape, seed=4)
    expected, bound = (
        reference_grad.lp_pool2d(s, v, norm_type, **options) for s, v in ((slope, x), (abs(slope), abs(x)))
    )
    arrays = slope.astype(dtype), x.astype(dtype)
    actual = run("lp_pool2d", arrays, norm_type, layout=layout, **options)
    assert_close(actual, expected, 64 * eps(dtype) * bound, dtype)


@pytest.mark.parametrize("norm_type", NORMS)
def test_lp_of_zeros(backend, layout, dtype, norm_type):
    """A window whose norm is 0 adds nothing, nor does a pixel of 0 in one whose norm is not; no warnings."""
    x = np.zeros((1, 2, 4, 6))
    x[0, 0, 1, 1] = -2
    slope = np.ones((1, 2, 2, 3))
    actual = run("lp_pool2d", (slope.astype(dtype), x.astype(dtype)), norm_type, 2, layout=layout)
    expected = np.zeros_like(x)
    expected[0, 0, 1, 1] = -1
    assert_close(actual, expected, 4 * eps(dtype), dtype)


def test_infinite_norm_goes_to_the_first_of_equals(backend, layout):
    x = np.array([[[[1.0, -3], [3, 3]]]])
    actual = run("lp_pool2d", (np.full((1, 1, 1, 1), 5.0), x), np.inf, 2, layout=layout)
    np.testing.assert_array_equal(actual, [[[[0, -5], [0, 0]]]])


@pytest.mark.parametrize("norm_type", [1, 2, 3, 1.5])
@pytest.mark.parametrize("options", [
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": (2, 3), "stride": 1, "padding": 1},
    {"kernel_size": 2, "dilation": 2},
], ids=str)  # fmt: skip
def test_lp_central_differences(backend, layout, norm_type, options):
    x = to_layout(normal((2, 3, 6, 7)), layout)
    options = options | {"layout": layout}
    slope = normal(fastconv.lp_pool2d(x, norm_type, **options).shape, seed=5)
    actual = grad.lp_pool2d(slope, x, norm_type, **options)
    check_directions(lambda x: fastconv.lp_pool2d(x, norm_type, **options), [x], [actual], slope)


# -------------------------------------------------------------------------------------------- unpooling


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 17, 3, 9), (0, 2, 3, 3)], ids=str)
def test_unpool(backend, layout, dtype, shape):
    """Indices repeat, so that only the last of several values gets the gradient."""
    indices = np.random.default_rng(1).integers(0, 8 * 10, shape)
    slope = normal((*shape[:2], 8, 10), dtype=dtype)
    actual = run("max_unpool2d", (slope, indices), layout=layout)
    assert_close(actual, reference_grad.max_unpool2d(slope, indices), 0, dtype)
    if len(slope):
        arrays = to_layout(slope, layout), to_layout(indices, layout)
        single = grad.max_unpool2d(arrays[0][0], arrays[1][0], layout=layout)
        np.testing.assert_array_equal(from_layout(single, layout), actual[0])


def test_unpool_is_the_derivative(backend, layout):
    indices = to_layout(np.random.default_rng(2).integers(0, 48, (2, 3, 3, 4)), layout)
    x, slope = to_layout(normal((2, 3, 3, 4)), layout), to_layout(normal((2, 3, 6, 8)), layout)
    actual = grad.max_unpool2d(slope, indices, layout=layout)
    check_directions(lambda x: fastconv.max_unpool2d(x, indices, 2, layout=layout), [x], [actual], slope)


# -------------------------------------------------------------------------------------------------- NaN


def test_nan_of_a_gradient_stays_with_its_pixels(backend, layout, dtype):
    shape = (1, 3, 6, 7)
    options = {"kernel_size": 3, "stride": 2, "padding": 1}
    slope = normal((1, 3, 3, 4))
    slope[0, 1, 1, 2] = np.nan
    expected = reference_grad.avg_pool2d(slope, np.zeros(shape), **options)
    assert np.isnan(expected).sum() == 9
    actual = run("avg_pool2d", (slope.astype(dtype),), sized(shape, layout), layout=layout, **options)
    assert_close(actual, expected, 16 * eps(dtype), dtype)
    _, indices = reference.max_pool2d(normal(shape), **options, return_indices=True)
    check_max("max_pool2d", indices, shape, layout, dtype, slope)


@pytest.mark.parametrize("norm_type", [2, 3, np.inf])
def test_lp_of_nan(backend, layout, dtype, norm_type):
    """It stays in its window; one that no window sees changes nothing."""
    x = normal((1, 2, 4, 7))
    x[0, 0, 0, 0] = x[0, 1, 1, 2] = np.nan
    x[0, 1, 2, 5] = np.inf
    arrays = np.ones((1, 2, 2, 2), dtype), x.astype(dtype)
    with np.errstate(invalid="ignore"):
        actual = run("lp_pool2d", arrays, norm_type, 2, (2, 4), layout=layout)
    assert np.isnan(actual[0, 0, 0, 0])
    touched = np.zeros(x.shape, bool)
    touched[0, 0, :2, :2] = touched[0, 1, 2:, 4:6] = True
    assert np.isfinite(actual[~touched]).all()
    assert not actual[..., 2:4].any()


# ---------------------------------------------------------------------------------------------- PyTorch


def _torch_gradient(function, x, seed=4):
    torch = pytest.importorskip("torch")
    t = torch.tensor(x, requires_grad=True)
    y = function(t)
    indices = None
    if isinstance(y, tuple):
        y, indices = y
    slope = normal(tuple(y.shape), seed=seed)
    expected = torch.autograd.grad(y, t, torch.from_numpy(slope))[0].numpy()
    return slope, expected, None if indices is None else indices.numpy()


@given(strategies.poolings(largest_dilation=3))
def test_max_torch(backend, problem):
    functional = pytest.importorskip("torch").nn.functional
    shape, options = problem
    if not shape[0] or reference.some_window_is_empty(shape, options):
        return
    x = integers(shape)
    slope, expected, _ = _torch_gradient(lambda t: functional.max_pool2d(t, **options), x)
    _, indices = fastconv.max_pool2d(x, **options, return_indices=True)
    np.testing.assert_allclose(grad.max_pool2d(slope, indices, shape), expected, rtol=1e-12, atol=1e-12)


@given(strategies.poolings(), st.booleans(), st.none() | st.sampled_from([1, 3, -1, -4]))
def test_average_torch(backend, problem, count_include_pad, divisor):
    functional = pytest.importorskip("torch").nn.functional
    shape, options = problem
    options |= {"count_include_pad": count_include_pad, "divisor_override": divisor}
    if shape[0]:
        slope, expected, _ = _torch_gradient(lambda t: functional.avg_pool2d(t, **options), normal(shape))
        np.testing.assert_allclose(grad.avg_pool2d(slope, shape, **options), expected, rtol=1e-12, atol=1e-12)


@given(strategies.poolings(padded=False), st.sampled_from([1, 2, 3, 1.5]))
def test_lp_torch(backend, problem, norm_type):
    functional = pytest.importorskip("torch").nn.functional
    shape, options = problem
    if shape[0]:
        x = abs(normal(shape)) + 0.1
        slope, expected, _ = _torch_gradient(lambda t: functional.lp_pool2d(t, norm_type, **options), x)
        actual = grad.lp_pool2d(slope, x, norm_type, **options)
        np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)


@given(st.tuples(*[st.integers(1, n) for n in (2, 4, 12, 12)]), st.tuples(*[st.integers(1, 14)] * 2))
def test_adaptive_torch(backend, shape, size):
    functional = pytest.importorskip("torch").nn.functional
    x = integers(shape)
    slope, expected, _ = _torch_gradient(lambda t: functional.adaptive_avg_pool2d(t, size), x)
    np.testing.assert_allclose(grad.adaptive_avg_pool2d(slope, shape), expected, rtol=1e-12, atol=1e-12)
    slope, expected, indices = _torch_gradient(lambda t: functional.adaptive_max_pool2d(t, size, True), x)
    actual = grad.adaptive_max_pool2d(slope, indices, shape)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------------------------------------- threads

LAYERS = {
    "max": ("max_pool2d", fastconv.max_pool2d, {"kernel_size": 3, "stride": 2, "padding": 1}),
    "max, overlapping": ("max_pool2d", fastconv.max_pool2d, {"kernel_size": 5, "stride": 1, "padding": 2}),
    "average": ("avg_pool2d", fastconv.avg_pool2d, {"kernel_size": 3, "stride": 2, "padding": 1}),
    "norm": ("lp_pool2d", fastconv.lp_pool2d, {"norm_type": 2, "kernel_size": 3, "stride": 2}),
}


@pytest.mark.parametrize("shape", [(2, 32, 40, 41), (1, 1, 150, 200)], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_bits_do_not_depend_on_the_number_of_threads(backend, layout, dtype, name, shape):
    operation, forward, options = LAYERS[name]
    options = options | {"layout": layout}
    x = to_layout(normal(shape, dtype=dtype), layout)
    if operation == "max_pool2d":
        y, indices = forward(x, **options, return_indices=True)
        arguments, options = (indices, x.shape), {"layout": layout}
    else:
        y, arguments = forward(x, **options), (x if operation == "lp_pool2d" else x.shape,)
    slope = normal(y.shape, seed=6, dtype=dtype)
    with fastconv.num_threads(1):
        expected = getattr(grad, operation)(slope, *arguments, **options)
    for count in (2, 3, 4):
        with fastconv.num_threads(count):
            np.testing.assert_array_equal(getattr(grad, operation)(slope, *arguments, **options), expected)
