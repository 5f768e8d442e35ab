# Calls that were made before with the same options, shapes and dtypes, on plain arrays: all checks are done, what is left is
# to allocate, to prepare and to run. Part of `_engine.pyx`, called by `fastconv/execution/known_calls.py`.


cdef inline bint is_plain(array, int typenum):
    """Is it exactly an ndarray, contiguous, aligned, native, and of this type (or, if that is -1, float32 or float64)?"""
    if type(array) is not cnp.ndarray:
        return False
    cdef int own = cnp.PyArray_TYPE(array)
    if own != typenum if typenum >= 0 else own != cnp.NPY_FLOAT32 and own != cnp.NPY_FLOAT64:
        return False
    cdef int wanted = cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED | cnp.NPY_ARRAY_NOTSWAPPED
    return cnp.PyArray_CHKFLAGS(array, wanted & ~cnp.NPY_ARRAY_NOTSWAPPED) and cnp.PyArray_ISNOTSWAPPED(array)


cdef bint can_key(value):
    """Integers, strings, None and tuples of these: equal ones mean the same, which True and 1.0 do not."""
    kind = type(value)
    if kind is int or kind is str or value is None:
        return True
    if kind is not tuple:
        return False
    for item in <tuple> value:
        if not can_key(item):
            return False
    return True


cdef object plain(value):
    """`value` in integers, strings, None and tuples, which all ways to write it have in common; or raises ValueError."""
    kind = type(value)
    if kind is int or kind is str or value is None:
        return value
    if kind is tuple or kind is list:
        return tuple([plain(item) for item in value])
    if kind is float:
        return float, value.hex()  # a type is no value of an option: this pair stands for nothing else
    if kind in NUMPY_INTEGERS:
        return int(value)
    raise ValueError


cdef bint is_fixed(value):
    """Can it not change? Then what is known of it holds for the same object, whatever it is equal to."""
    kind = type(value)
    if kind is tuple:
        for item in <tuple> value:
            if not is_fixed(item):
                return False
        return True
    return kind is float or kind is int or kind is str or value is None


cdef tuple spelled(tuple given):
    """The key of options as they were given; None where they are of kinds that no key is made of."""
    cdef Py_ssize_t i
    cdef uint64_t floats = 0
    cdef double number
    for i in range(len(given)):
        value = given[i]
        if type(value) is float:
            number = value
            if number == 0 and signbit(number) or number != number:
                break
            floats |= <uint64_t> 1 << i  # 1.0 is another key than 1
        elif not can_key(value):
            break
    else:
        return given if floats == 0 else (given, floats)
    try:
        return plain(given)
    except ValueError:
        return None


cdef extern from "Python.h":
    ctypedef struct PyThreadState
    PyThreadState *PyEval_SaveThread()
    void PyEval_RestoreThread(PyThreadState *state)


cdef inline PyThreadState *let_others_run(double cycles) noexcept:
    """Give the interpreter to other threads, unless that takes as long as it would be theirs."""
    return PyEval_SaveThread() if cycles > SHORT_CYCLES else NULL


cdef inline void take_back(PyThreadState *state) noexcept:
    if state != NULL:
        PyEval_RestoreThread(state)


cdef object in_force(setting):
    """`setting.get()`, without a call of Python where no block is in force (`settings/setting.py`)."""
    if get_value_no_default(setting.blocks) is None:
        value = setting.outside
        if value is not None:
            return value
    return setting.get()


cdef class Settings:
    """What calls depend on: three settings, and the limit of the last."""

    cdef object backend, precision, threads, limit

    def __init__(self, backend, precision, threads, limit):
        self.backend, self.precision, self.threads, self.limit = backend, precision, threads, limit

    cdef int most_threads(self) except -1:
        cdef int wanted = in_force(self.threads), most = self.limit.most
        return min(wanted, most)


