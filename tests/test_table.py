"""`ops/table.py` is the list of operations: whoever deals with all of them has each of its rows, and no others."""

import inspect

import pytest

import fastconv
from calls import CALLS
from fastconv import grad
from fastconv.ops.table import OPERATIONS
from fastconv.problem.layout import LAYOUTS


def test_it_lists_every_public_function_that_computes_from_arrays():
    functions = {name: getattr(fastconv, name) for name in fastconv.__all__}
    computing = {
        name: function
        for name, function in functions.items()
        if inspect.isfunction(function) and {"x", "backend"} <= set(inspect.signature(function).parameters)
    }
    assert computing == {name: row.function for name, row in OPERATIONS.items()}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_row_tells_the_truth(name):
    row = OPERATIONS[name]
    parameters = list(inspect.signature(row.function).parameters)
    assert set(row.arrays) <= set(parameters)
    assert sorted(row.arrays, key=parameters.index) == list(row.arrays)
    assert getattr(fastconv, f"plan_{name}", None) is row.plan
    assert hasattr(grad, name)


def test_the_tests_for_all_operations_have_a_call_of_each():
    assert {name.split()[0] for name in CALLS} | {"max_unpool2d"} == set(OPERATIONS)


def test_dir_shows_what_users_may_use_and_nothing_else():
    shown = set(dir(fastconv))
    assert shown == {
        *fastconv.__all__,
        "autograd",
        "dask",
        "graph",
        "limits",
        "ndimage",
        "nn",
        "onnx",
        "signal",
        "sklearn",
        "tiles",
        "tuning",
        "typing",
        "__all__",
        "__doc__",
        "__version__",
    }
    assert all(hasattr(fastconv, name) for name in shown)


def test_a_layout_is_compared_in_one_place():
    from test_rooms import modules

    compared = {f'{sign} "{layout}"' for sign in ("==", "!=", "in") for layout in LAYOUTS}
    for name, path in modules().items():
        if name != "problem.layout" and not name.startswith(("bench", "demo")):
            source = path.read_text(encoding="utf-8")
            assert not [words for words in compared if words in source], name
