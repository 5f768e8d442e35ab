/* Ranks in large boxes of bytes, by counting: the time does not grow with the box. Limit: adding counts.
 *
 * Every column has counts of its pixels, coarse by sixteens and fine; from one row to the next a pixel leaves them and
 * one comes. Along a row, coarse counts of whole columns come and leave; the fine ones of a sixteen only where the rank
 * falls into it, as many columns at once as have passed since. After S. Perreault and P. Hebert, "Median filtering in
 * constant time", IEEE Transactions on Image Processing 16(9), 2007. */
#include "filter/counts.h"

#include <string.h>

#include "base/parallel.h"
#include "filter/bands.h"

enum { SIXTEEN = 16, BYTES = 256 };
enum { TASK_BYTES = 384 << 10 };
enum { LEAST_ROWS = 64 };

typedef uint16_t counts[SIXTEEN];

typedef struct {
    counts coarse, fine[SIXTEEN];
} column_counts;

typedef struct {
    const fc_filter *f;
    const uint8_t *x;
    uint8_t *out;
    int64_t rank;
    bands b;
} counts_job;

static inline void add(uint16_t *restrict to, const uint16_t *come) {
    for (int i = 0; i < SIXTEEN; i++) to[i] = (uint16_t)(to[i] + come[i]);
}

static inline void exchange(uint16_t *restrict to, const uint16_t *come, const uint16_t *leave) {
    for (int i = 0; i < SIXTEEN; i++) to[i] = (uint16_t)(to[i] + come[i] - leave[i]);
}

static inline uint8_t byte_at(const counts_job *j, const uint8_t *row, int64_t number) {
    const fc_filter *f = j->f;
    int64_t v = number / f->channels, inside = v - f->before;
    if (inside < 0 || inside >= f->width) inside = f->columns[v];
    return !row || inside < 0 ? (uint8_t)f->constant : row[inside * f->channels + number % f->channels];
}

/* A row of the windows, for `n` numbers from `first` on. */
static void read_row(const counts_job *j, int64_t image, int64_t row, int64_t first, int64_t n, uint8_t *to) {
    const fc_filter *f = j->f;
    int64_t source = f->rows[row], c = f->channels;
    const uint8_t *from = source < 0 ? NULL : j->x + image * f->x_image + source * f->x_row;
    int64_t low = max64(first, min64(f->before * c, first + n)),
            high = from ? max64(low, min64((f->before + f->width) * c, first + n)) : low;
    for (int64_t i = first; i < low; i++) to[i - first] = byte_at(j, from, i);
    if (high > low) memcpy(to + low - first, from + low - f->before * c, (size_t)(high - low));
    for (int64_t i = high; i < first + n; i++) to[i - first] = byte_at(j, from, i);
}

/* By how much a pixel changes its column: up by 1, or down, which wraps. */
static void count_row(column_counts *columns, const uint8_t *row, int64_t n, uint16_t by) {
    for (int64_t i = 0; i < n; i++) {
        columns[i].coarse[row[i] / SIXTEEN] = (uint16_t)(columns[i].coarse[row[i] / SIXTEEN] + by);
        uint16_t *fine = &columns[i].fine[row[i] / SIXTEEN][row[i] % SIXTEEN];
        *fine = (uint16_t)(*fine + by);
    }
}

/* The first place up to which there are more than *rank; what lies before it is taken off. */
static inline int place_of(const uint16_t *of, int64_t *rank) {
    int place = 0;
    while (place < SIXTEEN - 1 && *rank >= of[place]) *rank -= of[place++];
    return place;
}

/* A channel of a row of results, `step` bytes apart. */
static void find_row(const counts_job *j, const column_counts *columns, uint8_t *to, int64_t pixels) {
    int64_t step = j->f->channels, taps = j->f->kernel_w;
    counts coarse = {0}, fine[SIXTEEN];
    int64_t seen[SIXTEEN]; /* the pixel that the fine counts are of */
    for (int s = 0; s < SIXTEEN; s++) seen[s] = -taps;
    for (int64_t t = 0; t < taps; t++) add(coarse, columns[t * step].coarse);
    for (int64_t p = 0; p < pixels; p++) {
        if (p) exchange(coarse, columns[(p + taps - 1) * step].coarse, columns[(p - 1) * step].coarse);
        int64_t rank = j->rank;
        int s = place_of(coarse, &rank);
        if (2 * (p - seen[s]) > taps) {
            memset(fine[s], 0, sizeof *fine);
            for (int64_t t = 0; t < taps; t++) add(fine[s], columns[(p + t) * step].fine[s]);
        } else {
            for (int64_t q = seen[s] + 1; q <= p; q++)
                exchange(fine[s], columns[(q + taps - 1) * step].fine[s], columns[(q - 1) * step].fine[s]);
        }
        seen[s] = p;
        to[p * step] = (uint8_t)(s * SIXTEEN + place_of(fine[s], &rank));
    }
}

static int counts_work(const void *context, int64_t begin, int64_t end) {
    const counts_job *j = context;
    const fc_filter *f = j->f;
    int64_t c = f->channels, room = (j->b.pixels + f->kernel_w - 1) * c;
    column_counts *columns = fc_workspace(FC_OWN, (size_t)room * (sizeof(column_counts) + 1));
    if (!columns) return FC_NO_MEMORY;
    uint8_t *row = (uint8_t *)(columns + room);
    for (int64_t task = begin; task < end; task++) {
        band b = band_of(f, &j->b, task);
        int64_t pixels = b.pixel_end - b.pixel, n = (pixels + f->kernel_w - 1) * c, first = b.pixel * c;
        memset(columns, 0, (size_t)n * sizeof(column_counts));
        for (int64_t r = b.row; r < b.row + f->kernel_h - 1; r++)
            read_row(j, b.image, r, first, n, row), count_row(columns, row, n, 1);
        for (int64_t r = b.row; r < b.row_end; r++) {
            int status = fc_called_off();
            if (status) return status;
            read_row(j, b.image, r + f->kernel_h - 1, first, n, row), count_row(columns, row, n, 1);
            for (int64_t channel = 0; channel < c; channel++)
                find_row(j, columns + channel, j->out + b.image * f->out_image + r * f->out_row + first + channel,
                         pixels);
            read_row(j, b.image, r, first, n, row), count_row(columns, row, n, (uint16_t)-1);
        }
    }
    return 0;
}

int FC_NAME(filter_counts)(const fc_filter *f, int64_t rank, const void *x, void *out, int threads) {
    if (f->x_type != FC_U8 || f->kernel_h * f->kernel_w > UINT16_MAX) return FC_NOT_MINE;
    counts_job j = {f, x, out, rank,
                    bands_of(f, 1, sizeof(column_counts), TASK_BYTES, max64(LEAST_ROWS, 4 * f->kernel_h))};
    double numbers = (double)f->images * (double)f->height * (double)f->width * (double)f->channels;
    return fc_parallel(band_count(f, &j.b), numbers * 60, threads, counts_work, &j);
}
