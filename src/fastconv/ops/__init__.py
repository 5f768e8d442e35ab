"""The public operations: each with its docstring and defaults. Users import them from `fastconv`."""
