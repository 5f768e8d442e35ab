"""`fastconv.dask`: the whole image's values whatever the chunks, a task for each, no more threads than there may be."""

import functools
import multiprocessing
import threading
import time
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

da = pytest.importorskip("dask.array")
import dask  # noqa: E402

import fastconv  # noqa: E402
import fastconv.dask as fd  # noqa: E402
from fastconv import tiles  # noqa: E402
from fastconv.graph import Interpreter  # noqa: E402
from passes_oracle import Net  # noqa: E402
from strategies import chunked  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 2, 40, 31)).astype(np.float32)
WEIGHT = RNG.normal(size=(4, 2, 5, 5)).astype(np.float32)


chunks = st.tuples(chunked(3), st.just((2,)), chunked(40), chunked(31))
CALLS = [
    ("conv2d", (WEIGHT,), {"padding": 2, "padding_mode": "circular", "algorithm": "direct"}),
    ("conv2d", (WEIGHT,), {"padding": "full", "padding_mode": "reflect", "dilation": 3, "algorithm": "direct"}),
    ("conv2d", (WEIGHT, None, 3), {"padding": "same", "activation": "relu", "algorithm": "direct"}),
    ("conv2d", (WEIGHT,), {"algorithm": "direct"}),
    ("conv_transpose2d", (WEIGHT.transpose(1, 0, 2, 3), None, 3, 1, 2), {"algorithm": "direct"}),
    ("max_pool2d", (3, 2), {"padding": 1, "ceil_mode": True}),
    ("max_pool2d", (7, 5), {}),
    ("pad2d", (((3, 40), (0, 2)), "circular"), {}),
    ("resize2d", (None, (2, 3)), {}),
    ("channel_shuffle", (2,), {}),
]  # fmt: skip


@given(st.sampled_from(CALLS), chunks)
def test_operations_have_the_values_of_the_whole_image(call, sizes):
    name, arguments, named = call
    x = da.from_array(X, chunks=sizes)
    lazy = getattr(fd, name)(x, *arguments, **named)
    whole = getattr(fastconv, name)(X, *arguments, **named)
    assert (lazy.shape, lazy.dtype, lazy._meta.dtype) == (whole.shape, whole.dtype, whole.dtype)
    assert lazy.npartitions <= x.npartitions
    assert len(lazy.dask) - len(x.dask) <= x.npartitions + 1  # a task for each, and what they share
    result = lazy.compute(scheduler="synchronous")
    np.testing.assert_array_equal(result, whole)
    some = lazy[..., 3:5, 1:2].compute(scheduler="synchronous")
    np.testing.assert_array_equal(some, whole[..., 3:5, 1:2])


def test_every_chunk_has_the_size_that_it_says():
    for name, arguments, named in CALLS:
        lazy = getattr(fd, name)(da.from_array(X, chunks=(2, 2, 17, 13)), *arguments, **named)
        for place in np.ndindex(*lazy.numblocks):
            block = lazy.blocks[place]
            assert block.compute(scheduler="synchronous").shape == block.shape


def test_the_other_layout_and_single_images():
    x = np.moveaxis(X, 1, -1)
    weight = WEIGHT.transpose(2, 3, 1, 0)
    lazy = fd.conv2d(
        da.from_array(x, chunks=(1, 9, 8, 2)), weight, padding=1, layout="NHWC", algorithm="direct"
    )
    np.testing.assert_array_equal(
        lazy.compute(), fastconv.conv2d(x, weight, padding=1, layout="NHWC", algorithm="direct")
    )
    lazy = fd.avg_pool2d(da.from_array(X[0], chunks=(2, 9, 8)), 3, 2)
    np.testing.assert_allclose(lazy.compute(), fastconv.avg_pool2d(X[0], 3, 2), rtol=1e-5, atol=1e-6)
    lazy = fd.conv1d(da.from_array(X[:, :, 0], chunks=(1, 2, 4)), WEIGHT[:, :, 0], stride=2)
    np.testing.assert_allclose(
        lazy.compute(), fastconv.conv1d(X[:, :, 0], WEIGHT[:, :, 0], stride=2), rtol=1e-4, atol=1e-5
    )


