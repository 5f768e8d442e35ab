"""Layouts within networks: what is made with its channels last gives what the interpreter gives, and is chosen."""

import numpy as np
import pytest
from hypothesis import given

import fastconv
from fastconv.graph import Interpreter, Node
from fastconv.graph.program import Program
from fastconv.problem.convolution import with_algorithm
from passes_oracle import Net, agree
from test_passes_random import networks

pytestmark = pytest.mark.usefixtures("cython_alone")


@pytest.fixture
def cython_alone(backend):
    if backend != "cython":
        pytest.skip("only programs in C have layouts")


def everything(graph, problems):
    """All that can be made with its channels last."""
    from fastconv.graph.program.layouts import costs_of, transposes_to

    able = costs_of(graph, problems)
    return {
        id(value)
        for node in graph.nodes
        if id(node) in able and transposes_to(node) != "NCHW"
        for value in node.outputs
        if value is not None
    }


def program_of(graph, arrays, forced=True, optimize=False):
    shapes = {value.name: array.shape for value, array in zip(graph.inputs, arrays, strict=True)}
    with pytest.MonkeyPatch.context() as patch:
        if forced:
            patch.setattr("fastconv.graph.program.compiled.made_with_channels_last", everything)
        return Program(graph, shapes, "cython", optimize=optimize)


def check(net, *outputs, tolerance=1e-5, optimize=False):
    graph = net.graph(*outputs)
    program = program_of(graph, net.arrays, optimize=optimize)
    expected = Interpreter(graph)(*net.arrays)
    for threads in (1, 2):
        with fastconv.num_threads(threads):
            for actual, wanted in zip(program._run(net.arrays), expected, strict=True):
                agree(np.asarray(actual), np.asarray(wanted), tolerance)
    return program


def words(program):
    return [step.words for step in program._runs.steps if not isinstance(step, Node) and step.words]


def by_algorithm(monkeypatch, name):
    """Let the convolutions of programs be done by it where it can."""
    from fastconv.backends.cython import BACKEND
    from fastconv.graph.program.problems import Problems

    def of(problems, *given):
        problem = original(problems, *given)
        if problem is None:
            return None
        other = with_algorithm(problem, name)
        try:
            BACKEND.algorithm(other)
        except ValueError:
            return problem
        return other

    original = Problems.of
    monkeypatch.setattr(Problems, "of", of)


def convolved(net, x, filters, channels, kernel=1, **attributes):
    """Its results are as large as `x`: functions as the cosine turn what large numbers err, relative to these, into as
    many errors of their own."""
    weight = net.normal(filters, channels, kernel, kernel) / np.float32(kernel * channels**0.5)
    return net("Conv", x, weight, net.normal(filters), **attributes)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("operation", "inputs", "attributes"),
    [
        ("Relu", 1, {}),
        ("MaxPool", 1, {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}),
        ("AveragePool", 1, {"kernel_shape": (2, 2)}),
        ("GlobalAveragePool", 1, {}),
        ("GlobalMaxPool", 1, {}),
        ("Add", 2, {}),
        ("Concat", 2, {"axis": 1}),
        ("Concat", 2, {"axis": -3}),
        ("Concat", 2, {"axis": 2}),
        ("Softmax", 1, {"axis": 1}),
        ("Identity", 1, {}),
        ("Transpose", 1, {"perm": (0, 2, 3, 1)}),
        ("Cos", 1, {}),
        ("fastconv.ChannelShuffle", 1, {"groups": 4}),
    ],
)
def test_between_convolutions(backend, operation, inputs, attributes, batch):
    """What follows reads what precedes; what cannot do it reads the file's layout."""
    net = Net()
    x = net.input(batch, 5, 9, 7)
    parts = [convolved(net, x, 24, 5, 3), convolved(net, x, 24, 5, 3)][:inputs]
    y = net(operation, *parts, **attributes)
    if operation == "Transpose":
        check(net, y)
        return
    channels = 48 if attributes.get("axis") in (1, -3) and operation == "Concat" else 24
    program = check(net, convolved(net, y, 17, channels), y, parts[0])
    assert words(program)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("groups", [1, 2, 24])
