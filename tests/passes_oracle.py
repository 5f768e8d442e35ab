"""A graph and what the passes make of it, run on the same inputs: the oracle of the tests of passes."""

import numpy as np

from fastconv.graph import Interpreter, verify
from fastconv.graph.passes import optimise


def agree(actual, expected, tolerance):
    """Relative to the largest value; exactly, where the tolerance is 0."""
    if isinstance(expected, list):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            agree(one, other, tolerance)
        return
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if not tolerance or expected.dtype.kind not in "fc":
        if expected.dtype == object:
            assert actual.tolist() == expected.tolist()
        else:
            np.testing.assert_array_equal(actual, expected)
            assert actual.tobytes() == expected.tobytes() or np.isnan(expected).any()  # the signs of zeros
        return
    finite = expected[np.isfinite(expected)]
    scale = np.abs(finite).max(initial=0)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * max(scale, 1e-3))


def same_results(graph, inputs, tolerance=1e-4, shapes=True, stop_after=None):
    """The optimised graph, after it has been checked; with the inputs' shapes, or without."""
    expected = Interpreter(graph)(*inputs)
    known = {
        value.name: array.shape
        for value, array in zip(graph.inputs, inputs, strict=True)
        if shapes and isinstance(array, np.ndarray)
    }
    result, _ = optimise(graph, input_shapes=known, stop_after=stop_after)
    verify(result)
    assert [value.name for value in result.outputs] == [value.name for value in graph.outputs]
    for actual, wanted in zip(Interpreter(result)(*inputs), expected, strict=True):
        agree(actual, wanted, tolerance)
    return result
