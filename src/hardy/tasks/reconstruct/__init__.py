"""The image as it was before the shift."""
