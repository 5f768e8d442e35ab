"""Data-parallel training: the numbers of one process, the same bits again, and a worker that dies."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

import fastconv.nn as nn
from fastconv.nn import augment, data
from fastconv.nn.cluster import shares
from fastconv.nn.operations.synchronised import merged_moments
from fastconv.nn.scope import setting

pytestmark = pytest.mark.one_instruction_set

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 2, 6, 6)).astype(np.float32), RNG.integers(3, size=50)


class Communicator:
    """What `fit` uses of mpi4py's, among threads."""

    def __init__(self, rank, size, board):
        self.rank, self.size, self.board = rank, size, board

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return self.size

    def allgather(self, own):
        barrier, parts = self.board.setdefault("all", (threading.Barrier(self.size), [None] * self.size))
        parts[self.rank] = own
        barrier.wait(60)
        found = list(parts)
        barrier.wait(60)
        return found

    def bcast(self, own, root):
        return self.allgather(own)[root]

    def Allreduce(self, own, total):
        total[...] = sum(self.allgather(own)[1:], start=self.allgather(own)[0].copy())

    def Split(self, colour, key):
        colours = self.allgather(colour)
        fellows = [rank for rank, other in enumerate(colours) if other == colour]
        board = self.allgather({})[fellows[0]]
        return Communicator(fellows.index(self.rank), len(fellows), board)


