/* The complex Fourier transform of a tile of rows x columns points, forwards and back, in place. Used by fft.c and
 * gradient_fft.c.
 *
 * A buffer has complex vectors: VL real parts, then VL imaginary parts, of neighbouring points of a row. First the
 * columns are transformed, lanes being columns; then the rows, lanes being neighbours, down to VL points; these lie in
 * the lanes of one vector and are transformed after a transpose of VL vectors. Stages are of radix 5, 3, 4 and 2, in
 * this order. Nothing is put into order: forwards is decimation in frequency, back is decimation in time from the order
 * that this leaves, the weights' transforms have the same order, and a transposed vector stays transposed until it
 * comes back. A stretch of a line, or a few columns, go through all stages that they can while L1 holds them. */
#include "conv/fourier.h"

#include <math.h>

enum { L1_REALS = (16 << 10) / sizeof(real), FINE = 64 };

INLINE
complex_vec minus(complex_vec a, complex_vec b) { return (complex_vec){a.re - b.re, a.im - b.im}; }
/* Multiplies by a root forwards, by its conjugate backwards. */
INLINE
complex_vec turn(const int back, complex_vec a, complex_vec root) {
    if (back) root.im = -root.im;
    return times(a, root);
}

/* The transform of 4 points, without the roots that go before it backwards and behind it forwards. */
INLINE
void four(const int back, complex_vec *a) {
    complex_vec even = plus(a[0], a[2]), odd = minus(a[0], a[2]), sum = plus(a[1], a[3]), rest = minus(a[1], a[3]);
    complex_vec turned = back ? (complex_vec){-rest.im, rest.re} : (complex_vec){rest.im, -rest.re};
    a[0] = plus(even, sum), a[1] = plus(odd, turned), a[2] = minus(even, sum), a[3] = minus(odd, turned);
}

INLINE
void three(const int back, complex_vec *a) {
    const vec height = splat((real)(back ? 0.86602540378443864676 : -0.86602540378443864676));
    complex_vec sum = plus(a[1], a[2]), rest = minus(a[1], a[2]);
    complex_vec middle = {a[0].re - sum.re * (real)0.5, a[0].im - sum.im * (real)0.5};
    complex_vec turned = {-rest.im * height, rest.re * height};
    a[0] = plus(a[0], sum), a[1] = plus(middle, turned), a[2] = minus(middle, turned);
}

INLINE
void five(const int back, complex_vec *a) {
    const real cos1 = (real)0.30901699437494742410, cos2 = (real)-0.80901699437494742410;
    const real sin1 = (real)(back ? 0.95105651629515357212 : -0.95105651629515357212),
               sin2 = (real)(back ? 0.58778525229247312917 : -0.58778525229247312917);
    complex_vec outer = plus(a[1], a[4]), inner = plus(a[2], a[3]), far = minus(a[1], a[4]), near = minus(a[2], a[3]);
    complex_vec m1 = {a[0].re + outer.re * cos1 + inner.re * cos2, a[0].im + outer.im * cos1 + inner.im * cos2};
    complex_vec m2 = {a[0].re + outer.re * cos2 + inner.re * cos1, a[0].im + outer.im * cos2 + inner.im * cos1};
    complex_vec t1 = {-(far.im * sin1 + near.im * sin2), far.re * sin1 + near.re * sin2};
    complex_vec t2 = {-(far.im * sin2 - near.im * sin1), far.re * sin2 - near.re * sin1};
    a[0] = plus(a[0], plus(outer, inner));
    a[1] = plus(m1, t1), a[4] = minus(m1, t1), a[2] = plus(m2, t2), a[3] = minus(m2, t2);
}

enum { MOST_RADIX = 5, MOST_STAGES = 40 };

/* Does a stage at one place: points `step` reals apart. */
INLINE
void in_memory(const int back, const int radix, real *p, int64_t step, const complex_vec *roots) {
    complex_vec a[MOST_RADIX];
#pragma GCC unroll 5
    for (int i = 0; i < radix; i++) a[i] = get(p + i * step);
    if (back)
#pragma GCC unroll 5
        for (int i = 1; i < radix; i++) a[i] = turn(1, a[i], roots[i - 1]);
    if (radix == 2) {
        complex_vec sum = plus(a[0], a[1]);
        a[1] = minus(a[0], a[1]), a[0] = sum;
    } else {
        (radix == 3 ? three : radix == 4 ? four : five)(back, a);
    }
    if (!back)
#pragma GCC unroll 5
        for (int i = 1; i < radix; i++) a[i] = turn(0, a[i], roots[i - 1]);
#pragma GCC unroll 5
    for (int i = 0; i < radix; i++) put(p + i * step, a[i]);
}

