/* Memory that begins with a page, which may be a huge one. Used by the pool of results and by workspaces. */
#ifndef FC_BASE_PAGES_H
#define FC_BASE_PAGES_H

#include <stdlib.h>
#include <sys/mman.h>

enum { FC_PAGE = 4096, FC_HUGE_PAGE = 2 << 20 };

/* NULL where there is none. Of huge pages only those that `bytes` fill are. */
static inline void *fc_pages(size_t page, size_t bytes) {
    void *block;
    if (posix_memalign(&block, page, bytes)) return NULL;
#ifdef MADV_HUGEPAGE
    if (page == FC_HUGE_PAGE) madvise(block, bytes, MADV_HUGEPAGE);
#endif
    return block;
}

#endif
