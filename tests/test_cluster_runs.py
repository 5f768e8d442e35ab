"""Tiles and samples on processes and on the workers of a cluster: right, in bounds, and over the death of a worker."""

import functools
import json
import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest

import fastconv
import fastconv.nn as nn
from fastconv import cli, tiles
from fastconv.nn import data
from fastconv.tiles.processes import on_processes

distributed = pytest.importorskip("distributed")
import fastconv.dask as fd  # noqa: E402
from test_nn_cluster import close, trained  # noqa: E402

pytestmark = [pytest.mark.one_instruction_set, pytest.mark.filterwarnings("default")]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 1, 90, 70)).astype(np.float32)
WEIGHT = RNG.normal(size=(2, 1, 7, 5)).astype(np.float32)
BLUR = functools.partial(
    fastconv.conv2d, weight=WEIGHT, padding=(3, 2), padding_mode="circular", algorithm="direct"
)
WHOLE = BLUR(X)


@pytest.fixture(scope="module")
def near():
    """Workers that are threads of this process."""
    with distributed.Client(
        processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as made:
        yield made


@pytest.fixture
def client(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=tmp_path
        )  # fmt: skip
        with cluster, distributed.Client(cluster) as made:
            yield made


def test_tiles_on_a_cluster(near, tmp_path):
    y, told = np.zeros_like(WHOLE), []
    fd.run(near, BLUR, X, y, tile=20, progress=lambda *now: told.append(now), journal=tmp_path / "journal")
    np.testing.assert_array_equal(y, WHOLE)
    assert told == [(number, 40) for number in range(41)]
    fd.run(near, BLUR, X, np.full_like(WHOLE, 7), tile=20, journal=tmp_path / "journal")  # it is done
    with pytest.raises(ValueError, match="destination has shape"):
        fd.run(near, BLUR, X, X.copy())


class Flaky:
    """Fails as often as it is told to."""

    def __init__(self, times):
        self.times, self.lock = times, threading.Lock()

    def __call__(self, x):
        with self.lock:
            self.times -= 1
            if self.times >= 0:
                raise OSError("the disk is slow")
        return x.mean(axis=(2, 3))

    def __reduce__(self):
        return Flaky, (self.times,)


def test_samples_on_a_cluster_with_repeats(near):
    x = RNG.normal(size=(13, 2, 4, 4)).astype(np.float32)
    told = []
    y = fd.predict(near, Flaky(2), x, batch_size=4, progress=lambda *now: told.append(now))
    np.testing.assert_array_equal(y, x.mean(axis=(2, 3)))
    assert told == [(number, 4) for number in range(5)]
    with pytest.raises(OSError, match="the disk is slow"):
        fd.predict(near, Flaky(5), x, batch_size=20, retries=2)
    with pytest.raises(ValueError, match="for 4 samples"):
        fd.predict(near, lambda x: x[:1], x, batch_size=4)
    with pytest.raises(TypeError, match="network is str"):
        fd.predict(near, "model.onnx", x)


def test_samples_that_workers_read(near, tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    for number in range(5):
        pillow.new("RGB", (12, 9), (50 * number, 0, 0)).save(tmp_path / f"{number}.png")
    source = data.Pictures(tmp_path, 6)
    net = nn.Sequential(nn.Conv2D(4, 3, activation="relu"), nn.Flatten(), nn.Dense(3))
    net.build((1, 3, 6, 6), rng=0)
    expected = net.predict(source.take(np.arange(5))[0])
    found = np.zeros((5, 3), np.float32)
    assert fd.predict(near, net, source, found, batch_size=2) is found
    np.testing.assert_allclose(found, expected, atol=1e-6)
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(5, 3, 6, 6))
    mapped[...] = source.take(np.arange(5))[0]
    mapped.flush()
    np.testing.assert_allclose(fd.predict(near, net, mapped, batch_size=3), expected, atol=1e-6)


SEEN = []


def watched_loss(output, target):
    SEEN.append(fastconv.get_num_threads())
    return nn.losses.cross_entropy(output, target)


def test_training_takes_the_threads_of_its_workers(near):
    """Which have one each; and has the numbers of one process."""
    with fastconv.num_threads(4):
        one = trained(loss=watched_loss)
        assert set(SEEN) == {4}
        SEEN.clear()
        found = trained(near, loss=watched_loss)
    assert set(SEEN) == {1}
    close(one, found)


def test_large_tasks_are_sent_without_a_warning(near):
    from fastconv.nn.cluster.on_dask import submit

    with warnings.catch_warnings():
        warnings.filterwarnings("error", "(?s)Sending large graph")
        with pytest.raises(UserWarning, match="large graph"):
            near.submit(np.sum, np.ones(3_000_000))
        assert submit(near, np.sum, np.ones(3_000_000)).result() == 3_000_000


def model(path):
    net = nn.Sequential(nn.Conv2D(4, 3, activation="relu"), nn.GlobalAvgPool2D(keepdims=False), nn.Dense(3))
    net.build((1, 3, 8, 8), rng=0)
    fastconv.onnx.save(net, path, input_shape=(1, 3, 8, 8))


def test_run_on_a_cluster_from_the_command_line(near, tmp_path, capsys):
    pillow = pytest.importorskip("PIL.Image")
    path = tmp_path / "model.onnx"
    model(path)
    pictures = []
    for number in range(5):
        pictures.append(str(tmp_path / f"{number}.png"))
        pillow.new("RGB", (8, 8), (50 * number, 10, 0)).save(pictures[-1])

    def found(*more):
        assert cli.main(["run", str(path), *pictures, "--json", *more]) == 0
        told = json.loads(capsys.readouterr().out)["pictures"]
        return [(one["file"], one["shape"], one["classes"]) for one in told]

    assert found("--cluster", near.scheduler.address) == found()
    assert cli.main(["run", str(path), "--cluster", near.scheduler.address]) == 2
    assert "--cluster is for pictures" in capsys.readouterr().err
    pictures.append(str(tmp_path / "missing.png"))
    assert cli.main(["run", str(path), *pictures, "--cluster", near.scheduler.address]) == 2
    assert "there is no file" in capsys.readouterr().err


def test_nobody_answers(tmp_path, capsys, monkeypatch):
    from fastconv.commands import cluster

    monkeypatch.setattr(cluster, "_PATIENCE", "0.2s")
    path = tmp_path / "model.onnx"
    model(path)
    picture = pytest.importorskip("PIL.Image").new("RGB", (8, 8))
    picture.save(tmp_path / "one.png")
    arguments = ["run", str(path), str(tmp_path / "one.png"), "--cluster", "tcp://127.0.0.1:1"]
    assert cli.main(arguments) == 2
    assert "no scheduler at tcp://127.0.0.1:1" in capsys.readouterr().err


def dies_once(folder, number):
    """A task whose worker is killed, once for each of some numbers."""
    if number in (1, 6):
        try:
            os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return number**2, fastconv.get_num_threads()


def always_dies(folder, number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_processes_that_die(tmp_path):
    from concurrent.futures.process import BrokenProcessPool

    tasks = ((number, (number,)) for number in range(12))
    found = dict(on_processes(dies_once, str(tmp_path), tasks, 2, 3))
    assert found == {number: (number**2, 3) for number in range(12)}
    assert {path.name for path in tmp_path.iterdir()} == {"1", "6"}
    with pytest.raises(BrokenProcessPool):
        list(on_processes(always_dies, "", iter([(0, (0,))]), 1, 1))


@pytest.mark.slow
def test_tiles_on_processes(tmp_path):
    y = np.zeros_like(WHOLE)
    tiles.run(BLUR, X, y, tile=20, workers=2, processes=True, journal=tmp_path / "journal")
    np.testing.assert_array_equal(y, WHOLE)


class Slow:
    """Takes a while for each batch, so that a worker dies in the middle of some."""

    def __call__(self, x):
        time.sleep(0.1)
        return x.sum(axis=(1, 2, 3))


@pytest.mark.slow
def test_a_worker_of_a_cluster_is_killed(client):
    x = RNG.normal(size=(40, 1, 8, 8)).astype(np.float32)
    pids = []

    def kill(done, total):
        if done == 5:
            pids.append(sorted(client.run(os.getpid).values())[0])
            threading.Timer(0.05, os.kill, (pids[0], signal.SIGKILL)).start()

    np.testing.assert_array_equal(
        fd.predict(client, Slow(), x, batch_size=2, progress=kill), x.sum(axis=(1, 2, 3))
    )
    client.wait_for_workers(2, timeout=60)
    y = np.zeros_like(WHOLE)
    fd.run(client, BLUR, X, y, tile=10, progress=kill)
    np.testing.assert_array_equal(y, WHOLE)
    assert len(set(pids)) == 2
