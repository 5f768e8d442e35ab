"""Window pooling against the reference, with ties, NaN, infinities and every real dtype."""

import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
import fastconv
import reference
import strategies
from checks import assert_close, eps, from_layout, guarded, normal, rounding, to_layout

NON_FINITE = {"finite": (), "nan": (np.nan,), "infinite": (np.inf, -np.inf), "minus infinity": (-np.inf,)}


def integers(shape, seed=0):
    """Few different values, so that windows hold ties."""
    return np.random.default_rng([*shape, seed]).integers(-3, 4, size=shape).astype(np.float64)


def sprinkle(x, values):
    """A third of the elements replaced by `values`."""
    if values:
        rng = np.random.default_rng(x.size)
        x = np.where(rng.random(x.shape) < 0.4, rng.choice(values, size=x.shape), x)
    return x


def run(operation, x, *arguments, layout="NCHW", **options):
    """The library's answer (a value, or value and index) in NCHW."""
    answer = getattr(fastconv, operation)(guarded(to_layout(x, layout)), *arguments, layout=layout, **options)
    if isinstance(answer, tuple):
        return tuple(from_layout(part, layout) for part in answer)
    return from_layout(answer, layout)


def check_max(operation, x, *arguments, layout="NCHW", **options):
    """Value and index are exact; the value alone is the same."""
    value, index = getattr(reference, operation)(x, *arguments, return_indices=True, **options)
    actual = run(operation, x, *arguments, return_indices=True, layout=layout, **options)
    assert isinstance(actual, tuple)
    assert_close(actual[0], value, 0, x.dtype)
    assert_close(actual[1], index, 0, np.int64)
    assert_close(run(operation, x, *arguments, layout=layout, **options), value, 0, x.dtype)


def check_sum(operation, x, *arguments, layout="NCHW", units=8, **options):
    """Within a few roundings of the same operation on |x|."""
    function, exact = getattr(reference, operation), x.astype(np.float64)
    expected = function(exact, *arguments, **options)
    bound = np.abs(function(abs(exact), *arguments, **options))
    tolerance = units * eps(x.dtype) * np.nan_to_num(bound, posinf=0)
    assert_close(run(operation, x, *arguments, layout=layout, **options), expected, tolerance, x.dtype)


