/* Direct convolution, vectors over output pixels (NCHW): for few output channels, or a short reduction, where
 * transposing results would cost. Called through `kernels.def`, and by deformable convolution.
 *
 * Register tile: up to KR filters x 2 vectors of pixels, or up to KR_WIDE x 4. Every step of the reduction over (tap,
 * channel) loads the vectors from the packed strip (or from the image itself for 1x1) and multiplies them with one
 * broadcast weight for each filter, packed [block of filters][tap][channel][filter]. Limit: FMA throughput; loads that
 * cross cache lines where the block has few filters. */
#include <math.h>

#include "base/bands.h"
#include "base/kernel_costs.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/direct.h"
#include "conv/direct_costs.h"
#include "conv/epilogue.h"
#include "conv/grid.h"
#include "conv/kernel.h"
#include "conv/strip.h"

#define KR MR
#if MR > 6
#define KR_WIDE 6
#else
#define KR_WIDE 2
#endif

typedef struct {
    const real *pixels, *weights;
    const int64_t *tap_offset;
    int64_t rows, columns, row_taps; /* taps that count, and all of a kernel's row */
    int64_t channels, channel_step;
    int64_t ahead;        /* pixels that are fetched meanwhile */
    const real *results;  /* or NULL: what will be asked for meanwhile, one row with each step, ... */
    int64_t results_step; /* ... from filter to filter */
    real *sums;
    int64_t sums_step; /* from filter to filter */
    /* Whole tiles whose rows are contiguous go straight to the output, bias and ReLU included. */
    const real *bias;
    int finished, relu;
} pixel_tile;

INLINE
void multiply_tile(const int filters, const int vectors, const pixel_tile *t) {
    vec sum[KR][4];
#pragma GCC unroll 16
    for (int k = 0; k < filters; k++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sum[k][v] = zero();
    const real *w = t->weights;
    const int64_t ahead = t->ahead;
    const real *result = t->results;
    int64_t to_fetch = result ? filters : 0;
    const int64_t skipped = (t->row_taps - t->columns) * t->channels * filters;
    const int64_t *offset = t->tap_offset;
    for (int64_t row = t->rows; row > 0; row--, offset += t->row_taps, w += skipped)
        for (int64_t tap = 0; tap < t->columns; tap++) {
            const real *p = t->pixels + offset[tap];
            for (int64_t c = t->channels; c > 0; c--, p += t->channel_step, w += filters) {
                vec pixels[4];
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++) pixels[v] = load(p + v * VL);
                if (ahead)
#pragma GCC unroll 4
                    for (int v = 0; v < vectors; v += 64 / VECTOR_BYTES) __builtin_prefetch(p + ahead + v * VL);
                if (FETCHES && to_fetch) {
#pragma GCC unroll 4
                    for (int v = 0; v < vectors; v++) __builtin_prefetch(result + v * VL, 1);
                    result += t->results_step, to_fetch--;
                }
#pragma GCC unroll 16
                for (int k = 0; k < filters; k++) {
                    vec weight = splat(w[k]);
#pragma GCC unroll 4
                    for (int v = 0; v < vectors; v++) sum[k][v] += weight * pixels[v];
                }
            }
        }
#pragma GCC unroll 16
    for (int k = 0; k < filters; k++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) PIN(sum[k][v]);
    const int finished = t->finished, relu = t->relu;
    real *out = t->sums;
#pragma GCC unroll 16
    for (int k = 0; k < filters; k++, out += t->sums_step) {
        vec bias = finished && t->bias ? splat(t->bias[k]) : zero();
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            vec x = sum[k][v];
            if (finished) x += bias;
            if (relu) x = at_least(x, zero());
            store(out + v * VL, x);
        }
    }
}

#define TILE(filters)                                                                                                  \
    static void tile_##filters(const pixel_tile *t) { multiply_tile(filters, filters <= KR_WIDE ? 4 : 2, t); }
#define ROW(filters) tile_##filters,

EACH_TILE(TILE)

