"""The benchmarks in `bench/` cover every public operation. They themselves run with ``pytest bench``."""

import importlib.util
import inspect
from pathlib import Path

import pytest

import fastconv
from fastconv.bench.layers.settings import Settings
from fastconv.bench.oracle.check import check
from fastconv.bench.oracle.definitions import FORWARD, GRADIENTS
from fastconv.bench.runners.backend import BackendRunner
from fastconv.ops.table import OPERATIONS

BENCH = Path(__file__).parents[1] / "bench"
if not BENCH.exists():
    pytest.skip("the benchmarks are not part of the package", allow_module_level=True)


def load(name):
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cases = load("cases")


def test_every_operation_has_a_definition():
    assert set(FORWARD) == set(GRADIENTS) == set(OPERATIONS)


def test_every_operation_has_a_case():
    assert {layer.operation for layer in cases.OPERATIONS} == set(OPERATIONS)


@pytest.mark.parametrize("name", ["KINDS", "OPERATIONS", "IMAGES", "TINY", "SHAPES"])
def test_names_are_unique(name):
    names = [layer.name for layer in getattr(cases, name)]
    assert len(set(names)) == len(names)
    assert set(getattr(cases, f"QUICK_{name}", names)) <= set(names)


@pytest.mark.parametrize("mode", ["call", "gradient"])
@pytest.mark.parametrize("layer", cases.OPERATIONS, ids=lambda layer: layer.name)
def test_operations_are_measured_and_right(layer, mode, layout):
    settings = Settings(mode=mode, layout=layout)
    arrays = cases.arrays(layer, settings.dtype)
    prepared = BackendRunner(fastconv.get_backend()).prepare(layer, arrays, settings)
    if prepared is None:
        assert layout == "NHWC"
        assert "layout" not in inspect.signature(getattr(fastconv, layer.operation)).parameters
    else:
        assert check(layer, arrays, prepared.images(prepared.run()), settings) < 1e-4
