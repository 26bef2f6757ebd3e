"""A network's tensors, and the files that a run leaves of what was fitted.

    weights/weights.safetensors   the network's own tensors, under its own names
    weights/fitted.safetensors    all else that the method fitted, such as temperatures
    weights/manifest.json         the SHA-256 of each file, written last
"""

WEIGHTS = "weights/weights.safetensors"
FITTED = "weights/fitted.safetensors"
