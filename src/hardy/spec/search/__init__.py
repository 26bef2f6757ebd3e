"""A `search` in a spec: what it may state, its space tried on the experiment, its trials."""
