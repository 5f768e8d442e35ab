/* Cuts a grid into strips whose input fits a cache, and packs a strip so that one microkernel can read every tap of
 * every convolution at fixed offsets. Called by the direct kernels.
 *
 * A packed strip holds, for each channel, a few sheets of pixels. Outputs lie `pitch` pixels apart vertically and one
 * horizontally in all of them, whatever the stride: a sheet holds every `step`-th row and column of the input. Taps of
 * one sheet see it at different shifts (stride 1: one sheet in all); where that would hold more pixels than a sheet for
 * each tap (wide dilation), each tap has its own. In a flat strip each horizontal tap has its own sheet, of the strip's
 * width: then outputs are numbered through, row after row, and a register tile may span rows. NCHW strips are
 * [channel][pixel], NHWC strips [pixel][channel]. */
#ifndef FC_STRIP_H
#define FC_STRIP_H

#include <stdlib.h>
#include <string.h>

#include "base/simd.h"
#include "conv/grid.h"
#include "conv/pack_row.h"

/* READ_BEYOND is how many pixels beyond a strip's last a vector kernel may read. */
enum { READ_BEYOND = 4 * VL };

/* How one axis' taps are spread over sheets. */
typedef struct {
    int64_t sheets, widest, shifts; /* largest shift of all sheets; sum of the sheets' largest shifts */
    int64_t *base;                  /* of a sheet: input position of its element 0, for output 0 */
    int64_t *shift;                 /* of a sheet: largest shift of its taps */
    int64_t *before;                /* of a sheet: the sum of those of the sheets before it */
    int64_t *tap_sheet, *tap_shift;
} spread;

enum { SPREAD_ARRAYS = 5 };

typedef struct {
    grid g;
    spread y, x;
    int64_t rows, columns; /* outputs in the largest strip */
    int64_t strips_y, strips_x;
    int64_t unit_y, unit_x;    /* of which every strip has a whole number, but the last */
    int64_t pitch, sheet_rows; /* pixels in a sheet's row; rows of all sheets of one column sheet */
    int64_t pixels;            /* packed, for one channel */
    int64_t pixel_step, channel_step;
    int64_t channels;
    int64_t width, height; /* of the input, as it is cut */
    int64_t *tap_offset;
    int64_t *edges, zones; /* columns where another set of taps is inside the image; see `plan_zones` */
    int flat, in_place, nhwc;
    int joined_taps; /* do a row's taps follow on each other, as channels of one? */
    int outside;     /* are rows outside the image packed, as zeros? */
    int64_t *memory;
} strips;

static void spread_taps(spread *s, const axis *a, int64_t *memory, int own_sheets) {
    *s = (spread){.base = memory,
                  .shift = memory + a->taps,
                  .before = memory + 2 * a->taps,
                  .tap_sheet = memory + 3 * a->taps,
                  .tap_shift = memory + 4 * a->taps};
    /* From the lowest tap up, so that shifts are not negative. */
    int64_t lowest = a->tap_step < 0 ? a->taps - 1 : 0, up = a->tap_step < 0 ? -1 : 1;
    int64_t period = period_of(a->step, up * a->tap_step);
    for (int64_t i = 0; i < a->taps; i++) {
        int64_t t = lowest + up * i, at = tap_at(a, t), sheet = s->sheets;
        if (own_sheets && sheet && s->base[sheet - 1] == at) sheet--;
        if (!own_sheets && i >= period) sheet = s->tap_sheet[t - up * period];
        if (sheet == s->sheets) {
            s->base[sheet] = at, s->shift[sheet] = 0;
            s->sheets++;
        }
        s->tap_sheet[t] = sheet;
        s->tap_shift[t] = s->shift[sheet] = (at - s->base[sheet]) / a->step;
    }
    for (int64_t p = 0; p < s->sheets; p++) {
        s->before[p] = s->shifts;
        s->shifts += s->shift[p], s->widest = max64(s->widest, s->shift[p]);
    }
}

static int64_t spread_extent(const spread *s, int64_t count) { return s->sheets * count + s->shifts; }

static int64_t spread_width(const spread *s, int64_t count) { return count + s->widest; }

