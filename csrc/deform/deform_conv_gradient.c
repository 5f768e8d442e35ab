/* The gradients of deformable convolution. Called through `operations.def`.
 *
 * As forward, sampled pixels are the channels of a 1x1 convolution ("columns"): a row for each channel and tap. Pieces
 * of images, as many as a bounded buffer holds, go through four steps, each shared by all threads:
 * 1. the gradient of the columns: that convolution transposed;
 * 2. each tap of a group of channels reads its places again: the columns, and the gradients of offsets and mask;
 * 3. the gradient of the weights: that of the 1x1 convolution's;
 * 4. each channel's gradient of the columns is added to its plane, in an order that depends on nothing else; in totals
 *    (base/compensated.h) where a pixel is read so often that its sum would lose digits.
 * Limit: gathers, scattered additions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "base/total.h"
#include "base/types.h"
#include "conv/kernel.h"
#include "weight_gradient/kernel.h"

extern const fc_conv_kernel FC_NAME(direct_pixels);
extern const fc_gradient_kernel FC_NAME(gradient_direct);

enum { BLOCK = 256, CHANNELS = 8, COLUMNS_BYTES = 16 << 20, MOST_READERS = 4 * PART_TERMS };

typedef struct {
    const fc_conv *p;
    const real *x, *offset, *mask, *gradient;
    real *grad_x, *grad_offset, *grad_mask;
    int64_t offset_groups, taps, pixels, depth; /* pixels of the output; rows of the columns */
    int64_t piece, pieces, first, count;        /* pixels of a piece, pieces of an image; the pieces in the buffer */
    int64_t blocks;                             /* of CHANNELS channels of an offset group */
    real *columns, *column_gradient, *own_gradient; /* [piece][depth or filters][pixel] */
    uint8_t *readers; /* [image][offset group][pixel]: how often a pixel has been read, up to 255 ... */
    uint8_t *most;    /* ... and the most of a plane */
} deform_gradient_job;

/* For pixels of the output: the four pixels around the place where a tap reads, their shares in what it reads, and the
 * slopes of these with the place. A pixel outside of the image has none, and stands for one inside. */
typedef struct {
    int32_t corner[4][BLOCK];
    real share[4][BLOCK], down[4][BLOCK], right[4][BLOCK];
    real mask[BLOCK];
} places;

static void locate(const deform_gradient_job *j, int64_t image, int64_t group, int64_t tap, int64_t at, int64_t n,
                   places *to) {
    const fc_conv *p = j->p;
    int64_t field = (image * j->offset_groups + group) * j->taps + tap;
    const real *down = j->offset + 2 * field * j->pixels + at, *right = down + j->pixels;
    const real *mask = j->mask ? j->mask + field * j->pixels + at : NULL;
    int64_t row = at / p->out_width, column = at % p->out_width;
    int64_t top = tap / p->kernel_w * p->dilation_h - p->pad_top,
            left = tap % p->kernel_w * p->dilation_w - p->pad_left;
    for (int64_t i = 0; i < n; i++, column++) {
        if (column == p->out_width) column = 0, row++;
        real y = (real)(row * p->stride_h + top) + down[i], x = (real)(column * p->stride_w + left) + right[i];
        /* At -1 a pixel's share is still 0, but its slope is not. */
        int inside = y >= -1 && y < (real)p->height && x >= -1 && x < (real)p->width;
        int unknown = y != y || x != x;
        real nowhere = unknown ? y + x : 0;
        if (!inside) y = x = 0;
        int64_t y0 = (int64_t)floor((double)y), x0 = (int64_t)floor((double)x);
        real dy = y - (real)y0, dx = x - (real)x0;
        int above = inside && y0 >= 0, below = inside && y0 + 1 < p->height;
        int before = x0 >= 0, behind = x0 + 1 < p->width;
        int64_t y1 = min64(y0 + 1, p->height - 1), x1 = min64(x0 + 1, p->width - 1);
        y0 = max64(y0, 0), x0 = max64(x0, 0);
        int exists[4] = {above && before, above && behind, below && before, below && behind};
        to->mask[i] = mask ? mask[i] : 1;
        for (int c = 0; c < 4; c++) {
            real vertical = c / 2 ? dy : 1 - dy, horizontal = c % 2 ? dx : 1 - dx;
            to->corner[c][i] = (int32_t)((c / 2 ? y1 : y0) * p->width + (c % 2 ? x1 : x0));
            to->share[c][i] = exists[c] ? vertical * horizontal : 0;
            to->down[c][i] = exists[c] ? (c / 2 ? horizontal : -horizontal) : 0;
            to->right[c][i] = exists[c] ? (c % 2 ? vertical : -vertical) : 0;
        }
        if (unknown) to->share[0][i] = to->down[0][i] = to->right[0][i] = nowhere;
    }
}

