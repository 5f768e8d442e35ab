"""`fastconv.autograd` against central differences: both modes, twice differentiated, on every backend."""

import inspect
from dataclasses import dataclass

import numpy as np
import pytest

import fastconv
from checks import normal, to_layout, weight_to_layout
from fastconv.ops.table import OPERATIONS

autograd = pytest.importorskip("autograd")
anp = pytest.importorskip("autograd.numpy")
fa = pytest.importorskip("fastconv.autograd")
from autograd.test_util import check_grads  # noqa: E402

pytestmark = pytest.mark.one_instruction_set

ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish", "gelu",
    ("leaky_relu", -0.5), ("clip", -1, 0.5),
)  # fmt: skip
IMAGES = ("x", "residual")
WEIGHTS = ("weight", "depthwise_weight", "pointwise_weight")
POSITIONAL = ("x", "offset", *WEIGHTS, "bias")


@pytest.fixture(autouse=True)
def directions():
    """`check_grads` draws its directions from NumPy's global generator."""
    np.random.seed(0)  # noqa: NPY002


@dataclass(frozen=True)
class Case:
    """One operation: the shapes of its arrays, by name, in NCHW order, and its other arguments."""

    operation: str
    shapes: tuple
    options: tuple
    non_negative: bool = False

    @property
    def function(self):
        return getattr(fa, self.operation)

    @property
    def has_layouts(self):
        return "layout" in inspect.signature(self.function).parameters

    def arrays(self, layout="NCHW", batched=True):
        return {name: self._array(i, name, layout, batched) for i, (name, _) in enumerate(self.shapes)}

    def _array(self, i, name, layout, batched):
        array = normal(self.shapes[i][1], seed=i)
        if self.non_negative:
            array = abs(array) + 0.01
        if name in WEIGHTS:
            return _weight_in_layout(array, layout)
        if name == "bias":
            return array
        array = array if batched else array[0]
        return _image_in_layout(array, layout, self.operation) if name in IMAGES else array

    def keywords(self, layout="NCHW"):
        return dict(self.options) | ({"layout": layout} if self.has_layouts else {})

    def check(self, layout, batched, by_name, **how):
        keywords = self.keywords(layout)
        arrays = self.arrays(layout, batched)

        def function(*values):
            if by_name or self.operation.endswith("_norm"):
                return self.function(**dict(zip(arrays, values, strict=True)), **keywords)
            count = sum(name in POSITIONAL for name in arrays)
            others = dict(zip(list(arrays)[count:], values[count:], strict=True))
            return self.function(*values[:count], **others, **keywords)

        check_grads(function, tuple(range(len(arrays))), **how)(*arrays.values())


def _image_in_layout(array, layout, operation):
    if layout == "NCHW" or "1d" not in operation:
        return to_layout(array, layout)
    return np.ascontiguousarray(np.moveaxis(array, -2, -1))


def _weight_in_layout(array, layout):
    if array.ndim == 1:
        return array
    if layout == "NCHW" or array.ndim == 4:
        return weight_to_layout(array, layout)
    return np.ascontiguousarray(array.transpose(2, 1, 0))


def case(operation, *, non_negative=False, arrays, **options):
    return Case(operation, tuple(arrays.items()), tuple(options.items()), non_negative)


