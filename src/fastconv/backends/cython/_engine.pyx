# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The door to the C kernels: unpacks arrays, releases the GIL, calls one C function."""

from libc.stdint cimport int64_t, uint8_t
from libc.stddef cimport size_t
from libc.string cimport memset, strcpy
from cpython.pycapsule cimport PyCapsule_New
cimport numpy as cnp

import threading

import numpy as np

cnp.import_array()

cdef enum:
    LARGE = 65536  # bytes from which on results are recycled, as in execution/memory.py
    MOST_SHORTCUTS = 1024

cdef frozenset NUMPY_INTEGERS = frozenset([np.dtype(code).type for code in "bBhHiIlLqQ"])


cdef extern from "fastconv.h" nogil:
    enum:
        FC_OUT_OF_RANGE
        FC_NOT_TOGETHER
        FC_MOST_THREADS
        FC_INTERRUPTED
        FC_FORKED
        FC_P_F32
    ctypedef struct fc_conv:
        int64_t batch, channels, height, width
        int64_t filters, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups
        int64_t out_height, out_width
        int layout, dtype, transposed, strict, once
    ctypedef struct fc_epilogue:
        const void *bias
        const void *residual
        int activation
        double a, b
    ctypedef struct fc_windows:
        int kind
        int64_t size, count, step, kernel, stride, first, counted_from, counted_to
        double unit, divisor
        const double *samples
    ctypedef struct fc_pool:
        int64_t batch, channels, height, width
        fc_windows rows, columns
        int layout, type, reducer
        double power

    int fc_isa_count()
    const char *fc_isa_name(int isa)
    int fc_isa_runs_here(int isa)
    void fc_select_isa(int isa)
    const char *fc_compiler()
    const char *fc_flags()
    int fc_conv_kernel_count()
    const char *fc_conv_kernel_name(int kernel)
    int fc_conv_kernel_is_textbook(int kernel)
    int fc_conv_accepts(const fc_conv *p, int kernel)
    double fc_conv_cost(const fc_conv *p, int kernel)
    double fc_conv_error(const fc_conv *p, int kernel)
    int fc_conv_choose(const fc_conv *p)
    size_t fc_conv_weight_bytes(const fc_conv *p, int kernel)
    size_t fc_conv_workspace_bytes(const fc_conv *p, int kernel, int threads)
    int fc_conv_prepare(const fc_conv *p, int kernel, const void *weight, void *packed, int threads)
    int fc_conv_run(const fc_conv *p, int kernel, const void *x, const void *packed, const fc_epilogue *e, void *out,
                    int threads)
    int fc_conv_run_once(const fc_conv *p, int kernel, const void *x, const void *weight, void *packed,
                         const fc_epilogue *e, void *out, int threads)
    int fc_gradient_count()
    const char *fc_gradient_name(int kernel)
    int fc_gradient_accepts(const fc_conv *p, int kernel)
    double fc_gradient_cost(const fc_conv *p, int kernel)
    int fc_gradient_choose(const fc_conv *p)
    int fc_gradient_run(const fc_conv *p, int kernel, const void *x, const void *gradient, void *weights, void *bias,
                        int threads)
    int fc_pool_run(const fc_pool *p, const void *x, void *out, int64_t *indices, const double *uniforms, int threads)
    int fc_pad(const void *x, void *out, int64_t planes, int64_t height, int64_t width, int64_t inner,
               const int64_t *rows, int64_t row_count, const int64_t *columns, int64_t column_count,
               const void *value, int item, int threads)
    int fc_unfold(const fc_conv *p, const void *x, void *out, int item, int threads)
    int fc_scatter(const void *values, const int64_t *indices, void *out, int64_t batch, int64_t channels,
                   int64_t count, int64_t plane, int layout, int item, int threads)
    int fc_gather(const void *x, const int64_t *indices, void *out, int64_t batch, int64_t channels, int64_t count,
                  int64_t plane, int layout, int item, int threads)

    # One function for each line of operations.def.
    ctypedef struct fc_operations:
        int (*deform_conv)(const fc_conv *p, const void *x, const void *offset, const void *mask, int64_t offset_groups,
                           const void *weight, const void *bias, void *out, int threads) noexcept nogil
        int (*deform_conv_gradient)(const fc_conv *p, const void *x, const void *offset, const void *mask,
                                    int64_t offset_groups, const void *weight, const void *gradient, void *grad_x,
                                    void *grad_offset, void *grad_weight, void *grad_mask, int threads) noexcept nogil
        int (*channel_sums)(const void *x, void *out, int64_t batch, int64_t channels, int64_t pixels, int layout,
                            int threads) noexcept nogil
        int (*pool_gradient)(const fc_pool *p, const void *gradient, void *out, int threads) noexcept nogil
        int (*fold)(const fc_conv *p, const void *columns, void *out, int threads) noexcept nogil
        int (*scatter_add)(const void *values, const int64_t *indices, void *out, int64_t batch, int64_t channels,
                           int64_t rows, int64_t columns, int64_t height, int64_t width, int layout,
                           int threads) noexcept nogil
        int (*pad_gradient)(const void *gradient, void *out, int64_t planes, int64_t height, int64_t width,
                            int64_t inner, const int64_t *rows, int64_t row_count, const int64_t *columns,
                            int64_t column_count, int threads) noexcept nogil
        int (*local_response_norm)(const void *x, void *out, int64_t batch, int64_t channels, int64_t pixels,
                                   int64_t size, double alpha, double beta, double k, int layout,
                                   int threads) noexcept nogil
        int (*local_response_norm_gradient)(const void *x, const void *gradient, void *out, int64_t batch,
                                            int64_t channels, int64_t pixels, int64_t size, double alpha, double beta,
                                            double k, int layout, int threads) noexcept nogil
        int (*activation_gradient)(int activation, double a, double b, const void *gradient, const void *value,
                                   int from_output, void *out, int64_t count, int threads) noexcept nogil
    const fc_operations *fc_operations_of(int dtype)
    int fc_probe(int isa, int dtype, int probe, void *memory, int64_t stride, int64_t bytes, int64_t repeats,
                 int threads, double *work, double *seconds)
    void fc_use_pool()
    const char *fc_use_openmp(const char *path)
    int fc_uses_openmp()
    const char *fc_openmp_version()
    void fc_ask_in_long_calls(int (*ask)() noexcept nogil, unsigned long thread, int64_t every)
    void *fc_recycle_alloc(size_t bytes)
    void *fc_recycle_realloc(void *memory, size_t bytes)
    void fc_recycle_free(void *memory)
    void fc_recycle_limit(size_t bytes)
    size_t fc_recycle_bytes()
    void fc_recycle_clear()


cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyDataMemAllocator:
        void *ctx
        void *(*malloc)(void *ctx, size_t size) noexcept nogil
        void *(*calloc)(void *ctx, size_t count, size_t size) noexcept nogil
        void *(*realloc)(void *ctx, void *memory, size_t size) noexcept nogil
        void (*free)(void *ctx, void *memory, size_t size) noexcept nogil
    ctypedef struct PyDataMem_Handler:
        char name[127]
        uint8_t version
        PyDataMemAllocator allocator
    object PyDataMem_SetHandler(object handler)


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
        raise MemoryError("that of the kernels")
    return 0


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

    def choose(self):
        return fc_conv_choose(&self.p)

    def weight_bytes(self, int kernel):
        return fc_conv_weight_bytes(&self.p, kernel)

    def workspace_bytes(self, int kernel, int threads):
        return fc_conv_workspace_bytes(&self.p, kernel, threads)

    def prepare(self, int kernel, cnp.ndarray weight, cnp.ndarray packed, int threads):
        cdef int status
        cdef void *w = data(weight)
        cdef void *to = data(packed)
        with nogil:
            status = fc_conv_prepare(&self.p, kernel, w, to, threads)
        checked(status)

    def run(self, int kernel, cnp.ndarray x, cnp.ndarray packed, cnp.ndarray bias, cnp.ndarray residual,
            int activation, double a, double b, cnp.ndarray out, int threads):
        cdef int status
        cdef fc_epilogue e
        cdef void *source = data(x)
        cdef void *weights = data(packed)
        cdef void *to = data(out)
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


