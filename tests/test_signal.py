"""fastconv.signal against SciPy, on random problems."""

import inspect
import itertools
import math
import re
import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

import fastconv
from fastconv import signal

DTYPES = ["bool", "uint8", "int16", "int64", "float32", "float64", "complex64", "complex128"]
SIZES = st.sampled_from([1, 2, 3, 5, 8, 20])
MODES = st.sampled_from(["full", "same", "valid"])

pytestmark = pytest.mark.one_instruction_set


def numbers(seed, shape, dtype):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 9
    return (x + 1j * rng.standard_normal(shape) if "complex" in dtype else x).astype(dtype)


@st.composite
def pairs(draw, axes=(1, 2, 3)):
    count = draw(st.sampled_from(axes))
    return [
        numbers(draw(st.integers(0, 99)), [draw(SIZES) for _ in range(count)], draw(st.sampled_from(DTYPES)))
        for _ in range(2)
    ]


def check(name, *args, **options):
    results = []
    for module in (scipy.signal, signal):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results.append(getattr(module, name)(*args, **options))
        except (ValueError, TypeError) as error:
            results.append(type(error))
    theirs, ours = results
    if theirs is ValueError and all(array.dtype == bool for array in args[:2]):
        return  # SciPy takes two arrays of bool along one axis only
    if isinstance(theirs, type):
        assert ours is theirs
        return
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    if ours.dtype.kind in "biu":
        np.testing.assert_array_equal(ours, theirs)
        return
    single = any(array.dtype.char in "fF" for array in (ours, *args))
    fill, zeros = abs(options.get("fillvalue", 0)), options.get("boundary", "fill") == "fill"
    # Beyond the smaller array there are zeros, of which sums have no part, or more numbers of its size.
    terms = min(a.size for a in args[:2]) if zeros and not fill else max(a.size for a in args[:2])
    largest = np.prod([max(np.abs(array).max(), fill) for array in args[:2]]) * terms
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=(2e-6 if single else 1e-12) * max(1.0, largest))


@given(pairs(), MODES, st.sampled_from(["auto", "direct", "fft"]), st.sampled_from(["convolve", "correlate"]))
def test_convolve_and_correlate(backend, arrays, mode, method, name):
    check(name, *arrays, mode=mode, method=method)


@given(pairs(), MODES, st.sampled_from(["fftconvolve", "oaconvolve"]))
def test_transforms(backend, arrays, mode, name):
    check(name, *arrays, mode=mode)


@given(pairs(axes=(2,)), MODES, st.sampled_from(["fill", "wrap", "symm"]), st.sampled_from([0, 2]))
def test_planes(backend, arrays, mode, boundary, fill):
    for name in ("convolve2d", "correlate2d"):
        check(name, *arrays, mode=mode, boundary=boundary, fillvalue=fill)


@pytest.mark.parametrize("shapes", [((0, 3), (1, 1)), ((0, 3), (2, 2)), ((3, 0), (2, 2))])
@pytest.mark.parametrize("mode", ["full", "same"])
def test_planes_without_pixels(backend, shapes, mode):
    """With other borders SciPy divides by zero, and the process dies."""
    for name in ("convolve2d", "correlate2d"):
        arrays = [np.ones(shape, np.float32) for shape in shapes]
        expected = getattr(scipy.signal, name)(*arrays, mode)
        for boundary in ("fill", "wrap", "symm"):
            actual = getattr(signal, name)(*arrays, mode, boundary)
            assert actual.dtype == expected.dtype
            np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64", "complex64", "complex128"])
def test_sepfir2d(backend, dtype):
    x, row, column = numbers(0, (9, 11), dtype), numbers(1, 5, "float32"), numbers(2, 3, "float32")
    check("sepfir2d", x, row, column)
    check("sepfir2d", x, row.astype(float), column)
    check("sepfir2d", x, row[:4], column)


@pytest.mark.parametrize("sizes", [(5000, 37), (37, 5000), (5000, 900), (4000, 4000)])
def test_long_signals(backend, sizes):
    x, kernel = (numbers(seed, size, "float64") for seed, size in enumerate(sizes))
    for name in ("fftconvolve", "oaconvolve", "convolve"):
        check(name, x, kernel)


