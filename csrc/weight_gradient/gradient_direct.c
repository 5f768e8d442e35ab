/* Gradient of a convolution's weights, vectors over filters: the general kernel. Called through `gradients.def`.
 *
 * A matrix product whose reduction runs over the pixels of all images. Both operands are packed, a strip of output
 * pixels at a time: the gradient as [block of NR filters][pixel][NR]; the input in panels of at most MR channels,
 * [line][cell][channel], zeros around the image, in which the channels of neighbouring taps of a row follow on each
 * other. Register tile: MR (tap, channel) pairs x NV vectors of filters; every pixel is one step of the reduction, MR
 * broadcasts and NV loads.
 *
 * A task is a share of the strips, a chunk of channels and a part of the filters; each strip's sums are added to the
 * task's own weights, and these transposed to the user's layout at its end. Shares and their order follow from the
 * problem alone, so that results do not depend on the number of threads. Limit: FMA throughput; packing, where one side
 * has few channels. */
#include "base/parallel.h"
#include "base/processor.h"
#include "base/total.h"
#include "conv/channel_tile.h"
#include "conv/grid.h"
#include "weight_gradient/gradient.h"
#include "weight_gradient/kernel.h"

enum {
    STEP_BYTES = 40 << 10,   /* of L1, for what a tile reads in one strip */
    PANEL_BYTES = 16 << 20,  /* for a strip's panel, however far its taps lie apart */
    SUMS_BYTES = 1 << 20,    /* for the weights of a task */
    PARTIAL_BYTES = 4 << 20, /* weights of all shares but the first */
    WANTED_TASKS = 16,
};

/* ---- plan ---- */

/* How one axis of the input is packed: every input position once, or, where that is less, those of each tap by
 * themselves. */
typedef struct {
    int64_t outputs;        /* of a full strip */
    int64_t extent;         /* packed positions */
    int64_t tap_step, step; /* packed positions from tap to tap, and from output to output */
    int64_t stride, dilation, pad, taps;
    int apart; /* is every tap packed by itself? */
} axis_packing;

static axis_packing packing_of(int64_t outputs, int64_t taps, int64_t stride, int64_t dilation, int64_t pad) {
    axis_packing a = {.outputs = outputs,
                      .extent = (outputs - 1) * stride + (taps - 1) * dilation + 1,
                      .tap_step = dilation,
                      .step = stride,
                      .stride = stride,
                      .dilation = dilation,
                      .pad = pad,
                      .taps = taps};
    if (taps * outputs < a.extent) a.extent = taps * outputs, a.tap_step = outputs, a.step = 1, a.apart = 1;
    return a;
}

typedef struct {
    operands o;
    axis_packing y, x;
    int64_t taps;
    int64_t images, strips_image, strips_y, strips_x; /* images of a full strip, numbers of strips */
    int64_t panels, chunks, blocks, parts, shares;
    int64_t panel_cells; /* of a full strip */
    int joined;          /* are the taps of a row neighbours? */
} direct_plan;

