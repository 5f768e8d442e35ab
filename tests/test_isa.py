"""The tests of the cython backend again on every lower instruction set that this processor can run."""

import os
import re
import subprocess
import sys

import pytest

from checks import run_python
from conftest import skip_unless_available

LEAST = 5000  # tests that must pass on each
WITHOUT_KERNELS = ("test_autograd*.py", "test_examples.py")  # of their own: they call what other tests call


def instruction_sets():
    skip_unless_available("cython")
    from fastconv.backends import cython

    return cython.instruction_sets()


@pytest.mark.slow
def test_the_suite_on_lower_instruction_sets():
    lower = instruction_sets()[:-1]
    if not lower:
        pytest.skip("this processor has only the lowest instruction set")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-m",
        "not slow",
        "--backend=cython",
        "-p",
        "no:cacheprovider",
        *(f"--ignore-glob=*/{name}" for name in WITHOUT_KERNELS),
    ]
    for name in lower:
        done = subprocess.run(
            [*command, os.path.dirname(__file__)],
            env=os.environ | {"FASTCONV_ISA": name, "CI": "1"},
            capture_output=True,
            text=True,
            timeout=1800,
        )
        assert done.returncode == 0, f"FASTCONV_ISA={name}\n{done.stdout[-6000:]}{done.stderr[-2000:]}"
        passed = re.search(r"(\d+) passed", done.stdout)
        assert int(passed[1]) >= LEAST, f"FASTCONV_ISA={name}\n{done.stdout[-2000:]}"


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
