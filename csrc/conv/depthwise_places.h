/* Transposed depthwise convolution of NHWC images by any kernel at any stride. Included by depthwise_transposed.c.
 *
 * Output X lies at place I = (X + pad) / stride, and is phase (X + pad) % stride there; a place takes the pixels I - q
 * with the kernel's elements phase + q * stride. Tiling: PLACES neighbouring places of a row of outputs and a vector of
 * channels, one phase after the other: their sums take the same weights. Pixels are read in place, and those outside
 * the image are left out: places that see some of these, or that have outputs outside, are done one by one. The last
 * vector of channels ends with the pixel, and may overlap the one before. */
#ifndef FC_DEPTHWISE_PLACES_H
#define FC_DEPTHWISE_PLACES_H

#include "base/simd.h"
#include "conv/epilogue.h"

enum { PLACES = 8 };

typedef struct {
    const real *x, *weights,
        *residual; /* the pixel of the first place; [vector of channels][tap][VL]; of its phase 0 */
    real *out;
    int64_t channels, line, kernel_w, elements, stride_h, stride_w; /* line: reals of a row of the image */
    int64_t row_phase, low, high;                                   /* of rows of pixels above, which are seen */
    int64_t left, right;                                            /* the same of pixels before */
    int64_t first, end;                                             /* phases along the row that are outputs */
    const fc_epilogue *e;
    bounds between;
    finish_kind kind;
} places_tile;

/* Finishes the sums of neighbouring places, of channels from `c` on, where that takes more than bounds. */
static NOINLINE void finish_places(const places_tile *t, int64_t c, int64_t at, int64_t places, int64_t lanes,
                                   const vec *sums) {
    const channel_lanes channels = without_bias(neighbours(values_from(t->e, c), 0, lanes));
    for (int64_t m = 0; m < places; m++, at += t->stride_w * t->channels)
        finish(t->out + at, sums[m], channels, t->residual ? t->residual + at : NULL, lanes, t->e);
}

/* With `few`, pixels have fewer channels than a vector. */
INLINE
void sum_places(const int M, const int few, const places_tile *t) {
    const int64_t channels = t->channels, lanes = few ? channels : VL;
    const real *weights = t->weights + t->row_phase * t->kernel_w * VL;
    const lane_mask inside = mask_between(0, lanes);
    for (int64_t vector = 0; vector * VL < channels; vector++, weights += t->elements * VL) {
        const int64_t c = few ? 0 : min64(vector * VL, channels - VL);
        vec bias = zero();
        if (t->e->bias) bias = load_masked((const real *)t->e->bias + c, inside);
        for (int64_t phase = t->first; phase < t->end; phase++) {
            vec sum[PLACES];
#pragma GCC unroll 8
            for (int m = 0; m < M; m++) sum[m] = bias;
            for (int64_t q = t->low; q < t->high; q++) {
                int64_t tap = phase + t->left * t->stride_w;
                const real *weight = weights + (q * t->stride_h * t->kernel_w + tap) * VL;
                const real *pixel = t->x - q * t->line - t->left * channels + c;
                for (int64_t p = t->left; p < t->right && tap < t->kernel_w; p++) {
                    vec own = load(weight);
#pragma GCC unroll 8
                    for (int m = 0; m < M; m++)
                        sum[m] += own * (few ? load_masked(pixel + m * channels, inside) : load(pixel + m * channels));
                    tap += t->stride_w, weight += t->stride_w * VL, pixel -= channels;
                }
            }
            int64_t at = phase * channels + c;
            if (t->kind == FINISH_CALL) {
                vec sums[PLACES]; /* or all would lie in memory */
#pragma GCC unroll 8
                for (int m = 0; m < M; m++) sums[m] = sum[m];
                finish_places(t, c, at, M, lanes, sums);
                continue;
            }
#pragma GCC unroll 8
            for (int m = 0; m < M; m++, at += t->stride_w * channels)
                store_up_to(t->out + at, t->kind == FINISH_BOUNDS ? bounded(sum[m], &t->between) : sum[m], lanes);
        }
    }
}

typedef void places_summer(const places_tile *t);
#define PLACES_OF(M)                                                                                                   \
    static void sum_places_##M(const places_tile *t) { sum_places(M, 0, t); }                                          \
    static void sum_places_##M##_few(const places_tile *t) { sum_places(M, 1, t); }
PLACES_OF(1)
PLACES_OF(4)
PLACES_OF(8)

/* Does a row of outputs of an image; `t` has what is the same for all of them. */
static void do_row_of_places(const fc_conv *p, places_tile *t, const real *x, real *out, const real *residual,
                             int64_t y) {
    static places_summer *const summers[3][2] = {
        {sum_places_1, sum_places_1_few}, {sum_places_4, sum_places_4_few}, {sum_places_8, sum_places_8_few}};
    const int64_t width = p->out_width, stride = p->stride_w, few = p->channels < VL;
    const int64_t seen = ceil_div(p->kernel_w, stride), row = (y + p->pad_top) / p->stride_h;
    t->row_phase = (y + p->pad_top) % p->stride_h;
    t->low = max64(0, row - p->out_height + 1);
    t->high = min64(row + 1, ceil_div(p->kernel_h - t->row_phase, p->stride_h));
    const int64_t first = p->pad_left / stride, end = (p->pad_left + p->width - 1) / stride + 1;
    /* Of these places all that is seen is inside, and all phases are. */
    const int64_t whole = max64(ceil_div(p->pad_left, stride), seen - 1),
                  whole_end = min64((p->pad_left + p->width) / stride, width);
    for (int64_t place = first, count; place < end; place += count) {
        const int64_t left = whole_end - place, together = whole_end - whole;
        const int alone = place < whole || left <= 0;
        count = alone || left == 1 || together < 4 ? 1 : left <= 4 || together < 8 ? 4 : 8;
        if (!alone) place = min64(place, whole_end - count); /* the last ones end with the whole ones */
        t->left = alone ? max64(0, place - width + 1) : 0, t->right = alone ? min64(seen, place + 1) : seen;
        t->first = alone ? max64(0, p->pad_left - place * stride) : 0;
        t->end = alone ? min64(stride, p->pad_left + p->width - place * stride) : stride;
        t->x = x + (row * width + place) * p->channels;
        int64_t at = (y * p->width + place * stride - p->pad_left) * p->channels;
        t->out = out + at, t->residual = residual ? residual + at : NULL;
        summers[count / 4][few](t);
    }
}

#endif
