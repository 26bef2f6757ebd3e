"""Networks of hardy's own that answer for each pixel."""
