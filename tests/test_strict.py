"""`precision="strict"`: what is not finite, or far larger than the rest, stays within the windows that hold it."""

import functools
import itertools

import numpy as np
import pytest

import fastconv
import fastconv.nn as nn
from checks import from_layout, normal, to_layout, unless_refused, weight_to_layout
from fastconv import grad
from fastconv.execution.convolution import FAR_APART
from fastconv.problem.convolution import ConvOptions

# Where transforms are chosen: Winograd's tiles of two and three pixels, and Fourier's.
LAYERS = {
    "3x3": ((2, 64, 30, 29), (64, 64, 3, 3), {"padding": 1}),
    "3x3, dilated": ((1, 64, 30, 29), (64, 64, 3, 3), {"padding": 2, "dilation": 2}),
    "3x3 stride 2": ((1, 64, 40, 41), (64, 64, 3, 3), {"padding": 1, "stride": 2}),
    "groups": ((1, 64, 24, 26), (64, 32, 3, 3), {"padding": 1, "groups": 2}),
    "17x17": ((1, 2, 70, 71), (3, 2, 17, 17), {"padding": 8}),
    "circular": ((1, 64, 20, 22), (64, 64, 3, 3), {"padding": 1, "padding_mode": "circular"}),
    "depthwise 31x31": ((1, 3, 90, 91), (3, 1, 31, 31), {"padding": 15, "groups": 3}),
}
PIXEL = (0, 1, 9, 11)
NUMBERS = [np.nan, np.inf, -np.inf, 1e8]


def holders(x_shape, weight_shape, options, operation=fastconv.conv2d):
    """Which results have the pixel in their window."""
    mark, ones = np.zeros(x_shape), np.ones(weight_shape)
    mark[PIXEL] = 1
    return operation(mark, ones, **options, backend="numpy", algorithm="direct") != 0


def check(actual, even, held, number):
    """`even` is the result of an ordinary number in the pixel's place."""
    scale = np.sqrt(np.mean(np.square(even, dtype=np.float64)))
    assert np.abs(actual[~held] - even[~held]).max() < 3e-6 * scale
    if np.isfinite(number):
        assert np.abs(actual[held]).max() > 1e4 * scale
    else:
        assert not np.isfinite(actual[held]).any()


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", LAYERS)
def test_convolutions_confine_it(backend, layout, name, number):
    x_shape, weight_shape, options = LAYERS[name]
    x, weight = normal(x_shape, dtype="float32"), normal(weight_shape, 1, dtype="float32")
    weight = np.where(np.abs(weight) < 0.1, np.float32(0.1), weight)
    held = holders(x_shape, weight_shape, options)
    options = {**options, "layout": layout, "precision": "strict"}
    ours = weight_to_layout(weight, layout)
    plan = fastconv.plan_conv2d(ours, **options)
    algorithms = [None, *(name for name in fastconv.algorithms() if name.startswith(("winograd", "fft")))]
    even = from_layout(fastconv.conv2d(to_layout(x, layout), ours, **options, algorithm="direct"), layout)
    plan(to_layout(x, layout))
    x[PIXEL] = number
    ours_x = to_layout(x, layout)
    for algorithm in algorithms:
        actual = unless_refused(fastconv.conv2d, ours_x, ours, **options, algorithm=algorithm)
        if actual is not None:
            check(from_layout(actual, layout), even, held, number)
    for _ in range(2):  # the second call knows its arguments
        check(from_layout(plan(ours_x), layout), even, held, number)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_gradient_of_the_input_confines_it(backend, layout, number):
    slope, weight = normal((1, 64, 30, 29), dtype="float32"), normal((64, 64, 3, 3), 1, dtype="float32")
    weight = np.where(np.abs(weight) < 0.1, np.float32(0.1), weight)
    shape = to_layout(slope, layout).shape
    held = holders(slope.shape, weight.shape, {"padding": 1}, fastconv.conv_transpose2d)
    ours, options = weight_to_layout(weight, layout), {"padding": 1, "layout": layout}
    even = grad.conv2d_input(shape, ours, to_layout(slope, layout), **options, algorithm="direct")
    slope[PIXEL] = number
    for _ in range(2):
        actual = grad.conv2d_input(shape, ours, to_layout(slope, layout), **options, precision="strict")
        check(from_layout(actual, layout), from_layout(even, layout), held, number)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_gradient_of_weights_confines_it(backend, layout, number):
    """A corner's pixel is seen by four of nine taps."""
    x, slope = normal((2, 32, 30, 28), dtype="float32"), normal((2, 32, 30, 28), 1, dtype="float32")
    shape, options = (
        weight_to_layout(np.empty((32, 32, 3, 3)), layout).shape,
        {"padding": 1, "layout": layout},
    )
    options["precision"] = "strict"
    slope[:, :, 0, 0] = np.where(slope[:, :, 0, 0] < 0, -1, 1)
    even = grad.conv2d_weight(to_layout(x, layout), shape, to_layout(slope, layout), **options)
    x[0, 1, 0, 0] = number
    actual = grad.conv2d_weight(to_layout(x, layout), shape, to_layout(slope, layout), **options)
    if layout == "NHWC":
        actual, even = (a.transpose(3, 2, 0, 1) for a in (actual, even))
    unseen = np.ones(actual.shape, bool)
    unseen[:, 1, :2, :2] = False
    np.testing.assert_allclose(actual[unseen], even[unseen], rtol=1e-4, atol=1e-3)
    assert np.isfinite(number) or not np.isfinite(actual[:, 1, 1, 1]).any()


