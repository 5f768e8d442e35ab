"""Every peer that is installed against the numpy backend, on small layers of each operation, layout and mode."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fastconv.bench import peers
from fastconv.bench.layer import Layer, conv, pool, transposed
from fastconv.bench.results import Settings
from fastconv.bench.runner import Backend

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
    Layer("others", "depthwise_conv2d", {"x": (1, 3, 16, 19), "weight": (3, 1, 13, 13)}, {"padding": "same"}),
]
EVERY_NETWORK = CONV + DEPTHWISE + TRANSPOSED + POOLS + GLOBAL
MODES = ("plan", "call", "gradient")
CAN = {  # what each runner has to do, by modes
    "pytorch": (MODES, EVERY_NETWORK + FILTERS),
    "pytorch channels_last": (MODES, EVERY_NETWORK + FILTERS),
    "onnxruntime": (("plan",), EVERY_NETWORK + WORDS + FILTERS),
    "openvino": (("plan",), EVERY_NETWORK + WORDS + FILTERS),
    "jax": (MODES, EVERY_NETWORK + WORDS + FILTERS),
    "scipy.ndimage": (("plan", "call"), FILTERS),
    "scipy.signal": (("plan", "call"), FILTERS),
    "opencv": (("plan", "call"), FILTERS),
}
RUNNERS, VERSIONS, MISSING = peers.available()
BY_NAME = {runner.name: runner for runner in RUNNERS}
PEER_OF = {"pytorch channels_last": "pytorch", "scipy.ndimage": "scipy", "scipy.signal": "scipy"}


@pytest.fixture(params=CAN)
def runner(request):
    """Each runner; skipped with the reason where its library is not installed."""
    reason = MISSING.get(PEER_OF.get(request.param, request.param))
    if reason:
        pytest.skip(f"{request.param}: {reason}")
    peers.set_threads(2)
    return BY_NAME[request.param]


def images(runner, layer, settings):
    """What the runner's call gives, the second time too, and the shape of the layer's result."""
    arrays = layer.arrays()
    call = runner.prepare(layer, arrays, settings)
    if call is None:
        return None
    first = call.images(call.run())
    for once, again in zip(first, call.images(call.run()), strict=True):
        np.testing.assert_array_equal(once, again)
    for name, array in layer.arrays().items():
        np.testing.assert_array_equal(arrays[name], array)  # not written to
    return first, call.shape or first[0].shape


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("mode", MODES)
def test_agrees_with_fastconv(runner, mode, layout):
    settings = Settings(layout=layout, threads=2, mode=mode)
    modes, layers = CAN[runner.name]
    done = 0
    for layer in EVERY_NETWORK + WORDS + FILTERS:
        found = images(runner, layer, settings)
        if found is None:
            assert not (mode in modes and layer in layers), f"{layer.operation}: {layer}"
            continue
        done += 1
        expected = images(Backend("numpy"), layer, Settings(layout=layout, mode=mode))
        assert found[1] == expected[1]
        for theirs, ours in zip(found[0], expected[0], strict=True):
            assert theirs.dtype == ours.dtype == np.float32
            tolerance = 1e-5 * np.abs(ours).max()
            np.testing.assert_allclose(
                theirs, ours, rtol=0, atol=tolerance, err_msg=f"{layer.operation}: {layer}"
            )
    assert (done > 0) == (mode in modes)


@pytest.mark.parametrize(
    "layer",
    [
        Layer("", "conv2d", {"x": (1, 2, 5, 5), "weight": (2, 2, 3, 3)}, {"activation": "relu"}),
        Layer(
            "",
            "conv2d",
            {"x": (1, 2, 5, 5), "weight": (2, 2, 3, 3)},
            {"padding": 1, "padding_mode": "reflect"},
        ),
        Layer("", "lp_pool2d", {"x": (1, 2, 5, 5)}, {"norm_type": 2, "kernel_size": 2}),
        Layer("", "max_pool2d", {"x": (1, 2, 5, 5)}, {"kernel_size": 2, "return_indices": True}),
    ],
    ids=lambda layer: f"{layer.operation} {[*layer.options][-1]}",
)
def test_leaves_out_what_it_cannot_do(runner, layer):
    for mode in MODES:
        assert runner.prepare(layer, layer.arrays(), Settings(mode=mode)) is None


def test_float64(runner):
    """In that precision, or not at all."""
    layer = FILTERS[0]
    call = runner.prepare(layer, layer.arrays(np.float64), Settings(dtype="float64"))
    if call is None:
        assert runner.name in ("onnxruntime", "openvino", "jax")
        return
    reference = Backend("numpy").prepare(layer, layer.arrays(np.float64), Settings(dtype="float64"))
    theirs, ours = (made.images(made.run())[0] for made in (call, reference))
    assert theirs.dtype == np.float64
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-12)


def test_options_of_pytorch_poolings():
    """Its poolings are fastconv's, option by option."""
    if "pytorch" in MISSING:
        pytest.skip(MISSING["pytorch"])
    x = {"x": (2, 3, 8, 7)}
    for layer in [
        Layer("", "max_pool2d", x, {"kernel_size": 3, "stride": 2, "ceil_mode": True, "dilation": (1, 2)}),
        Layer(
            "",
            "avg_pool2d",
            x,
            {"kernel_size": 3, "padding": 1, "count_include_pad": False, "ceil_mode": True},
        ),
        Layer("", "avg_pool2d", x, {"kernel_size": 2, "divisor_override": 3}),
        Layer("", "adaptive_avg_pool2d", x, {"output_size": (3, 5)}),
        Layer("", "adaptive_max_pool2d", x, {"output_size": 2}),
    ]:
        for mode in MODES:
            expected = images(Backend("numpy"), layer, Settings(mode=mode))[0]
            for name in ("pytorch", "pytorch channels_last"):
                for theirs, ours in zip(
                    images(BY_NAME[name], layer, Settings(mode=mode))[0], expected, strict=True
                ):
                    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)


