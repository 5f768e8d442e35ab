/* Convolution with large kernels by the fast Fourier transform, in overlapping tiles ("overlap-save"). Called through
 * `kernels.def`.
 *
 * Lanes are pairs of neighbouring tiles of an image, one in the real and one in the imaginary part of a complex
 * transform. The kernel being real, both come out apart, so that nothing need be known of the symmetries of real
 * transforms. Transforms are radix 4, out of order forwards (decimation in frequency) and back from that order
 * (decimation in time). Kernels that would leave a tile too few outputs are cut into pieces, which are summed like
 * channels. The kernels' transforms are weights: [filter][channel of the group][piece][frequency][2]. Limit: L1 and L2
 * bandwidth. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/simd.h"
#include "conv/epilogue.h"
#include "conv/grid.h"
#include "conv/kernel.h"

enum { MOST_POINTS_Y = 64, MOST_POINTS_X = 128, MOST_TOGETHER = 4, MOST_WEIGHTS = 32 << 20 };

/* Along one axis: a tile has `points` inputs and `outputs` outputs, and a piece `taps` taps at most. */
typedef struct {
    int64_t points, outputs, pieces, taps, tiles;
} fft_axis;

/* Takes the sizes with the least cost of an output: that of `pieces` transforms there and one back, shared by a tile's
 * outputs. */
static fft_axis fft_axis_of(int64_t kernel, int64_t most_points) {
    fft_axis best = {0};
    double least = 0;
    for (int64_t points = 16; points <= most_points; points *= 2)
        for (int64_t pieces = 1; pieces <= 16; pieces++) {
            int64_t taps = ceil_div(kernel, pieces), outputs = points - taps + 1;
            if (outputs < points / 4 || (pieces > 1 && ceil_div(kernel, taps) < pieces)) continue;
            double cost = (double)((pieces + 1) * points) * (log2((double)points) + 3) / (double)outputs;
            if (!best.points || cost < least) least = cost, best = (fft_axis){points, outputs, pieces, taps, 0};
        }
    return best;
}

typedef struct {
    fft_axis y, x;
    int64_t row_step, area;      /* of a buffer, in vectors: from row to row, all */
    int64_t reduction, together; /* (channel, piece) pairs; filters that are summed at once */
} fft_tiling;

static int tile_fft(const fc_conv *p, const operands *o, fft_tiling *w) {
    w->y = fft_axis_of(p->kernel_h, MOST_POINTS_Y), w->x = fft_axis_of(p->kernel_w, MOST_POINTS_X);
    if (!w->y.points || !w->x.points) return 0;
    w->y.tiles = ceil_div(p->out_height, w->y.outputs), w->x.tiles = ceil_div(p->out_width, w->x.outputs);
    w->row_step = 2 * w->x.points + 2; /* columns spread over the sets of L1 */
    w->area = w->y.points * w->row_step;
    w->reduction = o->channels * w->y.pieces * w->x.pieces;
    w->together =
        w->reduction == 1 ? 1 : min64(o->filters, max64(1, MOST_TOGETHER * 64 * 64 / (w->y.points * w->x.points)));
    return 1;
}

/* ---- transforms of vectors ---- */

typedef struct {
    real cosine[MOST_POINTS_X], sine[MOST_POINTS_X]; /* of 2 pi i / points */
    int64_t points;
} twiddles;

static twiddles twiddles_of(int64_t points) {
    twiddles t = {.points = points};
    for (int64_t i = 0; i < points; i++) {
        double angle = 2 * 3.14159265358979323846 * (double)i / (double)points;
        t.cosine[i] = (real)cos(angle), t.sine[i] = (real)sin(angle);
    }
    return t;
}

typedef struct {
    vec re, im;
} complex_vec;

INLINE
complex_vec get(const real *p) { return (complex_vec){load(p), load(p + VL)}; }
INLINE
void put(real *p, complex_vec v) { store(p, v.re), store(p + VL, v.im); }
INLINE
complex_vec plus(complex_vec a, complex_vec b) { return (complex_vec){a.re + b.re, a.im + b.im}; }
INLINE
complex_vec minus(complex_vec a, complex_vec b) { return (complex_vec){a.re - b.re, a.im - b.im}; }
/* Multiplies by -i forwards, by i backwards. */
INLINE
complex_vec quarter_turn(const int back, complex_vec a) {
    return back ? (complex_vec){-a.im, a.re} : (complex_vec){a.im, -a.re};
}
/* Multiplies by exp(-2 pi i index / points) forwards, by its conjugate backwards. */
INLINE
complex_vec turn(const int back, complex_vec a, const twiddles *t, int64_t index) {
    vec c = splat(t->cosine[index]), s = splat(back ? t->sine[index] : -t->sine[index]);
    return (complex_vec){a.re * c - a.im * s, a.im * c + a.re * s};
}

