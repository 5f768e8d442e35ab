/* Convolutions of NHWC images whose channels see few others: vectors over channels, a tile of PIXELS outputs of a row
 * at a time. Used by depthwise.c and grouped.c.
 *
 * A block of channels goes down a band of columns. Its input rows are copied once, with zeros around, into a ring of as
 * many as the kernel sees, which L1 holds: in the image a block's pixels are far apart. Where strides leave too little
 * use for a pixel to pay for that, the image is read in place, but for tiles at its edges. Weights are packed
 * [block][tap][channel of the group][VL]. Limit: FMA throughput; copying, for small kernels. */
#ifndef FC_PIXELS_NHWC_H
#define FC_PIXELS_NHWC_H

#include <math.h>

#include "base/bands.h"
#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/epilogue.h"
#include "conv/grid.h"

enum { PIXELS = 8, RING_BYTES = 32 << 10, BAND_ROWS_BYTES = 512 << 10 };

/* A tile: PIXELS outputs of a row, a block of channels. */
typedef struct {
    const real *const *rows; /* what the taps' rows see, from the tile's first pixel on */
    const real *weights;
    int64_t row_count, columns, pixel_step, stride, channels_each;
    const lanes *places;
} tile_nhwc;

typedef void sum_nhwc_function(const tile_nhwc *t, vec *sums);

/* Sums a tile. With `kernel` columns of neighbouring taps, a pixel is loaded once for all outputs that see it; 0 is any
 * kernel. In groups, every lane takes each channel of its group in turn. */
INLINE
void sum_nhwc(const int kernel, const int stride, const int grouped, const tile_nhwc *t, vec *sums) {
    vec sum[PIXELS];
    const int64_t each = grouped ? t->channels_each : 1;
    const real *weights = t->weights;
#pragma GCC unroll 8
    for (int m = 0; m < PIXELS; m++) sum[m] = zero();
    for (int64_t r = 0; r < t->row_count; r++, weights += t->columns * each * VL)
        for (int64_t c = 0; c < each; c++) {
            const real *row = t->rows[r];
            lanes place = grouped ? t->places[c] : lane_numbers();
            if (kernel) {
                vec weight[7];
#pragma GCC unroll 8
                for (int s = 0; s < kernel; s++) weight[s] = load(weights + (s * each + c) * VL);
#pragma GCC unroll 32
                for (int i = 0; i < (PIXELS - 1) * stride + kernel; i++) {
                    vec pixel = load(row + i * t->pixel_step);
                    if (grouped) pixel = permute(pixel, place);
#pragma GCC unroll 8
                    for (int m = 0; m < PIXELS; m++)
                        if (i - m * stride >= 0 && i - m * stride < kernel) sum[m] += weight[i - m * stride] * pixel;
                }
                continue;
            }
            for (int64_t s = 0; s < t->columns; s++, row += t->pixel_step) {
                vec weight = load(weights + (s * each + c) * VL);
#pragma GCC unroll 8
                for (int m = 0; m < PIXELS; m++) {
                    vec pixel = load(row + m * t->stride);
                    sum[m] += weight * (grouped ? permute(pixel, place) : pixel);
                }
            }
        }
#pragma GCC unroll 8
    for (int m = 0; m < PIXELS; m++) sums[m] = sum[m];
}

#define SUM(kernel, stride)                                                                                            \
    static void sum_##kernel##_##stride##_alone(const tile_nhwc *t, vec *sums) {                                       \
        sum_nhwc(kernel, stride, 0, t, sums);                                                                          \
    }                                                                                                                  \
    static void sum_##kernel##_##stride##_grouped(const tile_nhwc *t, vec *sums) {                                     \
        sum_nhwc(kernel, stride, 1, t, sums);                                                                          \
    }
#define SUMS(kernel, stride) {sum_##kernel##_##stride##_alone, sum_##kernel##_##stride##_grouped}
SUM(0, 0)
SUM(3, 1)
SUM(3, 2)
SUM(5, 1)
SUM(5, 2)
SUM(7, 1)
SUM(7, 2)

static int unrolled_nhwc(const fc_conv *p) {
    int64_t k = p->kernel_w;
    return p->dilation_w == 1 && p->stride_w <= 2 && (k == 3 || k == 5 || k == 7);
}

static sum_nhwc_function *sum_for(const fc_conv *p, int grouped) {
    static sum_nhwc_function *const any[2] = SUMS(0, 0), *const unrolled[3][2][2] = {{SUMS(3, 1), SUMS(3, 2)},
                                                                                     {SUMS(5, 1), SUMS(5, 2)},
                                                                                     {SUMS(7, 1), SUMS(7, 2)}};
    return unrolled_nhwc(p) ? unrolled[p->kernel_w / 2 - 1][p->stride_w - 1][grouped] : any[grouped];
}

typedef struct {
    const fc_conv *p;
    const fc_epilogue *e;
    const real *x, *weights;
    real *out;
    int64_t in_lanes, out_lanes; /* channels of a block */
    int64_t channels_each;       /* of a group; where they differ from a lane's own, ... */
    const lanes *places;         /* ... for each the lane that every output lane takes from the input, else NULL */
    int64_t blocks, parts, columns, ring_rows, pitch;
    int grouped, in_place;
} job_nhwc;

