# What csrc/fastconv.h and NumPy declare, as far as it is used here. Part of `_engine.pyx`.


cdef extern from "base/workspace.h" nogil:
    size_t fc_refused_workspace()


cdef extern from "fastconv.h" nogil:
    enum:
        FC_OUT_OF_RANGE
        FC_NOT_TOGETHER
        FC_MOST_THREADS
        FC_NOT_MINE
        FC_INTERRUPTED
        FC_CHANNEL_PRELU
        FC_FORKED
        FC_OVERFLOW
        FC_P_F32
    ctypedef struct fc_conv:
        int64_t batch, channels, height, width
        int64_t filters, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups
        int64_t out_height, out_width
        int layout, dtype, transposed, strict, once, planar_weights
        int64_t out_channels
        int rescaled
        double cycles
    ctypedef struct fc_epilogue:
        const void *bias
        const void *residual
        const void *slopes
        const void *gate
        const void *scale
        const void *shift
        int activation
        double a, b
    ctypedef struct fc_windows:
        int kind
        int64_t size, count, step, kernel, stride, first, counted_from, counted_to
        double unit, divisor
        const double *samples
    ctypedef struct fc_pool:
        int64_t batch, channels, height, width
        fc_windows rows, columns
        int layout, type, reducer
        double power

    ctypedef struct fc_filter:
        int64_t images, height, width, channels
        int64_t x_image, x_row, out_image, out_row
        int64_t kernel_h, kernel_w, before
        const int64_t *rows
        const int64_t *columns
        double constant
        int x_type, out_type, between, rounding
    ctypedef struct fc_filter_pass:
        int64_t kernel_h, kernel_w
        const double *weights
        const int64_t *order
        const double *order_weights
        int64_t order_count
        double doubt

    int fc_isa_count()
    const char *fc_isa_name(int isa)
    int fc_isa_runs_here(int isa)
    void fc_select_isa(int isa)
    int fc_processor_count()
    const char *fc_processor_name(int row)
    const char *fc_processor_source(int row)
    int fc_processor_row(const char *vendor, int family, int model)
    int fc_selected_processor()
    void fc_select_processor(int row)
    const char *fc_compiler()
    const char *fc_flags()
    int fc_conv_kernel_count()
    const char *fc_conv_kernel_name(int kernel)
    int fc_conv_kernel_is_textbook(int kernel)
    int fc_conv_accepts(const fc_conv *p, int kernel)
    double fc_conv_cost(const fc_conv *p, int kernel)
    double fc_conv_error(const fc_conv *p, int kernel)
    double fc_conv_flops(const fc_conv *p, int kernel)
    int fc_conv_choose(const fc_conv *p)
    int fc_conv_sums_alike(const fc_conv *p, int kernel)
    size_t fc_conv_weight_bytes(const fc_conv *p, int kernel)
    int64_t fc_conv_weight_form(const fc_conv *p, int kernel)
    size_t fc_conv_workspace_bytes(const fc_conv *p, int kernel, int threads)
    int fc_conv_prepares(const fc_conv *p, int kernel)
    int fc_conv_prepare(const fc_conv *p, int kernel, const void *weight, void *packed, int threads)
    int fc_conv_sums_rows(const fc_conv *p, int kernel, const fc_epilogue *e)
    int fc_conv_run(const fc_conv *p, int kernel, const void *x, const void *packed, const fc_epilogue *e, void *out,
                    int threads)
    int fc_conv_run_once(const fc_conv *p, int kernel, const void *x, const void *weight, void *packed,
                         const fc_epilogue *e, void *out, int threads)
    int fc_gradient_count()
    const char *fc_gradient_name(int kernel)
    int fc_gradient_accepts(const fc_conv *p, int kernel)
    double fc_gradient_cost(const fc_conv *p, int kernel)
    int fc_gradient_choose(const fc_conv *p)
    int fc_gradient_run(const fc_conv *p, int kernel, const void *x, const void *gradient, void *weights, void *bias,
                        int threads)
    int fc_pool_run(const fc_pool *p, const void *x, void *out, int64_t *indices, const double *uniforms, int threads)
    int fc_pad(const void *x, void *out, int64_t planes, int64_t height, int64_t width, int64_t inner,
               const int64_t *rows, int64_t row_count, const int64_t *columns, int64_t column_count,
               const void *value, int item, int threads)
    int fc_unfold(const fc_conv *p, const void *x, void *out, int item, int threads)
    int fc_scatter(const void *values, const int64_t *indices, void *out, int64_t batch, int64_t channels,
                   int64_t count, int64_t plane, int layout, int item, int threads)
    int fc_gather(const void *x, const int64_t *indices, void *out, int64_t batch, int64_t channels, int64_t count,
                  int64_t plane, int layout, int item, int threads)
    int fc_to_floats(const void *halves, void *floats, int64_t count, int threads)
    int fc_to_halves(const void *floats, void *halves, int64_t count, int threads)
    int fc_filter_extrema(const fc_filter *f, int largest, const void *x, void *out, int threads)
    int fc_filter_network(const fc_filter *f, const int64_t *offsets, int64_t count, const int32_t *exchanges,
                          int64_t steps, int64_t place, const void *x, void *out, int threads)

    enum:
        FC_MOST_OPERANDS
        FC_MOST_AXES, FC_MOST_CHAINED, FC_SUMMED
        FC_MOST_INSTRUCTIONS
        FC_MOST_TEMPORARIES
        FC_STEP_CONV
        FC_STEP_PRODUCT
        FC_STEP_POOL
        FC_STEP_ELEMENTWISE
        FC_STEP_COPY
        FC_STEP_PAD
        FC_STEP_SOFTMAX
        FC_STEP_NORMALISE
        FC_STEP_LRN
        FC_STEP_REDUCE
        FC_STEP_PLACES
        FC_STEP_RESAMPLE
        FC_TOTAL
        FC_MEAN
        FC_SUM_OF_SIZES
        FC_SUM_OF_SQUARES
        FC_ROOT_OF_SQUARES
        FC_GREATEST
        FC_SMALLEST
        FC_PRODUCT
        FC_MOST_ROW_BYTES
        FC_ADD
        FC_SUB
        FC_MUL
        FC_DIV
        FC_LEAST
        FC_MOST
        FC_PRELU
        FC_LESS
        FC_LESS_EQUAL
        FC_EQUAL
        FC_AND
        FC_AND_NOT
        FC_OR
        FC_XOR
        FC_NOT
        FC_AFFINE
        FC_HARD_SIGMOID
        FC_SQRT
        FC_ABS
        FC_SIGN
        FC_FLOOR
        FC_CEIL
        FC_ROUND
        FC_ACTIVATE
        FC_ELU
        FC_EXP
        FC_MISH
        FC_SOFTPLUS
        FC_LOG
        FC_ERF
        FC_POW
        FC_FMOD
        FC_MOD
        FC_SIN
        FC_COS
        FC_TAN
        FC_ASIN
        FC_ACOS
        FC_ATAN
        FC_SINH
        FC_COSH
        FC_ASINH
        FC_ACOSH
        FC_ATANH
    ctypedef struct fc_instruction:
        int operation, to, a, b, which
        double p, q
    ctypedef struct fc_elementwise:
        int axes, operands, instructions, truths, gives_truth
        int64_t sizes[8]
        int64_t out_strides[8]
        int64_t strides[8][8]
        fc_instruction code[24]
    ctypedef struct fc_region:
        int axes, item
        int64_t sizes[8]
        int64_t x_strides[8]
        int64_t out_strides[8]
    # The members of the union `of`, by the names that C gives them.
    ctypedef struct fc_step_conv "fc_step_conv":
        fc_conv p
        fc_epilogue epilogue
        int kernel
        const void *packed
    ctypedef struct fc_step_pad "fc_step_pad":
        int64_t planes, height, width, inner, row_count, column_count
        const int64_t *rows
        const int64_t *columns
        char value[8]
        int item
    ctypedef struct fc_step_normalise "fc_step_normalise":
        int64_t outer, groups, channels, run
        double eps
    ctypedef struct fc_step_reduce "fc_step_reduce":
        int64_t outer, count, inner
        int how, last
    ctypedef struct fc_step_softmax "fc_step_softmax":
        int64_t outer, count, inner
        int logarithm
    ctypedef struct fc_step_lrn "fc_step_lrn":
        int64_t batch, channels, pixels, size
        double alpha, beta, k
    ctypedef struct fc_step_resample "fc_step_resample":
        const int64_t *starts
        const int64_t *counts
        const void *weights
        int64_t outer, in_size, out_size, inner, taps
    ctypedef union fc_step_of "fc_step_of":
        fc_step_conv conv
        fc_pool pool
        fc_elementwise elementwise
        fc_region copy
        fc_step_pad pad
        fc_step_softmax softmax
        fc_step_normalise normalise
        fc_step_reduce reduce
        fc_step_lrn lrn
        fc_step_resample resample
    ctypedef struct fc_step:
        int kind, dtype
        int operands[8]
        int out
        int64_t chained, band
        fc_step_of of
    int64_t fc_chain_bytes(const fc_step *steps, int64_t count, int64_t band)
    int fc_network_run(const fc_step *steps, int64_t count, void *const *places, int threads, int64_t *nanoseconds)

    ctypedef struct fc_update:
        int rule, nesterov
        double scale, limit, decay, kept, rate, first, second, eps, root_scale

    ctypedef struct fc_parameter:
        void *weight
        const void *gradient
        void *state[2]
        int64_t count

    # One function for each line of operations.def.
    ctypedef struct fc_operations:
        int (*is_even)(const fc_conv *p, const void *x, double far, int threads) noexcept nogil
        int (*deform_conv)(const fc_conv *p, const void *x, const void *offset, const void *mask, int64_t offset_groups,
                           const void *weight, const void *bias, void *out, int threads) noexcept nogil
        int (*deform_conv_gradient)(const fc_conv *p, const void *x, const void *offset, const void *mask,
                                    int64_t offset_groups, const void *weight, const void *gradient, void *grad_x,
                                    void *grad_offset, void *grad_weight, void *grad_mask, int threads) noexcept nogil
        int (*channel_sums)(const void *x, void *out, int64_t batch, int64_t channels, int64_t pixels, int layout,
                            int threads) noexcept nogil
        int (*pool_gradient)(const fc_pool *p, const void *gradient, void *out, int threads) noexcept nogil
        int (*fold)(const fc_conv *p, const void *columns, void *out, int threads) noexcept nogil
        int (*scatter_add)(const void *values, const int64_t *indices, void *out, int64_t batch, int64_t channels,
                           int64_t rows, int64_t columns, int64_t height, int64_t width, int layout,
                           int threads) noexcept nogil
        int (*pad_gradient)(const void *gradient, void *out, int64_t planes, int64_t height, int64_t width,
                            int64_t inner, const int64_t *rows, int64_t row_count, const int64_t *columns,
                            int64_t column_count, int threads) noexcept nogil
        int (*local_response_norm)(const void *x, void *out, int64_t batch, int64_t channels, int64_t pixels,
                                   int64_t size, double alpha, double beta, double k, int layout,
                                   int threads) noexcept nogil
        int (*local_response_norm_gradient)(const void *x, const void *gradient, void *out, int64_t batch,
                                            int64_t channels, int64_t pixels, int64_t size, double alpha, double beta,
                                            double k, int layout, int threads) noexcept nogil
        int (*activation_gradient)(int activation, double a, double b, const void *gradient, const void *value,
                                   int from_output, void *out, int64_t count, int threads) noexcept nogil
        int (*softmax)(const void *x, void *out, int64_t outer, int64_t count, int64_t inner, int logarithm,
                       int threads) noexcept nogil
        int (*softmax_gradient)(const void *gradient, const void *output, void *out, int64_t outer, int64_t count,
                                int64_t inner, int logarithm, int threads) noexcept nogil
        int (*segment_sums)(const void *x, const void *other, const void *centre, double *sums, int64_t outer,
                            int64_t steps, int64_t groups, int64_t run, int threads) noexcept nogil
        int (*segment_affine)(const void *x, const void *centre, const void *scale, const void *shift,
                              const void *other, const void *factor, double low, double high, void *out,
                              int64_t outer, int64_t steps, int64_t groups, int64_t run,
                              int threads) noexcept nogil
        int (*optimiser_step)(const fc_parameter *parameters, int64_t count, const fc_update *update,
                              int threads) noexcept nogil
        int (*batch_norm)(const void *x, const void *weight, const void *bias, const void *residual, double eps,
                          double low, double high, void *out, double *statistics, int64_t steps, int64_t groups,
                          int64_t run, int threads) noexcept nogil
        int (*batch_norm_gradient)(const void *x, const void *gradient, const void *output, const void *weight,
                                   const double *statistics, double eps, double low, double high, void *grad_x,
                                   void *grad_residual, double *totals, int64_t steps, int64_t groups, int64_t run,
                                   int threads) noexcept nogil
        int (*normalise_rows)(const void *x, const void *weight, const void *bias, double eps, void *out, int64_t outer,
                              int64_t groups, int64_t channels, int64_t run, int threads) noexcept nogil
        int (*resample)(const void *x, const int64_t *starts, const int64_t *counts, const void *weights, void *out,
                        int64_t outer, int64_t in_size, int64_t out_size, int64_t inner, int64_t taps,
                        int threads) noexcept nogil
        int (*filter_sums)(const fc_filter *f, const fc_filter_pass *first, const fc_filter_pass *second, const void *x,
                           void *out, int threads) noexcept nogil
        int (*filter_means)(const fc_filter *f, const void *x, void *out, int threads) noexcept nogil
        int (*filter_scores)(void *products, const void *mean, const void *square, int64_t rows, int64_t columns,
                             int64_t stride, double length, double flat, int threads) noexcept nogil
    const fc_operations *fc_operations_of(int dtype)
    int fc_probe(int isa, int dtype, int probe, void *memory, int64_t stride, int64_t bytes, int64_t repeats,
                 int threads, double *work, double *seconds)
    void fc_use_pool()
    const char *fc_use_openmp(const char *path)
    int fc_uses_openmp()
    const char *fc_openmp_version()
    void fc_ask_in_long_calls(int (*ask)() noexcept nogil, unsigned long thread, int64_t every)
    void *fc_recycle_alloc(size_t bytes)
    void *fc_recycle_realloc(void *memory, size_t bytes)
    void fc_recycle_free(void *memory)
    void fc_recycle_limit(size_t bytes)
    size_t fc_recycle_bytes()
    void fc_recycle_clear()


cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyDataMemAllocator:
        void *ctx
        void *(*malloc)(void *ctx, size_t size) noexcept nogil
        void *(*calloc)(void *ctx, size_t count, size_t size) noexcept nogil
        void *(*realloc)(void *ctx, void *memory, size_t size) noexcept nogil
        void (*free)(void *ctx, void *memory, size_t size) noexcept nogil
    ctypedef struct PyDataMem_Handler:
        char name[127]
        uint8_t version
        PyDataMemAllocator allocator
    object PyDataMem_SetHandler(object handler)
