"""Weights within a multiple of what the file holds: some convolutions of a program take a smaller form of them."""

from itertools import pairwise

import numpy as np
import pytest

from fastconv.graph import Interpreter
from fastconv.graph.program import Program
from passes_oracle import Net, agree

pytestmark = pytest.mark.usefixtures("cython_alone")


@pytest.fixture
def cython_alone(backend):
    if backend != "cython":
        pytest.skip("only programs in C prepare weights")


def layers():
    """Three of many channels, each of fewer pixels than the one before."""
    net = Net()
    y = net.input(1, 64, 24, 24)
    for size in (3, 2, 1):
        y = net("Conv", y, net.normal(64, 64, 3, 3) / 24, pads=(1,) * 4)
        y = net("MaxPool", y, kernel_shape=(size, size), strides=(size, size))
    return net, net.graph(y)


def packed(net, graph):
    shapes = {value.name: array.shape for value, array in zip(net.inputs, net.arrays, strict=True)}
    program = Program(graph, shapes, "cython")
    (expected,) = Interpreter(graph)(*net.arrays)
    agree(program(net.arrays[0]), expected, 1e-5)
    return [(step.algorithm, step.weight_bytes) for step in program.steps() if step.weight_bytes]


@pytest.mark.parametrize("most", [1.0, 1.5, 2.5])
def test_they_stay_within_it(monkeypatch, most):
    net, graph = layers()
    free = packed(net, graph)
    monkeypatch.setattr("fastconv.graph.program.budget._LARGE", 1)
    monkeypatch.setattr("fastconv.graph.program.budget._MOST", most)
    held = 3 * 64 * 64 * 9 * 4
    bound = packed(net, graph)
    assert sum(size for _, size in bound) <= most * held
    assert all(size <= before for (_, size), (_, before) in zip(bound, free, strict=True))


def test_what_is_within_it_keeps_its_kernels(monkeypatch):
    net, graph = layers()
    free = packed(net, graph)
    monkeypatch.setattr("fastconv.graph.program.budget._LARGE", 1)
    monkeypatch.setattr("fastconv.graph.program.budget._MOST", 4.5)
    assert packed(net, graph) == free


def test_no_more_than_it_takes(monkeypatch):
    """One layer changes where one is enough."""
    net, graph = layers()
    free = packed(net, graph)
    monkeypatch.setattr("fastconv.graph.program.budget._LARGE", 1)
    held, size = 3 * 64 * 64 * 9 * 4, sum(size for _, size in free)
    if len({algorithm for algorithm, _ in free} & {"winograd2", "winograd3", "winograd4"}) == 0:
        pytest.skip("no kernel has larger weights here")
    monkeypatch.setattr("fastconv.graph.program.budget._MOST", (size - 1) / held)
    assert sum(one != other for one, other in zip(packed(net, graph), free, strict=True)) == 1


def test_packed_weights_lie_side_by_side():
    """On cache lines, each where no other is; the blocks grow, so that there are few."""
    from fastconv.graph.pages import Blocks

    blocks = Blocks(0)
    some = np.random.default_rng(0).integers(1, 1 << 18, 200)
    sizes = [*map(int, some), 3 << 20, 1, 300 << 10]
    taken = [blocks.take(size) for size in sizes]
    spans = sorted((array.ctypes.data, array.nbytes) for array in taken)
    assert [array.nbytes for array in taken] == sizes
    assert all(start % 64 == 0 for start, _ in spans)
    assert all(start + size <= after for (start, size), (after, _) in pairwise(spans))
    owners = {id(array.base) for array in taken if array.base is not None}
    assert 1 < len(owners) < 12
