"""Batches in parts: when a program may run some images at a time, and what it gives then."""

import pickle

import numpy as np
import pytest
from hypothesis import given

import fastconv
from fastconv.graph import Graph, Interpreter, Value
from fastconv.graph.program import Program, batches
from passes_oracle import Net, agree
from test_passes_random import networks

pytestmark = pytest.mark.one_instruction_set


def opened(graph):
    """The same graph for batches of any size."""
    x = graph.inputs[0]
    x.shape = ("N", *x.shape[1:])
    return Graph(graph.inputs, graph.outputs, graph.nodes)


def one_by_one(graph, x):
    parts = [Interpreter(graph)(image[np.newaxis]) for image in x]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


@given(networks())
def test_random_networks(network):
    """Where it says so, every image's results are its own; in any batch."""
    graph, x = network
    graph = opened(graph)
    if not batches.image_by_image(graph):
        return
    more = np.random.default_rng(0).normal(size=(3, *x.shape[1:])).astype(x.dtype)
    for actual, expected in zip(Interpreter(graph)(more), one_by_one(graph, more), strict=True):
        agree(np.asarray(actual), expected, 1e-4)


def classifier(net):
    x = net("Relu", net("Conv", net.input(2, 3, 12, 10), net.normal(8, 3, 3, 3), net.normal(8)))
    x = net("Concat", x, net("Add", net("Sigmoid", x), net.normal(8, 1, 1)), axis=1)
    x = net("MaxPool", x, kernel_shape=(2, 2), strides=(2, 2))
    x = net("ReduceMean", x, np.array([2, 3]), keepdims=0)
    return net("Softmax", net("Gemm", net("Reshape", x, np.array([-1, 16])), net.normal(16, 5)), axis=-1)


MIXING = {
    "rows of several images": lambda net, x: net("Reshape", x, np.array([-1, 2])),
    "no image": lambda net, x: net("Reshape", x, np.array([0, 3, 6, 6]), allowzero=1),
    "all images in one row": lambda net, x: net("Reshape", x, np.array([1, -1])),
    "a mean over the batch": lambda net, x: net("Sub", x, net("ReduceMean", x, np.array([0]), keepdims=1)),
    "shares of the batch": lambda net, x: net("Softmax", x, axis=0),
    "images one below the other": lambda net, x: net("Concat", x, x, axis=0),
    "channels first": lambda net, x: net("Transpose", x, perm=(1, 0, 2, 3)),
    "every axis reversed": lambda net, x: net("Transpose", x),
    "places in the batch": lambda net, x: net("MaxPool", x, kernel_shape=(2, 2), outputs=2)[1],
    "the size of the batch": lambda net, x: net("Cast", net("Gather", net("Shape", x), np.array(0)), to=1),
    "an image of its own for each": lambda net, x: net("Add", x, net.normal(4, 3, 6, 6)),
    "half of the images": lambda net, x: net("Split", x, outputs=2)[0],
    "the first image": lambda net, x: net("Slice", x, np.array([0]), np.array([1]), np.array([-4])),
    "the first images": lambda net, x: net("Slice", x, np.array([0]), np.array([2])),
    "images between images": lambda net, x: net("Resize", x, None, np.float32([2, 1, 1, 1])),
    "a size of the batch": lambda net, x: net("Resize", x, None, None, np.array([4, 3, 12, 12])),
    "a sum of images": lambda net, x: net("MatMul", net.normal(6, 6), x),
}  # fmt: skip


@pytest.mark.parametrize("mixing", MIXING)
def test_what_mixes_images_is_not_divided(mixing):
    net = Net()
    y = MIXING[mixing](net, net("Relu", net.input(4, 3, 6, 6)))
    assert not batches.image_by_image(opened(net.graph(y)))


DIVIDED = {
    "channels apart": lambda net, x: net("Concat", *net("Split", x, axis=1, outputs=3)[::-1], axis=1),
    "channels of given counts": lambda net, x: net("Split", x, np.array([1, 2]), axis=-3, outputs=2)[1],
    "a part of each": lambda net, x: net("Slice", x, np.array([1, 0]), np.array([5, 9]), np.array([2, -1])),
    "every other row": lambda net, x: net("Slice", x, *map(np.array, ([9], [-9], [2], [-2]))),
    "larger": lambda net, x: net("Resize", x, None, np.float32([1, 1, 2, 1.5]), mode="linear"),
    "of a size": lambda net, x: net("Resize", x, None, None, np.array([5, 9]), axes=(2, 3), mode="cubic"),
}  # fmt: skip


