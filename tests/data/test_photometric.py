"""Photometric views against Pillow's own operations: no pixel moves, but in mirrors."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from pydantic import ValidationError

from hardy.core.seeding import generator
from hardy.data.item import MIRROR, mirrored
from hardy.data.preprocess import Preprocess
from hardy.data.view_spec import (
    AugMix,
    AugMixStep,
    Compose,
    Cut,
    Identity,
    Operations,
    OperationsStep,
    Photometric,
)
from hardy.data.views import make_views
from hardy.data.views.augmix import NAMES, PARAMETERS, TONES, run
from hardy.data.views.operations import operate
from tests.data.test_augmix import photo as smooth

WIDE = Preprocess((40, 56), 48, "bilinear", (0.5,) * 3, (0.5,) * 3)


def photo(seed=0):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 200, (70, 90, 3), dtype=np.uint8))


def views_of(spec, **changed):
    image = changed.pop("image", photo())
    given = {"seed": 3, "sample_id": "a", "plain": WIDE.geometry(image), **changed}
    return make_views(image, spec, WIDE, **given)


def levels(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()


def toned(image, name, parameter):
    """Pillow's own operation."""
    return {
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "solarize": lambda: ImageOps.solarize(image, int(parameter)),
        "posterize": lambda: image.point(lambda level: level & ~(2 ** (8 - int(parameter)) - 1)),
    }[name]()


@pytest.mark.parametrize("spec", [Photometric(count=9), Photometric(count=9, width=2, severity=8)])
def test_views_are_the_published_mixture_of_the_unmoved_image(spec):
    """The draws in the published order, each chain by Pillow, all of it mixed in float64."""
    found = views_of(spec)
    plain = WIDE.geometry(photo())
    for index in range(1, 9):
        rng = generator(3, "a", "view", index)
        weights, share = rng.dirichlet(np.ones(spec.width)), rng.beta(1.0, 1.0)
        image = ImageOps.mirror(plain) if index % 2 else plain
        expected, names = share * np.array(image, float), []
        for weight in weights:
            length = rng.choice((1, 2, 3))
            drawn = [
                ("autocontrast", "equalize", "solarize", "posterize")[rng.integers(4)]
                for _ in range(length)
            ]
            chained = image
            for name in drawn:
                parameter = 0.0
                if name == "solarize":
                    parameter = 256 - int(rng.uniform(0.1, spec.severity) * 256 / 10)
                if name == "posterize":
                    parameter = 4 - int(rng.uniform(0.1, spec.severity) * 4 / 10)
                chained = toned(chained, name, parameter)
            expected += (1 - share) * weight * np.array(chained, float)
            names += drawn
        got = found.pixels[index].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(got, expected, atol=1e-3)
        assert found.names[index] == [MIRROR] * (index % 2) + names


def test_every_second_view_is_mirrored_and_nothing_else_changes():
    flipped, kept = views_of(Photometric(count=8)), views_of(Photometric(count=8, flip=False))
    assert mirrored(flipped.names) == (False, True) * 4
    assert mirrored(kept.names) == (False,) * 8
    for index, sides in enumerate(mirrored(flipped.names)):
        found = flipped.pixels[index].flip(-1) if sides else flipped.pixels[index]
        assert torch.equal(found, kept.pixels[index])
    assert [names[1:] if MIRROR in names else names for names in flipped.names] == kept.names


def test_the_unchanged_image_comes_first_and_views_follow_their_own_numbers():
    found = views_of(Photometric(count=6))
    assert torch.equal(found.pixels[0], levels(WIDE.geometry(photo())))
    assert found.names[0] == []
    assert torch.equal(views_of(Photometric(count=3)).pixels, found.pixels[:3])
    assert not torch.equal(views_of(Photometric(count=6), seed=4).pixels[1:], found.pixels[1:])
    assert len(views_of(Photometric(count=6, include_original=False)).pixels) == 7


def test_depth_is_the_length_of_every_chain_and_none_draws_it():
    for names in views_of(Photometric(count=12, width=2, depth=4, flip=False)).names[1:]:
        assert len(names) == 8
    drawn = {len(n) for n in views_of(Photometric(count=40, width=1, flip=False)).names[1:]}
    assert drawn == {1, 2, 3}


