"""Whole files through the passes, against the interpreter of the plain graph, on every backend."""

import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import fastconv
from fastconv.graph import Graph
from onnx_cases import plain
from passes_oracle import same_results
from test_onnx_backend import KINDS, NODES_ARE_SLOW, covered
from test_onnx_real import FILES, find

# The kernels are those of other tests.
pytestmark = pytest.mark.one_instruction_set

QUICK = 16  # of so many tests of a kind, the default runs one


def check(case, shapes):
    graph = fastconv.onnx.load(case.model).graph
    for inputs, _ in case.sets():
        same_results(graph, [plain(value) for value in inputs], max(case.rtol, 1e-5), shapes)


def check_all(chosen):
    for case in chosen:
        for shapes in (False, True):
            try:
                check(case, shapes)
            except Exception as error:
                error.add_note(f"{case.kind}/{case.name}, shapes are {'' if shapes else 'not '}given")
                raise


@pytest.mark.parametrize("kind", NODES_ARE_SLOW)
def test_some(backend, kind):
    """Others on each backend."""
    part = zlib.crc32(backend.encode()) % QUICK
    chosen = covered(kind)
    check_all([case for case in chosen if (zlib.crc32(case.name.encode()) + part) % QUICK == 0] or chosen[:1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all(backend, kind):
    check_all(covered(kind))


@pytest.mark.slow
@pytest.mark.one_instruction_set
@pytest.mark.parametrize(("file", "shapes"), FILES, ids=[Path(file).stem for file, _ in FILES])
@pytest.mark.parametrize("known", [True, False])
def test_real_files(backend, file, shapes, known):
    path = find(file)
    if path is None:
        pytest.skip(f"no {file}: its package is not installed, nor in FASTCONV_TEST_MODELS")
    graph = fastconv.onnx.load(path).graph
    rng = np.random.default_rng(0)
    inputs = [
        np.array(16000) if value.name == "sr" else rng.normal(size=shapes[value.name]).astype(np.float32)
        for value in graph.inputs
    ]
    same_results(graph, inputs, 1e-3, known)


LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
# What is left of each, by operation: the counts that matter.
NETWORKS = {
    "bvlc_alexnet": {"fastconv.Conv": 5, "fastconv.Dense": 3},
    "densenet121": {"Conv": 62, "fastconv.Conv": 59, "fastconv.Elementwise": 62, "Concat": 58},
    "inception_v1": {"fastconv.Conv": 57, "Concat": 9},
    "inception_v2": {"fastconv.Conv": 69, "Concat": 10},
    "resnet50": {"fastconv.Conv": 49, "Conv": 4, "fastconv.Dense": 1},
    "shufflenet": {"fastconv.Conv": 30, "Conv": 19, "fastconv.ChannelShuffle": 16},
    "squeezenet": {"fastconv.Conv": 26, "Concat": 8},
    "vgg19": {"fastconv.Conv": 16, "fastconv.Dense": 3},
    "zfnet512": {"fastconv.Conv": 5, "fastconv.Dense": 3},
}


def with_random_weights(model):
    """A light network: its constants cannot see a wrong order of channels."""
    rng = np.random.default_rng(0)
    uses = {name: (node.op_type, place) for node in model.graph.node for place, name in enumerate(node.input)}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}

    def random(name, shape):
        if uses.get(name, ("", 0)) in (("BatchNormalization", 1), ("BatchNormalization", 4)):
            return rng.uniform(0.5, 1.5, shape).astype(np.float32)
        spread = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
        return (rng.normal(size=shape) * spread).astype(np.float32)

    nodes = []
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape":
            constants[node.output[0]] = random(node.output[0], tuple(map(int, constants[node.input[0]])))
        else:
            nodes.append(node)
    for name, array in constants.items():
        if array.dtype == np.float32:
            constants[name] = random(name, array.shape)
    inputs = [info for info in model.graph.input if info.name not in constants]
    for field, values in (("node", nodes), ("input", inputs)):
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(values)
    model.graph.ClearField("initializer")
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in constants.items())
    return model.SerializeToString()


@pytest.mark.slow
@pytest.mark.one_instruction_set
@pytest.mark.parametrize("name", NETWORKS)
def test_light_networks(backend, name):
    """In what comes before the last Softmax, too, which shows the largest value only."""
    data = with_random_weights(onnx.load(LIGHT / f"light_{name}.onnx"))
    graph = fastconv.onnx.load(data).graph
    if graph.nodes[-1].operation == "Softmax":
        graph = Graph(graph.inputs, graph.nodes[-1].inputs[:1], graph.nodes[:-1])
    x = np.random.default_rng(1).normal(size=graph.inputs[0].shape).astype(np.float32)
    result = same_results(graph, [x], 1e-4)
    operations = [node.operation for node in result.nodes]
    assert {operation: operations.count(operation) for operation in NETWORKS[name]} == NETWORKS[name]
    assert "BatchNormalization" not in operations
