"""Squeeze-and-excite: a 1x1 convolution takes the product of images with their gates as a factor of its weights."""

import io

import numpy as np
import pytest

import fastconv
from fastconv.graph import Graph, Interpreter, Node, Value
from fastconv.graph.program import Program
from passes_oracle import Net, agree
from test_program_layouts import by_algorithm, everything

pytestmark = pytest.mark.usefixtures("cython_alone")

PLANES, PIXELS = "direct_pixels", "direct_channels"


@pytest.fixture
def cython_alone(backend):
    if backend != "cython":
        pytest.skip("only programs in C have steps to fuse")


def nothing(graph, problems):
    return set()


def program_of(net, *outputs, last=True, optimize=True):
    graph = net.graph(*outputs)
    shapes = {value.name: array.shape for value, array in zip(graph.inputs, net.arrays, strict=True)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "fastconv.graph.program.compiled.made_with_channels_last", everything if last else nothing
        )
        return Program(graph, shapes, "cython", optimize=optimize)


def excited(net, shape, dtype=np.float32, filters=5, turned=False, size=(1, 1), **attributes):
    """The product of images with their gates, and the convolution that reads it."""
    factors = [net.input(*shape[:2], *size, dtype=dtype), net.input(*shape, dtype=dtype)]
    product = net("Mul", *factors if turned else factors[::-1])
    weight, bias = (net.normal(*sizes).astype(dtype) for sizes in ((filters, shape[1], 1, 1), (filters,)))
    return product, net("Conv", product, weight, bias, **attributes)


def by_textbook(net, *outputs):
    """In float64, by the interpreter, without passes."""
    wide = {}

    def of(value):
        if value is not None and value.dtype in (np.float32, np.float64, None):
            constant = value.constant.astype(np.float64) if value.is_constant else None
            shape = value.shape
            return wide.setdefault(id(value), Value(value.name, np.dtype(np.float64), shape, constant))
        return value

    graph = net.graph(*outputs)
    nodes = [
        Node(n.operation, [*map(of, n.inputs)], [*map(of, n.outputs)], n.attributes) for n in graph.nodes
    ]
    wider = Graph([*map(of, graph.inputs)], [*map(of, graph.outputs)], nodes)
    dtype = net.arrays[0].dtype
    return [y.astype(dtype) for y in Interpreter(wider)(*(array.astype(np.float64) for array in net.arrays))]


def check(net, *outputs, fused=True, **options):
    program = program_of(net, *outputs, **options)
    told = [step.operation for step in program.steps()]
    if fused is not None:
        assert any(word.startswith("Mul + Conv 1x1") for word in told) == fused, told
        assert ("Mul" in told) != fused
    expected, bits = by_textbook(net, *outputs), None
    plain = program_of(net, *outputs, optimize=False)
    assert not any("Mul + " in step.operation for step in plain.steps())
    tolerance = 1e-12 if net.arrays[0].dtype == np.float64 else 1e-5
    for one, wanted in zip(plain._run(net.arrays), expected, strict=True):
        agree(np.asarray(one), np.asarray(wanted), tolerance)
    for threads in (1, 2, 3):
        with fastconv.num_threads(threads):
            results = [np.asarray(result) for result in program._run(net.arrays)]
        for actual, wanted in zip(results, expected, strict=True):
            agree(actual, np.asarray(wanted), tolerance)
        bits = bits or [result.tobytes() for result in results]
        assert [result.tobytes() for result in results] == bits
    return program


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("algorithm", "last"), [(PIXELS, True), (PIXELS, False), (PLANES, False)])
def test_every_kernel(backend, monkeypatch, algorithm, last, dtype):
    by_algorithm(monkeypatch, algorithm)

    for shape, filters in (
        ((1, 1, 1, 2), 1),
        ((3, 13, 1, 2), 2),
        ((1, 7, 5, 3), 15),
        ((3, 31, 6, 7), 37),
        ((2, 37, 13, 11), 101),
        ((1, 1031, 15, 15), 131),  # weights that are no panel of L2
        ((2, 64, 40, 41), 24),  # several strips
    ):
        net = Net()
        _, y = excited(net, shape, dtype, filters)
        program = check(net, y, last=last)
        assert algorithm in [step.algorithm for step in program.steps()]


def test_one_pixel(backend):
    """Where the gate has the image's shape."""
    for filters in (1, 3):
        net = Net()
        check(net, excited(net, (3, 7, 1, 1), filters=filters)[1], fused=None)


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_residuals_and_activations(backend, monkeypatch, turned, last):
    by_algorithm(monkeypatch, PIXELS)
    net = Net()
    _, y = excited(net, (3, 24, 9, 7), filters=17, turned=turned)
    y = net("Relu", net("Add", y, net.input(3, 17, 9, 7)))
    check(net, y, last=last)


@pytest.mark.parametrize("last", [True, False])
def test_strides(backend, monkeypatch, last):
    by_algorithm(monkeypatch, PIXELS)
    net = Net()
    _, y = excited(net, (2, 24, 15, 17), filters=8, strides=(2, 2))
    check(net, y, last=last)