CEIL = {"ceil_mode": True}
WINDOWS = {
    "2x2": ((2, 3, 8, 10), {"kernel_size": 2}),
    "3x3 stride 2": ((1, 17, 15, 33), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "3x3 stride 1": ((1, 16, 7, 9), {"kernel_size": 3, "stride": 1, "padding": 1}),
    "2x3 strides 3, 1": ((1, 3, 9, 8), {"kernel_size": (2, 3), "stride": (3, 1), "padding": (1, 0)}),
    "stride above kernel": ((1, 4, 11, 12), {"kernel_size": 2, "stride": 5}),
    "one pixel": ((1, 5, 1, 1), {"kernel_size": 1}),
    "one pixel, padded": ((1, 3, 1, 1), {"kernel_size": 3, "padding": 1}),
    "kernel as large as image": ((2, 33, 4, 5), {"kernel_size": (4, 5)}),
    "ceil": ((1, 3, 6, 8), {"kernel_size": 3, "stride": 2} | CEIL),
    "ceil, padded": ((1, 3, 6, 9), {"kernel_size": (3, 4), "stride": (2, 3), "padding": (1, 2)} | CEIL),
    "ceil, last window dropped": ((1, 2, 3, 5), {"kernel_size": 1, "stride": 3} | CEIL),
    "ceil, past the padding": ((1, 2, 5, 5), {"kernel_size": 4, "stride": 4, "padding": 2} | CEIL),
    "asymmetric": ((1, 3, 6, 7), {"kernel_size": 3, "stride": 2, "padding": ((0, 2), (2, 1))}),
    "same": ((1, 3, 7, 8), {"kernel_size": (3, 2), "stride": 2, "padding": "same"}),
    "valid": ((1, 3, 7, 8), {"kernel_size": 3, "stride": 1, "padding": "valid"}),
    "full": ((1, 2, 4, 3), {"kernel_size": 3, "stride": 1, "padding": "full"}),
    "large kernel": ((1, 2, 20, 19), {"kernel_size": 13, "stride": 1, "padding": 6}),
    "one row": ((1, 4, 1, 37), {"kernel_size": (1, 3), "stride": (1, 2)}),
    "one column": ((1, 4, 37, 1), {"kernel_size": (3, 1), "stride": 1}),
    "empty batch": ((0, 3, 6, 7), {"kernel_size": 2}),
}  # fmt: skip


@pytest.mark.parametrize("values", NON_FINITE)
@pytest.mark.parametrize("name", WINDOWS)
def test_max(backend, layout, dtype, name, values):
    shape, options = WINDOWS[name]
    check_max(
        "max_pool2d", sprinkle(integers(shape), NON_FINITE[values]).astype(dtype), layout=layout, **options
    )


@pytest.mark.parametrize("name", WINDOWS)
def test_average(backend, layout, dtype, name):
    shape, options = WINDOWS[name]
    for rule in ({}, {"count_include_pad": False}, {"divisor_override": 3}, {"divisor_override": -2}):
        check_sum("avg_pool2d", normal(shape, dtype=dtype), layout=layout, **options, **rule)
    check_sum("avg_pool2d", sprinkle(normal(shape), (np.nan,)).astype(dtype), layout=layout, **options)


@pytest.mark.parametrize("norm_type", [1, 2, 3, 1.5, 4.0, np.inf])
@pytest.mark.parametrize("name", [name for name in WINDOWS if "padding" not in WINDOWS[name][1]])
def test_lp(backend, layout, dtype, name, norm_type):
    shape, options = WINDOWS[name]
    check_sum("lp_pool2d", normal(shape, dtype=dtype), norm_type, layout=layout, units=16, **options)


@given(
    strategies.poolings(largest_dilation=3),
    strategies.layouts,
    strategies.dtypes,
    st.sampled_from(list(NON_FINITE)),
)
def test_max_random(backend, problem, layout, dtype, values):
    shape, options = problem
    if reference.some_window_is_empty(shape, options):
        with pytest.raises(ValueError, match=r"^max_pool2d: "):  # without indices: test_pool_jumps.py
            run("max_pool2d", integers(shape), layout=layout, return_indices=True, **options)
    else:
        check_max(
            "max_pool2d",
            sprinkle(integers(shape), NON_FINITE[values]).astype(dtype),
            layout=layout,
            **options,
        )


@given(
    strategies.poolings(),
    strategies.layouts,
    strategies.dtypes,
    st.booleans(),
    st.none() | st.sampled_from([1, 7, -3]),
)
def test_average_random(backend, problem, layout, dtype, count_include_pad, divisor):
    shape, options = problem
    rule = {"count_include_pad": count_include_pad, "divisor_override": divisor}
    x = normal(shape, dtype=np.dtype(dtype))
    expected = reference.avg_pool2d(x.astype(np.float64), **options, **rule)
    tolerance = 8 * eps(dtype) * np.abs(reference.avg_pool2d(np.abs(x.astype(np.float64)), **options, **rule))
    assert_close(run("avg_pool2d", x, layout=layout, **options, **rule), expected, tolerance, x.dtype)


@given(strategies.poolings(padded=False), strategies.layouts, strategies.dtypes, st.floats(0.5, 6))
def test_lp_random(backend, problem, layout, dtype, norm_type):
    shape, options = problem
    check_sum(
        "lp_pool2d", normal(shape, dtype=np.dtype(dtype)), norm_type, layout=layout, units=40, **options
    )


@pytest.mark.slow("numba")
@pytest.mark.parametrize(
    "integer", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"]
)
def test_max_keeps_integers_exact(backend, layout, integer):
    dtype = np.dtype(integer)
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    x = np.random.default_rng(0).integers(
        low, high, (2, 3, 9, 10), dtype="int8" if dtype.kind == "b" else dtype, endpoint=True
    )
    x = x.astype(dtype)
    x[0, 0, :4, :4] = low  # a window of the smallest value
    x[0, 1, 2, 2:4] = high, high - (dtype.kind != "b")  # neighbours that float64 cannot tell apart
    for options in ({"padding": 1}, {"stride": 1, "ceil_mode": True, "dilation": 2}):
        answer = fastconv.max_pool2d(to_layout(x, layout), 3, return_indices=True, layout=layout, **options)
        value, index = (from_layout(part, layout) for part in answer)
        expected = reference.max_pool2d(x, 3, return_indices=True, **options)
        assert value.dtype == dtype
        np.testing.assert_array_equal(value, expected[0])
        np.testing.assert_array_equal(index, expected[1])


@pytest.mark.parametrize("kind", ["int8", "uint8", "bool", "int16", "uint32", "int64", "float16", "float32"])
def test_few_outputs_of_many_channels(backend, kind):
    """Threads share channels there: each takes whole vectors, and none writes beyond them."""
    random = np.random.default_rng(0)
    for channels in (1, 15, 31, 33, 63, 65, 96, 127, 129, 193, 257, 1025):
        for rows in (1, 2, 3):
            x = random.integers(0, 2 if kind == "bool" else 100, (1, rows, 3, channels)).astype(kind)
            frame = np.full(rows * channels + 256, 1, kind)
            out = frame[128:-128].reshape(1, rows, 1, channels)
            fastconv.max_pool2d(x, (1, 3), layout="NHWC", out=out)
            np.testing.assert_array_equal(out, x.max(axis=2, keepdims=True))
            assert (frame[:128] == 1).all()
            assert (frame[-128:] == 1).all()


@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16])
def test_sixteen_bit_floats(backend, layout, half):
    x = normal((2, 3, 9, 8)).astype(half)
    value = from_layout(fastconv.max_pool2d(to_layout(x, layout), 3, layout=layout), layout)
    assert value.dtype == half
    np.testing.assert_array_equal(value, reference.max_pool2d(x, 3))
    exact = x.astype(np.float64)
    for operation, arguments in (
        ("avg_pool2d", (3,)),
        ("lp_pool2d", (2, 3)),
        ("adaptive_avg_pool2d", ((4, 5),)),
    ):
        expected = getattr(reference, operation)(exact, *arguments)
        tolerance = rounding(expected, half) + 8 * eps(np.float32)
        assert_close(run(operation, x, *arguments, layout=layout), expected, tolerance, half)


