"""What each idea since im2col gains over it, layer by layer.

    python bench/textbook.py
    python bench/textbook.py --layout NHWC --threads 1 --layers 3x3 --seconds 2

A line for each layer, in Markdown: the median time of one call

- with the whole matrix (NCHW without groups): `fastconv.unfold`, and NumPy's product with the weights;
- by `im2col`: the same in panels that stay in a cache, multiplied by the engine's register tile;

and how many times as fast as `im2col` are

- the best direct sum, which has no columns: it packs strips of the image, or reads it in place;
- the best of Winograd's algorithms, with fewer multiplications;
- `fft`, with far fewer where kernels are large.

All but the first are plans. They are timed in turns, so that what disturbs one disturbs all, after their results have
been compared; "-" is what cannot do the layer. The last column has what is chosen where no algorithm is named.
"""

import argparse
import math
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

import fastconv
from fastconv.bench.layers.layer import conv, to_layout
from fastconv.bench.measure.timer import Pace, Timer

LAYERS = [
    conv("3x3 64->64, 56", (1, 64, 56, 56), 64, 3, 1, 1, bias=False),
    conv("3x3 256->256, 14", (1, 256, 14, 14), 256, 3, 1, 1, bias=False),
    conv("3x3/2 128->128, 56", (1, 128, 56, 56), 128, 3, 2, 1, bias=False),
    conv("dilated 3x3 256->256, 33", (1, 256, 33, 33), 256, 3, 1, 6, 6, bias=False),
    conv("stem 7x7/2 3->64", (1, 3, 224, 224), 64, 7, 2, 3, bias=False),
    conv("5x5 48->64, 35", (1, 48, 35, 35), 64, 5, 1, 2, bias=False),
    conv("1x1 256->64, 56", (1, 256, 56, 56), 64, 1, bias=False),
    conv("depthwise 3x3 144, 56", (1, 144, 56, 56), 144, 3, 1, 1, groups=144, bias=False),
    conv("31x31 1->1, 512", (1, 1, 512, 512), 1, 31, 1, 15, bias=False),
    conv("4x4 128->256, 64 images of 4", (64, 128, 4, 4), 256, 4, bias=False),
    conv("1x1 128->256, 256 images of 1", (256, 128, 1, 1), 256, 1, bias=False),
]
IDEAS = ("direct", "Winograd", "fft")


def idea_of(name):
    return "Winograd" if name.startswith("winograd") else "fft" if name == "fft" else "direct"


def whole_matrix(x, weight, size, places):
    columns = fastconv.unfold(x, weight.shape[2:], backend="cython", **places)
    return (weight.reshape(len(weight), -1) @ columns).reshape(len(x), len(weight), *size)


def calls_of(layer, layout):
    """A call for each way to do it, and what is chosen."""
    arrays = layer.arrays()
    x, weight = (to_layout(name, arrays[name], layout) for name in ("x", "weight"))
    make = partial(fastconv.plan_conv2d, weight, layout=layout, backend="cython", **layer.options)
    calls = {}
    for name in fastconv.algorithms("cython"):
        if name != "direct":  # stands for others in the list
            try:
                plan = make(algorithm=name)
                out = plan(x)
            except ValueError:
                continue  # cannot do this layer
            calls[name] = partial(plan, x, out)
    if layout == "NCHW" and "groups" not in layer.options:
        calls["matrix"] = partial(whole_matrix, x, weight, out.shape[2:], layer.options)
    return calls, make(input_shape=x.shape).algorithm(x.shape)


def check(layer, results):
    """A wrong result would be no competitor."""
    expected = results["im2col"]
    for name, result in results.items():
        if np.abs(result - expected).max() > 1e-3 * np.abs(expected).max():
            raise AssertionError(f"{layer.name}: {name} is not what im2col computes")


def line(layer, layout, seconds):
    calls, chosen = calls_of(layer, layout)
    check(layer, {name: call() for name, call in calls.items()})
    pace = Pace(rounds=10_000, least=5, block=500e-6, budget=seconds)
    times = {name: float(np.median(samples)) for name, samples in Timer(calls, pace).run().items()}
    matrix, im2col = times.pop("matrix", math.nan), times.pop("im2col")
    cells = [layer.name, *(f"{t * 1e6:,.0f} us" if t > 0 else "-" for t in (matrix, im2col))]
    for idea in IDEAS:
        fits = {name: t for name, t in times.items() if idea_of(name) == idea}
        best = min(fits, key=fits.get, default=None)
        cells.append("-" if best is None else f"{im2col / fits[best]:.2f} `{best}`")
    return "| " + " | ".join([*cells, f"`{chosen}`"]) + " |"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", default="", help="only those with this in their names")
    parser.add_argument("--layout", choices=["NCHW", "NHWC"], default="NCHW")
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads(), help="NumPy's, too")
    parser.add_argument("--seconds", type=float, default=3, help="of a layer")
    arguments = parser.parse_args()
    header = ["layer", "whole matrix", "`im2col`", *(f"{idea}, times" for idea in IDEAS), "chosen"]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    with fastconv.num_threads(arguments.threads), threadpool_limits(arguments.threads, user_api="blas"):
        for layer in LAYERS:
            if arguments.layers in layer.name:
                print(line(layer, arguments.layout, arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
