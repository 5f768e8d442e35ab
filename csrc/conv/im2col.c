/* The textbook method: im2col and a product of matrices. Called through `kernels.def`.
 *
 * The matrix has a column for each output of all images of the batch, and in it a row for each tap and channel: what
 * the output multiplies with its filters' weights. It never exists as a whole. A panel of it, of at most MOST_ROWS rows
 * and PANEL_BYTES, is copied to a workspace, where its order is that of the image: NCHW [row][column], NHWC
 * [column][row]. Register tile and weights are those of direct_channels: MR columns x NV vectors of filters,
 * [block of NR filters][tap][channel][NR]. Columns of more than MOST_ROWS are cut, and the sums of their parts added in
 * order. Each phase of a transposed convolution is a matrix of its own.
 *
 * Limit: FMA throughput, and the copying, which moves every pixel once for each tap. Tiles span images: the best kernel
 * for batches of images with fewer outputs than a tile has. */
#include <math.h>

#include "base/kernel_costs.h"
#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/channel_tile.h"
#include "conv/grid.h"
#include "conv/kernel.h"
#include "conv/pack_row.h"
#include "conv/store_tile.h"

/* A panel shares L2 with a block of weights; SUMS_BYTES where columns are cut, of all blocks that use it. */
enum { PANEL_BYTES = 320 << 10, SUMS_BYTES = 192 << 10, MOST_ROWS = 1024 };

/* Its weights are packed for this kernel, too. */
extern const fc_conv_kernel FC_NAME(direct_channels);

/* How the matrices are cut: of every grid and group, `panels` of `columns` each, for one of `parts` of the filters. */
typedef struct {
    int64_t grids, columns, panels, parts, blocks;
    int64_t panel_reals, sums_reals;     /* of a thread's workspace */
    int64_t column_step, row_step, most; /* of a panel; its rows */
} cutting;

/* The outputs of a group that are the columns of a grid's matrix. */
static int64_t grid_outputs(const operands *o, const grid *g) { return o->batch * g->y.count * g->x.count; }

static int64_t parts_of_rows(int64_t rows) { return ceil_div(rows, MOST_ROWS); }

/* Of a column of the largest matrix. */
static int64_t most_rows(const fc_conv *p, const operands *o) {
    return o->channels * ceil_div(p->kernel_h, o->grid_rows) * ceil_div(p->kernel_w, o->grid_columns);
}

static cutting cut_matrix(const fc_conv *p, const operands *o, int threads) {
    grid g = whole_grid(p); /* of a transposed convolution as many outputs as the largest phase has */
    int64_t rows = most_rows(p, o), outputs = max64(1, grid_outputs(o, &g)), blocks = ceil_div(o->filters, NR);
    cutting c = {.grids = o->grid_rows * o->grid_columns, .blocks = blocks, .parts = 1, .most = min64(rows, MOST_ROWS)};
    int64_t most = max64(1, PANEL_BYTES / (c.most * (int64_t)sizeof(real)) / MR) * MR;
    if (parts_of_rows(rows) > 1)
        c.parts = ceil_div(blocks * NR * min64(most, outputs), SUMS_BYTES / (int64_t)sizeof(real));
    c.panels = ceil_div(outputs, most);
    int64_t tasks = c.grids * o->groups * c.panels * c.parts;
    if (tasks % threads && tasks < 4 * threads) {
        /* Either all threads copy the same columns, or all read the same weights. */
        double copying = o->nhwc ? (double)outputs * 3.3 / VL : 5 * (double)(o->batch * g.y.count);
        int apart = copying < fc_stream_cycles((double)o->filters * sizeof(real) / 2, 0) || outputs <= MR;
        int64_t *cut = apart && blocks >= threads ? &c.parts : &c.panels;
        *cut = round_up(*cut, threads);
    }
    c.parts = min64(c.parts, blocks);
    c.columns = ceil_div(outputs, c.panels);
    c.panels = ceil_div(outputs, c.columns);
    /* An odd number of cache lines from row to row, or column to column, spreads them over all sets of the L1 cache. */
    int64_t *step = o->nhwc ? &c.column_step : &c.row_step, length = o->nhwc ? c.most : c.columns + VL - 1;
    c.column_step = c.row_step = 1;
    *step = round_up(length, VL) + (ceil_div(length, VL) % 2 == 0 ? VL : 0);
    c.panel_reals = *step * (o->nhwc ? c.columns : c.most) + VL;
    c.sums_reals = (parts_of_rows(rows) > 1 ? ceil_div(blocks, c.parts) * c.columns : 0) * NR + VL * NR;
    return c;
}