/* The pixels [at, at + n) of an image that piece number i of the buffer holds. */
static void piece_pixels(const deform_gradient_job *j, int64_t i, int64_t *image, int64_t *at, int64_t *n) {
    *image = (j->first + i) / j->pieces, *at = (j->first + i) % j->pieces * j->piece;
    *n = min64(j->piece, j->pixels - *at);
}

/* Copies the gradient of pieces that are less than images, for step 1: tasks are (piece, filter). */
static int copy_work(const void *context, int64_t begin, int64_t end) {
    const deform_gradient_job *j = context;
    for (int64_t task = begin; task < end; task++) {
        int64_t filters = j->p->filters, image, at, n;
        piece_pixels(j, task / filters, &image, &at, &n);
        real *to = j->own_gradient + task * j->piece;
        copy_reals(to, j->gradient + (image * filters + task % filters) * j->pixels + at, n);
        clear_reals(to + n, j->piece - n);
    }
    return 0;
}

/* What the mask and the offsets of a block get. */
typedef struct {
    real mask[BLOCK], down[BLOCK], right[BLOCK];
} sums;

enum { SUMS_REALS = sizeof(sums) / sizeof(real) };

/* A pixel that does not count has share 0, and may be anything. */
static inline real times_share(real x, real share) { return share != 0 ? x * share : 0; }

/* Reads n columns at `at` of the row of one channel and tap, and adds what their gradient gives. */
static void read_places(const places *s, const real *restrict x, const real *restrict gradient, real *restrict column,
                        sums *restrict to, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        real value = 0, down = 0, right = 0;
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) {
            real pixel = x[s->corner[c][i]];
            value += times_share(pixel, s->share[c][i]);
            down += times_share(pixel, s->down[c][i]), right += times_share(pixel, s->right[c][i]);
        }
        column[i] = value * s->mask[i];
        to->mask[i] += value * gradient[i], to->down[i] += down * gradient[i], to->right[i] += right * gradient[i];
    }
}

/* Step 2: tasks are (piece, offset group, tap). */
static int offset_work(const void *context, int64_t begin, int64_t end) {
    const deform_gradient_job *j = context;
    const fc_conv *p = j->p;
    int64_t per_group = p->channels / j->offset_groups;
    places s;
    sums sum, rest, part;
    for (int64_t task = begin; task < end; task++) {
        int64_t tap = task % j->taps, group = task / j->taps % j->offset_groups,
                piece = task / j->taps / j->offset_groups;
        int64_t image, at, all;
        piece_pixels(j, piece, &image, &at, &all);
        int64_t field = (image * j->offset_groups + group) * j->taps + tap;
        for (int64_t i = 0; i < all; i += BLOCK) {
            int64_t n = min64(BLOCK, all - i);
            locate(j, image, group, tap, at + i, n, &s);
            memset(&sum, 0, sizeof sum), memset(&rest, 0, sizeof rest);
            for (int64_t c = group * per_group; c < (group + 1) * per_group;) {
                memset(&part, 0, sizeof part);
                for (int64_t stop = min64(c + PART_TERMS, (group + 1) * per_group); c < stop; c++) {
                    int64_t row = ((piece * p->channels + c) * j->taps + tap) * j->piece + i;
                    read_places(&s, j->x + (image * p->channels + c) * p->height * p->width, j->column_gradient + row,
                                j->columns + row, &part, n);
                }
                add_parts(sum.mask, rest.mask, part.mask, SUMS_REALS);
            }
            copy_totals(sum.mask, sum.mask, rest.mask, SUMS_REALS);
            real *down = j->grad_offset + 2 * field * j->pixels + at + i, *right = down + j->pixels;
            for (int64_t m = 0; m < n; m++) down[m] = sum.down[m] * s.mask[m], right[m] = sum.right[m] * s.mask[m];
            if (j->grad_mask) copy_reals(j->grad_mask + field * j->pixels + at + i, sum.mask, n);
        }
        for (int64_t c = group * per_group; c < (group + 1) * per_group; c++)
            clear_reals(j->columns + ((piece * p->channels + c) * j->taps + tap) * j->piece + all, j->piece - all);
    }
    return 0;
}