/* A ring far beyond L1 would be of no use, and its size could overflow. */
static int ring_fits(const fc_conv *p) {
    double rows = (double)(p->kernel_h - 1) * (double)p->dilation_h + 1;
    double columns = 2.0 * PIXELS * (double)p->stride_w + (double)(p->kernel_w - 1) * (double)p->dilation_w;
    return rows * columns * VECTOR_BYTES <= 1 << 20;
}

/* Sets the ring's size: a band is as wide as L1 allows. */
static void set_ring(job_nhwc *j) {
    const fc_conv *p = j->p;
    int64_t around = (p->kernel_w - 1) * p->dilation_w, image = p->height * p->width * p->channels;
    j->in_place = p->kernel_h * p->kernel_w <= 4 * p->stride_h * p->stride_w && beyond_l2(image) && !j->grouped;
    j->ring_rows = j->in_place ? p->kernel_h : (p->kernel_h - 1) * p->dilation_h + 1;
    int64_t most = j->in_place ? 0 : RING_BYTES / (j->ring_rows * VECTOR_BYTES) - around;
    int64_t bands = ceil_div(p->out_width, max64(most / p->stride_w, 2 * PIXELS));
    j->columns = j->in_place ? PIXELS : round_up(ceil_div(p->out_width, bands), PIXELS);
    j->pitch = (j->columns * p->stride_w + around) * VL;
}

/* The workspace of a thread. */
static size_t ring_bytes(const job_nhwc *j) {
    return (size_t)(j->ring_rows * j->pitch) * sizeof(real) + (size_t)j->p->kernel_h * sizeof(real *);
}

/* Cycles of the zeros beside a row, which may be many where taps lie far apart. */
static double beside_cycles(const fc_conv *p, int64_t blocks) {
    double seen = (double)(p->out_width - 1) * (double)p->stride_w + (double)(p->kernel_w - 1) * (double)p->dilation_w;
    return (double)(p->batch * p->height * blocks) * fmax(0, seen + 1 - (double)p->width) * MOVING(1) / 2;
}

/* Copies pixels [first, first + span) of a row of the image to the ring, with zeros for those outside. */
static void fill_row(const job_nhwc *j, real *to, const real *row, int64_t first, int64_t n) {
    const int64_t channels = j->p->channels, span = j->pitch / VL;
    int64_t low = min64(max64(-first, 0), span), high = max64(low, min64(span, j->p->width - first));
    const real *from = row + first * channels;
    clear_reals(to, low * VL);
    for (int64_t i = low; i < high; i++) store(to + i * VL, load_up_to(from + i * channels, n));
    clear_reals(to + high * VL, (span - high) * VL);
}

/* A block of channels: what its outputs need. */
typedef struct {
    int64_t in_lanes, out_lanes; /* that count */
    int64_t filter;              /* the first */
    const real *x, *weights;     /* of the image; of the taps' first row */
    channel_lanes channels;
} block_nhwc;

static block_nhwc block_of(const job_nhwc *j, int64_t image, int64_t block) {
    const fc_conv *p = j->p;
    int64_t c = block * j->in_lanes, k = block * j->out_lanes;
    block_nhwc b = {.in_lanes = min64(j->in_lanes, p->channels - c),
                    .out_lanes = min64(j->out_lanes, p->filters - k),
                    .filter = k,
                    .x = j->x + image * p->height * p->width * p->channels + c,
                    .weights = j->weights + block * p->kernel_h * p->kernel_w * j->channels_each * VL};
    b.channels = neighbours(values_from(j->e, k), 0, b.out_lanes);
    return b;
}

/* Does `count` neighbouring outputs, from number `at` of the batch on. */
INLINE
void do_pixels(const job_nhwc *j, const block_nhwc *b, sum_nhwc_function *sum, const tile_nhwc *t, int64_t at,
               int64_t count) {
    vec sums[PIXELS];
    sum(t, sums);
    at = at * j->p->filters + b->filter;
    const real *residual = j->e->residual;
    for (int64_t m = 0; m < count; m++, at += j->p->filters)
        finish(j->out + at, sums[m], b->channels, residual ? residual + at : NULL, b->out_lanes, j->e);
}

