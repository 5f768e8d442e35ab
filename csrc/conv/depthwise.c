/* Depthwise convolution: every output channel sees one input channel. Called through `kernels.def`.
 *
 * NCHW: vectors over the pixels of a row. Square kernels of 3, 5 and 7 without dilation, of stride 1 and 2, walk down
 * columns of the image (depthwise_walk.h), or, where rows are short, take a vector of planes at once
 * (depthwise_planes.h). All others read a packed band, four rows of outputs at once where these
 * share input rows. NHWC: vectors over channels: tiles read in place for the same kernels (depthwise_tile.h), else, and
 * for few channels, pixels_nhwc.h. Limit: multiplications, and for stride 2 the shuffles that split even and odd
 * columns; loads, for packed bands; the bandwidth of the level where the image is, for kernels of 3. */
#include <math.h>
#include <stdlib.h>

#include "base/bands.h"
#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/depthwise_planes.h"
#include "conv/depthwise_tile.h"
#include "conv/depthwise_walk.h"
#include "conv/epilogue.h"
#include "conv/grid.h"
#include "conv/kernel.h"
#include "conv/pixels_nhwc.h"
#include "conv/strip.h"

/* The width of a register tile, which the number of registers limits. */
#if MR > 6
#define MOST_VECTORS 4
#define WIDTHS_BAND(f, R) f(R, 1) f(R, 2) f(R, 4)
#else
#define MOST_VECTORS 2
#define WIDTHS_BAND(f, R) f(R, 1) f(R, 2)
#endif

enum { BAND_BYTES = 96 << 10 };

typedef struct {
    const fc_conv *p;
    const fc_epilogue *e;
    const strips *s;
    const operands *o;
    const real *x, *weights;
    real *out;
    int64_t parts;
} depthwise_job;

/* ---- NCHW ---- */

/* Is it one of the usual kernels, whose loops are unrolled? */
static int usual(const fc_conv *p) {
    int64_t k = p->kernel_h;
    return k == p->kernel_w && (k == 3 || k == 5 || k == 7) && p->stride_h == p->stride_w && p->stride_h <= 2 &&
           p->dilation_h == 1 && p->dilation_w == 1;
}

/* NHWC images of few channels are planes whose pixels are several numbers. */
static int is_inner(const fc_conv *p) {
    return p->layout == FC_NHWC && usual(p) && p->stride_w == 1 && p->channels > 1 && p->channels < VL &&
           p->filters == p->channels;
}

/* Cycles of walking down all columns, on two threads, as far as they compare with those of planes_cycles. */
static double walk_cycles(const fc_conv *p) {
    int64_t along = is_inner(p) ? p->out_width * p->channels : p->out_width;
    double planes = (double)(p->batch * p->filters), outputs = planes * (double)(p->out_height * p->out_width);
    double vectors = outputs / (double)along * ceil((double)along / VL), taps = (double)(p->kernel_h * p->kernel_w);
    return vectors * 0.4 * taps * (is_inner(p) ? 1.5 : (double)p->stride_w) + STEPPING(30) * planes;
}

/* Are planes so small that several at once are better? */
static int by_planes(const fc_conv *p) {
    if (p->layout != FC_NCHW || !usual(p) || p->filters != p->channels || p->channels < VL) return 0;
    if (p->height * p->width > MOST_PIXELS || p->out_height * p->out_width > MOST_PIXELS) return 0;
    /* Far beyond L2, all but the smallest are read faster row by row. */
    int64_t pixels = p->height * p->width + p->out_height * p->out_width;
    if (pixels > 2 * EASY_PIXELS && pixels * p->batch * p->channels * (int64_t)sizeof(real) > 4 * fc_l2_bytes())
        return 0;
    double blocks = (double)(p->batch * ceil_div(p->channels, VL));
    return blocks * planes_cycles(p) / 2 < walk_cycles(p);
}

static int walked(const fc_conv *p) { return (p->layout == FC_NCHW && usual(p) && !by_planes(p)) || is_inner(p); }

