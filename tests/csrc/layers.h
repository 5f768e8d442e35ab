/* The layers of threads, for the tests that run in each of them. */
#ifndef LAYERS_H
#define LAYERS_H

#include <stdio.h>

#include "fastconv.h"

/* The failures of `check` in all layers of this build; one that cannot be had is a failure. */
static int check_layers(int (*check)(const char *layer)) {
    int failures = check("pool");
#ifdef OPENMP_LAYER /* the path of its shared object */
    const char *reason = fc_use_openmp(OPENMP_LAYER);
    if (reason) printf("OpenMP: %s\n", reason);
    failures += reason ? 1 : check("OpenMP");
#endif
    return failures;
}

#endif
