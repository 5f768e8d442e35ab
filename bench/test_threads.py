"""The same layers on 1, 2, 4, ... threads, up to the cores: how far they scale."""

from bench.cases import KINDS
from fastconv.bench.runners.backend import BackendRunner

LAYERS = KINDS
QUICK = ("3x3 128->128, 28", "max 3x3/2 64, 112")


def test_threads(measure, layer, backend, count):
    measure(layer, BackendRunner(backend), f"threads {backend}", threads=count)
