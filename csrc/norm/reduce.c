/* Sums, products and extremes along an axis, and where the extremes are. Called through `operations.def`. Limit: memory
 * bandwidth.
 *
 * x is (outer, count, inner) and the axis that of `count`. Where `inner` is 1, vectors lie along the row; else they lie
 * across `inner`, a strip of a few side by side. Long axes of few rows are cut into shares, which follow from the sizes
 * alone; what these give is reduced in turn. */
#include <math.h>
#include <stdlib.h>

#include "base/parallel.h"
#include "base/total.h"

enum { STRIP = 4, SHARE_ELEMENTS = 16384, MOST_SHARES = 64, SHORT_ROWS = 1024 };

/* One loop each for all sums, extremes and products: what a term is of an element are numbers. */
typedef enum { SUMS, EXTREMES, PRODUCTS } reduction;

typedef struct {
    const real *x;
    real *out;
    int64_t *places;
    int64_t rows, count, inner, strips, shares;
    int how, last;
} reduce_job;

typedef struct {
    lanes kept, squared, flipped;
} terms;

static reduction kind_of(int how) {
    return how == FC_PRODUCT ? PRODUCTS : how == FC_GREATEST || how == FC_SMALLEST ? EXTREMES : SUMS;
}

static terms terms_of(int how) {
    const lanes sign = (lanes)splat((real)-0.0), none = {0};
    int squares = how == FC_SUM_OF_SQUARES || how == FC_ROOT_OF_SQUARES;
    return (terms){how == FC_SUM_OF_SIZES ? ~sign : ~none, squares ? ~none : none, how == FC_SMALLEST ? sign : none};
}

INLINE
vec flip(vec x, const terms *t) { return (vec)((lanes)x ^ t->flipped); }

INLINE
vec term(reduction kind, vec x, const terms *t) {
    if (kind == SUMS) return (vec)((lanes)x & t->kept) * choose(t->squared, x, splat(1));
    return kind == EXTREMES ? flip(x, t) : x;
}

INLINE
vec joined(reduction kind, vec so_far, vec x) {
    return kind == SUMS ? so_far + x : kind == EXTREMES ? larger(x, so_far) : so_far * x;
}

/* What changes nothing. */
INLINE
vec start_of(reduction kind) { return splat(kind == SUMS ? 0 : kind == EXTREMES ? -(real)INFINITY : 1); }

INLINE
void reduce_row(reduction kind, const terms *t, const real *x, int64_t n, real *out) {
    const vec start = start_of(kind), beyond = kind == EXTREMES ? flip(start, t) : start;
    total sum = no_total();
    vec all = start;
    for (int64_t first = 0; first < n; first += PART_TERMS * STRIP * VL) {
        int64_t i = first, end = min64(first + PART_TERMS * STRIP * VL, n);
        vec part[STRIP] = {start, start, start, start};
        for (; i + STRIP * VL <= end; i += STRIP * VL)
#pragma GCC unroll 4
            for (int s = 0; s < STRIP; s++) part[s] = joined(kind, part[s], term(kind, load(x + i + s * VL), t));
        for (; i < end; i += VL) {
            vec own = end - i < VL ? load_masked_or(x + i, mask_between(0, end - i), beyond) : load(x + i);
            part[0] = joined(kind, part[0], term(kind, own, t));
        }
        vec whole = joined(kind, joined(kind, part[0], part[1]), joined(kind, part[2], part[3]));
        if (kind == SUMS)
            add_part(&sum, whole);
        else
            all = joined(kind, all, whole);
    }
    if (kind == SUMS) {
        *out = sum_of_lanes(total_of(&sum));
        return;
    }
    vec first = all;
    for (int l = 1; l < VL; l++) first = joined(kind, first, splat(all[l]));
    *out = kind == EXTREMES ? flip(first, t)[0] : first[0];
}

