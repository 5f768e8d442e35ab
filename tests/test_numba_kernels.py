"""How the numba backend compiles and runs its kernels: what no public function shows."""

import numpy as np
import pytest

from checks import guarded, normal
from conftest import skip_unless_available

pytestmark = pytest.mark.one_instruction_set


@pytest.fixture(autouse=True)
def numba():
    skip_unless_available("numba")
    return pytest.importorskip("numba")


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64"])
def test_copied_rows_end_where_they_should(numba, dtype):
    """Whole vectors, and what is left of one, with every step; their neighbours stay."""
    from fastconv.backends.numba.lines import copy

    @numba.njit
    def run(source, origin, step, count, target, start):
        copy(source, origin, step, count, target, start)

    for step in (1, 2, 3):
        for count in (0, 1, 2, 7, 8, 15, 16, 17, 63, 64, 65, 131):
            source = guarded(np.arange(step * count + 3 - step * (count > 0) + (count > 0)).astype(dtype))
            target, expected = np.full(count + 9, 77, dtype), np.full(count + 9, 77, dtype)
            run(source, 3, step, count, target, 5)
            expected[5 : 5 + count] = source[3 : 3 + step * count : step]
            assert np.array_equal(target, expected), (step, count)


def test_helpers_are_compiled_once_and_within_kernels_only(numba):
    """No machine code that nobody calls, and no other code for a constant."""
    from fastconv.backends.numba.compile import device

    @device
    def helper(number):
        return number + 1

    @numba.njit
    def run(number):
        return helper(number) + helper(2) + helper(number + 3)

    assert run(5) == 18
    ((arguments, compiled),) = helper.overloads.items()
    assert arguments == (numba.int64,)
    assert compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name) == 0


def test_no_task_of_a_deformable_gradient_is_long(monkeypatch):
    """Of a 7x7 convolution with few channels, where one took a second, in which no signal was handled."""
    from fastconv import grad
    from fastconv.backends.numba import parallel

    longest = []

    def run(kernel, items, nanoseconds, *args):
        longest.append(nanoseconds / items)

    monkeypatch.setattr(parallel, "run", run)
    x, weight = np.ones((1, 2, 306, 306), np.float32), np.ones((3, 2, 7, 7), np.float32)
    offset, slope = np.ones((1, 98, 300, 300), np.float32), np.ones((1, 3, 300, 300), np.float32)
    with np.errstate(all="ignore"):  # nothing is computed: the sums hold anything
        grad.deform_conv2d(x, offset, weight, slope, backend="numba")
    assert max(longest) < 20_000_000


def test_passes_change_no_gradient_of_deformable_convolution(monkeypatch):
    from fastconv import grad
    from fastconv.backends.numba import grad_deform

    arrays = [normal(shape, seed=i, dtype=np.float32) for i, shape in enumerate(
        [(2, 4, 30, 20), (2, 18, 28, 18), (6, 4, 3, 3), (2, 6, 28, 18)]
    )]  # fmt: skip
    of_x, of_offset, *_ = grad.deform_conv2d(*arrays, backend="numba")
    monkeypatch.setattr(grad_deform, "_LONG", 1000)
    again, of_offset_again, *_ = grad.deform_conv2d(*arrays, backend="numba")
    assert np.array_equal(of_x, again)
    assert np.array_equal(of_offset, of_offset_again)


def test_an_error_in_another_thread_reaches_the_caller():
    from fastconv import num_threads
    from fastconv.backends.numba import parallel

    def kernel(start, stop):
        if start > 0:
            raise ValueError(f"{start} to {stop}")

    with num_threads(3), pytest.raises(ValueError, match=r"\d to \d"):
        parallel.run(kernel, 6, 3_000_000)
    parallel.run(lambda start, stop: None, 6, 3_000_000)


@pytest.mark.parametrize("possible", [0, 1])
def test_threads_that_cannot_start_are_done_without(monkeypatch, possible):
    import threading

    from fastconv import num_threads
    from fastconv.backends.numba import parallel

    started = []
    start = threading.Thread.start

    def limited(self):
        if len(started) == possible:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    monkeypatch.setattr(parallel, "_tasks", parallel.SimpleQueue())
    monkeypatch.setattr(parallel, "_threads", 0)
    monkeypatch.setattr(threading.Thread, "start", limited)
    done = []
    with num_threads(4):
        parallel.run(lambda start, stop: done.extend(range(start, stop)), 9, 3_000_000)
    assert sorted(done) == list(range(9))
    assert len(started) == possible
    assert possible or parallel._tasks.empty()  # nothing waits for threads that are not there
