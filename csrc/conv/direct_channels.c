/* Direct convolution, vectors over output channels: the general kernel. Called through `kernels.def`.
 *
 * Register tile: MR pixels x NV vectors of channels (AVX-512: 14 x 32 floats). Every step of the reduction over (tap,
 * channel) broadcasts MR pixels of the packed strip and multiplies them with NV vectors of weights, which are packed
 * [block of NR filters][tap][channel][NR]. No partial sum leaves the registers. NCHW results of a few tiles are
 * transposed together, VL x VL, on their way to memory. Limit: FMA throughput; with fewer than 4 pixels the latency of
 * the FMAs. */
#include <math.h>

#include "base/bands.h"
#include "base/kernel_costs.h"
#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/channel_tile.h"
#include "conv/direct.h"
#include "conv/direct_costs.h"
#include "conv/grid.h"
#include "conv/kernel.h"
#include "conv/store_tile.h"
#include "conv/strip.h"

static void do_tile(const direct_job *j, const place *p, const real *source, real *scratch) {
    const operands *o = j->o;
    int64_t filters = min64(NR, o->filters - block_start(&j->blocks, p->block)), grid = p->grid;
    int64_t tiles = ceil_div(p->count, j->tile_pixels);
    int vectors = filters > VL ? 2 : 1;
    int64_t joined = j->s->joined_taps; /* are the taps of a row one, of all their channels? */
    channel_tile t = {.channels = o->channels * (joined ? j->s->g.x.taps : 1),
                      .pixel_step = j->s->pixel_step,
                      .channel_step = j->s->channel_step,
                      .sums_step = p->phases * NR};
    pixel_stretch r = first_stretch(j, p);
    int64_t out_first = p->image * o->out_image + p->filter * o->out_channel + r.out_pixel * o->out_pixel;
    /* Neighbouring outputs of a row, or of a phase of it: */
    if (o->out_channel == 1 && r.outputs == p->count * o->phase_columns && filters == vectors * VL) {
        t.kind = finish_kind_of(j->e, &t.between), t.finished = t.kind != FINISH_CALL;
        t.bias = j->e->bias ? (const real *)j->e->bias + p->filter : NULL;
        t.fetches = t.finished && beyond_l2(o->out_image) && o->channels * p->rows * p->tap_columns >= STEPS_TO_FETCH;
        t.sums_step = t.finished ? p->phases * o->out_pixel : t.sums_step;
    }
    for (int64_t i = 0; i < p->phases; i++) {
        tile_input in = input_of(j, p, p->phase + i, &grid, source);
        real *sums = t.finished ? j->out + out_first + i * o->out_pixel : scratch + i * NR;
        t.weights = in.weights, t.tap_offset = in.tap_offset;
        t.rows = in.rows, t.columns = joined ? 1 : in.columns;
        t.row_offsets = in.row_taps, t.row_skipped = joined ? 0 : in.row_taps - in.columns;
        for (int64_t tile = 0, from = 0, to; tile < tiles; tile++, from = to) {
            to = p->count * (tile + 1) / tiles;
            t.pixels = in.pixels + from * t.pixel_step, t.sums = sums + from * t.sums_step;
            t.ahead = j->s->in_place ? 2 * (to - from) - 1 : 0; /* the next tile's last */
            FC_NAME(channel_tiles)[to - from - 1][t.pixel_step == 1][vectors - 1](&t);
        }
    }
    if (t.finished) return;
    for (; r.count; r = next_stretch(j, p, r)) {
        int64_t first = p->image * o->out_image + p->filter * o->out_channel + r.out_pixel * o->out_pixel;
        store_tile(o, j->e, j->out, first, 1, r.outputs, p->filter, filters, scratch + r.first * t.sums_step);
    }
}

/* All phases of a tile together should fit L1. */
enum { MOST_PHASES = 256 };

static int64_t tile_pixels(const operands *o) { return max64(1, min64(MR, MOST_PHASES / o->phase_columns)); }

/* NCHW results of several tiles are stored together: in whole vectors and cache lines, whatever a tile's size. Of NHWC,
 * tiles of few channels would take little longer than their start; the pixels of all should stay in L1. */
static int64_t tiles_together(const operands *o) {
    int64_t most = max64(1, 8 / o->phase_columns), tile = MR * o->channels * (int64_t)sizeof(real);
    return o->out_channel > 1 ? most : max64(1, min64(most, L1_BYTES / 2 / tile));
}

static blocking blocks(const operands *o) { return (blocking){ceil_div(o->filters, NR), NR, 0}; }

static int64_t padded_filters(const operands *o) { return round_up(o->filters, VL); }

