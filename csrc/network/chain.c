/* Steps on NHWC images that follow on each other, band by band: what one makes is still in cache when the next one
 * reads it, and never is in memory as a whole. Called by network.c.
 *
 * A task is a band of rows of the last result, of one image. The kernels are those of whole images, on images of a few
 * rows, so that each number is computed as without bands. Of what is made between, a thread has the rows that its band
 * needs; those that the next one needs, too, move to the front: only where a thread begins is anything computed twice.
 * Limit: that of the kernels, with their images in L2. */
#include "network/chain.h"

#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/parallel.h"

typedef struct {
    int64_t first, end;
} rows;

/* A step: its images, and which rows of them a row of its result sees. */
typedef struct {
    const fc_step *step;
    int64_t batch, height, width, channels, out_height, out_width, out_channels;
    int64_t stride, pad, extent;
    int from_before; /* the operand that the step before makes */
    double cycles;
} member;

/* What a thread keeps from band to band. */
typedef struct {
    uint64_t job;
    int64_t task; /* the next one, if it goes on */
    rows kept[FC_MOST_CHAINED];
} progress;

typedef struct {
    member members[FC_MOST_CHAINED];
    int64_t count, band, bands, rooms[FC_MOST_CHAINED + 1]; /* where the rows of each member begin, in bytes */
    void *const *places;
    uint64_t number;
    int64_t item;
    _Atomic int64_t *times;
} chain;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t row_bytes(const chain *c, const member *l) { return l->width * l->channels * c->item; }
/* Those that a convolution makes may be some channels of larger images. */
static int64_t out_row_bytes(const chain *c, const member *l) {
    int64_t wide = l->step->kind == FC_STEP_CONV ? l->step->of.conv.p.out_channels : 0;
    return l->out_width * (wide ? wide : l->out_channels) * c->item;
}

/* ---- which steps can do that ---- */

static int conv_member(const fc_step *s, member *l) {
    const fc_conv *p = &s->of.conv.p;
    if (p->layout != FC_NHWC || p->transposed || !fc_conv_kernel_is_textbook(s->of.conv.kernel)) return 0;
    *l = (member){.step = s,
                  .batch = p->batch,
                  .height = p->height,
                  .width = p->width,
                  .channels = p->channels,
                  .out_height = p->out_height,
                  .out_width = p->out_width,
                  .out_channels = p->filters,
                  .stride = p->stride_h,
                  .pad = p->pad_top,
                  .extent = (p->kernel_h - 1) * p->dilation_h + 1,
                  .cycles = p->cycles};
    return 1;
}

static int pool_member(const fc_step *s, member *l) {
    const fc_pool *p = &s->of.pool;
    if (p->layout != FC_NHWC || p->type != (s->dtype == FC_F32 ? FC_P_F32 : FC_P_F64) || p->reducer > FC_SUM ||
        p->rows.kind != FC_SLIDING)
        return 0;
    *l = (member){.step = s,
                  .batch = p->batch,
                  .height = p->height,
                  .width = p->width,
                  .channels = p->channels,
                  .out_height = p->rows.count,
                  .out_width = p->columns.count,
                  .out_channels = p->channels,
                  .stride = p->rows.stride,
                  .pad = -p->rows.first,
                  .extent = (p->rows.kernel - 1) * p->rows.step + 1};
    l->cycles = (double)(l->batch * l->channels) * (double)(l->height * l->width) / 8;
    return 1;
}

