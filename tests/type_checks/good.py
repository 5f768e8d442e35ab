# pyright: strict
"""Calls that a type checker has to accept. Read by `test_types.py`, never run."""

from collections.abc import Sequence
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import fastconv
import fastconv.autograd
from fastconv import geometry, grad, limits, ndimage, tuning
from fastconv.typing import (
    Array,
    ArrayLike,
    BackendName,
    Indices,
    Layout,
    NestedNumbers,
    PaddingMode,
    PairLike,
)


class Tensor:
    """Reads as an array by ``__array__``, as PyTorch's tensors do."""

    def __array__(self, dtype: Any = None) -> npt.NDArray[Any]:
        return np.ones((1, 3, 4, 4), dtype)


class Capsule:
    """Reads as an array by DLPack."""

    def __dlpack__(self, *, stream: int | None = None, copy: bool | None = None) -> object:
        return np.ones((1, 3, 4, 4)).__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


x: npt.NDArray[np.float32] = np.ones((1, 3, 8, 8), np.float32)
w = np.ones((4, 3, 3, 3))
y: Array = fastconv.conv2d(x, w)
count, size = np.int64(2), np.array([2, 2])
numbers: list[int] = [2, 2]
signal: list[list[float]] = [[1.0, 2.0]]
nested: Sequence[Sequence[Sequence[int]]] = (((1, 2), (3, 4)),)
layout: Layout = "NHWC"
backend: BackendName = fastconv.get_backend()
border: PaddingMode = "reflect"

# arrays
fastconv.conv2d(Tensor(), Capsule(), Tensor(), residual=Capsule(), out=y)
fastconv.conv2d([[[1, 2], [3, 4]]], [[[[1.0]]]], bias=[0.5])
fastconv.conv2d(nested, ((((1),),),), [np.float32(0.5)])
fastconv.conv2d([x[0], x[0]], w.astype(np.float16), np.zeros(4, np.int8))
fastconv.conv1d(signal, np.ones((1, 1, 1)))
fastconv.conv2d(np.asfortranarray(x), w[::-1])

# numbers, pairs and words
fastconv.conv2d(x, w, None, 1, 0, 1, 1)
fastconv.conv2d(x, w, stride=(2, 1), padding=((1, 2), (0, 0)), dilation=[1, 2], groups=count)
fastconv.conv2d(x, w, stride=count, padding=(count, 1), dilation=size)
fastconv.conv2d(x, w, stride=numbers, padding=[[1, 1], [2, 2]])
fastconv.conv2d(x, w, padding=[(1, 1), (2, 2)], padding_mode=border, layout=layout, backend=backend)
fastconv.conv2d(x, w, padding="same", padding_mode="circular", layout="NHWC", precision="strict")
fastconv.conv2d(x, w, activation="relu", algorithm="direct", backend="numpy")
fastconv.conv2d(x, w, activation=("leaky_relu", 0.1), algorithm=fastconv.algorithms()[0])
fastconv.conv2d(x, w, activation=("clip", 0, np.float32(6)))
fastconv.conv1d(signal, w, stride=(2,), padding=(1, 0), dilation=count)
fastconv.conv_transpose1d(signal, w, padding="full", output_padding=[1])
fastconv.conv_transpose2d(x, w, None, 2, 1, 1, 1, 1)
fastconv.depthwise_conv2d(x, w, padding="valid")
fastconv.separable_conv2d(x, w, w, activation="gelu")
fastconv.deform_conv2d(x, w, w, mask=x)
fastconv.fold(fastconv.unfold(x, 3, padding=1), x.shape[2:], (3, 3), padding=[1, 1])
fastconv.pad2d(x, ((1, 1), (2, 2)), "replicate", np.float32(1))
fastconv.local_response_norm(x, count, alpha=np.float64(1e-4), beta=1)
fastconv.dense(x, w, [0.0] * 4, activation=("leaky_relu", 0.1))
fastconv.softmax(x, count)
fastconv.log_softmax(x, dim=-1)
fastconv.batch_norm(x, None, None, w, training=True, momentum=np.float32(0.1))
fastconv.group_norm(x, count, layout=layout)
fastconv.instance_norm(x, w)
fastconv.layer_norm(x, (6, 7), w)
fastconv.resize2d(x, scale_factor=(2, 1.5), mode="cubic", coordinates="asymmetric")
fastconv.resize2d(x, 7)
fastconv.pixel_shuffle(fastconv.pixel_unshuffle(x, 2), count)
fastconv.channel_shuffle(x, 2)
fastconv.fold_batch_norm(w, None, [0.0] * 4, np.ones(4), transposed=True, groups=count, layout=layout)

