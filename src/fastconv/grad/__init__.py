"""The vector-Jacobian product of every operation of `fastconv`, under the operation's name.

Functions that end in ``_input``, ``_weight`` and ``_bias`` give one gradient, and take the full shape of what they do
not need; those with the name of a convolution give all of its gradients.
"""

from fastconv.grad.conv import conv2d, conv2d_bias, conv2d_input, conv2d_weight, depthwise_conv2d
from fastconv.grad.deform import deform_conv2d
from fastconv.grad.elementwise import activation, local_response_norm
from fastconv.grad.fully_connected import dense
from fastconv.grad.normalise import batch_norm, group_norm, instance_norm, layer_norm
from fastconv.grad.one_dimensional import conv1d, conv_transpose1d
from fastconv.grad.pool import adaptive_avg_pool2d, avg_pool2d, global_avg_pool2d, lp_pool2d
from fastconv.grad.pool_max import (
    adaptive_max_pool2d,
    fractional_max_pool2d,
    global_max_pool2d,
    max_pool2d,
    max_unpool2d,
    stochastic_pool2d,
)
from fastconv.grad.rearrange import fold, pad2d, unfold
from fastconv.grad.resize import resize2d
from fastconv.grad.separable import separable_conv2d
from fastconv.grad.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from fastconv.grad.softmax import log_softmax, softmax
from fastconv.grad.transpose import conv_transpose2d, conv_transpose2d_input, conv_transpose2d_weight
from fastconv.shown import shows

__all__ = [
    "activation",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "batch_norm",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv2d_bias",
    "conv2d_input",
    "conv2d_weight",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose2d_input",
    "conv_transpose2d_weight",
    "deform_conv2d",
    "dense",
    "depthwise_conv2d",
    "fold",
    "fractional_max_pool2d",
    "global_avg_pool2d",
    "global_max_pool2d",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "log_softmax",
    "lp_pool2d",
    "max_pool2d",
    "max_unpool2d",
    "pad2d",
    "pixel_shuffle",
    "pixel_unshuffle",
    "resize2d",
    "separable_conv2d",
    "softmax",
    "stochastic_pool2d",
    "unfold",
]
__dir__ = shows(__name__)
