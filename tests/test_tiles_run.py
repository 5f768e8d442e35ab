"""`tiles.run` on real arrays and files: what it writes, what it takes, and how it goes on after it was killed."""

import functools
import json
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fastconv
from fastconv import tiles
from fastconv.tiles import running

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 1, 90, 70)).astype(np.float32)
WEIGHT = RNG.normal(size=(2, 1, 7, 5)).astype(np.float32)
BLUR = functools.partial(
    fastconv.conv2d, weight=WEIGHT, padding=(3, 2), padding_mode="circular", algorithm="direct"
)
WHOLE = BLUR(X)


class Watched:
    """An array that remembers what it was asked for and given."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.largest, self.written = 0, np.zeros(array.shape, int)

    def __getitem__(self, parts):
        part = self.array[parts]
        self.largest = max(self.largest, part.size)
        return part

    def __setitem__(self, parts, values):
        assert self.array[parts].shape == values.shape
        self.array[parts] = values
        self.written[parts] += 1


@pytest.mark.parametrize("workers", [1, 3])
def test_every_pixel_is_written_once_and_little_is_read_at_a_time(workers):
    source, destination = Watched(X), Watched(np.empty_like(WHOLE))
    told = []
    tiles.run(BLUR, source, destination, tile=20, workers=workers, progress=lambda *now: told.append(now))
    np.testing.assert_array_equal(destination.array, WHOLE)
    assert (destination.written == 1).all()
    assert source.largest <= (20 + 6) * (20 + 4)
    assert told == [(number, 40) for number in range(41)]


def test_files(tmp_path):
    zarr, h5py = pytest.importorskip("zarr"), pytest.importorskip("h5py")
    source = np.memmap(tmp_path / "x", np.float32, "w+", shape=X.shape)
    source[...] = X
    image = zarr.create_array(tmp_path / "x.zarr", shape=X.shape, chunks=(1, 1, 32, 32), dtype="f4")
    image[...] = X
    mapped = np.memmap(tmp_path / "y", np.float32, "w+", shape=WHOLE.shape)
    tiles.run(BLUR, source, mapped, tile=33, journal=tmp_path / "mapped")
    np.testing.assert_array_equal(mapped, WHOLE)
    for workers in (1, 2):
        stored = zarr.create_array(
            tmp_path / f"y{workers}.zarr", shape=WHOLE.shape, chunks=(1, 2, 16, 16), dtype="f4"
        )
        tiles.run(BLUR, image, stored, tile=48, workers=workers, journal=tmp_path / f"zarr{workers}")
        np.testing.assert_array_equal(stored[...], WHOLE)
        # Without a journal tiles may share chunks, which threads do not write to at a time.
        stored[...] = 0
        tiles.run(BLUR, image, stored, tile=21, workers=workers)
        np.testing.assert_array_equal(stored[...], WHOLE)
    with h5py.File(tmp_path / "y.h5", "w") as file:
        given = file.create_dataset("x", data=X)
        stored = file.create_dataset("y", WHOLE.shape, "f4", chunks=(1, 2, 64, 64))
        tiles.run(BLUR, given, stored, workers=2, journal=tmp_path / "h5")
        np.testing.assert_array_equal(stored[...], WHOLE)


CHILD = """
import functools, os, signal, sys
import numpy as np
import fastconv
from fastconv.tiles import run, running

running._FLUSHED_EVERY = 0.0
folder, dies_after, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
x = np.memmap(f"{folder}/x", np.float32, "r", shape=(2, 1, 90, 70))
y = np.memmap(f"{folder}/y", np.float32, "r+", shape=(2, 2, 90, 70))
weight = np.load(f"{folder}/weight.npy")
op = functools.partial(fastconv.conv2d, weight=weight, padding=(3, 2), padding_mode="circular", algorithm="direct")

def progress(done, total):
    if done == dies_after:
        os.kill(os.getpid(), signal.SIGKILL)

