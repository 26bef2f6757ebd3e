"""MEMO_PLUS's and albumentations' operations: by independent formulas, and as views."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import chisquare

from hardy.core.errors import SpecError
from hardy.data.view_spec import GROUPS, AugMixStep, Compose, CutStep, Operations, OperationsStep
from hardy.data.views import make_views
from hardy.data.views.operations import OPERATIONS, operate
from tests.data.square import square

SIZE = 224
STILL = {"horizontal_flip", "vertical_flip", "greyscale", "inverse", "box_blur", "fixed_affine"}
STILL |= {"equalize_grey", "gaussian_blur", "equalize", "normalize"}
PAGE = Path(__file__).parents[2] / "docs" / "memo-plus.md"
# As the projects list them in their code, in its order.
PUBLISHED_19 = (
    "Rotation, Zoom, Horizontal flip, Vertical flip, Greyscale, Inverse, Blur, Crop, Affine, "
    "Change gamma, Translation, Elastic transform, Brightness, Histogram equalization, "
    "Salt and pepper, Gaussian blur, Poisson noise, Speckle noise, Contrast"
)
PUBLISHED_14 = (
    "equalize, normalize, color_jitter, gaussian_blur, channel_dropout, sharpen, flip, elastic, "
    "grid_distortion, random_crop, perspective, piecewise_affine, coarse_dropout, affine"
)


def photo(size=SIZE, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)


def levels(image):
    return np.asarray(image, float)


class Scripted:
    """Answers every draw with the value at the same share of its range."""

    def __init__(self, share):
        self.share = share

    def uniform(self, low, high, size=None):
        value = low + (high - low) * self.share
        return value if size is None else np.full(size, value)

    def integers(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        value = min(high - 1, int(low + (high - low) * self.share))
        return value if size is None else np.full(size, value)


def close(result, expected, within=1.0001):
    assert np.abs(levels(result) - expected).max() <= within


def sampled(image, x, y):
    """Bilinear values of an image at places in units of pixels, 0 at the corner; black beyond."""
    source = levels(image)
    height, width, _ = source.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    u, v = x - 0.5, y - 0.5
    left, top = np.floor(u).astype(int), np.floor(v).astype(int)
    du, dv = (u - left)[..., None], (v - top)[..., None]
    columns = [np.clip(left + k, 0, width - 1) for k in (0, 1)]
    rows = [np.clip(top + k, 0, height - 1) for k in (0, 1)]
    upper = source[rows[0], columns[0]] * (1 - du) + source[rows[0], columns[1]] * du
    lower = source[rows[1], columns[0]] * (1 - du) + source[rows[1], columns[1]] * du
    return np.where(inside[..., None], upper * (1 - dv) + lower * dv, 0)


Y, X = np.mgrid[:SIZE, :SIZE] + 0.5


@pytest.mark.parametrize("name", sorted({*OPERATIONS, "crop"}))
@pytest.mark.parametrize("size", [SIZE, 32, 97])
def test_shape_range_and_input_are_kept_and_the_generator_decides(name, size):
    image = photo(size)
    before = image.tobytes()
    one, again, other = (
        operate(name, image, np.random.default_rng(seed), "random") for seed in (1, 1, 5)
    )
    assert image.tobytes() == before
    assert one.shape == (size, size, 3)
    assert one.dtype == (np.float32 if name == "normalize" else np.uint8)
    assert np.array_equal(one, again)
    assert np.array_equal(one, other) == (name in STILL) or name in {"flip", "channel_dropout"}
    if name not in {"normalize", "slight_elastic"}:
        assert not np.array_equal(one, np.asarray(image))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_point_operations_by_the_formula(share):
    image, rng = photo(), Scripted(share)
    x = levels(image)
    close(operate("inverse", image, rng), 255 - x, 0)
    close(operate("brightness", image, rng), np.clip(x + rng.integers(-50, 51), 0, 255), 0)
    close(operate("contrast", image, rng), np.clip(x * (0.5 + share), 0, 255))
    gamma = 0.5 + 1.5 * share
    close(operate("gamma", image, rng), 255 * (x / 255) ** (1 / gamma))
    grey = x @ [0.299, 0.587, 0.114]
    close(operate("greyscale", image, rng), grey[..., None])
    dropped = x.copy()
    dropped[..., int(3 * share)] = 0
    close(operate("channel_dropout", image, rng), dropped, 0)
    standard = (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225] * 255
    close(operate("normalize", image, rng), standard, 0.001)


def test_equalisation_spreads_the_levels_evenly():
    image = photo().point(lambda level: level // 3 + 40)
    for name in ("equalize", "equalize_grey"):
        result = operate(name, image, np.random.default_rng(0))
        for channel in range(3):
            shares = np.sort(result[..., channel].ravel()) / 255
            # A flat histogram's sorted levels are a straight line.
            assert np.abs(shares - np.linspace(0, 1, shares.size)).max() < 0.04


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_geometry_by_the_formula(share):
    image, rng = photo(), Scripted(share)
    scale = 0.5 + share
    zoomed = sampled(image, (X - 112) / scale + 112, (Y - 112) / scale + 112)
    close(operate("zoom", image, rng), zoomed)
    angle = np.deg2rad(-10 + 20 * share)  # counter-clockwise, the y axis points down
    across, down = X - 112, Y - 112
    turned = sampled(
        image,
        np.cos(angle) * across - np.sin(angle) * down + 112,
        np.sin(angle) * across + np.cos(angle) * down + 112,
    )
    close(operate("rotation", image, rng), turned)
    moved = int(-100 + 201 * share)
    close(operate("translation", image, rng), sampled(image, X - moved, Y - moved), 0)


def test_the_fixed_affine_moves_the_three_points():
    image = Image.new("RGB", (SIZE, SIZE))
    for x, y in ((50, 50), (200, 50)):
        image.paste((255, 255, 255), (x - 2, y - 2, x + 2, y + 2))
    result = operate("fixed_affine", image, np.random.default_rng(0))[..., 0]
    assert result[100, 10] > 250
    assert result[50, 200] > 250


@pytest.mark.parametrize(
    ("where", "point", "corner"),
    [
        ("centre", None, (32, 32)),
        ("gradcam", (0.5, 0.5), (32, 32)),
        ("gradcam", (0.0, 1.0), (0, 64)),
        ("gradcam", (0.4, 0.45), (10, 21)),
    ],
)
def test_crop_is_centred_and_clamped(where, point, corner):
    image = photo()
    left, top = corner
    expected = image.crop((left, top, left + 160, top + 160)).resize((224, 224), 2)
    result = operate("crop", image, np.random.default_rng(0), where, point)
    assert np.array_equal(result, np.asarray(expected))


def test_crop_at_an_unknown_point_says_what_to_do():
    spec = Operations(names=("crop",), crop="gradcam", count=2)
    with pytest.raises(SpecError, match="this method computes none") as caught:
        make_views(photo(), spec, square(SIZE), 0, "a", photo())
    assert "centre or random" in caught.value.hint
    made = make_views(photo(), spec, square(SIZE), 0, "a", photo(), point=(0.1, 0.9))
    assert made.names == [[], ["crop"]]


def test_perspective_without_a_move_is_the_image_and_else_enlarges():
    class Still(Scripted):
        def normal(self, mean, spread, size):
            return np.full(size, self.share)

    image = photo()
    close(operate("perspective", image, Still(0.0)), levels(image))
    inner = operate("perspective", image, Still(0.1))
    expected = sampled(image, 22.4 + X * 0.8, 22.4 + Y * 0.8)
    close(inner, expected)


def test_grid_distortion_of_even_steps_scales_about_the_corner():
    image = photo()
    result = operate("grid_distortion", image, Scripted(0.25))  # every step is 0.85 as long
    i = np.arange(SIZE) * 0.85 + 0.5
    close(result, sampled(image, *np.meshgrid(i, i)))


def test_dropout_blackens_the_boxes_that_were_drawn():
    white = Image.new("RGB", (SIZE, SIZE), "white")
    for seed in range(20):
        result = operate("coarse_dropout", white, np.random.default_rng(seed))
        assert 40 * 40 <= (result[..., 0] == 0).sum() <= 2 * 120 * 120


@pytest.mark.parametrize(("share", "side"), [(0, 40), (0.99, 120)])
def test_the_sides_of_a_dropped_box_are_40_to_120(share, side):
    white = Image.new("RGB", (SIZE, SIZE), "white")
    black = operate("coarse_dropout", white, Scripted(share))[..., 0] == 0
    assert (black.any(1).sum(), black.any(0).sum(), black.sum()) == (side, side, side**2)


def test_blurs_keep_the_mean_and_flatten():
    image = photo()
    for name in ("box_blur", "gaussian_blur", "slight_blur"):
        result = operate(name, image, np.random.default_rng(0)).astype(float)
        assert abs(result.mean() - levels(image).mean()) < 2
        assert result.std() < levels(image).std()
    point = Image.new("RGB", (SIZE, SIZE))
    point.putpixel((112, 112), (255, 255, 255))
    blurred = operate("box_blur", point, np.random.default_rng(0))[..., 0]
    assert {*np.flatnonzero(blurred.sum(0))} <= {*range(102, 123)}


def test_sharpen_leaves_flat_pictures_brighter_by_its_lightness():
    flat = Image.new("RGB", (SIZE, SIZE), (100, 100, 100))
    # (1 - 0.2) 100 + 0.2 · 0.5 · 100, the lowest share and lightness
    close(operate("sharpen", flat, Scripted(0.0)), 90)


def test_without_repetition_every_name_comes_once_a_round():
    spec = Operations(names=("memo_plus",), count=39)
    made = make_views(photo(32), spec, square(32), 0, "a", photo(32))
    first = [name for (name,) in made.names[1:20]]
    second = [name for (name,) in made.names[20:]]
    assert sorted(first) == sorted(second) == sorted(GROUPS["memo_plus"])
    assert first != second


def test_weights_are_frequencies():
    spec = Operations(
        names=("flip", "inverse", "greyscale"), weights=(1, 0, 3), repeat=True, count=801
    )
    made = make_views(photo(16), spec, square(16), 0, "a", photo(16))
    counts = Counter(name for (name,) in made.names[1:])
    assert counts["inverse"] == 0
    assert chisquare([counts["flip"], counts["greyscale"]], [200, 600]).pvalue > 0.001


def test_a_composition_is_one_step_after_the_other():
    flips = OperationsStep(names=("horizontal_flip",))
    spec = Compose(steps=(flips, OperationsStep(names=("inverse",))), count=3)
    made = make_views(photo(48), spec, square(48), 0, "a", photo(48))
    assert made.names == [[], *[["horizontal_flip", "inverse"]] * 2]
    plain = torch.from_numpy(np.array(photo(48))).permute(2, 0, 1)
    assert made.pixels.dtype == torch.uint8
    assert torch.equal(made.pixels[1], 255 - plain.flip(-1))


def test_steps_of_a_composition_draw_apart():
    step = OperationsStep(names=("spatial",))
    made = make_views(
        photo(32), Compose(steps=(step, step), count=9), square(32), 0, "a", photo(32)
    )
    assert any(first != second for first, second in made.names[1:])
    mixed = Compose(steps=(CutStep(), AugMixStep()), count=3)
    assert make_views(photo(90), mixed, square(72), 0, "a", photo(72)).pixels.dtype == torch.float32


@given(count=st.integers(1, 30), seed=st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_views_of_operations_are_prefix_nested(count, seed):
    names = ("flip", "inverse", "greyscale", "channel_dropout")
    for repeat in (False, True):
        few, many = (
            make_views(
                photo(16),
                Operations(names=names, repeat=repeat, count=n),
                square(16),
                seed,
                "a",
                photo(16),
            )
            for n in (count, 30)
        )
        assert few.names == many.names[:count]
        assert torch.equal(few.pixels, many.pixels[:count])


def test_each_published_name_of_an_operation_is_mapped_to_ours():
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for table in PAGE.read_text(encoding="utf-8").split("| published name | operation |")[1:]
        for line in table.partition("\n\n")[0].splitlines()
        if line.startswith("| ") and "`" in line
    ]
    published = [row[0] for row in rows]
    assert published == f"{PUBLISHED_19}, {PUBLISHED_14}".split(", ")
    ours = [row[1].strip("`") for row in rows]
    assert ours[:19] == list(GROUPS["memo_plus"])
    assert ours[19:25] == list(GROUPS["pixel"])
    assert sorted(ours[25:]) == sorted(GROUPS["spatial"])
