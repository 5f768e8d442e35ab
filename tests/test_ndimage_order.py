"""Missing pixels, progress and parts of extrema, ranks, morphology and sums of derivatives: against the definition."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv import ndimage
from fastconv.filtering import parts
from test_ndimage_missing import GREY, PADS

RANKS = {
    "median_filter": lambda count: count // 2,
    "percentile_filter": lambda count: int(count * 0.3),
    "rank_filter": lambda count: 0,
    "minimum_filter": lambda count: 0,
    "maximum_filter": lambda count: count - 1,
}

pytestmark = pytest.mark.one_instruction_set


def windows_of(x, footprint, origin, mode, cval):
    """The pixels of each window; NaN are missing ones."""
    around = [
        (n // 2 + shift, n - 1 - n // 2 - shift) for n, shift in zip(footprint.shape, origin, strict=True)
    ]
    padded = np.pad(x, around, PADS[mode], **({"constant_values": cval} if mode == "constant" else {}))
    return np.lib.stride_tricks.sliding_window_view(padded, footprint.shape)[..., footprint]


def ranked(windows, policy, rank_of):
    """One after the other, with Python's own sort."""
    result = np.full(windows.shape[:-1], np.nan)
    for place in np.ndindex(*result.shape):
        pixels = windows[place]
        there = sorted(pixels[~np.isnan(pixels)])
        if there and (policy == "omit" or len(there) == len(pixels)):
            result[place] = there[rank_of(len(there))]
    return result


def eroded(x, footprint, heights, origin, mode, cval, policy):
    windows = windows_of(x, footprint, origin, mode, cval) - heights[footprint]
    return ranked(windows, policy, lambda count: 0)


def dilated(x, footprint, heights, origin, mode, cval, policy):
    turned = [-shift - (1 - n % 2) for n, shift in zip(footprint.shape, origin, strict=True)]
    windows = windows_of(x, np.flip(footprint), turned, mode, cval) + np.flip(heights)[np.flip(footprint)]
    return ranked(windows, policy, lambda count: count - 1)


def grey(name, x, *element):
    if name in ("grey_erosion", "grey_dilation"):
        return (eroded if name == "grey_erosion" else dilated)(x, *element)
    if name in ("grey_opening", "white_tophat"):
        opened = dilated(eroded(x, *element), *element)
        return opened if name == "grey_opening" else x - opened
    if name in ("grey_closing", "black_tophat"):
        closed = eroded(dilated(x, *element), *element)
        return closed if name == "grey_closing" else closed - x
    low, high = eroded(x, *element), dilated(x, *element)
    return high - low if name == "morphological_gradient" else high + low - x - x