def test_convolutions(backend, groups, kernel):
    net = Net()
    x = net.input(2, 24, 8, 9)
    y = convolved(net, x, 24, 24 // groups, kernel, group=groups, pads=(kernel // 2,) * 4)
    z = convolved(net, y, 48, 24, kernel, strides=(2, 2), pads=(1, 1, 1, 1))
    up = net("ConvTranspose", z, net.normal(48, 24 // groups, 2, 2), strides=(2, 2), group=groups)
    check(net, net("Relu", net("Add", y, convolved(net, x, 24, 24))), up, z)
    check(net, net("Relu", net("Add", y, convolved(net, x, 24, 24))), up, z, optimize=True)


def test_constant_images(backend):
    """As what is convolved, pooled, added in the epilogue, and joined."""
    net = Net()
    x = net.input(1, 6, 5, 7)
    y = convolved(net, x, 20, 6)
    fused = net(
        "fastconv.Conv", y, net.normal(20, 20, 1, 1), None, net.normal(1, 20, 5, 7), activation="relu"
    )
    pooled = net("MaxPool", net.normal(1, 20, 5, 7), kernel_shape=(3, 3), pads=(1, 1, 1, 1))
    y = net(
        "Concat", fused, net.normal(1, 4, 5, 7), pooled, convolved(net, net.normal(1, 3, 5, 7), 8, 3), axis=1
    )
    check(net, convolved(net, y, 9, 52))


def test_operands_of_one_number_for_each_channel(backend):
    """Constants and gates lie alike in both layouts; constant images are as the file has them."""
    net = Net()
    x = net.input(2, 6, 5, 7)
    y = convolved(net, x, 20, 6)
    gate = net("Sigmoid", convolved(net, net("GlobalAveragePool", y), 20, 20))
    y = net("Mul", y, gate)
    y = net("Add", net("Mul", y, net.normal(20, 1, 1)), net.normal(2, 20, 5, 7))
    y = net("Add", y, net.normal(1, 1, 5, 1))
    check(net, convolved(net, net("PRelu", y, net.normal(20, 1, 1)), 9, 20))
    check(net, convolved(net, net("PRelu", y, net.normal(20, 1, 1)), 9, 20), optimize=True)


@given(networks())
def test_random_networks(backend, network):
    graph, x = network
    expected = Interpreter(graph)(x)
    for optimize in (False, True):
        program = program_of(graph, [x], optimize=optimize)
        for _ in range(2):
            for actual, wanted in zip(program._run([x]), expected, strict=True):
                agree(np.asarray(actual), np.asarray(wanted), 1e-3)


def chain(costs, monkeypatch):
    """Convolutions with these costs in the two layouts; the words of the copies between them, and the program."""
    net = Net()
    y = net.input(1, 16, 8, 8)
    for _ in costs:
        y = net("Relu", convolved(net, y, 16, 16))
    graph = net.graph(y)

    def told(graph, problems):
        convolutions = [node for node in graph.nodes if "Conv" in node.operation]
        return {id(node): cost for node, cost in zip(convolutions, costs, strict=True)}

    monkeypatch.setattr("fastconv.graph.program.layouts.costs_of", told)
    program = program_of(graph, net.arrays, forced=False, optimize=True)
    agree(program._run(net.arrays)[0], Interpreter(graph)(*net.arrays)[0], 1e-5)
    return words(program), program.explain()


def test_the_cheaper_layout_is_taken(backend, monkeypatch):
    """A copy from one layout to the other costs 1024 here."""
    copies, told = chain([(1e5, 1.0)] * 3, monkeypatch)
    assert copies == ["to NHWC", "to NCHW"]
    assert "layout NCHW and NHWC" in told
    copies, told = chain([(1.0, 1.0)] * 3, monkeypatch)
    assert copies == []
    assert "layout NCHW\n" in told
    assert chain([(600.0, 1.0)] * 3, monkeypatch)[0] == []  # less than two copies
    assert chain([(800.0, 1.0)] * 3, monkeypatch)[0] == ["to NHWC", "to NCHW"]
    mixed = [(1e5, 1.0), (1.0, 1e5), (1e5, 1.0)]
    assert chain(mixed, monkeypatch)[0] == ["to NHWC", "to NCHW", "to NHWC", "to NCHW"]
    assert chain([(1e5, 1.0), (1.0, 900.0), (1e5, 1.0)], monkeypatch)[0] == ["to NHWC", "to NCHW"]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("groups", "channels", "filters"), [(1, 16, 24), (1, 3, 32), (8, 8, 8), (24, 24, 24), (4, 16, 32)]
)
def test_weights_of_planes_are_packed_alike(backend, groups, channels, filters, kernel, stride, transposed):
    """Every kernel that takes the problem in NHWC makes the same of both forms of the weights."""
    import fastconv.backends.cython as engine
    from fastconv.problem.convolution import ConvOptions

    sizes = (channels, filters // groups) if transposed else (filters, channels // groups)
    planes = np.random.default_rng(0).normal(size=(*sizes, kernel, kernel)).astype(np.float32)
    pixels = np.ascontiguousarray(planes.transpose(2, 3, 1, 0))
    extra = (0, 0) if transposed else None
    options = ConvOptions.read("conv", stride, 0, 1, groups, layout="NHWC", output_padding=extra)
    problem = options.problem((2, 9, 7, channels), pixels.shape, np.dtype(np.float32), "fast")
    conv = engine._choose(problem).conv
    kernels = [k for k in range(len(engine._KERNELS)) if conv.accepts(k)]
    assert kernels
    for chosen in kernels:
        both = [np.zeros(conv.weight_bytes(chosen), np.uint8) for _ in range(2)]
        conv.prepare(chosen, pixels, both[0], 1)
        conv.prepare(chosen, planes, both[1], 1, planar=True)
        np.testing.assert_array_equal(*both)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kernel", [1, 3])
def test_parts_that_convolutions_make_where_they_lie(backend, kernel, batch):
    """But not those that have a residual, another reader, or another maker; nor the one that stands there twice."""
    net = Net()
    x = net.input(batch, 24, 12, 11)
    pads = (kernel // 2,) * 4
    one, other = (net("Relu", convolved(net, x, f, 24, kernel, pads=pads)) for f in (40, 19))
    y = net("Concat", one, other, axis=1)
    program = check(net, net("Softmax", convolved(net, y, 9, 59), axis=1), optimize=True)
    copies = [step for step in program._runs.steps if step.algorithm == "copy" and not step.words]
    assert copies == []
    residual = net("Add", convolved(net, x, 24, 24, kernel, pads=pads), x)
    read, twice = (convolved(net, x, 24, 24, kernel, pads=pads) for _ in range(2))
    y = net("Concat", residual, read, twice, net("MaxPool", x, kernel_shape=(1, 1)), twice, axis=1)
    program = check(net, net("Softmax", convolved(net, y, 9, 120), axis=1), net("Relu", read), optimize=True)
    copies = [step for step in program._runs.steps if step.node.operation == "Concat"]
    assert len(copies) == 5


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("optimize", [False, True])
def test_transposes_that_are_no_steps(backend, optimize, batch):
    net = Net()
    x = net("Transpose", net.input(batch, 9, 7, 5), perm=(0, 3, 1, 2))
    y = net("Transpose", net("Relu", convolved(net, x, 24, 5, 3)), perm=(0, 2, 3, 1))
    program = check(net, net("Softmax", y), optimize=optimize)
    assert [step for step in program._runs.steps if step.algorithm == "copy"] == []
    net = Net()
    x = net("Transpose", net.input(batch, 9, 7, 5), perm=(0, 3, 1, 2))
    y = net("Transpose", convolved(net, x, 24, 5, 3), perm=(0, 2, 3, 1))
    check(net, x, y, convolved(net, x, 7, 5), optimize=optimize)
    net = Net()
    x = net.input(batch, 5, 9, 7)
    check(
        net, net("Transpose", x, perm=(0, 2, 3, 1)), net("Transpose", x, perm=(0, 3, 1, 2)), optimize=optimize
    )


@pytest.mark.parametrize("name", ["direct_channels", "winograd2", "winograd4"])
@pytest.mark.parametrize(("batch", "size"), [(1, (7, 9)), (2, (20, 23)), (2, (1, 1))])
def test_a_plane_within_pixels_is_copied(monkeypatch, name, batch, size):
    """A convolution to one channel is in NCHW; what it makes is no plane where it is one of many channels."""
    by_algorithm(monkeypatch, name)
    net = Net()
    x = net.input(batch, 16, *size)
    plane = convolved(net, x, 1, 16, 3, pads=(1, 1, 1, 1))
    joined = net("Concat", convolved(net, x, 24, 16), plane, axis=1)
    check(net, convolved(net, net("Relu", joined), 8, 25))