cdef void set_windows(fc_windows *w, numbers, cnp.ndarray samples):
    """`numbers` are those of fc_windows, in its order."""
    w.kind, w.size, w.count, w.step, w.kernel, w.stride, w.first = numbers[:7]
    w.counted_from, w.counted_to, w.unit, w.divisor = numbers[7:]
    w.samples = <double *> data(samples)


cdef void set_pool(fc_pool *p, sizes, rows, columns, int layout, int type, int reducer, double power):
    """`rows` and `columns` are what `set_windows` takes; the samples must outlive `p`."""
    p.batch, p.channels, p.height, p.width = sizes
    set_windows(&p.rows, rows[0], rows[1])
    set_windows(&p.columns, columns[0], columns[1])
    p.layout, p.type, p.reducer, p.power = layout, type, reducer, power


def pool(sizes, rows, columns, int layout, int type, int reducer, double power, cnp.ndarray x, cnp.ndarray out,
         cnp.ndarray indices, cnp.ndarray uniforms, int threads):
    cdef fc_pool p
    cdef int status
    set_pool(&p, sizes, rows, columns, layout, type, reducer, power)
    cdef void *source = data(x)
    cdef void *to = data(out)
    cdef int64_t *at = <int64_t *> data(indices)
    cdef double *u = <double *> data(uniforms)
    with nogil:
        status = fc_pool_run(&p, source, to, at, u, threads)
    checked(status)


def pool_gradient(sizes, rows, columns, int layout, int type, int reducer, double power, cnp.ndarray gradient,
                  cnp.ndarray out, int threads):
    cdef fc_pool p
    cdef int status
    set_pool(&p, sizes, rows, columns, layout, type, reducer, power)
    cdef void *source = data(gradient)
    cdef void *to = data(out)
    with nogil:
        status = fc_operations_of(p.type - FC_P_F32).pool_gradient(&p, source, to, threads)
    checked(status)


def pad(cnp.ndarray x, cnp.ndarray out, sizes, cnp.ndarray rows, cnp.ndarray columns, cnp.ndarray value, int threads):
    """`sizes` is (planes, height, width, elements of a pixel); `value` holds one element."""
    cdef int64_t planes, height, width, inner
    planes, height, width, inner = sizes
    cdef int status, item = cnp.PyArray_ITEMSIZE(x)
    cdef void *source = data(x)
    cdef void *to = data(out)
    cdef void *fill = data(value)
    cdef int64_t *r = <int64_t *> data(rows)
    cdef int64_t *c = <int64_t *> data(columns)
    cdef int64_t row_count = rows.shape[0], column_count = columns.shape[0]
    with nogil:
        status = fc_pad(source, to, planes, height, width, inner, r, row_count, c, column_count, fill, item, threads)
    checked(status)


def pad_gradient(cnp.ndarray gradient, cnp.ndarray out, sizes, cnp.ndarray rows, cnp.ndarray columns, int dtype,
                 int threads):
    """`sizes` is (planes, height, width, elements of a pixel) of `out`."""
    cdef int64_t planes, height, width, inner
    planes, height, width, inner = sizes
    cdef int status
    cdef void *source = data(gradient)
    cdef void *to = data(out)
    cdef int64_t *r = <int64_t *> data(rows)
    cdef int64_t *c = <int64_t *> data(columns)
    cdef int64_t row_count = rows.shape[0], column_count = columns.shape[0]
    with nogil:
        status = fc_operations_of(dtype).pad_gradient(
            source, to, planes, height, width, inner, r, row_count, c, column_count, threads)
    checked(status)


def scatter(cnp.ndarray values, cnp.ndarray indices, cnp.ndarray out, sizes, int layout, int threads):
    """`sizes` is (batch, channels, values of a plane, pixels of a plane)."""
    cdef int64_t batch, channels, count, plane
    batch, channels, count, plane = sizes
    cdef int status, item = cnp.PyArray_ITEMSIZE(values)
    cdef void *source = data(values)
    cdef int64_t *at = <int64_t *> data(indices)
    cdef void *to = data(out)
    with nogil:
        status = fc_scatter(source, at, to, batch, channels, count, plane, layout, item, threads)
    checked(status)


