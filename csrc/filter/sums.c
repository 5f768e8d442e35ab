/* Weighted sums of the windows of a picture: correlation with a small kernel, or with a column and a row one after the
 * other. Called through `operations.def`. Limit: loads from the first-level cache; one for each weight and vector, and
 * half as many where two rows of sums share them.
 *
 * Rows are converted once, with their borders, into a ring of kernel_h + 1. Two rows of sums are computed at a time, as
 * vectors along the row: whatever the kernel, it is a list of terms, each a row of the ring, an offset into it, and two
 * weights. A pass along the row has one row only: the sums of the pass before or, where it comes first, what has been
 * read, in whose place its sums go into the ring. The order matters: what a difference leaves of a bright picture is
 * small, and its sums lose no digits; the difference of sums does. */
#include "base/parallel.h"
#include "base/simd.h"
#include "filter/in_order.h"
#include "filter/rows.h"

enum { PAIR = 4, SINGLE = 8 };   /* vectors of sums at once: of two rows each, of one */
enum { PART = 64 };              /* terms that are added one after the other */
enum { RING_BYTES = 256 << 10 }; /* what a task keeps in the second-level cache */
enum { LEAST_ROWS = 32 };

/* first * x[row][offset + i] goes into the first sum, second * the same into the one below. */
typedef struct {
    int64_t row, offset;
    real first, second;
} term;

typedef struct {
    term *terms;
    int64_t count;
} list;

typedef struct {
    const fc_filter *f;
    const fc_filter_pass *down, *across; /* the whole kernel, or a column; a row, or NULL */
    const char *x;
    char *out;
    list one, two, along; /* of a row of sums, of two, of a row in the pass across */
    bands b;
    int64_t room; /* of a row, in reals */
    int early;    /* the pass across comes first */
    int renews;
    int straight; /* the last pass gives the result as it is: whole groups of vectors go there */
} weighing_job;

/* What is almost zero counts as zero, as in SciPy's filters. */
static list list_terms(const fc_filter_pass *p, int64_t channels, int rows, term *terms) {
    list l = {terms, 0};
    for (int64_t r = 0; r < p->kernel_h + rows - 1; r++)
        for (int64_t c = 0; c < p->kernel_w; c++) {
            double first = r < p->kernel_h ? p->weights[r * p->kernel_w + c] : 0,
                   second = rows > 1 && r > 0 ? p->weights[(r - 1) * p->kernel_w + c] : 0;
            if (first != 0 || second != 0) terms[l.count++] = (term){r, c * channels, (real)first, (real)second};
        }
    return l;
}

#define EACH(v, count) _Pragma("GCC unroll 8") for (int v = 0; v < count; v++)

/* The sums from a + i on, and b + i below, of so many terms. */
INLINE
void add_pair(const term *t, int64_t count, const real *const *rows, int64_t i, vec *a, vec *b) {
    for (; count > 0; count--, t++) {
        const real *p = rows[t->row] + t->offset + i;
        vec x[PAIR], first = splat(t->first), second = splat(t->second);
        EACH(v, PAIR) x[v] = load(p + v * VL);
        if (t->first != 0) EACH(v, PAIR) a[v] += first * x[v];
        if (t->second != 0) EACH(v, PAIR) b[v] += second * x[v];
    }
}

static void sum_pair(const list *l, const real *const *rows, real *a, real *b, int64_t n) {
    for (int64_t i = 0; i < n; i += PAIR * VL)
        for (int64_t t = 0; t < max64(l->count, 1); t += PART) {
            vec upper[PAIR] = {{0}}, lower[PAIR] = {{0}};
            add_pair(l->terms + t, min64(PART, l->count - t), rows, i, upper, lower);
            if (t) {
                EACH(v, PAIR) upper[v] += load(a + i + v * VL);
                EACH(v, PAIR) lower[v] += load(b + i + v * VL);
            }
            EACH(v, PAIR) store(a + i + v * VL, upper[v]);
            EACH(v, PAIR) store(b + i + v * VL, lower[v]);
        }
}

