"""The same layers on 1, 2, 4, ... threads, up to the cores: how far they scale."""

from bench.cases import NETWORKS
from fastconv.bench.runners.backend import Backend

LAYERS = NETWORKS
QUICK = ("ResNet 3x3 at 28", "ResNet pool 3x3 s2")


def test_threads(measure, layer, backend, count):
    measure(layer, Backend(backend), f"threads {backend}", threads=count)
