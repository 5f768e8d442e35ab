/* The smallest and the largest pixel of boxes, and pixels of a rank by sorting networks, of every type that pictures
 * have. Entry points of fastconv.h through `dispatch.c`, compiled once for each instruction set. Limit: the first-level
 * cache.
 *
 * Extrema are put together from windows of half the size, as in means.c. A network exchanges vectors: one of each pixel
 * of the window, for many neighbouring windows at once, which all lie in the first-level cache. */
#include <string.h>

#include "base/parallel.h"
#include "base/simd.h"
#include "filter/bands.h"
#include "filter/counts.h"

enum { TASK_BYTES = 192 << 10, RING_BYTES = 128 << 10 };
enum { LEAST_ROWS = 32 };
/* Of boxes that are done straight from the picture; numbers of their tasks; bytes of their rows. */
enum { SMALL_SIDE = 7, SMALL_TASK = 128 << 10, MOST_LINE = 256 << 10 };
enum { CHUNK_BYTES = 256 }; /* of neighbours that go through a network at once */
enum { ABREAST = 4 };       /* vectors of extremes at once */
#define EACH(v, count) _Pragma("GCC unroll 4") for (int v = 0; v < (count); v++)

typedef struct {
    const fc_filter *f;
    const char *x;
    char *out;
    bands b;
    int64_t room; /* of a row, in elements */
    int largest;
    const int64_t *offsets;
    const int32_t *exchanges;
    int64_t count, steps, place;
    int64_t side; /* of the whole box whose median is looked for, or 0 */
} window_job;

typedef int (*window_body)(const void *context, int64_t begin, int64_t end);

/* Sorting networks whose middle number is looked for, as EXCHANGE(low, high); what that does not take is not computed.
 * MIDDLE_9 is Paeth's (Graphics Gems, 1990), the other Batcher's merge exchange (Knuth, volume 3, 5.2.2M). */
/* A formatter moves such lines for ever. */
/* clang-format off */
#define MIDDLE_9(E) \
    E(1, 2) E(4, 5) E(7, 8) E(0, 1) E(3, 4) E(6, 7) E(1, 2) E(4, 5) E(7, 8) E(0, 3) \
    E(5, 8) E(4, 7) E(3, 6) E(1, 4) E(2, 5) E(4, 7) E(4, 2) E(6, 4) E(4, 2)
#define MIDDLE_25(E) \
    E(0, 16) E(1, 17) E(2, 18) E(3, 19) E(4, 20) E(5, 21) E(6, 22) E(7, 23) E(8, 24) E(0, 8) \
    E(1, 9) E(2, 10) E(3, 11) E(4, 12) E(5, 13) E(6, 14) E(7, 15) E(16, 24) E(8, 16) E(9, 17) \
    E(10, 18) E(11, 19) E(12, 20) E(13, 21) E(14, 22) E(15, 23) E(0, 4) E(1, 5) E(2, 6) E(3, 7) \
    E(8, 12) E(9, 13) E(10, 14) E(11, 15) E(16, 20) E(17, 21) E(18, 22) E(19, 23) E(4, 16) E(5, 17) \
    E(6, 18) E(7, 19) E(12, 24) E(4, 8) E(5, 9) E(6, 10) E(7, 11) E(12, 16) E(13, 17) E(14, 18) \
    E(15, 19) E(20, 24) E(0, 2) E(1, 3) E(4, 6) E(5, 7) E(8, 10) E(9, 11) E(12, 14) E(13, 15) \
    E(16, 18) E(17, 19) E(20, 22) E(21, 23) E(2, 16) E(3, 17) E(6, 20) E(7, 21) E(10, 24) E(2, 8) \
    E(3, 9) E(6, 12) E(7, 13) E(10, 16) E(11, 17) E(14, 20) E(15, 21) E(18, 24) E(2, 4) E(3, 5) \
    E(6, 8) E(7, 9) E(10, 12) E(11, 13) E(14, 16) E(15, 17) E(18, 20) E(19, 21) E(22, 24) E(0, 1) \
    E(2, 3) E(4, 5) E(6, 7) E(8, 9) E(10, 11) E(12, 13) E(14, 15) E(16, 17) E(18, 19) E(20, 21) \
    E(22, 23) E(1, 16) E(3, 18) E(5, 20) E(7, 22) E(9, 24) E(5, 12) E(7, 14) E(9, 16) E(11, 18) \
    E(9, 12) E(11, 14) E(11, 12)
/* clang-format on */
/* The lesser and the greater of two vectors, where there is an instruction for it. */
#if defined(__AVX512F__)
#define OF_VECTORS(name, type, a, b) (V) _mm512_##name##_##type((__m512i)(a), (__m512i)(b))
#elif defined(__AVX2__)
#define OF_VECTORS(name, type, a, b) (V) _mm256_##name##_##type((__m256i)(a), (__m256i)(b))
#elif defined(__SSE2__)
#define OF_VECTORS(name, type, a, b) (V) _mm_##name##_##type((__m128i)(a), (__m128i)(b))
#endif
#define CHOSEN(condition, a, b) (V)(((condition) & (C)(a)) | (~(condition) & (C)(b)))

