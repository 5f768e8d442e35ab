/* Transposed convolution by kernels that are a multiple of the stride, vectors over what a pixel of the input becomes
 * in a row of the output: its phases (NCHW), or the phases of all filters (NHWC). Called through `kernels.def`.
 *
 * Output X lies at place I = (X + pad) / stride, and is phase (X + pad) % stride there. A place takes the pixels I - q,
 * q < kernel / stride, each with the kernel's elements phase + q * stride: a plain convolution whose filters are the
 * phases, of which all lie side by side in the output. So a large stride fills vectors even where there is one filter.
 * Register tile: channel_tile.h. A task is a part of a row of places; its pixels are packed, with zeros beside the
 * image; its sums go to a row of their own, from where bias, residual and activation take them to the output. Limit:
 * FMA throughput; memory, where a pixel has few channels. */
#include <math.h>

#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/channel_tile.h"
#include "conv/epilogue.h"
#include "conv/grid.h"
#include "conv/kernel.h"
#include "conv/pack_row.h"

enum { PIXELS_BYTES = 256 << 10, SUMS_BYTES = 128 << 10, MOST_BYTES = 4 << 20 };

typedef struct {
    operands o;
    int64_t stride_h, stride_w, pad_top, pad_left;
    int64_t row_taps, column_taps; /* that a place takes along each axis */
    int64_t lanes, filters, inner; /* of a place in a row of the output; filters apart; numbers of an output pixel */
    int64_t blocks;                /* of NR lanes; the last may have VL */
    int64_t first_row, rows, first_column, columns; /* places that have outputs */
    int64_t part, parts;                            /* columns of a task at most; tasks of a row */
    int64_t pixel_step, channel_step, pitch;        /* of packed pixels; reals of a packed row, or of a channel's */
} phases_plan;

static COLD phases_plan plan_of(const fc_conv *p) {
    phases_plan w = {.o = FC_NAME(operands_of)(p),
                     .stride_h = p->stride_h,
                     .stride_w = p->stride_w,
                     .pad_top = p->pad_top,
                     .pad_left = p->pad_left};
    const operands *o = &w.o;
    w.row_taps = p->kernel_h / p->stride_h, w.column_taps = p->kernel_w / p->stride_w;
    w.inner = o->nhwc ? o->filters : 1, w.filters = o->nhwc ? 1 : o->filters;
    w.lanes = w.stride_w * w.inner, w.blocks = ceil_div(w.lanes, NR);
    w.first_row = w.pad_top / w.stride_h, w.first_column = w.pad_left / w.stride_w;
    w.rows = (w.pad_top + o->out_height - 1) / w.stride_h + 1 - w.first_row;
    w.columns = (w.pad_left + o->out_width - 1) / w.stride_w + 1 - w.first_column;
    int64_t size = (int64_t)sizeof(real), seen = w.row_taps * o->channels * size;
    int64_t fitting = min64(PIXELS_BYTES / seen - w.column_taps, SUMS_BYTES / (w.lanes * size));
    w.parts = ceil_div(w.columns, max64(MR, fitting));
    if (o->batch * w.rows * w.parts < 8) w.parts = max64(w.parts, min64(8, ceil_div(w.columns, MR)));
    w.part = ceil_div(w.columns, w.parts);
    w.parts = ceil_div(w.columns, w.part);
    int64_t width = w.part + w.column_taps - 1;
    if (o->nhwc) {
        w.pixel_step = round_up(o->channels, VL), w.channel_step = 1;
        if (w.pixel_step / VL % 2 == 0) w.pixel_step += VL; /* pixels spread over all sets of the L1 cache */
        w.pitch = width * w.pixel_step;
    } else {
        w.pitch = round_up(width, VL), w.pixel_step = 1;
        w.channel_step = w.row_taps * w.pitch;
        if (w.channel_step / VL % 2 == 0) w.channel_step += VL;
    }
    return w;
}

static int64_t block_lanes(const phases_plan *w, int64_t block) { return w->lanes - block * NR > VL ? NR : VL; }

/* Of all lanes of a row of phases. */
static int64_t lanes_packed(const phases_plan *w) { return (w->blocks - 1) * NR + block_lanes(w, w->blocks - 1); }

static int64_t steps(const phases_plan *w) { return w->row_taps * w->column_taps * w->o.channels; }

static size_t pixels_reals(const phases_plan *w) {
    int64_t reals = w->o.nhwc ? w->row_taps * w->pitch : w->o.channels * w->channel_step;
    return (size_t)round_up(reals + VL, VL);
}

static size_t sums_reals(const phases_plan *w) { return (size_t)round_up(w->part * w->lanes + 2 * NR, VL); }

static size_t scratch_reals(const phases_plan *w) {
    return pixels_reals(w) + sums_reals(w) + (size_t)round_up(2 * (w->inner + VL), VL);
}

/* ---- weights: [filter][row of phases][block][row tap][column tap][channel][lane] ---- */

typedef struct {
    const phases_plan *w;
    const real *weight;
    real *packed;
} phases_packing;

