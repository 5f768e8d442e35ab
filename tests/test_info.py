"""``fastconv info`` and `show_config`: what is installed, how it was built, and what is missing."""

import subprocess
import sys

import numpy as np

import fastconv
from checks import run_module
from fastconv import backends
from fastconv.config import build_config


def test_info_needs_no_extra_and_says_everything(tmp_path):
    result = run_module("info", cwd=tmp_path, FASTCONV_NUM_THREADS="1")
    assert result.returncode == 0, result.stderr
    text = result.stdout
    assert text.startswith(f"fastconv {fastconv.__version__}\n")
    for word in ["python", "processor", "threads", "backend", np.__version__, "FASTCONV_NUM_THREADS"]:
        assert word in text
    for name in backends.names():
        assert f"\n  {name} " in text
    if "cython" in fastconv.available_backends():
        for word in ["compiler", "flags", "instruction set", "threading", "openmp"]:
            assert word in text
        (flags,) = (line for line in text.splitlines() if line.strip().startswith("flags"))
        for entry in flags.split(",")[1:]:
            isa, _, options = entry.partition(":")
            assert isa.strip()
            assert options.strip()


def test_info_imports_nothing_of_the_demo_extra(tmp_path):
    program = (
        "import sys, fastconv.cli; fastconv.cli.main(['info']); "
        "print(*{'rich', 'PIL', 'skimage', 'matplotlib'}.intersection(sys.modules), 'end', file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stderr.split() == ["end"]


def test_info_says_why_a_backend_is_missing(capsys, monkeypatch):
    load = backends.load

    def without_numba(name):
        if name == "numba":
            raise fastconv.BackendUnavailableError("numba is not installed: pip install numba")
        return load(name)

    monkeypatch.setattr(backends, "load", without_numba)
    fastconv.show_config()
    assert "missing: numba is not installed: pip install numba" in capsys.readouterr().out
    assert "pip install numba" in build_config()["backends"]["numba"]
