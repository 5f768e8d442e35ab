# The steps of a network that run in C, without the interpreter between them. Part of `_engine.pyx`, called by
# `fastconv/graph/program/compiled.py`.


MOST_AXES = FC_MOST_AXES
MOST_CHAINED = FC_MOST_CHAINED
SUMMED = FC_SUMMED
MOST_ROW_BYTES = FC_MOST_ROW_BYTES


def elementwise_operations() -> dict[str, int]:
    """The instructions of an elementwise chain."""
    return {
        "add": FC_ADD, "sub": FC_SUB, "mul": FC_MUL, "div": FC_DIV, "least": FC_LEAST, "most": FC_MOST,
        "prelu": FC_PRELU, "less": FC_LESS, "less_equal": FC_LESS_EQUAL, "equal": FC_EQUAL, "and": FC_AND,
        "and_not": FC_AND_NOT, "or": FC_OR, "xor": FC_XOR, "not": FC_NOT, "affine": FC_AFFINE,
        "hard_sigmoid": FC_HARD_SIGMOID, "sqrt": FC_SQRT, "abs": FC_ABS, "sign": FC_SIGN, "floor": FC_FLOOR,
        "ceil": FC_CEIL, "round": FC_ROUND, "activate": FC_ACTIVATE, "elu": FC_ELU, "exp": FC_EXP, "mish": FC_MISH,
        "softplus": FC_SOFTPLUS, "log": FC_LOG, "erf": FC_ERF, "pow": FC_POW, "fmod": FC_FMOD, "mod": FC_MOD,
        "sin": FC_SIN, "cos": FC_COS, "tan": FC_TAN, "asin": FC_ASIN, "acos": FC_ACOS, "atan": FC_ATAN,
        "sinh": FC_SINH, "cosh": FC_COSH, "asinh": FC_ASINH, "acosh": FC_ACOSH, "atanh": FC_ATANH,
    }


def elementwise_room() -> tuple[int, int, int]:
    """How many operands, temporaries and instructions a chain has; the temporaries' numbers come after all operands'."""
    return FC_MOST_OPERANDS, FC_MOST_TEMPORARIES, FC_MOST_INSTRUCTIONS


def reductions() -> dict[str, int]:
    """What an axis can be reduced to."""
    return {
        "sum": FC_TOTAL, "mean": FC_MEAN, "sum of sizes": FC_SUM_OF_SIZES, "sum of squares": FC_SUM_OF_SQUARES,
        "root of squares": FC_ROOT_OF_SQUARES, "greatest": FC_GREATEST, "smallest": FC_SMALLEST, "product": FC_PRODUCT,
    }


cdef class Places:
    """The memory of one run: a pointer for each value. The arrays that they point into are kept alive."""

    cdef void **pointers
    cdef list held

    def __cinit__(self, Py_ssize_t count):
        self.held = [None] * count
        self.pointers = <void **> realloc(NULL, max(count, 1) * sizeof(void *))
        if self.pointers == NULL:
            raise MemoryError
        memset(self.pointers, 0, max(count, 1) * sizeof(void *))

    def __dealloc__(self):
        free(self.pointers)

    def bind(self, list members, cnp.ndarray array):
        """Let places be the memory of a contiguous array; `members` are each with the bytes before it."""
        cdef Py_ssize_t place, offset
        for place, offset in members:
            self.held[place] = array
            self.pointers[place] = <char *> data(array) + offset


