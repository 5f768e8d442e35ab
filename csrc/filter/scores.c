/* How much windows look like a template. Called through `operations.def`. Limit: memory. */
#include <math.h>

#include "base/parallel.h"
#include "base/types.h"

#if FC_DOUBLE
#define SQRT sqrt
#else
#define SQRT sqrtf
#endif

typedef struct {
    const real *mean, *square;
    real *products;
    int64_t columns, stride;
    real length, flat;
} scores_job;

static int scores_work(const void *context, int64_t begin, int64_t end) {
    const scores_job *j = context;
    for (int64_t row = begin; row < end; row++) {
        int status = fc_called_off();
        if (status) return status;
        const real *mean = j->mean + row * j->stride, *square = j->square + row * j->stride;
        real *restrict scores = j->products + row * j->columns;
        for (int64_t i = 0; i < j->columns; i++) {
            real variance = square[i] - mean[i] * mean[i];
            int is_flat = variance <= j->flat * square[i];
            real score = scores[i] / (is_flat ? (real)INFINITY : SQRT(is_flat ? 1 : variance) * j->length);
            score = score > 1 ? 1 : score;
            scores[i] = score < -1 ? -1 : score;
        }
    }
    return 0;
}

int FC_NAME(filter_scores)(void *products, const void *mean, const void *square, int64_t rows, int64_t columns,
                           int64_t stride, double length, double flat, int threads) {
    scores_job j = {mean, square, products, columns, stride, (real)length, (real)flat};
    return fc_parallel(rows, 4.0 * (double)rows * (double)columns, threads, scores_work, &j);
}
