"""Measures the networks of `fastconv.nn.models` on each backend, into ``docs/models/NAME.json``, for docs/models.md.

    python bench/models.py NAME                      # all of them: on two cores some minutes
    python bench/models.py NAME --only vgg,resnet18  # those whose names begin so; the others stay as they are
    python bench/models.py NAME --backends cython

NAME is a name of one's own choice for the processor, such as ``amd-zen4``. A network is compiled for one image, runs
once unmeasured, and then until 0.4 seconds have passed, three times at least; its time is the median. The machine
should do nothing else.
"""

import argparse
import inspect
import json
import statistics
import time
from pathlib import Path

import numpy as np

import fastconv
import fastconv.nn as nn
from fastconv.machine.processor import processor_name

FOLDER = Path(__file__).parents[1] / "docs" / "models"
# The inputs that are not one photograph of 224x224 pixels, and the arguments of functions that need some.
SHAPES = {
    "lenet5": (1, 1, 32, 32), "capsnet": (1, 1, 28, 28), "dqn": (1, 4, 84, 84), "actor_critic": (1, 4, 84, 84),
    "inception_v3": (1, 3, 299, 299), "xception": (1, 3, 299, 299), "efficientnet_b1": (1, 3, 240, 240),
    "efficientnet_b2": (1, 3, 260, 260), "resnet20": (1, 3, 32, 32), "eight_residuals": (1, 3, 32, 32),
    "two_inceptions": (1, 3, 32, 32), "unet": (1, 1, 572, 572), "unet_small": (1, 1, 128, 128),
    "wavenet": (1, 1, 1024),
}  # fmt: skip
ARGUMENTS = {"densenet": [(6, 12, 24)], "dqn": [4], "actor_critic": [4]}
SECONDS, FEWEST, MOST = 0.4, 3, 50


def names():
    """The functions that make networks."""
    return [name for name in nn.models.__all__ if inspect.isfunction(getattr(nn.models, name))]


def made(name):
    """A network, and the shape of its input."""
    net = getattr(nn.models, name)(*ARGUMENTS.get(name, []))
    return net, SHAPES.get(name, (1, 3, 224, 224))


def facts(net, shape):
    """What a network is, whatever the machine."""
    summary = net.summary(shape)
    fields = [row.receptive_field for row in summary.rows if row.receptive_field is not None]
    return {
        "shape": shape,
        "parameters": summary.parameters,
        "flops": summary.flops,
        "sees": max(fields),  # of the layers that do not see all
        "memory": summary.memory,
    }


def seconds(program, x):
    """The median time of a run."""
    program(x)
    times = []
    start = time.perf_counter()
    while len(times) < FEWEST or (time.perf_counter() - start < SECONDS and len(times) < MOST):
        before = time.perf_counter()
        program(x)
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--only", default="", metavar="NAMES", help="with commas")
    parser.add_argument("--backends", default="cython,numba,numpy")
    arguments = parser.parse_args()
    path = FOLDER / f"{arguments.name}.json"
    told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"networks": {}}
    told |= {"processor": processor_name(), "threads": fastconv.get_num_threads()}
    for name in names():
        if not name.startswith(tuple(arguments.only.split(","))):
            continue
        net, shape = made(name)
        net.build(shape, rng=0)
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        entry = told["networks"].setdefault(name, {})
        entry |= facts(net, shape)
        times = entry.setdefault("seconds", {})
        for backend in arguments.backends.split(","):
            with fastconv.use_backend(backend):
                times[backend] = float(f"{seconds(net.compile(shape), x):.3g}")
        print(name, times, flush=True)
        FOLDER.mkdir(exist_ok=True)
        path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