/* Spreads the taps so that they share sheets, unless that holds more than a sheet for each. */
static void spread_best(spread *s, const axis *a, int64_t *memory, int64_t count) {
    spread_taps(s, a, memory, 0);
    if (spread_extent(s, count) > tap_places(a) * count) spread_taps(s, a, memory, 1);
}

/* A double, as that of a strip which is far too large could overflow. */
static double strip_bytes(const strips *s, int64_t rows, int64_t columns) {
    int64_t width = s->flat ? columns : spread_width(&s->x, columns);
    return (double)(s->channels * s->x.sheets) * (double)width * (double)spread_extent(&s->y, rows) * sizeof(real);
}

/* Is the grid's input the image itself, pixel for pixel? */
static int covers_image(const grid *g, const operands *o) {
    return tap_places(&g->x) == 1 && tap_places(&g->y) == 1 && g->x.step == 1 && g->y.step == 1 &&
           tap_at(&g->x, 0) == 0 && tap_at(&g->y, 0) == 0 && g->x.count == o->width && g->y.count <= o->height;
}

/* An input that is the image itself need not be packed, unless it is rescaled, or what a tile reads together (channels,
 * or pixels of NHWC) is about whole pages apart: they would compete for a few sets of every cache. */
static int reads_in_place(const grid *g, const operands *o) {
    return covers_image(g, o) && !o->rescaled && !is_crowded(o->nhwc ? o->x_pixel * g->x.step : o->x_channel);
}

/* Are the taps of a row neighbours, where pixels are packed close together? Tiles that span rows have apart what each
 * tap reads. */
static int adjoining_taps(const operands *o, const grid *g) {
    return o->nhwc && o->channels < VL && g->x.taps > 1 && g->x.step == 1 && g->x.tap_step == 1 && g->x.out_step == 1 &&
           g->y.out_step == 1;
}

/* Cuts the columns where the set of horizontal taps inside the image changes. With a wide dilation these are few, wide
 * zones, none of which reads outside the image once the other taps are skipped: then nothing needs to be packed.
 * Returns whether that is so. `edges` has room for 2 * taps + 2. */
static int plan_zones(strips *s) {
    const axis *x = &s->g.x;
    if (x->tap_step * x->tap_step == 1 || x->divisor > 1 || (!s->nhwc && x->step > 1)) return 0;
    int64_t last = 0, narrowest = x->count, *edges = s->edges;
    int64_t highest = x->tap_step < 0 ? 0 : x->taps - 1, down = x->tap_step < 0 ? 1 : -1;
    edges[0] = 0;
    /* The outputs from which on taps see the image, and those from which on they no longer do, both ascend from the
     * highest tap down: the two are merged. */
    for (int64_t i = 0, k = 0; k < x->taps;) {
        int64_t begin = x->count, end = s->width - tap_at(x, highest + down * k);
        end = end > 0 ? min64(ceil_div(end, x->step), x->count) : 0;
        if (i < x->taps) begin = min64(ceil_div(max64(0, -tap_at(x, highest + down * i)), x->step), x->count);
        int64_t edge = min64(begin, end);
        if (begin < end)
            i++;
        else
            k++;
        if (edge == edges[last]) continue;
        narrowest = min64(narrowest, edge - edges[last]);
        edges[++last] = edge;
    }
    if (edges[last] < x->count) {
        narrowest = min64(narrowest, x->count - edges[last]);
        edges[++last] = x->count;
    }
    s->zones = last;
    return narrowest >= 4;
}

/* Chooses the strip that packs the fewest pixels for an output, of those that fit: its surroundings are packed with
 * it. */
static void fit_strip(const strips *s, int64_t tile, int64_t bytes, int64_t *rows, int64_t *columns) {
    const axis *y = &s->g.y, *x = &s->g.x;
    double least = 0;
    for (int64_t parts = 1;; parts *= 2) {
        int64_t width = parts == 1 ? x->count : round_up(ceil_div(x->count, parts), tile);
        int64_t low = 1,
                high = s->flat && parts > 1 ? 1 : y->count; /* a flat strip is as wide as the grid, or one row */
        while (low < high) {
            int64_t middle = (low + high + 1) / 2;
            if (strip_bytes(s, middle, width) <= (double)bytes)
                low = middle;
            else
                high = middle - 1;
        }
        double held = strip_bytes(s, low, width);
        /* Short rows cost more than they hold: two loops' ends, and no help from the hardware's prefetcher. */
        double packed = held / ((double)low * (double)width) * (1 + 24.0 / (double)width);
        if (held > (double)bytes)
            packed *= held / (double)bytes; /* beyond the cache: only where nothing else is left */
        if (parts == 1 || packed < least) least = packed, *rows = low, *columns = width;
        if (width <= tile) return;
    }
}

