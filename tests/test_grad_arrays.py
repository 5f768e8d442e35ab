"""What may go into a gradient and come out: views, dtypes, `out`."""

from dataclasses import dataclass
from functools import partial

import ml_dtypes
import numpy as np
import pytest

import fastconv
import reference_grad
from checks import DIRECT, assert_close, eps, normal, rounding
from fastconv import grad
from test_arrays import DTYPES, VIEWS, every_second, read_only, typed


@dataclass(frozen=True)
class Call:
    """A gradient, and the shapes of its arrays; `takes_out` where it gives one."""

    function: partial
    shapes: tuple
    takes_out: bool = True

    def arrays(self, dtype):
        return [normal(shape, seed=i, dtype=dtype) for i, shape in enumerate(self.shapes)]

    def run(self, *arrays, **options):
        """The gradients as a tuple."""
        result = self.function(*arrays, **options)
        return result if isinstance(result, tuple) else (result,)


X, IMAGE = (2, 4, 6, 7), (2, 4, 6, 7)
INDICES = np.random.default_rng(0).integers(0, 42, (2, 4, 3, 3))


def conv_transpose2d_input(weight, grad_output, **options):
    return grad.conv_transpose2d_input(X, weight, grad_output, 2, **options)


def by_indices(operation, indices=INDICES, size=X):
    return lambda grad_output, **options: operation(grad_output, indices, size, **options)


