"""``fastconv bench --model``: a network beside other libraries, each in a process of its own."""

import importlib.util
import json
import math

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("threadpoolctl")

import fastconv
from fastconv.bench.commands.model import _difference
from fastconv.bench.runners import models
from fastconv.cli import main
from onnx_models import classifier

LIBRARY = """
import fastconv.onnx
from fastconv.bench.runners.models.network import NetworkRunner

class Library(NetworkRunner):
    name = "library"

    def load(self, file, arrays, settings):
        print("what libraries print")
        if {fails}:
            raise ValueError("no such operator")
        model = fastconv.onnx.load(file.path)
        return lambda: [model(dict(arrays)) * {factor}]

RUNNERS = (Library(),)
"""
QUICK = ["--rounds", "2", "--threads", "1"]


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "small.onnx"
    made.write_bytes(classifier())
    return str(made)


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of our own in place of the others."""

    def make(factor=1.0, fails=False):
        (tmp_path / "a_library.py").write_text(LIBRARY.format(factor=factor, fails=fails))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(models, "LIBRARIES", {"numpy": "a_library"})  # a package that is installed

    return make


def bench(path, tmp_path, *more):
    out = tmp_path / "out.json"
    status = main(["bench", "--model", path, *QUICK, "--json", str(out), *more])
    return status, json.loads(out.read_text())


def test_a_network_beside_a_library(path, tmp_path, library, capsys):
    library()
    status, out = bench(
        path, tmp_path, "--backends", "cython" if "cython" in fastconv.available_backends() else "numba"
    )
    assert status == 0
    assert out["inputs"] == {"x": [1, 3, 12, 12]}
    assert out["threads"] == 1
    own, peer = out["rows"]
    assert [own["peer"], peer["peer"]] == [False, True]
    for row in (own, peer):
        assert len(row["seconds"]) == 2
        assert row["median"] > 0
        assert row["load_seconds"] > 0
        assert row["peak_bytes"] >= 0
    assert out["reference"] == "numpy"
    assert peer["difference"] is None
    assert own["difference"] < 1e-5
    shown = capsys.readouterr().out
    assert "what libraries print" not in shown
    assert "ncnn is left out: it needs the file converted" in shown
    assert "pytorch is left out: it cannot read ONNX files" in shown


def test_outputs_that_differ_are_named(path, tmp_path, library, capsys):
    library(factor=1.5)
    status, out = bench(path, tmp_path)
    assert status == 1
    assert out["rows"][0]["difference"] == pytest.approx(1 / 3, rel=1e-3)
    assert "WRONG" in capsys.readouterr().out


def test_a_library_that_cannot_run_it_is_left_out(path, tmp_path, library, capsys):
    library(fails=True)
    status, out = bench(path, tmp_path)
    assert status == 0
    assert len(out["rows"]) == 1
    assert "no such operator" in out["left_out"]["numpy"]


def test_all_backends_without_peers(path, tmp_path):
    status, out = bench(path, tmp_path, "--backends", "all", "--peers", "none", "--shape", "2,3,12,12")
    assert status == 0
    assert [row["runner"] for row in out["rows"]] == list(fastconv.available_backends())
    assert out["inputs"] == {"x": [2, 3, 12, 12]}
    assert out["left_out"] == {}


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_real_libraries(name, path, tmp_path):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"needs {name}")
    if name == "openvino":  # which knows no functions of the file's own
        pytest.importorskip("onnx")
        import onnx
        from onnx.inliner import inline_local_functions

        onnx.save(inline_local_functions(onnx.load(path)), path)
    status, out = bench(path, tmp_path, "--peers", name)
    assert status == 0
    assert [row["runner"] for row in out["rows"]][1:] == [name], out["left_out"]
    assert out["rows"][0]["difference"] < 1e-5
    assert name in out["versions"]


def test_libraries_that_are_not_there(monkeypatch):
    monkeypatch.setattr(models, "LIBRARIES", {"no_such_library": "x"})
    runners, versions, missing = models.libraries(["no_such_library", "scipy"])
    assert runners == []
    assert versions == {}
    assert "pip install no_such_library" in missing["no_such_library"]
    assert missing["scipy"] == "runs no networks"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--network", "resnet50"], "network is not for it"),
        (["--layout", "NHWC"], "layout is not for it"),
        (["--html", "x.html"], "html is not for it"),
        (["--shape", "1,4,12,12"], "does not fit"),
        (["--json", "/"], "is a folder"),
    ],
)
def test_what_is_refused(more, words, path, capsys):
    assert main(["bench", "--model", path, *more]) == 2
    assert words in capsys.readouterr().err


def test_a_shape_without_a_model_is_refused(capsys):
    pytest.importorskip("rich")
    assert main(["bench", "--shape", "1,3,8,8"]) == 2
    assert "--model" in capsys.readouterr().err


def test_differences():
    a = np.float32([[1, -4]])
    assert _difference([a], [a]) == 0
    assert _difference([a], [a * 2]) == 0.5
    assert math.isinf(_difference([a], [a[0]]))
    assert math.isinf(_difference([a], [a, a]))
    assert math.isinf(_difference([a * np.nan], [a]))
    assert _difference([np.zeros((0, 4))], [np.zeros((0, 4))]) == 0