def in_threads(size, work):
    """What `work(communicator)` gives in each."""
    board, found = {}, [None] * size
    board["all"] = threading.Barrier(size), [None] * size

    def one(rank):
        try:
            found[rank] = work(Communicator(rank, size, board))
        except BaseException as error:
            board["all"][0].abort()
            found[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one_found in found:
        if isinstance(one_found, BaseException) and not isinstance(one_found, threading.BrokenBarrierError):
            raise one_found
    return found


def network(layout=None):
    """In float64, so that only rounding may differ."""
    return nn.Sequential(
        nn.Conv2D(8, 3, padding=1), nn.BatchNorm2D(), nn.Activation("tanh"), nn.Flatten(),
        nn.Dense(6), nn.BatchNorm2D(affine=False), nn.Dense(3), layout=layout,
    ).astype("float64")  # fmt: skip


def trained(cluster=None, net=None, x=X, y=Y, **options):
    options = {"epochs": 2, "batch_size": 16, "rng": 0, "optimizer": nn.SGD(0.1, momentum=0.9)} | options
    net = net or network()
    history = net.fit(x, y, cluster=cluster, **options)
    return net.state_dict(), history


def close(some, other, tolerance=1e-9):
    for name, array in some[0].items():
        np.testing.assert_allclose(array, other[0][name], rtol=0, atol=tolerance, err_msg=name)
    for name, numbers in some[1].items():
        np.testing.assert_allclose(numbers, other[1][name], atol=tolerance, err_msg=name)


def equal(some, other):
    assert some[1] == other[1]
    for name, array in some[0].items():
        np.testing.assert_array_equal(array, other[0][name], err_msg=name)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_processes_together_have_the_numbers_of_one(layout):
    """Batches of 16, and one of 2, which is fewer than there are processes."""
    x = np.moveaxis(X, 1, -1) if layout == "NHWC" else X
    one = trained(net=network(layout), x=x)
    found = in_threads(3, lambda world: trained(world, network(layout), x))
    for other in found:
        close(one, other)
        equal(found[0], other)
    equal(found[0], in_threads(3, lambda world: trained(world, network(layout), x))[0])


def test_batch_norm_of_each_share():
    one = trained(batch_size=25)
    alone = in_threads(2, lambda world: trained(world, synchronise=False, batch_size=25))
    equal(*alone)
    assert abs(one[1]["loss"][1] - alone[0][1]["loss"][1]) > 1e-4
    # Of one share it is that of the batch.
    equal(in_threads(1, lambda world: trained(world, synchronise=False))[0], trained())


def test_synchronised_gradients_are_those_of_the_whole_batch():
    """Each share with the slope of its own mean; where the mean is large against the deviation, too."""
    x = RNG.normal(size=(7, 3, 4, 5)) * [[[[1.0]], [[0.01]], [[3.0]]]] + [[[[0.0]], [[100.0]], [[-2.0]]]]
    slope = RNG.normal(size=x.shape)

    def gradients(inputs, outer, exchange):
        net = nn.BatchNorm2D().astype("float64")
        with setting(exchange=exchange), nn.training():
            y = net.forward(inputs)
            of_x = net.backward(outer)
        return y, of_x, net.gradients, net.state_dict()

    y, of_x, of_weights, state = gradients(x, slope, None)

    def work(world):
        part = parts[world.rank]
        weight = len(x) / (part.stop - part.start)
        return gradients(x[part], weight * slope[part], lambda own, merge: merge(world.allgather(own)))

    parts = [slice(0, 2), slice(2, 7)]
    found, shared = in_threads(2, work), (2 / 7, 5 / 7)
    np.testing.assert_allclose(np.concatenate([one[0] for one in found]), y, atol=1e-9)
    whole = [share * one[1] for share, one in zip(shared, found, strict=True)]
    np.testing.assert_allclose(np.concatenate(whole), of_x, atol=1e-8)
    for name, gradient in of_weights.items():
        total = sum(share * one[2][name] for share, one in zip(shared, found, strict=True))
        np.testing.assert_allclose(total, gradient, atol=1e-9)
    for name, array in state.items():
        for one in found:
            np.testing.assert_allclose(one[3][name], array, rtol=1e-12)


def test_moments_of_shares_are_those_of_all():
    parts = [RNG.normal(1e6, 1, (count, 2)) for count in (1, 5, 30)]
    told = [np.stack([np.full(2, len(p)), p.mean(0), ((p - p.mean(0)) ** 2).sum(0)]) for p in parts]
    count, mean, squares = merged_moments(told)
    whole = np.concatenate(parts)
    np.testing.assert_array_equal(count, 36)
    np.testing.assert_allclose(mean, whole.mean(0), rtol=1e-15)
    np.testing.assert_allclose(squares / 36, whole.var(0), rtol=1e-9)


def loader(**options):
    options = {"batch_size": 16, "seed": 2, "augment": augment.noise(0.3)} | options
    return data.Batches(data.Arrays(X, Y), **options)


def test_workers_read_their_shards():
    begun = network()
    begun.build((1, 2, 6, 6), rng=1)
    one = trained(None, begun, x=loader(shards=2), y=None)
    asked = []

    def work(world):
        mine = loader(shards=2)
        part = mine.part
        mine.part = lambda epoch, batch, shard: asked.append((world.rank, shard)) or part(epoch, batch, shard)
        net = network()
        net.build((1, 2, 6, 6), rng=1)
        return trained(world, net, x=mine, y=None)

    for other in in_threads(2, work):
        close(one, other)
    assert set(asked) == {(0, 0), (1, 1)}
    with pytest.raises(ValueError, match="3 shards, but the communicator has 2"):
        in_threads(2, lambda world: trained(world, x=loader(shards=3), y=None))


def test_frozen_and_shared_parameters_and_accumulated_steps():
    def one(world=None):
        net = network()
        net.build((1, 2, 6, 6), rng=1)
        net.freeze("0")
        return trained(world, net, accumulate=3, metrics="accuracy", validation=(X, Y))

    alone = one()
    for other in in_threads(2, one):
        close(alone, other)
        np.testing.assert_array_equal(alone[0]["0.weight"], other[0]["0.weight"])


def test_all_begin_with_the_first_ones_numbers():
    """Without a seed."""
    equal(*in_threads(2, lambda world: trained(world, rng=None)))


def test_only_the_first_writes_checkpoints_and_all_go_on(tmp_path):
    path = tmp_path / "kept.safetensors"
    whole = in_threads(2, lambda world: trained(world))
    in_threads(2, lambda world: trained(world, epochs=1, checkpoint=path))
    equal(whole[0], in_threads(2, lambda world: trained(world, checkpoint=path, resume=True))[1])


def test_what_is_no_cluster():
    with pytest.raises(TypeError, match="cluster is str"):
        trained("localhost:8786")


def test_sums_and_states_are_taken_apart_as_they_were_put_together():
    net = network()
    net.build((1, 2, 6, 6), rng=0)
    state = shares.State.of(net)
    other = network()
    other.build((1, 2, 6, 6), rng=5)
    state.load(other)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[name])


