"""The commands: what is typed, read."""