static size_t cutting_bytes(const cutting *c) {
    return (size_t)(c->panel_reals + c->sums_reals + (MR + VL) * NR) * sizeof(real);
}

typedef struct {
    const fc_conv *p;
    const operands *o;
    const fc_epilogue *e;
    cutting cut;
    const real *x, *weights;
    real *out;
} job;

/* Neighbouring columns of the matrix whose outputs lie in one row of an image. */
typedef struct {
    int64_t image, row, column, count;
} stretch;

static stretch stretch_at(int64_t at, int64_t rows, int64_t columns, int64_t most) {
    stretch s = {.image = at / columns / rows, .row = at / columns % rows, .column = at % columns};
    s.count = min64(most, columns - s.column);
    return s;
}

/* The rows [from, to) of a stretch's columns in NCHW: those of each tap are a row of every channel. */
static void copy_rows(const job *j, const grid *g, const stretch *s, const real *image, int64_t from, int64_t to,
                      real *panel) {
    const operands *o = j->o;
    for (int64_t tap = from / o->channels, k = from; k < to; tap++) {
        int64_t channel = k - tap * o->channels, channels = min64(o->channels - channel, to - k);
        int64_t y = s->row * g->y.step + g->y.first + tap / g->x.taps * g->y.tap_step;
        int64_t x = s->column * g->x.step + g->x.first + tap % g->x.taps * g->x.tap_step, low = s->count, high = low;
        int inside = y >= 0 && y < o->height;
        if (inside) {
            low = x < 0 ? min64(ceil_div(-x, g->x.step), s->count) : 0;
            high = o->width > x ? max64(low, min64(ceil_div(o->width - x, g->x.step), s->count)) : low;
        }
        pack_row(panel, j->cut.row_step, image + channel * o->x_channel + (inside ? y * o->width : 0), o->x_channel,
                 channels, g->x.step, x, s->count, low, high);
        panel += channels * j->cut.row_step, k += channels;
    }
}

/* Are a row of taps neighbours in an NHWC image? */
static int joins_taps(const operands *o, int64_t distance) { return distance == 1 && o->x_pixel == o->channels; }

/* In NHWC: the channels of a tap are neighbours, and so are those of a whole row of taps, where these are. */
static void copy_columns(const job *j, const grid *g, const stretch *s, const real *image, int64_t from, int64_t to,
                         real *panel) {
    const operands *o = j->o;
    int64_t joined = joins_taps(o, g->x.tap_step) ? g->x.taps : 1, whole = joined * o->channels;
    int64_t step = g->x.step * o->x_pixel, row_reals = o->width * o->x_pixel, runs = g->x.taps / joined;
    for (int64_t run = from / whole, k = from; k < to; run++) {
        int64_t skipped = k - run * whole, length = min64(whole - skipped, to - k);
        int64_t y = s->row * g->y.step + g->y.first + run / runs * g->y.tap_step;
        int64_t x = s->column * g->x.step + g->x.first + run % runs * g->x.tap_step;
        int inside = y >= 0 && y < o->height;
        const real *row = image + (inside ? y * row_reals : 0); /* a row far outside has no address */
        int64_t at = x * o->x_pixel + skipped, end = inside ? row_reals : 0;
        real *column = panel;
        for (int64_t m = 0; m < s->count; m++, at += step, column += j->cut.column_step) {
            int64_t low = min64(max64(0, -at), length), high = max64(low, min64(length, end - at));
            if (end == 0) low = high = length;
            clear_reals(column, low);
            copy_reals(column + low, row + at + low, high - low);
            clear_reals(column + high, length - high);
        }
        panel += length, k += length;
    }
}

/* The rows [from, to) of `count` columns from number `first` on. */
static void copy_panel(const job *j, const grid *g, int64_t group, int64_t first, int64_t count, int64_t from,
                       int64_t to, real *panel) {
    const operands *o = j->o;
    for (int64_t m = 0; m < count;) {
        stretch s = stretch_at(first + m, g->y.count, g->x.count, count - m);
        const real *image = j->x + s.image * o->x_image + group * o->channels * o->x_channel;
        (o->nhwc ? copy_columns : copy_rows)(j, g, &s, image, from, to, panel + m * j->cut.column_step);
        m += s.count;
    }
}

/* Do the rows of the output follow on each other, so that an image's columns are one stretch of it? */
static int joins_rows(const operands *o, const grid *g) {
    return g->x.out_step == 1 && g->y.out_step == 1 && g->x.count == o->out_width;
}

