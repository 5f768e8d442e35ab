"""PRelu with a slope for each channel as the epilogue of every convolution kernel."""

import pickle

import numpy as np
import pytest

import fastconv
from fastconv.graph import Interpreter
from fastconv.graph.program import Program
from passes_oracle import Net, agree
from test_program_layouts import by_algorithm, everything

KERNELS = (
    "depthwise", "depthwise_transposed", "transposed_phases", "grouped", "dot_products", "direct_pixels",
    "direct_channels", "im2col", "winograd2", "winograd3", "winograd4", "fft",
)  # fmt: skip
# The image, the weights and the attributes; channels do not fill vectors.
LAYERS = {
    "3x3": ((2, 5, 11, 13), (19, 5, 3, 3), {"pads": (1, 1, 1, 1)}),
    "3x3, full vectors": ((1, 16, 9, 30), (32, 16, 3, 3), {}),
    "1x1": ((3, 33, 6, 7), (35, 33, 1, 1), {}),
    "few filters": ((2, 3, 12, 40), (3, 3, 3, 3), {}),
    "groups": ((2, 6, 9, 8), (10, 3, 5, 5), {"pads": (2, 2, 2, 2), "strides": (2, 2), "group": 2}),
    "many groups": ((2, 21, 9, 8), (14, 3, 3, 3), {"group": 7}),
    "dilated": ((1, 5, 15, 17), (18, 5, 3, 3), {"dilations": (2, 2)}),
    "large": ((2, 2, 30, 33), (5, 2, 13, 13), {"pads": (6, 6, 6, 6)}),
    "large and strided": ((1, 2, 40, 41), (3, 2, 14, 14), {"strides": (2, 3)}),
    "whole images": ((9, 10, 4, 3), (21, 10, 4, 3), {}),
    "a whole image": ((1, 10, 4, 3), (21, 10, 4, 3), {}),
    "whole images in groups": ((3, 10, 2, 3), (14, 5, 2, 3), {"group": 2}),
    "depthwise": ((2, 21, 20, 37), (21, 1, 3, 3), {"pads": (1, 1, 1, 1), "group": 21}),
    "depthwise, small": ((2, 35, 5, 6), (35, 1, 3, 3), {"pads": (1, 1, 1, 1), "group": 35}),
    "depthwise, few": ((2, 3, 12, 20), (3, 1, 5, 5), {"group": 3}),
    "depthwise, strided": ((2, 19, 21, 22), (19, 1, 5, 5), {"strides": (2, 2), "group": 19}),
    "depthwise, dilated": ((1, 19, 14, 23), (19, 1, 4, 3), {"dilations": (1, 2), "group": 19}),
    "depthwise, multiplied": ((2, 5, 11, 19), (15, 1, 3, 3), {"group": 5}),
}
TRANSPOSED = {
    "2x2": ((2, 5, 6, 9), (5, 9, 2, 2), {"strides": (2, 2)}),
    "3x3": ((1, 5, 6, 9), (5, 19, 3, 3), {"strides": (2, 2), "pads": (1, 1, 1, 1)}),
    "wide": ((1, 4, 5, 6), (4, 3, 16, 16), {"strides": (8, 8)}),
    "groups": ((1, 6, 7, 5), (6, 5, 3, 3), {"group": 2}),
    "depthwise": ((2, 19, 7, 20), (19, 1, 4, 4), {"strides": (2, 2), "group": 19}),
    "depthwise, few": ((2, 3, 7, 9), (3, 1, 3, 3), {"strides": (2, 2), "group": 3}),
    "depthwise, far": ((2, 21, 7, 9), (21, 1, 5, 4), {"strides": (3, 3), "group": 21}),
}
ALL = [("Conv", *layer) for layer in LAYERS.values()]
ALL += [("ConvTranspose", *layer) for layer in TRANSPOSED.values()]


def layer(dtype, operation, image, weight, attributes, *, with_bias=True, with_residual=False):
    """A layer and its PRelu, and what they give in float64."""
    net = Net()
    filters = weight[0] if operation == "Conv" else weight[1] * attributes.get("group", 1)
    kernel = net.normal(*weight) / np.float32(np.prod(weight[1:]) ** 0.5)
    constants = [kernel, net.normal(filters)] if with_bias else [kernel]
    slopes = net.normal(filters, 1, 1)

    def made(own, dtype):
        y = own(
            operation, own.input(*image, dtype=dtype), *(c.astype(dtype) for c in constants), **attributes
        )
        if with_residual:
            shape = Interpreter(own.graph(y))(own.arrays[0])[0].shape
            y = own("Add", y, own.input(*shape, dtype=dtype))
        return own("PRelu", y, slopes.astype(dtype))

    exact, own = Net(), Net()
    y = made(exact, np.float64)
    with fastconv.use_backend("numpy"):
        (expected,) = Interpreter(exact.graph(y))(*exact.arrays)
    y = made(own, dtype)
    own.arrays = [array.astype(dtype) for array in exact.arrays]
    return own, y, expected.astype(dtype)


def program(net, y, last=False, backend="cython"):
    graph = net.graph(y)
    shapes = {value.name: array.shape for value, array in zip(graph.inputs, net.arrays, strict=True)}
    with pytest.MonkeyPatch.context() as patch:
        chosen = everything if last else lambda graph, problems: set()
        patch.setattr("fastconv.graph.program.compiled.made_with_channels_last", chosen)
        return Program(graph, shapes, backend)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("more", [{}, {"with_bias": False}, {"with_residual": True}], ids=str)
