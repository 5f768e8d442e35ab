"""Weights of programs in memory: what kernels hold in another form stays nowhere else."""

import mmap
import pickle
from itertools import pairwise

import numpy as np
import pytest

from fastconv.backends.cython import BACKEND
from fastconv.graph import Interpreter, Value, pages
from fastconv.graph.passes import optimise
from fastconv.graph.program import Program, packing
from fastconv.graph.remade import Remade
from fastconv.onnx import load
from fastconv.problem.convolution import ConvOptions
from fastconv.problem.layout import batch_shape, weight_shape
from onnx_models import FLOAT, model, node
from passes_oracle import Net, agree

pytestmark = pytest.mark.usefixtures("cython_alone")


@pytest.fixture
def cython_alone(backend):
    if backend != "cython":
        pytest.skip("only programs in C prepare weights")


def folded(kind):
    """A layer whose weights take a scale from behind and one from before."""
    net = Net()
    x = net.input(2, 6, 9, 8)
    if kind == "ConvTranspose":
        y = net(kind, x, net.normal(6, 4, 3, 3))
        y = net("Mul", y, net.normal(4, 1, 1))
    else:
        y = net("Conv", net("Mul", x, net.normal(6, 1, 1)), net.normal(8, 6, 3, 3))
        y = net("Add", net("Mul", y, net.normal(8, 1, 1)), net.normal(8, 1, 1))
    return net, net.graph(net("Relu", y))


def made_by_passes(graph):
    return [v.held for n in graph.nodes for v in n.reads() if isinstance(v.held, Remade)]


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_folded_weights_are_let_go_of_and_made_again(kind):
    net, graph = folded(kind)
    before = [held.array().copy() for held in made_by_passes(optimise(graph)[0])]
    program = Program(graph, {}, "cython")
    (expected,) = Interpreter(graph)(*net.arrays)
    agree(program(net.arrays[0]), expected, 1e-4)
    weights = made_by_passes(program.graph)
    assert weights
    assert all(held._array is None for held in weights)
    for held, array in zip(weights, before, strict=True):
        np.testing.assert_array_equal(held.array(), array)
    agree(Interpreter(program.graph)(*net.arrays)[0], expected, 1e-4)


def test_more_shapes_of_a_network_that_let_go_of_its_weights():
    rng = np.random.default_rng(0)
    w, s = rng.normal(size=(40, 32, 3, 3)).astype(np.float32), rng.normal(size=(40, 1, 1)).astype(np.float32)
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Mul", ["a", "s"], ["y"])]
    data = model(nodes, {"x": (FLOAT, ["N", 32, "h", "v"])}, {"y": (FLOAT, None)}, {"w": w, "s": s})
    network = load(data, backend="cython")
    oracle = load(data, backend="cython", optimize=False)
    for size in (5, 40, 7, 5):
        x = rng.normal(size=(1, 32, size, size)).astype(np.float32)
        agree(network(x), oracle(x), 1e-4)


def test_graphs_are_pickled_with_their_weights():
    net, graph = folded("Conv")
    program = Program(graph, {}, "cython")
    again = pickle.loads(pickle.dumps(program.graph))
    assert not made_by_passes(again)
    agree(Interpreter(again)(*net.arrays)[0], Interpreter(graph)(*net.arrays)[0], 1e-4)


def test_only_pages_of_files_are_forgotten():
    blocks = pages.Blocks(1 << 20, passing=True)
    array = blocks.like(np.empty((1 << 20,), np.uint8))
    array[:] = 7
    pages.forget_pages(array)
    assert (array == 7).all()


def test_what_blocks_give_lies_apart():
    blocks = pages.Blocks(8 << 20)
    taken = [blocks.take(size) for size in (1 << 20, 3 << 20, 900 << 10, 5, 64 << 10, 0, 9 << 20, 1)]
    places = sorted(np.lib.array_utils.byte_bounds(array) for array in taken if len(array))
    assert all(end <= start for (_, end), (start, _) in pairwise(places))
    assert all(array.__array_interface__["data"][0] % 64 == 0 for array in taken if len(array))


def test_what_is_left_of_a_block_is_used():
    """What does not fit into it does not end it."""
    blocks = pages.Blocks(8 << 20)
    first, _, third = blocks.take(1 << 20), blocks.take(1200 << 10), blocks.take(512 << 10)
    assert third.__array_interface__["data"][0] == first.__array_interface__["data"][0] + len(first)


def test_a_copy_of_what_kernels_cannot_read_is_not_kept():
    memory = mmap.mmap(-1, 1 << 16)
    odd = np.frombuffer(memory, np.uint8)[1 : 1 + 4096].view(np.float32).reshape(32, 32)
    odd[...] = np.arange(1024).reshape(32, 32)
    blocks = pages.Blocks(0)
    one = blocks.readable(odd)
    assert one.flags.aligned
    np.testing.assert_array_equal(one, odd)
    assert np.shares_memory(one, blocks.readable(odd[:16]))
    fine = np.ones(4, np.float32)
    assert blocks.readable(fine) is fine


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("filters", [127, 128, 129, 200, 321])
def test_dense_layers_packed_in_parts(monkeypatch, dtype, layout, filters):
    batch, size = (1, (1, 50)) if layout == "NHWC" else (50, (1, 1))
    options = ConvOptions.read("dense", 1, 0, 1, 1, layout=layout)
    shapes = batch_shape(layout, batch, 37, size), weight_shape(layout, filters, 37, (1, 1))
    problem = options.problem(*shapes, np.dtype(dtype), "default")
    if BACKEND.algorithm(problem) != "direct_channels":
        pytest.skip("another kernel")
    weight = np.random.default_rng(1).normal(size=(filters, 37)).astype(dtype)
    whole = packing.packed_weights(problem, weight, pages.Blocks(0))
    monkeypatch.setattr(packing, "PIECE", 70 * 37 * weight.itemsize)
    parts = packing.packed_weights(problem, weight, pages.Blocks(0))
    np.testing.assert_array_equal(whole.view(np.uint8), parts.view(np.uint8))


def test_values_that_are_made_are_constants():
    made = Value.of("w", Remade(np.ones(3), lambda: np.ones(3)))
    assert made.is_constant
    assert (made.dtype, made.shape) == (np.float64, (3,))
