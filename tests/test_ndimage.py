"""fastconv.ndimage against SciPy, on random problems, and what SciPy does not have."""

import functools
import inspect
import warnings

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from fastconv import ndimage
from test_ndimage_missing import GREY, PADS

MODES = ["reflect", "mirror", "nearest", "wrap", "constant", "grid-mirror", "grid-wrap", "grid-constant"]
DTYPES = ["bool", "uint8", "int8", "uint16", "int32", "uint64", "float32", "float64"]
RANKS = ["rank_filter", "median_filter", "percentile_filter"]

pytestmark = pytest.mark.one_instruction_set


def picture(seed, shape, dtype):
    x = np.random.default_rng(seed).standard_normal(shape) * 50
    return (np.abs(x) if np.dtype(dtype).kind == "u" else x).astype(dtype)


def both(name, *args, **options):
    """What SciPy and fastconv make of a call: arrays, or types of errors."""
    results = []
    for module in (scipy.ndimage, ndimage):
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                results.append(getattr(module, name)(*args, **options))
        except (ValueError, TypeError, RuntimeError) as error:
            results.append(type(error))
    return results


def check(name, x, *args, scale=1.0, **options):
    theirs, ours = both(name, x, *args, **options)
    if isinstance(theirs, type):
        assert ours is theirs
        return
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    if ours.dtype.kind != "f":
        np.testing.assert_array_equal(ours, theirs)
        return
    unit = 1e-12 if np.result_type(x.dtype, ours.dtype) == np.float64 else 4e-6
    largest = max(1.0, float(np.abs(x).max()) if x.size else 0.0) * scale
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=unit * largest)