/* Finishes `count` columns from number `first` on, for `filters` from number `filter` of all groups on. */
static void store_columns(const job *j, const grid *g, int64_t first, int64_t count, int64_t filter, int64_t filters,
                          const real *sums) {
    const operands *o = j->o;
    int joined = joins_rows(o, g);
    int64_t rows = joined ? 1 : g->y.count, columns = joined ? g->y.count * g->x.count : g->x.count;
    for (int64_t m = 0; m < count;) {
        stretch s = stretch_at(first + m, rows, columns, count - m);
        int64_t pixel =
            (s.row * g->y.out_step + g->y.out_first) * o->out_width + s.column * g->x.out_step + g->x.out_first;
        int64_t at = s.image * o->out_image + filter * o->out_channel + pixel * o->out_pixel;
        store_tile(o, j->e, j->out, at, g->x.out_step, s.count, filter, filters, sums + m * NR);
        m += s.count;
    }
}

/* The elements of a kernel's axis that the phases before number `phase` see. */
static int64_t elements_before(int64_t kernel, int64_t phases, int64_t phase) {
    return kernel / phases * phase + min64(kernel % phases, phase);
}

/* The weights of a grid and group, in the order of direct.h: grid after grid, group after group, block after block. */
static const real *group_weights(const job *j, const grid *g, int64_t group) {
    const fc_conv *p = j->p;
    const operands *o = j->o;
    int64_t padded = round_up(o->filters, VL), before = 0;
    if (p->transposed)
        before = elements_before(p->kernel_h, o->grid_rows, g->y.kernel_first) * p->kernel_w +
                 g->y.taps * elements_before(p->kernel_w, o->grid_columns, g->x.kernel_first);
    return j->weights + (before * o->groups + group * grid_taps(g)) * padded * o->channels;
}

/* The product of a panel, whose rows are [from, to), with the blocks [low, high); `sums` is [block][column][NR]. */
static int multiply_panel(const job *j, const grid *g, int64_t group, int64_t first, int64_t count, int64_t from,
                          int64_t to, int64_t low, int64_t high, const real *panel, real *sums, real *scratch) {
    static const int64_t nowhere[1] = {0};
    const operands *o = j->o;
    int64_t all = o->channels * grid_taps(g), tiles = ceil_div(count, MR);
    const real *weights = group_weights(j, g, group);
    for (int64_t block = low; block < high; block++) {
        int64_t width = channel_block_width(o, block);
        channel_tile t = {.weights = weights + block * NR * all + from * width,
                          .tap_offset = nowhere,
                          .rows = 1,
                          .columns = 1,
                          .row_offsets = 1,
                          .channels = to - from,
                          .pixel_step = j->cut.column_step,
                          .channel_step = j->cut.row_step,
                          .sums_step = NR};
        for (int64_t tile = 0; tile < tiles; tile++) {
            int64_t m = count * tile / tiles, rows = count * (tile + 1) / tiles - m;
            real *kept = sums + ((block - low) * j->cut.columns + m) * NR;
            t.pixels = panel + m * j->cut.column_step, t.sums = from == 0 && to < all ? kept : scratch;
            FC_NAME(channel_tiles)[rows - 1][t.pixel_step == 1][width / VL - 1](&t);
            if (from > 0)
                for (int64_t i = 0; i < rows; i++) add_reals(kept + i * NR, scratch + i * NR, width);
            if (to == all)
                store_columns(j, g, first + m, rows, group * o->filters + block * NR,
                              min64(NR, o->filters - block * NR), from > 0 ? kept : scratch);
        }
        int status = fc_called_off();
        if (status) return status;
    }
    return 0;
}

static int do_panels(const void *context, int64_t begin, int64_t end) {
    const job *j = context;
    const cutting *c = &j->cut;
    real *panel = fc_workspace(FC_OWN, cutting_bytes(c));
    if (!panel) return FC_NO_MEMORY;
    real *sums = panel + c->panel_reals, *scratch = sums + c->sums_reals;
    for (int64_t task = begin; task < end; task++) {
        /* A thread stays with its weights. */
        int64_t first = task % c->panels * c->columns, rest = task / c->panels, part = rest % c->parts;
        int64_t group = rest / c->parts % j->o->groups;
        grid g = grid_of(j->p, j->o, rest / c->parts / j->o->groups);
        int64_t count = min64(c->columns, grid_outputs(j->o, &g) - first), rows = j->o->channels * grid_taps(&g);
        if (count <= 0) continue;
        for (int64_t i = 0, cuts = parts_of_rows(rows); i < cuts; i++) {
            int64_t from = rows * i / cuts, to = rows * (i + 1) / cuts;
            copy_panel(j, &g, group, first, count, from, to, panel);
            int status = multiply_panel(j, &g, group, first, count, from, to, c->blocks * part / c->parts,
                                        c->blocks * (part + 1) / c->parts, panel, sums, scratch);
            if (status) return status;
        }
    }
    return 0;
}

