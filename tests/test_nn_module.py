"""Modules of `fastconv.nn`: paths, state, errors that say where, files, summaries, graphs and their export."""

import json
import pickle

import numpy as np
import pytest

import fastconv
import fastconv.nn as nn
from fastconv.nn import files
from fastconv.nn import functional as F

pytestmark = pytest.mark.one_instruction_set


def net(layout=None):
    return nn.Sequential(
        {
            "features": nn.Sequential(
                nn.Conv2D(4, 3, padding=1, bias=False),
                nn.BatchNorm2D(),
                nn.Activation("relu"),
                nn.MaxPool2D(2),
            ),
            "flat": nn.Flatten(),
            "head": nn.Dense(3),
        },
        layout=layout,
    )


X = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32)


def test_paths_and_state():
    one = net()
    assert one.parameters() == []
    one(X)
    paths = ["features.0.weight", "features.1.weight", "features.1.bias", "head.weight", "head.bias"]
    assert [path for path, _ in one.named_parameters()] == paths
    assert len(one.buffers()) == 3
    state = one.state_dict()
    assert list(state)[3:6] == [
        f"features.1.{w}" for w in ("running_mean", "running_var", "num_batches_tracked")
    ]
    other = net()
    assert other.load_state_dict(state) == ([], [])
    np.testing.assert_array_equal(other(X), one(X))
    state["head.bias"][:] = 7  # they are copies
    assert not (one["head"].bias == 7).any()


def test_state_that_does_not_fit_changes_nothing():
    one = net()
    one(X)
    before = one.state_dict()
    state = {path: array + 1 for path, array in before.items()}
    del state["head.bias"]
    with pytest.raises(ValueError, match=r"missing: head\.bias"):
        one.load_state_dict(state)
    with pytest.raises(ValueError, match=r"head\.weight has shape \(3, 1\), but Dense needs \(3, 36\)"):
        one.load_state_dict(before | {"head.weight": np.ones((3, 1))})
    with pytest.raises(ValueError, match="not in the network: tail"):
        one.load_state_dict(before | {"tail": np.ones(1)})
    with pytest.raises(TypeError, match=r"head\.bias is of dtype complex128"):
        one.load_state_dict(before | {"head.bias": np.ones(3, complex)})
    for path, array in one.state_dict().items():
        np.testing.assert_array_equal(array, before[path])
    assert one.load_state_dict(state, strict=False) == (["head.bias"], [])


def test_state_is_the_same_in_both_layouts():
    one, other = net(), net("NHWC")
    one.build(X.shape, rng=3)
    other.build((2, 6, 6, 3), rng=3)
    for path, array in one.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[path], array)
    weight = other["features"][0].weight
    assert weight.shape == (4, 3, 3, 3)
    assert weight.transpose(2, 3, 1, 0).flags.c_contiguous  # as the layout's convolution reads it


