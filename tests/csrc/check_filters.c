/* Filters of pictures, against obvious loops. Called by test_kernels.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arrays.h"
#include "fastconv.h"

static const int types[] = {FC_U8, FC_I16, FC_U16, FC_P_F32, FC_P_F64};

static int64_t item_of(int type) { return type == FC_P_F64 ? 8 : type == FC_P_F32 ? 4 : type == FC_U8 ? 1 : 2; }

static double number(const char *p, int type) {
    switch (type) {
        case FC_U8: return *(const uint8_t *)p;
        case FC_I16: return *(const int16_t *)p;
        case FC_U16: return *(const uint16_t *)p;
        case FC_P_F32: return *(const float *)p;
        default: return *(const double *)p;
    }
}

/* A picture with its result, exactly as large as they are, so that a checker of memory sees what lies beyond. */
typedef struct {
    fc_filter f;
    char *x, *out;
} picture;

/* Beyond the edges, either all is the constant or nothing. */
static int64_t *random_table(int64_t size, int64_t kernel, int64_t before, int constants) {
    int64_t *table = malloc((size_t)(size + kernel - 1) * sizeof *table);
    for (int64_t i = 0; i < size + kernel - 1; i++) {
        int inside = i >= before && i < before + size;
        table[i] = inside ? i - before : constants ? -1 : pick(0, size - 1);
    }
    return table;
}

static picture random_picture(int x_type, int out_type, int64_t largest) {
    fc_filter f = {.images = pick(1, 2),
                   .height = pick(1, 40),
                   .width = pick(0, 3) ? pick(1, 40) : pick(41, 700),
                   .channels = pick(1, 4),
                   .kernel_h = pick(1, largest),
                   .kernel_w = pick(1, largest),
                   .constant = (double)pick(0, 255),
                   .x_type = x_type,
                   .out_type = out_type,
                   .between = -1,
                   .rounding = FC_SATURATE};
    int constants = (int)pick(0, 1);
    f.before = pick(0, f.kernel_w - 1);
    f.rows = random_table(f.height, f.kernel_h, pick(0, f.kernel_h - 1), constants);
    f.columns = random_table(f.width, f.kernel_w, f.before, constants);
    int64_t row = f.width * f.channels;
    f.x_row = (row + pick(0, 3)) * item_of(x_type), f.x_image = f.height * f.x_row;
    f.out_row = (row + pick(0, 3)) * item_of(out_type), f.out_image = f.height * f.out_row;
    picture p = {f, malloc((size_t)(f.images * f.x_image)), malloc((size_t)(f.images * f.out_image))};
    for (int64_t i = 0; i < f.images * f.x_image / item_of(x_type); i++) {
        double value = (double)pick(-1000, 1000) / 1000;
        switch (x_type) {
            case FC_U8: ((uint8_t *)p.x)[i] = (uint8_t)pick(0, 255); break;
            case FC_I16: ((int16_t *)p.x)[i] = (int16_t)pick(-32768, 32767); break;
            case FC_U16: ((uint16_t *)p.x)[i] = (uint16_t)pick(0, 65535); break;
            case FC_P_F32: ((float *)p.x)[i] = (float)value; break;
            default: ((double *)p.x)[i] = value;
        }
    }
    return p;
}

static void release(picture *p) { free((void *)p->f.rows), free((void *)p->f.columns), free(p->x), free(p->out); }

/* What a window sees at its row r and pixel s. */
static double seen(const picture *p, int64_t n, int64_t y, int64_t x, int64_t c, int64_t r, int64_t s) {
    const fc_filter *f = &p->f;
    int64_t row = f->rows[y + r], column = f->columns[x + s];
    if (row < 0 || column < 0) return f->constant;
    return number(p->x + n * f->x_image + row * f->x_row + (column * f->channels + c) * item_of(f->x_type), f->x_type);
}

typedef double wanted(const picture *p, const void *extra, int64_t n, int64_t y, int64_t x, int64_t c);