cdef class Shortcut:
    """What is known of the result."""

    cdef int typenum, axes
    cdef cnp.npy_intp sizes[FC_MOST_AXES]
    cdef size_t size

    cdef set_result(self, shape, dtype):
        self.typenum, self.axes = np.dtype(dtype).num, len(shape)
        self.size = np.dtype(dtype).itemsize
        for axis, n in enumerate(shape):
            self.sizes[axis] = n
            self.size *= <size_t> n

    cdef cnp.ndarray result(self):
        """A new array; raises MemoryError."""
        if self.size < LARGE:
            return cnp.PyArray_EMPTY(self.axes, self.sizes, self.typenum, 0)
        before = PyDataMem_SetHandler(pool_capsule)
        try:
            return cnp.PyArray_EMPTY(self.axes, self.sizes, self.typenum, 0)
        finally:
            PyDataMem_SetHandler(before)

    cdef bint takes(self, out):
        """Is `out` where the result can go as it is?"""
        if not is_plain(out, self.typenum) or not cnp.PyArray_ISWRITEABLE(out) or cnp.PyArray_NDIM(out) != self.axes:
            return False
        for axis in range(self.axes):
            if cnp.PyArray_DIM(out, axis) != self.sizes[axis]:
                return False
        return True


cdef Shortcut shortcut_to(shape, dtype):
    """What is known of a result of this shape; None where there is none."""
    if shape is None:
        return None
    result = Shortcut()
    result.set_result(shape, dtype)
    return result


cdef inline object shape_of(array):
    return None if array is None else array.shape


cdef object finished(int status, out):
    """`out`, or None where the call has to go the long way; an interruption is no reason to do so."""
    if status == FC_INTERRUPTED or status == FC_FORKED:
        checked(status)
    return None if status else out


cdef inline bint apart(out, array):
    """Do two contiguous arrays share no memory?"""
    cdef char *a = <char *> cnp.PyArray_DATA(out)
    cdef char *b = <char *> cnp.PyArray_DATA(array)
    return a + cnp.PyArray_NBYTES(out) <= b or b + cnp.PyArray_NBYTES(array) <= a


cdef class ConvShortcut(Shortcut):
    """A convolution without residual; `shape` is that of the result as the user gets it.

    Where `far` is not 0, images go the long way that are not even (`execution/convolution.py`).
    """

    cdef fc_conv p
    cdef int kernel, activation
    cdef double a, b, far
    cdef size_t weight_bytes
    cdef cnp.npy_intp channels

    def __init__(self, Conv conv, int kernel, int activation, double a, double b, cnp.npy_intp channels, shape, dtype,
                 double far):
        self.p, self.kernel, self.channels = conv.p, kernel, channels
        self.activation, self.a, self.b, self.far = activation, a, b, far
        self.weight_bytes = fc_conv_weight_bytes(&self.p, kernel)
        self.p.cycles = fc_conv_cost(&self.p, kernel)
        self.set_result(shape, dtype)

    cdef bint fits(self, bias):
        return bias is None or (
            is_plain(bias, self.typenum) and cnp.PyArray_NDIM(bias) == 1 and cnp.PyArray_DIM(bias, 0) == self.channels
        )

    cdef object run(self, x, const void *weight, void *packed, bias, out, int threads):
        """`weight` is NULL where `packed` is ready. None where memory is short: the long way says so."""
        cdef fc_epilogue e
        cdef const void *source = cnp.PyArray_DATA(x)
        cdef int status = 0
        if out is None:
            try:
                out = self.result()
            except MemoryError:
                return None
        elif not self.takes(out) or not apart(out, x) or not (bias is None or apart(out, bias)):
            return None
        cdef void *to = cnp.PyArray_DATA(out)
        memset(&e, 0, sizeof(fc_epilogue))
        e.bias = NULL if bias is None else cnp.PyArray_DATA(bias)
        e.activation, e.a, e.b = self.activation, self.a, self.b
        cdef PyThreadState *others = let_others_run(self.p.cycles)
        if self.far:
            status = fc_operations_of(self.p.dtype).is_even(&self.p, source, self.far, threads)
        if status:
            pass
        elif weight == NULL:
            status = fc_conv_run(&self.p, self.kernel, source, packed, &e, to, threads)
        else:
            status = fc_conv_run_once(&self.p, self.kernel, source, weight, packed, &e, to, threads)
        take_back(others)
        return finished(status, out)


cdef bint has_shape(array, tuple shape):
    cdef Py_ssize_t axis
    if array is None or shape is None:
        return array is None and shape is None
    if len(shape) != cnp.PyArray_NDIM(array):
        return False
    for axis in range(len(shape)):
        if <cnp.npy_intp> shape[axis] != cnp.PyArray_DIM(array, axis):
            return False
    return True