/* Step 4a: counts the readers of every pixel; tasks are (image, offset group). */
static int count_work(const void *context, int64_t begin, int64_t end) {
    const deform_gradient_job *j = context;
    int64_t size = j->p->height * j->p->width;
    places s;
    for (int64_t task = begin; task < end; task++) {
        int64_t group = task % j->offset_groups, own = j->first / j->pieces + task / j->offset_groups;
        uint8_t *readers = j->readers + (own * j->offset_groups + group) * size;
        uint8_t most = j->most[own * j->offset_groups + group];
        for (int64_t piece = 0; piece < j->count; piece++) {
            int64_t image, at, all;
            piece_pixels(j, piece, &image, &at, &all);
            for (int64_t tap = 0; tap < j->taps && image == own; tap++)
                for (int64_t i = 0; i < all; i += BLOCK) {
                    int64_t n = min64(BLOCK, all - i);
                    locate(j, image, group, tap, at + i, n, &s);
                    for (int corner = 0; corner < 4; corner++)
                        for (int64_t m = 0; m < n; m++) {
                            uint8_t *count = readers + s.corner[corner][m];
                            if (s.share[corner][m] != 0 && *count < UINT8_MAX) ++*count;
                            if (*count > most) most = *count;
                        }
                }
        }
        j->most[own * j->offset_groups + group] = most;
    }
    return 0;
}

/* Gives n pixels of a column's gradient to the pixels that were read; with what rounding loses in `rests`, if that is
 * not NULL. Corner after corner: neighbouring pixels of the output go to different places then, so that no addition
 * waits for the last one. */
static void give_back(const places *s, const real *gradient, int64_t n, real *to, real *rests) {
    for (int corner = 0; corner < 4; corner++)
        for (int64_t m = 0; m < n; m++) {
            int32_t at = s->corner[corner][m];
            real share = s->share[corner][m];
            /* What was read at an offset of NaN is no pixel's. */
            real part = share == share ? times_share(gradient[m] * s->mask[m], share) : 0;
            if (rests)
                ADD_PART(real, to[at], rests[at], part);
            else
                to[at] += part;
        }
}

/* Step 4b: tasks are (image, offset group, block of its channels). */
static int image_work(const void *context, int64_t begin, int64_t end) {
    const deform_gradient_job *j = context;
    const fc_conv *p = j->p;
    int64_t per_group = p->channels / j->offset_groups, size = p->height * p->width;
    places s;
    for (int64_t task = begin; task < end; task++) {
        int64_t block = task % j->blocks, group = task / j->blocks % j->offset_groups;
        int64_t own = j->first / j->pieces + task / j->blocks / j->offset_groups;
        int64_t c0 = group * per_group + block * CHANNELS, c1 = min64(c0 + CHANNELS, (group + 1) * per_group);
        real *planes = j->grad_x + (own * p->channels + c0) * size, *rests = NULL;
        if (j->most[own * j->offset_groups + group] > MOST_READERS) {
            rests = calloc((size_t)((c1 - c0) * size), sizeof(real));
            if (!rests) return FC_NO_MEMORY;
        }
        for (int64_t piece = 0; piece < j->count; piece++) {
            int64_t image, at, all;
            piece_pixels(j, piece, &image, &at, &all);
            if (image != own) continue;
            if (at == 0) clear_reals(planes, (c1 - c0) * size);
            for (int64_t tap = 0; tap < j->taps; tap++)
                for (int64_t i = 0; i < all; i += BLOCK) {
                    int64_t n = min64(BLOCK, all - i);
                    locate(j, image, group, tap, at + i, n, &s);
                    for (int64_t c = c0; c < c1; c++) {
                        int64_t row = ((piece * p->channels + c) * j->taps + tap) * j->piece + i;
                        int64_t plane = (c - c0) * size;
                        give_back(&s, j->column_gradient + row, n, planes + plane, rests ? rests + plane : NULL);
                    }
                }
        }
        if (rests) copy_totals(planes, planes, rests, (c1 - c0) * size);
        free(rests);
    }
    return 0;
}

