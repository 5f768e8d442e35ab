"""Signals during a call: their handlers run soon, what they raise ends the call, and afterwards all is as before."""

import os

import numpy as np
import pytest

import fastconv
from checks import run_python
from conftest import skip_unless_available
from fastconv.backends.numpy import NumpyBackend

pytestmark = pytest.mark.one_instruction_set

START = """
import os, signal, sys, threading
import numpy as np
import fastconv
from fastconv import grad
fastconv.set_backend({backend!r})
fastconv.set_num_threads({threads})
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a shell ignores it
rng = np.random.default_rng(0)
def normal(*shape):
    return rng.standard_normal(shape, np.float32)
def ones(*shape):
    return np.ones(shape, np.float32)
class Raised(Exception):
    pass
def every(seconds, handler):
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
def never():
    signal.setitimer(signal.ITIMER_REAL, 0)
SMALL = normal(2, 16, 20, 20), normal(24, 16, 3, 3)
EXPECTED = fastconv.conv2d(*SMALL), fastconv.max_pool2d(SMALL[0], 3)
def usable():
    assert np.array_equal(fastconv.conv2d(*SMALL), EXPECTED[0])
    assert np.array_equal(fastconv.max_pool2d(SMALL[0], 3), EXPECTED[1])
"""

# About a quarter of a second on one core each; together every kind of task that may be long.
CALLS = """
LONG = {
    "direct_channels": lambda: fastconv.conv2d(ones(1, 64, 64, 64), ones(64, 64, 21, 21), algorithm="direct_channels"),
    "direct_pixels": lambda: fastconv.conv2d(ones(1, 64, 64, 64), ones(64, 64, 21, 21), algorithm="direct_pixels"),
    "dot_products": lambda: fastconv.conv2d(ones(800, 2048, 1, 1), ones(4000, 2048, 1, 1), algorithm="dot_products"),
    "im2col": lambda: fastconv.conv2d(ones(1, 64, 64, 64), ones(64, 64, 21, 21), algorithm="im2col"),
    "one strip": lambda: fastconv.conv2d(ones(1, 1, 150, 150), ones(128, 1, 61, 61), algorithm="direct_channels"),
    "winograd": lambda: fastconv.conv2d(ones(1, 512, 48, 48), ones(512, 512, 3, 3), algorithm="winograd4", padding=1),
    "few tiles": lambda: fastconv.conv2d(ones(6, 1024, 8, 8), ones(1024, 1024, 3, 3), algorithm="winograd2", padding=1),
    "fft": lambda: fastconv.conv2d(ones(6, 16, 220, 220), ones(16, 16, 21, 21), algorithm="fft"),
    "depthwise": lambda: fastconv.depthwise_conv2d(ones(3, 32, 300, 300), ones(32, 1, 41, 41)),
    "grouped": lambda: fastconv.conv2d(ones(2, 250, 250, 64), ones(15, 15, 4, 64), groups=16, layout="NHWC"),
    "transposed": lambda: fastconv.conv_transpose2d(ones(1, 128, 64, 64), ones(128, 64, 17, 17), stride=2),
    "weights": lambda: grad.conv2d_weight(ones(4, 64, 80, 80), (64, 64, 17, 17), ones(4, 64, 64, 64)),
    "weights, winograd": lambda: grad.conv2d_weight(ones(2, 512, 64, 64), (512, 512, 3, 3), ones(2, 512, 62, 62)),
    "weights, depthwise": lambda: grad.depthwise_conv2d(
        ones(12, 32, 200, 200), ones(32, 1, 31, 31), ones(12, 32, 170, 170), needs=(False, True, False)),
    "deform": lambda: fastconv.deform_conv2d(ones(6, 64, 60, 60), ones(6, 98, 54, 54), ones(64, 64, 7, 7)),
    "deform, gradient": lambda: grad.deform_conv2d(
        ones(6, 32, 44, 44), ones(6, 50, 40, 40), ones(64, 32, 5, 5), ones(6, 64, 40, 40)),
    "norm": lambda: fastconv.local_response_norm(ones(1, 512, 96, 96), 511),
    "norm, gradient": lambda: grad.local_response_norm(ones(1, 512, 40, 40), ones(1, 512, 40, 40), 1023),
    "windows": lambda: fastconv.max_pool2d(ones(1, 1, 500, 500), 160, 1, return_indices=True),
    "planes": lambda: fastconv.avg_pool2d(ones(4, 4, 700, 700), 190, 1),
    "channels": lambda: fastconv.max_pool2d(ones(1, 250, 250, 64), 80, 1, layout="NHWC"),
    "lp": lambda: fastconv.lp_pool2d(ones(1, 1, 120, 120), 3, 40, 1),
    "pooling, gradient": lambda: grad.avg_pool2d(ones(4, 4, 500, 500), (4, 4, 699, 699), 200, 1),
}
"""


HANDLED = """
from fastconv.backends.cython import _engine
_engine.handle_signals_every(0.002)
count = 0
def note(number, frame):
    global count
    count += 1
for name, call in LONG.items():
    count = 0
    every(0.001, note)
    call()
    never()
    assert count >= 5, f"{name}: {count} handlers"  # 1 or 2 where they wait
"""


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_handlers_run_during_every_long_call(threads):
    """Those that had to wait for the end of the call would run once, however many signals came."""
    skip_unless_available("cython")
    run_python(START.format(backend="cython", threads=threads) + CALLS + HANDLED, timeout=600)