/* Strip number i begins there, of an axis of `count` outputs: all have as many units, or one more. */
static int64_t strip_start(int64_t count, int64_t unit, int64_t strips, int64_t i) {
    return min64(count, ceil_div(count, unit) * i / strips * unit);
}

/* Of strip number i its first output along each axis, and how many it has. */
static void place_strip(const strips *s, int64_t i, int64_t *y0, int64_t *rows, int64_t *x0, int64_t *columns) {
    int64_t sy = i / s->strips_x, sx = i % s->strips_x;
    *y0 = strip_start(s->g.y.count, s->unit_y, s->strips_y, sy);
    *rows = strip_start(s->g.y.count, s->unit_y, s->strips_y, sy + 1) - *y0;
    *x0 = strip_start(s->g.x.count, s->unit_x, s->strips_x, sx);
    *columns = strip_start(s->g.x.count, s->unit_x, s->strips_x, sx + 1) - *x0;
}

/* A register tile is `tile` pixels of `tile_rows` rows; `flat` whether tiles should span rows, `exact` whether they
 * read no pixel beside their own, `bytes` what a strip may hold, `parts` what the number of strips should be a multiple
 * of, where there are enough outputs. 0 or FC_NO_MEMORY. */
static int plan_strips(strips *s, const grid *g, const operands *o, int64_t tile, int64_t tile_rows, int flat,
                       int exact, int64_t bytes, int64_t parts) {
    memset(s, 0, sizeof *s);
    s->g = *g;
    s->nhwc = o->nhwc, s->channels = o->channels;
    s->in_place = reads_in_place(g, o);
    s->width = o->width, s->height = o->height;
    if (covers_image(g, o) && g->x.out_step == 1 && g->y.out_step == 1 && g->x.count == o->out_width) {
        /* The image is one long row then, as nothing distinguishes rows any more. */
        s->g.x.count *= g->y.count, s->g.y.count = 1;
        s->width *= s->height, s->height = 1;
        flat = 0;
    }
    axis *y = &s->g.y, *x = &s->g.x;
    int64_t *memory_x, spreads = SPREAD_ARRAYS * (y->taps + x->taps);
    s->memory = malloc((size_t)(spreads + y->taps * x->taps + 2 * x->taps + 3) * sizeof(int64_t));
    if (!s->memory) return FC_NO_MEMORY;
    memory_x = s->memory + SPREAD_ARRAYS * y->taps;
    s->tap_offset = s->memory + spreads;
    s->edges = s->tap_offset + y->taps * x->taps;
    s->flat = flat || s->in_place;
    if (exact && !flat && !s->in_place && plan_zones(s))
        s->in_place = 1;
    else
        s->zones = 1, s->edges[0] = 0, s->edges[1] = x->count;
    s->outside = s->flat;
    spread_best(&s->y, y, s->memory, y->count);
    if (s->flat)
        spread_taps(&s->x, x, memory_x, 1);
    else
        spread_best(&s->x, x, memory_x, x->count);

    int64_t rows = 1, columns = tile;
    fit_strip(s, tile, bytes, &rows, &columns);
    if (rows > tile_rows) rows -= rows % tile_rows;
    s->unit_y = min64(rows, tile_rows), s->unit_x = exact ? ceil_div(x->count, ceil_div(x->count, tile)) : tile;
    s->strips_x = ceil_div(x->count, columns), s->strips_y = ceil_div(y->count, rows);
    if (parts > 1 && s->strips_x * s->strips_y % parts) {
        if (y->count >= parts)
            s->strips_y = min64(y->count, round_up(s->strips_y, parts));
        else if (!s->flat || y->count == 1)
            s->strips_x = min64(ceil_div(x->count, tile), round_up(s->strips_x, parts));
    }
    int64_t units_y = ceil_div(y->count, s->unit_y), units_x = ceil_div(x->count, s->unit_x);
    s->strips_y = min64(s->strips_y, units_y), s->strips_x = min64(s->strips_x, units_x);
    s->rows = min64(y->count, ceil_div(units_y, s->strips_y) * s->unit_y);
    s->columns = min64(x->count, ceil_div(units_x, s->strips_x) * s->unit_x);

    s->pitch = s->flat ? s->columns : spread_width(&s->x, s->columns);
    s->sheet_rows = spread_extent(&s->y, s->rows);
    if (s->in_place) {
        s->pitch = o->width * y->step;
        s->pixels = 0;
        s->pixel_step = o->x_pixel * x->step, s->channel_step = o->x_channel;
        for (int64_t t = 0; t < y->taps * x->taps; t++) {
            int64_t row = tap_at(y, t / x->taps), column = tap_at(x, t % x->taps);
            s->tap_offset[t] = (row * o->width + column) * o->x_pixel;
        }
        return 0;
    }
    s->pixels = s->x.sheets * s->sheet_rows * s->pitch + READ_BEYOND;
    if (s->nhwc) {
        /* Less than a vector of channels lies close together. Of others a pixel's are padded to an odd number of cache
         * lines: pixels then spread over all sets of the L1 cache. */
        s->pixel_step = o->channels < VL ? o->channels : round_up(o->channels, VL);
        s->joined_taps = adjoining_taps(o, &s->g) && s->x.sheets == 1;
        if (s->pixel_step / VL % 2 == 0 && s->pixel_step > VL) s->pixel_step += VL;
        s->channel_step = 1;
    } else {
        s->pixels = round_up(s->pixels, VL);
        if (s->pixels / VL % 2 == 0) s->pixels += VL;
        s->pixel_step = 1, s->channel_step = s->pixels;
    }
    for (int64_t r = 0; r < y->taps; r++) {
        int64_t sheet = s->y.tap_sheet[r], row = sheet * s->rows + s->y.before[sheet] + s->y.tap_shift[r];
        for (int64_t t = 0; t < x->taps; t++)
            s->tap_offset[r * x->taps + t] =
                ((s->x.tap_sheet[t] * s->sheet_rows + row) * s->pitch + s->x.tap_shift[t]) * s->pixel_step;
    }
    return 0;
}