def test_names_and_versions():
    assert set(VERSIONS) | set(MISSING) == set(peers.PEERS)
    assert not set(VERSIONS) & set(MISSING)
    assert all(version[0].isdigit() for version in VERSIONS.values())
    assert all(count == 1 for count in Counter(runner.name for runner in RUNNERS).values())
    assert set(BY_NAME) == {name for name in CAN if PEER_OF.get(name, name) in VERSIONS}
    assert all(runner.peer for runner in RUNNERS)


@pytest.mark.parametrize("name", peers.PEERS)
def test_missing_peer_is_named(monkeypatch, name):
    """An import that fails, of whatever the peer's module imports first, is the reason; the others are not touched."""
    library = {"pytorch": "torch", "opencv": "cv2"}.get(name, name)
    monkeypatch.setitem(sys.modules, library, None)
    for path in [path for path in sys.modules if path.startswith("fastconv.bench.peers.")]:
        monkeypatch.delitem(sys.modules, path)
    runners, versions, missing = peers.available([name, name])
    assert (runners, versions) == ([], {})
    assert list(missing) == [name]
    assert "ModuleNotFoundError: " in missing[name]
    assert missing[name].endswith(f"(pip install {peers.PEERS[name].packages})")
    assert library in missing[name]


def test_library_that_breaks_on_import(monkeypatch):
    """Whatever it raises is reported, not raised."""
    monkeypatch.setattr(peers, "_load", lambda peer: 1 // 0)
    assert peers.available(["jax"])[2] == {
        "jax": "ZeroDivisionError: integer division or modulo by zero (pip install jax)"
    }


def test_unknown_peer():
    with pytest.raises(
        ValueError, match="'tensorflow', but needs to be one of pytorch, onnxruntime, openvino, jax"
    ):
        peers.available(["pytorch", "tensorflow"])


def test_only_the_named_are_imported():
    """In a process of its own: the registry imports no library, `available` only those it is asked for."""
    program = """
import sys
from fastconv.bench import peers
libraries = {"torch", "onnx", "onnxruntime", "openvino", "jax", "scipy", "cv2"}
assert not libraries & set(sys.modules), libraries & set(sys.modules)
assert peers.available([]) == ([], {}, {})
found = peers.available(["opencv"])
assert not (libraries - {"cv2"}) & set(sys.modules), libraries & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts the threads of /proc/self/task")
def test_threads_of_jax():
    """The environment variable that sizes XLA's pool is still read."""
    if "jax" in MISSING:
        pytest.skip(MISSING["jax"])
    program = """
from pathlib import Path
import os
from fastconv.bench import peers
from fastconv.bench.networks import network
from fastconv.bench.results import Settings
(runner,), *_ = peers.available(["jax"])
layer = network("dqn")[0][0]
def count():
    return sum("XLAEigen" in path.read_text() for path in Path("/proc/self/task").glob("*/comm"))
seen = [count()]
environment = dict(os.environ)
for threads in (3, 1, 5):
    peers.set_threads(threads)
    runner.prepare(layer, layer.arrays(), Settings(threads=threads)).run()
    seen.append(count())
print([after - before for before, after in zip(seen, seen[1:])])
assert environment == dict(os.environ)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[3, 1, 5]"