/* Tasks are (filter, row of phases, block). */
static int pack_phases(const void *context, int64_t begin, int64_t end) {
    const phases_packing *j = context;
    const phases_plan *w = j->w;
    const operands *o = &w->o;
    for (int64_t task = begin; task < end; task++) {
        int64_t block = task % w->blocks, slab = task / w->blocks, width = block_lanes(w, block);
        int64_t filter = slab / w->stride_h, phase_row = slab % w->stride_h;
        int64_t lanes_used = min64(width, w->lanes - block * NR);
        real *to = j->packed + (slab * lanes_packed(w) + block * NR) * steps(w);
        for (int64_t q = 0; q < w->row_taps * w->column_taps; q++) {
            int64_t row = phase_row + q / w->column_taps * w->stride_h, before = q % w->column_taps * w->stride_w;
            int64_t offset[NR];
            int neighbours = 1;
            for (int64_t l = 0; l < lanes_used; l++) {
                int64_t lane = block * NR + l, column = lane / w->inner + before;
                offset[l] = (filter + lane % w->inner) * o->w_filter + row * o->w_row + column * o->w_column;
                neighbours &= offset[l] == offset[0] + l;
            }
            for (int64_t c = 0; c < o->channels; c++, to += width) {
                const real *from = j->weight + c * o->w_channel;
                if (neighbours)
                    copy_reals(to, from + offset[0], lanes_used);
                else
                    for (int64_t l = 0; l < lanes_used; l++) to[l] = from[offset[l]];
                for (int64_t l = lanes_used; l < width; l++) to[l] = 0;
            }
        }
    }
    return 0;
}

/* ---- a task ---- */

typedef struct {
    const phases_plan *w;
    const fc_epilogue *e;
    const real *x, *weights;
    real *out;
} phases_job;

/* Packs what places [column, column + count) of a row see of the rows [low, high) of taps. */
static void pack_pixels(const phases_plan *w, const real *image, int64_t row, int64_t low, int64_t high, int64_t column,
                        int64_t count, real *to) {
    const operands *o = &w->o;
    int64_t at = column - (w->column_taps - 1), n = count + w->column_taps - 1;
    int64_t first = max64(0, min64(n, -at)), last = max64(first, min64(n, o->width - at));
    for (int64_t q = low; q < high; q++) {
        const real *from = image + (row - q) * o->width * o->x_pixel;
        real *line = to + q * w->pitch;
        if (!o->nhwc) {
            pack_row(line, w->channel_step, from, o->x_channel, o->channels, 1, at, n, first, last);
            continue;
        }
        for (int64_t i = 0; i < n; i++)
            if (i < first || i >= last)
                clear_reals(line + i * w->pixel_step, o->channels);
            else
                copy_reals(line + i * w->pixel_step, from + (at + i) * o->x_pixel, o->channels);
    }
}

/* Takes a row of outputs from `sums`, whose first is that of place `column`; of NHWC,
 * `values` are those of a pixel's filters, from each of them on for a vector. */
static void finish_row(const phases_job *j, int64_t image, int64_t filter, int64_t y, int64_t column, int64_t count,
                       const real *sums, channel_values values) {
    const phases_plan *w = j->w;
    const operands *o = &w->o;
    int64_t begin = max64(0, column * w->stride_w - w->pad_left);
    int64_t end = min64(o->out_width, (column + count) * w->stride_w - w->pad_left);
    int64_t first = image * o->out_image + filter * o->out_channel + (y * o->out_width + begin) * w->inner;
    const real *residual = j->e->residual ? (const real *)j->e->residual + first : NULL;
    sums += (begin + w->pad_left - column * w->stride_w) * w->inner;
    int64_t of_filter = 0; /* whose results comes next */
    for (int64_t i = 0, n = (end - begin) * w->inner; i < n; i += VL) {
        const channel_lanes own = o->nhwc ? neighbours(values, of_filter, VL) : one_channel(values, filter);
        finish(j->out + first + i, load(sums + i), own, residual ? residual + i : NULL, min64(VL, n - i), j->e);
        of_filter = (of_filter + VL) % w->inner;
    }
}

