"""Every public operation on every backend, layout and dtype: one call of the function on a middle-sized image."""

from bench.cases import OPERATIONS
from fastconv.bench.runners.backend import BackendRunner

LAYERS = OPERATIONS


def test_operation(measure, layer, layout, dtype, backend):
    group = f"operation {layout} {dtype}"
    measure(layer, BackendRunner(backend), group, layout=layout, dtype=dtype, mode="call")
