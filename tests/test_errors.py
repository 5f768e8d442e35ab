"""Bad input: the exact type of every error, the operation it names first, and the words that help."""

import re

import numpy as np
import pytest

import fastconv
from checks import normal

pytestmark = pytest.mark.one_instruction_set

X = normal((2, 6, 8, 9))
W = normal((4, 6, 3, 3))
T = normal((6, 4, 3, 3))
SEP = normal((6, 1, 3, 3)), normal((4, 6, 1, 1))
OFFSET = normal((2, 18, 6, 7))
COLUMNS = normal((2, 24, 56))
INDEX = np.zeros((2, 6, 4, 4), dtype=np.int64)

# operation, arguments, options, exception, words in order of appearance or not
SMALL = X[:, :, :4, :4]
ROWS = [
    # shapes
    ("conv2d", (X, normal((4, 4, 3, 3)), None, 1, 0, 1, 2), {}, ValueError,
     ["weight has 4 input channels per group, but x has 6 channels in 2 groups (expected 3)"]),
    ("conv2d", (X, normal((4, 5, 3, 3))), {}, ValueError, ["weight", "5", "6", "channels"]),
    ("conv2d", (X, W), {"layout": "NHWC"}, ValueError, ["weight", "channels"]),
    ("conv2d", (X[0, 0], W), {}, ValueError, ["x", "2 dimensions"]),
    ("conv2d", (X[None], W), {}, ValueError, ["x", "5", "dimension"]),
    ("conv2d", (X, W[0]), {}, ValueError, ["weight", "4", "3", "dimension"]),
    ("conv2d", (X, W, normal((5,))), {}, ValueError, ["bias", "(5,)", "(4,)"]),
    ("conv2d", (X, W, normal((4, 1))), {}, ValueError, ["bias", "(4, 1)", "(4,)"]),
    ("conv2d", (X, W), {"groups": 4}, ValueError, ["groups", "4", "6"]),
    ("conv2d", (X, normal((5, 3, 3, 3))), {"groups": 2}, ValueError, ["groups", "5", "2"]),
    ("conv2d", (X, W), {"residual": X}, ValueError, ["residual", "(2, 6, 8, 9)", "(2, 4, 6, 7)"]),
    ("conv2d", (X, W), {"residual": X[0]}, ValueError, ["residual"]),
    ("conv2d", (X, normal((4, 6, 9, 3))), {}, ValueError, ["kernel", "9", "8"]),
    ("conv2d", (X, W), {"dilation": 5}, ValueError, ["5", "8"]),
    ("conv2d", (X[:, :, :0], W), {"padding": 1}, ValueError, ["x", "0"]),
    ("conv2d", (X[:, :0], W[:, :0]), {}, ValueError, ["0"]),
    ("conv2d", (X, W[:0]), {}, ValueError, ["weight", "0"]),
    ("conv2d", (X, W[:, :, :0]), {}, ValueError, ["weight", "0"]),
    ("depthwise_conv2d", (X, W), {}, ValueError, ["weight", "6", "1"]),
    ("depthwise_conv2d", (X, normal((7, 1, 3, 3))), {}, ValueError, ["7", "6"]),
    ("separable_conv2d", (X, SEP[0], W), {}, ValueError, ["pointwise_weight", "1x1"]),
    ("separable_conv2d", (X, SEP[0], normal((4, 5, 1, 1))), {}, ValueError, ["pointwise_weight", "5", "6"]),
    ("separable_conv2d", (X, W, SEP[1]), {}, ValueError, ["depthwise_weight"]),
    ("conv_transpose2d", (X, W), {}, ValueError, ["weight", "4", "6"]),
    ("conv_transpose2d", (X, T), {"groups": 5}, ValueError, ["groups", "5", "6"]),
    ("conv_transpose2d", (X, T, normal((6,))), {}, ValueError, ["bias", "(6,)", "(4,)"]),
    ("conv_transpose2d", (X, T), {"padding": 6}, ValueError, ["padding", "output"]),
    ("conv_transpose2d", (X, T), {"output_padding": 1}, ValueError, ["output_padding", "1", "stride"]),
    ("conv_transpose2d", (X, T), {"stride": 2, "output_padding": -1}, ValueError, ["output_padding", "-1"]),
    ("conv1d", (X, W[0]), {}, ValueError, ["x", "4", "dimension"]),
    ("conv1d", (X[0], W[0]), {}, ValueError, ["weight has 3 input channels", "x has 8 channels"]),
    ("conv_transpose1d", (X[0], W[0]), {"stride": 0}, ValueError, ["stride", "0"]),
    ("deform_conv2d", (X, OFFSET[:, :17], W), {}, ValueError, ["offset", "17", "9"]),
    ("deform_conv2d", (X, OFFSET[..., :6], W), {}, ValueError, ["offset", "6", "7"]),
    ("deform_conv2d", (X, OFFSET[:1], W), {}, ValueError, ["offset", "1", "2"]),
    ("deform_conv2d", (X, OFFSET, W), {"mask": OFFSET}, ValueError, ["mask", "18", "9"]),
    ("deform_conv2d", (X, OFFSET, normal((4, 4, 3, 3))), {}, ValueError, ["weight", "4", "6"]),
    ("deform_conv2d", (X, normal((2, 72, 6, 7)), W), {}, ValueError, ["offset", "72", "6"]),
    ("unfold", (X, 9), {}, ValueError, ["9", "8"]),
    ("fold", (COLUMNS, (8, 9), 3), {}, ValueError, ["24", "9"]),
    ("fold", (COLUMNS, (8, 9), 2), {"stride": 2}, ValueError, ["56", "16"]),
    ("fold", (COLUMNS[0, 0], (8, 9), 2), {}, ValueError, ["x", "dimension"]),
    ("max_pool2d", (X, 10), {}, ValueError, ["10", "8"]),
    ("max_pool2d", (X[0, 0], 2), {}, ValueError, ["x", "dimension"]),
    ("max_pool2d", (X, 2), {"padding": 2}, ValueError, ["padding", "window"]),
    ("avg_pool2d", (X, (1, 3)), {"padding": (1, 0)}, ValueError, ["padding", "window"]),
    ("max_unpool2d", (SMALL, INDEX[:, :5], 2), {}, ValueError, ["indices", "(2, 5, 4, 4)", "6"]),
    ("max_unpool2d", (SMALL, INDEX + 64, 2), {}, ValueError, ["indices", "64"]),
    ("max_unpool2d", (SMALL, INDEX - 1, 2), {}, ValueError, ["indices", "-1"]),
    ("max_unpool2d", (SMALL, INDEX, 2), {"output_size": (30, 8)}, ValueError, ["output_size", "30"]),
    ("local_response_norm", (X[0, 0], 3), {}, ValueError, ["x", "dimension"]),
    # ranges
    ("conv2d", (X, W), {"stride": 0}, ValueError, ["stride", "0"]),
    ("conv2d", (X, W), {"stride": (1, -1)}, ValueError, ["stride", "-1"]),
    ("conv2d", (X, W), {"stride": (1, 2, 3)}, ValueError, ["stride", "(1, 2, 3)"]),
    ("conv2d", (X, W), {"dilation": 0}, ValueError, ["dilation", "0"]),
    ("conv2d", (X, W), {"padding": -1}, ValueError, ["padding", "-1"]),
    ("conv2d", (X, W), {"padding": (1, 2, 3)}, ValueError, ["padding", "((top, bottom), (left, right))"]),
    ("pad2d", (X, (1, 1, 2, 2)), {}, ValueError, ["padding", "((top, bottom), (left, right))"]),
    ("pad2d", (X, ((1, 1), (2, 2), (0, 0))), {}, ValueError, ["padding", "((top, bottom), (left, right))"]),
    ("pad2d", (X, ((1, 1), 2)), {}, ValueError, ["padding", "((top, bottom), (left, right))"]),
    ("conv2d", (X, W), {"padding": ((1, 2, 3), (1, 2))}, ValueError, ["padding"]),
    ("conv2d", (X, W), {"groups": 0}, ValueError, ["groups", "0"]),
    ("max_pool2d", (X, 0), {}, ValueError, ["kernel_size", "0"]),
    ("max_pool2d", (X, 2), {"stride": 0}, ValueError, ["stride", "0"]),
    ("avg_pool2d", (X, 2), {"divisor_override": 0}, ValueError, ["divisor_override", "0"]),
    ("lp_pool2d", (X, 0, 2), {}, ValueError, ["norm_type", "0"]),
    ("lp_pool2d", (X, -1.0, 2), {}, ValueError, ["norm_type", "-1"]),
    ("lp_pool2d", (X, np.nan, 2), {}, ValueError, ["norm_type", "nan"]),
    ("adaptive_avg_pool2d", (X, 0), {}, ValueError, ["output_size", "0"]),
    ("adaptive_max_pool2d", (X, (1, 2, 3)), {}, ValueError, ["output_size"]),
    ("fractional_max_pool2d", (X, 3, 7), {}, ValueError, ["output_size", "7"]),
    ("fractional_max_pool2d", (X, 3), {}, ValueError, ["output_size", "output_ratio"]),
    ("fractional_max_pool2d", (X, 3, 2, 0.5), {}, ValueError, ["output_size", "output_ratio"]),
    ("fractional_max_pool2d", (X, 3), {"output_ratio": 1.5}, ValueError, ["output_ratio", "1.5"]),
    ("fractional_max_pool2d", (X, 3, 2), {"random_samples": np.ones((2, 6, 2))}, ValueError, ["[0, 1)"]),
    ("fractional_max_pool2d", (X, 3, 2), {"random_samples": np.zeros((2, 2))}, ValueError, ["(2, 6, 2)"]),
    ("stochastic_pool2d", (X, 2), {}, ValueError, ["x", "negative"]),
    ("stochastic_pool2d", (X, 2), {"training": False}, ValueError, ["x", "negative"]),
    ("local_response_norm", (X, 0), {}, ValueError, ["size", "0"]),
    # unknown options
    ("conv2d", (X, W), {"layout": "NWHC"}, ValueError, ["layout", "'NWHC'", "NCHW", "NHWC"]),
    ("conv2d", (X, W), {"padding": "some"}, ValueError, ["padding", "'some'", "same", "valid", "full"]),
    ("conv2d", (X, W), {"padding_mode": "mirror"}, ValueError, ["padding_mode", "'mirror'", "reflect"]),
    ("conv2d", (X, W), {"padding_value": 1}, ValueError, ["padding_value", "1", "'constant'"]),
    ("conv2d", (X, W), {"padding_mode": "constant", "padding_value": "1"}, TypeError, ["padding_value", "number"]),
    (
        "conv2d", (X.astype("f4"), W.astype("f4")), {"padding": 1, "padding_mode": "constant", "padding_value": 1e39},
        ValueError, ["padding_value", "1e+39", "float32"],
    ),
    ("conv2d", (X, W), {"activation": "swish"}, ValueError, ["activation", "'swish'", "silu"]),
    ("conv2d", (X, W), {"activation": ("relu", 1)}, ValueError, ["activation", "relu"]),
    ("conv2d", (X, W), {"activation": ("clip", 1)}, ValueError, ["activation", "clip", "low", "high"]),
    ("conv2d", (X, W), {"activation": ("clip", 1, 0)}, ValueError, ["activation", "clip"]),
    ("conv2d", (X, W), {"precision": "exact"}, ValueError, ["precision", "'exact'", "fast", "strict"]),
    ("conv2d", (X, W), {"algorithm": "magic"}, ValueError, ["algorithm", "'magic'", "direct"]),
    ("conv2d", (X, W), {"backend": "fortran"}, ValueError, ["backend", "'fortran'", "numpy", "numba"]),
    ("pad2d", (X, 1), {"mode": "mirror"}, ValueError, ["mode", "'mirror'", "reflect"]),
    ("max_pool2d", (X, 2), {"layout": "nchw"}, ValueError, ["layout", "'nchw'"]),
    # wrong kinds
    ("conv2d", (X, W), {"stride": 1.0}, TypeError, ["stride", "1.0"]),
    ("conv2d", (X, W), {"stride": True}, TypeError, ["stride", "True"]),
    ("conv2d", (X, W), {"stride": None}, TypeError, ["stride", "None"]),
    ("conv2d", (X, W), {"stride": "2"}, TypeError, ["stride", "'2'"]),
    ("conv2d", (X, W), {"dilation": (1, 2.0)}, TypeError, ["dilation", "2.0"]),
    ("conv2d", (X, W), {"padding": 1.5}, TypeError, ["padding", "1.5"]),
    ("conv2d", (X, W), {"padding": {}}, TypeError, ["padding"]),
    ("conv2d", (X, W), {"groups": 2.0}, TypeError, ["groups", "2.0"]),
    ("conv2d", (X, W), {"groups": True}, TypeError, ["groups", "True"]),
    ("conv2d", (X, SEP[0]), {"groups": None}, TypeError, ["groups", "None", "integer"]),
    ("conv1d", (X[0], W[0]), {"groups": None}, TypeError, ["groups", "None", "integer"]),
    ("conv_transpose2d", (X, T), {"groups": None}, TypeError, ["groups", "None", "integer"]),
    ("conv_transpose1d", (X[0], T[0]), {"groups": None}, TypeError, ["groups", "None", "integer"]),
    ("plan_conv2d", (W,), {"groups": None}, TypeError, ["groups", "None", "integer"]),
    ("plan_conv_transpose2d", (W,), {"groups": None}, TypeError, ["groups", "None", "integer"]),
    ("plan_conv2d", (W,), {"input_shape": (1, 6, 8.0, 9)}, TypeError, ["input_shape", "8.0"]),
    ("plan_conv2d", (W,), {"input_shape": "1688"}, TypeError, ["input_shape", "'1688'"]),
    ("conv2d", (X, W), {"activation": 3}, TypeError, ["activation", "3"]),
    ("conv2d", (X, W), {"activation": ("leaky_relu", "big")}, TypeError, ["activation", "big"]),
    ("conv2d", (X, W), {"layout": 1}, TypeError, ["layout", "1"]),
    ("conv2d", (X, W), {"padding_mode": 1}, TypeError, ["padding_mode", "1"]),
    ("conv2d", (X, W), {"algorithm": 1}, TypeError, ["algorithm", "1"]),
    ("conv2d", (X * 1j, W), {}, TypeError, ["x", "complex"]),
    ("conv2d", (X, W, np.ones(4, dtype=object)), {}, TypeError, ["bias", "object"]),
    ("conv2d", (X, W), {"residual": np.ones((2, 4, 6, 7)) * 1j}, TypeError, ["residual", "complex"]),
    ("max_pool2d", (X, 2.0), {}, TypeError, ["kernel_size", "2.0"]),
    ("max_pool2d", (X, None), {}, TypeError, ["kernel_size", "None"]),
    ("avg_pool2d", (X, 2), {"divisor_override": 2.5}, TypeError, ["divisor_override", "2.5"]),
    ("lp_pool2d", (X, "2", 2), {}, TypeError, ["norm_type", "'2'"]),
    ("adaptive_avg_pool2d", (X, 2.0), {}, TypeError, ["output_size", "2.0"]),
    ("max_unpool2d", (SMALL, INDEX * 1.0, 2), {}, TypeError, ["indices", "float64"]),
    ("stochastic_pool2d", (abs(X), 2), {"rng": "dice"}, TypeError, ["rng", "dice"]),
    ("pad2d", (X, 1), {"value": "zero"}, TypeError, ["value", "zero"]),
    ("local_response_norm", (X, 3.0), {}, TypeError, ["size", "3.0"]),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "arguments", "options", "error", "words"), ROWS, ids=[
    f"{row[0]} {' '.join(row[4])}" for row in ROWS
])  # fmt: skip
def test_bad_input(operation, arguments, options, error, words):
    with pytest.raises(error) as caught:
        getattr(fastconv, operation)(*arguments, **options)
    assert caught.type is error
    message = str(caught.value)
    assert message.startswith(f"{operation}: ")
    missing = [word for word in words if word not in message]
    assert not missing, message


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d", "depthwise_conv2d"])
def test_plans_refuse_at_once(name):
    plan = getattr(fastconv, f"plan_{name}")
    for options, error in (
        ({"stride": 0}, ValueError),
        ({"stride": 1.5}, TypeError),
        ({"activation": "swish"}, ValueError),
        ({"layout": "CHWN"}, ValueError),
        ({"backend": "fortran"}, ValueError),
        ({"bias": normal((17,))}, ValueError),
    ):
        with pytest.raises(error) as caught:
            plan(normal((6, 1, 3, 3)), **options)
        assert caught.type is error
        assert next(iter(options)) in str(caught.value)
    with pytest.raises(TypeError):
        plan(np.ones((6, 1, 3, 3), dtype=complex))


