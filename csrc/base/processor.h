/* What the predicted costs know of the processor: a few numbers for its family (the table in processor.c), and the
 * sizes of its caches. Used by the kernels' cost functions and plans; dispatch.c shows and sets the family. */
#ifndef FC_PROCESSOR_H
#define FC_PROCESSOR_H

#include <stdint.h>

typedef struct {
    const char *name;
    double product[3]; /* cycles of multiplying and adding whole vectors of 16, 32 and 64 bytes */
    /* What else a kernel does, as a multiple of what it takes on Zen 4 with vectors of 64 bytes: to load, store and
     * permute whole vectors; to step through loops, rows and tiles; and to pack weights. */
    double move[3], step, pack;
    double l2, l3, memory; /* bytes a cycle that a core reads from there while another one does */
    const char *source;
} fc_processor;

/* The family's rows for narrower vectors and for those of 64 bytes, found as the library is loaded. */
extern const fc_processor *fc_processor_of[2];

/* That of the vectors of the instruction set that includes this. */
#define fc_this_processor (fc_processor_of[VECTOR_BYTES == 64])

/* The cycles of a product of whole vectors of the instruction set that includes this. */
#define PRODUCT_CYCLES (fc_this_processor->product[VECTOR_BYTES / 32])

/* Cycles of these kinds of work, as cost functions have them from Zen 4. */
#define MOVING(cycles) ((cycles) * fc_this_processor->move[VECTOR_BYTES / 32])
#define STEPPING(cycles) ((cycles) * fc_this_processor->step)
#define PACKING(cycles) ((cycles) * fc_this_processor->pack)

/* Of data, of a core: all have at least that much. */
enum { L1_BYTES = 32 << 10 };

/* The size of a core's L2 cache, within the bounds that the kernels' block sizes can follow. */
int64_t fc_l2_bytes(void);

/* The cycles in which a thread gets so many bytes from beyond its L2, while others do the same: the more of L3 the
 * `again` bytes fill that call after call reads, the more of them come from memory, as others use L3 too. */
double fc_stream_cycles(double bytes, double again);

#endif