MPI = """
import sys
import numpy as np
from mpi4py import MPI
sys.path.insert(0, {tests!r})
from test_nn_cluster import trained
state, history = trained(MPI.COMM_WORLD)
if MPI.COMM_WORLD.Get_rank() == 0:
    np.savez({path!r}, loss=history["loss"], accuracy=history["accuracy"], **state)
"""


@pytest.mark.slow
def test_real_processes_of_mpi(tmp_path):
    pytest.importorskip("mpi4py")
    path = str(tmp_path / "found.npz")
    script = MPI.format(tests=os.path.dirname(__file__), path=path)
    launcher = os.path.join(os.path.dirname(sys.executable), "mpiexec")
    done = subprocess.run(
        [launcher, "-n", "3", sys.executable, "-c", script],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with np.load(path) as file:
        found = dict(file)
    history = {name: found.pop(name).tolist() for name in ("loss", "accuracy")}
    close(trained(), (found, history))


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            local_directory=tmp_path_factory.mktemp("dask"),
        )  # fmt: skip
        with cluster, distributed.Client(cluster) as made:
            yield made


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_workers_of_dask_have_the_numbers_of_one_process(client):
    one, found = trained(), trained(client)
    close(one, found)
    equal(found, trained(client))
    # Half as many shares, as many bits as in threads: all ways are one.
    close(found, in_threads(2, lambda world: trained(world))[0])
    close(trained(x=loader(shards=3), y=None), trained(client, x=loader(shards=3), y=None))
    for _ in range(50):  # it takes a moment until they are told
        if not any(client.run(kept).values()):
            return
        time.sleep(0.1)
    raise AssertionError("workers keep networks")


def kept():
    """Networks that a worker still holds."""
    import gc

    from fastconv.nn.cluster import on_dask

    gc.collect()
    return len(on_dask._REPLICAS)


def failing(output, target):
    raise ArithmeticError("not today")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_errors_of_workers_are_raised(client):
    with pytest.raises(ArithmeticError, match="not today"):
        trained(client, loss=failing)


def slow_loss(output, target):
    time.sleep(0.15)
    return nn.losses.cross_entropy(output, target)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("synchronise", [True, False])
def test_a_worker_is_killed_and_the_bits_stay(client, synchronise):
    options = {"loss": slow_loss, "epochs": 3, "batch_size": 25, "synchronise": synchronise}
    client.wait_for_workers(2, timeout=60)
    whole = trained(client, **options)
    killed = []

    class Kill(nn.Callback):
        def batch_end(self, run):
            if run.epoch == 1 and run.batch == 0:  # in the middle of the next step
                pid = sorted(client.run(os.getpid).values())[0]
                killed.append(pid)
                threading.Timer(0.1, os.kill, (pid, signal.SIGKILL)).start()

    client.wait_for_workers(2, timeout=60)
    equal(whole, trained(client, callbacks=[Kill()], **options))
    assert killed


@pytest.mark.parametrize(
    ("shape", "axis"), [((7, 3, 4, 5), 1), ((7, 4, 5, 3), 3), ((9, 3), 1), ((1, 3, 1, 1), 1)]
)
def test_moments_of_a_share_are_those_of_its_blocks(monkeypatch, shape, axis):
    from fastconv.nn.operations import synchronised

    x = (np.random.default_rng(0).normal(size=shape) + 100).astype(np.float32)
    others = tuple(place for place in range(x.ndim) if place != axis)
    for block in (1, 130, 1 << 18):
        monkeypatch.setattr(synchronised, "_BLOCK", block)
        count, mean, squares = synchronised.moments(x, axis)
        assert (count == x.size // 3).all()
        np.testing.assert_allclose(mean, np.mean(x, axis=others, dtype=np.float64), rtol=1e-13)
        variance = np.var(x, axis=others, dtype=np.float64)
        np.testing.assert_allclose(squares / count, variance, rtol=1e-9, atol=1e-12)
