/* Means of small boxes in two ways over each row: down the columns, straight from the picture, and along what that
 * gives. Used by means.c, whose results these are.
 *
 * What lies beyond the ends of a row is a copy of sums that were computed, so that no picture is copied and no sum made
 * twice. Bytes are summed in 16 bits, which hold boxes of 256 pixels, and running down the columns; where boxes are
 * larger, in 32 bits along the rows, running, too. Divisions are multiplications, exact for all such sums. Other
 * numbers are summed in the order of means.c. */
#ifndef FC_SMALL_BOXES_H
#define FC_SMALL_BOXES_H

#include <string.h>

#include "base/parallel.h"
#include "base/simd.h"
#include "filter/rows.h"

enum { MOST_SIDE = 7 };                   /* of boxes of reals */
enum { MOST_LOADED = 15 };                /* sums of bytes along a row that are not running */
enum { MOST_PIXELS = 1 << 14 };           /* of boxes of bytes: their sums and quotients are exact in float32 */
enum { MOST_LINE = 256 << 10 };           /* bytes of a row of sums */
enum { SMALL_TASK = 128 << 10 };          /* numbers of a task, at least */
enum { BYTES_OF_ROW = 2 * VECTOR_BYTES }; /* what loops may reach beyond the end of a row of sums */

typedef struct {
    const fc_filter *f;
    const char *x;
    char *out;
    int64_t rows, parts, length; /* rows of a task, tasks of a picture, numbers of a row with its ends */
    int64_t down, along;         /* what columns and rows are divided by, or 1 */
    real constant;               /* the mean down a column of constants, or its sum */
} small_job;

/* ---- bytes: where sums are float32 ---- */
#if !FC_DOUBLE

typedef uint16_t u16_vec __attribute__((vector_size(VECTOR_BYTES)));
typedef uint16_t u16_unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(2), may_alias));
typedef uint8_t u8_vec __attribute__((vector_size(VECTOR_BYTES / 2)));
typedef uint8_t u8_unaligned __attribute__((vector_size(VECTOR_BYTES / 2), aligned(1), may_alias));
enum { LANES_16 = VECTOR_BYTES / 2 };

INLINE
u16_vec load_16(const uint16_t *p) { return *(const u16_unaligned *)p; }
INLINE
void store_16(uint16_t *p, u16_vec v) { *(u16_unaligned *)p = v; }
INLINE
u16_vec wide_bytes(const uint8_t *p) {
#if defined(__AVX512F__)
    return (u16_vec)_mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)p));
#elif defined(__AVX2__)
    return (u16_vec)_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
#else
    return __builtin_convertvector(*(const u8_unaligned *)p, u16_vec);
#endif
}
INLINE
void store_bytes(uint8_t *p, u16_vec v) {
#if defined(__AVX512F__)
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi16_epi8((__m512i)v));
#else
    *(u8_unaligned *)p = __builtin_convertvector(v, u8_vec);
#endif
}
/* The upper 16 bits of products. */
INLINE
u16_vec times_high(u16_vec a, uint16_t b) {
#if defined(__AVX512F__)
    return (u16_vec)_mm512_mulhi_epu16((__m512i)a, _mm512_set1_epi16((short)b));
#elif defined(__AVX2__)
    return (u16_vec)_mm256_mulhi_epu16((__m256i)a, _mm256_set1_epi16((short)b));
#else
    u16_vec high;
    for (int i = 0; i < LANES_16; i++) high[i] = (uint16_t)(((uint32_t)a[i] * b) >> 16);
    return high;
#endif
}

