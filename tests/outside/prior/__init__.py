"""The class frequencies of another place."""
