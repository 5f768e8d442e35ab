# pyright: strict
"""Calls that a type checker has to refuse: the lines that end in "# no". Read by `test_types.py`, never run."""

import numpy as np

import fastconv
import fastconv.autograd
from fastconv import geometry, grad, ndimage, tuning
from fastconv.typing import Layout

x, w = np.ones((1, 3, 8, 8)), np.ones((4, 3, 3, 3))
word: str = input()

fastconv.conv2d(x, w, padding_mode="reflekt")  # no
fastconv.conv2d(x, w, stride="two")  # no
fastconv.conv2d(x, w, stride=2.0)  # no
fastconv.conv2d(x, w, stride=None)  # no
fastconv.conv2d(x, w, stride=(1, 2, 3))  # no
fastconv.conv2d(x, w, dilation=(1, "2"))  # no
fastconv.conv2d(x, w, padding="sane")  # no
fastconv.conv2d(x, w, padding=((1, 1), (1, 1), (1, 1)))  # no
fastconv.conv2d(x, w, groups=None)  # no
fastconv.conv2d(x, w, layout="nhwc")  # no
fastconv.conv2d(x, w, layout=word)  # no
fastconv.conv2d(x, w, activation="rely")  # no
fastconv.conv2d(x, w, activation="clip")  # no
fastconv.conv2d(x, w, activation=("leaky_relu", 0.1, 0.2))  # no
fastconv.conv2d(x, w, precision="exact")  # no
fastconv.conv2d(x, w, backend="torch")  # no
fastconv.conv2d(x, w, algorithm=3)  # no
fastconv.conv2d(x, w, out=[1.0])  # no
fastconv.conv2d("picture.png", w)  # no
fastconv.conv2d(None, w)  # no
fastconv.conv2d(x, 3.0)  # no
fastconv.conv2d(x, w, bias={"a": 1})  # no
fastconv.conv2d(x, w, pading=1)  # no
fastconv.conv2d(x)  # no
fastconv.conv1d(x, w, stride=(1, 2))  # no
fastconv.conv3d(x, w)  # no
fastconv.conv_transpose2d(x, w, output_padding=None)  # no
fastconv.separable_conv2d(x, w, w, padding_mode="edge")  # no
fastconv.pad2d(x, "same")  # no
fastconv.pad2d(x, 1, mode="wrap")  # no
fastconv.local_response_norm(x, 2.5)  # no
fastconv.fold_batch_norm(w, None, None, [1.0])  # no
fastconv.resize2d(x, 2, mode="bilinear")  # no
fastconv.softmax(x, 1.0)  # no
fastconv.max_pool2d(x, 2).mean()
fastconv.max_pool2d(x, 2, return_indices=True).mean()  # no
fastconv.max_pool2d(x, 2, return_indices=bool(word)).mean()  # no
fastconv.global_max_pool2d(x, True).mean()  # no
fastconv.adaptive_max_pool2d(x, "half")  # no
fastconv.fractional_max_pool2d(x, 2, output_ratio="half")  # no
fastconv.stochastic_pool2d(x, 2, rng="seed")  # no
fastconv.avg_pool2d(x, 2, ceil_mode="yes")  # no
fastconv.plan_conv2d(w, padding_mode="reflekt")  # no
fastconv.plan_conv2d(w, input_shape=224)  # no
fastconv.plan_conv2d(w, tune="yes")  # no
fastconv.plan_conv2d(w)(x, out="new")  # no
tuning.load()  # no
tuning.save(b"kernels.json")  # no
fastconv.set_backend("fast")  # no
fastconv.use_precision("double")  # no
fastconv.set_num_threads("all")  # no
fastconv.set_threading("tbb")  # no
grad.conv2d(x, w, x, padding_mode="reflekt")  # no
grad.conv2d(x, w, x, needs="all")  # no
grad.conv2d_input(7, w, x)  # no
grad.activation(x, x, "clip")  # no
grad.no_such_gradient(x)  # no
fastconv.autograd.conv2d(x, w, stride="two")  # no
fastconv.autograd.no_such_operation(x)  # no
geometry.conv_output_size("224", 7)  # no
first, second = geometry.conv_output_size(224, 7)  # no
order: Layout = fastconv.get_backend()  # no
ndimage.gaussian_filter(x, 1, mode="reflec")  # no
ndimage.correlate(x, w, mode="symmetric")  # no
ndimage.uniform_filter(x, 3, mode=["reflect", "mirorr"])  # no
