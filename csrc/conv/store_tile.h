/* The way of a register tile's sums to the output: bias, residual, activation, and the transposition that NCHW needs.
 * Used by direct_channels.c and im2col.c. */
#ifndef FC_STORE_TILE_H
#define FC_STORE_TILE_H

#include "base/bands.h"
#include "base/kernel_costs.h"
#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/channel_tile.h"
#include "conv/epilogue.h"
#include "conv/grid.h"

/* Finishes `sums`, [output][NR], of outputs that are `step` pixels apart; the first is element `first` of `to`, for the
 * block's first filter, number `filter` of all. Of NCHW outputs, rows of sums up to the next multiple of VL are read.
 */
static inline void store_tile(const operands *o, const fc_epilogue *e, real *to, int64_t first, int64_t step,
                              int64_t outputs, int64_t filter, int64_t filters, const real *sums) {
    real *out = to + first;
    const channel_values values = values_from(e, filter);
    const real *residual = e->residual ? (const real *)e->residual + first : NULL;
    if (o->out_channel == 1) { /* NHWC, or an image of one pixel */
        for (int64_t m = 0; m < outputs; m++)
            for (int64_t k = 0; k < filters; k += VL) {
                int64_t n = min64(VL, filters - k), at = m * step * o->out_pixel + k;
                finish(out + at, load(sums + m * NR + k), neighbours(values, k, n), residual ? residual + at : NULL, n,
                       e);
            }
        return;
    }
    for (int64_t k0 = 0; k0 < filters; k0 += VL)
        for (int64_t m = 0; m < outputs; m += VL) {
            vec block[VL];
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++) block[i] = load(sums + (m + i) * NR + k0);
            transpose(block);
            int64_t n = min64(VL, outputs - m), lanes_used = min64(VL, filters - k0);
            for (int64_t i = 0; i < lanes_used; i++) {
                int64_t at = (k0 + i) * o->out_channel + m * step;
                const channel_lanes own = one_channel(values, k0 + i);
                const real *res = residual ? residual + at : NULL;
                if (step == 1)
                    finish(out + at, block[i], own, res, n, e);
                else
                    finish_strided(out + at, step, block[i], own, res, n, e);
            }
        }
}

/* Cycles of storing so many neighbouring pixels of all filters. NCHW results are transposed, VL x VL; of planes that
 * crowd a cache, lines are fetched again for each tile that writes a part of them. NHWC results that fill their blocks
 * may go straight from the registers; a pixel's groups that are done one after the other fetch its cache lines each
 * time. */
static inline double store_cycles(const operands *o, double pixels, int straight) {
    double vectors = (double)ceil_div(o->filters, VL);
    if (o->out_channel > 1) {
        double row = MOVING(11) * (is_crowded(o->out_channel) ? fc_these_costs->crowded : 1);
        return ceil(pixels / VL) * (vectors * VL * PRODUCT_CYCLES * 2.7 + (double)o->filters * row);
    }
    int again = o->groups > 1 && o->filters < NR && beyond_l2(o->out_image);
    return vectors * pixels * MOVING(again ? 16 : straight ? 4.4 : 8.6);
}

#endif
