/* The engine's own threads. Called by base/parallel.c. */
#ifndef FC_POOL_H
#define FC_POOL_H

/* Creates workers until there are so many, or until the system gives none: the caller does what is left. */
void fc_have_workers(int wanted);

/* Tells so many of them that a slot has tasks, of so many cycles in all; those that sleep only where it pays. */
void fc_wake_workers(int wanted, double cycles);

/* In a child of fork(), which they do not survive. */
void fc_pool_in_child(void);

#endif
