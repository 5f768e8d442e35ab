# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The door to the C kernels: unpacks arrays, releases the GIL, calls one C function."""

from libc.math cimport INFINITY, signbit
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stddef cimport size_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset, strcpy
from cpython.contextvars cimport get_value_no_default
from cpython.pycapsule cimport PyCapsule_New
cimport numpy as cnp

import threading

import numpy as np

cnp.import_array()

cdef enum:
    LARGE = 65536  # bytes from which on results are recycled, as in execution/memory.py
    MOST_SHORTCUTS = 1024
    MOST_PLANNED = 256  # of one plan
    SHORT_CYCLES = 6000  # of a call that is over before another thread could have made use of the interpreter

cdef frozenset NUMPY_INTEGERS = frozenset([np.dtype(code).type for code in "bBhHiIlLqQ"])


include "_declarations.pxi"


# ---- the build and its instruction sets ----

def compiler() -> str:
    return fc_compiler().decode()


def flags() -> str:
    return fc_flags().decode()


def instruction_sets() -> list[tuple[str, bool]]:
    """Every instruction set of this build, lowest first, and whether this processor has it."""
    return [(fc_isa_name(i).decode(), bool(fc_isa_runs_here(i))) for i in range(fc_isa_count())]


def select_instruction_set(int index) -> None:
    fc_select_isa(index)


def processors() -> list[tuple[str, str]]:
    """Every family of processors that the predicted costs know, and where its numbers come from."""
    return [(fc_processor_name(i).decode(), fc_processor_source(i).decode()) for i in range(fc_processor_count())]


def processor_of(vendor: str, int family, int model) -> int:
    """The number of the family that a processor belongs to, by what CPUID says of it."""
    return fc_processor_row(vendor.encode(), family, model)


def selected_processor() -> int:
    return fc_selected_processor()


def select_processor(int index) -> None:
    """For tests, which must forget what was chosen and prepared before."""
    if not 0 <= index < fc_processor_count():
        raise IndexError(f"select_processor: index is {index}, but needs 0 to {fc_processor_count() - 1}")
    fc_select_processor(index)


def most_threads() -> int:
    """As many threads at most do one call."""
    return FC_MOST_THREADS


def openmp_version() -> str:
    """That which this build found; empty without."""
    return fc_openmp_version().decode()


def uses_openmp() -> bool:
    return bool(fc_uses_openmp())


def use_pool() -> None:
    fc_use_pool()


def use_openmp(path: bytes) -> str | None:
    """Take threads from OpenMP, by the shared object at that path; why it cannot be had."""
    cdef const char *reason = fc_use_openmp(path)
    return None if reason == NULL else reason.decode(errors="replace")


def kernels() -> list[tuple[str, bool]]:
    """Names of the convolution kernels, and whether each computes the textbook sum."""
    return [
        (fc_conv_kernel_name(k).decode(), bool(fc_conv_kernel_is_textbook(k))) for k in range(fc_conv_kernel_count())
    ]


def gradients() -> list[str]:
    """Names of the kernels for the gradient of weights."""
    return [fc_gradient_name(k).decode() for k in range(fc_gradient_count())]


# ---- arrays ----

cdef extern from *:
    """
    /* Runs the handlers of signals that have come, as the interpreter does between two lines; their exception stays set. */
    static int handle_signals(void) {
        PyGILState_STATE state = PyGILState_Ensure();
        int raised = PyErr_CheckSignals();
        PyGILState_Release(state);
        return raised;
    }
    """
    int handle_signals() noexcept nogil


def handle_signals_every(double seconds) -> None:
    """In long calls of the main thread, which is the one that Python handles signals on."""
    fc_ask_in_long_calls(handle_signals, threading.main_thread().ident, <int64_t> (seconds * 1e9))


handle_signals_every(0.05)


cdef int checked(int status) except -1:
    if status == FC_INTERRUPTED:
        return -1  # with the exception of a signal's handler
    if status == FC_FORKED:
        raise RuntimeError("fastconv: the process was forked within this call, which cannot go on in the child")
    if status == FC_OUT_OF_RANGE:
        raise IndexError("fastconv: an index lies outside of its plane")
    if status == FC_NOT_TOGETHER:
        raise RuntimeError("fastconv: the system did not let all threads run at the same time")
    if status:
        raise MemoryError(_refused(fc_refused_workspace()))
    return 0


def _refused(size_t size) -> str:
    """What memory did not have; the operation that asked for it puts its name before."""
    if not size:
        return "Unable to allocate the scratch memory of its kernel"
    return f"Unable to allocate {size / 2**20:.1f} MiB of scratch memory for a thread"