/* Its elements are those of images, pixel by pixel; what is not, is the same for all of them. */
static int elementwise_member(const fc_step *s, const member *beside, int behind, member *l) {
    const fc_elementwise *e = &s->of.elementwise;
    *l = (member){.step = s,
                  .batch = beside->batch,
                  .height = behind ? beside->out_height : beside->height,
                  .width = behind ? beside->out_width : beside->width,
                  .channels = behind ? beside->out_channels : beside->channels,
                  .stride = 1,
                  .extent = 1};
    l->out_height = l->height, l->out_width = l->width, l->out_channels = l->channels;
    int64_t pixels = l->batch * l->height * l->width, length = e->axes == 1 ? pixels * l->channels : l->channels;
    if (e->truths || e->gives_truth || e->axes > 2 || e->sizes[e->axes - 1] != length) return 0;
    if (e->axes == 2 && (e->sizes[0] != pixels || e->out_strides[0] != length)) return 0;
    l->cycles = (double)pixels * (double)l->channels * (0.4 + 0.5 * e->instructions);
    return 1;
}

/* Does operand k have an element for each of the result, in its order? */
static int is_whole(const fc_elementwise *e, int k) {
    return e->strides[k][e->axes - 1] == 1 && (e->axes == 1 || e->strides[k][0] == e->sizes[1]);
}

static int reads_before(member *l, int place) {
    const fc_step *s = l->step;
    l->from_before = -1;
    for (int k = 0; k < FC_MOST_OPERANDS; k++) {
        if (s->operands[k] != place) continue;
        if (l->from_before >= 0 || (s->kind != FC_STEP_ELEMENTWISE && k)) return 0;
        if (s->kind == FC_STEP_ELEMENTWISE && !is_whole(&s->of.elementwise, k)) return 0;
        l->from_before = k;
    }
    return l->from_before >= 0;
}

static int every_window_has_a_row(const member *l) {
    return l->pad < l->extent && (l->out_height - 1) * l->stride - l->pad < l->height;
}

static int set_members(chain *c, const fc_step *steps) {
    member *members = c->members;
    for (int64_t i = 0; i < c->count; i++) {
        const fc_step *s = &steps[i];
        /* Bands have some rows between twice. */
        if (s->kind == FC_STEP_CONV && s->operands[3] >= 0 && i + 1 < c->count) return 0;
        if (s->kind == FC_STEP_CONV   ? !conv_member(s, &members[i])
            : s->kind == FC_STEP_POOL ? !pool_member(s, &members[i])
                                      : s->kind != FC_STEP_ELEMENTWISE)
            return 0;
        if (s->kind == FC_STEP_ELEMENTWISE && i && !elementwise_member(s, &members[i - 1], 1, &members[i])) return 0;
    }
    if (steps[0].kind == FC_STEP_ELEMENTWISE &&
        (steps[1].kind == FC_STEP_ELEMENTWISE || !elementwise_member(&steps[0], &members[1], 0, &members[0])))
        return 0;
    for (int64_t i = 0; i < c->count; i++) {
        member *l = &members[i], *before = l - 1;
        if (!l->batch || l->step->dtype != steps[0].dtype || !every_window_has_a_row(l)) return 0;
        if (i && (l->batch != before->batch || l->height != before->out_height || l->width != before->out_width ||
                  l->channels != before->out_channels || !reads_before(l, before->step->out)))
            return 0;
    }
    return 1;
}

/* Rows of a member's images that some of its result's see, as far as there are any. */
static rows seen_by(const member *l, rows out) {
    return (rows){larger(0, out.first * l->stride - l->pad),
                  smaller(l->height, (out.end - 1) * l->stride - l->pad + l->extent)};
}

static void set_rooms(chain *c) {
    int64_t most = c->band;
    c->rooms[c->count - 1] = 0;
    for (int64_t i = c->count - 1; i > 0; i--) {
        const member *l = &c->members[i];
        most = smaller(l->height, (most - 1) * l->stride + l->extent);
        c->rooms[i - 1] = (most * row_bytes(c, l) + 63) & ~(int64_t)63;
    }
    for (int64_t i = 0, at = (sizeof(progress) + 63) & ~(size_t)63; i < c->count; i++) {
        int64_t bytes = c->rooms[i];
        c->rooms[i] = at, at += bytes;
    }
}

/* ---- some rows of a member's result ---- */

