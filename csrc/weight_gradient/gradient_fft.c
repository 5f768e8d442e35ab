/* Gradient of a convolution's weights with large kernels by the fast Fourier transform. Called through `gradients.def`.
 *
 * The gradient is a correlation of the image with the output's gradient, summed over the batch: a convolution whose
 * kernel is the output's gradient, with the stride as its dilation and the dilation as its stride. Both are cut into
 * pieces (overlap-save, as in fft.c); the products of their transforms are added up over images and pieces, and
 * transformed back once. Two pieces are a transform's real and imaginary part: with z = x1 + i x2 and h = g1 + i g2,
 * the real part of the correlation of z and h is that of x1 and g1 plus that of x2 and g2.
 *
 * A task is a share of the pairs of pieces, a tile of the kernel, and a block of filters and of channels, whose sums
 * [filter][channel][point] stay in L2. Shares have weights of their own, added up at the end. Limit: L1 and L2
 * bandwidth. */
#include <math.h>
#include <stdlib.h>

#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/fft_axis.h"
#include "conv/fourier.h"
#include "conv/grid.h"
#include "weight_gradient/gradient.h"
#include "weight_gradient/kernel.h"

enum {
    MOST_TILE = 2 << 20, /* bytes: of one transform; of the sums, and of the transforms, that a task has at once */
    MOST_SUMS = 640 << 10,
    MOST_TRANSFORMS = 384 << 10,
    PARTIAL_BYTES = 16 << 20, /* weights of all shares but the first */
    WANTED_TASKS = 16,
    LEAST_PAIRS = 3, /* of a share, for its sums to be worth their way back */
};

/* ---- plan ---- */

/* An axis: `outputs` elements of the kernel in each tile, `taps` pixels of the output's gradient in each piece. */
typedef struct {
    fft_axis a;
    int64_t points, outputs, taps;
    int64_t tiles, pieces; /* of all subimages; of all segments */
    int64_t in_subimage, in_segment;
} gradient_cut;

typedef struct {
    operands o;
    gradient_cut y, x;
    fourier f;
    int64_t pairs, together;          /* pairs of pieces of all images; how many are summed at once */
    int64_t tiles, filters, channels; /* of a block */
    int64_t filter_blocks, channel_blocks;
    int64_t shares, area, roots;
    double cycles;
} fft_plan;

static gradient_cut cut_axis(const fft_axis *a, int64_t points) {
    gradient_cut c = {.a = *a, .points = points};
    int64_t subimages = min64(a->subimages, a->count), most = points - points / 4;
    int64_t taps = ceil_div(a->taps, a->segments), outputs = ceil_div(a->count, subimages);
    if (taps <= most) {
        c.in_segment = 1, c.taps = taps;
        c.in_subimage = ceil_div(outputs, points - taps + 1);
        c.outputs = ceil_div(outputs, c.in_subimage);
    } else {
        c.in_subimage = outputs <= most ? 1 : ceil_div(outputs, points / 2);
        c.outputs = ceil_div(outputs, c.in_subimage);
        c.in_segment = ceil_div(taps, points - c.outputs + 1);
        c.taps = ceil_div(taps, c.in_segment);
    }
    c.tiles = subimages * c.in_subimage, c.pieces = min64(a->segments, a->taps) * c.in_segment;
    return c;
}

/* From what half of the smaller of kernel and gradient takes to what both take, but not more than 16 times the
 * smaller. */
static void sizes_of(const fft_axis *a, int64_t *least, int64_t *most) {
    int64_t taps = ceil_div(a->taps, a->segments), outputs = ceil_div(a->count, min64(a->subimages, a->count));
    int64_t smaller = min64(taps, outputs);
    for (*least = 1; *least < smaller;) *least *= 2;
    for (*most = *least; *most < taps + outputs - 1 && *most < 16 * smaller;) *most *= 2;
}