static COLD direct_plan plan_of(const fc_conv *p) {
    direct_plan w = {.o = FC_NAME(operands_of)(p), .taps = p->kernel_h * p->kernel_w};
    const operands *o = &w.o;
    int64_t pixels = o->out_height * o->out_width, most = STEP_BYTES / ((NR + MR) * (int64_t)sizeof(real));
    w.images = max64(1, min64(o->batch, most / pixels));
    w.images = ceil_div(o->batch, ceil_div(o->batch, w.images));
    w.strips_x = ceil_div(o->out_width, 2 * most);
    int64_t columns = ceil_div(o->out_width, w.strips_x);
    w.strips_y = ceil_div(o->out_height, max64(1, most / columns));
    int64_t rows = ceil_div(o->out_height, w.strips_y), size = (int64_t)sizeof(real);
    for (;; *(w.images > 1 ? &w.images : rows > 1 ? &rows : &columns) /= 2) {
        w.y = packing_of(rows, p->kernel_h, p->stride_h, p->dilation_h, p->pad_top);
        w.x = packing_of(columns, p->kernel_w, p->stride_w, p->dilation_w, p->pad_left);
        w.panel_cells = w.images * w.y.extent * w.x.extent;
        if (w.panel_cells * min64(MR, o->channels) * size <= PANEL_BYTES || w.images * rows * columns == 1) break;
    }
    w.strips_image = ceil_div(o->batch, w.images);
    w.strips_y = ceil_div(o->out_height, rows), w.strips_x = ceil_div(o->out_width, columns);
    w.joined = !w.x.apart && p->dilation_w == 1;

    int64_t strip = w.images * w.y.outputs * w.x.outputs;
    w.panels = ceil_div(o->channels, MR), w.blocks = ceil_div(o->filters, NR);
    int64_t panel = w.panel_cells * ceil_div(o->channels, w.panels) * size, room = fc_l2_bytes() / 4;
    w.chunks = min64(w.panels, ceil_div(w.panels * panel, room));
    w.parts = min64(w.blocks, ceil_div(w.blocks * strip * NR * size, room));
    while (ceil_div(w.panels, w.chunks) * MR * w.taps * ceil_div(w.blocks, w.parts) * NR * size > SUMS_BYTES &&
           (w.chunks < w.panels || w.parts < w.blocks)) {
        if (w.parts < w.blocks &&
            (w.chunks == w.panels || ceil_div(w.blocks, w.parts) * NR > ceil_div(w.panels, w.chunks) * MR))
            w.parts++;
        else
            w.chunks++;
    }
    int64_t tasks = o->groups * w.chunks * w.parts, strips = w.strips_image * w.strips_y * w.strips_x;
    int64_t weights = o->groups * o->filters * o->channels * w.taps * size;
    w.shares = max64(1, min64(min64(strips, ceil_div(WANTED_TASKS, tasks)), 1 + PARTIAL_BYTES / weights));
    if (w.shares == 1)
        while (tasks < 4 && (w.parts < w.blocks || w.chunks < w.panels)) {
            if (w.parts < w.blocks)
                w.parts++;
            else
                w.chunks++;
            tasks = o->groups * w.chunks * w.parts;
        }
    return w;
}

typedef struct {
    const direct_plan *w;
    const real *x, *gradient;
    real *weights, *bias;
    real *sums;         /* of every share and region, where there are several shares: [share][region][region_sums] */
    real *partial_bias; /* of all shares but the first */
} direct_gradient_job;

/* A strip: its images, and the outputs [y, y + rows) x [x, x + columns). */
typedef struct {
    int64_t image, images, y, rows, x, columns;
} strip;

static strip strip_at(const direct_plan *w, int64_t index) {
    const operands *o = &w->o;
    strip s = {.x = index % w->strips_x * w->x.outputs,
               .y = index / w->strips_x % w->strips_y * w->y.outputs,
               .image = index / (w->strips_x * w->strips_y) * w->images};
    s.images = min64(w->images, o->batch - s.image);
    s.rows = min64(w->y.outputs, o->out_height - s.y), s.columns = min64(w->x.outputs, o->out_width - s.x);
    return s;
}

/* From where strip `index` begins in an image to where the next does: the input if `of_input`, else the gradient. */
static int64_t to_next_strip(const direct_plan *w, int64_t index, int of_input) {
    const operands *o = &w->o;
    strip a = strip_at(w, index), b = strip_at(w, index + 1);
    int64_t images = b.image - a.image, rows = b.y - a.y, columns = b.x - a.x;
    if (!of_input) return images * o->out_image + (rows * o->out_width + columns) * o->out_pixel;
    return images * o->x_image + (rows * w->y.stride * o->width + columns * w->x.stride) * o->x_pixel;
}

/* ---- packing the input ---- */

/* Loads n pixels of each of VL channels, `step` apart. */
INLINE
void load_pixels(const real *from, const int64_t *offset, int64_t step, int64_t n, vec *rows) {
    if (step == 1)
#pragma GCC unroll 16
        for (int l = 0; l < VL; l++) rows[l] = load_up_to(from + offset[l], n);
    else if (step == 2)
#pragma GCC unroll 16
        for (int l = 0; l < VL; l++) rows[l] = load_every_second(from + offset[l], n);
    else
        for (int l = 0; l < VL; l++)
            for (int k = 0; k < VL; k++) rows[l][k] = k < n ? from[offset[l] + k * step] : 0;
}