/* Of a row, and what follows them. */
static size_t columns_bytes(const fc_conv *p) {
    int64_t inner = is_inner(p) ? p->channels : 1;
    return (size_t)ceil_div(p->out_width * inner, VL) * sizeof(column) + (size_t)(2 * (inner + VL)) * sizeof(real);
}

/* Tasks are (plane, part of its rows). */
static int work_walks(const void *context, int64_t begin, int64_t end) {
    const depthwise_job *j = context;
    const fc_conv *p = j->p;
    int64_t inner = is_inner(p) ? p->channels : 1, filters = p->filters / inner, multiplier = p->filters / p->channels;
    int64_t kernel = p->kernel_h, stride = p->stride_h, count = 0;
    int64_t plane_size = p->height * p->width * inner, out_size = p->out_height * p->out_width * inner;
    column *columns = fc_workspace(FC_OWN, columns_bytes(p));
    if (!columns) return FC_NO_MEMORY;
    walk_shape w = {.height = p->height,
                    .width = p->width * inner,
                    .pad_top = p->pad_top,
                    .pad_left = p->pad_left * inner,
                    .out_width = p->out_width * inner,
                    .inner = inner,
                    .e = j->e};
    real *room = (real *)(columns + ceil_div(w.out_width, VL));
    w.values = values_from(j->e, 0);
    if (inner > 1) w.values = repeated(w.values, inner, inner + VL, room);
    for (int64_t x = 0; x < w.out_width; count++) x = set_column(&columns[count], &w, kernel, stride, x);
    int beyond = beyond_l2(plane_size + out_size);
    /* With a stride there is less arithmetic to each pixel: fetching shows before L2 is full. */
    int ahead = beyond || (stride > 1 && beyond_l1(plane_size + out_size));
    int64_t band = band_rows(beyond, p->out_height);
    const walker *by_vectors = inner > 1 ? inner_walkers[kernel / 2 - 1] : walkers[kernel / 2 - 1][stride - 1];
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->parts, part = task % j->parts, filter = plane % filters;
        int64_t first = plane * out_size;
        walk_rows rows = {.x = j->x + plane / multiplier * plane_size,
                          .weights = j->weights + filter * kernel * kernel,
                          .out = j->out + first,
                          .residual = j->e->residual ? (const real *)j->e->residual + first : NULL,
                          .bias = one_channel(w.values, filter).bias,
                          .filter = filter,
                          .y = p->out_height * part / j->parts,
                          .ahead = ahead};
        rows.kind = finish_kind_of(j->e, &rows.between);
        for (int64_t y_end = p->out_height * (part + 1) / j->parts; rows.y < y_end; rows.y = rows.y_end) {
            int status = fc_called_off();
            if (status) return status;
            rows.y_end = min64(rows.y + band, y_end);
            for (int64_t c = 0; c < count; c++) by_vectors[columns[c].vectors - 1](&w, &columns[c], &rows);
            if (rows.kind == FINISH_CALL) finish_rows(&w, &rows);
        }
    }
    return 0;
}

/* A register tile in a packed band: R outputs below each other, `row_distance` apart, of V vectors. */
typedef struct {
    const real *pixels, *weights, *residual;
    const int64_t *tap_offset; /* of the kernel's first row, or, where rows lie in several sheets, of all */
    int64_t kernel_h, kernel_w, row_distance, offset_step;
    real *out;
    int64_t out_distance, count; /* of rows; outputs in each */
    channel_lanes channel;
    const fc_epilogue *e;
} band_tile;

/* Adds an input row, which outputs [low, high] see; `weights` are those of output 0. */
INLINE
void add_row(const int V, const int low, const int high, const real *row, const int64_t *offset, const real *weights,
             int64_t kernel_w, vec (*sum)[4]) {
    for (int64_t s = 0; s < kernel_w; s++) {
        vec pixels[4];
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) pixels[v] = load(row + offset[s] + v * VL);
#pragma GCC unroll 4
        for (int i = low; i <= high; i++) {
            vec weight = splat(weights[s - i * kernel_w]);
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) sum[i][v] += weight * pixels[v];
        }
    }
}

