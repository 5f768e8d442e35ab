"""Shapes that are hard to do well: batches of tiny images, images of 3 and 4 channels, signals of a million samples."""

from bench.cases import QUICK_SHAPES, SHAPES
from fastconv.bench.runners.backend import BackendRunner

LAYERS, QUICK = SHAPES, QUICK_SHAPES


def test_shape(measure, layer, layout, backend):
    measure(layer, BackendRunner(backend), f"shape {layout}", layout=layout)