/* Packs `count` pixels of `width` channels each, from every `step`-th pixel; what will be wanted `ahead` of them is
 * fetched. Whole vectors are stored in ascending order: what one writes beyond its channels is written again, or
 * slack. */
static void pack_cells(const operands *o, real *to, int64_t width, const real *from, int64_t step, int64_t count,
                       int64_t ahead) {
    if (o->nhwc) {
        step *= o->x_pixel;
        if (step == width)
            copy_reals(to, from, count * width);
        else
            for (int64_t i = 0; i < count; i++, to += width, from += step)
                for (int64_t c = 0; c < width; c += VL) store(to + c, load_up_to(from + c, min64(VL, width - c)));
        return;
    }
    if (step == 1 && width == 1) {
        copy_reals(to, from, count);
        return;
    }
    for (int64_t c = (width - 1) / VL * VL; c >= 0; c -= VL) { /* the last may write over the next pixel's first */
        int64_t offset[VL], channels = min64(VL, width - c);
        for (int l = 0; l < VL; l++) offset[l] = min64(c + l, width - 1) * o->x_channel;
        for (int64_t i = 0; i < count; i += VL) {
            vec pixels[VL];
            if (count >= VL) i = min64(i, count - VL); /* the last vector overlaps the one before */
            int64_t n = min64(VL, count - i);
            for (int l = 0; l < channels; l++) __builtin_prefetch(from + offset[l] + i * step + ahead, 0, 2);
            if (step == 1 && n == VL) {
                load_transposed(from + i, offset, pixels);
            } else {
                load_pixels(from + i * step, offset, step, n, pixels);
                transpose(pixels);
            }
            if (n == VL)
#pragma GCC unroll 16
                for (int k = 0; k < VL; k++) store(to + (i + k) * width + c, pixels[k]);
            else
                for (int k = 0; k < n; k++) store(to + (i + k) * width + c, pixels[k]);
        }
    }
}

/* Packs `count` cells of a line, which stand for input columns first, first + step, ... */
static void pack_line(const operands *o, real *to, int64_t width, const real *row, int64_t first, int64_t step,
                      int64_t count, int64_t ahead) {
    int64_t low = first < 0 ? ceil_div(-first, step) : 0,
            high = first < o->width ? ceil_div(o->width - first, step) : 0;
    low = min64(low, count), high = max64(low, min64(high, count));
    clear_reals(to, low * width);
    pack_cells(o, to + low * width, width, row + (first + low * step) * o->x_pixel, step, high - low, ahead);
    clear_reals(to + high * width, (count - high) * width);
}

/* Packs `width` channels of a group, as a strip sees them; what is packed next is `ahead`. Lines outside the image are
 * left as they are. */
static void pack_panel(const direct_plan *w, const strip *s, const real *x, int64_t width, real *to, int64_t ahead) {
    const operands *o = &w->o;
    const axis_packing *ay = &w->y, *ax = &w->x;
    int64_t lines = ay->apart ? ay->extent : (s->rows - 1) * ay->stride + (ay->taps - 1) * ay->dilation + 1;
    int64_t columns = (s->columns - 1) * ax->stride + (ax->taps - 1) * ax->dilation + 1, together;
    int64_t first = s->x * ax->stride - ax->pad;
    int whole_lines = !ax->apart && !ay->apart && first == 0 && columns == o->width && ax->extent == o->width;
    for (int64_t i = 0; i < s->images; i++)
        for (int64_t line = 0; line < lines; line += together) {
            int64_t in_tap = ay->apart ? line % ay->outputs : 0, tap = ay->apart ? line / ay->outputs : 0;
            together = 1;
            if (in_tap >= s->rows) continue;
            int64_t y = s->y * ay->stride - ay->pad + (ay->apart ? in_tap * ay->stride + tap * ay->dilation : line);
            if (y < 0 || y >= o->height) continue;
            const real *row = x + (s->image + i) * o->x_image + y * o->width * o->x_pixel;
            real *cells = to + (i * ay->extent + line) * ax->extent * width;
            if (whole_lines) {
                together = min64(lines - line, o->height - y);
                pack_cells(o, cells, width, row, 1, together * columns, ahead);
            } else if (!ax->apart) {
                pack_line(o, cells, width, row, first, 1, columns, ahead);
            } else {
                for (int64_t t = 0; t < ax->taps; t++)
                    pack_line(o, cells + t * ax->tap_step * width, width, row, first + t * ax->dilation, ax->stride,
                              s->columns, ahead);
            }
        }
}