/* ---- roots: exp(-2 pi i j k / n), k < radix, for each stage from the first on ---- */

typedef struct {
    double re[FINE], im[FINE];
} some_roots; /* neighbours */

static inline void root_of(int64_t j, int64_t n, double *re, double *im) {
    double angle = -2 * 3.14159265358979323846 * (double)j / (double)n;
    *re = cos(angle), *im = sin(angle);
}

/* A root has `in_vector` real parts, then as many imaginary parts, of neighbouring j. A product of two roots that are
 * exact is as good as exact in double, and saves most of the sines. */
INLINE
void stage_roots(int64_t n, int radix, int64_t in_vector, real *to) {
    some_roots fine, one, power;
    for (int64_t i = 0; i < min64(FINE, n / radix); i++) root_of(i, n, &fine.re[i], &fine.im[i]);
    for (int64_t j = 0; j < n / radix; j += FINE) {
        int64_t count = min64(FINE, n / radix - j);
        double re, im;
        root_of(j, n, &re, &im);
        for (int64_t i = 0; i < count; i++) {
            one.re[i] = re * fine.re[i] - im * fine.im[i], one.im[i] = im * fine.re[i] + re * fine.im[i];
            power.re[i] = one.re[i], power.im[i] = one.im[i];
        }
        for (int k = 1; k < radix; k++) {
            for (int64_t v = 0; v < count; v += in_vector) {
                real *at = to + (j + v) * 2 * (radix - 1) + 2 * (k - 1) * in_vector;
                for (int64_t i = 0; i < in_vector; i++) at[i] = (real)power.re[v + i];
                for (int64_t i = 0; i < in_vector; i++) at[in_vector + i] = (real)power.im[v + i];
            }
            for (int64_t i = 0; i < count; i++) {
                double x = power.re[i], y = power.im[i];
                power.re[i] = x * one.re[i] - y * one.im[i], power.im[i] = y * one.re[i] + x * one.im[i];
            }
        }
    }
}

/* The radix of the stage that cuts lines of n points down to no fewer than `least`; 1 where there is none. */
INLINE
int radix_of(int64_t n, int64_t least) {
    int64_t rest = n / least;
    return rest % 5 == 0 ? 5 : rest % 3 == 0 ? 3 : rest % 4 == 0 ? 4 : rest % 2 == 0 ? 2 : 1;
}

static inline int64_t stage_reals(int64_t n, int radix) { return n / radix * 2 * (radix - 1); }

int64_t FC_NAME(fourier_roots)(int64_t points, int of_rows, real *to) {
    int64_t least = of_rows ? VL : 1, all = 0;
    int radix;
    for (int64_t n = points; (radix = radix_of(n, least)) > 1; n /= radix) {
        if (to && of_rows) stage_roots(n, radix, VL, to + all);
        if (to && !of_rows) stage_roots(n, radix, 1, to + all);
        all += stage_reals(n, radix);
    }
    return all;
}

void FC_NAME(fourier_twists)(int64_t points, int of_rows, real *to) {
    int64_t in_vector = of_rows ? VL : 1;
    for (int64_t j = 0; j < points; j++) {
        double re, im;
        root_of(-j, 4 * points, &re, &im);
        real *at = to + j / in_vector * 2 * in_vector + j % in_vector;
        at[0] = (real)re, at[in_vector] = (real)im;
    }
}

/* A stage of lines of n points, with its roots. */
typedef struct {
    int64_t n;
    int radix;
    const real *roots;
} stage;

/* Those from lines of `points` points on, in their order forwards. */
static int stages_of(int64_t points, int64_t least, const real *roots, stage *to) {
    int count = 0, radix;
    for (int64_t n = points; (radix = radix_of(n, least)) > 1; n /= radix) {
        to[count++] = (stage){n, radix, roots};
        roots += stage_reals(n, radix);
    }
    return count;
}

#define OF_RADIX(f, radix, ...)                                                                                        \
    switch (radix) {                                                                                                   \
        case 2: f(2, __VA_ARGS__); break;                                                                              \
        case 3: f(3, __VA_ARGS__); break;                                                                              \
        case 4: f(4, __VA_ARGS__); break;                                                                              \
        default: f(5, __VA_ARGS__);                                                                                    \
    }

/* ---- columns ---- */

