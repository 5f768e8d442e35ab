"""The reader of ONNX files as a door to strangers: whatever comes in, a model or a `ModelError` that says where."""

import os
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import fuzz_models
from checks import run_python
from fastconv.onnx import ModelError, load
from fastconv.onnx.external import Folder
from fastconv.onnx.messages import MODEL, TENSOR
from fastconv.onnx.tensors import read_tensor
from fastconv.onnx.wire import MOST_MESSAGES, Parser
from onnx_cases import plain
from onnx_models import FLOAT, classifier, model, node, save_external

pytestmark = pytest.mark.one_instruction_set
FILES = Path(onnx.__file__).parent / "backend" / "test" / "data"


def field(number, data):
    """A field of bytes, as protobuf writes it."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def tensor_of(proto):
    record = Parser(memoryview(proto.SerializeToString())).parse(TENSOR)
    return read_tensor(record, None, Folder(None))


# Values


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    "kind", [k for name, k in TensorProto.DataType.items() if name not in ("UNDEFINED", "STRING")]
)
def test_every_type_of_tensor(kind, raw):
    """All of ONNX's types, as raw bytes and as typed fields, as its own package reads them."""
    numbers = np.array([[0, 1, 2, 1, 0], [1, 2, 1, 0, 2]], np.float32)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    array = numbers.astype(bool if kind == TensorProto.BOOL else dtype)
    if raw:
        proto = numpy_helper.from_array(array, "t")
        proto.data_type = kind
    else:
        proto = helper.make_tensor("t", kind, array.shape, array.ravel())
    expected = plain(numpy_helper.to_array(proto))
    actual = tensor_of(proto)
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


def test_strings():
    proto = helper.make_tensor("t", TensorProto.STRING, [2], ["a", "\u00fc"])
    assert tensor_of(proto).tolist() == ["a", "\u00fc"]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40), st.booleans())
def test_numbers_packed_and_not(values, packed):
    """Both ways to write a repeated field, of any length and sign."""
    encoded = [varint(value % 2**64) for value in values]
    body = field(7, b"".join(encoded)) if packed else b"".join(varint(7 << 3) + one for one in encoded)
    record = Parser(memoryview(body)).parse(TENSOR)
    assert list(record.get("int64_data", ())) == values


def test_a_field_in_parts_adds_up():
    record = Parser(memoryview(field(7, varint(1)) + varint(7 << 3) + varint(2) + field(7, varint(3)))).parse(
        TENSOR
    )
    assert list(record["int64_data"]) == [1, 2, 3]


def test_unknown_fields_are_skipped():
    strange = varint(500 << 3) + varint(7) + field(501, b"anything") + varint(502 << 3 | 5) + b"1234"
    strange += varint(503 << 3 | 1) + b"12345678"
    assert load(strange + classifier()).inputs == load(classifier()).inputs


def test_raw_data_is_not_copied(tmp_path):
    weight = np.zeros((64, 64, 3, 3), np.float32)
    data = model([node("Conv", ["x", "w"], ["y"])], {"x": (FLOAT, None)}, {"y": (FLOAT, None)}, {"w": weight})
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    tracemalloc.start()
    loaded = load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < weight.nbytes / 4
    constant = loaded.graph.nodes[0].inputs[1].constant
    assert not constant.flags.owndata
    assert not constant.flags.writeable


# Damage


