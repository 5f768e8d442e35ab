"""Missing elements in fastconv.signal, which are NaN and masked ones, against SciPy on what is there; and what is no
number, against SciPy's sums."""

import warnings

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from fastconv import signal

NAMES = ["convolve", "correlate", "fftconvolve", "oaconvolve", "convolve2d", "correlate2d"]
POLICIES = ["propagate", "omit", "interpolate"]
MODES = st.sampled_from(["full", "same", "valid"])
SIZES = st.sampled_from([1, 2, 3, 5, 8, 20])

pytestmark = pytest.mark.one_instruction_set


def spotted(seed, shape):
    rng = np.random.default_rng(seed)
    missing = rng.random(shape) < 0.2
    missing[tuple(slice(0, max(1, n // 3)) for n in shape)] = True
    return rng.integers(1, 99, shape), missing


def by_scipy(name, x, missing, kernel, policy, **options):
    """Sums of what is there, by SciPy; and which results are missing."""
    function, filled = getattr(scipy.signal, name), np.where(missing, 0, x)
    sums = function(filled, kernel, **options)
    options |= {"fillvalue": 0} if "fillvalue" in options else {}
    gone = missing.astype(float)
    count = np.rint(function(gone, np.ones(kernel.shape), **options))
    if policy == "propagate":
        return sums, count > 0
    if policy == "interpolate":
        with np.errstate(all="ignore"):
            scaled = sums * kernel.sum() / (kernel.sum() - function(gone, kernel.astype(float), **options))
        sums = np.where(count > 0, scaled, sums)
    return sums, count == kernel.size


@given(
    st.sampled_from(NAMES),
    st.data(),
    MODES,
    st.sampled_from(POLICIES),
    st.sampled_from(["float32", "float64", "int64"]),
    st.booleans(),
)
def test_every_policy_by_its_definition(backend, name, data, mode, policy, dtype, masked):
    planes = name.endswith("2d")
    axes = 2 if planes else data.draw(st.integers(1, 3))
    shapes = [tuple(data.draw(SIZES) for _ in range(axes)) for _ in range(2)]
    if mode == "valid":
        shapes = [tuple(map(max, zip(*shapes, strict=True))), tuple(map(min, zip(*shapes, strict=True)))]
        shapes = shapes[::-1] if data.draw(st.booleans()) else shapes
    x, missing = spotted(data.draw(st.integers(0, 99)), shapes[0])
    masked = masked or dtype == "int64"
    x = x.astype(dtype)
    kernel = np.random.default_rng(1).integers(1, 9, shapes[1]).astype(dtype)
    options = {"mode": mode}
    if planes:
        options |= {"boundary": data.draw(st.sampled_from(["fill", "wrap", "symm"])), "fillvalue": 3}
    elif "fft" not in name and "oa" not in name:
        options["method"] = data.draw(st.sampled_from(["auto", "direct", "fft"]))
    if options.get("boundary", "fill") != "fill":
        options["fillvalue"] = 0
    expected, gone = by_scipy(name, x, missing, kernel, policy, **options)
    given_x = np.ma.array(x, mask=missing) if masked else np.where(missing, np.nan, x).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NaN have not gone
        result = getattr(signal, name)(given_x, kernel, nan_policy=policy, **options)
    assert np.ma.isMaskedArray(result) == masked
    assert result.shape == expected.shape
    if masked:
        np.testing.assert_array_equal(result.mask, gone)
    else:
        np.testing.assert_array_equal(np.isnan(result), gone)
    values, wanted = np.ma.getdata(result)[~gone], expected[~gone]
    size = max(1.0, float(x.max()) * float(kernel.sum()))
    if result.dtype.kind == "i":
        np.testing.assert_array_equal(values, np.trunc(wanted + 1e-9 * size).astype(int))
    else:
        assert result.dtype == (np.float32 if dtype == "float32" else np.float64)
        np.testing.assert_allclose(
            values, wanted, rtol=0, atol=(2e-6 if dtype == "float32" else 1e-11) * size
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("policy", POLICIES)
def test_no_value_under_a_mask_is_seen(backend, name, policy):
    rng = np.random.default_rng(0)
    x, kernel, mask = rng.random((30, 40)), rng.random((3, 5)), np.zeros((30, 40), bool)
    mask[12, 17] = mask[3, 30] = mask[29, 0] = True
    function = getattr(signal, name)
    results = [
        function(np.ma.array(np.where(mask, v, x), mask=mask), kernel, nan_policy=policy)
        for v in (0, 1e9, np.nan, np.inf)
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result.mask, results[0].mask)
        np.testing.assert_array_equal(result.data, results[0].data)
    np.testing.assert_array_equal(results[0].mask.sum(), 45 if policy == "propagate" else 0)
    plain, spread = function(x, kernel), function(mask.astype(float), np.ones((3, 5))) > 0.5
    np.testing.assert_array_equal(results[0].data[~spread], plain[~spread])


@pytest.mark.parametrize("policy", POLICIES)
def test_sepfir2d(backend, policy):
    x, missing = spotted(3, (20, 30))
    row, column = np.array([1.0, 2, 1]), np.array([1.0, 3, 4, 3, 1])
    kernel = np.outer(column, row)
    expected, gone = by_scipy("convolve2d", x, missing, kernel, policy, mode="same", boundary="symm")
    result = signal.sepfir2d(np.ma.array(x * 1.0, mask=missing), row, column, nan_policy=policy)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result.mask, gone)
    np.testing.assert_allclose(result.data[~gone], expected[~gone], rtol=1e-12)
    flat = signal.sepfir2d(np.where(missing, np.nan, 2.0), row, column, nan_policy="interpolate")
    np.testing.assert_allclose(flat[~np.isnan(flat)], 2 * kernel.sum())


@pytest.mark.parametrize("name", ["fftconvolve", "oaconvolve"])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_axes_that_are_multiplied(backend, name, mode):
    """One kernel for many arrays, many kernels for one, one each."""
    x, missing = spotted(1, (4, 300, 9))
    rng = np.random.default_rng(2)
    for many in (slice(0, 1), slice(None)):
        for count in (1, 4):
            kernel = rng.random((count, 7, 3))
            masked = np.ma.array(x[many], mask=missing[many])
            result = getattr(signal, name)(masked, kernel, mode, axes=(1, 2), nan_policy="omit")
            each = masked if mode == "same" else np.ma.array([masked[i % len(masked)] for i in range(4)])
            for i, planes in enumerate(result):
                # Of kernels for one array, "same" keeps the middle one, as SciPy.
                k = kernel[i % count] if len(masked) == 4 or mode != "same" else kernel[(count - 1) // 2]
                alone = signal.convolve(each[i], k, mode, nan_policy="omit")
                np.testing.assert_array_equal(planes.mask, alone.mask)
                np.testing.assert_allclose(planes.filled(0), alone.filled(0), atol=1e-9)
    with pytest.raises(ValueError, match=f"{name}: .* several kernels"):
        getattr(signal, name)(x, kernel, mode, axes=(1, 2), nan_policy="interpolate")


def test_pixels_beyond_may_be_missing(backend):
    flat = np.full((6, 7), 5.0)
    box = np.ones((3, 3))
    inner = signal.convolve2d(flat, box, "same", fillvalue=np.nan, nan_policy="interpolate")
    np.testing.assert_allclose(inner, 45.0)
    outer = signal.convolve2d(flat, box, fillvalue=np.nan, nan_policy="omit")
    np.testing.assert_allclose(outer, scipy.signal.convolve2d(flat, box))


def test_numbers_of_no_axis():
    assert signal.convolve(np.ma.array(3, mask=True), 2) is np.ma.masked
    assert signal.fftconvolve(np.ma.array(3, mask=False), 2) == 6


def test_large_integers_and_the_method(backend):
    """The mask hides a number that sums could not hold; the method is chosen by the others."""
    x = np.ma.array([2**40, 2**62, 3, 1], mask=[0, 1, 0, 0])
    result = signal.convolve(x, [2**20, 5], nan_policy="omit")
    assert result.data.tolist() == [2**60, 5 * 2**40, 3 * 2**20, 15 + 2**20, 5]
    assert not result.mask.any()
    small = np.ma.array(np.ones(4000, np.int64), mask=np.arange(4000) == 7)
    small.data[7] = 2**60
    assert signal.choose_conv_method(small, np.ones(4000, np.int64)) == "fft"


@pytest.mark.parametrize("name", NAMES)
def test_masked_kernels_and_sequences_are_refused(name):
    plain, masked = np.ones((3, 4)), np.ma.array(np.ones((3, 4)), mask=False)
    function = getattr(signal, name)
    np.testing.assert_allclose(function(plain, masked), function(plain, plain))
    masked[1, 1] = np.ma.masked
    for arrays, said in (((plain, masked), "in2"), ((list(masked), plain), "in1")):
        with pytest.raises(ValueError, match=f"{said} has masked elements"):
            function(*arrays)


@pytest.mark.parametrize("which", [1, 2])
def test_masked_factors_are_refused(which):
    arrays = [np.ones((3, 4)), np.ones(3), np.ones(3)]
    arrays[which] = np.ma.array(arrays[which], mask=True)
    with pytest.raises(ValueError, match="has masked elements"):
        signal.sepfir2d(*arrays)


@pytest.mark.parametrize("name", NAMES)
def test_errors(name):
    function, x = getattr(signal, name), np.ones((5, 6))
    with pytest.raises(ValueError, match=f"{name}: nan_policy is 'raise'"):
        function(x, x[:2, :2], nan_policy="raise")
    with pytest.raises(ValueError, match=f"{name}: .* sum to 0"):
        function(x, [[1, -1]], nan_policy="interpolate")
    with pytest.raises(TypeError, match=f"{name}: missing pixels need a real array"):
        function(np.ma.array(x * 1j), x[:2, :2])
    with pytest.raises(TypeError, match=f"{name}: .*complex"):
        function(x, x[:2, :2] * 1j, nan_policy="omit")


@given(
    st.integers(1, 3),
    st.data(),
    MODES,
    st.sampled_from([np.nan, np.inf, -np.inf]),
    st.sampled_from([(0,), (1,), (0, 1)]),
    st.sampled_from(["float32", "float64", "complex128"]),
)
def test_what_is_no_number_goes_where_scipys_sums_take_it(backend, axes, data, mode, value, where, dtype):
    """Under weights of 0 as well, and by zeros beyond the array."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    arrays = [
        rng.integers(-2, 3, [data.draw(SIZES) % 9 for _ in range(axes)]).astype(dtype) for _ in range(2)
    ]
    for i in where:
        arrays[i].flat[rng.integers(arrays[i].size)] = value
    calls = [(name, {"method": "direct"}) for name in ("convolve", "correlate")]
    if axes == 2:
        boundary = data.draw(st.sampled_from(["fill", "wrap", "symm"]))
        fill = data.draw(st.sampled_from([0, 2, value])) if boundary == "fill" else 0
        calls += [(name, {"boundary": boundary, "fillvalue": fill}) for name in ("convolve2d", "correlate2d")]
    for name, options in calls:
        try:
            with np.errstate(all="ignore"):
                theirs = getattr(scipy.signal, name)(*arrays, mode, **options)
        except ValueError:
            return
        ours = getattr(signal, name)(*arrays, mode, **options)
        if dtype == "complex128":  # what an infinity is times a complex number is in no standard
            np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)
