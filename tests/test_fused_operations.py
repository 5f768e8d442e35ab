"""The fused operations of graphs, with weights that are constants and that are not, as what they stand for."""

import numpy as np
import pytest

import fastconv
from fastconv.graph import Graph, Interpreter, Node, Value, infer, verify
from fastconv.graph.operations import TABLE

# The kernels are those of other tests.
pytestmark = pytest.mark.one_instruction_set

ACTIVATIONS = [
    ("", None),
    ("relu", None),
    ("relu6", None),
    ("leaky_relu", (0.2,)),
    ("clip", (-0.25, 0.5)),
    ("silu", None),
    ("hardswish", None),
    ("gelu", None),
    ("tanh", None),
    ("sigmoid", None),
]


def random(*shape, dtype=np.float32):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(dtype)


def activated(x, word, parameters):
    """By a convolution of single pixels with 1."""
    given = (word, *parameters) if parameters else word or None
    ones = np.ones((1, 1, 1, 1), x.dtype)
    return fastconv.conv2d(x.reshape(1, 1, 1, -1), ones, activation=given).reshape(x.shape)


def run(operation, arrays, constant, **attributes):
    """With the weights as constants or as inputs; the rule's answer is checked."""
    x = Value("x", arrays[0].dtype, arrays[0].shape)
    inputs, given = [x], [arrays[0]]
    for place, array in enumerate(arrays[1:], 1):
        if array is None:
            inputs.append(None)
        elif constant and place < 3:
            inputs.append(Value.of(f"c{place}", array))
        else:
            inputs.append(Value(f"c{place}", array.dtype, array.shape))
            given.append(array)
    y = Value("y")
    node = Node(operation, inputs, [y], attributes)
    infer(node)
    graph = Graph([v for v in inputs if v is not None and not v.is_constant], [y], [node])
    verify(graph)
    (result,) = Interpreter(graph)(*given)
    assert y.dtype == result.dtype
    assert all(known in (None, size) for known, size in zip(y.shape, result.shape, strict=True))
    return result


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(("word", "parameters"), ACTIVATIONS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions(backend, rank, word, parameters, constant):
    x, weight, bias = random(2, 4, *(7, 6, 5)[:rank]), random(6, 2, *(3,) * rank), random(6)
    plain = {"pads": (1,) * rank * 2, "strides": (2, *(1,) * (rank - 1)), "group": 2}
    y = TABLE["Conv"].run(x, weight, bias, **plain)
    residual = random(*y.shape)
    more = {"activation": word} | ({"activation_params": parameters} if parameters else {})
    result = run("fastconv.Conv", [x, weight, bias, residual], constant, **plain, **more)
    np.testing.assert_allclose(result, activated(y + residual, word, parameters), rtol=1e-4, atol=1e-5)
    result = run("fastconv.Conv", [x, weight, bias], constant, **plain, **more)
    np.testing.assert_allclose(result, activated(y, word, parameters), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(("word", "parameters"), ACTIVATIONS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("extra", [0, 1, 3])  # the last one: beyond the windows
def test_transposed_convolutions(backend, rank, extra, word, parameters, constant):
    x, weight, bias = random(2, 4, *(4, 3, 2)[:rank]), random(4, 3, *(2,) * rank), random(6)
    plain = {"strides": (2,) * rank, "group": 2, "output_padding": (extra, *(0,) * (rank - 1))}
    more = {"activation": word} | ({"activation_params": parameters} if parameters else {})
    result = run("fastconv.ConvTranspose", [x, weight, bias], constant, **plain, **more)
    y = TABLE["ConvTranspose"].run(x, weight, bias, **plain)
    np.testing.assert_allclose(result, activated(y, word, parameters), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(("word", "parameters"), ACTIVATIONS)
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (0, 5), (2, 0, 5)])
def test_dense(backend, shape, word, parameters, constant):
    x, weight, bias = random(*shape), random(4, 5), random(4)
    more = {"activation": word} | ({"activation_params": parameters} if parameters else {})
    for added in (bias, None):
        result = run("fastconv.Dense", [x, weight, *(() if added is None else (added,))], constant, **more)
        y = x @ weight.T + (0 if added is None else added)
        expected = activated(y, word, parameters) if y.size else y
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_shuffled_channels(backend):
    x = random(2, 6, 3, 4)
    expected = x.reshape(2, 3, 2, 3, 4).swapaxes(1, 2).reshape(x.shape)
    np.testing.assert_array_equal(run("fastconv.ChannelShuffle", [x], False, groups=3), expected)


def test_elementwise(backend):
    """The body's values are those of the node around it, broadcast."""
    x, y, z = (Value(name, np.dtype(np.float32)) for name in "xyz")
    body = Graph(
        [x, y],
        [z],
        [
            Node("Mul", [x, y], [product := Value("p")]),
            Node("Add", [product, Value.of("c", np.array(2, np.float32))], [z]),
        ],
    )
    a, b = random(2, 3, 4), random(3, 1)
    inputs = [Value("a", a.dtype, a.shape), Value("b", b.dtype, b.shape)]
    node = Node("fastconv.Elementwise", inputs, [out := Value("out")], {"body": body}, {"body": []})
    infer(node)
    graph = Graph(inputs, [out], [node])
    verify(graph)
    assert (out.dtype, out.shape) == (a.dtype, (2, 3, 4))
    np.testing.assert_array_equal(Interpreter(graph)(a, b)[0], a * b + 2)