def scatter_add(cnp.ndarray values, cnp.ndarray indices, cnp.ndarray out, sizes, int layout, int dtype, int threads):
    """`sizes` is (batch, channels, rows and columns of a plane's values, its height and width)."""
    cdef int64_t batch, channels, rows, columns, height, width
    batch, channels, rows, columns, height, width = sizes
    cdef int status
    cdef void *source = data(values)
    cdef int64_t *at = <int64_t *> data(indices)
    cdef void *to = data(out)
    with nogil:
        status = fc_operations_of(dtype).scatter_add(
            source, at, to, batch, channels, rows, columns, height, width, layout, threads)
    checked(status)


def gather(cnp.ndarray x, cnp.ndarray indices, cnp.ndarray out, sizes, int layout, int threads):
    """`sizes` as for `scatter`."""
    cdef int64_t batch, channels, count, plane
    batch, channels, count, plane = sizes
    cdef int status, item = cnp.PyArray_ITEMSIZE(x)
    cdef void *source = data(x)
    cdef int64_t *at = <int64_t *> data(indices)
    cdef void *to = data(out)
    with nogil:
        status = fc_gather(source, at, to, batch, channels, count, plane, layout, item, threads)
    checked(status)


def channel_sums(cnp.ndarray x, cnp.ndarray out, sizes, int layout, int dtype, int threads):
    """`sizes` is (batch, channels, pixels of a plane)."""
    cdef int64_t batch, channels, pixels
    batch, channels, pixels = sizes
    cdef int status
    cdef void *source = data(x)
    cdef void *to = data(out)
    with nogil:
        status = fc_operations_of(dtype).channel_sums(source, to, batch, channels, pixels, layout, threads)
    checked(status)


def activation_gradient(int activation, double a, double b, cnp.ndarray gradient, cnp.ndarray value,
                        bint from_output, cnp.ndarray out, int dtype, int threads):
    cdef int status
    cdef int64_t count = cnp.PyArray_SIZE(out)
    cdef void *source = data(gradient)
    cdef void *at = data(value)
    cdef void *to = data(out)
    with nogil:
        status = fc_operations_of(dtype).activation_gradient(
            activation, a, b, source, at, from_output, to, count, threads)
    checked(status)


def local_response_norm(cnp.ndarray x, cnp.ndarray out, sizes, int64_t size, double alpha, double beta, double k,
                        int layout, int dtype, int threads):
    """`sizes` is (batch, channels, pixels of a plane)."""
    cdef int64_t batch, channels, pixels
    batch, channels, pixels = sizes
    cdef int status
    cdef void *source = data(x)
    cdef void *to = data(out)
    with nogil:
        status = fc_operations_of(dtype).local_response_norm(
            source, to, batch, channels, pixels, size, alpha, beta, k, layout, threads)
    checked(status)


def local_response_norm_gradient(cnp.ndarray x, cnp.ndarray gradient, cnp.ndarray out, sizes, int64_t size,
                                 double alpha, double beta, double k, int layout, int dtype, int threads):
    """`sizes` is (batch, channels, pixels of a plane)."""
    cdef int64_t batch, channels, pixels
    batch, channels, pixels = sizes
    cdef int status
    cdef void *source = data(x)
    cdef void *g = data(gradient)
    cdef void *to = data(out)
    with nogil:
        status = fc_operations_of(dtype).local_response_norm_gradient(
            source, g, to, batch, channels, pixels, size, alpha, beta, k, layout, threads)
    checked(status)


def probe(int isa, int dtype, int kind, cnp.ndarray memory, int64_t stride, int64_t size, int64_t repeats, int threads):
    """(work, seconds) of `fc_probe`, which has the kinds."""
    cdef int status
    cdef double work = 0, seconds = 0
    cdef void *start = data(memory)
    with nogil:
        status = fc_probe(isa, dtype, kind, start, stride, size, repeats, threads, &work, &seconds)
    checked(status)
    return work, seconds


include "_memory.pxi"
include "_shortcut.pxi"
