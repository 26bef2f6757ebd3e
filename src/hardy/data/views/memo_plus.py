"""The 19 operations of MEMO_PLUS; lengths are given for a side of 224 pixels and scale with it.

Each takes an RGB image and a generator and returns an image of the same size. Gaps that geometry
leaves are black. `crop` is beside them in `operations`, since it needs to know where. Those in
`LENGTHS` also take `native`: whether the image is as it was read, and lengths are its own pixels.
"""

import numpy as np
from PIL import Image, ImageOps
from scipy.ndimage import gaussian_filter1d, uniform_filter

from hardy.data.shifts import plain
from hardy.data.shifts.drops import equalise
from hardy.data.shifts.elastic import elastic_transform
from hardy.data.views.warp import about_centre, affine, through_points

SIDE = 224
LENGTHS = frozenset({"box_blur", "fixed_affine", "translation", "elastic", "gaussian_blur"})
_BILINEAR = Image.Resampling.BILINEAR


def pixels(image: Image.Image, length: float, native: bool) -> float:
    """Return what a length on an image of side 224 is on this one: on a native one, the same."""
    return length if native else length * min(image.size) / SIDE


def reference(image: Image.Image, native: bool) -> int:
    """Return the shorter side for which lengths are given."""
    return min(image.size) if native else SIDE


def rotation(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Rotate about the centre by -10 to 10 degrees."""
    return image.rotate(rng.uniform(-10, 10), _BILINEAR)


def zoom(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Scale about the centre by 0.5 to 1.5; the size stays."""
    return affine(image, about_centre(image, np.eye(2) * rng.uniform(0.5, 1.5)))


def horizontal_flip(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Exchange left and right."""
    return ImageOps.mirror(image)


def vertical_flip(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Exchange top and bottom."""
    return ImageOps.flip(image)


def greyscale(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Keep the brightness alone (ITU-R BT.601)."""
    return image.convert("L").convert("RGB")


def inverse(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Replace each level v by 255 - v."""
    return ImageOps.invert(image)


def box_blur(image: Image.Image, rng: np.random.Generator, native: bool = False) -> Image.Image:
    """Average over 20 x 20 pixels."""
    size = max(1, round(pixels(image, 20, native)))
    blurred = uniform_filter(_floats(image), (size, size, 0), mode="mirror")
    return rounded(blurred)


def crop(image: Image.Image, centre: tuple[float, float], native: bool = False) -> Image.Image:
    """Cut 160 x 160 pixels about a point (shares of the sides), inside the image, and enlarge.

    What is cut from a native image, which may be smaller, stays as it is: the way to the input's
    size is all that the published code has after it.
    """
    wanted = max(1, round(pixels(image, 160, native)))
    width, height = (min(wanted, length) for length in image.size)
    left, top = (
        min(max(round(share * length - side / 2), 0), length - side)
        for share, length, side in zip(centre, image.size, (width, height), strict=True)
    )
    window = image.crop((left, top, left + width, top + height))
    return window if native else window.resize(image.size, _BILINEAR)


def fixed_affine(image: Image.Image, rng: np.random.Generator, native: bool = False) -> Image.Image:
    """Move (50, 50), (200, 50), (50, 200) to (10, 100), (200, 50), (100, 250)."""
    before = np.array([[50, 50], [200, 50], [50, 200]]) * pixels(image, 1, native)
    after = np.array([[10, 100], [200, 50], [100, 250]]) * pixels(image, 1, native)
    return affine(image, through_points(before, after))


def gamma(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Raise to the power 1/γ, γ from 0.5 to 2."""
    table = (np.arange(256) / 255) ** (1 / rng.uniform(0.5, 2)) * 255
    return image.point(table.astype(np.uint8).tolist() * 3)


def translation(image: Image.Image, rng: np.random.Generator, native: bool = False) -> Image.Image:
    """Move by -100 to 100 whole pixels along each axis."""
    furthest = round(pixels(image, 100, native))
    across, down = (int(step) for step in rng.integers(-furthest, furthest + 1, size=2))
    matrix = (1, 0, -across, 0, 1, -down)
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)


def elastic(image: Image.Image, rng: np.random.Generator, native: bool = False) -> Image.Image:
    """Move three anchors by up to 20 pixels, then all by 1000 times noise smoothed by 20."""
    per = reference(image, native)
    return elastic_transform(image, rng, 1000 / per, 20 / per, 20 / per)


def brightness(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Add -50 to 50 levels."""
    return rounded(_floats(image) + rng.integers(-50, 51))


def equalize_grey(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Equalise the histogram of the brightness; the result is grey."""
    levels = equalise(np.asarray(image.convert("L"), np.float64))
    return Image.fromarray(levels.astype(np.uint8)).convert("RGB")


def salt_and_pepper(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Set one channel value in a hundred to black or white."""
    return plain.salt_and_pepper(image, 0.01, rng)


def gaussian_blur(
    image: Image.Image, rng: np.random.Generator, native: bool = False
) -> Image.Image:
    """Blur by a kernel of 25 x 25 pixels, with the sigma that OpenCV gives it."""
    return blur(image, 2 * round(pixels(image, 12, native)) + 1)


def poisson(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Draw each value from a Poisson law with 25 counts at white."""
    return plain.poisson(image, rng, 25)


def speckle(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Multiply each value by 1 plus standard normal noise."""
    return plain.speckle(image, 1.0, rng)


def contrast(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Multiply each level by 0.5 to 1.5."""
    return rounded(_floats(image) * rng.uniform(0.5, 1.5))


def blur(image: Image.Image, size: int) -> Image.Image:
    """Blur by a Gaussian kernel of odd size, sigma = 0.3 ((size - 1) / 2 - 1) + 0.8 pixels."""
    radius = size // 2
    sigma = 0.3 * (radius - 1) + 0.8
    blurred = _floats(image)
    for axis in (0, 1):
        blurred = gaussian_filter1d(blurred, sigma, axis, mode="mirror", radius=radius)
    return rounded(blurred)


def rounded(levels: np.ndarray) -> Image.Image:
    """Return the image of (H, W, 3) levels, rounded and clipped to 0..255."""
    return Image.fromarray(np.rint(np.clip(levels, 0, 255)).astype(np.uint8))


def _floats(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float32)
