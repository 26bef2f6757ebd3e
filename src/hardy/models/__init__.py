"""Builds a network from its spec, and knows where weights come from."""