/* Takes the pieces of the buffer through all steps; `weights` takes the gradient of their weights. */
static int do_pieces(deform_gradient_job *j, const void *packed, real *weights, int threads) {
    const fc_conv *p = j->p;
    fc_conv inner = {.batch = j->count,
                     .channels = j->depth,
                     .height = 1,
                     .width = j->piece,
                     .filters = p->filters,
                     .kernel_h = 1,
                     .kernel_w = 1,
                     .stride_h = 1,
                     .stride_w = 1,
                     .dilation_h = 1,
                     .dilation_w = 1,
                     .groups = p->groups,
                     .out_height = 1,
                     .out_width = j->piece,
                     .layout = FC_NCHW,
                     .dtype = p->dtype};
    fc_conv transposed = inner;
    transposed.transposed = 1;
    fc_epilogue nothing = {.activation = FC_LINEAR};
    const real *gradient = j->gradient + j->first * p->filters * j->pixels;
    double cycles = (double)(j->count * j->piece) * (double)j->depth * 8;
    int status = 0;
    if (j->own_gradient) {
        gradient = j->own_gradient;
        status = fc_parallel(j->count * p->filters, cycles / 8, threads, copy_work, j);
    }
    if (!status)
        status = FC_NAME(direct_pixels).run(&transposed, gradient, packed, &nothing, j->column_gradient, threads);
    int64_t fields = j->offset_groups * j->taps;
    if (!status) status = fc_parallel(j->count * fields, cycles, threads, offset_work, j);
    if (!status) status = FC_NAME(gradient_direct).run(&inner, j->columns, gradient, weights, NULL, threads);
    int64_t images = (j->first + j->count - 1) / j->pieces - j->first / j->pieces + 1;
    if (!status) status = fc_parallel(images * j->offset_groups, cycles / 8, threads, count_work, j);
    if (!status) status = fc_parallel(images * j->offset_groups * j->blocks, cycles, threads, image_work, j);
    return status;
}

int FC_NAME(deform_conv_gradient)(const fc_conv *p, const void *x, const void *offset, const void *mask,
                                  int64_t offset_groups, const void *weight, const void *gradient, void *grad_x,
                                  void *grad_offset, void *grad_weight, void *grad_mask, int threads) {
    deform_gradient_job j = {.p = p,
                             .x = x,
                             .offset = offset,
                             .mask = mask,
                             .gradient = gradient,
                             .grad_x = grad_x,
                             .grad_offset = grad_offset,
                             .grad_mask = grad_mask,
                             .offset_groups = offset_groups,
                             .taps = p->kernel_h * p->kernel_w,
                             .pixels = p->out_height * p->out_width,
                             .blocks = ceil_div(p->channels / offset_groups, CHANNELS)};
    j.depth = p->channels * j.taps;
    int64_t fitting = COLUMNS_BYTES / (int64_t)sizeof(real) / j.depth;
    j.piece = min64(j.pixels, max64(4 * VL, fitting / (4 * VL) * (4 * VL)));
    j.pieces = ceil_div(j.pixels, j.piece);
    int64_t all = p->batch * j.pieces, most = max64(1, min64(all, fitting / j.piece));
    int64_t weights = p->filters * j.depth / p->groups;
    fc_conv inner = {.batch = 1,
                     .channels = j.depth,
                     .height = 1,
                     .width = j.piece,
                     .filters = p->filters,
                     .kernel_h = 1,
                     .kernel_w = 1,
                     .stride_h = 1,
                     .stride_w = 1,
                     .dilation_h = 1,
                     .dilation_w = 1,
                     .groups = p->groups,
                     .out_height = 1,
                     .out_width = j.piece,
                     .layout = FC_NCHW,
                     .dtype = p->dtype,
                     .transposed = 1};
    const fc_conv_kernel *kernel = &FC_NAME(direct_pixels);
    void *packed = malloc(kernel->weight_bytes(&inner));
    j.columns = malloc((size_t)(2 * most * j.depth * j.piece) * sizeof(real));
    j.column_gradient = j.columns + most * j.depth * j.piece;
    if (j.pieces > 1) j.own_gradient = malloc((size_t)(most * p->filters * j.piece) * sizeof(real));
    int64_t planes = p->batch * offset_groups;
    j.readers = calloc((size_t)(planes * (p->height * p->width + 1)), 1);
    j.most = j.readers + planes * p->height * p->width;
    /* The weights' sums of the next pieces, and the rests of their total. */
    real *part = most < all ? calloc((size_t)(2 * weights), sizeof(real)) : NULL;
    int missing = !packed || !j.columns || !j.readers || (j.pieces > 1 && !j.own_gradient) || (most < all && !part);
    int status = missing ? FC_NO_MEMORY : 0;
    if (!status) status = kernel->prepare(&inner, weight, packed, threads);
    for (j.first = 0; j.first < all && !status; j.first += j.count) {
        j.count = min64(most, all - j.first);
        status = do_pieces(&j, packed, j.first ? part : grad_weight, threads);
        if (!status && j.first) add_parts(grad_weight, part + weights, part, weights);
    }
    if (!status && part) copy_totals(grad_weight, grad_weight, part + weights, weights);
    free(packed), free(j.columns), free(j.own_gradient), free(part), free(j.readers);
    return status;
}