@pytest.mark.parametrize("number", NUMBERS)
def test_networks_confine_it(backend, number):
    net = nn.Sequential(nn.Conv2D(64, 3, padding="same")).build((1, 64, 20, 22))
    x = normal((1, 64, 20, 22), dtype="float32")
    held = holders(x.shape, (64, 64, 3, 3), {"padding": 1})
    with fastconv.use_precision("strict"):
        run = net.compile((1, 64, 20, 22))
        even = run(x).copy()
        x[PIXEL] = number
        actual = run(x)
    check(actual, even, held, number)


# ---- clusters ----

CLUSTERS = {
    "columns": np.s_[..., :2],
    "rows": np.s_[..., -3:, :],
    "corner": np.s_[..., :5, -4:],
    "spots": np.s_[..., ::9, ::8],
    "one channel": np.s_[:, 2, :, 7:9],
    "one image": np.s_[0],
    "columns of one image": np.s_[1, ..., :2],
    "all but columns": np.s_[..., 6:],
}
CLUSTERED = {
    "3x3": ((2, 64, 29, 30), (64, 64, 3, 3), {"padding": 1}),
    "3x3, dilated": ((2, 32, 29, 30), (64, 32, 3, 3), {"padding": 2, "dilation": 2}),
    "groups": ((2, 64, 24, 26), (64, 32, 3, 3), {"padding": 1, "groups": 2}),
    "9x9": ((2, 4, 60, 61), (3, 4, 9, 9), {"padding": 4}),
    "depthwise 17x17": ((2, 3, 60, 61), (3, 1, 17, 17), {"padding": 8, "groups": 3}),
}


@functools.cache  # each backend, instruction set and layout asks for them
def clustered(name, cluster, rest, dtype):
    """An image, weights, the exact result, and what each output's rounding errors are in proportion to."""
    x_shape, weight_shape, options = CLUSTERED[name]
    x = np.full(x_shape, rest)
    x[CLUSTERS[cluster]] = 1e6 if dtype == "float32" else 1e13
    x = (x * normal(x_shape)).astype(dtype)
    weight = normal(weight_shape, 1, dtype=dtype)
    exact = fastconv.conv2d(np.float64(x), np.float64(weight), **options, backend="numpy")
    energy = fastconv.conv2d(
        np.square(x, dtype=np.float64), np.ones(weight_shape), **options, backend="numpy"
    )
    scale = np.sqrt(energy) * np.sqrt(np.square(weight).sum(axis=(1, 2, 3)))[:, None, None]
    if rest == 0 and np.count_nonzero(x) * 2 > x.size:
        scale = np.maximum(scale, scale.max() * (scale == 0))
    return x, weight, exact, scale


@pytest.mark.parametrize("rest", [1.0, 0.0])
@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("name", CLUSTERED)
def test_clusters_are_confined(backend, layout, dtype, name, cluster, rest):
    """Beside them there are ordinary numbers, or zeros: windows that hold none of a cluster see nothing of it. Zeros
    that are less than half of an image are those of a black area, with rounding errors of what is around."""
    x, weight, exact, scale = clustered(name, cluster, rest, dtype)
    ours, ours_x = weight_to_layout(weight, layout), to_layout(x, layout)
    options = {**CLUSTERED[name][2], "layout": layout, "precision": "strict"}
    plan = fastconv.plan_conv2d(ours, **options)
    calls = [lambda a=a: unless_refused(fastconv.conv2d, ours_x, ours, **options, algorithm=a) for a in (
        None, *(a for a in fastconv.algorithms() if a.startswith(("winograd", "fft")))
    )]  # fmt: skip
    # Where the rest of the image is as large throughout, a transform may be taken.
    for call in (*calls, lambda: plan(ours_x), lambda: plan(ours_x)):
        actual = call()
        if actual is not None:
            off = np.abs(from_layout(actual, layout) - exact)
            assert np.all(off <= 40 * np.finfo(dtype).eps * scale)


