"""Random graphs, with branches, several readers and outputs in the middle, through the passes: what fuses too much
shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv.graph import Graph, Node, Value
from fastconv.graph.operations import TABLE
from passes_oracle import same_results

# The kernels are those of other tests.
pytestmark = pytest.mark.one_instruction_set

F4 = np.dtype(np.float32)
UNARY = ["Relu", "Sigmoid", "Tanh", "HardSwish", "Abs", "Softplus", "Identity", "Dropout", "Neg", "Gelu"]


class Network:
    """A graph that grows by random nodes; every value is computed at once, so that its shape is known."""

    def __init__(self, draw):
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**16)))
        shape = (
            draw(st.sampled_from([1, 2])),
            draw(st.sampled_from([2, 4, 6])),
            *draw(st.sampled_from(SIZES)),
        )
        self.inputs = [Value("x", F4, shape)]
        self.arrays = {self.inputs[0]: self.normal(*shape)}
        self.nodes = []

    def normal(self, *shape):
        return self.rng.normal(size=shape).astype(F4)

    def pick(self, *choices):
        return self.draw(st.sampled_from(choices))

    def value(self, accepts=lambda array: True):
        """Often a late one."""
        fitting = [value for value, array in self.arrays.items() if array.dtype == F4 and accepts(array)]
        return fitting[-1 - min(self.pick(0, 0, 0, 0, 1, 2, 4), len(fitting) - 1)] if fitting else None

    def constant(self, array):
        return Value.of(f"c{len(self.nodes)}", np.asarray(array))

    def apply(self, operation, *inputs, **attributes):
        output = Value(f"{operation}{len(self.nodes)}")
        self.nodes.append(Node(operation, list(inputs), [output], attributes))
        arrays = [None if v is None else v.constant if v.is_constant else self.arrays[v] for v in inputs]
        result = TABLE[operation].run(*arrays, **attributes)
        self.arrays[output] = np.asarray(result[0] if isinstance(result, tuple) else result)
        return output

    def images(self):
        return self.value(lambda array: array.ndim == 4 and array.size > 0)


SIZES = [(5, 4), (1, 1), (6, 6)]


def unary(net):
    x = net.value()
    net.apply(net.pick(*UNARY), x)


def clip(net):
    low, high = (None if net.pick(True, False) else net.constant(np.float32(b)) for b in (0, 6))
    net.apply("Clip", net.value(), low, high)


def leaky(net):
    net.apply("LeakyRelu", net.value(), alpha=0.1)


def convolution(net):
    x = net.images()
    if x is None:
        return
    channels = net.arrays[x].shape[1]
    k, group = net.pick(1, 3), net.pick(1, channels)
    filters = channels * net.pick(1, 2) if group > 1 else net.pick(channels, 4)
    bias = [net.constant(net.normal(filters))] if net.pick(True, False) else []
    weight = net.constant(net.normal(filters, channels // group, k, k) / (k * k))
    net.apply("Conv", x, weight, *bias, group=group, pads=(k // 2,) * 4, strides=(net.pick(1, 1, 2),) * 2)


def transposed(net):
    x = net.images()
    if x is None or net.arrays[x].size > 2000:
        return
    channels, group = net.arrays[x].shape[1], net.pick(1, 2)
    if channels % group:
        return
    weight = net.constant(net.normal(channels, 3, 2, 2) / 4)
    net.apply("ConvTranspose", x, weight, group=group, strides=(2, 2))


def batch_norm(net):
    x = net.value(lambda array: array.ndim >= 2)
    channels = net.arrays[x].shape[1]
    parameters = [net.constant(net.normal(channels)) for _ in range(3)]
    net.apply(
        "BatchNormalization", x, *parameters, net.constant(net.rng.uniform(0.5, 2, channels).astype(F4))
    )


def with_constant(net):
    x = net.value()
    shape = net.arrays[x].shape
    kept = net.pick("all", "channels", "last", "none", "scalar")
    wanted = {
        "all": shape,
        "channels": tuple(size if axis == 1 else 1 for axis, size in enumerate(shape))[len(shape) > 1 :],
        "last": shape[-1:],
        "none": (1,) * len(shape),
        "scalar": (),
    }[kept]
    array = net.pick(net.normal(*wanted), np.ones(wanted, F4), np.zeros(wanted, F4), -np.zeros(wanted, F4))
    operation = net.pick("Add", "Mul", "Sub", "Div")
    if operation == "Div":
        array = np.abs(array) + F4.type(0.5)
    pair = [x, net.constant(array)]
    net.apply(operation, *(pair if operation == "Div" or net.pick(True, False) else pair[::-1]))


def of_two(net):
    """Of one shape, or of shapes that are broadcast; some with themselves."""
    x = net.value()
    shape = net.arrays[x].shape
    y = net.value(lambda array: can_meet(array.shape, shape))
    pair = net.pick([x, y], [y, x])
    net.apply(net.pick("Add", "Mul", "Sub", "Sum", "Max"), *pair)


def can_meet(one, other):
    try:
        return len(np.broadcast_shapes(one, other)) == max(len(one), len(other))
    except ValueError:
        return False


def choice(net):
    x = net.value()
    truth = net.apply(net.pick("Greater", "Less"), x, net.constant(F4.type(0)))
    shape = net.arrays[x].shape
    y = net.value(lambda array: can_meet(array.shape, shape))
    if net.pick(True, False):
        truth = net.apply("Not", truth)
    net.apply("Where", truth, x, y)


def gate(net):
    """Activations in parts."""
    x = net.value()
    kind = net.pick("hardswish", "silu", "gelu", "squeeze")
    if kind == "hardswish":
        moved = net.apply("Add", x, net.constant(F4.type(3)))
        clipped = net.apply("Clip", moved, net.constant(F4.type(0)), net.constant(F4.type(6)))
        part = net.apply("Mul", clipped, x)
        net.apply("Div", part, net.constant(F4.type(6)))
    elif kind == "silu":
        net.apply("Mul", x, net.apply("Sigmoid", x))
    elif kind == "gelu":
        inner = net.apply("Erf", net.apply("Div", x, net.constant(F4.type(np.sqrt(2)))))
        outer = net.apply("Mul", net.apply("Add", inner, net.constant(F4.type(1))), x)
        net.apply("Mul", outer, net.constant(F4.type(0.5)))
    elif net.arrays[x].ndim == 4:
        mean = net.apply("ReduceMean", x, net.constant(np.array([2, 3])))
        net.apply("Mul", x, net.apply("Sigmoid", mean))


def transposition(net):
    x = net.value()
    rank = net.arrays[x].ndim
    order = net.pick((0, 2, 3, 1), (0, 3, 1, 2)) if rank == 4 else tuple(range(rank))[::-1]
    net.apply("Transpose", x, perm=order)


def joined(net):
    x = net.value()
    shape = net.arrays[x].shape
    y = net.value(lambda array: array.shape == shape)
    net.apply("Concat", x, y, axis=net.pick(0, 1) if len(shape) > 1 else 0)


def padded(net):
    x = net.images()
    if x is None:
        return
    pads = np.array([0, 0, *net.pick((0, 0), (1, 0), (1, 1)), 0, 0, *net.pick((0, 0), (0, 1), (1, 1))])
    y = net.apply("Pad", x, net.constant(pads))
    if min(net.arrays[y].shape[2:]) > 1 and net.pick(True, False):
        net.apply(net.pick("AveragePool", "MaxPool"), y, kernel_shape=(2, 2), ceil_mode=net.pick(0, 1))


def shuffled(net):
    x = net.value(lambda array: array.ndim == 4 and array.shape[1] % 2 == 0 and array.size)
    if x is None:
        return
    n, c, h, w = net.arrays[x].shape
    parts = net.apply("Reshape", x, net.constant(np.array([n, 2, c // 2, h, w])))
    order = net.pick((0, 2, 1, 3, 4), (0, 1, 2, 3, 4))
    net.apply("Reshape", net.apply("Transpose", parts, perm=order), net.constant(np.array([n, c, h, w])))


def dense(net):
    x = net.value(lambda array: array.ndim >= 2 and array.size < 1000)
    if x is None:
        return
    flat = net.apply("Flatten", x) if net.pick(True, False) or net.arrays[x].ndim != 2 else x
    width = net.arrays[flat].shape[1]
    if net.pick(True, False):
        options = {"transB": 1, "alpha": net.pick(1.0, 0.5), "beta": net.pick(1.0, 2.0)}
        net.apply("Gemm", flat, net.constant(net.normal(3, width)), net.constant(net.normal(3)), **options)
    else:
        product = net.apply("MatMul", flat, net.constant(net.normal(width, 4)))
        net.apply("Add", product, net.constant(net.normal(4)))


STEPS = [
    *(unary, clip, leaky, convolution, convolution, convolution, transposed, batch_norm, batch_norm),
    *(with_constant, with_constant, of_two, of_two),
    *(choice, gate, transposition, joined, padded, shuffled, dense),
]


@st.composite
def networks(draw):
    net = Network(draw)
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=12)):
        step(net)
    made = [value for value in net.arrays if value not in net.inputs]
    if not made:
        net.apply("Relu", net.inputs[0])
        made = [value for value in net.arrays if value not in net.inputs]
    outputs = {made[-1]} | draw(st.sets(st.sampled_from(made), max_size=2))
    ordered = [value for value in made if value in outputs]
    return Graph(net.inputs, ordered, net.nodes), net.arrays[net.inputs[0]]


@given(networks(), st.booleans())
def test_random_networks(backend, network, shapes):
    graph, x = network
    if not shapes:
        graph.inputs[0].shape = ("N", *graph.inputs[0].shape[1:2], "H", None)
    same_results(graph, [x], 1e-3, shapes)
