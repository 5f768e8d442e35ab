/* Runs the steps of a network one after the other, each on all threads. An entry point of fastconv.h. */
#include "base/clock.h"
#include "fastconv.h"
#include "network/chain.h"

static int run_step(const fc_step *s, void *const *places, int threads) {
    const fc_operations *operations = fc_operations_of(s->dtype);
    const void *operands[FC_MOST_OPERANDS];
    for (int i = 0; i < FC_MOST_OPERANDS; i++) operands[i] = s->operands[i] < 0 ? NULL : places[s->operands[i]];
    const void *x = operands[0];
    void *out = places[s->out];
    switch (s->kind) {
        case FC_STEP_CONV: {
            fc_epilogue e = s->of.conv.epilogue;
            e.residual = operands[1], e.gate = operands[2];
            e.row_sums = s->operands[3] < 0 ? NULL : places[s->operands[3]];
            return fc_conv_run(&s->of.conv.p, s->of.conv.kernel, x, s->of.conv.packed, &e, out, threads);
        }
        case FC_STEP_PRODUCT:
            return fc_conv_run_once(&s->of.conv.p, s->of.conv.kernel, x, operands[1], places[s->operands[2]],
                                    &s->of.conv.epilogue, out, threads);
        case FC_STEP_POOL: return fc_pool_run(&s->of.pool, x, out, NULL, NULL, threads);
        case FC_STEP_ELEMENTWISE: return operations->elementwise(&s->of.elementwise, operands, out, threads);
        case FC_STEP_COPY: return fc_copy(&s->of.copy, x, out, threads);
        case FC_STEP_PAD:
            return fc_pad(x, out, s->of.pad.planes, s->of.pad.height, s->of.pad.width, s->of.pad.inner, s->of.pad.rows,
                          s->of.pad.row_count, s->of.pad.columns, s->of.pad.column_count, s->of.pad.value,
                          s->of.pad.item, threads);
        case FC_STEP_NORMALISE:
            return operations->normalise_rows(x, operands[1], operands[2], s->of.normalise.eps, out,
                                              s->of.normalise.outer, s->of.normalise.groups, s->of.normalise.channels,
                                              s->of.normalise.run, threads);
        case FC_STEP_REDUCE:
            return operations->reduce(x, out, s->of.reduce.outer, s->of.reduce.count, s->of.reduce.inner,
                                      s->of.reduce.how, threads);
        case FC_STEP_PLACES:
            return operations->extreme_places(x, out, s->of.reduce.outer, s->of.reduce.count, s->of.reduce.inner,
                                              s->of.reduce.how, s->of.reduce.last, threads);
        case FC_STEP_SOFTMAX:
            return operations->softmax(x, out, s->of.softmax.outer, s->of.softmax.count, s->of.softmax.inner,
                                       s->of.softmax.logarithm, threads);
        case FC_STEP_LRN:
            return operations->local_response_norm(x, out, s->of.lrn.batch, s->of.lrn.channels, s->of.lrn.pixels,
                                                   s->of.lrn.size, s->of.lrn.alpha, s->of.lrn.beta, s->of.lrn.k,
                                                   FC_NCHW, threads);
        default:
            return operations->resample(x, s->of.resample.starts, s->of.resample.counts, s->of.resample.weights, out,
                                        s->of.resample.outer, s->of.resample.in_size, s->of.resample.out_size,
                                        s->of.resample.inner, s->of.resample.taps, threads);
    }
}

int fc_network_run(const fc_step *steps, int64_t count, void *const *places, int threads, int64_t *nanoseconds) {
    int64_t before = nanoseconds ? now_ns() : 0;
    for (int64_t i = 0, together; i < count; i += together) {
        const fc_step *s = &steps[i];
        together = s->chained > 1 ? s->chained : 1;
        int status = together > 1 ? fc_chain_run(s, places, threads, nanoseconds ? &nanoseconds[i] : NULL)
                                  : run_step(s, places, threads);
        if (status) return status;
        if (nanoseconds) {
            int64_t after = now_ns();
            if (together == 1) nanoseconds[i] = after - before;
            before = after;
        }
    }
    return 0;
}
