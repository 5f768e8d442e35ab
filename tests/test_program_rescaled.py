"""Batch normalisation and ReLU before a 1x1 convolution: it rescales its images' channels as it packs them."""

import pickle

import numpy as np
import pytest

import fastconv
from fastconv.graph.program.lower_windows import add_convolution
from fastconv.graph.program.lowering import Builder
from passes_oracle import Net, agree
from test_program_chains import check as check_chains
from test_program_gates import PIXELS, PLANES, by_textbook, cython_alone, program_of, saved
from test_program_layouts import by_algorithm

__all__ = ["cython_alone"]
pytestmark = pytest.mark.usefixtures("cython_alone")

FUSED = "Mul + Add + Relu + Conv 1x1"


def rescaled(net, x, channels, turned=False, rank=3):
    """ReLU of channels with a factor and an addend each."""
    dtype = net.arrays[0].dtype
    scale, shift = (net.normal(*(1, channels, 1, 1)[4 - rank :]).astype(dtype) for _ in range(2))
    product = net("Mul", scale, x) if turned else net("Mul", x, scale)
    return net("Relu", net("Add", shift, product) if turned else net("Add", product, shift))


def convolved(net, x, channels, filters=5, kernel=(1, 1), **attributes):
    shape = filters, channels // attributes.get("group", 1), *kernel
    weight, bias = (net.normal(*sizes).astype(net.arrays[0].dtype) for sizes in (shape, (filters,)))
    return net("Conv", x, weight, bias, **attributes)


def activated(net, shape, dtype=np.float32, filters=5, **attributes):
    seen = rescaled(net, net.input(*shape, dtype=dtype), shape[1])
    return seen, convolved(net, seen, shape[1], filters, **attributes)


def check(net, *outputs, fused=True, **options):
    """Bits are those of a step of its own, whatever the threads."""
    program = program_of(net, *outputs, **options)
    told = [step.operation for step in program.steps()]
    assert any(word.startswith(FUSED) for word in told) == fused, told
    assert ("Mul + Add + Relu" in told) != fused
    plain = program_of(net, *outputs, optimize=False)
    assert not any(" + Conv" in step.operation for step in plain.steps())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Builder, "put_off", lambda *given: False)
        apart = [np.asarray(result) for result in program_of(net, *outputs, **options)._run(net.arrays)]
    tolerance = 1e-12 if net.arrays[0].dtype == np.float64 else 1e-5
    for one, other, wanted in zip(plain._run(net.arrays), apart, by_textbook(net, *outputs), strict=True):
        agree(np.asarray(one), np.asarray(wanted), tolerance)
        agree(other, np.asarray(wanted), tolerance)
    for threads in (1, 2, 3):
        with fastconv.num_threads(threads):
            for result, wanted in zip(program._run(net.arrays), apart, strict=True):
                np.testing.assert_array_equal(np.asarray(result), wanted)
    return program


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("algorithm", "last"), [(PIXELS, True), (PIXELS, False), (PLANES, False)])
def test_every_kernel(backend, monkeypatch, algorithm, last, dtype):
    by_algorithm(monkeypatch, algorithm)
    for shape, filters in (
        ((1, 1, 1, 2), 1),
        ((2, 5, 1, 1), 3),
        ((3, 13, 1, 2), 2),
        ((1, 7, 5, 3), 15),
        ((3, 31, 6, 7), 37),
        ((2, 37, 13, 11), 101),
        ((1, 1031, 15, 15), 131),  # threads share the filters
        ((2, 64, 40, 41), 24),  # several strips
        ((2, 64, 32, 32), 24),  # channels a page apart
        ((1, 1024, 3, 5), 24),  # pixels a page apart
    ):
        net = Net()
        _, y = activated(net, shape, dtype, filters)
        program = check(net, y, last=last)
        assert algorithm in [step.algorithm for step in program.steps()]


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("rank", [3, 4])
@pytest.mark.parametrize("turned", [True, False])
def test_residuals_and_activations(backend, monkeypatch, turned, rank, last):
    by_algorithm(monkeypatch, PIXELS)
    net = Net()
    y = convolved(net, rescaled(net, net.input(3, 24, 9, 7), 24, turned, rank), 24, 17)
    check(net, net("Relu", net("Add", y, net.input(3, 17, 9, 7))), last=last)


