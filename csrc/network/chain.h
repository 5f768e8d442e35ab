/* Steps of a network that are done together, band by band. Called by network.c. */
#ifndef FC_CHAIN_H
#define FC_CHAIN_H

#include "fastconv.h"

/* Runs steps[0], ..., of which each but the last makes what the next one reads, and nobody else; `nanoseconds`, or
 * NULL, takes what each has of the time. */
int fc_chain_run(const fc_step *steps, void *const *places, int threads, int64_t *nanoseconds);

#endif
