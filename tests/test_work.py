"""What a backend says that a convolution takes: its algorithm, its multiplications and additions, its weights."""

import numpy as np
import pytest

import fastconv
from conftest import skip_unless_available


def work(shape, size, **options):
    weight = np.zeros(shape, np.float32)
    channels = shape[1] * options.get("groups", 1)
    return fastconv.plan_conv2d(weight, **options)._work((1, channels, *size))


def test_textbook_sums_take_what_the_textbook_says(backend):
    algorithm, flops, weights, _ = work(
        (6, 4, 3, 3), (10, 12), padding=1, backend=backend, algorithm="direct"
    )
    assert algorithm in fastconv.algorithms(backend)
    assert flops == 2 * 6 * 4 * 9 * 10 * 12
    assert weights >= 6 * 4 * 9 * 4


@pytest.mark.parametrize("tile", [2, 3, 4])
def test_winograd_multiplies_at_its_points(tile):
    """(M + 2)**2 products for a tile of M x M outputs, whole tiles at the edges."""
    skip_unless_available("cython")
    algorithm, flops, weights, _ = work(
        (8, 4, 3, 3), (12, 13), padding=1, backend="cython", algorithm=f"winograd{tile}"
    )
    assert algorithm == f"winograd{tile}"
    assert flops == 2 * 8 * 4 * (tile + 2) ** 2 * -(-12 // tile) * -(-13 // tile)
    assert weights >= 8 * 4 * (tile + 2) ** 2 * 4


def test_transforms_of_large_kernels_take_less_than_the_sum():
    skip_unless_available("cython")
    _, flops, _, _ = work((1, 1, 31, 31), (256, 256), padding=15, backend="cython", algorithm="fft")
    textbook = 2 * 31 * 31 * 256 * 256
    assert textbook / 20 < flops < textbook / 4


def test_a_call_may_take_another_algorithm_than_a_plan():
    """The preparation of weights counts."""
    skip_unless_available("cython")
    plan = fastconv.plan_conv2d(np.zeros((512, 512, 3, 3), np.float32), padding=1, backend="cython")
    assert plan._work((1, 512, 7, 7)).algorithm == plan.algorithm((1, 512, 7, 7))
    assert plan._work((1, 512, 7, 7), once=True).algorithm in fastconv.algorithms("cython")
