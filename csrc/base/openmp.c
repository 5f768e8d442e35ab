/* Threads of OpenMP: a shared object of its own, the only file that is compiled for OpenMP. It names no library that
 * has OpenMP's functions: base/load_openmp.c sees to it that the process has one. */
#include <omp.h>

#include "base/team.h"

static int most(void) { return omp_get_active_level() < omp_get_max_active_levels() ? omp_get_max_threads() : 1; }

static void work(int threads, fc_member member, void *job) {
#pragma omp parallel num_threads(threads)
    member(job, omp_get_thread_num());
}

__attribute__((visibility("default"))) const fc_team fastconv_openmp_team = {most, work};