/* The kernel has at least R rows; those that all outputs see are the main loop. */
INLINE
void sum_band(const int R, const int V, const band_tile *t) {
    vec sum[4][4];
    const real *row = t->pixels, *weights = t->weights;
    const int64_t *offset = t->tap_offset;
#pragma GCC unroll 4
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) sum[i][v] = zero();
#pragma GCC unroll 4
    for (int j = 0; j < R - 1; j++, row += t->row_distance, weights += t->kernel_w)
        add_row(V, 0, j, row, offset, weights, t->kernel_w, sum);
    for (int64_t j = R - 1; j < t->kernel_h;
         j++, row += t->row_distance, weights += t->kernel_w, offset += t->offset_step)
        add_row(V, 0, R - 1, row, offset, weights, t->kernel_w, sum);
#pragma GCC unroll 4
    for (int j = 1; j < R; j++, row += t->row_distance, weights += t->kernel_w)
        add_row(V, j, R - 1, row, offset, weights, t->kernel_w, sum);
#pragma GCC unroll 4
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) PIN(sum[i][v]);
#pragma GCC unroll 4
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) {
            int64_t at = i * t->out_distance + v * VL, n = t->count - v * VL;
            if (n > 0) finish(t->out + at, sum[i][v], t->channel, t->residual ? t->residual + at : NULL, n, t->e);
        }
}

#define BAND(R, V)                                                                                                     \
    static void band_##R##_##V(const band_tile *t) { sum_band(R, V, t); }
#define BAND_ENTRY(R, V) band_##R##_##V,
WIDTHS_BAND(BAND, 1)
WIDTHS_BAND(BAND, 2)
WIDTHS_BAND(BAND, 4)

/* [rows / 2][vectors / 2] */
static void (*const bands[3][3])(const band_tile *) = {
    {WIDTHS_BAND(BAND_ENTRY, 1)}, {WIDTHS_BAND(BAND_ENTRY, 2)}, {WIDTHS_BAND(BAND_ENTRY, 4)}};

/* How many output rows share input rows; 1 where these are interleaved. */
static int64_t rows_together(const grid *g) { return g->y.step > 1 || g->y.taps < 2 ? 1 : g->y.taps < 4 ? 2 : 4; }

/* Does a packed band; rows that share input rows are a dilation apart. */
static void band(const depthwise_job *j, const real *packed, int64_t plane, int64_t channel, int64_t y0, int64_t rows,
                 int64_t x0, int64_t columns) {
    const strips *s = j->s;
    const axis *ay = &s->g.y;
    int64_t most = s->y.sheets > 1 ? 1 : rows_together(&s->g);
    int64_t distance = most > 1 ? ay->tap_step : 1;
    band_tile t = {.weights = j->weights + channel * grid_taps(&s->g),
                   .tap_offset = s->tap_offset,
                   .e = j->e,
                   .kernel_h = ay->taps,
                   .kernel_w = s->g.x.taps,
                   .out_distance = distance * j->o->out_width,
                   .channel = one_channel(values_from(j->e, channel), 0)};
    for (int64_t first = 0; first < min64(distance, rows); first++)
        for (int64_t y = first, step; y < rows; y += step * distance) {
            int64_t left = ceil_div(rows - y, distance), together = left >= most ? most : 1;
            int64_t row = plane * j->o->out_channel + (y0 + y) * j->o->out_width + x0;
            step = together;
            t.row_distance = together > 1 ? distance * s->pitch : 0, t.offset_step = together > 1 ? 0 : t.kernel_w;
            for (int64_t x = 0, vectors; x < columns; x += vectors * VL) {
                t.pixels = packed + y * s->pitch + x, t.count = columns - x, t.out = j->out + row + x;
                t.residual = j->e->residual ? (const real *)j->e->residual + row + x : NULL;
                vectors = t.count > 3 * VL ? MOST_VECTORS : t.count > VL ? 2 : 1;
                bands[together / 2][vectors / 2](&t);
            }
        }
}

