"""What the functions of fastconv.ndimage and fastconv.signal say of arguments that they share."""

import warnings

import numpy as np
import pytest
import scipy.ndimage

from fastconv import ndimage, signal

KERNEL = np.ones((3, 3))
ARGUMENTS = {
    **dict.fromkeys(["correlate", "convolve", "match_template", "convolve2d", "correlate2d"], (KERNEL,)),
    **dict.fromkeys(["fftconvolve", "oaconvolve"], (KERNEL,)),
    **dict.fromkeys(["correlate1d", "convolve1d"], ([1, 2, 1],)),
    **dict.fromkeys(["sobel", "prewitt", "laplace"], ()),
    "percentile_filter": (30, 3),
    "rank_filter": (1, 3),
    "sepfir2d": (np.ones(3, np.float32), np.ones(5, np.float32)),
}  # others have a size or a sigma
FILTERS = [name for name in ndimage.__all__ if not name.startswith("generic")]
SIGNALS = ["convolve", "correlate", "convolve2d", "correlate2d", "fftconvolve", "oaconvolve", "sepfir2d"]

pytestmark = pytest.mark.one_instruction_set


@pytest.mark.parametrize(
    ("module", "name"),
    [*((ndimage, name) for name in FILTERS), *((signal, name) for name in SIGNALS)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
@pytest.mark.parametrize("shape", [(8, 9), (3000, 4000)])
def test_a_wrong_backend_is_refused_in_the_name_of_the_function(module, name, shape):
    """Before any work, also where that is done in slabs."""
    x = np.broadcast_to(np.float32(1), shape)
    with pytest.raises(ValueError, match=f"^{name}: backend is 'gpu'"):
        getattr(module, name)(x, *ARGUMENTS.get(name, (3,)), backend="gpu")


@pytest.mark.parametrize("name", sorted({*FILTERS} & {*dir(scipy.ndimage)}))
@pytest.mark.parametrize(
    "output",
    [None, float, np.float32, np.dtype("f4"), np.int32, "float32", "int", np.complex64, "complex64",
     np.zeros((5, 6)), np.zeros((5, 6), complex)],
    ids=str,
)  # fmt: skip
def test_results_of_complex_numbers_as_scipys(name, output):
    """Promoted with a warning, or refused."""
    x = np.arange(30.0).reshape(5, 6) + 2j
    told = []
    for module in (scipy.ndimage, ndimage):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                result = getattr(module, name)(x, *ARGUMENTS.get(name, (3,)), output=output)
            except (RuntimeError, TypeError) as error:
                result = error
        told.append((result, [str(each.message) for each in caught]))
    (theirs, _), (ours, _) = told
    if isinstance(theirs, Exception):
        assert type(ours) is type(theirs)
        return
    assert told[0][1] == told[1][1]
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


ODD = {
    "order": (lambda: ndimage.gaussian_filter(KERNEL, 1, order=1.5), TypeError, "order must be an integer, not 1.5"),
    "truncate": (
        lambda: ndimage.gaussian_filter(KERNEL, 1, truncate=-3), ValueError, "not -2, from sigma 1 and truncate -3",
    ),
    "rank": (lambda: ndimage.rank_filter(KERNEL, 1.5, 3), TypeError, "rank must be an integer, not 1.5"),
    "percentile": (
        lambda: ndimage.percentile_filter(KERNEL, None, 3), TypeError, "percentile must be a real number, not None",
    ),
    "size": (lambda: ndimage.median_filter(KERNEL, 2.5), TypeError, "size must be an integer, not 2.5"),
    "size of an element": (
        lambda: ndimage.grey_opening(KERNEL, 2.5), TypeError, "size must be an integer, not 2.5",
    ),
    "colours": (
        lambda: ndimage.correlate(np.ones((4, 4, 3)), KERNEL),
        RuntimeError,
        r"weights.ndim \(2\) must match .* or axes=\(0, 1\) to filter along the first ones",
    ),
    "more axes": (
        lambda: ndimage.correlate(np.ones(4), KERNEL),
        RuntimeError,
        r"weights has shape \(3, 3\), but needs 1 axes",
    ),
    "size below 0": (lambda: ndimage.median_filter(KERNEL, -3), ValueError, "size is -3, .* needs 1 at least"),
    "weight": (lambda: ndimage.convolve1d(KERNEL, 3), IndexError, "weights is 3, but needs one axis"),
    "weights": (
        lambda: ndimage.correlate(KERNEL, np.zeros((0, 3))), RuntimeError, r"shape \(0, 3\), but no axis may be empty",
    ),
    "derivative2": (lambda: ndimage.generic_laplace(KERNEL, None), TypeError, "derivative2 must be a function"),
    "derivative": (lambda: ndimage.generic_gradient_magnitude(KERNEL, 3), TypeError, "derivative must be a function"),
    "mode": (
        lambda: ndimage.match_template(KERNEL, KERNEL, mode="bogus"), ValueError, "match_template: mode is 'bogus'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_arguments_are_named(name):
    """With what they need, and of SciPy's types."""
    call, kind, message = ODD[name]
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("axes", [(2, 0), (0, 2), (1, 0), (2, 0, 1)])
@pytest.mark.parametrize("name", ["median_filter", "percentile_filter", "maximum_filter", "uniform_filter"])
def test_sizes_along_axes_out_of_order_as_scipys(name, axes):
    x = np.random.default_rng(0).integers(0, 99, (7, 8, 9))
    given = (40,) if name == "percentile_filter" else ()
    size = (2, 5, 4)[: len(axes)]
    expected = getattr(scipy.ndimage, name)(x, *given, size=size, axes=axes)
    np.testing.assert_array_equal(getattr(ndimage, name)(x, *given, size=size, axes=axes), expected)


def test_a_sequence_of_masked_arrays_is_refused():
    """NumPy makes a plain array of it."""
    rows = [np.ma.array([1.0, 2, 3], mask=[0, 1, 0])] * 3
    with pytest.raises(ValueError, match="input has masked elements"):
        ndimage.correlate(rows, KERNEL)


@pytest.mark.parametrize(
    ("name", "args", "options", "said"),
    [
        ("gaussian_filter", (None,), {}, "sigma must be a real number, not None"),
        ("gaussian_laplace", (1j,), {}, "sigma must be a real number, not 1j"),
        ("gaussian_filter", (1,), {"truncate": "a"}, "truncate must be a real number, not 'a'"),
        ("gaussian_filter", (1,), {"axes": "a"}, "axes must be an integer, not 'a'"),
        ("gaussian_filter1d", (1,), {"axis": 1.5}, "axis must be an integer, not 1.5"),
        ("sobel", (), {"axis": "a"}, "axis must be an integer, not 'a'"),
        ("uniform_filter", (None,), {}, "size must be a real number, not None"),
        ("maximum_filter", ("a",), {}, "size must be a real number, not 'a'"),
    ],
)
def test_errors_name_the_argument(name, args, options, said):
    """And are of the type that SciPy raises."""
    with pytest.raises(TypeError, match=f"^{said}$"):
        getattr(ndimage, name)(np.ones((4, 5)), *args, **options)
    with pytest.raises(TypeError):
        getattr(scipy.ndimage, name)(np.ones((4, 5)), *args, **options)