/* Does a stage of radix 4 over blocks of n of the complex numbers, which lie `step` reals apart. */
INLINE
void stage_of_4(const int back, real *line, int64_t step, int64_t n, const twiddles *t) {
    int64_t quarter = n / 4, distance = t->points / n;
    for (int64_t j = 0; j < quarter; j++)
        for (int64_t block = 0; block < t->points; block += n) {
            real *p = line + (block + j) * step,
                 *q[4] = {p, p + quarter * step, p + 2 * quarter * step, p + 3 * quarter * step};
            complex_vec a[4] = {get(q[0]), get(q[1]), get(q[2]), get(q[3])};
            if (back && j)
                for (int i = 1; i < 4; i++) a[i] = turn(1, a[i], t, i * j * distance);
            complex_vec even = plus(a[0], a[2]), odd = minus(a[0], a[2]), sum = plus(a[1], a[3]);
            complex_vec turned = quarter_turn(back, minus(a[1], a[3]));
            a[0] = plus(even, sum), a[1] = plus(odd, turned), a[2] = minus(even, sum), a[3] = minus(odd, turned);
            if (!back && j)
                for (int i = 1; i < 4; i++) a[i] = turn(0, a[i], t, i * j * distance);
            for (int i = 0; i < 4; i++) put(q[i], a[i]);
        }
}

static void stage_of_2(real *line, int64_t step, int64_t points) {
    for (int64_t i = 0; i < points; i += 2) {
        complex_vec a = get(line + i * step), b = get(line + (i + 1) * step);
        put(line + i * step, plus(a, b)), put(line + (i + 1) * step, minus(a, b));
    }
}

static void forwards(real *line, int64_t step, const twiddles *t) {
    int64_t n = t->points;
    for (; n >= 4; n /= 4) stage_of_4(0, line, step, n, t);
    if (n == 2) stage_of_2(line, step, t->points);
}

static void backwards(real *line, int64_t step, const twiddles *t) {
    int64_t n = t->points;
    while (n >= 4) n /= 4;
    if (n == 2) stage_of_2(line, step, t->points);
    for (n *= 4; n <= t->points; n *= 4) stage_of_4(1, line, step, n, t);
}

/* ---- weights ---- */

typedef struct {
    const fc_conv *p, *given; /* as a plain convolution, and as it is */
    const operands *o;
    const fft_tiling *w;
    const real *x, *weight;
    real *packed, *out;
    const fc_epilogue *e;
    twiddles y, x_twiddles;
    int64_t pairs, blocks; /* of tiles, in the batch; of a group's filters */
} fft_job;

