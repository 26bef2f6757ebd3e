"""What holds for every corruption: shape, determinism, order of severities, errors."""

import functools
import re

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from hardy.core.errors import DataError, SpecError
from hardy.data.shifts import KINDS, apply
from hardy.data.shifts.tables import CIFAR_C, IMAGENET_C
from hardy.data.spec import CORRUPTIONS

# Where the published constants change character between severities, the change grows within the
# runs stated here alone; CIFAR's elastic transform was published in falling order.
_RUNS = {
    ("elastic_transform", 224): [(1, 2), (3, 4, 5), (5, 1)],
    ("elastic_transform", 32): [(5, 4, 3, 2, 1)],
    ("saturate", 224): [(1, 2), (3, 4, 5)],
    ("saturate", 32): [(1, 2), (3, 4, 5)],
    ("spatter", 224): [(1, 2, 3), (4, 5)],
    ("spatter", 32): [(1, 2, 3), (4, 5)],
    ("glass_blur", 224): [(1, 3), (2, 4, 5)],
    ("glass_blur", 32): [(1, 5), (2, 4), (3, 5)],
    ("zoom_blur", 224): [(1, 2, 4, 5), (1, 3, 4)],
    ("snow", 224): [(1, 2, 4, 5), (1, 3, 4)],
    # 3 and 4 differ in the length of a tail that the Gaussian has cut already.
    ("motion_blur", 32): [(1, 2, 3, 5), (2, 4, 5)],
    # Frost dims and brightens at once; its severities are ordered by what they hide.
    ("frost", 224): [(1, 3)],
    ("frost", 32): [(1, 2)],
}
_RANDOM = {
    *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "glass_blur"),
    *("motion_blur", "snow", "frost", "fog", "elastic_transform", "spatter"),
}


@functools.cache
def scene(width: int, height: int) -> Image.Image:
    """A colourful picture with detail at every scale, saturated and dark parts."""
    rng = np.random.default_rng(7)
    layers = [
        s * gaussian_filter(rng.normal(size=(height, width, 3)), (s, s, 0)) for s in (0.5, 1, 4, 16)
    ]
    pixels = np.clip(0.45 + 0.25 * sum(layers), 0, 1)
    return Image.fromarray((255 * pixels).astype(np.uint8))


def change(image: Image.Image, kind: str, severity: int) -> float:
    before = np.asarray(image, dtype=float)
    after = [apply(image, kind, severity, np.random.default_rng(seed)) for seed in range(3)]
    return float(np.mean([np.abs(np.asarray(a, dtype=float) - before).mean() for a in after]))


def test_kinds_are_the_specs() -> None:
    assert tuple(KINDS) == CORRUPTIONS
    assert set(IMAGENET_C) == set(CIFAR_C) == set(CORRUPTIONS)


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (65, 90), (512, 300)])
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_size_mode_and_input_are_kept(kind: str, size: tuple[int, int]) -> None:
    image = scene(*size)
    before = image.tobytes()
    for severity in (1, 5):
        shifted = apply(image, kind, severity, np.random.default_rng(0))
        assert (shifted.size, shifted.mode) == (size, "RGB")
        assert shifted is not image
        shifted.putpixel((0, 0), (1, 2, 3))
    assert image.tobytes() == before


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_flat_images_come_back_finite_and_in_place(kind: str) -> None:
    for level in (0, 255):
        image = Image.new("RGB", (70, 66), (level,) * 3)
        assert apply(image, kind, 3, np.random.default_rng(0)).size == (70, 66)


@pytest.mark.parametrize("side", [224, 32])
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_generator_decides_everything(kind: str, side: int) -> None:
    image = scene(side, side)
    np.random.seed(0)  # the global state must not matter
    first = apply(image, kind, 5, np.random.default_rng(1)).tobytes()
    np.random.seed(1)
    assert apply(image, kind, 5, np.random.default_rng(1)).tobytes() == first
    other = apply(image, kind, 5, np.random.default_rng(2)).tobytes()
    assert (other != first) == (kind in _RANDOM)


@pytest.mark.parametrize("side", [224, 32])
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_severities_change_more_and_more(kind: str, side: int) -> None:
    image = scene(side, side)
    changes = {severity: change(image, kind, severity) for severity in range(1, 6)}
    for run in _RUNS.get((kind, side), [(1, 2, 3, 4, 5)]):
        in_run = [changes[severity] for severity in run]
        assert in_run == sorted(set(in_run)), f"severities {run}"
    assert min(changes.values()) > 0


def test_shorter_side_chooses_the_table() -> None:
    # Contrast tells the tables apart exactly: factor 0.75 on CIFAR, 0.4 on ImageNet.
    ratios = []
    for size in [(300, 64), (300, 65)]:
        image = scene(*size)
        shifted = apply(image, "contrast", 1, np.random.default_rng(0))
        ratios.append(np.std(np.asarray(shifted)[..., 0]) / np.std(np.asarray(image)[..., 0]))
    assert ratios == pytest.approx([0.75, 0.4], abs=0.005)


def test_unknown_kind_names_the_near_one() -> None:
    with pytest.raises(SpecError, match="no corruption 'gausian-noise'") as caught:
        apply(scene(32, 32), "gausian-noise", 1, np.random.default_rng(0))
    assert "gaussian_noise" in caught.value.hint


@pytest.mark.parametrize("severity", [0, 6, -1, 2.5])
def test_severity_outside_is_refused(severity: int) -> None:
    with pytest.raises(SpecError, match=re.escape(f"fog is {severity!r}, outside 1 to 5")):
        apply(scene(32, 32), "fog", severity, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("L", (32, 32)), "RGB image, got mode 'L'"),
        (Image.new("RGB", (15, 32)), "at least 16 pixels"),
    ],
)
def test_unfit_images_are_refused(image: Image.Image, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        apply(image, "fog", 1, np.random.default_rng(0))
    assert caught.value.hint
