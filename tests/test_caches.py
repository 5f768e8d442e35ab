"""Every cache is in one list, is bounded, and is empty after `clear_cache`."""

import functools
import gc
import importlib
import pkgutil
import re
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import fastconv
from calls import CALLS
from checks import normal
from fastconv import caches, grad


def everything():
    """Imports every module that can be imported here, but those of programs."""
    for module in pkgutil.walk_packages(fastconv.__path__, "fastconv."):
        if module.name.split(".")[1] not in ("bench", "demo", "cli", "__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError:  # an extra that is not installed
                continue


def remembered():
    """Every `functools.cache` and `lru_cache` that a module of the package made; those of a call end with it."""
    kind = type(functools.lru_cache(lambda: None))
    found = [o for o in gc.get_objects() if type(o) is kind and "<locals>" not in o.__qualname__]
    return [o for o in found if (o.__module__ or "").startswith("fastconv")]


def call_everything():
    for call in CALLS.values():
        arrays = call.arrays(np.float32)
        for _ in range(2):
            call.function(*arrays)
    x, weight, slope = normal((1, 3, 6, 7)), normal((4, 3, 3, 3)), normal((1, 4, 8, 9))
    grad.conv2d(x, weight, slope, padding=2, padding_mode="circular")
    grad.avg_pool2d(normal((1, 3, 3, 3)), x.shape, 2)
    fastconv.plan_conv2d(weight, padding=1)(x)


def test_caches_are_made_in_one_place():
    """Also those of the programs. The oracle of the benchmarks uses nothing of the package."""
    package = Path(fastconv.__file__).parent
    allowed = {package / "caches.py", *(package / "bench" / "oracle").rglob("*.py")}
    made = re.compile(r"functools\.(lru_)?cache\b|from functools import .*\b(lru_)?cache\b")
    others = [path for path in package.rglob("*.py") if made.search(path.read_text(encoding="utf-8"))]
    assert set(others) <= allowed


@pytest.mark.slow("cython-avx2", "cython-baseline")
def test_every_cache_is_listed_and_cleared(backend):
    everything()
    call_everything()
    known = {id(cache.clear.__self__) for cache in caches.CACHES if hasattr(cache.clear, "__self__")}
    constants = set(map(id, caches.CONSTANTS))
    for cache in remembered():
        assert id(cache) in known | constants, f"{cache.__module__}.{cache.__qualname__} is not listed"
    assert any(cache.held() for cache in caches.CACHES)
    fastconv.clear_cache()
    assert {cache.name: cache.held() for cache in caches.CACHES if cache.held()} == {}
    assert all(not c.cache_info().currsize for c in remembered() if id(c) not in constants)
    call_everything()


def test_no_module_caches_on_its_own():
    """Dictionaries that fill with calls would not be found above: what asks `functools` for a cache is in one file."""
    everything()
    users = [
        name
        for name, module in list(sys.modules.items())
        if name.startswith("fastconv.")
        and {functools.cache, functools.lru_cache} & set(filter(callable, vars(module).values()))
    ]
    assert users == []


def bytes_held():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def rows(width):
    """Calls whose windows, tables or weights are about as many as `width`."""
    x = np.ones((1, 1, 1, width), np.float32)
    fastconv.max_pool2d(x, (1, 3), (1, 2))
    fastconv.avg_pool2d(x, (1, 3), 1, (0, 1))
    fastconv.adaptive_avg_pool2d(x, (1, width - 1))
    fastconv.fractional_max_pool2d(x, (1, 2), (1, width - 3), rng=0)
    fastconv.pad2d(x, 1, "reflect")
    grad.avg_pool2d(x[..., : width // 2], x.shape, (1, 2), (1, 2))
    grad.pad2d(x[..., :-4].repeat(3, 2), ((1, 1), (3, 3)), "circular")


def convolutions(width):
    x, weight = np.ones((1, 1, 1, width), np.float32), np.ones((1, 1, 1, 2), np.float32)
    fastconv.conv2d(x, weight, padding=1, padding_mode="circular")
    fastconv.conv_transpose2d(x, weight, stride=(1, 2))
    grad.conv2d_weight(x, weight.shape, x[..., 1:])


@pytest.mark.slow("numba", "numpy")
@pytest.mark.one_instruction_set
@pytest.mark.parametrize(("calls", "width", "count"), [(rows, 100_000, 18), (convolutions, 4_000, 6)])
def test_memory_does_not_grow_with_the_shapes_seen(backend, calls, width, count):
    """Beyond a bound in bytes, which more shapes than that would pass."""
    calls(width)
    fastconv.clear_cache()
    tracemalloc.start()
    try:
        before = bytes_held()
        for i in range(count):
            calls(width + 16 * i)
        held = bytes_held() - before
        assert held < (1 << 20 if backend == "cython" else 80 << 20)
        fastconv.clear_cache()
        assert bytes_held() - before < 1 << 18
    finally:
        tracemalloc.stop()


def test_kept_up_to_a_number_of_bytes():
    made = []

    @caches.kept_up_to(1 << 20)
    def zeros(size, dtype="u1"):
        made.append(size)
        return np.zeros(size, dtype), size

    try:
        own = caches.CACHES[-1]
        assert zeros(300_000) is zeros(300_000)
        assert zeros(1_000, dtype="u1") is not zeros(1_000)
        assert made == [300_000, 1_000, 1_000]
        assert 300_000 < own.held() < 310_000
        zeros(700_000)  # more than half: not kept
        assert own.held() < 310_000
        zeros(400_000), zeros(500_000)  # no room beside the others, which are forgotten
        assert 500_000 < own.held() < 510_000
        for size in range(3_000):
            zeros(size)
        assert own.held() <= 1 << 20
        own.clear()
        assert own.held() == 0
    finally:
        caches.CACHES.remove(own)


def test_bytes_of():
    view = np.zeros(1000)[:]
    assert caches.bytes_of(view) >= 8000
    assert caches.bytes_of((view, [view, {"a": view}])) >= 24000
    assert caches.bytes_of(3) < 100


def test_known_calls_are_told_apart_by_their_options(backend):
    """Lists that were changed, and numbers that are equal but mean something else."""
    x, w = np.ones((1, 1, 4, 4), np.float32), np.ones((1, 1, 1, 1), np.float32)
    padding = [1, 1]
    for _ in range(3):
        assert fastconv.conv2d(x, w, padding=padding).shape == (1, 1, 6, 6)
    padding[0] = 0
    for _ in range(3):
        assert fastconv.conv2d(x, w, padding=padding).shape == (1, 1, 4, 6)
    for value in (0.0, -0.0, 1.0, 1, float("nan"), float("nan"), 2, 2.0, -0.0, 0.0, 0):
        for _ in range(2):
            y = fastconv.conv2d(x, w, padding=1, padding_mode="constant", padding_value=value)
            np.testing.assert_array_equal(y[0, 0, 0], np.full(6, value, np.float32))
    for _ in range(2):
        assert fastconv.conv2d(x, w, stride=1).shape == (1, 1, 4, 4)
        for wrong in (1.0, "1"):
            with pytest.raises(TypeError):
                fastconv.conv2d(x, w, stride=wrong)
    shapes = [(1, 1, 4, 4), (1, 4, 4), (2, 1, 4, 4), (1, 1, 4, 4), (1, 1, 4, 5)]
    for shape in shapes:
        for dtype in ("float32", "float64", "float32"):
            result = fastconv.max_pool2d(np.ones(shape, dtype), 1)
            assert (result.shape, result.dtype) == (shape, dtype)
    for precision in ("fast", "strict", "fast"):
        assert fastconv.conv2d(x, w, precision=precision).sum() == 16