static int work_bands(const void *context, int64_t begin, int64_t end) {
    const depthwise_job *j = context;
    const strips *s = j->s;
    const operands *o = j->o;
    int64_t filters = o->groups * o->filters, each = s->strips_y * s->strips_x;
    real *packed = fc_workspace(FC_OWN, packed_strip_bytes(s));
    if (!packed) return FC_NO_MEMORY;
    int64_t last = -1;
    for (int64_t task = begin; task < end; task++) {
        int64_t strip = task % each, plane = task / each, channel = plane % filters;
        int64_t y0, rows, x0, columns;
        place_strip(s, strip, &y0, &rows, &x0, &columns);
        int64_t source = (plane / o->filters) * each + strip;
        if (source != last) pack_strip(s, o, j->x + plane / o->filters * o->x_channel, y0, rows, x0, columns, packed);
        last = source;
        band(j, packed, plane, channel, y0, rows, x0, columns);
    }
    return 0;
}

/* ---- NHWC ---- */

static int tiled(const fc_conv *p) { return p->layout == FC_NHWC && p->channels >= VL && usual(p); }

/* Tasks are (image, TILE_ROWS rows of outputs). */
static int work_tiles(const void *context, int64_t begin, int64_t end) {
    const depthwise_job *j = context;
    const fc_conv *p = j->p;
    real *zeros = fc_workspace(FC_OWN, (size_t)p->channels * sizeof(real));
    if (!zeros) return FC_NO_MEMORY;
    clear_reals(zeros, p->channels);
    depthwise_tile t = {
        .weights = j->weights, .channels = p->channels, .out_row = p->out_width * p->channels, .e = j->e};
    t.kind = finish_kind_of(j->e, &t.between);
    real *row_sums = j->e->row_sums;
    t.sums_row = ceil_div(p->out_width, FC_SUMMED) * p->channels;
    for (int64_t task = begin; task < end; task++) {
        int64_t image = task / j->parts, y = task % j->parts * TILE_ROWS, row = image * p->out_height + y;
        int status = fc_called_off();
        if (status) return status;
        t.rows = min64(TILE_ROWS, p->out_height - y);
        if (row_sums) clear_reals(row_sums + row * t.sums_row, t.rows * t.sums_row);
        for (int64_t x = 0; x < p->out_width; x += TILE_PIXELS) {
            int64_t first = (row * p->out_width + x) * p->channels;
            if (row_sums) t.row_sums = row_sums + row * t.sums_row + x / FC_SUMMED * p->channels;
            t.columns = min64(TILE_PIXELS, p->out_width - x);
            t.out = j->out + first, t.residual = j->e->residual ? (const real *)j->e->residual + first : NULL;
            find_pixels(&t, p, j->x + image * p->height * p->width * p->channels, y, x, zeros);
            pixel_sums[p->kernel_h / 2 - 1][p->stride_h - 1](&t);
        }
    }
    return 0;
}

static job_nhwc job_nhwc_of(const fc_conv *p) {
    return (job_nhwc){.p = p, .in_lanes = VL, .out_lanes = VL, .channels_each = 1, .blocks = ceil_div(p->channels, VL)};
}

/* ---- the kernel's interface ---- */

static COLD int accepts(const fc_conv *given) {
    fc_conv plain, *p = &plain;
    if (!as_plain(given, p) || p->groups != p->channels || (given->transposed && p->filters != p->channels)) return 0;
    if (p->layout == FC_NHWC) return p->filters == p->channels && (tiled(p) || walked(p) || ring_fits(p));
    operands o = FC_NAME(operands_of)(p);
    grid g = grid_of(p, &o, 0);
    return !reads_in_place(&g, &o); /* vectors would read beyond the image */
}

