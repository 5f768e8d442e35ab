"""Convolutions by every algorithm of the backends that have a choice, to see whether the choice is right.

`regret.py` does that for random convolutions.
"""

from bench.cases import KINDS
from fastconv.bench.runners.backend import BackendRunner

LAYERS = [layer for layer in KINDS if "conv" in layer.operation]
QUICK = ("3x3 128->128, 28", "depthwise 3x3 144, 56")


def test_algorithm(measure, layer, layout, algorithm):
    backend, name = algorithm
    measure(layer, BackendRunner(backend, name), f"algorithm {layout}", layout=layout)