static void (*const tiles[KR])(const pixel_tile *) = {EACH_TILE(ROW)};

static blocking blocks(const operands *o) {
    int64_t count = ceil_div(o->filters, KR);
    return (blocking){count, o->filters / count, o->filters % count};
}

/* Blocks differ by one filter at most, and there are several only above KR, so that all have tiles of one width. */
static int vectors_of(int64_t filters) { return filters <= KR_WIDE ? 4 : 2; }

static int64_t tile_pixels(const operands *o) { return vectors_of(blocks(o).size) * VL; }

static int64_t tiles_together(const operands *o) {
    (void)o;
    return 1;
}

static int64_t padded_filters(const operands *o) { return o->filters; }

/* Rows that do not fill their last vector waste it; but then every horizontal tap is packed by itself. */
static int spans_rows(const operands *o, const grid *g) {
    int64_t tile = tile_pixels(o), used = g->x.count, spent = round_up(used, tile);
    return g->y.count > 1 && (double)(spent - used) > 0.1 * (double)spent;
}

/* A short sum is little but stores: block by block, fewer planes are written at once, and the hardware fetches them
 * ahead. */
static int block_by_block(const operands *o) { return o->elements * o->channels <= 32; }

/* The sums of so many phases, which should fit L2; then a copy of pixels, or what is being interleaved. */
enum { MOST_PHASES = 32 };

static size_t scratch(const operands *o) {
    return (size_t)((KR + 3) * min64(o->phase_columns, MOST_PHASES) + o->channels + 1) * 4 * VL * sizeof(real);
}

/* Stores row i of `rows`, each of n numbers, to every `count`-th element from i on. Halves of the rows are joined pair
 * by pair; `room` and `next_room` hold what is half done. */
static void interleave(const real *rows, int64_t rows_step, int64_t count, int64_t n, real *to, real *room,
                       real *next_room) {
    if (count % 2 || n % VL) {
        for (int64_t i = 0; i < count; i++)
            for (int64_t m = 0; m < n; m++) to[m * count + i] = rows[i * rows_step + m];
        return;
    }
    real *half = count == 2 ? to : room;
    int64_t pairs = count / 2;
    for (int64_t i = 0; i < pairs; i++)
        for (int64_t m = 0; m < n; m += VL) {
            vec a = load(rows + i * rows_step + m), b = load(rows + (i + pairs) * rows_step + m);
            store(half + 2 * (i * n + m), __builtin_shufflevector(a, b, LANES(ZIP_LOW, 0, 0)));
            store(half + 2 * (i * n + m) + VL, __builtin_shufflevector(a, b, LANES(ZIP_HIGH, 0, 0)));
        }
    if (count > 2) interleave(half, 2 * n, pairs, 2 * n, to, next_room, room);
}

/* Finishes n results that are those of two phases in turn. */
INLINE
void finish_pairs(const fc_epilogue *e, real *out, channel_lanes own, const real *residual, int64_t n, const real *even,
                  const real *odd) {
    for (int64_t m = 0; m < n; m += 2 * VL, even += VL, odd += VL) {
        vec a = load(even), b = load(odd), low = __builtin_shufflevector(a, b, LANES(ZIP_LOW, 0, 0)),
            high = __builtin_shufflevector(a, b, LANES(ZIP_HIGH, 0, 0));
        finish(out + m, low, own, residual ? residual + m : NULL, min64(VL, n - m), e);
        if (n - m > VL) finish(out + m + VL, high, own, residual ? residual + m + VL : NULL, min64(VL, n - m - VL), e);
    }
}

/* Asks for the memory that a tile's results will go to, and for their residuals: both lie in as many places as the tile
 * has filters, too few lines in each for the hardware to see a pattern. */
