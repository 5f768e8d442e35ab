"""ONNX's own backend tests, loaded from their files and run: on every backend, all that the table's operators cover."""

import re
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest

import fastconv
from fastconv.graph import infer
from fastconv.graph.operations import TABLE
from fastconv.graph.operations.table import RETIRED
from onnx_cases import cases, plain

# Operators that no entry of the table runs, by the reason.
NOT_SUPPORTED = {
    "attention of language models: a file of image networks has it as MatMul and Softmax": [
        "Attention",
        "CausalConvWithState",
        "LinearAttention",
        "RotaryEmbedding",
        "SwiGLU",
        "ai.onnx.preview.FlexAttention",
    ],
    "losses and optimisers, for training": [
        "NegativeLogLikelihoodLoss",
        "SoftmaxCrossEntropyLoss",
        "ai.onnx.preview.training.Adagrad",
        "ai.onnx.preview.training.Adam",
        "ai.onnx.preview.training.Gradient",
        "ai.onnx.preview.training.Momentum",
    ],
    "random numbers, for training": ["Bernoulli", "RandomUniformLike"],
    "text": [
        "RegexFullMatch",
        "StringConcat",
        "StringNormalizer",
        "StringSplit",
        "TfIdfVectorizer",
    ],
    "spectra of sound": ["DFT", "MelWeightMatrix", "STFT"],
    "decoding of files": ["ImageDecoder"],
    "values that may not be there": ["Optional", "OptionalGetElement", "OptionalHasElement"],
    "a function over a sequence": ["SequenceMap"],
    "trees and tables of ai.onnx.ml": [
        "ai.onnx.ml.ArrayFeatureExtractor",
        "ai.onnx.ml.Binarizer",
        "ai.onnx.ml.LabelEncoder",
        "ai.onnx.ml.TreeEnsemble",
    ],
}
# Single tests of operators that are supported, by the reason.
EXCLUDED = {
    "training": [
        "node/test_training_dropout",
        "node/test_training_dropout_default",
        "node/test_training_dropout_default_mask",
        "node/test_training_dropout_mask",
    ],
    "bfloat16 is computed in float32, and not rounded after each node": [
        "node/test_attention_3d_causal_bf16_expanded",
        "node/test_attention_4d_attn_mask_causal_bf16_expanded",
        "node/test_attention_4d_causal_bf16_expanded",
        "node/test_attention_4d_causal_padded_kv_bf16_expanded",
        "node/test_attention_4d_padded_kv_bf16_expanded",
        "node/test_celu_bfloat16",
        "node/test_celu_bfloat16_expanded",
    ],
    "operator set 1, or an operator's form before set 9": [
        "node/test_not_2d",
        "node/test_not_3d",
        "node/test_not_4d",
        "node/test_scan_sum",
    ],
}
NAMES_EXCLUDED = {name for names in EXCLUDED.values() for name in names}
OPERATORS_EXCLUDED = {name for names in NOT_SUPPORTED.values() for name in names}
KINDS = ("node", "pytorch-converted", "pytorch-operator", "simple")
NODES_ARE_SLOW = (pytest.param("node", marks=pytest.mark.slow), *KINDS[1:])
QUICK = 8  # of so many tests of a kind, the default runs one


def operators(model):
    """Those of a model's nodes, and of the graphs within them."""
    found = set()
    graphs = [model.graph]
    while graphs:
        for node in graphs.pop().node:
            found.add(node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}")
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return found


def covered(kind):
    """The tests that the table's operators cover."""
    return [
        case
        for name, case in cases().items()
        if case.kind == kind
        and name not in NAMES_EXCLUDED
        and not operators(case.proto()) & OPERATORS_EXCLUDED
    ]


def check(case):
    model = fastconv.onnx.load(case.model)
    for inputs, outputs in case.sets():
        names = [tensor.name for tensor in model.inputs]
        results = model(dict(zip(names, map(plain, inputs), strict=True)))
        values = results.values() if isinstance(results, dict) else [results]
        for actual, expected in zip(values, map(plain, outputs), strict=True):
            compare(actual, expected, case)


def compare(actual, expected, case):
    if isinstance(expected, list):
        for one, other in zip(actual, expected, strict=True):
            compare(one, other, case)
        return
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if expected.dtype == object:
        assert actual.tolist() == expected.tolist()
    else:
        np.testing.assert_allclose(actual, expected, case.rtol, case.atol)