/* Transforms VL kernels at once, in lanes. Tasks are vectors of (filter, channel, piece), numbered through. */
static int transform_kernels(const void *context, int64_t begin, int64_t end) {
    const fft_job *j = context;
    const fft_tiling *w = j->w;
    const operands *o = j->o;
    int64_t pieces = w->y.pieces * w->x.pieces, all = o->groups * o->filters * w->reduction,
            points = w->y.points * w->x.points;
    real *buffer = fc_workspace(FC_OWN, (size_t)(w->area * VL) * sizeof(real));
    if (!buffer) return FC_NO_MEMORY;
    real scale = 1 / (real)points;
    for (int64_t task = begin; task < end; task++) {
        memset(buffer, 0, (size_t)(w->area * VL) * sizeof(real));
        int64_t lanes_used = min64(VL, all - task * VL);
        for (int64_t l = 0; l < lanes_used; l++) {
            int64_t kernel = (task * VL + l) / pieces, piece = (task * VL + l) % pieces;
            int64_t channel = kernel % o->channels, filter = kernel / o->channels;
            int64_t r0 = piece / w->x.pieces * w->y.taps, s0 = piece % w->x.pieces * w->x.taps;
            const real *from = j->weight + filter / o->filters * o->w_group + filter % o->filters * o->w_filter +
                               channel * o->w_channel;
            for (int64_t r = r0; r < min64(r0 + w->y.taps, j->p->kernel_h); r++)
                for (int64_t s = s0; s < min64(s0 + w->x.taps, j->p->kernel_w); s++) {
                    int64_t element = element_of_tap(j->given, r * j->p->kernel_w + s);
                    real weight = from[element / j->p->kernel_w * o->w_row + element % j->p->kernel_w * o->w_column];
                    buffer[((r - r0) * w->row_step + 2 * (s - s0)) * VL + l] = scale * weight;
                }
        }
        for (int64_t r = 0; r < w->y.taps; r++) forwards(buffer + r * w->row_step * VL, 2 * VL, &j->x_twiddles);
        for (int64_t s = 0; s < w->x.points; s++) forwards(buffer + 2 * s * VL, w->row_step * VL, &j->y);
        for (int64_t l = 0; l < lanes_used; l++) {
            real *to = j->packed + (task * VL + l) * points * 2;
            for (int64_t s = 0; s < w->x.points; s++) /* column after column, as they are used */
                for (int64_t r = 0; r < w->y.points; r++, to += 2) {
                    const real *from = buffer + (r * w->row_step + 2 * s) * VL + l;
                    to[0] = from[0], to[1] = -from[VL]; /* the conjugate: a convolution here is a correlation */
                }
        }
    }
    return 0;
}

/* ---- images ---- */

/* The first input or output of a tile in an image; `exists` is 0 for the missing half of a last pair. */
typedef struct {
    int64_t image, y, x;
    int exists;
} corner;

static int64_t pairs_of(const fft_tiling *w) { return ceil_div(w->y.tiles * w->x.tiles, 2); }

static corner corner_of(const fft_job *j, int64_t pair, int half) {
    const fft_tiling *w = j->w;
    int64_t tile = pair % pairs_of(w) * 2 + half;
    return (corner){pair / pairs_of(w), tile / w->x.tiles * w->y.outputs, tile % w->x.tiles * w->x.outputs,
                    pair < j->pairs && tile < w->y.tiles * w->x.tiles};
}

/* Loads VL pairs of tiles from number `first` on, and transforms their rows. */
static void load_tiles(const fft_job *j, int64_t first, int64_t channel, int64_t piece, real *buffer) {
    const fft_tiling *w = j->w;
    const operands *o = j->o;
    int64_t y0 = piece / w->x.pieces * w->y.taps - j->p->pad_top, x0 = piece % w->x.pieces * w->x.taps - j->p->pad_left;
    corner corners[2][VL];
    for (int half = 0; half < 2; half++)
        for (int l = 0; l < VL; l++) corners[half][l] = corner_of(j, first + l, half);
    for (int64_t r = 0; r < w->y.points; r++) {
        real *to = buffer + r * w->row_step * VL;
        for (int64_t s = 0; s < w->x.points; s += VL)
            for (int half = 0; half < 2; half++) {
                vec block[VL];
                for (int l = 0; l < VL; l++) {
                    const corner *at = &corners[half][l];
                    int64_t y = at->y + y0 + r, x = at->x + x0 + s;
                    int64_t low = max64(-x, 0), high = min64(o->width - x, VL);
                    block[l] = zero();
                    if (!at->exists || y < 0 || y >= o->height || high <= low) continue;
                    const real *from =
                        j->x + at->image * o->x_image + channel * o->x_channel + y * o->width * o->x_pixel;
                    if (o->x_pixel == 1) {
                        block[l] = low == 0 && high == VL ? load(from + x) : load_between(from + x, low, high);
                        continue;
                    }
                    real pixels[VL];
                    store(pixels, zero());
                    for (int64_t i = low; i < high; i++) pixels[i] = from[(x + i) * o->x_pixel];
                    block[l] = load(pixels);
                }
                transpose(block);
                for (int i = 0; i < VL; i++) store(to + (2 * (s + i) + half) * VL, block[i]);
            }
        forwards(to, 2 * VL, &j->x_twiddles);
    }
}