/* How many results are further than `tolerance` from what is wanted, rounded where they are integers. */
static int compare(const char *name, int status, const picture *p, wanted *want, const void *extra, double tolerance) {
    const fc_filter *f = &p->f;
    int failures = status != 0;
    for (int64_t i = 0; i < f->images * f->height * f->width * f->channels && !status; i++) {
        int64_t c = i % f->channels, x = i / f->channels % f->width, y = i / f->channels / f->width % f->height;
        int64_t n = i / f->channels / f->width / f->height;
        double value = number(p->out + n * f->out_image + y * f->out_row + (x * f->channels + c) * item_of(f->out_type),
                              f->out_type);
        failures += !(fabs(value - want(p, extra, n, y, x, c)) <= tolerance);
    }
    if (failures)
        printf("%s: %d wrong (status %d), %ldx%ldx%ldx%ld, window %ldx%ld, types %d %d, between %d\n", name, failures,
               status, (long)f->images, (long)f->height, (long)f->width, (long)f->channels, (long)f->kernel_h,
               (long)f->kernel_w, f->x_type, f->out_type, f->between);
    return failures;
}

/* ---- means ---- */

static double cut(const fc_filter *f, double value) { return f->between < 0 ? value : trunc(value); }

static double mean(const picture *p, const void *unused, int64_t n, int64_t y, int64_t x, int64_t c) {
    const fc_filter *f = &p->f;
    double sum = 0;
    (void)unused;
    for (int64_t s = 0; s < f->kernel_w; s++) {
        double column = 0;
        for (int64_t r = 0; r < f->kernel_h; r++) column += seen(p, n, y, x, c, r, s);
        sum += f->columns[x + s] < 0 ? f->constant : cut(f, column / (double)f->kernel_h);
    }
    return cut(f, sum / (double)f->kernel_w);
}

static int check_means(void) {
    int type = types[pick(0, 4)], dtype = type == FC_P_F64 || pick(0, 3) == 0 ? FC_F64 : FC_F32;
    picture p = random_picture(type, type, pick(0, 5) ? 7 : 20);
    int cuts = type < FC_P_F32 && pick(0, 1);
    if (cuts) p.f.between = type, p.f.rounding = FC_CUT;
    int status = fc_operations_of(dtype)->filter_means(&p.f, p.x, p.out, (int)pick(1, 3));
    double tolerance = cuts ? 0 : type < FC_P_F32 ? 0.51 : type == FC_P_F64 ? 1e-12 : 1e-4;
    int failures = compare("means", status, &p, mean, NULL, tolerance);
    release(&p);
    return failures;
}

/* ---- extrema and ranks ---- */

static double extreme(const picture *p, const void *largest, int64_t n, int64_t y, int64_t x, int64_t c) {
    double best = seen(p, n, y, x, c, 0, 0);
    for (int64_t i = 1; i < p->f.kernel_h * p->f.kernel_w; i++) {
        double next = seen(p, n, y, x, c, i / p->f.kernel_w, i % p->f.kernel_w);
        best = *(const int *)largest ? fmax(best, next) : fmin(best, next);
    }
    return best;
}

static int check_extrema(void) {
    int type = types[pick(0, 4)], largest = (int)pick(0, 1);
    picture p = random_picture(type, type, pick(0, 2) ? 7 : 20);
    if (type == FC_P_F32) p.f.constant = 0.5;
    int status = fc_filter_extrema(&p.f, largest, p.x, p.out, (int)pick(1, 3));
    int failures = compare("extrema", status, &p, extreme, &largest, 0);
    release(&p);
    return failures;
}

typedef struct {
    int64_t offsets[2 * 256], count, place;
} footprint;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double ranked(const picture *p, const void *extra, int64_t n, int64_t y, int64_t x, int64_t c) {
    const footprint *of = extra;
    double values[256];
    for (int64_t i = 0; i < of->count; i++) values[i] = seen(p, n, y, x, c, of->offsets[2 * i], of->offsets[2 * i + 1]);
    qsort(values, (size_t)of->count, sizeof *values, ascending);
    return values[of->place];
}