typedef lane lanes_unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(lane)), may_alias));
typedef uint8_t byte_lanes __attribute__((vector_size(VECTOR_BYTES / 4)));
typedef uint8_t byte_lanes_unaligned __attribute__((vector_size(VECTOR_BYTES / 4), aligned(1), may_alias));
INLINE
lanes load_lanes(const int32_t *p) { return *(const lanes_unaligned *)p; }
#ifdef __AVX2__
INLINE
lanes wide_16(const uint16_t *p) {
#ifdef __AVX512F__
    return (lanes)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
#else
    return (lanes)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
#endif
}
INLINE
lanes permuted(lanes v, lanes index) { return (lanes)permute((vec)v, index); }
/* 0 where the index is negative. */
INLINE
lanes permuted_or_zero(lanes v, lanes index) {
#ifdef __AVX512F__
    __mmask16 inside = _mm512_cmpge_epi32_mask((__m512i)index, _mm512_setzero_si512());
    return (lanes)_mm512_maskz_permutexvar_epi32(inside, (__m512i)index, (__m512i)v);
#else
    return permuted(v, index) & (index >= 0);
#endif
}
#define EACH_STEP(s, steps) _Pragma("GCC unroll 4") for (int s = 0; s < (steps); s++)
#endif

/* Quotients of sums of `size` bytes: a product with a number of 16 bits, shifted. */
typedef struct {
    uint16_t size, factor;
    int shift;
    int exact;
} quotient;

static quotient quotient_of(int64_t size) {
    int shift = -1;
    while ((int64_t)2 << (shift + 1) <= size) shift++; /* the largest with 2^(shift + 1) <= size */
    if (size > 256) return (quotient){0, 0, 0, 0};
    if (size == 1) return (quotient){1, 0, 0, 1};
    if ((int64_t)1 << (shift + 1) != size) shift++;
    int64_t factor = ceil_div((int64_t)1 << (16 + shift), size), excess = factor * size - ((int64_t)1 << (16 + shift));
    int exact = excess * (255 * size + size / 2) < (int64_t)1 << (16 + shift);
    return (quotient){(uint16_t)size, (uint16_t)factor, shift, exact};
}

/* Cut off, or rounded to the nearest, to an even one where two are as near. */
INLINE
u16_vec divided(u16_vec sums, quotient q, int rounds) {
    if (q.size == 1) return sums;
    if (rounds) sums += q.size / 2;
    u16_vec result = times_high(sums, q.factor) >> q.shift;
    if (rounds && q.size % 2 == 0) result -= (u16_vec)(result * q.size == sums) & result & 1;
    return result;
}

/* Sums of kernel_w numbers of a row, divided: as bytes. `line` has room behind it. */
INLINE
void bytes_along(const uint16_t *line, int64_t count, int64_t step, quotient q, int rounds, uint8_t *to, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES_16) {
        u16_vec sums = load_16(line + i);
        for (int64_t k = 1; k < count; k++) sums += load_16(line + i + k * step);
        sums = divided(sums, q, rounds);
        if (n - i >= LANES_16) {
            store_bytes(to + i, sums);
        } else {
            uint8_t rest[LANES_16];
            store_bytes(rest, sums);
            memcpy(to + i, rest, (size_t)(n - i));
        }
    }
}

/* The same of sums in 32 bits: a half is added, so that no quotient is near enough to an integer for its rounding
 * errors to matter. */
typedef struct {
    vec factor, more;
    int32_t size, half;
    int to_even;
} wide_quotient;

static wide_quotient wide_quotient_of(int64_t size, int rounds) {
    int32_t half = rounds ? (int32_t)size / 2 : 0;
    return (wide_quotient){splat(1 / (real)size), splat((real)half + (real)0.5), (int32_t)size, half,
                           rounds && size % 2 == 0};
}

