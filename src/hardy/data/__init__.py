"""Datasets, class maps, shifts (corruptions), views (augmentations), digests."""