def test_every_kernel(backend, dtype, monkeypatch, name, last, more):
    if backend != "cython":
        pytest.skip("other backends have one kernel")
    by_algorithm(monkeypatch, name)
    met = 0
    for operation, *sizes in ALL:
        if operation == "ConvTranspose" and "with_residual" in more:
            continue
        net, y, expected = layer(np.dtype(dtype), operation, *sizes, **more)
        compiled = program(net, y, last)
        (step,) = [step for step in compiled.steps() if "prelu" in step.operation]
        if step.algorithm != name:
            continue
        met += 1
        for threads in (1, 2):
            with fastconv.num_threads(threads):
                agree(compiled._run(net.arrays)[0], expected, 1e-4 if dtype == "float32" else 1e-11)
    only_nchw, only_nhwc = ("dot_products", "direct_pixels"), ("grouped",)
    transposed = name in ("depthwise_transposed", "transposed_phases") and "with_residual" in more
    assert met or transposed or name in (only_nchw if last else only_nhwc)


@pytest.mark.parametrize("operation", ["Conv", "ConvTranspose"])
def test_chosen_kernels(backend, operation):
    for kind, *sizes in ALL:
        if kind == operation:
            net, y, expected = layer(np.dtype(np.float32), kind, *sizes)
            made = program(net, y, backend=backend)
            agree(made._run(net.arrays)[0], expected, 1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, -0.0])
def test_special_values(backend, dtype, special):
    """As PRelu itself: NaN stays NaN, the sign of a zero stays, and a slope may be no number."""
    net = Net()
    x = net.input(1, 5, 3, 7, dtype=dtype)
    net.arrays[0][0, :, 1] = special
    slopes = np.array([0.5, np.inf, np.nan, -2, 0], dtype).reshape(5, 1, 1)
    single = net("Conv", x, np.ones((5, 1, 1, 1), dtype), group=5)
    y = net("PRelu", single, slopes)
    expected = Interpreter(net.graph(y))(*net.arrays)
    made = program(net, y, backend=backend)
    assert [step.operation for step in made.steps()] == ["Conv 1x1 group 5 + prelu"]
    with np.errstate(all="ignore"):
        agree(made._run(net.arrays), expected, 0)


@pytest.mark.parametrize("shape", [(19,), (1, 19)])
@pytest.mark.parametrize("rows", [(), (1,), (7,), (2, 3)])
def test_dense_layers(backend, rows, shape):
    net = Net()
    x = net.input(*rows, 12)
    if len(shape) > len(rows) + 1:
        shape = shape[-1:]
    product = net("Add", net("MatMul", x, net.normal(12, 19)), net.normal(19))
    y = net("PRelu", product, net.normal(*shape))
    made = program(net, y, backend=backend)
    assert [step.operation for step in made.steps()] == ["Dense + prelu"]
    agree(made._run(net.arrays), Interpreter(net.graph(y))(*net.arrays), 1e-5)


def test_channels_of_larger_images(backend):
    """What a Concat joins is made where it lies."""
    if backend != "cython":
        pytest.skip("only programs in C have layouts")
    net = Net()
    x = net.input(2, 24, 12, 11)
    parts = [
        net(
            "PRelu",
            net("Conv", x, net.normal(f, 24, k, k), net.normal(f), pads=(k // 2,) * 4),
            net.normal(f, 1, 1),
        )
        for f, k in ((40, 1), (19, 3))
    ]
    y = net("Conv", net("Concat", *parts, axis=1), net.normal(9, 59, 1, 1))
    compiled = program(net, y, last=True)
    assert [
        step for step in compiled.steps() if step.algorithm == "copy" and "to" not in step.operation
    ] == []
    agree(compiled._run(net.arrays), Interpreter(net.graph(y))(*net.arrays), 1e-4)


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("operation", ["Conv", "ConvTranspose", "Dense"])
def test_saved_and_pickled(tmp_path, backend, operation):
    net = Net()
    if operation == "Dense":
        y = net("MatMul", net.input(3, 4), net.normal(4, 6))
    else:
        y = net(operation, net.input(2, 4, 5, 6), net.normal(4, 4, 2, 2), net.normal(4))
    y = net("PRelu", y, net.normal(6) if operation == "Dense" else net.normal(4, 1, 1))
    (expected,) = Interpreter(net.graph(y))(*net.arrays)
    made = program(net, y, backend=backend)
    agree(pickle.loads(pickle.dumps(made))._run(net.arrays)[0], expected, 1e-5)
    fastconv.onnx.save(made.graph, tmp_path / "model.onnx")
    model = fastconv.onnx.load(tmp_path / "model.onnx")
    assert "PRelu" in [node.operation for node in model.graph.nodes]
    agree(Interpreter(model.graph)(*net.arrays)[0], expected, 1e-5)


@pytest.mark.one_instruction_set
def test_saved_slopes_of_float64_are_not_rounded(tmp_path, backend):
    """As an attribute of a LeakyRelu would be."""
    net = Net()
    y = net("Conv", net.input(1, 2, 5, 6, dtype=np.float64), net.normal(3, 2, 1, 1).astype(np.float64))
    y = net("PRelu", y, np.array([0.1]))
    (expected,) = Interpreter(net.graph(y))(*net.arrays)
    fastconv.onnx.save(program(net, y, backend=backend).graph, tmp_path / "model.onnx")
    model = fastconv.onnx.load(tmp_path / "model.onnx")
    agree(Interpreter(model.graph)(*net.arrays)[0], expected, 1e-14)
