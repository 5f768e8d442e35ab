/* Are all numbers of a convolution's images finite, and is none far larger than those of a window that does not hold
 * it? Called through `operations.def`, before a transform is taken whose results are to be strict. Limit: cache or
 * memory bandwidth.
 *
 * What transforms mix, the channels of a group in one image, is a part. A part is looked at in blocks, all channels of
 * some pixels, of half a window along each axis: so every window holds all of one block, as does what is left of it
 * where half of it is beyond the border. The largest number of a part is compared with the mean of each block. A
 * dilated window sees every so many-th pixel, a phase of the image, which has blocks of its own. The last block of an
 * axis ends where its phase does, and overlaps the one before.
 *
 * In NCHW the magnitudes of a part's channels are added up first, for some rows of blocks. The sums of vectors are
 * those of scaled magnitudes, which do not overflow; those of blocks are of doubles. */
#include "base/parallel.h"
#include "base/simd.h"
#include "base/total.h"
#include "conv/grid.h"

enum { BAND_BYTES = 16 << 10 }; /* of a task's sums, or of what it looks at */

#if FC_DOUBLE
static const real SCALE = 0x1p-80;
#else
static const real SCALE = 0x1p-12f;
#endif

/* Scaled magnitudes: the largest, but for what is not a number; the least mean of a block; the sum of all means. */
typedef struct {
    double largest, least, sum;
} magnitudes;

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
    int summed, in_rows; /* are channels added up first? and the rows of blocks of what has one channel? */
    magnitudes *found;   /* in each band of each part */
} even_job;

static blocks_axis blocks_along(int64_t size, int64_t taps, int64_t dilation, int64_t stride, int transposed) {
    if (transposed) { /* a result sees every so many-th tap */
        int64_t period = period_of(stride, dilation);
        taps = max64(1, taps / period), dilation = dilation * period / stride;
    }
    return (blocks_axis){size, min64(dilation, size), (taps + 1) / 2};
}

static int64_t blocks_of(const blocks_axis *a, int64_t phase, int64_t *size, int64_t *pixels) {
    *pixels = ceil_div(a->size - phase, a->step), *size = min64(a->block, *pixels);
    return ceil_div(*pixels, *size);
}

/* The scaled sum of the magnitudes of `run` numbers in each of some pixels of some rows; `most` grows with them. */
static double sum_of_block(const real *x, int64_t rows, int64_t row, int64_t pixels, int64_t pixel, int64_t run,
                           vec scale, vec *most) {
    vec sums[2] = {zero(), zero()};
    if (pixel == run) run *= pixels, pixels = 1;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t p = 0; p < pixels; p++) {
            const real *from = x + i * row + p * pixel;
            int64_t k = 0;
            for (; k + 2 * VL <= run; k += 2 * VL) {
                vec a = absolute(load(from + k)), b = absolute(load(from + k + VL));
                *most = at_least(a, *most), *most = at_least(b, *most);
                sums[0] += a * scale, sums[1] += b * scale;
            }
            for (; k < run; k += VL) {
                vec a = absolute(load_up_to(from + k, run - k));
                *most = at_least(a, *most), sums[0] += a * scale;
            }
        }
    return (double)sum_of_lanes(sums[0] + sums[1]);
}

/* The same of each number of a row of one-channel pixels by itself, to `sums`. */
static void sum_rows(const real *x, int64_t rows, int64_t row, int64_t n, real *sums, vec scale, vec *most) {
    for (int64_t i = 0; i < n; i += VL) {
        vec sum = zero();
        for (int64_t r = 0; r < rows; r++) {
            vec a = absolute(load_up_to(x + r * row + i, n - i));
            *most = at_least(a, *most), sum += a * scale;
        }
        store_up_to(sums + i, sum, n - i);
    }
}

/* The blocks in rows [from, to) of blocks. `x` has the rows of a part from `top` on, of pixels of `run` numbers that
 * are `pixel` apart; `sums` has room for a row of such of one. */
static void look_at_blocks(const even_job *j, const real *x, int64_t top, int64_t from, int64_t to, int64_t pixel,
                           int64_t run, real *sums, vec scale, vec *most, magnitudes *found) {
    const blocks_axis *ax = &j->x_axis;
    int64_t row = j->o.width * pixel, height, width, rows, columns;
    double least = INFINITY, all = 0;
    for (int64_t fy = 0; fy < j->y.step; fy++) {
        int64_t end = min64(to, blocks_of(&j->y, fy, &height, &rows));
        for (int64_t b = from; b < end; b++) {
            const real *top_row = x + (fy + j->y.step * min64(b * height, rows - height) - top) * row;
            if (sums) sum_rows(top_row, height, j->y.step * row, j->o.width, sums, scale, most);
            for (int64_t fx = 0; fx < ax->step; fx++) {
                int64_t across = blocks_of(ax, fx, &width, &columns);
                double each = 1 / (double)(height * width * j->o.channels);
                for (int64_t c = 0; c < across; c++) {
                    int64_t first = fx + ax->step * min64(c * width, columns - width);
                    double sum = 0;
                    if (sums)
                        for (int64_t i = 0; i < width; i++) sum += (double)sums[first + i * ax->step];
                    else
                        sum = sum_of_block(top_row + first * pixel, height, j->y.step * row, width, ax->step * pixel,
                                           run, scale, most);
                    sum *= each;
                    least = sum < least ? sum : least, all += sum;
                }
            }
        }
    }
    found->least = least, found->sum = all;
}

