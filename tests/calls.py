"""One call of every public operation, with the shapes of its arrays, for tests that apply to all."""

from dataclasses import dataclass
from functools import partial

import fastconv
from checks import normal


@dataclass(frozen=True)
class Call:
    function: partial
    shapes: tuple
    non_negative: bool = False
    layouts: bool = True
    takes_out: bool = True

    def arrays(self, dtype):
        """Values that every operation accepts."""
        arrays = [normal(shape, seed=i, dtype=dtype) for i, shape in enumerate(self.shapes)]
        return [abs(array) if self.non_negative else array for array in arrays]


def call(function, *shapes, non_negative=False, layouts=True, takes_out=True, **options):
    return Call(partial(function, **options), shapes, non_negative, layouts, takes_out)


X = (2, 4, 6, 7)
CALLS = {
    "conv2d": call(fastconv.conv2d, X, (5, 4, 3, 3), (5,), padding=1),
    "conv2d 1x1": call(fastconv.conv2d, X, (17, 4, 1, 1)),
    "depthwise_conv2d": call(fastconv.depthwise_conv2d, X, (8, 1, 3, 3), (8,), stride=2),
    "separable_conv2d": call(fastconv.separable_conv2d, X, (4, 1, 3, 3), (5, 4, 1, 1), (5,)),
    "conv_transpose2d": call(fastconv.conv_transpose2d, X, (4, 5, 3, 3), (5,), stride=2),
    "conv1d": call(fastconv.conv1d, (2, 4, 9), (5, 4, 3), (5,), padding=1),
    "conv_transpose1d": call(fastconv.conv_transpose1d, (2, 4, 9), (4, 5, 3), (5,)),
    "deform_conv2d": call(
        fastconv.deform_conv2d, X, (2, 18, 4, 5), (5, 4, 3, 3), (5,), layouts=False, takes_out=False
    ),
    "unfold": call(fastconv.unfold, X, kernel_size=3, layouts=False, takes_out=False),
    "fold": call(
        fastconv.fold, (2, 16, 30), output_size=(6, 7), kernel_size=2, layouts=False, takes_out=False
    ),
    "max_pool2d": call(fastconv.max_pool2d, X, kernel_size=2),
    "avg_pool2d": call(fastconv.avg_pool2d, X, kernel_size=3, padding=1),
    "lp_pool2d": call(fastconv.lp_pool2d, X, norm_type=2, kernel_size=2),
    "adaptive_avg_pool2d": call(fastconv.adaptive_avg_pool2d, X, output_size=4),
    "adaptive_max_pool2d": call(fastconv.adaptive_max_pool2d, X, output_size=4),
    "global_avg_pool2d": call(fastconv.global_avg_pool2d, X),
    "global_max_pool2d": call(fastconv.global_max_pool2d, X),
    "fractional_max_pool2d": call(fastconv.fractional_max_pool2d, X, kernel_size=2, output_size=3, rng=1),
    "stochastic_pool2d": call(
        fastconv.stochastic_pool2d, X, kernel_size=2, training=False, non_negative=True
    ),
    "pad2d": call(fastconv.pad2d, X, padding=2, mode="reflect", takes_out=False),
    "local_response_norm": call(fastconv.local_response_norm, X, size=3, takes_out=False),
    "batch_norm": call(fastconv.batch_norm, X, (4,), (4,), (4,), (4,), non_negative=True),
    "pixel_shuffle": call(fastconv.pixel_shuffle, X, upscale_factor=2, takes_out=False),
    "pixel_unshuffle": call(fastconv.pixel_unshuffle, (2, 4, 6, 8), downscale_factor=2, takes_out=False),
    "channel_shuffle": call(fastconv.channel_shuffle, X, groups=2, takes_out=False),
    "group_norm": call(fastconv.group_norm, X, num_groups=2),
    "instance_norm": call(fastconv.instance_norm, X, (4,), (4,)),
    "layer_norm": call(fastconv.layer_norm, X, normalized_shape=(6, 7), layouts=False),
    "resize2d": call(fastconv.resize2d, X, size=(9, 5), mode="cubic"),
    "softmax": call(fastconv.softmax, X, dim=1, layouts=False),
    "log_softmax": call(fastconv.log_softmax, X, dim=-1, layouts=False),
    "dense": call(fastconv.dense, (3, 2, 9), (5, 9), (5,), layouts=False),
}
