"""Filters of one-megapixel images, grey and RGB, from 3x3 to 31x31."""

from bench.cases import IMAGES, QUICK_IMAGES
from fastconv.bench.runners.backend import BackendRunner

LAYERS, QUICK = IMAGES, QUICK_IMAGES


def test_filter(measure, layer, layout, backend):
    measure(layer, BackendRunner(backend), f"image {layout}", layout=layout)
