"""Nothing costs more than its inputs and outputs are large, whatever the numbers; see `far_apart.py`."""

import sys

import numpy as np
import pytest

import far_apart
import fastconv
import reference
from cases import CONV, TRANSPOSE
from checks import normal, run_python


@pytest.mark.slow("cython-avx2", "cython-baseline", "numba")
@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
def test_all(backend, request):
    """In a process of its own, which could otherwise die, run for ever or take all memory."""
    instruction_set = request.node.callspec.params["backend"].partition("-")[2]
    code = f"import far_apart; far_apart.check_all({backend!r}, 1024)"
    run_python(code, timeout=900, FASTCONV_ISA=instruction_set or None)


def small(cases):
    """Those that take no time here, padded with zeros or pixels: nothing else is among the definition's options."""
    return [
        name
        for name, case in cases.items()
        if 0 < np.prod(case.x) * np.prod(case.weights[0]) < 10**5
        and "padding_value" not in dict(case.options)
    ]


@pytest.mark.parametrize("name", small(CONV))
def test_the_definition(name):
    """Agrees with that of the other tests."""
    case = CONV[name]
    options = dict(case.options)
    x, weight = normal(case.x), normal(case.weights[0], seed=1)
    actual = far_apart.conv_problem(x.shape, weight.shape, **options).conv(x, weight)
    np.testing.assert_allclose(actual, reference.conv2d(x, weight, **options), atol=1e-12)


@pytest.mark.parametrize("name", small(TRANSPOSE))
def test_the_transposed_definition(name):
    case = TRANSPOSE[name]
    options = dict(case.options)
    if options.get("padding") == "same":
        pytest.skip("not among the options")
    x, weight = normal(case.x), normal(case.weights[0], seed=1)
    actual = far_apart.transposed_problem(x.shape, weight.shape, **options).transposed(x, weight)
    np.testing.assert_allclose(actual, reference.conv_transpose2d(x, weight, **options), atol=1e-12)


def test_plan_whose_padding_is_longer_than_some_images(backend):
    """Those get only what is seen of it; a plan's weights serve both."""
    weight, algorithm = normal((4, 3, 3, 3)), "winograd2" if "winograd2" in fastconv.algorithms() else None
    options = {"dilation": (100, 1), "padding": ((100, 100), (1, 1)), "padding_mode": "replicate"}
    plan = fastconv.plan_conv2d(weight, algorithm=algorithm, **options)
    for height in (2, 230, 3):
        x = normal((1, 3, height, 6))
        expected = far_apart.conv_problem(x.shape, weight.shape, **options).conv(x, weight)
        np.testing.assert_allclose(plan(x), expected, atol=1e-12)


MOST = 2**31 - 1


@pytest.mark.parametrize("shape", [(1, 3, MOST, MOST), (MOST, 3, 2**17, 2**17), (0, 3, MOST, MOST)])
def test_images_beyond_any_memory(backend, shape):
    """Kernels would lose count of their bytes."""
    weight = np.ones((3, 3, 3, 3))
    plan, transposed = (
        fastconv.plan_conv2d(weight, padding=1),
        fastconv.plan_conv_transpose2d(weight, stride=MOST),
    )
    for call in (plan.explain, plan.algorithm, transposed.explain):
        with pytest.raises(
            MemoryError, match=r"^plan_conv.*2d: an image of shape .* is more than an array can hold"
        ):
            call(shape)
    with pytest.raises(MemoryError, match="conv_transpose2d: an image of shape"):
        fastconv.conv_transpose2d(np.ones((1, 3, 2, 2)), weight, stride=MOST)
    assert plan.explain((1, 3, 2**17, MOST))
    assert plan.algorithm((1, 3, 2**17, MOST))
