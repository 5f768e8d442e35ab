/* What the direct kernels share: they walk over strips, tiles of pixels and blocks of filters alike, and differ in the
 * register tile (`family`). Included by direct_channels.c and direct_pixels.c. */
#ifndef FC_DIRECT_H
#define FC_DIRECT_H

#include "epilogue.h"
#include "strip.h"

/* A strip shares a core's L2 cache with a panel of weights. */
enum { STRIP_BYTES = 320 << 10 };

typedef struct job job;

/* Where a tile's results go: its image and first filter, and its pixels' place in the strip at (y0, x0). */
typedef struct {
    int64_t image, filter;
    int64_t y0, x0, columns; /* of the strip */
    int64_t at, count;       /* the tile: pixels [at, at + count) of the strip */
} place;

/* One register tile, its weights' layout, and how it stores. `block` numbers the blocks of filters of a group. */
typedef struct {
    int64_t (*tile_pixels)(const operands *o);
    int64_t (*blocks)(const operands *o);
    int64_t (*padded_filters)(const operands *o); /* of a group, as packed */
    int64_t (*block_start)(const operands *o, int64_t block);
    int (*spans_rows)(const operands *o, const grid *g);
    size_t (*scratch)(const operands *o); /* bytes for do_tile */
    void (*do_tile)(const job *j, const place *p, const real *source, const real *weights, int64_t block,
                    real *scratch);
    void (*pack_block)(const operands *o, const grid *g, const real *weight, int64_t block, real *packed);
} family;

struct job {
    const family *f;
    const fc_epilogue *e;
    const strips *s;
    const operands *o;
    const real *x, *weights;
    real *out;
    int64_t filter_parts;
};

/* The weights' taps and the first source pixel of a tile. Row tiles skip the kernel's rows outside the image. */
typedef struct {
    int64_t first_tap, taps;
    const real *pixels;
    const int64_t *tap_offset;
} tile_input;

static inline tile_input input_of(const job *j, const place *p, const real *source) {
    const strips *s = j->s;
    int64_t row = p->at / p->columns, column = p->at % p->columns, first = 0, rows = s->g.y.taps;
    if (!s->flat) rows_inside(&s->g.y, p->y0 + row, j->o->height, &first, &rows);
    int64_t pixel = s->in_place ? (p->y0 + row) * s->pitch + p->x0 + column : row * s->pitch + column;
    tile_input t = {.first_tap = first * s->g.x.taps, .taps = rows * s->g.x.taps};
    t.pixels = source + pixel * s->pixel_step;
    t.tap_offset = s->tap_offset + t.first_tap;
    return t;
}

static int work(const void *context, int64_t begin, int64_t end) {
    const job *j = context;
    const strips *s = j->s;
    const operands *o = j->o;
    const family *f = j->f;
    size_t strip = (packed_strip_bytes(s) + 63) & ~(size_t)63;
    char *memory = fc_workspace(strip + f->scratch(o));
    if (!memory) return FC_NO_MEMORY;
    real *packed = (real *)memory, *scratch = (real *)(memory + strip);
    int64_t blocks = f->blocks(o), tile = f->tile_pixels(o), last = -1;
    int64_t group_weights = f->padded_filters(o) * grid_taps(&s->g) * o->channels;
    for (int64_t task = begin; task < end; task++) {
        int64_t part = task % j->filter_parts, strip_index = task / j->filter_parts;
        int64_t sx = strip_index % s->strips_x, sy = strip_index / s->strips_x % s->strips_y;
        int64_t group = strip_index / (s->strips_x * s->strips_y) % o->groups;
        place p = {.image = strip_index / (s->strips_x * s->strips_y * o->groups),
                   .y0 = sy * s->rows, .x0 = sx * s->columns};
        int64_t rows = min64(s->rows, s->g.y.count - p.y0);
        p.columns = min64(s->columns, s->g.x.count - p.x0);
        const real *source = j->x + p.image * o->x_image + group * o->channels * o->x_channel;
        if (!s->in_place) {
            if (strip_index != last) pack_strip(s, o, source, p.y0, rows, p.x0, p.columns, packed);
            source = packed, last = strip_index;
        }
        int64_t low = blocks * part / j->filter_parts, high = blocks * (part + 1) / j->filter_parts;
        /* Where the blocks' weights stay in L2, a tile's pixels stay in L1; otherwise a block is used for all pixels. */
        int64_t bytes = group_weights / blocks * (high - low) * (int64_t)sizeof(real);
        int64_t together = bytes <= 384 << 10 ? high - low : 1;
        int64_t span = s->flat ? rows * p.columns : p.columns, spans = s->flat ? 1 : rows;
        int64_t count = ceil_div(span, tile);
        for (int64_t first = low; first < high; first += together)
            for (int64_t line = 0; line < spans; line++)
                for (int64_t i = 0; i < count; i++) {
                    int64_t from = span * i / count;
                    p.at = line * p.columns + from, p.count = span * (i + 1) / count - from;
                    for (int64_t block = first; block < first + together; block++) {
                        p.filter = group * o->filters + f->block_start(o, block);
                        f->do_tile(j, &p, source, j->weights + group * group_weights, block, scratch);
                    }
                }
    }
    return 0;
}

