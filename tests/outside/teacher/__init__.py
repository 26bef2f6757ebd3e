"""A network that follows its own slower copy."""
