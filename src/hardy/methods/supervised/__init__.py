"""Training on labelled samples: a whole network, its head, or parts of it."""
