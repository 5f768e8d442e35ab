"""Dilated windows of a maximum whose pixels lie before and behind the image: as in PyTorch."""

import itertools

import numpy as np
import pytest

import fastconv
from checks import from_layout, normal, to_layout

torch = pytest.importorskip("torch")

CASES = [
    ((1, 7, 205, 1), (2, 2), 1, 1, (3, 2), True),
    ((2, 3, 3, 3), (2, 3), (1, 2), 1, (4, 1), False),
    ((2, 3, 5, 1), (2, 2), 3, (1, 1), 2, True),
    ((1, 2, 2, 2), 2, 1, 1, 3, False),
]


@pytest.mark.parametrize("case", CASES)
def test_the_maximum_of_no_pixel_is_minus_infinity(backend, layout, dtype, case):
    shape, *options = case
    x = normal(shape, dtype=dtype)
    expected = torch.nn.functional.max_pool2d(torch.from_numpy(x), *options).numpy()
    assert np.isneginf(expected).any()
    ours = to_layout(x, layout)
    out = np.empty_like(to_layout(expected, layout))
    for given in (None, out, None):
        actual = fastconv.max_pool2d(ours, *options, layout=layout, out=given)
        np.testing.assert_array_equal(from_layout(actual, layout), expected, strict=True)
    with pytest.raises(ValueError, match="nothing but padding"):
        fastconv.max_pool2d(ours, *options, return_indices=True, layout=layout)


def test_all_dilated_windows_are_pytorchs(backend):
    """What PyTorch refuses may be refused or not."""
    for size, kernel, stride, dilation, up in itertools.product(
        (1, 2, 5), (2, 3), (1, 2), (1, 2, 3, 5), (0, 1)
    ):
        for padding in range((kernel - 1) * dilation // 2 + 1):
            options = (1, kernel), (1, stride), (0, padding), (1, dilation), bool(up)
            x = normal((2, 3, 4, size), dtype="float32")
            try:
                expected = torch.nn.functional.max_pool2d(torch.from_numpy(x), *options).numpy()
            except RuntimeError:
                continue
            np.testing.assert_array_equal(fastconv.max_pool2d(x, *options), expected, strict=True)


@pytest.mark.parametrize(
    ("kind", "lowest"),
    [("int8", -128), ("uint16", 0), ("bool", False), ("float16", -np.inf), ("int64", -(2**63))],
)
def test_of_other_dtypes_it_is_the_lowest(backend, kind, lowest):
    x = np.ones((1, 1, 1, 3), kind)
    actual = fastconv.max_pool2d(x, (1, 2), 1, (0, 2), (1, 4))
    np.testing.assert_array_equal(actual, np.array([[[[1, lowest, 1]]]], kind), strict=True)


def test_out_may_not_overlap_the_image(backend):
    x = np.ones((1, 1, 5, 3))
    with pytest.raises(ValueError, match="overlap"):
        fastconv.max_pool2d(x, (1, 2), 1, (0, 2), (1, 4), out=x)


def test_networks_from_files(backend):
    node = fastconv.graph.Node
    x = fastconv.graph.Value("x", np.dtype("float32"), (1, 2, 3, 3))
    y = fastconv.graph.Value("y")
    pool = node("MaxPool", [x], [y], {"kernel_shape": (2, 2), "dilations": (4, 4), "pads": (1, 1, 1, 1)})
    model = fastconv.onnx.Model(fastconv.graph.Graph([x], [y], [pool]), None)
    array = normal((1, 2, 3, 3), dtype="float32")
    expected = torch.nn.functional.max_pool2d(torch.from_numpy(array), 2, 1, 1, 4).numpy()
    assert np.isneginf(expected).any()
    np.testing.assert_array_equal(model(array), expected)