@pytest.mark.parametrize("algorithm", [PLANES, PIXELS])
@pytest.mark.parametrize("pads", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)])
def test_gates_that_are_no_numbers_do_not_reach_pixels_beyond_the_image(
    backend, monkeypatch, algorithm, pads
):
    by_algorithm(monkeypatch, algorithm)
    for special in (np.nan, np.inf):
        net = Net()
        _, y = excited(net, (2, 24, 9, 7), filters=8, pads=pads)
        net.arrays[0][1, 3] = special
        check(net, y, fused=False, last=algorithm == PIXELS)


def test_gates_without_a_result_that_is_finite(backend, monkeypatch):
    by_algorithm(monkeypatch, PIXELS)
    net = Net()
    _, y = excited(net, (2, 8, 5, 5), filters=3)
    net.arrays[1][0, 2, 1, 1], net.arrays[0][1, 3] = np.inf, np.nan
    check(net, y)


def test_what_is_read_elsewhere_is_made(backend):
    net = Net()
    product, y = excited(net, (2, 24, 6, 7))
    check(net, y, product, fused=False)
    net = Net()
    product, y = excited(net, (2, 24, 6, 7))
    check(net, y, net("Exp", product), fused=False)


@pytest.mark.parametrize("size", [(1, 7), (6, 1), (6, 7)])
def test_gates_of_other_shapes(backend, size):
    net = Net()
    check(net, excited(net, (2, 24, 6, 7), size=size)[1], fused=False)


def test_more_filters_than_pixels(backend):
    net = Net()
    check(net, excited(net, (2, 24, 3, 5), filters=16)[1], fused=False)


def test_readers_that_are_no_convolution_of_pixels(backend):
    net = Net()
    x, gate = net.input(2, 8, 9, 9), net.input(2, 8, 1, 1)

    def product():
        return net("Mul", x, net("Sigmoid", gate))

    outputs = [
        net("Conv", product(), net.normal(4, 8, 3, 3)),
        net("Conv", product(), net.normal(4, 4, 1, 1), group=2),
        net("Conv", product(), net("Exp", net.input(4, 8, 1, 1))),  # weights that are no constants
        net("Conv", net.input(2, 3, 9, 9), net.normal(8, 3, 1, 1)),
        net("ConvTranspose", product(), net.normal(8, 4, 1, 1)),
        net("Reshape", product(), np.array([2, -1])),
        net("Softmax", product(), axis=1),
        net("Einsum", product(), equation="nchw->nc"),
    ]
    outputs[3] = net("Add", outputs[3], product())
    program = program_of(net, *outputs)
    assert not any("Mul + Conv" in step.operation for step in program.steps())
    expected = by_textbook(net, *outputs)
    for actual, wanted in zip(program._run(net.arrays), expected, strict=True):
        agree(np.asarray(actual), np.asarray(wanted), 1e-5)


def test_within_a_chain(backend, monkeypatch):
    """A band of it has the gate of its image."""
    from test_program_chains import check as check_chains

    net = Net()
    _, y = excited(net, (3, 16, 23, 18), filters=32)
    y = net("Conv", y, net.normal(32, 1, 3, 3), group=32, pads=(1, 1, 1, 1))
    y = net("Conv", y, net.normal(8, 32, 1, 1))
    assert check_chains(net, net("Softmax", y, axis=1), room=30_000) == [3]


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_batches(backend, batch):
    net = Net()
    _, y = excited(net, (max(batch, 1), 24, 9, 7), filters=17)
    net.inputs[0].shape, net.inputs[1].shape = ("n", 24, 1, 1), ("n", 24, 9, 7)
    model = fastconv.onnx.load(saved(net, y))
    arrays = {value.name: array[:batch] for value, array in zip(model.inputs, net.arrays, strict=True)}
    shapes = {name: array.shape for name, array in arrays.items()}
    result = model.compile(input_shapes=shapes)(arrays)
    agree(result, model.compile(input_shapes=shapes, optimize=False)(arrays), 1e-5)
    for image in range(batch):
        one = {name: array[image : image + 1] for name, array in arrays.items()}
        np.testing.assert_array_equal(result[image : image + 1], model(one))


def saved(net, *outputs):
    file = io.BytesIO()
    for value in outputs:
        value.dtype = np.dtype(np.float32)
    fastconv.onnx.save(net.graph(*outputs), file)
    return file.getvalue()


def test_kept_programs(backend):
    import pickle

    net = Net()
    _, y = excited(net, (2, 24, 9, 7), filters=17)
    model = fastconv.onnx.load(saved(net, y))
    arrays = dict(zip((value.name for value in model.inputs), net.arrays, strict=True))
    program = model.compile()
    again = pickle.loads(pickle.dumps(program))
    assert "Mul + Conv 1x1" in program.explain()
    np.testing.assert_array_equal(again(arrays), program(arrays))
