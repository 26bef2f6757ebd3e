"""One file a verb; each imports what it needs, when it needs it."""