cdef class PlannedCall:
    """A call of a plan that is known: the shape and the precision it is known by, and its prepared weights."""

    cdef tuple shape
    cdef str precision
    cdef ConvShortcut shortcut
    cdef cnp.ndarray packed
    cdef object problem

    def __init__(self, tuple shape, str precision, ConvShortcut shortcut, cnp.ndarray packed, problem):
        self.shape, self.precision, self.shortcut, self.packed = shape, precision, shortcut, packed
        self.problem = problem

    cdef bint is_of(self, array, str precision):
        if self.precision is not precision and self.precision != precision:
            return False
        return self.shortcut.typenum == cnp.PyArray_TYPE(array) and has_shape(array, self.shape)


cdef class PlanCalls:
    """The calls of a plan that are known, by shape, dtype and precision. The last one is looked at first."""

    cdef dict known
    cdef Settings settings
    cdef PlannedCall latest
    cdef public object problem  # of the last call, known or not

    def __init__(self, Settings settings):
        self.known, self.settings = {}, settings

    def recall(self, x, bias, out):
        """The result, or None where the call has to go the long way."""
        if not is_plain(x, -1):
            return None
        cdef PlannedCall call = self.latest
        cdef str precision = in_force(self.settings.precision)
        if call is None or not call.is_of(x, precision):
            call = self.known.get((x.shape, cnp.PyArray_TYPE(x), precision))
            if call is None:
                return None
            self.latest = call
        if not call.shortcut.fits(bias):
            return None
        self.problem = call.problem
        return call.shortcut.run(x, NULL, cnp.PyArray_DATA(call.packed), bias, out, self.settings.most_threads())

    def remember(self, x, str precision, ConvShortcut shortcut, cnp.ndarray packed, problem):
        """Keep `shortcut` for calls with an array like `x`, of the shortcut's dtype."""
        if len(self.known) >= MOST_PLANNED:
            self.known.clear()
        key = x.shape, shortcut.typenum, precision
        self.known[key] = PlannedCall(x.shape, precision, shortcut, packed, problem)


cdef class PoolShortcut(Shortcut):
    """A pooling without indices and random numbers."""

    cdef fc_pool p
    cdef object samples

    def __init__(self, sizes, rows, columns, int layout, int type, int reducer, double power, shape, dtype):
        set_pool(&self.p, sizes, rows, columns, layout, type, reducer, power)
        self.samples = rows[1], columns[1]
        self.set_result(shape, dtype)

    cdef object run(self, x, out, int threads):
        cdef const void *source = cnp.PyArray_DATA(x)
        cdef int status
        if out is None:
            try:
                out = self.result()
            except MemoryError:
                return None
        elif not self.takes(out) or not apart(out, x):
            return None
        cdef void *to = cnp.PyArray_DATA(out)
        with nogil:
            status = fc_pool_run(&self.p, source, to, NULL, NULL, threads)
        return finished(status, out)


cdef class RowsShortcut(Shortcut):
    """A softmax or, with an eps, a normalisation of rows; `sizes` are those of the operation (`_operations.pxi`)."""

    cdef int64_t rows[4]
    cdef double eps, cycles
    cdef bint normalises, log

    def __init__(self, sizes, bint log, eps, shape, dtype):
        self.normalises, self.log, self.eps, self.cycles = eps is not None, log, eps or 0, 2
        for axis, n in enumerate(sizes):
            self.rows[axis] = n
            self.cycles *= n
        self.set_result(shape, dtype)

    cdef object run(self, x, weight, bias, out, int threads):
        cdef const void *source = cnp.PyArray_DATA(x)
        cdef const void *times = NULL if weight is None else cnp.PyArray_DATA(weight)
        cdef const void *plus = NULL if bias is None else cnp.PyArray_DATA(bias)
        cdef int64_t *n = self.rows
        cdef int status
        if out is None:
            try:
                out = self.result()
            except MemoryError:
                return None
        elif not self.takes(out):
            return None
        else:
            for array in (x, weight, bias):
                if array is not None and not apart(out, array):
                    return None
        cdef void *to = cnp.PyArray_DATA(out)
        cdef const fc_operations *f = fc_operations_of(0 if self.typenum == cnp.NPY_FLOAT32 else 1)
        cdef PyThreadState *others = let_others_run(self.cycles)
        if self.normalises:
            status = f.normalise_rows(source, times, plus, self.eps, to, n[0], n[1], n[2], n[3], threads)
        else:
            status = f.softmax(source, to, n[0], n[1], n[2], self.log, threads)
        take_back(others)
        return finished(status, out)