RAISED = """
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
x, weight = ones(1, 64, 256, 256), ones(64, 64, 21, 21)
plan = fastconv.plan_conv2d(weight, padding=10, algorithm="direct")
beside = []
other = threading.Thread(target=lambda: beside.extend(fastconv.conv2d(*SMALL) for _ in range(200)))
other.start()
for call in (
    lambda out: fastconv.conv2d(x, weight, padding=10, algorithm="direct", out=out),
    lambda out: plan(x, out=out),
    lambda out: grad.conv2d_input((1, 64, 256, 256), weight, x, padding=10, algorithm="direct", out=out),
    lambda out: fastconv.max_pool2d(ones(1, 64, 256, 256), 101, 1, 50, return_indices=True, out=out),
):
    out = np.full((1, 64, 256, 256), np.nan, np.float32)
    timer = threading.Timer(0.1, interrupt)
    timer.start()
    try:
        call(out)
    except KeyboardInterrupt:
        pass
    else:
        sys.exit("not interrupted")
    assert np.isnan(out).any()  # as the call did not end first
    usable()
other.join()
assert all(np.array_equal(result, EXPECTED[0]) for result in beside) and len(beside) == 200
"""


@pytest.mark.slow("numba")
@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_ctrl_c_ends_a_call(backend, threads):
    """All of these would take many seconds."""
    run_python(START.format(backend=backend, threads=threads) + RAISED, timeout=600)


UNDISTURBED = """
count = 0
def work(number, frame):
    global count
    count += 1
    never()  # so that none comes within this one, however long it takes
    usable()
    every(0.005, work)
n = {"cython": 64, "numba": 12, "numpy": 4}[fastconv.get_backend()]
x, weight = normal(1, n, 96, 96), normal(n, n, 9, 9)
def compute():
    return (
        fastconv.conv2d(x, weight, algorithm="direct"), fastconv.max_pool2d(x, 31, 1, return_indices=True)[1],
        grad.conv2d_weight(x, weight.shape, x[:, :, 8:, 8:]),
        fastconv.deform_conv2d(x, np.full((1, 162, 88, 88), np.float32(0.5)), weight),
    )
expected = compute()
every(0.005, work)
results = compute()
never()
assert all(map(np.array_equal, results, expected)) and count > 1
"""


@pytest.mark.slow("numba")
@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_handler_may_make_calls_and_changes_no_result(backend, threads):
    run_python(START.format(backend=backend, threads=threads) + UNDISTURBED, timeout=600)


FORKED = """
import warnings
from children import expect_success
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
child = None
def fork(number, frame):
    global child
    never()
    child = os.fork()
n = {"cython": 64, "numba": 64, "numpy": 8}[fastconv.get_backend()]
x, weight = normal(1, n, 128, 128), normal(n, n, 15, 15)
expected = fastconv.conv2d(x, weight, algorithm="direct")
every(0.01, fork)
try:
    assert np.array_equal(fastconv.conv2d(x, weight, algorithm="direct"), expected)
except RuntimeError as error:
    assert child == 0 and "forked" in str(error), (child, error)
assert child is not None
usable()
if child == 0:
    os._exit(0)
expect_success(child)
"""


@pytest.mark.slow("numba")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_handler_that_forks(backend, threads):
    """In the child the call ends, with an error where other threads had parts of it."""
    run_python(START.format(backend=backend, threads=threads) + FORKED, timeout=600, OPENBLAS_NUM_THREADS="1")


class Watched(np.ndarray):
    """Remembers the size of the largest assignment."""

    largest = 0

    def __setitem__(self, key, value):
        Watched.largest = max(Watched.largest, self[key].size)
        super().__setitem__(key, value)


def test_unfold_in_numpy_writes_in_pieces(monkeypatch):
    """Zeros in gigabytes of new memory took seconds in one call of NumPy's, within which no signal is handled."""
    unfold = NumpyBackend.unfold
    monkeypatch.setattr(
        NumpyBackend, "unfold", lambda self, problem, x, out: unfold(self, problem, x, out.view(Watched))
    )
    columns = fastconv.unfold(np.ones((1, 4, 256, 256), np.float32), 7, padding=3, backend="numpy")
    assert columns[0, 0, 0] == 0
    assert columns[0, 24].all()
    assert 0 < Watched.largest <= 2**20 < columns.size


def test_shuffles_write_in_pieces(monkeypatch):
    """They are NumPy's work on every backend."""
    empty = fastconv.ops.shuffle.empty
    monkeypatch.setattr("fastconv.ops.shuffle.empty", lambda *what: empty(*what).view(Watched))
    Watched.largest = 0
    x = np.arange(64 * 256 * 256, dtype=np.float32).reshape(1, 64, 256, 256)
    shuffled = fastconv.pixel_shuffle(x, 8)
    np.testing.assert_array_equal(fastconv.pixel_unshuffle(shuffled, 8), x)
    fastconv.channel_shuffle(x, 8)
    assert 0 < Watched.largest <= 2**18 < x.size