@pytest.mark.parametrize(("severity", "low"), [(1.0, 231), (5.0, 129)])
def test_severity_bounds_what_is_drawn(severity, low):
    rng = np.random.default_rng(0)
    drawn = [PARAMETERS["solarize"](0, rng, severity) for _ in range(400)]
    assert low <= min(drawn) < low + 6
    assert max(drawn) <= 256


def test_the_operations_are_those_of_augmix_that_move_no_pixel():
    """A point's colour stays where it is: the operation of a flat image with one odd pixel."""
    assert set(TONES) | {"rotate", "shear_x", "shear_y", "translate_x", "translate_y"} == set(NAMES)
    pixels = np.full((20, 30, 3), 100, np.uint8)
    pixels[4, 7] = 220
    for name in TONES:
        found = np.asarray(run(Image.fromarray(pixels), name, 128 if name == "solarize" else 4))
        assert (found.reshape(-1, 3) == found[0, 0]).all(1).sum() == 599
        assert (found[4, 7] != found[0, 0]).any()


KEPT = {
    "greyscale",
    "inverse",
    "box_blur",
    "gamma",
    "brightness",
    "equalize_grey",
    "salt_and_pepper",
    "gaussian_blur",
    "poisson",
    "speckle",
    "contrast",
    "equalize",
    "normalize",
    "color_jitter",
    "slight_blur",
    "channel_dropout",
    "sharpen",
    "coarse_dropout",
}


def test_the_operations_that_move_pixels_are_all_others():
    every = set(Operations(names=("memo_plus", "pixel", "spatial")).expanded)
    assert set(Operations(names=("memo_plus", "pixel", "spatial")).moving) == every - KEPT


@pytest.mark.parametrize("name", sorted(KEPT - {"coarse_dropout"}))  # which may hide the spot
def test_what_is_said_to_move_no_pixel_leaves_a_spot_where_it_is(name):
    pixels = np.full((48, 64, 3), 60, np.uint8)
    pixels[10:17, 40:47] = 220
    for seed in range(4):
        found = operate(name, Image.fromarray(pixels), np.random.default_rng(seed), "centre", None)
        levels = np.asarray(found, float).mean(2)
        windows = np.lib.stride_tricks.sliding_window_view(levels, (7, 7)).mean((2, 3))
        off = np.abs(windows - np.median(windows))
        row, column = np.unravel_index(off.argmax(), off.shape)
        assert abs(row - 10) <= 1
        assert abs(column - 40) <= 1


@pytest.mark.parametrize(
    ("spec", "moving"),
    [
        (Identity(), ()),
        (Photometric(), ()),
        (Cut(), ("cut",)),
        (AugMix(), ("augmix",)),
        (AugMix(variant="torchvision"), ("augmix",)),
        (Operations(names=("pixel", "gamma", "coarse_dropout")), ()),
        (Operations(names=("pixel", "crop", "flip")), ("crop", "flip")),
        (Compose(steps=(OperationsStep(names=("pixel",)),)), ()),
        (
            Compose(steps=(OperationsStep(names=("zoom", "gamma")), AugMixStep())),
            ("zoom", "augmix"),
        ),
    ],
)
def test_a_spec_says_what_moves_pixels(spec, moving):
    assert spec.moving == moving


def test_an_operation_after_a_mixture_acts_on_its_rounded_levels():
    spec = Compose(steps=(AugMixStep(), OperationsStep(names=("greyscale",))), count=4)
    found, mixed = views_of(spec), views_of(AugMix(count=4))
    assert found.pixels.dtype == torch.uint8
    for index in range(1, 4):
        rounded = mixed.pixels[index].round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        image = Image.fromarray(np.ascontiguousarray(rounded))
        expected = operate("greyscale", image, np.random.default_rng(0), "centre", None)
        assert np.array_equal(found.pixels[index].permute(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize("field", [{"width": 0}, {"depth": 0}, {"severity": 0}, {"severity": 11}])
def test_what_cannot_be_is_refused(field):
    with pytest.raises(ValidationError):
        Photometric(**field)


def test_an_image_of_one_tone_and_a_smooth_one_give_finite_levels():
    for image in (Image.new("RGB", (56, 40), (7, 7, 7)), smooth(56)):
        found = views_of(
            Photometric(count=16, severity=10), image=image, plain=image.resize((56, 40))
        )
        assert found.pixels.isfinite().all()
        assert 0 <= found.pixels.min() <= found.pixels.max() <= 255.01