/* ---- packing the gradient ---- */

/* `count` pixels of `filters` filters as vectors of filters, zeros beyond them; of the last vector, what will be wanted
 * `ahead` of it is fetched. */
static void pack_gradient(const operands *o, real *to, int64_t width, const real *from, int64_t filters, int64_t count,
                          int64_t ahead) {
    for (int64_t v = 0; v < width; v += VL) {
        int64_t n = min64(VL, filters - v), offset[VL];
        if (n <= 0) {
            for (int64_t i = 0; i < count; i++) store(to + i * width + v, zero());
            continue;
        }
        if (o->nhwc) {
            for (int64_t i = 0; i < count; i++) store(to + i * width + v, load_up_to(from + i * o->out_pixel + v, n));
            continue;
        }
        int64_t next = v + VL < filters ? VL * o->out_channel : ahead;
        for (int l = 0; l < VL; l++) offset[l] = (v + min64(l, n - 1)) * o->out_channel;
        for (int64_t i = 0; i < count; i += VL) {
            vec pixels[VL];
            if (count >= VL) i = min64(i, count - VL); /* the last vector overlaps the one before */
            int64_t k = 0, m = min64(VL, count - i);
            for (int l = 0; l < n; l++) __builtin_prefetch(from + offset[l] + i + next, 0, 2);
            if (n == VL && m == VL) {
                load_transposed(from + i, offset, pixels);
            } else {
#pragma GCC unroll 16
                for (int l = 0; l < VL; l++) pixels[l] = l < n ? load_up_to(from + offset[l] + i, m) : zero();
                transpose(pixels);
            }
            if (m == VL)
#pragma GCC unroll 16
                for (k = 0; k < VL; k++) store(to + (i + k) * width + v, pixels[k]);
            for (; k < m; k++) store(to + (i + k) * width + v, pixels[k]);
        }
    }
}

/* Adds the sums of `count` packed pixels to the bias, in NR reals, and its rests, in the next NR. */
static void add_to_bias(real *bias, const real *packed, int64_t width, int64_t count) {
    for (int64_t v = 0; v < width; v += VL) {
        total sum = {load(bias + v), load(bias + NR + v)};
        for (int64_t i = 0; i < count;) {
            vec part = zero();
            for (int64_t end = min64(i + PART_TERMS, count); i < end; i++) part += load(packed + i * width + v);
            add_part(&sum, part);
        }
        store(bias + v, sum.sum), store(bias + NR + v, sum.rest);
    }
}

/* The strip's gradient of a block of filters: [image][row][column][width]; its sums go to `bias`, if that is one. What
 * is packed next is `ahead` of the last vector of filters. */
static void pack_block(const direct_plan *w, const strip *s, const real *gradient, int64_t filters, int64_t width,
                       int64_t ahead, real *to, real *bias) {
    const operands *o = &w->o;
    int whole_rows = s->columns == o->out_width && s->columns == w->x.outputs;
    int64_t pieces = whole_rows ? 1 : s->rows, length = whole_rows ? s->rows * s->columns : s->columns;
    for (int64_t i = 0; i < s->images; i++)
        for (int64_t piece = 0; piece < pieces; piece++) {
            const real *from =
                gradient + (s->image + i) * o->out_image + ((s->y + piece) * o->out_width + s->x) * o->out_pixel;
            real *packed = to + (i * w->y.outputs + piece) * w->x.outputs * width;
            pack_gradient(o, packed, width, from, filters, length, ahead);
            if (bias) add_to_bias(bias, packed, width, length);
        }
}

/* ---- a task ---- */

