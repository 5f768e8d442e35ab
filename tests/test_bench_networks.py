"""The tables of layers against published figures: parameters, multiplications and the number of layers.

The figures of whole networks are those of torchvision's models of the same structure, which count a fully connected
part and batch normalizations (docs.pytorch.org/vision/stable/models.html); these are subtracted here.
"""

import itertools
import math
from dataclasses import replace

import pytest

from fastconv.bench.layers.layer import Layer
from fastconv.bench.layers.networks import NETWORKS, network
from fastconv.geometry import conv_output_size, conv_transpose_output_size, pool_output_size


def result(layer: Layer):
    """The shape of a layer's result by the formulas of `fastconv.geometry`."""
    shapes, options = layer.shapes, layer.options
    n, channels, *size = shapes["x"]
    if layer.operation == "global_avg_pool2d":
        return n, channels, 1, 1
    rest = {name: value for name, value in options.items() if name in ("stride", "padding", "dilation")}
    if layer.operation.endswith("_pool2d"):
        return n, channels, *pool_output_size(tuple(size), options["kernel_size"], **rest)
    weight = shapes["weight"]
    if layer.operation == "conv_transpose2d":
        return n, weight[1], *conv_transpose_output_size(tuple(size), weight[2:], **rest)
    return n, weight[0], *conv_output_size(tuple(size), weight[2:], **rest)


def convolutions(name):
    return [(layer, count) for layer, count in network(name) if "weight" in layer.shapes]


def weights(name):
    return sum(count * math.prod(layer.shapes["weight"]) for layer, count in convolutions(name))


def filters(name):
    return sum(count * result(layer)[1] for layer, count in convolutions(name))


def multiplications(name):
    return sum(count * layer.flops(result(layer)) for layer, count in network(name)) // 2


def dense(*sizes):
    """Parameters of fully connected layers."""
    return sum(a * b + b for a, b in itertools.pairwise(sizes))


def test_parameters():
    """Exact: 2 parameters of a batch normalization for each of its channels."""
    assert weights("resnet50") == 25_557_032 - dense(2048, 1000) - 2 * filters("resnet50") == 23_454_912
    assert weights("vgg16") + filters("vgg16") == 138_357_544 - dense(25088, 4096, 4096, 1000)
    assert weights("mobilenetv2") == 3_504_872 - dense(1280, 1000) - 2 * filters("mobilenetv2")
    inputs = [count * layer.shapes["x"][1] for layer, count in convolutions("densenet121")]
    normalized = sum(inputs[1:]) + 64 + 1024  # before each convolution but the first, after that, at the end
    assert weights("densenet121") == 7_978_856 - dense(1024, 1000) - 2 * normalized
    # U-Net, Ronneberger et al. 2015, by hand: 9 c^2 for a 3x3 of c to c channels, and so on over its figure 1
    down = 9 * (
        1 * 64 + sum(2 * c * c for c in (64, 128, 256, 512)) + sum(c * c for c in (64, 128, 256, 512, 1024))
    )
    up = sum(4 * 2 * c * c + 9 * (2 * c * c + c * c) for c in (64, 128, 256, 512))
    assert weights("unet") == down + up + 64 * 2
    assert weights("unet") == pytest.approx(31.0e6, rel=0.001)


@pytest.mark.parametrize(
    ("name", "published", "connected"),
    [
        ("resnet50", 4.09, 2048 * 1000),
        ("vgg16", 15.47, 25088 * 4096 + 4096 * 4096 + 4096 * 1000),
        ("mobilenetv2", 0.30, 1280 * 1000),
        ("densenet121", 2.83, 1024 * 1000),
    ],
)
def test_multiplications(name, published, connected):
    """To the published figures' last digit, with the fully connected part that they include."""
    assert (multiplications(name) + connected) / 1e9 == pytest.approx(published, abs=0.005)


@pytest.mark.parametrize(
    ("name", "count"),
    [("resnet50", 53), ("vgg16", 13), ("mobilenetv2", 52), ("densenet121", 120), ("unet", 23), ("dqn", 3)],
)
def test_number_of_convolutions(name, count):
    """16 * 3 + 1 and 4 shortcuts; table 1's D; 17 * 3 - 1 + 2; 58 * 2 + 1 + 3; as the paper on U-Net says; 3."""
    assert sum(number for _, number in convolutions(name)) == count


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "mobilenetv2", "densenet121", "unet", "dqn"])
def test_layers_chain_up(name):
    """Each layer takes what the one before gives; but concatenations add channels."""
    layers = [layer for layer in NETWORKS[name](3) if "shortcut" not in layer.name]
    for index, (before, layer) in enumerate(itertools.pairwise(layers)):
        given, taken = result(before), layer.shapes["x"]
        if name == "densenet121" and before.name.startswith("dense") and " 3x3 " in before.name:
            assert taken[1] == layers[index - 1].shapes["x"][1] + given[1]
        elif name == "unet" and before.operation == "conv_transpose2d":
            assert taken[1] == 2 * given[1]
        else:
            assert given == taken
        assert given[2:] == taken[2:]


def test_shortcuts_of_resnet():
    """A shortcut takes what its block's first layer takes, and gives what its last layer gives."""
    layers = NETWORKS["resnet50"](1)
    found = [index for index, layer in enumerate(layers) if "shortcut" in layer.name]
    assert len(found) == 4
    for index in found:
        assert layers[index].shapes["x"] == layers[index - 3].shapes["x"]
        assert result(layers[index]) == result(layers[index - 1])
    strides = [
        layer for layer in layers if layer.options.get("stride") == 2 and layer.name.startswith("conv3")
    ]
    assert [layer.shapes["weight"][2:] for layer in strides] == [
        (3, 3),
        (1, 1),
    ]  # version 1.5, and the shortcut


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("resnet50", (1, 2048, 1, 1)),
        ("vgg16", (1, 512, 7, 7)),
        ("mobilenetv2", (1, 1280, 1, 1)),
        ("densenet121", (1, 1024, 1, 1)),
        ("unet", (1, 2, 388, 388)),
        ("dqn", (1, 64, 7, 7)),
    ],
)
def test_last_result(name, last):
    """As the papers' tables and figures have them."""
    assert result(NETWORKS[name](1)[-1]) == last


@pytest.mark.parametrize("name", NETWORKS)
def test_every_set(name):
    layers = [layer for layer, _ in network(name, 2)]
    assert len({layer.name for layer in layers}) == len(layers)
    assert len({str((layer.operation, layer)) for layer in layers}) == len(layers)
    for (one, count), (two, again) in zip(network(name), network(name, 2), strict=True):
        assert two.batch == 2 * one.batch
        assert replace(two, shapes={**two.shapes, "x": (one.batch, *two.shapes["x"][1:])}) == one
        assert count == again
    assert sum(count for _, count in network(name)) == len(NETWORKS[name](1))
    assert all(min(result(layer)) >= 1 for layer in layers)


def test_filters_of_images_are_equal():
    for layer, _ in network("filters-rgb"):
        weight = layer.arrays()["weight"]
        assert (weight == weight[0]).all()
        assert result(layer) == layer.shapes["x"]


@pytest.mark.parametrize(
    ("name", "batch", "message"), [("alexnet", 1, "'alexnet'"), ("dqn", 0, "batch is 0")]
)
def test_refused(name, batch, message):
    with pytest.raises(ValueError, match=message):
        network(name, batch)
