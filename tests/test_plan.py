"""Plans: the same as the call in one, for any image; the same bits in any thread and after pickling."""

import copy
import pickle
import pickletools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv
from checks import assert_close, eps, normal, to_layout, weight_to_layout
from conftest import COMPILED

PLANS = {
    "conv2d": (fastconv.plan_conv2d, fastconv.conv2d, (8, 3, 3, 3), {"stride": 2, "padding": 1, "groups": 2}),
    "conv2d 3x3": (
        fastconv.plan_conv2d,
        fastconv.conv2d,
        (16, 6, 3, 3),
        {"padding": "same", "activation": "silu"},
    ),
    "reflect": (
        fastconv.plan_conv2d,
        fastconv.conv2d,
        (8, 6, 3, 3),
        {"padding": 1, "padding_mode": "reflect"},
    ),
    "depthwise": (fastconv.plan_depthwise_conv2d, fastconv.depthwise_conv2d, (12, 1, 3, 3), {"dilation": 2}),
    "transposed": (
        fastconv.plan_conv_transpose2d,
        fastconv.conv_transpose2d,
        (6, 5, 4, 4),
        {"stride": 2, "output_padding": 1, "activation": ("clip", -1, 1)},
    ),
}


@pytest.fixture(params=PLANS)
def planned(request, backend, layout, dtype):
    """(plan, the call in one, a maker of images) for one kind of plan."""
    make, function, shape, options = PLANS[request.param]
    weight = weight_to_layout(normal(shape, dtype=dtype), layout)
    outputs = shape[1] if request.param == "transposed" else shape[0]
    bias = normal((outputs,), dtype=dtype)
    options = options | {"layout": layout}

    def image(*size):
        return to_layout(normal((*size[:-2], 6, *size[-2:]), dtype=dtype), layout)

    return (
        make(weight, bias, **options),
        lambda x, **more: function(x, weight, bias, **options, **more),
        image,
    )


def assert_same(actual, expected):
    """But for rounding: where weights are used once, another algorithm may be best."""
    assert_close(actual, expected, 1000 * eps(expected.dtype) * (1 + np.abs(expected)), expected.dtype)


def test_equals_the_call_for_any_batch_and_size(planned):
    plan, function, image = planned
    for size in [(1, 7, 8), (3, 7, 8), (2, 12, 31), (5, 5), (0, 6, 6), (1, 7, 8)]:
        assert_same(plan(image(*size)), function(image(*size)))


def test_out_and_residual(planned):
    plan, function, image = planned
    x = image(2, 7, 8)
    expected = plan(x)
    out = np.full_like(expected, np.nan)
    assert plan(x, out) is out
    np.testing.assert_array_equal(out, expected)
    residual = normal(expected.shape, dtype=expected.dtype)
    assert_same(plan(x, residual=residual), function(x, residual=residual))
    assert (plan(x, residual=residual) != expected).any()
    np.testing.assert_array_equal(plan(x), expected)


def test_pickle(planned):
    plan, _, image = planned
    again = pickle.loads(pickle.dumps(plan))
    np.testing.assert_array_equal(again(image(2, 7, 8)), plan(image(2, 7, 8)))


class Derived(fastconv.Conv2dPlan):
    """What a user may make of a plan."""

    scale = 1

    def __call__(self, x):
        return super().__call__(x) * self.scale


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"protocol {n}": lambda plan, n=n: pickle.loads(pickle.dumps(plan, n)) for n in range(6)},
}


@pytest.mark.parametrize("way", COPIES)
def test_copies_and_pickles(backend, way):
    x = normal((2, 4, 9, 8))
    for plan in (
        fastconv.plan_conv2d(
            normal((6, 2, 3, 3)), normal((6,)), (2, 1), ((1, 0), (2, 1)), (1, 2), 2, input_shape=(4, 9, 8),
            padding_mode="replicate", activation=("leaky_relu", 0.25), precision="strict", algorithm="direct",
        ),
        fastconv.plan_depthwise_conv2d(normal((8, 1, 3, 3)), padding="same", activation="relu6"),
        fastconv.plan_conv_transpose2d(normal((4, 3, 3, 3)), None, 2, (1, 0), 1, 2, activation=("clip", -1, 2)),
    ):  # fmt: skip
        again = COPIES[way](plan)
        assert type(again) is type(plan)
        assert repr(again) == repr(plan)
        np.testing.assert_array_equal(again(x), plan(x))


@pytest.mark.parametrize("way", COPIES)
def test_copies_of_a_subclass_keep_what_it_added(way):
    plan = Derived.__new__(Derived)
    plan.__setstate__(fastconv.plan_conv2d(normal((6, 4, 3, 3))).__getstate__())
    plan.scale, plan.notes = 2.0, ["mine"]
    again, x = COPIES[way](plan), normal((2, 4, 9, 8))
    assert type(again) is Derived
    assert again.notes == ["mine"]
    np.testing.assert_array_equal(again(x), plan(x))


