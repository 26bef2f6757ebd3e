"""Augmentation of a batch, against torchvision's transforms of one image with the drawn values."""

import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from hardy.core.errors import SpecError
from hardy.data.augment import augment
from hardy.data.augment_spec import (
    AugmentStep,
    Blur,
    Crop,
    Erase,
    Flip,
    Grey,
    Jitter,
    Noise,
    Rotate,
    check_augment,
    crop_scale,
)
from hardy.data.item import Batch, Targets
from hardy.data.shift_spec import GaussianSigma, Poisson
from tests.contracts.device import another_device

COUNT, HEIGHT, WIDTH = 12, 20, 28
ALL = (
    Crop(area=(0.3, 1)),
    Flip(vertical=0.5),
    Rotate(degrees=40, probability=0.7),
    Jitter(probability=0.8),
    Grey(probability=0.5),
    Blur(probability=0.5),
    Erase(),
    Noise(probability=0.5),
)


def pixels(count=COUNT, height=HEIGHT, width=WIDTH):
    drawn = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, height, width), generator=drawn, dtype=torch.uint8)


def batch(inputs=None, epoch=1, step=0, **targets):
    inputs = pixels() if inputs is None else inputs
    ids = tuple(f"s{n}" for n in range(len(inputs)))
    return Batch(inputs, Targets(**targets), ids, seed=2, epoch=epoch, step=step)


def drawn(given, step, columns):
    return given.uniform(f"augment.0.{step.kind}", columns).tolist()


def between(value, low, high):
    return low + (high - low) * value


def each(given, step, columns, change):
    """Change images one by one, as float32 in [0, 1] as torchvision has them."""
    values = drawn(given, step, columns)
    images = (given.inputs.float() / 255).unbind()
    return 255 * torch.stack([change(i, *row) for i, row in zip(images, values, strict=True)])


def close(found, expected, atol=2e-3):
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


@pytest.mark.parametrize("step", [Flip(horizontal=0.5, vertical=0.4), Flip(horizontal=1)])
def test_flip_is_torchvision_s(step):
    def flip(image, across, down):
        image = tv.horizontal_flip(image) if across < step.horizontal else image
        return tv.vertical_flip(image) if down < step.vertical else image

    found = augment(batch(), [step]).inputs
    assert torch.equal(found, each(batch(), step, 2, flip).round())
    assert not torch.equal(found, pixels().float())
    # With another step, it is part of a map.
    mapped = augment(batch(), [step, Rotate(probability=0)]).inputs
    close(mapped, found, atol=0.02)


@pytest.mark.parametrize(
    "step",
    [
        Jitter(brightness=0.6, contrast=0, saturation=0, hue=0),
        Jitter(brightness=0, contrast=0.7, saturation=0, hue=0),
        Jitter(brightness=0, contrast=0, saturation=1.5, hue=0),
        Jitter(brightness=0, contrast=0, saturation=0, hue=0.5),
        Jitter(probability=0.6),
    ],
    ids=("brightness", "contrast", "saturation", "hue", "all"),
)
def test_jitter_is_torchvision_s(step):
    def jitter(image, chance, brightness, contrast, saturation, hue):
        if chance >= step.probability:
            return image
        image = tv.adjust_brightness(image, factor(step.brightness, brightness))
        image = tv.adjust_contrast(image, factor(step.contrast, contrast))
        image = tv.adjust_saturation(image, factor(step.saturation, saturation))
        return tv.adjust_hue(image, between(hue, -step.hue, step.hue))

    def factor(amount, value):
        return between(value, max(0, 1 - amount), 1 + amount)

    found = augment(batch(), [step]).inputs
    close(found, each(batch(), step, 5, jitter), atol=0.01)
    assert (found - pixels()).abs().mean() > 5


