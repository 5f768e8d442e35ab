"""Every layer of `fastconv.nn`: its gradients, its two layouts, its graph, and its result beside PyTorch's."""

import numpy as np
import pytest

import fastconv
import fastconv.nn as nn
from fastconv.graph import Interpreter
from fastconv.nn import functional as F
from nn_cases import LAYERS, RANDOM, channels_first, in_layout, made, slope_errors

pytestmark = pytest.mark.one_instruction_set  # their kernels have tests of their own
LAYOUTS = ("NCHW", "NHWC")
# These move axes or sum them by their numbers, whatever the layout.
OF_ONE_LAYOUT = ("Own", "Products", "Reshape", "BatchNorm2D rows", "Dense", "LayerNorm rows")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_slopes(name, layout, backend):
    net, x = made(name, layout)
    errors = slope_errors(net, x, layout)
    assert errors.keys() == ({"x", "parameters"} if net.parameters() else {"x"})
    assert max(errors.values()) < 1e-6, errors


@pytest.mark.parametrize("name", [name for name in LAYERS if "Norm" in name])
def test_gradients_in_inference_mode(name):
    net, x = made(name)
    assert max(slope_errors(net, x, "NCHW", training=False).values()) < 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in LAYERS if name not in OF_ONE_LAYOUT])
def test_layouts_agree(name, dtype, backend):
    results = []
    for layout in LAYOUTS:
        net, x = made(name, layout, dtype)
        y = net(in_layout(x, layout))
        assert y.dtype == dtype
        results.append(channels_first(y, layout))
    tolerance = {"float32": 2e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=tolerance * max(1, abs(results[0]).max()))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", LAYERS)
def test_graph_computes_the_same(name, layout, backend):
    net, x = made(name, layout)
    given = in_layout(x, layout)
    y = net(given)
    graph = net.graph(given.shape)
    assert graph.outputs[0].shape == y.shape
    (plain,) = Interpreter(graph)(given)
    tolerance = 1e-6 if "Upsample2D" in name else 1e-10  # ONNX's places are float32
    np.testing.assert_allclose(plain, y, rtol=0, atol=tolerance * max(1, abs(y).max()))
    program = net.compile(given.shape)
    np.testing.assert_allclose(program(given), y, rtol=0, atol=tolerance * max(1, abs(y).max()))


@pytest.mark.parametrize("name", LAYERS)
def test_graph_of_any_batch(name):
    net, x = made(name)
    graph = net.graph((None, *x.shape[1:]))
    more = np.concatenate([x, x[:1]])
    (y,) = Interpreter(graph)(more)
    tolerance = 1e-6 if "Upsample2D" in name else 1e-10
    np.testing.assert_allclose(y, net(more), rtol=0, atol=tolerance * max(1, abs(y).max()))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [name for name in LAYERS if name not in RANDOM])
def test_empty_batches_and_strided_input(name, layout):
    net, x = made(name, layout)
    given = in_layout(x, layout)
    assert net(given[:0]).shape == (0, *net(given).shape[1:])
    wide = np.repeat(given, 2, axis=0)[::2]
    np.testing.assert_array_equal(net(wide), net(given))
    net32, _ = made(name, layout, "float32")
    assert net32(given.astype(">f4")).dtype == np.float32


