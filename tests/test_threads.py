"""How many threads, and that their number, a fork or a second Python thread changes no result."""

import importlib
import os

import numpy as np
import pytest

import fastconv
from checks import normal, run_python, to_layout, weight_to_layout
from conftest import COMPILED, skip_unless_available
from fastconv.settings.threads import MOST_THREADS, available_cores

COUNT = "import fastconv; print(fastconv.get_num_threads())"


def test_environment():
    assert run_python(COUNT, FASTCONV_NUM_THREADS="3", OMP_NUM_THREADS="2") == "3"
    assert run_python(COUNT, FASTCONV_NUM_THREADS=None, OMP_NUM_THREADS="2") == "2"


@pytest.mark.parametrize(("value", "threads"), [("4,2", 4), (" 3 , 1 ", 3), ("99999", MOST_THREADS)])
def test_the_syntax_of_openmp(value, threads):
    assert run_python(COUNT, FASTCONV_NUM_THREADS=None, OMP_NUM_THREADS=value) == str(threads)


@pytest.mark.parametrize(
    "value",
    ["abc", "4,0", *(pytest.param(v, marks=pytest.mark.slow) for v in ("0", "4,", "-1", "2.5", "4;2"))],
)
def test_what_openmp_cannot_read_is_told_once_and_passed_over(value):
    code = """
import warnings, fastconv, numpy as np
from fastconv.settings.threads import MOST_THREADS, available_cores
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    counts = {fastconv.get_num_threads() for _ in range(3)}
    fastconv.max_pool2d(np.ones((1, 1, 3, 3)), 2)
assert counts == {min(available_cores(), 1024)}, counts
(warning,) = caught
print(warning.category.__name__, warning.filename, warning.message)
"""
    words = run_python(code, FASTCONV_NUM_THREADS=None, OMP_NUM_THREADS=value)
    assert words.startswith("RuntimeWarning <string> ")
    assert f"OMP_NUM_THREADS is {value!r}" in words
    # Without a word where ours is set; and where warnings are errors, the second call works.
    assert run_python(COUNT, FASTCONV_NUM_THREADS="3", OMP_NUM_THREADS=value) == "3"
    again = (
        "import fastconv\ntry:\n    fastconv.get_num_threads()\nexcept RuntimeWarning:\n    print('told')\n"
    )
    told = run_python(f"{again}{COUNT}", FASTCONV_NUM_THREADS=None, OMP_NUM_THREADS=value)
    assert told.split()[0] == "told"
    assert int(told.split()[1]) >= 1


@pytest.mark.parametrize(
    "value", ["0", "two", *(pytest.param(v, marks=pytest.mark.slow) for v in ("-1", "1.5", "4,2", "1025"))]
)
def test_nonsense_in_the_environment_is_named(value):
    code = """
import fastconv
try:
    print(fastconv.get_num_threads())
except ValueError as error:
    print(error)
"""
    words = run_python(code, FASTCONV_NUM_THREADS=value)
    assert all(word in words for word in ("FASTCONV_NUM_THREADS", value)), words


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no processor affinity")
def test_affinity():
    processors = sorted(os.sched_getaffinity(0))
    for count in {1, len(processors)}:
        code = f"import os; os.sched_setaffinity(0, {processors[:count]}); {COUNT}"
        threads = int(run_python(code, FASTCONV_NUM_THREADS=None, OMP_NUM_THREADS=None))
        assert 1 <= threads <= count


CGROUPS = {
    "version 2": ("0::/app\n", {"app/cpu.max": "150000 100000"}, 2),
    "version 2, limit above": ("0::/a/b\n", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}, 1),
    "version 2, no limit": ("0::/\n", {}, 64),
    "version 1": (
        "4:memory:/x\n3:cpu,cpuacct:/x\n",
        {"cpu,cpuacct/x/cpu.cfs_quota_us": "300000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"},
        3,
    ),
    "version 1, no limit": (
        "3:cpu,cpuacct:/\n",
        {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
        64,
    ),
    "version 1, seen from inside": (
        "3:cpu:/docker/0123\n",
        {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"},
        1,
    ),
    "not Linux": (None, {}, 64),
}


@pytest.mark.parametrize("name", CGROUPS)
def test_container_limits(name, tmp_path, monkeypatch):
    of_process, files, expected = CGROUPS[name]
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    files = {f"sys/fs/cgroup/{path}": text for path, text in files.items()}
    if of_process is not None:
        files["proc/self/cgroup"] = of_process
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text.strip() + "\n")
    assert available_cores(tmp_path) == expected


