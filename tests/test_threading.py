"""The pool and OpenMP: the same bits, the same manners; and what is said where one of them cannot be had."""

import os
import re
import subprocess

import numpy as np
import pytest

import fastconv
import test_interruption as interruption
import test_threads as threads
from checks import normal, run_python
from conftest import skip_unless_available
from fastconv import grad
from fastconv.config import build_config

LAYERS = ["pool", "openmp"]
NO_WARNING = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n"
can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
pytestmark = pytest.mark.one_instruction_set


def need(layer):
    skip_unless_available("cython")
    if layer == "openmp" and build_config()["build"]["openmp"] == "left out":
        pytest.skip("fastconv was built without OpenMP")


def run_with(layer, code, **environment):
    """A process whose calls may use four threads of a layer; NumPy's BLAS uses none."""
    need(layer)
    environment = {"FASTCONV_THREADING": layer, "OMP_NUM_THREADS": "4", **environment}
    return run_python(code, timeout=600, OPENBLAS_NUM_THREADS="1", **environment)


@pytest.fixture
def layers():
    """Both, each with up to three threads; afterwards what was chosen before."""
    need("openmp")
    threadpoolctl = pytest.importorskip("threadpoolctl")
    before = fastconv.get_threading()
    fastconv.set_threading("openmp")
    with threadpoolctl.threadpool_limits(3, user_api="openmp"), fastconv.use_backend("cython"):
        yield LAYERS
    fastconv.set_threading(before)


def f32(*shape):
    return normal(shape, dtype=np.float32)


IMAGE, WEIGHT = f32(2, 64, 30, 29), f32(48, 64, 3, 3)
OUTPUT = f32(2, 48, 30, 29)
KERNELS = {
    **{
        name: lambda name=name: fastconv.conv2d(IMAGE, WEIGHT, padding=1, algorithm=name)
        for name in ("direct_channels", "direct_pixels", "winograd2", "winograd4")
    },
    "fft": lambda: fastconv.conv2d(f32(1, 16, 100, 90), f32(8, 16, 21, 21), algorithm="fft"),
    "winograd, few tiles": lambda: fastconv.conv2d(f32(1, 256, 8, 8), f32(256, 256, 3, 3), padding=1),
    "1x1": lambda: fastconv.conv2d(IMAGE, f32(96, 64, 1, 1)),
    "depthwise": lambda: fastconv.depthwise_conv2d(IMAGE, f32(64, 1, 5, 5), padding=2),
    "grouped": lambda: fastconv.conv2d(f32(2, 30, 29, 64), f32(3, 3, 4, 64), groups=16, layout="NHWC"),
    "transposed": lambda: fastconv.conv_transpose2d(IMAGE, f32(64, 32, 4, 4), stride=2),
    "deformable": lambda: fastconv.deform_conv2d(IMAGE, f32(2, 18, 28, 27), WEIGHT),
    "max": lambda: fastconv.max_pool2d(IMAGE, 3, 2, return_indices=True)[1],
    "average": lambda: fastconv.avg_pool2d(IMAGE, 3, 1, 1),
    "pad": lambda: fastconv.pad2d(IMAGE, 3, "reflect"),
    "norm": lambda: fastconv.local_response_norm(IMAGE, 5),
    "gradients": lambda: np.concatenate(
        [g.ravel() for g in grad.conv2d(IMAGE, WEIGHT, OUTPUT, padding=1) if g is not None]
    ),
    "gradient, depthwise": lambda: grad.conv2d_weight(IMAGE, (64, 1, 3, 3), IMAGE, padding=1, groups=64),
    "gradient, average": lambda: grad.avg_pool2d(IMAGE, IMAGE.shape, 3, 1, 1),
}


@pytest.mark.parametrize("name", KERNELS)
def test_both_give_the_same_bits(layers, name):
    kernel = KERNELS[name]
    results = {}
    for layer in layers:
        fastconv.set_threading(layer)
        assert fastconv.get_threading() == layer
        for count in (1, 2, 3):
            with fastconv.num_threads(count):
                results[layer, count] = kernel()
    expected = results["pool", 1]
    for key, result in results.items():
        np.testing.assert_array_equal(result, expected, str(key))