def test_nothing_is_computed_before_it_is_asked_for():
    def never():
        raise AssertionError("computed")

    x = da.from_delayed(dask.delayed(never)(), (1, 2, 40, 40), np.float32)
    lazy = fd.max_pool2d(fd.conv2d(x, WEIGHT), 2)
    assert lazy.shape == (1, 4, 18, 18)
    with pytest.raises(AssertionError, match="computed"):
        lazy.compute()


def test_a_task_gets_the_chunks_that_it_needs_alone():
    x = da.from_array(X, chunks=(3, 2, 10, 31))
    for kernel, most in ((1, 1), (3, 3), (25, 4)):
        lazy = fd.conv2d(x, np.ones((1, 2, kernel, 1), np.float32), padding=(kernel // 2, 0))
        layer = lazy.dask.layers[lazy.name]
        counts = [len(task) - 3 for key, task in layer.items() if isinstance(key, tuple)]
        assert max(counts) == most


def test_results_share_no_memory_with_the_input():
    net = Net()
    graph = net.graph(net("Identity", net.input(3, 2, 40, 31)))
    x = da.from_array(X.copy(), chunks=-1).persist(scheduler="synchronous")
    result = fd.apply(graph, x).compute(scheduler="synchronous")
    result[...] = 7
    np.testing.assert_array_equal(x.compute(scheduler="synchronous"), X)


def test_the_same_call_has_the_same_name():
    x = da.from_array(X, chunks=(1, 2, 20, 20))
    assert fd.conv2d(x, WEIGHT).name == fd.conv2d(x, WEIGHT.copy()).name
    assert fd.conv2d(x, WEIGHT).name != fd.conv2d(x, 2 * WEIGHT).name
    assert fd.conv2d(x, WEIGHT).name != fd.conv2d(x, WEIGHT, padding=1).name


def test_with_xarray():
    xarray = pytest.importorskip("xarray")
    cube = xarray.DataArray(
        da.from_array(X, chunks=(1, 2, 20, 20)), dims=("time", "band", "y", "x"), coords={"time": [1, 2, 3]}
    )
    plan = fastconv.plan_conv2d(WEIGHT, padding=2, algorithm="direct")
    result = xarray.apply_ufunc(
        functools.partial(fd.apply, plan), cube,
        input_core_dims=[["band", "y", "x"]], output_core_dims=[["feature", "y", "x"]], dask="allowed",
    )  # fmt: skip
    assert result.dims == ("time", "feature", "y", "x")
    np.testing.assert_array_equal(result.values, plan(X))


def network():
    net = Net()
    x = net.input(3, 2, 40, 32)
    top = net("Relu", net("Conv", x, net.normal(4, 2, 3, 3), pads=(1, 1, 1, 1)))
    low = net(
        "Conv",
        net("MaxPool", top, kernel_shape=(2, 2), strides=(2, 2)),
        net.normal(4, 4, 3, 3),
        pads=(1, 1, 1, 1),
    )
    up = net("ConvTranspose", low, net.normal(4, 4, 2, 2), strides=(2, 2))
    return net.graph(net("Concat", up, top, axis=1)), net.arrays[0]


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_networks(scheduler):
    graph, x = network()
    (whole,) = Interpreter(graph)(x)
    for sizes in ((1, 2, 16, 16), (2, 2, 7, 11), (3, 2, 1, 32)):
        lazy = fd.apply(graph, da.from_array(x, chunks=sizes))
        np.testing.assert_allclose(lazy.compute(scheduler=scheduler), whole, rtol=1e-3, atol=1e-4)


def test_what_does_not_fit():
    with pytest.raises(
        ValueError, match=r"channels, axis 1, are in chunks of \(1, 1\).*rechunk\(\{1: -1\}\)"
    ):
        fd.conv2d(da.from_array(X, chunks=(1, 1, 20, 20)), WEIGHT)
    with pytest.raises(TypeError, match="x is ndarray"):
        fd.conv2d(X, WEIGHT)
    x = da.from_array(X, chunks=(1, 2, 20, 20))
    with pytest.raises(TypeError, match="weight is a dask array"):
        fd.conv2d(x, da.from_array(WEIGHT))
    with pytest.raises(ValueError, match="3 input channels"):
        fd.conv2d(x, WEIGHT[:, [0, 1, 1]])
    with pytest.raises(tiles.TilingError, match="global_avg_pool2d"):
        fd.apply(fastconv.global_avg_pool2d, x)
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        fd.max_pool2d(x[x[:, 0, 0, 0] > 0], 2)


class Counted:
    """Counts the threads that tasks take together."""

    def __init__(self):
        self.now = self.most = 0
        self.lock = threading.Lock()

    def install(self, monkeypatch):
        region = tiles.Tiling.region

        def counted(made, *arguments):
            with self.lock:
                self.now += fastconv.get_num_threads()
                self.most = max(self.most, self.now)
            time.sleep(0.02)
            try:
                return region(made, *arguments)
            finally:
                with self.lock:
                    self.now -= fastconv.get_num_threads()

        monkeypatch.setattr(tiles.Tiling, "region", counted)


@pytest.mark.parametrize(("workers", "threads", "expected"), [(2, 4, 4), (4, 4, 4), (3, 1, 3), (1, 4, 4)])
def test_tasks_of_threads_share_the_threads(monkeypatch, workers, threads, expected):
    counted = Counted()
    counted.install(monkeypatch)
    before = fastconv.get_num_threads()
    lazy = fd.conv2d(da.from_array(X, chunks=(1, 2, 10, 10)), WEIGHT)
    try:
        fastconv.set_num_threads(threads)
        with dask.config.set(num_workers=workers, scheduler="threads"):
            lazy.compute()
    finally:
        fastconv.set_num_threads(before)
    assert counted.most == expected


def test_the_scheduler_without_threads_takes_all(monkeypatch):
    counted = Counted()
    counted.install(monkeypatch)
    with fastconv.num_threads(3):
        fd.conv2d(da.from_array(X, chunks=(1, 2, 20, 20)), WEIGHT).compute(scheduler="synchronous")
    assert counted.most == 3


@pytest.mark.slow
def test_processes():
    lazy = fd.conv2d(da.from_array(X, chunks=(1, 2, 20, 20)), WEIGHT, padding=2, algorithm="direct")
    with dask.config.set({"multiprocessing.context": "spawn"}):
        result = lazy.compute(scheduler="processes", num_workers=2)
    np.testing.assert_array_equal(result, fastconv.conv2d(X, WEIGHT, padding=2, algorithm="direct"))
    assert not multiprocessing.active_children()


def _watch():
    """In a worker: remember what its tasks take, and how often a tiling is made."""
    region, made = tiles.Tiling.region, tiles.Tiling.__init__
    tiles.seen, tiles.made = set(), 0

    def region_watched(self, *arguments):
        tiles.seen.add(fastconv.get_num_threads())
        return region(self, *arguments)

    def made_watched(self, *arguments):
        tiles.made += 1
        made(self, *arguments)

    tiles.Tiling.region, tiles.Tiling.__init__ = region_watched, made_watched


def _seen():
    return tiles.seen, tiles.made


@pytest.mark.slow
def test_a_cluster_of_processes(tmp_path):
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            processes=True,
            dashboard_address=None,
            local_directory=tmp_path,
        )
    with cluster, distributed.Client(cluster) as client:
        client.run(_watch)
        client.run(functools.partial(fastconv.set_num_threads, 4))
        lazy = fd.conv2d(da.from_array(X, chunks=(1, 2, 7, 9)), WEIGHT, padding=2, algorithm="direct")
        result = lazy.compute()
        graph, x = network()
        other = fd.apply(graph, da.from_array(x, chunks=(1, 2, 16, 16))).compute()
        seen = client.run(_seen)
    np.testing.assert_array_equal(result, fastconv.conv2d(X, WEIGHT, padding=2, algorithm="direct"))
    np.testing.assert_allclose(other, Interpreter(graph)(x)[0], rtol=1e-3, atol=1e-4)
    for threads, made in seen.values():
        assert threads <= {2}  # a worker's 4, for its 2 tasks at a time
        assert made <= 2  # once for each of the two computations
    assert any(threads for threads, _ in seen.values())
