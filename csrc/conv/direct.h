/* What the direct kernels share: they walk over strips, tiles of pixels and blocks of filters alike, and differ in the
 * register tile (`family`). Included by direct_channels.c and direct_pixels.c. */
#ifndef FC_DIRECT_H
#define FC_DIRECT_H

#include <math.h>
#include <stdlib.h>

#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/grid.h"
#include "conv/strip.h"

/* A strip shares a core's L2 cache with a panel of weights; a whole image may lie beyond it. */
enum { STRIP_BYTES = 320 << 10, IMAGE_BYTES = 5 << 19, OWN_BLOCK_BYTES = 2 << 20 };

typedef struct direct_job direct_job;
typedef struct weight_packing weight_packing;

/* The taps of a grid: their offsets in the strip, and their place in the packed weights, behind so many others. */
typedef struct {
    const int64_t *tap_offset;
    int64_t taps_before;
} grid_place;

/* A tile and where its results go: its image, group and block of filters, the row of phases, and the strip at (y0, x0)
 * of `height` rows and `columns` columns; the tile's first pixel there and how many pixels it has; the phases [phase,
 * phase + phases) of the row, of which the first with taps is number `grid` of direct_job.columns; and the taps that it
 * sees inside the image. */
typedef struct {
    int64_t image, group, block, filter; /* the block's first filter, of all groups */
    const axis *y;
    const real *own_weights; /* from those of block `own_first` on, where they are made when they are used */
    int64_t own_first;
    int64_t y0, x0, height, columns;
    int64_t row, column, count;
    int64_t phase, phases, grid;
    int64_t first_row, rows, first_column, tap_columns;
    int64_t steps; /* tiles done, of one block of filters each, since the task asked whether it is called off */
} place;

/* Filters of a group in blocks: block b starts at b * size + min(b, larger), so that the first `larger` have one
 * more. */
typedef struct {
    int64_t count, size, larger;
} blocking;

static inline int64_t block_start(const blocking *b, int64_t block) {
    return block * b->size + min64(block, b->larger);
}

/* One register tile, its weights' layout, and how it stores. */
typedef struct {
    int64_t (*tile_pixels)(const operands *o);
    int64_t (*tiles_together)(const operands *o); /* that `do_tile` takes at a time, one after the other */
    blocking (*blocks)(const operands *o);
    int64_t (*padded_filters)(const operands *o); /* of a group, as packed */
    int (*spans_rows)(const operands *o, const grid *g);
    int exact;           /* does a tile read its own pixels only? */
    int64_t most_phases; /* that a tile does together */
    int (*block_by_block)(
        const operands *o); /* is it better to have all pixels of a strip for one block after the other? */
    size_t (*scratch)(const operands *o); /* bytes for do_tile */
    void (*do_tile)(const direct_job *j, const place *p, const real *source, real *scratch);
    /* `places[e]` takes element e of the kernel: [channel][filter of the block]. */
    void (*pack_block)(const weight_packing *j, const real *weight, int64_t block, real *const *places);
} family;

struct direct_job {
    const family *f;
    const fc_epilogue *e;
    const strips *s;
    const operands *o;
    const real *x, *weights;
    weight_packing *unpacked; /* where each block of weights is packed when it is used */
    real *out;
    /* The grids' axes, in the order in which their outputs lie; and for each pair of them, in that of the kernel's
     * elements, its taps. */
    const axis *rows, *columns;
    const grid_place *grids;
    blocking blocks;
    int64_t padded_filters, filter_parts, tile_pixels, tiles_together;
    int64_t between; /* steps */
    int joined;      /* do the output's rows follow on each other, so that a tile's pixels are one stretch? */
};

/* How many filters a block has, as packed. */
static inline int64_t block_width(const direct_job *j, int64_t block) {
    int64_t first = block_start(&j->blocks, block);
    return min64(block_start(&j->blocks, block + 1), j->padded_filters) - first; /* the last block may be narrower */
}

/* A tile's first pixel. */
static inline const real *tile_source(const direct_job *j, const place *p, const real *source) {
    const strips *s = j->s;
    if (s->in_place) return source + (p->y0 + p->row) * s->pitch * j->o->x_pixel + (p->x0 + p->column) * s->pixel_step;
    return source + (p->row * s->pitch + p->column) * s->pixel_step;
}

