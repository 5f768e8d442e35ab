"""What the commands of ``fastconv`` share, and the short ones."""
