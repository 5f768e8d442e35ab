"""Pages of mapped files: given back once they were read, and read again where they are wanted."""

import sys

import numpy as np
import pytest

from fastconv.graph.pages import aligned, forget_pages
from fastconv.onnx.external import mapped

COUNT = 8 << 20  # of float32


@pytest.fixture
def path(tmp_path):
    (tmp_path / "weights").write_bytes(b"\0" + np.arange(COUNT, dtype=np.float32).tobytes())
    return str(tmp_path / "weights")


def resident():
    """Bytes of files that the process has in memory."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("RssFile"))


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is in memory")
def test_what_was_read_is_given_back(path):
    array = np.frombuffer(mapped(path)[1:], np.float32).reshape(-1, 256)
    total = array.sum(dtype=np.float64)
    before = resident()
    forget_pages(array[: len(array) // 2])
    assert resident() < before - array.nbytes // 3
    forget_pages(array)
    assert resident() < before - 2 * array.nbytes // 3
    assert array.sum(dtype=np.float64) == total


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is in memory")
def test_a_copy_leaves_nothing_behind(path):
    array = np.frombuffer(mapped(path)[1:], np.float32).reshape(-1, 256)
    assert not array.flags.aligned
    before = resident()
    copy = aligned(array)
    assert resident() < before + array.nbytes // 4
    assert copy.flags.aligned
    np.testing.assert_array_equal(copy, array)


def test_arrays_of_memory():
    array = np.arange(60.0).reshape(3, 4, 5)
    forget_pages(array)
    forget_pages(array[:0])
    assert aligned(array) is array
    for other in (array.T, array[::2], array.astype(">f8"), np.asfortranarray(array)[..., 1], np.array(2.0)):
        copy = aligned(other)
        assert copy.flags.c_contiguous
        assert copy.dtype.isnative
        np.testing.assert_array_equal(copy, other)