static void sum_single(const list *l, const real *const *rows, real *a, int64_t n) {
    for (int64_t i = 0; i < n; i += SINGLE * VL)
        for (int64_t t = 0; t < max64(l->count, 1); t += PART) {
            vec sums[SINGLE] = {{0}};
            const term *each = l->terms + t;
            for (int64_t left = min64(PART, l->count - t); left > 0; left--, each++) {
                const real *p = rows[each->row] + each->offset + i;
                vec weight = splat(each->first);
                EACH(v, SINGLE) sums[v] += weight * load(p + v * VL);
            }
            if (t) EACH(v, SINGLE) sums[v] += load(a + i + v * VL);
            EACH(v, SINGLE) store(a + i + v * VL, sums[v]);
        }
}

/* Sums next to an integer, as they come out in order; the room of a row has a whole number of groups. */
static void settle(const fc_filter_pass *p, const real *const *rows, int64_t channels, real *sums, int64_t n) {
    if (p->doubt < 0) return;
    real doubt = (real)p->doubt;
    for (int64_t i = 0; i < n; i += GROUP) {
        int near = 0;
        for (int l = 0; l < GROUP; l++) {
            real off = sums[i + l] - ROUND(sums[i + l]);
            near |= (off < 0 ? -off : off) <= doubt;
        }
        if (near) FC_NAME(filter_in_order)(p, rows, channels, i, sums + i);
    }
}

/* How many sums along a row are made where it lies, after the first group of vectors: whole groups, none of which reads
 * beyond the row's ends. */
static int64_t sums_in_place(const weighing_job *j, const band *b, int64_t group) {
    const fc_filter *f = j->f;
    band inside = inside_row(f, b->pixel, b->pixel_end + f->kernel_w - 1);
    if (f->x_type != (FC_DOUBLE ? FC_P_F64 : FC_P_F32) || j->across->doubt >= 0) return 0;
    if ((inside.pixel - b->pixel) * f->channels > group) return 0;
    return max64(0, (inside.pixel_end - b->pixel - f->kernel_w + 1) * f->channels / group - 1) * group;
}

/* A row of the ring. Beyond the picture it is the constant, which the second pass sees as it is. */
static void fetch_row(const weighing_job *j, const band *b, int64_t row, real *to, real *spare) {
    const fc_filter *f = j->f;
    const char *image = j->x + b->image * f->x_image;
    int64_t pixels = b->pixel_end - b->pixel, n = pixels * f->channels, reach = f->kernel_w - 1;
    int sums = j->early && f->rows[row] >= 0;
    const real *only = spare;
    if (!sums) {
        FC_NAME(filter_read_row)(to, f, image, row, b->pixel, pixels + reach);
        return;
    }
    int64_t group = SINGLE * VL * f->channels, middle = sums_in_place(j, b, group), done = 0;
    if (middle) {
        FC_NAME(filter_read_row)(spare, f, image, row, b->pixel, SINGLE * VL + reach);
        sum_single(&j->along, &only, to, group);
        only = (const real *)(image + f->rows[row] * f->x_row) + (b->pixel - f->before) * f->channels + group;
        sum_single(&j->along, &only, to + group, middle);
        done = group + middle, only = spare;
    }
    FC_NAME(filter_read_row)(spare, f, image, row, b->pixel + done / f->channels, pixels - done / f->channels + reach);
    sum_single(&j->along, &only, to + done, n - done);
    settle(j->across, &only, f->channels, to, n);
    FC_NAME(filter_narrow)(to, f, n);
}

static int64_t whole_groups(const weighing_job *j, int64_t n) {
    int64_t group = SINGLE * VL * j->f->channels;
    return j->straight ? n / group * group : 0;
}

static real *result_at(const weighing_job *j, const band *b, int64_t row) {
    const fc_filter *f = j->f;
    return (real *)(j->out + b->image * f->out_image + row * f->out_row) + b->pixel * f->channels;
}

/* A row of sums down the columns, of which the first `done` are results already. */
static void finish_row(const weighing_job *j, const band *b, int64_t row, real *sums, real *last,
                       const real *const *rows, int64_t done) {
    const fc_filter *f = j->f;
    int64_t c = f->channels, pixels = b->pixel_end - b->pixel, n = pixels * c;
    if (!j->across || j->early) {
        settle(j->down, rows, c, sums, n - done);
    } else {
        int64_t wide = pixels + j->across->kernel_w - 1;
        const real *only = sums;
        settle(j->down, rows, c, sums, wide * c);
        FC_NAME(filter_narrow)(sums, f, wide * c);
        if (j->renews) FC_NAME(filter_renew_constant)(sums, f, b->pixel, wide);
        done = whole_groups(j, n);
        if (done) sum_single(&j->along, &only, result_at(j, b, row), done);
        only += done;
        sum_single(&j->along, &only, last, n - done);
        settle(j->across, &only, c, last, n - done);
        sums = last;
    }
    band rest = *b;
    rest.pixel += done / c;
    FC_NAME(filter_write_row)(j->out, f, &rest, row, sums);
}

