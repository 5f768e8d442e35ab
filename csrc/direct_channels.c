/* Direct convolution, vectors over output channels: the general kernel. Called through `kernels.def`.
 *
 * Register tile: MR pixels x NV vectors of channels (AVX-512: 14 x 32 floats). Every step of the reduction over (tap,
 * channel) broadcasts MR pixels of the packed strip and multiplies them with NV vectors of weights, which are packed
 * [block of NR filters][tap][channel][NR]. No partial sum leaves the registers. NCHW results are transposed, VL x VL, on
 * their way to memory. Limit: FMA throughput; with fewer than 4 pixels the latency of the FMAs. */
#include "direct.h"

typedef struct {
    const real *pixels, *weights;
    const int64_t *tap_offset;
    int64_t rows, columns, row_taps; /* taps that count, and all of a kernel's row */
    int64_t channels, pixel_step, channel_step;
    real *sums;
} tile;

/* Pixels are reached from every third one: x86 addresses base, base + step and base + 2 * step at no cost. */
INLINE void multiply_tile(const int rows, const int vectors, const int unit, const tile *t) {
    vec sum[MR][NV];
#pragma GCC unroll 16
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) sum[m][v] = zero();
    const real *w = t->weights;
    const int64_t step = unit ? 1 : t->pixel_step, next = unit ? t->channel_step : 1;
    const int64_t tap_weights = t->channels * vectors * VL, skipped = (t->row_taps - t->columns) * tap_weights;
    const int64_t *offset = t->tap_offset;
    for (int64_t row = t->rows; row > 0; row--, offset += t->row_taps, w += skipped)
    for (int64_t tap = 0; tap < t->columns; tap++) {
        const real *p[(MR + 2) / 3];
#pragma GCC unroll 8
        for (int i = 0; i < (MR + 2) / 3; i++) p[i] = t->pixels + offset[tap] + 3 * i * step;
        for (int64_t c = t->channels; c > 0; c--) {
            vec weight[NV];
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) weight[v] = load(w + v * VL);
            w += vectors * VL;
#pragma GCC unroll 16
            for (int m = 0; m < rows; m++) {
                vec pixel = splat(unit ? p[0][m] : p[m / 3][m % 3 * step]);
#pragma GCC unroll 2
                for (int v = 0; v < vectors; v++) sum[m][v] += pixel * weight[v];
            }
            for (int i = 0; i < (unit ? 1 : (rows + 2) / 3); i++) p[i] += next;
        }
    }
#pragma GCC unroll 16
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) store(t->sums + m * NR + v * VL, sum[m][v]);
}

#define TILE(rows)                                                                    \
    static void tile_##rows##_1_unit(const tile *t) { multiply_tile(rows, 1, 1, t); } \
    static void tile_##rows##_2_unit(const tile *t) { multiply_tile(rows, 2, 1, t); } \
    static void tile_##rows##_1_step(const tile *t) { multiply_tile(rows, 1, 0, t); } \
    static void tile_##rows##_2_step(const tile *t) { multiply_tile(rows, 2, 0, t); }
#define ROW(rows) {{tile_##rows##_1_step, tile_##rows##_2_step}, {tile_##rows##_1_unit, tile_##rows##_2_unit}}

TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)
#if MR > 6
TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12) TILE(13) TILE(14)
#endif

/* [pixels - 1][whether they are neighbours in memory][vectors - 1] */
static void (*const tiles[MR][2][NV])(const tile *) = {
    ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6),
#if MR > 6
    ROW(7), ROW(8), ROW(9), ROW(10), ROW(11), ROW(12), ROW(13), ROW(14),
#endif
};

static void store_nhwc(const job *j, const run *r, int64_t filters, const real *sums, int64_t first,
                       const real *bias) {
    const operands *o = j->o;
    const fc_epilogue *e = j->e;
    real *out = j->out + first;
    const real *residual = e->residual ? (const real *)e->residual + first : NULL;
    for (int64_t m = 0; m < r->count; m++)
        for (int64_t k = 0; k < filters; k += VL) {
            int64_t n = min64(VL, filters - k), at = m * r->step * o->out_pixel + k;
            finish(out + at, load(sums + (r->first + m) * NR + k), bias ? load_up_to(bias + k, n) : zero(),
                   residual ? residual + at : NULL, n, e);
        }
}

static void store_nchw(const job *j, const run *r, int64_t filters, const real *sums, int64_t first,
                       const real *bias) {
    const operands *o = j->o;
    const fc_epilogue *e = j->e;
    real *out = j->out + first;
    const real *residual = e->residual ? (const real *)e->residual + first : NULL;
    for (int64_t k0 = 0; k0 < filters; k0 += VL)
        for (int64_t m = 0; m < r->count; m += VL) {
            vec block[VL];
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++) block[i] = load(sums + (r->first + m + i) * NR + k0);
            transpose(block);
            int64_t n = min64(VL, r->count - m), lanes_used = min64(VL, filters - k0);
            for (int64_t i = 0; i < lanes_used; i++) {
                int64_t at = (k0 + i) * o->out_channel + m * r->step;
                vec b = bias ? splat(bias[k0 + i]) : zero();
                const real *res = residual ? residual + at : NULL;
                if (r->step == 1)
                    finish(out + at, block[i], b, res, n, e);
                else
                    finish_strided(out + at, r->step, block[i], b, res, n, e);
            }
        }
}

