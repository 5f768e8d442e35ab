"""Corners of fastconv.ndimage and fastconv.signal: arrays without axes or pixels, weights of 0, odd arguments."""

import tracemalloc

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from fastconv import ndimage, signal
from fastconv.filtering import parts

pytestmark = pytest.mark.one_instruction_set


@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint64", "float32", "float64", "complex64"])
def test_arrays_without_axes(backend, dtype):
    x = np.array(43, dtype)
    for name in ("correlate", "convolve"):
        for weights in (2.6, np.array(3), np.array(1.0)):
            for separable in ("auto", True, False):
                expected = getattr(scipy.ndimage, name)(x, weights)
                result = getattr(ndimage, name)(x, weights, separable=separable)
                assert (result.dtype, result.shape) == (expected.dtype, ())
                np.testing.assert_allclose(result, expected, rtol=1e-6)


KERNELS = {
    "line": [-1.0, 0, 1],
    "lone": [0.0, 0, 3, 0],
    "ring": [[1.0, 2, 1], [2, 0, 2], [1, 2, 1]],
    "corners": [[1.0, 0, 0, 2], [0, 0, 0, 0], [0, 0, 0, 0], [5, 0, 0, 1]],
    "disk": (np.hypot(*np.mgrid[-6:7, -6:7]) < 6.2).astype(float),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_weight_of_zero_sees_no_pixel(backend, name, dtype):
    """Whatever that is, however the array lies in memory, and by whatever way it is filtered."""
    kernel = np.array(KERNELS[name])
    x = np.random.default_rng(0).random((40, 50)).astype(dtype)
    plain = x.copy()
    x[7, 30], x[20, 20], x[25, 5] = np.nan, np.inf, -np.inf
    finite = np.isfinite(x)
    whole = kernel[:, None] if kernel.ndim == 1 else kernel

    def call(x, **options):
        if kernel.ndim == 1:
            return ndimage.correlate1d(x, kernel, axis=0, mode="constant", **options)
        return ndimage.correlate(x, kernel, mode="constant", separable=False, **options)

    seen = scipy.ndimage.correlate((~finite).astype(float), (whole != 0).astype(float), mode="constant") > 0.5
    expected = call(plain)
    shifted = np.zeros((41, 50), dtype)
    shifted[:-1] = x
    results = [
        call(x),
        call(np.asfortranarray(x)),
        call(np.repeat(x, 2, 1)[:, ::2]),
        call(x, output=np.zeros((40, 100), dtype)[:, ::2]),
        call(shifted[:-1], output=shifted[1:]),
    ]
    for result in results:
        np.testing.assert_array_equal(np.isfinite(result), ~seen)
        np.testing.assert_allclose(result[~seen], expected[~seen], rtol=1e-5, atol=1e-5)


def test_a_weight_of_zero_stays_one(backend):
    """That of the second derivative of a Gaussian, one standard deviation from its middle, in float32 as well."""
    x = np.zeros((40, 3), np.float32)
    x[20, 1] = np.nan
    for dtype in (np.float32, np.float64):
        gone = np.isnan(ndimage.gaussian_filter1d(x.astype(dtype), 2.0, axis=0, order=2, mode="constant"))
        assert np.flatnonzero(gone[:, 1]).tolist() == [i for i in range(12, 29) if abs(i - 20) != 2]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_heights_that_are_no_integers(backend, dtype):
    """Are cut off to the dtype of the array, as SciPy's, all but the first."""
    rng = np.random.default_rng(0)
    x, heights = rng.integers(0, 90, (20, 30)).astype(dtype), rng.random((3, 4)) * 5
    for name in ("grey_erosion", "grey_dilation", "grey_opening", "white_tophat", "morphological_laplace"):
        expected = getattr(scipy.ndimage, name)(x, structure=heights, mode="nearest")
        result = getattr(ndimage, name)(x, structure=heights, mode="nearest")
        np.testing.assert_array_equal(result, expected)


def test_what_is_not_a_number_is_saturated_to_the_lowest(backend):
    for shape in ((20, 33), (3,)):
        x = np.full(shape, 300.0)
        x.flat[0] = np.nan
        for dtype in (np.uint8, np.int16, np.uint32):
            result = ndimage.gaussian_filter(x, 1.0, output=dtype, mode="constant", cval=300, saturate=True)
            assert result.flat[0] == np.iinfo(dtype).min
            assert result.flat[-1] == (255 if dtype is np.uint8 else 300) or shape == (3,)
    assert ndimage.gaussian_filter(np.array([300, -4]), 0, output=np.uint8, saturate=True).tolist() == [
        255,
        0,
    ]


def test_interpolated_means_of_integers_round_ties_to_even(backend):
    rng = np.random.default_rng(0)
    x = np.ma.array(rng.integers(0, 9, (40, 50), np.uint8), mask=rng.random((40, 50)) < 0.3)
    padded = [np.pad(each, 1, mode="symmetric") for each in (x.filled(0).astype(int), ~x.mask)]
    total, count = (np.lib.stride_tricks.sliding_window_view(a, (3, 3)).sum((-2, -1)) for a in padded)
    mean = (2 * total + count) // np.maximum(2 * count, 1)
    mean -= ((2 * total + count) % np.maximum(2 * count, 1) == 0) & (mean % 2 == 1)
    result = ndimage.uniform_filter(x, 3, nan_policy="interpolate", saturate=True)
    np.testing.assert_array_equal(result.data[count > 0], mean[count > 0])


def test_a_flat_picture_of_integers_stays_flat(backend):
    """Where pixels are missing: a quotient next to an integer is not cut off to the one below."""
    mask, kernel = np.random.default_rng(0).random((40, 50)) < 0.3, [0.2, 0.25, 0.3, 0.25]
    for value in (7, 100, 12345):
        x = np.ma.array(np.full(mask.shape, value), mask=mask)
        touched = ndimage.correlate1d(x, kernel).mask
        result = ndimage.correlate1d(x, kernel, nan_policy="interpolate")
        assert (result.data[touched & ~result.mask] == value).all()


@pytest.mark.parametrize("dtype", [">f4", "f2", "u1", "i8"])
def test_templates_of_every_dtype(backend, dtype):
    feature = pytest.importorskip("skimage.feature")
    x = (np.random.default_rng(0).random((13, 17)) * 9).astype(dtype)
    for mode in ("mean", "reflect"):
        native = x if dtype != "f2" else x.astype(np.float32)
        expected = feature.match_template(
            native.astype(native.dtype.newbyteorder("=")), native[3:8, 4:9], True, mode
        )
        result = ndimage.match_template(x, x[3:8, 4:9], True, mode)
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result, expected, atol=1e-5 if result.dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("name", ["maximum_filter", "median_filter", "grey_opening", "grey_dilation"])
def test_a_constant_that_is_no_number(name):
    for cval in (None, "a", 1j, [1, 2]):
        with pytest.raises(TypeError, match="cval"):
            getattr(ndimage, name)(np.ones((4, 5)), 3, cval=cval)


@pytest.mark.parametrize("dtype", ["float16", "longdouble"])
def test_dtypes_that_no_filter_takes(dtype):
    for name in ("median_filter", "maximum_filter", "uniform_filter"):
        for x, output in ((np.ones((4, 5), dtype), None), (np.ones((4, 5)), dtype)):
            with pytest.raises(RuntimeError, match="not supported"):
                getattr(ndimage, name)(x, 3, output=np.dtype(output) if output else None)


def test_parts_of_permuted_and_empty_arrays(monkeypatch):
    """Sizes are those of `axes` in their order; a size of 0 is none; an empty masked array stays masked."""
    monkeypatch.setattr(parts, "SLAB_BYTES", 256)
    x = np.random.default_rng(0).integers(0, 200, (23, 9))
    box, cross = np.ones((1, 4)), np.array([[1, 0, 1, 1]])
    for options in (
        {"size": (1, 4), "axes": (1, 0)},
        {"size": (4, 1), "axes": (1, 0), "mode": ("wrap", "nearest")},
        {"footprint": box, "axes": (1, 0)},
        {"footprint": cross.T, "axes": (1, 0)},
        {"footprint": box.T, "structure": box.T, "axes": (1, 0)},
        {"size": 0},
        {"size": (-1, 3)},
    ):
        for name in ("grey_closing", "white_tophat", "morphological_gradient"):
            function = getattr(ndimage, name)
            by_slab = function(x, progress=lambda done, total: None, **options)
            np.testing.assert_array_equal(by_slab, function(x, **options))
    for name in ("uniform_filter", "maximum_filter", "grey_opening", "laplace"):
        function, args = getattr(ndimage, name), (3,) if name != "laplace" else ()
        result = function(np.ma.zeros((0, 4)), *args, progress=lambda done, total: None)
        assert np.ma.isMaskedArray(result)
        assert result.shape == (0, 4)


def test_compound_filters_of_files_stay_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "SLAB_BYTES", 1 << 19)
    shape = (1500, 48, 48)
    x = np.lib.format.open_memmap(tmp_path / "in.npy", "w+", np.uint8, shape)
    x[:] = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.uint8, shape)
    for name in ("grey_opening", "white_tophat", "morphological_gradient"):
        tracemalloc.start()
        getattr(ndimage, name)(x, 3, output=out)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < x.nbytes / 4
        np.testing.assert_array_equal(out[600:610], getattr(ndimage, name)(np.array(x[590:620]), 3)[10:20])