@pytest.mark.parametrize("wrong", [
    (normal((3, 3, 3)), None, np.zeros(4), np.ones(4)),
    (W, None, np.zeros(5), np.ones(4)),
    (W, np.zeros(3), np.zeros(4), np.ones(4)),
    (W, None, np.zeros(4), np.full(4, -1.0)),
], ids=["weight", "mean", "bias", "variance"])  # fmt: skip
def test_fold_batch_norm(wrong, request):
    with pytest.raises(ValueError, match=rf"^fold_batch_norm: {request.node.callspec.id} ") as caught:
        fastconv.fold_batch_norm(*wrong)
    assert caught.type is ValueError


def test_fold_batch_norm_with_an_eps_that_is_no_number():
    with pytest.raises(ValueError, match=r"^fold_batch_norm: .*eps is nan"):
        fastconv.fold_batch_norm(W, None, np.zeros(4), np.ones(4), eps=np.nan)


def test_absurd_sizes_are_refused_without_a_crash(backend):
    one = np.ones((1, 1, 1, 1), dtype=np.float32)
    huge = 1 << 40
    for call in (
        lambda: fastconv.conv2d(one, one, padding=huge),
        lambda: fastconv.conv_transpose2d(one, one, stride=2, output_padding=1, padding=0, dilation=huge),
        lambda: fastconv.conv2d(np.broadcast_to(one, (1, 1, 1 << 20, 1 << 20)), one),
        lambda: fastconv.pad2d(one, huge),
        lambda: fastconv.adaptive_avg_pool2d(one, huge),
        lambda: fastconv.unfold(one, 1, padding=huge),
        lambda: fastconv.conv2d(one, one, padding=1 << 70),
        lambda: fastconv.conv2d(one, one, stride=1 << 70, groups=1 << 70),
    ):
        with pytest.raises((MemoryError, ValueError)) as caught:
            call()
        assert caught.type in (MemoryError, ValueError)