@can_fork
def test_fork_with_openmp():
    """Its library would wait for threads that the child has not; the child has the pool."""
    check = """
def in_child():
    assert fastconv.get_threading() == "pool"
    try:
        fastconv.set_threading("openmp")
    except ValueError as error:
        assert "fork" in str(error), error
    else:
        sys.exit("set in a child")
assert fastconv.get_threading() == "openmp"
os.register_at_fork(after_in_child=in_child)
"""
    run_with("openmp", NO_WARNING + threads.SHARED.format(backend="cython") + check + threads.FORK)


@pytest.mark.slow
@can_fork
def test_forks_while_other_threads_compute_with_openmp():
    run_with("openmp", NO_WARNING + threads.SHARED.format(backend="cython") + threads.HAMMER)


@pytest.mark.slow
def test_python_threads_at_once_with_openmp():
    run_with("openmp", threads.SHARED.format(backend="cython") + threads.TWO_THREADS)


HANDLERS = {
    # None runs while the thread waits at the end of a region, which may be most of the time beside a busy neighbour;
    # those that had to wait for the end of the call would run once.
    "run": interruption.CALLS + interruption.HANDLED.replace("count >= 10", "count >= 2"),
    "raise": interruption.RAISED,
    "make calls": interruption.UNDISTURBED,
    "fork": interruption.FORKED,
}
MARKS = {"fork": can_fork, "run": pytest.mark.slow}


@pytest.mark.parametrize("what", [pytest.param(name, marks=MARKS.get(name, ())) for name in HANDLERS])
def test_handlers_of_signals_with_openmp(what):
    """They run amid a parallel region, of which the thread that they interrupt is a member."""
    run_with("openmp", interruption.START.format(backend="cython", threads=2) + HANDLERS[what])


COUNTED = """
import os
import numpy as np, fastconv, threadpoolctl
x, weight = np.ones((1, 64, 64, 64), np.float32), np.ones((64, 64, 3, 3), np.float32)
def started(call):
    before = len(os.listdir("/proc/self/task"))
    call()
    return len(os.listdir("/proc/self/task")) - before
def conv():
    fastconv.conv2d(x, weight)
assert started(fastconv.get_backend) == 0  # loads the engine
fastconv.set_num_threads(4)
"""
reads_proc = pytest.mark.skipif(
    not os.path.exists("/proc/self/task"), reason="counts the threads of the process by /proc"
)


@reads_proc
@pytest.mark.parametrize("layer", LAYERS)
def test_threadpoolctl_limits_the_engine(layer):
    pytest.importorskip("threadpoolctl")
    code = """
def ours():
    (info,) = [i for i in threadpoolctl.threadpool_info() if i["internal_api"] == "fastconv"]
    return info
assert ours()["num_threads"] == 4 and ours()["version"] == fastconv.__version__, ours()
with threadpoolctl.threadpool_limits(1):
    assert fastconv.get_num_threads() == ours()["num_threads"] == 1
    with fastconv.num_threads(3):  # a limit is one in a block, too
        assert fastconv.get_num_threads() == 1
        assert started(conv) == 0
with fastconv.num_threads(2), threadpoolctl.threadpool_limits({"fastconv": 3}):
    with threadpoolctl.threadpool_limits(1):
        assert fastconv.get_num_threads() == 1
    assert fastconv.get_num_threads() == 2
assert fastconv.get_num_threads() == ours()["num_threads"] == 4  # no block's number is left behind
assert started(conv) == 3
with threadpoolctl.threadpool_limits(2):
    fastconv.set_num_threads(8)
    assert fastconv.get_num_threads() == 2
fastconv.set_num_threads(5)
assert fastconv.get_num_threads() == 5, "the limit outlives its block"
"""
    run_with(layer, COUNTED + code)


