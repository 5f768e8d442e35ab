"""Elementwise nodes and regions as steps in C: every operation's digits, truth values, regions of any size."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv
from fastconv.graph import Interpreter, Node
from fastconv.graph.program import Program
from passes_oracle import Net, agree

DTYPES = [np.float32, np.float64]
RNG = np.random.default_rng(3)
# More digits than either dtype has, where the platform's long double does; of erf, those of double.
LONG = np.longdouble
erf = np.vectorize(lambda x: LONG(math.erf(float(x))))


def run(net, *outputs, optimize=False):
    """The results, and the steps; all are in C where there is C."""
    graph, backend = net.graph(*outputs), fastconv.get_backend()
    shapes = {value.name: array.shape for value, array in zip(net.inputs, net.arrays, strict=True)}
    program = Program(graph, shapes, backend, optimize=optimize)
    if backend == "cython":
        steps = program._runs.steps
        assert not [step.operation for step in steps if isinstance(step, Node)]
    results = [program._run(net.arrays) for _ in range(2)][1]
    return [np.asarray(result) for result in results]


def check(net, *outputs, tolerance=1e-5, optimize=False):
    expected = Interpreter(net.graph(*outputs))(*net.arrays)
    for actual, wanted in zip(run(net, *outputs, optimize=optimize), expected, strict=True):
        agree(actual, np.asarray(wanted), tolerance)


def of(operation, *arrays, **attributes):
    net = Net()
    values = [net.input(*array.shape, dtype=array.dtype) for array in arrays]
    net.arrays[:] = arrays
    return run(net, net(operation, *values, **attributes))[0]


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


# Where digits are lost if anywhere: around zeros, far out, and next to where the formula changes.
DIGITS = {
    "Exp": (np.exp, [(-1, 1), (-87, 88.7), (88.2, 88.72)]),
    "Log": (np.log, [(0.5, 2), (0.999, 1.001), (1e-37, 1e-3), (1, 1e38)]),
    "Erf": (erf, [(-1, 1), (0.9, 1.2), (-7, 7), (-1e-6, 1e-6)]),
    "Softplus": (softplus, [(-1, 1), (-80, 80), (-1e-5, 1e-5)]),
    "Mish": (lambda x: x * np.tanh(softplus(x)), [(-1, 1), (-60, 30)]),
    "Elu": (lambda x: np.where(x < 0, np.expm1(x), x), [(-1, 1), (-30, 1)]),
    "Softsign": (lambda x: x / (1 + np.abs(x)), [(-3, 3)]),
    "Sqrt": (np.sqrt, [(0, 3)]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", DIGITS)
def test_digits(backend, operation, dtype):
    if backend != "cython":
        pytest.skip("the interpreter is NumPy's")
    function, ranges = DIGITS[operation]
    x = np.concatenate([RNG.uniform(*bounds, 3001) for bounds in ranges]).astype(dtype)
    with np.errstate(all="ignore"):
        within_units(of(operation, x), function(x.astype(LONG)), dtype)


def within_units(actual, wanted, dtype, units=4):
    normal = np.abs(wanted) >= np.finfo(dtype).tiny
    error = np.abs(actual.astype(LONG) - wanted) / np.spacing(np.abs(wanted).astype(dtype))
    assert error[normal].max() < units


@pytest.mark.parametrize("dtype", DTYPES)
def test_digits_of_powers(backend, dtype):
    """Large exponents of numbers near 1, and whatever has a result between the least and the largest number."""
    if backend != "cython":
        pytest.skip("the interpreter is NumPy's")
    most = float(np.log(np.finfo(dtype).max)) * 0.98
    x = np.exp(RNG.choice([0.3, 2, 40], 9001) * RNG.uniform(-1, 1, 9001)).astype(dtype)
    y = (RNG.uniform(-most, most, 9001) / np.log(x)).astype(dtype)
    within_units(of("Pow", x, y), np.power(x.astype(LONG), y.astype(LONG)), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", ["Pow", "Mod", "fmod", "Max", "Min", "Div"])
def test_what_is_not_a_usual_number(backend, operation, dtype):
    values = [0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 2, -2, 0.5, -0.5, 3, -3, 2.5, 4097, -4097, 2.0**60]
    x, y = (each.ravel() for each in np.meshgrid(np.array(values, dtype), np.array(values, dtype)))
    attributes = {"fmod": 1} if operation == "fmod" else {}
    name = "Mod" if operation == "fmod" else operation
    functions = {"Pow": np.power, "Mod": np.mod, "fmod": np.fmod, "Max": np.maximum, "Min": np.minimum}
    with np.errstate(all="ignore"):
        wanted = functions.get(operation, np.divide)(x, y)
    actual = of(name, x, y, **attributes)
    np.testing.assert_allclose(actual, wanted, rtol=4 * np.finfo(dtype).eps)
    kept = ~np.isnan(wanted)
    if operation in ("Max", "Min"):  # of two zeros either may win
        kept &= wanted != 0
    np.testing.assert_array_equal(np.signbit(actual)[kept], np.signbit(wanted)[kept])


UNARY = {
    "Acos": {}, "Acosh": {}, "Asin": {}, "Asinh": {}, "Atan": {}, "Atanh": {}, "Celu": {"alpha": 1.5}, "Cos": {},
    "Cosh": {}, "Erf": {}, "Exp": {}, "Gelu": {"approximate": "tanh"}, "IsInf": {}, "IsNaN": {}, "Log": {},
    "Shrink": {"bias": 0.3, "lambd": 0.7}, "Sign": {}, "Sin": {}, "Sinh": {}, "Softplus": {}, "Softsign": {},
    "Swish": {"alpha": 0.7}, "Tan": {}, "ThresholdedRelu": {"alpha": 0.5}, "com.microsoft.QuickGelu": {},
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", UNARY)
def test_unary(backend, operation, dtype):
    """Over sizes around vectors and tiles; special values too."""
    for size in (1, 7, 1025, 2500):
        net = Net()
        x = net.input(size, dtype=dtype)
        lowest = -100.0 if operation in ("Gelu", "Swish", "com.microsoft.QuickGelu") else -np.inf
        special = [0.0, -0.0, np.inf, lowest, np.nan, 1.0, -1.0]
        net.arrays[0][: min(size, 7)] = special[:size]
        with np.errstate(all="ignore"):
            check(
                net, net(operation, x, **UNARY[operation]), tolerance=5e-7 if dtype == np.float32 else 1e-15
            )


@pytest.mark.one_instruction_set
def test_which_infinity():
    x = np.array([1, np.inf, -np.inf, np.nan], np.float32)
    with fastconv.use_backend("cython"):
        for negative, positive in ((0, 1), (1, 0), (0, 0), (1, 1)):
            given = {"detect_negative": negative, "detect_positive": positive}
            np.testing.assert_array_equal(of("IsInf", x, **given), [0, positive, negative, 0])


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_by_constants(backend, dtype):
    net = Net()
    x = net.input(3, 700, dtype=dtype)
    net.arrays[0][:] = np.abs(net.arrays[0]) + 0.01
    numbers = (2, 3, 1, -1, 0.5, 0, 2.2, -1.5)
    whole = [np.array([2]), np.int32(3)]  # an exponent may be of another dtype
    powers = [net("Pow", x, exponent) for exponent in [*(np.array([n], dtype) for n in numbers), *whole]]
    check(net, *powers, tolerance=1e-6)


COMPARISONS = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", COMPARISONS)
def test_comparisons(backend, operation, dtype):
    for shapes in (((2, 3, 501), (3, 1)), ((5,), (5,)), ((), (1, 7)), ((0, 3), (3,))):
        net = Net()
        x, y = (net.input(*shape, dtype=dtype) for shape in shapes)
        net.arrays[:] = [np.asarray(np.round(array), dtype) for array in net.arrays]
        if shapes[0] == (5,):
            net.arrays[0][:], net.arrays[1][:] = (
                [np.nan, 0.0, np.inf, 1, 2],
                [np.nan, -0.0, np.inf, np.nan, 1],
            )
        check(net, net(operation, x, y), tolerance=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_truth_values_from_and_to_arrays(backend, dtype):
    """Given, given out, broadcast, as constants, and cast from and to numbers."""
    net = Net()
    x, y = net.input(2, 3, 700, dtype=dtype), net.input(3, 1, dtype=dtype)
    truth, other = net.input(2, 1, 700, dtype=bool), net.input(3, 1, dtype=bool)
    net.arrays[2][:], net.arrays[3][:] = RNG.random((2, 1, 700)) < 0.5, [[True], [False], [True]]
    number = 1 if dtype == np.float32 else 11
    chosen = net("Where", truth, x, y)
    check(
        net,
        chosen,
        net("Where", np.array([True, False] * 350), x, y),
        *(net(operation, truth, other) for operation in ("And", "Or", "Xor", "Equal")),
        net("Not", truth),
        net("Cast", truth, to=number),
        net("Cast", net("Round", x), to=9),
        net("Where", net("Or", net("Greater", x, y), truth), net("Neg", x), net("Exp", y)),
        tolerance=1e-6 if dtype == np.float32 else 1e-14,
    )


@pytest.mark.one_instruction_set
def test_casts_that_round_stay_in_python(backend):
    """bfloat16 is held in float32."""
    net = Net()
    y = net("Cast", net.input(3, 5), to=16)
    graph = net.graph(y)
    shapes = {value.name: array.shape for value, array in zip(net.inputs, net.arrays, strict=True)}
    (actual,), (wanted,) = (
        Program(graph, shapes, backend, optimize=False)._run(net.arrays),
        Interpreter(graph)(*net.arrays),
    )
    np.testing.assert_array_equal(actual, wanted)
    assert (actual != net.arrays[0]).any()


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("operation", ["Max", "Mean", "Min", "Sum"])
@pytest.mark.parametrize("count", [1, 2, 3, 9, 40])
def test_any_number_of_inputs(backend, operation, count):
    net = Net()
    inputs = [net.input(3, 70) for _ in range(count)]
    check(net, net(operation, *inputs))


@pytest.mark.one_instruction_set
@pytest.mark.parametrize(
    "bounds", [(np.float32(-0.5), None), (None, np.float32(1)), (np.float32(1), np.float32(-1))]
)
def test_bounds(backend, bounds):
    net = Net()
    x, low, high = net.input(3, 70), net.input(), net.input(1)
    check(net, net("Clip", x, *bounds), net("Clip", x, low, high), net("Clip", x), tolerance=0)


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("length", [20, 24, 25, 60, 200])
def test_regions_of_any_length(backend, length):
    """Longer ones than a step has room for are several."""
    net = Net()
    y = net.input(3, 5)
    for place in range(length):
        y = net("Sigmoid" if place % 2 else "Abs", y)
    check(net, y, optimize=True)


PAIRS = ["Add", "Sub", "Mul", "Max", "Min"]


@given(st.lists(st.tuples(st.sampled_from([*PAIRS, "Tanh", "Sigmoid", "Where"]), st.integers(0, 99),
                          st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=80),
       st.sampled_from(DTYPES))  # fmt: skip
def test_regions_of_any_form(backend, code, dtype):
    """Values that are read early and late, so that a cut has to hand several on; many operands."""
    net = Net()
    shapes = [
        (2, 3, 40),
        (3, 1),
        (40,),
        (2, 3, 40),
        (1,),
        (2, 1, 1),
        (2, 3, 40),
        (3, 40),
        (2, 3, 40),
        (2, 3, 40),
    ]
    values = [net.input(*shape, dtype=dtype) for shape in shapes]
    for operation, a, b, c in code:
        x, y, z = (values[place % len(values)] for place in (a, b, c))
        if operation in PAIRS:
            values.append(net("Tanh", net(operation, x, y)))
        elif operation == "Where":
            # Of what was given alone, so that no rounding decides.
            values.append(net("Where", net("Less", values[a % len(shapes)], values[b % len(shapes)]), y, z))
        else:
            values.append(net(operation, x))
    check(net, values[-1], optimize=True, tolerance=1e-4 if dtype == np.float32 else 1e-12)


@pytest.mark.one_instruction_set
def test_a_ladder(backend):
    """Every value is read by the next two: none is computed more than a few times."""
    net = Net()
    values = [net.input(3, 50), net.input(3, 50)]
    for _ in range(70):
        values.append(net("Tanh", net("Add", values[-1], values[-2])))
    graph = net.graph(values[-1])
    check(net, values[-1], optimize=True)
    if backend == "cython":
        shapes = {value.name: array.shape for value, array in zip(net.inputs, net.arrays, strict=True)}
        steps = Program(graph, shapes, backend)._runs.steps
        assert sum(step.flops for step in steps) < 4 * 150 * 140
        assert all(len(step.algorithm.split()) <= 24 for step in steps)
        assert all(first.out != second.out for first, second in pairwise(steps))
