# Everything but convolution: pooling, padding, scattered pixels, half precision, channels, norms and probes. Part of
# `_engine.pyx`, called by the backend, by `execution/half.py` and by `machine/probes.py`.


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


def to_floats(cnp.ndarray halves, cnp.ndarray floats, int threads):
    cdef int status
    cdef int64_t count = cnp.PyArray_SIZE(halves)
    cdef void *source = data(halves)
    cdef void *to = data(floats)
    with nogil:
        status = fc_to_floats(source, to, count, threads)
    checked(status)


def to_halves(cnp.ndarray floats, cnp.ndarray halves, int threads):
    """Whether a finite number became infinite."""
    cdef int status
    cdef int64_t count = cnp.PyArray_SIZE(floats)
    cdef void *source = data(floats)
    cdef void *to = data(halves)
    with nogil:
        status = fc_to_halves(source, to, count, threads)
    if status != FC_OVERFLOW:
        checked(status)
    return status == FC_OVERFLOW


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


def softmax(cnp.ndarray x, cnp.ndarray out, sizes, bint log, int dtype, int threads):
    """`sizes` is (outer, count, inner)."""
    cdef int64_t outer, count, inner
    outer, count, inner = sizes
    cdef int status
    cdef void *source = data(x)
    cdef void *to = data(out)
    with nogil:
        status = fc_operations_of(dtype).softmax(source, to, outer, count, inner, log, threads)
    checked(status)


def softmax_gradient(cnp.ndarray gradient, cnp.ndarray output, cnp.ndarray out, sizes, bint log, int dtype,
                     int threads):
    """`sizes` is (outer, count, inner)."""
    cdef int64_t outer, count, inner
    outer, count, inner = sizes
    cdef int status
    cdef void *source = data(gradient)
    cdef void *y = data(output)
    cdef void *to = data(out)
    with nogil:
        status = fc_operations_of(dtype).softmax_gradient(source, y, to, outer, count, inner, log, threads)
    checked(status)


def segment_sums(cnp.ndarray x, cnp.ndarray other, cnp.ndarray centre, cnp.ndarray sums, sizes, int dtype,
                 int threads):
    """`sizes` is (outer, steps, groups, run)."""
    cdef int64_t outer, steps, groups, run
    outer, steps, groups, run = sizes
    cdef int status
    cdef void *source = data(x)
    cdef void *second = data(other)
    cdef void *middle = data(centre)
    cdef double *to = <double *>data(sums)
    with nogil:
        status = fc_operations_of(dtype).segment_sums(
            source, second, middle, to, outer, steps, groups, run, threads)
    checked(status)


def segment_affine(cnp.ndarray x, cnp.ndarray centre, cnp.ndarray scale, cnp.ndarray shift, cnp.ndarray other,
                   cnp.ndarray factor, cnp.ndarray out, sizes, int dtype, int threads):
    """`sizes` is (outer, steps, groups, run)."""
    cdef int64_t outer, steps, groups, run
    outer, steps, groups, run = sizes
    cdef int status
    cdef void *source = data(x)
    cdef void *middle = data(centre)
    cdef void *times = data(scale)
    cdef void *plus = data(shift)
    cdef void *second = data(other)
    cdef void *weight = data(factor)
    cdef void *to = data(out)
    with nogil:
        status = fc_operations_of(dtype).segment_affine(
            source, middle, times, plus, second, weight, -INFINITY, INFINITY, to, outer, steps, groups, run, threads)
    checked(status)


