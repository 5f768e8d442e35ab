/* Chains of elementwise operations, of operands that broadcast against each other. Called through `operations.def`, by
 * network.c.
 *
 * Elements are numbered as they lie in the result, and done in tiles that stay in the innermost cache: each instruction
 * does a whole tile, the last one writes to the result. Operands that have their elements in the result's order are
 * read where they are; a tile of any other is gathered first. Truth values are lanes of ones or zeros in tiles, and
 * bytes in arrays. Limit: memory bandwidth, or the arithmetic of exponentials. */
#include <math.h>

#include "base/parallel.h"
#include "conv/epilogue.h"
#include "network/functions.h"

enum { TILE = 4096 / sizeof(real), PLACES = FC_MOST_OPERANDS + FC_MOST_TEMPORARIES };

typedef lane lane_of_truth __attribute__((may_alias));

typedef struct {
    const fc_elementwise *e;
    const void *const *operands;
    void *out;
    int64_t count;
    int direct[FC_MOST_OPERANDS], constant[FC_MOST_OPERANDS], out_direct;
} elementwise_job;

/* ---- between an array with strides and a tile ---- */

typedef struct {
    int64_t at[FC_MOST_AXES], offset; /* along all axes but the last; of that row's first element */
} row_place;

static row_place place_of(const fc_elementwise *e, const int64_t *strides, int64_t row) {
    row_place place = {{0}, 0};
    for (int axis = e->axes - 2; axis >= 0; axis--) {
        place.at[axis] = row % e->sizes[axis], row /= e->sizes[axis];
        place.offset += place.at[axis] * strides[axis];
    }
    return place;
}

static void next_row(const fc_elementwise *e, const int64_t *strides, row_place *place) {
    for (int axis = e->axes - 2; axis >= 0; axis--) {
        place->offset += strides[axis];
        if (++place->at[axis] < e->sizes[axis]) return;
        place->offset -= e->sizes[axis] * strides[axis], place->at[axis] = 0;
    }
}

static void fill_reals(real *to, real value, int64_t n) {
    vec v = splat(value);
    for (; n >= VL; n -= VL, to += VL) store(to, v);
    if (n) store_n(to, v, n);
}

static void gather_tile(const fc_elementwise *e, const int64_t *strides, const real *from, int64_t begin, int64_t n,
                        real *to) {
    int64_t length = e->sizes[e->axes - 1], step = strides[e->axes - 1], column = begin % length;
    row_place row = place_of(e, strides, begin / length);
    while (n) {
        int64_t part = min64(n, length - column);
        const real *p = from + row.offset + column * step;
        if (step == 0)
            fill_reals(to, *p, part);
        else if (step == 1)
            copy_reals(to, p, part);
        else
            for (int64_t i = 0; i < part; i++) to[i] = p[i * step];
        to += part, n -= part, column = 0;
        next_row(e, strides, &row);
    }
}

/* Bytes, which are 0 or 1. */
static void gather_truths(const fc_elementwise *e, const int64_t *strides, const uint8_t *from, int64_t begin,
                          int64_t n, real *tile) {
    int64_t length = e->sizes[e->axes - 1], step = strides[e->axes - 1], column = begin % length;
    row_place row = place_of(e, strides, begin / length);
    lane_of_truth *to = (lane_of_truth *)tile;
    while (n) {
        int64_t part = min64(n, length - column);
        const uint8_t *p = from + row.offset + column * step;
        for (int64_t i = 0; i < part; i++) to[i] = -(lane)(p[i * step] != 0);
        to += part, n -= part, column = 0;
        next_row(e, strides, &row);
    }
}

/* The result is contiguous. */
static void scatter_truths(uint8_t *to, int64_t n, const real *tile) {
    const lane_of_truth *from = (const lane_of_truth *)tile;
    for (int64_t i = 0; i < n; i++) to[i] = from[i] != 0;
}

static void scatter_tile(const fc_elementwise *e, real *to, int64_t begin, int64_t n, const real *from) {
    int64_t length = e->sizes[e->axes - 1], column = begin % length;
    row_place row = place_of(e, e->out_strides, begin / length);
    while (n) {
        int64_t part = min64(n, length - column);
        copy_reals(to + row.offset + column, from, part);
        from += part, n -= part, column = 0;
        next_row(e, e->out_strides, &row);
    }
}

/* ---- instructions ---- */

