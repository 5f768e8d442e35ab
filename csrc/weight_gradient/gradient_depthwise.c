/* Gradient of a depthwise convolution's weights. Called through `gradients.def`.
 *
 * Vectors run over the pixels of a row (NCHW), or over filters (NHWC). The usual square kernels walk down columns of
 * the gradient, with both operands where they are (gradient_walk.h). For all others the input's lines are packed: with
 * zeros around the image, a sheet for each remainder that the taps have by the stride (NCHW), in vectors of the
 * filters' channels (NHWC); gradient_taps.h multiplies them. A task is a filter, or a vector of them, and a share of
 * the images' strips of rows; their sums are added up at the end, so that results do not depend on the number of
 * threads. Limit: FMA throughput of walks whose operands are in cache, else bandwidth; for packed lines loads, one for
 * each product. */
#include <stdlib.h>

#include "base/parallel.h"
#include "base/processor.h"
#include "base/total.h"
#include "conv/grid.h"
#include "weight_gradient/gradient.h"
#include "weight_gradient/gradient_taps.h"
#include "weight_gradient/gradient_walk.h"
#include "weight_gradient/kernel.h"

enum {
    LINES_BYTES = 24 << 10,   /* of L1, for a strip's lines */
    MOST_BYTES = 2 << 20,     /* beyond which other kernels are better */
    SHARE_BYTES = 512 << 10,  /* NHWC: input and gradient of a share, which all vectors of filters read in turn */
    PREFETCH_BYTES = 2 << 10, /* of a plane */
    LEAST_SHARE_BYTES = 64 << 10,
    MOST_SHARES = 64,
    WANTED_TASKS = 16,
    UNITS_TOGETHER = 8, /* NHWC: vectors of filters that walk a strip one after the other */
};

/* ---- plan ---- */

typedef struct {
    operands o;
    int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
    int64_t multiplier, units; /* filters of a channel; filters, or vectors of them */
    /* Of a line: a sheet for each remainder that the taps' columns have by the stride (NCHW); reals of each, and in
     * all. */
    int64_t sheets, sheet, pitch;
    int64_t rows, seen, lines,
        strips; /* output rows of a strip, lines it sees, those in the image at most; strips of an image */
    int64_t shares, together;      /* units of a task */
    const gradient_walker *walker; /* NULL where lines are packed */
    int64_t across, most_rows;     /* vectors of sums for a row of taps; rows that may be summed plainly */
} depthwise_plan;

/* Walks along rows of NHWC images take each filter's own channel. */
static const gradient_walker *walker_of(const fc_conv *p) {
    if (p->layout == FC_NHWC && (p->filters != p->channels)) return NULL;
    return gradient_walker_of(p);
}

