"""What `import fastconv` and ``fastconv --version`` import: modules are counted, as seconds depend on the machine."""

import importlib
import subprocess
import sys

import pytest

import fastconv

SHOW = "; import sys; print(*sys.modules)"
# What only some users need, and what is slow to import. (numpy.random is imported where numbers are drawn.)
DEFERRED = {
    "argparse",
    "fastconv.autograd",
    "fastconv.backends.cython",
    "fastconv.backends.numba",
    "fastconv.bench",
    "fastconv.config",
    "fastconv.demo",
    "fastconv.geometry",
    "fastconv.grad",
    "fastconv.graph",
    "fastconv.limits",
    "fastconv.nn",
    "fastconv.onnx",
    "fastconv.sklearn",
    "fastconv.tuning",
    "importlib.metadata",
    "json",
    "matplotlib",
    "numba",
    "numpy.random",
    "pathlib",
    "rich",
    "subprocess",
}
PUBLIC = ["config", "geometry", "grad", "graph", "limits", "nn", "onnx", "tuning", "typing"]


def imported(code: str) -> set[str]:
    """The modules that are there after `code`, and not after ``import numpy``."""
    plain, more = (
        set(
            subprocess.run(
                [sys.executable, "-c", line], capture_output=True, text=True, check=True
            ).stdout.split("\n")[-2].split()
        )
        for line in (f"import numpy{SHOW}", code + SHOW)
    )  # fmt: skip
    return more - plain


def test_importing_fastconv_imports_what_a_call_needs():
    modules = imported("import fastconv")
    assert not DEFERRED & modules
    assert len([name for name in modules if name.startswith("fastconv")]) < 60
    assert len([name for name in modules if not name.startswith("fastconv")]) < 20


def test_limits_are_read_without_the_probes():
    assert "fastconv.machine.probes" not in imported("import fastconv.limits")


def test_a_network_runs_without_what_only_its_profile_needs():
    modules = imported("import fastconv.onnx; import fastconv.graph.program")
    assert not {"json", "statistics", "random", "decimal", "hashlib", "secrets"} & modules
    later = {"fastconv.graph.program.profiled", "fastconv.limits", "fastconv.onnx.export"}
    assert not {"datetime", "html", "pathlib"} & modules
    assert not later & modules


@pytest.mark.parametrize("name", ["autograd", *PUBLIC])
def test_dir_shows_what_users_may_use(name):
    if name == "autograd":
        pytest.importorskip("autograd")
    module = importlib.import_module(f"fastconv.{name}")
    assert {n for n in dir(module) if not n.startswith("__")} == set(module.__all__)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_the_commands_are_listed_without_their_modules(arguments):
    modules = imported(
        "import contextlib\nfrom fastconv.cli import main\n"
        f"with contextlib.suppress(SystemExit): main({arguments})\nmain"
    )
    for name in ("fastconv.bench", "fastconv.demo", "fastconv.limits", "json", "rich"):
        assert name not in modules


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_deferred_is_an_attribute_all_the_same(name):
    code = f"import fastconv; print(fastconv.{name}.__name__); print('{name}' in dir(fastconv))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == [f"fastconv.{name}", "True"]


def test_a_function_of_a_deferred_module():
    assert fastconv.show_config is fastconv.config.show_config
    with pytest.raises(AttributeError, match="module 'fastconv' has no attribute 'conv3d'"):
        _ = fastconv.conv3d
