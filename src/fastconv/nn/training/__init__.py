"""How networks are trained: batches, steps, metrics, callbacks."""