X = {"x": (2, 4, 5, 4)}
CONV = X | {"weight": (3, 4, 3, 2), "bias": (3,)}
CHANNELS = {"weight": (4,), "bias": (4,)}
CASES = {
    "conv2d": case("conv2d", arrays=CONV),
    "conv2d, groups, strides, dilation": case(
        "conv2d", arrays=X | {"weight": (6, 2, 3, 2)}, groups=2, stride=(2, 1), dilation=(1, 2), padding=1
    ),
    "conv2d, same, residual": case(
        "conv2d", arrays=CONV | {"residual": (2, 3, 3, 2)}, stride=2, padding="same"
    ),
    "conv2d, full": case("conv2d", arrays=CONV, padding="full", stride=3),
    **{
        f"conv2d, {mode}": case("conv2d", arrays=CONV, padding=((2, 1), (0, 9)), padding_mode=mode)
        for mode in ("zeros", "reflect", "replicate", "circular")
    },
    "conv2d, constant": case(
        "conv2d", arrays=CONV, padding=((2, 1), (0, 9)), padding_mode="constant", padding_value=1.5
    ),
    "separable_conv2d, constant": case(
        "separable_conv2d",
        arrays=X | {"depthwise_weight": (4, 1, 3, 3), "pointwise_weight": (3, 4, 1, 1)},
        padding=1,
        padding_mode="constant",
        padding_value=-0.5,
    ),
    **{
        f"conv2d, {activation}": case(
            "conv2d", arrays=CONV | {"residual": (2, 3, 3, 3)}, activation=activation
        )
        for activation in ACTIVATIONS
    },
    "depthwise_conv2d": case(
        "depthwise_conv2d",
        arrays=X | {"weight": (8, 1, 3, 3), "bias": (8,)},
        padding=1,
        stride=2,
        activation="tanh",
    ),
    "separable_conv2d": case(
        "separable_conv2d",
        arrays=X | {"depthwise_weight": (4, 1, 3, 3), "pointwise_weight": (3, 4, 1, 1), "bias": (3,)},
        padding=1,
        padding_mode="circular",
        activation="silu",
    ),
    "separable_conv2d, residual": case(
        "separable_conv2d",
        arrays={
            "x": (2, 2, 4, 4),
            "depthwise_weight": (4, 1, 2, 3),
            "pointwise_weight": (3, 4, 1, 1),
            "residual": (2, 3, 3, 2),
        },
        activation="sigmoid",
    ),
    "conv_transpose2d": case(
        "conv_transpose2d",
        arrays={"x": (2, 4, 3, 2), "weight": (4, 3, 3, 2), "bias": (6,)},
        stride=(2, 3),
        padding=1,
        output_padding=1,
        groups=2,
        activation="relu",
    ),
    "conv_transpose2d, same, dilated": case(
        "conv_transpose2d",
        arrays={"x": (1, 2, 3, 2), "weight": (2, 3, 3, 2), "residual": (1, 3, 6, 4)},
        stride=2,
        dilation=2,
        padding="same",
        activation="gelu",
    ),
    "conv1d": case(
        "conv1d",
        arrays={"x": (2, 4, 7), "weight": (6, 2, 3), "bias": (6,), "residual": (2, 6, 4)},
        stride=2,
        padding=(1, 1),
        groups=2,
        padding_mode="reflect",
        activation="leaky_relu",
    ),
    "conv_transpose1d": case(
        "conv_transpose1d",
        arrays={"x": (2, 3, 4), "weight": (3, 2, 3), "bias": (2,), "residual": (2, 2, 8)},
        stride=2,
        padding=1,
        output_padding=1,
    ),
    "deform_conv2d": case(
        "deform_conv2d",
        arrays={
            "x": (1, 4, 4, 3),
            "offset": (1, 16, 3, 2),
            "weight": (2, 2, 2, 2),
            "bias": (2,),
            "mask": (1, 8, 3, 2),
        },
    ),
    "deform_conv2d, strides, padding, dilation": case(
        "deform_conv2d",
        arrays={"x": (2, 2, 4, 4), "offset": (2, 12, 2, 3), "weight": (2, 2, 2, 3)},
        stride=(2, 1),
        padding=((0, 1), (1, 0)),
        dilation=(2, 1),
    ),
    "unfold": case("unfold", arrays=X, kernel_size=(2, 3), padding=1, stride=2),
    "fold": case("fold", arrays={"x": (2, 8, 6)}, output_size=(4, 5), kernel_size=2, stride=2, padding=(0, 1)),
    "pad2d": case("pad2d", arrays=X, padding=((2, 1), (0, 3)), value=1.5),
    **{
        f"pad2d, {mode}": case("pad2d", arrays=X, padding=((2, 1), (0, 13)), mode=mode)
        for mode in ("reflect", "replicate", "circular")
    },
    "max_pool2d": case("max_pool2d", arrays=X, kernel_size=2),
    "max_pool2d, overlapping": case(
        "max_pool2d", arrays=X, kernel_size=(3, 2), stride=1, padding=1, dilation=(1, 2), ceil_mode=True
    ),
    "adaptive_max_pool2d": case("adaptive_max_pool2d", arrays=X, output_size=(3, 2)),
    "global_max_pool2d": case("global_max_pool2d", arrays=X),
    "global_max_pool2d, without axes": case("global_max_pool2d", arrays=X, keepdims=False),
    "fractional_max_pool2d": case("fractional_max_pool2d", arrays=X, kernel_size=2, output_size=3, rng=1),
    "stochastic_pool2d": case("stochastic_pool2d", arrays=X, kernel_size=2, rng=1, non_negative=True),
    "stochastic_pool2d, weighted": case(
        "stochastic_pool2d", arrays=X, kernel_size=3, stride=2, padding=1, training=False, non_negative=True
    ),
    "avg_pool2d": case("avg_pool2d", arrays=X, kernel_size=3, stride=2, padding=1, ceil_mode=True),
    "avg_pool2d, padding not counted": case(
        "avg_pool2d", arrays=X, kernel_size=2, stride=1, padding=1, count_include_pad=False
    ),
    "avg_pool2d, divisor": case("avg_pool2d", arrays=X, kernel_size=2, divisor_override=3),
    "adaptive_avg_pool2d": case("adaptive_avg_pool2d", arrays=X, output_size=(3, None)),
    "global_avg_pool2d": case("global_avg_pool2d", arrays=X),
    "global_avg_pool2d, without axes": case("global_avg_pool2d", arrays=X, keepdims=False),
    "lp_pool2d, 1": case("lp_pool2d", arrays=X, norm_type=1, kernel_size=2),
    "lp_pool2d, 2": case("lp_pool2d", arrays=X, norm_type=2, kernel_size=2, stride=1, padding=1, dilation=2),
    "lp_pool2d, 2.5": case("lp_pool2d", arrays=X, norm_type=2.5, kernel_size=3, stride=2, ceil_mode=True),
    "lp_pool2d, infinity": case("lp_pool2d", arrays=X, norm_type=np.inf, kernel_size=2, stride=1),
    "local_response_norm": case("local_response_norm", arrays=X, size=3, alpha=0.5),
    "local_response_norm, even": case("local_response_norm", arrays=X, size=2, alpha=2, beta=1.5, k=2),
    "local_response_norm, all channels": case("local_response_norm", arrays=X, size=9, alpha=1),
    "batch_norm": case(
        "batch_norm", arrays=X | CHANNELS, running_mean=None, running_var=None, training=True
    ),
    "batch_norm, known": case(
        "batch_norm", arrays=X | CHANNELS, running_mean=np.arange(4.0), running_var=np.arange(1.0, 5.0)
    ),
    "pixel_shuffle": case("pixel_shuffle", arrays=X, upscale_factor=2),
    "pixel_unshuffle": case("pixel_unshuffle", arrays={"x": (2, 3, 4, 6)}, downscale_factor=2),
    "channel_shuffle": case("channel_shuffle", arrays=X, groups=2),
    "group_norm": case("group_norm", arrays=X | CHANNELS, num_groups=2),
    "instance_norm": case("instance_norm", arrays=X | CHANNELS),
    "layer_norm": case("layer_norm", arrays=X | CHANNELS, normalized_shape=4),
    "resize2d": case("resize2d", arrays=X, size=(7, 3), mode="cubic"),
    "softmax": case("softmax", arrays=X, dim=-3),
    "log_softmax": case("log_softmax", arrays=X, dim=-1),
    "dense": case("dense", arrays={"x": (2, 3, 4), "weight": (5, 4), "bias": (5,)}, activation="tanh"),
    "dense, gelu": case("dense", arrays={"x": (3, 4), "weight": (5, 4)}, activation="gelu"),
    **{
        f"activation, {name}": case("activation", arrays={"x": (2, 3)}, name=name)
        for name in ACTIVATIONS
    },
}  # fmt: skip
every_case = pytest.mark.parametrize("name", CASES)
every_case_in_both_layouts = pytest.mark.parametrize(
    ("name", "layout"),
    [(n, layout) for n, c in CASES.items() for layout in ("NCHW", "NHWC")[: 1 + c.has_layouts]],
)


