/* A bounded pool of freed memory for large results: fresh pages cost more than many a convolution. Called by
 * `_engine.pyx`, as NumPy's allocator of the arrays that fastconv returns. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"
#include "fastconv.h"

enum { MOST_BLOCKS = 64, HEADER = 64 };

/* The blocks, oldest first. A block's capacity stands in the cache line before what the user sees. */
static struct {
    char *block[MOST_BLOCKS];
    size_t count, bytes, limit;
} pool = {.limit = (size_t)256 << 20};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set_up(void);

static void lock(void) {
    pthread_once(&once, set_up);
    pthread_mutex_lock(&mutex);
}

static void unlock(void) { pthread_mutex_unlock(&mutex); }

static void set_up(void) { pthread_atfork(lock, unlock, unlock); }

static size_t capacity(const char *block) {
    size_t bytes;
    memcpy(&bytes, block, sizeof bytes);
    return bytes;
}

static char *take(size_t index) {
    char *block = pool.block[index];
    pool.bytes -= capacity(block);
    pool.count--;
    memmove(pool.block + index, pool.block + index + 1, (pool.count - index) * sizeof *pool.block);
    return block;
}

static void shrink(size_t bytes, size_t blocks) {
    while (pool.count && (pool.bytes > bytes || pool.count > blocks)) free(take(0));
}

/* Before fresh memory is taken: what lies idle and is no larger goes in its place, the oldest first, but for a share
 * that calls of a few sizes in turn find again. Else a training step holds all sizes that it needs at any time. */
static void make_room(size_t bytes) {
    size_t freed = 0;
    for (size_t i = 0; i < pool.count && pool.bytes > pool.limit / 4 && freed < bytes;) {
        if (capacity(pool.block[i]) > bytes) {
            i++;
            continue;
        }
        char *block = take(i);
        freed += capacity(block);
        free(block);
    }
}

static char *fresh(size_t bytes) {
    size_t page = bytes >= FC_HUGE_PAGE ? FC_HUGE_PAGE : FC_PAGE;
    if (bytes > SIZE_MAX - page) return NULL;
    bytes = (bytes + FC_PAGE - 1) / FC_PAGE * FC_PAGE; /* what does not fill a huge page lies in small ones */
    char *block = fc_pages(page, bytes);
    if (!block) {
        fc_recycle_clear();
        block = fc_pages(page, bytes);
    }
    if (!block) return NULL;
    memcpy(block, &bytes, sizeof bytes);
    return block;
}

void *fc_recycle_alloc(size_t bytes) {
    if (bytes > SIZE_MAX - HEADER) return NULL;
    bytes += HEADER;
    lock();
    size_t best = pool.count;
    for (size_t i = 0; i < pool.count; i++) {
        size_t has = capacity(pool.block[i]);
        if (has >= bytes && (has <= FC_PAGE || has / 2 <= bytes) &&
            (best == pool.count || has <= capacity(pool.block[best])))
            best = i;
    }
    char *block = best < pool.count ? take(best) : NULL;
    if (!block) make_room(bytes);
    unlock();
    if (!block) block = fresh(bytes);
    return block ? block + HEADER : NULL;
}

void fc_recycle_free(void *memory) {
    if (!memory) return;
    char *block = (char *)memory - HEADER;
    lock();
    if (capacity(block) <= pool.limit) {
        shrink(pool.limit - capacity(block), MOST_BLOCKS - 1);
        pool.bytes += capacity(block);
        pool.block[pool.count++] = block;
        block = NULL;
    }
    unlock();
    free(block);
}

void *fc_recycle_realloc(void *memory, size_t bytes) {
    void *other = fc_recycle_alloc(bytes);
    if (memory && other) {
        size_t had = capacity((char *)memory - HEADER) - HEADER;
        memcpy(other, memory, had < bytes ? had : bytes);
        fc_recycle_free(memory);
    }
    return other;
}

void fc_recycle_limit(size_t bytes) {
    lock();
    pool.limit = bytes;
    shrink(bytes, MOST_BLOCKS);
    unlock();
}

size_t fc_recycle_bytes(void) {
    lock();
    size_t bytes = pool.bytes;
    unlock();
    return bytes;
}

void fc_recycle_clear(void) {
    lock();
    shrink(0, 0);
    unlock();
}
