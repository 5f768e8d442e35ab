"""What memory cannot hold is refused before any work, with the operation's name: no table, no loop comes first."""

import resource
import tracemalloc

import numpy as np
import pytest

import fastconv
from checks import normal
from fastconv import grad
from fastconv.execution.memory import check_memory
from fastconv.settings.memory import total_memory

X, W = normal((1, 1, 5, 6), dtype=np.float32), normal((1, 1, 1, 1), dtype=np.float32)
ONE, AT = np.ones((1, 1, 1, 1), np.float32), np.zeros((1, 1, 1, 1), np.int64)
SIGNAL, MOST = normal((1, 1, 9), dtype=np.float32), 2**31 - 1
HUGE = (1, 1, MOST, MOST)
FAR = {"padding": 2**30}
TOO_LARGE = {
    "conv2d": (X, W, None, 1, 2**30),
    "conv2d, residual": (X, W, {"activation": "relu", "precision": "strict"} | FAR),
    "depthwise_conv2d": (X, W, None, 1, 2**30),
    "separable_conv2d": (X, W, W, None, 1, 2**30),
    "conv_transpose2d": (X, W, {"stride": MOST}),
    "conv1d": (np.ones((1, 4096, 9), np.float32), np.ones((4096, 1, 1), np.float32), {"groups": 4096} | FAR),
    "conv_transpose1d": (np.ones((1, 64, 9), np.float32), np.ones((64, 1, 1), np.float32), {"stride": MOST}),
    "unfold": (X, 1, 1, MOST),
    "fold": (np.ones((1, 1), np.float32), (MOST, MOST), 1, {"stride": MOST}),
    "pad2d": (X, 5 * 10**8),
    "pad2d, reflect": (X, MOST, "reflect"),
    "pad2d, empty": (X[:0], MOST),
    "max_pool2d": (X, MOST, 1, MOST - 1),
    "max_pool2d, indices": (X, MOST, 1, MOST - 1, {"return_indices": True}),
    "avg_pool2d": (X, MOST, 1, MOST - 1),
    "lp_pool2d": (X, 2, MOST, 1, {"padding": MOST - 1}),
    "stochastic_pool2d": (abs(X), MOST, 1, MOST - 1),
    "stochastic_pool2d, values unseen": (-abs(X), MOST, 1, MOST - 1),
    "fractional_max_pool2d": (np.broadcast_to(X[:, :, :2, :2], (2**31, 2**10, 2, 2)), 1, 2),
    "adaptive_avg_pool2d": (X, 3 * 10**8),
    "adaptive_avg_pool2d, one axis": (np.ones((1, 4096, 2, 2), np.float32), (10**9, 1)),
    "adaptive_max_pool2d": (X, MOST),
    "adaptive_max_pool2d, integers": (X.astype(np.int8), MOST, True),
    "adaptive_avg_pool2d, empty": (X[:0], MOST),
    "max_unpool2d": (ONE.repeat(2, 2).repeat(2, 3), AT.repeat(2, 2).repeat(2, 3), 1, MOST),
    "max_unpool2d, given": (ONE, AT, MOST, {"output_size": (MOST - 1, MOST - 1)}),
}
GRADIENTS = {
    "conv2d_input": (HUGE, W, ONE, MOST),
    "conv2d_weight": (X, HUGE, np.ones((1, 1, 7, 8), np.float32), 1, 2**30),
    "conv_transpose2d_input": (HUGE, W, ONE, {"padding": 2**30 - 1}),
    "max_pool2d": (ONE, AT, HUGE),
    "adaptive_max_pool2d": (ONE, AT, HUGE),
    "global_max_pool2d": (ONE, AT, HUGE),
    "fractional_max_pool2d": (ONE, AT, HUGE),
    "stochastic_pool2d": (ONE, AT, HUGE),
    "avg_pool2d": (ONE, HUGE, MOST),
    "adaptive_avg_pool2d": (ONE, HUGE),
    "global_avg_pool2d": (ONE, HUGE),
    "unfold": (np.ones((1, 1), np.float32), HUGE[1:], 1, {"stride": MOST}),
}


