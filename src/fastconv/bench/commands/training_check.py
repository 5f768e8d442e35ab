"""Whether a training step is right: its losses in float64 are PyTorch's, and those in float32 are as near to them.

Gradients jump where a pre-activation passes zero or a maximum changes its place, and Adam's first step goes as far for
a gradient of rounding alone as for any other. So float32 of two libraries may differ by far more than rounding, and no
bound on that would tell a fault; float64 of both agrees in nearly all digits. Called by `training.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from fastconv.bench.layers.settings import Dtype, Settings
from fastconv.bench.oracle.check import AGREEMENT
from fastconv.bench.runners.apart import ApartRunner
from fastconv.typing import Array

_DTYPES: tuple[Dtype, ...] = ("float64", "float32")
_DRAWS = 3  # of images and first parameters: jumps are rare, a fault is in each
_ROUNDING = 8  # times PyTorch's: what `precision="fast"` may err more than direct sums


@dataclass(frozen=True)
class Checked:
    """What was found of a library.

    Attributes
    ----------
    difference : float
        The largest one of its losses in float64 to PyTorch's, as a fraction of these.
    rounding : float
        The same of its losses in float32 to those in float64; the median of the draws.
    wrong : bool
        Whether the difference is more than float64's rounding, or the rounding more than float32's and PyTorch's.
    """

    difference: float
    rounding: float
    wrong: bool


def check_training(
    own: Sequence[ApartRunner],
    peer: ApartRunner,
    arrays: Callable[[int], Mapping[str, Array]],
    asked: Callable[[str], Any],
    settings: Settings,
) -> dict[str, Checked]:
    """What is found, by the names of the libraries.

    Parameters
    ----------
    own, peer : ApartRunner
        fastconv's backends, and PyTorch.
    arrays : callable
        Gives images, classes and first parameters, by a seed.
    asked : callable
        Gives what a runner is asked for, by its name.
    settings : Settings

    Raises
    ------
    RuntimeError
        If a library cannot do it.
    """
    runners = (peer, *own)
    differences: dict[str, list[float]] = {runner.name: [] for runner in runners}
    roundings: dict[str, list[float]] = {runner.name: [] for runner in runners}
    for seed in range(_DRAWS):
        given = arrays(seed)
        losses = {
            (runner.name, dtype): _losses(runner, asked(runner.name), given, replace(settings, dtype=dtype))
            for runner in runners
            for dtype in _DTYPES
        }
        for runner in runners:
            exact = losses[runner.name, "float64"]
            differences[runner.name].append(_apart(exact, losses[peer.name, "float64"]))
            roundings[runner.name].append(_apart(losses[runner.name, "float32"], exact))
        if all(max(roundings[runner.name]) <= AGREEMENT["float32"] for runner in own):
            break
    return judged(differences, roundings, peer.name)


def judged(
    differences: Mapping[str, Sequence[float]], roundings: Mapping[str, Sequence[float]], peer: str
) -> dict[str, Checked]:
    """The same, from the differences and roundings of each draw."""
    allowed = max(AGREEMENT["float32"], _ROUNDING * median(roundings[peer]))
    found = {}
    for name in differences:
        difference, rounding = max(differences[name]), median(roundings[name])
        right = difference <= AGREEMENT["float64"] and (rounding <= allowed or name == peer)
        found[name] = Checked(difference, rounding, not right)
    return found


def _losses(runner: ApartRunner, what: Any, arrays: Mapping[str, Array], settings: Settings) -> Array:
    prepared = runner.prepare(what, arrays, settings)
    if prepared is None:
        raise RuntimeError(f"{runner.name} has no such network")
    losses: Array = prepared.run()[0].outputs[0]
    return losses


def _apart(losses: Array, others: Array) -> float:
    """The largest difference, as a fraction of the largest loss; infinite where one is no number."""
    apart = float(np.abs(losses - others).max() / (np.abs(others).max() or 1.0))
    return float("inf") if np.isnan(apart) else apart
