"""A linear classifier on the features of a network that stays as it is."""