def test_signals_of_objects_and_fill_values_that_nobody_sees(backend):
    a, b = np.arange(5.0).astype(object), np.array([1.0, 2])
    for name in ("fftconvolve", "oaconvolve"):
        np.testing.assert_allclose(getattr(signal, name)(a, b), np.convolve(a, b).astype(float))
    whole = np.array([1, 2, 3], object)
    assert str(signal.convolve(whole, whole).tolist()) == "[1, 4, 10, 12, 9]"
    np.testing.assert_allclose(signal.convolve(whole, whole, method="fft").astype(float), [1, 4, 10, 12, 9])
    assert signal.convolve(np.array(2.5, object), np.array(2)) == 5
    x, kernel = np.arange(12).reshape(3, 4), np.ones((2, 2), int)
    expected = scipy.signal.convolve2d(x, kernel, boundary="symm")
    for value in (1j, [1, 2], np.nan):
        result = signal.convolve2d(x, kernel, boundary="symm", fillvalue=value)
        np.testing.assert_array_equal(result, expected)
        with pytest.raises(ValueError, match="fillvalue"):
            signal.convolve2d(x, kernel, boundary="fill", fillvalue=value)


ARGUMENTS = {
    "correlate": (np.ones((3, 3)),), "convolve": (np.ones((3, 3)),), "correlate1d": ([1, 2, 3],),
    "convolve1d": ([1, 2, 3],), "gaussian_filter": (1.0,), "gaussian_filter1d": (1.0,), "gaussian_laplace": (1.0,),
    "gaussian_gradient_magnitude": (1.0,), "generic_laplace": (ndimage.sobel,), "sobel": (), "prewitt": (),
    "generic_gradient_magnitude": (ndimage.sobel,), "laplace": (), "percentile_filter": (30, 3), "rank_filter": (4, 3),
}  # fmt: skip
WITH_OUTPUT = [name for name in ndimage.__all__ if name != "match_template"]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("name", WITH_OUTPUT)
def test_a_result_that_may_not_be_written_to_stays_as_it_is(backend, tmp_path, name, dtype):
    """An array, one of a file that is open for reading, a masked one; where windows hold a missing pixel as well."""
    x = np.random.default_rng(0).integers(0, 200, (20, 21)).astype(dtype)
    np.save(tmp_path / "out.npy", np.zeros_like(x))
    frozen = np.zeros_like(x)
    frozen.flags.writeable = False
    out_of_file = np.load(tmp_path / "out.npy", mmap_mode="r")
    for out in (frozen, out_of_file, np.ma.array(frozen, copy=False), np.broadcast_to(x[:1], x.shape)):
        before = np.array(out)
        for source in (x, np.ma.array(x, mask=x > 190)):
            with pytest.raises(ValueError, match="output is read-only"):
                getattr(ndimage, name)(source, *ARGUMENTS.get(name, (3,)), output=out)
        np.testing.assert_array_equal(np.array(out), before)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("output", [None, "uint8", "int16", "float32", "float64"])
