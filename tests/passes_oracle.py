"""A graph and what the passes make of it, run on the same inputs: the oracle of the tests of passes."""

import numpy as np

from fastconv.graph import Graph, Interpreter, Node, Value, verify
from fastconv.graph.passes import optimise


def agree(actual, expected, tolerance):
    """Relative to the largest value; exactly, where the tolerance is 0."""
    if isinstance(expected, list):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            agree(one, other, tolerance)
        return
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if not tolerance or expected.dtype.kind not in "fc":
        if expected.dtype == object:
            assert actual.tolist() == expected.tolist()
        else:
            np.testing.assert_array_equal(actual, expected)
            assert actual.tobytes() == expected.tobytes() or np.isnan(expected).any()  # the signs of zeros
        return
    finite = expected[np.isfinite(expected)]
    scale = np.abs(finite).max(initial=0)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * max(scale, 1e-3))


def same_results(graph, inputs, tolerance=1e-4, shapes=True, stop_after=None):
    """The optimised graph, after it has been checked; with the inputs' shapes, or without."""
    expected = Interpreter(graph)(*inputs)
    known = {
        value.name: array.shape
        for value, array in zip(graph.inputs, inputs, strict=True)
        if shapes and isinstance(array, np.ndarray)
    }
    result, _ = optimise(graph, input_shapes=known, stop_after=stop_after)
    verify(result)
    assert [value.name for value in result.outputs] == [value.name for value in graph.outputs]
    for actual, wanted in zip(Interpreter(result)(*inputs), expected, strict=True):
        agree(actual, wanted, tolerance)
    return result


class Net:
    """A small graph that is written down operation by operation; arrays become constants."""

    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.inputs, self.arrays, self.nodes = [], [], []

    def normal(self, *shape):
        return self.rng.normal(size=shape).astype(np.float32)

    def input(self, *shape, dtype=np.float32):
        array = (2 * self.rng.normal(size=shape)).astype(dtype)
        self.inputs.append(Value(f"x{len(self.inputs)}", array.dtype, shape))
        self.arrays.append(array)
        return self.inputs[-1]

    def __call__(self, operation, *inputs, outputs=1, captures=None, **attributes):
        values = [
            value if value is None or isinstance(value, Value) else Value.of("c", np.asarray(value))
            for value in inputs
        ]
        made = [Value(f"{operation}{len(self.nodes)}.{place}") for place in range(outputs)]
        self.nodes.append(Node(operation, values, made, attributes, captures or {}))
        return made[0] if outputs == 1 else made

    def graph(self, *outputs):
        return Graph(self.inputs, list(outputs), self.nodes)

    def left(self, *outputs, tolerance=1e-4, stop_after=None, shapes=True):
        """The operations of what the passes leave, which gives the same."""
        graph = same_results(self.graph(*outputs), self.arrays, tolerance, shapes, stop_after)
        return [node.operation for node in graph.nodes]


def weighted(net, operation, shape=(2, 4, 5, 5), **attributes):
    """A convolution, transposed or not, to 6 channels."""
    x = net.input(*shape)
    size = (1, *(3,) * (len(shape) - 3)) if len(shape) > 3 else (3,)
    if operation == "Conv":
        weight = net.normal(6, 4 // attributes.get("group", 1), *size)
    else:
        weight = net.normal(4, 6 // attributes.get("group", 1), *size)
    return net(operation, x, weight, net.normal(6), **attributes)