static fc_conv conv_of_rows(const member *l, rows in, rows out) {
    fc_conv p = l->step->of.conv.p;
    p.batch = 1, p.height = in.end - in.first, p.out_height = out.end - out.first;
    p.pad_top = in.first - (out.first * l->stride - l->pad);
    p.cycles *= (double)p.out_height / (double)(l->batch * l->out_height);
    return p;
}

static int run_conv(const member *l, rows in, rows out, const void *x, const char *residual, const char *gate,
                    char *row_sums, void *result) {
    const fc_step_conv *s = &l->step->of.conv;
    fc_conv p = conv_of_rows(l, in, out);
    fc_epilogue e = s->epilogue;
    e.residual = residual, e.gate = gate, e.row_sums = row_sums;
    return fc_conv_run(&p, s->kernel, x, s->packed, &e, result, 1);
}

static int run_pool(const member *l, rows in, rows out, const void *x, void *result) {
    fc_pool p = l->step->of.pool;
    p.batch = 1, p.height = p.rows.size = in.end - in.first, p.rows.count = out.end - out.first;
    p.rows.first += out.first * l->stride - in.first;
    p.rows.counted_from -= in.first, p.rows.counted_to -= in.first;
    return fc_pool_run(&p, x, result, NULL, NULL, 1);
}

static int run_elementwise(const chain *c, const member *l, int64_t image, rows out, const void *x, void *result) {
    fc_elementwise e = l->step->of.elementwise;
    const void *operands[FC_MOST_OPERANDS];
    int64_t in_pixel = e.axes == 1 ? l->channels : 1, first = (image * l->height + out.first) * l->width * in_pixel;
    e.sizes[0] = (out.end - out.first) * l->width * in_pixel;
    for (int k = 0; k < e.operands; k++)
        operands[k] = x && k == l->from_before
                          ? x
                          : (const char *)c->places[l->step->operands[k]] + e.strides[k][0] * first * c->item;
    return fc_operations_of(l->step->dtype)->elementwise(&e, operands, result, 1);
}

/* `x` are the rows that the result sees; NULL where they are those of operands, which an elementwise step finds. */
static int run_rows(const chain *c, const member *l, int64_t image, rows in, rows out, const char *x, void *result) {
    const fc_step *s = l->step;
    if (s->kind == FC_STEP_ELEMENTWISE) return run_elementwise(c, l, image, out, x, result);
    if (!x) x = (const char *)c->places[s->operands[0]] + (image * l->height + in.first) * row_bytes(c, l);
    if (s->kind == FC_STEP_POOL) return run_pool(l, in, out, x, result);
    const char *residual = s->operands[1] < 0 ? NULL : c->places[s->operands[1]];
    if (residual) residual += (image * l->out_height + out.first) * out_row_bytes(c, l);
    const char *gate = s->operands[2] < 0 ? NULL : c->places[s->operands[2]];
    if (gate) gate += image * l->channels * c->item;
    char *row_sums = s->operands[3] < 0 ? NULL : c->places[s->operands[3]];
    int64_t pieces = (l->out_width + FC_SUMMED - 1) / FC_SUMMED;
    if (row_sums) row_sums += (image * l->out_height + out.first) * pieces * l->out_channels * c->item;
    return run_conv(l, in, out, x, residual, gate, row_sums, result);
}

/* ---- bands ---- */

