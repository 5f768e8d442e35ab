/* Extrema and networks of one element type T; included once for each by windows.c, which says whether T has NaN. */

INLINE
T NAMED(greater)(T a, T b) { return a > b || IS_NAN(a) ? a : b; }
INLINE
T NAMED(lesser)(T a, T b) { return a < b || IS_NAN(a) ? a : b; }

static void NAMED(greater_of)(T *restrict to, const T *a, const T *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = NAMED(greater)(a[i], b[i]);
}

static void NAMED(lesser_of)(T *restrict to, const T *a, const T *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = NAMED(lesser)(a[i], b[i]);
}

static void NAMED(extreme_of)(T *restrict to, const T *a, const T *b, int64_t n, int largest) {
    if (largest)
        NAMED(greater_of)(to, a, b, n);
    else
        NAMED(lesser_of)(to, a, b, n);
}

/* Of `size` elements `step` apart, for `count` * step places: the last two windows overlap. `x` has size - 1 places
 * more and is used up, `spare` is as large; the result goes to `to`. */
static void NAMED(extrema)(T *x, T *spare, T *to, int64_t count, int64_t size, int64_t step, int largest) {
    int64_t power = 1, places = count + size - 1;
    for (; 2 * power < size; power *= 2) {
        places -= power;
        NAMED(extreme_of)(spare, x, x + power * step, places * step, largest);
        T *swapped = x;
        x = spare, spare = swapped;
    }
    NAMED(extreme_of)(to, x, x + (size - power) * step, count * step, largest);
}

typedef T NAMED(vector) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));
typedef T NAMED(register) __attribute__((vector_size(VECTOR_BYTES)));
typedef LANE NAMED(condition) __attribute__((vector_size(VECTOR_BYTES)));

#define V NAMED(register)
#define C NAMED(condition)
INLINE
V NAMED(lesser_vector)(V a, V b) {
#ifdef LESSER
    return LESSER(a, b);
#else
    return CHOSEN((a < b) | (a != a), a, b);
#endif
}
INLINE
V NAMED(greater_vector)(V a, V b) {
#ifdef GREATER
    return GREATER(a, b);
#else
    return CHOSEN((a > b) | (a != a), a, b);
#endif
}

/* The extremes of some rows, or of shifted ones, number by number. Where there is a second result, it is that of one
 * row further down. The last vector may overlap the one before. */
INLINE
void NAMED(extremes)(const int largest, const int two, const T *const *rows, int64_t count, T *to, T *second,
                     int64_t n) {
    enum { LENGTH = VECTOR_BYTES / sizeof(T) };
#define EXTREME(a, b) (largest ? NAMED(greater_vector)(a, b) : NAMED(lesser_vector)(a, b))
#define AT(row, v) (*(const NAMED(vector) *)((row) + i + (v) * LENGTH))
#define EXTREMES_ABREAST(vectors)                                                                                      \
    {                                                                                                                  \
        V best[vectors];                                                                                               \
        EACH(v, vectors) best[v] = AT(rows[two], v);                                                                   \
        for (int64_t k = 1 + two; k < count; k++) {                                                                    \
            const T *row = rows[k];                                                                                    \
            EACH(v, vectors) best[v] = EXTREME(best[v], AT(row, v));                                                   \
        }                                                                                                              \
        if (two) {                                                                                                     \
            const T *first = rows[0], *last = rows[count];                                                             \
            EACH(v, vectors) * (NAMED(vector) *)(to + i + v * LENGTH) = EXTREME(AT(first, v), best[v]);                \
            EACH(v, vectors) * (NAMED(vector) *)(second + i + v * LENGTH) = EXTREME(best[v], AT(last, v));             \
        } else {                                                                                                       \
            EACH(v, vectors) * (NAMED(vector) *)(to + i + v * LENGTH) = best[v];                                       \
        }                                                                                                              \
    }
    int64_t i = 0;
    for (; i + ABREAST * LENGTH <= n; i += ABREAST * LENGTH) EXTREMES_ABREAST(ABREAST)
    for (; i < n && n >= LENGTH; i += LENGTH) {
        i = min64(i, n - LENGTH);
        EXTREMES_ABREAST(1)
    }
    for (; i < n; i++) {
        for (int line = 0; line <= two; line++) {
            T best = rows[line][i];
            for (int64_t k = 1; k < count; k++)
                best = largest ? NAMED(greater)(best, rows[line + k][i]) : NAMED(lesser)(best, rows[line + k][i]);
            (line ? second : to)[i] = best;
        }
    }
#undef EXTREMES_ABREAST
#undef AT
#undef EXTREME
}

