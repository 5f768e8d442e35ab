"""Layers of every kind on every backend, with weights prepared before, as in inference."""

from bench.cases import KINDS, QUICK_KINDS
from fastconv.bench.runners.backend import BackendRunner

LAYERS, QUICK = KINDS, QUICK_KINDS


def test_layer(measure, layer, layout, backend):
    measure(layer, BackendRunner(backend), f"layer {layout}", layout=layout)
