import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import RandomResizedCrop, v2
from torchvision.transforms import functional as tvf

from hardy.core.seeding import generator
from hardy.data.view_spec import AugMix, Cut, Identity
from hardy.data.views import crop_box, make_views
from hardy.data.views.augmix import augmix
from tests.data.square import square

SIZE = 72
SPECS = [Identity, Cut, AugMix]


def photo(width=130, height=90, seed=0):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def centre(image, size=SIZE):
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def views_of(spec, image=None, *, seed=0, sample="a", size=SIZE):
    image = image or photo()
    return make_views(image, spec, square(size), seed, sample, centre(image, size))


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("size", [32, SIZE])
def test_view_0_is_the_plain_image_and_nothing_else(kind, size):
    image = photo()
    views = views_of(kind(count=3), image, size=size)
    plain = torch.from_numpy(np.array(centre(image, size))).permute(2, 0, 1)
    assert views.pixels.shape == (3, 3, size, size)
    assert torch.equal(views.pixels[0], plain.to(views.pixels.dtype))
    assert views.names[0] == []
    assert len(views.names) == 3


@pytest.mark.parametrize("kind", SPECS)
def test_views_are_prefix_nested(kind):
    few, many = views_of(kind(count=3)), views_of(kind(count=9))
    assert torch.equal(few.pixels, many.pixels[:3])
    assert few.names == many.names[:3]


@pytest.mark.parametrize("kind", [Cut, AugMix])
@pytest.mark.parametrize("size", [32, SIZE])
def test_views_follow_the_seed_and_the_sample_and_each_other(kind, size):
    first = views_of(kind(count=4), size=size)
    assert torch.equal(first.pixels, views_of(kind(count=4), size=size).pixels)
    for other in (
        views_of(kind(count=4), seed=1, size=size),
        views_of(kind(count=4), sample="b", size=size),
    ):
        assert not torch.equal(first.pixels[1:], other.pixels[1:])
        assert torch.equal(first.pixels[0], other.pixels[0])
    assert not torch.equal(first.pixels[1], first.pixels[2])


def test_identity_repeats_the_plain_image():
    views = views_of(Identity(count=4))
    assert views.pixels.dtype == torch.uint8
    assert all(torch.equal(view, views.pixels[0]) for view in views.pixels)


def test_cut_gives_torchvisions_pixels_for_its_box():
    image = photo()
    views = views_of(Cut(count=20), image, seed=5)
    assert views.pixels.dtype == torch.uint8
    assert {tuple(names) for names in views.names[1:]} == {("crop",), ("crop", "flip")}
    for index in range(1, 20):
        left, top, right, bottom = crop_box(*image.size, generator(5, "a", "view", index))
        expected = tvf.resized_crop(image, top, left, bottom - top, right - left, [SIZE, SIZE])
        if "flip" in views.names[index]:
            expected = tvf.hflip(expected)
        assert torch.equal(views.pixels[index], tvf.pil_to_tensor(expected))


@pytest.mark.parametrize("size", [(500, 375), (200, 600)])
def test_boxes_are_distributed_as_torchvisions(size):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    image = Image.new("RGB", size)
    ours = np.array([crop_box(*size, rng) for _ in range(1500)], float)
    theirs = np.array(
        [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(1500)],
        float,
    )
    widths, heights = ours[:, 2] - ours[:, 0], ours[:, 3] - ours[:, 1]
    assert ours.min() >= 0
    assert ours[:, 2].max() <= size[0]
    assert ours[:, 3].max() <= size[1]
    for mine, other in (
        (ours[:, 1], theirs[:, 0]),
        (ours[:, 0], theirs[:, 1]),
        (heights, theirs[:, 2]),
        (widths, theirs[:, 3]),
        (widths / heights, theirs[:, 3] / theirs[:, 2]),
    ):
        assert ks_2samp(mine, other).pvalue > 0.001


