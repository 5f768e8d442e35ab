/* Depthwise convolution: every output channel sees one input channel. Called through `kernels.def`.
 *
 * NCHW: vectors over the pixels of a row. A band of a plane, padded and split by stride, is packed into L1; a register tile
 * is ROWS rows x 1 or 2 vectors, so that an input row that several outputs need is loaded once ("rolling rows"). Kernels of
 * 3x3, 5x5 and 7x7 without dilation are unrolled; all others take one row at a time.
 * NHWC: vectors over channels, in place; a tile of PIXELS neighbouring outputs shares the weights' loads.
 * Limit: two loads a cycle from L1. */
#include "epilogue.h"
#include "strip.h"

enum { ROWS = 4, PIXELS = 8, BAND_BYTES = 20 << 10 };

typedef struct {
    const fc_conv *p;
    const fc_epilogue *e;
    const strips *s;
    const operands *o;
    const real *x, *weights;
    real *out;
} job;

/* ---- NCHW ---- */

/* Rows [y, y + ROWS) of a band, `vectors` vectors from pixel x on. `rows[q]` is the plane of the kernel's rows r with
 * r % stride == q, `columns[s]` the place of horizontal tap s in it. */
INLINE void roll(const int kernel, const int stride, const int vectors, const real *const *rows, const int64_t *columns,
                 int64_t pitch, const real *weights, vec (*sum)[2]) {
    vec total[ROWS][2];
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < vectors; v++) total[i][v] = zero();
#pragma GCC unroll 2
    for (int q = 0; q < stride; q++) {
#pragma GCC unroll 16
        for (int j = 0; j < ROWS + (kernel - 1 - q) / stride; j++) {
            const real *row = rows[q] + j * pitch;
#pragma GCC unroll 8
            for (int s = 0; s < kernel; s++) {
                vec pixels[2];
                for (int v = 0; v < vectors; v++) pixels[v] = load(row + columns[s] + v * VL);
#pragma GCC unroll 4
                for (int i = 0; i < ROWS; i++) {
                    int r = stride * (j - i) + q;
                    if (r < 0 || r >= kernel) continue;
                    vec weight = splat(weights[r * kernel + s]);
                    for (int v = 0; v < vectors; v++) total[i][v] += weight * pixels[v];
                }
            }
        }
    }
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < vectors; v++) sum[i][v] = total[i][v];
}

#define ROLL(kernel, stride)                                                                                          \
    static void roll_##kernel##_##stride##_1(const real *const *rows, const int64_t *columns, int64_t pitch,          \
                                             const real *weights, vec (*sum)[2]) {                                    \
        roll(kernel, stride, 1, rows, columns, pitch, weights, sum);                                                  \
    }                                                                                                                 \
    static void roll_##kernel##_##stride##_2(const real *const *rows, const int64_t *columns, int64_t pitch,          \
                                             const real *weights, vec (*sum)[2]) {                                    \
        roll(kernel, stride, 2, rows, columns, pitch, weights, sum);                                                  \
    }
ROLL(3, 1) ROLL(3, 2) ROLL(5, 1) ROLL(5, 2) ROLL(7, 1) ROLL(7, 2)

typedef void (*roller)(const real *const *rows, const int64_t *columns, int64_t pitch, const real *weights,
                       vec (*sum)[2]);
/* [kernel / 2 - 1][stride - 1][vectors - 1] */
static const roller rollers[3][2][2] = {
    {{roll_3_1_1, roll_3_1_2}, {roll_3_2_1, roll_3_2_2}},
    {{roll_5_1_1, roll_5_1_2}, {roll_5_2_1, roll_5_2_2}},
    {{roll_7_1_1, roll_7_1_2}, {roll_7_2_1, roll_7_2_2}},
};

static const roller *unrolled(const fc_conv *p) {
    int64_t k = p->kernel_h;
    if (k != p->kernel_w || (k != 3 && k != 5 && k != 7) || p->stride_h > 2 || p->dilation_h != 1) return NULL;
    return rollers[k / 2 - 1][p->stride_h - 1];
}

static void store_row(const job *j, int64_t plane, int64_t channel, int64_t y, int64_t x, int64_t n, const vec *sum,
                      int vectors) {
    int64_t first = plane * j->o->out_channel + y * j->o->out_width + x;
    const real *residual = j->e->residual ? (const real *)j->e->residual + first : NULL;
    vec bias = j->e->bias ? splat(((const real *)j->e->bias)[channel]) : zero();
    for (int v = 0; v < vectors && v * VL < n; v++)
        finish(j->out + first + v * VL, sum[v], bias, residual ? residual + v * VL : NULL, min64(VL, n - v * VL),
               j->e);
}