CALLS = {
    "conv2d_input": Call(partial(lambda w, g, **o: grad.conv2d_input(X, w, g, padding=1, **o)),
                         ((5, 4, 3, 3), (2, 5, 6, 7))),
    "conv2d_input reflect": Call(
        partial(lambda w, g, **o: grad.conv2d_input(X, w, g, padding=1, padding_mode="reflect", **o)),
        ((5, 4, 3, 3), (2, 5, 6, 7))),
    "conv2d_weight": Call(partial(lambda x, g, **o: grad.conv2d_weight(x, (5, 4, 3, 3), g, padding=1, **o)),
                          (X, (2, 5, 6, 7))),
    "conv2d_bias": Call(partial(grad.conv2d_bias), (X,)),
    "conv2d": Call(partial(grad.conv2d, stride=2), (X, (5, 4, 3, 3), (2, 5, 2, 3)), False),
    "depthwise_conv2d": Call(partial(grad.depthwise_conv2d), (X, (8, 1, 3, 3), (2, 8, 4, 5)), False),
    "separable_conv2d": Call(partial(grad.separable_conv2d), (X, (4, 1, 3, 3), (5, 4, 1, 1), (2, 5, 4, 5)), False),
    "conv_transpose2d": Call(partial(grad.conv_transpose2d), (X, (4, 5, 3, 3), (2, 5, 8, 9)), False),
    "conv_transpose2d_input": Call(partial(conv_transpose2d_input), ((4, 5, 3, 3), (2, 5, 13, 15))),
    "conv_transpose2d_weight": Call(
        partial(lambda x, g, **o: grad.conv_transpose2d_weight(x, (4, 5, 3, 3), g, **o)), (X, (2, 5, 8, 9))),
    "conv1d": Call(partial(grad.conv1d, padding=1), ((2, 4, 9), (5, 4, 3), (2, 5, 9)), False),
    "conv_transpose1d": Call(partial(grad.conv_transpose1d), ((2, 4, 9), (4, 5, 3), (2, 5, 11)), False),
    "deform_conv2d": Call(partial(grad.deform_conv2d), (X, (2, 18, 4, 5), (5, 4, 3, 3), (2, 5, 4, 5)), False),
    "unfold": Call(partial(grad.unfold, input_size=X, kernel_size=3), ((2, 36, 20),), False),
    "fold": Call(partial(grad.fold, output_size=(6, 7), kernel_size=2), (IMAGE,), False),
    "max_pool2d": Call(partial(by_indices(grad.max_pool2d)), ((2, 4, 3, 3),)),
    "adaptive_max_pool2d": Call(partial(by_indices(grad.adaptive_max_pool2d)), ((2, 4, 3, 3),)),
    "fractional_max_pool2d": Call(partial(by_indices(grad.fractional_max_pool2d)), ((2, 4, 3, 3),)),
    "stochastic_pool2d": Call(partial(by_indices(grad.stochastic_pool2d)), ((2, 4, 3, 3),)),
    "global_max_pool2d": Call(
        partial(by_indices(grad.global_max_pool2d, INDICES[:, :, :1, :1])), ((2, 4, 1, 1),)),
    "avg_pool2d": Call(partial(grad.avg_pool2d, input_size=X, kernel_size=3, padding=1), ((2, 4, 2, 3),)),
    "adaptive_avg_pool2d": Call(partial(grad.adaptive_avg_pool2d, input_size=X), ((2, 4, 4, 5),)),
    "global_avg_pool2d": Call(partial(grad.global_avg_pool2d, input_size=X), ((2, 4, 1, 1),)),
    "lp_pool2d": Call(partial(grad.lp_pool2d, norm_type=2, kernel_size=2), ((2, 4, 3, 3), X)),
    "max_unpool2d": Call(partial(lambda g, **o: grad.max_unpool2d(g, INDICES, **o)), (X,)),
    "pad2d": Call(partial(grad.pad2d, padding=2, mode="reflect"), ((2, 4, 9, 8),)),
    "local_response_norm": Call(partial(grad.local_response_norm, size=3), (X, X)),
    "batch_norm": Call(
        partial(lambda g, x, w, **o: grad.batch_norm(g, x, None, None, w, True, **o)), (X, X, (4,)), False),
    "batch_norm known": Call(
        partial(lambda g, x, w, **o: grad.batch_norm(g, x, w, np.ones(4), w, **o)), (X, X, (4,)), False),
    "pixel_shuffle": Call(partial(grad.pixel_shuffle, upscale_factor=2), ((2, 4, 6, 8),), False),
    "pixel_unshuffle": Call(partial(grad.pixel_unshuffle, downscale_factor=2), (X,), False),
    "channel_shuffle": Call(partial(grad.channel_shuffle, groups=2), (X,), False),
    "group_norm": Call(partial(grad.group_norm, num_groups=2), (X, X), False),
    "instance_norm": Call(partial(grad.instance_norm), (X, X, (4,)), False),
    "layer_norm": Call(partial(grad.layer_norm, normalized_shape=(6, 7)), (X, X), False),
    "resize2d": Call(partial(grad.resize2d, input_size=X, size=(9, 5), mode="linear"), ((2, 4, 9, 5),)),
    "softmax": Call(partial(grad.softmax, dim=1), (X, X)),
    "log_softmax": Call(partial(grad.log_softmax, dim=-1), (X, X)),
    "dense": Call(partial(grad.dense), ((3, 2, 9), (5, 9), (3, 2, 5)), False),
    "activation": Call(partial(grad.activation, name="tanh"), (X, X)),
}  # fmt: skip
WITH_OUT = [name for name in CALLS if CALLS[name].takes_out]


def test_the_table_is_complete():
    assert {name.split()[0] for name in CALLS} == set(grad.__all__)