/* `n` columns, at most a strip of them, of which the elements are `pitch` apart. */
INLINE
void reduce_columns(reduction kind, const terms *t, const real *x, int64_t count, int64_t pitch, int64_t n, real *out) {
    for (int64_t i = 0; i < n; i += VL) {
        total sum = no_total();
        vec all = start_of(kind);
        for (int64_t first = 0; first < count; first += PART_TERMS) {
            vec part = start_of(kind);
            for (int64_t c = first; c < min64(first + PART_TERMS, count); c++)
                part = joined(kind, part, term(kind, load_up_to(x + c * pitch + i, n - i), t));
            if (kind == SUMS)
                add_part(&sum, part);
            else
                all = joined(kind, all, part);
        }
        store_up_to(out + i, kind == SUMS ? total_of(&sum) : kind == EXTREMES ? flip(all, t) : all, n - i);
    }
}

INLINE
void reduce_part(reduction kind, const terms *t, const real *x, int64_t count, int64_t inner, int64_t n, real *out) {
    if (inner == 1)
        reduce_row(kind, t, x, count, out);
    else
        reduce_columns(kind, t, x, count, inner, n, out);
}

/* Tasks are (outer, share of the axis, strip). */
static int reduce_work(const void *context, int64_t begin, int64_t end) {
    const reduce_job *j = context;
    const reduction kind = kind_of(j->how);
    const terms t = terms_of(j->how);
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t row = task / j->strips, first = task % j->strips * STRIP * VL, n = min64(STRIP * VL, j->inner - first);
        int64_t share = row % j->shares, from = j->count * share / j->shares;
        int64_t count = j->count * (share + 1) / j->shares - from;
        const real *x = j->x + (row / j->shares * j->count + from) * j->inner + first;
        real *out = j->out + row * j->inner + first;
        switch (kind) {
            case SUMS: reduce_part(SUMS, &t, x, count, j->inner, n, out); break;
            case EXTREMES: reduce_part(EXTREMES, &t, x, count, j->inner, n, out); break;
            default: reduce_part(PRODUCTS, &t, x, count, j->inner, n, out); break;
        }
    }
    return 0;
}

/* Rows of few elements, a vector of them at once. */
INLINE
void reduce_short(reduction kind, const terms *t, const real *x, int64_t count, int64_t rows, real *out) {
    for (int64_t row = 0; row < rows; row += VL) {
        vec all = start_of(kind);
        for (int64_t c = 0; c < count; c++) {
            real own[VL];
            for (int l = 0; l < VL; l++) own[l] = x[min64(row + l, rows - 1) * count + c];
            all = joined(kind, all, term(kind, load(own), t));
        }
        store_up_to(out + row, kind == EXTREMES ? flip(all, t) : all, rows - row);
    }
}

/* Tasks are so many rows. */
static int short_work(const void *context, int64_t begin, int64_t end) {
    const reduce_job *j = context;
    const terms t = terms_of(j->how);
    for (int64_t task = begin; task < end; task++) {
        int64_t first = task * SHORT_ROWS, rows = min64(SHORT_ROWS, j->rows - first);
        const real *x = j->x + first * j->count;
        switch (kind_of(j->how)) {
            case SUMS: reduce_short(SUMS, &t, x, j->count, rows, j->out + first); break;
            case EXTREMES: reduce_short(EXTREMES, &t, x, j->count, rows, j->out + first); break;
            default: reduce_short(PRODUCTS, &t, x, j->count, rows, j->out + first); break;
        }
    }
    return 0;
}

static int reduce_shares(const real *x, real *out, int64_t outer, int64_t count, int64_t inner, int64_t shares, int how,
                         int threads) {
    reduce_job j = {x, out, NULL, outer, count, inner, inner == 1 ? 1 : ceil_div(inner, STRIP * VL), shares, how, 0};
    double elements = (double)(outer * count) * (double)inner;
    if (inner == 1 && count <= PART_TERMS && shares == 1)
        return fc_parallel(ceil_div(outer, SHORT_ROWS), elements * 1.5, threads, short_work, &j);
    return fc_parallel(outer * shares * j.strips, elements / 4 + 50, threads, reduce_work, &j);
}