/* What a tile reads in one phase: its first pixel, the taps' offsets from there, their weights. */
typedef struct {
    const real *pixels, *weights;
    const int64_t *tap_offset;
    int64_t rows, columns, row_taps; /* taps that count, and all of a row */
} tile_input;

/* Of the phase whose columns are those of number `grid` of the grids in a row, if that is the one `at` there. */
static inline tile_input input_of(const direct_job *j, const place *p, int64_t at, int64_t *grid, const real *source) {
    const operands *o = j->o;
    const axis *x = j->columns + *grid;
    if (*grid == o->grid_columns || x->out_first != at) return (tile_input){.rows = 0};
    ++*grid;
    const grid_place *taps = j->grids + p->y->kernel_first * o->grid_columns + x->kernel_first;
    int64_t first_tap = p->first_row * x->taps + p->first_column, width = block_width(j, p->block),
            before = first_tap * width;
    const real *weights = p->own_weights;
    if (weights)
        before += taps->taps_before * width + block_start(&j->blocks, p->block) - block_start(&j->blocks, p->own_first);
    else {
        int64_t all = j->padded_filters * o->groups,
                first = p->group * j->padded_filters + block_start(&j->blocks, p->block);
        weights = j->weights;
        before += taps->taps_before * all + first * x->taps * p->y->taps;
    }
    return (tile_input){.pixels = tile_source(j, p, source),
                        .weights = weights + before * o->channels,
                        .tap_offset = taps->tap_offset + first_tap,
                        .rows = p->rows,
                        .columns = o->grid_columns == 1 ? p->tap_columns : x->taps,
                        .row_taps = x->taps};
}

/* Some of a tile's pixels whose results are one stretch of memory: those in a row of the output, or all where rows
 * follow on each other; one, where the tile does only a part of its phases. */
typedef struct {
    int64_t first, count; /* of the tile's pixels */
    int64_t row, column;  /* of the strip */
    int64_t out_pixel;    /* position of the first result in the output's plane */
    int64_t outputs;      /* of the tile's phases together, from there on */
} pixel_stretch;

static inline void place_stretch(const direct_job *j, const place *p, pixel_stretch *r) {
    const operands *o = j->o;
    int64_t step = j->s->g.x.out_step, column = (p->x0 + r->column) * step + p->phase,
            whole = p->phases == o->phase_columns;
    r->count = p->count - r->first;
    if (!whole)
        r->count = min64(r->count, 1);
    else if (!j->joined)
        r->count = min64(r->count, p->columns - r->column);
    r->outputs = whole ? r->count * step : p->phases;
    if (step > 1) r->outputs = min64(r->outputs, o->out_width - column);
    r->out_pixel = ((p->y0 + r->row) * j->s->g.y.out_step + p->y->out_first) * o->out_width + column;
}

static inline pixel_stretch first_stretch(const direct_job *j, const place *p) {
    pixel_stretch r = {.first = 0, .row = p->row, .column = p->column};
    place_stretch(j, p, &r);
    return r;
}

/* The stretch after r; its count is 0 after the last. */
static inline pixel_stretch next_stretch(const direct_job *j, const place *p, pixel_stretch r) {
    r.first += r.count, r.column += r.count;
    if (r.column >= p->columns) r.row++, r.column = 0;
    place_stretch(j, p, &r);
    return r;
}

/* A tile with the blocks [low, high) of filters, in all phases of its row. */
static void do_blocks(const direct_job *j, place *p, const real *source, int64_t low, int64_t high, real *scratch) {
    const operands *o = j->o;
    for (p->block = low; p->block < high; p->block++) {
        p->filter = p->group * o->filters + block_start(&j->blocks, p->block);
        p->grid = 0;
        for (p->phase = 0; p->phase < o->phase_columns; p->phase += p->phases) {
            p->phases = min64(o->phase_columns - p->phase, j->f->most_phases);
            while (p->grid < o->grid_columns && j->columns[p->grid].out_first < p->phase) p->grid++;
            j->f->do_tile(j, p, source, scratch);
        }
    }
}

/* The tiles of pixels [p->column, p->column + span) from p->row on. They are of equal size, or, where that is whole
 * vectors, as large as possible. */