static void band_unrolled(const job *j, const roller *f, const real *packed, const real *weights, int64_t plane,
                          int64_t channel, int64_t y0, int64_t rows, int64_t x0, int64_t columns) {
    const strips *s = j->s;
    int64_t taps = s->g.x.taps;
    for (int64_t y = 0; y < rows; y += ROWS)
        for (int64_t x = 0; x < columns;) {
            const real *plane_rows[2];
            for (int64_t q = 0; q < j->p->stride_h; q++)
                plane_rows[q] = packed + s->tap_offset[q * taps] - s->tap_offset[0] + y * s->pitch + x;
            vec sum[ROWS][2];
            int vectors = columns - x > VL ? 2 : 1;
            f[vectors - 1](plane_rows, s->tap_offset, s->pitch, weights, sum);
            for (int64_t i = 0; i < min64(ROWS, rows - y); i++)
                store_row(j, plane, channel, y0 + y + i, x0 + x, columns - x, sum[i], vectors);
            x += vectors * VL;
        }
}

static void band_generic(const job *j, const real *packed, const real *weights, int64_t plane, int64_t channel,
                         int64_t y0, int64_t rows, int64_t x0, int64_t columns) {
    const strips *s = j->s;
    int64_t taps = grid_taps(&s->g);
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < columns; x += 4 * VL) {
            vec sum[4] = {zero(), zero(), zero(), zero()};
            const real *row = packed + y * s->pitch + x;
            for (int64_t t = 0; t < taps; t++) {
                vec weight = splat(weights[t]);
#pragma GCC unroll 4
                for (int v = 0; v < 4; v++) sum[v] += weight * load(row + s->tap_offset[t] + v * VL);
            }
            store_row(j, plane, channel, y0 + y, x0 + x, columns - x, sum, 4);
        }
}

static int work_nchw(const void *context, int64_t begin, int64_t end) {
    const job *j = context;
    const strips *s = j->s;
    const operands *o = j->o;
    int64_t filters = o->groups * o->filters, each = s->strips_y * s->strips_x;
    /* The last rows' tile reads beyond the band. */
    size_t bytes = packed_strip_bytes(s) + (size_t)(2 * ROWS * s->pitch) * sizeof(real);
    real *packed = fc_workspace(bytes);
    if (!packed) return FC_NO_MEMORY;
    const roller *f = unrolled(j->p);
    int64_t last = -1;
    for (int64_t task = begin; task < end; task++) {
        int64_t strip = task % each, plane = task / each, channel = plane % filters;
        int64_t y0 = strip / s->strips_x * s->rows, x0 = strip % s->strips_x * s->columns;
        int64_t rows = min64(s->rows, s->g.y.count - y0), columns = min64(s->columns, s->g.x.count - x0);
        int64_t source = (plane / o->filters) * each + strip;
        if (source != last) pack_strip(s, o, j->x + plane / o->filters * o->x_channel, y0, rows, x0, columns, packed);
        last = source;
        const real *weights = j->weights + channel * grid_taps(&s->g);
        if (f)
            band_unrolled(j, f, packed, weights, plane, channel, y0, rows, x0, columns);
        else
            band_generic(j, packed, weights, plane, channel, y0, rows, x0, columns);
    }
    return 0;
}

/* ---- NHWC ---- */

/* `n` lanes of the outputs [x, x + pixels) of a row; taps [s0, s1) of its kernel rows [r0, r0 + rows) are inside. */
INLINE void pixels_nhwc(const int pixels, const job *j, const real *image, real *out, const real *residual, int64_t x,
                        int64_t y, int64_t r0, int64_t rows, int64_t s0, int64_t s1, int64_t c, int64_t n) {
    const fc_conv *p = j->p;
    int64_t channels = p->channels, step = p->stride_w * channels;
    vec sum[PIXELS];
    for (int m = 0; m < pixels; m++) sum[m] = zero();
    for (int64_t r = r0; r < r0 + rows; r++) {
        int64_t row = y * p->stride_h - p->pad_top + r * p->dilation_h;
        for (int64_t s = s0; s < s1; s++) {
            int64_t column = x * p->stride_w - p->pad_left + s * p->dilation_w;
            const real *from = image + (row * p->width + column) * channels + c;
            vec weight = load_up_to(j->weights + (r * p->kernel_w + s) * channels + c, n);
            if (n >= VL) {
#pragma GCC unroll 8
                for (int m = 0; m < pixels; m++) sum[m] += weight * load(from + m * step);
            } else {
                for (int m = 0; m < pixels; m++) sum[m] += weight * load_n(from + m * step, n);
            }
        }
    }
    vec bias = j->e->bias ? load_up_to((const real *)j->e->bias + c, n) : zero();
    for (int m = 0; m < pixels; m++) {
        int64_t at = (x + m) * channels + c;
        finish(out + at, sum[m], bias, residual ? residual + at : NULL, n, j->e);
    }
}