cdef class GradientShortcut:
    """The gradients of a convolution, without an activation; `shapes` are those of the input, the weights and the bias,
    None where it is not needed. `sums` is (batch, channels, pixels) of the output's gradient, and `far` is as in
    `ConvShortcut`, for that array."""

    cdef fc_conv of_input, of_weight
    cdef int input_kernel, weight_kernel
    cdef bint transposed
    cdef Shortcut grad_x, grad_weight, grad_bias
    cdef size_t weight_bytes
    cdef int64_t batch, channels, pixels
    cdef double far

    def __init__(self, Conv of_input, int input_kernel, Conv of_weight, int weight_kernel, bint transposed, sums,
                 shapes, dtype, double far):
        self.of_input, self.input_kernel = of_input.p, input_kernel
        self.of_weight, self.weight_kernel = of_weight.p, weight_kernel
        self.weight_bytes = fc_conv_weight_bytes(&self.of_input, input_kernel)
        self.of_input.cycles = fc_conv_cost(&self.of_input, input_kernel)
        self.of_weight.cycles = fc_gradient_cost(&self.of_weight, weight_kernel)
        self.transposed, self.far = transposed, far
        self.batch, self.channels, self.pixels = sums
        self.grad_x, self.grad_weight, self.grad_bias = [shortcut_to(shape, dtype) for shape in shapes]

    cdef object run(self, x, weight, gradient, int threads):
        """All three; None where memory is short: the long way says so."""
        cdef cnp.ndarray grad_x = None, grad_weight = None, grad_bias = None
        cdef const void *image = cnp.PyArray_DATA(x)
        cdef const void *g = cnp.PyArray_DATA(gradient)
        cdef const void *w = cnp.PyArray_DATA(weight)
        cdef void *packed = NULL
        cdef fc_epilogue nothing
        cdef int status = 0
        try:
            if self.grad_x is not None:
                grad_x = self.grad_x.result()
            if self.grad_weight is not None:
                grad_weight = self.grad_weight.result()
            if self.grad_bias is not None:
                grad_bias = self.grad_bias.result()
        except MemoryError:
            return None
        memset(&nothing, 0, sizeof(fc_epilogue))
        cdef void *to_x = data(grad_x)
        cdef void *to_weight = data(grad_weight)
        cdef void *to_bias = data(grad_bias)
        if to_x != NULL:
            packed = fc_recycle_alloc(self.weight_bytes)
            if packed == NULL:
                return None
        cdef PyThreadState *others = let_others_run(self.of_input.cycles + self.of_weight.cycles)
        if to_x != NULL and self.far:
            status = fc_operations_of(self.of_input.dtype).is_even(&self.of_input, g, self.far, threads)
        if to_x != NULL:
            if status == 0:
                status = fc_conv_run_once(&self.of_input, self.input_kernel, g, w, packed, &nothing, to_x, threads)
            fc_recycle_free(packed)
        if status == 0 and to_weight != NULL:
            # The gradient of a plain convolution's weights brings the sums along.
            status = fc_gradient_run(
                &self.of_weight, self.weight_kernel, g if self.transposed else image,
                image if self.transposed else g, to_weight, NULL if self.transposed else to_bias, threads)
        if status == 0 and to_bias != NULL and (self.transposed or to_weight == NULL):
            status = fc_operations_of(self.of_weight.dtype).channel_sums(
                g, to_bias, self.batch, self.channels, self.pixels, self.of_weight.layout, threads)
        take_back(others)
        return finished(status, (grad_x, grad_weight, grad_bias))