def peers():
    """PyTorch's layers that should give the same, from the same state."""
    try:
        import torch.nn as t
    except ImportError:
        return {}
    return {
        "Conv2D": t.Conv2d(4, 5, 3, padding=1),
        "Conv2D grouped": t.Sequential(t.Conv2d(4, 6, 3, (1, 2), 2, 2, 2, bias=False), t.GELU()),
        "ConvTranspose2D": t.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2),
        "Conv1D": t.Sequential(t.Conv1d(4, 5, 3, 2, 1), t.ReLU()),
        "MaxPool2D": t.MaxPool2d(3, 2, 1),
        "MaxPool2D ceil": t.MaxPool2d((2, 3), ceil_mode=True),
        "AvgPool2D": t.AvgPool2d(3, 2, 1, count_include_pad=False),
        "AvgPool2D divisor": t.AvgPool2d(2, divisor_override=3),
        "LpPool2D": t.LPPool2d(2, 2),
        "AdaptiveAvgPool2D": t.AdaptiveAvgPool2d((3, 4)),
        "AdaptiveMaxPool2D": t.AdaptiveMaxPool2d((3, 4)),
        "GlobalAvgPool2D": t.AdaptiveAvgPool2d(1),
        "Pad2D": t.ConstantPad2d((2, 3, 1, 0), 0.5),
        "Pad2D replicate": t.ReplicationPad2d(2),
        "Pad2D circular": t.CircularPad2d((2, 2, 1, 1)),
        "Upsample2D": t.Upsample(scale_factor=2),
        "Upsample2D linear": t.Upsample(scale_factor=(2, 3), mode="bilinear"),
        "Upsample2D corners": t.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        "PixelShuffle": t.PixelShuffle(2),
        "PixelUnshuffle": t.PixelUnshuffle(2),
        "BatchNorm2D": t.BatchNorm2d(4),
        "BatchNorm2D rows": t.BatchNorm1d(6),
        "GroupNorm": t.GroupNorm(2, 4),
        "InstanceNorm2D": t.InstanceNorm2d(4, affine=True),
        "LayerNorm rows": t.LayerNorm(6),
        "LocalResponseNorm": t.LocalResponseNorm(3, 0.5),
        "Activation silu": t.SiLU(),
        "Activation hardswish": t.Hardswish(),
        "Softmax": t.Softmax(1),
        "Dense": t.Sequential(t.Linear(6, 5), t.ReLU()),
    }


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("name", peers())
def test_as_pytorch(name, mode):
    torch = pytest.importorskip("torch")
    net, x = made(name)
    peer = peers()[name].double().train(mode == "training")
    state = {path: torch.from_numpy(array) for path, array in net.state_dict().items()}
    wanted = list(peer.state_dict())
    peer.load_state_dict(dict(zip(wanted, state.values(), strict=True)))
    given = torch.from_numpy(x).requires_grad_()
    expected = peer(given)
    factors = np.random.default_rng(1).standard_normal(tuple(expected.shape))
    expected.backward(torch.from_numpy(factors))
    with nn.training(mode == "training"):
        y = net.forward(x)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(net.backward(factors), given.grad.numpy(), rtol=1e-8, atol=1e-10)
    theirs = [p.grad.numpy() for p in peer.parameters()]
    for mine, other in zip(net.gradients.values(), theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-8, atol=1e-9)
    for mine, other in zip(net.state_dict().values(), peer.state_dict().values(), strict=True):
        np.testing.assert_allclose(mine, other.numpy(), rtol=1e-9, atol=1e-12)


def test_stochastic_and_fractional_pooling_pick_pixels():
    x = np.abs(np.random.default_rng(0).standard_normal((2, 3, 8, 8)))
    for layer in (nn.StochasticPool2D(2), nn.FractionalMaxPool2D(2, output_size=3)):
        layer.astype("float64")
        with nn.training():
            y = layer.forward(x)
        slope = layer.backward(np.ones_like(y))
        assert slope.sum() == y.size
        picked = x[slope > 0]
        assert set(np.unique(y)) <= set(picked)


def test_unpooling_puts_gradients_back():
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 4))
    values, indices = fastconv.max_pool2d(x, 2, return_indices=True)

    def total(net, values):
        return (net(values, indices) * x).sum()

    value, slope = nn.input_gradient(total)(nn.MaxUnpool2D(2).astype("float64"), values)
    assert np.isclose(value, (values**2).sum())
    np.testing.assert_allclose(slope, values)


@pytest.mark.parametrize("word", sorted(nn.initialisers.NAMED))
def test_initialisers(word):
    rng = np.random.default_rng(0)
    array = nn.initialisers.NAMED[word]((64, 32, 3, 3), rng, np.float32)
    assert array.shape == (64, 32, 3, 3)
    assert array.dtype == np.float32
    fan_in, fan_out = 32 * 9, 64 * 9
    families = {
        "he": 2 / fan_in,
        "glorot": 2 / (fan_in + fan_out),
        "lecun": 1 / fan_in,
        "orthogonal": 1 / fan_in,
    }
    families |= {"kaiming": families["he"], "xavier": families["glorot"]}
    others = {"zeros": 0, "ones": 0, "normal": 0.01, "uniform": 0.05 / 3**0.5}
    wanted = others[word] if word in others else families[word.partition("_")[0]] ** 0.5
    assert abs(array.std() - wanted) <= 0.02 * wanted


def test_orthogonal_rows():
    w = nn.initialisers.orthogonal((8, 3, 3, 3), np.random.default_rng(0), np.float64).reshape(8, -1)
    np.testing.assert_allclose(w @ w.T, np.eye(8), atol=1e-12)


def test_functions_beside_numpy():
    x = np.random.default_rng(0).standard_normal((3, 4))
    np.testing.assert_allclose(F.softplus(x), np.log1p(np.exp(x)))
    np.testing.assert_allclose(F.log(np.abs(x)), np.log(np.abs(x)))
    assert F.activation(x, None) is x
