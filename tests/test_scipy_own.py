"""SciPy's own tests, from its wheel, of the functions that fastconv has under the same names, which are replaced."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("scipy.ndimage.tests") is None:
    pytest.skip("this SciPy came without its tests", allow_module_level=True)

# What does not pass, and why.
NOT_PASSING = {
    "test_fft_nan": "wants a warning that transforms have spread a NaN: here it stays within the windows that hold it",
    "test_white_tophat03": "wants what SciPy makes of booleans that are neither 0 nor 1, but 255",
    "test_black_tophat03": "wants what SciPy makes of booleans that are neither 0 nor 1, but 255",
}
SUITES = {
    "scipy.ndimage.tests.test_filters": ("", 2400),
    "scipy.ndimage.tests.test_morphology": ("grey or tophat or morphological", 60),
    "scipy.signal.tests.test_signaltools": (
        "Convolve or Correlate or correlation or sepfir or convolve or conv_method",
        11000,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES)
def test_scipy_own(suite, tmp_path):
    chosen, least = SUITES[suite]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "scipy_replaced", "-p", "no:cacheprovider", "-p", "no:xdist",
         "-c", os.devnull, "-q", "-rf", "--tb=no", "--pyargs", suite, *(["-k", chosen] if chosen else [])],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)}, capture_output=True, text=True,
        check=False, timeout=900,
    )  # fmt: skip
    failed = set(re.findall(r"^FAILED .*::(\w+)", run.stdout, re.MULTILINE))
    assert failed <= set(NOT_PASSING), run.stdout[-3000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed is not None, run.stdout[-3000:] + run.stderr[-3000:]
    assert int(passed[1]) >= least


def test_functions_are_replaced():
    """In a process of its own: the others here compare with SciPy."""
    code = (
        "import scipy_replaced, scipy.ndimage as n, scipy.signal as s; "
        "print(n.convolve.__module__, s.convolve.__module__)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["fastconv.ndimage.linear", "fastconv.signal.convolution"]