/* The unrolled kernels' sums begin with the bias, and those of a transposed convolution go back through its kernel. */
static COLD int in_turn(const fc_conv *given) {
    const fc_conv plain = plain_of(given), *p = &plain;
    int unrolled = usual(p) && (p->layout == FC_NCHW || tiled(p) || is_inner(p));
    return !unrolled && (!given->transposed || p->kernel_h * p->kernel_w == 1);
}

static COLD double cost(const fc_conv *given) {
    const fc_conv plain = plain_of(given), *p = &plain;
    double outputs = (double)(p->batch * p->filters * p->out_height * p->out_width),
           taps = (double)(p->kernel_h * p->kernel_w);
    operands o = FC_NAME(operands_of)(p);
    double moved = image_cycles(&o, 1, 1) + STEPPING(1000);
    if (by_planes(p)) return (double)(p->batch * ceil_div(p->channels, VL)) * planes_cycles(p) / 2 + moved;
    taps *= PRODUCT_CYCLES;
    int64_t along = p->layout == FC_NCHW ? p->out_width : is_inner(p) ? p->out_width * p->channels : p->channels;
    double vectors = outputs / (double)along * ceil((double)along / VL), planes = (double)(p->batch * p->filters);
    if (tiled(p)) { /* by whole tiles */
        vectors *= (double)(ceil_div(p->out_height, TILE_ROWS) * TILE_ROWS) / (double)p->out_height;
        vectors *= (double)(ceil_div(p->out_width, TILE_PIXELS) * TILE_PIXELS) / (double)p->out_width;
        return vectors * (MOVING(1.05) + 0.54 * taps * (double)p->stride_w) + moved;
    }
    if (walked(p))
        return vectors * ((is_inner(p) ? MOVING(3.6) : MOVING(0.6)) + taps * (is_inner(p)       ? 1.03
                                                                              : p->stride_w > 1 ? 1.2
                                                                                                : 0.6)) +
               (is_inner(p) ? 0 : STEPPING(64) * planes) + moved;
    if (p->layout == FC_NHWC) {
        moved += beside_cycles(p, ceil_div(p->channels, VL));
        return vectors * (MOVING(4.8) + 0.93 * taps) + STEPPING(90) * vectors / (double)p->out_width + moved;
    }
    grid g = whole_grid(p);
    int shared = rows_together(&g) > 1; /* are loads? */
    double packed = (double)(min64(p->stride_h, p->kernel_h) * min64(p->stride_w, p->kernel_w)) *
                    (double)(p->batch * p->channels * p->out_height * p->out_width);
    double packing = packed * MOVING(p->stride_w > 1 ? 0.35 : 0.1);
    return packing + vectors * (MOVING(10.8) + (shared ? 0.6 : 1.05) * taps) + STEPPING(490) * planes + moved;
}

static COLD size_t weight_bytes(const fc_conv *given) {
    const fc_conv plain = plain_of(given), *p = &plain;
    int vectors = p->layout == FC_NHWC || by_planes(p);
    int64_t filters = is_inner(p) ? p->channels * VL : vectors ? round_up(p->filters, VL) : p->filters;
    return (size_t)(filters * p->kernel_h * p->kernel_w) * sizeof(real);
}

static int plan_bands(const fc_conv *p, const operands *o, int threads, strips *s) {
    grid g = grid_of(p, o, 0);
    int64_t planes = p->batch * p->filters;
    int64_t together = rows_together(&g);
    int status = plan_strips(s, &g, o, MOST_VECTORS * VL, together > 1 ? together * g.y.tap_step : 1, 0, 0, BAND_BYTES,
                             planes % threads && planes < 4 * threads ? threads : 1);
    s->outside = 1;
    return status;
}

