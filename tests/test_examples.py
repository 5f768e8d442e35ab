"""The programs in `examples/` run, and do what they say."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

DIGITS = Path(__file__).parent.parent / "examples" / "digits.py"


@pytest.fixture(scope="module")
def digits():
    """The program, which imports what takes seconds."""
    pytest.importorskip("autograd")
    pytest.importorskip("sklearn")
    specification = importlib.util.spec_from_file_location("digits", DIGITS)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_digits_are_learned(digits):
    assert digits.train(seed=0) >= 0.98


def test_digits_same_seed_same_result(digits, backend):
    images, _, labels, _ = digits.load()
    (parameters, losses), (again, same) = (digits.fit(images, labels, seed=1, epochs=1) for _ in range(2))
    assert losses == same
    for one, other in zip(parameters, again, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, other)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_digits_is_short():
    assert len(DIGITS.read_text(encoding="utf-8").splitlines()) < 100
