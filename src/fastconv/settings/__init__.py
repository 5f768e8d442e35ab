"""What is chosen for a process, a block or by the environment: precision, threads, the memory that is kept."""