INLINE
void column_stage(const int radix, const int back, const fourier *f, real *at, int64_t vectors, const stage *s) {
    int64_t step = s->n / radix * f->row_step;
    const real *roots = s->roots;
    for (int64_t j = 0; j < s->n / radix; j++, roots += 2 * (radix - 1)) {
        complex_vec w[MOST_RADIX - 1];
#pragma GCC unroll 4
        for (int i = 0; i < radix - 1; i++) w[i] = (complex_vec){splat(roots[2 * i]), splat(roots[2 * i + 1])};
        for (int64_t block = j; block < f->rows; block += s->n)
            for (int64_t v = 0; v < vectors; v++)
                in_memory(back, radix, at + block * f->row_step + v * 2 * VL, step, w);
    }
}

INLINE
void all_columns(const int back, const fourier *f, real *buffer, int64_t first, int64_t end) {
    stage stages[MOST_STAGES];
    int count = stages_of(f->rows, 1, f->column_turns, stages);
    int64_t group = max64(1, L1_REALS / (2 * VL * f->rows));
    for (int64_t v = first; v < end; v += group)
        for (int i = 0; i < count; i++) {
            const stage *s = stages + (back ? count - 1 - i : i);
            OF_RADIX(column_stage, s->radix, back, f, buffer + v * 2 * VL, min64(group, end - v), s)
        }
}

static NOINLINE void columns_there(const fourier *f, real *buffer, int64_t first, int64_t end) {
    all_columns(0, f, buffer, first, end);
}
static NOINLINE void columns_back(const fourier *f, real *buffer, int64_t first, int64_t end) {
    all_columns(1, f, buffer, first, end);
}

void FC_NAME(fourier_columns)(direction d, const fourier *f, real *buffer, int64_t first, int64_t count) {
    if (f->rows > 1) (d == BACK ? columns_back : columns_there)(f, buffer, first, first + count);
}

/* ---- rows ---- */

/* Does a stage over all blocks of a line's points. */
INLINE
void row_stage(const int radix, const int back, real *line, int64_t points, const stage *s) {
    int64_t step = s->n / radix * 2;
    const real *roots = s->roots;
    for (int64_t j = 0; j < s->n / radix; j += VL, roots += 2 * VL * (radix - 1)) {
        complex_vec w[MOST_RADIX - 1];
#pragma GCC unroll 4
        for (int i = 0; i < radix - 1; i++) w[i] = get(roots + 2 * i * VL);
        for (real *p = line + 2 * j; p < line + 2 * points; p += 2 * s->n) in_memory(back, radix, p, step, w);
    }
}

static NOINLINE void row_stage_there(real *line, int64_t points, const stage *s) {
    OF_RADIX(row_stage, s->radix, 0, line, points, s)
}
static NOINLINE void row_stage_back(real *line, int64_t points,
                                    const stage *s){OF_RADIX(row_stage, s -> radix, 1, line, points, s)}

/* The transform of VL points across vectors. */
#define ROOT(n, j) ((complex_vec){splat((real)root_re[(j) * (16 / (n))]), splat((real)root_im[(j) * (16 / (n))])})
INLINE
void across_vectors(const int back, complex_vec *a) {
    static const double root_re[16] = {1,  0.92387953251128675613,  0.70710678118654752440,  0.38268343236508977173,
                                       0,  -0.38268343236508977173, -0.70710678118654752440, -0.92387953251128675613,
                                       -1, -0.92387953251128675613},
                        root_im[16] = {0,  -0.38268343236508977173, -0.70710678118654752440, -0.92387953251128675613,
                                       -1, -0.92387953251128675613, -0.70710678118654752440, -0.38268343236508977173,
                                       0,  0.38268343236508977173};
    enum { QUARTER = VL / 4 > 0 ? VL / 4 : 1 };
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) >= 8
    for (int pass = 0; pass < 2; pass++) { /* the stage with roots, and the one of neighbours */
        if (pass == back) {
#pragma GCC unroll 4
            for (int j = 0; j < QUARTER; j++) {
                complex_vec b[4] = {a[j], a[j + QUARTER], a[j + 2 * QUARTER], a[j + 3 * QUARTER]};
                if (back && j)
                    for (int k = 1; k < 4; k++) b[k] = turn(1, b[k], ROOT(VL, j * k));
                four(back, b);
                if (!back && j)
                    for (int k = 1; k < 4; k++) b[k] = turn(0, b[k], ROOT(VL, j * k));
                for (int k = 0; k < 4; k++) a[j + k * QUARTER] = b[k];
            }
            continue;
        }
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) == 16
#pragma GCC unroll 4
        for (int i = 0; i < VL; i += 4) four(back, a + i);
#else
#pragma GCC unroll 4
        for (int i = 0; i < VL; i += 2) {
            complex_vec sum = plus(a[i], a[i + 1]), rest = minus(a[i], a[i + 1]);
            a[i] = sum, a[i + 1] = rest;
        }
#endif
    }