static int do_band(const chain *c, int64_t task, char *memory) {
    progress *kept = (progress *)memory;
    int64_t last = c->count - 1, image = task / c->bands, y = task % c->bands * c->band;
    int goes_on = kept->job == c->number && kept->task == task && y > 0;
    rows made[FC_MOST_CHAINED], in[FC_MOST_CHAINED];
    made[last] = (rows){y, smaller(y + c->band, c->members[last].out_height)};
    for (int64_t i = last; i >= 0; i--) {
        in[i] = seen_by(&c->members[i], made[i]);
        if (!i) break;
        made[i - 1] = in[i];
        rows *before = &kept->kept[i - 1];
        int64_t row = row_bytes(c, &c->members[i]), there = goes_on ? before->end - in[i].first : 0;
        if (there > 0) {
            char *room = memory + c->rooms[i - 1];
            memmove(room, room + (in[i].first - before->first) * row, (size_t)(there * row));
            made[i - 1].first += there;
        }
        *before = in[i];
    }
    kept->job = c->number, kept->task = task + 1;
    int64_t since = c->times ? now_ns() : 0;
    for (int64_t i = 0; i <= last; i++) {
        const member *l = &c->members[i];
        if (made[i].first >= made[i].end) continue;
        int64_t row = out_row_bytes(c, l);
        char *result = i < last ? memory + c->rooms[i] + (made[i].first - in[i + 1].first) * row
                                : (char *)c->places[l->step->out] + (image * l->out_height + made[i].first) * row;
        int status = run_rows(c, l, image, in[i], made[i], i ? memory + c->rooms[i - 1] : NULL, result);
        if (status) return status;
        if (c->times) {
            int64_t now = now_ns();
            atomic_fetch_add(&c->times[i], now - since), since = now;
        }
    }
    return 0;
}

static int chain_work(const void *context, int64_t begin, int64_t end) {
    const chain *c = context;
    char *memory = fc_workspace(FC_CHAIN, (size_t)c->rooms[c->count - 1]);
    if (!memory) return FC_NO_MEMORY;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (!status) status = do_band(c, task, memory);
        if (status) return status;
    }
    return 0;
}

static int set_up(chain *c, const fc_step *steps, int64_t count, int64_t band) {
    *c = (chain){.count = count, .band = band, .item = steps[0].dtype == FC_F32 ? 4 : 8};
    if (count < 2 || count > FC_MOST_CHAINED || band < 1 || !set_members(c, steps)) return 0;
    int64_t rows_in_all = c->members[count - 1].out_height;
    c->bands = (rows_in_all + band - 1) / band;
    set_rooms(c);
    return 1;
}

/* Are the kernels those of bands, too, with the weights as they are? */
static int suits(const member *l, rows out) {
    if (l->step->kind != FC_STEP_CONV) return 1;
    const fc_step_conv *s = &l->step->of.conv;
    fc_conv p = conv_of_rows(l, seen_by(l, out), out);
    return fc_conv_accepts(&p, s->kernel) &&
           fc_conv_weight_form(&p, s->kernel) == fc_conv_weight_form(&s->p, s->kernel);
}

int64_t fc_chain_bytes(const fc_step *steps, int64_t count, int64_t band) {
    chain c;
    if (!set_up(&c, steps, count, band)) return -1;
    rows out = {0, 1};
    for (int64_t i = count - 1; i >= 0; out = seen_by(&c.members[i], out), i--)
        if (!suits(&c.members[i], out)) return -1;
    return c.rooms[count - 1];
}

int fc_chain_run(const fc_step *steps, void *const *places, int threads, int64_t *nanoseconds) {
    static _Atomic uint64_t jobs;
    chain c;
    if (!set_up(&c, steps, steps->chained, steps->band)) return FC_NOT_MINE;
    _Atomic int64_t times[FC_MOST_CHAINED] = {0};
    c.places = places, c.number = atomic_fetch_add(&jobs, 1) + 1, c.times = nanoseconds ? times : NULL;
    double cycles = 0;
    for (int64_t i = 0; i < c.count; i++) cycles += c.members[i].cycles;
    int64_t since = now_ns();
    int status = fc_parallel(c.members[0].batch * c.bands, cycles, threads, chain_work, &c);
    if (!nanoseconds) return status;
    double took = (double)(now_ns() - since), all = 1;
    for (int64_t i = 0; i < c.count; i++) all += (double)times[i];
    for (int64_t i = 0; i < c.count; i++) nanoseconds[i] = (int64_t)(took * (double)times[i] / all);
    return status;
}
