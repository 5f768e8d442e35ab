"""im2col by name: what it accepts, that its matrix never exists as a whole, and that images of a batch share tiles.

That it computes what the definition says, is tested with every other algorithm (`test_conv.py`, `test_accuracy.py`).
"""

import re

import numpy as np
import pytest

import cases
import fastconv
from checks import normal, solved, to_layout, weight_to_layout
from conftest import COMPILED

pytestmark = pytest.mark.parametrize("backend", COMPILED, indirect=True)

MOST_WORKSPACE = 1 << 20
HUGE = {
    "one channel, 900 megapixels": ((1, 1, 30000, 30000), (8, 1, 5, 5), {}),
    "many channels": ((1, 2048, 512, 512), (64, 2048, 3, 3), {}),
    "many filters": ((1, 64, 512, 512), (3000, 64, 5, 5), {}),
    "a million samples": ((1, 1, 1, 10**6), (2, 1, 1, 100_001), {}),
    "many small images": ((10**6, 16, 2, 2), (16, 16, 2, 2), {}),
    "groups": ((8, 512, 256, 256), (512, 16, 3, 3), {"groups": 32}),
    "far apart": ((1, 3, 2**20, 2**20), (4, 3, 3, 3), {"stride": 2**19, "dilation": 2**18}),
}


@pytest.mark.parametrize("name", HUGE)
def test_no_workspace_follows_the_image(backend, layout, name):
    shape, weight, options = HUGE[name]
    kernel = weight_to_layout(np.broadcast_to(np.float32(1), weight), layout)
    plan = fastconv.plan_conv2d(kernel, layout=layout, algorithm="im2col", **options)
    told = plan.explain(shape if layout == "NCHW" else (shape[0], *shape[2:], shape[1]))
    assert 0 < int(re.search(r"workspace: ([\d,]+)", told)[1].replace(",", "")) <= MOST_WORKSPACE


@pytest.mark.parametrize("name", cases.CONV)
def test_does_every_plain_convolution(backend, layout, name):
    solved("conv2d", cases.CONV[name]).run(layout, np.float32, algorithm="im2col")


def test_needs_taps_in_every_phase_of_a_transposed_one(backend, layout):
    x, weight = to_layout(normal((1, 4, 5, 6)), layout), weight_to_layout(normal((4, 3, 2, 3)), layout)
    options = {"layout": layout, "algorithm": "im2col"}
    fastconv.conv_transpose2d(x, weight, stride=(2, 3), **options)
    for stride, dilation in (((3, 1), 1), ((2, 4), 1), ((1, 3), 3)):
        with pytest.raises(ValueError, match=r"algorithm .*'im2col'"):
            fastconv.conv_transpose2d(x, weight, stride=stride, dilation=dilation, **options)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4)])
def test_other_images_of_a_batch_change_no_bit(backend, layout, dtype, size):
    """Although their outputs are columns of one matrix, whose tiles span images."""
    x = to_layout(normal((23, 120, *size), dtype=dtype), layout)
    weight = weight_to_layout(normal((40, 120, 3, 3), dtype=dtype), layout)
    options = {"padding": 1, "layout": layout, "algorithm": "im2col"}
    expected = [fastconv.conv2d(image[None], weight, **options)[0] for image in x]
    np.testing.assert_array_equal(fastconv.conv2d(x, weight, **options), expected)


def test_is_chosen_where_images_have_fewer_outputs_than_a_tile(backend, layout):
    weight = weight_to_layout(np.ones((256, 128, 4, 4), np.float32), layout)
    plan = fastconv.plan_conv2d(weight, layout=layout, precision="strict")
    chosen = plan.algorithm((64, 128, 4, 4) if layout == "NCHW" else (64, 4, 4, 128))
    # Its kernel covers the image, where vectors may make `dot_products` faster still.
    assert chosen == "im2col" or (layout, chosen) == ("NCHW", "dot_products")