INLINE
vec elu(vec x, real p, real q) {
    vec low = at_least(at_most(x, zero()), splat(-(real)EXP_FULL)), power;
    vec rest = exponential_parts(low, low, zero(), zero(), zero(), (lanes){0}, &power);
    return choose(x < zero(), (power * rest + (power - splat(1))) * splat(p), x) * splat(q);
}

/* x tanh(log(1 + exp(x))); with s = e (e + 2), where e = exp(x), that is x s / (s + 2). */
INLINE
vec mish(vec x) {
    vec e = exponential(at_least(at_most(x, splat(20)), splat(-(real)EXP_FULL)), (lanes){0}), s = e * (e + splat(2));
    return choose(x > splat(20), x, at_least(x, splat(-(real)EXP_FULL)) * (s / (s + splat(2))));
}

static NOINLINE vec called(const fc_instruction *c, vec x, vec y) {
    switch (c->operation) {
        case FC_ELU: return elu(x, (real)c->p, (real)c->q);
        case FC_MISH: return mish(x);
        case FC_SOFTPLUS: return soft_plus(x);
        case FC_LOG: return logarithm(x);
        case FC_ERF: return error_function(x);
        case FC_POW: return power_of(x, y);
        default: return whole_exponential(x, zero()); /* FC_EXP */
    }
}

/* Those without vectors, in the order of FC_SIN, ...; few networks have any. */
static double (*const of_numbers[])(double) = {sin, cos, tan, asin, acos, atan, sinh, cosh, asinh, acosh, atanh};

/* With the sign of the divisor. */
static double modulus(double a, double b) {
    double rest = fmod(a, b);
    if (rest == 0) return copysign(0, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
}

static void run_by_numbers(int operation, const real *a, const real *b, real *to, int64_t n) {
    if (operation == FC_FMOD || operation == FC_MOD) {
        for (int64_t i = 0; i < n; i++) to[i] = (real)(operation == FC_MOD ? modulus : fmod)(a[i], b[i]);
        return;
    }
    for (int64_t i = 0; i < n; i++) to[i] = (real)of_numbers[operation - FC_SIN](a[i]);
}

/* `expression` of x = a[i], y = b[i] for a tile. */
#define EACH(expression)                                                                                               \
    {                                                                                                                  \
        int64_t i = 0;                                                                                                 \
        for (; i + VL <= n; i += VL) {                                                                                 \
            vec x = load(a + i), y = load(b + i);                                                                      \
            (void)x, (void)y, store(to + i, expression);                                                               \
        }                                                                                                              \
        if (i < n) {                                                                                                   \
            vec x = load_n(a + i, n - i), y = load_n(b + i, n - i);                                                    \
            (void)x, (void)y, store_n(to + i, expression, n - i);                                                      \
        }                                                                                                              \
        break;                                                                                                         \
    }
#define EACH_TRUTH(expression) EACH((vec)(lanes)(expression))
#define EACH_NUMBER(function)                                                                                          \
    for (int64_t i = 0; i < n; i++) to[i] = (real)function(a[i]);                                                      \
    break

static void run_instruction(const fc_instruction *c, const real *a, const real *b, real *to, int64_t n) {
    const fc_epilogue e = {.activation = c->which, .a = c->p, .b = c->q};
    const vec p = splat((real)c->p), q = splat((real)c->q);
    switch (c->operation) {
        case FC_ADD: EACH(x + y)
        case FC_SUB: EACH(x - y)
        case FC_MUL: EACH(x * y)
        case FC_DIV: EACH(x / y)
        case FC_LEAST: EACH(choose((x < y) | (x != x), x, y))
        case FC_MOST: EACH(choose((x > y) | (x != x), x, y))
        case FC_PRELU: EACH(choose(x < zero(), x * y, x))
        case FC_LESS: EACH_TRUTH(x < y)
        case FC_LESS_EQUAL: EACH_TRUTH(x <= y)
        case FC_EQUAL: EACH_TRUTH(x == y)
        case FC_AND: EACH_TRUTH((lanes)x & (lanes)y)
        case FC_AND_NOT: EACH_TRUTH((lanes)x & ~(lanes)y)
        case FC_OR: EACH_TRUTH((lanes)x | (lanes)y)
        case FC_XOR: EACH_TRUTH((lanes)x ^ (lanes)y)
        case FC_NOT: EACH_TRUTH(~(lanes)x)
        case FC_AFFINE: EACH(x * p + q)
        case FC_HARD_SIGMOID: EACH(at_most(at_least(x * p + q, zero()), splat(1)))
        case FC_ABS: EACH(absolute(x))
        case FC_SIGN: EACH(choose(x == zero(), zero(), choose(x != x, x, with_sign(splat(1), x))))
        case FC_SQRT: EACH_NUMBER(sqrt);
        case FC_FLOOR: EACH_NUMBER(floor);
        case FC_CEIL: EACH_NUMBER(ceil);
        case FC_ROUND: EACH_NUMBER(rint);
        case FC_ACTIVATE:
            if (c->which == FC_RELU) EACH(at_least(x, zero()))
            if (c->which == FC_CLIP) EACH(at_most(at_least(x, p), q))
            EACH(activate(x, &e))
        case FC_EXP:
        case FC_ELU:
        case FC_MISH:
        case FC_SOFTPLUS:
        case FC_LOG:
        case FC_ERF:
        case FC_POW: EACH(called(c, x, y))
        default: run_by_numbers(c->operation, a, b, to, n);
    }
}

static void gather(const elementwise_job *j, int k, int64_t begin, int64_t n, real *to) {
    const fc_elementwise *e = j->e;
    if (e->truths >> k & 1)
        gather_truths(e, e->strides[k], j->operands[k], begin, n, to);
    else
        gather_tile(e, e->strides[k], j->operands[k], begin, n, to);
}

static int elementwise_work(const void *context, int64_t begin, int64_t end) {
    const elementwise_job *j = context;
    const fc_elementwise *e = j->e;
    real *room = fc_workspace(FC_OWN, PLACES * TILE * sizeof(real));
    if (!room) return FC_NO_MEMORY;
    const real *places[PLACES];
    for (int place = 0; place < PLACES; place++) places[place] = room + place * TILE;
    for (int k = 0; k < e->operands; k++) {
        if (!j->constant[k]) continue;
        gather(j, k, 0, 1, room + k * TILE);
        fill_reals(room + k * TILE, room[k * TILE], TILE);
    }
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t first = task * TILE
        , n = min64(TILE, j->count - first);
        for (int k = 0; k < e->operands; k++) {
            if (j->direct[k])
                places[k] = (const real *)j->operands[k] + first;
            else if (!j->constant[k])
                gather(j, k, first, n, room + k * TILE);
        }
        for (int i = 0; i < e->instructions; i++) {
            const fc_instruction *c = &e->code[i];
            int last = i == e->instructions - 1;
            real *to = last && j->out_direct ? (real *)j->out + first : room + c->to * TILE;
            run_instruction(c, places[c->a], places[c->b], to, n);
            if (last && e->gives_truth)
                scatter_truths((uint8_t *)j->out + first, n, to);
            else if (last && !j->out_direct)
                scatter_tile(e, j->out, first, n, to);
        }
    }
    return 0;
}