def test_gradient_names_follow_the_operations():
    """Every operation has its gradient; the normalisation that is folded into weights is no operation of images."""
    operations = {name for name in fastconv.__all__ if name.endswith(("1d", "2d", "norm", "fold"))}
    operations -= {name for name in operations if name.startswith("plan_")} | {"fold_batch_norm"}
    assert operations <= set(grad.__all__)
    assert set(grad.__all__) - operations == {
        "activation", "conv2d_bias", "conv2d_input", "conv2d_weight",
        "conv_transpose2d_input", "conv_transpose2d_weight", "dense", "softmax", "log_softmax",
        "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    }  # fmt: skip


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", CALLS)
def test_views(backend, name, view):
    call, dtype = CALLS[name], np.dtype("float32")
    arrays = call.arrays(dtype)
    before = [array.copy() for array in arrays]
    expected = call.run(*arrays)
    inputs = [VIEWS[view](array) for array in arrays]
    for ours, theirs in zip(call.run(*inputs), expected, strict=True):
        if theirs is not None:
            assert_close(np.ascontiguousarray(ours), theirs, 400 * eps(dtype), dtype)
    for array, copy in zip(inputs + arrays, before * 2, strict=True):
        if isinstance(array, np.ndarray):
            np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", CALLS)
def test_zero_strides(backend, dtype, name):
    call = CALLS[name]
    views = [np.broadcast_to(dtype.type(0.5), shape) for shape in call.shapes]
    expected = call.run(*(view.copy() for view in views))
    for ours, theirs in zip(call.run(*views), expected, strict=True):
        if theirs is not None:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", WITH_OUT)
def test_out(backend, dtype, name):
    call = CALLS[name]
    arrays = call.arrays(dtype)
    expected = call.function(*arrays)
    for make in (
        lambda a: np.full_like(a, 77),
        lambda a: np.full_like(a, np.nan, order="F"),
        lambda a: every_second(np.full_like(a, 77)),
    ):
        out = make(expected)
        assert call.function(*arrays, out=out) is out
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name", WITH_OUT)
def test_out_is_refused(backend, name):
    call = CALLS[name]
    arrays = call.arrays(np.float32)
    shape = call.function(*arrays).shape
    overlapping = np.zeros(np.prod(shape) + arrays[0].size, dtype=np.float32)
    first = overlapping[: arrays[0].size].reshape(arrays[0].shape)
    first[...] = arrays[0]
    over = overlapping[arrays[0].size - 1 :][: np.prod(shape)].reshape(shape)
    for error, words, out in [
        (ValueError, "shape", np.empty((*shape[:-1], shape[-1] + 1), dtype=np.float32)),
        (ValueError, "float64", np.empty(shape)),
        (ValueError, "float16", np.empty(shape, dtype=np.float16)),
        (ValueError, "read-only|writ", read_only(np.empty(shape, dtype=np.float32))),
        (TypeError, "list", np.empty(shape).tolist()),
        (ValueError, "overlap", over),
    ]:
        with pytest.raises(error, match=words) as caught:
            call.function(first, *arrays[1:], out=out)
        assert caught.type is error
        assert str(caught.value).startswith(f"grad.{name.split()[0]}: out ")


def test_out_may_not_overlap_any_input(backend):
    slope, weight, x = normal((1, 4, 6, 6)), normal((4, 4, 1, 1)), normal((1, 4, 6, 6))
    buffer = np.zeros(4 * 36)
    out = buffer.reshape(1, 4, 6, 6)
    for call in (
        lambda: grad.conv2d_input(x.shape, buffer[:16].reshape(4, 4, 1, 1), slope, out=out),
        lambda: grad.conv2d_weight(out, weight.shape, slope, out=buffer[:16].reshape(4, 4, 1, 1)),
        lambda: grad.lp_pool2d(slope, out, 2, 1, out=out),
        lambda: grad.local_response_norm(slope, out, 3, out=out),
        lambda: grad.activation(slope, out, "relu", out=out),
        lambda: grad.activation(slope, None, "silu", preactivation=out, out=out),
    ):
        with pytest.raises(ValueError, match=r"^grad\.\w+: out .*overlap"):
            call()


# ----------------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize(("kinds", "result"), DTYPES.items(), ids=[" * ".join(kinds) for kinds in DTYPES])
def test_dtypes_of_convolution(backend, kinds, result):
    """The dtype of the operands that are multiplied."""
    result = np.dtype(ml_dtypes.bfloat16 if result == "bfloat16" else result)
    slope = typed(normal((1, 4, 6, 7), seed=3), kinds[1])
    x, weight = typed(normal((1, 5, 6, 7)), kinds[0]), typed(normal((4, 5, 3, 3)), kinds[0])
    exact = [a.astype(np.float64) for a in (x, weight, slope)]
    expected = reference_grad.conv2d(*exact, padding=1)
    bounds = reference_grad.conv2d(*map(abs, exact), padding=1)
    computed = np.float32 if result.itemsize == 2 else result
    single = (
        grad.conv2d_input(x.shape, weight, slope, padding=1),
        grad.conv2d_weight(x, weight.shape, slope, padding=1),
    )
    for gradients in (grad.conv2d(x, weight, slope, padding=1), single):
        for ours, theirs, bound in zip(gradients, expected, bounds, strict=False):
            tolerance = 2 * DIRECT * eps(computed) * bound.max() + rounding(theirs, result)
            assert_close(ours, theirs, tolerance, result)


def test_one_dtype_for_all_gradients(backend):
    x, weight, slope = normal((1, 2, 4, 4)), normal((3, 2, 1, 1)), normal((1, 3, 4, 4))
    for kinds in (("f8", "f4", "f4"), ("f4", "f8", "f4"), ("f4", "f4", "f8")):
        arrays = [a.astype(kind) for a, kind in zip((x, weight, slope), kinds, strict=True)]
        assert {g.dtype for g in grad.conv2d(*arrays)} == {np.dtype("f8")}
        assert {
            g.dtype for g in grad.separable_conv2d(arrays[0], np.ones((2, 1, 1, 1), "f4"), *arrays[1:])
        } == {np.dtype("f8")}
    arrays = [a.astype("f4") for a in (x, weight, slope)]
    assert {g.dtype for g in grad.conv2d(*arrays, activation="relu", output=slope)} == {np.dtype("f8")}
    assert grad.conv2d_input(x.shape, *arrays[1:]).dtype == "f4"


@pytest.mark.parametrize("kind", ["bool", "uint8", "int64", ">f4"])
@pytest.mark.parametrize("name", CALLS)
def test_integers_are_promoted(backend, name, kind):
    call = CALLS[name]
    arrays = [np.abs(3 * a).round().astype(kind) for a in call.arrays(np.float64)]
    result = np.result_type(*{np.dtype(kind).newbyteorder("="), np.dtype("f4")})
    expected = call.run(*(a.astype(np.float64) for a in arrays))
    for ours, theirs in zip(call.run(*arrays), expected, strict=True):
        if theirs is not None:
            scale = 1 + np.abs(theirs).max()
            assert_close(np.ascontiguousarray(ours), theirs, 64 * eps(result) * scale, result)


@pytest.mark.slow("numba")
@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", CALLS)
def test_sixteen_bit_floats_come_back_as_they_went_in(backend, half, name):
    call = CALLS[name]
    arrays = [array.astype(half) for array in call.arrays(np.float32)]
    expected = call.run(*(array.astype(np.float64) for array in arrays))
    for ours, theirs in zip(call.run(*arrays), expected, strict=True):
        if theirs is not None:
            tolerance = rounding(theirs, half) + 400 * eps(np.float32) * (1 + np.abs(theirs).max())
            assert_close(np.ascontiguousarray(ours), theirs, tolerance, half)


@pytest.mark.parametrize("name", CALLS)
def test_kinds_that_are_refused(backend, name):
    call = CALLS[name]
    arrays = call.arrays(np.float64)
    for position, array in enumerate(arrays):
        for wrong in (
            array.astype(np.complex64),
            array.astype(object),
            array.astype(str),
            array.astype(np.longdouble),
            np.ma.masked_array(array, mask=array > 0),
            "weight",
            {},
        ):
            with pytest.raises(TypeError) as caught:
                call.function(*arrays[:position], wrong, *arrays[position + 1 :])
            assert caught.type is TypeError
            assert str(caught.value).startswith(f"grad.{name.split()[0]}: "), caught.value
