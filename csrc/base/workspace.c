/* Scratch memory of threads, kept from call to call. */
#include "base/workspace.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"
#include "base/parallel.h"

/* Workspaces are new each time, no larger than asked for, and full of NaN: for a checker of memory to see what is
 * wrong. */
#ifndef FC_CHECKED
#define FC_CHECKED 0
#endif

/* Small pages may lie so that a half of L2 is not used: a strided 3x3 convolution, whose tiles fill most of it, took
 * 0.8 ms in half of all processes and 1.5 in the others, and takes 0.8 to 0.9 in a huge page. */
enum { LEAST_HUGE = 256 << 10 };

typedef struct {
    void *memory[FC_CHAIN + 1];
    size_t bytes[FC_CHAIN + 1];
} workspaces;

static _Atomic size_t refused;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void release(void *value) {
    for (int i = 0; i <= FC_CHAIN; i++) free(((workspaces *)value)->memory[i]);
    free(value);
}

static void make_key(void) { pthread_key_create(&key, release); }

void *fc_workspace(int which, size_t bytes) {
    pthread_once(&once, make_key);
    workspaces *own = pthread_getspecific(key);
    if (!own) {
        own = calloc(1, sizeof *own);
        if (!own || pthread_setspecific(key, own)) {
            free(own);
            return NULL;
        }
    }
    if (own->bytes[which] < bytes || FC_CHECKED) {
        free(own->memory[which]);
        own->bytes[which] = 0;
        size_t unit = FC_CHECKED ? 64 : bytes < LEAST_HUGE ? FC_PAGE : FC_HUGE_PAGE;
        bytes = (bytes + unit - 1) & ~(unit - 1);
        own->memory[which] = fc_pages(unit, bytes);
        if (!own->memory[which]) {
            atomic_store(&refused, bytes);
            return NULL;
        }
        own->bytes[which] = bytes;
        if (FC_CHECKED) memset(own->memory[which], 0xff, bytes);
    }
    return own->memory[which];
}

size_t fc_refused_workspace(void) { return atomic_exchange(&refused, 0); }

void *fc_put_workspaces_aside(void) {
    pthread_once(&once, make_key);
    void *own = pthread_getspecific(key);
    pthread_setspecific(key, NULL);
    return own;
}

void fc_give_workspaces_back(void *aside) {
    void *used = pthread_getspecific(key);
    if (used) release(used);
    pthread_setspecific(key, aside);
}
