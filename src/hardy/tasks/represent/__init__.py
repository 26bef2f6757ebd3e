"""What the network's head is given of an image, without any truth."""
