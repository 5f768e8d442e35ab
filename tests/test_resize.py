"""Images of another size: `resize2d` and its gradient."""

import numpy as np
import pytest

import fastconv
import reference
from checks import assert_close, eps, from_layout, guarded, normal, to_layout
from fastconv import caches, grad
from fastconv.bench.oracle.definitions import FORWARD, GRADIENTS
from fastconv.problem import resize as tables

CASES = {
    "twice": {"scale_factor": 2},
    "nearest, exact": {"size": (5, 9), "coordinates": "half_pixel"},
    "nearest, shrunk": {"size": (3, 2)},
    "linear": {"size": (11, 5), "mode": "linear"},
    "linear, corners": {"size": (4, 30), "mode": "linear", "align_corners": True},
    "linear, asymmetric": {"scale_factor": (1.7, 0.6), "mode": "linear", "coordinates": "asymmetric"},
    "linear, smooth": {"size": (3, 20), "mode": "linear", "antialias": True},
    "cubic": {"scale_factor": 2.3, "mode": "cubic"},
    "cubic, corners": {"size": (1, 5), "mode": "cubic", "align_corners": True},
    "cubic, smooth": {"size": (3, 4), "mode": "cubic", "antialias": True},
}
every_case = pytest.mark.parametrize("name", CASES)


@every_case
@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (2, 3, 7, 9), (1, 19, 8, 40)], ids=str)
def test_against_the_definition(backend, layout, dtype, name, shape):
    options, x = CASES[name], normal(shape, dtype=dtype)
    values, bound = FORWARD["resize2d"](x, **options).everywhere()
    y = fastconv.resize2d(guarded(to_layout(x, layout)), **options, layout=layout)
    assert_close(from_layout(y, layout), values, 32 * eps(dtype) * bound.max(), dtype)
    slope = normal(values.shape, seed=1, dtype=dtype)
    values, bound = GRADIENTS["resize2d"](grad_output=slope, x=x, **options)[0].everywhere()
    image = to_layout(x, layout)
    back = grad.resize2d(guarded(to_layout(slope, layout)), image.shape, **options, layout=layout)
    assert_close(from_layout(back, layout), values, 32 * eps(dtype) * bound.max(), dtype)


LONG = {
    **CASES,
    "far fewer": {"size": (1, 1), "mode": "cubic", "antialias": True},
    "a few of many": {"size": (2, 3), "mode": "linear"},
    "far more": {"size": (150, 1), "mode": "cubic"},
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("shape", [(2, 3, 1, 90), (1, 1, 130, 7)], ids=str)
def test_long_axes_are_made_in_bands(backend, layout, name, shape, monkeypatch):
    options, image = LONG[name], to_layout(normal(shape, dtype=np.float64), layout)
    whole = fastconv.resize2d(image, **options, layout=layout)
    slope = normal(whole.shape, seed=1, dtype=np.float64)
    back = grad.resize2d(slope, image.shape, **options, layout=layout)
    monkeypatch.setattr(tables, "_BAND", 24)
    fastconv.clear_cache()
    in_bands = fastconv.resize2d(image, **options, layout=layout)
    np.testing.assert_allclose(in_bands, whole, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        grad.resize2d(slope, image.shape, **options, layout=layout), back, rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("size", "out"), [(3_000_000, 3), (3, 3_000_000), (2_000_000, 3_000_000)])
def test_tables_of_long_axes_take_little(size, out, backwards):
    """Whole ones would take up to 150 MB, and several times that while they are made."""
    axis = tables.Axis(size, out, size / out, "linear", "half_pixel", False)
    next_result = 0
    for band in tables.bands(axis, backwards):
        assert band.first == next_result < band.last
        next_result = band.last
        assert caches.bytes_of(band) < 40 << 20 if backwards and size < out else 10 << 20
    assert next_result == (size if backwards else out)


def test_long_lines_keep_their_digits(backend):
    """More inputs for an output than a plain sum has digits for, and than are transposed."""
    x = np.full((1, 1, 3, 1_000_003), 0.1, np.float32)
    y = fastconv.resize2d(x, (3, 2), mode="linear", antialias=True)
    np.testing.assert_allclose(y, np.float32(0.1), rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in CASES if "asymmetric" not in name])
def test_the_definition_is_that_of_torch(name):
    """Which has asymmetric coordinates for the nearest pixel alone."""
    torch = pytest.importorskip("torch")
    options, x = dict(CASES[name]), normal((2, 3, 7, 9))
    mode = options.pop("mode", "nearest")
    words = {"linear": "bilinear", "cubic": "bicubic"}
    named = words.get(mode, "nearest-exact" if options.pop("coordinates", None) else "nearest")
    if mode != "nearest":
        options.setdefault("align_corners", False)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(x), mode=named, **options)
    np.testing.assert_allclose(reference.resize2d(x, **CASES[name]), theirs.numpy(), rtol=1e-6, atol=1e-6)


def test_what_has_no_weight_has_no_share(backend, layout):
    """A NaN reaches only the outputs that it is a part of."""
    x = np.ones((1, 2, 4, 4))
    x[0, 0, 3, 3] = np.nan
    y = from_layout(fastconv.resize2d(to_layout(x, layout), 2, layout=layout), layout)
    np.testing.assert_array_equal(y, np.ones((1, 2, 2, 2)))


def test_threads_change_no_bit(layout):
    x = to_layout(normal((3, 5, 40, 41), dtype=np.float32), layout)
    with fastconv.use_backend("cython"):
        with fastconv.num_threads(1):
            one = fastconv.resize2d(x, (97, 33), mode="cubic", layout=layout)
        with fastconv.num_threads(3):
            np.testing.assert_array_equal(fastconv.resize2d(x, (97, 33), mode="cubic", layout=layout), one)


X = np.ones((1, 2, 4, 5))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, ValueError, ["size is None", "scale_factor is None"]),
        ({"size": 2, "scale_factor": 2}, ValueError, ["size is 2", "scale_factor is 2"]),
        ({"size": 0}, ValueError, ["size", "0"]),
        ({"scale_factor": 0.1}, ValueError, ["scale_factor is 0.1", "(4, 5)", "(0.4, 0.5)"]),
        ({"scale_factor": 1e308}, ValueError, ["scale_factor is 1e+308", "(4, 5)", "(inf, inf)"]),
        ({"scale_factor": -1}, ValueError, ["scale_factor is -1"]),
        ({"size": 2, "mode": "bilinear"}, ValueError, ["mode is 'bilinear'", "'linear'"]),
        ({"size": 2, "antialias": True}, ValueError, ["antialias", "'nearest'"]),
        ({"size": 2, "align_corners": 1}, TypeError, ["align_corners is 1"]),
        (
            {"size": 2, "align_corners": True, "coordinates": "half_pixel"},
            ValueError,
            ["coordinates", "half_pixel"],
        ),
    ],
)
def test_errors(options, error, words):
    with pytest.raises(error, match=r"^resize2d: ") as caught:
        fastconv.resize2d(X, **options)
    for word in words:
        assert word in str(caught.value)


def test_errors_of_the_gradient():
    with pytest.raises(ValueError, match=r"grad\.resize2d: grad_output has shape \(1, 2, 4, 5\)"):
        grad.resize2d(X, X.shape, 2)
    with pytest.raises(TypeError, match=r"grad\.resize2d: input_size is array\(2\)"):
        grad.resize2d(X, np.array(2), 2)
