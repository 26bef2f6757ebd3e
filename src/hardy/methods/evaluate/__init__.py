"""The model as it is, under two names."""