static void set_plan(fft_plan *w) {
    const operands *o = &w->o;
    int64_t size = (int64_t)sizeof(real), row_step = fourier_row_step(w->y.points, w->x.points);
    w->f = (fourier){.rows = w->y.points, .columns = w->x.points, .row_step = row_step};
    w->area = w->y.points * row_step;
    w->pairs = ceil_div(o->batch * w->y.pieces * w->x.pieces, 2);
    w->tiles = w->y.tiles * w->x.tiles;
    w->filters = w->channels = 1;
    for (;;) { /* the smaller side of the block grows first */
        int more_filters = w->filters < o->filters && (w->filters <= w->channels || w->channels == o->channels);
        int64_t filters = more_filters ? min64(2 * w->filters, o->filters) : w->filters;
        int64_t channels = more_filters ? w->channels : min64(2 * w->channels, o->channels);
        if (filters == w->filters && channels == w->channels) break;
        if (filters * channels * w->area * size > MOST_SUMS || (filters + channels) * w->area * size > MOST_TRANSFORMS)
            break;
        w->filters = filters, w->channels = channels;
    }
    w->filter_blocks = ceil_div(o->filters, w->filters), w->channel_blocks = ceil_div(o->channels, w->channels);
    int64_t tasks = o->groups * w->tiles * w->filter_blocks * w->channel_blocks;
    int64_t weights = o->groups * o->filters * o->channels * o->elements * size;
    w->shares = min64(min64(ceil_div(WANTED_TASKS, tasks), w->pairs / LEAST_PAIRS), 1 + PARTIAL_BYTES / weights);
    w->shares = max64(1, w->shares);
    int64_t most = MOST_TRANSFORMS / ((w->filters + w->channels) * w->area * size);
    w->together = max64(1, min64(min64(most, PART_TERMS), ceil_div(w->pairs, w->shares)));
    w->roots =
        FC_NAME(fourier_roots)(w->x.points, 1, NULL) + round_up(FC_NAME(fourier_roots)(w->y.points, 0, NULL), VL);
}

/* Predicted cycles, half of those of all tasks: two threads share them. */
static double cycles_of(const fft_plan *w) {
    const operands *o = &w->o;
    int64_t points = w->y.points * w->x.points;
    double moving = 32 / fc_this_processor->l2; /* what transforms cost where L2 gives 32 bytes a cycle is known */
    double transform = moving * cycles_of_transform(points), vectors = (double)points / VL;
    double image = transform + 1.65 * moving * cycles_of_loading(points, w->x.a.unit * o->x_pixel);
    double gradient = transform + 1.65 * moving * cycles_of_loading(points, w->x.a.segments * o->out_pixel);
    double filters = (double)o->filters, channels = (double)o->channels, pairs = (double)w->pairs;
    double results = filters * channels, stored = (double)(w->y.outputs * w->x.outputs) / VL;
    double each = channels * (double)w->filter_blocks * image + filters * (double)w->channel_blocks * gradient +
                  results * vectors * PRODUCT_CYCLES * (8 + 10 / (double)w->together);
    double back = results * (transform + stored * (o->w_column > 1 ? 2.3 * VL : 6.6));
    double all = (double)(o->groups * w->tiles) * (pairs * each + (double)w->shares * back);
    double tasks = (double)(o->groups * w->tiles * w->filter_blocks * w->channel_blocks * w->shares);
    return all / tasks * ceil(tasks / 2) + (double)w->roots * 2 + 4000 +
           image_cycles(o, (double)w->filter_blocks, (double)w->channel_blocks);
}

