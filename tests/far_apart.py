"""Strides, dilations and paddings far beyond the image, and images of a pixel: results, gradients and plans.

Run by `test_far_apart.py` in an interpreter of its own, with little memory: nothing may take more time or memory than
its inputs and outputs are large. The definitions here visit only what outputs and taps there are, so that they take
numbers of any size; on ordinary ones they agree with `reference.py`.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

import fastconv
from checks import from_layout, limit_memory, normal, to_layout, weight_to_layout
from reference import pads, pair

BILLION, MOST = 10**9, 2**31 - 1


def meetings(mode, size, kernel, outputs, stride, dilation, before):
    """Every (output, tap, pixel) of an axis."""
    for output, tap in product(range(outputs), range(kernel)):
        pixel = output * stride + tap * dilation - before
        if mode == "replicate":
            pixel = min(max(pixel, 0), size - 1)
        elif mode == "circular":
            pixel %= size
        elif mode == "reflect":
            pixel = size - 1 - abs(pixel % max(1, 2 * size - 2) - (size - 1))
        if 0 <= pixel < size:
            yield output, tap, pixel


@dataclass(frozen=True)
class Problem:
    """A plain convolution of an image (N, C, H, W) with weights (K, C // groups, kH, kW)."""

    size: tuple
    outputs: tuple
    stride: tuple
    dilation: tuple
    before: tuple
    groups: int
    mode: str = "zeros"

    def visit(self, weight):
        """Every product of a group: its input channels, its output channels, and an output pixel, a tap and a pixel."""
        axes = [
            list(meetings(self.mode, *axis))
            for axis in zip(
                self.size,
                weight.shape[2:],
                self.outputs,
                self.stride,
                self.dilation,
                self.before,
                strict=True,
            )
        ]
        inner, outer = weight.shape[1], weight.shape[0] // self.groups
        for g, row, column in product(range(self.groups), *axes):
            channels, filters = slice(g * inner, (g + 1) * inner), slice(g * outer, (g + 1) * outer)
            yield channels, filters, *zip(row, column, strict=True)

    def conv(self, x, weight):
        y = np.zeros((x.shape[0], weight.shape[0], *self.outputs))
        for channels, filters, output, tap, pixel in self.visit(weight):
            y[:, filters, *output] += x[:, channels, *pixel] @ weight[filters, :, *tap].T
        return y

    def transposed(self, y, weight):
        x = np.zeros((y.shape[0], weight.shape[1] * self.groups, *self.size))
        for channels, filters, output, tap, pixel in self.visit(weight):
            x[:, channels, *pixel] += y[:, filters, *output] @ weight[filters, :, *tap]
        return x

    def weight_gradient(self, x, weight, y):
        gradient = np.zeros(weight.shape)
        for channels, filters, output, tap, pixel in self.visit(weight):
            gradient[filters, :, *tap] += y[:, filters, *output].T @ x[:, channels, *pixel]
        return gradient


def conv_problem(x, weight, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros"):
    stride, dilation, kernel = pair(stride), pair(dilation), weight[2:]
    sides = pads(padding, x[2:], kernel, stride, dilation)
    outputs = tuple(
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, k, s, d, p in zip(x[2:], kernel, stride, dilation, sides, strict=True)
    )
    return Problem(x[2:], outputs, stride, dilation, tuple(p[0] for p in sides), groups, padding_mode)


def transposed_problem(x, weight, stride=1, padding=0, dilation=1, groups=1, output_padding=0):
    stride, dilation, kernel, extra = pair(stride), pair(dilation), weight[2:], pair(output_padding)
    sides = pads(padding, x[2:], kernel, stride, dilation)
    size = tuple(
        (n - 1) * s - sum(p) + d * (k - 1) + 1 + e
        for n, k, s, d, p, e in zip(x[2:], kernel, stride, dilation, sides, extra, strict=True)
    )
    return Problem(size, x[2:], stride, dilation, tuple(p[0] for p in sides), groups)


CONV = {
    "stride and padding": ((1, 2, 3, 4), (3, 2, 3, 3), {"stride": BILLION, "padding": BILLION}),
    "stride and padding, no pixel seen": ((1, 2, 3, 4), (3, 2, 2, 2), {"stride": MOST, "padding": MOST}),
    "stride along one axis": ((2, 3, 3, 9), (40, 3, 3, 2), {"stride": (1, MOST), "padding": (1, MOST - 3)}),
    "dilation": ((1, 2, 3, 4), (3, 2, 2, 2), {"dilation": MOST - 5, "padding": 2**30}),
    "dilation, several outputs": (
        (1, 5, 3, 4), (17, 5, 3, 2), {"dilation": (BILLION, 1), "padding": ((BILLION + 1, BILLION + 2), (1, 0))},
    ),
    "stride and dilation": (
        (2, 4, 3, 5), (6, 2, 3, 4),
        {
            "stride": (7, BILLION), "dilation": (BILLION, 2), "groups": 2,
            "padding": ((2 * BILLION - 5, 15), (BILLION - 1, 5)),
        },
    ),
    "same": ((1, 3, 4, 5), (4, 3, 3, 3), {"stride": BILLION, "dilation": BILLION - 1, "padding": "same"}),
    "full": ((1, 3, 4, 5), (4, 3, 2, 2), {"stride": BILLION, "dilation": BILLION, "padding": "full"}),
    "depthwise": ((1, 5, 3, 4), (5, 1, 3, 3), {"stride": BILLION, "padding": BILLION, "groups": 5}),
    "depthwise, dilated": (
        (3, 17, 3, 4), (17, 1, 3, 3),
        {"dilation": 10**8, "padding": ((10**8, 10**8 + 1), (10**8, 10**8)), "groups": 17},
    ),
    "depthwise, a pixel": ((1, 3, 1, 1), (6, 1, 3, 5), {"dilation": 700, "padding": (700, 1400), "groups": 3}),
    **{
        f"{mode}, {name}": ((2, 3, 3, 4), (4, 3, 3, 2), {**options, "padding_mode": mode})
        for mode in ("reflect", "replicate", "circular")
        for name, options in {
            "stride": {"stride": BILLION, "padding": BILLION},
            "dilation": {"dilation": (1, MOST), "padding": ((1, 2), (BILLION, MOST - BILLION + 1))},
        }.items()
    },
    "a row": ((2, 3, 1, 9), (4, 3, 1, 5), {"stride": (1, MOST), "padding": (0, MOST - 2)}),
    "long kernel, dilated": (
        (1, 2, 2, 3), (3, 2, 1, 3000), {"dilation": 10**5, "stride": 7, "padding": (0, 15 * 10**7 - 49990)},
    ),
}  # fmt: skip

TRANSPOSED = {
    "a result of nine pixels": ((1, 2, 2, 2), (2, 3, 3, 3), {"stride": 3000, "padding": 1500}),
    "without pixels that see anything": ((1, 2, 2, 2), (2, 3, 3, 3), {"stride": MOST, "padding": 2**30}),
    "the last pixels": ((1, 2, 2, 2), (2, 3, 3, 3), {"stride": MOST, "padding": ((MOST - 2, 0), (MOST - 1, 1))}),
    "stride along one axis": ((1, 2, 2, 2), (2, 3, 3, 3), {"stride": (1, 10**7), "padding": (0, 5 * 10**6)}),
    "dilation": ((1, 3, 2, 2), (3, 4, 2, 2), {"dilation": BILLION, "padding": ((BILLION - 1, 1), (5, BILLION - 6))}),
    "stride and dilation": (
        (2, 4, 2, 3), (4, 3, 3, 2),
        {"stride": 2, "dilation": BILLION + 1, "padding": ((BILLION + 1, BILLION), (2, BILLION)), "groups": 2},
    ),
    "many phases": ((1, 3, 1, 2), (3, 5, 1, 7), {"stride": 700, "output_padding": (0, 600)}),
    "many phases of few filters": ((1, 3, 2, 2), (3, 1, 2, 3), {"stride": (50, 90), "output_padding": (40, 80)}),
    "many grids": ((2, 4, 2, 2), (4, 3, 20, 20), {"stride": 20, "groups": 2}),
    "many grids, cropped": (
        (1, 2, 3, 2), (2, 3, 50, 40), {"stride": (17, 23), "padding": ((40, 30), (20, 41)), "dilation": 2},
    ),
    "a kernel as large as the stride": ((1, 1, 1, 1), (1, 1, 300, 300), {"stride": 300, "padding": 148}),
    "depthwise": ((1, 5, 2, 2), (5, 1, 3, 3), {"stride": 1000, "padding": 499, "groups": 5}),
    **{
        f"{c} channels, {h}x{w} pixels": ((1, c, h, w), (c, c, 3, 3), {"stride": 2, "padding": 1})
        for c, h, w in ((64, 1, 1), (256, 1, 1), (256, 1, 3), (192, 2, 1))
    },
}  # fmt: skip


def compare(what, actual, expected, bound, dtype):
    assert actual.shape == expected.shape, (what, actual.shape, expected.shape)
    error = np.abs(actual - expected).max(initial=0)
    assert error <= 64 * np.finfo(dtype).eps * (1 + bound.max(initial=0)), (what, error)


def check_case(transposed, name, case, layout, dtype):
    """The call, its plan, every algorithm, and its gradients."""
    x_shape, weight_shape, options = case
    problem = (transposed_problem if transposed else conv_problem)(x_shape, weight_shape, **options)
    x, weight = normal(x_shape), normal(weight_shape, seed=1)
    operation = "conv_transpose2d" if transposed else "conv2d"
    forward, backward = problem.conv, problem.transposed
    if transposed:
        forward, backward = backward, forward
    expected, bound = forward(x, weight), forward(abs(x), abs(weight))
    slope = normal(expected.shape, seed=2)
    place = {"layout": layout}
    given, kernel, grad_output = (
        move(a, layout).astype(dtype)
        for move, a in ((to_layout, x), (weight_to_layout, weight), (to_layout, slope))
    )
    what = operation, name, layout, dtype

    def check(actual, algorithm=None):
        compare((*what, algorithm), from_layout(actual, layout), expected, bound, dtype)

    function, planner = getattr(fastconv, operation), getattr(fastconv, f"plan_{operation}")
    check(function(given, kernel, **options, **place))
    plan = planner(kernel, **options, **place)
    check(plan(given))
    assert plan.algorithm() in fastconv.algorithms()
    assert plan.explain(given.shape)
    plan.explain((0, *given.shape[1:]))
    for algorithm in fastconv.algorithms():
        try:
            actual = function(given, kernel, algorithm=algorithm, **options, **place)
        except ValueError:
            continue
        check(actual, algorithm)
    gradients = getattr(fastconv.grad, operation)(given, kernel, grad_output, **options, **place)
    by_input, bound_input = backward(slope, weight), backward(abs(slope), abs(weight))
    compare((*what, "input"), from_layout(gradients[0], layout), by_input, bound_input, dtype)
    image, output = (slope, x) if transposed else (x, slope)
    by_weight = [
        problem.weight_gradient(a, weight, b) for a, b in ((image, output), (abs(image), abs(output)))
    ]
    compare((*what, "weight"), gradients[1], weight_to_layout(by_weight[0], layout), by_weight[1], dtype)
    if layout == "NCHW" and x_shape[2] == weight_shape[2] == problem.size[0] == problem.outputs[0] == 1:
        check_one_axis(operation, x, weight, options, expected, bound)
    if not transposed and layout == "NCHW" and problem.mode == "zeros":
        check_columns(what, x, weight, options, problem)


def check_one_axis(operation, x, weight, options, expected, bound):
    flat = {name: value[1] if isinstance(value, tuple) else value for name, value in options.items()}
    actual = getattr(fastconv, operation.replace("2d", "1d"))(x[:, :, 0], weight[:, :, 0], **flat)
    compare((operation, "one axis"), actual, expected[:, :, 0], bound, np.float64)


def check_columns(what, x, weight, options, problem):
    """unfold, fold and deformable convolution, where they have the options."""
    plain = {name: value for name, value in options.items() if name != "groups"}
    kernel, results = weight.shape[2:], problem.outputs
    each = Problem(*(getattr(problem, n) for n in ("size", "outputs", "stride", "dilation", "before")), 1)
    taps = np.eye(kernel[0] * kernel[1]).reshape(-1, 1, *kernel)
    expected = np.concatenate([each.conv(x[:, c : c + 1], taps) for c in range(x.shape[1])], axis=1)
    columns = expected.reshape(*expected.shape[:2], -1)
    np.testing.assert_array_equal(fastconv.unfold(x, kernel, **plain), columns)
    back = [each.transposed(part, taps) for part in np.split(expected, x.shape[1], axis=1)]
    np.testing.assert_allclose(
        fastconv.fold(columns, x.shape[2:], kernel, **plain), np.concatenate(back, axis=1)
    )
    if isinstance(options.get("padding"), str) or kernel[1] > 100:
        return
    offset = np.zeros((x.shape[0], 2 * kernel[0] * kernel[1], *results))
    actual = fastconv.deform_conv2d(x, offset, weight, **plain)
    compare((*what, "deform"), actual, problem.conv(x, weight), problem.conv(abs(x), abs(weight)), np.float64)


def check_all(backend, mebibytes):
    with fastconv.use_backend(backend):
        fastconv.conv2d(*[np.ones((1, 1, 3, 3))] * 2)  # what a backend loads once is not limited
        limit_memory(mebibytes)
        for transposed, cases in ((False, CONV), (True, TRANSPOSED)):
            for (name, case), layout, dtype in product(
                cases.items(), ("NCHW", "NHWC"), ("float32", "float64")
            ):
                check_case(transposed, name, case, layout, dtype)