def check_all(chosen):
    assert chosen
    for case in chosen:
        try:
            check(case)
        except Exception as error:
            error.add_note(f"{case.kind}/{case.name}")
            raise


@pytest.mark.parametrize("kind", KINDS)
def test_some(backend, kind):
    """Others on each backend."""
    part = zlib.crc32(backend.encode()) % QUICK
    chosen = covered(kind)
    check_all([case for case in chosen if (zlib.crc32(case.name.encode()) + part) % QUICK == 0] or chosen[:1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all(backend, kind):
    check_all(covered(kind))


def test_what_is_not_covered_is_listed():
    """Each of the lists' names is one of ONNX's, and of those not in the lists all are in the table."""
    used = set().union(*(operators(case.proto()) for case in cases().values()))
    assert used >= OPERATORS_EXCLUDED
    assert cases().keys() >= NAMES_EXCLUDED
    assert used - OPERATORS_EXCLUDED <= {*TABLE, *RETIRED}
    assert not OPERATORS_EXCLUDED & {*TABLE, *RETIRED}


def test_what_is_not_covered_is_told():
    told = (Path(__file__).parents[1] / "docs" / "networks.md").read_text()
    assert [name for name in OPERATORS_EXCLUDED if f"`{name.rsplit('.', 1)[-1]}`" not in told] == []
    own = {name for name in {*TABLE, *RETIRED} if name.startswith("com.microsoft.")}
    assert [name for name in own if f"`{name.removeprefix('com.microsoft.')}`" not in told] == []


@pytest.mark.parametrize("name", sorted(OPERATORS_EXCLUDED))
def test_what_is_not_supported_is_said_at_loading(name):
    case = next(case for case in cases().values() if name in operators(case.proto()))
    with pytest.raises(fastconv.onnx.ModelError, match="this operator is not supported"):
        fastconv.onnx.load(case.model)


@pytest.mark.parametrize("kind", NODES_ARE_SLOW)
def test_rules_say_what_comes(kind):
    """Wherever a rule says a dtype or a size, the value has it."""
    for case in covered(kind):
        model = fastconv.onnx.load(case.model)
        inputs, _ = case.sets()[0]
        seen = values_of(model.graph, [plain(value) for value in inputs])
        for node in model.graph.nodes:
            for output in node.outputs:
                if output is not None:
                    output.dtype = output.shape = None
            infer(node)
            for output in node.outputs:
                value = None if output is None else seen.get(id(output))
                if isinstance(value, np.ndarray):
                    told = f"{case.name}: {node}"
                    assert output.dtype in (None, value.dtype), told
                    assert fits(output.shape, value.shape), (told, output.shape, value.shape)


# What a graph may hold and a file of `save` may not.
NOT_WRITTEN = "a type that NumPy lacks|an input or output, is not known|how a Resize of set 10 rounds"


@pytest.mark.parametrize("kind", NODES_ARE_SLOW)
def test_what_is_saved_is_a_model_that_says_the_same(kind, tmp_path):
    """For ONNX's checker, for the reader, and in its results."""
    path = tmp_path / "saved.onnx"
    refused = []
    for case in covered(kind):
        loaded = fastconv.onnx.load(case.model)
        try:
            fastconv.onnx.save(loaded, path)
        except ValueError as error:
            if not re.search(NOT_WRITTEN, str(error)):
                raise
            refused.append(case.name)
            continue
        try:
            onnx.checker.check_model(str(path))
            check(case._replace(model=path))
        except Exception as error:
            error.add_note(case.name)
            raise
    assert len(refused) < 20, refused


def fits(known, shape):
    return known is None or (
        len(known) == len(shape)
        and all(not isinstance(size, int) or size == got for size, got in zip(known, shape, strict=True))
    )


def values_of(graph, inputs):
    """All values of a run, by their identity: a run of the graph with every value as an output."""
    values = [output for node in graph.nodes for output in node.outputs if output is not None]
    everything = fastconv.graph.Graph(graph.inputs, values, graph.nodes)
    return dict(zip(map(id, values), fastconv.graph.Interpreter(everything)(*inputs), strict=True))