static COLD size_t weight_bytes(const fc_conv *p) { return FC_NAME(direct_channels).weight_bytes(p); }

/* Every phase needs a matrix. */
static COLD int accepts(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    return grids_cover(p, &o);
}

/* Cycles of copying all matrices once. Neighbouring outputs of a row are a piece. */
static double copy_cycles(const fc_conv *p, const operands *o, const grid *g, const cutting *c) {
    double width = (double)g->x.count, outputs = (double)(grid_outputs(o, g) * o->groups);
    double pieces = (double)(o->groups * (o->batch * g->y.count + c->panels)), taps = (double)o->elements;
    if (o->nhwc) {
        double runs = taps / (joins_taps(o, g->x.tap_step) ? (double)p->kernel_w : 1);
        double vectors = ceil(taps / runs * (double)o->channels / VL);
        return outputs * runs * (STEPPING(8) + vectors * MOVING(4.2)) + pieces * STEPPING(34 + runs * 13.5);
    }
    double row = g->x.step > 1 ? MOVING(21) + MOVING(0.25) * width
                 : width > VL  ? MOVING(14) + MOVING(1.6) * ceil(width / VL)
                               : STEPPING(5.6);
    return pieces * (STEPPING(43) + taps * (STEPPING(12.5) + (double)o->channels * row));
}

/* A tile's products for so many vectors of filters; those of few pixels wait for the sums. */
static double products_cycles(double vectors, double pixels, double steps) {
    return steps * fmax(pixels * vectors * PRODUCT_CYCLES * fc_these_costs->panels, 4);
}

static COLD int in_turn(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    return parts_of_rows(most_rows(p, &o)) == 1;
}

static COLD double cost(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    grid g = whole_grid(p);
    cutting c = cut_matrix(p, &o, 2);
    int64_t rest = o.filters % NR;
    double columns = (double)grid_outputs(&o, &g), in_group = (double)(c.panels * ceil_div(c.columns, MR));
    double tiles = in_group * (double)o.groups, steps = (double)(o.elements * o.channels), pixels = columns / in_group;
    double grids = (double)c.grids, cuts = ceil(steps / grids / MOST_ROWS);
    double products = (double)(o.filters / NR + (rest > VL)) * products_cycles(NV, pixels, steps);
    if (rest > 0 && rest <= VL) products += products_cycles(1, pixels, steps);
    double pieces = tiles + (o.nhwc ? 0 : (double)(o.groups * o.batch * (joins_rows(&o, &g) ? 1 : g.y.count)));
    double store = pieces * store_cycles(&o, pixels, 0) * fmin((double)g.x.out_step, 4);
    double each = STEPPING(190) + (cuts > 1 ? cuts * STEPPING(125) : 0); /* tile of a block of filters */
    double cycles = tiles * (products + (double)c.blocks * grids * each) + grids * store +
                    copy_cycles(p, &o, &g, &c) * (double)c.parts;
    double weights = (double)weight_bytes(p), tasks = grids * (double)(o.groups * c.panels * c.parts);
    cycles = (cycles + tasks * STEPPING(90)) * uneven(tasks) / 2;
    if (weights / (double)o.groups / grids > (double)fc_l2_bytes() / 2)
        cycles += fc_stream_cycles(weights * ceil((double)c.panels * (double)c.parts / 2) / (double)c.parts, weights);
    if (p->once)
        cycles += weights * PACKING(0.2) * uneven((double)(o.groups * c.blocks)) + STEPPING(660) +
                  fc_stream_cycles(weights, weights);
    return cycles + grouped_image_cycles(&o, 1, 1) + STEPPING(2600);
}

static COLD size_t workspace_bytes(const fc_conv *p, int threads) {
    operands o = FC_NAME(operands_of)(p);
    cutting c = cut_matrix(p, &o, threads);
    return cutting_bytes(&c);
}

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    return FC_NAME(direct_channels).prepare(p, weight, packed, threads);
}

static int run(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads) {
    operands o = FC_NAME(operands_of)(p);
    double cycles = all_cycles(p, cost);
    job j = {.p = p, .o = &o, .e = e, .x = x, .weights = packed, .out = out};
    j.cut = cut_matrix(p, &o, fc_worth(cycles, threads));
    int64_t tasks = j.cut.grids * o.groups * j.cut.parts * j.cut.panels;
    return fc_parallel(tasks, cycles, threads, do_panels, &j);
}

const fc_conv_kernel FC_NAME(im2col) = {
    .accepts = accepts,
    .cost = cost,
    .in_turn = in_turn,
    .weight_bytes = weight_bytes,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
    .run = run,
};