cdef class KnownCall:
    """A call that is known; `given` are its options where they cannot change."""

    cdef str op, backend, precision
    cdef tuple given, x, second, third  # the arrays' shapes; None where they were left out
    cdef int typenum
    cdef object shortcut

    cdef bint is_of(self, str op, tuple given, backend, precision, int typenum, x, second, third):
        cdef Py_ssize_t i
        if self.given is None or self.op is not op or self.backend is not backend or self.precision is not precision:
            return False
        if self.typenum != typenum or len(self.given) != len(given):
            return False
        for i in range(len(given)):
            if self.given[i] is not given[i]:
                return False
        return has_shape(x, self.x) and has_shape(second, self.second) and has_shape(third, self.third)


cdef class Memo:
    """Shortcuts by operation, options, settings and shapes; forgets all where there are too many. The last one is looked
    at first."""

    cdef dict known
    cdef Settings settings
    cdef KnownCall latest

    def __init__(self, Settings settings):
        self.known, self.settings = {}, settings

    def __len__(self):
        return len(self.known)

    def clear(self):
        self.known.clear()
        self.latest = None

    cdef object find(self, str op, x, second, third, tuple given, backend):
        """The shortcut of a call with such arrays, or None where it has to go the long way."""
        cdef int typenum
        cdef KnownCall call = self.latest
        if not is_plain(x, -1):
            return None
        typenum = cnp.PyArray_TYPE(x)
        if not (second is None or is_plain(second, typenum)) or not (third is None or is_plain(third, typenum)):
            return None
        if backend is None:
            backend = in_force(self.settings.backend)
        precision = in_force(self.settings.precision)
        if call is None or not call.is_of(op, given, backend, precision, typenum, x, second, third):
            given = spelled(given)
            if given is None or type(backend) is not str:
                return None
            call = self.known.get(
                (op, given, backend, precision, typenum, x.shape, shape_of(second), shape_of(third)))
            if call is None:
                return None
            self.latest = call
        return call.shortcut

    def recall_conv(self, str op, x, weight, bias, out, tuple given, backend):
        """The result, or None where the call has to go the long way."""
        cdef ConvShortcut shortcut = self.find(op, x, weight, None, given, backend)
        if shortcut is None or not shortcut.fits(bias):
            return None
        if not (out is None or type(out) is cnp.ndarray and apart(out, weight)):
            return None
        cdef void *packed = fc_recycle_alloc(shortcut.weight_bytes)
        if packed == NULL:
            return None
        try:
            return shortcut.run(x, cnp.PyArray_DATA(weight), packed, bias, out, self.settings.most_threads())
        finally:
            fc_recycle_free(packed)

    def recall_pool(self, str op, x, out, tuple given, backend):
        cdef PoolShortcut shortcut = self.find(op, x, None, None, given, backend)
        return None if shortcut is None else shortcut.run(x, out, self.settings.most_threads())

    def recall_rows(self, str op, x, weight, bias, out, tuple given, backend):
        """The result of what is done row by row; weight and bias may be None."""
        cdef RowsShortcut shortcut = self.find(op, x, weight, bias, given, backend)
        return None if shortcut is None else shortcut.run(x, weight, bias, out, self.settings.most_threads())

    def recall_gradient(self, str op, x, weight, gradient, tuple given, backend):
        """The gradients."""
        cdef GradientShortcut shortcut = self.find(op, x, weight, gradient, given, backend)
        return None if shortcut is None else shortcut.run(x, weight, gradient, self.settings.most_threads())

    def remember(self, shortcut, str op, tuple given, backend, x, second=None, third=None):
        """Keep `shortcut` for calls with arrays like these."""
        cdef KnownCall call = KnownCall()
        if backend is None:
            backend = in_force(self.settings.backend)
        key = spelled(given)
        if key is None or type(backend) is not str:
            return
        for array in (x, second, third):
            if array is not None and not is_plain(array, -1):
                return
        if len(self.known) >= MOST_SHORTCUTS:
            self.clear()
        call.op, call.given, call.shortcut = op, given if is_fixed(given) else None, shortcut
        call.backend, call.precision = backend, in_force(self.settings.precision)
        call.typenum = cnp.PyArray_TYPE(x)
        call.x, call.second, call.third = x.shape, shape_of(second), shape_of(third)
        self.known[(op, key, backend, call.precision, call.typenum, call.x, call.second, call.third)] = call
