"""Which class each pixel of an image shows."""