static COLD depthwise_plan plan_of(const fc_conv *p) {
    depthwise_plan w = {.o = FC_NAME(operands_of)(p),
                        .kernel_h = p->kernel_h,
                        .kernel_w = p->kernel_w,
                        .stride_h = p->stride_h,
                        .stride_w = p->stride_w,
                        .dilation_h = p->dilation_h,
                        .dilation_w = p->dilation_w,
                        .pad_top = p->pad_top,
                        .pad_left = p->pad_left,
                        .multiplier = p->filters / p->groups};
    const operands *o = &w.o;
    w.units = o->nhwc ? ceil_div(p->filters, VL) : p->filters;
    if (o->nhwc) {
        w.sheets = 1;
        w.sheet = w.pitch = ((o->out_width - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w + 1) * VL;
    } else {
        w.sheets = min64(p->kernel_w, period_of(p->stride_w, p->dilation_w));
        w.sheet = round_up(o->out_width, VL) + (w.kernel_w - 1) * w.dilation_w / w.stride_w;
        w.pitch = w.sheets * w.sheet;
    }
    int64_t reach = (w.kernel_h - 1) * w.dilation_h + 1, fitting = LINES_BYTES / (w.pitch * (int64_t)sizeof(real));
    w.rows = max64(1, min64(o->out_height, (fitting - reach) / w.stride_h + 1));
    w.rows = min64(o->out_height, max64(w.rows, ceil_div(2 * reach, w.stride_h))); /* or lines are packed too often */
    w.walker = walker_of(p);
    if (w.walker) {
        int pairs = !o->nhwc && w.stride_w == 2;
        w.across = pairs ? (w.kernel_w + 1) / 2 : w.kernel_h;
        w.most_rows = pairs ? TILE_STEPS / 2 : TILE_STEPS;
        w.rows = min64(o->out_height, o->nhwc ? max64(1, w.most_rows / o->out_width) : w.most_rows);
    }
    w.strips = ceil_div(o->out_height, w.rows), w.rows = ceil_div(o->out_height, w.strips);
    w.strips = ceil_div(o->out_height, w.rows);
    w.seen = (w.rows - 1) * w.stride_h + reach, w.lines = min64(o->height, w.seen);
    int64_t strips = o->batch * w.strips;
    double bytes = (double)(o->batch * (o->x_image + o->out_image)) * sizeof(real);
    w.together = w.walker && o->nhwc ? min64(UNITS_TOGETHER, w.units) : 1;
    w.shares = ceil_div(WANTED_TASKS, ceil_div(w.units, w.together));
    if (o->nhwc) {
        int64_t wanted = w.walker ? min64(w.shares, (int64_t)(bytes / LEAST_SHARE_BYTES)) : 1;
        w.shares = max64(wanted, min64(MOST_SHARES, (int64_t)(bytes / SHARE_BYTES) + 1));
    }
    w.shares = max64(1, min64(w.shares, strips));
    return w;
}

/* ---- packing ---- */

/* Packs rows of the image's channel in lines of sheets, with zeros beside them: a column of vectors at a time, which
 * all have the same zeros. */
static void pack_pixels(const depthwise_plan *w, const real *row, int64_t rows, real *to) {
    const int64_t step = w->stride_w, width = w->o.width;
    for (int64_t s = 0; s < w->sheets; s++) {
        const int64_t first = s * w->dilation_w % step - w->pad_left;
        for (int64_t i = 0; i < w->sheet; i += VL) {
            const int64_t at = first + i * step, n = min64(VL, w->sheet - i);
            const int64_t low = at < 0 ? min64(ceil_div(-at, step), n) : 0;
            const int64_t high = max64(low, min64(at < width ? ceil_div(width - at, step) : 0, n));
            const real *from = row + at;
            real *line = to + s * w->sheet + i;
            for (int64_t y = 0; y < rows; y++, from += width, line += w->pitch) {
                if (step == 1) {
                    store_up_to(line, high - low == VL ? load(from) : load_between(from, low, high), n);
                } else if (step == 2 && low == 0 && high > 0) {
                    store_up_to(line, load_every_second(from, high), n);
                    clear_reals(line + high, n - high);
                } else {
                    for (int64_t l = 0; l < n; l++) line[l] = l >= low && l < high ? from[l * step] : 0;
                }
            }
        }
    }
}

/* Packs a row of the image in vectors of n filters' channels, from filter `k` on. */
static void pack_vectors(const depthwise_plan *w, const real *row, int64_t k, int64_t n, real *to) {
    for (int64_t i = 0; i < w->pitch / VL; i++, to += VL) {
        int64_t column = i - w->pad_left;
        if (column < 0 || column >= w->o.width) {
            store(to, zero());
            continue;
        }
        const real *pixel = row + column * w->o.x_pixel;
        if (w->multiplier == 1)
            store(to, load_up_to(pixel + k, n));
        else
            for (int64_t l = 0; l < VL; l++) to[l] = l < n ? pixel[(k + l) / w->multiplier] : 0;
    }
}

/* ---- a task ---- */

typedef struct {
    const fc_conv *p;
    const depthwise_plan *w;
    const real *x, *gradient;
    real *weights, *bias, *partial_weights, *partial_bias;
} depthwise_gradient_job;

/* The products of a strip of `rows` rows of outputs, in `sums`, [tap][VL]; `lines` are those that its first row sees,
 * and on. */
static void multiply_strip(const depthwise_plan *w, const real *const *lines, int64_t rows, const real *gradient,
                           int64_t lanes, const int64_t *offsets, real *sums) {
    const operands *o = &w->o;
    int64_t parts = ceil_div(w->kernel_w, TILE_COLUMNS), width = ceil_div(w->kernel_w, parts);
    int64_t height = min64(TILE_ROWS, TILE_TAPS / width);
    height = ceil_div(w->kernel_h, ceil_div(w->kernel_h, height));
    tap_tile t = {.line_step = w->stride_h,
                  .tap_step = w->dilation_h,
                  .gradient = gradient,
                  .rows = rows,
                  .gradient_row = o->out_width * o->out_pixel,
                  .count = o->nhwc ? o->out_width : ceil_div(o->out_width, VL),
                  .tail = o->nhwc ? lanes : o->out_width - (o->out_width - 1) / VL * VL,
                  .lanes = lanes,
                  .x_step = o->nhwc ? w->stride_w * VL : VL,
                  .gradient_step = o->nhwc ? o->out_pixel : VL,
                  .row_sums = w->kernel_w * VL};
    for (int64_t r = 0; r < w->kernel_h; r += height)
        for (int64_t part = 0; part < parts; part++) {
            int64_t s = part_start(w->kernel_w, parts, part), columns = part_start(w->kernel_w, parts, part + 1) - s;
            t.lines = lines + r * w->dilation_h, t.offsets = offsets + s, t.sums = sums + (r * w->kernel_w + s) * VL;
            tiles[min64(height, w->kernel_h - r) - 1][columns - 1](&t);
        }
}

/* The processor follows a plane by itself, but does not guess the next one. */
static void prefetch(const real *p, int64_t reals) {
    for (int64_t i = 0; i < min64(reals, PREFETCH_BYTES / (int64_t)sizeof(real)); i += 64 / (int64_t)sizeof(real))
        __builtin_prefetch(p + i);
}

/* Adds a strip's gradient, lane by lane. */
static void add_strip(total *to, const depthwise_plan *w, const real *gradient, int64_t rows, int64_t lanes) {
    const operands *o = &w->o;
    int64_t pixels = rows * o->out_width;
    for (int64_t i = 0; i < pixels;) {
        vec part[2] = {zero(), zero()};
        if (o->nhwc)
            for (int64_t end = min64(i + 2 * PART_TERMS, pixels); i < end; i++)
                part[i & 1] += load_up_to(gradient + i * o->out_pixel, lanes);
        else
            for (int64_t end = min64(i + 2 * PART_TERMS * VL, pixels); i < end; i += VL)
                part[i / VL & 1] += load_up_to(gradient + i, pixels - i);
        add_part(to, part[0] + part[1]);
    }
}

static int work(const void *context, int64_t begin, int64_t end) {
    const depthwise_gradient_job *j = context;
    const depthwise_plan *w = j->w;
    const operands *o = &w->o;
    int64_t taps = w->kernel_h * w->kernel_w, packed = w->lines * w->pitch, filters = o->groups * w->multiplier;
    size_t reals = (size_t)round_up(packed + w->pitch + 3 * taps * VL, VL);
    char *memory = fc_workspace(
        FC_OWN, reals * sizeof(real) + (size_t)w->kernel_w * sizeof(int64_t) + (size_t)w->seen * sizeof(real *));
    if (!memory) return FC_NO_MEMORY;
    real *lines = (real *)memory, *zeros = lines + packed, *part = zeros + w->pitch;
    real *sums = part + taps * VL, *rests = sums + taps * VL;
    int64_t *offsets = (int64_t *)(memory + reals * sizeof(real));
    const real **seen = (const real **)(offsets + w->kernel_w);
    clear_reals(zeros, w->pitch);
    for (int64_t s = 0; s < w->kernel_w; s++)
        offsets[s] = o->nhwc ? s * w->dilation_w * VL : s % w->sheets * w->sheet + s * w->dilation_w / w->stride_w;
    for (int64_t task = begin; task < end; task++) {
        int64_t unit = task % w->units, share = task / w->units, k = o->nhwc ? unit * VL : unit;
        int64_t lanes = o->nhwc ? min64(VL, filters - k) : VL, strips = o->batch * w->strips;
        total bias = no_total();
        clear_reals(sums, 2 * taps * VL);
        for (int64_t i = part_start(strips, w->shares, share); i < part_start(strips, w->shares, share + 1); i++) {
            int status = i % 64 == 0 ? fc_called_off() : 0;
            if (status) return status;
            int64_t image = i / w->strips, y = i % w->strips * w->rows, rows = min64(w->rows, o->out_height - y);
            int64_t first = y * w->stride_h - w->pad_top;
            int64_t seen_lines = (rows - 1) * w->stride_h + (w->kernel_h - 1) * w->dilation_h + 1;
            int64_t low = max64(first, 0), high = min64(first + seen_lines, o->height);
            const real *x = j->x + image * o->x_image + k / w->multiplier * o->x_channel;
            if (!o->nhwc) {
                pack_pixels(w, x + low * o->width, high - low, lines);
                if (image + 1 < o->batch) prefetch(x + o->x_image, o->x_channel);
            }
            for (int64_t line = 0; line < seen_lines; line++) {
                int64_t y_in = first + line;
                real *to = lines + (y_in - low) * w->pitch;
                if (o->nhwc && y_in >= low && y_in < high)
                    pack_vectors(w, j->x + image * o->x_image + y_in * o->width * o->x_pixel, k, lanes, to);
                seen[line] = y_in >= low && y_in < high ? to : zeros;
            }
            const real *gradient =
                j->gradient + image * o->out_image + k * o->out_channel + y * o->out_width * o->out_pixel;
            if (!o->nhwc && image + 1 < o->batch) prefetch(gradient + o->out_image, o->out_channel);
            multiply_strip(w, seen, rows, gradient, lanes, offsets, part);
            add_parts(sums, rests, part, taps * VL);
            if (j->bias) add_strip(&bias, w, gradient, rows, lanes);
        }
        copy_totals(sums, sums, rests, taps * VL);
        real *to = share ? j->partial_weights + (share - 1) * filters * taps : j->weights;
        real *to_bias = share ? j->partial_bias + (share - 1) * filters : j->bias;
        if (o->nhwc) {
            for (int64_t t = 0; t < taps; t++) store_up_to(to + t * filters + k, load(sums + t * VL), lanes);
            if (j->bias) store_up_to(to_bias + k, total_of(&bias), lanes);
        } else {
            for (int64_t t = 0; t < taps; t++) to[k * taps + t] = sum_of_lanes(load(sums + t * VL));
            if (j->bias) to_bias[k] = sum_of_lanes(total_of(&bias));
        }
    }
    return 0;
}

/* ---- a task of walks ---- */

/* Sums [row of taps][across][VL] in memory; of at most TILE_STEPS terms they go to the totals. */
typedef struct {
    real *sums, *totals, *rests;
    int64_t reals, terms;
    int settled; /* are there totals? */
} walked_sums;

static void settle_walks(walked_sums *s) {
    if (s->settled)
        add_parts(s->totals, s->rests, s->sums, s->reals);
    else
        copy_reals(s->totals, s->sums, s->reals), clear_reals(s->rests, s->reals);
    clear_reals(s->sums, s->reals);
    s->terms = 0, s->settled = 1;
}

/* Walks rows [begin, end) of a column in each of `images` stretches, of all taps. */
static void walk_column(const depthwise_plan *w, gradient_rows_walked *rows, const gradient_column *c, walked_sums *s) {
    int64_t terms = rows->images * (rows->end - rows->begin), taps = w->o.nhwc ? w->kernel_w : w->kernel_h;
    if (s->terms + terms > w->most_rows) settle_walks(s);
    s->terms += terms;
    for (int64_t r = 0; r < taps; r += w->walker->rows) {
        rows->first_tap = r, rows->tap_rows = min64(w->walker->rows, taps - r);
        rows->sums = s->sums + r * w->across * VL;
        w->walker->walk(rows, c);
    }
}

/* Rows [y, y + rows) of outputs of some images of a filter, NCHW. */
static void walk_planes(const depthwise_gradient_job *j, int64_t filter, int64_t image, int64_t images, int64_t y,
                        int64_t rows, const gradient_column *columns, walked_sums *sums) {
    const depthwise_plan *w = j->w;
    const operands *o = &w->o;
    gradient_rows_walked walked = {
        .x = j->x + image * o->x_image + filter / w->multiplier * o->x_channel,
        .gradient = j->gradient + image * o->out_image + filter * o->out_channel,
        .images = images,
        .x_image = o->x_image,
        .gradient_image = o->out_image,
        .x_next = image + images < o->batch ? o->x_image : o->x_channel,
        .gradient_next = image + images < o->batch ? o->out_image : o->out_channel,
        .x_further = VL,
        .x_row = o->width,
        .gradient_row = o->out_width,
        .tap = 1,
        .height = o->height,
        .pad = w->pad_top,
        .begin = y,
        .end = y + rows,
    };
    for (int64_t i = 0; i * VL < o->out_width; i++) walk_column(w, &walked, columns + i, sums);
}

/* The same of `lanes` filters from number `k` on, of one image, NHWC. Lines whose taps are all inside are walked
 * together, as far as sums have room. */
static void walk_lines(const depthwise_gradient_job *j, int64_t k, int64_t lanes, int64_t image, int64_t y,
                       int64_t rows, walked_sums *sums) {
    const depthwise_plan *w = j->w;
    const operands *o = &w->o;
    gradient_rows_walked walked = {
        .x = j->x + image * o->x_image,
        .gradient = j->gradient + image * o->out_image,
        .x_image = w->stride_h * o->width * o->x_pixel,
        .gradient_image = o->out_width * o->out_pixel,
        .x_further = o->width * o->x_pixel,
        .x_row = o->x_pixel,
        .gradient_row = o->out_pixel,
        .tap = o->width * o->x_pixel,
        .height = o->width,
        .pad = w->pad_left,
    };
    for (int64_t end = y + rows; y < end; y += walked.images) {
        gradient_column c = column_of_channels(j->p, k, lanes, y);
        int64_t alike = (o->height + w->pad_top - w->kernel_h) / w->stride_h + 1 - y;
        int inside = y * w->stride_h >= w->pad_top && alike > 0;
        walked.images = inside ? max64(1, min64(min64(alike, end - y), w->most_rows / o->out_width)) : 1;
        walked.x_next = (w->kernel_h + (walked.images - 1) * w->stride_h) * walked.tap; /* the next lines */
        walked.gradient_next = walked.images * walked.gradient_image;
        for (walked.begin = 0; walked.begin < o->out_width; walked.begin = walked.end) {
            walked.end = min64(o->out_width, walked.begin + w->most_rows);
            walk_column(w, &walked, &c, sums);
        }
    }
}

/* What a share of the strips gives for a filter, or a vector of them. */
static void store_walks(const depthwise_gradient_job *j, int64_t share, int64_t k, int64_t lanes, walked_sums *s,
                        const total *bias, real *row_sums) {
    const depthwise_plan *w = j->w;
    int64_t kernel = w->kernel_h, taps = kernel * kernel, filters = w->o.groups * w->multiplier;
    real *to = share ? j->partial_weights + (share - 1) * filters * taps : j->weights;
    real *to_bias = share ? j->partial_bias + (share - 1) * filters : j->bias;
    if (s->settled) {
        settle_walks(s);
        copy_totals(s->sums, s->totals, s->rests, s->reals);
    }
    if (w->o.nhwc) { /* the walk's rows are the kernel's columns */
        for (int64_t t = 0; t < taps; t++)
            store_up_to(to + (t % kernel * kernel + t / kernel) * filters + k, load(s->sums + t * VL), lanes);
        if (j->bias) store_up_to(to_bias + k, total_of(bias), lanes);
        return;
    }
    to += k * taps;
    if (w->across == kernel) {
        sum_lanes_of(0, s->sums, taps, to);
    } else {
        sum_lanes_of(1, s->sums, kernel * w->across, row_sums);
        for (int64_t r = 0; r < kernel; r++, to += kernel) copy_reals(to, row_sums + r * 2 * w->across, kernel);
    }
    if (j->bias) to_bias[k] = sum_of_lanes(total_of(bias));
}

/* Tasks are (some units, share). */
static int work_walks(const void *context, int64_t begin, int64_t end) {
    const depthwise_gradient_job *j = context;
    const depthwise_plan *w = j->w;
    const operands *o = &w->o;
    int64_t vectors = w->kernel_h * w->across, reals = vectors * VL, blocks = ceil_div(w->units, w->together);
    int64_t count = o->nhwc ? 0 : ceil_div(o->out_width, VL), strips = o->batch * w->strips;
    int64_t filters = o->groups * w->multiplier;
    gradient_column *columns = fc_workspace(
        FC_OWN, (size_t)count * sizeof *columns + (size_t)(3 * reals * w->together + 2 * vectors + VL) * sizeof(real));
    if (!columns) return FC_NO_MEMORY;
    real *memory = (real *)(columns + count), *row_sums = memory + 3 * reals * w->together;
    for (int64_t i = 0; i < count; i++) columns[i] = column_of_pixels(j->p, i * VL);
    for (int64_t task = begin; task < end; task++) {
        int64_t first = task % blocks * w->together, share = task / blocks,
                units = min64(w->together, w->units - first);
        int64_t last = part_start(strips, w->shares, share + 1);
        walked_sums sums[UNITS_TOGETHER];
        total bias[UNITS_TOGETHER];
        for (int64_t u = 0; u < units; u++) {
            real *own = memory + 3 * reals * u;
            sums[u] = (walked_sums){own, own + reals, own + 2 * reals, .reals = reals};
            clear_reals(own, reals), bias[u] = no_total();
        }
        for (int64_t i = part_start(strips, w->shares, share), images; i < last; i += images) {
            int status = fc_called_off();
            if (status) return status;
            int64_t image = i / w->strips, y = i % w->strips * w->rows, rows = min64(w->rows, o->out_height - y);
            images = o->nhwc || w->strips > 1 ? 1 : min64(last - i, max64(1, w->most_rows / rows));
            for (int64_t u = 0; u < units; u++) {
                int64_t k = o->nhwc ? (first + u) * VL : first, lanes = o->nhwc ? min64(VL, filters - k) : VL;
                if (o->nhwc)
                    walk_lines(j, k, lanes, image, y, rows, &sums[u]);
                else
                    walk_planes(j, k, image, images, y, rows, columns, &sums[u]);
                const real *gradient =
                    j->gradient + image * o->out_image + k * o->out_channel + y * o->out_width * o->out_pixel;
                for (int64_t m = 0; m < images && j->bias; m++)
                    add_strip(&bias[u], w, gradient + m * o->out_image, rows, lanes);
            }
        }
        for (int64_t u = 0; u < units; u++) {
            int64_t k = o->nhwc ? (first + u) * VL : first, lanes = o->nhwc ? min64(VL, filters - k) : VL;
            store_walks(j, share, k, lanes, &sums[u], &bias[u], row_sums);
        }
    }
    return 0;
}

/* ---- the kernel ---- */

static COLD int accepts(const fc_conv *p) {
    if (p->channels != p->groups) return 0;
    if (walker_of(p)) return 1;
    if (!is_compact(p->height, p->out_height, p->kernel_h, p->stride_h, p->dilation_h) ||
        !is_compact(p->width, p->out_width, p->kernel_w, p->stride_w, p->dilation_w))
        return 0;
    depthwise_plan w = plan_of(p);
    return ((w.lines + 1) * w.pitch + w.seen + w.kernel_h * w.kernel_w * VL) * (int64_t)sizeof(real) <= MOST_BYTES;
}

static COLD double cost(const fc_conv *p) {
    depthwise_plan w = plan_of(p);
    const operands *o = &w.o;
    if (w.walker) {
        int64_t along = o->nhwc ? w.kernel_w : w.kernel_h, passes = ceil_div(along, w.walker->rows);
        int64_t loads = w.across * (w.most_rows < TILE_STEPS ? 2 : 1);
        int64_t lines = o->batch * w.units * o->out_height, steps = o->nhwc ? o->out_width : ceil_div(o->out_width, VL);
        double cycles = (double)(lines * steps * passes * (w.walker->rows * loads * PRODUCT_CYCLES * 2.0 + 1));
        cycles +=
            (double)(w.units * w.shares) * STEPPING(350) + (o->nhwc ? STEPPING(250) * (double)(lines * passes) : 0);
        return cycles / 2 + image_cycles(o, 1, 1) + STEPPING(1000);
    }
    double vectors = (double)(o->nhwc ? o->out_width : ceil_div(o->out_width, VL));
    double rows = (double)(o->batch * w.units * o->out_height), taps = (double)(w.kernel_h * w.kernel_w);
    double packing = (double)(o->batch * w.units * w.strips * w.lines) * (double)w.pitch / VL *
                     (o->nhwc          ? MOVING(4.9)
                      : w.stride_w > 2 ? VL
                                       : MOVING(5.4));
    return (rows * (vectors * (taps * PRODUCT_CYCLES * (o->nhwc ? 2.8 : 1.3) + MOVING(10)) + taps + STEPPING(9.8)) +
            packing + (double)(w.units * w.shares) * taps * STEPPING(110)) /
               2 +
           image_cycles(o, 1, 1) + STEPPING(1000);
}

static int run(const fc_conv *p, const void *x, const void *gradient, void *weights, void *bias, int threads) {
    depthwise_plan w = plan_of(p);
    int64_t filters = p->filters, size = filters * w.kernel_h * w.kernel_w;
    depthwise_gradient_job j = {.p = p, .w = &w, .x = x, .gradient = gradient, .weights = weights, .bias = bias};
    if (w.shares > 1) {
        j.partial_weights = malloc((size_t)((w.shares - 1) * (size + filters)) * sizeof(real));
        if (!j.partial_weights) return FC_NO_MEMORY;
        j.partial_bias = j.partial_weights + (w.shares - 1) * size;
    }
    int status = fc_parallel(w.shares * ceil_div(w.units, w.together), all_cycles(p, cost), threads,
                             w.walker ? work_walks : work, &j);
    if (!status && w.shares > 1) status = add_shares(weights, j.partial_weights, size, w.shares, threads);
    if (!status && w.shares > 1 && bias) status = add_shares(bias, j.partial_bias, filters, w.shares, threads);
    free(j.partial_weights);
    return status;
}

const fc_gradient_kernel FC_NAME(gradient_depthwise) = {accepts, cost, run, NULL};