#define T uint8_t
#define LANE int8_t
#define NAMED(name) name##_u8
#define IS_NAN(value) 0
#ifdef OF_VECTORS
#define LESSER(a, b) OF_VECTORS(min, epu8, a, b)
#define GREATER(a, b) OF_VECTORS(max, epu8, a, b)
#endif
#include "filter/window_type.h"
#define T int16_t
#define LANE int16_t
#define NAMED(name) name##_i16
#define IS_NAN(value) 0
#ifdef OF_VECTORS
#define LESSER(a, b) OF_VECTORS(min, epi16, a, b)
#define GREATER(a, b) OF_VECTORS(max, epi16, a, b)
#endif
#include "filter/window_type.h"
#define T uint16_t
#define LANE int16_t
#define NAMED(name) name##_u16
#define IS_NAN(value) 0
#if defined(__SSE2__) && !defined(__SSE4_1__) /* it has differences that end at 0 */
#define LESSER(a, b) ((a) - OF_VECTORS(subs, epu16, a, b))
#define GREATER(a, b) ((b) + OF_VECTORS(subs, epu16, a, b))
#elif defined(OF_VECTORS)
#define LESSER(a, b) OF_VECTORS(min, epu16, a, b)
#define GREATER(a, b) OF_VECTORS(max, epu16, a, b)
#endif
#include "filter/window_type.h"
#define T float
#define LANE int32_t
#define NAMED(name) name##_f32
#define IS_NAN(value) ((value) != (value))
#ifdef __AVX512F__
#define LESSER(a, b) (V) _mm512_mask_min_ps(a, _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), a, b)
#define GREATER(a, b) (V) _mm512_mask_max_ps(a, _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), a, b)
#endif
#include "filter/window_type.h"
#define T double
#define LANE int64_t
#define NAMED(name) name##_f64
#define IS_NAN(value) ((value) != (value))
#include "filter/window_type.h"

#define PICK(name)                                                                                                     \
    (f->x_type == FC_U8      ? name##_u8                                                                               \
     : f->x_type == FC_I16   ? name##_i16                                                                              \
     : f->x_type == FC_U16   ? name##_u16                                                                              \
     : f->x_type == FC_P_F32 ? name##_f32                                                                              \
                             : name##_f64)

static double bytes_of(const fc_filter *f) {
    return (double)f->images * (double)f->height * (double)f->width * (double)(f->channels * item_of(f->x_type));
}

/* Boxes that are done straight from the picture: small ones, of rows that are not too long. */
static int small_boxes(window_job *j, double each, int threads) {
    const fc_filter *f = j->f;
    int64_t length = (f->width + f->kernel_w - 1) * f->channels, row = f->width * f->channels;
    if (max64(f->kernel_h, f->kernel_w) > SMALL_SIDE || length * item_of(f->x_type) > MOST_LINE) return FC_NOT_MINE;
    int64_t rows = round_up(max64(ceil_div(SMALL_TASK, max64(row, 1)), 4), 2);
    j->b = (bands){rows, max64(f->width, 1), ceil_div(f->height, rows), f->width > 0};
    j->room = round_up(length, VECTOR_BYTES) + VECTOR_BYTES;
    return fc_parallel(band_count(f, &j->b), bytes_of(f) * each / VECTOR_BYTES, threads, PICK(small_boxes_work), j);
}

int FC_NAME(filter_extrema)(const fc_filter *f, int largest, const void *x, void *out, int threads) {
    if (!tables_fit(f)) return FC_OUT_OF_RANGE;
    window_job j = {.f = f, .x = x, .out = out, .largest = largest};
    int64_t item = item_of(f->x_type), least = max64(LEAST_ROWS, f->kernel_h);
    int status = small_boxes(&j, 12, threads);
    if (status != FC_NOT_MINE) return status;
    j.b = bands_of(f, 2 * (least + f->kernel_h), item, TASK_BYTES, least);
    j.room = round_up((j.b.pixels + f->kernel_w - 1) * f->channels, VECTOR_BYTES) + VECTOR_BYTES;
    return fc_parallel(band_count(f, &j.b), bytes_of(f) * 30 / VECTOR_BYTES, threads, PICK(extrema_work), &j);
}

int FC_NAME(filter_network)(const fc_filter *f, const int64_t *offsets, int64_t count, const int32_t *exchanges,
                            int64_t steps, int64_t place, const void *x, void *out, int threads) {
    if (count > FC_MOST_NETWORK && steps) return FC_NOT_MINE;
    int inside = tables_fit(f) && place >= 0 && place < count;
    for (int64_t i = 0; i < 3 * steps; i++) inside &= i % 3 == 2 || (exchanges[i] >= 0 && exchanges[i] < count);
    for (int64_t i = 0; i < 2 * count; i++)
        inside &= offsets[i] >= 0 && offsets[i] < (i % 2 ? f->kernel_w : f->kernel_h);
    if (!inside) return FC_OUT_OF_RANGE;
    if (!steps) return FC_NAME(filter_counts)(f, place, x, out, threads);
    window_job j = {.f = f, .x = x, .out = out, .offsets = offsets, .exchanges = exchanges};
    j.count = count, j.steps = steps, j.place = place;
    if (f->kernel_h == f->kernel_w && count == f->kernel_h * f->kernel_w && 2 * place + 1 == count)
        j.side = f->kernel_h;
    if (j.side == 3 && item_of(f->x_type) <= 2 && f->width * f->channels * item_of(f->x_type) >= VECTOR_BYTES) {
        int status = small_boxes(&j, 16, threads);
        if (status != FC_NOT_MINE) return status;
    }
    j.b = bands_of(f, f->kernel_h, item_of(f->x_type), RING_BYTES, LEAST_ROWS);
    j.room = round_up((j.b.pixels + f->kernel_w - 1) * f->channels, CHUNK_BYTES) + 2 * CHUNK_BYTES;
    double cycles = bytes_of(f) * (double)(2 * steps + count) / VECTOR_BYTES;
    return fc_parallel(band_count(f, &j.b), cycles, threads, PICK(network_work), &j);
}
