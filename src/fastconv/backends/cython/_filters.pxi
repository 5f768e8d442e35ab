# Filters of pictures. Part of `_engine.pyx`, called by the backend.


cdef void set_filter(fc_filter *f, picture, cnp.ndarray x, cnp.ndarray out):
    """`picture` is (sizes, kernel, before, rows, columns, constant, types); its tables must outlive `f`."""
    sizes, kernel, f.before, rows, columns, f.constant, types = picture
    f.images, f.height, f.width, f.channels = sizes
    f.kernel_h, f.kernel_w = kernel
    f.rows, f.columns = <int64_t *> data(rows), <int64_t *> data(columns)
    f.x_type, f.out_type, f.between, f.rounding = types
    f.x_image, f.x_row = cnp.PyArray_STRIDE(x, 0), cnp.PyArray_STRIDE(x, 1)
    f.out_image, f.out_row = cnp.PyArray_STRIDE(out, 0), cnp.PyArray_STRIDE(out, 1)


cdef void set_pass(fc_filter_pass *p, weights):
    """`weights` is (weights, order, weights of that, doubt); the arrays must outlive `p`."""
    cdef cnp.ndarray values = weights[0], order = weights[1]
    p.kernel_h, p.kernel_w = values.shape[0], values.shape[1]
    p.weights = <double *> data(values)
    p.order, p.order_count = <int64_t *> data(order), order.shape[0]
    p.order_weights = <double *> data(weights[2])
    p.doubt = weights[3]


def filter_sums(picture, first, second, cnp.ndarray x, cnp.ndarray out, int dtype, int threads):
    """False where a kernel has too many elements."""
    cdef fc_filter f
    cdef fc_filter_pass a, b
    cdef fc_filter_pass *along = NULL
    cdef int status
    cdef void *source = data(x)
    cdef void *to = data(out)
    set_filter(&f, picture, x, out)
    set_pass(&a, first)
    if second is not None:
        set_pass(&b, second)
        along = &b
    with nogil:
        status = fc_operations_of(dtype).filter_sums(&f, &a, along, source, to, threads)
    if status == FC_NOT_MINE:
        return False
    checked(status)
    return True


def filter_means(picture, cnp.ndarray x, cnp.ndarray out, int dtype, int threads):
    cdef fc_filter f
    cdef int status
    cdef void *source = data(x)
    cdef void *to = data(out)
    set_filter(&f, picture, x, out)
    with nogil:
        status = fc_operations_of(dtype).filter_means(&f, source, to, threads)
    checked(status)


def filter_scores(cnp.ndarray products, cnp.ndarray mean, cnp.ndarray square, double length, double flat, int threads):
    """Planes of float64, the last two with rows as far apart from each other."""
    cdef int status
    cdef int64_t rows = products.shape[0], columns = products.shape[1], stride = mean.strides[0] // 8
    cdef void *to = data(products)
    cdef void *means = data(mean)
    cdef void *squares = data(square)
    with nogil:
        status = fc_operations_of(1).filter_scores(to, means, squares, rows, columns, stride, length, flat, threads)
    checked(status)


def filter_extrema(picture, int largest, cnp.ndarray x, cnp.ndarray out, int threads):
    cdef fc_filter f
    cdef int status
    cdef void *source = data(x)
    cdef void *to = data(out)
    set_filter(&f, picture, x, out)
    with nogil:
        status = fc_filter_extrema(&f, largest, source, to, threads)
    checked(status)


def filter_network(picture, cnp.ndarray offsets, cnp.ndarray exchanges, int64_t place, cnp.ndarray x, cnp.ndarray out,
                   int threads):
    """`offsets` is (pixels, 2), `exchanges` (steps, 3)."""
    cdef fc_filter f
    cdef int status
    cdef int64_t count = offsets.shape[0], steps = exchanges.shape[0]
    cdef int64_t *at = <int64_t *> data(offsets)
    cdef int32_t *pairs = <int32_t *> data(exchanges)
    cdef void *source = data(x)
    cdef void *to = data(out)
    set_filter(&f, picture, x, out)
    with nogil:
        status = fc_filter_network(&f, at, count, pairs, steps, place, source, to, threads)
    checked(status)
