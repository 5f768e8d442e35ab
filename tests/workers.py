"""The suite in several processes (pytest-xdist): how many there are, and that none compiles what another one does."""

import fcntl
import os

import fastconv

MOST = 8  # each imports and collects everything


def distribute(config):
    """Over the cores, unless pytest-xdist is missing, told otherwise, or in the way of a debugger or a few tests."""
    option = config.option
    if "PYTEST_XDIST_WORKER" in os.environ:  # this is one of them
        return
    if getattr(option, "numprocesses", 0) is not None or option.usepdb or option.trace:
        return
    if option.capture == "no" or option.collectonly or not all(os.path.isdir(arg) for arg in config.args):
        return
    workers = min(fastconv.get_num_threads(), MOST)
    if workers > 1:
        option.numprocesses = workers
        if option.dist == "no":
            # Neighbours share what modules cache: expected results, imports.
            option.dist = "worksteal"


def compile_once():
    """Let numba compile a kernel in one process only; the others wait for it and find it on disk."""
    try:
        from numba.core.compiler_lock import global_compiler_lock
        from numba.core.dispatcher import Dispatcher
    except ImportError:
        return
    compile_here = Dispatcher.compile
    locked = set()

    def compile_or_wait(self, signature):
        path = self.py_func.__code__.co_filename
        with global_compiler_lock:
            # What is not kept on disk is compiled into each kernel that calls it.
            if self.stats.cache_path is None or path in locked:
                return compile_here(self, signature)
            with open(path) as source:  # a file that all processes have
                fcntl.flock(source, fcntl.LOCK_EX)
                locked.add(path)
                try:
                    return compile_here(self, signature)
                finally:
                    locked.remove(path)

    Dispatcher.compile = compile_or_wait
