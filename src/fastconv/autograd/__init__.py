"""The operations of `fastconv` for HIPS autograd: ``autograd.grad`` and its relatives go through them.

Names, arguments and results are those of `fastconv`; arrays may be given by position or by name, and results that
are not real numbers (indices) are constants. Where there is nothing to differentiate by, these functions are those of
`fastconv`. Needs the ``autograd`` extra.

First derivatives in reverse mode are computed by `fastconv.grad`. Forward mode and higher derivatives are composed of
convolutions, windows' sums and NumPy's functions, in which `deform_conv2d` is an im2col of its own, and slow.

Examples
--------
>>> import numpy as np
>>> import autograd
>>> import autograd.numpy as anp
>>> import fastconv.autograd as fa
>>> def loss(weight, x):
...     return anp.sum(fa.max_pool2d(fa.conv2d(x, weight=weight, activation="relu"), 2) ** 2)
>>> autograd.grad(loss)(np.ones((1, 1, 1, 2)), np.array([[[1.0, 0.0, 2.0], [0.0, 3.0, -1.0]]]))
array([[[[ 0., 18.]]]])
"""

try:
    import autograd as _autograd  # noqa: F401
except ImportError as error:
    raise ImportError(
        f'fastconv.autograd cannot be loaded: {error}; install it with: pip install ".[autograd]" '
        "in the folder of fastconv's source"
    ) from error

from typing import TYPE_CHECKING

from fastconv.autograd.operations import RECORDED
from fastconv.shown import shows

__all__ = sorted(RECORDED)  # pyright: ignore[reportUnsupportedDunderAll]
__dir__ = shows(__name__)

globals().update(RECORDED)

if TYPE_CHECKING:  # the functions that are recorded have the types of those that they record
    from fastconv import (
        adaptive_avg_pool2d as adaptive_avg_pool2d,
    )
    from fastconv import (
        adaptive_max_pool2d as adaptive_max_pool2d,
    )
    from fastconv import (
        avg_pool2d as avg_pool2d,
    )
    from fastconv import (
        batch_norm as batch_norm,
    )
    from fastconv import (
        channel_shuffle as channel_shuffle,
    )
    from fastconv import (
        conv1d as conv1d,
    )
    from fastconv import (
        conv2d as conv2d,
    )
    from fastconv import (
        conv_transpose1d as conv_transpose1d,
    )
    from fastconv import (
        conv_transpose2d as conv_transpose2d,
    )
    from fastconv import (
        deform_conv2d as deform_conv2d,
    )
    from fastconv import (
        dense as dense,
    )
    from fastconv import (
        depthwise_conv2d as depthwise_conv2d,
    )
    from fastconv import (
        fold as fold,
    )
    from fastconv import (
        fractional_max_pool2d as fractional_max_pool2d,
    )
    from fastconv import (
        global_avg_pool2d as global_avg_pool2d,
    )
    from fastconv import (
        global_max_pool2d as global_max_pool2d,
    )
    from fastconv import (
        group_norm as group_norm,
    )
    from fastconv import (
        instance_norm as instance_norm,
    )
    from fastconv import (
        layer_norm as layer_norm,
    )
    from fastconv import (
        local_response_norm as local_response_norm,
    )
    from fastconv import (
        log_softmax as log_softmax,
    )
    from fastconv import (
        lp_pool2d as lp_pool2d,
    )
    from fastconv import (
        max_pool2d as max_pool2d,
    )
    from fastconv import (
        max_unpool2d as max_unpool2d,
    )
    from fastconv import (
        pad2d as pad2d,
    )
    from fastconv import (
        pixel_shuffle as pixel_shuffle,
    )
    from fastconv import (
        pixel_unshuffle as pixel_unshuffle,
    )
    from fastconv import (
        resize2d as resize2d,
    )
    from fastconv import (
        separable_conv2d as separable_conv2d,
    )
    from fastconv import (
        softmax as softmax,
    )
    from fastconv import (
        stochastic_pool2d as stochastic_pool2d,
    )
    from fastconv import (
        unfold as unfold,
    )
    from fastconv.autograd.rules import activation as activation