@pytest.mark.parametrize("dtype_in", ["uint8", "int8", "bool", "int16", "int64", "uint32"])
def test_sums_promote_integers(backend, layout, dtype_in):
    x = np.random.default_rng(0).integers(0, 100, (2, 3, 6, 7)).astype(dtype_in)
    dtype = np.result_type(x, np.float32)
    for operation, arguments in (("avg_pool2d", (2,)), ("lp_pool2d", (2, 2)), ("global_avg_pool2d", ())):
        expected = getattr(reference, operation)(x, *arguments)
        assert_close(run(operation, x, *arguments, layout=layout), expected, 8 * eps(dtype) * expected, dtype)


@pytest.mark.parametrize("operation", ["max_pool2d", "avg_pool2d"])
def test_unbatched_and_out(backend, layout, dtype, operation):
    x = normal((3, 8, 9), dtype=dtype)
    expected = getattr(reference, operation)(x[None], 2)[0]
    tolerance = 8 * eps(dtype)
    assert_close(run(operation, x, 2, layout=layout), expected, tolerance, dtype)
    border = np.full([n + 2 for n in to_layout(expected, layout).shape], 77, dtype=dtype)
    out = border[1:-1, 1:-1, 1:-1]
    assert getattr(fastconv, operation)(to_layout(x, layout), 2, layout=layout, out=out) is out
    assert_close(from_layout(out.copy(), layout), expected, tolerance, dtype)
    out[...] = 77
    assert (border == 77).all()


@pytest.mark.parametrize("operation", ["max_pool2d", "avg_pool2d"])
def test_every_channel_count_and_width(backend, layout, dtype, operation):
    check = check_max if operation == "max_pool2d" else check_sum
    for channels in cases.CHANNELS:
        check(operation, normal((1, channels, 3, 5), dtype=dtype), 3, 2, 1, layout=layout)
    for width in range(2, 34):
        check(operation, normal((1, 2, 4, width), dtype=dtype), 2, layout=layout)
        check(operation, normal((1, 2, 3, width), dtype=dtype), 3, 1, 1, layout=layout)


@pytest.mark.parametrize("name", ["global_avg_pool2d", "global_max_pool2d"])
def test_windows_in_nhwc_copy_no_image(name):
    """`np.take` copied all of the image for each column of a window: half a minute at 2,000 x 2,000 pixels."""
    x = np.ones((1, 200, 300, 3), np.float32)
    call = getattr(fastconv, name)
    call(x, layout="NHWC", backend="numpy")  # as the first one imports
    tracemalloc.start()
    try:
        call(x, layout="NHWC", backend="numpy")
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 10
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("kernel", "stride"), [(2, 1), (2, 2), (3, 1), (3, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [5, 37])
def test_a_single_nan_reaches_its_windows_alone(backend, kernel, stride, dtype, width):
    height = 7  # plane i has NaN in place of pixel i
    x = normal((1, height * width, height, width)).astype(dtype)
    planes = x.reshape(height * width, -1)
    planes[np.arange(height * width), np.arange(height * width)] = np.nan
    padding = kernel // 2
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))
    expected = windows[:, :, ::stride, ::stride].max(axis=(-1, -2))
    got = fastconv.max_pool2d(guarded(x), kernel, stride, padding)
    np.testing.assert_array_equal(got, expected)
