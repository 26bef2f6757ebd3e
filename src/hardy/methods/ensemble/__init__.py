"""Several models and methods as one: temperatures, weights by certainty, joint steps."""
