"""What is measured: a call of an operation by its shapes, the layers of networks, and the settings of a measurement."""
