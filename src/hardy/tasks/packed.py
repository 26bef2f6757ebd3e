"""Pictures as text: what a registered model sends of them, PNG in base64."""

import base64
import io

from PIL import Image


def packed(image: Image.Image) -> str:
    """Return a picture as PNG in base64."""
    stream = io.BytesIO()
    image.save(stream, "png")
    return base64.b64encode(stream.getvalue()).decode()


def unpacked(text: str) -> bytes:
    """Return the PNG of a packed picture."""
    return base64.b64decode(text)
