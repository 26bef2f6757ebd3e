"""Contrastive image-text models (CLIP, arXiv:2103.00020) as zero-shot classifiers."""
