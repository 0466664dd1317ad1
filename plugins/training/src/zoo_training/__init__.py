"""Data, training and publishing for the models of zoo."""
