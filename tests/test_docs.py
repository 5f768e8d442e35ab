"""The documentation's Python blocks run as they stand, its kernel compiles, its reference has every public name,
and the C files that it names exist."""

import importlib
import re
import shutil
import subprocess
import types
from pathlib import Path

import pytest

import fastconv
from conftest import skip_unless_available
from test_readme import run_blocks

DOCS = Path(__file__).parent.parent / "docs"
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = {
    str(page.relative_to(DOCS)): page.read_text(encoding="utf-8")
    for page in sorted(DOCS.rglob("*.md"))
    if not page.relative_to(DOCS).parts[0].startswith("_")
}
WITH_CODE = [name for name, text in PAGES.items() if PYTHON.search(text)]
LISTED = re.compile(r"^\.\. currentmodule:: (\S+)\n|^   ([A-Za-z_]\w*)$", re.MULTILINE)


def listed_names() -> list[str]:
    """The names that the pages in docs/api list, with their modules."""
    names = []
    for page, text in PAGES.items():
        if page.startswith("api/"):
            module = ""
            for new_module, name in LISTED.findall(text):
                module = new_module or module
                if name:
                    names.append(f"{module}.{name}")
    return names


@pytest.mark.parametrize("page", WITH_CODE)
def test_python_blocks(page, threads_restored):
    if 'backend="cython"' in PAGES[page]:
        skip_unless_available("cython")
    run_blocks(PYTHON.findall(PAGES[page]))


def test_the_kernel_that_is_shown_compiles(tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("needs cc")
    line, *parts = re.findall(r"^```c\n(.*?)^```", PAGES["add_a_kernel.md"], re.MULTILINE | re.DOTALL)
    assert line == "FC_KERNEL(pixelwise, 1)\n"
    source = tmp_path / "pixelwise.c"
    source.write_text("".join(parts))
    options = ["-c", "-O1", "-Wall", "-Wextra", "-Werror", "-DFC_SUFFIX=baseline", "-DFC_DOUBLE=0"]
    command = ["cc", *options, "-I", DOCS.parent / "csrc", source, "-o", tmp_path / "pixelwise.o"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_c_files_are_named_by_their_path():
    """In the pages and in CONTRIBUTING.md; `pixelwise` is the kernel that the reader writes."""
    text = "".join([*PAGES.values(), (DOCS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")])
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`([\w/]+\.(?:c|h|def))`", text))
    assert len(named) > 20
    missing = [name for name in named if not (DOCS.parent / name).is_file()]
    assert missing == ["csrc/conv/pixelwise.c"]


def test_pages_have_code():
    assert {"index.md", "getting_started.md", "layouts.md", "algorithms/winograd.md"} <= set(WITH_CODE)


@pytest.mark.parametrize(
    "module",
    [
        "fastconv",
        "fastconv.geometry",
        "fastconv.grad",
        "fastconv.autograd",
        "fastconv.config",
        "fastconv.graph",
        "fastconv.graph.passes",
        "fastconv.limits",
        "fastconv.nn",
        "fastconv.nn.augment",
        "fastconv.nn.blocks",
        "fastconv.nn.functional",
        "fastconv.nn.losses",
        "fastconv.nn.models",
        "fastconv.onnx",
        "fastconv.tiles",
        "fastconv.dask",
        "fastconv.sklearn",
        "fastconv.tuning",
    ],
)
def test_reference_has_every_public_name(module):
    try:
        target = importlib.import_module(module)
    except ImportError as error:
        pytest.skip(str(error))
    listed = listed_names()
    missing = []
    for name in target.__all__:
        elsewhere = getattr(fastconv, name, None) is getattr(target, name) and f"fastconv.{name}" in listed
        is_module = isinstance(getattr(target, name), types.ModuleType)  # it has a page of its own
        if not (elsewhere or is_module or f"{module}.{name}" in listed):
            missing.append(name)
    assert not missing


def test_reference_lists_what_there_is_once():
    listed = listed_names()
    assert len(listed) > 100
    assert len(set(listed)) == len(listed)
    for name in listed:
        module, _, attribute = name.rpartition(".")
        if module not in ("fastconv.autograd", "fastconv.dask", "fastconv.sklearn"):
            assert hasattr(importlib.import_module(module), attribute), name


def test_every_picture_is_drawn_and_shown():
    drawn = {page.stem for page in (DOCS / "pictures").glob("*.py")}
    shown = re.findall(r"^```\{picture\} (\w+)$", "\n".join(PAGES.values()), re.MULTILINE)
    assert sorted(shown) == sorted(drawn)
