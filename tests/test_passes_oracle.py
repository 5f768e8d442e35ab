"""Whole files through the passes, against the interpreter of the plain graph, on every backend."""

import zlib

import pytest

import fastconv
from onnx_cases import plain
from passes_oracle import same_results
from test_onnx_backend import KINDS, covered

QUICK = 8  # of so many tests of a kind, the default runs one


def check(case, shapes):
    graph = fastconv.onnx.load(case.model).graph
    for inputs, _ in case.sets():
        same_results(graph, [plain(value) for value in inputs], max(case.rtol, 1e-5), shapes)


def check_all(chosen):
    for case in chosen:
        for shapes in (False, True):
            try:
                check(case, shapes)
            except Exception as error:
                error.add_note(f"{case.kind}/{case.name}, shapes are {'' if shapes else 'not '}given")
                raise


@pytest.mark.parametrize("kind", KINDS)
def test_some(backend, kind):
    """Others on each backend."""
    part = zlib.crc32(backend.encode()) % QUICK
    chosen = covered(kind)
    check_all([case for case in chosen if (zlib.crc32(case.name.encode()) + part) % QUICK == 0] or chosen[:1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all(backend, kind):
    check_all(covered(kind))