/* Finds the strip's pixels that see row `tap` of the kernel inside the image; returns in how many stretches. */
static int64_t find_step_stretches(const direct_plan *w, const strip *s, int64_t tap, step_stretch *to) {
    const axis_packing *a = &w->y;
    int64_t n = 0, tap_line = tap * a->tap_step;
    for (int64_t i = 0; i < s->images; i++)
        for (int64_t row = 0; row < s->rows; row++) {
            int64_t y = (s->y + row) * a->stride + tap * a->dilation - a->pad;
            if (y < 0 || y >= w->o.height) continue;
            step_stretch next = {.cell = (i * a->extent + tap_line + row * a->step) * w->x.extent,
                                 .pixel = (i * a->outputs + row) * w->x.outputs,
                                 .count = s->columns};
            step_stretch *last = to + n - 1;
            if (n && last->cell + last->count * w->x.step == next.cell && last->pixel + last->count == next.pixel)
                last->count += next.count;
            else
                to[n++] = next;
        }
    return n;
}

static int64_t panel_start(const direct_plan *w, int64_t panel) { return part_start(w->o.channels, w->panels, panel); }

/* A task's chunk of panels and part of blocks. */
typedef struct {
    int64_t panel, panels, channel, channels;
    int64_t block, blocks;
} direct_region;

/* Adds a strip's products to `sums`: [block][channels of a panel][row of taps][tap][channel][filter of the block]. */
static void multiply_strip(const direct_plan *w, const strip *s, const direct_region *r, const real *panels,
                           const real *blocks, real *sums, step_stretch *stretches, int first) {
    int64_t strip_pixels = w->images * w->y.outputs * w->x.outputs;
    for (int64_t row = 0; row < w->y.taps && !fc_called_off(); row++) {
        int64_t found = find_step_stretches(w, s, row, stretches), pieces = w->joined ? 1 : w->x.taps;
        for (int64_t b = 0; b < r->blocks; b++) {
            int64_t width = channel_block_width(&w->o, r->block + b);
            gradient_tile t = {.gradient = blocks + b * strip_pixels * NR,
                               .stretches = stretches,
                               .end = stretches + found,
                               .first = first};
            for (int64_t i = 0; i < r->panels; i++) {
                int64_t channel = panel_start(w, r->panel + i) - r->channel;
                int64_t channels = panel_start(w, r->panel + i + 1) - r->channel - channel;
                int64_t length = (w->joined ? w->x.taps : 1) * channels, count = ceil_div(length, MR);
                t.width = channels, t.step = w->x.step * channels;
                real *panel_sums =
                    sums + b * r->channels * w->taps * NR + (channel * w->taps + row * w->x.taps * channels) * width;
                for (int64_t piece = 0; piece < pieces; piece++)
                    for (int64_t k = 0; k < count; k++) {
                        int64_t from = part_start(length, count, k), rows = part_start(length, count, k + 1) - from;
                        t.x = panels + channel * w->panel_cells + piece * w->x.tap_step * channels + from;
                        t.sums = panel_sums + (piece * channels + from) * width;
                        FC_NAME(gradient_tiles)[rows - 1][width / VL - 1](&t);
                    }
            }
        }
    }
}

/* Region `index` of a group. */
static direct_region region_at(const direct_plan *w, int64_t index) {
    int64_t chunk = index % w->chunks, part = index / w->chunks;
    direct_region r = {.panel = part_start(w->panels, w->chunks, chunk),
                       .block = part_start(w->blocks, w->parts, part)};
    r.panels = part_start(w->panels, w->chunks, chunk + 1) - r.panel;
    r.blocks = part_start(w->blocks, w->parts, part + 1) - r.block;
    r.channel = panel_start(w, r.panel), r.channels = panel_start(w, r.panel + r.panels) - r.channel;
    return r;
}

static int64_t region_sums(const direct_plan *w) {
    return ceil_div(w->blocks, w->parts) * NR * ceil_div(w->panels, w->chunks) * ceil_div(w->o.channels, w->panels) *
           w->taps;
}

