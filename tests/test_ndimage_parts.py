"""Stacks in parts, memory-mapped files, progress, and kernels that are products of lines."""

import functools
import tracemalloc

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from fastconv import ndimage, signal
from fastconv.filtering import parts
from fastconv.filtering.blocks import Reach

MODES = ["reflect", "mirror", "nearest", "wrap", "constant"]
pytestmark = pytest.mark.one_instruction_set


@pytest.fixture
def small_slabs(monkeypatch):
    monkeypatch.setattr(parts, "SLAB_BYTES", 1 << 12)


CALLS = {
    "gaussian": lambda mode: functools.partial(ndimage.gaussian_filter, sigma=1.2, mode=mode),
    "gaussian of frames": lambda mode: functools.partial(
        ndimage.gaussian_filter, sigma=1.2, axes=(1, 2), mode=mode
    ),
    "mean": lambda mode: functools.partial(
        ndimage.uniform_filter, size=(5, 4, 3), origin=(2, -2, 0), mode=mode
    ),
    "kernel": lambda mode: functools.partial(
        ndimage.correlate,
        weights=np.random.default_rng(0).random((4, 3, 2)),
        origin=(1, -1, 0),
        mode=mode,
        cval=0.5,
    ),
    "line": lambda mode: functools.partial(
        ndimage.convolve1d, weights=[1, 2, 3, 4], axis=0, mode=mode, cval=0.5
    ),
    "missing": lambda mode: functools.partial(
        ndimage.gaussian_filter, sigma=1.0, mode=mode, nan_policy="interpolate"
    ),
    "median": lambda mode: functools.partial(ndimage.median_filter, size=(3, 2, 3), mode=mode),
    "rank of frames": lambda mode: functools.partial(
        ndimage.rank_filter, rank=2, size=3, axes=(1, 2), mode=mode
    ),
    "percentile": lambda mode: functools.partial(
        ndimage.percentile_filter, percentile=40, footprint=np.ones((4, 1, 2)), origin=(-2, 0, 0), mode=mode
    ),
    "maximum": lambda mode: functools.partial(ndimage.maximum_filter, size=(5, 3, 1), mode=mode, cval=1.0),
    "minimum of a line": lambda mode: functools.partial(ndimage.minimum_filter1d, size=6, axis=0, mode=mode),
    "sobel": lambda mode: functools.partial(ndimage.sobel, axis=0, mode=mode),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CALLS)
def test_slabs_give_what_the_whole_gives(small_slabs, name, mode):
    function = CALLS[name](mode)
    x = np.random.default_rng(1).random((43, 6, 7)).astype(np.float32)
    x[x > 0.98] = np.nan if name == "missing" else 2
    told = []
    result = function(x, progress=lambda done, total: told.append((done, total)))
    assert len(told) > 2
    assert told == [(done, told[-1][1]) for done in range(told[-1][1] + 1)]
    np.testing.assert_allclose(result, function(x), rtol=2e-6, atol=2e-6)
    masked = np.ma.array(x, mask=x > 0.9)
    by_slab = function(masked, progress=lambda done, total: None)
    np.testing.assert_array_equal(by_slab.mask, function(masked).mask)


def test_memory_mapped_files(tmp_path):
    """In and out, in memory that does not grow with the stack."""
    shape = (300, 128, 128)
    x = np.lib.format.open_memmap(tmp_path / "in.npy", "w+", np.uint8, shape)
    x[:] = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.uint8, shape)
    x = np.load(tmp_path / "in.npy", mmap_mode="r")
    tracemalloc.start()
    result = ndimage.gaussian_filter(x, 1.0, output=out, saturate=True)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result is out
    part = slice(100, 120)
    exact = scipy.ndimage.gaussian_filter(x[90:130].astype(float), 1.0)[10:30]
    assert np.abs(out[part] - exact).max() <= 0.5 + 1e-4
    assert most < 4 * parts.SLAB_BYTES


def test_extrema_and_morphology_of_files(tmp_path, small_slabs):
    x = np.lib.format.open_memmap(tmp_path / "in.npy", "w+", np.uint8, (50, 9, 11))
    x[:] = np.random.default_rng(0).integers(0, 256, x.shape, dtype=np.uint8)
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.uint8, x.shape)
    for name in ("maximum_filter", "grey_erosion", "grey_opening", "white_tophat", "median_filter"):
        function = getattr(ndimage, name)
        assert function(x, 3, output=out) is out
        np.testing.assert_array_equal(out, function(np.array(x), 3))
        np.testing.assert_array_equal(out, getattr(scipy.ndimage, name)(np.array(x), 3))
    with pytest.raises(TypeError, match="progress"):
        ndimage.median_filter(x, 3, progress=3)
    with pytest.raises(RuntimeError, match="2, needs 3"):
        ndimage.maximum_filter(x, footprint=np.ones((3, 3)), progress=True)


