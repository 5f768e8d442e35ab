"""Tiny shapes: what a call of the function costs, and one of a plan, where there is hardly anything to compute."""

from bench.cases import QUICK_TINY, TINY
from fastconv.bench.runners.backend import BackendRunner

LAYERS, QUICK = TINY, QUICK_TINY


def test_call(measure, layer, backend, mode):
    measure(layer, BackendRunner(backend), "call", mode=mode)
