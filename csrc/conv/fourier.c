/* The complex Fourier transform of a tile of rows x columns points, forwards and back, in place. Used by fft.c and
 * gradient_fft.c.
 *
 * A buffer has complex vectors: VL real parts, then VL imaginary parts, of neighbouring points of a row. First the
 * columns are transformed, lanes being columns; then the rows, lanes being neighbours, down to VL points; these lie in
 * the lanes of one vector and are transformed after a transpose of VL vectors. Stages are radix 4. Nothing is put into
 * order: forwards is decimation in frequency, back is decimation in time from the order that this leaves, the weights'
 * transforms have the same order, and a transposed vector stays transposed until it comes back. A stretch of a line, or
 * a few columns, go through all stages that they can while L1 holds them. */
#include "conv/fourier.h"

#include <math.h>

enum { L1_REALS = (16 << 10) / sizeof(real), FINE = 64 };

INLINE
complex_vec minus(complex_vec a, complex_vec b) { return (complex_vec){a.re - b.re, a.im - b.im}; }
INLINE
complex_vec times(complex_vec a, complex_vec b) {
    return (complex_vec){a.re * b.re - a.im * b.im, a.im * b.re + a.re * b.im};
}
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

/* Does a stage of radix 4 at one place: four points `step` reals apart. */
INLINE
void four_in_memory(const int back, real *p, int64_t step, const complex_vec *roots) {
    complex_vec a[4] = {get(p), get(p + step), get(p + 2 * step), get(p + 3 * step)};
    if (back)
        for (int i = 1; i < 4; i++) a[i] = turn(1, a[i], roots[i - 1]);
    four(back, a);
    if (!back)
        for (int i = 1; i < 4; i++) a[i] = turn(0, a[i], roots[i - 1]);
    for (int i = 0; i < 4; i++) put(p + i * step, a[i]);
}