/* Transforms the outputs' rows back, and finishes them. */
static void store_tiles(const fft_job *j, int64_t first, int64_t filter, real *buffer) {
    const fft_tiling *w = j->w;
    const operands *o = j->o;
    const fc_epilogue *e = j->e;
    vec bias = e->bias ? splat(((const real *)e->bias)[filter]) : zero();
    for (int64_t r = 0; r < w->y.outputs; r++) {
        real *row = buffer + r * w->row_step * VL;
        backwards(row, 2 * VL, &j->x_twiddles);
        for (int half = 0; half < 2; half++)
            for (int64_t s = 0; s < w->x.outputs; s += VL) {
                vec block[VL];
                for (int i = 0; i < VL; i++) block[i] = load(row + (2 * (s + i) + half) * VL);
                transpose(block);
                for (int l = 0; l < VL; l++) {
                    corner at = corner_of(j, first + l, half);
                    if (!at.exists) continue;
                    int64_t y = at.y + r, x = at.x + s;
                    int64_t n = min64(min64(VL, w->x.outputs - s), o->out_width - x);
                    if (y >= o->out_height || n <= 0) continue;
                    int64_t to =
                        at.image * o->out_image + filter * o->out_channel + (y * o->out_width + x) * o->out_pixel;
                    const real *residual = e->residual ? (const real *)e->residual + to : NULL;
                    if (o->out_pixel == 1)
                        finish(j->out + to, block[l], bias, residual, n, e);
                    else
                        finish_strided(j->out + to, o->out_pixel, block[l], bias, residual, n, e);
                }
            }
    }
}

/* Tasks are (group, block of filters, VL pairs of tiles). */
static int work_tiles(const void *context, int64_t begin, int64_t end) {
    const fft_job *j = context;
    const fft_tiling *w = j->w;
    const operands *o = j->o;
    int64_t batches = ceil_div(j->pairs, VL), pieces = w->y.pieces * w->x.pieces, column = 2 * w->y.points;
    real *buffer =
        fc_workspace(FC_OWN, (size_t)((w->reduction > 1 ? 1 + w->together : 1) * w->area * VL) * sizeof(real));
    if (!buffer) return FC_NO_MEMORY;
    real *sums = w->reduction > 1 ? buffer + w->area * VL : buffer; /* a single one is multiplied in place */
    for (int64_t task = begin; task < end; task++) {
        int64_t first = task % batches * VL, block = task / batches % j->blocks, group = task / batches / j->blocks;
        int64_t k0 = block * w->together, filters = min64(w->together, o->filters - k0);
        for (int64_t i = 0; i < w->reduction; i++) {
            int status = fc_called_off();
            if (status) return status;
            load_tiles(j, first, group * o->channels + i / pieces, i % pieces, buffer);
            for (int64_t s = 0; s < w->x.points; s++) {
                real *from = buffer + 2 * s * VL;
                forwards(from, w->row_step * VL, &j->y);
                for (int64_t k = 0; k < filters; k++) {
                    const real *weight =
                        j->packed + (((group * o->filters + k0 + k) * w->reduction + i) * w->x.points + s) * column;
                    real *sum = sums + k * w->area * VL + 2 * s * VL;
                    for (int64_t r = 0; r < w->y.points; r++) {
                        complex_vec a = get(from + r * w->row_step * VL), b = {zero(), zero()};
                        if (i > 0) b = get(sum + r * w->row_step * VL);
                        vec c = splat(weight[2 * r]), d = splat(weight[2 * r + 1]);
                        b.re += a.re * c, b.im += a.re * d, b.re -= a.im * d, b.im += a.im * c;
                        put(sum + r * w->row_step * VL, b);
                    }
                    if (i == w->reduction - 1) backwards(sum, w->row_step * VL, &j->y);
                }
            }
        }
        for (int64_t k = 0; k < filters; k++)
            store_tiles(j, first, group * o->filters + k0 + k, sums + k * w->area * VL);
    }
    return 0;
}

/* ---- the kernel ---- */

static size_t weight_bytes(const fc_conv *given) {
    const fc_conv plain = plain_of(given), *p = &plain;
    operands o = operands_of(p);
    fft_tiling w;
    if (!tile_fft(p, &o, &w)) return 0;
    return (size_t)(o.groups * o.filters * w.reduction * w.y.points * w.x.points * 2) * sizeof(real);
}

