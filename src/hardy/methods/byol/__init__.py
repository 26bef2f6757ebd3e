"""BYOL: a network learns to foretell what its slower copy says of another view."""