def test_errors_name_the_layer():
    one = net()
    one(X)
    channels = r"x has 5 channels, which needs weight of shape \(4, 5, 3, 3\), but it has \(4, 3, 3, 3\)"
    with pytest.raises(ValueError, match=rf"^layer features\.0 \(Conv2D\) got \(2, 5, 6, 6\): {channels}"):
        one(np.ones((2, 5, 6, 6)))
    with pytest.raises(ValueError, match=r"^layer head \(Dense\) got \(2, 64\): x has 64 features"):
        one(np.ones((2, 3, 8, 8)))
    with pytest.raises(
        ValueError, match=r"layer features\.0 \(Conv2D\) got \(6, 6\): .* needs \(N, C, H, W\)"
    ):
        one(np.ones((6, 6)))
    with pytest.raises(ValueError, match=r"layer features\.3 \(MaxPool2D\) got \(1, 4, 1, 1\)"):
        one(np.ones((1, 3, 1, 1)))
    with pytest.raises(ValueError, match=r"layer head \(Dense\) got"):
        one.fit(np.ones((4, 3, 8, 8)), np.zeros(4, int))
    with pytest.raises(ValueError, match=r"layer head \(Dense\) got"):
        one.compile((1, 3, 8, 8))
    with pytest.raises(TypeError, match="x is of dtype complex128"):
        one(np.ones((1, 3, 6, 6), complex))
    with pytest.raises(ValueError, match="layout is 'NHWC' in a network of layout 'NCHW'"):
        nn.Sequential(net("NHWC"))(X)
    assert fastconv.nn.scope.SCOPE.modules == []


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: nn.Conv2D(0, 3), "Conv2D: filters is 0"),
        (lambda: nn.Conv2D(4, 3, groups=3), "groups is 3, but needs to divide the 4 filters"),
        (lambda: nn.Conv2D(4, 3, activation="swish"), "Conv2D: activation is 'swish'"),
        (lambda: nn.Conv2D(4, 3, padding="half"), "Conv2D: padding is 'half'"),
        (lambda: nn.Dropout(1.0), "Dropout: rate is 1.0"),
        (lambda: nn.Parallel(), "needs at least one part"),
        (lambda: nn.Parallel(nn.Identity(), mode="mean"), "mode is 'mean'"),
        (lambda: nn.Sequential(3), "part 0 is int, but needs a module or a function"),
        (lambda: nn.Conv2D(4, 3, init="hee")(np.ones((1, 1, 4, 4))), "init is 'hee'"),
        (lambda: nn.Conv2D(4, 3, layout="CHWN"), "Conv2D: layout is 'CHWN'"),
        (lambda: nn.Dense(3).astype("float16"), "astype: dtype is float16"),
        (lambda: nn.Module()(X), "Module needs a method forward"),
    ],
)
def test_errors_name_the_argument(make, match):
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=match):
        make()


class ByCall(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = [nn.Dense(4), {"more": nn.Dense(4)}]

    def __call__(self, x):
        return self.parts[0](x) + self.parts[1]["more"](x) * 0.5


class ByForward(ByCall):
    def __call__(self, x):
        return super().__call__(x) * 2.0


class Wider(nn.Sequential):
    def forward(self, x):
        return super().forward(x) * 2.0


def test_modules_of_ones_own():
    x = np.random.default_rng(0).standard_normal((2, 3))
    one, two = ByCall(), ByForward()
    y = one(x)
    assert [path for path, _ in one.named_parameters()][::2] == ["parts.0.weight", "parts.1.more.weight"]
    two(x)
    two.load_state_dict(one.state_dict())
    np.testing.assert_allclose(two(x), 2 * y)
    np.testing.assert_allclose(two.forward(x), 2 * y)
    slope = two.backward(np.ones((2, 4)))
    one.forward(x)
    np.testing.assert_allclose(slope, 2 * one.backward(np.ones((2, 4))), rtol=1e-6)
    wide = Wider(nn.Dense(4))
    np.testing.assert_allclose(wide(x), 2 * wide[0](x))
    np.testing.assert_allclose(nn.Sequential(wide)(x), wide(x))
    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\)"):
        type("Bad", (nn.Module,), {"__init__": lambda self: setattr(self, "a", 1)})()
    with pytest.raises(AttributeError, match="ByCall has no attribute 'part'"):
        _ = one.part


def test_what_depends_on_values_is_refused():
    def choose(x):
        return x if x.sum() > 0 else -x

    class Chooses(nn.Module):
        def forward(self, x):
            return choose(x)

    class Numpy(nn.Module):
        def forward(self, x):
            return np.concatenate([x, x])

    assert Chooses()(X).shape == X.shape
    with pytest.raises(TypeError):
        Chooses().compile(X.shape)
    with pytest.raises(TypeError, match=r"use arithmetic and fastconv\.nn\.functional"):
        Numpy().forward(X)


def test_shared_layers_have_one_path_and_one_gradient():
    shared = nn.Dense(3)
    one = nn.Sequential(shared, shared).astype("float64")
    x = np.random.default_rng(0).standard_normal((2, 3))
    one.build(x.shape, rng=0)
    assert list(one.state_dict()) == ["0.weight", "0.bias"]
    one.forward(x)
    one.backward(np.ones((2, 3)))
    w, ones = shared.weight, np.ones((2, 3))
    expected = ones.T @ (x @ w.T + shared.bias) + (ones @ w).T @ x
    np.testing.assert_allclose(one.gradients["0.weight"], expected, rtol=1e-12)