@pytest.mark.parametrize("length", [0, 1, 2, 10, 100, 300, 500])
def test_truncated(length):
    with pytest.raises(ModelError):
        load(classifier()[:length])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no graph"),
        (b"\x3a\x05", "byte 0: field 7 of ModelProto ends at byte 7, beyond its message's end at 2"),
        (b"\x08", "the file ends within a number"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "longer than 10 bytes"),
        (b"\x0b\x0c", "a group"),
        (b"\x0e", "unknown wire type 6"),
        (b"\x00\x01", "has the number 0"),
        (b"\x3d1234", "graph: wire type 5"),
        (field(7, field(1, field(4, b"\xff"))), "byte 6, graph.node[0].op_type: not UTF-8"),
        (field(7, field(5, varint(1 << 3) + varint(2**64 - 5) + varint(2 << 3) + varint(1))), "dims is (-5,)"),
        (field(7, field(5, field(4, b"123"))), "graph.initializer[0].float_data: 3 bytes"),
        (field(7, field(5, field(7, b"\x80"))), "ends within a number"),
        (field(7, field(15, b"")), "sparse"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(data, words):
    with pytest.raises(ModelError) as caught:
        load(data)
    assert words in str(caught.value)


def test_equal_attributes_say_where_each_is():
    wrong = field(1, b"alpha") + varint(20 << 3) + varint(15)
    data = field(7, field(1, field(4, b"Elu") + field(5, wrong) + field(5, wrong)))
    record = Parser(memoryview(data)).parse(MODEL)
    first, second = record["graph"]["node"][0]["attribute"]
    assert first | {"@": second["@"]} == second
    assert [data[one["@"] :][: len(wrong)] for one in (first, second)] == [wrong, wrong]
    assert first["@"] != second["@"]


def test_equal_attributes_are_arrays_of_their_own():
    """What is nested is read each time."""
    tensor = field(1, b"value") + field(
        5, varint(1 << 3) + varint(1) + varint(2 << 3) + varint(1) + field(4, b"1234")
    )
    record = Parser(memoryview(field(7, field(1, field(5, tensor) + field(5, tensor))))).parse(MODEL)
    first, second = record["graph"]["node"][0]["attribute"]
    assert first["t"] is not second["t"]
    assert second["t"]["@"] - first["t"]["@"] == len(field(5, tensor))


@pytest.mark.parametrize("count", [0, 1, 3, 63, 64, 65, 300])
def test_packed_numbers_few_and_many(count):
    numbers = np.random.default_rng(count).integers(-(2**62), 2**62, count) >> np.arange(count) % 60
    data = b"".join(varint(int(number) % 2**64) for number in numbers)
    record = Parser(memoryview(field(7, data))).parse(TENSOR)
    assert list(record["int64_data"]) == list(numbers)


def test_nested_deeply():
    """Graphs within graphs, and lists within types."""
    body = b""
    for _ in range(2000):
        body = field(1, field(5, field(6, body)))
    with pytest.raises(ModelError, match="nest deeper than 100"):
        load(field(7, body))
    kind = b""
    for _ in range(2000):
        kind = field(4, field(1, kind))
    with pytest.raises(ModelError, match="nest deeper than 100"):
        load(field(7, field(11, field(2, kind))))


def test_too_many_messages():
    with pytest.raises(ModelError, match=f"more than {MOST_MESSAGES} messages"):
        load(field(7, field(1, b"") * (MOST_MESSAGES + 1)))


@pytest.mark.parametrize("dims", [[2**40, 2**40], [2**62], [3], [-1], [0, -1], [1] * 65])
def test_sizes_that_the_data_do_not_have(dims):
    proto = helper.make_tensor("c", FLOAT, [2], [1.0, 2.0])
    proto.dims[:] = dims
    with pytest.raises(ModelError):
        tensor_of(proto)


def test_a_cycle():
    data = model(
        [node("Add", ["x", "b"], ["a"], name="first"), node("Relu", ["a"], ["b"])],
        {"x": (FLOAT, [1])},
        {"b": (FLOAT, [1])},
    )
    with pytest.raises(ModelError, match=r"graph.node\[0\]: it reads what it makes itself"):
        load(data)


def test_nodes_in_another_order():
    data = model(
        [node("Relu", ["a"], ["y"]), node("Neg", ["x"], ["a"])], {"x": (FLOAT, [2])}, {"y": (FLOAT, [2])}
    )
    np.testing.assert_array_equal(load(data)(np.float32([-1, 2])), [1, 0])


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (
            [node("Relu", ["nowhere"], ["y"])],
            r"node\[0\].input\[0\]: it reads 'nowhere', which nothing before it makes",
        ),
        ([node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])], r"node\[1\]: the value 'y' is made twice"),
        ([node("Relu", ["x"], ["x"])], "it reads what it makes itself"),
        (
            [node("Frob", ["x"], ["y"], name="n")],
            "Frob of operator set 18, node 'n': this operator is not supported",
        ),
        ([node("Frob", ["x"], ["y"], domain="org")], "does not say which version of 'org'"),
        ([node("Relu", ["x"], ["y"], alpha=1.0)], "the attribute 'alpha' is not known"),
        ([node("Relu", ["x", "x"], ["y"])], "2 inputs, but it takes 1 to 1"),
        (
            [node("Transpose", ["x"], ["y"], perm="abc")],
            "the attribute 'perm' is 'abc', but needs a tuple of int",
        ),
        (
            [node("Gelu", ["x"], ["y"], approximate="tan")],
            "'approximate' is 'tan', but needs one of 'none', 'tanh'",
        ),
        (
            [node("Conv", ["x", "x"], ["y"], auto_pad="SAME")],
            "'auto_pad' is 'SAME', but needs one of 'NOTSET', 'SAME_",
        ),
        (
            [node("MaxPool", ["x"], ["y"], kernel_shape=[9])],
            r"windows of 9 do not fit an axis of 4",
        ),
        ([node("Transpose", ["x"], ["y"], perm=[7])], "Transpose"),
        ([node("Concat", ["x", "x"], ["y"])], "the attribute 'axis' is missing"),
        ([node("Add", ["x", ""], ["y"])], "missing|takes"),
        ([node("MaxPool", ["x"], ["y"], kernel_shape=[2], strides=[0])], "1 or more"),
    ],
)
def test_nodes_that_cannot_be(nodes, words):
    with pytest.raises(ModelError, match=words):
        load(model(nodes, {"x": (FLOAT, [1, 1, 4])}, {"y": (FLOAT, None)}))