@st.composite
def spotted(draw):
    """A picture with missing pixels, single ones and a block, and a window."""
    shape = draw(st.lists(st.sampled_from([1, 3, 6, 11]), min_size=1, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    size = [draw(st.integers(1, 4)) for _ in shape]
    footprint = rng.random(size) < draw(st.sampled_from([0.6, 2.0]))
    footprint.flat[rng.integers(footprint.size)] = True
    origin = [draw(st.integers(-(n // 2), (n - 1) // 2)) for n in size]
    missing = rng.random(shape) < 0.2
    missing[tuple(slice(0, max(1, n // 2)) for n in shape)] = True
    dtype = draw(st.sampled_from(["float32", "float64", "uint8", "int16", "int32"]))
    x = rng.integers(0, 200, shape).astype(dtype)
    return x, missing, footprint, origin


def compare(result, expected, dtype, masked):
    """Windows without a pixel are masked, or NaN."""
    gone = np.isnan(expected)
    assert result.dtype == dtype
    assert np.ma.isMaskedArray(result) == masked
    np.testing.assert_array_equal(np.ma.getmaskarray(result) if masked else np.isnan(result), gone)
    np.testing.assert_array_equal(np.ma.getdata(result)[~gone], expected[~gone])


problems = (spotted(), st.sampled_from(list(PADS)), st.sampled_from([0.0, 7.0, np.nan]))
policies = st.sampled_from(["propagate", "omit"])


def given_pixels(x, missing, masked):
    """Masked, or NaN; and the definition's."""
    exact = np.where(missing, np.nan, x)
    if masked or x.dtype.kind != "f":
        return np.ma.array(x, mask=missing), exact
    return exact.astype(x.dtype), exact


def border_value(cval, policy, dtype):
    """NaN beyond the array are what is missing there, where anything is."""
    return 0.0 if np.isnan(cval) and (policy == "propagate" or dtype.kind != "f") else cval


@given(*problems, policies, st.sampled_from(list(RANKS)), st.booleans())
def test_extrema_and_ranks(backend, problem, mode, cval, policy, name, masked):
    x, missing, footprint, origin = problem
    cval = border_value(cval, policy, x.dtype)
    pixels, exact = given_pixels(x, missing, masked)
    args = {"rank_filter": (0,), "percentile_filter": (30,)}.get(name, ())
    options = {"mode": mode, "cval": cval, "origin": origin, "nan_policy": policy}
    expected = ranked(windows_of(exact, footprint, origin, mode, cval), policy, RANKS[name])
    result = getattr(ndimage, name)(pixels, *args, footprint=footprint, **options)
    compare(result, expected, x.dtype, np.ma.isMaskedArray(pixels))
    if name.startswith("m") and name != "median_filter":
        line = np.ones([footprint.shape[0]] + [1] * (x.ndim - 1), bool)
        shifts = [origin[0]] + [0] * (x.ndim - 1)
        expected = ranked(windows_of(exact, line, shifts, mode, cval), policy, RANKS[name])
        options["origin"] = origin[0]
        result = getattr(ndimage, f"{name}1d")(pixels, len(line), 0, **options)
        compare(result, expected, x.dtype, np.ma.isMaskedArray(pixels))


@given(*problems, policies, st.sampled_from(GREY), st.booleans(), st.booleans())
def test_morphology(backend, problem, mode, cval, policy, name, masked, flat):
    x, missing, footprint, origin = problem
    x = x.astype(np.result_type(x, np.int16))  # no sum wraps
    cval = border_value(cval, policy, x.dtype)
    pixels, exact = given_pixels(x, missing, masked)
    heights = np.random.default_rng(footprint.size).integers(0, 9, footprint.shape)
    options = {"mode": mode, "cval": cval, "origin": origin, "nan_policy": policy, "footprint": footprint}
    if flat:
        heights *= 0
    else:
        options["structure"] = heights
    expected = grey(name, exact, footprint, heights, origin, mode, cval, policy)
    result = getattr(ndimage, name)(pixels, **options)
    compare(result, expected, x.dtype, np.ma.isMaskedArray(pixels))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [3, 5, (4, 7), 9, (10, 11)])
def test_a_nan_reaches_the_windows_that_hold_it(backend, size, dtype):
    """Sorting networks and partitions alike, wherever it stands in the window; an infinity is a number."""
    x = np.random.default_rng(0).random((40, 50)).astype(dtype)
    x[3, 7], x[20, 31], x[30, 0] = np.nan, np.nan, np.inf
    box = np.ones(np.broadcast_to(size, 2), bool)
    for name, rank_of in RANKS.items():
        args = {"rank_filter": (0,), "percentile_filter": (30,)}.get(name, ())
        for policy in ("propagate", "omit"):
            result = getattr(ndimage, name)(x, *args, size=size, nan_policy=policy)
            expected = ranked(windows_of(x.astype(float), box, (0, 0), "reflect", 0), policy, rank_of)
            np.testing.assert_array_equal(result, expected)


def test_into_integers_and_into_the_array_itself(backend):
    x = np.array([[1.0, np.nan, 3], [np.nan, np.nan, np.nan], [7, 8, 9]])
    assert ndimage.maximum_filter(x, (1, 2), output=np.uint8, nan_policy="omit").tolist() == [
        [1, 1, 3],
        [0, 0, 0],
        [7, 8, 9],
    ]
    assert ndimage.median_filter(x, 3, output=x, nan_policy="omit") is x
    assert not np.isnan(x).any()
    masked = np.ma.array([5, 200, 7], mask=[0, 1, 0], dtype=np.uint8)
    assert ndimage.maximum_filter(masked, 3, output=masked, nan_policy="omit") is masked
    assert masked.tolist() == [5, 7, 7]
    bits = np.ma.array([True, False, True], mask=[1, 0, 0])
    assert ndimage.minimum_filter(bits, 2, nan_policy="omit").tolist() == [None, False, False]


@given(
    st.lists(st.sampled_from([1, 3, 8]), min_size=1, max_size=3),
    st.sampled_from(list(PADS)),
    policies,
    st.data(),
)
def test_laplace(backend, shape, mode, policy, data):
    """A window is a cross."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x, missing = rng.integers(0, 99, shape).astype(float), rng.random(shape) < 0.5
    axes = sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    cross, kernel = np.zeros([3] * x.ndim, bool), np.zeros([3] * x.ndim)
    middle = (1,) * x.ndim
    for axis in axes:
        along = (*middle[:axis], slice(None), *middle[axis + 1 :])
        cross[along] = True
        kernel[along] += [1, -2, 1]
    windows = windows_of(np.where(missing, np.nan, x), cross, [0] * x.ndim, mode, 2.0)
    gone = np.isnan(windows).all(-1) if policy == "omit" else np.isnan(windows).any(-1)
    expected = np.where(gone, np.nan, np.where(np.isnan(windows), 0, windows) @ kernel[cross])
    options = {"mode": mode, "cval": 2.0, "axes": axes, "nan_policy": policy}
    compare(ndimage.laplace(np.where(missing, np.nan, x), **options), expected, x.dtype, False)
    compare(ndimage.laplace(np.ma.array(x, mask=missing), **options), expected, x.dtype, True)


def test_derivatives_of_gaussians_omit_as_their_terms(backend):
    x = np.random.default_rng(0).random((30, 40))
    x[10, 12] = np.nan
    x[20:, 20:] = np.nan
    first = [ndimage.gaussian_filter(x, 1.0, order, nan_policy="omit") for order in ((1, 0), (0, 1))]
    second = [ndimage.gaussian_filter(x, 1.0, order, nan_policy="omit") for order in ((2, 0), (0, 2))]
    result = ndimage.gaussian_gradient_magnitude(x, 1.0, nan_policy="omit")
    np.testing.assert_allclose(result, np.hypot(*first), rtol=1e-12)
    np.testing.assert_allclose(ndimage.gaussian_laplace(x, 1.0, nan_policy="omit"), sum(second), rtol=1e-12)
    assert 0 < np.isnan(result).sum() < 100


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (
            lambda x: ndimage.maximum_filter(x, 3, nan_policy="interpolate"),
            ValueError,
            "maximum_filter: nan_policy",
        ),
        (
            lambda x: ndimage.minimum_filter1d(x, 3, nan_policy="interpolate"),
            ValueError,
            "minimum_filter1d: nan_pol",
        ),
        (
            lambda x: ndimage.grey_closing(x, 3, nan_policy="interpolate"),
            ValueError,
            "grey_closing: nan_policy",
        ),
        (lambda x: ndimage.median_filter(x, 3, nan_policy="raise"), ValueError, "median_filter: nan_policy"),
        (lambda x: ndimage.median_filter(x, 3, nan_policy=None), TypeError, "median_filter: nan_policy"),
        (
            lambda x: ndimage.rank_filter(x, 2, 3, nan_policy="omit"),
            ValueError,
            "rank is 2 of 9.*percentile_filter",
        ),
        (lambda x: ndimage.laplace(x, nan_policy="interpolate"), ValueError, "laplace: nan_policy.*sum to 0"),
        (
            lambda x: ndimage.gaussian_laplace(x, 1, nan_policy="interpolate"),
            ValueError,
            "gaussian_laplace: nan_pol",
        ),
        (
            lambda x: ndimage.gaussian_filter1d(x, 1, order=2, nan_policy="interpolate"),
            ValueError,
            "derivative",
        ),
        (lambda x: ndimage.gaussian_filter(x, 1, [0, 2], nan_policy="interpolate"), ValueError, "derivative"),
    ],
)
def test_policies_that_make_no_sense(call, error, said):
    with pytest.raises(error, match=said):
        call(np.ones((4, 5)))


@pytest.fixture
def small_slabs(monkeypatch):
    monkeypatch.setattr(parts, "SLAB_BYTES", 1 << 12)


COMPOUND = {
    **{name: lambda x, f, **o: f(x, size=(3, 2, 3), origin=(1, 0, 0), **o) for name in GREY},
    "laplace": lambda x, f, **o: f(x, **o),
    "gaussian_laplace": lambda x, f, **o: f(x, 0.7, **o),
    "gaussian_gradient_magnitude": lambda x, f, **o: f(x, (0.6, 0.8, 0.7), radius=2, **o),
}


@pytest.mark.parametrize("mode", list(PADS))
@pytest.mark.parametrize("name", COMPOUND)
def test_slabs_give_what_the_whole_gives(small_slabs, name, mode):
    """What lies between two filters as well: each slab knows its neighbours twice as far."""
    x = np.random.default_rng(1).integers(0, 200, (43, 6, 7)).astype(np.float32)
    missing, told = x > 190, []
    for pixels in (x, np.ma.array(x, mask=missing), np.where(missing, np.nan, x)):
        told.clear()
        options = {"mode": mode, "cval": 3.0, "nan_policy": "omit"}
        function = getattr(ndimage, name)
        result = COMPOUND[name](
            pixels, function, progress=lambda done, total: told.append((done, total)), **options
        )
        whole = COMPOUND[name](pixels, function, **options)
        assert len(told) > 2
        assert told == [(done, told[-1][1]) for done in range(told[-1][1] + 1)]
        np.testing.assert_array_equal(np.ma.getmaskarray(result), np.ma.getmaskarray(whole))
        np.testing.assert_allclose(np.ma.getdata(result), np.ma.getdata(whole), rtol=1e-5, atol=1e-4)


def test_nobody_is_told_of_work_that_is_refused(capsys):
    x = np.ones((20, 30))
    told = []
    for call in (
        lambda: ndimage.grey_opening(x, footprint=np.ones(3), progress=told.append),
        lambda: ndimage.median_filter(x, 3, mode="odd", progress=told.append),
        lambda: ndimage.gaussian_filter(x.astype(np.longdouble), 1, progress=told.append),
        lambda: ndimage.uniform_filter(x, 3, origin=5, progress=True),
        lambda: ndimage.maximum_filter(x, 3, output=np.ones(3), progress=True),
        lambda: ndimage.white_tophat(x, 3, mode="odd", progress=True),
        lambda: ndimage.gaussian_laplace(x, 1, radius=-1, progress=True),
        lambda: ndimage.laplace(x, mode="odd", progress=True),
    ):
        with pytest.raises((RuntimeError, ValueError)):
            call()
    assert not told
    assert capsys.readouterr().err == ""
    for name in ("grey_opening", "morphological_laplace", "median_filter", "maximum_filter"):
        with pytest.raises(TypeError, match=f"{name}: progress"):
            getattr(ndimage, name)(x, 3, progress="yes")


def test_a_size_that_is_not_looked_at_is_said_once(small_slabs):
    x = np.ones((43, 6, 7))
    for name in ("maximum_filter", "median_filter", "grey_opening", "white_tophat"):
        for progress in (None, lambda done, total: None):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                getattr(ndimage, name)(x, 3, np.ones((3, 3, 3)), progress=progress)
            assert [str(each.message) for each in said] == ["ignoring size because footprint is set"]
            assert said[0].filename == __file__


@pytest.mark.parametrize(("taps", "bits"), [(3, (40, 8)), (11, (8, 8)), (11, (30, 14)), (23, (16, 16))])
def test_sums_of_large_integers_are_exact(backend, taps, bits):
    """Below 2^53, by sums and by transforms, in groups of bits where these need it."""
    rng = np.random.default_rng(taps)
    x = rng.integers(-(2 ** bits[0]), 2 ** bits[0], (70, 80))
    kernel = rng.integers(-(2 ** bits[1]), 2 ** bits[1], (taps, taps))
    x[3, 5] = 2 ** bits[0]
    result = ndimage.correlate(x, kernel, mode="wrap")
    expected = np.zeros_like(x)
    for i, j in np.ndindex(kernel.shape):
        expected += kernel[i, j] * np.roll(x, (taps // 2 - i, taps // 2 - j), (0, 1))
    np.testing.assert_array_equal(result, expected)