def test_keyword_only_arguments_are():
    with pytest.raises(TypeError):
        fastconv.conv2d(X, W, None, 1, 0, 1, 1, "zeros")
    with pytest.raises(TypeError):
        fastconv.max_pool2d(X, 2, None, 0, 1, False, False, "NCHW")


@pytest.mark.parametrize(
    ("x", "weight", "options", "said"),
    [
        ((8, 8), (1, 1, 3, 3), {}, "x[None] is an image of one channel"),
        ((8, 8), (3, 3, 1, 1), {"layout": "NHWC"}, "x[..., None] is an image of one channel"),
        ((1, 8, 8), (3, 3), {}, "weight[None, None] is one filter of one channel"),
        ((8, 8), (3, 3), {}, "weight[None, None] is one filter of one channel, x[None] an image of one, and"),
        (
            (8, 8),
            (3, 3),
            {"layout": "NHWC"},
            "weight[..., None, None] is one filter of one channel, x[..., None] an",
        ),
        ((1, 8, 8), (1, 3, 3), {}, "needs 4; weight[None] is one filter of 1 channel"),
        ((5, 8, 8), (5, 3, 3), {}, "needs 4; weight[None] is one filter of 5 channels"),
        ((1, 8, 8), (5, 3, 3), {}, "needs 4; weight[:, None] is 5 filters of one channel"),
        (
            (8, 8, 1),
            (3, 3, 5),
            {"layout": "NHWC"},
            "needs 4; weight[..., None, :] is 5 filters of one channel",
        ),
        (
            (2, 8, 8),
            (5, 3, 3),
            {},
            "weight[None] is one filter of 5 channels, weight[:, None] is 5 filters of one channel",
        ),
    ],
)
def test_what_would_fit_is_said(x, weight, options, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        fastconv.conv2d(np.ones(x), np.ones(weight), **options)


@pytest.mark.parametrize(
    ("x", "weight", "layout", "line"),
    [
        ((20, 30, 3), (1, 1, 5, 5), "NCHW", "fastconv.ndimage.correlate(x, weight[0, 0], axes=(-3, -2))"),
        ((2, 3, 20, 30), (1, 1, 5, 5), "NCHW", "fastconv.ndimage.correlate(x, weight[0, 0], axes=(-2, -1))"),
        (
            (2, 20, 30, 3),
            (5, 5, 1, 1),
            "NHWC",
            "fastconv.ndimage.correlate(x, weight[..., 0, 0], axes=(-3, -2))",
        ),
    ],
)
def test_one_filter_for_each_channel_is_told_the_line_that_does_it(x, weight, layout, line):
    x, weight = np.ones(x), np.ones(weight)
    with pytest.raises(ValueError, match=re.escape(f"; {line} gives each channel, filtered by itself")):
        fastconv.conv2d(x, weight, layout=layout)
    assert eval(line).shape == x.shape


@pytest.mark.parametrize("x", [(20, 30), (3, 20, 30), (20, 30, 3), (2, 3, 20, 30), (2, 20, 30, 3)])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_plain_kernel_is_told_the_line_that_does_it(x, layout):
    x, weight = np.ones(x), np.ones((5, 5))
    with pytest.raises(ValueError, match="takes arrays as they are") as caught:
        fastconv.conv2d(x, weight, layout=layout)
    line = re.search(r"fastconv\.ndimage\.correlate\(.*\)(?= takes)", str(caught.value)).group()
    assert eval(line).shape == x.shape


def test_a_plain_kernel_is_no_correlation_where_it_is_transposed():
    with pytest.raises(ValueError, match=r"x\[None\] an image of one$"):
        fastconv.conv_transpose2d(np.ones((8, 8)), np.ones((3, 3)))


OTHER_LAYOUTS = {
    "photograph": ("conv2d", (20, 30, 3), (4, 3, 5, 5), {}, ["x moved 4 16x26"]),
    "photograph, by chance": ("conv2d", (20, 30, 3), (4, 3, 3, 3), {}, ["x moved 4 18x28", "layout 3 17x28"]),
    "all NHWC": ("conv2d", (2, 20, 30, 3), (5, 5, 3, 8), {}, ["layout 8 16x26"]),
    "all NCHW": ("conv2d", (2, 3, 20, 30), (8, 3, 5, 5), {"layout": "NHWC"}, ["layout 8 16x26"]),
    "weight HWIO": ("conv2d", (2, 3, 20, 30), (5, 5, 3, 8), {}, ["weight turned 8 16x26"]),
    "weight OIHW": ("conv2d", (2, 20, 30, 3), (8, 3, 5, 5), {"layout": "NHWC"}, ["weight turned 8 16x26"]),
    "x NCHW": ("conv2d", (2, 3, 20, 30), (5, 5, 3, 8), {"layout": "NHWC"}, ["x moved 8 16x26"]),
    "groups": ("conv2d", (20, 30, 4), (6, 2, 5, 5), {"groups": 2}, ["x moved 6 16x26"]),
    "depthwise": ("depthwise_conv2d", (20, 30, 3), (3, 1, 5, 5), {}, ["x moved 3 16x26"]),
    "depthwise weight": ("depthwise_conv2d", (3, 20, 30), (5, 5, 1, 3), {}, ["weight turned 3 16x26"]),
    "transposed": ("conv_transpose2d", (20, 30, 3), (3, 8, 4, 4), {}, ["x moved 8 23x33"]),
    "transposed weight": ("conv_transpose2d", (3, 20, 30), (4, 4, 8, 3), {}, ["weight turned 8 23x33"]),
    "signal": ("conv1d", (50, 3), (8, 3, 7), {}, ["x moved 8 44", "layout 7 43"]),
    "signal, all": ("conv1d", (50, 4), (7, 4, 8), {"layout": "NCHW"}, ["x moved 7 43", "layout 8 44"]),
    "signal, transposed": ("conv_transpose1d", (50, 3), (3, 8, 4), {}, ["x moved 8 53"]),
    "nothing fits": ("conv2d", (20, 30, 3), (4, 7, 5, 9), {}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_LAYOUTS)
def test_lines_that_fit_are_said_and_do(name):
    """Each line that an error gives for another layout is run, and gives what it says."""
    op, x_shape, weight_shape, options, expected = OTHER_LAYOUTS[name]
    x, weight = np.ones(x_shape), np.ones(weight_shape)
    function = getattr(fastconv, op)
    with pytest.raises(ValueError, match="channels") as caught:
        function(x, weight, **options)
    found = []
    for line, channels, size in re.findall(
        r"(?:; |or )((?:np|weight|layout)\S.*?) gives (\d+) channels of (\S+?)(?=;|$)", str(caught.value)
    ):
        layout = options.get("layout", "NCHW")
        if line.startswith("np."):
            given, what = (eval(line), weight, options), "x moved"
        elif line.startswith("weight"):
            given, what = (x, eval(line), options), "weight turned"
        else:
            layout = re.match("layout='(N...)', where weight is ", line)[1]
            given, what = (x, weight, options | {"layout": layout}), "layout"
        found.append(f"{what} {channels} {size}")
        result = function(given[0], given[1], **given[2])
        result = result if layout == "NCHW" else np.moveaxis(result, -1, -2 if op.endswith("1d") else -3)
        result = result.reshape(-1, *result.shape[-2 if op.endswith("1d") else -3 :])[0]
        assert (str(result.shape[0]), "x".join(map(str, result.shape[1:]))) == (channels, size)
    assert found == expected


def test_plans_and_gradients_say_what_fits():
    plan = fastconv.plan_conv2d(np.ones((8, 3, 5, 5)))
    with pytest.raises(ValueError, match=re.escape("np.moveaxis(x, -1, -3) gives 8 channels of 16x26")):
        plan(np.ones((20, 30, 3)))
    with pytest.raises(ValueError, match=re.escape("; weight[..., None, None] is one filter")):
        fastconv.plan_conv2d(np.ones((5, 5)), layout="NHWC")
    with pytest.raises(ValueError, match=re.escape("needs 4; weight[:, None] is 3 filters of one channel")):
        fastconv.depthwise_conv2d(np.ones((3, 8, 8)), np.ones((3, 3, 3)))
    with pytest.raises(ValueError, match=r"input_size has 20 channels in all$"):
        fastconv.grad.conv2d_input((20, 30, 3), np.ones((4, 3, 5, 5)), np.ones(1))


@pytest.mark.parametrize(
    ("layout", "said"), [("NCHW", "x[None] is a signal of one channel"), ("NHWC", "x[..., None] is a signal")]
)
def test_a_signal_without_channels_is_told_the_line_that_does_it(layout, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        fastconv.conv1d(np.ones(9), np.ones((1, 1, 3)), layout=layout)
    x, weight = (np.ones(9), np.ones((3, 1, 1) if layout == "NHWC" else (1, 1, 3)))
    fastconv.conv1d(x[..., None] if layout == "NHWC" else x[None], weight, layout=layout)