/* Makes the plan of the least predicted cost; returns 0 where there is none. */
static COLD int plan_of(const fc_conv *p, fft_plan *best) {
    axis y = plain_axis(p->kernel_h, p->out_height, p->dilation_h, p->pad_top, p->stride_h);
    axis x = plain_axis(p->kernel_w, p->out_width, p->dilation_w, p->pad_left, p->stride_w);
    fft_axis ay, ax;
    int64_t least_y, most_y, least_x, most_x;
    int found = 0;
    if (!fft_axis_of(&ay, &y, &y) || !fft_axis_of(&ax, &x, &x)) return 0;
    sizes_of(&ay, &least_y, &most_y), sizes_of(&ax, &least_x, &most_x);
    fft_plan w = {.o = FC_NAME(operands_of)(p)};
    for (int64_t points_y = least_y; points_y <= most_y; points_y *= 2)
        for (int64_t points_x = max64(VL, least_x); points_x <= max64(VL * VL, most_x); points_x *= 2) {
            if (points_y * points_x < VL * VL) continue;
            if (points_y * points_x * 2 * (int64_t)sizeof(real) > MOST_TILE) continue;
            w.y = cut_axis(&ay, points_y), w.x = cut_axis(&ax, points_x);
            set_plan(&w);
            w.cycles = cycles_of(&w);
            if (!found || w.cycles < best->cycles) *best = w;
            found = 1;
        }
    return found;
}

/* ---- transforms ---- */

typedef struct {
    const fft_plan *w;
    const real *x, *gradient;
    real *weights, *partial; /* of the first share, and of the others */
} fft_gradient_job;

/* A task's tile of the kernel: its subimages, and its first element in them. */
typedef struct {
    int64_t sub_y, y, sub_x, x;
} kernel_tile;

/* Loads a pair of pieces of the image, or of the gradient. */
static void load_pair(const fft_plan *w, const kernel_tile *tile, int of_image, const real *planes, int64_t pair,
                      real *to) {
    const operands *o = &w->o;
    int64_t pieces = w->y.pieces * w->x.pieces;
    for (int64_t half = 0; half < 2; half++) {
        int64_t index = 2 * pair + half, image = index / pieces, y = index % pieces / w->x.pieces,
                x = index % w->x.pieces;
        int64_t segment_y = y / w->y.in_segment, segment_x = x / w->x.in_segment;
        int64_t tap_y = y % w->y.in_segment * w->y.taps, tap_x = x % w->x.in_segment * w->x.taps;
        const fft_axis *ay = &w->y.a, *ax = &w->x.a;
        fft_pixels pixels;
        if (of_image)
            pixels = (fft_pixels){.plane = planes + image * o->x_image,
                                  .height = o->height,
                                  .width = o->width,
                                  .pixel = o->x_pixel,
                                  .first_y = ay->first + tile->sub_y + segment_y + ay->unit * (tile->y + tap_y),
                                  .first_x = ax->first + tile->sub_x + segment_x + ax->unit * (tile->x + tap_x),
                                  .unit_y = ay->unit,
                                  .unit_x = ax->unit,
                                  .rows = w->y.outputs + w->y.taps - 1,
                                  .columns = w->x.outputs + w->x.taps - 1};
        else
            pixels = (fft_pixels){.plane = planes + image * o->out_image,
                                  .height = o->out_height,
                                  .width = o->out_width,
                                  .pixel = o->out_pixel,
                                  .first_y = segment_y + ay->segments * tap_y,
                                  .first_x = segment_x + ax->segments * tap_x,
                                  .unit_y = ay->segments,
                                  .unit_x = ax->segments,
                                  .rows = w->y.taps,
                                  .columns = w->x.taps};
        if (image >= o->batch) pixels.rows = 0;
        fft_inside inside = columns_inside(&pixels);
        for (int64_t r = 0; r < w->f.rows; r++)
            load_row(&pixels, inside, r, 0, w->f.columns, to + half * VL + r * w->f.row_step);
    }
    FC_NAME(fourier_transform)(THERE, &w->f, to, NULL);
}

