# Arrays whose memory comes from the pool of csrc/base/recycle.c: NumPy's own arrays, made with an allocator of ours
# (NEP 49). Part of `_engine.pyx`, called by `fastconv/execution/memory.py`.


cdef void *pool_malloc(void *ctx, size_t size) noexcept nogil:
    return fc_recycle_alloc(size)


cdef void *pool_calloc(void *ctx, size_t count, size_t size) noexcept nogil:
    cdef void *memory = fc_recycle_alloc(count * size)
    if memory != NULL:
        memset(memory, 0, count * size)
    return memory


cdef void *pool_realloc(void *ctx, void *memory, size_t size) noexcept nogil:
    return fc_recycle_realloc(memory, size)


cdef void pool_free(void *ctx, void *memory, size_t size) noexcept nogil:
    fc_recycle_free(memory)


cdef PyDataMem_Handler pool_handler
strcpy(pool_handler.name, b"fastconv")
pool_handler.version = 1
pool_handler.allocator.ctx = NULL
pool_handler.allocator.malloc = pool_malloc
pool_handler.allocator.calloc = pool_calloc
pool_handler.allocator.realloc = pool_realloc
pool_handler.allocator.free = pool_free
cdef object pool_capsule = PyCapsule_New(&pool_handler, b"mem_handler", NULL)


def recycled(shape, dtype):
    """`np.empty` whose memory comes from the pool, and returns to it."""
    before = PyDataMem_SetHandler(pool_capsule)
    try:
        return np.empty(shape, dtype)
    finally:
        PyDataMem_SetHandler(before)


def limit_recycling(size_t size):
    fc_recycle_limit(size)


def recycled_bytes():
    """How much the pool keeps now."""
    return fc_recycle_bytes()


def clear_recycled():
    fc_recycle_clear()


cdef inline void *data(cnp.ndarray array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(array)
