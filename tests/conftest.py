"""Which tests run and where, and the fixtures.

A test that takes `backend` runs on each backend of the registry, as the current one, and on the cython backend once
more for each lower instruction set.
"""

import functools
import gc
import os
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import fastconv
from cross_section import cross_section, implementation_of
from instruction_sets import instruction_set, lower_instruction_sets
from tuned import Races
from workers import compile_once, distribute

BACKENDS = fastconv.backends.names()
COMPILED = ["cython", *(f"cython-{name}" for name in lower_instruction_sets())]
IMPLEMENTATIONS = [*COMPILED, *(name for name in BACKENDS if name != "cython")]

QUICK, THOROUGH = 10, 40  # random problems per test and backend


def pytest_addoption(parser):
    parser.addoption(
        "--backend",
        metavar="NAME",
        help="only the tests that run on this backend: cython, or cython-avx2 for one instruction set",
    )
    parser.addoption(
        "--all",
        action="store_true",
        help="everything: slow tests, all combinations of parameters, more random problems",
    )
    parser.addoption("--rest", action="store_true", help="what --all has and the default has not")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    distribute(config)


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "slow(*backends): runs with --all and --rest only, or does on these backends"
    )
    config.addinivalue_line(
        "markers", "one_instruction_set: calls no kernels but those that other tests call"
    )
    if "PYTEST_XDIST_WORKER" in os.environ:
        compile_once()
    settings.register_profile(
        "fastconv",
        deadline=None,
        max_examples=THOROUGH if config.getoption("--all") or config.getoption("--rest") else QUICK,
        derandomize="CI" in os.environ,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    settings.load_profile("fastconv")


def is_slow(item):
    return any(not mark.args or implementation_of(item) in mark.args for mark in item.iter_markers("slow"))


@pytest.hookimpl(tryfirst=True)  # before pytest sorts those that are not kept
def pytest_collection_modifyitems(config, items):
    keep = [
        item
        for item in items
        if "-" not in implementation_of(item) or item.get_closest_marker("one_instruction_set") is None
    ]
    name = config.getoption("--backend")
    if name is not None:
        if name not in IMPLEMENTATIONS:
            raise pytest.UsageError(f"--backend: {name!r} is none of {', '.join(IMPLEMENTATIONS)}")
        keep = [
            item
            for item in keep
            if name in (implementation_of(item), implementation_of(item).partition("-")[0])
        ]
    if not config.getoption("--all"):
        default = set(cross_section(item for item in keep if not is_slow(item)))
        if config.getoption("--rest"):  # those with random problems run again, with more of them
            keep = [item for item in keep if item not in default or hasattr(item.obj, "hypothesis")]
        else:
            keep = default
    kept = set(keep)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def pytest_collection_finish():
    """Spares each collection of garbage a look at all tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_tuning_file(tmp_path_factory):
    """What tests tune is not kept where the user's programs look, and what these tuned does not count here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTCONV_TUNING", str(tmp_path_factory.mktemp("tuning") / "tuning.json"))
        yield


@pytest.fixture
def tuning_file(tmp_path, monkeypatch):
    """A tuning file of the test's own, which is not there yet."""
    skip_unless_available("cython")
    path = tmp_path / "kernels.json"
    monkeypatch.setenv("FASTCONV_TUNING", str(path))
    return path


@pytest.fixture
def races(tuning_file, monkeypatch):
    """The kernels that would have been measured; the last one of each race wins."""
    made = Races()
    monkeypatch.setattr("fastconv.tuning.choice.race", made)
    return made


@functools.cache
def why_unavailable(name):
    """None, or the library's own explanation."""
    if name in fastconv.available_backends():
        return None
    with pytest.raises(fastconv.BackendUnavailableError) as caught:
        fastconv.max_pool2d(np.zeros((1, 1, 1, 1)), 1, backend=name)
    return str(caught.value)


def skip_unless_available(name):
    reason = why_unavailable(name)
    if reason is not None:
        required = os.environ.get("FASTCONV_TEST_REQUIRE", "").split(",")
        (pytest.fail if name in required else pytest.skip)(f"backend {name}: {reason}")


@pytest.fixture(params=IMPLEMENTATIONS)
def backend(request):
    """The name of a backend, current while the test runs."""
    name, _, lower = request.param.partition("-")
    skip_unless_available(name)
    with instruction_set(lower) if lower else nullcontext(), fastconv.use_backend(name):
        yield name


@pytest.fixture(params=["NCHW", "NHWC"])
def layout(request):
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture
def threads_restored():
    """For code that sets the threads of the process."""
    before = fastconv.get_num_threads()
    yield
    fastconv.set_num_threads(before)