static void do_span(const direct_job *j, place *p, int64_t span, const real *source, int64_t low, int64_t high,
                    real *scratch) {
    int64_t tiles = ceil_div(span, j->tile_pixels), count = ceil_div(tiles, j->tiles_together);
    for (int64_t i = 0, done = 0; i < count; i++) {
        int64_t after = tiles * (i + 1) / count;
        p->steps += (high - low) * j->tiles_together;
        if (p->steps >= j->between) {
            if (fc_called_off()) return; /* as the spans to come do, too */
            p->steps = 0;
        }
        p->count = (j->f->exact ? span * after / tiles : min64(after * j->tile_pixels, span)) - done;
        do_blocks(j, p, source, low, high, scratch);
        done += p->count, p->column += p->count;
        while (j->s->flat && p->column >= p->columns) p->column -= p->columns, p->row++;
    }
}

/* Does a strip, row by row and zone by zone, or at once where tiles span rows; one row of phases after the other. */
static void do_strip(const direct_job *j, place *p, const real *source, int64_t low, int64_t high, real *scratch) {
    const strips *s = j->s;
    const operands *o = j->o;
    for (int64_t phase = 0, next = 0; phase < o->phase_rows; phase++) {
        const axis without_taps = {.count = ceil_div(o->out_height - phase, s->g.y.out_step), .out_first = phase};
        const axis *y = &without_taps, *x = j->columns;
        if (next < o->grid_rows && j->rows[next].out_first == phase) y = &j->rows[next++];
        int64_t rows = min64(p->height, y->count - p->y0);
        p->y = y;
        p->first_row = p->first_column = 0, p->rows = y->taps, p->tap_columns = x->taps;
        if (s->flat) {
            p->row = p->column = 0;
            if (rows > 0) do_span(j, p, rows * p->columns, source, low, high, scratch);
            continue;
        }
        for (int64_t row = 0; row < rows; row++) {
            taps_inside(y, p->y0 + row, s->height, &p->first_row, &p->rows);
            for (int64_t k = 0; k < s->zones; k++) {
                int64_t from = max64(s->edges[k], p->x0), to = min64(s->edges[k + 1], p->x0 + p->columns);
                if (from >= to) continue;
                if (s->in_place) taps_inside(x, from, s->width, &p->first_column, &p->tap_columns);
                p->row = row, p->column = from - p->x0;
                do_span(j, p, to - from, source, low, high, scratch);
            }
        }
    }
}

/* Of an element of the kernel: its grid has `taps` taps, of which it is number `index`, and is packed behind so many
 * others. */
typedef struct {
    int64_t taps_before, taps, index;
} element_place;

struct weight_packing {
    const family *f;
    const operands *o;
    const element_place *elements; /* of the kernel, row after row */
    int64_t kernel_h, kernel_w;
    const real *weight;
    real *packed;
};

static element_place *element_places(const fc_conv *p, const operands *o) {
    element_place *elements = malloc((size_t)o->elements * sizeof *elements);
    int64_t before = 0;
    for (int64_t i = 0; elements && i < o->grid_rows * o->grid_columns; i++) {
        grid g = grid_of(p, o, i);
        for (int64_t t = 0; t < grid_taps(&g); t++) {
            int64_t r = g.y.kernel_first + t / g.x.taps * g.y.kernel_step;
            int64_t s = g.x.kernel_first + t % g.x.taps * g.x.kernel_step;
            elements[r * p->kernel_w + s] = (element_place){before, grid_taps(&g), t};
        }
        before += grid_taps(&g);
    }
    return elements;
}

/* Packs a block by itself. */
static void pack_own(const direct_job *j, int64_t block, real *to, real **places) {
    int64_t each = block_width(j, block) * j->o->channels;
    for (int64_t e = 0; e < j->o->elements; e++) {
        const element_place *at = j->unpacked->elements + e;
        places[e] = to + (at->taps_before + at->index) * each;
    }
    j->f->pack_block(j->unpacked, j->unpacked->weight, block, places);
}

/* The image's gate as a factor of the weights of one tap: there are fewer of these than pixels, which are read where
 * they are then. Blocks [low, high), into `to`. */
