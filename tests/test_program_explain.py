"""What programs tell of themselves: `explain` and `profile`, on every backend."""

import html
import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, helper

import fastconv
from fastconv.graph.costs import flops_of, words_of
from fastconv.graph.graph import Graph, Node, Value
from fastconv.graph.program import Program
from fastconv.graph.program.steps import BYTES_A_CYCLE
from fastconv.limits import Bandwidth, Limits, Peak
from onnx_models import FLOAT, classifier, model, node

X = np.random.default_rng(1).normal(size=(2, 3, 12, 12)).astype(np.float32)


@pytest.fixture
def program(backend):
    return fastconv.onnx.load(classifier(), backend=backend).compile({"x": X.shape})


def known_limits(monkeypatch):
    peaks = tuple(Peak("any", dtype, 1e9, 2e9) for dtype in ("float32", "float64"))
    made = Limits(
        "p", "0", "2026-01-01", 2, "any", peaks, (Bandwidth("memory", 1 << 28, 1e9, 1e9, 1e9, 1e9),), 0.0
    )
    monkeypatch.setattr("fastconv.limits.cached_limits", lambda: made)
    return made


def test_every_step_is_listed_with_its_cost(program, backend):
    text = program.explain()
    rows = [line for line in text.splitlines() if re.match(r" *\d+  ", line)]
    assert len(rows) == len(program.steps())
    conv = next(row for row in rows if "Conv 3x3 stride 2" in row)
    assert "2x4x6x6" in conv
    assert f"{2 * 2 * 4 * 36 * 27 / 1e3:.1f} k" in conv
    assert ("predicted" in text) == (backend == "cython")
    assert "input  x: float32 2x3x12x12" in text


def test_the_steps_that_python_runs_are_named():
    if "cython" not in fastconv.available_backends():
        pytest.skip("needs the cython backend")
    program = fastconv.onnx.load(classifier(), backend="cython").compile({"x": X.shape})
    told = program.explain().partition("in Python:")[2]
    slow = [step for step in program.steps() if step.where == "Python"]
    assert {str(step.node).split()[0] for step in slow} >= {"If"}
    assert all(str(step.node) in told for step in slow)
    plain = model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, [2])}, {"y": (FLOAT, [2])})
    text = fastconv.onnx.load(plain, backend="cython").compile().explain()
    assert "Every step runs in C." in text
    assert "No pass changed anything." in text or "pass" in text


def test_what_was_fused_is_told_in_short_and_kept_in_full(program):
    assert program.applied
    text = program.explain()
    for one in program.applied:
        assert one.lines[0] in text
    many = replace(program.applied[0], lines=tuple(f"line {i}" for i in range(9)))
    program.applied = [many]
    text = program.explain()
    assert "line 3" in text
    assert "line 4" not in text
    assert "... and 5 more" in text


def test_a_profile_has_a_row_for_each_step(program, backend, monkeypatch):
    limits = known_limits(monkeypatch)
    profile = program.profile(X, rounds=3)
    assert [time.step for time in profile.steps] == program.steps()
    assert len(profile.calls) == 3
    assert all(len(time.rounds) == 3 and time.seconds > 0 for time in profile.steps)
    assert sum(time.share for time in profile.steps) == pytest.approx(1)
    sums = profile.by_operation()
    assert sum(one.seconds for one in sums) == pytest.approx(sum(time.seconds for time in profile.steps))
    assert sum(one.steps for one in sums) == len(profile.steps)
    assert [one.seconds for one in sums] == sorted((one.seconds for one in sums), reverse=True)
    conv = next(time for time in profile.steps if time.step.operation.startswith("Conv"))
    assert conv.rate == pytest.approx(2 * 2 * 4 * 36 * 27 / conv.seconds)
    work = conv.step.operations, conv.step.bytes, "float32", profile.threads
    assert conv.bound == limits.attainable(*work)
    assert conv.reached == pytest.approx(conv.bound / conv.seconds)
    assert profile.backend == backend
    for text in (str(profile), html.unescape(profile._repr_html_())):
        assert "Conv 3x3 stride 2" in text
        assert "reached: of what the machine's limits allow" in text


def test_without_limits_nothing_is_reached(program, monkeypatch):
    monkeypatch.setattr("fastconv.limits.cached_limits", lambda: None)
    profile = program.profile(X, rounds=1)
    assert all(math.isnan(time.reached) for time in profile.steps)
    assert "fastconv info --measure does" in str(profile)


def test_a_profile_computes_what_a_call_does(program):
    runs = program._runs
    before = program(X)
    times = runs.profile(X)
    assert len(times) == len(program.steps())
    np.testing.assert_array_equal(program(X), before)