#elif VECTOR_BYTES / (4 + 4 * FC_DOUBLE) == 4
    (void)root_re, (void)root_im;
    four(back, a);
#else
    (void)root_re, (void)root_im, (void)back;
    complex_vec sum = plus(a[0], a[1]), rest = minus(a[0], a[1]);
    a[0] = sum, a[1] = rest;
#endif
}

/* Does the last stages of VL vectors from the v-th on; each row has `in_row`. */
INLINE
void lane_stages(const direction d, real *line, int64_t row_step, int64_t v, int64_t in_row, const real *weights) {
    complex_vec a[VL];
    vec re[VL], im[VL];
    real *from[VL];
    real *row = line + v / in_row * row_step;
    int64_t at = v % in_row;
    for (int i = 0; i < VL; i++) {
        from[i] = row + at * 2 * VL;
        if (++at == in_row) at = 0, row += row_step;
    }
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) a[i] = get(from[i]), re[i] = a[i].re, im[i] = a[i].im;
    if (d != BACK) {
        transpose(re), transpose(im);
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) a[i] = (complex_vec){re[i], im[i]};
        across_vectors(0, a);
    }
    if (d == THROUGH)
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) a[i] = times(a[i], get(weights + 2 * i * VL));
    if (d != THERE) {
        across_vectors(1, a);
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) re[i] = a[i].re, im[i] = a[i].im;
        transpose(re), transpose(im);
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) a[i] = (complex_vec){re[i], im[i]};
    }
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) put(from[i], a[i]);
}

/* The last stages of `count` vectors of rows of `in_row`. */
INLINE
void all_lanes(const direction d, real *line, int64_t row_step, int64_t in_row, int64_t count, const real *weights) {
    for (int64_t v = 0; v < count; v += VL) lane_stages(d, line, row_step, v, in_row, weights + 2 * v * VL);
}
static NOINLINE void lanes_there(real *line, int64_t row_step, int64_t in_row, int64_t count) {
    all_lanes(THERE, line, row_step, in_row, count, NULL);
}
static NOINLINE void lanes_back(real *line, int64_t row_step, int64_t in_row, int64_t count) {
    all_lanes(BACK, line, row_step, in_row, count, NULL);
}
static NOINLINE void lanes_through(real *line, int64_t row_step, int64_t in_row, int64_t count, const real *weights) {
    all_lanes(THROUGH, line, row_step, in_row, count, weights);
}

/* `row_count` rows are done together: where VL vectors are not a whole part of a row. */
static void lines(direction d, const fourier *f, real *line, int64_t points, int64_t row_count, const real *roots,
                  const real *weights) {
    stage stages[MOST_STAGES];
    int count = stages_of(points, VL, roots, stages);
    if (row_count == 1 && 2 * points > L1_REALS && points / stages[0].radix % (VL * VL) == 0) {
        int64_t part = points / stages[0].radix;
        if (d != BACK) row_stage_there(line, points, stages);
        for (int64_t i = 0; i < points; i += part)
            lines(d, f, line + 2 * i, part, 1, roots + stage_reals(points, stages[0].radix), weights + 2 * i);
        if (d != THERE) row_stage_back(line, points, stages);
        return;
    }
    for (int i = 0; i < count && d != BACK; i++)
        for (int64_t r = 0; r < row_count; r++) row_stage_there(line + r * f->row_step, points, stages + i);
    int64_t in_row = points / VL, all = in_row * row_count;
    if (d == THERE) lanes_there(line, f->row_step, in_row, all);
    if (d == BACK) lanes_back(line, f->row_step, in_row, all);
    if (d == THROUGH) lanes_through(line, f->row_step, in_row, all, weights);
    for (int i = count - 1; i >= 0 && d != THERE; i--)
        for (int64_t r = 0; r < row_count; r++) row_stage_back(line + r * f->row_step, points, stages + i);
}

void FC_NAME(fourier_rows)(direction d, const fourier *f, real *buffer, int64_t first, int64_t count,
                           const real *weights) {
    int64_t together = fourier_rows_together(f->columns);
    for (int64_t r = first; r < first + count; r += together)
        lines(d, f, buffer + r * f->row_step, f->columns, together, f->row_turns, weights + 2 * r * f->columns);
}

void FC_NAME(fourier_transform)(direction d, const fourier *f, real *buffer, const real *weights) {
    if (d != BACK) FC_NAME(fourier_columns)(THERE, f, buffer, 0, f->columns / VL);
    FC_NAME(fourier_rows)(d, f, buffer, 0, f->rows, weights);
    if (d != THERE) FC_NAME(fourier_columns)(BACK, f, buffer, 0, f->columns / VL);
}