static void gate_blocks(const direct_job *j, int64_t image, int64_t low, int64_t high, real *to) {
    const real *gate = (const real *)j->e->gate + image * j->o->channels;
    const real *from = j->weights + block_start(&j->blocks, low) * j->o->channels;
    for (int64_t block = low; block < high; block++) {
        int64_t width = block_width(j, block);
        for (int64_t c = 0; c < j->o->channels; c++, from += width, to += width) {
            vec factor = splat(gate[c]);
            int64_t k = 0;
            for (; k + VL <= width; k += VL) store(to + k, load(from + k) * factor);
            if (k < width) store_n(to + k, load_n(from + k, width - k) * factor, width - k);
        }
    }
}

/* Of how many blocks of `count` a tile's pixels stay in L1, as the blocks' weights stay in L2; otherwise a block is
 * used for all pixels. */
static int64_t blocks_together(const direct_job *j, int64_t count) {
    const operands *o = j->o;
    int64_t weights = j->padded_filters * o->elements * o->channels / o->grid_rows;
    int64_t bytes = weights / j->blocks.count * count * (int64_t)sizeof(real);
    return bytes <= 384 << 10 && !j->f->block_by_block(o) && !j->unpacked ? count : 1;
}

static int work(const void *context, int64_t begin, int64_t end) {
    const direct_job *j = context;
    const strips *s = j->s;
    const operands *o = j->o;
    const family *f = j->f;
    size_t strip = (packed_strip_bytes(s) + 63) & ~(size_t)63;
    int64_t most = j->unpacked ? 1 : j->e->gate ? blocks_together(j, j->blocks.count / j->filter_parts) : 0;
    size_t own_block = (size_t)round_up(most * block_width(j, 0) * o->elements * o->channels, VL) * sizeof(real);
    size_t places_bytes = j->unpacked ? (size_t)o->elements * sizeof(real *) : 0;
    char *memory = fc_workspace(FC_OWN, strip + own_block + places_bytes + f->scratch(o) + 64);
    if (!memory) return FC_NO_MEMORY;
    real *packed = (real *)memory, *own = (real *)(memory + strip), **places = (real **)(memory + strip + own_block);
    real *scratch = (real *)(memory + ((strip + own_block + places_bytes + 63) & ~(size_t)63));
    int64_t blocks = j->blocks.count, last = -1, each_part = o->batch * o->groups * s->strips_y * s->strips_x;
    int64_t gated_image = -1, gated_first = -1;
    for (int64_t task = begin; task < end; task++) {
        int64_t part = task / each_part, strip_index = task % each_part; /* a thread stays with its weights */
        place p = {.image = strip_index / (s->strips_x * s->strips_y * o->groups),
                   .group = strip_index / (s->strips_x * s->strips_y) % o->groups};
        place_strip(s, strip_index % (s->strips_x * s->strips_y), &p.y0, &p.height, &p.x0, &p.columns);
        const real *source = j->x + p.image * o->x_image + p.group * o->channels * o->x_channel;
        if (!s->in_place) {
            if (strip_index != last && o->rescaled)
                pack_rescaled(s, o, source, j->e->scale, j->e->shift, p.x0, p.columns, packed);
            else if (strip_index != last)
                pack_strip(s, o, source, p.y0, p.height, p.x0, p.columns, packed);
            source = packed, last = strip_index;
        }
        int64_t low = blocks * part / j->filter_parts, high = blocks * (part + 1) / j->filter_parts;
        int64_t together = blocks_together(j, high - low);
        for (int64_t first = low; first < high; first += together) {
            if (j->unpacked) {
                if (blocks > 1 || task == begin) pack_own(j, first, own, places);
                p.own_weights = own, p.own_first = first;
            } else if (j->e->gate) {
                if (p.image != gated_image || first != gated_first)
                    gate_blocks(j, p.image, first, first + together, own);
                gated_image = p.image, gated_first = first;
                p.own_weights = own, p.own_first = first;
            }
            do_strip(j, &p, source, first, first + together, scratch);
            int status = fc_called_off();
            if (status) return status;
        }
    }
    return 0;
}

/* Threads share the filters rather than the image where that moves less through the outer caches: either each streams
 * all weights for every strip of its part of the image, or the image for every block of its part of the filters. */
