/* Are all numbers of a convolution's images finite, and is none far larger than those of a window that does not hold
 * it? Called through `operations.def`, before a transform is taken whose results are to be strict. Limit: cache or
 * memory bandwidth.
 *
 * What transforms mix, the channels of a group in one image, is a part. A part is looked at in blocks, all channels of
 * some pixels, of half a window along each axis, or of what padding leaves of one, if that is less: so every window
 * that sees the image holds all of one block. The largest number of a part is compared with that of each block. Blocks
 * of zeros are passed over, as pictures have black areas, unless they are the most: then what is left stands alone. A
 * dilated window sees every so many-th pixel, a phase of the image, which has blocks of its own. The last block of an
 * axis ends where its phase does, and overlaps the one before.
 *
 * In NCHW the largest numbers of a part's channels are found first, for some rows of blocks. What is not finite shows
 * in sums of differences of each number with itself: the largest of a number and NaN would be the number. */
#include "base/parallel.h"
#include "base/simd.h"
#include "conv/grid.h"

enum { BAND_BYTES = 16 << 10 }; /* of a task's magnitudes, or of what it looks at */

/* The largest magnitude, and the least of those of blocks that are not zero; how many these are, and all; 0 if all
 * numbers are finite. */
typedef struct {
    real largest, least;
    int64_t blocks, nonzero;
    int infinite;
} magnitudes;

/* The largest magnitudes in some lanes, and zeros if all were finite. */
typedef struct {
    vec most, off;
} look;

INLINE
void look_at(look *l, vec v) {
    vec a = absolute(v);
    l->most = at_least(a, l->most), l->off += a - a;
}

static real largest_of(vec v) {
    real largest = 0;
    for (int i = 0; i < VL; i++) largest = v[i] > largest ? v[i] : largest;
    return largest;
}

static int has_numbers_alone(vec off) {
    int numbers = 1;
    for (int i = 0; i < VL; i++) numbers &= off[i] == 0;
    return numbers;
}

/* Pixels first, first + step, ... are those of a phase, for each first < step; `block` of them are one of its blocks,
 * if it has as many. */
typedef struct {
    int64_t size, step, block;
} blocks_axis;

typedef struct {
    const real *x;
    operands o;
    blocks_axis y, x_axis;
    int64_t each, bands; /* rows of blocks at a time, and how often that is for a part */
    int merged, in_rows; /* are channels made one first? and the rows of blocks of what has one channel? */
    magnitudes *found;   /* in each band of each part */
} even_job;

/* Windows at both ends see the least of the image. */
static blocks_axis blocks_along(const fc_conv *p, const operands *o, int down) {
    int64_t size = down ? o->height : o->width, grids = down ? o->grid_rows : o->grid_columns;
    blocks_axis b = {.size = size, .step = 1, .block = size};
    for (int64_t i = 0; i < grids; i++) {
        grid g = grid_of(p, o, down ? i * o->grid_columns : i);
        const axis *a = down ? &g.y : &g.x;
        if (a->count == 0) continue;
        int64_t tap, first, last;
        taps_inside(a, 0, size, &tap, &first), taps_inside(a, a->count - 1, size, &tap, &last);
        b.block = min64(b.block, min64((a->taps + 1) / 2, max64(1, min64(first, last))));
        b.step = max64(b.step, min64(size, a->tap_step < 0 ? -a->tap_step : a->tap_step));
    }
    return b;
}

static int64_t blocks_of(const blocks_axis *a, int64_t phase, int64_t *size, int64_t *pixels) {
    *pixels = ceil_div(a->size - phase, a->step), *size = min64(a->block, *pixels);
    return ceil_div(*pixels, *size);
}

/* The largest magnitude of `run` numbers in each of some pixels of some rows. */
static real largest_of_block(const real *x, int64_t rows, int64_t row, int64_t pixels, int64_t pixel, int64_t run,
                             vec *off) {
    look looks[2] = {{zero(), zero()}, {zero(), zero()}};
    if (pixel == run) run *= pixels, pixels = 1;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t p = 0; p < pixels; p++) {
            const real *from = x + i * row + p * pixel;
            int64_t k = 0;
            for (; k + 2 * VL <= run; k += 2 * VL)
                look_at(&looks[0], load(from + k)), look_at(&looks[1], load(from + k + VL));
            for (; k < run; k += VL) look_at(&looks[0], load_up_to(from + k, run - k));
        }
    *off += looks[0].off + looks[1].off;
    return largest_of(at_least(looks[0].most, looks[1].most));
}

/* The same of each number of a row of one-channel pixels by itself, to `most`. */
static void look_at_rows(const real *x, int64_t rows, int64_t row, int64_t n, real *most, vec *off) {
    for (int64_t i = 0; i < n; i += VL) {
        look l = {zero(), *off};
        for (int64_t r = 0; r < rows; r++) look_at(&l, load_up_to(x + r * row + i, n - i));
        store_up_to(most + i, l.most, n - i), *off = l.off;
    }
}

/* The blocks in rows [from, to) of blocks. `x` has the rows of a part from `top` on, of pixels of `run` numbers that
 * are `pixel` apart; `most` has room for a row of such of one. */
