"""A peer in a process of its own, and the situations in which the layers of threads are compared."""

import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("threadpoolctl")

import fastconv
from conftest import skip_unless_available
from fastconv.bench.layers.layer import conv, pool
from fastconv.bench.layers.settings import Settings
from fastconv.bench.measure import threading
from fastconv.bench.measure.timer import Pace, Timer
from fastconv.bench.runners.apart import ApartRunner

LIBRARY = """
from fastconv.bench.runners.runner import PreparedLayer

class Library:
    name, peer = "library", True

    def prepare(self, layer, arrays, settings):
        print("what libraries print")
        if "pool" in layer.operation:
            return None
        if layer.name == "broken":
            raise ValueError("cannot do it")
        calls = []
        run = lambda: calls.append(1)
        return PreparedLayer(run, lambda _: (arrays["x"] * settings.threads, len(calls)))

RUNNERS = (Library(),)
"""


@pytest.fixture
def runner(tmp_path, monkeypatch):
    (tmp_path / "a_library.py").write_text(LIBRARY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = ApartRunner("library", "a_library")
    yield made
    made.end()


def state(process):
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_layer_is_prepared_run_and_timed_there(runner):
    layer = conv("a", (1, 2, 5, 5), 2, 3)
    arrays = layer.arrays()
    prepared = runner.prepare(layer, arrays, Settings(threads=3))
    image, calls = prepared.images(prepared.run())
    np.testing.assert_array_equal(image, 3 * arrays["x"])
    assert calls == 1
    assert 0 < prepared.run.seconds(50) < 1
    assert prepared.run()[1] == 52
    samples = Timer({"": prepared.run}, Pace(rounds=3)).run()[""]
    assert len(samples) == 3
    assert prepared.run()[1] == 56


def test_the_process_rests_while_it_is_not_asked(runner):
    runner.prepare(conv("a", (1, 2, 5, 5), 2, 3), {"x": np.zeros(1)}, Settings())
    process = runner._process
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc")
    for _ in range(100):  # a signal needs its time
        if state(process) == "T":
            break
        time.sleep(0.01)
    assert state(process) == "T"
    runner.end()
    assert process.poll() is not None


def test_errors_and_refusals_come_back(runner):
    assert runner.prepare(pool("a", "max", (1, 2, 4, 4), 2, 2), {}, Settings()) is None
    with pytest.raises(RuntimeError, match="ValueError: cannot do it"):
        runner.prepare(conv("broken", (1, 2, 5, 5), 2, 3), {}, Settings())
    layer = conv("a", (1, 2, 5, 5), 2, 3)
    first = runner.prepare(layer, layer.arrays(), Settings())
    second = runner.prepare(layer, layer.arrays(), Settings())
    second.run()
    with pytest.raises(RuntimeError, match="library: another layer has been prepared since"):
        first.run()


def test_a_process_that_ends_is_an_error_and_begins_again(runner):
    layer = conv("a", (1, 2, 5, 5), 2, 3)
    prepared = runner.prepare(layer, layer.arrays(), Settings())
    runner._process.kill()
    runner._process.wait()
    with pytest.raises(RuntimeError, match="library: its process ended"):
        prepared.run()
    assert runner.prepare(layer, layer.arrays(), Settings()) is not None


def test_threads_are_compared_in_every_situation(monkeypatch):
    skip_unless_available("cython")
    layer = conv("a", (1, 8, 16, 16), 8, 3)
    monkeypatch.setattr(threading, "network", lambda name: [(layer, 1)])
    monkeypatch.setattr(threading, "_product_of_torch", lambda threads: lambda: None)
    monkeypatch.setattr(threading, "REST", 0.0)
    before = fastconv.get_threading()
    points = list(threading.threading_layers(Settings(threads=2, rounds=2, block=1e-4)))
    assert fastconv.get_threading() == before
    situations = [
        threading.QUIET,
        threading.BUSY,
        threading.NUMPY,
        threading.TORCH,
        threading.PAUSE,
        threading.FORK,
    ]
    assert list(dict.fromkeys(point.situation for point in points)) == situations
    for situation in situations:
        mine = [(point.threading, point.threads) for point in points if point.situation == situation]
        wanted = {("pool", 2)} | ({("pool", 1)} if situation == threading.PAUSE else set())
        assert set(mine) - {("openmp", 2)} == wanted
    assert all(point.layer == "a" and point.seconds > 0 for point in points)


def test_what_the_library_has_started_ends_with_it(runner, tmp_path):
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc")
    text = (tmp_path / "a_library.py").read_text()
    start = "import subprocess, sys\nOWN = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    text = text.replace("lambda _: (arrays", "lambda _: (OWN.pid, arrays")
    (tmp_path / "a_library.py").write_text(start + text)
    layer = conv("a", (1, 2, 5, 5), 2, 3)
    prepared = runner.prepare(layer, layer.arrays(), Settings())
    started = Path(f"/proc/{prepared.images(prepared.run())[0]}/stat")
    assert started.exists()
    runner.end()
    end = time.monotonic() + 20
    while started.exists() and started.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end
        time.sleep(0.01)