INLINE
void two_in_memory(const int back, real *p, int64_t step, complex_vec root) {
    complex_vec a = get(p), b = get(p + step);
    if (back) b = turn(1, b, root);
    put(p, plus(a, b)), put(p + step, back ? minus(a, b) : turn(0, minus(a, b), root));
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
int radix_of(int64_t n, int64_t least) { return n >= 4 * least ? 4 : n >= 2 * least ? 2 : 1; }

static inline int64_t stage_reals(int64_t n, int radix) { return n / radix * 2 * (radix - 1); }

int64_t FC_NAME(fourier_roots)(int64_t points, int of_rows, real *to) {
    int64_t least = of_rows ? VL : 1, all = 0;
    for (int64_t n = points; radix_of(n, least) > 1; n /= radix_of(n, least)) {
        if (to && of_rows) stage_roots(n, radix_of(n, least), VL, to + all);
        if (to && !of_rows) stage_roots(n, radix_of(n, least), 1, to + all);
        all += stage_reals(n, radix_of(n, least));
    }
    return all;
}

/* ---- columns ---- */

INLINE
void column_stage(const int back, const fourier *f, real *at, int64_t vectors, int64_t n, const real *roots) {
    const int radix = radix_of(n, 1);
    int64_t step = n / radix * f->row_step;
    for (int64_t j = 0; j < n / radix; j++, roots += 2 * (radix - 1)) {
        complex_vec w[3] = {{zero(), zero()}, {zero(), zero()}, {zero(), zero()}};
        for (int i = 0; i < 3; i++)
            if (i < radix - 1) w[i] = (complex_vec){splat(roots[2 * i]), splat(roots[2 * i + 1])};
        for (int64_t block = j; block < f->rows; block += n)
            for (int64_t v = 0; v < vectors; v++) {
                real *p = at + block * f->row_step + v * 2 * VL;
                if (radix == 4)
                    four_in_memory(back, p, step, w);
                else
                    two_in_memory(back, p, step, w[0]);
            }
    }
}

INLINE
void all_columns(const int back, const fourier *f, real *buffer) {
    int64_t vectors = f->columns / VL, group = max64(1, min64(vectors, L1_REALS / (2 * VL * f->rows)));
    for (int64_t v = 0; v < vectors; v += group) {
        real *at = buffer + v * 2 * VL;
        int64_t count = min64(group, vectors - v), n = f->rows;
        const real *roots = f->column_turns;
        if (!back) {
            for (; n > 1; n /= radix_of(n, 1)) {
                column_stage(0, f, at, count, n, roots);
                roots += stage_reals(n, radix_of(n, 1));
            }
            continue;
        }
        roots += FC_NAME(fourier_roots)(f->rows, 0, NULL);
        if (radix_of(f->rows, 1) == 1) continue;
        int64_t last = f->rows;
        while (last > 4) last /= 4; /* the stage that is the last forwards */
        for (n = last; n <= f->rows; n *= 4) {
            roots -= stage_reals(n, radix_of(n, 1));
            column_stage(1, f, at, count, n, roots);
        }
    }
}

static NOINLINE void columns_there(const fourier *f, real *buffer) { all_columns(0, f, buffer); }
static NOINLINE void columns_back(const fourier *f, real *buffer) { all_columns(1, f, buffer); }

/* ---- rows ---- */

/* Does a stage over all blocks of n of a line's points. */
INLINE
void row_stage(const int back, real *line, int64_t points, int64_t n, const real *roots) {
    const int radix = radix_of(n, VL);
    int64_t step = n / radix * 2;
    for (int64_t j = 0; j < n / radix; j += VL, roots += 2 * VL * (radix - 1)) {
        complex_vec w[3] = {{zero(), zero()}, {zero(), zero()}, {zero(), zero()}};
        for (int i = 0; i < 3; i++)
            if (i < radix - 1) w[i] = get(roots + 2 * i * VL);
        for (real *p = line + 2 * j; p < line + 2 * points; p += 2 * n)
            if (radix == 4)
                four_in_memory(back, p, step, w);
            else
                two_in_memory(back, p, step, w[0]);
    }
}

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

/* Does the last stages of VL vectors, `in_row` of them in each row. */
INLINE
void lane_stages(const direction d, real *p, int64_t row_step, int64_t in_row, const real *weights) {
    complex_vec a[VL];
    vec re[VL], im[VL];
    real *from[VL];
    for (int i = 0; i < VL; i++) from[i] = p + i / in_row * row_step + i % in_row * 2 * VL;
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

/* `row_count` rows are done together: where VL vectors are more than a row has. */
INLINE
void lines(const direction d, const fourier *f, real *line, int64_t points, int64_t row_count, const real *roots,
           const real *weights) {
    const real *end = roots;
    int64_t n;
    for (n = points; radix_of(n, VL) > 1; n /= radix_of(n, VL)) {
        if (d != BACK)
            for (int64_t r = 0; r < row_count; r++) row_stage(0, line + r * f->row_step, points, n, end);
        end += stage_reals(n, radix_of(n, VL));
    }
    int64_t in_row = min64(VL, points / VL);
    for (int64_t v = 0; v < points / VL * row_count; v += VL)
        lane_stages(d, line + 2 * v * VL, f->row_step, in_row, weights + 2 * v * VL);
    if (d == THERE) return;
    for (n = points; n >= 4 * VL;) n /= 4;
    for (n = n > VL ? n : 4 * n; n <= points; n *= 4) {
        end -= stage_reals(n, radix_of(n, VL));
        for (int64_t r = 0; r < row_count; r++) row_stage(1, line + r * f->row_step, points, n, end);
    }
}

static NOINLINE void lines_there(const fourier *f, real *line, int64_t points, int64_t row_count, const real *roots,
                                 const real *weights) {
    lines(THERE, f, line, points, row_count, roots, weights);
}
static NOINLINE void lines_back(const fourier *f, real *line, int64_t points, int64_t row_count, const real *roots,
                                const real *weights) {
    lines(BACK, f, line, points, row_count, roots, weights);
}
static NOINLINE void lines_through(const fourier *f, real *line, int64_t points, int64_t row_count, const real *roots,
                                   const real *weights) {
    lines(THROUGH, f, line, points, row_count, roots, weights);
}

static void long_line(const direction d, const fourier *f, real *line, int64_t points, int64_t row_count,
                      const real *roots, const real *weights) {
    if (2 * points <= L1_REALS || points < 4 * VL * VL) {
        (d == THERE ? lines_there : d == BACK ? lines_back : lines_through)(f, line, points, row_count, roots, weights);
        return;
    }
    if (d != BACK) row_stage(0, line, points, points, roots);
    for (int64_t i = 0, quarter = points / 4; i < 4; i++)
        long_line(d, f, line + 2 * i * quarter, quarter, 1, roots + stage_reals(points, 4), weights + 2 * i * quarter);
    if (d != THERE) row_stage(1, line, points, points, roots);
}

void FC_NAME(fourier_transform)(direction d, const fourier *f, real *buffer, const real *weights) {
    int64_t together = max64(1, VL * VL / f->columns);
    if (d != BACK && f->rows > 1) columns_there(f, buffer);
    for (int64_t r = 0; r < f->rows; r += together)
        long_line(d, f, buffer + r * f->row_step, f->columns, together, f->row_turns, weights + 2 * r * f->columns);
    if (d != THERE && f->rows > 1) columns_back(f, buffer);
}