static int work_nhwc(const void *context, int64_t begin, int64_t end) {
    const job *j = context;
    const fc_conv *p = j->p;
    axis ax = plain_axis(p->out_width, p->kernel_w, p->stride_w, p->pad_left, p->dilation_w);
    axis ay = plain_axis(p->out_height, p->kernel_h, p->stride_h, p->pad_top, p->dilation_h);
    for (int64_t task = begin; task < end; task++) {
        int64_t image = task / p->out_height, y = task % p->out_height, r0, rows;
        rows_inside(&ay, y, p->height, &r0, &rows);
        const real *from = j->x + image * p->height * p->width * p->channels;
        int64_t row = (image * p->out_height + y) * p->out_width * p->channels;
        real *out = j->out + row;
        const real *residual = j->e->residual ? (const real *)j->e->residual + row : NULL;
        for (int64_t x = 0; x < p->out_width;) {
            int64_t s0, taps, end_s0, end_taps, last = min64(x + PIXELS, p->out_width) - 1;
            rows_inside(&ax, x, p->width, &s0, &taps);
            rows_inside(&ax, last, p->width, &end_s0, &end_taps);
            int whole = last - x == PIXELS - 1 && taps == p->kernel_w && end_taps == p->kernel_w;
            for (int64_t c = 0; c < p->channels; c += VL) {
                int64_t n = min64(VL, p->channels - c);
                if (whole)
                    pixels_nhwc(PIXELS, j, from, out, residual, x, y, r0, rows, 0, p->kernel_w, c, n);
                else
                    pixels_nhwc(1, j, from, out, residual, x, y, r0, rows, s0, s0 + taps, c, n);
            }
            x += whole ? PIXELS : 1;
        }
    }
    return 0;
}

/* ---- the kernel's interface ---- */

static int accepts(const fc_conv *p) {
    if (p->transposed || p->groups != p->channels) return 0;
    if (p->layout == FC_NHWC) return p->filters == p->channels;
    operands o = operands_of(p);
    grid g = grid_of(p, &o, 0);
    return !reads_in_place(&g, &o); /* vectors would read beyond the image */
}

static double cost(const fc_conv *p, int threads) {
    double outputs = (double)(p->batch * p->filters * p->out_height * p->out_width);
    double waste = p->layout == FC_NCHW ? (double)round_up(p->out_width, VL) / (double)p->out_width
                                        : (double)round_up(p->channels, VL) / (double)p->channels;
    return outputs * waste / VL * (8 + 0.7 * (double)(p->kernel_h * p->kernel_w)) / threads + 400;
}

static size_t weight_bytes(const fc_conv *p) {
    return (size_t)(p->filters * p->kernel_h * p->kernel_w) * sizeof(real);
}

static int plan(const fc_conv *p, const operands *o, int threads, strips *s) {
    grid g = grid_of(p, o, 0);
    int64_t planes = p->batch * p->filters;
    int status = plan_strips(s, &g, o, 2 * VL, 0, BAND_BYTES, planes % threads && planes < 4 * threads ? threads : 1);
    s->outside = 1;
    return status;
}

static size_t workspace_bytes(const fc_conv *p, int threads) {
    if (p->layout == FC_NHWC) return 0;
    operands o = operands_of(p);
    strips s;
    if (plan(p, &o, threads, &s)) return 0;
    free(s.memory);
    return packed_strip_bytes(&s) + (size_t)(2 * ROWS * s.pitch) * sizeof(real);
}

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    (void)threads;
    memcpy(packed, weight, weight_bytes(p));
    return 0;
}

static int run_all(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads) {
    operands o = operands_of(p);
    job j = {.p = p, .e = e, .o = &o, .x = x, .weights = packed, .out = out};
    threads = fc_worth(cost(p, 1), threads);
    if (p->layout == FC_NHWC) return fc_parallel(p->batch * p->out_height, threads, work_nhwc, &j);
    strips s;
    if (plan(p, &o, threads, &s)) return FC_NO_MEMORY;
    j.s = &s;
    int status = fc_parallel(p->batch * p->filters * s.strips_y * s.strips_x, threads, work_nchw, &j);
    free(s.memory);
    return status;
}

const fc_conv_kernel FC_NAME(depthwise) = {accepts, cost, weight_bytes, workspace_bytes, prepare, run_all};
