"""Missing pixels in fastconv.ndimage: NaN and masked arrays, against the definition and astropy."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv import ndimage

PADS = {
    "reflect": "symmetric",
    "mirror": "reflect",
    "nearest": "edge",
    "wrap": "wrap",
    "constant": "constant",
}
GREY = [name for name in ndimage.__all__ if name.startswith(("grey", "morph", "white", "black"))]
POLICIES = ["propagate", "omit", "interpolate"]

pytestmark = pytest.mark.one_instruction_set


def spotted(seed, shape, part=0.2):
    """Numbers, and which of them are missing: single ones, and a block in a corner."""
    rng = np.random.default_rng(seed)
    missing = rng.random(shape) < part
    missing[tuple(slice(0, max(1, n // 3)) for n in shape)] = True
    return rng.standard_normal(shape) * 10 + 50, missing


def by_definition(x, missing, kernel, mode, cval, policy, origin=0):
    """Sum over sum, window by window: the result, and which of its pixels are missing."""
    beyond = policy != "propagate" and np.isnan(cval)
    shifts = [origin] * x.ndim
    around = [(n // 2 + s, n - 1 - n // 2 - s) for n, s in zip(kernel.shape, shifts, strict=True)]
    fill = {"constant_values": 0 if beyond else cval} if mode == "constant" else {}
    gone = {"constant_values": beyond} if mode == "constant" else {}
    values = np.pad(np.where(missing, 0.0, x), around, PADS[mode], **fill)
    there = ~np.pad(missing, around, PADS[mode], **gone)
    axes = tuple(range(x.ndim, 2 * x.ndim))
    windows, present = (np.lib.stride_tricks.sliding_window_view(a, kernel.shape) for a in (values, there))
    sums = (windows * present * kernel).sum(axes)
    if policy == "propagate":
        return sums, ~present.all(axes)
    if policy == "interpolate":
        with np.errstate(all="ignore"):
            sums = np.where(present.all(axes), sums, sums * kernel.sum() / (present * kernel).sum(axes))
    return sums, ~present.any(axes)


@given(
    st.lists(st.sampled_from([1, 2, 5, 9]), min_size=1, max_size=3),
    st.data(),
    st.sampled_from(list(PADS)),
    st.sampled_from([0.0, 1.5, np.nan]),
    st.sampled_from(POLICIES),
    st.booleans(),
)
def test_every_policy_by_its_definition(backend, shape, data, mode, cval, policy, masked):
    size = tuple(data.draw(st.integers(1, 4)) for _ in shape)
    seed = data.draw(st.integers(0, 99))
    kernel = np.random.default_rng(seed).random(size) + 0.1
    x, missing = spotted(seed, shape)
    if policy == "propagate" and mode == "constant" and np.isnan(cval):
        cval = 0.0
    expected, gone = by_definition(x, missing, kernel, mode, cval, policy)
    given_x = np.ma.array(x, mask=missing) if masked else np.where(missing, np.nan, x)
    result = ndimage.correlate(given_x, kernel, mode=mode, cval=cval, nan_policy=policy)
    assert np.ma.isMaskedArray(result) == masked
    np.testing.assert_array_equal(result.mask if masked else np.isnan(result), gone)
    np.testing.assert_allclose(np.ma.getdata(result)[~gone], expected[~gone], rtol=1e-12, atol=1e-10)


@given(
    st.lists(st.integers(7, 20), min_size=1, max_size=3),
    st.data(),
    st.sampled_from(["constant", "nearest", "wrap"]),
    st.sampled_from(["omit", "interpolate"]),
    st.sampled_from(["float32", "float64"]),
)
def test_as_astropy(backend, shape, data, mode, policy, dtype):
    convolution = pytest.importorskip("astropy.convolution")
    size = tuple(data.draw(st.sampled_from([1, 3, 5, 7])) for _ in shape)
    x, missing = spotted(sum(shape), shape, 0.05)
    x = np.where(missing, np.nan, x).astype(dtype)
    kernel = np.random.default_rng(2).random(size) + 0.01
    beyond = 2.0 if policy == "interpolate" else 0.0  # astropy's value for NaN, too
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = convolution.convolve(
            x,
            kernel,
            boundary={"constant": "fill", "nearest": "extend", "wrap": "wrap"}[mode],
            fill_value=beyond,
            nan_treatment={"omit": "fill", "interpolate": "interpolate"}[policy],
            normalize_kernel=False,
        )
    if policy == "omit":  # astropy fills with 0, so that windows without pixels give 0
        expected = np.where(by_definition(x, missing, kernel, mode, beyond, policy)[1], np.nan, expected)
    result = ndimage.convolve(x, kernel, mode=mode, cval=beyond, nan_policy=policy)
    assert result.dtype == dtype
    # Kernels of a hundred weights and more may be transforms: windows of zeros have rounding errors of their block.
    largest = np.nanmax(np.abs(expected), initial=0)
    rtol, of_block = (1e-12, 1e-14) if dtype == "float64" else (1e-5, 1e-6)
    np.testing.assert_allclose(result, expected, rtol=rtol, atol=of_block * largest)


FILTERS = {
    "correlate": lambda x, **o: ndimage.correlate(x, np.full((3, 5), 1 / 15), **o),
    "correlate1d": lambda x, **o: ndimage.correlate1d(x, [1.0, 2, 1], axis=0, **o),
    "convolve1d": lambda x, **o: ndimage.convolve1d(x, [1.0, 2, 1, 4], axis=1, **o),
    "gaussian": lambda x, **o: ndimage.gaussian_filter(x, 1.5, mode="nearest", **o),
    "gaussian1d": lambda x, **o: ndimage.gaussian_filter1d(x, 1.5, **o),
    "mean": lambda x, **o: ndimage.uniform_filter(x, (3, 6), mode="wrap", **o),
    "mean1d": lambda x, **o: ndimage.uniform_filter1d(x, 4, **o),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_missing_pixel_changes_the_windows_that_hold_it(name, dtype):
    """And means of what is there are between its least and its largest, so that a flat picture stays flat."""
    function = FILTERS[name]
    x = np.random.default_rng(0).random((50, 60)).astype(dtype)
    holed = x.copy()
    holed[20, 31] = np.nan
    plain, spread = function(x), np.isnan(function(holed))
    assert 3 <= spread.sum() < 200
    for policy in ("omit", "interpolate"):
        result = function(holed, nan_policy=policy)
        assert not np.isnan(result).any()
        np.testing.assert_array_equal(result[~spread], plain[~spread])
        assert np.abs(result - plain)[spread].max() > 1e-4
    flat = np.where(np.isnan(holed), np.nan, 2).astype(dtype)
    whole = function(np.full_like(flat, 2))
    np.testing.assert_allclose(function(flat, nan_policy="interpolate"), whole, rtol=1e-6)


ORDERED = {
    "sobel": lambda x: ndimage.sobel(x, 0),
    "prewitt": ndimage.prewitt,
    "laplace": ndimage.laplace,
    "gaussian_laplace": lambda x: ndimage.gaussian_laplace(x, 1.0),
    "gaussian_gradient_magnitude": lambda x: ndimage.gaussian_gradient_magnitude(x, 1.0),
    "median_filter": lambda x: ndimage.median_filter(x, (3, 5)),
    "percentile_filter": lambda x: ndimage.percentile_filter(x, 30, footprint=np.eye(3, dtype=bool)),
    "rank_filter": lambda x: ndimage.rank_filter(x, 0, 3),
    "maximum_filter": lambda x: ndimage.maximum_filter(x, (3, 5), origin=(1, 0)),
    "minimum_filter": lambda x: ndimage.minimum_filter(x, footprint=[[0, 1, 0], [1, 1, 1]]),
    "maximum_filter1d": lambda x: ndimage.maximum_filter1d(x, 4),
    "grey_dilation": lambda x: ndimage.grey_dilation(x, structure=np.zeros((3, 2))),
    "grey_erosion": lambda x: ndimage.grey_erosion(x, 3),
    "grey_opening": lambda x: ndimage.grey_opening(x, 3),
    "morphological_gradient": lambda x: ndimage.morphological_gradient(x, 3),
    "morphological_laplace": lambda x: ndimage.morphological_laplace(x, 3),
    "white_tophat": lambda x: ndimage.white_tophat(x, 3),
    "black_tophat": lambda x: ndimage.black_tophat(x, 3),
}


@pytest.mark.parametrize("name", ORDERED)
def test_every_filter_masks_what_a_masked_pixel_reaches(backend, name):
    """No value under the mask is seen: whatever it is, what is not masked stays."""
    rng = np.random.default_rng(3)
    x, mask = rng.random((30, 40)), np.zeros((30, 40), bool)
    mask[12, 17] = mask[3, 30] = mask[29, 0] = True
    results = [ORDERED[name](np.ma.array(np.where(mask, value, x), mask=mask)) for value in (0, 1e6)]
    plain = ORDERED[name](x)
    for result in results:
        assert isinstance(result, np.ma.MaskedArray)
        assert result.dtype == plain.dtype
        assert mask.sum() <= result.mask.sum() < 300
        np.testing.assert_array_equal(result.data[~result.mask], plain[~result.mask])
    np.testing.assert_array_equal(results[0].mask, results[1].mask)
    changed = ORDERED[name](np.where(mask, 1e6, x)) != ORDERED[name](np.where(mask, -1e6, x))
    assert not (changed & ~results[0].mask).any()


def test_integers_and_results_that_are_given():
    x = np.full((9, 12), 100, np.uint8)
    x[4, 5] = 255
    masked = np.ma.array(x, mask=x == 255)
    result = ndimage.gaussian_filter(masked, 1.0, nan_policy="interpolate", saturate=True)
    assert result.dtype == np.uint8
    assert (result == 100).all()
    into = np.ma.zeros((9, 12), np.uint8)
    assert ndimage.uniform_filter(masked, 3, into) is into
    assert into.mask.sum() == 9
    into = np.zeros((9, 12))
    result = ndimage.uniform_filter(masked, 3, into, nan_policy="omit")
    assert np.shares_memory(result, into)
    np.testing.assert_allclose(into[4, 5], 800 / 9)
    floats = np.where(x == 255, np.nan, 1.0)
    assert ndimage.uniform_filter(floats, 1, "uint8", nan_policy="omit")[4, 5] == 0
    ndimage.gaussian_filter(floats, 1, output=floats, nan_policy="interpolate")
    np.testing.assert_allclose(floats, 1.0)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda x: ndimage.correlate(x, np.ones((3, 3)), nan_policy="raise"), ValueError, "'omit'"),
        (lambda x: ndimage.correlate1d(x, [-1, 0, 1], nan_policy="interpolate"), ValueError, "sum to 0"),
        (lambda x: ndimage.sobel(x, nan_policy="interpolate"), ValueError, "sum to 0"),
        (lambda x: ndimage.gaussian_filter(x, 1, 1, nan_policy="interpolate"), ValueError, "sum to 0"),
        (lambda x: ndimage.correlate(x * 1j, np.ones((3, 3)), nan_policy="omit"), TypeError, "real"),
        (lambda x: ndimage.correlate(x, np.ones((3, 3)) * 1j, nan_policy="omit"), TypeError, "complex"),
        (lambda x: ndimage.match_template(np.ma.array(x), x[:2, :2]), TypeError, "masked"),
    ],
)
def test_errors(call, error, said):
    with pytest.raises(error, match=said):
        call(np.ones((4, 5)))


@pytest.mark.parametrize("name", ["correlate", "convolve", "correlate1d", "convolve1d"])
def test_masked_weights_are_refused(name):
    shape = (3,) if name.endswith("1d") else (3, 3)
    weights = np.ma.array(np.ones(shape), mask=False)
    weights[..., 0] = np.ma.masked
    with pytest.raises(ValueError, match="weights has masked elements"):
        getattr(ndimage, name)(np.ones((5, 6)), weights)
    weights.mask = False
    np.testing.assert_array_equal(
        getattr(ndimage, name)(np.ones((5, 6)), weights), np.full((5, 6), weights.size)
    )


@pytest.mark.parametrize("name", ["median_filter", "maximum_filter", *GREY])
@pytest.mark.parametrize("argument", ["footprint", "structure"])
def test_masked_windows_are_refused(name, argument):
    if argument == "structure" and name in ("median_filter", "maximum_filter"):
        pytest.skip("has no structure")
    window = np.ma.array(np.ones((3, 3)), mask=np.eye(3))
    with pytest.raises(ValueError, match=f"{argument} has masked elements"):
        getattr(ndimage, name)(np.ones((5, 6)), **{argument: window})