static COLD size_t workspace_bytes(const fc_conv *given, int threads) {
    const fc_conv plain = plain_of(given), *p = &plain;
    if (by_planes(p)) return planes_bytes(p);
    if (walked(p)) return columns_bytes(p);
    if (tiled(p)) return (size_t)p->channels * sizeof(real);
    if (p->layout == FC_NHWC) {
        job_nhwc j = job_nhwc_of(p);
        set_ring(&j);
        return ring_bytes(&j);
    }
    operands o = FC_NAME(operands_of)(p);
    strips s;
    if (plan_bands(p, &o, threads, &s)) return 0;
    free(s.memory);
    return packed_strip_bytes(&s);
}

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    (void)threads;
    int64_t taps = p->kernel_h * p->kernel_w;
    const real *from = weight;
    real *to = packed;
    const fc_conv plain = plain_of(p);
    if (by_planes(&plain)) {
        pack_planes(p, from, to);
        return 0;
    }
    if (p->layout == FC_NCHW) {
        for (int64_t k = 0; k < p->filters; k++, from += taps)
            for (int64_t t = 0; t < taps; t++) *to++ = from[element_of_tap(p, t)];
        return 0;
    }
    if (is_inner(&plain)) {
        for (int64_t first = 0; first < p->channels; first++)
            for (int64_t t = 0; t < taps; t++)
                for (int l = 0; l < VL; l++)
                    element_weights(p, from, element_of_tap(p, t), (first + l) % p->channels, 1, to++);
        return 0;
    }
    for (int64_t v = 0; v * VL < p->channels; v++) {
        int64_t c = tiled(&plain) ? vector_start(p->channels, v) : v * VL;
        for (int64_t t = 0; t < taps; t++, to += VL) {
            store(to, zero());
            element_weights(p, from, element_of_tap(p, t), c, min64(VL, p->channels - c), to);
        }
    }
    return 0;
}

static int run_all(const fc_conv *given, const void *x, const void *packed, const fc_epilogue *e, void *out,
                   int threads) {
    const fc_conv plain = plain_of(given), *p = &plain;
    operands o = FC_NAME(operands_of)(p);
    depthwise_job j = {.p = p, .e = e, .o = &o, .x = x, .weights = packed, .out = out};
    double cycles = all_cycles(p, cost);
    threads = fc_worth(cycles, threads);
    if (by_planes(p)) {
        const small_planes_job planes = {.p = p, .e = e, .x = x, .weights = packed, .out = out};
        return fc_parallel(p->batch * ceil_div(p->channels, VL), cycles, threads, work_planes, &planes);
    }
    if (walked(p)) {
        int64_t planes = p->batch * (is_inner(p) ? 1 : p->filters);
        j.parts = planes < 4 * threads ? min64(ceil_div(p->out_height, 4), ceil_div(4 * threads, planes)) : 1;
        return fc_parallel(planes * j.parts, cycles, threads, work_walks, &j);
    }
    if (tiled(p)) {
        j.parts = ceil_div(p->out_height, TILE_ROWS);
        return fc_parallel(p->batch * j.parts, cycles, threads, work_tiles, &j);
    }
    if (p->layout == FC_NHWC) {
        job_nhwc n = job_nhwc_of(p);
        n.e = e, n.x = x, n.weights = packed, n.out = out;
        return run_nhwc(&n, cycles, threads);
    }
    strips s;
    if (plan_bands(p, &o, threads, &s)) return FC_NO_MEMORY;
    j.s = &s;
    int status = fc_parallel(p->batch * p->filters * s.strips_y * s.strips_x, cycles, threads, work_bands, &j);
    free(s.memory);
    return status;
}

/* Planes that are done together have their weights side by side. */
static int64_t weight_form(const fc_conv *given) {
    const fc_conv plain = plain_of(given);
    return by_planes(&plain);
}

/* Where results are stored without a call, one for their sums would take as long as reading them again. */
static COLD int sums_rows(const fc_conv *given, const fc_epilogue *e) {
    const fc_conv plain = plain_of(given);
    bounds between;
    return tiled(&plain) && finish_kind_of(e, &between) == FINISH_CALL;
}

const fc_conv_kernel FC_NAME(depthwise) = {
    .accepts = accepts,
    .cost = cost,
    .in_turn = in_turn,
    .weight_bytes = weight_bytes,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
    .run = run_all,
    .weight_form = weight_form,
    .sums_rows = sums_rows,
};