static int accepts(const fc_conv *given) {
    fc_conv plain, *p = &plain;
    if (!as_plain(given, p) || p->stride_h > 1 || p->stride_w > 1 || p->dilation_h > 1 || p->dilation_w > 1) return 0;
    if (p->kernel_h < 5 || p->kernel_w < 5) return 0;
    size_t bytes = weight_bytes(given);
    return bytes > 0 && bytes <= MOST_WEIGHTS;
}

static double cost(const fc_conv *given) {
    const fc_conv plain = plain_of(given), *p = &plain;
    operands o = operands_of(p);
    fft_tiling w;
    if (!tile_fft(p, &o, &w)) return 0;
    double points = (double)(w.y.points * w.x.points), stages = log2(points) / 2;
    double batches = (double)ceil_div(p->batch * pairs_of(&w), VL);
    double transform = points * (stages * 8 + 20), blocks = (double)ceil_div(o.filters, w.together);
    double there = blocks * (double)w.reduction * transform, back = (double)o.filters * transform;
    double products =
        (double)(o.filters * w.reduction) * points * (w.reduction > 1 ? 30 : 8); /* sums stream through L2 */
    double cycles = (double)o.groups * batches * (there + back + products) / 2 + 20000;
    if (p->once) cycles += (double)(o.groups * o.filters * w.reduction) / VL * (transform + points * 4 * VL) / 2;
    return cycles;
}

/* Products of frequencies, a complex multiply-add each, and transforms: 34 for 4 points in a stage of radix 4. */
static double flops(const fc_conv *given) {
    const fc_conv plain = plain_of(given), *p = &plain;
    operands o = operands_of(p);
    fft_tiling w;
    if (!tile_fft(p, &o, &w)) return 0;
    double points = (double)(w.y.points * w.x.points), transform = points * log2(points) * 4.25;
    double transforms = (double)(ceil_div(o.filters, w.together) * w.reduction + o.filters);
    double products = (double)(o.filters * w.reduction) * points * 8;
    return (double)(o.groups * p->batch * pairs_of(&w)) * (transforms * transform + products);
}

static size_t workspace_bytes(const fc_conv *given, int threads) {
    const fc_conv plain = plain_of(given), *p = &plain;
    (void)threads;
    operands o = operands_of(p);
    fft_tiling w;
    if (!tile_fft(p, &o, &w)) return 0;
    return (size_t)((w.reduction > 1 ? 1 + w.together : 1) * w.area * VL) * sizeof(real);
}

static void set_job(fft_job *j, const fc_conv *given, const fc_conv *p, const operands *o, fft_tiling *w) {
    tile_fft(p, o, w);
    *j = (fft_job){.p = p,
                   .given = given,
                   .o = o,
                   .w = w,
                   .y = twiddles_of(w->y.points),
                   .x_twiddles = twiddles_of(w->x.points),
                   .pairs = p->batch * pairs_of(w),
                   .blocks = ceil_div(o->filters, w->together)};
}

static int prepare(const fc_conv *given, const void *weight, void *packed, int threads) {
    const fc_conv plain = plain_of(given), *p = &plain;
    operands o = operands_of(given);
    fft_tiling w;
    fft_job j;
    set_job(&j, given, p, &o, &w);
    j.weight = weight, j.packed = packed;
    int64_t kernels = o.groups * o.filters * w.reduction;
    return fc_parallel(ceil_div(kernels, VL), (double)(kernels * w.area) * 2, threads, transform_kernels, &j);
}

static int run_all(const fc_conv *given, const void *x, const void *packed, const fc_epilogue *e, void *out,
                   int threads) {
    const fc_conv plain = plain_of(given), *p = &plain;
    operands o = operands_of(p);
    fft_tiling w;
    fft_job j;
    set_job(&j, given, p, &o, &w);
    j.x = x, j.packed = (real *)packed, j.e = e, j.out = out;
    int64_t tasks = o.groups * j.blocks * ceil_div(j.pairs, VL);
    return fc_parallel(tasks, 2 * cost(p), threads, work_tiles, &j);
}

static double error(const fc_conv *p) {
    (void)p;
    return 2;
}

const fc_conv_kernel FC_NAME(fft) = {accepts, cost, weight_bytes, workspace_bytes, prepare, run_all,
                                     error,   NULL, flops};
