"""Nothing reads or writes outside of its arrays, which lie against pages that may not be touched, or asks for far more
room than these have."""

import ctypes
import faulthandler
import mmap
import sys

import numpy as np
import pytest

import cases
import fastconv
from calls import CALLS
from checks import limit_memory, normal, run_python, solved, to_layout, weight_to_layout
from fastconv import grad
from test_pool import WINDOWS

NO_ACCESS, READ_WRITE, PRIVATE_ANONYMOUS = 0, 3, 0x22


def fenced(array, at_end):
    """A copy (never freed) that starts after, or ends before, a page whose use kills the process."""
    system, page = ctypes.CDLL(None), mmap.PAGESIZE
    system.mmap.restype, system.mprotect.argtypes = (
        ctypes.c_void_p,
        (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
    )
    size = -(-array.nbytes // page) * page
    base = system.mmap(
        None, ctypes.c_size_t(size + 2 * page), READ_WRITE, PRIVATE_ANONYMOUS, -1, ctypes.c_long(0)
    )
    for fence in (base, base + page + size):
        assert system.mprotect(fence, page, NO_ACCESS) == 0
    memory = (ctypes.c_char * array.nbytes).from_address(base + page + (size - array.nbytes if at_end else 0))
    view = np.frombuffer(memory, dtype=array.dtype).reshape(array.shape)
    view[...] = array
    return view


def call_everything(backend):
    """Prints what it is about to call, so that the last line of a crash says where it was."""
    faulthandler.enable()
    fastconv.set_backend(backend)
    tables = {"conv2d": cases.CONV, "depthwise_conv2d": cases.DEPTHWISE, "conv_transpose2d": cases.TRANSPOSE}
    for layout, dtype, at_end in np.ndindex(2, 2, 2):
        layout, dtype = ("NCHW", "NHWC")[layout], ("float32", "float64")[dtype]
        for operation, table in tables.items():
            for name, case in table.items():
                print(operation, name, layout, dtype, at_end, flush=True)
                problem = solved(operation, case)
                weights = [weight_to_layout(weight, layout) for weight in problem.weights]
                arrays = (
                    to_layout(problem.x, layout),
                    *weights,
                    problem.bias,
                    to_layout(problem.expected, layout),
                )
                *inputs, out = (fenced(array.astype(dtype), at_end) for array in arrays)
                getattr(fastconv, operation)(*inputs, layout=layout, out=out, **problem.options)
        for name, (shape, options) in WINDOWS.items():
            print("pooling", name, layout, dtype, at_end, flush=True)
            x = fenced(to_layout(normal(shape), layout).astype(dtype), at_end)
            fastconv.max_pool2d(x, **options, layout=layout)
            fastconv.avg_pool2d(x, **options, layout=layout)
        for name, call in CALLS.items():
            print(name, dtype, at_end, flush=True)
            call.function(*(fenced(array, at_end) for array in call.arrays(dtype)))
    print("finished")


@pytest.mark.slow("cython-avx2", "cython-baseline", "numba", "numpy")
@pytest.mark.skipif(sys.platform != "linux", reason="the constants of mmap are Linux's")
def test_fences(backend):
    code = f"import test_memory; test_memory.call_everything({backend!r})"
    assert run_python(code, timeout=300).endswith("finished")


def add_to_large_planes(backend, dtype):
    """Each place has room for as many channels as there are, which are few; its sums may be wider than the result."""
    fastconv.set_backend(backend)
    fastconv.set_num_threads(1)
    for size in (20, 2000):  # first what is compiled and loaded once
        slope, shape = np.ones((1, 2, 2, 2), dtype), (1, size, size, 2)
        at = np.arange(8).reshape(slope.shape)  # no two that windows at a distance would have picked
        result = grad.max_pool2d(slope, at, shape, layout="NHWC")
        assert result.sum() == 8
        limit_memory(400)
    print("finished")


@pytest.mark.slow("numba", "numpy")
@pytest.mark.one_instruction_set
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_few_channels_take_little_room(backend, dtype):
    code = f"import test_memory; test_memory.add_to_large_planes({backend!r}, {dtype!r})"
    assert run_python(code).endswith("finished")