int FC_NAME(reduce)(const void *x, void *out, int64_t outer, int64_t count, int64_t inner, int how, int threads) {
    int64_t tasks = outer * (inner == 1 ? 1 : ceil_div(inner, STRIP * VL));
    int64_t shares =
        min64(min64(MOST_SHARES / max64(1, min64(MOST_SHARES, tasks)), count), outer * count * inner / SHARE_ELEMENTS);
    real *result = out;
    int status;
    if (shares < 2)
        status = reduce_shares(x, result, outer, count, inner, 1, how, threads);
    else {
        real *parts = malloc((size_t)(outer * shares * inner) * sizeof(real));
        if (!parts) return FC_NO_MEMORY;
        status = reduce_shares(x, parts, outer, count, inner, shares, how, threads);
        if (!status)
            status =
                reduce_shares(parts, result, outer, shares, inner, 1, kind_of(how) == SUMS ? FC_TOTAL : how, threads);
        free(parts);
    }
    for (int64_t i = 0; i < outer * inner && how == FC_MEAN; i++) result[i] /= (real)count;
    for (int64_t i = 0; i < outer * inner && how == FC_ROOT_OF_SQUARES; i++) result[i] = (real)sqrt(result[i]);
    return status;
}

/* ---- where the extremes are ---- */

/* Is what comes later to be taken? What is no number is more than any; `last` has ones where equal ones count. */
INLINE
lanes is_more(lanes last, vec x, vec best) {
    return (x > best) | ((x == best) & last) | ((x != x) & ((best == best) | last));
}

static int64_t place_in_row(int last, const real *x, int64_t n, real sign) {
    vec best = splat(-(real)INFINITY);
    const lanes later = (lanes){0} - (lane)last;
    lanes at = (lanes){0} - 1;
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vec own = load(x + i) * splat(sign);
        lanes more = is_more(later, own, best) | (at < 0), here = lane_numbers() + (lane)i;
        best = choose(more, own, best), at = (more & here) | (~more & at);
    }
    int64_t place = -1;
    real most = 0;
    for (int l = 0; l < VL; l++) { /* lanes have the best of places far apart */
        if (at[l] < 0) continue;
        int none = most != most, own = best[l] != best[l], same = best[l] == most || (none && own);
        int more = place < 0 || best[l] > most || (own && !none) || (same && (last ? at[l] > place : at[l] < place));
        if (more) most = best[l], place = at[l];
    }
    for (; i < n; i++) {
        real own = x[i] * sign;
        int more = last ? own >= most || own != own : own > most || (own != own && most == most);
        if (place < 0 || more) most = own, place = i;
    }
    return place;
}

static void places_in_columns(int last, const real *x, int64_t count, int64_t pitch, int64_t n, real sign,
                              int64_t *out) {
    const lanes later = (lanes){0} - (lane)last;
    for (int64_t i = 0; i < n; i += VL) {
        vec best = load_up_to(x + i, n - i) * splat(sign);
        lanes at = {0};
        for (int64_t c = 1; c < count; c++) {
            vec own = load_up_to(x + c * pitch + i, n - i) * splat(sign);
            lanes more = is_more(later, own, best);
            best = choose(more, own, best), at = (more & ((lanes){0} + (lane)c)) | (~more & at);
        }
        for (int l = 0; l < min64(VL, n - i); l++) out[i + l] = at[l];
    }
}

static int places_work(const void *context, int64_t begin, int64_t end) {
    const reduce_job *j = context;
    real sign = j->how == FC_GREATEST ? 1 : -1;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t row = task / j->strips, first = task % j->strips * STRIP * VL, n = min64(STRIP * VL, j->inner - first);
        const real *x = j->x + row * j->count * j->inner + first;
        int64_t *out = j->places + row * j->inner + first;
        if (j->inner == 1)
            *out = place_in_row(j->last, x, j->count, sign);
        else
            places_in_columns(j->last, x, j->count, j->inner, n, sign, out);
    }
    return 0;
}

int FC_NAME(extreme_places)(const void *x, void *out, int64_t outer, int64_t count, int64_t inner, int how, int last,
                            int threads) {
    reduce_job j = {x, NULL, out, outer, count, inner, inner == 1 ? 1 : ceil_div(inner, STRIP * VL), 1, how, last};
    double elements = (double)(outer * count) * (double)inner;
    return fc_parallel(outer * j.strips, elements / 2 + 50, threads, places_work, &j);
}