static void NAMED(extremes_of)(int largest, const T *const *rows, int64_t count, T *to, T *second, int64_t n) {
    if (second && largest)
        NAMED(extremes)(1, 1, rows, count, to, second, n);
    else if (second)
        NAMED(extremes)(0, 1, rows, count, to, second, n);
    else if (largest)
        NAMED(extremes)(1, 0, rows, count, to, second, n);
    else
        NAMED(extremes)(0, 0, rows, count, to, second, n);
}

static void NAMED(read_outside)(T *to, const fc_filter *f, const T *from, int64_t first, int64_t end) {
    for (int64_t v = first; v < end; v++)
        for (int64_t c = 0; c < f->channels; c++)
            *to++ = f->columns[v] < 0 ? (T)f->constant : from[f->columns[v] * f->channels + c];
}

static void NAMED(read_row)(T *to, const fc_filter *f, const char *image, int64_t row, int64_t first, int64_t pixels) {
    int64_t c = f->channels, end = first + pixels, source = f->rows[row];
    if (source < 0) {
        for (int64_t i = 0; i < pixels * c; i++) to[i] = (T)f->constant;
        return;
    }
    const T *from = (const T *)(image + source * f->x_row);
    band inside = inside_row(f, first, end);
    NAMED(read_outside)(to, f, from, first, inside.pixel);
    memcpy(to + (inside.pixel - first) * c, from + (inside.pixel - f->before) * c,
           (size_t)((inside.pixel_end - inside.pixel) * c) * sizeof(T));
    NAMED(read_outside)(to + (inside.pixel_end - first) * c, f, from, inside.pixel_end, end);
}

static int NAMED(extrema_work)(const void *context, int64_t begin, int64_t end) {
    const window_job *j = context;
    const fc_filter *f = j->f;
    int64_t c = f->channels, rows = j->b.rows + f->kernel_h - 1, room = j->room;
    T *memory = fc_workspace(FC_OWN, (size_t)((2 * rows + 1) * room) * sizeof(T));
    if (!memory) return FC_NO_MEMORY;
    T *spare = memory + rows * room, *along = spare + rows * room;
    for (int64_t task = begin; task < end; task++) {
        band b = band_of(f, &j->b, task);
        int status = fc_called_off();
        if (status) return status;
        int64_t count = b.row_end - b.row, pixels = b.pixel_end - b.pixel, wide = pixels + f->kernel_w - 1;
        for (int64_t row = 0; row < count + f->kernel_h - 1; row++)
            NAMED(read_row)(memory + row * room, f, j->x + b.image * f->x_image, b.row + row, b.pixel, wide);
        int64_t power = 1, places = count + f->kernel_h - 1;
        T *x = memory, *other = spare;
        for (; 2 * power < f->kernel_h; power *= 2) { /* as extrema(), whose last step is done row by row */
            places -= power;
            NAMED(extreme_of)(other, x, x + power * room, places * room, j->largest);
            T *swapped = x;
            x = other, other = swapped;
        }
        for (int64_t row = 0; row < count; row++) {
            T *line = x + row * room;
            T *to = (T *)(j->out + b.image * f->out_image + (b.row + row) * f->out_row) + b.pixel * c;
            if (f->kernel_h > 1) {
                T *last = f->kernel_w > 1 ? other : to;
                NAMED(extreme_of)(last, line, line + (f->kernel_h - power) * room, wide * c, j->largest);
                line = last;
            }
            if (f->kernel_w > 1)
                NAMED(extrema)(line, along, to, pixels, f->kernel_w, c, j->largest);
            else if (f->kernel_h == 1)
                memcpy(to, line, (size_t)(pixels * c) * sizeof(T));
        }
    }
    return 0;
}

enum { NAMED(CHUNK) = CHUNK_BYTES / sizeof(T) };

/* Neighbouring pixels through the network, in place. */
static void NAMED(exchange)(T (*v)[NAMED(CHUNK)], const int32_t *steps, int64_t count) {
    for (int64_t s = 0; s < count; s++, steps += 3) {
        T *restrict a = v[steps[0]], *restrict b = v[steps[1]];
        if (steps[2] == 3)
            for (int i = 0; i < NAMED(CHUNK); i++) {
                T low = NAMED(lesser)(a[i], b[i]), high = NAMED(greater)(a[i], b[i]);
                a[i] = low, b[i] = high;
            }
        else if (steps[2] == 1)
            for (int i = 0; i < NAMED(CHUNK); i++) a[i] = NAMED(lesser)(a[i], b[i]);
        else
            for (int i = 0; i < NAMED(CHUNK); i++) b[i] = NAMED(greater)(a[i], b[i]);
    }
}