def test_blocks_of_pictures(backend):
    x, kernel = numbers(0, (500, 300), "float64"), numbers(1, (140, 9), "float64")
    check("oaconvolve", x, kernel, mode="same")
    check("oaconvolve", x * 1j, kernel[:20], mode="valid")
    check("fftconvolve", x[None, :40], np.stack([kernel[:7], kernel[7:14]]), axes=[1, 2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_kernels_carry_an_outlier_no_further_than_scipys(backend, dtype):
    """By transforms: sums would take minutes."""
    x, kernel = numbers(0, (300, 310), dtype), numbers(1, (140, 150), dtype)
    x[200, 100] = 1e7
    for name in ("fftconvolve", "oaconvolve"):
        for mode in ("same", "full", "valid"):
            check(name, x, kernel, mode=mode)
    x[200, 100] = np.nan
    result = signal.fftconvolve(x, kernel)
    assert np.isnan(result[200:340, 100:250]).all()


INTEGERS = ["uint8", "int16", "uint32", "int32", "int64", "uint64"]
BORDERS = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}


def true_convolution(x, kernel, dtype, boundary="fill", fill=0):
    """All of it, in integers of Python, wrapped at the end."""
    around = [(n - 1, n - 1) for n in kernel.shape]
    options = {"constant_values": fill} if boundary == "fill" else {}
    wide = np.pad(x, around, BORDERS[boundary], **options).astype(object)
    turned = np.flip(kernel).astype(object)
    windows = np.lib.stride_tricks.sliding_window_view(wide, kernel.shape)
    total = (windows * turned).sum(axis=tuple(range(x.ndim, 2 * x.ndim)))
    bits = 8 * np.dtype(dtype).itemsize
    return (
        np.array([int(n) % (1 << bits) for n in total.ravel()], np.uint64).astype(dtype).reshape(total.shape)
    )


def any_integers(seed, shape, dtype, bits):
    info = np.iinfo(dtype)
    largest = min(info.max, 2**bits)
    return np.random.default_rng(seed).integers(max(info.min, -largest), largest, shape, dtype, endpoint=True)


@given(
    st.lists(st.tuples(SIZES, st.sampled_from([1, 2, 3, 9, 16])), min_size=1, max_size=2),
    *(st.sampled_from(INTEGERS) for _ in range(2)), *(st.integers(1, 64) for _ in range(2)), st.integers(0, 9),
)  # fmt: skip
def test_integers_are_exact_and_wrap(backend, sizes, first, second, bits, more, seed):
    """Whatever their size, by sums and by transforms; where SciPy gives the lowest number, too."""
    dtype = np.result_type(first, second)
    if dtype.kind == "f":
        return  # int64 and uint64
    x = any_integers(seed, [n for n, _ in sizes], first, bits)
    kernel = any_integers(seed + 1, [n for _, n in sizes], second, more)
    expected = true_convolution(x, kernel, dtype)
    for method in ("auto", "direct", "fft"):
        actual = signal.convolve(x, kernel, method=method)
        assert actual.dtype == dtype
        np.testing.assert_array_equal(actual, expected, err_msg=method)


@given(
    st.tuples(SIZES, SIZES), st.tuples(*[st.sampled_from([1, 2, 5, 12])] * 2), st.sampled_from(list(BORDERS)),
    st.sampled_from(["uint8", "int32", "int64"]), st.integers(1, 64), st.integers(1, 64), st.sampled_from([0, 3]),
)  # fmt: skip
def test_planes_of_integers_are_exact(backend, size, taps, boundary, dtype, bits, more, fill):
    """Also where the kernel is the larger one: then every weight sees a pixel beyond it."""
    x, kernel = any_integers(0, size, dtype, bits), any_integers(1, taps, dtype, more)
    actual = signal.convolve2d(x, kernel, "full", boundary, fill)
    np.testing.assert_array_equal(actual, true_convolution(x, kernel, dtype, boundary, fill))


def test_a_small_picture_that_wraps_under_a_large_kernel(backend):
    kernel = np.full((9, 9), 8191)
    for boundary in ("wrap", "symm"):
        assert signal.convolve2d([[3**25]], kernel, "same", boundary).tolist() == [[3**25 * 81 * 8191]]


@pytest.mark.parametrize("taps", [7, 15, 64, 255])
def test_large_sums_of_integers_by_the_engines_own_algorithms(taps):
    """Of up to 2^53 and beyond: some of the algorithms that are chosen for large kernels err by more than a half."""
    rng = np.random.default_rng(0)
    for bits in (20, 26):
        x = rng.integers(2**25, 2**26, (300, 310))
        kernel = rng.integers(2 ** (bits - 1), 2**bits, (taps, taps))
        for name in ("convolve2d", "convolve"):
            actual = getattr(signal, name)(x, kernel, "valid")
            for i, j in rng.integers(0, 300 - taps + 1, (20, 2)):
                window = x[i : i + taps, j : j + taps].astype(object)
                difference = int(actual[i, j]) - (window * np.flip(kernel).astype(object)).sum()
                assert difference % 2**64 == 0


def test_transforms_of_integers_wrap(backend):
    """SciPy gives -2147483648 everywhere."""
    rng = np.random.default_rng(0)
    x, kernel = rng.integers(0, 2**20, (300, 300), np.int32), rng.integers(0, 2**6, (60, 60), np.int32)
    expected = signal.fftconvolve(x, kernel, "same").round().astype(np.int64).astype(np.int32)
    np.testing.assert_array_equal(signal.convolve(x, kernel, "same", "fft"), expected)


def test_booleans_by_transforms(backend):
    x = np.zeros(300, bool)
    x[7] = True
    np.testing.assert_array_equal(
        signal.convolve(x, x[:40], method="fft"), signal.convolve(x, x[:40], method="direct")
    )


def test_a_nan_is_told():
    x = np.ones(300)
    x[150] = np.nan
    with pytest.warns(RuntimeWarning, match="Use of fft convolution"):
        signal.convolve(x, np.ones(200), method="fft")


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("shape", "taps"),
    [((60,), (7,)), ((9000,), (4500,)), ((40, 45), (5, 5)), ((150, 160), (130, 131)), ((9, 10, 11), (3, 3, 3)),
     ((20, 20, 20), (12, 12, 12)), ((3, 4, 9, 9), (2, 2, 3, 3))],
)  # fmt: skip
def test_what_is_no_number_stays_within_its_windows(backend, dtype, number, shape, taps):
    """In every number of axes, of real and complex arrays, in either of the two; SciPy's is everywhere."""
    x, kernel = numbers(0, shape, dtype), np.abs(numbers(1, taps, "float64")).astype(dtype) + 1
    place = tuple(n // 2 for n in shape)
    spoiled = x.copy()
    spoiled[place] = number
    for name in ("fftconvolve", "oaconvolve"):
        for pair, clean, others in (
            ((spoiled, kernel), (x, kernel), taps),
            ((kernel, spoiled), (kernel, x), taps),
        ):
            result, expected = getattr(signal, name)(*pair), getattr(signal, name)(*clean)
            touched = np.zeros(result.shape, bool)
            touched[tuple(slice(p, p + n) for p, n in zip(place, others, strict=True))] = True
            np.testing.assert_array_equal(np.isfinite(result), ~touched)
            largest = np.abs(x).max() * np.abs(kernel).sum()
            near = (1e-5 if dtype in ("float32", "complex64") else 1e-13) * largest
            np.testing.assert_allclose(result[~touched], expected[~touched], rtol=0, atol=near)
    kernel[tuple(0 for _ in taps)] = number
    with np.errstate(all="ignore"):
        result = signal.fftconvolve(x, kernel)
    within = np.zeros(result.shape, bool)
    within[tuple(slice(n) for n in shape)] = True
    np.testing.assert_array_equal(np.isfinite(result), ~within)


def test_what_is_no_number_along_axes_that_are_multiplied(backend):
    x, kernel = numbers(0, (4, 1, 300), "float64"), numbers(1, (1, 3, 200), "float64")
    x[2, 0, 100] = np.nan
    for mode, where in (("full", slice(100, 300)), ("same", slice(1, 201)), ("valid", slice(0, 101))):
        result = signal.fftconvolve(x, kernel, mode, axes=2)
        expected = np.zeros(result.shape, bool)
        expected[2, :, where] = True
        np.testing.assert_array_equal(np.isnan(result), expected)


@pytest.mark.parametrize("large", ["float32", "uint8", "float64"])
@pytest.mark.parametrize("small", ["float32", "float64", "int16"])
def test_large_kernels_of_another_type(backend, large, small):
    x, kernel = numbers(0, (200, 210), large), numbers(1, (130, 140), small)
    for mode in ("full", "same", "valid"):
        check("fftconvolve", x, kernel, mode=mode)


def test_a_large_kernel_of_another_type_takes_no_copy_of_the_picture():
    if "fft" not in fastconv.algorithms():
        pytest.skip("needs transforms in tiles")
    x, kernel = np.ones((1500, 1600), np.float32), np.ones((255, 255))
    sizes = []
    tracemalloc.start()
    try:
        for pair in ((x, kernel), (x.astype(np.float64), kernel)):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            signal.fftconvolve(*pair, "same")
            sizes.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert sizes[0] < sizes[1] + x.nbytes


@pytest.mark.parametrize("fill", [-1, 256, 300, 1e30, -2.5, None, 2**70, np.inf])
def test_a_fill_value_that_the_type_does_not_hold(fill):
    small = np.ones((2, 3), np.uint8)
    check("convolve2d", small, small, fillvalue=fill)
    with pytest.raises(ValueError, match="could not cast `fillvalue`"):
        signal.convolve2d(small, small, fillvalue=fill)
    for fits in (255, 2.5, True, [3], -0.0):
        check("convolve2d", small, small, fillvalue=np.asarray(fits).ravel()[0])


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_the_fill_value_around_nothing(backend, shape):
    kernel = np.arange(6.0).reshape(2, 3)
    for name in ("convolve2d", "correlate2d"):
        for mode in ("full", "same"):
            expected = getattr(scipy.signal, name)(np.ones(shape), kernel, mode, "fill", 2)
            np.testing.assert_array_equal(
                getattr(signal, name)(np.ones(shape), kernel, mode, "fill", 2), expected
            )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_sums_of_nothing_as_scipys(count):
    """Which are zeros, and which are refused."""
    shapes = list(itertools.product((0, 1, 2), repeat=count))
    names = ["convolve", "correlate"] + ["convolve2d", "correlate2d"] * (count == 2)
    for name, first, second, mode in itertools.product(names, shapes, shapes, ["full", "same", "valid"]):
        if math.prod(first) and math.prod(second):
            continue
        args = np.ones(first), np.ones(second), mode
        options = {} if name.endswith("2d") else {"method": "direct"}
        try:
            expected = getattr(scipy.signal, name)(*args, **options)
        except ValueError:  # also where arrays of its own do not fit by chance
            try:
                assert not getattr(signal, name)(*args, **options).any()
            except ValueError as error:
                assert re.search("empty|at least as large", str(error))  # noqa: PT017
        else:
            np.testing.assert_array_equal(getattr(signal, name)(*args, **options), expected, strict=True)


def test_the_method_for_what_does_not_fit():
    for shape in ((), (3, 3)):
        arrays = np.ones(shape), np.ones(3)
        assert signal.choose_conv_method(*arrays) == scipy.signal.choose_conv_method(*arrays) == "direct"
    with pytest.raises(ValueError, match="acceptable mode flags"):
        signal.choose_conv_method(np.ones(3), np.ones(3), "odd")


@pytest.mark.parametrize(("first", "second"), [("uint8", "bool"), ("bool", "bool"), ("int8", "complex64")])
def test_scalars_keep_their_type(first, second):
    for name in ("correlate", "convolve"):
        args = np.dtype(first).type(1), np.dtype(second).type(1)
        expected = getattr(scipy.signal, name)(*args)
        actual = getattr(signal, name)(*args)
        assert actual == expected
        assert actual.dtype == expected.dtype


@pytest.mark.parametrize("name", sorted(set(signal.__all__) & set(dir(scipy.signal)) - {"sepfir2d"}))
def test_signature(name):
    """SciPy's arguments, in its order, with its defaults; what is more is keyword-only."""
    ours = inspect.signature(getattr(signal, name)).parameters
    theirs = inspect.signature(getattr(scipy.signal, name)).parameters
    for (argument, what), (wanted, other) in zip(ours.items(), theirs.items(), strict=False):
        assert (argument, what.default, what.kind) == (wanted, other.default, other.kind)
    assert all(each.kind == each.KEYWORD_ONLY for each in list(ours.values())[len(theirs) :])