@pytest.mark.slow("numba")
@every_case_in_both_layouts
def test_by_position_in_a_batch(backend, layout, name):
    CASES[name].check(layout, batched=True, by_name=False)


@pytest.mark.one_instruction_set
@every_case_in_both_layouts
def test_by_name_without_batch(backend, layout, name):
    CASES[name].check(layout, batched=False, by_name=True)


def test_max_unpool2d(backend, layout):
    image = to_layout(normal((2, 3, 4, 6)), layout)
    values, indices = fastconv.max_pool2d(image, 2, layout=layout, return_indices=True)
    check_grads(lambda x: fa.max_unpool2d(x=x, indices=indices, kernel_size=2, layout=layout))(values)


@pytest.mark.parametrize("name", ["conv2d, sigmoid", "conv_transpose2d", "lp_pool2d, 2", "max_pool2d"])
def test_third_order(name):
    with fastconv.use_backend("numpy"):
        CASES[name].check("NCHW", batched=False, by_name=False, order=3, modes=["rev"])


@every_case
def test_values_are_those_of_fastconv(backend, name):
    case = CASES[name]
    arrays, options = case.arrays(), case.keywords()
    plain = case.function(**arrays, **options)
    if case.operation != "activation":
        np.testing.assert_array_equal(plain, getattr(fastconv, case.operation)(**arrays, **options))
    _, recorded = autograd.make_vjp(lambda arrays: case.function(**arrays, **options))(arrays)
    if backend == "numba":  # vectors of results have another exponential than those that fill no vector
        np.testing.assert_array_max_ulp(recorded, plain, 8)
    else:
        np.testing.assert_array_equal(recorded, plain)
    assert recorded.dtype == plain.dtype


@every_case
def test_single_precision_stays_so(name):
    case, options = CASES[name], CASES[name].keywords()
    arrays = {key: array.astype(np.float32) for key, array in case.arrays().items()}

    def loss(arrays):
        return anp.sum(case.function(**{key: arrays[key] for key in case.arrays()}, **options) ** 2)

    def slopes(arrays):
        gradients = autograd.grad(loss)(arrays)
        return sum(anp.sum(gradients[key] ** 2) for key in case.arrays())

    with fastconv.use_backend("numpy"):
        for gradients in (autograd.grad(loss)(arrays), autograd.grad(slopes)(arrays)):
            assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(np.float32)}


def test_all_operations_are_there():
    assert {*fa.__all__} == {*OPERATIONS, "activation"}
    assert {case.operation for case in CASES.values()} | {"max_unpool2d"} == {*fa.__all__}
    for name in OPERATIONS:
        ours, theirs = getattr(fa, name), getattr(fastconv, name)
        assert inspect.signature(ours) == inspect.signature(theirs)
        assert ours.__module__ == "fastconv.autograd"
        assert f".{name}`" in ours.__doc__