@reads_proc
def test_limits_of_openmp_are_limits_of_its_layer():
    pytest.importorskip("threadpoolctl")
    code = """
with threadpoolctl.threadpool_limits(1, user_api="openmp"):
    assert started(conv) == 0
with threadpoolctl.threadpool_limits(2, user_api="openmp"):
    assert started(conv) == 1
assert started(conv) == 2
"""
    run_with("openmp", COUNTED + code)
    run_with("openmp", COUNTED + "assert started(conv) == 1", OMP_THREAD_LIMIT="2")


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="reads what is loaded from /proc")
def test_the_team_is_that_of_the_process():
    """scikit-learn brings a copy of the library, under a name of its own."""
    pytest.importorskip("sklearn")
    code = """
from sklearn.utils import _openmp_helpers
import fastconv, re
fastconv.set_threading("openmp")
loaded = set(re.findall(r"\\S*/lib(?:g|i)?omp[^/\\s]*", open("/proc/self/maps").read()))
assert len(loaded) == 1, loaded
"""
    run_with("openmp", code, FASTCONV_THREADING=None)


def test_threadpoolctl_is_not_imported_with_fastconv():
    assert run_python("import fastconv, sys; print('threadpoolctl' in sys.modules)") == "False"


def test_without_threadpoolctl():
    need("pool")
    code = "import sys; sys.modules['threadpoolctl'] = None; import fastconv; print(fastconv.get_threading())"
    assert run_python(code, FASTCONV_THREADING=None) == "pool"


def test_wrong_names_are_refused():
    need("pool")
    for wrong, error in (("tbb", ValueError), ("OpenMP", ValueError), (None, TypeError)):
        with pytest.raises(error, match="set_threading: name is"):
            fastconv.set_threading(wrong)
    code = """
import fastconv, numpy as np
for call in fastconv.get_threading, lambda: fastconv.max_pool2d(np.ones((1, 2, 2)), 2):
    try:
        call()
    except ValueError as error:
        print(error)
"""
    told = "the environment variable FASTCONV_THREADING is 'tbb', but needs to be 'pool' or 'openmp'"
    assert run_python(code, FASTCONV_THREADING="tbb").splitlines() == [told, told]


def test_why_openmp_cannot_be_had_is_told(monkeypatch):
    """As in a build without it; what was chosen stays."""
    need("pool")
    from fastconv.backends.cython import _engine

    before = fastconv.get_threading()
    monkeypatch.setattr(_engine, "use_openmp", lambda path: "it was built without OpenMP")
    with pytest.raises(ValueError, match=r"set_threading: name is 'openmp', .* it was built without OpenMP"):
        fastconv.set_threading("openmp")
    assert fastconv.get_threading() == before


def test_a_missing_library_is_told():
    need("openmp")
    from fastconv.backends.cython import _engine

    assert "nowhere.so" in _engine.use_openmp(b"/nowhere.so")


@pytest.mark.parametrize("layer", LAYERS)
def test_info_shows_the_layer(layer):
    need(layer)
    code = "import fastconv; fastconv.show_config()"
    shown = run_python(code, FASTCONV_THREADING=layer)
    assert re.search(rf"^  threading +{layer}$", shown, re.MULTILINE), shown
    assert re.search(r"^  openmp +\S", shown, re.MULTILINE), shown


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="for the linker of Linux")
def test_the_engine_needs_no_openmp_library():
    """It is loaded where it is asked for: without one, only `set_threading("openmp")` fails."""
    need("openmp")
    code = """
import fastconv, fastconv.backends.cython._engine as engine, os
print(os.path.dirname(engine.__file__))
assert "omp.so" not in open("/proc/self/maps").read()
"""
    folder = run_python(code, FASTCONV_THREADING="pool")
    objects = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".so")]
    assert len(objects) == 2, objects
    try:
        for path in objects:
            needed = subprocess.run(
                ["readelf", "-d", path], capture_output=True, text=True, check=True
            ).stdout
            assert "omp" not in needed, needed
    except FileNotFoundError:
        pytest.skip("needs readelf")