def check(module, name, arguments):
    options = arguments[-1] if isinstance(arguments[-1], dict) else {}
    arguments = arguments[: len(arguments) - bool(options)]
    operation = name.split(",")[0]
    function = getattr(module, operation)
    named = operation if module is fastconv else f"grad.{operation}"
    tracemalloc.start()
    try:
        with pytest.raises(
            MemoryError, match=rf"^{named}: (the|an) .* of shape .* (needs [\d.]+ GiB|is more than)"
        ):
            function(*arguments, **options)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", TOO_LARGE)
def test_results(backend, name):
    check(fastconv, name, TOO_LARGE[name])


def test_plans(backend):
    plan = fastconv.plan_conv2d(W, padding=2**30)
    with pytest.raises(
        MemoryError, match=r"^[a-z0-9_]+: (the|an) .* of shape .* (needs [0-9.]+ GiB|is more than)"
    ):
        plan(X)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(backend, name):
    check(grad, name, GRADIENTS[name])


def test_backends_that_list_windows_say_what_that_needs(monkeypatch):
    monkeypatch.setattr("fastconv.execution.memory.total_memory", lambda: 10 << 30)
    x = np.ones((1, 1, 1, 2), np.int8)
    for backend in set(fastconv.available_backends()) - {"cython"}:
        with pytest.raises(
            MemoryError, match=r"^adaptive_max_pool2d: the list of windows .* needs 29\.8 GiB"
        ):
            fastconv.adaptive_max_pool2d(x, (1, 10**9), backend=backend)


def test_indices_count(monkeypatch):
    monkeypatch.setattr("fastconv.execution.memory.total_memory", lambda: 10 << 30)
    with pytest.raises(MemoryError, match=r"^adaptive_max_pool2d: the result with its indices .* 16\.8 GiB"):
        fastconv.adaptive_max_pool2d(np.ones((1, 1, 1, 2), np.int8), (1, 2 * 10**9), True)


def test_memory_of_the_work_names_the_operation(monkeypatch):
    def short(*_):
        raise MemoryError("Unable to allocate 5.00 GiB")

    backend = fastconv.backends.load("numpy")
    calls = {
        "pool": lambda: fastconv.avg_pool2d(X, 2, backend="numpy"),
        "conv": lambda: fastconv.conv2d(X, W, backend="numpy"),
        "pad": lambda: fastconv.pad2d(X, 1, backend="numpy"),
        "fold": lambda: grad.unfold(np.ones((1, 30)), (1, 5, 6), 1, backend="numpy"),
        "conv_weight_gradient": lambda: grad.conv2d_weight(X, W.shape, X, backend="numpy"),
        "local_response_norm": lambda: fastconv.local_response_norm(X, 3, backend="numpy"),
    }
    for primitive, call in calls.items():
        monkeypatch.setattr(type(backend), primitive, short)
        with pytest.raises(MemoryError, match=r"^[a-z0-9_.]+: not enough memory for the work: Unable to"):
            call()


def test_total_memory(tmp_path):
    assert total_memory(tmp_path) is None
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:   9000 kB\nMemFree:  50 kB\nSwapTotal:  500 kB\n")
    assert total_memory(tmp_path) == 9500 * 1024
    (tmp_path / "proc/self/cgroup").write_text("0::/a/b\n")
    for folder, limit in [("", "max"), ("a", "1024000"), ("a/b", "max")]:
        (tmp_path / "sys/fs/cgroup" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys/fs/cgroup" / folder / "memory.max").write_text(f"{limit}\n")
    assert total_memory(tmp_path) == 1024000 + 500 * 1024


def test_where_nobody_tells_nothing_is_refused(monkeypatch):
    monkeypatch.setattr("fastconv.execution.memory.total_memory", lambda: None)
    assert check_memory("op", (1 << 20, 1 << 20), 8) == 1 << 43


def test_what_there_is_room_for_is_not_refused():
    pages = resource.getpagesize()
    assert check_memory("op", (pages,), 8) == 8 * pages
    most = total_memory()
    assert most is None or check_memory("op", (most,), 1) == most
