"""The passes that make dense layers, and affine steps into weights.

Each rewriting, and each case in which it must not be done.
"""

import numpy as np
import pytest

from fastconv.graph.passes import optimise
from passes_oracle import Net, weighted

# The kernels are those of other tests.
pytestmark = pytest.mark.one_instruction_set

F4 = np.float32


@pytest.mark.parametrize("attributes", [{}, {"alpha": 0.5, "beta": 2.0}, {"transB": 1}])
@pytest.mark.parametrize("bias", [None, (4,), (1,), (1, 4), ()])
def test_general_products(backend, attributes, bias):
    net = Net()
    x, weight = net.input(3, 5), net.normal(4, 5) if attributes.get("transB") else net.normal(5, 4)
    added = [] if bias is None else [net.normal(*bias)]
    y = net("Relu", net("Gemm", x, weight, *added, **attributes))
    assert net.left(y) == ["fastconv.Dense"]


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (0, 5)])
def test_matrix_products(backend, shape):
    net = Net()
    y = net("Add", net.normal(4), net("MatMul", net.input(*shape), net.normal(5, 4)))
    assert net.left(net("Gelu", net("Mul", y, net.normal(4)))) == ["fastconv.Dense"]


def test_products_that_are_no_dense_layers():
    def left(operation, *inputs, dtype=F4, **attributes):
        net = Net()
        x = net.input(3, 3, dtype=dtype)
        given = [net.input(3, 3) if value is None else value for value in inputs]
        return net.left(net(operation, x, *given, **attributes))

    square = np.ones((3, 3), F4)
    assert left("MatMul", None) == ["MatMul"]
    assert left("MatMul", np.ones((2, 3, 3), F4)) == ["MatMul"]
    assert left("MatMul", np.ones(3, F4)) == ["MatMul"]
    assert left("MatMul", square.astype(int), dtype=int) == ["MatMul"]
    assert left("Gemm", square, transA=1) == ["Gemm"]
    assert left("Gemm", square, None) == ["Gemm"]  # not a vector
    assert left("Gemm", square, square) == ["Gemm"]
    assert left("Gemm", square, np.ones((3, 1), F4)) == ["Gemm"]


def test_a_sum_of_a_dense_layer_that_is_not_along_its_features():
    net = Net()
    y = net("MatMul", net.input(4, 5), net.normal(5, 4))
    assert net.left(net("Softmax", net("Add", y, net.normal(4, 1)))) == ["fastconv.Dense", "Add", "Softmax"]


# Affine steps.


def norm(net, x, channels=6, **attributes):
    parameters = [net.normal(channels) for _ in range(3)]
    return net("BatchNormalization", x, *parameters, np.abs(net.normal(channels)) + F4(0.1), **attributes)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("operation", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 4, 5, 5), (1, 4, 3, 4, 4)])
def test_batch_norm_and_all_that_follows(backend, operation, group, shape):
    """Into weights and bias, in one go."""
    net = Net()
    y = norm(net, weighted(net, operation, shape, group=group), epsilon=0.01)
    ones = (1,) * (len(shape) - 2)
    y = net("Mul", y, net.normal(6, *ones))
    y = net("Add", net.normal(1, 6, *ones), y)
    y = net("Sub", y, F4(0.5))
    y = net("Sub", np.full((1, 1), 0.5, F4), y)
    y = net("Div", y, net.normal(6, *ones))
    assert net.left(y, tolerance=1e-4) == [operation]


def test_what_is_not_along_the_channels():
    for constant in ((3,), (6, 5, 1), (2, 1, 1, 1), (1, 2, 6, 1, 1), (1, 1, 6, 1, 1)):
        net = Net()
        y = net("Add", weighted(net, "Conv"), net.normal(*constant))
        assert net.left(net("Softmax", y)) == ["Conv", "Add", "Softmax"]


def test_one_channel_that_is_broadcast():
    net = Net()
    y = net("Add", net("Conv", net.input(2, 4, 3, 3), net.normal(1, 4, 1, 1)), net.normal(6, 1, 1))
    assert net.left(net("Softmax", y)) == ["Conv", "Add", "Softmax"]


def test_affine_steps_that_are_not_folded():
    net = Net()
    y = weighted(net, "Conv")
    assert net.left(net("Div", net.normal(6, 1, 1), y)) == ["Conv", "Div"]  # 1 / y
    net = Net()
    y = weighted(net, "Conv")
    assert net.left(net("Softmax", net("Mul", y, net.normal(6, 1, 1))), y) == ["Conv", "Mul", "Softmax"]
    net = Net()
    y = net("Conv", net.input(2, 4, 5, 5), net.input(6, 4, 1, 1))
    assert net.left(net("Mul", y, net.normal(6, 1, 1))) == ["Conv", "Mul"]
    net = Net()
    y = weighted(net, "Conv")
    assert net.left(net("Mul", y, np.zeros((6, 1, 1)))) == ["Conv", "Mul"]  # float64
    net = Net()
    y = weighted(net, "Conv")
    assert net.left(net("Mul", y, np.full((6, 1, 1), np.inf, F4))) == ["Conv", "Mul"]