/* Tasks are (image, row of places, part of its columns). */
static int work(const void *context, int64_t begin, int64_t end) {
    const phases_job *j = context;
    const phases_plan *w = j->w;
    const operands *o = &w->o;
    int64_t taps = w->row_taps * w->column_taps;
    size_t reals = scratch_reals(w);
    real *pixels = fc_workspace(FC_OWN, reals * sizeof(real) + (size_t)taps * sizeof(int64_t));
    if (!pixels) return FC_NO_MEMORY;
    real *sums = pixels + pixels_reals(w), *room = sums + sums_reals(w);
    int64_t *offsets = (int64_t *)(pixels + reals);
    channel_values values = values_from(j->e, 0);
    if (o->nhwc) values = repeated(values, w->inner, w->inner + VL, room);
    for (int64_t q = 0; q < taps; q++)
        offsets[q] = q / w->column_taps * w->pitch + (w->column_taps - 1 - q % w->column_taps) * w->pixel_step;
    for (int64_t task = begin; task < end; task++) {
        int64_t part = task % w->parts, row = w->first_row + task / w->parts % w->rows;
        int64_t image = task / w->parts / w->rows;
        int64_t column = w->first_column + part * w->part,
                count = min64(w->part, w->first_column + w->columns - column);
        int64_t low = max64(0, min64(w->row_taps, row - o->height + 1)), high = max64(low, min64(w->row_taps, row + 1));
        pack_pixels(w, j->x + image * o->x_image, row, low, high, column, count, pixels);
        for (int64_t slab = 0; slab < w->filters * w->stride_h; slab++) {
            int64_t y = row * w->stride_h + slab % w->stride_h - w->pad_top;
            if (y < 0 || y >= o->out_height) continue;
            int status = fc_called_off();
            if (status) return status;
            /* From the last block on: what a vector writes beyond a place's lanes is the next place's. */
            for (int64_t block = w->blocks - 1; block >= 0; block--) {
                int64_t width = block_lanes(w, block);
                channel_tile t = {.tap_offset = offsets + low * w->column_taps,
                                  .rows = high - low,
                                  .columns = w->column_taps,
                                  .row_offsets = w->column_taps,
                                  .channels = o->channels,
                                  .pixel_step = w->pixel_step,
                                  .channel_step = w->channel_step,
                                  .sums_step = w->lanes};
                t.weights = j->weights + slab * lanes_packed(w) * steps(w) + block * NR * steps(w) +
                            low * w->column_taps * o->channels * width;
                for (int64_t m = 0; m < count; m += MR) {
                    t.pixels = pixels + m * w->pixel_step, t.sums = sums + m * w->lanes + block * NR;
                    FC_NAME(channel_tiles)[min64(MR, count - m) - 1][!o->nhwc][width / VL - 1](&t);
                }
            }
            finish_row(j, image, slab / w->stride_h, y, column, count, sums, values);
        }
    }
    return 0;
}

/* ---- the kernel's interface ---- */

static COLD int accepts(const fc_conv *p) {
    if (!p->transposed || p->groups > 1 || p->dilation_h > 1 || p->dilation_w > 1 || p->kernel_h % p->stride_h ||
        p->kernel_w % p->stride_w)
        return 0;
    phases_plan w = plan_of(p);
    return scratch_reals(&w) * sizeof(real) <= MOST_BYTES;
}

static COLD size_t weight_bytes(const fc_conv *p) {
    phases_plan w = plan_of(p);
    return (size_t)(w.filters * w.stride_h * lanes_packed(&w) * steps(&w)) * sizeof(real);
}

static COLD double cost(const fc_conv *p) {
    phases_plan w = plan_of(p);
    const operands *o = &w.o;
    double places = (double)(o->batch * w.rows), tiles = places * (double)w.parts * ceil((double)w.part / MR);
    double slabs = (double)(w.filters * w.stride_h), vectors = (double)lanes_packed(&w) / VL;
    double pixels = (double)w.part / ceil((double)w.part / MR);
    double products =
        tiles * slabs * vectors * ((double)steps(&w) * fmax(pixels * PRODUCT_CYCLES * 1.2, 2.5) + STEPPING(330));
    double finish = (double)(o->batch * o->out_height * o->out_width * o->filters) / VL * MOVING(2.2) +
                    places * (double)(w.parts * w.part) * slabs * vectors * MOVING(1.9);
    double packing =
        places * (double)(w.parts * w.row_taps * o->channels) * ((double)w.part / VL * MOVING(5.6) + STEPPING(5.1));
    double cycles = (products + finish + packing) / fmin(places * (double)w.parts, 2),
           weights = (double)weight_bytes(p);
    if (weights > (double)fc_l2_bytes() / 2)
        cycles += fc_stream_cycles(weights * places * (double)w.parts / 2, weights);
    if (p->once) cycles += weights * PACKING(0.39);
    return cycles + image_cycles(o, 1, 1) + STEPPING(400);
}

static COLD size_t workspace_bytes(const fc_conv *p, int threads) {
    (void)threads;
    phases_plan w = plan_of(p);
    return scratch_reals(&w) * sizeof(real) + (size_t)(w.row_taps * w.column_taps) * sizeof(int64_t);
}

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    phases_plan w = plan_of(p);
    phases_packing j = {&w, weight, packed};
    return fc_parallel(w.filters * w.stride_h * w.blocks, 2 * (double)weight_bytes(p) / sizeof(real), threads,
                       pack_phases, &j);
}

static int run(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads) {
    phases_plan w = plan_of(p);
    phases_job j = {.w = &w, .e = e, .x = x, .weights = packed, .out = out};
    return fc_parallel(w.o.batch * w.rows * w.parts, all_cycles(p, cost), threads, work, &j);
}

const fc_conv_kernel FC_NAME(transposed_phases) = {
    .accepts = accepts,
    .cost = cost,
    .weight_bytes = weight_bytes,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
    .run = run,
};