/* Medians of boxes have ways of their own; the others go through neighbours exchanged in turns, or are counted. */
static int check_ranks(void) {
    int counted = pick(0, 2) == 0, type = counted ? FC_U8 : types[pick(0, 4)], whole = counted || pick(0, 1);
    int64_t side = whole && !counted ? 2 * pick(0, 2) + 1 : 0;
    picture p = random_picture(type, type, counted ? 15 : 6);
    if (side) { /* the windows' tables are made anew for it */
        free((void *)p.f.rows), free((void *)p.f.columns);
        p.f.kernel_h = p.f.kernel_w = side, p.f.before = pick(0, side - 1);
        p.f.rows = random_table(p.f.height, side, pick(0, side - 1), 1);
        p.f.columns = random_table(p.f.width, side, p.f.before, 1);
    }
    footprint of = {{0}, 0, 0};
    for (int64_t i = 0; i < p.f.kernel_h * p.f.kernel_w; i++)
        if (whole || i == 0 || pick(0, 1))
            of.offsets[2 * of.count] = i / p.f.kernel_w, of.offsets[2 * of.count++ + 1] = i % p.f.kernel_w;
    of.place = side ? of.count / 2 : pick(0, of.count - 1);
    int32_t *exchanges = malloc((size_t)(of.count * of.count + 1) * 3 * sizeof *exchanges);
    int64_t steps = 0;
    for (int64_t turn = 0; turn < of.count && !counted; turn++)
        for (int32_t i = (int32_t)(turn % 2); i + 1 < of.count; i += 2, steps++)
            exchanges[3 * steps] = i, exchanges[3 * steps + 1] = i + 1, exchanges[3 * steps + 2] = 3;
    if (!counted && !steps) exchanges[0] = exchanges[1] = 0, exchanges[2] = 1, steps = 1;
    int status = fc_filter_network(&p.f, of.offsets, of.count, exchanges, steps, of.place, p.x, p.out, (int)pick(1, 3));
    int failures = status == FC_NOT_MINE ? 0 : compare("ranks", status, &p, ranked, &of, 0);
    free(exchanges), release(&p);
    return failures;
}

/* ---- weighted sums ---- */

typedef struct {
    fc_filter_pass first, second;
    double weights[2][400];
    int passes, early; /* does the pass along rows come first? */
} weighing;

static double weighed(const picture *p, const void *extra, int64_t n, int64_t y, int64_t x, int64_t c) {
    const weighing *w = extra;
    const fc_filter *f = &p->f;
    double sum = 0;
    for (int64_t r = 0; r < f->kernel_h && w->early; r++) {
        double row = 0;
        for (int64_t s = 0; s < f->kernel_w; s++) row += w->weights[1][s] * seen(p, n, y, x, c, r, s);
        sum += w->weights[0][r] * (f->rows[y + r] < 0 ? f->constant : row);
    }
    for (int64_t s = 0; s < f->kernel_w && !w->early; s++) {
        double column = 0;
        for (int64_t r = 0; r < f->kernel_h; r++)
            column += w->weights[0][w->passes == 1 ? r * f->kernel_w + s : r] * seen(p, n, y, x, c, r, s);
        if (w->passes == 2 && f->columns[x + s] < 0) column = f->constant;
        sum += w->passes == 1 ? column : w->weights[1][s] * column;
    }
    return sum;
}

static int check_sums(void) {
    int type = types[pick(0, 4)], dtype = (int)pick(FC_F32, FC_F64);
    picture p = random_picture(type, dtype == FC_F32 ? FC_P_F32 : FC_P_F64, pick(0, 3) ? 5 : 17);
    weighing w = {.passes = (int)pick(1, 2)};
    for (int64_t i = 0; i < 400; i++)
        w.weights[0][i] = pick(0, 3) ? (double)pick(-100, 100) / 100 : 0, w.weights[1][i] = (double)pick(-9, 9) / 10;
    w.first = (fc_filter_pass){
        .kernel_h = p.f.kernel_h, .kernel_w = w.passes == 1 ? p.f.kernel_w : 1, .weights = w.weights[0], .doubt = -1};
    w.second = (fc_filter_pass){.kernel_h = 1, .kernel_w = p.f.kernel_w, .weights = w.weights[1], .doubt = -1};
    const fc_filter_pass *passes[] = {&w.first, w.passes == 2 ? &w.second : NULL};
    w.early = w.passes == 2 && (p.f.kernel_h > 1 || p.f.kernel_w > 1) && pick(0, 1);
    if (w.early) passes[0] = &w.second, passes[1] = &w.first;
    int status = fc_operations_of(dtype)->filter_sums(&p.f, passes[0], passes[1], p.x, p.out, (int)pick(1, 3));
    double size = type == FC_U8 ? 255 : type < FC_P_F32 ? 65536 : 255; /* the constant may be 255 */
    double tolerance = (dtype == FC_F32 ? 1e-5 : 1e-13) * size * (double)(p.f.kernel_h * p.f.kernel_w);
    int failures = compare("sums", status, &p, weighed, &w, tolerance);
    release(&p);
    return failures;
}

int check_filters(void) { return check_means() + check_extrema() + check_ranks() + check_sums(); }