/* Tiles span rows if those of a single row would be too small to hide the latency of the FMAs. */
static int spans_rows(const operands *o, const grid *g) {
    (void)o;
    int64_t width = g->x.count, smallest = width / ceil_div(width, MR);
    return smallest < 4 && g->y.count > 1;
}

/* If L1 holds a block's weights, only pixels come from L2, which are fewer; and fewer planes of NCHW are written at
 * once. */
static int block_by_block(const operands *o) {
    return !o->nhwc && o->elements * o->channels * NR * (int64_t)sizeof(real) <= 24 << 10;
}

static size_t scratch(const operands *o) {
    return (size_t)(tile_pixels(o) * tiles_together(o) * min64(o->phase_columns, MOST_PHASES) + VL) * NR * sizeof(real);
}

static void pack_block(const weight_packing *j, const real *weight, int64_t block, real *const *places) {
    FC_NAME(pack_channel_block)(j->o, j->kernel_h, j->kernel_w, weight, block, places);
}

static const family channels = {.tile_pixels = tile_pixels,
                                .tiles_together = tiles_together,
                                .blocks = blocks,
                                .padded_filters = padded_filters,
                                .spans_rows = spans_rows,
                                .exact = 1,
                                .most_phases = MOST_PHASES,
                                .block_by_block = block_by_block,
                                .scratch = scratch,
                                .do_tile = do_tile,
                                .pack_block = pack_block};

static COLD int accepts(const fc_conv *p) {
    (void)p;
    return 1;
}

static COLD size_t weight_bytes(const fc_conv *p) { return family_weights(&channels, p); }

/* Cycles of a tile's steps with so many vectors of filters: of each its products, unless the sums' latency or the
 * weights' way from L2 or from beyond takes longer. */
static double steps_cycles(const operands *o, double vectors, double pixels, double steps) {
    double block = (double)(o->elements / o->grid_rows * o->channels * NR) * sizeof(real),
           weights = vectors * VECTOR_BYTES;
    double loads =
        block > (double)fc_l2_bytes() / 2 ? weights / fc_this_processor->l3 * 1.43 : weights / fc_this_processor->l2;
    return steps * fmax(pixels * vectors * PRODUCT_CYCLES * fc_these_costs->channels, fmax(4, loads)) + STEPPING(120);
}

/* What the caller does before there is work to share. */
static double start_cycles(void) { return STEPPING(5200) * fc_these_costs->start; }

static COLD double cost(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    grid g = whole_grid(p);
    cut c = cut_of(&channels, &o, &g);
    int64_t rest = o.filters % NR;
    double steps = (double)(o.elements * o.channels) * family_share(&channels, &o, &g);
    double tile = (double)(o.filters / NR + (rest > VL)) * steps_cycles(&o, NV, c.pixels, steps);
    if (rest > 0 && rest <= VL) tile += steps_cycles(&o, 1, c.pixels, steps);
    double in_span = c.tiles / fmax(c.spans, 1), together = in_span / ceil(in_span / (double)tiles_together(&o));
    double store = store_cycles(&o, together * c.pixels, rest == 0) * (double)o.phase_rows * (double)o.phase_columns;
    double cycles = c.tiles * tile + c.tiles / fmax(together, 1) * store + c.packing + c.strips * STEPPING(450);
    cycles = cycles * c.uneven / 2 + fc_stream_cycles(family_traffic(&channels, &o, &g), (double)weight_bytes(p));
    cycles = with_images(&o, cycles);
    if (p->once) cycles += once_cycles(&channels, &o, &c, (double)weight_bytes(p), 0.16);
    return cycles + start_cycles();
}

static COLD size_t workspace_bytes(const fc_conv *p, int threads) { return family_workspace(&channels, p, threads); }

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    return family_prepare(&channels, p, weight, packed, threads);
}

/* What threads can share; a chain's band may have less than a start takes. */
static double shared_cycles(const fc_conv *p) { return fmax(0, all_cycles(p, cost) - 2 * start_cycles()); }

static int run_all(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads) {
    return family_run(&channels, p, x, packed, e, out, shared_cycles(p), threads);
}

static int run_once(const fc_conv *p, const void *x, const void *weight, void *packed, const fc_epilogue *e, void *out,
                    int threads) {
    return family_run_once(&channels, p, x, weight, packed, e, out, shared_cycles(p), threads);
}

const fc_conv_kernel FC_NAME(direct_channels) = {
    .accepts = accepts,
    .cost = cost,
    .weight_bytes = weight_bytes,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
    .run = run_all,
    .run_once = run_once,
};
