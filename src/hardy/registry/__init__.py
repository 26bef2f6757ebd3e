"""The only code that writes to the model registry: gates, aliases, undo, load, serve."""