run(op, x, y, tile=20, workers=workers, progress=progress, journal=f"{folder}/journal")
"""


def child(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_run_that_was_killed_goes_on(tmp_path, workers):
    source = np.memmap(tmp_path / "x", np.float32, "w+", shape=X.shape)
    source[...] = X
    source.flush()
    y = np.memmap(tmp_path / "y", np.float32, "w+", shape=WHOLE.shape)
    np.save(tmp_path / "weight.npy", WEIGHT)
    killed = child(CHILD, tmp_path, 17, workers)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    journal = tmp_path / "journal"
    done = len(journal.read_bytes().splitlines()) - 1
    assert 17 <= done <= 17 + workers
    assert not np.array_equal(y, WHOLE)
    with journal.open("ab") as file:
        file.write(b"3")  # as if it was killed within a line
    told, before = [], y.copy()
    finished = np.flatnonzero((before != 0).any(axis=(1, 2, 3)))
    assert finished.size
    destination = Watched(y)
    tiles.run(BLUR, source, destination, tile=20, progress=lambda *now: told.append(now), journal=journal)
    np.testing.assert_array_equal(y, WHOLE)
    assert told[0] == (done, 40)
    assert destination.written.max() == 1
    assert (destination.written == 0).any()
    destination = Watched(y)
    tiles.run(BLUR, source, destination, tile=20, journal=journal)
    assert not destination.written.any()


def test_a_run_that_failed_goes_on(tmp_path):
    class Broken(Watched):
        def __getitem__(self, parts):
            if 30 < parts[2].start < 60:
                raise OSError("the disk is gone")
            return super().__getitem__(parts)

    y = np.zeros_like(WHOLE)
    with pytest.raises(OSError, match="the disk is gone"):
        tiles.run(BLUR, Broken(X), y, tile=20, workers=2, journal=tmp_path / "journal")
    told = []
    tiles.run(BLUR, X, y, tile=20, progress=lambda *now: told.append(now), journal=tmp_path / "journal")
    assert told[0][0] > 0
    np.testing.assert_array_equal(y, WHOLE)


def test_a_journal_is_for_one_run(tmp_path):
    y, path = np.zeros_like(WHOLE), tmp_path / "journal"
    tiles.run(BLUR, X, y, tile=20, journal=path)
    assert json.loads(path.read_text().splitlines()[0])["tiles"] == 40
    for op, tile in ((BLUR, 30), (functools.partial(BLUR, bias=np.ones(2, np.float32)), 20)):
        with pytest.raises(ValueError, match="another run"):
            tiles.run(op, X, y, tile=tile, journal=path)
    weight = WEIGHT.copy()
    tiles.run(functools.partial(BLUR, weight=weight), X, y, tile=20, journal=path)  # the same numbers
    weight[0, 0, 0, 0] += 1
    with pytest.raises(ValueError, match="another run"):
        tiles.run(functools.partial(BLUR, weight=weight), X, y, tile=20, journal=path)
    path.write_text("something else\n")
    with pytest.raises(ValueError, match="another run, or none"):
        tiles.run(BLUR, X, y, tile=20, journal=path)
    assert path.read_text() == "something else\n"


def test_two_runs_do_not_share_a_journal(tmp_path):
    def begin_another(done, total):
        if done == 1:
            with pytest.raises(ValueError, match="in use"):
                tiles.run(BLUR, X, np.zeros_like(WHOLE), tile=20, journal=tmp_path / "journal")

    tiles.run(BLUR, X, np.zeros_like(WHOLE), tile=20, progress=begin_another, journal=tmp_path / "journal")


def test_workers_share_the_threads(monkeypatch):
    seen = []
    compute = running.Tiling.compute

    def watch(self, tile, source):
        seen.append((fastconv.get_num_threads(), fastconv.get_backend()))
        return compute(self, tile, source)

    monkeypatch.setattr(running.Tiling, "compute", watch)
    with fastconv.num_threads(4), fastconv.use_backend("numpy"):
        tiles.run(functools.partial(BLUR, algorithm=None), X, np.zeros_like(WHOLE), tile=40, workers=3)
        assert set(seen) == {(1, "numpy")}
        seen.clear()
        tiles.run(functools.partial(BLUR, algorithm=None), X, np.zeros_like(WHOLE), tile=40, workers=2)
        assert set(seen) == {(2, "numpy")}


def test_progress_is_shown(capsys):
    tiles.run(BLUR, X, np.zeros_like(WHOLE), tile=40, progress=True)
    shown = capsys.readouterr().err
    assert "tiles: 0 of 12" in shown
    assert shown.endswith("\n")
    assert "tiles: 12 of 12" in shown


def test_what_does_not_fit(tmp_path):
    y = np.zeros_like(WHOLE)
    with pytest.raises(ValueError, match=r"destination has shape \(2, 1, 90, 70\)"):
        tiles.run(BLUR, X, np.zeros_like(X))
    with pytest.raises(TypeError, match="destination is int32"):
        tiles.run(BLUR, X, y.astype(np.int32))
    same = functools.partial(fastconv.pad2d, padding=0)
    with pytest.raises(ValueError, match="overlaps"):
        tiles.run(same, X, X)
    path = tmp_path / "both"
    one = np.memmap(path, np.float32, "w+", shape=X.shape)
    with pytest.raises(ValueError, match="overlaps"):
        tiles.run(same, one, np.memmap(path, np.float32, "r+", shape=X.shape))
    with pytest.raises(TypeError, match="source is list"):
        tiles.run(BLUR, X.tolist(), y)
    with pytest.raises(ValueError, match="workers"):
        tiles.run(BLUR, X, y, workers=0)
    y.flags.writeable = False
    with pytest.raises(ValueError, match="written"):
        tiles.run(BLUR, X, y)
    stored = Watched(np.zeros_like(WHOLE))
    stored.chunks = (1, 1, 32, 32)
    with pytest.raises(ValueError, match="whole chunks"):
        tiles.run(BLUR, X, stored, tile=20, journal=tmp_path / "journal")
    stored.chunks = (2, 1, 20, 20)
    with pytest.raises(ValueError, match="whole chunks"):
        tiles.run(BLUR, X, stored, tile=20, journal=tmp_path / "journal")
    assert not (tmp_path / "journal").exists()


def test_empty_batches():
    tiles.run(BLUR, X[:0], WHOLE[:0].copy(), progress=True)


MEMORY = """
import functools, os, sys, threading, time
import numpy as np
import fastconv
from fastconv import tiles