def test_progress_is_shown(capsys):
    x = np.ones((20, 30))
    ndimage.uniform_filter(x, 3, progress=True)
    assert "1 of 1" in capsys.readouterr().err
    ndimage.uniform_filter(x, 3)
    ndimage.uniform_filter(x, 3, progress=False)
    assert capsys.readouterr().err == ""
    with pytest.raises(TypeError, match="progress"):
        ndimage.uniform_filter(x, 3, progress="yes")


def test_results_in_the_place_of_the_array_are_not_cut(small_slabs):
    x = np.random.default_rng(1).random((43, 6, 7))
    expected = ndimage.gaussian_filter(x, 1.0)
    ndimage.gaussian_filter(x, 1.0, output=x, progress=lambda done, total: None)
    np.testing.assert_array_equal(x, expected)


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.sampled_from(MODES),
    st.sampled_from([0.0, 1.0]),
    st.sampled_from(["float32", "float64", "uint8"]),
    st.booleans(),
    st.data(),
)
def test_products_of_lines(backend, size, mode, cval, dtype, convolve, data):
    rng = np.random.default_rng(sum(size))
    kernel = functools.reduce(np.multiply.outer, [rng.standard_normal(n) for n in size])
    origin = [data.draw(st.integers(-((n - 1) // 2), (n - 1) // 2)) for n in size]
    x = (rng.random([11, 8, 9][: len(size)]) * 200).astype(dtype)
    function = ndimage.convolve if convolve else ndimage.correlate
    results = [
        function(x, kernel, np.result_type(dtype, "f4"), mode, cval, origin, separable=each)
        for each in (True, "auto", False)
    ]
    scale = 300 * float(np.abs(kernel).sum())
    for result in results[:2]:
        unit = 1e-14 if dtype == "float64" else 1e-6
        np.testing.assert_allclose(result, results[2], rtol=0, atol=unit * scale)
    exact = getattr(scipy.ndimage, function.__name__)(x.astype(float), kernel, None, mode, cval, origin)
    np.testing.assert_allclose(
        results[0], exact, rtol=0, atol=(1e-14 if dtype == "float64" else 1e-6) * scale
    )


def test_integers_stay_as_scipys_and_boxes_exact():
    x = np.random.default_rng(0).integers(0, 256, (40, 50))
    binomial = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])
    np.testing.assert_array_equal(
        ndimage.correlate(x, binomial / 256), scipy.ndimage.correlate(x, binomial / 256)
    )
    exact = ndimage.correlate(x, binomial)
    for kernel, expected in (
        (binomial, exact),
        (np.ones((5, 5)), ndimage.correlate(x, np.ones((5, 5), int))),
    ):
        result = ndimage.correlate(x.astype(float), kernel)
        np.testing.assert_array_equal(result, expected)
    as_bytes = x.astype(np.uint8)
    whole = ndimage.correlate(as_bytes, binomial / 256, saturate=True, separable=False)
    lines = ndimage.correlate(as_bytes, binomial / 256, saturate=True)
    np.testing.assert_array_equal(lines, whole)


def test_lines_of_what_is_none(backend):
    x, kernel = np.random.default_rng(0).random((40, 50)), np.random.default_rng(1).random((5, 5))
    with pytest.raises(ValueError, match=r"0\.\d+ of their size away"):
        ndimage.correlate(x, kernel, separable=True)
    np.testing.assert_array_equal(ndimage.correlate(x, kernel), ndimage.correlate(x, kernel, separable=False))
    near = np.outer(kernel[0], kernel[1])
    near[0, 0] *= 1 + 1e-7
    close = ndimage.correlate(x, near, separable=True)
    np.testing.assert_allclose(close, scipy.ndimage.correlate(x, near), rtol=1e-6)
    with pytest.raises(ValueError, match="separable"):
        ndimage.correlate(x, kernel, separable="always")
    with pytest.raises(ValueError, match="complex"):
        ndimage.correlate(x, kernel * 1j, separable=True)


ROOMY = {
    "laplace": ((), {}),
    "gaussian_laplace": ((1.0,), {}),
    "gaussian_gradient_magnitude": ((1.0,), {}),
    "grey_opening": ((5,), {}),
    "grey_closing": ((), {"footprint": [[0, 1, 0], [1, 1, 1]]}),
    "white_tophat": ((5,), {}),
    "black_tophat": ((), {"structure": [[1, 2], [3, 0], [0, 1]]}),
    "morphological_gradient": ((4,), {}),
    "morphological_laplace": ((5,), {}),
    "gaussian_filter": ((2.0,), {"nan_policy": "interpolate"}),
    "uniform_filter": ((5,), {"nan_policy": "omit"}),
    "maximum_filter": ((5,), {"nan_policy": "omit"}),
    "median_filter": ((3,), {"nan_policy": "omit"}),
}


@pytest.mark.parametrize("kind", ["float32", "uint8", "saturated", "masked"])
@pytest.mark.parametrize("name", ROOMY)
def test_filters_that_make_arrays_of_their_own_work_in_bounded_memory(monkeypatch, name, kind):
    """And give what they give of the whole, whatever borders there are; the result where the array is, too."""
    args, options = ROOMY[name]
    rng = np.random.default_rng(0)
    x = rng.integers(0, 99, (2500, 300)).astype("float32" if kind == "float32" else "uint8")
    if kind == "float32" and "nan_policy" in options:
        x[rng.random(x.shape) < 0.001] = np.nan
    if kind == "masked":
        x = np.ma.array(x, mask=rng.random(x.shape) < 0.001)
    if kind == "saturated":
        if "filter" in name or name.startswith(("grey", "white", "black", "morph")):
            pytest.skip("nothing is saturated there")
        options = options | {"saturate": True}
    function = functools.partial(getattr(ndimage, name), **options)
    modes = ["reflect", "wrap", "constant"]
    whole = [function(x, *args, mode=mode) for mode in modes]
    monkeypatch.setattr(parts, "ROOM_BYTES", 1 << 15)
    for mode, expected in zip(modes, whole, strict=True):
        result = function(x, *args, mode=mode)
        assert type(result) is type(expected)
        np.testing.assert_array_equal(np.ma.getmaskarray(result), np.ma.getmaskarray(expected))
        np.testing.assert_array_equal(np.ma.getdata(result), np.ma.getdata(expected))
    place = x.copy()
    function(place, *args, output=place)
    np.testing.assert_array_equal(np.ma.getdata(place), np.ma.getdata(whole[0]))
    out = np.ma.zeros(x.shape, x.dtype) if kind == "masked" else np.zeros_like(x)
    function(x, *args, output=out)
    tracemalloc.start()
    function(x, *args, output=out)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < (7 << 18) + (2.2 * x.size if kind == "masked" else 0)  # the masks are those of the whole


UNEVEN = {
    "correlate": lambda x, **o: ndimage.correlate(x, np.arange(1.0, 21).reshape(4, 5), origin=(1, -2), **o),
    "uniform_filter": lambda x, **o: ndimage.uniform_filter(x, (6, 3), origin=(-3, 1), **o),
    "maximum_filter": lambda x, **o: ndimage.maximum_filter(x, (4, 3), origin=(1, 0), **o),
    "median_filter": lambda x, **o: ndimage.median_filter(x, (4, 3), origin=(-2, 1), **o),
    "grey_opening": lambda x, **o: ndimage.grey_opening(x, (4, 3), origin=(1, 0), **o),
    "morphological_gradient": lambda x, **o: ndimage.morphological_gradient(x, (6, 3), origin=(-3, 0), **o),
}


@pytest.mark.parametrize("name", UNEVEN)
@pytest.mark.parametrize("mode", ["reflect", "mirror", "nearest", "wrap", "constant"])
def test_slabs_of_windows_that_reach_further_on_one_side(monkeypatch, name, mode):
    x = np.random.default_rng(0).random((83, 20))
    whole = UNEVEN[name](x, mode=mode)
    for numbers in (20, 700):
        monkeypatch.setattr(parts, "SLAB_BYTES", 8 * numbers)
        told = []
        np.testing.assert_array_equal(
            UNEVEN[name](x, mode=mode, progress=lambda *each, told=told: told.append(each)), whole
        )
        assert len(told) > 1


@pytest.mark.parametrize("mode", ["reflect", "mirror", "nearest", "wrap", "constant"])
def test_regions_with_missing_pixels(monkeypatch, mode):
    """Windows that reach further on one side, results longer and shorter than the array."""
    rng = np.random.default_rng(1)
    x = np.where(rng.random((83, 90)) < 0.01, np.nan, rng.random((83, 90)))
    kernel = rng.random((4, 3))
    calls = [lambda: ndimage.correlate(x, kernel, mode=mode, origin=(-2, 1), nan_policy="interpolate")]
    for part in ("full", "same", "valid"):
        border = {"reflect": "symm", "wrap": "wrap"}.get(mode, "fill")
        calls += [
            lambda p=part, b=border: signal.convolve2d(x, kernel, p, b, nan_policy="interpolate"),
            lambda p=part: signal.correlate(x, kernel, p, "direct", nan_policy="interpolate"),
            lambda p=part: signal.fftconvolve(x, kernel, p, nan_policy="interpolate"),
        ]
    whole = [call() for call in calls]
    monkeypatch.setattr(parts, "_REGION", 7)
    for call, expected in zip(calls, whole, strict=True):
        np.testing.assert_allclose(call(), expected, rtol=1e-13)


def test_slabs_are_as_long_as_each_other():
    """With their neighbours of no more numbers than they may have."""
    for rows, numbers, extent in ((4472, 410 * 50, 16), (1000, 7 * 50, 2), (3, 50, 0), (0, 50, 2)):
        lengths = [each.stop - each.start for each in parts.slabs((rows, 50), Reach(extent, 0), numbers)]
        assert sum(lengths) == rows
        if rows:
            assert (max(lengths) + extent) * 50 <= max(numbers, 5 * extent * 50)
            assert max(lengths) - min(lengths) < len(lengths)
