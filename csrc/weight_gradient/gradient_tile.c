/* The register tile of the weight gradient's kernels: `rows` reals of one operand x vectors of filters, every pixel (or
 * tile of pixels) being a step of the reduction. After TILE_STEPS of them the partial sums leave the registers, and are
 * added up in L1. */
#include "base/simd.h"
#include "weight_gradient/gradient.h"

enum { TILE_STEPS = 32 };

INLINE
void multiply_tile(const int rows, const int vectors, const gradient_tile *t) {
    vec sum[MR][NV], parts[MR][NV]; /* of these steps, and of those before */
    const int64_t step = t->step;
    const step_stretch *s = t->stretches;
    int64_t done = 0; /* steps of the stretch */
    int more = 0;
    do {
#pragma GCC unroll 16
        for (int m = 0; m < rows; m++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) sum[m][v] = zero();
        for (int64_t room = TILE_STEPS; room > 0 && s < t->end;) {
            const real *x = t->x + s->cell * t->width + done * step;
            const real *g = t->gradient + (s->pixel + done) * vectors * VL;
            int64_t count = min64(s->count - done, room);
            room -= count, done += count;
            if (done == s->count) s++, done = 0;
            for (int64_t i = count; i > 0; i--, x += step, g += vectors * VL) {
                vec gradient[NV];
#pragma GCC unroll 2
                for (int v = 0; v < vectors; v++) gradient[v] = load(g + v * VL);
#pragma GCC unroll 16
                for (int m = 0; m < rows; m++) {
                    vec pixel = splat(x[m]);
#pragma GCC unroll 2
                    for (int v = 0; v < vectors; v++) sum[m][v] += pixel * gradient[v];
                }
            }
        }
        if (more) {
#pragma GCC unroll 16
            for (int m = 0; m < rows; m++)
#pragma GCC unroll 2
                for (int v = 0; v < vectors; v++) sum[m][v] += parts[m][v];
        }
        more = s < t->end;
        if (more) {
#pragma GCC unroll 16
            for (int m = 0; m < rows; m++)
#pragma GCC unroll 2
                for (int v = 0; v < vectors; v++) parts[m][v] = sum[m][v];
        }
    } while (more);
    if (!t->first) {
#pragma GCC unroll 16
        for (int m = 0; m < rows; m++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) sum[m][v] += load(t->sums + (m * vectors + v) * VL);
    }
#pragma GCC unroll 16
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) store(t->sums + (m * vectors + v) * VL, sum[m][v]);
}

#define TILE(rows)                                                                                                     \
    static void tile_##rows##_1(const gradient_tile *t) { multiply_tile(rows, 1, t); }                                 \
    static void tile_##rows##_2(const gradient_tile *t) { multiply_tile(rows, 2, t); }
#define ROW(rows) {tile_##rows##_1, tile_##rows##_2},

EACH_TILE(TILE)

gradient_tile_function *const FC_NAME(gradient_tiles)[MR][NV] = {EACH_TILE(ROW)};