cdef class Conv:
    """A convolution as the kernels see it."""

    cdef fc_conv p

    def __init__(self, sizes, int layout, int dtype, bint transposed, bint strict, bint once):
        p = &self.p
        (p.batch, p.channels, p.height, p.width, p.filters, p.kernel_h, p.kernel_w, p.stride_h, p.stride_w,
         p.pad_top, p.pad_left, p.dilation_h, p.dilation_w, p.groups, p.out_height, p.out_width) = sizes
        p.layout, p.dtype, p.transposed, p.strict, p.once = layout, dtype, transposed, strict, once

    def accepts(self, int kernel):
        return bool(fc_conv_accepts(&self.p, kernel))

    def cost(self, int kernel):
        return fc_conv_cost(&self.p, kernel)

    def error(self, int kernel):
        return fc_conv_error(&self.p, kernel)

    def is_even(self, cnp.ndarray x, double far, int threads):
        cdef int status
        cdef void *source = data(x)
        with nogil:
            status = fc_operations_of(self.p.dtype).is_even(&self.p, source, far, threads)
        if status == FC_NOT_MINE:
            return False
        checked(status)
        return True

    def flops(self, int kernel):
        return fc_conv_flops(&self.p, kernel)

    def sums_alike(self, int kernel):
        return bool(fc_conv_sums_alike(&self.p, kernel))

    def choose(self):
        return fc_conv_choose(&self.p)

    def weight_bytes(self, int kernel):
        return fc_conv_weight_bytes(&self.p, kernel)

    def weight_form(self, int kernel):
        return fc_conv_weight_form(&self.p, kernel)

    def workspace_bytes(self, int kernel, int threads):
        return fc_conv_workspace_bytes(&self.p, kernel, threads)

    def prepares(self, int kernel):
        return bool(fc_conv_prepares(&self.p, kernel))

    def prepare(self, int kernel, cnp.ndarray weight, cnp.ndarray packed, int threads, bint planar=False):
        """`planar` weights are those of NCHW, whatever the layout."""
        cdef int status
        cdef void *w = data(weight)
        cdef void *to = data(packed)
        cdef fc_conv p = self.p
        p.planar_weights = planar
        with nogil:
            status = fc_conv_prepare(&p, kernel, w, to, threads)
        checked(status)

    def run(self, int kernel, cnp.ndarray x, cnp.ndarray packed, cnp.ndarray bias, cnp.ndarray residual,
            int activation, double a, double b, cnp.ndarray out, int threads):
        cdef int status
        cdef fc_epilogue e
        cdef void *source = data(x)
        cdef void *weights = data(packed)
        cdef void *to = data(out)
        memset(&e, 0, sizeof(fc_epilogue))
        e.bias, e.residual = data(bias), data(residual)
        e.activation, e.a, e.b = activation, a, b
        with nogil:
            status = fc_conv_run(&self.p, kernel, source, weights, &e, to, threads)
        checked(status)

    def gradient_accepts(self, int kernel):
        return bool(fc_gradient_accepts(&self.p, kernel))

    def gradient_cost(self, int kernel):
        return fc_gradient_cost(&self.p, kernel)

    def choose_gradient(self):
        return fc_gradient_choose(&self.p)

    def gradient(self, int kernel, cnp.ndarray x, cnp.ndarray gradient, cnp.ndarray weights, cnp.ndarray bias, int threads):
        cdef int status
        cdef void *source = data(x)
        cdef void *g = data(gradient)
        cdef void *to = data(weights)
        cdef void *b = data(bias)
        with nogil:
            status = fc_gradient_run(&self.p, kernel, source, g, to, b, threads)
        checked(status)

    def deform(self, cnp.ndarray x, cnp.ndarray offset, cnp.ndarray mask, int64_t offset_groups, cnp.ndarray weight,
               cnp.ndarray bias, cnp.ndarray out, int threads):
        cdef int status
        cdef void *source = data(x)
        cdef void *shifts = data(offset)
        cdef void *factors = data(mask)
        cdef void *w = data(weight)
        cdef void *b = data(bias)
        cdef void *to = data(out)
        with nogil:
            status = fc_operations_of(self.p.dtype).deform_conv(&self.p, source, shifts, factors, offset_groups, w, b, to, threads)
        checked(status)

    def deform_gradient(self, cnp.ndarray x, cnp.ndarray offset, cnp.ndarray mask, int64_t offset_groups,
                        cnp.ndarray weight, cnp.ndarray gradient, cnp.ndarray grad_x, cnp.ndarray grad_offset,
                        cnp.ndarray grad_weight, cnp.ndarray grad_mask, int threads):
        cdef int status
        cdef void *source = data(x)
        cdef void *shifts = data(offset)
        cdef void *factors = data(mask)
        cdef void *w = data(weight)
        cdef void *g = data(gradient)
        cdef void *to_x = data(grad_x)
        cdef void *to_offset = data(grad_offset)
        cdef void *to_weight = data(grad_weight)
        cdef void *to_mask = data(grad_mask)
        with nogil:
            status = fc_operations_of(self.p.dtype).deform_conv_gradient(
                &self.p, source, shifts, factors, offset_groups, w, g, to_x, to_offset, to_weight, to_mask, threads)
        checked(status)

    def unfold(self, cnp.ndarray x, cnp.ndarray out, int threads):
        cdef int status, item = cnp.PyArray_ITEMSIZE(x)
        cdef void *source = data(x)
        cdef void *to = data(out)
        with nogil:
            status = fc_unfold(&self.p, source, to, item, threads)
        checked(status)

    def fold(self, cnp.ndarray columns, cnp.ndarray out, int threads):
        cdef int status
        cdef void *source = data(columns)
        cdef void *to = data(out)
        with nogil:
            status = fc_operations_of(self.p.dtype).fold(&self.p, source, to, threads)
        checked(status)


include "_operations.pxi"
include "_filters.pxi"
include "_memory.pxi"
include "_shortcut.pxi"
include "_network.pxi"
