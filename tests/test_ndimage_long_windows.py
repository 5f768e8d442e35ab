"""Windows that are longer than the array: what they give, and that no kernel gets them as they are."""

import re
import sys
import tracemalloc

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from checks import run_python
from fastconv import ndimage
from fastconv.filtering import blocks, folding
from fastconv.filtering.arguments import BORDERS

pytestmark = pytest.mark.one_instruction_set

PADDED = {
    "reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap", "constant": "constant",
}  # fmt: skip
DTYPES = ["uint8", "int16", "int64", "float32", "float64", "bool"]


def on_padded(name, x, reach, mode, cval, *args, **options):
    """SciPy's filter of an array with so many pixels around it that its own border is not seen.

    It mirrors less often than it takes; and sees other bytes than 0 and 1 in booleans.
    """
    constant = {"constant_values": cval} if mode == "constant" else {}
    padded = np.pad(x, reach, PADDED[mode], **constant)
    result = getattr(scipy.ndimage, name)(padded, *args, **options)
    return result[(slice(reach, -reach),) * x.ndim]


@st.composite
def cases(draw, most=2):
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=most))
    sizes = [draw(st.integers(1, 50 if len(shape) == 1 else 20)) for _ in shape]
    origins = [draw(st.integers(-(size // 2), (size - 1) // 2)) for size in sizes]
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    x = (random.random(shape) * 200 - (100 if dtype.kind in "if" else 0)).astype(dtype)
    if dtype.kind == "b":
        x = random.random(shape) < 0.5
    cval = draw(st.integers(0, 1)) if dtype.kind == "b" else draw(st.sampled_from([0, 7]))
    return x, sizes, origins, draw(st.sampled_from(sorted(PADDED))), cval, random


def close(result, expected, x, scale=1.0):
    assert result.dtype == expected.dtype
    if result.dtype.kind != "f":
        np.testing.assert_array_equal(result, expected)
    else:
        unit = 1e-6 if x.dtype == np.float32 else 1e-13
        np.testing.assert_allclose(result, expected, rtol=0, atol=unit * 200 * scale)


@given(case=cases())
@settings(deadline=None, max_examples=40)
def test_extrema(backend, case):
    x, sizes, origins, mode, cval, _ = case
    for name in ("maximum_filter", "minimum_filter"):
        expected = on_padded(name, x, 51, mode, cval, sizes, origin=origins)
        result = getattr(ndimage, name)(x, sizes, mode=mode, cval=cval, origin=origins, backend=backend)
        close(result, expected, x)


@given(case=cases())
@settings(deadline=None, max_examples=40)
def test_footprints_and_ranks(backend, case):
    x, sizes, origins, mode, cval, random = case
    footprint = random.random(sizes) < 0.5
    footprint.flat[0] = footprint.flat[-1] = True
    options = {"mode": mode, "cval": cval, "origin": origins, "backend": backend}
    expected = on_padded("maximum_filter", x, 51, mode, cval, footprint=footprint, origin=origins)
    close(ndimage.maximum_filter(x, footprint=footprint, **options), expected, x)
    if x.ndim > 1:  # SciPy looks at the whole window of one axis
        expected = on_padded("median_filter", x, 51, mode, cval, footprint=footprint, origin=origins)
        close(ndimage.median_filter(x, footprint=footprint, **options), expected, x)


@given(case=cases())
@settings(deadline=None, max_examples=40)
def test_means_of_one_axis(backend, case):
    x, sizes, origins, mode, cval, _ = case
    x = x if x.ndim == 1 else x[:, 0]
    expected = on_padded("uniform_filter1d", x, 51, mode, cval, sizes[0], origin=origins[0])
    result = ndimage.uniform_filter1d(x, sizes[0], mode=mode, cval=cval, origin=origins[0], backend=backend)
    close(result, expected, x)


@given(case=cases(), integers=st.booleans())
@settings(deadline=None, max_examples=40)
def test_sums(backend, case, integers):
    x, sizes, origins, mode, cval, random = case
    weights = random.standard_normal(sizes)
    if integers:
        weights = np.rint(3 * weights)
    for sign in (weights, abs(weights)):
        expected = on_padded("correlate", x, 51, mode, cval, sign, origin=origins)
        result = ndimage.correlate(
            x, sign, mode=mode, cval=cval, origin=origins, separable=False, backend=backend
        )
        close(result, expected, x, abs(weights).sum())
    if x.ndim == 1:
        expected = on_padded("correlate1d", x, 51, mode, cval, weights, origin=origins[0])
        result = ndimage.correlate1d(x, weights, mode=mode, cval=cval, origin=origins[0], backend=backend)
        close(result, expected, x, abs(weights).sum())


@pytest.mark.parametrize("mode", PADDED)
@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("length", [1025, 1030, 4001])
def test_means_over_several_periods(backend, mode, size, length):
    """From 1025 pixels on, whole periods are counted."""
    random = np.random.default_rng(0)
    for dtype in DTYPES[:-1]:
        x = (100 * random.random((4, size))).astype(dtype)
        for origin in (0, -(length // 2), (length - 1) // 2, 5):
            for axis, array in ((1, x), (0, np.ascontiguousarray(x.T))):
                padded = np.pad(x.astype(float), [(0, 0), (length, length)], PADDED[mode])
                start = np.arange(size) + length - length // 2 - origin
                sums = np.stack([padded[:, i : i + length].sum(1) for i in start], 1)
                exact = sums / length
                result = ndimage.uniform_filter1d(
                    array, length, axis, mode=mode, origin=origin, backend=backend
                )
                result = result if axis else result.T
                if x.dtype.kind == "f":
                    np.testing.assert_allclose(result, exact, rtol=1e-6 if dtype == "float32" else 1e-13)
                else:
                    np.testing.assert_array_equal(result, exact.astype(dtype))


@pytest.mark.parametrize("mode", PADDED)
def test_medians_over_several_periods(backend, mode):
    """Windows that no kernel counts, of more than 65535 pixels: each pixel counts as often as it is seen."""
    random = np.random.default_rng(0)
    x = random.random((3, 4))
    holes = random.random((301, 303)) < 0.9
    for window, origins in (
        (np.ones((301, 303), bool), (0, 0)),
        (np.ones((300, 400), bool), (-100, 190)),
        (holes, (9, 9)),
    ):
        padded = np.pad(x, 410, PADDED[mode])
        for rank in (7, 40000, -3000):
            result = ndimage.rank_filter(x, rank, None, window, mode=mode, origin=origins, backend=backend)
            for pixel in np.ndindex(x.shape):
                first = [410 + p - n // 2 - o for p, n, o in zip(pixel, window.shape, origins, strict=True)]
                seen = padded[tuple(slice(f, f + n) for f, n in zip(first, window.shape, strict=True))][
                    window
                ]
                assert result[pixel] == np.sort(seen)[rank]
        if window is not holes:
            by_size = ndimage.rank_filter(x, rank, window.shape, mode=mode, origin=origins, backend=backend)
            np.testing.assert_array_equal(by_size, result)


def test_medians_of_what_is_left(backend):
    x = np.array([3.0, np.nan, 5, 4, 9])
    result = ndimage.median_filter(x, 100_001, mode="wrap", nan_policy="omit", backend=backend)
    np.testing.assert_array_equal(result, [4, 5, 5, 4, 5])  # each is seen 20,000 times, the middle once more
    result = ndimage.percentile_filter(x, 40, 100_001, mode="nearest", nan_policy="omit", backend=backend)
    np.testing.assert_array_equal(result, [3, 3, 3, 3, 3])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", PADDED)
def test_weights_that_would_cancel_see_their_pixels(backend, mode, dtype):
    """1 and -1 on one pixel are 0 together, but NaN less NaN is NaN."""
    weights = np.tile([1.0, -1.0], 8)[:15]
    for value in (np.nan, np.inf):
        x = np.ones(2, dtype)
        x[0] = value
        expected = on_padded("correlate1d", x, 60, mode, 0, weights)
        result = ndimage.correlate1d(x, weights, mode=mode, backend=backend)
        np.testing.assert_allclose(result, expected)


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_sums_next_to_integers(backend, dtype):
    """Sums that are cut off come in SciPy's order, whatever the weights are folded to."""
    x = np.full((5, 7), 100, dtype)
    for sigma in (3, 20, 60):
        expected = scipy.ndimage.gaussian_filter(np.pad(x, 250, "symmetric"), sigma)[250:255, 250:257]
        np.testing.assert_array_equal(ndimage.gaussian_filter(x, sigma, backend=backend), expected)
    weights = np.full((90, 90), 1 / 8100)
    expected = on_padded("correlate", x, 100, "reflect", 0, weights)
    np.testing.assert_array_equal(ndimage.correlate(x, weights, backend=backend), expected)


CALLS = {
    "maximum_filter": lambda x, b: ndimage.maximum_filter(x, 30001, backend=b),
    "maximum_filter1d": lambda x, b: ndimage.maximum_filter1d(x, 10**7, backend=b),
    "uniform_filter": lambda x, b: ndimage.uniform_filter(x, 10**6, backend=b),
    "uniform_filter1d": lambda x, b: ndimage.uniform_filter1d(x, 10**8, backend=b),
    "grey_opening": lambda x, b: ndimage.grey_opening(x, 10**6, backend=b),
    "morphological_laplace": lambda x, b: ndimage.morphological_laplace(x, 10**6, mode="wrap", backend=b),
    "maximum of NaN": lambda x, b: ndimage.maximum_filter(x, 10**6, nan_policy="omit", backend=b),
    "mean of NaN": lambda x, b: ndimage.uniform_filter(x, 10**6, mode="wrap", nan_policy="interpolate", backend=b),
    "minimum by rank": lambda x, b: ndimage.rank_filter(x, 0, 30001, backend=b),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_memory_does_not_grow_with_the_window(backend, name):
    x = np.arange(25.0).reshape(5, 5)
    if "NaN" in name:
        x[1, 2] = np.nan
    CALLS[name](x, backend)
    tracemalloc.start()
    CALLS[name](x, backend)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 18


@pytest.mark.parametrize("mode", PADDED)
@pytest.mark.parametrize("size", [1, 2, 5, 300])
def test_no_kernel_gets_a_window_longer_than_it_can_see(mode, size):
    border = BORDERS[mode]
    for before, after in ((10**9, 10**9), (0, 10**9), (10**9, 3), (10**7, 0)):
        reach = blocks.Reach(before, after, border)
        shorter = folding.shortened(size, reach)
        assert shorter.extent <= 2 * size
        assert min(shorter.before, shorter.after) >= 0
        shorter, extras = folding.counted(size, reach)
        assert shorter.extent < 4 * size
        assert (
            shorter.extent + 1 + sum(extra.times * (extra.reach.extent + 1) for extra in extras)
            == before + after + 1
        )


def test_windows_within_the_array_stay_as_they_are():
    for mode in PADDED:
        reach = blocks.Reach(4, 5, BORDERS[mode])
        assert folding.shortened(10, reach) == reach
        assert folding.counted(10, reach) == (reach, [])
        assert folding.folded((10,), np.ones(10), [reach]) is None


def test_a_gaussian_that_memory_does_not_hold_is_refused(monkeypatch):
    monkeypatch.setattr("fastconv.execution.memory.total_memory", lambda: 10 << 30)
    for name in ("gaussian_filter", "gaussian_filter1d", "gaussian_laplace"):
        with pytest.raises(MemoryError, match=rf"^{name}: the kernel of sigma 1e\+09.* needs 238\.4 GiB"):
            getattr(ndimage, name)(np.ones(5), 1e9)


@pytest.mark.skipif(sys.platform != "linux", reason="where the system can limit memory")
def test_memory_that_a_kernel_does_not_get():
    """The error names the filter and the size."""
    pytest.importorskip("fastconv.backends.cython._engine")
    said = run_python(
        """
import numpy as np
from checks import limit_memory
from fastconv import ndimage
x = np.zeros((4000, 4000), np.uint8)
out = np.empty_like(x)
ndimage.maximum_filter(x[:50, :50], 5)
limit_memory(20)
for name in ("maximum_filter", "uniform_filter"):
    try:
        getattr(ndimage, name)(x, 3999, output=out)
    except MemoryError as error:
        print(error)
""",
        FASTCONV_NUM_THREADS="1",
    )
    for name, line in zip(("maximum_filter", "uniform_filter"), said.splitlines(), strict=True):
        wanted = (
            rf"{name}: not enough memory for the work: Unable to allocate \d+\.\d MiB of scratch memory .*"
        )
        assert re.fullmatch(wanted, line)


@pytest.mark.parametrize("dtype", ["uint16", "int64", "float32", "float64"])
@pytest.mark.parametrize("sizes", [(1, 131), (131, 1)])
def test_ranks_along_one_axis(backend, sizes, dtype):
    """Of more pixels than networks take; with equal pixels, and NaN, which reaches the windows that hold it."""
    random = np.random.default_rng(0)
    x = (random.random((150, 160)) * 300 - (0 if dtype == "uint16" else 150)).astype(dtype)
    x[40:60] = 7
    for rank in (3, 65, 100):
        options = {"rank": rank, "size": sizes, "mode": "wrap", "origin": [size // 4 for size in sizes]}
        expected = scipy.ndimage.rank_filter(x, **options)
        np.testing.assert_array_equal(ndimage.rank_filter(x, backend=backend, **options), expected)
        if x.dtype.kind == "f":
            spoilt = x.copy()
            spoilt[12, 34] = np.nan
            reached = scipy.ndimage.maximum_filter(
                np.isnan(spoilt), sizes, mode="wrap", origin=options["origin"]
            )
            result = ndimage.rank_filter(spoilt, backend=backend, **options)
            np.testing.assert_array_equal(result, np.where(reached, np.nan, expected))


def test_the_work_of_ranks_along_a_line_does_not_grow_with_the_window(monkeypatch):
    """Partitioning every window would look at each pixel as often as it is in one."""
    from fastconv.ndimage import ranks

    x = np.random.default_rng(0).random(30_000)
    monkeypatch.delattr(ranks, "sliding_window_view")
    for size in (101, 2001):
        expected = scipy.ndimage.median_filter(x, size)
        np.testing.assert_array_equal(ndimage.median_filter(x, size), expected)
