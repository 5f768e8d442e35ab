"""``fastconv bench``: its arguments, and what it does."""