def optimiser_step(list weights, list gradients, list first, list second, rule, int dtype, int threads):
    """`rule` is the fields of fc_update; arrays of a parameter lie alike in memory, without gaps."""
    cdef fc_update update
    update.rule, update.nesterov, update.scale, update.limit, update.decay, update.kept = rule[:6]
    update.rate, update.first, update.second, update.eps, update.root_scale = rule[6:]
    cdef int64_t i, count = len(weights)
    cdef fc_parameter *parameters = <fc_parameter *>realloc(NULL, max(count, 1) * sizeof(fc_parameter))
    cdef int status
    if parameters is NULL:
        raise MemoryError
    for i in range(count):
        parameters[i].weight = data(weights[i])
        parameters[i].gradient = data(gradients[i])
        parameters[i].state[0] = data(first[i])
        parameters[i].state[1] = data(second[i])
        parameters[i].count = cnp.PyArray_SIZE(weights[i])
    with nogil:
        status = fc_operations_of(dtype).optimiser_step(parameters, count, &update, threads)
    free(parameters)
    checked(status)


def batch_norm(cnp.ndarray x, cnp.ndarray weight, cnp.ndarray bias, cnp.ndarray residual, double eps, double low,
               double high, cnp.ndarray out, cnp.ndarray statistics, sizes, int dtype, int threads):
    """`sizes` is (steps, groups, run)."""
    cdef int64_t steps, groups, run
    steps, groups, run = sizes
    cdef int status
    cdef void *source = data(x)
    cdef void *times = data(weight)
    cdef void *plus = data(bias)
    cdef void *more = data(residual)
    cdef void *to = data(out)
    cdef double *found = <double *>data(statistics)
    with nogil:
        status = fc_operations_of(dtype).batch_norm(
            source, times, plus, more, eps, low, high, to, found, steps, groups, run, threads)
    checked(status)


def batch_norm_gradient(cnp.ndarray x, cnp.ndarray gradient, cnp.ndarray output, cnp.ndarray weight,
                        cnp.ndarray statistics, double eps, double low, double high, cnp.ndarray grad_x,
                        cnp.ndarray grad_residual, cnp.ndarray totals, sizes, int dtype, int threads):
    """`sizes` is (steps, groups, run)."""
    cdef int64_t steps, groups, run
    steps, groups, run = sizes
    cdef int status
    cdef void *source = data(x)
    cdef void *slope = data(gradient)
    cdef void *result = data(output)
    cdef void *times = data(weight)
    cdef double *found = <double *>data(statistics)
    cdef void *to = data(grad_x)
    cdef void *more = data(grad_residual)
    cdef double *sums = <double *>data(totals)
    with nogil:
        status = fc_operations_of(dtype).batch_norm_gradient(
            source, slope, result, times, found, eps, low, high, to, more, sums, steps, groups, run, threads)
    checked(status)


def normalise_rows(cnp.ndarray x, cnp.ndarray weight, cnp.ndarray bias, double eps, cnp.ndarray out, sizes, int dtype,
                   int threads):
    """`sizes` is (outer, groups, channels, run). False where the rows are too long."""
    cdef int64_t outer, groups, channels, run
    outer, groups, channels, run = sizes
    cdef int status
    cdef void *source = data(x)
    cdef void *times = data(weight)
    cdef void *plus = data(bias)
    cdef void *to = data(out)
    with nogil:
        status = fc_operations_of(dtype).normalise_rows(
            source, times, plus, eps, to, outer, groups, channels, run, threads)
    if status == FC_NOT_MINE:
        return False
    checked(status)
    return True


def resample(cnp.ndarray x, cnp.ndarray starts, cnp.ndarray counts, cnp.ndarray weights, cnp.ndarray out, sizes,
             int dtype, int threads):
    """`sizes` is (outer, in_size, out_size, inner, taps)."""
    cdef int64_t outer, in_size, out_size, inner, taps
    outer, in_size, out_size, inner, taps = sizes
    cdef int status
    cdef void *source = data(x)
    cdef int64_t *first = <int64_t *>data(starts)
    cdef int64_t *many = <int64_t *>data(counts)
    cdef void *shares = data(weights)
    cdef void *to = data(out)
    with nogil:
        status = fc_operations_of(dtype).resample(
            source, first, many, shares, to, outer, in_size, out_size, inner, taps, threads)
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
