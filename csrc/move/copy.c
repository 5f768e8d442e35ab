/* Copies a region of an array into a region of another, each with strides of its own: transposes, slices, parts of a
 * concatenation, broadcasts. An entry point of fastconv.h, compiled once for all instruction sets. Called by network.c.
 *
 * Tasks are the rows of the result's last two axes. Where these two are transposed against the source, squares are
 * copied, whose rows stay in cache on both sides. Limit: memory bandwidth. */
#include <string.h>

#include "base/parallel.h"
#include "fastconv.h"

enum { SQUARE = 32 };

typedef struct {
    const fc_region *r;
    const char *x;
    char *out;
    int64_t rows;
    int64_t band; /* rows of a task */
} copy_job;

/* Rows of `length` elements; strides in elements. */
#define COPY_ROWS(type)                                                                                                \
    for (int64_t first = 0; first < length; first += SQUARE) {                                                         \
        int64_t end = first + SQUARE < length ? first + SQUARE : length;                                               \
        for (int64_t row = 0; row < rows; row++) {                                                                     \
            const type *p = (const type *)from + row * from_row;                                                       \
            type *q = (type *)to + row * to_row;                                                                       \
            for (int64_t i = first; i < end; i++) q[i * to_step] = p[i * from_step];                                   \
        }                                                                                                              \
    }                                                                                                                  \
    break

/* Three planes as pixels of three numbers, as the images that networks are given. */
#ifdef __clang__
#define PICK(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define PICK(x, y, ...) __builtin_shuffle(x, y, (quad){__VA_ARGS__})
#endif
typedef uint32_t quad __attribute__((vector_size(16), aligned(4), may_alias));

static void copy_triples(const uint32_t *from, int64_t plane, uint32_t *to, int64_t length) {
    int64_t i = 0;
    for (; i + 4 <= length; i += 4, to += 12) {
        const quad a = *(const quad *)(from + i), b = *(const quad *)(from + plane + i),
                   c = *(const quad *)(from + 2 * plane + i);
        const quad ab = PICK(a, b, 0, 4, 1, 5), bc = PICK(b, c, 1, 5, 2, 6), ca = PICK(c, a, 2, 7, 2, 7),
                   last = PICK(b, c, 3, 7, 3, 7);
        ((quad *)to)[0] = PICK(ab, c, 0, 1, 4, 2);
        ((quad *)to)[1] = PICK(bc, a, 0, 1, 6, 2);
        ((quad *)to)[2] = PICK(ca, last, 0, 1, 4, 5);
    }
    for (; i < length; i++, to += 3) to[0] = from[i], to[1] = from[plane + i], to[2] = from[2 * plane + i];
}

static void copy_rows(const char *from, int64_t from_row, int64_t from_step, char *to, int64_t to_row, int64_t to_step,
                      int64_t rows, int64_t length, int item) {
    if (from_step == 1 && to_step == 1) {
        for (int64_t row = 0; row < rows; row++)
            memcpy(to + row * to_row * item, from + row * from_row * item, (size_t)(length * item));
        return;
    }
    if (length < rows && length < SQUARE) { /* the longer way within */
        int64_t row = from_row, to_this = to_row, count = rows;
        from_row = from_step, to_row = to_step, rows = length;
        from_step = row, to_step = to_this, length = count;
    }
    if (item == 4 && rows == 3 && from_step == 1 && to_step == 3 && to_row == 1) {
        copy_triples((const uint32_t *)from, from_row, (uint32_t *)to, length);
        return;
    }
    switch (item) {
        case 1: COPY_ROWS(uint8_t);
        case 2: COPY_ROWS(uint16_t);
        case 4: COPY_ROWS(uint32_t);
        default: COPY_ROWS(uint64_t);
    }
}

static int copy_work(const void *context, int64_t begin, int64_t end) {
    const copy_job *j = context;
    const fc_region *r = j->r;
    int last = r->axes - 1;
    int64_t bands = (j->rows + j->band - 1) / j->band;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t first = task % bands * j->band, rows = j->rows - first < j->band ? j->rows - first : j->band;
        int64_t rest = task / bands, from = first * r->x_strides[last - 1], to = first * r->out_strides[last - 1];
        for (int axis = last - 2; axis >= 0; axis--) {
            from += rest % r->sizes[axis] * r->x_strides[axis], to += rest % r->sizes[axis] * r->out_strides[axis];
            rest /= r->sizes[axis];
        }
        copy_rows(j->x + from * r->item, r->x_strides[last - 1], r->x_strides[last], j->out + to * r->item,
                  r->out_strides[last - 1], r->out_strides[last], rows, r->sizes[last], r->item);
    }
    return 0;
}

int fc_copy(const fc_region *r, const void *x, void *out, int threads) {
    int64_t count = 1, outer = 1;
    for (int axis = 0; axis < r->axes; axis++) count *= r->sizes[axis];
    if (!count) return 0;
    for (int axis = 0; axis < r->axes - 2; axis++) outer *= r->sizes[axis];
    copy_job j = {r, x, out, r->sizes[r->axes - 2], SQUARE};
    int64_t length = r->sizes[r->axes - 1] * r->item;
    int flat = r->x_strides[r->axes - 1] == 1 && r->out_strides[r->axes - 1] == 1;
    if (!flat && r->sizes[r->axes - 1] < SQUARE) j.band = SQUARE * SQUARE / r->sizes[r->axes - 1];
    if (flat && length < 8192) j.band = 1 + 8192 / length;
    if (flat && length >= 8192) j.band = 1;
    double cycles = (double)count * (flat ? 0.1 * r->item : 1.5);
    return fc_parallel(outer * ((j.rows + j.band - 1) / j.band), cycles, threads, copy_work, &j);
}