INLINE
void store_quotients(uint8_t *to, lanes sums, const wide_quotient *q, int64_t n) {
    lanes quotients = __builtin_convertvector((__builtin_convertvector(sums, vec) + q->more) * q->factor, lanes);
    if (q->to_even) quotients += (quotients * q->size == sums + q->half) & -(quotients & 1);
#ifdef __AVX512F__
    byte_lanes bytes = (byte_lanes)_mm512_cvtepi32_epi8((__m512i)quotients);
#elif defined(__AVX2__)
    __m256i all = (__m256i)quotients;
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    byte_lanes bytes = (byte_lanes)_mm_cvtsi128_si64(_mm_packus_epi16(words, words));
#elif defined(__SSE2__)
    __m128i words = _mm_packs_epi32((__m128i)quotients, (__m128i)quotients);
    byte_lanes bytes = (byte_lanes)_mm_cvtsi128_si32(_mm_packus_epi16(words, words));
#else
    byte_lanes bytes = __builtin_convertvector(quotients, byte_lanes);
#endif
    if (n >= VL)
        *(byte_lanes_unaligned *)to = bytes;
    else
        memcpy(to, &bytes, (size_t)n);
}

#ifdef __AVX2__
/* Lanes of a channel are added up in steps of twice the distance, to the last vector's sums. */
INLINE
void run_lanes(const int steps, const uint16_t *come, const uint16_t *leave, int64_t step, const int32_t *first,
               const wide_quotient *q, uint8_t *to, int64_t n) {
    lanes number = lane_numbers(), last = number % (lane)step, from[4];
    EACH_STEP(s, steps) from[s] = number - (lane)(step << s);
    lanes before = permuted(load_lanes(first), last);
    last += (lane)(VL - step);
    for (int64_t i = 0; i < n; i += VL) {
        lanes sums = wide_16(come + i) - wide_16(leave + i);
        EACH_STEP(s, steps) sums += permuted_or_zero(sums, from[s]);
        sums += before;
        before = permuted(sums, last);
        store_quotients(to + i, sums, q, n - i);
    }
}
#endif

/* Quotients of sums of `count` numbers, `step` apart, running: what comes, less what leaves, is added to the sum
 * before. `line` and `sums` have room behind them. */
static void run_along(const uint16_t *line, int64_t count, int64_t step, const wide_quotient *q, int32_t *sums,
                      uint8_t *to, int64_t n) {
    const uint16_t *come = line + count * step, *leave = line;
    int64_t runs = n;
#ifdef __AVX2__
    if (step < VL) runs = min64(step, n);
#endif
    for (int64_t c = 0; c < step; c++) {
        int32_t sum = 0;
        for (int64_t k = 0; k < count; k++) sum += line[c + k * step];
        sums[c] = sum;
        for (int64_t i = c + step; i < runs; i += step) sums[i] = sum += come[i - step] - leave[i - step];
    }
    for (int64_t i = 0; i < runs; i += VL) store_quotients(to + i, load_lanes(sums + i), q, runs - i);
#ifdef __AVX2__
    to += runs, n -= runs;
    if (step * 8 < VL)
        run_lanes(4, come, leave, step, sums, q, to, n);
    else if (step * 4 < VL)
        run_lanes(3, come, leave, step, sums, q, to, n);
    else if (step < VL)
        run_lanes(2, come, leave, step, sums, q, to, n);
#endif
}

static void add_bytes(uint16_t *sums, const uint8_t *come, const uint8_t *leave, int64_t n) {
    int64_t i = 0;
    for (; i + LANES_16 <= n; i += LANES_16) {
        u16_vec v = load_16(sums + i) + wide_bytes(come + i);
        if (leave) v -= wide_bytes(leave + i);
        store_16(sums + i, v);
    }
    for (; i < n; i++) sums[i] = (uint16_t)(sums[i] + come[i] - (leave ? leave[i] : 0));
}

static void divide_bytes(const uint16_t *sums, quotient q, uint16_t *to, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES_16) store_16(to + i, divided(load_16(sums + i), q, 0));
}

