"""Data, training and publishing for zoo's models."""