/* Threads share the filters where that saves them from streaming all weights of a small image each. */
static int64_t filter_parts(const family *f, const operands *o, const grid *g, int threads) {
    int64_t weights = o->filters * o->channels * grid_taps(g) * (int64_t)sizeof(real);
    int64_t image = o->channels * o->height * o->width * (int64_t)sizeof(real);
    int64_t tasks = o->batch * o->groups, blocks = f->blocks(o);
    if (tasks % threads == 0 || blocks % threads) return 1;
    return weights > 512 << 10 && image <= 512 << 10 ? threads : 1;
}

static int plan(const family *f, const operands *o, const grid *g, int threads, strips *s, int64_t *parts) {
    *parts = filter_parts(f, o, g, threads);
    int spread = *parts == 1 && o->batch * o->groups % threads;
    int flat = g->x.taps > 0 && g->y.taps > 0 && f->spans_rows(o, g);
    return plan_strips(s, g, o, f->tile_pixels(o), flat, STRIP_BYTES, spread ? threads : 1);
}

static size_t family_workspace(const family *f, const fc_conv *p, int threads) {
    operands o = operands_of(p);
    size_t largest = 0;
    for (int64_t i = 0; i < o.grids; i++) {
        grid g = grid_of(p, &o, i);
        strips s;
        int64_t parts;
        if (!grid_pixels(&g)) continue;
        if (plan(f, &o, &g, threads, &s, &parts)) return 0;
        size_t bytes = packed_strip_bytes(&s) + f->scratch(&o) + 64;
        if (bytes > largest) largest = bytes;
        free(s.memory);
    }
    return largest;
}

static size_t family_weights(const family *f, const fc_conv *p) {
    operands o = operands_of(p);
    return (size_t)(f->padded_filters(&o) * o.channels * o.groups * p->kernel_h * p->kernel_w) * sizeof(real);
}

typedef struct {
    const family *f;
    const operands *o;
    const grid *g;
    const real *weight;
    real *packed;
} packing;

static int pack_blocks(const void *context, int64_t begin, int64_t end) {
    const packing *j = context;
    const operands *o = j->o;
    int64_t blocks = j->f->blocks(o);
    for (int64_t task = begin; task < end; task++) {
        int64_t group = task / blocks;
        real *to = j->packed + group * j->f->padded_filters(o) * grid_taps(j->g) * o->channels;
        j->f->pack_block(o, j->g, j->weight + group * o->w_group, task % blocks, to);
    }
    return 0;
}

static int family_prepare(const family *f, const fc_conv *p, const void *weight, void *packed, int threads) {
    operands o = operands_of(p);
    real *to = packed;
    int status = 0;
    for (int64_t i = 0; i < o.grids && !status; i++) {
        grid g = grid_of(p, &o, i);
        packing j = {f, &o, &g, weight, to};
        int64_t size = f->padded_filters(&o) * o.groups * grid_taps(&g) * o.channels;
        status = fc_parallel(o.groups * f->blocks(&o), fc_worth((double)size, threads), pack_blocks, &j);
        to += size;
    }
    return status;
}

static int family_run(const family *f, const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e,
                      void *out, double cycles, int threads) {
    operands o = operands_of(p);
    const real *weights = packed;
    threads = fc_worth(cycles, threads);
    int status = 0;
    for (int64_t i = 0; i < o.grids && !status; i++) {
        grid g = grid_of(p, &o, i);
        strips s;
        job j = {.f = f, .e = e, .s = &s, .o = &o, .x = x, .weights = weights, .out = out};
        if (grid_pixels(&g)) {
            if (plan(f, &o, &g, threads, &s, &j.filter_parts)) return FC_NO_MEMORY;
            int64_t tasks = o.batch * o.groups * s.strips_y * s.strips_x * j.filter_parts;
            status = fc_parallel(tasks, threads, work, &j);
            free(s.memory);
        }
        weights += f->padded_filters(&o) * o.groups * grid_taps(&g) * o.channels;
    }
    return status;
}

/* The first element of the user's weights for tap t of a grid. */
static inline const real *tap_weights(const operands *o, const grid *g, const real *weight, int64_t t) {
    int64_t r = g->y.kernel_first + t / g->x.taps * g->y.kernel_step;
    int64_t s = g->x.kernel_first + t % g->x.taps * g->x.kernel_step;
    return weight + r * o->w_row + s * o->w_column;
}

#endif
