"""Convolutions by every algorithm of the backends that have a choice, to see whether the choice is right.

`regret.py` does that for random convolutions.
"""

from bench.cases import NETWORKS
from fastconv.bench.runners.backend import Backend

LAYERS = [layer for layer in NETWORKS if "conv" in layer.operation]
QUICK = ("ResNet 3x3 at 28", "MobileNetV2 3x3")


def test_algorithm(measure, layer, layout, algorithm):
    backend, name = algorithm
    measure(layer, Backend(backend, name), f"algorithm {layout}", layout=layout)
