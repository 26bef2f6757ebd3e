"""Carries units out: device, loops, journals, resume, pictures, progress."""
