"""Fixtures: a test that takes `backend` runs once on each backend of the registry, as the current one."""

import functools
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import fastconv

settings.register_profile(
    "local",
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser):
    parser.addoption("--backend", metavar="NAME", help="run only the tests that run on this backend")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: runs a large part of the suite again")


def pytest_collection_modifyitems(config, items):
    name = config.getoption("--backend")
    if name is None:
        return
    if name not in fastconv.backends.names():
        raise pytest.UsageError(f"--backend: {name!r} is none of {', '.join(fastconv.backends.names())}")
    keep = [item for item in items if _backend_of(item) == name]
    config.hook.pytest_deselected(items=[item for item in items if _backend_of(item) != name])
    items[:] = keep


def _backend_of(item):
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return parameters.get("backend", parameters.get("implementation"))


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


@pytest.fixture(params=fastconv.backends.names())
def backend(request):
    """The name of a backend, current while the test runs."""
    skip_unless_available(request.param)
    with fastconv.use_backend(request.param):
        yield request.param


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