INLINE
void fetch_results(const direct_job *j, const place *p, const pixel_stretch *r, int64_t filters) {
    const operands *o = j->o;
    int64_t first = p->image * o->out_image + p->filter * o->out_channel + r->out_pixel;
    const real *residual = (const real *)j->e->residual;
    for (int64_t k = 0; k < filters; k++, first += o->out_channel)
        for (int64_t m = 0; m < r->outputs; m += 64 / (int64_t)sizeof(real)) {
            __builtin_prefetch(j->out + first + m, 1);
            if (residual) __builtin_prefetch(residual + first + m);
        }
}

static void do_tile(const direct_job *j, const place *p, const real *source, real *scratch) {
    const operands *o = j->o;
    const fc_epilogue *e = j->e;
    int64_t filters = block_width(j, p->block), own = vectors_of(filters) * VL, phases = p->phases, grid = p->grid;
    static const int64_t nowhere[1] = {0};
    pixel_tile t = {.channels = o->channels,
                    .channel_step = j->s->channel_step,
                    .ahead = j->s->in_place ? own : 0,
                    .sums_step = own * phases};
    real *room = scratch + KR * own * phases, *copy = NULL;
    if (j->s->in_place && p->count < own) {
        /* A vector would read beyond the image. */
        const real *from = tile_source(j, p, source);
        for (int64_t c = 0; c < o->channels; c++) copy_reals(room + c * own, from + c * t.channel_step, p->count);
        copy = room, t.channel_step = own;
    }
    pixel_stretch r = first_stretch(j, p);
    const real *results = NULL;
    if (beyond_l2(o->out_image) && !block_by_block(o)) {
        if (!FETCHES || r.count < p->count || e->residual)
            fetch_results(j, p, &r, filters);
        else
            results = j->out + p->image * o->out_image + p->filter * o->out_channel + r.out_pixel;
    }
    if (r.count == own && o->phase_columns == 1 && !e->residual &&
        (e->activation == FC_LINEAR || e->activation == FC_RELU)) {
        t.finished = 1, t.relu = e->activation == FC_RELU;
        t.bias = e->bias ? (const real *)e->bias + p->filter : NULL;
    }
    t.results_step = o->out_channel;
    for (int64_t i = 0; i < phases; i++) {
        tile_input in = input_of(j, p, p->phase + i, &grid, source);
        t.pixels = copy ? copy : in.pixels, t.tap_offset = copy ? nowhere : in.tap_offset;
        t.weights = in.weights, t.rows = in.rows, t.columns = in.columns, t.row_taps = in.row_taps;
        t.sums = scratch + i * own, t.results = results ? results + i * own : NULL;
        if (t.finished) {
            t.sums = j->out + p->image * o->out_image + p->filter * o->out_channel + r.out_pixel;
            t.sums_step = o->out_channel;
        }
        tiles[filters - 1](&t);
    }
    if (t.finished) return;
    const channel_values values = values_from(e, p->filter);
    for (; r.count; r = next_stretch(j, p, r)) {
        for (int64_t k = 0; k < filters; k++) {
            int64_t first = p->image * o->out_image + (p->filter + k) * o->out_channel + r.out_pixel;
            real *out = j->out + first;
            const real *residual = e->residual ? (const real *)e->residual + first : NULL;
            const channel_lanes own_channel = one_channel(values, k);
            const real *sums = scratch + k * t.sums_step + r.first;
            if (phases == 2) {
                finish_pairs(e, out, own_channel, residual, r.outputs, sums, sums + own);
                continue;
            }
            if (phases > 1) {
                int64_t whole = r.first ? r.count : own; /* beyond the stretch, but in whole vectors */
                interleave(sums, own, phases, whole, room, room + own * phases, room + 2 * own * phases);
                sums = room;
            }
            for (int64_t m = 0; m < r.outputs; m += VL)
                finish(out + m, load(sums + m), own_channel, residual ? residual + m : NULL, min64(VL, r.outputs - m),
                       e);
        }
    }
}

