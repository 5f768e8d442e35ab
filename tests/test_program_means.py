"""Global averages: a depthwise convolution adds up rows while it finishes them, and the mean reads these sums alone."""

import numpy as np
import pytest

import fastconv
from fastconv.graph.program.chains import Chains
from passes_oracle import Net, agree
from test_program_chains import programs
from test_program_gates import by_textbook, cython_alone, program_of, saved  # noqa: F401
from test_program_layouts import by_algorithm, convolved

pytestmark = pytest.mark.usefixtures("cython_alone")

WORDS = " + sums of rows"


@pytest.fixture(autouse=True)
def depthwise(monkeypatch):
    by_algorithm(monkeypatch, "depthwise")


def squeezed(net, x, channels, kernel=3, stride=1, function="Sigmoid", bias=True, **attributes):
    """Images that a depthwise convolution makes, and their means."""
    weight, dtype = net.normal(channels, 1, kernel, kernel) / kernel, net.arrays[0].dtype
    more = [net.normal(channels).astype(dtype)] if bias else []
    y = net(
        "Conv", x, weight.astype(dtype), *more,
        group=channels, strides=(stride, stride), pads=(kernel // 2,) * 4, **attributes,
    )  # fmt: skip
    if function:
        y = net("Mul", y, net("Sigmoid", y)) if function == "Silu" else net(function, y)
    return y, net("GlobalAveragePool", y)


def summed(program):
    return [step.operation.endswith(WORDS) for step in program.steps() if step.algorithm == "depthwise"]


def check(net, *outputs, fused=True, **options):
    program, plain = program_of(net, *outputs, **options), program_of(net, *outputs, optimize=False)
    assert any(summed(program)) == fused, program.explain()
    assert not any(summed(plain))
    tolerance = 1e-12 if net.arrays[0].dtype == np.float64 else 1e-5
    bits = None
    for threads in (1, 2, 3, 4):
        with fastconv.num_threads(threads):
            results = [np.asarray(result) for result in program._run(net.arrays)]
        bits = bits or [result.tobytes() for result in results]
        assert [result.tobytes() for result in results] == bits
    for known in (by_textbook(net, *outputs), plain._run(net.arrays)):
        for actual, wanted in zip(results, known, strict=True):
            agree(actual, np.asarray(wanted), tolerance)
    return results


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)])
def test_every_kernel(backend, kernel, stride, batch, dtype):
    """Prime numbers of channels, of which the last vector has some of the one before; tiles that are not whole."""
    for channels, height, width in ((16, 16, 16), (37, 1, 19), (31, 9, 23), (67, 14, 17)):
        net = Net()
        y, mean = squeezed(
            net, net.input(batch, channels, height, width, dtype=dtype), channels, kernel, stride
        )
        check(net, net("Mul", y, mean), fused=(width - 1) // stride >= 7)


@pytest.mark.parametrize("width", [63, 64, 65, 129, 300])
def test_pieces_of_rows(backend, width):
    net = Net()
    y, mean = squeezed(net, net.input(2, 19, 6, width), 19)
    check(net, net("Mul", y, mean))


@pytest.mark.parametrize("function", ["Silu", "HardSwish", "Sigmoid", "Tanh"])
def test_activations_and_residuals(backend, function):
    net = Net()
    x = net.input(2, 24, 11, 13)
    y, mean = squeezed(net, x, 24, function=function, bias=False)
    check(net, net("Mul", y, mean))
    net = Net()
    x = net.input(2, 24, 11, 13)
    y = net("Conv", x, net.normal(24, 1, 3, 3), group=24, pads=(1, 1, 1, 1))
    y = net("HardSwish", net("Add", y, x))
    check(net, net("Mul", y, net("GlobalAveragePool", y)))


@pytest.mark.parametrize("function", [None, "Relu"])
def test_results_that_are_stored_without_a_call(backend, function):
    net = Net()
    y, mean = squeezed(net, net.input(2, 24, 11, 13), 24, function=function)
    check(net, net("Mul", y, mean), fused=False)


def test_what_is_not_worth_it_or_not_there(backend):
    for shape in ((2, 24, 1, 1), (2, 24, 9, 7), (2, 3, 9, 11)):  # one pixel, short rows, few channels
        net = Net()
        y, mean = squeezed(net, net.input(*shape), shape[1])
        check(net, net("Mul", y, mean), fused=False)
    net = Net()  # planes
    y, mean = squeezed(net, net.input(2, 24, 11, 13), 24)
    check(net, net("Mul", y, mean), fused=False, last=False)
    net = Net()  # another kernel
    y = net("Sigmoid", convolved(net, net.input(2, 24, 11, 13), 24, 24, 3))
    check(net, net("Mul", y, net("GlobalAveragePool", y)), fused=False)
    net = Net()  # a maximum
    y = net("Sigmoid", net("Conv", net.input(2, 24, 11, 13), net.normal(24, 1, 3, 3), group=24))
    check(net, net("Mul", y, net("GlobalMaxPool", y)), fused=False)


def test_means_that_are_results_or_read_again(backend):
    net = Net()
    y, mean = squeezed(net, net.input(3, 24, 11, 13), 24)
    check(net, mean, net("Mul", y, mean))
    net = Net()
    y, mean = squeezed(net, net.input(3, 24, 11, 13), 24)
    second = net("GlobalAveragePool", y)
    check(net, net("Mul", y, net("Add", net("Exp", mean), second)), net("Exp", mean))
    net = Net()
    y, mean = squeezed(net, net.input(3, 24, 11, 13), 24)
    check(net, mean)  # nobody else reads the image


def test_images_that_are_results(backend):
    """They are made with channels last, and copied."""
    net = Net()
    y, mean = squeezed(net, net.input(3, 24, 11, 13), 24)
    check(net, y, net("Exp", mean), fused=False)


def test_special_numbers(backend):
    for special in (np.nan, np.inf, -np.inf, 3e38):
        net = Net()
        _, mean = squeezed(net, net.input(2, 24, 11, 13), 24, function="HardSwish")
        net.arrays[0][1, 3, 4, 5] = special
        program, plain = (program_of(net, mean, optimize=optimize) for optimize in (True, False))
        assert summed(program) == [True]
        agree(*(np.asarray(one._run(net.arrays)[0]) for one in (program, plain)), 1e-5)


def test_memory_is_not_shared_with_what_is_between(backend):
    """The sums are there from the convolution to the mean, whatever is done between."""
    net = Net()
    x = net.input(2, 24, 40, 41)
    y, _ = squeezed(net, x, 24)
    net.nodes.pop()
    z = y
    for _ in range(3):
        z = net("Softmax", net("Sigmoid", convolved(net, z, 24, 24, 3, pads=(1, 1, 1, 1))), axis=1)
    check(net, net("Add", z, net("GlobalAveragePool", y)))


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("room", [None, 30_000])
def test_at_the_end_of_a_chain(backend, room, batch):
    """Whatever the bands, bits are those of images alone."""
    net = Net()
    x = net.input(batch, 8, 23, 70)
    y = net("HardSwish", convolved(net, x, 32, 8))
    y, mean = squeezed(net, y, 32, 5)
    z = convolved(net, net("Mul", y, mean), 8, 32)
    both = programs(net, net("Softmax", z, axis=1), mean, room=room)
    for program in both:
        assert summed(program) == [True]
    run = both[0]._runs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastconv.graph.program.chains._LEAST_BETWEEN", 0)
        patch.setattr("fastconv.graph.program.chains._LEAST_ROWS", 1)
        assert [chain.count for _, chain in Chains(run._network, run._places, run.steps).found()] == [2]
    for threads in (1, 2, 3):
        with fastconv.num_threads(threads):
            for actual, wanted in zip(*(program._run(net.arrays) for program in both), strict=True):
                np.testing.assert_array_equal(actual, wanted)


def test_no_chain_goes_on_behind_sums(backend):
    """Rows between two bands would be added up twice."""
    net = Net()
    y, mean = squeezed(net, net("Exp", net.input(1, 32, 40, 40)), 32)
    z = net("Softmax", convolved(net, y, 8, 32, 3), axis=1)
    chained, alone = programs(net, z, mean, room=30_000)
    assert summed(chained) == [True]
    for threads in (1, 2, 3):
        with fastconv.num_threads(threads):
            for actual, wanted in zip(chained._run(net.arrays), alone._run(net.arrays), strict=True):
                np.testing.assert_array_equal(actual, wanted)


def test_batches(backend):
    """An image's mean does not depend on those beside it."""
    net = Net()
    y, mean = squeezed(net, net.input(5, 24, 19, 17), 24)
    net.inputs[0].shape = ("n", 24, 19, 17)
    model = fastconv.onnx.load(saved(net, net("Mul", y, mean)))
    x = net.arrays[0]
    result = model(x)
    for image in range(5):
        np.testing.assert_array_equal(result[image : image + 1], model(x[image : image + 1]))
    assert model(x[:0]).shape == (0, 24, 19, 17)


def test_what_a_step_says(backend):
    net = Net()
    y, mean = squeezed(net, net.input(2, 24, 19, 130), 24)
    program = program_of(net, net("Mul", y, mean))
    conv, pool = (
        next(s for s in program.steps() if s.operation.startswith(word)) for word in ("Conv", "Global")
    )
    assert conv.operation == f"Conv 3x3 group 24 + sigmoid{WORDS}"
    sums = 4 * 2 * 24 * 19 * 3
    assert conv.bytes == 2 * 4 * 2 * 24 * 19 * 130 + conv.weight_bytes + sums
    assert pool.bytes == sums + 4 * 2 * 24
    assert len(program.profile(*net.arrays, rounds=1).steps) == len(program.steps())
