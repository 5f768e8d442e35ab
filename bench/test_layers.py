"""Layers of well-known networks on every backend, with weights prepared before, as in inference."""

from bench.cases import NETWORKS, QUICK_NETWORKS
from fastconv.bench.runners.backend import Backend

LAYERS, QUICK = NETWORKS, QUICK_NETWORKS


def test_layer(measure, layer, layout, backend):
    measure(layer, Backend(backend), f"layer {layout}", layout=layout)
