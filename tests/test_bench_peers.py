"""Every peer that is installed against fastconv, and what is said of those that are not."""

import subprocess
import sys
from pathlib import Path

import pytest

import peer_checks
from fastconv.bench.runners import peers


@pytest.mark.parametrize("name", peers.PEERS)
def test_agrees_with_fastconv(name):
    """Warnings are errors there too."""
    command = [sys.executable, "-W", "error", Path(peer_checks.__file__), name]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == peer_checks.MISSING:
        pytest.skip(f"{name}: {done.stdout.strip()}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", peers.PEERS)
def test_missing_peer_is_named(monkeypatch, name):
    """An import that fails, of whatever the peer's module imports first, is the reason; the others are not touched."""
    library = {"pytorch": "torch", "opencv": "cv2", "mnn": "MNN"}.get(name, name)
    monkeypatch.setitem(sys.modules, library, None)
    for path in [path for path in sys.modules if path.startswith("fastconv.bench.runners.peers.")]:
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
        ValueError,
        match="'tensorflow', but needs to be one of pytorch, onnxruntime, openvino, ncnn, mnn, jax",
    ):
        peers.available(["pytorch", "tensorflow"])


def test_only_the_named_are_imported():
    """In a process of its own: the registry imports no library, `available` only those it is asked for."""
    program = """
import sys
from fastconv.bench.runners import peers
libraries = {"torch", "onnx", "onnxruntime", "openvino", "ncnn", "MNN", "jax", "scipy", "cv2"}
assert not libraries & set(sys.modules), libraries & set(sys.modules)
assert peers.available([]) == ([], {}, {})
found = peers.available(["opencv"])
assert not (libraries - {"cv2"}) & set(sys.modules), libraries & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