def test_a_hue_s_turn_leaves_grey_as_it_is():
    grey = torch.arange(0, 240, 12, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    step = Jitter(brightness=0, contrast=0, saturation=0, hue=0.5)
    assert torch.equal(augment(batch(grey), [step]).inputs, grey.float())


def test_grey_is_torchvision_s():
    step = Grey(probability=0.4)

    def grey(image, chance):
        return tv.rgb_to_grayscale(image, 3) if chance < 0.4 else image

    found = augment(batch(), [step]).inputs
    close(found, each(batch(), step, 1, grey))
    assert 0 < sum(torch.equal(*pair) for pair in zip(found, pixels().float(), strict=True)) < COUNT


def test_blur_is_torchvision_s():
    step = Blur(sigma=(0.3, 1.5), probability=0.7)

    def blur(image, chance, sigma):
        return tv.gaussian_blur(image, 11, between(sigma, 0.3, 1.5)) if chance < 0.7 else image

    close(augment(batch(), [step]).inputs, each(batch(), step, 2, blur), atol=0.01)


def test_blur_of_an_image_smaller_than_its_reach():
    small = pixels(height=3, width=4)
    found = augment(batch(small), [Blur(sigma=(2, 2))]).inputs
    assert found.shape == small.shape
    assert found.std() < small.float().std()


def test_rotation_is_torchvision_s_where_the_image_reaches():
    step = Rotate(degrees=30, probability=0.8)

    def rotate(image, chance, angle):
        angle = between(angle, -30, 30) if chance < 0.8 else 0.0
        return tv.rotate(image, angle, InterpolationMode.BILINEAR)

    smooth = tv.gaussian_blur(pixels(height=40, width=60).float(), 9).to(torch.uint8)
    found, given = augment(batch(smooth), [step]).inputs, batch(smooth)
    expected = each(given, step, 2, rotate)
    inside = each(given._replace(inputs=torch.full_like(smooth, 255)), step, 2, rotate) > 254.99
    assert inside.float().mean() > 0.7
    assert (found - expected)[inside].abs().max() < 0.1
    assert (found - smooth)[inside].abs().mean() > 3
    assert found[~inside].min() > 0  # a mirror image, not black


def ramp(height=40, width=60):
    """A place's own position: red x, green y, in pixels; linear, so that it is sampled exactly."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)])


def test_a_crop_shows_its_box():
    step, area = Crop(area=(0.25, 0.6), ratio=(0.5, 2)), 40 * 60
    given = batch(ramp().expand(64, -1, -1, -1))
    found = augment(given, [step], (20, 30)).inputs
    assert found.shape == (64, 3, 20, 30)
    # Bilinear values at the box's corners follow from two inner places: a ramp goes on.
    step_x = (found[:, 0, 10, 20] - found[:, 0, 10, 10]) / 10
    step_y = (found[:, 1, 14, 15] - found[:, 1, 6, 15]) / 8
    wide, high = 30 * step_x, 20 * step_y
    left = found[:, 0, 10, 10] - 10.5 * step_x
    top = found[:, 1, 6, 15] - 6.5 * step_y
    for place, (one, other, x, y) in enumerate(drawn(given, step, 4)):
        share = between(one, 0.25, 0.6)
        assert float(wide[place] * high[place]) == pytest.approx(area * share, rel=1e-3)
        ratio = math.exp(between(other, math.log(0.5), math.log(2)))
        # As wide or as high as the image at most, at the same area.
        ratio = max(min(ratio, 60**2 / (area * share)), area * share / 40**2)
        assert float(wide[place] / high[place]) == pytest.approx(ratio, rel=1e-3)
        assert float(left[place]) == pytest.approx(x * (60 - float(wide[place])), abs=0.02)
        assert float(top[place]) == pytest.approx(y * (40 - float(high[place])), abs=0.02)


def test_a_whole_crop_is_the_image():
    found = augment(batch(), [Crop(area=(1, 1))]).inputs
    torch.testing.assert_close(found, pixels().float(), atol=0.02, rtol=0)


def test_steps_that_move_act_in_their_order():
    given = batch(ramp().expand(8, -1, -1, -1))
    turn, flip = Rotate(degrees=50), Flip(horizontal=1)
    found = augment(given, [turn, flip]).inputs
    apart = augment(augment(given, [turn]), [flip]).inputs
    torch.testing.assert_close(found, apart, atol=0.01, rtol=0)
    other = augment(given, [flip, turn]).inputs
    assert (found - other).abs().max() > 5


MOVES = (Crop(area=(0.2, 0.6)), Flip(vertical=0.5), Rotate(degrees=60))


def test_masks_and_clean_images_stay_with_their_images():
    rough = torch.rand(COUNT, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    blobs = (tv.gaussian_blur(rough, 15) - 0.5).sign() * 127.5 + 127.5
    image = blobs.expand(-1, 3, -1, -1)
    mask = 1 + (blobs[:, 0] > 127).long()
    noisy = image.flip(1) * 0.5
    found = augment(batch(noisy, mask=mask, image=image), MOVES, (48, 40))
    moved = found.targets.mask
    assert moved.dtype == torch.int64
    assert moved.shape == (COUNT, 48, 40)
    assert set(moved.unique().tolist()) == {1, 2}
    # A pixel's nearest has a quarter of its bilinear value at least.
    level = found.targets.image[:, 0]
    sure = (level - 127.5).abs() > 64.5
    assert sure.float().mean() > 0.8
    assert torch.equal((1 + (level > 127.5).long())[sure], moved[sure])
    torch.testing.assert_close(found.inputs, found.targets.image.flip(1) * 0.5)


def test_other_steps_change_the_input_alone():
    mask = torch.randint(0, 5, (COUNT, HEIGHT, WIDTH))
    found = augment(batch(mask=mask, image=pixels()), ALL[3:])
    assert torch.equal(found.targets.mask, mask)
    assert torch.equal(found.targets.image, pixels())
    assert not torch.equal(found.inputs, pixels().float())


def test_an_erased_box_has_its_share_and_its_level():
    step = Erase(area=(0.1, 0.3), ratio=(0.5, 2), fill=7, probability=0.6)
    given = batch(torch.full((200, 3, 64, 96), 200, dtype=torch.uint8))
    found = augment(given, [step]).inputs
    assert set(found.unique().tolist()) == {7, 200}
    for gone, row in zip(found[:, 0] == 7, drawn(given, step, 5), strict=True):
        share = between(row[1], 0.1, 0.3) if row[0] < 0.6 else 0
        assert float(gone.float().mean()) == pytest.approx(share, abs=0.02)
        rows, columns = gone.any(1).sum(), gone.any(0).sum()
        assert int(gone.sum()) == rows * columns  # one box


def test_noise_has_its_strength():
    step = Noise(sigma=(0.02, 0.1), probability=0.7)
    given = batch(torch.full((40, 3, 48, 48), 128, dtype=torch.uint8))
    found = augment(given, [step]).inputs
    for image, (chance, value) in zip(found, drawn(given, step, 2), strict=True):
        sigma = 255 * between(value, 0.02, 0.1) if chance < 0.7 else 0
        assert float(image.std()) == pytest.approx(sigma, rel=0.05)
    loud = augment(batch(), [Noise(sigma=(1, 1))]).inputs
    assert (float(loud.min()), float(loud.max())) == (0, 255)


def test_nothing_is_drawn_in_epoch_0():
    given = batch(epoch=0, image=pixels())
    assert augment(given, ALL) is given


def test_epochs_steps_and_samples_are_drawn_apart():
    same = pixels(1).expand(COUNT, -1, -1, -1)
    first = augment(batch(same), ALL).inputs
    assert torch.equal(first, augment(batch(same), ALL).inputs)
    assert not torch.isclose(first, augment(batch(same, epoch=2), ALL).inputs).all((1, 2, 3)).any()
    assert not torch.isclose(first, augment(batch(same, step=1), ALL).inputs).all((1, 2, 3)).any()
    assert len({tuple(image.flatten().tolist()) for image in first}) == COUNT


def test_two_steps_of_a_kind_draw_apart():
    step = Flip()
    given = batch()
    assert (
        given.uniform("augment.0.flip", 2).tolist() != given.uniform("augment.1.flip", 2).tolist()
    )
    twice = augment(given, [step, step]).inputs
    assert not torch.equal(twice, pixels().float())


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_rows_of_several_ranks_are_those_of_one(ranks):
    mask = torch.randint(0, 5, (COUNT, HEIGHT, WIDTH))
    whole = augment(batch(mask=mask), ALL)
    for rank in range(ranks):
        rows = slice(rank, None, ranks)
        part = batch(pixels()[rows], mask=mask[rows])
        part = part._replace(rank=rank, ranks=ranks, whole=COUNT)
        found = augment(part, ALL)
        torch.testing.assert_close(found.inputs, whole.inputs[rows], atol=1e-3, rtol=0)
        assert torch.equal(found.targets.mask, whole.targets.mask[rows])


@pytest.mark.parametrize("steps", [ALL[:7], (Flip(),)])
def test_another_device_gives_the_same(steps):
    mask = torch.randint(0, 5, (COUNT, HEIGHT, WIDTH))
    here = augment(batch(mask=mask, image=pixels()), steps, (16, 16) if len(steps) > 1 else None)
    with another_device() as device:
        moved = batch(pixels().to(device), mask=mask.to(device), image=pixels().to(device))
        there = augment(moved, steps, (16, 16) if len(steps) > 1 else None)
        found = (there.inputs.cpu(), there.targets.mask.cpu(), there.targets.image.cpu())
    torch.testing.assert_close(found[0], here.inputs, atol=0.05, rtol=0)
    assert (found[1] == here.targets.mask).float().mean() > 0.999
    torch.testing.assert_close(
        found[2], here.targets.image.float(), atol=0.05, rtol=0, check_dtype=False
    )


def test_noise_on_another_device():
    with another_device() as device:
        found = augment(batch(pixels().to(device)), [ALL[-1]]).inputs.cpu()
    if device.type == "meta":
        assert torch.equal(found, augment(batch(), [ALL[-1]]).inputs)


def test_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    augment(batch(), ALL)
    assert torch.equal(state, torch.get_rng_state())


def test_a_spec_says_its_steps_by_their_kind():
    steps = TypeAdapter(tuple[AugmentStep, ...])
    found = steps.validate_python([{"kind": "flip"}, {"kind": "crop", "area": [0.5, 1]}])
    assert found == (Flip(), Crop(area=(0.5, 1)))
    for wrong in ({"kind": "crop", "area": [0.9, 0.5]}, {"kind": "spin"}, {"kind": "flip", "p": 1}):
        with pytest.raises(ValidationError):
            steps.validate_python([wrong])


def test_images_are_kept_larger_where_crops_are_cut():
    assert crop_scale([Flip()]) == 1
    assert crop_scale([Crop(area=(0.5, 1))]) == pytest.approx(math.sqrt(2))
    assert crop_scale([Crop()]) == 2  # not 3.5


def test_a_crop_under_a_shift_of_pixels_is_refused():
    with pytest.raises(SpecError, match=r"augmentation by crop cannot be with data.shift poisson"):
        check_augment([Flip(), Crop()], Poisson(peak=30))
    check_augment([Flip()], Poisson(peak=30))
    check_augment([Crop()], None)
    check_augment([Crop()], GaussianSigma(sigma=1, space="normalised"))
