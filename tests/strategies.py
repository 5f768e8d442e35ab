"""Hypothesis strategies for legal problems, small enough for the reference and odd enough to be nasty."""

import itertools

from hypothesis import strategies as st

from cases import Case
from reference import effective, pads

layouts = st.sampled_from(["NCHW", "NHWC"])
dtypes = st.sampled_from(["float32", "float64"])


def either(values):
    """One int for both axes, or a pair of them."""
    return values | st.tuples(values, values)


def paddings(largest):
    amounts = st.integers(0, largest)
    return either(amounts) | st.tuples(st.tuples(amounts, amounts), st.tuples(amounts, amounts))


def _both(value):
    return value if isinstance(value, tuple) else (value, value)


@st.composite
def sizes(draw, kernel, stride, dilation, padding, smallest=(1, 1)):
    """An image size for which at least one window fits."""
    fit = []
    if isinstance(padding, str) and padding != "valid":
        total = ((0, 0), (0, 0)) if padding == "same" else pads(padding, (9, 9), kernel, stride, dilation)
        needed = (1, 1)
    else:
        total = pads(padding, (9, 9), kernel, stride, dilation)
        needed = tuple(effective(k, d) for k, d in zip(_both(kernel), _both(dilation), strict=True))
    for need, amounts, least in zip(needed, total, smallest, strict=True):
        least = max(1, least, need - sum(amounts))
        fit.append(draw(st.integers(least, least + 12)))
    return tuple(fit)


@st.composite
def convolutions(draw, modes=("zeros",), spatial=2, beyond=True):
    """`beyond`: may the sides that a mode fills be longer than the image?"""
    groups, per_group, multiplier = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 6))
    kernel = (draw(st.integers(1, 5)) if spatial == 2 else 1, draw(st.integers(1, 5)))
    options = {"stride": draw(either(st.integers(1, 4))), "dilation": draw(either(st.integers(1, 3)))}
    mode = draw(st.sampled_from(modes))
    named = st.sampled_from(["valid", "same", "full"]) if mode == "zeros" or beyond else st.just("valid")
    options["padding"] = draw(paddings(4) | named)
    smallest = (1, 1)
    if mode != "zeros":
        options["padding_mode"] = mode
    if mode == "constant":
        options["padding_value"] = draw(st.sampled_from([0, 1.5, -3]))
    if mode != "zeros" and not beyond:
        smallest = [max(axis) + 1 for axis in pads(options["padding"], (9, 9), kernel)]
    size = draw(sizes(kernel, options["stride"], options["dilation"], options["padding"], smallest))
    x = (draw(st.integers(0, 3)), groups * per_group, *size)
    weight = (groups * multiplier, per_group, *kernel)
    return Case(x, (weight,), (*options.items(), ("groups", groups)))


@st.composite
def transposed_convolutions(draw):
    groups, per_group, multiplier = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    kernel, stride = draw(st.tuples(*[st.integers(1, 5)] * 2)), draw(st.tuples(*[st.integers(1, 4)] * 2))
    dilation, size = draw(st.tuples(*[st.integers(1, 3)] * 2)), draw(st.tuples(*[st.integers(1, 8)] * 2))
    extra = [draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)]
    padding = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        full = (n - 1) * s + effective(k, d)
        before = draw(st.integers(0, min(full - 1, effective(k, d) - 1)))
        padding.append((before, draw(st.integers(0, min(full - 1 - before, effective(k, d) - 1)))))
    options = {
        "stride": stride,
        "padding": tuple(padding),
        "output_padding": tuple(extra),
        "dilation": dilation,
    }
    x = (draw(st.integers(0, 2)), groups * per_group, *size)
    return Case(x, ((groups * per_group, multiplier, *kernel),), (*options.items(), ("groups", groups)))


@st.composite
def poolings(draw, largest_dilation=1, padded=True):
    """(shape, options) of window pooling, padded by at most half a kernel, as PyTorch demands."""
    kernel = draw(st.tuples(*[st.integers(1, 5)] * 2))
    options = {"kernel_size": kernel, "ceil_mode": draw(st.booleans())}
    options["stride"] = draw(st.none() | either(st.integers(1, 4)))
    padding, dilation = (0, 0), 1
    if padded:
        options["padding"] = padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    if largest_dilation > 1:
        options["dilation"] = dilation = draw(either(st.integers(1, largest_dilation)))
    size = draw(sizes(kernel, 1, dilation, padding))
    return (draw(st.integers(0, 2)), draw(st.integers(1, 5)), *size), options


@st.composite
def chunked(draw, size, most=6):
    """A size in chunks."""
    ends = draw(st.sets(st.integers(1, size - 1), max_size=most)) if size > 1 else set()
    bounds = [0, *sorted(ends), size]
    return tuple(b - a for a, b in itertools.pairwise(bounds))