def test_pickles_name_what_users_name():
    """Not files of the package, which may move."""
    plan = fastconv.plan_conv2d(
        normal((4, 3, 3, 3)), padding="same", activation="silu", input_shape=(3, 9, 9)
    )
    modules = {
        name for op, name, _ in pickletools.genops(pickle.dumps(plan)) if op.name == "SHORT_BINUNICODE"
    }
    assert {name for name in modules if name.startswith("fastconv")} == {"fastconv"}


def argument(name, value):
    return lambda state: state["arguments"].__setitem__(name, value)


FORGERIES = {
    "stride": (argument("stride", (0, -5)), ValueError),
    "padding": (argument("padding", ((-100, 0), (0, 0))), ValueError),
    "dilation": (argument("dilation", (1 << 40, 1)), ValueError),
    "groups": (argument("groups", 0), ValueError),
    "no groups": (argument("groups", None), TypeError),
    "layout": (argument("layout", "NWHC"), ValueError),
    "activation": (argument("activation", ("clip", 3, 1)), ValueError),
    "bias": (argument("bias", np.ones(3)), ValueError),
    "weight": (argument("weight", np.ones((4, 3))), ValueError),
    "no weight": (argument("weight", None), TypeError),
    "objects": (argument("weight", np.full((4, 3, 3, 3), None)), TypeError),
    "backend": (argument("backend", "fortran"), ValueError),
    "input_shape": (argument("input_shape", (1, 2, 3)), ValueError),
    "tune": (argument("tune", "yes"), TypeError),
    "an unknown argument": (argument("kernel", 3), TypeError),
    "of another plan": (argument("output_padding", 1), TypeError),
    "not by name": (argument(3, 3), ValueError),
    "no arguments": (lambda state: state.pop("arguments") and None, ValueError),
    "a list": (lambda state: [state], ValueError),
    "nothing": (lambda state: {"weight": {}}, ValueError),
    "prepared weights": (lambda state: state["added"].__setitem__("_prepared", {}), ValueError),
    "a method": (lambda state: state["added"].__setitem__("_prepare", print), ValueError),
    "no name": (lambda state: state["added"].__setitem__(3, 3), ValueError),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_pickle_meets_the_checks_of_the_function(name):
    change, error = FORGERIES[name]
    plan = fastconv.plan_conv2d(normal((4, 3, 3, 3)), normal((4,)))
    state = copy.deepcopy(plan.__getstate__())
    state = change(state) or state
    with pytest.raises(error, match=r"plan_conv2d|Conv2dPlan") as caught:
        fastconv.Conv2dPlan.__new__(fastconv.Conv2dPlan).__setstate__(state)
    assert caught.type is error


@pytest.mark.parametrize("value", ["yes", "", 1, None])
@pytest.mark.parametrize(
    "make", [fastconv.plan_conv2d, fastconv.plan_depthwise_conv2d, fastconv.plan_conv_transpose2d]
)
def test_tune_is_true_or_false(make, value):
    weight = normal((4, 1, 3, 3))
    with pytest.raises(TypeError, match=f"{make.__name__}: tune is {value!r} .*needs True or False"):
        make(weight, tune=value)
    assert make(weight, tune=np.False_).__getstate__()["arguments"]["tune"] is False


@pytest.mark.parametrize(
    "use", [repr, lambda plan: plan(normal((1, 3, 5, 5))), lambda plan: plan.explain(), pickle.dumps]
)
def test_a_plan_that_was_never_made(use):
    with pytest.raises(RuntimeError, match="Conv2dPlan: this plan was never made"):
        use(fastconv.Conv2dPlan.__new__(fastconv.Conv2dPlan))
    with pytest.raises(AttributeError, match="'Conv2dPlan' object has no attribute 'kernel'"):
        _ = fastconv.plan_conv2d(normal((4, 3, 3, 3))).kernel


def test_threads_share_a_plan(planned):
    plan, _, image = planned
    again = pickle.loads(pickle.dumps(plan))  # `plan` itself is to prepare its weights in the threads
    sizes = [(1, 7, 8), (2, 12, 31), (1, 5, 6), (3, 9, 9)]
    expected = {size: again(image(*size)) for size in sizes}
    with ThreadPoolExecutor(4) as pool:
        for size, result in [(size, pool.submit(plan, image(*size))) for size in sizes * 6]:
            np.testing.assert_array_equal(result.result(), expected[size])


def test_explain(planned, backend):
    plan, _, image = planned
    words = plan.explain(image(1, 7, 8).shape)
    assert "FLOP" in words
    if backend == "cython":
        assert fastconv.backends.cython.INSTRUCTION_SET in words
        assert "workspace" in words


def test_stays_as_it_was_made(backend):
    """Later writes to the weights do not reach a plan, nor does another backend become current in it."""
    x, weight, bias = normal((1, 3, 6, 6)), normal((4, 3, 3, 3)), normal((4,))
    expected = fastconv.conv2d(x, weight, bias)
    plan = fastconv.plan_conv2d(weight, bias)
    weight[...] = bias[...] = 0
    np.testing.assert_array_equal(plan(x), expected)
    for other in fastconv.available_backends():
        with fastconv.use_backend(other):
            np.testing.assert_array_equal(plan(x), expected)


def test_input_shape_is_a_hint(backend, layout, dtype):
    weight = weight_to_layout(normal((4, 3, 3, 3), dtype=dtype), layout)
    shape = to_layout(np.empty((1, 3, 9, 8)), layout).shape
    plan = fastconv.plan_conv2d(weight, padding=1, layout=layout, input_shape=shape)
    for size in [(1, 3, 9, 8), (2, 3, 5, 17)]:
        x = to_layout(normal(size, dtype=dtype), layout)
        expected = fastconv.conv2d(x, weight, padding=1, layout=layout)
        assert_close(plan(x), expected, 200 * eps(dtype), dtype)
    assert "FLOP" in plan.explain()
    with pytest.raises(ValueError, match="channels"):
        fastconv.plan_conv2d(
            weight, layout=layout, input_shape=to_layout(np.empty((1, 7, 9, 8)), layout).shape
        )


@pytest.mark.parametrize(
    "kinds", [("float64", "float32"), ("uint8", "float32"), ("float16", "float16"), ("float32", "float64")]
)
def test_one_plan_for_images_of_any_dtype(backend, kinds):
    x = np.abs(normal((1, 3, 6, 7)) * 9).astype(kinds[0])
    weight = normal((4, 3, 3, 3)).astype(kinds[1])
    plan = fastconv.plan_conv2d(weight)
    plan(np.ones((1, 3, 6, 7), dtype=np.float32))
    np.testing.assert_array_equal(plan(x), fastconv.conv2d(x, weight), strict=True)


@pytest.mark.parametrize("shape", [(1, 5, 7, 8), (1, 3, 2, 8), (3, 8), (1, 1, 3, 7, 8)], ids=str)
def test_wrong_images_are_refused(backend, shape):
    plan = fastconv.plan_conv2d(normal((4, 3, 3, 3)))
    with pytest.raises(ValueError, match=r"^(plan_)?conv2d: ") as caught:
        plan(np.zeros(shape))
    assert caught.type is ValueError
    with pytest.raises(TypeError, match=r"^(plan_)?conv2d: "):
        plan(np.zeros((1, 3, 7, 8), dtype=complex))


@pytest.mark.parametrize("backend", COMPILED, indirect=True)
def test_weights_of_every_algorithm_fit_any_image(backend):
    """Also one so small that some of a transposed convolution's interleaved grids have no pixel."""
    weight = normal((128, 8, 14, 14), dtype=np.float32)
    options = {"stride": 2, "padding": (2, 7), "output_padding": (0, 1)}
    wide, narrow = (normal((1, 128, 9, columns), dtype=np.float32) for columns in (9, 1))
    used = 0
    for name in fastconv.algorithms():
        try:
            plan = fastconv.plan_conv_transpose2d(weight, algorithm=name, input_shape=wide.shape, **options)
        except ValueError:
            continue
        used += 1
        for x in (wide, narrow):
            expected = fastconv.conv_transpose2d(x, weight, algorithm="direct", **options)
            tolerance = 1e-4 * np.abs(expected).max()
            assert_close(plan(x), expected.astype(np.float64), tolerance, np.float32)
    assert used >= 4


def test_explain_describes_the_last_call(backend):
    """Also where that call took a shortcut, as the third one does."""
    plan = fastconv.plan_conv2d(normal((4, 3, 3, 3), dtype=np.float32))
    for size in (9, 11, 9):
        plan(normal((1, 3, size, size), dtype=np.float32))
        assert plan.explain() == plan.explain((1, 3, size, size))
    assert plan.explain() != plan.explain((1, 3, 11, 11))


def test_algorithm_is_the_one_that_explain_names(backend):
    plan = fastconv.plan_conv2d(np.ones((5, 3, 3, 3), np.float32), padding=1, backend=backend)
    with pytest.raises(ValueError, match="input_shape is None"):
        plan.algorithm()
    name = plan.algorithm((1, 3, 20, 20))
    assert name in fastconv.algorithms(backend)
    assert name in plan.explain((1, 3, 20, 20)).splitlines()[1 if backend == "cython" else 0]
    plan(np.ones((1, 3, 9, 9), np.float32))
    assert plan.algorithm() == plan.algorithm((1, 3, 9, 9))