@st.composite
def windows(draw, most=3):
    """An array, some of its axes, and a window along these: its size and how far it is moved."""
    shape = draw(st.lists(st.sampled_from([1, 2, 3, 5, 8, 17]), min_size=1, max_size=most))
    axes = sorted(draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    size = draw(st.lists(st.integers(1, 7), min_size=len(axes), max_size=len(axes)))
    origin = [draw(st.integers(-(n // 2), (n - 1) // 2)) for n in size]
    x = picture(draw(st.integers(0, 99)), shape, draw(st.sampled_from(DTYPES)))
    return x, tuple(axes), size, origin


borders = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(MODES),
        "cval": st.sampled_from([0.0, 1.0]),
        "output": st.sampled_from([None, None, "float64", "uint8", "int16"]),
    }
)


@given(windows(), borders, st.sampled_from(["random", "integers", "mean"]), st.booleans())
def test_sums(backend, problem, border, kind, convolve):
    x, axes, size, origin = problem
    kernel = np.random.default_rng(sum(size)).standard_normal(size)
    if kind != "random":
        kernel = np.rint(3 * kernel) if kind == "integers" else np.full(size, 1 / np.prod(size))
    scale = float(np.abs(kernel).sum()) + 1
    if convolve:
        check("convolve", x, kernel, axes=axes, scale=scale, **border)
    else:
        check("correlate", x, kernel, axes=axes, origin=origin, scale=scale, **border)
    name = "convolve1d" if convolve else "correlate1d"
    check(name, x, kernel.ravel(), axis=axes[0], scale=scale, **border)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(40,), (300, 37), (9, 31, 3), (5, 6, 7)])
def test_derivatives_and_gaussians(backend, shape, dtype):
    x = picture(1, shape, dtype)
    for name in ("sobel", "prewitt", "laplace"):
        check(name, x, mode="mirror", scale=20)
    for order in (0, 1, 2, 3):
        check("gaussian_filter", x, 1.7, order=order, mode="nearest", scale=5)
    check("gaussian_filter1d", x, 2, axis=0, radius=3, scale=5)
    check("gaussian_gradient_magnitude", x, 1.5, scale=100 if dtype == "float32" else 5)
    check("gaussian_laplace", x, [1.5] * len(shape), scale=5)


@given(windows(), borders)
def test_means(problem, border):
    x, axes, size, origin = problem
    if x.dtype != bool:  # SciPy leaves booleans that are neither 0 nor 1 between the axes
        check("uniform_filter", x, size, axes=axes, origin=origin, **border)


@given(
    windows(),
    borders,
    st.integers(0, 99),
    st.sampled_from(["maximum_filter", "minimum_filter", *RANKS, *GREY]),
)
def test_order_and_morphology(problem, border, seed, name):
    x, axes, size, origin = problem
    rng = np.random.default_rng(seed)
    footprint = rng.random(size) < 0.6
    footprint.flat[0] = True
    options = {"axes": axes, **border}
    if name in RANKS and x.ndim == 1:  # SciPy's median of one axis has faults of its own
        x, options["axes"] = x[None], (1,)
    options |= {"size": tuple(size)} if seed % 2 else {"footprint": footprint}
    if name in GREY:
        if seed % 3 == 0 and x.dtype != bool:
            options["structure"] = rng.integers(0, 4, size)
    else:
        options["origin"] = origin
    count = int(np.prod(size)) if seed % 2 else int(footprint.sum())
    if name == "rank_filter":
        options["rank"] = seed % count
    if name == "percentile_filter":
        options["percentile"] = seed
    check(name, x, **options)


@pytest.mark.parametrize("size", [(3, 3), (5, 5), (11, 11)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_medians(size, dtype):
    check("median_filter", picture(0, (60, 300), dtype), size)


def test_every_network_selects():
    from fastconv.filtering.network import select

    values = np.random.default_rng(0).random((13, 50))
    for count in range(1, 14):
        for rank in range(count):
            np.testing.assert_array_equal(
                select(list(values[:count]), rank), np.sort(values[:count], 0)[rank]
            )


@pytest.mark.parametrize("name", ndimage.__all__)
def test_signature(name):
    """SciPy's arguments, in its order, with its defaults; what is more is keyword-only."""
    theirs = getattr(scipy.ndimage, name, None)
    if theirs is None:
        return
    ours = inspect.signature(getattr(ndimage, name)).parameters
    for place, (argument, what) in enumerate(inspect.signature(theirs).parameters.items()):
        assert list(ours)[place] == argument
        assert ours[argument].kind == what.kind
        assert ours[argument].default == what.default
    more = list(ours.values())[len(inspect.signature(theirs).parameters) :]
    assert all(each.kind in (each.KEYWORD_ONLY, each.VAR_KEYWORD) for each in more)


def test_large_arrays_are_cut_into_blocks(backend):
    x = picture(3, (3000, 700), "float32")
    for axes in ((0,), (1,), (0, 1)):
        kernel = np.random.default_rng(0).random((5,) * len(axes))
        check("correlate", x, kernel, axes=axes, mode="wrap", scale=15)
    check("maximum_filter", x, (31, 5))


def test_a_nan_stays_within_its_windows(backend):
    """And an outlier: of kernels for which the engine takes transforms as well."""
    ones = np.ones((31, 31))
    x = picture(4, (260, 300), "float32")
    x[30, 40] = 1e9
    exact = scipy.ndimage.correlate(x.astype(float), ones, mode="constant")
    result = ndimage.correlate(x, ones, mode="constant")
    far = np.abs(exact) < 1e7
    np.testing.assert_allclose(result[far], exact[far], atol=0.05)
    x[130, 140] = np.nan
    for size in (3, 31):
        half = size // 2
        expected = np.zeros(x.shape, bool)
        expected[130 - half : 131 + half, 140 - half : 141 + half] = True
        result = ndimage.correlate(x, np.ones((size, size)), mode="constant")
        np.testing.assert_array_equal(np.isnan(result), expected)


def test_results_may_go_where_the_array_is(backend):
    for name, args in (
        ("gaussian_filter", (2,)),
        ("sobel", ()),
        ("median_filter", (3,)),
        ("maximum_filter", (5,)),
        ("laplace", ()),
    ):
        x = picture(5, (40, 30), "float64")
        expected = getattr(ndimage, name)(x, *args)
        assert getattr(ndimage, name)(x, *args, output=x) is x
        np.testing.assert_array_equal(x, expected)


def test_integers_may_be_rounded_and_kept_in_range(backend):
    x = picture(6, (30, 40), "uint8")
    exact = scipy.ndimage.gaussian_filter(x.astype(float), 1.5)
    np.testing.assert_array_equal(ndimage.gaussian_filter(x, 1.5, saturate=True), np.rint(exact))
    for name, args in (
        ("sobel", (0,)),
        ("prewitt", (1,)),
        ("laplace", ()),
        ("gaussian_laplace", (1.2,)),
        ("gaussian_gradient_magnitude", (1.2,)),
    ):
        exact = getattr(scipy.ndimage, name)(x.astype(float), *args)
        for dtype in (np.uint8, np.int16):
            result = getattr(ndimage, name)(x, *args, output=dtype, saturate=True)
            info = np.iinfo(dtype)
            np.testing.assert_array_equal(result, np.rint(exact).clip(info.min, info.max), err_msg=name)
    sharper = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])
    exact = scipy.ndimage.correlate(x.astype(float), sharper)
    np.testing.assert_array_equal(ndimage.correlate(x, sharper, saturate=True), exact.clip(0, 255))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64", "float64"])
@pytest.mark.parametrize("largest", [3, 2**12, 2**30])
def test_integers_that_transforms_sum_are_not_cut_off_below(backend, dtype, largest):
    """Large kernels are transforms in one backend, whose 4.999 would become 4."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, min(np.iinfo(dtype).max if dtype != "float64" else 2**60, 2**16), (60, 70)).astype(
        dtype
    )
    kernel = rng.integers(-largest, largest + 1, (15, 16))
    expected = scipy.ndimage.correlate(x, kernel, output=np.int64)
    np.testing.assert_array_equal(ndimage.correlate(x, kernel, output=np.int64), expected)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda x: ndimage.correlate(x, np.ones(3)), RuntimeError, "weights.ndim"),
        (lambda x: ndimage.correlate(x, np.ones((3, 3)), mode="odd"), RuntimeError, "grid-wrap"),
        (lambda x: ndimage.correlate(x, np.ones((3, 3)), origin=2), ValueError, "origin"),
        (lambda x: ndimage.gaussian_filter(x, [1, 2, 3]), RuntimeError, "sigma has 3"),
        (lambda x: ndimage.uniform_filter(x, output=np.ones(3)), RuntimeError, "output shape"),
        (lambda x: ndimage.maximum_filter(x), RuntimeError, "footprint"),
        (lambda x: ndimage.rank_filter(x, 9, size=3), RuntimeError, "rank"),
        (lambda x: ndimage.median_filter(x * 1j, 3), TypeError, "Complex"),
        (lambda x: ndimage.correlate1d(x.astype(np.float16), [1.0]), RuntimeError, "float16"),
    ],
)
def test_errors(call, error, said):
    with pytest.raises(error, match=said):
        call(np.ones((4, 5)))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "taps"), [((20, 30), (4, 5)), ((9, 10, 11), (3, 4, 2)), ((40, 45), (13, 12)), ((5, 5), (5, 5))]
)
def test_match_template(backend, shape, taps, dtype):
    feature = pytest.importorskip("skimage.feature")
    x = np.random.default_rng(0).random(shape) * 100 + 50
    x[:6, :6] = 7
    x = x.astype(dtype)
    template = x[tuple(slice(size - tap, size) for size, tap in zip(shape, taps, strict=True))]
    for pad, mode in ((False, "constant"), (True, "constant"), (True, "reflect")):
        expected = feature.match_template(x, template, pad, mode=mode)
        actual = ndimage.match_template(x, template, pad, mode)
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, atol=2e-3 if dtype == "float32" else 1e-12)
    with pytest.raises(ValueError, match="as large as template"):
        ndimage.match_template(template[1:], template)


def test_a_template_is_told_by_its_definition(backend):
    x = np.random.default_rng(1).random((30, 40)).astype(np.float32) + 1000
    template = x[7:12, 20:29]
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(float), template.shape)
    expected = [
        np.corrcoef(window.ravel(), template.ravel())[0, 1] for window in windows.reshape(-1, *template.shape)
    ]
    np.testing.assert_allclose(ndimage.match_template(x, template).ravel(), expected, atol=2e-5)


def rounded_means(x, axes, size, origin, mode, cval, dtype):
    """Of the exact sums of whole boxes; ties to even."""
    total, count = x.astype(np.int64), 1
    for axis, taps, shift in zip(axes, size, origin, strict=True):
        before = taps // 2 + shift
        sides = [(before, taps - 1 - before) if i == axis else (0, 0) for i in range(x.ndim)]
        beyond = {"constant_values": cval * count} if mode == "constant" else {}
        padded = np.pad(total, sides, PADS[mode], **beyond)
        total = np.lib.stride_tricks.sliding_window_view(padded, taps, axis).sum(-1)
        count *= taps
    mean = (2 * total + count) // (2 * count)
    mean -= ((2 * total + count) % (2 * count) == 0) & (mean % 2 == 1)
    info = np.iinfo(dtype)
    return mean.clip(info.min, info.max).astype(dtype)


@pytest.mark.parametrize("size", [(3, 3), (2, 3), (5, 5), (4, 4), (1, 7), (9, 2), (16, 16), (31, 31), (1, 1)])
@pytest.mark.parametrize("shape", [(40, 67), (33, 21, 3), (5, 300)])
def test_means_of_bytes_are_rounded_to_the_nearest_and_ties_to_even(backend, size, shape):
    x = np.random.default_rng([*size, *shape]).integers(0, 256, shape, np.uint8)
    for mode in ("reflect", "constant"):
        actual = ndimage.uniform_filter(x, size, axes=(0, 1), mode=mode, cval=7, saturate=True)
        expected = rounded_means(x, (0, 1), size, (0, 0), mode, 7, np.uint8)
        np.testing.assert_array_equal(actual, expected)


@given(
    windows(),
    st.sampled_from(["bool", "uint8", "int8", "uint16", "int16", "int32"]),
    st.sampled_from(["uint8", "int8", "uint16", "int32"]),
    st.sampled_from(list(PADS)),
    st.sampled_from([0, 1, -3, 1000]),
    st.booleans(),
)
def test_means_of_integers_are_rounded_once(backend, problem, dtype, output, mode, cval, small):
    """Over any axes, with any border, into any dtype; small numbers have many ties."""
    x, axes, size, origin = problem
    x = (x.astype(np.int64) * (1 if small else 400) % (5 if small else 1 << 20)).astype(dtype)
    actual = ndimage.uniform_filter(x, size, output, mode, cval, origin, axes=axes, saturate=True)
    np.testing.assert_array_equal(actual, rounded_means(x, axes, size, origin, mode, cval, output))


def test_boxes_whose_sums_float32_does_not_hold(backend):
    x = np.random.default_rng(0).integers(250, 256, (320, 350), np.uint8)
    expected = rounded_means(x, (0, 1), (300, 290), (0, 0), "reflect", 0, np.uint8)
    np.testing.assert_array_equal(ndimage.uniform_filter(x, (300, 290), saturate=True), expected)


@given(windows(), st.sampled_from(["uint8", "int16", "uint16", "int32"]), st.sampled_from(["uint8", "int16"]))
def test_sums_of_integers_are_rounded_once(backend, problem, dtype, output):
    """By kernels whose products and sums are exact in float64, whatever lies between two axes."""
    x, axes, size, origin = problem
    x = (x.astype(np.int64) * 3000).astype(dtype)
    lines = [np.random.default_rng(n).integers(-4, 9, n) / 8 for n in size]
    kernel = functools.reduce(np.multiply.outer, lines)
    options = {"axes": axes, "origin": origin}
    exact = ndimage.correlate(x, kernel, np.float64, separable=False, **options)
    info = np.iinfo(output)
    for separable in (True, "auto", False):
        result = ndimage.correlate(x, kernel, output, saturate=True, separable=separable, **options)
        np.testing.assert_array_equal(result, np.rint(exact).clip(info.min, info.max))
    for name in ("sobel", "prewitt"):
        exact = getattr(ndimage, name)(x, output=np.float64)
        result = getattr(ndimage, name)(x, output=output, saturate=True)
        np.testing.assert_array_equal(result, exact.clip(info.min, info.max))
