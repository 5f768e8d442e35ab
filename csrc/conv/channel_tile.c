/* The register tile of channel_tile.h, instantiated for every number of pixels, and its packing of weights. Called by
 * direct_channels.c and by Winograd's algorithm (winograd.h, winograd_weights.h). */
#include "base/bands.h"
#include "base/simd.h"
#include "conv/channel_tile.h"
#include "conv/grid.h"

/* Loads are scarce beside products of few registers: a line of weights is asked for once. */
enum { LINE_VECTORS = 64 / VECTOR_BYTES };

/* Pixels are reached from every third one: x86 addresses base, base + step and base + 2 * step at no cost. */
INLINE
void multiply_tile(const int rows, const int vectors, const int unit, const channel_tile *t) {
    vec sum[MR][NV];
#pragma GCC unroll 16
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            sum[m][v] = !unit && t->goes_on ? load(t->sums + m * t->sums_step + v * VL) : zero();
    const real *w = t->weights;
    const int64_t step = unit ? 1 : t->pixel_step, next = unit ? t->channel_step : 1;
    const int64_t tap_weights = t->channels * vectors * VL, skipped = t->row_skipped * tap_weights;
    const int64_t *offset = t->tap_offset, ahead = t->ahead;
    const real *result = t->sums;
    int64_t to_fetch = !unit && t->fetches ? rows : 0;
    for (int64_t row = t->rows; row > 0; row--, offset += t->row_offsets, w += skipped)
        for (int64_t tap = 0; tap < t->columns; tap++) {
            const real *p[(MR + 2) / 3];
#pragma GCC unroll 8
            for (int i = 0; i < (MR + 2) / 3; i++) p[i] = t->pixels + offset[tap] + 3 * i * step;
            for (int64_t c = t->channels; c > 0; c--) {
                vec weight[NV];
#pragma GCC unroll 2
                for (int v = 0; v < vectors; v++) weight[v] = load(w + v * VL);
                for (int v = 0; v < vectors; v += LINE_VECTORS) __builtin_prefetch(w + (64 * vectors + v) * VL);
                if (FETCHES && unit && ahead) __builtin_prefetch(p[0] + ahead);
                if (FETCHES && !unit && to_fetch) {
                    for (int v = 0; v < vectors; v++) __builtin_prefetch(result + v * VL, 1);
                    result += t->sums_step, to_fetch--;
                }
                w += vectors * VL;
#pragma GCC unroll 16
                for (int m = 0; m < rows; m++) {
                    vec pixel = splat(unit ? p[0][m] : p[m / 3][m % 3 * step]);
#pragma GCC unroll 2
                    for (int v = 0; v < vectors; v++) sum[m][v] += pixel * weight[v];
                }
                for (int i = 0; i < (unit ? 1 : (rows + 2) / 3); i++) p[i] += next;
            }
        }
    if (t->finished) {
        vec bias[NV];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) bias[v] = t->bias ? load(t->bias + v * VL) : zero();
#pragma GCC unroll 16
        for (int m = 0; m < rows; m++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) {
                sum[m][v] += bias[v];
                if (t->kind == FINISH_BOUNDS) sum[m][v] = bounded(sum[m][v], &t->between);
            }
    }
#pragma GCC unroll 16
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) store(t->sums + m * t->sums_step + v * VL, sum[m][v]);
}

#define TILE(rows)                                                                                                     \
    static void tile_##rows##_1_unit(const channel_tile *t) { multiply_tile(rows, 1, 1, t); }                          \
    static void tile_##rows##_2_unit(const channel_tile *t) { multiply_tile(rows, 2, 1, t); }                          \
    static void tile_##rows##_1_step(const channel_tile *t) { multiply_tile(rows, 1, 0, t); }                          \
    static void tile_##rows##_2_step(const channel_tile *t) { multiply_tile(rows, 2, 0, t); }
#define ROW(rows) {{tile_##rows##_1_step, tile_##rows##_2_step}, {tile_##rows##_1_unit, tile_##rows##_2_unit}},

EACH_TILE(TILE)

channel_tile_function *const FC_NAME(channel_tiles)[MR][2][NV] = {EACH_TILE(ROW)};

/* Stretches of less than a vector, which lie pages apart, are fetched so many channels ahead: masked loads that miss L1
 * wait for each other on some processors. */
enum { CHANNELS_AHEAD = 6, LINE_REALS = 64 / sizeof(real) };

/* A vector holds neighbouring filters. Where the user's array has these apart, blocks of VL filters x VL of what is
 * contiguous there are transposed: pairs of channel and element for a convolution, elements for a transposed one,
 * channels in NHWC. */
void FC_NAME(pack_channel_block)(const operands *o, int64_t kernel_h, int64_t kernel_w, const real *weight,
                                 int64_t block, real *const *places) {
    int64_t k0 = block * NR, filters = min64(NR, o->filters - k0), width = channel_block_width(o, block);
    int64_t elements = kernel_h * kernel_w, channels = o->channels;
    weight += k0 * o->w_filter;
    if (o->w_filter == 1) {
        for (int64_t e = 0; e < elements; e++) {
            const real *from = weight + e / kernel_w * o->w_row + e % kernel_w * o->w_column;
            real *to = places[e];
            for (int64_t c = 0; c < channels; c++, to += width, from += o->w_channel) {
                copy_reals(to, from, filters);
                clear_reals(to + filters, width - filters);
            }
        }
        return;
    }
    int by_channel = o->w_channel == 1 && o->w_nhwc, joined = !o->w_nhwc && o->w_channel == elements;
    int64_t stretches = by_channel ? elements : joined ? 1 : channels;
    int64_t length = by_channel ? channels : joined ? channels * elements : elements;
    for (int64_t k = 0; k < width; k += VL) /* outermost: the hardware prefetches some 16 streams, not 32 */
        for (int64_t stretch = 0; stretch < stretches; stretch++) {
            const real *from = weight + k * o->w_filter;
            from +=
                by_channel ? stretch / kernel_w * o->w_row + stretch % kernel_w * o->w_column : stretch * o->w_channel;
            int64_t e = by_channel ? stretch : 0, c = by_channel ? 0 : stretch;
            if (!by_channel && !joined && elements < VL)
                for (int64_t i = 0; i < VL * elements; i += LINE_REALS)
                    __builtin_prefetch(from + CHANNELS_AHEAD * o->w_channel + i);
            for (int64_t first = 0; first < length; first += VL) {
                int64_t n = min64(VL, length - first);
                vec rows[VL];
                for (int i = 0; i < VL; i++)
                    rows[i] = k + i < filters ? load_up_to(from + i * o->w_filter + first, n) : zero();
                transpose(rows);
                for (int64_t i = 0; i < n; i++) {
                    store(places[e] + c * width + k, rows[i]);
                    if (by_channel)
                        c++;
                    else if (++e == elements)
                        e = 0, c++;
                }
            }
        }
}
