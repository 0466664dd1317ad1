"""The commands: they parse arguments and call the library."""