@pytest.mark.parametrize("opset", [1, 5, 29, 2**40])
def test_operator_sets_that_are_not_known(opset):
    with pytest.raises(ModelError, match=f"operator set {opset}, but those from 6 to 28"):
        load(model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, [1])}, {"y": (FLOAT, [1])}, opset=opset))


def functions(count, calls):
    """Functions that each call the next one so many times."""
    own = [helper.make_opsetid("own", 1), helper.make_opsetid("", 18)]
    made = []
    for number in range(count):
        last = number == count - 1
        body = [
            node("Relu", ["a"], ["b0"]) if last else node(f"F{number + 1}", ["a"], [f"b{k}"], domain="own")
            for k in range(1 if last else calls)
        ]
        made.append(helper.make_function("own", f"F{number}", ["a"], ["b0"], body, own))
    return model(
        [node("F0", ["x"], ["y"], domain="own")],
        {"x": (FLOAT, [1])},
        {"y": (FLOAT, [1])},
        functions=made,
        opsets=own[:1],
    )


def test_functions_that_grow_without_bounds():
    with pytest.raises(ModelError, match="functions add too many nodes"):
        load(functions(30, 10))
    with pytest.raises(ModelError, match="nest deeper than 64"):
        load(functions(80, 1))
    np.testing.assert_array_equal(load(functions(4, 3))(np.float32([-2])), [0])


def test_graphs_in_functions_in_graphs():
    """Each of 40 functions calls the next one from within 20 graphs."""
    own = [helper.make_opsetid("own", 1), helper.make_opsetid("", 18)]
    made = []
    info = helper.make_tensor_value_info("r", FLOAT, None)
    other = helper.make_graph([node("Relu", ["a"], ["r"])], "g", [], [info])
    for number in range(40):
        inner = (
            node(f"F{number + 1}", ["a"], ["v0"], domain="own")
            if number < 39
            else node("Relu", ["a"], ["v0"])
        )
        for level in range(20):
            graph = helper.make_graph(
                [inner], "g", [], [helper.make_tensor_value_info(f"v{level}", FLOAT, None)]
            )
            inner = node("If", ["c"], [f"v{level + 1}"], then_branch=graph, else_branch=other)
        body = [node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True))), inner]
        made.append(helper.make_function("own", f"F{number}", ["a"], ["v20"], body, own))
    call = node("F0", ["x"], ["y"], domain="own")
    shapes = {"x": (FLOAT, [1])}, {"y": (FLOAT, [1])}
    with pytest.raises(ModelError, match="nest deeper than 64"):
        load(model([call], *shapes, functions=made, opsets=own[:1]))


def test_a_function_that_calls_itself():
    own = [helper.make_opsetid("own", 1)]
    again = helper.make_function("own", "F", ["a"], ["b"], [node("F", ["a"], ["b"], domain="own")], own)
    data = model(
        [node("F", ["x"], ["y"], domain="own")],
        {"x": (FLOAT, [1])},
        {"y": (FLOAT, [1])},
        functions=[again],
        opsets=own,
    )
    with pytest.raises(ModelError, match="'F' calls itself"):
        load(data)


# Files beside the model


def external(tmp_path, **entries):
    array = np.arange(6, dtype=np.float32)
    made = save_external(tmp_path, array)
    for key, value in ({"location": "weights.bin"} | entries).items():
        made.graph.initializer[0].external_data.add(key=key, value=value)
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def test_external_data(tmp_path):
    np.testing.assert_array_equal(load(external(tmp_path))(np.zeros(6, np.float32)), np.arange(6))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w").write_bytes(b"junk" + np.ones(6, np.float32).tobytes() + b"more")
    path = external(tmp_path, location="sub/w", offset="4", length="24")
    np.testing.assert_array_equal(load(path)(np.zeros(6, np.float32)), np.ones(6))


ELSEWHERE = [
    *("../secret", "sub/../../secret", "/etc/passwd", "", ".", "link", "folder_link/secret"),
    *("C:\\x", "..\\x", "a\0b", "nothing", "pipe"),
]


@pytest.mark.parametrize("location", ELSEWHERE)
def test_external_data_from_elsewhere(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(24))
    os.symlink(tmp_path / "secret", folder / "link")
    os.symlink(tmp_path, folder / "folder_link")
    os.mkfifo(folder / "pipe")
    with pytest.raises(ModelError, match="its data are in"):
        load(external(folder, location=location))


