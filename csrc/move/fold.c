/* Fold (col2im), the transpose of unfold: every pixel is the sum of its copies in the columns. Called through
 * `operations.def`.
 *
 * Columns are [image][channel][tap][window], images NCHW. Tasks are planes (image, channel), and a tap's windows are
 * added row by row, so that a plane's sums always have the same order. Limit: memory bandwidth. */
#include <string.h>

#include "base/parallel.h"
#include "base/types.h"

typedef struct {
    const fc_conv *p;
    const real *columns;
    real *out;
} fold_job;

static int fold_work(const void *context, int64_t begin, int64_t end) {
    const fold_job *j = context;
    const fc_conv *p = j->p;
    int64_t taps = p->kernel_h * p->kernel_w, windows = p->out_height * p->out_width;
    int64_t between = fc_steps_between((double)windows);
    for (int64_t plane = begin; plane < end; plane++) {
        real *out = j->out + plane * p->height * p->width;
        memset(out, 0, (size_t)(p->height * p->width) * sizeof(real));
        for (int64_t t = 0; t < taps; t++) {
            int status = t % between == 0 ? fc_called_off() : 0;
            if (status) return status;
            const real *from = j->columns + (plane * taps + t) * windows;
            int64_t row = t / p->kernel_w * p->dilation_h - p->pad_top;
            int64_t column = t % p->kernel_w * p->dilation_w - p->pad_left;
            int64_t low = column < 0 ? ceil_div(-column, p->stride_w) : 0;
            int64_t high = p->width > column ? min64(p->out_width, ceil_div(p->width - column, p->stride_w)) : 0;
            for (int64_t y = 0; y < p->out_height; y++) {
                int64_t to = y * p->stride_h + row;
                if (to < 0 || to >= p->height) continue;
                real *line = out + to * p->width + column;
                if (p->stride_w == 1)
                    for (int64_t x = low; x < high; x++) line[x] += from[y * p->out_width + x];
                else
                    for (int64_t x = low; x < high; x++) line[x * p->stride_w] += from[y * p->out_width + x];
            }
        }
    }
    return 0;
}

int FC_NAME(fold)(const fc_conv *p, const void *columns, void *out, int threads) {
    fold_job j = {p, columns, out};
    double elements =
        (double)(p->batch * p->channels * p->kernel_h * p->kernel_w) * (double)(p->out_height * p->out_width);
    return fc_parallel(p->batch * p->channels, elements, threads, fold_work, &j);
}