/* Does a row of outputs, read in place. */
static void do_row(const job_nhwc *j, int64_t image, int64_t y, const axis *ay, sum_nhwc_function *sum, real *ring,
                   const real **rows) {
    const fc_conv *p = j->p;
    int64_t first_tap, top = y * p->stride_h - p->pad_top, image_row = p->width * p->channels;
    tile_nhwc t = {.rows = rows, .columns = p->kernel_w, .channels_each = j->channels_each};
    taps_inside(ay, y, p->height, &first_tap, &t.row_count);
    top += first_tap * p->dilation_h;
    for (int64_t m = 0; m < p->out_width; m += PIXELS) {
        int64_t first = m * p->stride_w - p->pad_left, at = (image * p->out_height + y) * p->out_width + m;
        int edge = first < 0 || first + j->pitch / VL > p->width;
        for (int64_t block = 0; block < j->blocks; block++) {
            block_nhwc b = block_of(j, image, block);
            int copied = edge || b.in_lanes < VL;
            int64_t pixel = copied ? VL : p->channels;
            for (int64_t r = 0; r < t.row_count; r++) {
                const real *row = b.x + (top + r * p->dilation_h) * image_row;
                rows[r] = copied ? ring + r * j->pitch : row + first * p->channels;
                if (copied) fill_row(j, ring + r * j->pitch, row, first, b.in_lanes);
            }
            t.weights = b.weights + first_tap * p->kernel_w * j->channels_each * VL;
            t.pixel_step = p->dilation_w * pixel, t.stride = p->stride_w * pixel;
            do_pixels(j, &b, sum, &t, at, min64(PIXELS, p->out_width - m));
        }
    }
}

/* Does a block of channels in a band: the outputs [x0, x0 + columns) of rows [y0, y1). */
static void do_band(const job_nhwc *j, int64_t image, int64_t block, int64_t y0, int64_t y1, int64_t x0, const axis *ay,
                    sum_nhwc_function *sum, real *ring, const real **rows) {
    const fc_conv *p = j->p;
    const int64_t columns = min64(j->columns, p->out_width - x0);
    const block_nhwc b = block_of(j, image, block);
    tile_nhwc t = {.rows = rows,
                   .columns = p->kernel_w,
                   .pixel_step = p->dilation_w * VL,
                   .stride = p->stride_w * VL,
                   .channels_each = j->channels_each,
                   .places = j->places};
    int64_t filled = 0;
    for (int64_t y = y0; y < y1; y++) {
        int64_t first_tap, top = y * p->stride_h - p->pad_top, at = (image * p->out_height + y) * p->out_width + x0;
        taps_inside(ay, y, p->height, &first_tap, &t.row_count);
        filled = max64(filled, top);
        for (; filled < min64(p->height, top + j->ring_rows); filled++)
            fill_row(j, ring + filled % j->ring_rows * j->pitch, b.x + filled * p->width * p->channels,
                     x0 * p->stride_w - p->pad_left, b.in_lanes);
        for (int64_t r = 0; r < t.row_count; r++)
            rows[r] = ring + (top + (first_tap + r) * p->dilation_h) % j->ring_rows * j->pitch;
        t.weights = b.weights + first_tap * p->kernel_w * j->channels_each * VL;
        for (int64_t m = 0; m < columns; m += PIXELS) {
            do_pixels(j, &b, sum, &t, at + m, min64(PIXELS, columns - m));
            for (int64_t r = 0; r < t.row_count; r++) rows[r] += PIXELS * t.stride;
        }
    }
}

/* Tasks are (image, part of its rows, block of channels), or whole rows of the batch where it is read in place. */
static int work_nhwc(const void *context, int64_t begin, int64_t end) {
    const job_nhwc *j = context;
    const fc_conv *p = j->p;
    const axis ay = plain_axis(p->out_height, p->kernel_h, p->stride_h, p->pad_top, p->dilation_h);
    real *ring = fc_workspace(FC_OWN, ring_bytes(j));
    if (!ring) return FC_NO_MEMORY;
    const real **rows = (const real **)(ring + j->ring_rows * j->pitch);
    sum_nhwc_function *sum = sum_for(p, j->grouped);
    for (int64_t task = begin; task < end; task++) {
        if (j->in_place) {
            do_row(j, task / p->out_height, task % p->out_height, &ay, sum, ring, rows);
            continue;
        }
        int64_t block = task % j->blocks, part = task / j->blocks % j->parts, image = task / j->blocks / j->parts;
        int64_t y0 = p->out_height * part / j->parts, y1 = p->out_height * (part + 1) / j->parts;
        for (int64_t x = 0; x < p->out_width; x += j->columns)
            do_band(j, image, block, y0, y1, x, &ay, sum, ring, rows);
    }
    return 0;
}

/* Cuts an image's rows into parts that stay in L2 for all blocks of channels, and that are enough for all threads; no
 * more, as each copies the rows around it again. */
static int run_nhwc(job_nhwc *j, double cycles, int threads) {
    const fc_conv *p = j->p;
    set_ring(j);
    if (j->in_place) return fc_parallel(p->batch * p->out_height, cycles, threads, work_nhwc, j);
    int64_t row = p->width * p->channels * p->stride_h * (int64_t)sizeof(real),
            kernel_rows = j->ring_rows / p->stride_h;
    int64_t parts = max64(ceil_div(p->out_height * row, BAND_ROWS_BYTES), ceil_div(4 * threads, p->batch * j->blocks));
    j->parts = max64(1, min64(parts, p->out_height / max64(1, 2 * kernel_rows)));
    return fc_parallel(p->batch * j->parts * j->blocks, cycles, threads, work_nhwc, j);
}

#endif