@pytest.mark.parametrize("last", [True, False])
def test_what_is_not_finite(backend, monkeypatch, last):
    by_algorithm(monkeypatch, PIXELS)
    net = Net()
    _, y = activated(net, (2, 8, 5, 5), filters=3)
    net.arrays[0][0, 2, 1, 1], net.arrays[0][1, 3, 2, 2], net.arrays[0][1, 1, 0, 0] = np.inf, np.nan, -np.inf
    check(net, y, last=last)


def test_what_is_read_elsewhere_is_made(backend):
    net = Net()
    seen, y = activated(net, (2, 24, 6, 7))
    check(net, y, seen, fused=False)
    net = Net()
    seen, y = activated(net, (2, 24, 6, 7))
    check(net, y, net("Exp", seen), fused=False)


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": (2, 2)},
        {"pads": (1, 0, 0, 1)},
        {"strides": (2, 1), "pads": (3, 0, 4, 0)},  # as many rows as before
        {"group": 2, "filters": 6},
        {"kernel": (1, 3), "pads": (0, 1, 0, 1)},
    ],
)
def test_other_convolutions(backend, monkeypatch, attributes):
    by_algorithm(monkeypatch, PIXELS)
    net = Net()
    _, y = activated(net, (2, 24, 7, 7), **attributes)
    check(net, y, fused=False)


def test_other_kernels(backend, monkeypatch):
    by_algorithm(monkeypatch, "im2col")
    net = Net()
    _, y = activated(net, (2, 24, 7, 7))
    check(net, y, fused=False)


def test_factors_of_other_shapes(backend):
    for shape in ((24, 7, 1), (1, 1, 7), (2, 24, 1, 1)):
        net = Net()
        product = net("Mul", net.input(2, 24, 7, 7), net.normal(*shape))
        y = convolved(net, net("Relu", net("Add", product, net.normal(24, 1, 1))), 24)
        check(net, y, fused=False)
    net = Net()
    x = net.input(2, 24, 7, 7)
    y = convolved(net, net("Relu", net("Add", net("Mul", x, net.normal(24, 1, 1)), net("Exp", x))), 24)
    assert not any(FUSED in step.operation for step in program_of(net, y).steps())


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("last", [True, False])
def test_parts_of_concatenations(backend, monkeypatch, batch, last):
    """As in DenseNet."""
    by_algorithm(monkeypatch, PIXELS)
    net = Net()
    images = [net.input(batch, 11, 9, 7)]
    for channels in (11, 27, 43):
        wide = net("Concat", *images, axis=1) if len(images) > 1 else images[0]
        images.append(convolved(net, rescaled(net, wide, channels), channels, 16))
    program = check(net, net("Concat", *images, axis=1), last=last)
    assert sum(step.operation.startswith(FUSED) for step in program.steps()) == 3


def test_within_a_chain(backend):
    net = Net()
    _, y = activated(net, (3, 16, 23, 18), filters=32)
    y = convolved(net, y, 32, 32, (3, 3), group=32, pads=(1, 1, 1, 1))
    y = convolved(net, rescaled(net, y, 32), 32, 8)
    assert check_chains(net, net("Softmax", y, axis=1), room=30_000) == [3]


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_batches(backend, batch):
    net = Net()
    _, y = activated(net, (max(batch, 1), 24, 9, 7), filters=17)
    net.inputs[0].shape = ("n", 24, 9, 7)
    model = fastconv.onnx.load(saved(net, y))
    x = net.arrays[0][:batch]
    result = model(x)
    agree(result, model.compile(input_shapes={net.inputs[0].name: x.shape}, optimize=False)(x), 1e-5)
    for image in range(batch):
        np.testing.assert_array_equal(result[image : image + 1], model(x[image : image + 1]))


def test_kept_programs(backend):
    net = Net()
    _, y = activated(net, (2, 24, 9, 7), filters=17)
    model = fastconv.onnx.load(saved(net, y))
    program = model.compile()
    assert FUSED in program.explain()
    again = pickle.loads(pickle.dumps(program))
    np.testing.assert_array_equal(again(net.arrays[0]), program(net.arrays[0]))


def test_rows_of_every_channel(backend):
    """The network refuses others, whatever the lowering gives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "fastconv.graph.program.lower_windows.add_convolution",
            lambda *given, _add=add_convolution, **more: _add(
                *given, **{**more, "rescale": tuple(row[1:] for row in more["rescale"])}
            ),
        )
        net = Net()
        _, y = activated(net, (2, 24, 9, 7))
        with pytest.raises(ValueError, match="not one scale and one shift for each channel"):
            program_of(net, y)
