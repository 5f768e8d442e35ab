"""conv2d and conv1d against the reference: hand-picked shapes, sweeps, random problems, NaN, accuracy."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import fastconv
import reference
import strategies
from cases import case
from checks import DIRECT, FAST, assert_close, eps, from_layout, normal, solved, to_layout, weight_to_layout


@pytest.mark.parametrize("name", cases.CONV)
def test_hand_picked(backend, layout, dtype, name):
    solved("conv2d", cases.CONV[name]).check(layout, dtype)


def test_every_number_of_output_channels(backend, layout, dtype):
    for channels in range(1, 71):
        solved("conv2d", case((1, 5, 4, 7), (channels, 5, 3, 3), padding=1)).check(layout, dtype)


@pytest.mark.parametrize("kernel", [1, 3])
def test_channels_around_vector_multiples(backend, layout, dtype, kernel):
    for c_in in cases.CHANNELS:
        for c_out in (1, 16, 33):
            weight = (c_out, c_in, kernel, kernel)
            solved("conv2d", case((1, c_in, 5, 6), weight, padding=kernel // 2)).check(layout, dtype)


@pytest.mark.parametrize("stride", [1, 2])
def test_every_width(backend, layout, dtype, stride):
    for width in range(1, 34):
        solved("conv2d", case((1, 3, 3, width), (17, 3, 3, 3), padding=1, stride=stride)).check(layout, dtype)
        solved("conv2d", case((1, 3, 3, width), (4, 3, 2, 1), stride=stride)).check(layout, dtype)


@given(
    strategies.convolutions(modes=["zeros", "reflect", "replicate", "circular", "symmetric", "constant"]),
    strategies.layouts,
    strategies.dtypes,
    st.booleans(),
)
def test_random(backend, problem, layout, dtype, given_out):
    problem = solved("conv2d", problem)
    dtype = np.dtype(dtype)
    expected = to_layout(problem.expected, layout)
    if not given_out:
        return problem.check(layout, dtype)
    border = np.full([n + 4 for n in expected.shape], 77, dtype=dtype)
    out = border[(slice(2, -2),) * 4]
    problem.check(layout, dtype, out=out)
    out[...] = 77
    assert (border == 77).all(), "written outside of out"


@pytest.mark.parametrize("padding", [2, (1, 3), ((0, 2),), "same", "valid", "full"], ids=str)
@pytest.mark.parametrize("mode", ["zeros", "reflect", "constant"])
def test_conv1d(backend, layout, dtype, padding, mode):
    x, weight, bias = normal((2, 6, 19)), normal((8, 3, 4)), normal((8,))
    options = {"stride": 2, "dilation": 3, "groups": 2, "padding_mode": mode}
    options["padding_value"] = 2.5 if mode == "constant" else 0
    along = padding[0] if padding == ((0, 2),) else padding
    expected = _conv1d_reference(x, weight, bias, along, **options)
    tolerance = DIRECT * eps(dtype) * _conv1d_reference(*map(abs, (x, weight, bias)), along, **options)
    if layout == "NHWC":
        x, weight, expected, tolerance = x.mT, weight.transpose(2, 1, 0), expected.mT, tolerance.mT
    arrays = (array.astype(dtype) for array in (x, weight, bias))
    actual = fastconv.conv1d(*arrays, padding=along, layout=layout, algorithm="direct", **options)
    assert_close(actual, expected, tolerance, dtype)


def _conv1d_reference(x, weight, bias, padding, stride, dilation, groups, **mode):
    """An image with one row; a named padding pads no rows, because the kernel has one."""
    if not isinstance(padding, str):
        padding = ((0, 0), padding if isinstance(padding, tuple) else (padding, padding))
    options = {"groups": groups, **mode}
    arguments = x[:, :, None], weight[:, :, None], bias, (1, stride), padding, (1, dilation)
    return reference.conv2d(*arguments, **options)[:, :, 0]


def test_conv1d_unbatched(backend, dtype):
    x, weight = normal((3, 9), dtype=dtype), normal((4, 3, 3), dtype=dtype)
    batched = fastconv.conv1d(x[None], weight, padding=1)
    assert batched.shape == (1, 4, 9)
    np.testing.assert_array_equal(fastconv.conv1d(x, weight, padding=1), batched[0])


@pytest.mark.parametrize("name", ["3x3 stride 2", "groups", "1x1", "same, stride and dilation", "circular"])
def test_unbatched(backend, layout, dtype, name):
    problem = solved(
        "conv2d",
        case((1, *cases.CONV[name].x[1:]), *cases.CONV[name].weights, **dict(cases.CONV[name].options)),
    )
    x, weight, bias = problem.arguments(layout, dtype)
    actual = fastconv.conv2d(x[0], weight, bias, layout=layout, **problem.options)
    assert_close(from_layout(actual, layout), problem.expected[0], problem.tolerance(dtype)[0], dtype)


def test_without_bias(backend, layout, dtype):
    x, weight = normal((1, 3, 6, 7)), normal((17, 3, 3, 3))
    actual = fastconv.conv2d(
        to_layout(x, layout).astype(dtype), weight_to_layout(weight, layout).astype(dtype), layout=layout
    )
    tolerance = DIRECT * eps(dtype) * reference.conv2d(abs(x), abs(weight)).max()
    assert_close(from_layout(actual, layout), reference.conv2d(x, weight), tolerance, dtype)


def test_repeated_calls_give_the_same_bits(backend, layout):
    problem = solved("conv2d", cases.CONV["several panels"])
    np.testing.assert_array_equal(problem.run(layout, np.float32), problem.run(layout, np.float32))


@pytest.mark.parametrize(
    "algorithm", ["direct_pixels", "direct_channels", "winograd2", "winograd3", "winograd4"]
)
def test_a_call_gives_the_bits_of_a_plan(backend, layout, dtype, algorithm):
    """However the weights of a call are prepared: few filters by each thread for itself, others in parts."""
    if (algorithm, layout) == ("direct_pixels", "NHWC"):
        algorithm = "direct_channels"
    rng = np.random.default_rng(7)
    for batch, channels, filters, size, kernel in (
        (1, 70, 5, 9, 3),
        (3, 40, 17, 7, 3),
        (1, 96, 40, 7, 3),
        (9, 33, 2, 5, 1),
    ):
        x = to_layout(rng.standard_normal((batch, channels, size, size)).astype(dtype), layout)
        weight = weight_to_layout(
            rng.standard_normal((filters, channels, kernel, kernel)).astype(dtype), layout
        )
        options = {"padding": kernel // 2, "layout": layout}
        if fastconv.get_backend() == "cython":
            options["algorithm"] = algorithm if kernel > 1 else "direct_channels"
        with fastconv.num_threads(1):
            expected = fastconv.plan_conv2d(weight, **options)(x)
        for threads in (1, 2, 3):
            with fastconv.num_threads(threads):
                np.testing.assert_array_equal(fastconv.conv2d(x, weight, **options), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["several panels", "3x3 stride 2", "1x1", "groups", "depthwise", "5x5"])
@pytest.mark.parametrize("where", ["x", "weight"])
def test_direct_confines_nan_and_infinity(backend, layout, dtype, name, value, where):
    problem = solved("conv2d", cases.CONV[name])
    x, weight, options = problem.x.copy(), problem.weights[0].copy(), dict(problem.options)
    if where == "x":
        x[0, 0, 1, 2] = x[0, -1, -1, -1] = value
    else:
        weight[-1, 0, 0, 0] = value
        options["padding"] = 0  # whether the 0 of a padding times NaN is NaN, is not for this test to say
    expected = reference.conv2d(x, weight, problem.bias, **options)
    assert np.isfinite(expected).any()
    assert not np.isfinite(expected).all()
    arrays = to_layout(x, layout), weight_to_layout(weight, layout), problem.bias
    with np.errstate(invalid="ignore"):  # infinity - infinity
        actual = fastconv.conv2d(
            *(array.astype(dtype) for array in arrays), layout=layout, algorithm="direct", **options
        )
    assert_close(from_layout(actual, layout), expected, problem.tolerance(dtype, DIRECT).max(), dtype)


def test_every_algorithm_is_right_or_refuses(backend, layout, dtype):
    accepted = dict.fromkeys(fastconv.algorithms(), 0)
    tables = {"conv2d": cases.CONV, "depthwise_conv2d": cases.DEPTHWISE, "conv_transpose2d": cases.TRANSPOSE}
    problems = [(operation, problem) for operation, table in tables.items() for problem in table.values()]
    for (operation, problem), name in itertools.product(problems, accepted):
        refusal = refuses(solved(operation, problem), layout, dtype, name)
        accepted[name] += refusal is None
        if refusal is not None:
            assert refusal.startswith(f"{operation}: algorithm ")
            assert repr(name) in refusal
    assert accepted["direct"] == len(problems)
    if dtype == np.float32:
        others = {"NCHW": {"grouped"}, "NHWC": {"direct_pixels", "dot_products"}}  # for the other layout only
        assert all(count for name, count in accepted.items() if name not in others[layout]), accepted


@pytest.mark.slow("cython-avx2", "cython-baseline")
@pytest.mark.parametrize("name", cases.LARGE)
def test_every_algorithm_on_large_images(backend, layout, name):
    operation, problem = cases.LARGE[name]
    refusals = [refuses(solved(operation, problem), layout, np.float32, a) for a in fastconv.algorithms()]
    assert None in refusals


def refuses(problem, layout, dtype, algorithm):
    """None if the algorithm gives the right answer, the message if it raises ValueError."""
    try:
        actual = problem.run(layout, dtype, algorithm=algorithm)
    except ValueError as error:
        return str(error)
    tolerance = problem.tolerance(dtype, DIRECT if algorithm == "direct" else FAST)
    assert_close(actual, problem.expected, tolerance, dtype)
    return None


@pytest.mark.parametrize("problem", [
    case((1, 64, 20, 20), (64, 64, 3, 3), padding=1),
    case((1, 32, 18, 18), (64, 32, 5, 5), padding=2),
    case((1, 64, 17, 17), (64, 64, 3, 3), padding=1, stride=2),
    case((1, 64, 24, 24), (32, 64, 3, 3), padding=6, dilation=6),
    case((1, 3, 40, 40), (64, 3, 7, 7), padding=3, stride=2),
], ids=["3x3", "5x5", "3x3 stride 2", "dilated", "stem"])  # fmt: skip
def test_precision_bounds_the_error(backend, layout, problem):
    """In multiples of the direct method's own largest error, as the contract states them."""
    problem = solved("conv2d", problem)
    direct, strict, fast = (
        np.abs(problem.run(layout, np.float32, **options) - problem.expected).max()
        for options in ({"algorithm": "direct"}, {"precision": "strict"}, {"precision": "fast"})
    )
    assert direct <= (DIRECT * eps(np.float32) * problem.bound).max()
    assert strict <= 4 * direct
    assert fast <= 10 * direct


