"""Samples in batches: which pixels, what is kept, what is drawn anew."""

import gc
import threading
import time
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from hardy.core.errors import DataError, SpecError
from hardy.core.seeding import derive, generator
from hardy.data import masks, shifts
from hardy.data.augment import augment
from hardy.data.augment_spec import Crop, Flip, Jitter
from hardy.data.folder import open_dataset
from hardy.data.loader import Images
from hardy.data.open import open_dataset as opened
from hardy.data.pipeline import SamplePipeline
from hardy.data.preprocess import Preprocess
from hardy.data.shift_spec import Corruption, GaussianSigma
from hardy.data.spec import DataSpec
from tests.contracts.device import another_device

PREPROCESS = Preprocess(24, 28, "bilinear", (0.4, 0.5, 0.6), (0.2, 0.3, 0.5))
EACH = 3 * 24 * 24
CPU = torch.device("cpu")
ORDER = [7, 2, 9, 0, 5, 1, 8, 3, 6, 4]
NOISE = Corruption(kind="gaussian_noise", severity=3)
LATE = GaussianSigma(sigma=0.7, space="normalised")


def write(path, seed, size=(60, 44)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def dataset(tmp_path):
    for index in range(10):
        write(tmp_path / "images" / f"class{index % 2}" / f"{index}.png", index)
    return open_dataset(tmp_path / "images")


@pytest.fixture
def masked(tmp_path):
    for index in range(6):
        write(tmp_path / "images" / f"{index}.png", index)
        mask = np.random.default_rng(index).integers(0, 3, (44, 60), np.uint8)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{index}.png")
    (tmp_path / "labels.txt").write_text("sky\nroad\nvoid\n")
    return masks.open_masks("folder", tmp_path, tmp_path)


def images(dataset, *, budget=10**9, workers=0, device=CPU, preprocess=PREPROCESS, **options):
    ours = {name: options.pop(name) for name in ("augment", "skip", "hear") if name in options}
    pipeline = SamplePipeline(dataset, preprocess, seed=3, **options)
    return Images(pipeline, device, budget=budget, workers=workers, **ours)


def listed(source, epoch=1, order=ORDER, size=4, **options):
    return list(source.batches(order, size, epoch, **options))


def same(one, other):
    assert [b[2:] for b in one] == [b[2:] for b in other]
    for a, b in zip(one, other, strict=True):
        for x, y in zip((a.inputs, *a.targets[:3]), (b.inputs, *b.targets[:3]), strict=True):
            assert x is y is None or (x.dtype == y.dtype and torch.equal(x, y))
        assert a.targets.caption == b.targets.caption
    return True


def counted(monkeypatch):
    """Return the ids of the samples that are decoded, as they are."""
    found, real = [], SamplePipeline.plain

    def plain(self, position, preprocess):
        found.append(self.dataset.samples[self.indices[position]].id)
        return real(self, position, preprocess)

    monkeypatch.setattr(SamplePipeline, "plain", plain)
    return found


@pytest.mark.parametrize("epoch", [0, 1])
def test_batches_are_the_pixels_of_evaluation_in_the_order(dataset, epoch):
    pipeline, found = SamplePipeline(dataset, PREPROCESS, seed=3), listed(images(dataset), epoch)
    assert [len(batch.ids) for batch in found] == [4, 4, 2]
    expected = [pipeline[place] for place in ORDER]
    assert [id_ for batch in found for id_ in batch.ids] == [item.id for item in expected]
    pixels = torch.cat([batch.inputs for batch in found])
    assert pixels.dtype == torch.uint8
    assert torch.equal(pixels, torch.cat([item.pixels for item in expected]))
    labels = torch.cat([item.targets.label for item in expected])
    assert torch.equal(torch.cat([batch.targets.label for batch in found]), labels)
    keys = [(b.seed, b.epoch, b.step, b.rank, b.ranks, b.whole) for b in found]
    assert keys == [(3, epoch, n, 0, 1, whole) for n, whole in enumerate((4, 4, 2))]


@pytest.mark.parametrize("shift", [None, NOISE, LATE])
@pytest.mark.parametrize("budget", [0, 3 * EACH, 10 * EACH])
def test_no_number_depends_on_the_budget_or_the_workers(dataset, shift, budget):
    steps = (Flip(), Jitter())
    plain = images(dataset, shift=shift, augment=steps)
    for workers in (0, 1, 3):
        other = images(dataset, shift=shift, augment=steps, budget=budget, workers=workers)
        for epoch in (0, 1, 2):
            assert same(listed(plain, epoch), listed(other, epoch))


def test_what_the_budget_has_room_for_is_decoded_once(dataset, monkeypatch):
    ids = [sample.id for sample in dataset.samples]
    found, source = counted(monkeypatch), images(dataset, budget=4 * EACH + 5, workers=2)
    assert source.room == 4 * EACH
    listed(source)
    assert sorted(found) == sorted(ids)
    found.clear()
    listed(source, 2)
    assert sorted(found) == sorted(ids[4:])
    found.clear()
    everything = images(dataset)
    assert everything.room == 10 * EACH
    listed(everything)
    listed(everything, 0)
    assert len(found) == 10


def test_memory_stays_flat_as_the_data_grow(tmp_path):
    write(tmp_path / "images" / "class0" / "0.png", 0)
    plain = open_dataset(tmp_path / "images")

    def peak(count, workers):
        # The same file under many places: pixels alone grow.
        many = images(plain, indices=[0] * count, budget=20 * EACH, workers=workers)
        gc.collect()
        tracemalloc.start()
        for batch in many.batches(range(count), 8, 1):
            assert len(batch.ids) == 8
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found + many._kept._levels.nbytes

    for workers in (0, 2):
        small, large = peak(80, workers), peak(480, workers)
        assert large < 1.1 * small + 50_000, (small, large)


def test_no_more_is_decoded_than_is_soon_needed(dataset, monkeypatch):
    found = counted(monkeypatch)
    source = images(dataset, indices=[0] * 200, workers=2)
    batches = source.batches(range(200), 4, 1)
    next(batches)
    time.sleep(0.2)
    assert 4 <= len(found) <= 12
    batches.close()


def test_leaving_early_ends_the_threads(dataset):
    before = set(threading.enumerate())
    batches = images(dataset, indices=[0] * 200, workers=2).batches(range(200), 4, 1)
    next(batches)
    assert set(threading.enumerate()) > before
    batches.close()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("workers", [0, 2])
def test_it_goes_on_at_a_batch_without_decoding_those_before(dataset, monkeypatch, workers):
    whole = listed(images(dataset, augment=(Flip(),)))
    found = counted(monkeypatch)
    rest = listed(images(dataset, augment=(Flip(),), workers=workers), first=2)
    assert same(rest, whole[2:])
    assert len(found) == 2
    assert listed(images(dataset), first=3) == []


@pytest.mark.parametrize("shift", [None, NOISE, LATE])
def test_the_rows_of_two_ranks_are_those_of_one(dataset, shift, monkeypatch):
    options = {"shift": shift, "augment": (Flip(), Jitter())}
    whole = listed(images(dataset, **options), size=5)
    found = counted(monkeypatch)
    for rank in (0, 1):
        part = listed(images(dataset, **options), size=5, rank=rank, ranks=2)
        assert len(found) == (6, 10)[rank]
        for one, batch in zip(part, whole, strict=True):
            assert one.ids == batch.ids[rank::2]
            assert torch.equal(one.targets.label, batch.targets.label[rank::2])
            torch.testing.assert_close(one.inputs, batch.inputs[rank::2], atol=1e-3, rtol=0)


def test_a_shift_is_drawn_anew_each_epoch_and_epoch_0_is_evaluation(dataset):
    source, pipeline = (
        images(dataset, shift=NOISE),
        SamplePipeline(dataset, PREPROCESS, shift=NOISE, seed=3),
    )
    first, second, measured = (listed(source, epoch)[0].inputs for epoch in (1, 2, 0))
    assert torch.equal(measured, torch.cat([pipeline[place].pixels for place in ORDER[:4]]))
    assert torch.equal(listed(source, 1)[0].inputs, first)
    for one, other in ((first, second), (first, measured), (second, measured)):
        assert (one != other).float().mean() > 0.5
    sample = dataset.samples[ORDER[0]]
    rng = generator(derive(3, "epoch", 2), sample.id, "shift", "gaussian_noise-3")
    plain = PREPROCESS.geometry(dataset.read(sample))
    shifted = np.asarray(shifts.apply(plain, "gaussian_noise", 3, rng))
    assert np.array_equal(second[0].permute(1, 2, 0).numpy(), shifted)


def test_noise_after_the_normalisation_comes_last_on_the_device(dataset):
    steps = (Flip(),)
    source, plain = images(dataset, shift=LATE, augment=steps), images(dataset, augment=steps)
    found, before = listed(source, 2)[1], listed(plain, 2)[1]
    assert found.inputs.dtype == torch.float32
    noise = PREPROCESS.normalise(found.inputs) - PREPROCESS.normalise(before.inputs)
    torch.testing.assert_close(noise, 0.7 * found.normal("shift", (3, 24, 24)), atol=1e-5, rtol=0)
    assert float(noise.std()) == pytest.approx(0.7, rel=0.05)
    assert found.inputs.min() < 0
    pipeline = SamplePipeline(dataset, PREPROCESS, shift=LATE, seed=3)
    measured = listed(source, 0)[1].inputs
    assert torch.equal(measured, torch.cat([pipeline[place].pixels for place in ORDER[4:8]]))


def test_augmentation_is_of_later_epochs_alone(dataset):
    steps = (Flip(vertical=0.5), Jitter())
    source, plain = images(dataset, augment=steps), images(dataset)
    assert same(listed(source, 0), listed(plain, 0))
    assert same(listed(source, 2), [augment(batch, steps) for batch in listed(plain, 2)])
    assert not torch.equal(listed(source, 1)[0].inputs, listed(source, 2)[0].inputs)


@pytest.mark.parametrize("shift", [None, NOISE, LATE])
def test_the_clean_image_is_the_one_before_the_shift(dataset, shift):
    source = images(dataset, shift=shift, target="image")
    clean = listed(images(dataset))[0].inputs
    for epoch in (0, 1):
        found = listed(source, epoch)[0]
        assert torch.equal(found.targets.image, clean)
        assert torch.equal(found.inputs, clean) == (shift is None)
    moved = listed(images(dataset, shift=shift, target="image", augment=(Flip(horizontal=1),)))[0]
    assert torch.equal(moved.targets.image, clean.flip(-1))


@pytest.mark.parametrize("workers", [0, 2])
def test_masks_come_with_their_images(masked, workers, monkeypatch):
    order = [4, 1, 5, 0]
    pipeline = SamplePipeline(masked, PREPROCESS, target="mask")
    expected = torch.cat([pipeline[place].targets.mask for place in order])
    source = images(masked, target="mask", workers=workers, budget=5 * 4 * 24 * 24)
    assert source.room == 5 * 4 * 24 * 24
    found = counted(monkeypatch)
    for _ in range(2):
        batch = listed(source, order=order)[0]
        assert batch.targets.mask.dtype == torch.int64
        assert torch.equal(batch.targets.mask, expected)
        assert batch.targets.label is None
    assert len(found) == 4 + 1  # the last one is beyond the budget
    flipped = listed(images(masked, target="mask", augment=(Flip(horizontal=1),)), order=order)[0]
    assert torch.equal(flipped.targets.mask, expected.flip(-1))


def test_a_mask_of_another_size_than_its_image_is_an_error(masked):
    image = masked.samples[2]
    Image.new("L", (44, 60)).save(image.mask)
    told = r"2\.png: a mask of 44 x 60 pixels, but its image has 60 x 44"
    with pytest.raises(DataError, match=told):
        listed(images(masked, target="mask"), order=range(6))
    answered = SamplePipeline(masked, PREPROCESS, target="mask")[2]
    assert "a mask of 44 x 60 pixels" in answered.reason


def test_captions_come_with_their_images():
    shapes = opened(DataSpec.model_validate({"dataset": "shapes", "shapes": {"count": 6}}))
    found = listed(images(shapes), order=[3, 1])[0]
    expected = tuple(shapes.caption(shapes.samples[place]) for place in (3, 1))
    assert found.targets.caption == expected


def test_crops_are_cut_from_larger_images_and_measured_on_evaluation_s(dataset):
    steps = (Crop(area=(0.4, 0.4), ratio=(1, 1)),)
    source = images(dataset, augment=steps)
    # 60 x 44 is 44 / 28 of the resized image, less than sqrt(1 / 0.4).
    larger = Preprocess(38, 44, "bilinear", PREPROCESS.mean, PREPROCESS.std)
    assert source.room == 10 * 3 * 38 * 38
    given = listed(images(dataset, preprocess=larger))
    cut = [augment(batch, steps, (24, 24)) for batch in given]
    assert same(listed(source), cut)
    assert cut[0].inputs.shape == (4, 3, 24, 24)
    assert same(listed(source, 0), listed(images(dataset), 0))


def test_small_images_are_not_enlarged_for_crops(tmp_path):
    for index in range(3):
        write(tmp_path / "images" / "a" / f"{index}.png", index, size=(32, 32))
    small = open_dataset(tmp_path / "images")
    geometry = Preprocess(32, 32, "bilinear", (0.5,) * 3, (0.5,) * 3)
    source = images(small, preprocess=geometry, augment=(Crop(),))
    assert source.room == 3 * 3 * 32 * 32


def test_noise_after_the_normalisation_goes_with_crops_and_other_shifts_do_not(dataset):
    assert listed(images(dataset, augment=(Crop(),), shift=LATE))[0].inputs.shape == (4, 3, 24, 24)
    with pytest.raises(SpecError, match=r"crop cannot be with data.shift gaussian_noise-3"):
        images(dataset, augment=(Crop(),), shift=NOISE)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_sample_is_an_error_where_it_is_met(dataset, workers):
    broken = dataset.samples[ORDER[9]]
    broken.path.write_bytes(broken.path.read_bytes()[:300])
    batches = images(dataset, workers=workers).batches(ORDER, 4, 1)
    assert len(next(batches).ids) == len(next(batches).ids) == 4
    with pytest.raises(DataError, match=r"png: cannot be decoded") as caught:
        next(batches)
    assert caught.value.hint.endswith("Or set data.on_bad_sample: skip.")


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_samples_are_left_out_beforehand(dataset, workers, monkeypatch):
    for place in (0, 5):
        dataset.samples[place].path.write_bytes(b"no image")
    found, heard = counted(monkeypatch), []
    source = images(dataset, workers=workers, skip=True, hear=heard.append, budget=6 * EACH)
    assert heard == list(range(1, 11))
    assert len(source) == 8
    assert [bad.index for bad in source.left_out] == [0, 5]
    assert "cannot be decoded" in source.left_out[0].reason
    found.clear()
    good = [sample.id for place, sample in enumerate(dataset.samples) if place not in (0, 5)]
    batch = listed(source, order=range(8), size=8)[0]
    assert list(batch.ids) == good
    assert sorted(found) == good[4:]  # the first six places are kept, two of them broken
    pipeline = SamplePipeline(dataset, PREPROCESS)
    assert torch.equal(batch.inputs[4], pipeline[6].pixels[0])
    assert torch.equal(
        batch.targets.label,
        torch.tensor([pipeline.dataset.samples[p].label for p in (1, 2, 3, 4, 6, 7, 8, 9)]),
    )


def test_where_all_are_broken_none_can_be_left_out(dataset):
    for sample in dataset.samples:
        sample.path.write_bytes(b"no image")
    with pytest.raises(DataError, match="no sample is left: 10 are broken"):
        images(dataset, skip=True)


@pytest.mark.parametrize("shift", [None, NOISE, LATE])
def test_another_device_gets_the_same_batches(masked, shift):
    options = {"shift": shift, "target": "mask", "augment": (Flip(), Jitter())}
    order = [4, 1, 5, 0]
    here = [listed(images(masked, **options), epoch, order)[0] for epoch in (0, 1)]
    with another_device() as device:
        source = images(masked, device=device, workers=2, **options)
        there = [listed(source, epoch, order)[0] for epoch in (0, 1)]
        for one, other in zip(there, here, strict=True):
            assert one.inputs.device.type == one.targets.mask.device.type == device.type
            assert torch.equal(one.targets.mask.cpu(), other.targets.mask)
            if device.type == "meta" or shift is not LATE:
                torch.testing.assert_close(one.inputs.cpu(), other.inputs, atol=0.01, rtol=0)