def test_repr_and_summary():
    one = net()
    assert repr(one).splitlines()[2] == "    (0): Conv2D(4, 3, padding=1)"
    table = one.summary(X.shape)
    assert one.parameters() == []  # a look makes nothing
    assert [row.path for row in table.rows] == [*(f"features.{i}" for i in range(4)), "flat", "head"]
    assert table.parameters == 4 * 27 + 8 + 36 * 3 + 3
    assert table.rows[0].flops == 2 * 27 * 4 * 36 * 2
    assert [row.receptive_field for row in table.rows[:4]] == [(3, 3)] * 3 + [(4, 4)]
    assert table.rows[3].output == (2, 4, 3, 3)
    assert table.rows[0].memory == 2 * 4 * 36 * 4
    nhwc = net("NHWC").summary((2, 6, 6, 3))
    assert nhwc.rows[3].output == (2, 3, 3, 4)
    assert (nhwc.parameters, nhwc.flops, nhwc.memory) == (table.parameters, table.flops, table.memory)
    assert "227 parameters" in str(table)


def test_memory_counts_what_a_training_keeps():
    """An activation within a layer is no second array, unless its slope is computed from what went in."""
    for layout in ("NCHW", "NHWC"):
        for activation, arrays in ((None, 1), ("relu", 1), ("tanh", 1), ("gelu", 2)):
            one = nn.Sequential(
                nn.Conv2D(4, 3, padding=1, padding_mode="reflect", activation=activation), nn.Flatten(),
                nn.Dense(7, activation=activation), layout=layout,
            )  # fmt: skip
            rows = one.summary((2, 3, 6, 6) if layout == "NCHW" else (2, 6, 6, 3)).rows
            assert [row.memory for row in rows] == [arrays * 2 * 4 * 36 * 4, 0, arrays * 2 * 7 * 4]


def test_receptive_fields_are_those_of_geometry():
    layers = [nn.Conv2D(2, 5, 2, 1), nn.MaxPool2D(3, 2), nn.Conv2D(2, 3, dilation=2), nn.Conv2D(2, 1)]
    table = nn.Sequential(*layers).summary((1, 1, 64, 64))
    expected = fastconv.geometry.receptive_field([(5, 2), (3, 2), (3, 1, 0, 2), 1])
    assert [row.receptive_field[0] for row in table.rows] == [field.size for field in expected]


def test_compiled_programs():
    one = net()
    one.build(X.shape, rng=0)
    program = one.compile(X.shape)
    y = one(X)
    np.testing.assert_allclose(program(X), y, rtol=1e-4, atol=1e-5)
    assert "Conv 3x3 + relu" in [step.operation for step in program.steps()]
    one["head"].weight[...] = 0  # a program is of the network as it was
    np.testing.assert_allclose(program(X), y, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(program))(X), program(X))
    transposes = [n for n in net("NHWC").compile((1, 6, 6, 3)).graph.nodes if n.operation == "Transpose"]
    assert len(transposes) <= 1


def test_onnx_files(tmp_path):
    one = net()
    one.build(X.shape, rng=0)
    path = tmp_path / "net.onnx"
    fastconv.onnx.save(one, path, input_shape=(None, 3, 6, 6))
    model = fastconv.onnx.load(path)
    np.testing.assert_allclose(model(X), one(X), rtol=1e-4, atol=1e-5)
    assert model(X[:1]).shape == (1, 3)
    with pytest.raises(TypeError, match="save: model is Sequential, which needs input_shape"):
        fastconv.onnx.save(one, path)
    with pytest.raises(TypeError, match="save: model is int, but needs"):
        fastconv.onnx.save(3, path)
    with pytest.raises(TypeError, match="input_shape is for networks"):
        fastconv.onnx.save(model, path, input_shape=(1, 3, 6, 6))
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": X})
    np.testing.assert_allclose(y, one(X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"padding_mode": "reflect"},
        {"padding_mode": "symmetric"},
        {"padding_mode": "constant", "padding_value": 2.0},
        {"activation": "silu"},
    ],
)
def test_layers_of_several_nodes_in_other_runtimes(tmp_path, options):
    """Whose nodes need names of their own."""
    runtime = pytest.importorskip("onnxruntime")
    one = nn.Sequential(nn.Conv2D(3, 3, padding=1, **options), nn.SeparableConv2D(2, 3, padding=1, **options))
    y, path = one(X), tmp_path / "net.onnx"
    fastconv.onnx.save(one, path, input_shape=X.shape)
    session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(
        session.run(None, {session.get_inputs()[0].name: X})[0], y, rtol=1e-4, atol=1e-5
    )


