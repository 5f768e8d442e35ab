"""Windows as a few numbers: what they describe, and that nothing is as large as a kernel, a padding or a stride."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
import reference
from checks import assert_close, eps, from_layout, limit_memory, normal, run_python, to_layout
from conftest import skip_unless_available
from fastconv import grad
from fastconv.problem.pooling import FractionalWindows, adaptive, first_within, sliding

small = st.integers(1, 9)
FAR = 2**30


def pixels(tables, step):
    return [list(range(a, b, step)) for a, b in zip(tables.start[0], tables.stop[0], strict=True)]


@given(small, small, small, st.integers(1, 14), st.tuples(*[st.integers(0, 40)] * 2), *[st.booleans()] * 2)
def test_sliding_windows_are_what_they_hold(
    size, kernel, stride, dilation, padding, ceil_mode, count_padding
):
    extent, (before, after) = dilation * (kernel - 1) + 1, padding
    starts = range(-before, size + after - extent + (stride if ceil_mode else 1), stride)
    starts = [s for s in starts if not ceil_mode or s < size or s + extent <= size + after]
    expected = [[i for i in range(s, s + extent, dilation) if 0 <= i < size] for s in starts]
    arguments = "op", "height", size, kernel, stride, padding, dilation, ceil_mode, count_padding
    if not all(expected) or not expected:
        with pytest.raises(ValueError, match=r"^op: "):
            sliding(*arguments)
        return
    windows = sliding(*arguments)
    tables = windows.tables()
    assert pixels(tables, dilation) == expected
    assert max(map(len, expected)) <= windows.longest <= kernel
    ends = [
        min(s + extent, size + after) if count_padding else b
        for s, b in zip(starts, tables.stop[0], strict=True)
    ]
    firsts = starts if count_padding else [max(s, 0) for s in starts]
    assert tables.divisor.tolist() == [b - a for a, b in zip(firsts, ends, strict=True)]


@given(st.integers(1, 60), small)
def test_adaptive_windows(size, count):
    expected = [list(range(o * size // count, -((o + 1) * -size // count))) for o in range(count)]
    tables = adaptive(size, count).tables()
    assert pixels(tables, 1) == expected
    assert tables.divisor.tolist() == list(map(len, expected))


def test_windows_of_long_axes_do_not_overflow():
    size, count = 2**62 - 1, 5
    tables = adaptive(size, count).tables()
    assert tables.start[0].tolist() == [o * size // count for o in range(count)]
    assert tables.stop[0].tolist() == [-((o + 1) * -size // count) for o in range(count)]
    assert sliding("op", "height", 2**40, 2**30, 2**31 - 1, (0, 0)).tables().stop[0, -1] <= 2**40


@given(small, small, st.integers(0, 99))
def test_fractional_windows_end_where_the_image_does(kernel, count, seed):
    size = kernel + count + 3
    windows = FractionalWindows(size, count, kernel, np.random.default_rng(seed).random(4))
    tables = windows.tables()
    assert windows.own
    assert (tables.stop - tables.start == kernel).all()
    assert (tables.stop[:, -1] == size).all()
    assert (tables.start[:, 0] == 0).all() or count == 1


def test_first_within():
    for modulus, step in itertools.product(range(1, 25), range(50)):
        for low, high in itertools.combinations_with_replacement(range(modulus), 2):
            expected = next((i for i in range(modulus) if low <= i * step % modulus <= high), None)
            assert first_within(step, modulus, low, high) == expected


def test_a_window_between_pixels_is_found_without_a_search():
    """Of three billion windows; no list of them is made."""
    with pytest.raises(ValueError, match="nothing but padding"):
        sliding("op", "height", 2**30 - 1, 3, 1, (2**31 - 2, 2**31 - 2), 2**30)
    assert sliding("op", "height", 2**30, 3, 1, (2**31 - 2, 2**31 - 2), 2**30).count == 3 * 2**30 - 4


# ------------------------------------------------------------------------------------- far beyond the image


def far_calls(layout, dtype):
    """Pairs of results: of windows, paddings and strides that go far beyond the image, and of what is left of them."""
    x = to_layout(normal((2, 3, 5, 6), dtype=dtype), layout)
    rows, width = (-2, -1) if layout == "NCHW" else (-3, -2)
    named = {"layout": layout}

    def repeated(array, count):
        return np.repeat(array, count, width)

    def mean(array):
        return array.mean(width, keepdims=True)

    far = {
        "kernel_size": (1, FAR),
        "stride": 1,
        "padding": (0, FAR // 2),
    } | named  # 7 windows over all of a row
    apart = {
        "kernel_size": (1, 3),
        "stride": 1,
        "padding": (0, FAR),
        "dilation": (1, FAR),
    } | named  # single pixels
    yield fastconv.max_pool2d(x, **far), repeated(x.max(width, keepdims=True), 7)
    value, index = fastconv.max_pool2d(x, **far, return_indices=True)
    column = x.argmax(width, keepdims=True) + 6 * np.indices(x.shape)[rows].take([0], axis=width)
    yield value, repeated(x.max(width, keepdims=True), 7)
    yield index, repeated(column, 7)
    yield fastconv.avg_pool2d(x, **far, count_include_pad=False), repeated(mean(x), 7)
    yield fastconv.avg_pool2d(x, **far, divisor_override=6), repeated(mean(x), 7)
    yield fastconv.avg_pool2d(x, **far) * FAR, repeated(mean(x) * 6, 7)
    yield fastconv.lp_pool2d(x, 2, **far), repeated(np.sqrt(mean(x * x) * 6), 7)
    yield fastconv.stochastic_pool2d(abs(x), **far, training=False), repeated(mean(x * x) / mean(abs(x)), 7)
    drawn = fastconv.stochastic_pool2d(abs(x), **far, rng=0)
    yield np.isin(drawn, abs(x)), np.ones(drawn.shape, bool)
    yield fastconv.max_pool2d(x, **apart), x
    yield fastconv.lp_pool2d(x, 3, **apart), abs(x)
    yield fastconv.max_pool2d(x, 1, 2**31 - 1, **named), x.take([0], rows).take([0], width)
    yield fastconv.max_pool2d(x, 1, 2**31 - 1, ceil_mode=True, **named), x.take([0], rows).take([0], width)

    slope = np.repeat(np.ones_like(x).take([0], width), 7, width)
    options = far | {"count_include_pad": False}
    yield grad.avg_pool2d(slope, x.shape, **options), np.full_like(x, 7 / 6)
    across = {"kernel_size": (FAR, 1), "stride": 1, "padding": (FAR // 2, 0)} | named
    slope = np.repeat(np.ones_like(x).take([0], rows), 6, rows)
    yield grad.avg_pool2d(slope, x.shape, **across, divisor_override=1), np.full_like(x, 6)
    yield grad.lp_pool2d(x, x, 2, **apart), abs(x)

    energy = {"alpha": 0.5 * (2**31 - 1), "k": 1.0} | named
    near = {"alpha": 0.5 * 7, "k": 1.0} | named
    yield fastconv.local_response_norm(x, 2**31 - 1, **energy), fastconv.local_response_norm(x, 7, **near)
    huge = grad.local_response_norm(x, x, 2**31 - 1, **energy)
    yield huge, grad.local_response_norm(x, x, 7, **near)

    if layout == "NCHW":
        steps = {"kernel_size": 1, "stride": FAR, "padding": FAR}
        corner = np.zeros((2, 3, 9), dtype)
        corner[:, :, 4] = x[:, :, 0, 0]
        columns = fastconv.unfold(x, **steps)
        yield columns, corner
        folded = np.zeros_like(x)
        folded[:, :, 0, 0] = x[:, :, 0, 0]
        yield fastconv.fold(columns, (5, 6), **steps), folded
        yield grad.unfold(columns, x.shape, **steps), folded


def check_far_calls(backend):
    """The second time round, with all code compiled, a limit to memory far below what windows seem to need."""
    fastconv.set_backend(backend)
    for attempt in range(2):
        for layout, dtype in itertools.product(("NCHW", "NHWC"), (np.float32, np.float64)):
            for number, (actual, expected) in enumerate(far_calls(layout, dtype)):
                assert actual.shape == expected.shape, (layout, dtype, number)
                np.testing.assert_allclose(actual, expected, rtol=2e-5, err_msg=f"{layout} {dtype} {number}")
            if attempt == 0:
                limit_memory(300)
    print("finished")


@pytest.mark.slow("cython-avx2", "cython-baseline", "numba")
def test_windows_far_beyond_the_image(backend):
    code = f"import test_windows; test_windows.check_far_calls({backend!r})"
    assert run_python(code, timeout=240).endswith("finished")


# ---------------------------------------------------------------------------------------- gradients


def spread(slope, size, kernel, stride, before, dilation):
    """The gradient of sums over the columns of (N, C, H, W), by definition."""
    place = np.arange(size)[:, np.newaxis] + before - np.arange(slope.shape[3]) * stride
    holds = (place >= 0) & (place < kernel * dilation) & (place % dilation == 0)
    return slope @ holds.T.astype(np.float64)


def check_gradient(axis, layout, dtype, lines, size, kernel, stride, padding, dilation):
    """Those of L_1 norms of positive numbers are those of sums; they may be dilated."""
    count = (size + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1
    slope = normal((1, 2, lines, count), seed=1, dtype=dtype)
    expected = spread(slope.astype(np.float64), size, kernel, stride, padding[0], dilation)
    bound = spread(abs(slope).astype(np.float64), size, kernel, stride, padding[0], dilation)
    options = {
        "kernel_size": (1, kernel), "stride": (1, stride), "padding": ((0, 0), padding), "dilation": (1, dilation),
    }  # fmt: skip
    x = np.ones((1, 2, lines, size), dtype)
    if axis == "rows":
        options = {name: value[::-1] for name, value in options.items()}
        slope, x, expected, bound = (a.swapaxes(2, 3) for a in (slope, x, expected, bound))
    slope, x = to_layout(slope, layout), to_layout(x, layout)
    tolerance = 2 * kernel * eps(dtype) * bound
    actual = grad.lp_pool2d(slope, x, 1, **options, layout=layout)
    assert_close(from_layout(actual, layout), expected, tolerance, dtype)
    if dilation == 1:
        del options["dilation"]
        actual = grad.avg_pool2d(slope, x.shape, **options, divisor_override=1, layout=layout)
        assert_close(from_layout(actual, layout), expected, tolerance, dtype)


@pytest.mark.parametrize("axis", ["rows", "columns"])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation"),
    [
        (300, 40, 3, (39, 39), 1),
        (50, 9, 6, (24, 30), 4),  # common divisor 2
        (50, 7, 3, (24, 30), 5),
        (9, 30, 2, (29, 28), 1),
        (7, 5, 1, (8, 8), 2),
        (200, 80, 1, (3, 79), 1),
        (200, 80, 2, (78, 0), 1),
        (40, 2, 7, (1, 0), 20),
    ],
)
def test_gradients_of_large_windows(backend, layout, dtype, axis, size, kernel, stride, padding, dilation):
    check_gradient(axis, layout, dtype, 3, size, kernel, stride, padding, dilation)


def test_gradients_of_more_rows_than_a_ring_has_room_for(layout, dtype):
    """The compiled kernel keeps rows in a ring where that fits L2; here it adds them in place."""
    skip_unless_available("cython")
    with fastconv.use_backend("cython"):
        check_gradient("rows", layout, dtype, 40, 20, 12000, 1, (11999, 11999), 1)
        check_gradient("rows", layout, dtype, 40, 20, 12000, 1, (23998, 23998), 2)


@pytest.mark.parametrize("width", [511, 512, 513, 1200])
def test_more_windows_than_are_listed_at_a_time(backend, layout, width):
    """The kernels list 512 windows along a row at a time."""
    x = normal((1, 2, 3, 2 * width))
    value, index = reference.adaptive_max_pool2d(x, (2, width - 1), return_indices=True)
    actual = fastconv.adaptive_max_pool2d(to_layout(x, layout), (2, width - 1), True, layout=layout)
    np.testing.assert_array_equal(from_layout(actual[0], layout), value)
    np.testing.assert_array_equal(from_layout(actual[1], layout), index)
    mean = fastconv.adaptive_avg_pool2d(to_layout(x, layout), (2, width - 1), layout=layout)
    assert_close(
        from_layout(mean, layout), reference.adaptive_avg_pool2d(x, (2, width - 1)), 1e-14, np.float64
    )
    samples = np.random.default_rng(0).random((1, 2, 2))
    value = reference.fractional_max_pool2d(x, 2, (2, width), random_samples=samples)
    actual = fastconv.fractional_max_pool2d(
        to_layout(x, layout), 2, (2, width), random_samples=samples, layout=layout
    )
    np.testing.assert_array_equal(from_layout(actual, layout), value)