static size_t packed_strip_bytes(const strips *s) {
    if (s->in_place) return 0;
    return (size_t)((s->nhwc ? s->pixels * s->pixel_step : s->channels * s->channel_step) + VL) * sizeof(real);
}

/* Copies n pixels of so many channels, which are constant where it is called unless they are many. */
INLINE
void copy_pixels(real *to, int64_t to_step, const real *from, int64_t from_step, int64_t n, const int64_t channels) {
    for (int64_t i = 0; i < n; i++, to += to_step, from += from_step)
        if (channels <= 4)
            memcpy(to, from, (size_t)channels * sizeof(real));
        else
            copy_reals(to, from, channels);
}

/* Packs one row of a sheet: `n` pixels, of which [low, high) exist; `from` is the image's row, `at` the position of
 * pixel 0. */
static void pack_strip_row(const strips *s, const operands *o, real *to, const real *from, int64_t at, int64_t n,
                           int64_t low, int64_t high) {
    int64_t step = s->g.x.step;
    if (s->nhwc) {
        int64_t pad = s->pixel_step;
        if (pad == o->channels && pad == o->x_pixel && step == 1) {
            clear_reals(to, low * pad);
            copy_reals(to + low * pad, from + (at + low) * pad, (high - low) * pad);
            clear_reals(to + high * pad, (n - high) * pad);
            return;
        }
        for (int64_t i = 0; i < low; i++) clear_reals(to + i * pad, o->channels);
        for (int64_t i = high; i < n; i++) clear_reals(to + i * pad, o->channels);
        from += (at + low * step) * o->x_pixel, to += low * pad;
        switch (o->channels) {
            case 1: copy_pixels(to, pad, from, step * o->x_pixel, high - low, 1); break;
            case 2: copy_pixels(to, pad, from, step * o->x_pixel, high - low, 2); break;
            case 3: copy_pixels(to, pad, from, step * o->x_pixel, high - low, 3); break;
            case 4: copy_pixels(to, pad, from, step * o->x_pixel, high - low, 4); break;
            default: copy_pixels(to, pad, from, step * o->x_pixel, high - low, o->channels); break;
        }
        return;
    }
    /* What is written beyond the row is a later row's, or slack. */
    pack_row(to, s->channel_step, from, o->x_channel, o->channels, step, at, n, low, high);
}

