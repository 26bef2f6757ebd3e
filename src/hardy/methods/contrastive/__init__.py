"""Contrastive training of an image-text model (CLIP, arXiv:2103.00020)."""