/* Stores the sums of the region's block `b` in the user's layout; `sums` are the region's. */
static void unpack_block(const direct_plan *w, const direct_region *r, int64_t group, int64_t b, const real *sums,
                         real *weights) {
    const operands *o = &w->o;
    int64_t k = (r->block + b) * NR, width = channel_block_width(o, r->block + b), filters = min64(NR, o->filters - k);
    real *to = weights + group * o->w_group + k * o->w_filter + r->channel * o->w_channel;
    sums += b * r->channels * w->taps * NR;
    if (w->taps == 1) {
        unpack_sums(o, sums, 1, r->channels, width, filters, to);
        return;
    }
    for (int64_t i = 0; i < r->panels; i++) {
        int64_t channel = panel_start(w, r->panel + i) - r->channel;
        unpack_sums(o, sums + channel * w->taps * width, w->taps,
                    panel_start(w, r->panel + i + 1) - r->channel - channel, width, filters,
                    to + channel * o->w_channel);
    }
}

static int work(const void *context, int64_t begin, int64_t end) {
    const direct_gradient_job *j = context;
    const direct_plan *w = j->w;
    const operands *o = &w->o;
    int64_t most_channels = ceil_div(w->panels, w->chunks) * ceil_div(o->channels, w->panels);
    int64_t most_blocks = ceil_div(w->blocks, w->parts), strip_pixels = w->images * w->y.outputs * w->x.outputs;
    int64_t panels = round_up(most_channels * w->panel_cells + 2 * VL, VL), blocks = most_blocks * strip_pixels * NR;
    int64_t sums = region_sums(w), rows = w->images * w->y.outputs, regions = w->chunks * w->parts * o->groups;
    int64_t strips = w->strips_image * w->strips_y * w->strips_x, packed = -1;
    int64_t totals = has_totals(ceil_div(strips, w->shares)) ? sums : 0, biases = 2 * NR * most_blocks;
    char *memory = fc_workspace(FC_OWN, (size_t)(panels + blocks + sums + 2 * totals + biases) * sizeof(real) +
                                            (size_t)rows * sizeof(step_stretch));
    if (!memory) return FC_NO_MEMORY;
    real *packed_panels = (real *)memory, *packed_blocks = packed_panels + panels, *spare = packed_blocks + blocks;
    real *own_totals = spare + sums, *own_bias = own_totals + 2 * totals;
    step_stretch *stretches = (step_stretch *)(own_bias + biases);
    for (int64_t task = begin; task < end; task++) {
        /* Chunks change fastest: a share of one strip keeps its gradient packed. */
        int64_t group = task % regions / (w->chunks * w->parts), share = task / regions;
        direct_region r = region_at(w, task % (w->chunks * w->parts));
        int64_t first = part_start(strips, w->shares, share), last = part_start(strips, w->shares, share + 1);
        const real *x = j->x + (group * o->channels + r.channel) * o->x_channel;
        real *own = j->sums ? j->sums + task * sums : spare, *bias = NULL;
        if (r.panel == 0 && j->bias) bias = share ? j->partial_bias + (share - 1) * o->groups * o->filters : j->bias;
        if (bias) clear_reals(own_bias, 2 * NR * r.blocks);
        for (int64_t i = first; i < last; i++) {
            int status = fc_called_off();
            if (status) return status;
            strip s = strip_at(w, i);
            for (int64_t k = 0; k < r.panels; k++) {
                int64_t channel = panel_start(w, r.panel + k) - r.channel;
                int64_t width = panel_start(w, r.panel + k + 1) - r.channel - channel;
                int64_t ahead =
                    k + 1 < r.panels ? width * o->x_channel : to_next_strip(w, i, 1) - channel * o->x_channel;
                pack_panel(w, &s, x + channel * o->x_channel, width, packed_panels + channel * w->panel_cells, ahead);
            }
            int64_t wanted = i * regions + task % regions / w->chunks;
            for (int64_t b = 0; b < r.blocks && (bias || packed != wanted); b++) {
                int64_t k = (r.block + b) * NR, filters = min64(NR, o->filters - k);
                int64_t ahead =
                    b + 1 < r.blocks ? VL * o->out_channel : to_next_strip(w, i, 0) - (b * NR + VL) * o->out_channel;
                pack_block(w, &s, j->gradient + (group * o->filters + k) * o->out_channel, filters,
                           channel_block_width(&w->o, r.block + b), ahead, packed_blocks + b * strip_pixels * NR,
                           bias ? own_bias + 2 * NR * b : NULL);
            }
            packed = wanted;
            part_sums sum = {own, own_totals, own_totals + totals, i - first, last - first};
            multiply_strip(w, &s, &r, packed_panels, packed_blocks, own, stretches, begins_anew(&sum));
            settle_sums(&sum, 0, r.blocks * NR * r.channels * w->taps);
        }
        for (int64_t b = 0; b < r.blocks; b++) {
            const real *sum = own_bias + 2 * NR * b;
            int64_t k = (r.block + b) * NR;
            if (bias) copy_totals(bias + group * o->filters + k, sum, sum + NR, min64(NR, o->filters - k));
            if (!j->sums) unpack_block(w, &r, group, b, own, j->weights);
        }
    }
    return 0;
}

