"""fastconv.signal against SciPy, on random problems."""

import inspect
import warnings

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

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


def test_integers_are_exact_and_wrap(backend):
    """Where float64 does not hold the sums as well."""
    large = np.array([2**40, 3, 2**33 + 1])
    assert signal.convolve(large, large).tolist() == np.convolve(large, large).tolist()
    small = np.full((3, 3), 200, np.uint8)
    assert signal.convolve(small, small).tolist() == scipy.signal.convolve(small, small).tolist()


def test_a_nan_is_told():
    x = np.ones(300)
    x[150] = np.nan
    with pytest.warns(RuntimeWarning, match="Use of fft convolution"):
        signal.convolve(x, np.ones(200), method="fft")


@pytest.mark.parametrize("name", sorted(set(signal.__all__) & set(dir(scipy.signal)) - {"sepfir2d"}))
def test_signature(name):
    """SciPy's arguments, in its order, with its defaults; what is more is keyword-only."""
    ours = inspect.signature(getattr(signal, name)).parameters
    theirs = inspect.signature(getattr(scipy.signal, name)).parameters
    for (argument, what), (wanted, other) in zip(ours.items(), theirs.items(), strict=False):
        assert (argument, what.default, what.kind) == (wanted, other.default, other.kind)
    assert all(each.kind == each.KEYWORD_ONLY for each in list(ours.values())[len(theirs) :])