/* Adds the products of `count` transforms of a channel and a filter to their sums, or begins them. */
static void multiply(const fft_plan *w, const real *images, const real *gradients, int64_t count, int begins,
                     real *sums) {
    for (int64_t r = 0; r < w->y.points; r++)
        for (int64_t s = 0; s < w->x.points; s += VL) {
            int64_t at = r * w->f.row_step + 2 * s;
            complex_vec a = {zero(), zero()}, b = a;
            if (!begins) a = get(sums + at);
            const real *image = images + at, *gradient = gradients + at;
            for (int64_t i = 0; i < count; i++, image += w->area, gradient += w->area) {
                complex_vec x = get(image), g = get(gradient);
                a.re += x.re * g.re, a.im += x.im * g.re;
                b.re += x.im * g.im, b.im -= x.re * g.im;
            }
            put(sums + at, plus(a, b));
        }
}

/* Stores the elements of a tile of a kernel, which begins at `to`. */
static void store_weights(const fft_plan *w, const kernel_tile *tile, const real *sums, real *to) {
    const operands *o = &w->o;
    const fft_axis *ay = &w->y.a, *ax = &w->x.a;
    vec scale = splat(1 / (real)(w->y.points * w->x.points));
    int64_t step = ax->subimages * o->w_column;
    for (int64_t r = 0; r < w->y.outputs; r++, sums += w->f.row_step) {
        int64_t y = tile->sub_y + ay->subimages * (tile->y + r), first = tile->sub_x + ax->subimages * tile->x;
        if (y >= ay->count || first >= ax->count) return;
        int64_t count = min64(w->x.outputs, ceil_div(ax->count - first, ax->subimages));
        real *row = to + y * o->w_row + first * o->w_column;
        for (int64_t s = 0; s < count; s += VL) {
            vec v = load(sums + 2 * s) * scale;
            if (step == 1)
                store_up_to(row + s, v, min64(VL, count - s));
            else
                for (int64_t i = 0; i < min64(VL, count - s); i++) row[(s + i) * step] = v[i];
        }
    }
}

/* ---- tasks: (share, group, tile, block of filters, block of channels) ---- */

static int work(const void *context, int64_t begin, int64_t end) {
    const fft_gradient_job *j = context;
    const fft_plan *w = j->w;
    const operands *o = &w->o;
    int64_t results = w->filters * w->channels, most_pairs = ceil_div(w->pairs, w->shares);
    int64_t totals = has_totals(ceil_div(most_pairs, w->together)) ? results : 0;
    int64_t transforms = (w->filters + w->channels) * w->together;
    real *images = fc_workspace(FC_OWN, (size_t)((transforms + results + 2 * totals) * w->area) * sizeof(real));
    if (!images) return FC_NO_MEMORY;
    real *gradients = images + w->channels * w->together * w->area, *sums = images + transforms * w->area;
    real *own_totals = sums + results * w->area, *rests = own_totals + totals * w->area;
    for (int64_t task = begin; task < end; task++) {
        int64_t c0 = task % w->channel_blocks * w->channels, index = task / w->channel_blocks;
        int64_t k0 = index % w->filter_blocks * w->filters;
        index /= w->filter_blocks;
        int64_t tile_index = index % w->tiles, group = index / w->tiles % o->groups;
        int64_t share = index / w->tiles / o->groups, tile_y = tile_index / w->x.tiles,
                tile_x = tile_index % w->x.tiles;
        kernel_tile tile = {tile_y / w->y.in_subimage, tile_y % w->y.in_subimage * w->y.outputs,
                            tile_x / w->x.in_subimage, tile_x % w->x.in_subimage * w->x.outputs};
        int64_t channels = min64(w->channels, o->channels - c0), filters = min64(w->filters, o->filters - k0);
        int64_t first = part_start(w->pairs, w->shares, share), last = part_start(w->pairs, w->shares, share + 1);
        part_sums s = {sums, own_totals, rests, 0, ceil_div(last - first, w->together)};
        for (int64_t pair = first; pair < last; pair += w->together, s.part++) {
            int64_t count = min64(w->together, last - pair);
            const real *x = j->x + (group * o->channels + c0) * o->x_channel;
            const real *g = j->gradient + (group * o->filters + k0) * o->out_channel;
            for (int64_t i = 0; i < (channels + filters) * count; i++) {
                int status = fc_called_off();
                if (status) return status;
                int64_t plane = i / count, of_image = plane < channels;
                if (!of_image) plane -= channels;
                load_pair(w, &tile, (int)of_image, of_image ? x + plane * o->x_channel : g + plane * o->out_channel,
                          pair + i % count,
                          (of_image ? images : gradients) + (plane * w->together + i % count) * w->area);
            }
            for (int64_t i = 0; i < filters * channels; i++)
                multiply(w, images + i % channels * w->together * w->area,
                         gradients + i / channels * w->together * w->area, count, begins_anew(&s), sums + i * w->area);
            settle_sums(&s, 0, filters * channels * w->area);
        }
        int64_t size = o->groups * o->filters * o->channels * o->elements;
        real *weights = share ? j->partial + (share - 1) * size : j->weights;
        for (int64_t i = 0; i < filters * channels; i++) {
            int status = fc_called_off();
            if (status) return status;
            FC_NAME(fourier_transform)(BACK, &w->f, sums + i * w->area, NULL);
            store_weights(
                w, &tile, sums + i * w->area,
                weights + group * o->w_group + (k0 + i / channels) * o->w_filter + (c0 + i % channels) * o->w_channel);
        }
    }
    return 0;
}