def test_python_and_c_have_one_limit():
    skip_unless_available("cython")
    engine = importlib.import_module("fastconv.backends.cython._engine")
    assert engine.most_threads() == MOST_THREADS
    with fastconv.num_threads(MOST_THREADS):
        assert fastconv.get_num_threads() == MOST_THREADS


def test_set_and_context():
    before = fastconv.get_num_threads()
    try:
        fastconv.set_num_threads(5)
        assert fastconv.get_num_threads() == 5
        with fastconv.num_threads(2):
            assert fastconv.get_num_threads() == 2
            with fastconv.num_threads(7):
                assert fastconv.get_num_threads() == 7
            assert fastconv.get_num_threads() == 2
        assert fastconv.get_num_threads() == 5
    finally:
        fastconv.set_num_threads(before)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (0, ValueError),
        (1025, ValueError),
        (-2, ValueError),
        (1.5, TypeError),
        ("2", TypeError),
        (True, TypeError),
    ],
)
def test_nonsense_is_refused(wrong, error):
    with pytest.raises(error) as caught:
        fastconv.set_num_threads(wrong)
    assert caught.type is error
    with pytest.raises(error), fastconv.num_threads(wrong):
        pass


LAYERS = {
    "3x3": (fastconv.conv2d, (2, 64, 30, 29), (70, 64, 3, 3), {"padding": 1, "activation": "gelu"}),
    "3x3 strict": (fastconv.conv2d, (1, 64, 30, 29), (70, 64, 3, 3), {"padding": 1, "precision": "strict"}),
    "1x1": (fastconv.conv2d, (1, 128, 28, 28), (256, 128, 1, 1), {}),
    "stem": (fastconv.conv2d, (1, 3, 90, 90), (64, 3, 7, 7), {"stride": 2, "padding": 3}),
    "grouped": (fastconv.conv2d, (3, 64, 20, 20), (64, 4, 3, 3), {"groups": 16, "padding": 1}),
    "dilated": (fastconv.conv2d, (1, 64, 33, 33), (64, 64, 3, 3), {"padding": 6, "dilation": 6}),
    "few pixels": (fastconv.conv2d, (1, 512, 4, 4), (512, 512, 3, 3), {"padding": 1}),
    "depthwise": (fastconv.depthwise_conv2d, (2, 96, 40, 40), (96, 1, 3, 3), {"padding": 1}),
    "transposed": (fastconv.conv_transpose2d, (1, 64, 20, 20), (64, 32, 4, 4), {"stride": 2, "padding": 1}),
    "max": (fastconv.max_pool2d, (2, 64, 57, 57), None, {"kernel_size": 3, "stride": 2}),
    "average": (fastconv.avg_pool2d, (2, 64, 57, 57), None, {"kernel_size": 3, "stride": 1, "padding": 1}),
    "global average": (fastconv.global_avg_pool2d, (2, 512, 30, 31), None, {}),
    "norm": (fastconv.local_response_norm, (2, 64, 30, 30), None, {"size": 5}),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("backend", COMPILED, indirect=True)
def test_bits_do_not_depend_on_the_number_of_threads(backend, layout, name):
    function, shape, weight, options = LAYERS[name]
    arrays = [to_layout(normal(shape, dtype=np.float32), layout)]
    if weight:
        arrays.append(weight_to_layout(normal(weight, dtype=np.float32), layout))
    with fastconv.num_threads(1):
        expected = function(*arrays, layout=layout, **options)
    for count in range(2, 9):
        with fastconv.num_threads(count):
            np.testing.assert_array_equal(function(*arrays, layout=layout, **options), expected)


SHARED = """
import os, sys, threading, time
import numpy as np, fastconv
from children import expect_success
fastconv.set_backend("{backend}")
fastconv.set_num_threads(4)
rng = np.random.default_rng(0)
x, w = rng.normal(size=(2, 32, 40, 40)).astype("f"), rng.normal(size=(48, 32, 3, 3)).astype("f")
small, z = rng.normal(size=(1, 16, 20, 21)).astype("f"), rng.normal(size=(16, 16, 1, 1)).astype("f")
def work():
    return fastconv.conv2d(x, w, padding=1), fastconv.conv2d(small, z), fastconv.max_pool2d(x, 2)
def same(a, b):
    return all(np.allclose(p, q, rtol=0, atol=1e-4) for p, q in zip(a, b))
expected = work()
"""

FORK = """
for generation in range(3):  # the parent's threads exist by now; it goes on working after the child
    child = os.fork()
    if child == 0:
        os._exit(0 if same(work(), expected) and same(work(), expected) else 3)
    expect_success(child)
    if not same(work(), expected):
        sys.exit("the parent computes wrong results")
"""

TWO_THREADS = """
finished, wrong = [0, 0, 0], []
def repeat(number):
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        if not same(work(), expected):
            wrong.append(number)
        finished[number] += 1
threads = [threading.Thread(target=repeat, args=(number,)) for number in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not wrong and min(finished) > 0, (wrong, finished)
"""


@pytest.mark.slow("numba")
@pytest.mark.one_instruction_set
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_fork(backend):
    code = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)"
    run_python(code + SHARED.format(backend=backend) + FORK, timeout=240)