static int sums_work(const void *context, int64_t begin, int64_t end) {
    const weighing_job *j = context;
    const fc_filter *f = j->f;
    int64_t ring = f->kernel_h + 1;
    real *memory = fc_workspace(FC_OWN, (size_t)((ring + 3) * j->room) * sizeof(real));
    if (!memory) return FC_NO_MEMORY;
    real *upper = memory + ring * j->room, *lower = upper + j->room, *last = lower + j->room;
    for (int64_t task = begin; task < end; task++) {
        band b = band_of(f, &j->b, task);
        int64_t pixels = b.pixel_end - b.pixel, fetched = b.row;
        int64_t n = (pixels + (j->across && !j->early ? f->kernel_w - 1 : 0)) * f->channels;
        for (int64_t row = b.row; row < b.row_end; row += 2) {
            int status = fc_called_off();
            if (status) return status;
            int pair = row + 1 < b.row_end;
            for (; fetched < row + f->kernel_h + pair; fetched++)
                fetch_row(j, &b, fetched, memory + fetched % ring * j->room, last);
            const real *rows[FC_MOST_TAPS + 1];
            for (int64_t r = 0; r < ring; r++) rows[r] = memory + (row + r) % ring * j->room;
            int64_t done = j->across && !j->early ? 0 : whole_groups(j, n);
            if (done) {
                real *to = result_at(j, &b, row);
                if (pair)
                    sum_pair(&j->two, rows, to, result_at(j, &b, row + 1), done);
                else
                    sum_single(&j->one, rows, to, done);
                for (int64_t r = 0; r < ring; r++) rows[r] += done;
            }
            if (pair)
                sum_pair(&j->two, rows, upper, lower, n - done);
            else
                sum_single(&j->one, rows, upper, n - done);
            finish_row(j, &b, row, upper, last, rows, done);
            if (pair) finish_row(j, &b, row + 1, lower, last, rows + 1, done);
        }
    }
    return 0;
}

int FC_NAME(filter_sums)(const fc_filter *f, const fc_filter_pass *first, const fc_filter_pass *second, const void *x,
                         void *out, int threads) {
    term terms[4 * FC_MOST_TAPS + 2];
    if (first->kernel_h * first->kernel_w > FC_MOST_TAPS ||
        (second && second->kernel_h * second->kernel_w > FC_MOST_TAPS))
        return FC_NOT_MINE;
    if (!tables_fit(f)) return FC_OUT_OF_RANGE;
    int early = second && (first->kernel_w > 1 || second->kernel_h > 1);
    const fc_filter_pass *down = early ? second : first, *across = early ? first : second;
    weighing_job j = {.f = f, .down = down, .across = across, .x = x, .out = out, .early = early};
    int64_t taps = down->kernel_h * down->kernel_w;
    j.renews = has_constant(f);
    j.straight = (second ? second : first)->doubt < 0 && f->out_type == (FC_DOUBLE ? FC_P_F64 : FC_P_F32);
    j.one = list_terms(down, f->channels, 1, terms);
    j.two = list_terms(down, f->channels, 2, terms + taps);
    if (across) j.along = list_terms(across, f->channels, 1, terms + 2 * taps + down->kernel_w);
    j.b = bands_of(f, f->kernel_h + 1, sizeof(real), RING_BYTES, LEAST_ROWS);
    lengthen(f, &j.b, 0);
    int64_t row = (j.b.pixels + f->kernel_w - 1) * f->channels;
    j.room = round_up(row, SINGLE * VL) + round_up((f->kernel_w - 1) * f->channels, VL) + VL;
    double numbers = (double)f->images * (double)f->height * (double)f->width * (double)f->channels;
    double each = (double)(j.one.count + j.along.count) * 1.3 + 8;
    return fc_parallel(band_count(f, &j.b), numbers * each / VL, threads, sums_work, &j);
}