/* Packs the strip of outputs [y0, y0 + rows) x [x0, x0 + columns) from `x`, the first channel of a group of an image.
 * Rows outside the image are left alone unless `outside` is set: the caller then skips their taps. */
static void pack_strip(const strips *s, const operands *o, const real *x, int64_t y0, int64_t rows, int64_t x0,
                       int64_t columns, real *packed) {
    const axis *ay = &s->g.y, *ax = &s->g.x;
    int64_t row_stride = s->width * o->x_pixel;
    for (int64_t px = 0; px < s->x.sheets; px++) {
        int64_t width = columns + s->x.shift[px], at = x0 * ax->step + s->x.base[px];
        int64_t low = at < 0 ? ceil_div(-at, ax->step) : 0;
        int64_t high = s->width > at ? ceil_div(s->width - at, ax->step) : 0;
        low = min64(low, width), high = max64(low, min64(high, width));
        real *sheet = packed + px * s->sheet_rows * s->pitch * s->pixel_step;
        /* Rows that follow on each other in the image and in the strip are one: a channel's lie close together. */
        int joined = ax->step == 1 && ay->step == 1 && at == 0 && width == s->width && width == s->pitch;
        for (int64_t py = 0; py < s->y.sheets; py++) {
            for (int64_t q = 0; q < rows + s->y.shift[py]; q++) {
                int64_t y = (y0 + q) * ay->step + s->y.base[py];
                real *to = sheet + q * s->pitch * s->pixel_step;
                if (joined && y >= 0 && y < s->height) {
                    int64_t together = min64(rows + s->y.shift[py] - q, s->height - y), n = together * width;
                    pack_strip_row(s, o, to, x + y * row_stride, at, n, 0, n);
                    q += together - 1;
                } else if (y >= 0 && y < s->height)
                    pack_strip_row(s, o, to, x + y * row_stride, at, width, low, high);
                else if (s->outside)
                    pack_strip_row(s, o, to, x, at, width, width, width);
            }
            sheet += (s->rows + s->y.shift[py]) * s->pitch * s->pixel_step;
        }
    }
}

/* Rounded twice, as by steps of elementwise.c. */
INLINE
vec rescaled(vec x, vec scale, vec shift) {
    vec product = x * scale;
    PIN(product);
    return at_least(product + shift, zero());
}

/* Packs the columns [x0, x0 + columns) of an image that the input is, as one long row, with its channels rescaled. */
static void pack_rescaled(const strips *s, const operands *o, const real *x, const real *scale, const real *shift,
                          int64_t x0, int64_t columns, real *packed) {
    x += x0 * o->x_pixel;
    if (s->nhwc) {
        for (int64_t i = 0; i < columns; i++, x += o->x_pixel, packed += s->pixel_step) {
            int64_t c = 0;
            for (; c + VL <= o->channels; c += VL)
                store(packed + c, rescaled(load(x + c), load(scale + c), load(shift + c)));
            int64_t rest = o->channels - c;
            if (rest)
                store_n(packed + c, rescaled(load_n(x + c, rest), load_n(scale + c, rest), load_n(shift + c, rest)),
                        rest);
        }
        return;
    }
    for (int64_t c = 0; c < o->channels; c++, x += o->x_channel, packed += s->channel_step) {
        vec factor = splat(scale[c]), addend = splat(shift[c]);
        for (int64_t i = 0; i < columns; i += VL)
            store_up_to(packed + i, rescaled(load_up_to(x + i, columns - i), factor, addend), columns - i);
    }
}

#endif