shape = (1, 1, 8192, 8192)  # sparse files of 256 MB
x, y = (np.memmap(f"{sys.argv[1]}/{name}", np.float32, "w+", shape=shape) for name in "xy")
weight = np.ones((8, 1, 3, 3), np.float32), np.ones((1, 8, 3, 3), np.float32)
op = functools.partial(fastconv.separable_conv2d, depthwise_weight=weight[0], pointwise_weight=weight[1][:, :, :1, :1],
                       padding="same", padding_mode="reflect")
made = tiles.tiling(op, shape)
tiles.run(op, x[:, :, :600, :600], np.zeros((1, 1, 600, 600), np.float32), workers=2)  # with its threads

def own():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))

before, most, over = own(), [0], threading.Event()

def watch():
    while not over.wait(0.001):
        most[0] = max(most[0], own())

thread = threading.Thread(target=watch)
thread.start()
tiles.run(op, x, y, workers=2)
over.set()
thread.join()
print(most[0] - before, made.memory)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_bounded(tmp_path):
    done = child(textwrap.dedent(MEMORY), tmp_path)
    assert done.returncode == 0, done.stderr
    taken, stated = map(int, done.stdout.split())
    assert stated < 20e6
    assert taken < 2 * stated + 24e6  # 512 MB of arrays are read and written
