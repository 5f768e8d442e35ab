"""What an output pixel sees of the input, after a chain of convolutions and poolings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from fastconv import arguments
from fastconv.arguments import Pair
from fastconv.geometry.sizes import Pads, pads_of, rows_of
from fastconv.text import echo
from fastconv.typing import PaddingLike, PairLike

LayerLike = (  # kernel_size, stride, padding, dilation
    SupportsIndex | tuple[PairLike] | tuple[PairLike, PairLike] | tuple[PairLike, PairLike, PaddingLike]
    | tuple[PairLike, PairLike, PaddingLike, PairLike] | list[int] | Mapping[str, Any]
)  # fmt: skip


class ReceptiveField(NamedTuple):
    """What one output pixel sees, in input pixels; (vertical, horizontal) if any layer has a pair.

    `size` of its field; `stride`: the step from one output's field to the next; `center` of the first output's field,
    where the first input pixel has its centre at 0.0.
    """

    size: int | Pair
    stride: int | Pair
    center: float | tuple[float, float]


ReceptiveField.__module__ = "fastconv.geometry"  # so its pickles name it as users do


def _layer(
    kernel_size: PairLike, stride: PairLike = 1, padding: Pads = 0, dilation: PairLike = 1
) -> tuple[PairLike, PairLike, Pads, PairLike]:
    return kernel_size, stride, padding, dilation


def receptive_field(layers: Iterable[LayerLike]) -> list[ReceptiveField]:
    """Receptive field after each of a chain of convolutions and poolings.

    From ``size = jump = 1`` and ``center = 0``, with ``k = dilation * (kernel - 1) + 1``, each layer does
    ``size += (k - 1) * jump``, ``center += ((k - 1) / 2 - padding_before) * jump``, ``jump *= stride``
    (Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019).

    Parameters
    ----------
    layers : iterable
        From the input on, each (kernel_size, stride=1, padding=0, dilation=1) as a tuple or a dict, or only
        the kernel size, an int. A pair in a layer, also as padding, is (vertical, horizontal). Padding and
        errors are as in `conv_output_size`, but ``"same"`` needs stride 1 (else it depends on the input), and
        a missing, unknown or superfluous field is a ValueError.

    Returns
    -------
    list of ReceptiveField, in input pixels
        `size`; `stride`, the step from one output to the next ("jump"); `center` of the first output's field,
        where the first input pixel has its centre at 0.0.

    Examples
    --------
    >>> receptive_field([(7, 2, 3), {"kernel_size": 3, "stride": 2}])[-1]
    ReceptiveField(size=11, stride=4, center=2.0)
    """
    if isinstance(layers, (str, Mapping)) or not isinstance(layers, Iterable):
        raise TypeError(f"receptive_field: layers is {type(layers).__name__}, but needs to be an iterable")
    size, jump, center, fields, pairs = [1, 1], [1, 1], [0.0, 0.0], [], False
    for index, layer in enumerate(layers):
        op = f"receptive_field: layers[{index}]"
        items: Any = layer if isinstance(layer, Sequence | np.ndarray) else (layer,)
        try:
            values = _layer(**layer) if isinstance(layer, Mapping) else _layer(*items)
        except TypeError:
            raise ValueError(f"{op} is {echo(layer)}, but needs kernel_size[, stride, ...]") from None
        pairs = pairs or not all(arguments.is_integer(v) or isinstance(v, str) for v in values)
        kernel, stride, padding, dilation = values
        rows = rows_of(op, (1, 1), kernel, stride, dilation)
        if isinstance(padding, str) and padding == "same" and max(row[2] for row in rows) > 1:
            raise ValueError(f"{op}: padding is 'same', but needs numbers with stride {stride}")
        for axis, ((_, k, s, d), pad) in enumerate(zip(rows, pads_of(op, padding, rows), strict=True)):
            size[axis] += d * (k - 1) * jump[axis]
            center[axis] += (d * (k - 1) / 2 - pad[0]) * jump[axis]
            jump[axis] *= s
        fields.append(((size[0], size[1]), (jump[0], jump[1]), (center[0], center[1])))
    return [ReceptiveField(*field if pairs else (v[0] for v in field)) for field in fields]
