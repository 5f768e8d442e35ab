"""The tests of the kernels and threads without Python (`tests/csrc`): under sanitizers, and on another processor."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CROSS_COMPILER = "aarch64-linux-gnu-gcc"
EMULATORS = ("qemu-aarch64", "qemu-aarch64-static")
# Arrays need no more than their elements' alignment, which vector types promise more of. What goes through a null or a
# wild pointer the address sanitizer finds as well: asking twice takes a third more time to compile.
SANITIZERS = (
    "-O1 -g1 -DFC_CHECKED=1 -fsanitize=address,undefined "
    "-fno-sanitize=alignment,null,nonnull-attribute,object-size,pointer-overflow "
    "-fno-sanitize-recover=undefined"
)


def need(*tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def build(folder, target, *options):
    for command in (
        ["cmake", "-S", ROOT, "-B", folder, "-G", "Unix Makefiles", *options],
        ["cmake", "--build", folder, "--parallel", "2", "--target", target],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]


def run_test(folder, *options):
    build(folder, "all", *options)
    done = subprocess.run(["ctest", "-V"], cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "0 failures so far" in done.stdout


@pytest.mark.slow
def test_with_sanitizers(tmp_path):
    """Every instruction set of this machine; workspaces are no larger than asked for, and full of NaN."""
    need("cc", "cmake", "make")
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    command = ["cc", *SANITIZERS.split(), str(probe), "-o", str(tmp_path / "probe")]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs a compiler with AddressSanitizer and UndefinedBehaviorSanitizer")
    run_test(tmp_path / "build", "-DCMAKE_BUILD_TYPE=None", f"-DCMAKE_C_FLAGS={SANITIZERS}")


@pytest.mark.slow
def test_threads_with_thread_sanitizer(tmp_path):
    """Both layers, and none of the kernels."""
    need("cc", "cmake", "make")
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    program = tmp_path / "probe"
    command = ["cc", "-fsanitize=thread", str(probe), "-o", str(program)]
    if subprocess.run(command, capture_output=True).returncode or subprocess.run([program]).returncode:
        pytest.skip("needs a compiler and a system with ThreadSanitizer")
    options = "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_C_FLAGS=-O1 -g -fsanitize=thread"
    build(tmp_path / "build", "test_threads", *options)
    done = subprocess.run([tmp_path / "build/test_threads"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[:5000]
    assert "0 failures so far" in done.stdout


@pytest.mark.slow
def test_on_aarch64(tmp_path):
    """Cross-compiled, and run under an emulator."""
    need(CROSS_COMPILER, "cmake", "make")
    emulator = next(filter(shutil.which, EMULATORS), None)
    if emulator is None:
        pytest.skip(f"needs one of {', '.join(EMULATORS)}")
    run_test(
        tmp_path,
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_C_COMPILER={CROSS_COMPILER}",
        f"-DCMAKE_CROSSCOMPILING_EMULATOR={emulator};-L;/usr/aarch64-linux-gnu",
    )
