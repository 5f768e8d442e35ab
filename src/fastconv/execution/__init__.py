"""Runs one operation: reads the user's arrays, asks the backend, gives an array back. Called by `ops/` and `grad/`."""