HAMMER = """
weight, pixels = rng.normal(size=(256, 256, 3, 3)).astype("f"), rng.normal(size=(1, 256, 4, 4)).astype("f")
large = rng.normal(size=(1, 8, 256, 256)).astype("f")
shared = [fastconv.plan_conv2d(weight, padding=1)]
expected = shared[0](pixels), fastconv.max_pool2d(large, 2)
running = True
def hammer():
    while running:  # fresh plans, whose weights are being prepared, and large results, whose memory is recycled
        plan = shared[0] = fastconv.plan_conv2d(weight, padding=1)
        for _ in range(3):
            plan(pixels), fastconv.max_pool2d(large, 2)
threads = [threading.Thread(target=hammer) for _ in range(3)]
[thread.start() for thread in threads]
try:
    for generation in range(30):
        child = os.fork()
        if child == 0:
            plan = shared[0]
            os._exit(0 if same((plan(pixels), fastconv.max_pool2d(large, 2)), expected) else 3)
        expect_success(child)
finally:
    running = False
    [thread.join() for thread in threads]
"""


@pytest.mark.slow("numba")
@pytest.mark.one_instruction_set
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_forks_while_other_threads_compute(backend):
    """Whatever they have locked at that moment stays locked for ever in the child."""
    code = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)"
    # NumPy's BLAS, which is not ours, may hang where a process forks while its threads work.
    run_python(code + SHARED.format(backend=backend) + HAMMER, timeout=600, OPENBLAS_NUM_THREADS="1")


COMPILING = """
import signal
from numba.core.compiler_lock import global_compiler_lock
held = threading.Event()
def compile():
    with global_compiler_lock:
        held.set()
        time.sleep(0.5)
thread = threading.Thread(target=compile)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)  # which kills it
    with global_compiler_lock:
        os._exit(0)
assert os.waitpid(child, 0)[1] == 0, "the child hangs"
thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_fork_waits_for_the_compiler():
    skip_unless_available("numba")
    code = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)"
    run_python(code + SHARED.format(backend="numba") + COMPILING, timeout=240)


@pytest.mark.slow("numba")
@pytest.mark.one_instruction_set
def test_python_threads_at_once(backend):
    run_python(SHARED.format(backend=backend) + TWO_THREADS, timeout=240)


def test_thread_count_of_one_python_thread_is_its_own():
    code = """
import fastconv, threading
seen = []
with fastconv.num_threads(3):
    thread = threading.Thread(target=lambda: seen.append(fastconv.get_num_threads()))
    thread.start(); thread.join()
    assert fastconv.get_num_threads() == 3
assert seen == [fastconv.get_num_threads()]
"""
    run_python(code, FASTCONV_NUM_THREADS="2")