def test_files(tmp_path):
    one = net("NHWC").astype("float64")
    x = np.moveaxis(X, 1, -1)
    one.build(x.shape, rng=0)
    one["head"] = nn.Sequential(nn.Dense(5, activation="relu"), nn.Dense(2))  # as for another task
    y, path = one(x), tmp_path / "net.safetensors"
    one.save(path)
    other = nn.load(path)
    assert repr(other) == repr(one)
    assert (other.dtype, other.layout) == (one.dtype, one.layout)
    np.testing.assert_array_equal(other(x), y)
    third = nn.Sequential(*one)
    third.load_state_dict(one.state_dict(), strict=False)
    again = nn.load(path)
    again.load_weights(path)
    np.testing.assert_array_equal(again(x), y)


def test_files_are_those_of_safetensors(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(3, np.int64)}
    files.write(tmp_path / "a.safetensors", arrays, {"k": "v"})
    for name, array in numpy.load_file(tmp_path / "a.safetensors").items():
        np.testing.assert_array_equal(array, arrays[name])
    numpy.save_file(arrays, tmp_path / "b.safetensors")
    for name, array in files.read(tmp_path / "b.safetensors")[0].items():
        np.testing.assert_array_equal(array, arrays[name])


def damaged(path, change):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def structure(header, change):
    told = json.loads(header["__metadata__"]["structure"])
    change(told)
    header["__metadata__"]["structure"] = json.dumps(told)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda h: h["weight"].update(data_offsets=[0, 4]), "needs 24 bytes"),
        (lambda h: h["weight"].update(data_offsets=[8, 10**9]), "needs 24 bytes"),
        (lambda h: h["weight"].update(shape=[-3, -2]), "sizes of 'weight'"),
        (lambda h: h["weight"].update(shape=[10**30, 10**30]), "needs"),
        (lambda h: h["weight"].update(dtype="F8"), "not understood"),
        (lambda h: h.update(weight=3), "not understood"),
        (lambda h: h.update(__metadata__=[1]), "metadata"),
        (lambda h: h.pop("__metadata__"), "has no structure"),
        (lambda h: h["__metadata__"].update(structure="{"), "structure|Expecting"),
        (lambda h: structure(h, lambda s: s.update(net={"class": "Popen"})), "has a Popen, which is not of"),
        (lambda h: structure(h, lambda s: s["net"].update(args=[{"eval": "1"}])), "not understood"),
        (lambda h: structure(h, lambda s: s["net"].update(named={"units": 4})), "cannot be made so"),
        (lambda h: structure(h, lambda s: s["net"].update(args=[4])), r"weight has shape \(3, 2\)"),
        (
            lambda h: structure(h, lambda s: s["net"].update(replaced={"fit": {"class": "Flatten"}})),
            "has no part",
        ),
        (lambda h: structure(h, lambda s: s.update(dtype="object")), "dtype is 'object'"),
    ],
)
def test_damaged_files_say_so(tmp_path, change, match):
    path = tmp_path / "net.safetensors"
    one = nn.Dense(3)
    one(np.ones((1, 2)))
    one.save(path)
    damaged(path, change)
    with pytest.raises(ValueError, match=match):
        nn.load(path)


@pytest.mark.parametrize("stop", [0, 5, 8, 40, -1])
def test_truncated_files_say_so(tmp_path, stop):
    path = tmp_path / "net.safetensors"
    one = nn.Dense(3)
    one(np.ones((1, 2)))
    one.save(path)
    path.write_bytes(path.read_bytes()[:stop])
    with pytest.raises(files.FileError, match=r"net\.safetensors: "):
        nn.load(path)


def test_structures_of_ones_own_classes(tmp_path):
    path, x = tmp_path / "net.safetensors", np.ones((1, 3))
    one = ByCall()
    y = one(x)
    one.save(path)
    with pytest.raises(ValueError, match=r"has a ByCall, which is not of fastconv\.nn: give it with classes"):
        nn.load(path)
    np.testing.assert_array_equal(nn.load(path, classes=[ByCall])(x), y)
    with pytest.raises(TypeError, match="made with relu, which a file cannot hold"):
        nn.Sequential(nn.Dense(3), F.relu).save(path)
    nn.Sequential(nn.Dense(3), F.relu).save(path, structure=False)


