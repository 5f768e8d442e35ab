"""The cython backend on a lower instruction set than the processor's best, in this process and those it starts."""

import functools
import os
import sys
from contextlib import contextmanager

import fastconv

VARIABLE = "FASTCONV_ISA"


def lower_instruction_sets():
    """Those below the one that is in use, highest first; none where the backend is not available."""
    if "cython" not in fastconv.available_backends():
        return []
    from fastconv.backends import cython

    names = cython.instruction_sets()
    return names[: names.index(cython.INSTRUCTION_SET)][::-1]


@contextmanager
def instruction_set(name):
    """Plans and prepared weights must not be taken across its borders: their form is that of one instruction set."""
    from fastconv.backends import cython

    before, variable = cython.INSTRUCTION_SET, os.environ.get(VARIABLE)
    _select(name)
    try:
        yield
    finally:
        _select(before)
        if variable is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = variable


def _select(name):
    from fastconv.backends import cython

    os.environ[VARIABLE] = name
    cython.INSTRUCTION_SET = cython._select()
    for function in _remembering(len(sys.modules)):
        function.cache_clear()


@functools.lru_cache(maxsize=1)
def _remembering(_modules):
    """The package's functions that remember what was chosen for another instruction set; imports bring more."""
    modules = [module for key, module in sys.modules.items() if key.partition(".")[0] == "fastconv"]
    values = [value for module in modules for value in vars(module).values()]
    return {value for value in values if isinstance(value, functools._lru_cache_wrapper)}