@pytest.mark.usefixtures("small_caches")
@pytest.mark.parametrize("dividing", DIVIDED)
def test_what_leaves_images_apart_is_divided(monkeypatch, dividing):
    net = Net()
    graph = opened(net.graph(DIVIDED[dividing](net, net("Relu", net.input(6, 3, 12, 10)))))
    assert batches.image_by_image(graph)
    monkeypatch.setattr(batches, "_TOGETHER", 2_000)
    program = Program(graph, {graph.inputs[0].name: net.arrays[0].shape}, "cython")
    assert program._parts == 6
    agree(program(net.arrays[0]), Interpreter(graph)(net.arrays[0])[0], 1e-5)


def test_zeros_that_would_be_sizes_but_are_not_there():
    """As PyTorch's newer exporter writes what flattens images."""
    net = Net()
    y = net("Reshape", net("Relu", net.input(4, 3, 6, 6)), np.array([-1, 108]), allowzero=1)
    assert batches.image_by_image(opened(net.graph(y)))


def test_sizes_that_a_file_says_are_not_divided():
    """Its constants may have been made for them."""
    net = Net()
    assert not batches.image_by_image(net.graph(classifier(net)))


@pytest.fixture
def small_caches(monkeypatch):
    monkeypatch.setattr(batches, "_TOGETHER", 24_000)


@pytest.mark.usefixtures("small_caches")
@pytest.mark.parametrize(("batch", "parts"), [(1, 1), (2, 1), (6, 3), (7, 7), (64, 32)])
def test_parts_give_what_all_gives(backend, batch, parts):
    net = Net()
    graph = opened(net.graph(classifier(net)))
    x = np.random.default_rng(3).normal(size=(batch, 3, 12, 10)).astype(np.float32)
    program = Program(graph, {"x0": x.shape}, backend)
    compiled = backend == "cython"
    assert ("times, for a part" in program.explain()) == (compiled and parts > 1)
    for _ in range(2):
        y = program(x)
        agree(y, Interpreter(graph)(x)[0], 1e-5)
    out = np.empty((batch, 5), np.float32)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(program))(x, out=out), y)
    assert [tensor.shape for tensor in (*program.inputs, *program.outputs)] == [x.shape, out.shape]
    assert program.memory().results == out.nbytes
    profile = program.profile(x, rounds=2)
    assert len(profile.steps) == len(program.steps())
    if compiled:
        assert program._parts == parts
        whole = Program(graph, {"x0": (1, *x.shape[1:])}, backend)
        assert profile.flops == batch * sum(step.flops for step in whole.steps())


@pytest.mark.usefixtures("small_caches")
def test_heavy_weights_are_not_read_again_and_again():
    net = Net()
    x = net("Relu", net.input(4, 16, 12, 12))
    y = net("Gemm", net("Flatten", x, axis=1), net.normal(16 * 144, 400))
    program = Program(opened(net.graph(y)), {"x0": (4, 16, 12, 12)}, "cython")
    assert program._parts == 1


@pytest.mark.usefixtures("small_caches")
def test_two_inputs_of_one_batch():
    net = Net()
    a, b = net.input(6, 3, 20, 10), net.input(6, 3, 20, 10)
    graph = net.graph(net("Add", net("Relu", a), b), net("Mul", a, b))
    for value in graph.inputs:
        value.shape = ("N", *value.shape[1:])
    program = Program(
        graph, {v.name: x.shape for v, x in zip(graph.inputs, net.arrays, strict=True)}, "cython"
    )
    assert program._parts > 1
    for actual, expected in zip(program._run(net.arrays), Interpreter(graph)(*net.arrays), strict=True):
        np.testing.assert_array_equal(actual, expected)
    graph.inputs[1].shape = ("M", *graph.inputs[1].shape[1:])
    assert not batches.image_by_image(graph)


def test_values_that_are_given_out_in_the_middle():
    net = Net()
    x = net("Relu", net.input(2, 3, 8, 8))
    assert batches.image_by_image(opened(net.graph(x, net("Tanh", x))))
    graph = net.graph(x, Value.of("c", np.ones(3, np.float32)))
    assert not batches.image_by_image(graph)


@pytest.mark.usefixtures("small_caches")
def test_results_do_not_depend_on_threads():
    net = Net()
    graph = opened(net.graph(classifier(net)))
    x = np.random.default_rng(3).normal(size=(16, 3, 12, 10)).astype(np.float32)
    results = []
    for threads in (1, 2):
        with fastconv.num_threads(threads):
            results.append(Program(graph, {"x0": x.shape}, "cython")(x))
    np.testing.assert_array_equal(*results)
