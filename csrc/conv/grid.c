/* What every kernel's call begins with: see grid.h. Once for all kernels. */
#include "conv/grid.h"

operands FC_NAME(operands_of)(const fc_conv *p) {
    operands o;
    int64_t in = p->transposed ? p->filters : p->channels, out = p->transposed ? p->channels : p->filters;
    int64_t taps = o.elements = p->kernel_h * p->kernel_w;
    o.batch = p->batch, o.groups = p->groups;
    o.channels = in / p->groups, o.filters = out / p->groups;
    o.height = p->transposed ? p->out_height : p->height, o.width = p->transposed ? p->out_width : p->width;
    o.out_height = p->transposed ? p->height : p->out_height, o.out_width = p->transposed ? p->width : p->out_width;
    o.nhwc = p->layout == FC_NHWC, o.rescaled = p->rescaled;
    o.x_pixel = o.nhwc ? in : 1, o.x_channel = o.nhwc ? 1 : o.height * o.width;
    o.x_image = in * o.height * o.width;
    int64_t wide = p->out_channels ? p->out_channels : out;
    o.out_pixel = o.nhwc ? wide : 1, o.out_channel = o.nhwc ? 1 : o.out_height * o.out_width;
    o.out_image = wide * o.out_height * o.out_width;
    /* The user's array is (F, C/g, kH, kW) or (kH, kW, C/g, F), F being the filters of the plain convolution. */
    int64_t per_group = p->channels / p->groups;
    o.w_nhwc = o.nhwc && !p->planar_weights;
    int64_t outer = o.w_nhwc ? 1 : per_group * taps, inner = o.w_nhwc ? p->filters : taps;
    o.w_column = o.w_nhwc ? per_group * p->filters : 1;
    o.w_row = p->kernel_w * o.w_column;
    o.w_filter = p->transposed ? inner : outer, o.w_channel = p->transposed ? outer : inner;
    o.w_group = p->filters / p->groups * outer;
    o.grid_rows = p->transposed ? min64(p->kernel_h, period_of(p->stride_h, p->dilation_h)) : 1;
    o.grid_columns = p->transposed ? min64(p->kernel_w, period_of(p->stride_w, p->dilation_w)) : 1;
    o.phase_rows = p->transposed ? min64(p->stride_h, o.out_height) : 1;
    o.phase_columns = p->transposed ? min64(p->stride_w, o.out_width) : 1;
    return o;
}