def test_nothing_is_cut_off_or_rounded_between_the_lines_of_a_kernel(backend, dtype, output):
    """By kernels whose products and sums are exact in float64, however they are laid on."""
    rng = np.random.default_rng(0)
    kernels = [
        np.multiply.outer([1, 2, 1], [1, 2, 1]) / 16,
        np.full((2, 8), 0.25),
        np.full((4, 4, 2), 1 / 32),
    ]
    for kernel in kernels:
        shape = (30, 40) if kernel.ndim == 2 else (9, 10, 11)
        x = rng.integers(0, 2 if dtype == "bool" else 120, shape).astype(dtype)
        if x.dtype.kind == "f":
            x /= 64  # what lies between two lines has more digits than float32 where that may not round it
        for mode in ("reflect", "constant"):
            expected = scipy.ndimage.correlate(x, kernel, output, mode, 3.0)
            result = ndimage.correlate(x, kernel, output, mode, 3.0, separable=True)
            np.testing.assert_array_equal(result, expected)
    large = (rng.integers(1, 1 << 20, (30, 40)) << 10) + rng.integers(0, 1 << 10, (30, 40))
    for wide in (large.astype("i4"), large + 0.25):
        expected = scipy.ndimage.correlate(wide, kernels[0], "float32")
        np.testing.assert_array_equal(
            ndimage.correlate(wide, kernels[0], "float32", separable=True), expected
        )


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf, 1e18])
def test_what_is_no_number_leaves_other_integers_as_they_are(backend, spoilt):
    """Sums next to an integer fall on the side that SciPy's fall on, whatever other pixels there are."""
    x = np.round(np.random.default_rng(0).random((50, 50)) * 10)
    x[25, 25] = spoilt
    kernel = np.full((3, 3), 0.1)
    far = np.ones(x.shape, bool)
    far[22:29, 22:29] = False
    for name, args in (
        ("correlate", (kernel,)),
        ("convolve", (kernel[:, :2],)),
        ("correlate1d", ([0.1, 0.3, 0.1],)),
        ("correlate1d", ([0.1, 0.3, -0.1],)),
        ("uniform_filter1d", (5,)),
        ("gaussian_filter", (0.7,)),
    ):
        for output in ("int32", "uint8"):
            expected = getattr(scipy.ndimage, name)(x, *args, output=output)
            result = getattr(ndimage, name)(x, *args, output=output)
            if name == "uniform_filter1d":  # SciPy's carries what is no number to the end of the line
                far[22:29] = False
            np.testing.assert_array_equal(result[far], expected[far])