/* Adds the scaled magnitudes of n numbers of every channel of a part to `sums`. */
static void add_channels(const even_job *j, const real *x, int64_t n, real *sums, vec *most) {
    const vec scale = splat(SCALE);
    vec all[2] = {zero(), zero()};
    clear_reals(sums, n);
    for (int64_t c = 0; c < j->o.channels; c++, x += j->o.x_channel) {
        int64_t i = 0;
        for (; i + 2 * VL <= n; i += 2 * VL) {
            vec a = absolute(load(x + i)), b = absolute(load(x + i + VL));
            all[0] = at_least(a, all[0]), all[1] = at_least(b, all[1]);
            store(sums + i, load(sums + i) + a * scale), store(sums + i + VL, load(sums + i + VL) + b * scale);
        }
        for (; i < n; i += VL) {
            vec a = absolute(load_up_to(x + i, n - i));
            all[0] = at_least(a, all[0]);
            store_up_to(sums + i, load_up_to(sums + i, n - i) + a * scale, n - i);
        }
    }
    *most = at_least(all[0], all[1]);
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
        vec most = zero(), ignored = zero();
        int status = fc_called_off();
        if (status) return status;
        int64_t n = j->summed ? (bottom - top) * o->width : 0;
        real *sums = j->in_rows ? fc_workspace(FC_OWN, (size_t)(n + o->width) * sizeof(real)) : NULL;
        if (j->in_rows && !sums) return FC_NO_MEMORY;
        if (j->summed) {
            add_channels(j, x, n, sums, &most);
            look_at_blocks(j, sums, top, from, to, 1, 1, sums + n, splat(1), &ignored, found);
        } else {
            int64_t run = o->nhwc ? o->channels : 1;
            look_at_blocks(j, x, top, from, to, o->x_pixel, run, sums, splat(SCALE), &most, found);
        }
        real largest = 0;
        for (int l = 0; l < VL; l++) largest = most[l] > largest ? most[l] : largest;
        found->largest = (double)(largest * SCALE);
    }
    return 0;
}

int FC_NAME(is_even)(const fc_conv *p, const void *x, double far, int threads) {
    even_job j = {.x = x, .o = operands_of(p)};
    j.y = blocks_along(j.o.height, p->kernel_h, p->dilation_h, p->stride_h, p->transposed);
    j.x_axis = blocks_along(j.o.width, p->kernel_w, p->dilation_w, p->stride_w, p->transposed);
    j.summed = !j.o.nhwc && j.o.channels > 1;
    j.in_rows = j.summed || j.o.x_pixel == 1;
    int64_t parts = j.o.batch * j.o.groups, in_a_row = j.y.step * j.y.block * j.o.width;
    int64_t count = ceil_div(ceil_div(j.o.height, j.y.step), j.y.block);
    j.each = max64(1, BAND_BYTES / ((int64_t)sizeof(real) * in_a_row * (j.summed ? 1 : j.o.channels)));
    j.bands = ceil_div(count, j.each), j.each = ceil_div(count, j.bands);
    j.bands = ceil_div(count, j.each);
    int64_t tasks = parts * j.bands;
    j.found = fc_workspace(FC_SHARED, (size_t)tasks * sizeof(magnitudes));
    if (!j.found) return FC_NO_MEMORY;
    double bytes = (double)(j.o.batch * j.o.x_image) * sizeof(real);
    int status = fc_parallel(tasks, bytes / 20, threads, even_work, &j);
    for (int64_t part = 0; part < parts && !status; part++) {
        magnitudes all = {0, INFINITY, 0};
        for (const magnitudes *own = j.found + part * j.bands, *end = own + j.bands; own < end; own++) {
            all.largest = own->largest > all.largest ? own->largest : all.largest;
            all.least = own->least < all.least ? own->least : all.least, all.sum += own->sum;
        }
        /* What is not finite makes a sum, or a difference, that is no number: no comparison with that holds. */
        if (!(all.sum - all.sum == 0 && all.largest <= far * all.least)) status = FC_NOT_MINE;
    }
    return status;
}
