"""ONNX's own node tests, on every backend, through adapters from ONNX's attributes to our arguments."""

import functools
import warnings

import numpy as np
import onnx
import pytest

import fastconv

EXCLUDED = {
    "three spatial dimensions": [
        "test_convtranspose_3d",
        "test_lppool_3d_default",
        "test_maxpool_3d_default",
        "test_maxpool_3d_dilations",
        "test_maxpool_3d_dilations_use_ref_impl",
        "test_maxpool_3d_dilations_use_ref_impl_large",
        "test_averagepool_3d_default",
        "test_averagepool_3d_dilations_small",
        "test_averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True",
        "test_averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False",
        "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True",
        "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False",
        "test_col2im_5d",
    ],
    "average and L_p pooling have no dilation, as in PyTorch": [
        "test_averagepool_2d_dilations",
        "test_lppool_2d_dilations",
    ],
    "a channel is padded": [
        "test_constant_pad",
        "test_constant_pad_axes",
        "test_constant_pad_negative_axes",
    ],
}
EXCLUDED_NAMES = {name for names in EXCLUDED.values() for name in names}


@functools.cache
def node_tests():
    """{operator: {name: ONNX test}} of the single-node tests of our operators, which ONNX takes seconds to compute."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, from computing the expected results of other operators
        tests = [test for test in collect_testcases(None) if test.model is not None]
    found = {operator: {} for operator in ADAPTERS}
    for test in tests:
        nodes = test.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in found:
            found[nodes[0].op_type][test.name] = test
    return found


def axes_of(attributes, spatial):
    """(strides, dilations, padding) as this library takes them; ONNX pads as (begin ..., end ...)."""
    ones = (1,) * spatial
    strides, dilations = (tuple(attributes.get(name, ones)) for name in ("strides", "dilations"))
    pads = attributes.get("pads", (0,) * 2 * spatial)
    return strides, dilations, tuple(zip(pads[:spatial], pads[spatial:], strict=True))


def same_pads(attributes, size, kernel):
    """SAME_LOWER puts the odd pixel at the top; our "same" is SAME_UPPER."""
    strides, dilations, padding = axes_of(attributes, len(size))
    mode = attributes.get("auto_pad", b"NOTSET").decode()
    if mode == "SAME_UPPER":
        return "same"
    if mode != "SAME_LOWER":
        return padding
    needed = [
        max((-(n // -s) - 1) * s + d * (k - 1) + 1 - n, 0)
        for n, k, s, d in zip(size, kernel, strides, dilations, strict=True)
    ]
    return tuple((total - total // 2, total // 2) for total in needed)


def one_row(function):
    """Lets a 2-D adapter do a 1-D test: every spatial attribute gets a leading axis of one row."""

    def adapted(attributes, x, *inputs):
        if x.ndim == 4 or "kernel_shape" not in attributes:
            return function(attributes, x, *inputs)
        rows = {"kernel_shape": 1, "strides": 1, "dilations": 1}
        wider = attributes | {name: [rows[name], *attributes[name]] for name in rows if name in attributes}
        if "pads" in attributes:
            wider["pads"] = [0, attributes["pads"][0], 0, attributes["pads"][1]]
        return tuple(array[:, :, 0] for array in function(wider, x[:, :, None], *inputs))

    return adapted


def conv(attributes, x, weight, bias=None):
    strides, dilations, _ = axes_of(attributes, x.ndim - 2)
    padding = same_pads(attributes, x.shape[2:], weight.shape[2:])
    return (fastconv.conv2d(x, weight, bias, strides, padding, dilations, attributes.get("group", 1)),)


def conv_transpose(attributes, x, weight, bias=None):
    spatial = x.ndim - 2
    strides, dilations, padding = axes_of(attributes, spatial)
    extra = tuple(attributes.get("output_padding", (0,) * spatial))
    if attributes.get("auto_pad") == b"SAME_UPPER":
        padding = "same"
    elif "output_shape" in attributes:
        axes = zip(
            x.shape[2:], weight.shape[2:], strides, dilations, attributes["output_shape"], extra, strict=True
        )
        total = [(n - 1) * s + e + d * (k - 1) + 1 - out for n, k, s, d, out, e in axes]
        extra = tuple(e + max(-pad, 0) for e, pad in zip(extra, total, strict=True))
        padding = tuple((max(pad, 0) // 2, max(pad, 0) - max(pad, 0) // 2) for pad in total)
    function = fastconv.conv_transpose2d
    if spatial == 1:
        function, strides, dilations, extra = fastconv.conv_transpose1d, strides[0], dilations[0], extra[0]
        padding = padding if isinstance(padding, str) else padding[0]
    return (function(x, weight, bias, strides, padding, extra, attributes.get("group", 1), dilations),)


def deform_conv(attributes, x, weight, offset, bias=None, mask=None):
    strides, dilations, padding = axes_of(attributes, 2)
    return (fastconv.deform_conv2d(x, offset, weight, bias, strides, padding, dilations, mask),)


@one_row
def max_pool(attributes, x):
    kernel = tuple(attributes["kernel_shape"])
    strides, dilations, _ = axes_of(attributes, 2)
    padding, ceil = same_pads(attributes, x.shape[2:], kernel), bool(attributes.get("ceil_mode"))
    value, index = fastconv.max_pool2d(x, kernel, strides, padding, dilations, ceil, return_indices=True)
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(
        *x.shape[:2], 1, 1
    )  # ONNX counts through the whole array
    if attributes.get("storage_order"):
        height, width = x.shape[2:]
        index = index % width * height + index // width
    return value, index + planes * x.shape[2] * x.shape[3]


@one_row
def average_pool(attributes, x):
    kernel, (strides, _, _) = tuple(attributes["kernel_shape"]), axes_of(attributes, 2)
    padding, ceil = same_pads(attributes, x.shape[2:], kernel), bool(attributes.get("ceil_mode"))
    return (
        fastconv.avg_pool2d(x, kernel, strides, padding, ceil, bool(attributes.get("count_include_pad", 0))),
    )


@one_row
def lp_pool(attributes, x):
    """Zeros around the image do not change an L_p norm."""
    kernel, (strides, dilations, _) = tuple(attributes["kernel_shape"]), axes_of(attributes, 2)
    padding = same_pads(attributes, x.shape[2:], kernel)
    if padding == "same":
        padding = fastconv.geometry.same_padding(x.shape[2:], kernel, strides, dilations)
    return (fastconv.lp_pool2d(fastconv.pad2d(x, padding), attributes.get("p", 2), kernel, strides),)


def max_unpool(attributes, x, indices, output_shape=None):
    kernel, (strides, _, _) = tuple(attributes["kernel_shape"]), axes_of(attributes, 2)
    if output_shape is None:
        return (fastconv.max_unpool2d(x, indices, kernel, strides),)
    # The indices count in the plane of the default size, which becomes the corner of the larger one.
    plane = fastconv.max_unpool2d(x, indices, kernel, strides)
    rows, columns = (int(n) - m for n, m in zip(output_shape[2:], plane.shape[2:], strict=True))
    return (fastconv.pad2d(plane, ((0, rows), (0, columns))),)


def lrn(attributes, x):
    parameters = {"alpha": attributes.get("alpha", 1e-4), "beta": attributes.get("beta", 0.75)}
    return (fastconv.local_response_norm(x, attributes["size"], **parameters, k=attributes.get("bias", 1.0)),)


def pad(attributes, x, pads, value=0.0):
    assert not any((*pads[:2], *pads[4:6]))
    mode = {b"constant": "zeros", b"edge": "replicate", b"reflect": "reflect", b"wrap": "circular"}[
        attributes["mode"]
    ]
    padding = ((int(pads[2]), int(pads[6])), (int(pads[3]), int(pads[7])))
    return (fastconv.pad2d(x, padding, mode, float(value)),)


def col2im(attributes, columns, image_shape, block_shape):
    strides, dilations, padding = axes_of(attributes, 2)
    return (
        fastconv.fold(
            columns, tuple(map(int, image_shape)), tuple(map(int, block_shape)), dilations, padding, strides
        ),
    )


ADAPTERS = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "DeformConv": deform_conv,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "LpPool": lp_pool,
    "GlobalAveragePool": lambda attributes, x: (fastconv.global_avg_pool2d(x),),
    "GlobalMaxPool": lambda attributes, x: (fastconv.global_max_pool2d(x),),
    "MaxUnpool": max_unpool,
    "LRN": lrn,
    "Pad": pad,
    "Col2Im": col2im,
}


@pytest.mark.parametrize("operator", ADAPTERS)
def test_nodes(backend, operator):
    ours = node_tests()[operator].keys() - EXCLUDED_NAMES
    assert ours
    for name in sorted(ours):
        try:
            check(node_tests()[operator][name], ADAPTERS[operator])
        except Exception as error:
            error.add_note(name)
            raise


def check(test, adapter):
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in test.model.graph.node[0].attribute}
    assert test.data_sets
    for inputs, outputs in test.data_sets:
        results = adapter(attributes, *inputs)
        for actual, expected in zip(results, outputs, strict=False):  # MaxPool's indices are optional
            assert actual.dtype == expected.dtype
            np.testing.assert_allclose(actual, expected, rtol=test.rtol, atol=1e-6)
            assert actual.shape == expected.shape


def test_exclusions_exist():
    tests = {name: test for of_operator in node_tests().values() for name, test in of_operator.items()}
    assert tests.keys() >= EXCLUDED_NAMES, EXCLUDED_NAMES - tests.keys()
    three_dimensional = {
        name for name, test in tests.items() if any(np.ndim(a) > 4 for a in test.data_sets[0][0])
    }
    assert three_dimensional <= EXCLUDED_NAMES
