/* Sums, products and extremes along an axis, and where the extremes are. Called through `operations.def`. Limit: memory
 * bandwidth.
 *
 * x is (outer, count, inner) and the axis that of `count`. Where `inner` is 1, vectors lie along the row; else they lie
 * across `inner`, a strip of a few side by side. Long axes of few rows are cut into shares, which follow from the sizes
 * alone; what these give is reduced in turn. */
#include <math.h>
#include <stdlib.h>

#include "base/exponential.h"
#include "base/parallel.h"
#include "base/total.h"

enum { STRIP = 4, SHARE_ELEMENTS = 16384, MOST_SHARES = 64 };

typedef struct {
    const real *x;
    real *out;
    int64_t *places;
    int64_t count, inner, strips, shares;
    int how, last;
} reduce_job;

static int is_sum(int how) { return how != FC_GREATEST && how != FC_SMALLEST && how != FC_PRODUCT; }

INLINE
real start_of(int how) {
    return how == FC_GREATEST ? -(real)INFINITY : how == FC_SMALLEST ? (real)INFINITY : how == FC_PRODUCT ? 1 : 0;
}

/* What is reduced of an element. */
INLINE
vec term(int how, vec x) {
    return how == FC_SUM_OF_SIZES ? absolute(x) : how == FC_SUM_OF_SQUARES || how == FC_ROOT_OF_SQUARES ? x * x : x;
}

INLINE
vec joined(int how, vec so_far, vec x) {
    if (how == FC_GREATEST) return larger(x, so_far);
    if (how == FC_SMALLEST) return -larger(-x, -so_far);
    if (how == FC_PRODUCT) return so_far * x;
    return so_far + x;
}

/* `n` elements of a row; unless they are summed, `start` is what changes nothing. */
INLINE
vec reduced_row(const int how, const real *x, int64_t n) {
    const vec start = splat(start_of(how));
    total sum = no_total();
    vec all = start;
    for (int64_t first = 0; first < n; first += PART_TERMS * STRIP * VL) {
        int64_t i = first, end = min64(first + PART_TERMS * STRIP * VL, n);
        vec part[STRIP] = {start, start, start, start};
        for (; i + STRIP * VL <= end; i += STRIP * VL)
#pragma GCC unroll 4
            for (int s = 0; s < STRIP; s++) part[s] = joined(how, part[s], term(how, load(x + i + s * VL)));
        for (; i < end; i += VL) {
            vec own = end - i < VL ? load_masked_or(x + i, mask_between(0, end - i), start) : load(x + i);
            part[0] = joined(how, part[0], term(how, own));
        }
        vec whole = joined(how, joined(how, part[0], part[1]), joined(how, part[2], part[3]));
        if (is_sum(how))
            add_part(&sum, whole);
        else
            all = joined(how, all, whole);
    }
    return is_sum(how) ? total_of(&sum) : all;
}

INLINE
void reduce_row(const int how, const real *x, int64_t n, real *out) {
    vec all = reduced_row(how, x, n);
    if (is_sum(how)) {
        *out = sum_of_lanes(all);
        return;
    }
    vec first = all;
    for (int l = 1; l < VL; l++) first = joined(how, first, splat(all[l]));
    *out = first[0];
}

/* `n` columns, at most a strip of them, of which the elements are `pitch` apart. */
INLINE
void reduce_columns(const int how, const real *x, int64_t count, int64_t pitch, int64_t n, real *out) {
    const vec start = splat(start_of(how));
    for (int64_t i = 0; i < n; i += VL) {
        total sum = no_total();
        vec all = start;
        for (int64_t first = 0; first < count; first += PART_TERMS) {
            vec part = start;
            for (int64_t c = first; c < min64(first + PART_TERMS, count); c++)
                part = joined(how, part, term(how, load_up_to(x + c * pitch + i, n - i)));
            if (is_sum(how))
                add_part(&sum, part);
            else
                all = joined(how, all, part);
        }
        store_up_to(out + i, is_sum(how) ? total_of(&sum) : all, n - i);
    }
}