@pytest.mark.parametrize(
    ("key", "value"),
    [("offset", w) for w in ("-4", "4", "100", "x")] + [("length", w) for w in ("25", "-1", "9" * 30)],
)
def test_external_data_that_are_not_there(tmp_path, key, value):
    with pytest.raises(ModelError):
        load(external(tmp_path, **{key: value}))


def test_external_data_of_a_model_without_a_path(tmp_path):
    with pytest.raises(ModelError, match="load it by its path"):
        load(external(tmp_path).read_bytes())


# Anything


def some_files():
    """Models of several kinds, small enough to be changed in many places."""
    folders = ("pytorch-operator", "simple", "pytorch-converted")
    paths = [path for folder in folders for path in sorted((FILES / folder).glob("*/model.onnx"))[::6]]
    small = [path.read_bytes() for path in paths if path.stat().st_size < 20_000]
    return [classifier(), functions(3, 2), *small]


SEEDS = some_files()


def try_to_load(data):
    """A model or the error; no other one, and memory in proportion."""
    tracemalloc.start()
    try:
        load(data)
    except ModelError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 1_000_000 + 200 * len(data)


@st.composite
def changed(draw):
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, len(data) - 1))
        how = draw(st.sampled_from(["byte", "cut", "insert", "copy", "number", "end"]))
        if how == "byte":
            data[place] = draw(st.integers(0, 255))
        elif how == "cut":
            del data[place : place + draw(st.integers(1, 20))]
        elif how == "insert":
            data[place:place] = draw(st.binary(max_size=12))
        elif how == "copy":
            start = draw(st.integers(0, len(data) - 1))
            data[place:place] = data[start : start + draw(st.integers(1, 60))]
        elif how == "number":
            data[place : place + 9] = varint(draw(st.integers(0, 2**63)))
        else:
            del data[place:]
        if not data:
            break
    return bytes(data)


@given(changed())
def test_changed_files(data):
    try_to_load(data)


@given(st.binary(max_size=300))
def test_random_bytes(data):
    try_to_load(data)
    with pytest.raises(ModelError):
        load(field(7, data) + b"\xff")


@pytest.mark.parametrize("first", [0, pytest.param(200, marks=pytest.mark.slow)])
def test_changed_messages(first):
    """Names, attributes, shapes and inputs of nodes: what `fuzz_models.py` goes on with."""
    counts = Counter()
    for number in range(first, first + (200 if first == 0 else 5000)):
        counts[fuzz_models.attempt(*fuzz_models.case(SEEDS[2:], number))] += 1
    assert counts["answered"] > 10
    assert counts["refused"] > 50


def test_pads_that_take_more_than_there_is():
    nodes = [node("Pad", ["x", "pads"], ["y"])]
    data = model(nodes, {"x": (FLOAT, [1, 1, 4]), "pads": (TensorProto.INT64, [6])}, {"y": (FLOAT, None)})
    pads = np.array([0, 0, -3, 0, 0, -2])
    for optimize in (True, False):
        with pytest.raises(ValueError, match="take more than there is"):
            load(data, optimize=optimize)({"x": np.ones((1, 1, 4), np.float32), "pads": pads})


@pytest.mark.slow
def test_every_byte_of_a_file():
    """Each byte as four others, and each length of the file."""
    data = classifier()
    for place in range(len(data)):
        for value in (0, 0x7F, 0x80, 0xFF):
            try_to_load(data[:place] + bytes([value]) + data[place + 1 :])
        try_to_load(data[:place])


def test_the_parser_reads_what_onnx_reads():
    """Every message of real files, field by field."""
    for data in SEEDS:
        record = Parser(memoryview(data)).parse(MODEL)
        proto = onnx.load_from_string(data)
        assert [n["op_type"] for n in record["graph"]["node"]] == [n.op_type for n in proto.graph.node]
        assert [o.get("version") for o in record["opset_import"]] == [o.version for o in proto.opset_import]
        for ours, theirs in zip(record["graph"].get("initializer", ()), proto.graph.initializer, strict=True):
            np.testing.assert_array_equal(
                read_tensor(ours, None, Folder(None)), numpy_helper.to_array(theirs)
            )


def test_memory_of_a_file_that_is_all_empty_messages():
    count = 20_000
    try_to_load(field(7, field(1, b"") * count))


def test_onnx_itself_is_not_imported(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(classifier())
    run_python(
        f"import sys, fastconv; fastconv.onnx.load({str(path)!r})\n"
        "assert not {'onnx', 'google.protobuf', 'ml_dtypes'} & set(sys.modules)"
    )
