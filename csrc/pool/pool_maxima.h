/* Maxima of windows and their places, of one element type: vectors over windows (NCHW) or channels (NHWC). Included by
 * pool_type.h. Windows that an edge cuts are done one at a time; a plane's places fit 32 bits. */

/* Of n windows that were best[i] at place at[i], with one more pixel each: stride apart, at `place` and `along` more.
 */
INLINE
void NAMED(keep_larger)(T *restrict best, int32_t *restrict at, const T *restrict pixel, int64_t n, int64_t stride,
                        int32_t place, int32_t along) {
    for (int32_t i = 0; i < (int32_t)n; i++) {
        T value = pixel[i * stride];
        int wins = NAMED(wins)(value, best[i]);
        best[i] = wins ? value : best[i];
        at[i] = wins ? place + i * along : at[i];
    }
}

/* n windows of the same rows and columns of pixels, the first of which has its own at `rows` and `columns`. */
static int NAMED(maxima)(const fc_pool *p, const T *x, int64_t inner, window rows, window columns, int64_t n,
                         int64_t stride, T *restrict best, int32_t *restrict at) {
    int32_t along = inner == 1 ? (int32_t)stride : 0, first = (int32_t)(rows.start * p->width + columns.start);
    for (int32_t i = 0; i < (int32_t)n; i++) best[i] = x[first * inner + i * stride], at[i] = first + i * along;
    for (int64_t r = rows.start; r < rows.stop; r += p->rows.step) {
        int status = fc_called_off();
        if (status) return status;
        for (int64_t s = columns.start; s < columns.stop; s += p->columns.step) {
            int32_t place = (int32_t)(r * p->width + s);
            const T *pixel = x + place * inner;
            switch (stride) {
                case 1: NAMED(keep_larger)(best, at, pixel, n, 1, place, along); break;
                case 2: NAMED(keep_larger)(best, at, pixel, n, 2, place, along); break;
                default: NAMED(keep_larger)(best, at, pixel, n, stride, place, along); break;
            }
        }
    }
    return 0;
}

/* Tasks are rows of outputs: of a plane, or of an image of `inner` channels. */
static int NAMED(maxima_work)(const void *context, int64_t begin, int64_t end) {
    const pool_job *j = context;
    const fc_pool *p = j->p;
    const fc_windows *rows = &p->rows, *columns = &p->columns;
    int64_t inner = j->inner, whole_from = columns->count, whole_to = columns->count; /* not cut by an edge */
    if (inner == 1 && columns->kind == FC_SLIDING) {
        int64_t last = columns->size - extent_of(columns) - columns->first; /* where the last of them begins */
        whole_from = min64(columns->count, columns->first < 0 ? ceil_div(-columns->first, columns->stride) : 0);
        whole_to = last < 0 ? whole_from : max64(whole_from, min64(columns->count, last / columns->stride + 1));
    }
    T best[LISTED];
    int32_t at[LISTED];
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / rows->count;
        const T *x = (const T *)j->x + plane * p->height * p->width * inner;
        T *out = (T *)j->out + task * columns->count * inner;
        int64_t *indices = j->indices + task * columns->count * inner;
        window down = window_at(rows, plane, task % rows->count);
        for (int64_t o = 0, n = 1; o < columns->count; o += n) {
            window across = window_at(columns, plane, o);
            int whole = o >= whole_from && o < whole_to;
            n = whole ? min64(whole_to - o, LISTED) : 1;
            for (int64_t c = 0; c < inner; c += LISTED) {
                int64_t count = inner == 1 ? n : min64(inner - c, LISTED);
                int status = NAMED(maxima)(p, x + c, inner, down, across, count, whole ? columns->stride : 1, best, at);
                if (status) return status;
                memcpy(out + o * inner + c, best, (size_t)count * sizeof(T));
                for (int64_t i = 0; i < count; i++) indices[o * inner + c + i] = at[i];
            }
        }
    }
    return 0;
}