INLINE
void reduce_part(const int how, const real *x, int64_t count, int64_t inner, int64_t n, real *out) {
    if (inner == 1)
        reduce_row(how, x, count, out);
    else
        reduce_columns(how, x, count, inner, n, out);
}

/* Tasks are (outer, share of the axis, strip). */
static int reduce_work(const void *context, int64_t begin, int64_t end) {
    const reduce_job *j = context;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t row = task / j->strips, first = task % j->strips * STRIP * VL, n = min64(STRIP * VL, j->inner - first);
        int64_t share = row % j->shares, from = j->count * share / j->shares;
        int64_t count = j->count * (share + 1) / j->shares - from;
        const real *x = j->x + (row / j->shares * j->count + from) * j->inner + first;
        real *out = j->out + row * j->inner + first;
        switch (j->how) {
            case FC_SUM_OF_SIZES: reduce_part(FC_SUM_OF_SIZES, x, count, j->inner, n, out); break;
            case FC_ROOT_OF_SQUARES:
            case FC_SUM_OF_SQUARES: reduce_part(FC_SUM_OF_SQUARES, x, count, j->inner, n, out); break;
            case FC_GREATEST: reduce_part(FC_GREATEST, x, count, j->inner, n, out); break;
            case FC_SMALLEST: reduce_part(FC_SMALLEST, x, count, j->inner, n, out); break;
            case FC_PRODUCT: reduce_part(FC_PRODUCT, x, count, j->inner, n, out); break;
            default: reduce_part(FC_TOTAL, x, count, j->inner, n, out); break;
        }
    }
    return 0;
}

static int reduce_shares(const real *x, real *out, int64_t outer, int64_t count, int64_t inner, int64_t shares, int how,
                         int threads) {
    reduce_job j = {x, out, NULL, count, inner, inner == 1 ? 1 : ceil_div(inner, STRIP * VL), shares, how, 0};
    double elements = (double)(outer * count) * (double)inner;
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
            status = reduce_shares(parts, result, outer, shares, inner, 1, is_sum(how) ? FC_TOTAL : how, threads);
        free(parts);
    }
    for (int64_t i = 0; i < outer * inner && how == FC_MEAN; i++) result[i] /= (real)count;
    for (int64_t i = 0; i < outer * inner && how == FC_ROOT_OF_SQUARES; i++) result[i] = (real)sqrt(result[i]);
    return status;
}

/* ---- where the extremes are ---- */

/* Is what comes later to be taken? What is no number is more than any. */
INLINE
lanes is_more(const int last, vec x, vec best) {
    return last ? (x >= best) | (x != x) : (x > best) | ((x != x) & (best == best));
}

INLINE
int64_t place_in_row(const int last, const real *x, int64_t n, real sign) {
    vec best = splat(-(real)INFINITY);
    lanes at = {0};
    at -= 1;
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vec own = load(x + i) * splat(sign);
        lanes more = is_more(last, own, best) | (at < 0), here = lane_numbers() + (lane)i;
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

INLINE
void places_in_columns(const int last, const real *x, int64_t count, int64_t pitch, int64_t n, real sign,
                       int64_t *out) {
    for (int64_t i = 0; i < n; i += VL) {
        vec best = load_up_to(x + i, n - i) * splat(sign);
        lanes at = {0};
        for (int64_t c = 1; c < count; c++) {
            vec own = load_up_to(x + c * pitch + i, n - i) * splat(sign);
            lanes more = is_more(last, own, best);
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
            *out = j->last ? place_in_row(1, x, j->count, sign) : place_in_row(0, x, j->count, sign);
        else if (j->last)
            places_in_columns(1, x, j->count, j->inner, n, sign, out);
        else
            places_in_columns(0, x, j->count, j->inner, n, sign, out);
    }
    return 0;
}

int FC_NAME(extreme_places)(const void *x, void *out, int64_t outer, int64_t count, int64_t inner, int how, int last,
                            int threads) {
    reduce_job j = {x, NULL, out, count, inner, inner == 1 ? 1 : ceil_div(inner, STRIP * VL), 1, how, last};
    double elements = (double)(outer * count) * (double)inner;
    return fc_parallel(outer * j.strips, elements / 2 + 50, threads, places_work, &j);
}