/* Predicted, of an element. */
static double cycles_of(const fc_instruction *c) {
    if (c->operation < FC_ACTIVATE || (c->operation == FC_ACTIVATE && c->which <= FC_LEAKY_RELU)) return 0.15;
    return c->operation < FC_POW ? 1.5 : c->operation == FC_POW ? 4 : 20;
}

static int is_direct(const fc_elementwise *e, const int64_t *strides) {
    int64_t step = 1;
    for (int axis = e->axes - 1; axis >= 0; step *= e->sizes[axis--])
        if (strides[axis] != step && e->sizes[axis] != 1) return 0;
    return 1;
}

int FC_NAME(elementwise)(const fc_elementwise *e, const void *const *operands, void *out, int threads) {
    elementwise_job j = {.e = e, .operands = operands, .out = out, .count = 1};
    for (int axis = 0; axis < e->axes; axis++) j.count *= e->sizes[axis];
    if (!j.count) return 0;
    j.out_direct = !e->gives_truth && is_direct(e, e->out_strides);
    double cycles = 0.4;
    for (int k = 0; k < e->operands; k++) {
        j.direct[k] = !(e->truths >> k & 1) && is_direct(e, e->strides[k]), j.constant[k] = 1;
        for (int axis = 0; axis < e->axes; axis++) j.constant[k] &= e->strides[k][axis] == 0 || e->sizes[axis] == 1;
        cycles += j.constant[k] ? 0 : 0.3;
    }
    for (int i = 0; i < e->instructions; i++) cycles += cycles_of(&e->code[i]);
    return fc_parallel(ceil_div(j.count, TILE), cycles * (double)j.count, threads, elementwise_work, &j);
}