def test_batch_norm_that_is_not_folded_is_two_steps():
    net = Net()
    y = norm(net, net("MaxPool", net.input(2, 6, 4, 4), kernel_shape=(2, 2)))
    assert net.left(net("Softmax", y), stop_after="epilogues") == ["MaxPool", "Mul", "Add", "Softmax"]
    net = Net()
    y = norm(net, net.input(3, 6))
    assert net.left(y) == ["fastconv.Elementwise"]


def test_batch_norm_with_parameters_that_are_not_known():
    net = Net()
    y = net("BatchNormalization", weighted(net, "Conv"), *(net.input(6) for _ in range(3)), np.ones(6, F4))
    assert net.left(net("Softmax", y)) == ["Conv", "BatchNormalization", "Softmax"]


def test_a_long_chain_is_two_steps():
    net = Net()
    y = net("Exp", net.input(2, 6, 4))
    for operation in ("Mul", "Add", "Mul", "Sub"):
        y = net(operation, y, net.normal(6, 1))
    assert net.left(net("Softmax", y), stop_after="epilogues") == ["Exp", "Mul", "Add", "Softmax"]


def test_what_follows_a_fused_activation_or_residual_is_not_folded():
    net = Net()
    y = net("Conv", net.input(1, 4, 3, 3), net.normal(4, 4, 1, 1))
    y = net("Mul", net("Relu", y), net.normal(4, 1, 1))
    assert net.left(net("Softmax", y)) == ["fastconv.Conv", "Mul", "Softmax"]
    net = Net()
    x = net.input(1, 4, 3, 3)
    y = net("Mul", net("Add", net("Conv", x, net.normal(4, 4, 1, 1)), x), net.normal(4, 1, 1))
    assert net.left(net("Softmax", y)) == ["fastconv.Conv", "Mul", "Softmax"]


def test_weights_are_rounded_once():
    """Scales whose product is 1, and each of which alone would lose digits of the weights."""
    net = Net()
    weight = net.normal(6, 4, 1, 1)
    y = net("Conv", net.input(1, 4, 3, 3), weight)
    y = net("Mul", net("Mul", y, F4(1e30)), F4(1e-30))
    graph, _ = optimise(net.graph(y))
    expected = (weight.astype(float) * (float(F4(1e30)) * float(F4(1e-30)))).astype(F4)
    np.testing.assert_array_equal(graph.nodes[0].inputs[1].constant, expected)


# Affine steps before.


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 4, 5, 5), (1, 4, 3, 4, 4)])
def test_affine_steps_that_one_convolution_reads(backend, group, shape):
    net = Net()
    ones = (1,) * (len(shape) - 2)
    y = net("Exp", net.input(*shape))
    for operation, constant in (
        ("Mul", net.normal(4, *ones)),
        ("Add", net.normal(1, 4, *ones)),
        ("Sub", F4(0.5)),
    ):
        y = net(operation, y, constant)
    y = net("Conv", norm(net, y, 4), net.normal(6, 4 // group, *(2,) * len(ones)), group=group)
    assert net.left(net("Softmax", y)) == ["Exp", "Conv", "Softmax"]


def test_affine_steps_before_a_dense_layer():
    net = Net()
    y = net("Add", net("Mul", net("Exp", net.input(3, 5)), net.normal(5)), F4(0.5))
    y = net("Add", net("MatMul", y, net.normal(5, 4)), net.normal(4))
    assert net.left(net("Softmax", y)) == ["Exp", "fastconv.Dense", "Softmax"]


@pytest.mark.parametrize("padding", [{"pads": (0, 1, 0, 0)}, {"auto_pad": "SAME_UPPER"}])
def test_zeros_around_an_image_are_not_moved(padding):
    """They are put around what the sum gives: a factor goes into the weights, and no more."""
    net = Net()
    y = net("Add", net("Exp", net.input(1, 4, 5, 5)), net.normal(4, 1, 1))
    y = net("Conv", net("Mul", y, net.normal(4, 1, 1)), net.normal(6, 4, 2, 2), **padding)
    assert net.left(net("Softmax", y), stop_after="epilogues") == ["Exp", "Add", "Conv", "Softmax"]


def test_affine_steps_before_that_stay():
    net = Net()
    y = net("Mul", net("Exp", net.input(1, 4, 3, 3)), net.normal(4, 1, 1))
    left = net.left(net("Conv", y, net.normal(6, 4, 1, 1)), net("Relu", y))
    assert left == ["fastconv.Elementwise", "Conv", "Relu"]
    net = Net()
    y = net("Mul", net("Exp", net.input(1, 1, 3, 3)), net.normal(4, 1, 1))  # makes four channels of one
    assert "Conv" in net.left(net("Softmax", net("Conv", y, net.normal(6, 4, 1, 1))))
    net = Net()
    y = net("Mul", net("Exp", net.input(1, 4, 3, 3)), net.normal(3, 1))  # along the rows
    assert "Conv" in net.left(net("Softmax", net("Conv", y, net.normal(6, 4, 1, 1))))
    net = Net()
    y = net("Mul", net("Exp", net.input(1, 4, 3, 3)), np.full((4, 1, 1), np.inf, F4))
    assert "fastconv.Elementwise" in net.left(net("Softmax", net("Conv", y, net.normal(6, 4, 1, 1))))