def hostile(structure):
    def told(text):
        return {"format": "fastconv.nn", "structure": text if isinstance(text, str) else json.dumps(text)}

    return told(
        structure if isinstance(structure, str) else {"net": structure, "layout": None, "dtype": "float32"}
    )


def nested(depth):
    part = {"class": "Flatten"}
    for _ in range(depth):
        part = {"class": "Sequential", "args": [{"module": part}]}
    return part


@pytest.mark.parametrize(
    ("structure", "match"),
    [
        (nested(200), "more than 64 deep"),
        ('{"net": ' + "[" * 100_000 + "]" * 100_000 + "}", "not understood"),
        ({"class": "models.WaveNet", "named": {"layers": 10**9}}, "dilation is 2147483648"),
        ({"class": "blocks.Dense", "args": [10**12]}, "makes too many layers"),
        ({"class": "models.ConvNeXtBlock", "args": [10**12]}, "channels is 1000000000000, but needs"),
        ({"class": "Conv2D", "args": [2**31 - 1, 2**31 - 1]}, "missing: "),
        ({"class": "Conv2D", "args": [10**400, 3]}, "filters is an integer of 1329 bits"),
        (
            {"class": "subprocess.Popen", "args": ["ls"]},
            "has a subprocess.Popen, which is not of fastconv.nn",
        ),
        ({"class": "Sequential", "args": [{"dict": {"a": "os.system"}}]}, "cannot be made so"),
        ({"class": "Flatten", "replaced": {"forward": {"class": "Flatten"}}}, "has no part 'forward'"),
        ({"class": "Flatten", "replaced": {"__class__": {"class": "Flatten"}}}, "has no part '__class__'"),
        ({"class": "Dropout", "args": [float("nan")]}, "rate is nan"),
        ({"class": "models.UNet", "args": [2, {"tuple": []}]}, "UNet: widths is empty"),
        ('{"net": {"class": "Flatten", "args": "' + "x" * 5_000_000 + '"}}', "letters, more than 5,000,000"),
        ("[]", "not understood"),
        ('{"net": {"class": "Flatten"}, "dtype": ["float32"], "layout": {}}', "dtype is|not understood"),
    ],
)
def test_hostile_structures_end_in_an_error(tmp_path, structure, match):
    path = tmp_path / "net.safetensors"
    files.write(path, {}, hostile(structure))
    with pytest.raises(ValueError, match=match):
        nn.load(path)


def test_changed_structures_load_or_say_why(tmp_path):
    """Whatever is put in the place of some number, word or list: an error of the right kind, and soon."""
    rng = np.random.default_rng(0)
    path = tmp_path / "net.safetensors"
    one = nn.Sequential(nn.blocks.Residual(2), nn.models.UNet(1, (2, 3)), nn.blocks.ASPP(2, (1, 2)))
    one.build((1, 2, 4, 4), rng=0).save(path)
    arrays, told = files.read(path)
    whole = json.loads(told["structure"])
    odd = [
        None,
        -1,
        0,
        2**70,
        1e308,
        "",
        "relu",
        [],
        {},
        {"tuple": [1, "a"]},
        {"module": {"class": "Dense"}},
        True,
    ]

    def places(part):
        for key in part if isinstance(part, dict) else range(len(part)):
            yield part, key
            if isinstance(part[key], (dict, list)):
                yield from places(part[key])

    loaded = 0
    for _ in range(150):
        changed = json.loads(json.dumps(whole))
        spots = list(places(changed))
        part, key = spots[rng.integers(len(spots))]
        part[key] = odd[rng.integers(len(odd))]
        files.write(path, arrays, {"structure": json.dumps(changed)})
        try:
            nn.load(path)
            loaded += 1
        except ValueError:
            pass
    assert loaded < 75


def test_threads_have_scopes_of_their_own():
    from threading import Thread

    seen = []
    with nn.training():
        thread = Thread(target=lambda: seen.append(nn.scope.SCOPE.training))
        thread.start()
        thread.join()
    assert seen == [False]