static int small_bytes_work(const void *context, int64_t begin, int64_t end) {
    const small_job *j = context;
    const fc_filter *f = j->f;
    int64_t n = f->width * f->channels, before = f->before * f->channels, room = j->length + BYTES_OF_ROW;
    int32_t *running = fc_workspace(FC_OWN, (size_t)room * (sizeof(int32_t) + 3 * sizeof(uint16_t)));
    if (!running) return FC_NO_MEMORY;
    uint16_t *sums = (uint16_t *)(running + room), *line = sums + room;
    uint8_t *constants = (uint8_t *)(line + room);
    memset(constants, (int)f->constant, (size_t)n);
    memset(sums, 0, (size_t)(2 * room) * sizeof(uint16_t));
    quotient down = quotient_of(j->down), along = quotient_of(j->along);
    int loads = along.exact && f->kernel_w <= MOST_LOADED, rounds = f->rounding == FC_SATURATE;
    wide_quotient box = wide_quotient_of(j->along, rounds);
    for (int64_t task = begin; task < end; task++) {
        int64_t image = task / j->parts, first = task % j->parts * j->rows, last = min64(first + j->rows, f->height);
        const uint8_t *x = (const uint8_t *)j->x + image * f->x_image, *came[2];
        int status = fc_called_off();
        if (status) return status;
        memset(sums + before, 0, (size_t)n * sizeof(uint16_t));
        for (int64_t row = first; row < last + f->kernel_h - 1; row++) {
            for (int leaves = 0; leaves < 2; leaves++) {
                int64_t at = row - leaves * f->kernel_h;
                came[leaves] = at < first ? NULL : f->rows[at] < 0 ? constants : x + f->rows[at] * f->x_row;
            }
            add_bytes(sums + before, came[0], came[1], n);
            if (row < first + f->kernel_h - 1) continue;
            uint16_t *whole = sums;
            if (j->down > 1) divide_bytes(sums + before, down, line + before, n), whole = line;
            FILL_ENDS(whole, f, (uint16_t)j->constant)
            uint8_t *to = (uint8_t *)j->out + image * f->out_image + (row - f->kernel_h + 1) * f->out_row;
            if (loads) {
                bytes_along(whole, f->kernel_w, f->channels, along, rounds, to, n);
            } else {
                run_along(whole, f->kernel_w, f->channels, &box, running, to, n);
            }
        }
    }
    return 0;
}

#endif

/* ---- reals ---- */

/* Sums of `size` vectors as sum_windows() adds them up. */
INLINE
vec sum_in_parts(const int size, const vec *x) {
    vec one = x[0], two = x[size & 1], four = x[size & 3];
    if (size & 2) two = x[size & 1] + x[(size & 1) + 1];
    if (size & 4) four = (x[size & 3] + x[(size & 3) + 1]) + (x[(size & 3) + 2] + x[(size & 3) + 3]);
    vec sum = size & 1 ? one : size & 2 ? two : four;
    if ((size & 1) && (size & 2)) sum += two;
    if ((size & 3) && (size & 4)) sum += four;
    return sum;
}

INLINE
void sum_rows(const int size, const real *const *rows, int64_t divisor, real *to, int64_t n) {
    vec all = splat((real)divisor);
    for (int64_t i = 0; i < n; i += VL) {
        vec x[MOST_SIDE], sum;
#pragma GCC unroll 7
        for (int k = 0; k < size; k++) x[k] = load_up_to(rows[k] + i, n - i);
        sum = sum_in_parts(size, x);
        store_up_to(to + i, divisor > 1 ? sum / all : sum, n - i);
    }
}

static void sum_any_rows(int64_t size, const real *const *rows, int64_t divisor, real *to, int64_t n) {
    switch (size) {
        case 1: sum_rows(1, rows, divisor, to, n); break;
        case 2: sum_rows(2, rows, divisor, to, n); break;
        case 3: sum_rows(3, rows, divisor, to, n); break;
        case 4: sum_rows(4, rows, divisor, to, n); break;
        case 5: sum_rows(5, rows, divisor, to, n); break;
        case 6: sum_rows(6, rows, divisor, to, n); break;
        default: sum_rows(7, rows, divisor, to, n);
    }
}