# results with and without indices, by name and by position
flag = bool(x[0, 0, 0, 0])
assert_type(fastconv.max_pool2d(x, 2), Array)
assert_type(fastconv.max_pool2d(x, 2, return_indices=False), Array)
assert_type(fastconv.max_pool2d(x, (2, 2), padding="same", return_indices=True), tuple[Array, Indices])
assert_type(fastconv.max_pool2d(x, 2, 2, 0, 1, False, True), tuple[Array, Indices])
assert_type(fastconv.max_pool2d(x, 2, return_indices=flag), Array | tuple[Array, Indices])
assert_type(fastconv.adaptive_max_pool2d(x, (None, 3), True), tuple[Array, Indices])
assert_type(fastconv.adaptive_max_pool2d(x, [None, 3]), Array)
assert_type(fastconv.global_max_pool2d(x, True, keepdims=False), tuple[Array, Indices])
assert_type(fastconv.global_max_pool2d(x, layout="NHWC"), Array)
assert_type(
    fastconv.fractional_max_pool2d(x, 2, output_ratio=(0.5, 0.7), return_indices=True, rng=0),
    tuple[Array, Indices],
)
assert_type(fastconv.fractional_max_pool2d(x, 2, count, None, True), tuple[Array, Indices])
assert_type(fastconv.fractional_max_pool2d(x, 2, numbers, rng=np.random.default_rng(0)), Array)
assert_type(
    fastconv.stochastic_pool2d(x, 2, return_indices=True, rng=np.random.SeedSequence(1)),
    tuple[Array, Indices],
)
assert_type(fastconv.stochastic_pool2d(x, 2, None, 0, True), tuple[Array, Indices])
assert_type(fastconv.stochastic_pool2d(x, 2, training=False), Array)
pooled, indices = fastconv.max_pool2d(x, 2, return_indices=True)
fastconv.max_unpool2d(pooled, indices, 2, output_size=x.shape)
fastconv.avg_pool2d(x, 3, (2, 2), "same", divisor_override=count)
fastconv.lp_pool2d(x, 2, 3, padding=1)
fastconv.adaptive_avg_pool2d(x, None)
fastconv.global_avg_pool2d(x)

# gradients
grad_x, grad_w, grad_b = grad.conv2d(
    x, w, y, 1, 0, needs=(True, False, True), activation="silu", preactivation=y
)
assert_type(grad_x, Array | None)
assert_type(grad.conv2d_input(x.shape, w, y, padding="same", padding_mode="reflect"), Array)
grad.conv2d_weight(x, [4, 3, 3, 3], y)
grad.conv2d_bias(Tensor())
grad.conv1d(signal, w, signal, stride=2, needs=[True, True, False])
grad.separable_conv2d(x, w, w, y, needs=(True, True, True, False))
grad.max_pool2d(pooled, indices, x.shape)
grad.activation(y, None, ("clip", -1.0, 1.0), preactivation=y)
grad.pad2d(y, (1, 1), mode="zeros")

# autograd's functions have the types of the library's
assert_type(fastconv.autograd.conv2d(x, weight=w, padding="full"), Array)
assert_type(fastconv.autograd.max_pool2d(x, 2, return_indices=True), tuple[Array, Indices])
fastconv.autograd.activation(x, "relu")

# plans
plan = fastconv.plan_conv2d(w, padding="same", input_shape=(1, 3, 8, 8), activation=("leaky_relu", 1))
assert_type(plan, fastconv.Conv2dPlan)
assert_type(plan(x, residual=y), Array)
assert_type(plan.algorithm(x.shape), str)
plan(Tensor(), out=y)
fastconv.plan_depthwise_conv2d(w, stride=2)(x)
fastconv.plan_conv_transpose2d(w, output_padding=(0, 0), input_shape=list(x.shape)).explain()
fastconv.plan_conv2d(w, tune=True)
fastconv.plan_depthwise_conv2d(w, tune=bool(count))
fastconv.plan_conv_transpose2d(w, tune=False)
tuning.save("kernels.json")
assert_type(tuning.load(tuning.location()), int)
assert_type([entry.microseconds[entry.kernel] for entry in tuning.entries()], list[float])
tuning.clear()

# settings
with fastconv.use_backend("numba"), fastconv.use_precision("strict"), fastconv.num_threads(count):
    fastconv.set_precision(fastconv.get_precision())
for name in fastconv.available_backends():
    fastconv.set_backend(name)
    fastconv.algorithms(name)
fastconv.set_num_threads(2)
fastconv.set_threading(fastconv.get_threading())
fastconv.set_cache_size(2**20)

# shapes alone, limits and configuration
assert_type(geometry.conv_output_size(224, 7, 2, padding=(3, 3)), int)
assert_type(geometry.conv_output_size(count, count), int)
assert_type(geometry.conv_output_size((224, count), 7, [2, 2], "same"), tuple[int, int])
assert_type(geometry.pool_output_size([7, 8], 2, ceil_mode=True), tuple[int, int])
assert_type(geometry.same_padding(10, 3), tuple[int, int])
geometry.receptive_field([3, (7, 2, 3), {"kernel_size": 3, "padding": "valid"}])
geometry.conv_memory((1, count, 56, 56), 128, (3, 3), dtype=np.float32)
measured = limits.cached_limits()
if measured is not None:
    assert_type(measured.peak(np.float64, threads=2), float)
assert_type(fastconv.config.build_config()["version"], Any)


def through(image: ArrayLike, kernel: NestedNumbers, step: PairLike = 1) -> Array:
    return fastconv.conv2d(image, kernel, stride=step)


assert_type(ndimage.gaussian_filter(x, 1, mode="grid-wrap"), Array)
ndimage.gaussian_filter(x, 1, mode=["reflect", "wrap"], axes=(2, 3))