@pytest.mark.parametrize("size", [(10, 1000), (1000, 10), (1, 1), (7, 100)])
def test_where_no_box_fits_it_is_torchvisions_central_one(size):
    image = Image.new("RGB", size)
    top, left, height, width = RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3])
    box = crop_box(*size, np.random.default_rng(0))
    assert box == (left, top, left + width, top + height)


def test_augmix_is_crop_flip_and_mixture():
    image = photo()
    views = views_of(AugMix(count=6), image, seed=2)
    assert views.pixels.dtype == torch.float32
    for index in range(1, 6):
        rng = generator(2, "a", "view", index)
        left, top, right, bottom = crop_box(*image.size, rng)
        base = tvf.resized_crop(image, top, left, bottom - top, right - left, [SIZE, SIZE])
        flipped = rng.random() < 0.5
        mixture, drawn = augmix(tvf.hflip(base) if flipped else base, rng)
        assert views.names[index] == ["crop", *(["flip"] if flipped else []), *drawn]
        expected = torch.from_numpy(mixture).permute(2, 0, 1)
        assert torch.equal(views.pixels[index], expected)


def test_small_augmix_shifts_the_padded_image_by_up_to_four_pixels():
    image = photo(32, 32)
    views = views_of(AugMix(count=30), image, size=32)
    starts = set()
    for index in range(1, 30):
        rng = generator(0, "a", "view", index)
        top, left = rng.integers(9, size=2)
        starts |= {int(top), int(left)}
        padded = np.pad(np.asarray(image), ((4, 4), (4, 4), (0, 0)))
        base = Image.fromarray(padded[top : top + 32, left : left + 32])
        mixture, _ = augmix(tvf.hflip(base) if rng.random() < 0.5 else base, rng)
        assert torch.equal(views.pixels[index], torch.from_numpy(mixture).permute(2, 0, 1))
    assert starts == set(range(9))


def test_without_the_original_all_views_are_augmented_and_view_0_stays():
    among, apart = views_of(Cut(count=4)), views_of(Cut(count=3, include_original=False))
    assert torch.equal(among.pixels, apart.pixels)
    assert among.names == apart.names
    assert len(views_of(Cut(count=1, include_original=False)).pixels) == 2


@pytest.mark.parametrize("size", [32, SIZE])
def test_the_variant_decides_the_crop_and_the_side_where_it_is_left_open(size):
    made = {
        variant: views_of(AugMix(count=3, variant=variant), size=size).pixels
        for variant in ("memo", "memo-imagenet", "memo-cifar")
    }
    chosen, other = ("memo-cifar", "memo-imagenet")[:: 1 if size == 32 else -1]
    assert torch.equal(made["memo"], made[chosen])
    assert not torch.equal(made["memo"], made[other])


def test_tpts_augmix_leaves_black_gaps():
    white = Image.new("RGB", (SIZE, SIZE), "white")
    specs = (AugMix(count=20, variant=v) for v in ("memo-imagenet", "tpt"))
    grey, black = (views_of(spec, white) for spec in specs)
    assert grey.names == black.names
    # Half red in MEMO's gaps, nothing in TPT's; green and blue agree.
    assert torch.equal(grey.pixels[:, 1:], black.pixels[:, 1:])
    assert (grey.pixels[:, 0] >= black.pixels[:, 0]).all()
    assert (grey.pixels[:, 0] > black.pixels[:, 0]).any()


def test_torchvisions_augmix_is_torchvisions_and_leaves_its_generator_alone():
    image, spec = photo(), AugMix(count=3, variant="torchvision")
    state = torch.get_rng_state()
    views = views_of(spec, image, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    assert views.pixels.dtype == torch.uint8
    assert views.names == [[], ["augmix"], ["augmix"]]
    for index in (1, 2):
        torch.manual_seed(int(generator(3, "a", "view", index).integers(2**63)))
        mixed = tvf.resize(v2.AugMix()(image), SIZE, v2.InterpolationMode.BICUBIC)
        expected = tvf.pil_to_tensor(tvf.center_crop(mixed, [SIZE, SIZE]))
        assert torch.equal(views.pixels[index], expected)