def test_clusters_in_gradients_are_confined(backend, layout):
    slope, weight = normal((1, 64, 30, 29), dtype="float32"), normal((64, 64, 3, 3), 1, dtype="float32")
    slope[..., :2] *= 1e6
    shape, ours = to_layout(slope, layout).shape, weight_to_layout(weight, layout)
    options = {"padding": 1, "layout": layout}
    exact = grad.conv2d_input(shape, np.float64(ours), np.float64(to_layout(slope, layout)), **options)
    for _ in range(2):
        actual = grad.conv2d_input(shape, ours, to_layout(slope, layout), **options, precision="strict")
        assert np.abs(from_layout(actual - exact, layout))[..., 3:].max() < 1e-3


# ---- what is even ----


def problem_of(shape, weight, layout, dtype, transposed=False, **options):
    """The problem of images of a shape, which is that of NCHW."""
    given = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **options}
    if transposed:
        given["output_padding"] = 0
    options = ConvOptions.read("test", **given, layout=layout)
    shape, kernel = (
        to_layout(np.empty(shape), layout).shape,
        weight_to_layout(np.empty(weight), layout).shape,
    )
    return options.problem(shape, kernel, np.dtype(dtype), "strict")


def least_block(x, groups, size, step):
    """The largest number over that of the least block that is not zero, by definition; the worst of all images and
    groups. Infinity where more than half of the blocks are zero."""
    worst = 0.0
    for part in np.abs(np.float64(x)).reshape(len(x) * groups, -1, *x.shape[2:]):
        largest = []
        for fy, fx in np.ndindex(*(min(s, n) for s, n in zip(step, part.shape[1:], strict=True))):
            phase = part[:, fy :: step[0], fx :: step[1]]
            block = [min(b, n) for b, n in zip(size, phase.shape[1:], strict=True)]
            starts = [
                {min(i, n - b) for i in range(0, n, b)} for b, n in zip(block, phase.shape[1:], strict=True)
            ]
            largest += [
                phase[:, y : y + block[0], x : x + block[1]].max() for y in starts[0] for x in starts[1]
            ]
        seen = [number for number in largest if number]
        if 2 * len(seen) < len(largest):
            return np.inf
        worst = max(worst, part.max() / min(seen))
    return worst


# What is given, rows and columns of a block, and how far apart these are.
EVEN = {
    "3x3": ((3, 5, 33, 17), (4, 5, 3, 3), {}, (2, 2), (1, 1)),
    "few pixels": ((2, 70, 3, 2), (4, 70, 7, 7), {"padding": 3}, (3, 2), (1, 1)),
    "one channel": ((2, 1, 150, 99), (1, 1, 9, 8), {"padding": "same"}, (5, 4), (1, 1)),
    "many rows": ((1, 20, 301, 40), (2, 20, 4, 2), {"stride": 2}, (2, 1), (1, 1)),
    "dilation": ((1, 18, 31, 34), (2, 18, 3, 5), {"dilation": (4, 3)}, (2, 3), (4, 3)),
    "groups": ((2, 12, 20, 33), (12, 4, 5, 5), {"groups": 3}, (3, 3), (1, 1)),
    "depthwise": ((2, 3, 40, 51), (3, 1, 7, 7), {"groups": 3}, (4, 4), (1, 1)),
    "full": ((2, 3, 20, 21), (3, 3, 7, 9), {"padding": ((6, 6), (8, 8))}, (1, 1), (1, 1)),
    "padding on one side": ((2, 3, 30, 31), (3, 3, 9, 9), {"padding": ((0, 6), (7, 1))}, (3, 2), (1, 1)),
    "more padding than kernel": ((2, 3, 20, 21), (3, 3, 5, 5), {"padding": (9, 0)}, (1, 3), (1, 1)),
    "transposed": ((2, 6, 20, 21), (6, 4, 8, 7), {"stride": (2, 1), "padding": (3, 3)}, (2, 4), (1, 1)),
    "transposed, no padding": ((2, 6, 20, 21), (6, 4, 8, 7), {"stride": (2, 1)}, (1, 1), (1, 1)),
    "transposed, dilated": (
        (1, 6, 20, 21), (6, 4, 6, 6), {"stride": (2, 3), "dilation": (4, 2), "padding": (8, 4)}, (3, 1), (2, 2)
    ),
}  # fmt: skip


def engine_of(backend):
    if backend != "cython":
        pytest.skip("takes no transforms")
    return fastconv.backends.load("cython")


