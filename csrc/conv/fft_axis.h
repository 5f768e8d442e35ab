/* What convolution and the gradient of its weights by the Fourier transform share: how strides and dilations of an axis
 * become kernels of stride 1, how a tile of an image gets into the transform's buffer, and what a transform costs. Used
 * by fft.c and gradient_fft.c. */
#ifndef FC_FFT_AXIS_H
#define FC_FFT_AXIS_H

#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/fourier.h"
#include "conv/grid.h"

/* An axis of a grid. Output j of subimage p lies at out_first + out_step * (p + subimages * j); with tap t of segment q
 * it sees input first + p + q + unit * (j + t), where the tap is the kernel's element kernel_first + kernel_step * (q +
 * segments * t). */
typedef struct {
    int64_t count, out_first, out_step;
    int64_t first, unit, subimages, segments, taps, kernel_first, kernel_step;
} fft_axis;

/* `longest` is the phase with the most taps, of a plain convolution `a` itself: where a phase has one tap, it has the
 * subimages that the others have. Returns 0 where that cannot be done. */
static inline int fft_axis_of(fft_axis *w, const axis *a, const axis *longest) {
    int64_t first = a->first, kernel_first = a->kernel_first, kernel_step = a->kernel_step;
    int64_t distance = longest->taps > 1 ? longest->tap_step : 1;
    if (distance < 0) {
        first += (a->taps - 1) * distance, kernel_first += (a->taps - 1) * kernel_step;
        distance = -distance, kernel_step = -kernel_step;
    }
    *w = (fft_axis){.count = a->count,
                    .out_first = a->out_first,
                    .out_step = a->out_step,
                    .first = first,
                    .unit = a->step * distance,
                    .subimages = distance,
                    .segments = a->taps > 1 ? a->step : 1,
                    .taps = a->taps,
                    .kernel_first = kernel_first,
                    .kernel_step = kernel_step};
    return a->step == 1 || distance == 1;
}

/* Some pixels of a plane: every `unit`-th from `first` on, along each axis. */
typedef struct {
    const real *plane;
    int64_t height, width, pixel; /* of the plane; reals from pixel to pixel */
    int64_t first_y, first_x, unit_y, unit_x;
    int64_t rows, columns; /* how many count; the others are zero, as those outside the plane are */
} fft_pixels;

/* Those columns that are inside the plane. */
typedef struct {
    int64_t low, high;
} fft_inside;

static inline fft_inside columns_inside(const fft_pixels *s) {
    int64_t low = max64(0, min64(s->columns, ceil_div(-min64(s->first_x, 0), s->unit_x)));
    int64_t high = s->first_x < s->width ? ceil_div(s->width - s->first_x, s->unit_x) : 0;
    return (fft_inside){low, max64(low, min64(s->columns, high))};
}

/* Loads points [first, end) of a row, vectors of them, as the real or the imaginary part of a row of a buffer. */
static inline void load_row(const fft_pixels *s, fft_inside inside, int64_t r, int64_t first, int64_t end, real *to) {
    int64_t step = s->unit_x * s->pixel, y = s->first_y + s->unit_y * r;
    int64_t low = inside.low, high = r >= s->rows || y < 0 || y >= s->height ? 0 : inside.high;
    const real *from = s->plane + (y * s->width + s->first_x) * s->pixel;
    for (int64_t i = first; i < end; i += VL) {
        if (i + VL <= low || i >= high)
            store(to + 2 * i, zero());
        else if (step == 1 && i >= low && i + VL <= high)
            store(to + 2 * i, load(from + i));
        else if (step == 1)
            store(to + 2 * i, load_between(from + i, max64(low - i, 0), min64(high - i, VL)));
        else
            for (int64_t k = 0; k < VL; k++) to[2 * i + k] = i + k >= low && i + k < high ? from[(i + k) * step] : 0;
    }
}

/* Predicted cycles of a transform, and of filling its buffer. */
static inline double cycles_of_transform(int64_t points) {
    double vectors = (double)points / VL;
    double streamed = vectors * 2 * VECTOR_BYTES > (double)fc_l2_bytes() / 2 ? 30 : 0;
    return vectors * (PRODUCT_CYCLES * 1.6 * log2(vectors * VL) + MOVING(50) + streamed);
}

static inline double cycles_of_loading(int64_t points, int64_t step) {
    return (double)points / VL * (step > 1 ? MOVING(6.9) * VL : MOVING(25));
}

#endif
