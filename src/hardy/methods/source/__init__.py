"""The unadapted source model."""
