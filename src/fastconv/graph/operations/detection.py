"""Boxes: the suppression of those that overlap a better one."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.graph.operations.table import Type, operation
from fastconv.typing import Array


@operation("NonMaxSuppression", rule=lambda inputs, attributes: [Type(np.dtype(np.int64), (None, 3))])
def non_max_suppression(
    boxes: Array,
    scores: Array,
    most: Array | None = None,
    iou_threshold: Array | None = None,
    score_threshold: Array | None = None,
    *,
    center_point_box: int = 0,
) -> Any:
    """(batch, class, box) of those that are kept, the best of each class first."""
    limit = 0 if most is None else int(most.item())
    overlap = 0.0 if iou_threshold is None else float(iou_threshold.item())
    kept: list[tuple[int, int, int]] = []
    for batch in range(len(boxes)):
        corners = _corners(boxes[batch], bool(center_point_box))
        for kind in range(scores.shape[1]):
            of_class = scores[batch, kind]
            order = np.argsort(-of_class, kind="stable")
            if score_threshold is not None:
                order = order[of_class[order] > score_threshold.item()]
            kept += [(batch, kind, int(box)) for box in _best(corners, order, limit, overlap)]
    return np.array(kept, np.int64).reshape(-1, 3)


def _corners(boxes: Array, centred: bool) -> Array:
    """Two corners of each box, the smaller coordinates first."""
    if centred:
        x, y, width, height = boxes.T
        return np.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], -1)
    return np.concatenate(
        [np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], -1
    )


def _best(corners: Array, order: Array, limit: int, overlap: float) -> list[int]:
    area = np.prod(corners[:, 2:] - corners[:, :2], axis=-1)
    kept: list[int] = []
    while len(order) and len(kept) < limit:
        box, order = order[0], order[1:]
        kept.append(box)
        low = np.maximum(corners[box, :2], corners[order, :2])
        high = np.minimum(corners[box, 2:], corners[order, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=-1)
        shares = shared / (area[box] + area[order] - shared)
        order = order[~(shares > overlap)]  # what has no area shares nothing: 0 / 0
    return kept
