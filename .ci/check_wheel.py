"""Checks what is inside a built wheel: everything a user needs, no sources or tests, no library that may be missing
on a user's machine, and a small file.

Called by ``.ci/run`` as ``python .ci/check_wheel.py WHEEL``.
"""

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LARGEST = 4_400_000  # bytes
SOURCES = (".c", ".cc", ".cpp", ".h", ".hpp", ".def", ".inc", ".pyx", ".pxd", ".o", ".a", ".cmake")
FOREIGN = {"tests", "test", "csrc", "docs", ".ci", "__pycache__"}
NEEDED = (
    "fastconv/__init__.py",
    "fastconv/__main__.py",
    "fastconv/cli.py",
    "fastconv/py.typed",
    "fastconv/bench/",
    "fastconv/bench/report/templates/report.html.j2",
    "fastconv/bench/report/templates/report.css",
    "fastconv/bench/report/templates/sorting.js",
    "fastconv/backends/numpy/",
    "fastconv/backends/numba/",
    "fastconv/backends/cython/_engine",
    "fastconv/backends/cython/libfastconv_openmp.so",
)
# What every system has. The OpenMP layer takes the library that the process has, or the system's, when it is asked for:
# one that it named would be missing on some machines, and be a second one where a repaired wheel brings its own.
LIBRARIES = r"lib(c|m|dl|pthread)\.so\.\d|ld-linux.*"


def foreign_libraries(shared_object: bytes) -> list[str]:
    """The libraries that a shared object cannot be loaded without, beyond those that every system has."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(shared_object)
        file.flush()
        shown = subprocess.run(
            ["readelf", "-d", file.name], capture_output=True, text=True, check=True
        ).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", shown)
    return [name for name in needed if not re.fullmatch(LIBRARIES, name)]


def problems(wheel: Path) -> list[str]:
    """List what is wrong with the wheel, one sentence each."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        needed = {name: foreign_libraries(archive.read(name)) for name in names if name.endswith(".so")}
    found = []
    if wheel.stat().st_size >= LARGEST:
        found.append(f"it has {wheel.stat().st_size:,} bytes, {LARGEST:,} or more")
    for name in names:
        top, *rest = Path(name).parts
        if top != "fastconv" and not top.endswith(".dist-info"):
            found.append(f"{name} is outside the package")
        if name.endswith((*SOURCES, "CMakeLists.txt")) or FOREIGN.intersection([top, *rest]):
            found.append(f"{name} does not belong into a wheel")
    found += [
        f"{wanted} is missing" for wanted in NEEDED if not any(name.startswith(wanted) for name in names)
    ]
    if not needed:
        found.append("no compiled extension module is in it")
    found += [f"{name} needs {library}" for name, libraries in needed.items() for library in libraries]
    if not any(name.endswith("LICENSE") for name in names):
        found.append("the license is missing")
    return found


def main() -> int:
    """Print the wheel's size and its problems; 1 if there are any."""
    wheel = Path(sys.argv[1])
    found = problems(wheel)
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB")
    for problem in found:
        print(f"  {problem}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
