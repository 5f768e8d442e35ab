"""``fastconv run`` and ``fastconv inspect`` as their users meet them."""

import json
import os
import re

import numpy as np
import pytest

pytest.importorskip("onnx")

import fastconv
from checks import run_module
from fastconv.cli import main
from fastconv.commands.network_drawing import drawing
from fastconv.graph import Graph, Node, Value
from fastconv.graph.program.steps import python_steps
from onnx_models import FLOAT, classifier, model, node


@pytest.fixture
def path(tmp_path):
    """The small classifier."""
    made = tmp_path / "small.onnx"
    made.write_bytes(classifier())
    return made


def saved(folder, data, name="made.onnx"):
    (folder / name).write_bytes(data)
    return folder / name


def picture(folder, shape=(20, 30, 3), name="picture.png"):
    Image = pytest.importorskip("PIL.Image")
    pytest.importorskip("rich")
    pixels = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def refused(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"fastconv {arguments[0]}: ")
    assert said.err.count("\n") == 1
    return said.err


def told(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


# fastconv run


def test_without_pictures_a_model_is_timed_on_random_numbers(path, capsys, backend):
    out = told(capsys, "run", path, "--backend", backend)
    assert f"on {backend}, " in out
    assert "random input: x 1x3x12x12" in out
    assert "a call: median of" in out
    assert re.search(r"^y +float32 +1x36 ", out, re.MULTILINE)


def test_the_timing_as_json(path, capsys):
    out = json.loads(told(capsys, "run", path, "--json", "--shape", "2,3,12,12", "--threads", "1"))
    assert out["inputs"] == {"x": [2, 3, 12, 12]}
    assert out["threads"] == 1
    assert 0 < out["fastest_seconds"] <= out["seconds"] <= out["slowest_seconds"]
    [y] = out["outputs"]
    assert y["shape"] == [2, 36]
    assert y["mean"] == pytest.approx(1 / 36)


def test_the_best_classes_of_pictures(path, tmp_path, capsys):
    files = [picture(tmp_path), picture(tmp_path, (12, 12), "grey.png")]
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"label {i}" for i in range(36)))
    out = json.loads(
        told(capsys, "run", path, *files, "--top", "3", "--labels", labels, "--json", "--stretch")
    )
    assert [one["file"] for one in out["pictures"]] == [str(file) for file in files]
    from PIL import Image

    pixels = np.asarray(Image.open(files[1]).convert("RGB"))  # of the input's size: nothing is resized
    x = ((pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)[None]
    scores = fastconv.onnx.load(path)(x.astype(np.float32))[0]
    best = out["pictures"][1]["classes"]
    assert [one["class"] for one in best] == np.argsort(-scores)[:3].tolist()
    assert best[0]["probability"] == pytest.approx(scores.max(), rel=1e-5)
    assert best[0]["label"] == f"label {scores.argmax()}"
    text = told(capsys, "run", path, *files, "--labels", labels)
    assert "cropped to the middle, 12 x 12" in text
    assert "mean 0.485, 0.456, 0.406" in text
    assert f"label {scores.argmax()}" in text


def test_logits_become_probabilities(tmp_path, capsys):
    data = model(
        [node("GlobalAveragePool", ["x"], ["a"]), node("Flatten", ["a"], ["y"])],
        {"x": (FLOAT, [1, 3, "h", "w"])},
        {"y": (FLOAT, [1, 3])},
    )
    file = picture(tmp_path)
    [one] = json.loads(
        told(capsys, "run", saved(tmp_path, data), file, "--json", "--mean", "0", "--std", "1")
    )["pictures"]
    from PIL import Image

    means = (np.asarray(Image.open(file)) / 255).mean(axis=(0, 1))
    assert one["shape"] == [1, 3, 20, 30]  # open sizes are the picture's own
    assert sum(c["probability"] for c in one["classes"]) == pytest.approx(1)
    best = one["classes"][0]
    assert best["class"] == means.argmax()
    assert best["probability"] == pytest.approx(np.exp(means.max()) / np.exp(means).sum(), rel=1e-4)


def test_outputs_of_what_is_no_classifier_and_channels_last(tmp_path, capsys):
    data = model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, [1, 5, 7, 3])}, {"y": (FLOAT, [1, 5, 7, 3])})
    out = told(capsys, "run", saved(tmp_path, data), picture(tmp_path), "--mean", "0", "--std", "1")
    assert "RGB, cropped to the middle, 7 x 5" in out
    row = re.search(r"^ *y +float32 +1x5x7x3 +(\S+) +(\S+) +(\S+)$", out, re.MULTILINE)
    low, mean, high = map(float, row.groups())
    assert 0 <= low < mean < high <= 1