static void pack_block(const weight_packing *j, const real *weight, int64_t block, real *const *places) {
    const operands *o = j->o;
    blocking b = blocks(o);
    int64_t k0 = block_start(&b, block), filters = block_start(&b, block + 1) - k0;
    weight += k0 * o->w_filter;
    for (int64_t e = 0; e < j->kernel_h * j->kernel_w; e++) {
        const real *from = weight + e / j->kernel_w * o->w_row + e % j->kernel_w * o->w_column;
        real *to = places[e];
        for (int64_t c = 0; c < o->channels; c++)
            for (int64_t k = 0; k < filters; k++) *to++ = from[c * o->w_channel + k * o->w_filter];
    }
}

static const family pixels = {.tile_pixels = tile_pixels,
                              .tiles_together = tiles_together,
                              .blocks = blocks,
                              .padded_filters = padded_filters,
                              .spans_rows = spans_rows,
                              .exact = 0,
                              .most_phases = MOST_PHASES,
                              .block_by_block = block_by_block,
                              .scratch = scratch,
                              .do_tile = do_tile,
                              .pack_block = pack_block};

static COLD int accepts(const fc_conv *p) { return p->layout == FC_NCHW; }

static COLD size_t weight_bytes(const fc_conv *p) { return family_weights(&pixels, p); }

/* What the caller does before there is work to share. */
static double start_cycles(void) { return STEPPING(6500) * fc_these_costs->start; }

static COLD double cost(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    grid g = whole_grid(p);
    cut c = cut_of(&pixels, &o, &g);
    double count = (double)blocks(&o).count, filters = (double)o.filters / count;
    double width = (double)tile_pixels(&o), vectors = width / VL;
    int apart = spans_rows(&o, &g) || reads_in_place(&g, &o);
    double sheets = apart ? (double)tap_places(&g.x) : (double)min64(g.x.step, g.x.taps);
    int stay = width * sheets * (double)o.channels * sizeof(real) <= L1_BYTES; /* do a tile's pixels? */
    double loads = fmax(vectors * (stay ? MOVING(2.8) : MOVING(3.8)) + filters * STEPPING(1.2), 4);
    double step = fmax(vectors * filters * PRODUCT_CYCLES * fc_these_costs->pixels, loads);
    double taps = (double)o.elements * family_share(&pixels, &o, &g);
    double results = MOVING(o.phase_columns > 2 ? 60 : o.phase_columns == 2 ? 15 : 4.8); /* a vector of them */
    double store = vectors * filters * results * (double)o.phase_rows * (double)o.phase_columns;
    double tile = taps * ((double)o.channels * step + STEPPING(1.6)) + STEPPING(135) + store;
    double partly = (c.tiles - c.whole) * (double)o.filters * (STEPPING(7) + vectors * MOVING(5));
    double cycles = (c.tiles * count * tile + partly + c.packing + c.strips * STEPPING(430)) * c.uneven / 2;
    cycles += fc_stream_cycles(family_traffic(&pixels, &o, &g), (double)weight_bytes(p));
    cycles = with_images(&o, cycles);
    if (p->once) cycles += once_cycles(&pixels, &o, &c, (double)weight_bytes(p), 0.3);
    return cycles + start_cycles();
}

static COLD size_t workspace_bytes(const fc_conv *p, int threads) { return family_workspace(&pixels, p, threads); }

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    return family_prepare(&pixels, p, weight, packed, threads);
}

/* What threads can share; a chain's band may have less than a start takes. */
static double shared_cycles(const fc_conv *p) { return fmax(0, all_cycles(p, cost) - 2 * start_cycles()); }

static int run_all(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads) {
    return family_run(&pixels, p, x, packed, e, out, shared_cycles(p), threads);
}

static int run_once(const fc_conv *p, const void *x, const void *weight, void *packed, const fc_epilogue *e, void *out,
                    int threads) {
    return family_run_once(&pixels, p, x, weight, packed, e, out, shared_cycles(p), threads);
}

const fc_conv_kernel FC_NAME(direct_pixels) = {
    .accepts = accepts,
    .cost = cost,
    .weight_bytes = weight_bytes,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
    .run = run_all,
    .run_once = run_once,
};