@pytest.mark.parametrize("size", [41, 64])
def test_large_kernels_of_bytes_cut_off_as_scipy_does(size):
    """Also where many sums lie next to an integer, or a few."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (150, 170), np.uint8)
    for kernel in (
        np.full((size, size), 1 / 4096),
        rng.integers(0, 9, (size, size)) / 128,
        rng.random((size, size)) * 30,
    ):
        for output in (np.uint8, np.int32):
            expected = scipy.ndimage.correlate(x, kernel, output)
            np.testing.assert_array_equal(ndimage.correlate(x, kernel, output), expected)
            again = ndimage.correlate(x[:, :, None], kernel[:, :, None], output)
            np.testing.assert_array_equal(again[:, :, 0], expected)


@pytest.mark.parametrize("name", ["sobel", "prewitt", "laplace"])
@pytest.mark.parametrize("shape", [(40, 51), (61, 300), (9, 40, 3), (7, 8, 90)])
def test_differences_of_a_bright_picture_lose_no_digits(backend, name, shape):
    """The difference comes first, whichever axis it is along: what it leaves is exact in float32, as are its sums."""
    x = (np.random.default_rng(0).random(shape) + 1000).astype(np.float32)
    for options in [{}] if name == "laplace" else [{"axis": axis} for axis in range(len(shape))]:
        for mode in ("reflect", "wrap"):
            exact = getattr(scipy.ndimage, name)(x.astype(float), mode=mode, **options)
            result = getattr(ndimage, name)(x, mode=mode, **options)
            assert result.dtype == np.float32
            np.testing.assert_array_equal(result, exact.astype(np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(40, 51), (33, 500), (4, 3), (30, 20, 3)])
def test_derivatives_along_rows_with_every_border(backend, shape, dtype):
    """The constant beyond is seen by the second pass, too, not what the first one makes of it."""
    x = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    for name in ("sobel", "prewitt"):
        for axis in range(len(shape)):
            for mode in ("reflect", "constant", "wrap", ("nearest", "constant", "mirror")[: len(shape)]):
                expected = getattr(scipy.ndimage, name)(x, axis, mode=mode, cval=7)
                result = getattr(ndimage, name)(x, axis, mode=mode, cval=7)
                np.testing.assert_array_equal(result, expected)
                rounded = getattr(ndimage, name)(x, axis, np.int16, mode, 7, saturate=True)
                exact = getattr(scipy.ndimage, name)(x.astype(float), axis, mode=mode, cval=7)
                np.testing.assert_array_equal(rounded, exact.clip(-32768, 32767))


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf, 1e8, 1e12, 1e100, -1e30])
@pytest.mark.parametrize("taps", [(5, 6), (31, 31)])
def test_templates_beside_what_is_no_number(backend, monkeypatch, spoilt, taps):
    """Windows that do not hold it are found as they are without it, whole or strip by strip."""
    x = np.random.default_rng(0).random((120, 150)) * 100
    x[60:100, 60:100] = 7  # of one colour
    template = x[5 : 5 + taps[0], 80 : 80 + taps[1]].copy()
    expected = ndimage.match_template(x, template)
    windows = np.lib.stride_tricks.sliding_window_view(x, taps)
    assert (expected[(windows.std((-2, -1)) == 0)] == 0).all()
    x[30, 20] = x[31, 40] = spoilt
    held = np.zeros(x.shape, bool)
    held[30, 20] = held[31, 40] = True
    held = np.lib.stride_tricks.sliding_window_view(held, taps).any((-2, -1))
    for strip in (1 << 21, 1 << 14):
        monkeypatch.setattr("fastconv.ndimage.templates._STRIP", strip)
        result = ndimage.match_template(x, template)
        np.testing.assert_allclose(result[~held], expected[~held], atol=1e-9)
        if not np.isfinite(spoilt):
            assert np.isnan(result[held]).all()
        elif abs(spoilt) < 1e50:
            assert (np.abs(result[held]) <= 1).all()


def test_templates_of_large_images_take_little_memory(backend, monkeypatch):
    monkeypatch.setattr("fastconv.ndimage.templates._STRIP", 1 << 21)
    x = np.random.default_rng(0).random((3000, 1000), np.float32)
    tracemalloc.start()
    result = ndimage.match_template(x, x[100:120, 200:230])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < result.nbytes + (48 << 20)
    assert np.unravel_index(result.argmax(), result.shape) == (100, 200)


def test_templates_are_real():
    x = np.ones((9, 9))
    for image, template in ((x * 1j, x[:3, :3]), (x, x[:3, :3] * 1j)):
        with pytest.raises(TypeError, match=r"match_template: (image|template) is complex128"):
            ndimage.match_template(image, template)


INTEGER = "must be an integer"


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda n, x: n.correlate(x, np.ones((3, 3)), origin=0.5), TypeError, "origin " + INTEGER),
        (lambda n, x: n.convolve(x, np.ones((3, 3)), origin="a"), TypeError, "origin " + INTEGER),
        (lambda n, x: n.correlate1d(x, [1, 2, 3], origin=0.5), TypeError, "origin " + INTEGER),
        (lambda n, x: n.convolve1d(x, [1, 2], origin="a"), TypeError, "origin " + INTEGER),
        (lambda n, x: n.uniform_filter(x, 3, origin=0.5), TypeError, "origin " + INTEGER),
        (lambda n, x: n.uniform_filter1d(x, 3, origin=0.5), TypeError, "origin " + INTEGER),
        (lambda n, x: n.maximum_filter(x, 3, origin=0.5), TypeError, "origin " + INTEGER),
        (lambda n, x: n.median_filter(x, 3, origin=0.5), TypeError, "origin " + INTEGER),
        (lambda n, x: n.grey_dilation(x, 3, origin=0.5), TypeError, "origin " + INTEGER),
        (lambda n, x: n.uniform_filter1d(x, 1.5), TypeError, "size " + INTEGER),
        (lambda n, x: n.maximum_filter1d(x, 2.5), TypeError, "size " + INTEGER),
        (lambda n, x: n.maximum_filter(x, 3, origin=2), ValueError, "origin is 2, but needs -1 to 1"),
        (lambda n, x: n.correlate(x, np.ones((3, 3)), cval="a"), TypeError, "cval"),
        (lambda n, x: n.correlate(x, np.ones((3, 3)), cval=1j), TypeError, "cval"),
        (lambda n, x: n.correlate(x, np.ones((3, 3)) * 1j, cval=1j), ValueError, "cval"),
        (lambda n, x: n.correlate1d(x, [1, 2], cval=1j), TypeError, "cval"),
        (lambda n, x: n.uniform_filter(x, 3, cval=1j), TypeError, "cval"),
        (lambda n, x: n.gaussian_filter(x, 1, cval="a"), TypeError, "cval"),
        (lambda n, x: n.sobel(x, cval="a"), TypeError, "cval"),
        (lambda n, x: n.laplace(x, cval="a"), TypeError, "cval"),
        (lambda n, x: n.percentile_filter(x, np.nan, 3), ValueError, "percentile is nan"),
        (lambda n, x: n.rank_filter(x, -10, 3), RuntimeError, "rank is -10, but needs -9 to 8"),
        (lambda n, x: n.gaussian_filter(x, "a"), TypeError, "sigma must be a real number, not 'a'"),
        (lambda n, x: n.gaussian_filter1d(x, "a"), ValueError, "sigma must be a real number, not 'a'"),
        (lambda n, x: n.gaussian_filter(x, np.inf), OverflowError, "sigma is inf"),
        (lambda n, x: n.gaussian_filter1d(x, np.nan), ValueError, "sigma is nan"),
        (lambda n, x: n.uniform_filter(x, 3, axes=(1, 1)), ValueError, "axes must be unique, but are 1, 1"),
        (
            lambda n, x: n.uniform_filter(x, 3, axes=5),
            ValueError,
            "axis: 5 is out of range: axes needs -2 to 1",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_named(call, error, said):
    """And the types of the errors are SciPy's."""
    x = np.ones((4, 5))
    with pytest.raises(error):
        call(scipy.ndimage, x)
    with pytest.raises(error, match=said):
        call(ndimage, x)


def test_what_is_no_array_of_numbers_is_refused():
    for x in ("abc", b"abc", np.array(["2020-01-01"], "M8[D]"), np.array(5, "m8[s]")):
        with pytest.raises(RuntimeError, match="not supported"):
            ndimage.gaussian_filter(x, 1 if np.ndim(x) == 0 else 0)
    for name, args in (("gaussian_filter", (1,)), ("gaussian_laplace", (1,)), ("laplace", ()), ("sobel", ())):
        with pytest.raises(TypeError, match=f"{name}: saturate is 'yes'"):
            getattr(ndimage, name)(np.ones((4, 5)), *args, saturate="yes")


def test_saturation_reaches_the_ends_of_wide_integers(backend):
    for dtype in (np.int64, np.uint64, np.int32, np.uint8):
        info = np.iinfo(dtype)
        for shape in ((30, 40), (3,)):
            for value, end in ((1e30, info.max), (-1e30, info.min), (np.inf, info.max), (5.5, 6)):
                x = np.full(shape, value)
                result = ndimage.correlate1d(x, [1.0], output=dtype, saturate=True)
                assert (result == end).all()
