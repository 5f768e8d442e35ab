"""What is right: operations and gradients from their definitions in float64, and results compared with them."""