def test_pixels_of_uint8_models_stay_as_they_are(tmp_path, capsys):
    from onnx import TensorProto

    data = model(
        [node("Identity", ["x"], ["y"])],
        {"x": (TensorProto.UINT8, [1, 3, 20, 30])},
        {"y": (TensorProto.UINT8, [1, 3, 20, 30])},
    )
    file = picture(tmp_path)
    out = json.loads(told(capsys, "run", saved(tmp_path, data), file, "--json"))
    assert out["pictures"][0]["outputs"][0]["max"] > 250
    assert "0 to 255" in out["preprocessing"]


def test_pictures_are_cropped_or_stretched(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    from fastconv.commands.model_pictures import preprocessing
    from fastconv.onnx import Tensor

    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :8] = pixels[:, -8:] = 255  # margins
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    tensors = (Tensor("x", np.dtype(np.float32), ("N", 3, 10, 10)),)
    cropped, stretched = (
        preprocessing(tensors, None, crop, (0.0,), (1.0,)).array(tmp_path / "wide.png")
        for crop in (True, False)
    )
    assert cropped.shape == stretched.shape == (1, 3, 10, 10)
    assert cropped.max() == 0
    assert stretched[..., 0].min() == 1


def test_what_run_refuses(path, tmp_path, capsys):
    file = picture(tmp_path)
    assert "there is no file" in refused(capsys, "run", tmp_path / "none.onnx")
    assert "there is no file" in refused(capsys, "run", path, tmp_path / "none.png")
    assert "ModelProto" in refused(capsys, "run", saved(tmp_path, b"\x3a\x05"))
    assert "is no regular file" in refused(capsys, "run", tmp_path)
    assert "the inputs are x (Nx3x12x12)" in refused(capsys, "run", path, "--shape", "z=1,3,12,12")
    assert "does not fit" in refused(capsys, "run", path, "--shape", "1,4,12,12")
    assert "--mean has 2 numbers" in refused(capsys, "run", path, file, "--mean", "0,1")
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\n")
    assert "has 2 lines, but the model has 36 classes" in refused(
        capsys, "run", path, file, "--labels", labels
    )
    relu = [node("Relu", ["x"], ["y"])]
    wide = saved(tmp_path, model(relu, {"x": (FLOAT, [1, 5, 6, 6])}, {"y": (FLOAT, None)}))
    assert "1 or 3 channels" in refused(capsys, "run", wide, file)
    batch = saved(tmp_path, model(relu, {"x": (FLOAT, [2, 3, 6, 6])}, {"y": (FLOAT, None)}))
    assert "one picture at a time" in refused(capsys, "run", batch, file)
    open_ = saved(tmp_path, model(relu, {"x": (FLOAT, ["n", 3, "h", "w"])}, {"y": (FLOAT, None)}))
    assert "--shape x=1,3,224,224" in refused(capsys, "run", open_)
    two = model(
        [node("Add", ["a", "b"], ["y"])], {"a": (FLOAT, [1, 3]), "b": (FLOAT, [1, 3])}, {"y": (FLOAT, None)}
    )
    assert "one input" in refused(capsys, "run", saved(tmp_path, two), file)
    assert "--shape needs a name" in refused(capsys, "run", saved(tmp_path, two), "--shape", "1,3")


def test_a_model_that_fails_is_said_in_one_line(tmp_path, capsys):
    data = model(
        [node("Reshape", ["x", "shape"], ["y"], name="fold")],
        {"x": (FLOAT, ["n", 5])},
        {"y": (FLOAT, None)},
        {"shape": np.array([2, -1])},
    )
    words = refused(capsys, "run", saved(tmp_path, data))
    assert "cannot be run on this" in words


def test_run_says_what_to_install_for_pictures_alone(path, tmp_path):
    (tmp_path / "PIL.py").write_text("raise ModuleNotFoundError(\"No module named 'PIL'\", name='PIL')\n")
    (tmp_path / "rich.py").write_text("raise ModuleNotFoundError(\"No module named 'rich'\", name='rich')\n")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = run_module("run", path, "x.png", cwd=tmp_path, PYTHONPATH=paths)
    assert result.returncode == 2
    assert 'the package pillow is missing: install what run needs with pip install ".[demo]"' in result.stderr
    result = run_module("run", path, cwd=tmp_path, PYTHONPATH=paths)
    assert result.returncode == 0, result.stderr


# fastconv inspect


def test_a_model_is_shown(path, capsys, backend):
    out = told(capsys, "inspect", path, "--backend", backend, "--shape", "x=2,3,12,12")
    assert "input  x: float32 Nx3x12x12" in out
    assert re.search(r"^Conv +1 +112 +15\.6 k$", out, re.MULTILINE)
    assert "on " + backend in out
    # Which one is taken depends on the processor.
    algorithms = "|".join(fastconv.algorithms("cython"))
    assert (re.search(rf"^ +\d+ .* Conv 3x3.* ({algorithms}) ", out, re.MULTILINE) is not None) == (
        backend == "cython"
    )


