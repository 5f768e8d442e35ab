"""Checks of one peer, by ``python peer_checks.py NAME``, on small layers of each operation, layout and mode.

Run by `test_bench_peers.py` in a process of its own, since libraries leave threads and handlers of forks behind.
"""

import os
import sys
from pathlib import Path

import numpy as np

from fastconv.bench.layers.layer import Layer, conv, pool, transposed
from fastconv.bench.layers.networks import network
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners import peers
from fastconv.bench.runners.backend import BackendRunner

MISSING = 77  # exit code

CONV = [
    conv("3x3", (2, 5, 9, 7), 6, 3, 1, 1),
    conv("dilated", (1, 3, 11, 13), 4, (3, 2), (2, 1), (2, 1), (2, 3)),
    conv("grouped, no bias", (3, 4, 7, 8), 6, (1, 3), 2, groups=2, bias=False),
]
WORDS = [
    conv("same", (1, 3, 8, 9), 4, 4, 2, "same"),
    conv("full", (2, 3, 5, 6), 2, (3, 2), padding="full"),
    conv("sides", (1, 2, 7, 5), 3, 3, padding=((2, 0), (0, 1))),
]
DEPTHWISE = [
    Layer("", "depthwise_conv2d", {"x": (2, 3, 9, 7), "weight": (3, 1, 3, 3), "bias": (3,)}, {"padding": 1}),
    Layer("", "depthwise_conv2d", {"x": (1, 5, 8, 6), "weight": (10, 1, 2, 3)}, {"stride": 2}),
    Layer("", "depthwise_conv2d", {"x": (1, 4, 11, 9), "weight": (4, 1, 3, 3)}, {"dilation": (1, 2)}),
]
TRANSPOSED = [
    transposed("4x4/2", (2, 5, 4, 6), 3, 4, 2, 1),
    transposed("output_padding", (1, 3, 5, 4), 4, 3, 3, 1, 1),
    Layer(
        "", "conv_transpose2d", {"x": (1, 6, 5, 3), "weight": (6, 2, 2, 3)},
        {"stride": (2, 1), "groups": 3, "dilation": (2, 1), "padding": (0, 2)},
    ),
]  # fmt: skip
POOLS = [
    pool("", kind, shape, kernel, stride, padding)
    for kind in ("max", "avg")
    for shape, kernel, stride, padding in [
        ((2, 3, 9, 7), 3, 2, 1), ((1, 5, 8, 11), 2, 2, 0), ((1, 2, 5, 6), 4, 1, 2),
    ]
]  # fmt: skip
GLOBAL = [
    Layer("", f"global_{kind}_pool2d", {"x": x})
    for kind in ("max", "avg")
    for x in [(2, 3, 5, 7), (1, 5, 1, 4), (3, 1, 6, 6)]
]
FILTERS = [
    Layer("grey", "conv2d", {"x": (1, 1, 13, 17), "weight": (1, 1, 5, 5)}, {"padding": "same"}),
    Layer(
        "same",
        "conv2d",
        {"x": (1, 3, 21, 18), "weight": (3, 1, 3, 7)},
        {"padding": (1, 3), "groups": 3},
        same_filters=True,
    ),
    conv("signal", (1, 1, 1, 41), 1, (1, 9), padding="same", bias=False),
    Layer("others", "depthwise_conv2d", {"x": (1, 3, 16, 19), "weight": (3, 1, 13, 13)}, {"padding": "same"}),
]
WINDOWS = [
    pool("", kind, (1, channels, 9, 12), kernel, 1, kernel // 2)
    for kind in ("max", "avg") for channels, kernel in ((1, 3), (3, 5))
]  # fmt: skip
EVERY_NETWORK = CONV + DEPTHWISE + TRANSPOSED + POOLS + GLOBAL
MODES = ("plan", "call", "gradient")
CAN = {  # what each runner has to do, by modes
    "pytorch": (MODES, EVERY_NETWORK + FILTERS),
    "pytorch channels_last": (MODES, EVERY_NETWORK + FILTERS),
    "onnxruntime": (("plan",), EVERY_NETWORK + WORDS + FILTERS),
    "openvino": (("plan",), EVERY_NETWORK + WORDS + FILTERS),
    "ncnn": (("plan",), EVERY_NETWORK + WORDS + FILTERS),
    "mnn": (("plan",), EVERY_NETWORK + WORDS + FILTERS),
    "jax": (MODES, EVERY_NETWORK + WORDS + FILTERS),
    "scipy.ndimage": (("plan", "call"), FILTERS + WINDOWS),
    "scipy.signal": (("plan", "call"), FILTERS),
    "opencv": (("plan", "call"), FILTERS + WINDOWS),
}
PEER_OF = {"pytorch channels_last": "pytorch", "scipy.ndimage": "scipy", "scipy.signal": "scipy"}
REFUSED = [
    Layer("", "conv2d", {"x": (1, 2, 5, 5), "weight": (2, 2, 3, 3)}, {"activation": "relu"}),
    Layer(
        "", "conv2d", {"x": (1, 2, 5, 5), "weight": (2, 2, 3, 3)}, {"padding": 1, "padding_mode": "reflect"}
    ),
    Layer("", "lp_pool2d", {"x": (1, 2, 5, 5)}, {"norm_type": 2, "kernel_size": 2}),
    Layer("", "max_pool2d", {"x": (1, 2, 5, 5)}, {"kernel_size": 2, "return_indices": True}),
]
X = {"x": (2, 3, 8, 7)}
POOLS_OF_PYTORCH = [
    Layer("", "max_pool2d", X, {"kernel_size": 3, "stride": 2, "ceil_mode": True, "dilation": (1, 2)}),
    Layer(
        "", "avg_pool2d", X, {"kernel_size": 3, "padding": 1, "count_include_pad": False, "ceil_mode": True}
    ),
    Layer("", "avg_pool2d", X, {"kernel_size": 2, "divisor_override": 3}),
    Layer("", "adaptive_avg_pool2d", X, {"output_size": (3, 5)}),
    Layer("", "adaptive_max_pool2d", X, {"output_size": 2}),
]


def images(runner, layer, settings):
    """What the runner's call gives, the second time too, and the shape of the layer's result."""
    arrays = layer.arrays(settings.dtype)
    prepared = runner.prepare(layer, arrays, settings)
    if prepared is None:
        return None
    first = prepared.images(prepared.run())
    for once, again in zip(first, prepared.images(prepared.run()), strict=True):
        np.testing.assert_array_equal(once, again)
    for name, array in layer.arrays(settings.dtype).items():
        np.testing.assert_array_equal(arrays[name], array)  # not written to
    return first, prepared.shape or first[0].shape


def agrees(runner, layer, settings):
    """False where the runner does not do the layer."""
    found = images(runner, layer, settings)
    if found is None:
        return False
    expected = images(BackendRunner("numpy"), layer, settings)
    assert found[1] == expected[1], layer
    for theirs, ours in zip(found[0], expected[0], strict=True):
        assert theirs.dtype == ours.dtype == settings.dtype
        tolerance = 100 * np.finfo(settings.dtype).eps * np.abs(ours).max()
        np.testing.assert_allclose(
            theirs, ours, rtol=0, atol=tolerance, err_msg=f"{layer.operation}: {layer}"
        )
    return True


def check(runner):
    modes, layers = CAN[runner.name]
    more = POOLS_OF_PYTORCH if runner.name.startswith("pytorch") else []
    for mode in MODES:
        for layout in ("NCHW", "NHWC"):
            settings = Settings(layout=layout, mode=mode)
            for layer in EVERY_NETWORK + WORDS + FILTERS + WINDOWS + more:
                done = agrees(runner, layer, settings)
                wanted = mode in modes and layer in layers + more
                assert done or not wanted, f"{runner.name}, {mode}: {layer.operation}: {layer}"
                assert mode in modes or not done
        for layer in REFUSED:
            assert runner.prepare(layer, layer.arrays(), Settings(mode=mode)) is None, layer
    in_double = agrees(runner, FILTERS[0], Settings(dtype="float64"))
    assert in_double == (
        runner.name not in ("onnxruntime", "openvino", "ncnn", "mnn", "jax")
    )  # in that precision, or not at all


def check_threads_of_jax(runner):
    """The environment variable that sizes XLA's pool is still read, and set only for that moment."""

    def count():
        return sum("XLAEigen" in path.read_text() for path in Path("/proc/self/task").glob("*/comm"))

    layer, environment = network("dqn")[0][0], dict(os.environ)
    for threads in (3, 1, 5):
        before = count()
        peers.set_threads(threads)
        runner.prepare(layer, layer.arrays(), Settings(threads=threads)).run()
        assert count() - before == threads
    assert environment == dict(os.environ)


def main(name):
    runners, versions, missing = peers.available([name])
    if missing:
        print(missing[name])
        return MISSING
    assert versions[name][0].isdigit()
    assert [runner.name for runner in runners] == [
        other for other in CAN if PEER_OF.get(other, other) == name
    ]
    peers.set_threads(1)
    for runner in runners:
        assert runner.peer
        check(runner)
    if name == "jax" and Path("/proc/self/task").exists():
        check_threads_of_jax(runners[0])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
