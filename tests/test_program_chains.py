"""Steps that are done together, band by band: bit by bit what they give one after the other."""

import numpy as np
import pytest

import fastconv
from fastconv.graph.program import Program
from passes_oracle import Net
from test_program_layouts import convolved, everything

pytestmark = pytest.mark.usefixtures("cython_alone")


@pytest.fixture
def cython_alone(backend):
    if backend != "cython":
        pytest.skip("only programs in C have chains")


def programs(net, *outputs, optimize=True, room=None):
    """With all chains that can be, in bands that need no more room than that, and without any."""
    graph = net.graph(*outputs)
    shapes = {value.name: array.shape for value, array in zip(graph.inputs, net.arrays, strict=True)}
    made = []
    for least in (0, np.inf):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fastconv.graph.program.compiled.made_with_channels_last", everything)
            patch.setattr("fastconv.graph.program.chains._LEAST_BETWEEN", least)
            patch.setattr("fastconv.graph.program.chains._LEAST_ROWS", 1)
            if room is not None:
                patch.setattr("fastconv.graph.program.chains._ROOM_BYTES", room)
            made.append(Program(graph, shapes, "cython", optimize=optimize))
    return made


def chains_of(program):
    from fastconv.graph.program.chains import Chains

    run = program._runs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastconv.graph.program.chains._LEAST_BETWEEN", 0)
        patch.setattr("fastconv.graph.program.chains._LEAST_ROWS", 1)
        return [chain for _, chain in Chains(run._network, run._places, run.steps).found()]


def check(net, *outputs, **options):
    """The chains' lengths."""
    chained, alone = programs(net, *outputs, **options)
    for threads in (1, 2, 3):
        with fastconv.num_threads(threads):
            for actual, wanted in zip(chained._run(net.arrays), alone._run(net.arrays), strict=True):
                np.testing.assert_array_equal(actual, wanted)
    assert chained.memory().arena <= alone.memory().arena
    return [chain.count for chain in chains_of(chained)]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2), (7, 3)])
