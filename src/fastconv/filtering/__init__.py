"""What `fastconv.ndimage` and `fastconv.signal` are made of: arguments, blocks, sums."""
