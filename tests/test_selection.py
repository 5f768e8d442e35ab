"""Which tests run by default, and in which processes."""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cross_section import cross_section
from workers import distribute


def product(name="test_x", **parameters):
    """Made-up tests, one for each combination."""
    made_up = []
    for values in itertools.product(*parameters.values()):
        callspec = SimpleNamespace(params=dict(zip(parameters, values, strict=True)))
        nodeid = f"{name}[{'-'.join(map(str, values))}]"
        names = {"name": nodeid, "nodeid": nodeid, "originalname": name}
        made_up.append(SimpleNamespace(path=Path("a.py"), cls=None, callspec=callspec, **names))
    return made_up


def pairs(items):
    """Of two values, and whether they meet in C; of one value, and the backend or instruction set."""
    found = set()
    for item in items:
        values = dict(item.callspec.params)
        implementation = values.pop("backend", "")
        found |= {(implementation, value) for value in values.items()}
        for pair in itertools.combinations(values.items(), 2):
            found.add((implementation.startswith("cython"), *pair))
    return found


@pytest.mark.parametrize("cases", [1, 2, 7, 50])
def test_every_pair_of_values_meets_in_c_and_in_another_backend(cases):
    backends = ["cython", "cython-avx2", "cython-baseline", "numba", "numpy"]
    tests = product(backend=backends, layout="NC", dtype="fd", case=range(cases))
    chosen = cross_section(tests)
    assert pairs(chosen) == pairs(tests)
    assert len(chosen) <= 5 * cases + 10
    assert chosen == [test for test in tests if test in chosen]


def test_what_has_no_third_parameter_is_kept():
    for tests in (product(), product(a="xyz"), product(a="xyz", b="uvw")):
        assert cross_section(tests) == tests


def test_functions_are_chosen_from_apart():
    one, other = product("test_x", a="xy", b="xy", c="xy"), product("test_y", a="xy", b="xy", c="xy")
    assert cross_section(one + other) == cross_section(one) + cross_section(other)
    assert len(cross_section(one)) <= 6


def test_values_need_not_be_hashable():
    options = [{"stride": 1}, {"stride": 2}]
    chosen = cross_section(product(a=options, b=[[], [1]], c="xy"))
    assert 4 <= len(chosen) <= 6


@pytest.mark.parametrize(
    ("change", "distributed"),
    [
        ({}, True),
        ({"numprocesses": 0}, False),
        ({"numprocesses": 3}, False),
        ({"usepdb": True}, False),
        ({"trace": True}, False),
        ({"capture": "no"}, False),
        ({"collectonly": True}, False),
        ({"args": ["tests/test_x.py::test_y"]}, False),
    ],
    ids=str,
)
def test_tests_are_distributed_unless_told_otherwise(change, distributed, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setattr("fastconv.get_num_threads", lambda: 2)
    defaults = {"numprocesses": None, "dist": "no", "usepdb": False, "trace": False, "capture": "fd"}
    option = SimpleNamespace(**{**defaults, "collectonly": False, **change})
    distribute(SimpleNamespace(option=option, args=change.get("args", [str(Path(__file__).parent)])))
    assert (option.dist == "worksteal") == distributed
    if distributed:
        assert option.numprocesses == 2


def test_neither_the_workers_nor_pytest_without_xdist_distribute(monkeypatch):
    option = SimpleNamespace(usepdb=False, trace=False, capture="fd", collectonly=False)
    distribute(SimpleNamespace(option=option, args=[]))
    assert not hasattr(option, "numprocesses")
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    option.numprocesses = None
    distribute(SimpleNamespace(option=option, args=[]))
    assert option.numprocesses is None


KERNELS = """
import numba
@numba.njit(cache=True)
def inner(x):
    return x + 1
@numba.njit(cache=True)
def outer(x):
    return inner(x) * 2
"""
COMPILE = """
import sys, workers
workers.compile_once()
import kernels
assert kernels.outer(3) == 8 and kernels.outer(0.5) == 3
print(sum(sum(kernel.stats.cache_misses.values()) for kernel in (kernels.inner, kernels.outer)))
"""


@pytest.mark.slow
def test_processes_at_once_compile_a_kernel_once(tmp_path):
    pytest.importorskip("numba")
    (tmp_path / "kernels.py").write_text(KERNELS)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parent)])}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-c", COMPILE]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert sum(int(process.communicate(timeout=300)[0]) for process in processes) == 4
