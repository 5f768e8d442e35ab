"""unfold and fold against the reference, and as each other's adjoint."""

import numpy as np
import pytest
from hypothesis import given

import fastconv
import reference
import strategies
from checks import assert_close, eps, guarded, normal

CASES = {
    "2x2": ((2, 3, 4, 5), {"kernel_size": 2}),
    "3x3 padded": ((1, 17, 6, 7), {"kernel_size": 3, "padding": 1}),
    "strides, dilations": (
        (1, 2, 11, 12),
        {"kernel_size": (2, 3), "dilation": (3, 2), "padding": (1, 2), "stride": (2, 3)},
    ),
    "stride above kernel": ((1, 2, 9, 9), {"kernel_size": 2, "stride": 4}),
    "one pixel": ((1, 3, 1, 1), {"kernel_size": 3, "padding": 1}),
    "asymmetric": ((1, 2, 5, 6), {"kernel_size": 3, "padding": ((0, 2), (1, 0))}),
    "empty batch": ((0, 3, 4, 5), {"kernel_size": 2}),
}


@pytest.mark.parametrize("name", CASES)
def test_unfold(backend, dtype, name):
    shape, options = CASES[name]
    x = normal(shape, dtype=dtype)
    assert_close(fastconv.unfold(guarded(x), **options), reference.unfold(x, **options), 0, dtype)
    if len(x):
        assert_close(fastconv.unfold(x[0], **options), reference.unfold(x, **options)[0], 0, dtype)


@pytest.mark.parametrize("name", CASES)
def test_fold(backend, dtype, name):
    shape, options = CASES[name]
    columns = normal(reference.unfold(np.zeros(shape), **options).shape, dtype=dtype)
    expected = reference.fold(columns, shape[2:], **options)
    tolerance = 4 * eps(dtype) * reference.fold(abs(columns), shape[2:], **options)
    assert_close(fastconv.fold(guarded(columns), shape[2:], **options), expected, tolerance, dtype)
    if len(columns):
        assert_close(fastconv.fold(columns[0], shape[2:], **options), expected[0], tolerance[0], dtype)


@given(strategies.convolutions(), strategies.dtypes)
def test_random(backend, problem, dtype):
    options = dict(problem.options)
    del options["groups"]
    options["kernel_size"] = problem.weights[0][2:]
    if isinstance(options["padding"], str):
        options["padding"] = reference.pads(options["padding"], problem.x[2:], *(
            options[name] for name in ("kernel_size", "stride", "dilation")
        ))  # fmt: skip
    x = normal(problem.x, dtype=np.dtype(dtype))
    columns = fastconv.unfold(x, **options)
    assert_close(columns, reference.unfold(x, **options), 0, x.dtype)
    folded = fastconv.fold(columns, x.shape[2:], **options)
    expected = reference.fold(columns, x.shape[2:], **options)
    assert_close(folded, expected, 25 * eps(dtype) * abs(expected), x.dtype)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int64", "float16"])
def test_unfold_keeps_the_dtype(backend, kind):
    x = (np.arange(60).reshape(1, 3, 4, 5) % 5).astype(kind)
    columns = fastconv.unfold(x, 2, padding=1)
    assert columns.dtype == kind
    np.testing.assert_array_equal(columns, reference.unfold(x, 2, padding=1))
