"""Instruction sets: how one is chosen, and that the tests that ask for a lower one run on it."""

import numpy as np
import pytest

import fastconv
from checks import normal, run_python
from conftest import COMPILED, skip_unless_available


def instruction_sets():
    skip_unless_available("cython")
    from fastconv.backends import cython

    return cython.instruction_sets()


def test_every_instruction_set_can_be_chosen():
    code = "from fastconv.backends import cython; print(cython.INSTRUCTION_SET)"
    for name in instruction_sets():
        assert run_python(code, FASTCONV_ISA=name) == name


def test_unknown_instruction_set_is_named():
    instruction_sets()
    code = """
import fastconv, numpy as np
try:
    fastconv.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), backend="cython")
except Exception as error:
    print(type(error).__name__, error)
"""
    words = run_python(code, FASTCONV_ISA="sse9")
    assert all(word in words for word in ("FASTCONV_ISA", "sse9", "baseline")), words


WEIGHT = normal((21, 5, 3, 3), dtype=np.float32)


@pytest.fixture
def called_before():
    """With what a test before may have left behind: calls that are remembered with their kernels."""
    fastconv.conv2d(normal((1, 5, 9, 9), dtype=np.float32), WEIGHT)


@pytest.mark.parametrize("backend", COMPILED, indirect=True)
def test_a_test_runs_on_the_instruction_set_that_it_asks_for(called_before, backend, request, monkeypatch):
    from fastconv.backends import cython

    lower = request.node.callspec.params["backend"].partition("-")[2]
    wanted = lower or cython.INSTRUCTION_SET
    assert f"instruction set {wanted}" in fastconv.plan_conv2d(WEIGHT).explain((1, 5, 9, 9))
    code = "from fastconv.backends import cython; print(cython.INSTRUCTION_SET)"
    assert run_python(code) == wanted
    chosen = []
    choose = type(cython.BACKEND).conv_shortcut
    monkeypatch.setattr(
        type(cython.BACKEND), "conv_shortcut", lambda *arguments: chosen.append(1) or choose(*arguments)
    )
    fastconv.conv2d(normal((1, 5, 9, 9), dtype=np.float32), WEIGHT)
    assert chosen or not lower, "a call of another instruction set was still known"