static void do_tile(const job *j, const place *p, const real *source, const real *weights, int64_t block,
                    real *scratch) {
    const operands *o = j->o;
    tile_input in = input_of(j, p, source);
    int64_t k0 = block * NR, filters = min64(NR, o->filters - k0);
    int vectors = filters > VL ? 2 : 1;
    tile t = {.pixels = in.pixels, .tap_offset = in.tap_offset, .rows = p->rows, .columns = p->tap_columns,
              .row_taps = j->s->g.x.taps, .channels = o->channels, .pixel_step = j->s->pixel_step,
              .channel_step = j->s->channel_step, .sums = scratch};
    t.weights = weights + (k0 * grid_taps(&j->s->g) + in.first_tap * vectors * VL) * o->channels;
    tiles[p->count - 1][t.pixel_step == 1][vectors - 1](&t);
    const real *bias = j->e->bias ? (const real *)j->e->bias + p->filter : NULL;
    for (run r = first_run(j, p); r.count; r = next_run(j, p, r)) {
        int64_t first = p->image * o->out_image + p->filter * o->out_channel + r.out_pixel * o->out_pixel;
        (o->nhwc ? store_nhwc : store_nchw)(j, &r, filters, scratch, first, bias);
    }
}

static int64_t tile_pixels(const operands *o) {
    (void)o;
    return MR;
}

static blocking blocks(const operands *o) { return (blocking){ceil_div(o->filters, NR), NR, 0}; }

static int64_t padded_filters(const operands *o) { return round_up(o->filters, VL); }

/* Where a row would leave tiles too small to hide the latency of the FMAs. */
static int spans_rows(const operands *o, const grid *g) {
    (void)o;
    int64_t width = g->x.count, smallest = width / ceil_div(width, MR);
    return smallest < 4 && g->y.count > 1;
}

static size_t scratch(const operands *o) {
    (void)o;
    return (MR + VL) * NR * sizeof(real);
}

/* Filters are contiguous in a vector. Where the user's are not, VL filters x VL of what is contiguous there are transposed:
 * (channel, element) for a convolution, elements for a transposed one, channels in NHWC. */
static void pack_block(const packing *j, const real *weight, int64_t block, real *const *places) {
    const operands *o = j->o;
    int64_t k0 = block * NR, filters = min64(NR, o->filters - k0), width = filters > VL ? NR : VL;
    int64_t elements = j->kernel_h * j->kernel_w, channels = o->channels;
    weight += k0 * o->w_filter;
    if (o->w_filter == 1) {
        for (int64_t e = 0; e < elements; e++) {
            const real *from = weight + e / j->kernel_w * o->w_row + e % j->kernel_w * o->w_column;
            real *to = places[e];
            for (int64_t c = 0; c < channels; c++, to += width, from += o->w_channel) {
                copy_reals(to, from, filters);
                clear_reals(to + filters, width - filters);
            }
        }
        return;
    }
    int by_channel = o->w_channel == 1 && o->nhwc, joined = !o->nhwc && o->w_channel == elements;
    int64_t runs = by_channel ? elements : joined ? 1 : channels;
    int64_t length = by_channel ? channels : joined ? channels * elements : elements;
    for (int64_t k = 0; k < width; k += VL) /* outermost: the hardware prefetches some 16 streams, not 32 */
        for (int64_t run = 0; run < runs; run++) {
            const real *from = weight + k * o->w_filter;
            from += by_channel ? run / j->kernel_w * o->w_row + run % j->kernel_w * o->w_column : run * o->w_channel;
            int64_t e = by_channel ? run : 0, c = by_channel ? 0 : run;
            for (int64_t first = 0; first < length; first += VL) {
                int64_t n = min64(VL, length - first);
                vec rows[VL];
                for (int i = 0; i < VL; i++)
                    rows[i] = k + i < filters ? load_up_to(from + i * o->w_filter + first, n) : zero();
                transpose(rows);
                for (int64_t i = 0; i < n; i++) {
                    store(places[e] + c * width + k, rows[i]);
                    if (by_channel)
                        c++;
                    else if (++e == elements)
                        e = 0, c++;
                }
            }
        }
}

static const family channels = {tile_pixels, blocks, padded_filters, spans_rows, 1, scratch, do_tile, pack_block};

static int accepts(const fc_conv *p) {
    (void)p;
    return 1;
}

/* Cycles: NV FMAs for each pixel in half as many; packing and storing a few cycles for a vector. */
static double cost(const fc_conv *p, int threads) {
    operands o = operands_of(p);
    double rest = (double)(o.filters % NR), cycles = 0;
    double full = (double)(o.filters / NR) + (rest > VL ? 1 : rest > 0 ? 0.55 : 0);
    for (int64_t i = 0; i < o.grids; i++) {
        grid g = grid_of(p, &o, i);
        if (!grid_pixels(&g)) continue;
        double pixels = (double)(o.batch * o.groups * g.y.count * g.x.count);
        double multiply = pixels * full * (double)(grid_taps(&g) * o.channels) * NV / 2;
        double finish = pixels * full * NV * (o.nhwc ? 2 : 6);
        double pack = reads_in_place(&g, &o) ? 0 : pixels * (double)(g.y.taps * o.channels) * 2 / VL;
        cycles += multiply * 1.05 + finish + pack;
    }
    return cycles / threads + 400;
}

static size_t weight_bytes(const fc_conv *p) { return family_weights(&channels, p); }

static size_t workspace_bytes(const fc_conv *p, int threads) { return family_workspace(&channels, p, threads); }

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    return family_prepare(&channels, p, weight, packed, threads);
}

static int run_all(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads) {
    return family_run(&channels, p, x, packed, e, out, cost(p, 1), threads);
}

const fc_conv_kernel FC_NAME(direct_channels) = {accepts, cost, weight_bytes, workspace_bytes, prepare, run_all};
