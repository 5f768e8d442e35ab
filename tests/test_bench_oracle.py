"""The oracle itself: parts of it against the whole, its gradients against differences and PyTorch, its independence.

`test_torch.py` compares its forward definitions with PyTorch's functions.
"""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest

import reference
from checks import normal
from fastconv.bench.oracle import definitions
from fastconv.bench.oracle.definitions import FORWARD, GRADIENTS
from grad_checks import check_directions

X = (2, 4, 7, 8)
LAYERS = {  # the operation, the shapes of its arrays, and its options
    "conv2d": ("conv2d", {"x": X, "weight": (6, 2, 3, 2)}, {"groups": 2, "stride": (2, 1), "padding": 1}),
    "wrapped": ("conv2d", {"x": X, "weight": (3, 4, 3, 3)}, {"padding": 3, "padding_mode": "circular"}),
    "mirrored": ("conv2d", {"x": X, "weight": (3, 4, 3, 3)}, {"padding": 2, "padding_mode": "reflect"}),
    "dilated": ("conv2d", {"x": X, "weight": (3, 4, 2, 3)}, {"dilation": (3, 2), "padding": "same"}),
    "depthwise": ("depthwise_conv2d", {"x": X, "weight": (8, 1, 3, 3)}, {"padding": 1}),
    "silu": ("conv2d", {"x": X, "weight": (3, 4, 3, 3), "bias": (3,)}, {"activation": "silu"}),
    "separable": (
        "separable_conv2d",
        {"x": X, "depthwise_weight": (8, 1, 3, 3), "pointwise_weight": (3, 8, 1, 1)},
        {"padding": 1, "activation": "tanh"},
    ),
    "transposed": (
        "conv_transpose2d",
        {"x": X, "weight": (4, 3, 3, 4)},
        {"groups": 2, "stride": (3, 2), "padding": 1, "output_padding": (2, 1), "dilation": (1, 2)},
    ),
    "transposed, many groups": ("conv_transpose2d", {"x": X, "weight": (4, 2, 3, 3)}, {"groups": 4, "stride": 2}),
    "transposed, same": ("conv_transpose2d", {"x": X, "weight": (4, 3, 4, 3)}, {"stride": 3, "padding": "same"}),
    "signal": ("conv1d", {"x": (2, 4, 9), "weight": (5, 4, 3)}, {"padding": (1, 2), "stride": 2}),
    "transposed signal": ("conv_transpose1d", {"x": (2, 4, 9), "weight": (4, 3, 4)}, {"stride": 3, "padding": 1}),
    "deformed": (
        "deform_conv2d",
        {"x": X, "offset": (2, 24, 7, 7), "weight": (6, 2, 2, 3), "mask": (2, 12, 7, 7)},
        {"padding": ((0, 1), (0, 1))},
    ),
    "unfold": ("unfold", {"x": X}, {"kernel_size": (3, 2), "padding": 1, "stride": 2}),
    "fold": ("fold", {"x": (2, 12, 36)}, {"output_size": (7, 6), "kernel_size": (2, 3), "padding": (0, 1)}),
    "max": ("max_pool2d", {"x": X}, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    "average": ("avg_pool2d", {"x": X}, {"kernel_size": (3, 2), "stride": 2, "padding": 1, "ceil_mode": True}),
    "divisor": ("avg_pool2d", {"x": X}, {"kernel_size": 2, "divisor_override": -3}),
    "pixels alone": ("avg_pool2d", {"x": X}, {"kernel_size": 3, "padding": 1, "count_include_pad": False}),
    "norms": ("lp_pool2d", {"x": X}, {"norm_type": 3.0, "kernel_size": 2, "stride": 3, "ceil_mode": True}),
    "largest norms": ("lp_pool2d", {"x": X}, {"norm_type": np.inf, "kernel_size": 3, "padding": 1}),
    "adaptive": ("adaptive_avg_pool2d", {"x": X}, {"output_size": (3, 5)}),
    "adaptive max": ("adaptive_max_pool2d", {"x": X}, {"output_size": (3, 5)}),
    "global": ("global_avg_pool2d", {"x": X}, {"keepdims": False}),
    "global max": ("global_max_pool2d", {"x": X}, {}),
    "fractional": (
        "fractional_max_pool2d",
        {"x": X},
        {"kernel_size": 2, "output_size": (4, 5), "random_samples": np.full((2, 4, 2), 0.3)},
    ),
    "padding": ("pad2d", {"x": X}, {"padding": ((1, 2), (3, 0)), "mode": "reflect"}),
    "border": ("pad2d", {"x": X}, {"padding": 2, "mode": "replicate"}),
    "norm": ("local_response_norm", {"x": X}, {"size": 3, "alpha": 0.5}),
    "dense": ("dense", {"x": (3, 5), "weight": (4, 5), "bias": (4,)}, {"activation": "silu"}),
    "softmax": ("softmax", {"x": X}, {"dim": 1}),
    "logarithms": ("log_softmax", {"x": X}, {"dim": -1}),
    "batch": ("batch_norm", {"x": X, "weight": (4,), "bias": (4,)},
              {"running_mean": None, "running_var": None, "training": True}),
    "known batch": ("batch_norm", {"x": X, "weight": (4,), "bias": (4,)},
                    {"running_mean": np.arange(4.0), "running_var": np.arange(1.0, 5.0)}),
    "groups": ("group_norm", {"x": X, "weight": (4,), "bias": (4,)}, {"num_groups": 2}),
    "instances": ("instance_norm", {"x": X, "weight": (4,), "bias": (4,)}, {}),
    "rows": ("layer_norm", {"x": X, "weight": (7, 8), "bias": (7, 8)}, {"normalized_shape": (7, 8)}),
    "larger": ("resize2d", {"x": X}, {"size": (9, 13), "mode": "cubic"}),
    "smaller": ("resize2d", {"x": X}, {"size": (3, 5), "mode": "linear", "antialias": True}),
    "shuffled": ("pixel_shuffle", {"x": X}, {"upscale_factor": 2}),
    "unshuffled": ("pixel_unshuffle", {"x": (2, 2, 6, 8)}, {"downscale_factor": 2}),
    "dealt": ("channel_shuffle", {"x": X}, {"groups": 2}),
}  # fmt: skip


def made(name):
    operation, shapes, options = LAYERS[name]
    arrays = {argument: normal(shape, seed=i) for i, (argument, shape) in enumerate(shapes.items())}
    return operation, arrays, options


def first(result):
    return result[0] if isinstance(result, tuple) else result


def all_definitions(name):
    """The result, and the gradients for some gradient of it."""
    operation, arrays, options = made(name)
    result = first(FORWARD[operation](**arrays, **options))
    gradients = GRADIENTS[operation](**arrays, **options, grad_output=normal(result.shape, seed=9))
    return [result, *(gradient for gradient in gradients if gradient is not None)]


@pytest.mark.parametrize("name", LAYERS)
def test_a_box_has_the_elements_of_the_whole(name, monkeypatch):
    for number, definition in enumerate(all_definitions(name)):
        rng = np.random.default_rng(number)
        values, bound = definition.everywhere()
        assert values.shape == bound.shape == definition.shape
        assert (np.abs(values) <= bound + 1e-12).all() or not bound.any()
        for _ in range(5):
            box = [rng.choice(size, rng.integers(1, size + 1), replace=False) for size in definition.shape]
            some, its_bound = definition.at(box)
            np.testing.assert_allclose(some, values[np.ix_(*box)], rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(its_bound, bound[np.ix_(*box)], rtol=1e-12, atol=1e-12)
    monkeypatch.setattr(definitions.common, "BLOCK", 50)  # in many blocks
    again, _ = definition.everywhere()
    np.testing.assert_allclose(again, values, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_derivatives(name):
    operation, arrays, options = made(name)
    names = list(arrays)
    slope = normal(first(FORWARD[operation](**arrays, **options)).shape, seed=9)
    gradients = [None if g is None else g.everywhere()[0] for g in
                 GRADIENTS[operation](**arrays, **options, grad_output=slope)]  # fmt: skip

    def forward(*given):
        return first(FORWARD[operation](**dict(zip(names, given, strict=True)), **options)).everywhere()[0]

    if operation == "deform_conv2d":
        del gradients[3]  # of a bias that is not there
    check_directions(forward, list(arrays.values()), gradients[: len(arrays)], slope, rtol=1e-6)


@pytest.mark.parametrize("name", ["conv2d", "dilated", "transposed", "transposed, many groups", "max", "average",
                                  "divisor", "pixels alone", "adaptive", "adaptive max", "unfold", "fold"])  # fmt: skip
def test_gradients_are_those_of_torch(name):
    torch = pytest.importorskip("torch")
    operation, arrays, options = made(name)
    if options.get("padding") == "same":
        options = {
            **options,
            "padding": tuple(side[0] for side in reference.pads("same", X[2:], (2, 3), 1, (3, 2))),
        }
    tensors = [torch.from_numpy(array).requires_grad_() for array in arrays.values()]
    result = getattr(torch.nn.functional, operation)(*tensors, **options)
    slope = normal(tuple(result.shape), seed=9)
    result.backward(torch.from_numpy(slope))
    ours = GRADIENTS[operation](**arrays, **options, grad_output=slope)
    for tensor, gradient in zip(tensors, ours, strict=False):
        np.testing.assert_allclose(gradient.everywhere()[0], tensor.grad.numpy(), rtol=1e-10, atol=1e-11)


def test_every_operation_has_both():
    assert set(FORWARD) == set(GRADIENTS)


def test_definitions_use_nothing_of_what_they_judge():
    """Nor do they use each other's users: NumPy, the standard library, and their own folder."""
    folder = Path(definitions.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.partition(".")[0]
                own = name == definitions.__name__ or name.startswith(f"{definitions.__name__}.")
                assert own or top == "numpy" or top in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_a_neighbour_without_a_share_is_not_read():
    """At whole pixels a deformable convolution reads one of the four around, whatever the others are."""
    x, offset, weight = (
        np.array([[[[1.0, np.nan, np.inf, 2.0]]]]),
        np.zeros((1, 2, 1, 4)),
        np.ones((1, 1, 1, 1)),
    )
    np.testing.assert_array_equal(reference.deform_conv2d(x, offset, weight), x)


@pytest.mark.parametrize(("mode", "numpy_mode"), [("reflect", "reflect"), ("circular", "wrap")])
def test_padding_wraps_again(mode, numpy_mode):
    x = normal((1, 2, 3, 4))
    expected = np.pad(x, ((0, 0), (0, 0), (7, 9), (11, 5)), mode=numpy_mode)
    np.testing.assert_array_equal(reference.pad2d(x, ((7, 9), (11, 5)), mode), expected)