static void look_at_blocks(const even_job *j, const real *x, int64_t top, int64_t from, int64_t to, int64_t pixel,
                           int64_t run, real *most, vec *off, magnitudes *found) {
    const blocks_axis *ax = &j->x_axis;
    int64_t row = j->o.width * pixel, height, width, rows, columns;
    for (int64_t fy = 0; fy < j->y.step; fy++) {
        int64_t end = min64(to, blocks_of(&j->y, fy, &height, &rows));
        for (int64_t b = from; b < end; b++) {
            const real *top_row = x + (fy + j->y.step * min64(b * height, rows - height) - top) * row;
            if (most) look_at_rows(top_row, height, j->y.step * row, j->o.width, most, off);
            for (int64_t fx = 0; fx < ax->step; fx++) {
                int64_t across = blocks_of(ax, fx, &width, &columns);
                for (int64_t c = 0; c < across; c++) {
                    int64_t first = fx + ax->step * min64(c * width, columns - width);
                    real largest = 0;
                    if (most)
                        for (int64_t i = 0; i < width; i++) {
                            real own = most[first + i * ax->step];
                            largest = own > largest ? own : largest;
                        }
                    else
                        largest = largest_of_block(top_row + first * pixel, height, j->y.step * row, width,
                                                   ax->step * pixel, run, off);
                    found->blocks++, found->nonzero += largest > 0;
                    found->largest = largest > found->largest ? largest : found->largest;
                    found->least = largest > 0 && largest < found->least ? largest : found->least;
                }
            }
        }
    }
}

/* The largest magnitudes of n pixels over every channel of a part, to `most`. */
static void merge_channels(const even_job *j, const real *x, int64_t n, real *most, vec *off) {
    look looks[2] = {{zero(), zero()}, {zero(), zero()}};
    clear_reals(most, n);
    for (int64_t c = 0; c < j->o.channels; c++, x += j->o.x_channel) {
        int64_t i = 0;
        for (; i + 2 * VL <= n; i += 2 * VL) {
            looks[0].most = load(most + i), looks[1].most = load(most + i + VL);
            look_at(&looks[0], load(x + i)), look_at(&looks[1], load(x + i + VL));
            store(most + i, looks[0].most), store(most + i + VL, looks[1].most);
        }
        for (; i < n; i += VL) {
            looks[0].most = load_up_to(most + i, n - i);
            look_at(&looks[0], load_up_to(x + i, n - i));
            store_up_to(most + i, looks[0].most, n - i);
        }
    }
    *off += looks[0].off + looks[1].off;
}

static int even_work(const void *context, int64_t begin, int64_t end) {
    const even_job *j = context;
    const operands *o = &j->o;
    int64_t rows = o->height / j->y.step - j->y.block; /* before the last block of every phase */
    for (int64_t task = begin; task < end; task++) {
        int64_t part = task / j->bands, from = task % j->bands * j->each, to = from + j->each;
        int64_t top = j->y.step * max64(0, min64(from * j->y.block, rows));
        int64_t bottom = task % j->bands + 1 < j->bands ? j->y.step * to * j->y.block : o->height;
        const real *x = j->x + part / o->groups * o->x_image + part % o->groups * o->channels * o->x_channel +
                        top * o->width * o->x_pixel;
        magnitudes *found = &j->found[task];
        vec off = zero();
        int status = fc_called_off();
        if (status) return status;
        int64_t n = j->merged ? (bottom - top) * o->width : 0;
        real *most = j->in_rows ? fc_workspace(FC_OWN, (size_t)(n + o->width) * sizeof(real)) : NULL;
        if (j->in_rows && !most) return FC_NO_MEMORY;
        *found = (magnitudes){.least = INFINITY};
        if (j->merged) {
            merge_channels(j, x, n, most, &off);
            look_at_blocks(j, most, top, from, to, 1, 1, most + n, &off, found);
        } else {
            int64_t run = o->nhwc ? o->channels : 1;
            look_at_blocks(j, x, top, from, to, o->x_pixel, run, most, &off, found);
        }
        found->infinite = !has_numbers_alone(off);
    }
    return 0;
}

int FC_NAME(is_even)(const fc_conv *p, const void *x, double far, int threads) {
    even_job j = {.x = x, .o = FC_NAME(operands_of)(p)};
    j.y = blocks_along(p, &j.o, 1), j.x_axis = blocks_along(p, &j.o, 0);
    j.merged = !j.o.nhwc && j.o.channels > 1;
    j.in_rows = j.merged || j.o.x_pixel == 1;
    int64_t parts = j.o.batch * j.o.groups, in_a_row = j.y.step * j.y.block * j.o.width;
    int64_t count = ceil_div(ceil_div(j.o.height, j.y.step), j.y.block);
    j.each = max64(1, BAND_BYTES / ((int64_t)sizeof(real) * in_a_row * (j.merged ? 1 : j.o.channels)));
    j.bands = ceil_div(count, j.each), j.each = ceil_div(count, j.bands);
    j.bands = ceil_div(count, j.each);
    int64_t tasks = parts * j.bands;
    j.found = fc_workspace(FC_SHARED, (size_t)tasks * sizeof(magnitudes));
    if (!j.found) return FC_NO_MEMORY;
    double bytes = (double)(j.o.batch * j.o.x_image) * sizeof(real);
    int status = fc_parallel(tasks, bytes / 20, threads, even_work, &j);
    for (int64_t part = 0; part < parts && !status; part++) {
        magnitudes all = {.least = INFINITY};
        for (const magnitudes *own = j.found + part * j.bands, *end = own + j.bands; own < end; own++) {
            all.largest = own->largest > all.largest ? own->largest : all.largest;
            all.least = own->least < all.least ? own->least : all.least;
            all.blocks += own->blocks, all.nonzero += own->nonzero, all.infinite |= own->infinite;
        }
        int alone = all.nonzero && 2 * all.nonzero < all.blocks;
        if (all.infinite || alone || (double)all.largest > far * (double)all.least) status = FC_NOT_MINE;
    }
    return status;
}