/* Adds up the shares of a block of filters of a region, and unpacks them. */
static int join_shares(const void *context, int64_t begin, int64_t end) {
    const direct_gradient_job *j = context;
    const direct_plan *w = j->w;
    int64_t sums = region_sums(w), regions = w->chunks * w->parts, step = regions * w->o.groups * sums;
    int64_t most_blocks = ceil_div(w->blocks, w->parts);
    for (int64_t task = begin; task < end; task++) {
        int64_t b = task % most_blocks, region = task / most_blocks;
        direct_region r = region_at(w, region % regions);
        if (b >= r.blocks) continue;
        real *own = j->sums + region * sums, *at = own + b * r.channels * w->taps * NR;
        for (int64_t i = 0; i < r.channels * w->taps * NR; i += VL) {
            total sum = {load(at + i), zero()};
            for (int64_t s = 1; s < w->shares; s++) add_part(&sum, load(at + s * step + i));
            store(at + i, total_of(&sum));
        }
        unpack_block(w, &r, region / regions, b, own, j->weights);
    }
    return 0;
}

static COLD int accepts(const fc_conv *p) {
    (void)p;
    return 1;
}

static COLD double cost(const fc_conv *p) {
    direct_plan w = plan_of(p);
    const operands *o = &w.o;
    double pixels = (double)(o->batch * o->out_height * o->out_width * o->groups),
           vectors = (double)ceil_div(o->filters, VL);
    double multiply = pixels * vectors * (double)(o->channels * w.taps) * PRODUCT_CYCLES * 1.4;
    double packing = pixels * (double)(o->filters * w.chunks) * (o->nhwc ? MOVING(0.53) : MOVING(0.67)) +
                     (double)(o->batch * o->groups * w.strips_y * w.strips_x) * (double)(w.y.extent * w.x.extent) *
                         (double)(o->channels * w.parts) * (o->nhwc ? MOVING(0.85) : MOVING(0.68));
    double parts = (double)(o->batch * o->groups * w.strips_y * w.strips_x) * STEPPING(2000); /* whatever their size */
    return (multiply + packing + parts) / 2 + image_cycles(o, (double)w.parts, (double)w.chunks) + STEPPING(1000);
}

static int run(const fc_conv *p, const void *x, const void *gradient, void *weights, void *bias, int threads) {
    direct_plan w = plan_of(p);
    const operands *o = &w.o;
    int64_t regions = o->groups * w.chunks * w.parts, sums = regions * region_sums(&w);
    int64_t filters = bias ? o->groups * o->filters : 0;
    direct_gradient_job j = {.w = &w, .x = x, .gradient = gradient, .weights = weights, .bias = bias};
    if (w.shares > 1) {
        j.sums = fc_workspace(FC_SHARED, (size_t)(w.shares * sums + (w.shares - 1) * filters) * sizeof(real));
        if (!j.sums) return FC_NO_MEMORY;
        j.partial_bias = j.sums + w.shares * sums;
    }
    int status = fc_parallel(w.shares * regions, all_cycles(p, cost), threads, work, &j);
    if (!status && w.shares > 1)
        status = fc_parallel(regions * ceil_div(w.blocks, w.parts), (double)(w.shares * sums) / VL * 4, threads,
                             join_shares, &j);
    if (!status && w.shares > 1 && bias) status = add_shares(bias, j.partial_bias, filters, w.shares, threads);
    return status;
}

const fc_gradient_kernel FC_NAME(gradient_direct) = {accepts, cost, run, NULL};
