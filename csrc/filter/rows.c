/* See rows.h. Limit: the first-level cache. */
#include "filter/rows.h"

#include "base/simd.h"

/* What `DO` does with numbers of that type, which breaks off. */
#define BY_TYPE(number, DO)                                                                                            \
    switch (number) {                                                                                                  \
        case FC_I8: DO(int8_t);                                                                                        \
        case FC_U8: DO(uint8_t);                                                                                       \
        case FC_I16: DO(int16_t);                                                                                      \
        case FC_U16: DO(uint16_t);                                                                                     \
        case FC_I32: DO(int32_t);                                                                                      \
        case FC_U32: DO(uint32_t);                                                                                     \
        case FC_I64: DO(int64_t);                                                                                      \
        case FC_P_F32: DO(float);                                                                                      \
        default: DO(double);                                                                                           \
    }

#define READ(type)                                                                                                     \
    for (int64_t i = 0; i < n; i++) to[i] = (real)((const type *)from)[first + i];                                     \
    break

/* Numbers `first`, ... of a row. */
static void read_numbers(real *restrict to, const void *from, int64_t first, int64_t n, int type) {
    BY_TYPE(type, READ)
}

/* What does not fit becomes the lowest number, as by x86's conversion, which C leaves undefined. */
static inline int32_t as_int32(real value) {
    real lowest = -(real)0x1p31;
    return (int32_t)(value >= lowest && value < -lowest ? value : lowest);
}

#define WRITE(type)                                                                                                    \
    for (int64_t i = 0; i < n; i++) ((type *)to)[i] = (type)from[i];                                                   \
    break
#define WRITE_INTEGER(type, whole, low, high)                                                                          \
    if (f->rounding == FC_SATURATE) saturate(from, n, low, high);                                                      \
    for (int64_t i = 0; i < n; i++) ((type *)to)[i] = (type)whole(from[i]);                                            \
    break

/* Rounded and in range; what is not a number becomes the lowest one. There is room for a whole vector more. */
static void saturate(real *row, int64_t n, real low, real high) {
    for (int64_t i = 0; i < n; i += VL)
        store(row + i, ROUND(at_most(at_least(load(row + i), splat(low)), splat(high))));
}

void FC_NAME(filter_write_row)(char *out, const fc_filter *f, const band *b, int64_t row, real *restrict from) {
    int64_t first = b->pixel * f->channels, n = b->pixel_end * f->channels - first;
    void *restrict to = out + b->image * f->out_image + row * f->out_row + first * item_of(f->out_type);
    switch (f->out_type) {
        case FC_I8: WRITE_INTEGER(int8_t, (int32_t), -128, 127);
        case FC_U8: WRITE_INTEGER(uint8_t, (int32_t), 0, 255);
        case FC_I16: WRITE_INTEGER(int16_t, (int32_t), -32768, 32767);
        case FC_U16: WRITE_INTEGER(uint16_t, (int32_t), 0, 65535);
        case FC_I32: WRITE_INTEGER(int32_t, as_int32, (real)INT32_MIN, (real)INT32_MAX);
        case FC_U32: WRITE_INTEGER(uint32_t, (int64_t), 0, (real)UINT32_MAX);
        case FC_I64: WRITE_INTEGER(int64_t, (int64_t), (real)INT64_MIN, (real)INT64_MAX);
        case FC_P_F32: WRITE(float);
        default: WRITE(double);
    }
}

#define NARROW(type, whole)                                                                                            \
    for (int64_t i = 0; i < n; i++) row[i] = (real)(type)whole(row[i]);                                                \
    break

/* What lies between two passes, as that type holds it. */
void FC_NAME(filter_narrow)(real *row, const fc_filter *f, int64_t n) {
    switch (f->between) {
        case FC_I8: NARROW(int8_t, (int32_t));
        case FC_U8: NARROW(uint8_t, (int32_t));
        case FC_I16: NARROW(int16_t, (int32_t));
        case FC_U16: NARROW(uint16_t, (int32_t));
        case FC_I32: NARROW(int32_t, as_int32);
        case FC_U32: NARROW(uint32_t, (int64_t));
        case FC_I64: NARROW(int64_t, (int64_t));
        case FC_P_F32:
            for (int64_t i = 0; i < n; i++) row[i] = (real)(float)row[i];
            break;
        default: break;
    }
}

static void fill(real *to, int64_t n, double value) {
    for (int64_t i = 0; i < n; i++) to[i] = (real)value;
}

#define READ_OUTSIDE(type)                                                                                             \
    for (int64_t v = first; v < end; v++)                                                                              \
        for (int64_t k = 0, entry = f->columns[v]; k < c; k++)                                                         \
            *to++ = entry < 0 ? constant : (real)((const type *)from)[entry * c + k];                                  \
    break

/* The pixels of a row, or the constant where there is none, from `first` up to `end` as the windows number them. */
static void read_outside(real *restrict to, const fc_filter *f, const void *from, int64_t first, int64_t end) {
    int64_t c = f->channels;
    real constant = (real)f->constant;
    BY_TYPE(f->x_type, READ_OUTSIDE)
}

/* Pixels `first`, ... of row `row`, both as the windows number them. */
void FC_NAME(filter_read_row)(real *to, const fc_filter *f, const char *image, int64_t row, int64_t first,
                              int64_t pixels) {
    int64_t c = f->channels, end = first + pixels, source = f->rows[row];
    if (source < 0) {
        fill(to, pixels * c, f->constant);
        return;
    }
    const char *from = image + source * f->x_row;
    band inside = inside_row(f, first, end);
    read_outside(to, f, from, first, inside.pixel);
    read_numbers(to + (inside.pixel - first) * c, from, (inside.pixel - f->before) * c,
                 (inside.pixel_end - inside.pixel) * c, f->x_type);
    read_outside(to + (inside.pixel_end - first) * c, f, from, inside.pixel_end, end);
}

/* The second of two passes sees the constant beyond the ends of a row, not what the first made of it. */
void FC_NAME(filter_renew_constant)(real *row, const fc_filter *f, int64_t first, int64_t pixels) {
    int64_t c = f->channels;
    band inside = inside_row(f, first, first + pixels);
    fill(row, (inside.pixel - first) * c, f->constant);
    fill(row + (inside.pixel_end - first) * c, (first + pixels - inside.pixel_end) * c, f->constant);
}
