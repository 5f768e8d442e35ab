"""The kernels on another processor: cross-compiled, and run under an emulator, where the machine has both."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = {"compiler": "aarch64-linux-gnu-gcc", "cmake": "cmake", "make": "make"}
EMULATORS = ("qemu-aarch64", "qemu-aarch64-static")


def test_kernels_on_aarch64(tmp_path):
    missing = [tool for tool in TOOLS.values() if shutil.which(tool) is None]
    emulator = next(filter(shutil.which, EMULATORS), None)
    if missing or emulator is None:
        pytest.skip(f"needs {', '.join(TOOLS.values())} and one of {', '.join(EMULATORS)}")
    subprocess.run(
        [
            "cmake", "-S", ROOT, "-B", tmp_path, "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
            f"-DCMAKE_C_COMPILER={TOOLS['compiler']}",
            f"-DCMAKE_CROSSCOMPILING_EMULATOR={emulator};-L;/usr/aarch64-linux-gnu",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(["cmake", "--build", tmp_path, "--parallel", "2"], check=True, capture_output=True)
    done = subprocess.run(["ctest", "-V"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "0 failures so far" in done.stdout