static int64_t filter_parts(const family *f, const operands *o, const grid *g, int threads) {
    int64_t weights = o->filters * o->channels * o->elements * (int64_t)sizeof(real);
    int64_t image = o->channels * o->height * o->width * (int64_t)sizeof(real);
    int64_t tasks = o->batch * o->groups, blocks = f->blocks(o).count;
    int64_t most = tap_distance(&g->x) > 1 ? STRIP_BYTES : IMAGE_BYTES; /* wide dilations: rows do not overlap */
    if (tasks % threads == 0 || blocks % threads || weights < 512 << 10 || image > most) return 1;
    int64_t by_image = ceil_div(ceil_div(image, STRIP_BYTES), threads) * weights;
    int64_t by_filters = (image <= STRIP_BYTES ? image : image * (blocks / threads)) + weights / threads;
    return by_filters < by_image ? threads : 1;
}

static int plan_family(const family *f, const operands *o, const grid *g, int threads, strips *s, int64_t *parts) {
    *parts = filter_parts(f, o, g, threads);
    int spread = *parts == 1 && o->batch * o->groups % threads;
    int64_t bytes = *parts > 1 ? IMAGE_BYTES : STRIP_BYTES;
    return plan_strips(s, g, o, f->tile_pixels(o), 1, f->spans_rows(o, g), f->exact, bytes, spread ? threads : 1);
}

static size_t family_workspace(const family *f, const fc_conv *p, int threads) {
    operands o = FC_NAME(operands_of)(p);
    grid g = whole_grid(p);
    strips s;
    int64_t parts;
    if (plan_family(f, &o, &g, threads, &s, &parts)) return 0;
    free(s.memory);
    return packed_strip_bytes(&s) + f->scratch(&o) + 64;
}

static size_t family_weights(const family *f, const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    return (size_t)(f->padded_filters(&o) * o.channels * o.groups * o.elements) * sizeof(real);
}

static int pack_blocks(const void *context, int64_t begin, int64_t end) {
    const weight_packing *j = context;
    const operands *o = j->o;
    blocking blocks = j->f->blocks(o);
    int64_t padded = j->f->padded_filters(o);
    real **places = fc_workspace(FC_OWN, (size_t)o->elements * sizeof *places);
    if (!places) return FC_NO_MEMORY;
    for (int64_t task = begin; task < end; task++) {
        int64_t group = task / blocks.count, block = task % blocks.count;
        int64_t first = block_start(&blocks, block), width = min64(block_start(&blocks, block + 1), padded) - first;
        for (int64_t e = 0; e < o->elements; e++) {
            const element_place *at = j->elements + e;
            int64_t before =
                at->taps_before * padded * o->groups + (group * padded + first) * at->taps + at->index * width;
            places[e] = j->packed + before * o->channels;
        }
        j->f->pack_block(j, j->weight + group * o->w_group, block, places);
    }
    return 0;
}

static int family_prepare(const family *f, const fc_conv *p, const void *weight, void *packed, int threads) {
    operands o = FC_NAME(operands_of)(p);
    element_place *elements = element_places(p, &o);
    if (!elements) return FC_NO_MEMORY;
    weight_packing j = {f, &o, elements, p->kernel_h, p->kernel_w, weight, packed};
    double reals = (double)(family_weights(f, p) / sizeof(real));
    int status = fc_parallel(o.groups * f->blocks(&o).count, reals, threads, pack_blocks, &j);
    free(elements);
    return status;
}

static int by_outputs(const void *a, const void *b) {
    int64_t first = ((const axis *)a)->out_first, second = ((const axis *)b)->out_first;
    return (first > second) - (first < second);
}

/* Gives `j` the grids of its planned strip; returns their memory, NULL where there is none. */
static void *list_grids(direct_job *j, const fc_conv *p) {
    const operands *o = j->o;
    int64_t axes = o->grid_rows + o->grid_columns, grids = o->grid_rows * o->grid_columns;
    axis *rows = malloc((size_t)axes * sizeof *rows + (size_t)grids * sizeof(grid_place) +
                        (size_t)o->elements * sizeof(int64_t));
    if (!rows) return NULL;
    axis *columns = rows + o->grid_rows;
    grid_place *places = (grid_place *)(rows + axes);
    int64_t *offset = (int64_t *)(places + grids), before = 0;
    for (int64_t i = 0; i < grids; i++) {
        grid g = grid_of(p, o, i);
        rows[i / o->grid_columns] = g.y, columns[i % o->grid_columns] = g.x;
        places[i] = (grid_place){offset, before};
        for (int64_t t = 0; t < grid_taps(&g); t++) {
            int64_t r = g.y.kernel_first + t / g.x.taps * g.y.kernel_step;
            *offset++ = j->s->tap_offset[r * p->kernel_w + g.x.kernel_first + t % g.x.taps * g.x.kernel_step];
        }
        before += grid_taps(&g);
    }
    qsort(rows, (size_t)o->grid_rows, sizeof *rows, by_outputs);
    qsort(columns, (size_t)o->grid_columns, sizeof *columns, by_outputs);
    j->rows = rows, j->columns = columns, j->grids = places;
    return rows;
}

