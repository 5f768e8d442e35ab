"""What CMakeLists.txt makes of old compilers, for which wrappers stand that refuse some flags; and OpenMP."""

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import skip_unless_available

ROOT = Path(__file__).parent.parent
LEVELS, AVX512 = "-march=x86-64-v*", "-mavx512*"
needs_tools = pytest.mark.skipif(
    not all(map(shutil.which, ("cc", "cmake", "make"))), reason="needs cc, cmake and make"
)
on_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="for the instruction sets of x86-64")


def configure(folder, *refused, defines="", options=()):
    """CMake with a compiler that knows none of the refused patterns; (exit status, what it printed)."""
    compiler = folder / "cc"
    cases = "".join(
        f"    {pattern}) echo \"error: unknown option '$option'\" >&2; exit 1 ;;\n" for pattern in refused
    )
    compiler.write_text(
        f'#!/bin/sh\nfor option in "$@"; do\n  case "$option" in\n{cases}  esac\ndone\nexec cc {defines} "$@"\n'
    )
    compiler.chmod(0o755)
    command = [
        "cmake",
        "-S",
        ROOT,
        "-B",
        folder / "build",
        "-G",
        "Unix Makefiles",
        f"-DCMAKE_C_COMPILER={compiler}",
        *options,
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def flags(output):
    """{instruction set: its flags}, of the line that `fastconv info` shows as well."""
    return dict(re.findall(r", (\w+): ([^,\n]+)", re.search(r"-- Flags: .*", output)[0]))


@needs_tools
@on_x86
def test_levels_by_name(tmp_path):
    status, output = configure(tmp_path)
    assert status == 0, output
    assert flags(output)["avx2"] == "-march=x86-64-v3"
    assert flags(output)["avx512"].startswith("-march=x86-64-v4")


@needs_tools
@on_x86
def test_compilers_older_than_the_names_of_levels(tmp_path):
    status, output = configure(tmp_path, LEVELS)
    assert status == 0, output
    assert flags(output).keys() == {"baseline", "avx2", "avx512"}
    assert {"-mavx2", "-mfma", "-mbmi2"} <= set(flags(output)["avx2"].split())
    assert {"-mavx2", "-mavx512f", "-mavx512vl"} <= set(flags(output)["avx512"].split())
    assert "Left out" not in output


@pytest.mark.slow
@needs_tools
@on_x86
def test_an_unknown_instruction_set_is_left_out(tmp_path):
    status, output = configure(tmp_path, LEVELS, AVX512)
    assert status == 0, output
    assert len(re.findall("Left out: the avx512 kernels.*", output)) == 1
    assert flags(output)["avx512"] == "left out"
    command = ["cmake", "--build", tmp_path / "build", "--target", "fastconv_common"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (chooser,) = (tmp_path / "build").rglob("dispatch.c.o")
    assert b"table_avx2_f32" in chooser.read_bytes()
    assert b"avx512_f32" not in chooser.read_bytes()


@needs_tools
def test_a_compiler_that_is_too_old_is_told_the_oldest(tmp_path):
    status, output = configure(
        tmp_path, defines="-U__GNUC__ -D__GNUC__=8 -U__clang_major__ -D__clang_major__=8"
    )
    assert status != 0
    words = " ".join(output.split())
    assert "fastconv needs GCC 9 or newer, or Clang 9 or newer, to build; " in words
    assert f"{tmp_path}/cc is " in words


def test_flags_have_no_empty_entries():
    skip_unless_available("cython")
    from fastconv.backends import cython

    shown = cython.build_info()["flags"]
    assert all(re.fullmatch(r"(\w+: )?\S.*", entry) for entry in shown.split(", ")), shown
    assert not re.search(r": *(,|$)", shown), shown


def loader_of_openmp(folder):
    """The object that would load the OpenMP layer, as bytes."""
    command = ["cmake", "--build", folder / "build", "--target", "fastconv_threads"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (loader,) = (folder / "build").rglob("load_openmp.c.o")
    return loader.read_bytes()


@pytest.mark.slow
@needs_tools
@pytest.mark.parametrize(
    ("refused", "options"),
    [((), ["-DFASTCONV_OPENMP=OFF"]), (("-fopenmp*", "-openmp*", "-xopenmp*", "-mp"), [])],
)
def test_without_openmp(tmp_path, refused, options):
    """Not wanted, or unknown to the compiler: the build says so, and goes on with the pool alone."""
    status, output = configure(tmp_path, *refused, options=options)
    assert status == 0, output
    (line,) = re.findall("-- Threads: .*", output)
    assert "Left out: OpenMP" in line
    loader = loader_of_openmp(tmp_path)
    assert b"it was built without OpenMP" in loader
    assert b"dlopen" not in loader
    targets = subprocess.run(
        ["cmake", "--build", tmp_path / "build", "--target", "help"], capture_output=True
    )
    assert b"fastconv_openmp" not in targets.stdout


@pytest.mark.slow
@needs_tools
def test_openmp_is_found(tmp_path):
    status, output = configure(tmp_path)
    assert status == 0, output
    if "Could NOT find OpenMP" in output:
        pytest.skip("needs a compiler with OpenMP")
    (line,) = re.findall("-- Threads: .*", output)
    assert re.search(r"the pool, or OpenMP [\d.]+ \(lib(gomp|omp)\.so\.\d\)", line), line
    assert b"dlopen" in loader_of_openmp(tmp_path)
