/* What a thread's scratch memory (fc_workspace of base/parallel.h) needs beside its use. Called by base/watch.c and,
 * for its messages, by the extension. */
#ifndef FC_WORKSPACE_H
#define FC_WORKSPACE_H

#include <stddef.h>

/* The size of the last workspace that memory did not have, of any thread; 0 from then on, and where there was none. */
size_t fc_refused_workspace(void);

/* Takes this thread's workspaces away from it, while it does something else amid a task. */
void *fc_put_workspaces_aside(void);

/* Gives them back, in place of what it has used meanwhile. */
void fc_give_workspaces_back(void *aside);

#endif