cdef class Network:
    """Steps, in their order; operands and results are numbers of places, -1 where one is missing."""

    cdef fc_step *steps
    cdef Py_ssize_t count, room
    cdef list held

    def __cinit__(self):
        self.held = []

    def __dealloc__(self):
        free(self.steps)

    def __len__(self):
        return self.count

    cdef fc_step *add(self, int kind, int dtype, operands, int out) except NULL:
        cdef fc_step *steps
        if self.count == self.room:
            steps = <fc_step *> realloc(self.steps, (2 * self.room + 8) * sizeof(fc_step))
            if steps == NULL:
                raise MemoryError
            self.steps, self.room = steps, 2 * self.room + 8
        cdef fc_step *step = &self.steps[self.count]
        memset(step, 0, sizeof(fc_step))
        step.kind, step.dtype, step.out = kind, dtype, out
        for i in range(FC_MOST_OPERANDS):
            step.operands[i] = operands[i] if i < len(operands) else -1
        self.count += 1
        return step

    def conv(self, ConvShortcut known, cnp.ndarray packed, cnp.ndarray bias, cnp.ndarray slopes, cnp.ndarray scale,
             cnp.ndarray shift, int x, int residual, int gate, int out):
        """`slopes` are those of the channels, for the activation "prelu"; `scale` and `shift`, or None, what rescales
        those of the images before."""
        cdef int64_t channels = known.p.channels if scale is not None or shift is not None else -1
        if any((-1 if row is None else row.shape[0]) != channels for row in (scale, shift)):
            raise ValueError("not one scale and one shift for each channel")
        if (known.activation == FC_CHANNEL_PRELU) != (slopes is not None and slopes.shape[0] == known.channels):
            raise ValueError("not one slope for each channel")
        cdef fc_step *step = self.add(FC_STEP_CONV, known.p.dtype, (x, residual, gate), out)
        step.of.conv.p, step.of.conv.kernel, step.of.conv.packed = known.p, known.kernel, data(packed)
        step.of.conv.epilogue.bias, step.of.conv.epilogue.slopes = data(bias), data(slopes)
        step.of.conv.epilogue.scale, step.of.conv.epilogue.shift = data(scale), data(shift)
        step.of.conv.p.rescaled = scale is not None
        step.of.conv.epilogue.activation = known.activation
        step.of.conv.epilogue.a, step.of.conv.epilogue.b = known.a, known.b
        self.held.append((packed, bias, slopes, scale, shift))

    def widen(self, Py_ssize_t step, int64_t channels):
        """Let a convolution's NHWC results be some channels of images of so many."""
        if not 0 <= step < self.count or self.steps[step].kind != FC_STEP_CONV or self.steps[step].operands[1] >= 0:
            raise ValueError("no convolution without a residual")
        self.steps[step].of.conv.p.out_channels = channels

    def sums_rows(self, Py_ssize_t step):
        """Is it a convolution whose kernel can do `sum_rows`, and is that worth it?"""
        if not 0 <= step < self.count or self.steps[step].kind != FC_STEP_CONV:
            return False
        conv = &self.steps[step].of.conv
        return bool(fc_conv_sums_rows(&conv.p, conv.kernel, &conv.epilogue))

    def sum_rows(self, Py_ssize_t step, int sums):
        """Let a convolution write sums along the rows of its results, too, in pieces of SUMMED pixels, to the
        place of (batch, rows, pieces, channels)."""
        if not self.sums_rows(step):
            raise ValueError("no convolution that sums rows")
        self.steps[step].operands[3] = sums

    def product(self, ConvShortcut known, int x, int weight, int packed, int out):
        """With weights that an earlier step makes; the place `packed` has room for the prepared ones."""
        cdef fc_step *step = self.add(FC_STEP_PRODUCT, known.p.dtype, (x, weight, packed), out)
        step.of.conv.p, step.of.conv.kernel, step.of.conv.epilogue.activation = known.p, known.kernel, known.activation

    def pool(self, PoolShortcut known, int x, int out):
        self.add(FC_STEP_POOL, 0, (x,), out).of.pool = known.p
        self.held.append(known)

    def elementwise(self, int dtype, sizes, strides, out_strides, code, int truths, bint gives_truth, operands, int out):
        """`strides` holds those of each operand, `code` tuples in the order of fc_instruction; `truths` has a bit for
        each operand of truth values."""
        if len(sizes) > FC_MOST_AXES or len(operands) > FC_MOST_OPERANDS or len(code) > FC_MOST_INSTRUCTIONS:
            raise ValueError("more axes, operands or instructions than a step has room for")
        cdef fc_elementwise *e = &self.add(FC_STEP_ELEMENTWISE, dtype, operands, out).of.elementwise
        cdef fc_instruction *c
        e.axes, e.operands, e.instructions = len(sizes), len(operands), len(code)
        e.truths, e.gives_truth = truths, gives_truth
        for axis in range(len(sizes)):
            e.sizes[axis], e.out_strides[axis] = sizes[axis], out_strides[axis]
            for k in range(len(operands)):
                e.strides[k][axis] = strides[k][axis]
        for i, (operation, to, a, b, which, p, q) in enumerate(code):
            c = &e.code[i]
            c.operation, c.to, c.a, c.b, c.which, c.p, c.q = operation, to, a, b, which, p, q

    def copy(self, int item, sizes, x_strides, out_strides, int x, int out):
        if not 2 <= len(sizes) <= FC_MOST_AXES:
            raise ValueError("fewer or more axes than a region has")
        cdef fc_region *r = &self.add(FC_STEP_COPY, 0, (x,), out).of.copy
        r.axes, r.item = len(sizes), item
        for axis in range(len(sizes)):
            r.sizes[axis], r.x_strides[axis], r.out_strides[axis] = sizes[axis], x_strides[axis], out_strides[axis]

    def pad(self, int item, sizes, cnp.ndarray rows, cnp.ndarray columns, bytes value, int x, int out):
        """`sizes` is (planes, height, width, inner); -1 in the tables of sources is `value`."""
        cdef fc_step_pad *p = &self.add(FC_STEP_PAD, 0, (x,), out).of.pad
        p.planes, p.height, p.width, p.inner = sizes
        p.rows, p.row_count, p.item = <int64_t *> data(rows), rows.shape[0], item
        p.columns, p.column_count = <int64_t *> data(columns), columns.shape[0]
        if len(value) != item:
            raise ValueError("a value that is not of the item's size")
        for i in range(item):
            p.value[i] = value[i]
        self.held.append((rows, columns))

    def normalise(self, int dtype, sizes, double eps, int x, int weight, int bias, int out):
        """`sizes` is (outer, groups, channels, run)."""
        cdef fc_step_normalise *n = &self.add(FC_STEP_NORMALISE, dtype, (x, weight, bias), out).of.normalise
        n.outer, n.groups, n.channels, n.run = sizes
        n.eps = eps

    def reduce(self, int dtype, sizes, int how, int x, int out):
        """`sizes` is (outer, count, inner)."""
        cdef fc_step_reduce *r = &self.add(FC_STEP_REDUCE, dtype, (x,), out).of.reduce
        r.outer, r.count, r.inner = sizes
        r.how = how

    def places(self, int dtype, sizes, int how, bint last, int x, int out):
        """`sizes` is (outer, count, inner)."""
        cdef fc_step_reduce *r = &self.add(FC_STEP_PLACES, dtype, (x,), out).of.reduce
        r.outer, r.count, r.inner = sizes
        r.how, r.last = how, last

    def softmax(self, int dtype, sizes, bint logarithm, int x, int out):
        """`sizes` is (outer, count, inner)."""
        cdef fc_step *step = self.add(FC_STEP_SOFTMAX, dtype, (x,), out)
        step.of.softmax.outer, step.of.softmax.count, step.of.softmax.inner = sizes
        step.of.softmax.logarithm = logarithm

    def local_response_norm(self, int dtype, sizes, int64_t size, double alpha, double beta, double k, int x, int out):
        """`sizes` is (batch, channels, pixels of a plane)."""
        cdef fc_step *step = self.add(FC_STEP_LRN, dtype, (x,), out)
        step.of.lrn.batch, step.of.lrn.channels, step.of.lrn.pixels = sizes
        step.of.lrn.size, step.of.lrn.alpha, step.of.lrn.beta, step.of.lrn.k = size, alpha, beta, k

    def resample(self, int dtype, sizes, cnp.ndarray starts, cnp.ndarray counts, cnp.ndarray weights, int x, int out):
        """`sizes` is (outer, size of the input's axis, of the output's, inner)."""
        cdef fc_step *step = self.add(FC_STEP_RESAMPLE, dtype, (x,), out)
        r = &step.of.resample
        r.outer, r.in_size, r.out_size, r.inner = sizes
        r.starts, r.counts, r.weights = <int64_t *> data(starts), <int64_t *> data(counts), data(weights)
        r.taps = weights.shape[1]
        self.held.append((starts, counts, weights))

    def chain_bytes(self, Py_ssize_t first, Py_ssize_t count, Py_ssize_t band):
        """What a thread needs to do so many steps together, in bands of so many rows; -1 where they cannot be."""
        if not 0 <= first <= first + count <= self.count:
            raise ValueError("steps that are not there")
        return fc_chain_bytes(self.steps + first, count, band)

    def chain(self, Py_ssize_t first, Py_ssize_t count, Py_ssize_t band):
        """Let these steps be done so; nobody else may read what they make between."""
        if self.chain_bytes(first, count, band) < 0:
            raise ValueError("steps that cannot be chained")
        self.steps[first].chained, self.steps[first].band = count, band

    def run(self, Places places, Py_ssize_t first, Py_ssize_t last, int threads, cnp.ndarray nanoseconds):
        """Steps [first, last); `nanoseconds`, or None, takes the time of each."""
        cdef int status
        cdef int64_t *times = <int64_t *> data(nanoseconds)
        if not 0 <= first <= last <= self.count:
            raise ValueError("steps that are not there")
        with nogil:
            status = fc_network_run(self.steps + first, last - first, places.pointers, threads, times)
        checked(status)