/* The medians of boxes, a vector of neighbours at a time, whose pixels all are in registers. */
#define EXCHANGE(low, high)                                                                                            \
    {                                                                                                                  \
        V a = v[low], b = v[high];                                                                                     \
        v[low] = NAMED(lesser_vector)(a, b), v[high] = NAMED(greater_vector)(a, b);                                    \
    }
INLINE
void NAMED(medians_of)(const int side, const T *const *rows, T *to, int64_t n, int64_t step) {
    enum { LENGTH = VECTOR_BYTES / sizeof(T) };
    for (int64_t i = 0; i < n; i += LENGTH) {
        V v[25];
#pragma GCC unroll 25
        for (int k = 0; k < side * side; k++) v[k] = *(const NAMED(vector) *)(rows[k / side] + k % side * step + i);
        if (side == 3) {
            MIDDLE_9(EXCHANGE)
        } else {
            MIDDLE_25(EXCHANGE)
        }
        V middle = v[side * side / 2];
        if (n - i >= LENGTH)
            *(NAMED(vector) *)(to + i) = middle;
        else
            memcpy(to + i, &middle, (size_t)(n - i) * sizeof(T));
    }
}
#undef EXCHANGE

INLINE
V NAMED(middle_of)(V a, V b, V c) {
    V less = NAMED(lesser_vector)(a, b), more = NAMED(greater_vector)(a, b);
    return NAMED(greater_vector)(less, NAMED(lesser_vector)(more, c));
}

/* Columns of three rows are sorted, for the three windows that see each: a row of the smallest numbers, one of the
 * middle and one of the largest, `room` apart. Where there is a second result, it is that of one row further down. Here
 * and below, there is a whole vector at least, and the last one overlaps the one before. */
static void NAMED(sort_columns)(const T *const *rows, T *sorted, T *second, int64_t room, int64_t n) {
    enum { LENGTH = VECTOR_BYTES / sizeof(T) };
    const T *a = rows[0], *b = rows[1], *c = rows[2], *d = second ? rows[3] : a;
    if (!second) second = sorted;
    for (int64_t at = 0; at < n; at += LENGTH) {
        int64_t i = min64(at, n - LENGTH);
#define AT(row) (*(const NAMED(vector) *)((row) + i))
        V less = NAMED(lesser_vector)(AT(b), AT(c)), more = NAMED(greater_vector)(AT(b), AT(c));
#define SORT_IN(other, to)                                                                                             \
    {                                                                                                                  \
        V rest = NAMED(greater_vector)(less, AT(other));                                                               \
        *(NAMED(vector) *)((to) + i) = NAMED(lesser_vector)(less, AT(other));                                          \
        *(NAMED(vector) *)((to) + i + room) = NAMED(lesser_vector)(rest, more);                                        \
        *(NAMED(vector) *)((to) + i + 2 * room) = NAMED(greater_vector)(rest, more);                                   \
    }
        SORT_IN(d, second)
        SORT_IN(a, sorted)
#undef SORT_IN
#undef AT
    }
}

/* The median is that of the largest first, the middle second and the smallest third number of three sorted columns. */
static void NAMED(medians_of_sorted)(const T *low, int64_t room, T *to, int64_t n, int64_t step) {
    enum { LENGTH = VECTOR_BYTES / sizeof(T) };
    const T *middle = low + room, *high = middle + room;
    for (int64_t at = 0; at < n; at += LENGTH) {
        int64_t i = min64(at, n - LENGTH);
#define AT(line, k) (*(const NAMED(vector) *)((line) + i + (k) * step))
        V first = NAMED(greater_vector)(NAMED(greater_vector)(AT(low, 0), AT(low, 1)), AT(low, 2));
        V second = NAMED(middle_of)(AT(middle, 0), AT(middle, 1), AT(middle, 2));
        V third = NAMED(lesser_vector)(NAMED(lesser_vector)(AT(high, 0), AT(high, 1)), AT(high, 2));
#undef AT
        *(NAMED(vector) *)(to + i) = NAMED(middle_of)(first, second, third);
    }
}

/* Extrema of small boxes, and medians of 3x3 numbers without NaN, straight from the picture: down the columns, of two
 * rows at once, and along what that gives. */