/* ---- the kernel ---- */

static COLD int accepts(const fc_conv *p) {
    fft_plan w;
    if (p->kernel_h < 5 && p->kernel_w < 5) return 0;
    return plan_of(p, &w);
}

static COLD double cost(const fc_conv *p) {
    fft_plan w;
    return plan_of(p, &w) ? w.cycles : 0;
}

/* As in fft.c, in units of roundoff relative to the root of the mean square; no more than PART_TERMS parts are added
 * plainly. */
static COLD double error(const fc_conv *p) {
    fft_plan w;
    if (!plan_of(p, &w)) return 1;
    double terms = (double)(w.o.batch * w.o.out_height * w.o.out_width);
    double transforms = 0.5 + 0.25 * log2((double)(w.y.points * w.x.points));
    double sums = sqrt((double)min64(w.pairs, PART_TERMS * w.together) / 6);
    return 1.3 * (transforms + sums) / sqrt(terms / 6);
}

static int run(const fc_conv *p, const void *x, const void *gradient, void *weights, void *bias, int threads) {
    fft_plan w;
    plan_of(p, &w);
    const operands *o = &w.o;
    int64_t size = o->groups * o->filters * o->channels * o->elements;
    int status = bias ? FC_NAME(channel_sums)(gradient, bias, o->batch, o->groups * o->filters,
                                              o->out_height * o->out_width, p->layout, threads)
                      : 0;
    if (status) return status;
    real *roots = fc_workspace(FC_SHARED, (size_t)(w.roots + (w.shares - 1) * size) * sizeof(real));
    if (!roots) return FC_NO_MEMORY;
    w.f.row_turns = roots, w.f.column_turns = roots + FC_NAME(fourier_roots)(w.x.points, 1, roots);
    FC_NAME(fourier_roots)(w.y.points, 0, roots + FC_NAME(fourier_roots)(w.x.points, 1, NULL));
    fft_gradient_job j = {.w = &w, .x = x, .gradient = gradient, .weights = weights, .partial = roots + w.roots};
    int64_t tasks = w.shares * o->groups * w.tiles * w.filter_blocks * w.channel_blocks;
    status = fc_parallel(tasks, 2 * w.cycles, threads, work, &j);
    if (!status && w.shares > 1) status = add_shares(weights, j.partial, size, w.shares, threads);
    return status;
}

const fc_gradient_kernel FC_NAME(gradient_fft) = {accepts, cost, run, error};