@pytest.mark.parametrize("room", [None, 30_000])
def test_inverted_bottlenecks(backend, room, kernel, stride, batch):
    net = Net()
    x = net.input(batch, 8, 23, 17)
    y = net("Clip", convolved(net, x, 32, 8), np.float32(0), np.float32(6))
    pads = (kernel // 2,) * 4
    y = net("HardSwish", convolved(net, y, 32, 1, kernel, group=32, strides=(stride, stride), pads=pads))
    y = convolved(net, y, 8, 32)
    if stride == 1:
        y = net("Add", y, x)
    assert check(net, net("Softmax", y, axis=1), room=room) == [3]


@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 1, 1, 1), (0, 2, 2, 0)])
@pytest.mark.parametrize("pool", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("counted", [0, 1])
def test_pools_and_slopes(backend, pool, pads, counted):
    net = Net()
    y = net("PRelu", convolved(net, net.input(2, 3, 29, 30), 24, 3, 3), net.normal(24, 1, 1))
    more = {"count_include_pad": counted} if pool == "AveragePool" else {}
    y = net(pool, y, kernel_shape=(3, 3), strides=(2, 2), pads=pads, **more)
    y = convolved(net, y, 16, 24, 3, dilations=(2, 1), pads=(2, 1, 2, 1))
    # Whether the convolutions are among them is a matter of their algorithms.
    assert check(net, net("Softmax", y, axis=1), room=40_000)[0] >= 2


def test_operands_of_other_shapes(backend):
    """A number for each channel, for all, for each pixel; an image."""
    net = Net()
    x, gate, mask = net.input(1, 16, 20, 18), net.input(1, 16, 1, 1), net.input(1, 1, 20, 18)
    y = net("Add", net("Mul", net("Sigmoid", x), gate), np.float32(0.5))
    y = net("Mul", convolved(net, y, 16, 16, 3, pads=(1, 1, 1, 1)), mask)
    y = net("Sub", net("Exp", y), x)
    check(net, net("Softmax", convolved(net, y, 8, 16), axis=1))


def test_what_has_other_readers_is_made_as_a_whole(backend):
    net = Net()
    y = convolved(net, net.input(1, 8, 16, 16), 32, 8)
    z = convolved(net, net("Relu", y), 8, 32, 3)
    chained, alone = programs(net, z, y)
    for actual, wanted in zip(chained._run(net.arrays), alone._run(net.arrays), strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_images_lower_than_windows(backend):
    net = Net()
    y = convolved(net, net.input(1, 8, 2, 9), 32, 8)
    y = convolved(net, y, 32, 1, 5, group=32, pads=(2, 2, 2, 2))
    check(net, net("Softmax", convolved(net, y, 8, 32, 3, pads=(1, 1, 1, 1)), axis=1))


def test_windows_without_a_row_are_no_chain(backend):
    net = Net()
    y = convolved(net, net.input(1, 8, 12, 9), 32, 8)
    y = net("Softmax", convolved(net, y, 16, 32, 3, pads=(3, 1, 3, 1)), axis=1)
    assert chains_of(programs(net, y)[0]) == []


def test_each_step_is_timed(backend):
    net = Net()
    y = convolved(net, net("Relu", convolved(net, net.input(1, 8, 40, 40), 32, 8)), 8, 32, 3)
    chained, _ = programs(net, net("Softmax", y, axis=1))
    profile = chained.profile(net.arrays[0], rounds=2)
    assert len(profile.steps) == len(chained.steps())
    assert all(time.seconds > 0 for time in profile.steps)


def test_the_choice(backend):
    """Large images with few weights, and no small ones."""

    def counts(size, channels):
        net = Net()
        y = convolved(net, net.input(1, 16, size, size), channels, 16)
        y = convolved(net, y, channels, 1, 3, group=channels, pads=(1, 1, 1, 1))
        y = net("Softmax", convolved(net, y, 16, channels), axis=1)
        graph = net.graph(y)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fastconv.graph.program.compiled.made_with_channels_last", everything)
            run = Program(graph, {"x0": net.arrays[0].shape}, "cython")._runs
        from fastconv.graph.program.chains import Chains

        return [chain.count for _, chain in Chains(run._network, run._places, run.steps).found()]

    assert counts(72, 96) == [3]
    assert counts(7, 96) == []
    assert counts(14, 4096) == []


def test_chains_are_cut_where_least_is_between(backend, monkeypatch):
    """The first two steps of three could be one, but the last two have the larger image between them."""
    net = Net()
    y = convolved(net, convolved(net, net.input(1, 16, 24, 24), 16, 16), 64, 16)
    y = convolved(net, y, 64, 1, 3, group=64, pads=(1, 1, 1, 1))
    program, _ = programs(net, net("Softmax", y, axis=1))
    assert [(chain.first, chain.count) for chain in chains_of(program)][-1][1] == 3
    monkeypatch.setattr("fastconv.backends.cython._engine.MOST_CHAINED", 2)
    (chain,) = chains_of(program)
    operations = [step.operation for step in program.steps()]
    assert operations[chain.first].startswith("Conv 1x1")
    assert operations[chain.first + 1] == "Conv 3x3 group 64"
    assert chain.count == 2


@pytest.mark.parametrize("pool", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("batch", [3, 4])
def test_a_long_run_whose_bands_are_short(backend, pool, batch):
    """It is watched for calls to end it, at a pace that its cycles tell: a band's are fewer than a start costs."""
    net = Net()
    x = net.input(batch, 3, 224, 224)
    y = net("Relu", convolved(net, x, 64, 3, 3, strides=(2, 2)))
    y = net(pool, y, kernel_shape=(3, 3), strides=(2, 2))
    graph = net.graph(convolved(net, y, 16, 64))
    program = Program(graph, {graph.inputs[0].name: net.arrays[0].shape}, "cython")
    plain = Program(graph, {graph.inputs[0].name: net.arrays[0].shape}, "cython", optimize=False)
    for actual, wanted in zip(program._run(net.arrays), plain._run(net.arrays), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-3, atol=1e-3)