static int NAMED(small_boxes_work)(const void *context, int64_t begin, int64_t end) {
    const window_job *j = context;
    const fc_filter *f = j->f;
    const int sorts = sizeof(T) <= sizeof(int16_t) && j->side;
    int64_t n = f->width * f->channels, before = f->before * f->channels, lines = sorts ? 3 : 1, room = j->room;
    T *constants = fc_workspace(FC_OWN, (size_t)((2 * lines + 2) * room) * sizeof(T));
    if (!constants) return FC_NO_MEMORY;
    T *first = constants + room + round_up(before, VECTOR_BYTES); /* whole vectors are written */
    for (int64_t i = 0; i < n; i++) constants[i] = (T)f->constant;
    const T *rows[SMALL_SIDE + 1], *shifted[SMALL_SIDE];
    for (int64_t task = begin; task < end; task++) {
        band b = band_of(f, &j->b, task);
        int status = fc_called_off();
        if (status) return status;
        for (int64_t row = b.row; row < b.row_end;) {
            int64_t count = f->kernel_h > 1 && row + 1 < b.row_end ? 2 : 1;
            for (int64_t k = 0; k < f->kernel_h + count - 1; k++) {
                int64_t source = f->rows[row + k];
                rows[k] = source < 0 ? constants : (const T *)(j->x + b.image * f->x_image + source * f->x_row);
            }
            T *second = count > 1 ? first + lines * room : NULL;
            if (sorts)
                NAMED(sort_columns)(rows, first, second, room, n);
            else
                NAMED(extremes_of)(j->largest, rows, f->kernel_h, first, second, n);
            for (T *line = first - before; count-- > 0; line += lines * room, row++) {
                T *to = (T *)(j->out + b.image * f->out_image + row * f->out_row);
                for (int64_t l = 0; l < lines; l++) FILL_ENDS(line + l * room, f, (T)f->constant)
                for (int64_t k = 0; k < f->kernel_w; k++) shifted[k] = line + k * f->channels;
                if (sorts)
                    NAMED(medians_of_sorted)(line, room, to, n, f->channels);
                else
                    NAMED(extremes_of)(j->largest, shifted, f->kernel_w, to, NULL, n);
            }
        }
    }
    return 0;
}

#undef V
#undef C

static void NAMED(medians)(int64_t side, const T *const *rows, T *to, int64_t n, int64_t step) {
    if (side == 3)
        NAMED(medians_of)(3, rows, to, n, step);
    else
        NAMED(medians_of)(5, rows, to, n, step);
}

static int NAMED(network_work)(const void *context, int64_t begin, int64_t end) {
    const window_job *j = context;
    const fc_filter *f = j->f;
    T v[FC_MOST_NETWORK][NAMED(CHUNK)] __attribute__((aligned(64)));
    int64_t c = f->channels, ring = f->kernel_h;
    T *memory = fc_workspace(FC_OWN, (size_t)(ring * j->room) * sizeof(T));
    if (!memory) return FC_NO_MEMORY;
    for (int64_t task = begin; task < end; task++) {
        band b = band_of(f, &j->b, task);
        int64_t n = (b.pixel_end - b.pixel) * c, fetched = b.row;
        for (int64_t row = b.row; row < b.row_end; row++) {
            int status = fc_called_off();
            if (status) return status;
            for (; fetched < row + f->kernel_h; fetched++)
                NAMED(read_row)(memory + fetched % ring * j->room, f, j->x + b.image * f->x_image, fetched, b.pixel,
                                b.pixel_end - b.pixel + f->kernel_w - 1);
            T *to = (T *)(j->out + b.image * f->out_image + row * f->out_row) + b.pixel * c;
            if (j->side == 3 || j->side == 5) {
                const T *rows[5];
                for (int64_t r = 0; r < ring; r++) rows[r] = memory + (row + r) % ring * j->room;
                NAMED(medians)(j->side, rows, to, n, c);
                continue;
            }
            for (int64_t i = 0; i < n; i += NAMED(CHUNK)) {
                for (int64_t k = 0; k < j->count; k++)
                    memcpy(v[k], memory + (row + j->offsets[2 * k]) % ring * j->room + j->offsets[2 * k + 1] * c + i,
                           sizeof *v);
                NAMED(exchange)(v, j->exchanges, j->steps);
                memcpy(to + i, v[j->place], (size_t)min64(NAMED(CHUNK), n - i) * sizeof(T));
            }
        }
    }
    return 0;
}

#undef T
#undef NAMED
#undef IS_NAN
#undef LANE
#undef LESSER
#undef GREATER