/* Runs what `j` holds; FC_NOT_MINE where weights cannot be packed block by block. */
static int run_job(direct_job *j, const fc_conv *p, double cycles, int threads) {
    const operands *o = j->o;
    grid g = whole_grid(p);
    strips s;
    threads = fc_worth(cycles, threads);
    /* The only block of filters would be packed by one thread, while the other waits, and then fetches it from there.
     */
    int64_t block = j->f->padded_filters(o) * o->channels * o->elements * (int64_t)sizeof(real);
    int own = o->groups == 1 && j->f->blocks(o).count == 1 && block <= OWN_BLOCK_BYTES;
    int parts = o->groups == 1 && o->batch == 1 && filter_parts(j->f, o, &g, threads) > 1;
    if (j->unpacked && !own && !parts) return FC_NOT_MINE;
    if (plan_family(j->f, o, &g, threads, &s, &j->filter_parts)) return FC_NO_MEMORY;
    int status = FC_NOT_MINE;
    if (!j->unpacked || o->batch * s.strips_y * s.strips_x <= (own ? 4 * threads : 1)) {
        const grid_place only = {s.tap_offset, 0};
        j->s = &s, j->rows = &s.g.y, j->columns = &s.g.x, j->grids = &only;
        int one = s.g.y.out_step == 1 && s.g.x.out_step == 1;
        void *several = one ? NULL : list_grids(j, p);
        j->blocks = j->f->blocks(o), j->padded_filters = j->f->padded_filters(o), j->tile_pixels = j->f->tile_pixels(o);
        j->tiles_together = j->f->tiles_together(o);
        double sums = (double)j->tile_pixels * (double)j->padded_filters / (double)j->blocks.count;
        j->between = fc_steps_between(sums * (double)(o->channels * o->elements) / (2 * VL));
        j->joined = s.strips_x == 1 && s.g.x.out_step == 1 && s.g.y.out_step == 1 && s.g.x.count == o->out_width;
        int64_t tasks = o->batch * o->groups * s.strips_y * s.strips_x * j->filter_parts;
        element_place *elements = j->unpacked ? element_places(p, o) : NULL;
        if (j->unpacked) j->unpacked->elements = elements;
        int listed = (one || several) && (elements || !j->unpacked);
        status = listed ? fc_parallel(tasks, cycles, threads, work, j) : FC_NO_MEMORY;
        free(several), free(elements);
    }
    free(s.memory);
    return status;
}

static int family_run(const family *f, const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e,
                      void *out, double cycles, int threads) {
    operands o = FC_NAME(operands_of)(p);
    direct_job j = {.f = f, .e = e, .o = &o, .x = x, .weights = packed, .out = out};
    return run_job(&j, p, cycles, threads);
}

/* Weights that are used once, and for few pixels: each block is packed into L2 just before its use, instead of all of
 * them into memory and back. */
static int family_run_once(const family *f, const fc_conv *p, const void *x, const void *weight, void *packed,
                           const fc_epilogue *e, void *out, double cycles, int threads) {
    operands o = FC_NAME(operands_of)(p);
    weight_packing unpacked = {f, &o, NULL, p->kernel_h, p->kernel_w, weight, NULL};
    direct_job j = {.f = f, .e = e, .o = &o, .x = x, .unpacked = &unpacked, .out = out};
    int status = run_job(&j, p, cycles, threads);
    if (status != FC_NOT_MINE) return status;
    status = family_prepare(f, p, weight, packed, threads);
    return status ? status : family_run(f, p, x, packed, e, out, cycles, threads);
}

#endif