def test_set_precision_and_use_precision(backend):
    problem = solved("conv2d", case((1, 64, 20, 20), (64, 64, 3, 3), padding=1))
    fast, strict = (problem.run("NCHW", np.float32, precision=name) for name in ("fast", "strict"))
    with fastconv.use_precision("strict"):
        np.testing.assert_array_equal(problem.run("NCHW", np.float32), strict)
        np.testing.assert_array_equal(problem.run("NCHW", np.float32, precision="fast"), fast)
        with fastconv.use_precision("fast"):
            np.testing.assert_array_equal(problem.run("NCHW", np.float32), fast)
    np.testing.assert_array_equal(problem.run("NCHW", np.float32), fast)
    fastconv.set_precision("strict")
    try:
        np.testing.assert_array_equal(problem.run("NCHW", np.float32), strict)
    finally:
        fastconv.set_precision("fast")


def test_subnormals_count_as_zero_or_themselves_and_the_mode_is_restored(backend, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.full((1, 8, 40, 40), tiny * 1000, dtype=dtype)
    weight = np.ones((8, 8, 3, 3), dtype=dtype)
    actual = fastconv.conv2d(x, weight, padding=1)
    assert (actual >= 0).all()
    assert (actual <= 72 * 1000 * tiny).all()
    with fastconv.num_threads(2):
        fastconv.conv2d(x, weight, padding=1)
    subnormal = np.full(1000, np.finfo(dtype).smallest_normal) / dtype.type(2)
    assert (subnormal * dtype.type(2) > 0).all()