@pytest.mark.parametrize("name", EVEN)
def test_even_is_what_the_definition_says(backend, layout, dtype, name):
    """Just below and just above what is far, with any number of threads."""
    engine = engine_of(backend)
    shape, weight, options, block, step = EVEN[name]
    problem = problem_of(shape, weight, layout, dtype, "transposed" in name, **options)
    rng = np.random.default_rng(3)
    for place in np.ndindex(2, 2):
        x = (rng.random(shape) + 0.1).astype(dtype)
        x[..., -4:, -3:] *= (0.01, 1)[place[0]]
        x[:1, ..., :2, :] *= (0.02, 1)[place[1]]
        x[tuple(rng.integers(0, shape))] *= 50
        x[..., 3:, : min(4, shape[3] // 3)] = 0
        far = least_block(x, problem.groups, block, step)
        for threads in (1, 2, 3):
            with fastconv.num_threads(threads):
                assert not engine.is_even(problem, to_layout(x, layout), 0.999 * far)
                assert engine.is_even(problem, to_layout(x, layout), 1.001 * far)


@pytest.mark.parametrize("transposed", [False, True])
def test_windows_that_padding_leaves_little_of(backend, layout, dtype, transposed):
    """Whatever of the image a window sees, a number that it does not hold leaves it alone.

    Windows of padding alone may be rounding errors instead of zero.
    """
    outlier = 1e15 if dtype == "float32" else 1e30
    operation = fastconv.conv_transpose2d if transposed else fastconv.conv2d
    for kernel, size, padding in itertools.product((8, 15, 25), (1, 5, 11, 24), (0, 3, 7, 14, 24, 30)):
        pads = kernel - 1 - padding if transposed else padding
        if pads < 0 or size + 2 * padding < kernel:
            continue
        x, weight = normal((1, 2, size, size), dtype=dtype), normal((2, 2, kernel, kernel), 1, dtype=dtype)
        x[0, 1, 0, 0] = outlier
        options = {"padding": pads, "precision": "strict"}
        marks = np.zeros((2, 2, size, size))
        marks[0, 1, 0, 0] = marks[1] = 1
        held, seen = operation(marks, np.ones(weight.shape), padding=pads, backend="numpy") > 0.5
        given = to_layout(x, layout), weight_to_layout(weight, layout)
        for algorithm in (None, *(set(fastconv.algorithms()) & {"fft"})):
            actual = unless_refused(operation, *given, **options, layout=layout, algorithm=algorithm)
            if actual is None:
                continue
            expected = operation(
                x.astype(np.float64), weight.astype(np.float64), padding=pads, backend="numpy"
            )
            error = np.abs(from_layout(actual, layout) - expected)[0][seen & ~held]
            assert error.max(initial=0) < 1e4 * np.finfo(dtype).eps, (kernel, size, padding, algorithm)


def test_what_is_even(backend, layout, dtype):
    engine = engine_of(backend)
    shape = 2, 8, 40, 51
    problem = problem_of(shape, (8, 8, 3, 3), layout, dtype)

    def is_even(x):
        return engine.is_even(problem, to_layout(x.astype(dtype), layout), FAR_APART[np.dtype(dtype)])

    x = normal(shape, dtype=dtype)
    most = np.finfo(dtype).max
    tiny = 1e-8 if dtype == "float32" else 1e-15
    for even in (x, x * 1e30, x / 1e30, np.maximum(x, 0), 0 * x, 0 * x + 1, 0 * x + most / 2):
        assert is_even(even)
    for number in (*NUMBERS, -1e8, most):
        for place in ((0, 0, 0, 0), (1, 7, 39, 50), (0, 3, 20, 49), (1, 0, 39, 0)):
            one = np.ones(shape, dtype)
            one[place] = number
            assert not is_even(one), (number, place)
    for part in (np.s_[0, :, 4:9, 3:8], np.s_[..., :2], np.s_[1, :, -2:, -2:]):
        some = x.copy()
        some[part] = 0
        assert is_even(some)
        some[part] = tiny
        assert not is_even(some)
    few = x.copy()
    few[1, ..., 20:, :] = 0
    assert is_even(few)
    few[1, ..., 17:, :] = 0  # more than half of the blocks: what is left stands alone
    assert not is_even(few)
    apart = x.copy()
    apart[0] *= tiny  # another image is nobody's window
    assert is_even(apart)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("channels", "filters"), [(1, 1), (3, 5), (16, 40)])
def test_a_weight_that_is_not_finite_reaches_its_filter_alone(backend, layout, transposed, channels, filters):
    """Where all taps see the image; beside it, whether it is multiplied with zeros is not defined."""
    operation = fastconv.conv_transpose2d if transposed else fastconv.conv2d
    x, weight = 1 + np.abs(normal((1, channels, 20, 21))), normal((filters, channels, 3, 3))
    weight[0, 0, 0, 2] = np.inf
    weight = weight.swapaxes(0, 1) if transposed else weight
    y = operation(to_layout(x, layout), weight_to_layout(weight, layout), layout=layout, algorithm="direct")
    planes = from_layout(y, layout)
    inner = planes[0, 0, 2:-2, 2:-2] if transposed else planes[0, 0]
    assert np.isposinf(inner).all()
    assert np.isfinite(planes[0, 1:]).all()
