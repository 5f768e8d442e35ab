"""Nothing costs more than its inputs and outputs are large, whatever the numbers; see `far_apart.py`."""

import sys

import numpy as np
import pytest

import far_apart
import reference
from cases import CONV, TRANSPOSE
from checks import normal, run_python


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
def test_all(backend):
    """In a process of its own, which could otherwise die, run for ever or take all memory."""
    run_python(f"import far_apart; far_apart.check_all({backend!r}, 1024)", timeout=900)


@pytest.mark.parametrize("name", CONV)
def test_the_definition(name):
    """Agrees with that of the other tests."""
    case = CONV[name]
    options = dict(case.options)
    if "padding_mode" in options or not case.x[0]:
        pytest.skip("not among the options")
    x, weight = normal(case.x), normal(case.weights[0], seed=1)
    actual = far_apart.conv_problem(x.shape, weight.shape, **options).conv(x, weight)
    np.testing.assert_allclose(actual, reference.conv2d(x, weight, **options), atol=1e-12)


@pytest.mark.parametrize("name", TRANSPOSE)
def test_the_transposed_definition(name):
    case = TRANSPOSE[name]
    options = dict(case.options)
    if options.get("padding") == "same" or not case.x[0]:
        pytest.skip("not among the options")
    x, weight = normal(case.x), normal(case.weights[0], seed=1)
    actual = far_apart.transposed_problem(x.shape, weight.shape, **options).transposed(x, weight)
    np.testing.assert_allclose(actual, reference.conv_transpose2d(x, weight, **options), atol=1e-12)
