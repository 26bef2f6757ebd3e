"""A vote of the nearest neighbours in a bank of features."""