def test_a_model_with_open_sizes_is_shown_without_costs(tmp_path, capsys):
    data = model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, ["n", 3, "h", "w"])}, {"y": (FLOAT, None)})
    file = saved(tmp_path, data)
    out = told(capsys, "inspect", file)
    assert "--shape" in out
    assert "Relu" in out
    assert "steps" not in json.loads(told(capsys, "inspect", file, "--json"))
    assert "--shape x=1,3,224,224" in refused(capsys, "inspect", file, "--profile")
    pytest.importorskip("jinja2")
    assert "--shape x=1,3,224,224" in refused(capsys, "inspect", file, "--html", tmp_path / "x.html")


def test_a_model_as_json(path, capsys):
    out = json.loads(told(capsys, "inspect", path, "--json", "--profile"))
    assert out["parameters"] == 4 * 27 + 4 + 1
    assert out["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["N", 3, 12, 12]}]
    assert out["flops"] >= 2 * 4 * 36 * 27
    assert out["input_shapes"] == {"x": [1, 3, 12, 12]}
    assert all(step["seconds"] > 0 for step in out["steps"])
    assert {"name": "Conv", "count": 1, "parameters": 112, "flops": 2 * 4 * 36 * 27} in out["operators"]


def test_constants_that_several_nodes_read_count_once(tmp_path, capsys):
    data = model(
        [node("Add", ["x", "c"], ["a"]), node("Mul", ["a", "c"], ["y"])],
        {"x": (FLOAT, [5])},
        {"y": (FLOAT, [5])},
        {"c": np.ones(5, np.float32)},
    )
    assert json.loads(told(capsys, "inspect", saved(tmp_path, data), "--json"))["parameters"] == 5


def test_the_page_needs_nothing_else(path, tmp_path, capsys):
    pytest.importorskip("jinja2")
    page = tmp_path / "page.html"
    for more in ([], ["--profile"]):
        out = told(capsys, "inspect", path, "--html", page, *more)
        assert str(page) in out
        text = page.read_text(encoding="utf-8")
        assert "Conv 3x3 stride 2" in text
        assert ("measured time" in text) == bool(more)
        assert not re.search(r"https?://|src=|@import|url\((?!#)", text)
        assert text.count("<g ") == text.count("</g>") > 5
        assert "&gt; rect" not in text  # the style is not escaped
    assert "is a folder" in refused(capsys, "inspect", path, "--html", tmp_path)
    assert "no folder" in refused(capsys, "inspect", path, "--html", tmp_path / "none" / "x.html")


def test_names_in_files_are_escaped_on_the_page(tmp_path, capsys):
    pytest.importorskip("jinja2")
    data = model([node("Relu", ["<b>"], ["\x1b[31m"])], {"<b>": (FLOAT, [2])}, {"\x1b[31m": (FLOAT, [2])})
    out = told(capsys, "inspect", saved(tmp_path, data), "--html", tmp_path / "page.html")
    assert "\x1b" not in out
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>" not in text
    assert "&lt;b&gt;" in text


def test_lines_of_the_drawing_lead_from_maker_to_reader():
    x, a, b, y = (Value(name, np.dtype(np.float32), (1, 2)) for name in "xaby")
    nodes = [Node("Relu", [x], [a]), Node("Neg", [a], [b]), Node("Add", [a, b], [y])]
    graph = Graph([x], [y], nodes)
    drawn = drawing(graph, python_steps(graph), [0.1, 0.3, 0.6])
    assert [box.kind for box in drawn.boxes] == ["input", "python", "python", "python", "output"]
    assert [box.per_cent for box in drawn.boxes[1:4]] == ["10.0 %", "30.0 %", "60.0 %"]
    assert [round(box.heat, 3) for box in drawn.boxes[1:4]] == [0.167, 0.5, 1.0]
    titles = [edge.title.partition(":")[0] for edge in drawn.edges]
    assert titles == ["x", "a", "a", "b", "y"]
    beside = [edge for edge in drawn.edges if "Q" in edge.path]
    assert len(beside) == 1  # from Relu past Neg to Add
    assert drawn.width > max(int(n) for n in re.findall(r"H(\d+)", beside[0].path))


def test_lanes_of_the_drawing_are_shared():
    values = [Value(f"v{i}", np.dtype(np.float32), (2,)) for i in range(60)]
    nodes = [Node("Add", [values[i - 3], values[i - 1]], [values[i]]) for i in range(3, 60)]
    graph = Graph(values[:3], values[-1:], nodes)
    few = drawing(graph, python_steps(graph), [1 / 57] * 57)
    nodes = [Node("Sum", values[:i], [values[i]]) for i in range(3, 60)]
    graph = Graph(values[:3], values[-1:], nodes)
    many = drawing(graph, python_steps(graph), [1 / 57] * 57)
    assert few.width < 700
    assert many.width < 900
