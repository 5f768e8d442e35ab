"""All gradients of a call at once, for every operation and for layers of every kind."""

from bench.cases import KINDS, OPERATIONS
from fastconv.bench.runners.backend import BackendRunner

LAYERS = [*(layer for layer in OPERATIONS if "return_indices" not in layer.options), *KINDS]
QUICK = ("conv2d", "depthwise_conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d")


def test_gradient(measure, layer, layout, backend):
    measure(layer, BackendRunner(backend), f"gradient {layout}", layout=layout, mode="gradient")
