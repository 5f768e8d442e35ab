"""Networks tile by tile: random chains and branches of layers against the interpreter on the whole image."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
from fastconv import nn, tiles
from fastconv.graph import Interpreter
from passes_oracle import Net

RNG = np.random.default_rng(0)


class Chain(Net):
    """A net whose last value is known with its size, so that layers can be drawn that fit."""

    def __init__(self, data, size):
        super().__init__()
        self.data = data
        self.last = self.input(1, 4, *size)
        self.size = list(size)

    def number(self, low, high):
        return self.data.draw(st.integers(low, high))

    def add(self, kind):
        getattr(self, kind)()

    def conv(self):
        kernel = [self.number(1, min(5, n)) for n in self.size]
        pads = [self.number(0, 3) for _ in range(4)]
        stride = 1 if min(self.size) < 8 else self.number(1, 3)
        weight = self.normal(4, 4, *kernel) / 4
        before = self.size
        self.size = [
            (n + pads[a] + pads[a + 2] - k) // stride + 1
            for a, (n, k) in enumerate(zip(before, kernel, strict=True))
        ]
        self.last = self(
            "Conv", self.last, weight, self.normal(4), pads=tuple(pads), strides=(stride, stride)
        )

    def conv_relu_residual(self):
        """Is fused: the sum is an input of the convolution."""
        y = self("Conv", self.last, self.normal(4, 4, 3, 3) / 4, pads=(1, 1, 1, 1))
        self.last = self("Relu", self("Add", y, self.last))

    def wide(self):
        """Two branches that see different distances."""
        near = self("Conv", self.last, self.normal(2, 4, 1, 1))
        far = self("Conv", self.last, self.normal(2, 4, 3, 3) / 4, pads=(4, 4, 4, 4), dilations=(4, 4))
        self.last = self("Concat", near, far, axis=1)

    def transposed(self):
        stride = self.number(1, 3)
        extra = self.number(0, stride - 1)
        kernel = self.number(1, 4)
        self.last = self(
            "ConvTranspose", self.last, self.normal(4, 4, kernel, kernel) / 4,
            strides=(stride, stride), output_padding=(extra, extra),
        )  # fmt: skip
        self.size = [(n - 1) * stride + kernel + extra for n in self.size]

    def pad(self):
        mode = self.data.draw(st.sampled_from(["constant", "reflect", "edge", "wrap"]))
        pads = [self.number(0, 4) for _ in range(4)]
        self.last = self("Pad", self.last, np.array([0, 0, *pads[:2], 0, 0, *pads[2:]]), mode=mode)
        self.size = [n + pads[a] + pads[a + 2] for a, n in enumerate(self.size)]

    def pool(self):
        kind = self.data.draw(st.sampled_from(["MaxPool", "AveragePool"]))
        kernel = min(3, *self.size)
        stride, ceil = self.number(1, 2), self.number(0, 1)
        pads = tuple(self.number(0, kernel // 2) for _ in range(4))
        self.last = self(
            kind,
            self.last,
            kernel_shape=(kernel, kernel),
            strides=(stride, stride),
            pads=pads,
            ceil_mode=ceil,
        )
        sizes = []
        for axis, n in enumerate(self.size):
            whole = n + pads[axis] + pads[axis + 2] - kernel
            count = (whole + (stride - 1 if ceil else 0)) // stride + 1
            sizes.append(count - 1 if ceil and (count - 1) * stride >= n + pads[axis] else count)
        self.size = sizes

    def larger(self):
        mode = self.data.draw(st.sampled_from(["nearest", "linear", "cubic"]))
        factors = [self.number(1, 3), self.number(1, 3)]
        self.last = self("Resize", self.last, None, np.array([1, 1, *factors], np.float32), mode=mode)
        self.size = [n * f for n, f in zip(self.size, factors, strict=True)]

    def shuffle(self):
        """Space to depth needs sizes that divide, which those that were made larger have."""
        large = self("Resize", self.last, None, np.array([1, 1, 2, 2], np.float32))
        deep = self("SpaceToDepth", large, blocksize=2)
        self.last = self("DepthToSpace", self("Softmax", deep, axis=1), blocksize=2)
        self.last = self("Conv", self.last, self.normal(4, 4, 1, 1))
        self.size = [2 * n for n in self.size]

    def split(self):
        one, other = self("Split", self.last, np.array([1, 3]), axis=1, outputs=2)
        self.last = self("Concat", self("Sigmoid", other), one, axis=1)


KINDS = [
    "conv", "conv", "conv_relu_residual", "wide", "transposed", "pad", "pad", "pool", "larger", "shuffle", "split",
]  # fmt: skip


def in_tiles(network, x, tile, **options):
    made = tiles.tiling(network, x.shape, tile, **options)
    result = np.full(made.output_shape, np.nan, made.dtype)
    for one in made:
        result[one.write] = made.compute(one, x)
    return result


@given(st.data(), st.lists(st.sampled_from(KINDS), min_size=1, max_size=6))
def test_random_networks(data, kinds):
    size = data.draw(st.tuples(st.integers(4, 20), st.integers(4, 20)))
    chain = Chain(data, size)
    for kind in kinds:
        if max(chain.size) < 80:
            chain.add(kind)
    graph = chain.graph(chain.last)
    x = chain.arrays[0]
    tile = data.draw(st.tuples(st.integers(3, 30), st.integers(3, 30)))
    (whole,) = Interpreter(graph)(x)
    assert whole.shape[2:] == tuple(chain.size)
    result = in_tiles(graph, x, tile, algorithm="direct")
    scale = np.abs(whole).max(initial=1e-3)
    np.testing.assert_allclose(result, whole, rtol=1e-4, atol=1e-4 * scale)
    if not {"larger", "pool", "shuffle"} & set(kinds):  # there is more than convolutions to round
        np.testing.assert_array_equal(result, in_tiles(graph, x, 10_000, algorithm="direct"))


def unet(mode="wrap"):
    """Downwards, upwards, and across."""
    net = Net()
    x = net.input(2, 3, 62, 90)
    padded = net("Pad", x, np.array([0, 0, 1, 1, 0, 0, 1, 1]), mode=mode)
    top = net("Relu", net("Conv", padded, net.normal(8, 3, 3, 3), net.normal(8)))
    down = net(
        "MaxPool", net("Pad", top, np.array([0, 0, 1, 1, 0, 0, 1, 1])), kernel_shape=(2, 2), strides=(2, 2)
    )
    low = net("Conv", down, net.normal(8, 8, 3, 3) / 9, pads=(1, 1, 1, 1))
    swish = net("Mul", low, net("Sigmoid", low))
    up = net("ConvTranspose", swish, net.normal(8, 8, 2, 2), strides=(2, 2), pads=(1, 1, 1, 1))
    both = net("Concat", up, top, axis=1)
    return net, net("Softmax", net("Conv", both, net.normal(4, 16, 3, 3) / 12, pads=(1, 1, 1, 1)), axis=1)


@pytest.mark.slow("numba")
@pytest.mark.one_instruction_set
@pytest.mark.parametrize("mode", ["wrap", "reflect"])
def test_a_network_of_branches(backend, mode):
    net, last = unet(mode)
    graph, x = net.graph(last), net.arrays[0]
    (whole,) = Interpreter(graph)(x)
    for tile in (16, (13, 40)):
        np.testing.assert_allclose(in_tiles(graph, x, tile), whole, rtol=1e-3, atol=1e-4)


def test_the_inner_border_is_padded_at_true_edges_alone():
    """A constant after a bias: zeros inside the network are not zeros of the source."""
    net = Net()
    x = net.input(1, 1, 12, 12)
    ones = net("Conv", x, np.zeros((1, 1, 1, 1), np.float32), np.ones(1, np.float32))
    graph = net.graph(net("Conv", ones, np.ones((1, 1, 3, 3), np.float32), pads=(1, 1, 1, 1)))
    result = in_tiles(graph, net.arrays[0], 4)[0, 0]
    assert (result[1:-1, 1:-1] == 9).all()
    assert (result[0, 1:-1] == 6).all()
    assert result[0, 0] == result[-1, -1] == 4


def test_files_and_programs_take_sources_of_any_size(tmp_path):
    net, last = unet()
    last.dtype = np.dtype(np.float32)
    fastconv.onnx.save(net.graph(last), tmp_path / "net.onnx")
    model = fastconv.onnx.load(tmp_path / "net.onnx")
    program = model.compile()
    x = RNG.normal(size=(1, 3, 80, 72)).astype(np.float32)
    (whole,) = Interpreter(net.graph(last))(x)
    for network in (model, program):
        np.testing.assert_allclose(in_tiles(network, x, 32), whole, rtol=1e-3, atol=1e-4)


def test_constants_of_the_size_of_the_image_are_cut():
    net = Net()
    x = net.input(1, 2, 10, 12)
    net_sum = net("Add", x, np.arange(120, dtype=np.float32).reshape(1, 1, 10, 12))
    graph = net.graph(net("Mul", net_sum, np.array([1, 2], np.float32).reshape(2, 1, 1)))
    (whole,) = Interpreter(graph)(net.arrays[0])
    np.testing.assert_array_equal(in_tiles(graph, net.arrays[0], 3), whole)


def test_what_follows_a_convolution():
    """What a fused convolution does besides the activations of the library: it scales and shifts a HardSwish."""
    net = Net()
    y = net("Conv", net.input(1, 3, 20, 18), net.normal(6, 3, 3, 3), pads=(1, 1, 1, 1))
    y = net("Add", net("Mul", net("HardSwish", y), np.float32(1.5)), np.float32(-0.25))
    graph = net.graph(net("MaxPool", y, kernel_shape=(2, 2), strides=(2, 2)))
    (whole,) = Interpreter(graph)(net.arrays[0])
    np.testing.assert_allclose(in_tiles(graph, net.arrays[0], 7), whole, rtol=1e-4, atol=1e-5)


def test_signals():
    net = Net()
    x = net.input(2, 3, 50)
    y = net("MaxPool", net("Conv", x, net.normal(4, 3, 5), pads=(2, 2)), kernel_shape=(2,), strides=(2,))
    graph = net.graph(net("ConvTranspose", y, net.normal(4, 2, 3), strides=(2,)))
    (whole,) = Interpreter(graph)(net.arrays[0])
    np.testing.assert_allclose(in_tiles(graph, net.arrays[0], 7), whole, rtol=1e-4, atol=1e-5)


def global_pooling(net, x):
    return net("GlobalAveragePool", x)


def squeeze_and_excite(net, x):
    return net("Mul", x, net("Sigmoid", net("ReduceMean", x, np.array([2, 3]))))


def instance_norm(net, x):
    return net("InstanceNormalization", x, np.ones(3, np.float32), np.ones(3, np.float32))


def flat(net, x):
    return net("Flatten", x)


def softmax(net, x):
    return net("Softmax", x, axis=3)


def to_a_size(net, x):
    return net("Resize", x, None, None, np.array([2, 3, 13, 13]))


def corners(net, x):
    return net(
        "Resize",
        x,
        None,
        np.array([1, 1, 2, 2.0], np.float32),
        coordinate_transformation_mode="align_corners",
    )


def turned(net, x):
    return net("Transpose", net("Relu", x), perm=(0, 1, 3, 2))


def test_networks_of_nn_see_pictures_that_memory_does_not_hold():
    net = nn.Sequential(nn.Conv2D(8, 3, padding="same"), nn.Conv2D(1, 3, padding="same")).build(
        (1, 1, 64, 64)
    )
    made = tiles.tiling(net, (1, 1, 1 << 20, 1 << 20), 64)
    assert made.output_shape == (1, 1, 1 << 20, 1 << 20)
    assert made.memory < 1 << 24


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (global_pooling, "GlobalAveragePool node.*every pixel"),
        (squeeze_and_excite, "node.*every pixel"),
        (instance_norm, "InstanceNormalization node.*mean"),
        (flat, "node.*spatial axes"),
        (softmax, "Softmax node.*axis 3"),
        (to_a_size, "Resize node.*12 pixels become 13"),
        (corners, "Resize node.*align_corners"),
        (turned, "Transpose node.*spatial"),
    ],
)
def test_layers_that_see_the_whole_image_are_refused_by_name(layer, words):
    net = Net()
    x = net("Conv", net.input(2, 3, 12, 12), net.normal(3, 3, 3, 3), pads=(1, 1, 1, 1))
    made = layer(net, x)
    net.nodes[-1].name = "the layer"
    with pytest.raises(tiles.TilingError, match=words):
        tiles.tiling(net.graph(made), (2, 3, 12, 12))


def test_networks_that_do_not_fit():
    net, last = unet()
    graph = net.graph(last)
    with pytest.raises(ValueError, match="5 channels"):
        tiles.tiling(graph, (1, 5, 64, 64))
    with pytest.raises(TypeError, match="float64"):
        tiles.tiling(graph, (1, 3, 64, 64), dtype=np.float64)
    both = Net()
    two = both.graph(both("Add", both.input(1, 1, 4, 4), both.input(1, 1, 4, 4)))
    with pytest.raises(tiles.TilingError, match="2 inputs"):
        tiles.tiling(two, (1, 1, 4, 4))


def test_networks_of_nn_are_taken_as_they_are_now():
    net = nn.models.UNet(2, (4, 8)).build((1, 3, 32, 32), rng=0)
    x = RNG.normal(size=(1, 3, 40, 36)).astype(np.float32)
    whole = net.predict(x)
    made, result = tiles.tiling(net, x.shape, 10), np.empty_like(whole)
    tiles.run(net, x, result, tile=10)
    np.testing.assert_allclose(result, whole, rtol=1e-4, atol=1e-5)
    for array in net.parameters():
        array[...] = 0
    again = pickle.loads(pickle.dumps(made))
    one = made[5]
    np.testing.assert_allclose(again.compute(one, x), whole[one.write], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (
            nn.InstanceNorm2D(),
            "InstanceNormalization node 'last' .*mean and variance are those of the whole image",
        ),
        (nn.GroupNorm(2), "GroupNormalization node 'last' .*mean and variance are those of the whole image"),
        (nn.LayerNorm((24, 20)), "node 'last' .*mean and variance are those of the whole image"),
        (nn.GlobalAvgPool2D(), "GlobalAveragePool node 'last' .*every pixel"),
        (nn.GlobalMaxPool2D(), "GlobalMaxPool node 'last' .*every pixel"),
        (nn.AdaptiveAvgPool2D(3), "node 'last' .*"),
        (nn.Sequential(nn.Flatten(), nn.Dense(3)), "node 'last.0' .*spatial axes"),
        (nn.blocks.SE(8), "node 'last.*every pixel"),
    ],
    ids=lambda part: type(part).__name__,
)
def test_layers_of_nn_that_see_the_whole_image_are_refused_by_name(layer, words):
    net = nn.Sequential({"first": nn.Conv2D(8, 3, padding=1), "last": layer})
    with pytest.raises(tiles.TilingError, match=words):
        tiles.tiling(net, (1, 3, 24, 20))
