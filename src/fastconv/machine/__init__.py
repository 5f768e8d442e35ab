"""What the processor is and what it can do at most."""