static int small_reals_work(const void *context, int64_t begin, int64_t end) {
    const small_job *j = context;
    const fc_filter *f = j->f;
    int64_t n = f->width * f->channels, before = f->before * f->channels;
    real *line = fc_workspace(FC_OWN, (size_t)(2 * j->length) * sizeof(real)), *constants = line + j->length;
    if (!line) return FC_NO_MEMORY;
    for (int64_t i = 0; i < n; i++) constants[i] = (real)f->constant;
    const real *rows[MOST_SIDE], *shifted[MOST_SIDE];
    for (int64_t k = 0; k < f->kernel_w; k++) shifted[k] = line + k * f->channels;
    for (int64_t task = begin; task < end; task++) {
        int64_t image = task / j->parts, first = task % j->parts * j->rows, last = min64(first + j->rows, f->height);
        int status = fc_called_off();
        if (status) return status;
        for (int64_t row = first; row < last; row++) {
            for (int64_t k = 0; k < f->kernel_h; k++) {
                int64_t source = f->rows[row + k];
                rows[f->kernel_h - 1 - k] =
                    source < 0 ? constants : (const real *)(j->x + image * f->x_image + source * f->x_row);
            }
            sum_any_rows(f->kernel_h, rows, j->down, line + before, n);
            FILL_ENDS(line, f, j->constant)
            sum_any_rows(f->kernel_w, shifted, j->along, (real *)(j->out + image * f->out_image + row * f->out_row), n);
        }
    }
    return 0;
}

/* ---- */

/* Returns FC_NOT_MINE where the box is not small, or where sums do not fit; `late` as in means.c. */
static int small_means(const fc_filter *f, int late, const void *x, void *out, int threads) {
    int64_t down = late || f->kernel_h == 1 ? 1 : f->kernel_h;
    small_job j = {.f = f, .x = x, .out = out, .down = down, .along = f->kernel_w * (late ? f->kernel_h : 1)};
    int type = FC_DOUBLE ? FC_P_F64 : FC_P_F32;
    fc_body body = small_reals_work;
    double each = 40; /* cycles of a vector */
    j.length = (f->width + f->kernel_w - 1) * f->channels;
    j.constant = (real)(late ? f->constant * (double)f->kernel_h : f->constant);
#if !FC_DOUBLE
    if (f->x_type == FC_U8 && f->out_type == FC_U8) {
        body = small_bytes_work, each = 4 + (double)f->kernel_w;
        /* Cut off after each axis, or divided once; what a column of constants gives is then a constant. */
        int cut = f->between == FC_U8 && f->rounding != FC_SATURATE;
        if (!cut && j.down > 1 && j.along > 1) return FC_NOT_MINE;
        if (!cut && j.down > 1) j.along = j.down, j.down = 1; /* of windows one pixel wide */
        if (!(f->constant >= 0 && f->constant <= 255 && f->constant == (double)(int)f->constant)) return FC_NOT_MINE;
        if (has_constant(f) && !cut && f->kernel_h > 1) return FC_NOT_MINE;
        if (f->kernel_h > UINT16_MAX / 255 || f->kernel_h * f->kernel_w > MOST_PIXELS || !quotient_of(j.down).exact)
            return FC_NOT_MINE;
        if (f->kernel_w > MOST_LOADED) each = 20;
    } else
#endif
        if (f->x_type != type || f->out_type != type || (f->between >= 0 && f->between != type) ||
            f->kernel_h > MOST_SIDE || f->kernel_w > MOST_SIDE) {
        return FC_NOT_MINE;
    }
    if (j.length * (int64_t)sizeof(real) > MOST_LINE) return FC_NOT_MINE;
    int64_t row = f->width * f->channels;
    j.rows = max64(ceil_div(SMALL_TASK, max64(row, 1)), 4 * f->kernel_h), j.parts = ceil_div(f->height, j.rows);
    double numbers = (double)f->images * (double)f->height * (double)row;
    return fc_parallel(f->images * j.parts, numbers * each / VL, threads, body, &j);
}

#endif