@pytest.mark.parametrize(("rounds", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_rounds_that_are_none(program, rounds, error):
    with pytest.raises(error, match="profile: rounds"):
        program.profile(X, rounds=rounds)


def test_wrong_input(program):
    with pytest.raises(ValueError, match="has shape"):
        program.profile(X[:1])


def test_names_of_values_are_escaped_for_notebooks(backend):
    named = model([node("Relu", ["x"], ["<y>"])], {"x": (FLOAT, [2])}, {"<y>": (FLOAT, [2])})
    profile = fastconv.onnx.load(named, backend=backend).compile().profile(np.zeros(2, np.float32), rounds=1)
    assert "&lt;y&gt;" in profile._repr_html_()
    assert "<y>" not in profile._repr_html_()


def made(operation, shapes, out, **attributes):
    values = [Value(f"v{i}", np.dtype(np.float32), shape) for i, shape in enumerate(shapes)]
    return Node(operation, values, [Value("y", np.dtype(np.float32), out)], attributes)


@pytest.mark.parametrize(
    ("case", "flops"),
    [
        (made("Conv", [(1, 6, 8, 8), (4, 3, 3, 3)], (1, 4, 6, 6), group=2), 2 * 144 * 27),
        (made("ConvTranspose", [(1, 6, 5, 5), (6, 2, 3, 3)], (1, 2, 7, 7)), 2 * 150 * 18),
        (made("fastconv.Dense", [(5, 7), (3, 7)], (5, 3)), 2 * 15 * 7),
        (made("Gemm", [(7, 5), (7, 3)], (5, 3), transA=1), 2 * 15 * 7),
        (made("MatMul", [(2, 5, 7), (7, 3)], (2, 5, 3)), 2 * 30 * 7),
        (made("Conv", [("N", 6, 8, 8), (4, 3, 3, 3)], ("N", 4, 6, 6)), 0),
        (made("LSTM", [(6, 2, 5), (1, 12, 5), (1, 12, 3)], (6, 1, 2, 3)), 2 * 12 * (60 + 36)),
        (made("Relu", [(3,)], (3,)), 0),
    ],
    ids=lambda case: getattr(case, "operation", ""),
)
def test_flops(case, flops):
    assert flops_of(case) == flops


def test_words():
    conv = made("fastconv.Conv", [(1, 6, 8, 8), (6, 1, 3, 3), (6,), (1, 6, 4, 4)], (1, 6, 4, 4), group=6)
    conv.attributes |= {"strides": (2, 2), "activation": "relu"}
    assert words_of(conv) == "Conv 3x3 stride 2 group 6 + Add + relu"
    pool = made("MaxPool", [(1, 6, 8, 8)], (1, 6, 4, 8), kernel_shape=(3, 1), strides=(2, 1))
    assert words_of(pool) == "MaxPool 3x1 stride 2x1"
    values = [Value(str(i), np.dtype(np.float32), (3,)) for i in range(9)]
    body = Graph(values[:1], values[-1:], [Node("Relu", [a], [b]) for a, b in pairwise(values)])
    region = made("fastconv.Elementwise", [(3,)], (3,), body=body)
    assert words_of(region) == " + ".join(["Relu"] * 6 + ["2 more"])


def test_a_pickled_program_tells_the_same(program):
    import pickle

    again = pickle.loads(pickle.dumps(program))
    assert isinstance(again, Program)
    assert again.explain() == program.explain()


def test_memory(program, backend):
    memory = program.memory()
    assert memory.results == 4 * 2 * 36
    assert memory.peak == memory.arena + memory.results + memory.weights + memory.constants
    if backend.startswith("cython"):
        assert memory.weights >= 4 * 4 * 27
        assert memory.arena >= 4 * 2 * 4 * 36
        assert memory.arena == program._runs.arena_bytes
        assert memory.constants < 4 * 4 * 27  # those of the convolution are packed
    else:
        assert memory.constants >= 4 * (4 * 27 + 4)
        assert memory.arena == memory.weights == 0


def test_predicted_cycles(program, backend):
    steps = program.steps()
    if not backend.startswith("cython"):
        assert all(step.cycles == 0 for step in steps)
        return
    conv = next(step for step in steps if step.weight_bytes)
    others = [step for step in steps if not step.weight_bytes]
    assert conv.cycles > 0
    assert all(step.cycles == step.bytes / BYTES_A_CYCLE > 0 for step in others)


def test_a_branch_that_cannot_be_compiled_is_told_in_its_place():
    """A file may never take it."""
    if "cython" not in fastconv.available_backends():
        pytest.skip("needs the cython backend")

    def body(name, nodes):
        output = helper.make_tensor_value_info(name, FLOAT, None)
        return helper.make_graph(nodes, name, [], [output])

    nodes = [
        node(
            "If",
            ["c"],
            ["y"],
            then_branch=body("a", [node("Conv", ["x", "w"], ["a"])]),
            else_branch=body("b", [node("Conv", ["x", "w", "odd"], ["b"])]),
        )
    ]
    constants = {"w": np.ones((4, 3, 3, 3), np.float32), "odd": np.ones(1, np.float32)}
    inputs = {"x": (FLOAT, X.shape), "c": (TensorProto.BOOL, [])}
    data = model(nodes, inputs, {"y": (FLOAT, None)}, constants)
    program = fastconv.onnx.load(data, backend="cython").compile()
    assert program({"x": X, "c": np.array(True)}).shape == (2, 4, 10, 10)
    assert len(program.convolutions()) == 1
    assert program.memory().arena >= 0
    assert "a branch of an If cannot be compiled" in program.explain()
    assert "bias" in program.explain().partition("a branch of an If")[2]
    with pytest.raises(fastconv.onnx.ModelError, match="bias"):
        program({"x": X, "c": np.array(False)})
