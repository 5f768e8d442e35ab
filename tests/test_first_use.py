"""What calls import at first use: forks wait for it, so that no child finds the lock of a module taken for ever."""

import ast
import os
from pathlib import Path

import pytest

import fastconv
from checks import run_python

pytestmark = pytest.mark.one_instruction_set
can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
PACKAGE = Path(fastconv.__file__).parent
PROGRAMS = {"bench", "cli.py", "commands", "demo"}  # which import before they start threads


def unguarded(tree: ast.AST, inside: bool = False, guarded: bool = False) -> list[int]:
    """The lines of imports within functions, but not ``with importing:``, nor at the top of a file."""
    found = []
    for node in ast.iter_child_nodes(tree):
        function = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        guard = guarded or (
            isinstance(node, ast.With)
            and "importing" in {ast.unparse(item.context_expr) for item in node.items}
        )
        imports = isinstance(node, (ast.Import, ast.ImportFrom)) or (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__")
        )
        if imports and function and not guard:
            found.append(node.lineno)
        found += unguarded(node, function, guard)
    return found


def test_an_unguarded_import_would_be_seen():
    tree = ast.parse(
        "import a\ndef f():\n    import b\n    with importing:\n        import c\n    importlib.import_module('d')\n"
    )
    assert unguarded(tree) == [3, 6]


def test_imports_within_functions_are_guarded():
    wrong = {
        str(path.relative_to(PACKAGE)): lines
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in {*PROGRAMS, "first_use.py"}  # this one makes the lock
        and (lines := unguarded(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert not wrong


EVERY_CALL = """
import os, sys, tempfile
os.environ["FASTCONV_TUNING"] = os.path.join(tempfile.mkdtemp(), "tuning.json")
import numpy as np
import fastconv
from fastconv.first_use import importing

with importing:  # which imports, the first time, what else takes locks in forks
    pass
wrong = []
class Watch:  # Python asks for every module that it has not imported yet
    def find_spec(self, name, path=None, target=None):
        compiler = sys.modules.get("numba.core.compiler_lock")
        if not importing._lock._is_owned() and not (compiler and compiler.global_compiler_lock.is_locked()):
            wrong.append(name)
sys.meta_path.insert(0, Watch())
fastconv.set_backend({backend!r})
x, w, offset = (np.ones(shape, np.float32) for shape in ((1, 4, 12, 12), (4, 4, 3, 3), (1, 18, 10, 10)))
y = fastconv.conv2d(x, w)
fastconv.conv2d(x, w, padding=2, padding_mode="reflect")
plan = fastconv.plan_conv2d(w, tune={backend!r} == "cython")
plan(x), plan.explain()
fastconv.conv_transpose2d(x, w), fastconv.unfold(x, 3), fastconv.local_response_norm(x, 3)
fastconv.max_pool2d(x, 2), fastconv.avg_pool2d(x, 2), fastconv.adaptive_avg_pool2d(x, 3), fastconv.lp_pool2d(x, 2, 2)
fastconv.stochastic_pool2d(x, 2), fastconv.fractional_max_pool2d(x, 2, output_ratio=0.5)
fastconv.deform_conv2d(x, offset, w)
fastconv.grad.conv2d(x, w, y), fastconv.grad.deform_conv2d(x, offset, w, y)
fastconv.get_threading(), fastconv.config.build_config(), fastconv.limits.cached_limits(), fastconv.clear_cache()
assert not wrong, wrong
"""


@pytest.mark.slow("numba")
def test_no_call_imports_beside_the_lock(backend):
    run_python(EVERY_CALL.format(backend=backend), timeout=600)


FORKS = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
import numpy as np
import fastconv
from children import expect_success

x, w = np.ones((1, 16, 64, 64), np.float32), np.ones((16, 16, 3, 3), np.float32)
def use():
    fastconv.conv2d(x, w, backend="numpy")  # whose large results come from the pool of another backend
    return fastconv.geometry
def fork():
    child = os.fork()
    if child == 0:
        use()
        os._exit(0)
    expect_success(child)
"""

ANOTHER_THREAD = """
began = threading.Event()
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            began.set()
            time.sleep(0.3)
sys.meta_path.insert(0, Slow())
thread = threading.Thread(target=use)
thread.start()
began.wait()
fork()
thread.join()
"""

SAME_THREAD = """
class Forking:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r} and os.getpid() == parent:
            child = os.fork()
            if child:
                expect_success(child)
parent = os.getpid()
sys.meta_path.insert(0, Forking())
use()
if os.getpid() != parent:
    os._exit(0)
fork()
"""

LOGS_WHILE_ANOTHER_FORKS = """
import logging, os, threading
from fastconv.first_use import importing
from children import expect_success

began, forks = threading.Event(), threading.Event()
def use():
    with importing:
        began.set()
        forks.wait()
        time.sleep(0.3)  # until the fork waits
        logging.getLogger("a module that is imported")
thread = threading.Thread(target=use)
thread.start()
began.wait()
forks.set()
child = os.fork()
if child == 0:
    logging.getLogger("another")
    os._exit(0)
expect_success(child)
thread.join()
"""

MODULES = ["fastconv.backends.cython", "fastconv.backends.numpy", "fastconv.geometry"]


@can_fork
@pytest.mark.parametrize("module", MODULES)
def test_a_fork_waits_for_the_imports_of_other_threads(module):
    # NumPy's BLAS, which is not ours, may hang where a process forks while its threads work.
    run_python(FORKS + ANOTHER_THREAD.format(module=module), timeout=240, OPENBLAS_NUM_THREADS="1")


@can_fork
@pytest.mark.parametrize("module", MODULES)
def test_a_fork_from_within_an_import(module):
    run_python(FORKS + SAME_THREAD.format(module=module), timeout=240)


@can_fork
@pytest.mark.parametrize("before", ["import fastconv, logging", "import logging, fastconv"])
def test_a_fork_that_has_the_lock_of_logging(before):
    """It is none that an import waits for."""
    run_python(
        f"{before}, time, warnings\nwarnings.simplefilter('ignore')\n" + LOGS_WHILE_ANOTHER_FORKS, timeout=60
    )


def test_no_lock_of_the_process_is_left_to_a_fork():
    """Each file with one has forks wait for it, or resets it in the child."""
    with_locks = {
        str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*.py")
        if "Lock()" in path.read_text(encoding="utf-8")
    }
    assert len(with_locks) > 3
    del with_locks["tiles/running.py"]  # of one run, which no child goes on with
    assert {
        name
        for name, text in with_locks.items()
        if "forks_wait_for" not in text and "register_at_fork" not in text
    } == set()


HELD = """
import os, signal, threading, time, warnings
from pathlib import Path
import numpy as np
from PIL import Image
from fastconv import pictures

warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
Image.fromarray(np.zeros((4, 5), np.uint8)).save({path!r})
held = threading.Event()

def hold():
    with pictures._LIMIT._lock:
        held.set()
        time.sleep(0.3)

threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(5)
    os._exit(pictures.open_picture(Path({path!r})).size != (5, 4))
assert os.waitpid(child, 0)[1] == 0
"""


@can_fork
def test_a_fork_while_another_thread_reads_a_picture(tmp_path):
    pytest.importorskip("PIL")
    run_python(HELD.format(path=str(tmp_path / "grey.png")))
