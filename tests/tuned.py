"""Plans that are tuned without measuring, for the tests of tuning."""

import json

import numpy as np

import fastconv
from checks import normal
from fastconv import tuning

X, WEIGHT = (2, 8, 9, 10), (8, 8, 3, 3)


class Races:
    """In place of races: the last one wins, in known times; counts them."""

    def __init__(self):
        self.entrants = []

    def __call__(self, entrants, seconds):
        self.entrants.append(list(entrants))
        for make in entrants.values():
            make()()
        return {name: (20 - i) * 1e-6 for i, name in enumerate(entrants)}


def conv_plan(weight=WEIGHT, dtype=np.float32, **options):
    return fastconv.plan_conv2d(
        normal(weight, dtype=dtype), padding=1, tune=True, backend="cython", **options
    )


def predicted(shape):
    """What a plan takes that is not tuned."""
    plan = fastconv.plan_conv2d(normal(WEIGHT, dtype=np.float32), padding=1, backend="cython")
    assert "tune" not in plan.explain(shape)
    return plan.algorithm(shape)


def image(*shape, dtype=np.float32):
    return normal(shape or X, dtype=dtype)


def entries_and_plan():
    """What counts, and then a plan."""
    return tuning.entries(), conv_plan(input_shape=X)


def content(path):
    return json.loads(path.read_text())


def rewrite(path, change):
    """Change the one entry of a file."""
    parts = content(path)
    (entry,) = parts["entries"]
    change(entry)
    path.write_text(json.dumps(parts))
