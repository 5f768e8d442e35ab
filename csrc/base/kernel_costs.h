/* How far the kernels stay behind what the processor could do, as far as that differs from family to family: a part of
 * its row in processor.c. Used by the cost functions of the kernels that it names. */
#ifndef FC_KERNEL_COSTS_H
#define FC_KERNEL_COSTS_H

/* Multiples: */
typedef struct {
    /* of the bare products, what the register tiles of direct_channels, of im2col, of direct_pixels, of Winograd's
     * algorithm and of its gradient take; */
    double channels, panels, pixels, winograd, points;
    /* of storing to planes that do not, what storing to planes takes that crowd a cache; */
    double crowded;
    /* of the cost functions' numbers, what kernels take before and after their tiles, what Winograd's algorithm does,
     * its transforms of weights and of images, and what `fft` takes to load its tiles. */
    double start, winograd_start, transform, input, load;
} fc_kernel_costs;

/* Of the family in use, with vectors of the instruction set that includes this. */
extern const fc_kernel_costs *fc_kernel_costs_of[2];
#define fc_these_costs (fc_kernel_costs_of[VECTOR_BYTES == 64])

#endif
