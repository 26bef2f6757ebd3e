"""What pretraining undoes: a part of the image hidden, turned, or its colours changed."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from pydantic import TypeAdapter, ValidationError
from torchvision.transforms import functional as tvf

from hardy.core.errors import SpecError
from hardy.core.hashing import digest
from hardy.data import shifts
from hardy.data.loader import Images
from hardy.data.open import open_dataset
from hardy.data.pipeline import SamplePipeline
from hardy.data.preprocess import Preprocess
from hardy.data.shift_spec import ColourJitter, Greyscale, Mask, OneOf, ShiftSpec, Turn, turns
from hardy.data.shifts.hide import hidden
from hardy.data.spec import DataSpec, Shapes

SHIFT = TypeAdapter(ShiftSpec)
DRAWS = 1000
P3 = (Mask(sides=True), Greyscale(probability=0.2), ColourJitter())
LABELS = {
    "mask-rectangle-0.05-0.25": {},
    "mask-sides-0.05-0.25": {"sides": True},
    "mask-blocks-16-0.05-0.25": {"shape": "blocks"},
    "mask-patches-8-0.1-0.75-fill-0": {
        "shape": "patches",
        "patch": 8,
        "area": [0.1, 0.75],
        "fill": 0,
    },
    "turn-0-90-180-270": {"kind": "turn"},
    "turn-180": {"kind": "turn", "degrees": [180]},
    "colour_jitter-0.5-0.5-0.5-0.1": {"kind": "colour_jitter"},
    "greyscale-0.2": {"kind": "greyscale"},
    "one_of-fog-3+greyscale-0.2": {
        "kind": "one_of",
        "shifts": [{"kind": "fog"}, {"kind": "greyscale"}],
    },
    "one_of-0.25-blur_percent-50": {
        "kind": "one_of",
        "shifts": [{"kind": "blur_percent", "percent": 50}],
        "probability": 0.25,
    },
}


def photograph(size=(48, 48), seed=0):
    # No level is 128, that of what is hidden.
    pixels = np.random.default_rng(seed).integers(0, 127, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def shifted(spec, image, seed=0):
    return shifts.shifted(image, spec, np.random.default_rng(seed))


def shares(spec, size, draws=DRAWS):
    rng = np.random.default_rng(1)
    return np.array([hidden(size, spec, rng).mean() for _ in range(draws)])


def test_labels_and_identities_tell_them_apart():
    specs = [SHIFT.validate_python({"kind": "mask", **stated}) for stated in LABELS.values()]
    assert [spec.label for spec in specs] == list(LABELS)
    assert len({digest(spec.identity()) for spec in specs}) == len(specs)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"kind": "mask", "area": [0.3, 0.2]}, "the first bound, 0.3, is above the second, 0.2"),
        ({"kind": "mask", "area": [0, 0.2]}, "greater than 0"),
        ({"kind": "mask", "patch": 8}, "leave it out for a rectangle"),
        ({"kind": "mask", "shape": "blocks", "sides": True}, "blocks hide a share of the area"),
        ({"kind": "turn", "degrees": [45]}, "0, 90, 180 or 270"),
        ({"kind": "turn", "degrees": []}, "at least 1"),
        ({"kind": "one_of", "shifts": []}, "at least 1"),
        ({"kind": "one_of", "shifts": [{"kind": "one_of"}]}, "does not match"),
        (
            {
                "kind": "one_of",
                "shifts": [{"kind": "gaussian_sigma", "sigma": 1, "space": "normalised"}],
            },
            "set its space to pixels",
        ),
    ],
)
def test_what_cannot_be_is_refused(stated, message):
    with pytest.raises(ValidationError, match=message):
        SHIFT.validate_python(stated)


@pytest.mark.parametrize("size", [(120, 120), (97, 131), (64, 64)])
@pytest.mark.parametrize(("shape", "patch"), [("rectangle", None), ("blocks", 8), ("patches", 8)])
def test_the_share_of_the_area_is_uniform_between_its_bounds(shape, patch, size):
    found = shares(Mask(area=(0.05, 0.25), shape=shape, patch=patch), size)
    # To the nearest row of a rectangle, pixel of blocks, patch of a grid.
    near = {"rectangle": size[1] / 2, "blocks": 0.5, "patches": 32}[shape] / (size[0] * size[1])
    assert found.min() >= 0.05 - near
    assert found.max() <= 0.25 + near
    assert found.mean() == pytest.approx(0.15, abs=4 * 0.2 / np.sqrt(12 * DRAWS) + near / 4)
    quartiles = np.quantile(found, [0.25, 0.5, 0.75])
    assert quartiles == pytest.approx([0.1, 0.15, 0.2], abs=4 * 0.1 / np.sqrt(DRAWS) + near)


def test_p3s_sides_hide_at_most_a_sixteenth_of_the_area():
    found = shares(Mask(sides=True), (120, 120))
    # 6 to 30 of 120 rows, and as many columns.
    assert (found.min(), found.max()) == pytest.approx((0.0025, 0.0625))
    # The mean of p² for p uniform in [a, b] is (a² + a b + b²) / 3.
    assert found.mean() == pytest.approx((0.05**2 + 0.05 * 0.25 + 0.25**2) / 3, rel=0.06)
    rng = np.random.default_rng(2)
    oblong = [hidden((100, 200), Mask(sides=True), rng) for _ in range(50)]
    sides = [(m.any(1).sum() / 100, m.any(0).sum() / 200) for m in oblong]
    assert all(high == pytest.approx(wide, abs=0.01) for high, wide in sides)


@pytest.mark.parametrize("area", [(1e-6, 1e-6), (1, 1), (0.98, 0.98)])
@pytest.mark.parametrize("shape", ["rectangle", "blocks", "patches"])
def test_the_least_and_the_largest_area(shape, area):
    found = shares(Mask(area=area, shape=shape), (40, 56), draws=5)
    if area[0] < 0.5:
        assert (found > 0).all()
        assert (found <= {"patches": 256}.get(shape, 1) / (40 * 56)).all()
    else:
        assert found == pytest.approx(area[0], abs=0.02 if shape != "patches" else 0.06)


def test_a_rectangle_is_one_and_anywhere_and_of_many_forms():
    rng, ratios, hits = np.random.default_rng(3), [], np.zeros((60, 60))
    for _ in range(DRAWS):
        found = hidden((60, 60), Mask(), rng)
        rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
        assert found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert found.sum() == len(rows) * len(columns)
        ratios.append(len(columns) / len(rows))
        hits += found
    assert 0.4 < min(ratios) < 0.6
    assert 1.7 < max(ratios) < 2.5
    assert np.median(ratios) == pytest.approx(1, abs=0.1)
    assert (hits > 0).mean() > 0.99


def test_blocks_and_patches_are_squares_of_their_side():
    rng = np.random.default_rng(4)
    for _ in range(20):
        found = hidden((48, 64), Mask(shape="patches", patch=16, area=(0.5, 0.5)), rng)
        tiles = found.reshape(3, 16, 4, 16).transpose(0, 2, 1, 3).reshape(12, 256)
        assert sorted(set(tiles.mean(1).tolist())) == [0, 1]
        assert tiles.all(1).sum() == 6
    # Fewer than one block's pixels are a part of one.
    one = hidden((64, 64), Mask(shape="blocks", patch=16, area=(0.02, 0.02)), rng)
    assert (one.any(1).sum() <= 16, one.any(0).sum() <= 16, one.sum()) == (True, True, 82)
    blocks = Mask(shape="blocks", patch=10)
    hits = np.sum([hidden((40, 40), blocks, rng) for _ in range(DRAWS)], 0)
    # A pixel is hidden as often as any other, at the edges too.
    assert hits.mean() == pytest.approx(0.15 * DRAWS, rel=0.05)
    assert hits == pytest.approx(hits.mean(), abs=5 * np.sqrt(hits.mean()))


@pytest.mark.parametrize("size", [(48, 64), (33, 41)])  # whose last lines are patches too
def test_patches_are_the_first_of_a_permutation_whose_area_is_the_nearest(size):
    down, across = (-(-side // 8) for side in size)
    for seed in range(12):
        rng, areas = np.random.default_rng(seed), []
        area, found = rng.uniform(0.1, 0.9) * size[0] * size[1], np.zeros(size, bool)
        planes = []
        for place in rng.permutation(down * across):
            top, left = 8 * (place // across), 8 * (place % across)
            found[top : top + 8, left : left + 8] = True
            areas.append(found.sum())
            planes.append(found.copy())
        best = min(range(len(planes)), key=lambda n: abs(areas[n] - area))
        drawn = hidden(
            size, Mask(shape="patches", area=(0.1, 0.9), patch=8), np.random.default_rng(seed)
        )
        assert np.array_equal(drawn, planes[best])


def test_only_what_is_hidden_changes_and_to_the_stated_level():
    image = photograph()
    for fill in (0.5, 0.0, 1.0):
        spec = Mask(fill=fill, area=(0.2, 0.2))
        before, after = np.asarray(image), np.asarray(shifted(spec, image, seed=5))
        gone = hidden((48, 48), spec, np.random.default_rng(5))
        assert (after[gone] == round(255 * fill + 1e-9)).all()
        assert np.array_equal(after[~gone], before[~gone])
    assert np.array_equal(np.asarray(image), np.asarray(photograph()))  # it stays as it was


def test_turns_are_pillows_and_each_as_likely():
    image = photograph()
    ways = [
        image,
        *(image.transpose(getattr(Image.Transpose, f"ROTATE_{d}")) for d in (90, 180, 270)),
    ]
    ways = [np.asarray(way).tobytes() for way in ways]
    found = [ways.index(shifted(Turn(), image, seed).tobytes()) for seed in range(400)]
    assert np.bincount(found, minlength=4) == pytest.approx([100] * 4, abs=4 * np.sqrt(75))
    only = {shifted(Turn(degrees=(180,)), image, seed).tobytes() for seed in range(5)}
    assert only == {ways[2]}


def test_an_oblong_input_is_turned_by_half_a_circle_alone():
    oblong = photograph((60, 40))
    assert shifted(Turn(degrees=(0, 180)), oblong).size == (60, 40)
    for degrees in ((0, 90, 180, 270), (90,), (0, 270)):
        with pytest.raises(SpecError, match="60 x 40 pixels cannot be turned by 90"):
            shifted(Turn(degrees=degrees), oblong)


def test_jitter_is_torchvisions():
    image, spec = photograph(), ColourJitter(brightness=0.5, contrast=0.4, saturation=0.3, hue=0.1)
    steps = (tvf.adjust_brightness, tvf.adjust_contrast, tvf.adjust_saturation, tvf.adjust_hue)
    orders = set()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        amounts = [rng.uniform(1 - it, 1 + it) for it in (0.5, 0.4, 0.3)]
        amounts.append(rng.uniform(-0.1, 0.1))
        expected, order = image, rng.permutation(4).tolist()
        for place in order:
            expected = steps[place](expected, amounts[place])
        assert np.array_equal(np.asarray(shifted(spec, image, seed)), np.asarray(expected))
        orders.add(tuple(order))
    assert len(orders) > 1
    nothing = ColourJitter(brightness=0, contrast=0, saturation=0, hue=0)
    assert np.abs(np.asarray(shifted(nothing, image), int) - np.asarray(image)).max() <= 4  # by HSV


def test_hues_turn_by_torchvisions_levels():
    image, spec = photograph(), ColourJitter(brightness=0, contrast=0, saturation=0, hue=0.5)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        rng.uniform(1, 1, 3)
        expected = tvf.adjust_hue(image, rng.uniform(-0.5, 0.5))
        assert np.array_equal(np.asarray(shifted(spec, image, seed)), np.asarray(expected))


def test_some_lose_their_colour():
    image = photograph()
    levels = np.asarray(image, float)
    luma = levels @ [0.299, 0.587, 0.114]
    grey = 0
    for seed in range(400):
        found = np.asarray(shifted(Greyscale(probability=0.2), image, seed), float)
        if np.array_equal(found, levels):
            continue
        grey += 1
        assert np.abs(found - luma[..., None]).max() <= 1
    assert grey == pytest.approx(80, abs=4 * np.sqrt(64))


def test_one_of_several_each_as_likely_and_some_left_alone():
    image, blurs = photograph(), [{"kind": "blur_percent", "percent": p} for p in (20, 50, 100)]
    made = [image.filter(ImageFilter.GaussianBlur(radius)) for radius in (2, 5, 10)]
    ways = [way.tobytes() for way in (image, *made)]
    spec = OneOf(shifts=blurs)
    found = [ways.index(shifted(spec, image, seed).tobytes()) for seed in range(300)]
    assert np.bincount(found, minlength=4) == pytest.approx([0, *[100] * 3], abs=33)
    half = OneOf(shifts=blurs, probability=0.4)
    found = [ways.index(shifted(half, image, seed).tobytes()) for seed in range(300)]
    assert np.bincount(found, minlength=4) == pytest.approx([180, *[40] * 3], abs=34)


def test_what_turns():
    assert turns(None) == turns(Mask()) == turns(Turn(degrees=(0,))) == frozenset()
    assert turns(OneOf(shifts=(Mask(), Turn(degrees=(0, 90))))) == {90}


GEOMETRY = Preprocess(32, 32, "bilinear", (0.5,) * 3, (0.5,) * 3)


def batches(shift, epoch, workers=0, seed=3, **options):
    dataset = open_dataset(DataSpec(dataset="shapes", shapes=Shapes(count=24, size=32)))
    pipeline = SamplePipeline(dataset, GEOMETRY, seed=seed, shift=shift, target="image")
    source = Images(pipeline, torch.device("cpu"), budget=10**9, workers=workers)
    return list(source.batches(range(24), 8, epoch, **options))


MASKS = [
    Mask(area=(0.1, 0.3)),
    Mask(area=(0.1, 0.3), shape="blocks", patch=4),
    Mask(area=(0.1, 0.3), shape="patches", patch=4),
]


@pytest.mark.parametrize("shift", MASKS, ids=lambda shift: shift.shape)
def test_in_every_batch_each_sample_differs_from_its_truth_where_it_is_hidden(shift):
    places = {}
    for epoch in (0, 1, 2, 3):
        for batch, clean in zip(batches(shift, epoch), batches(None, epoch), strict=True):
            assert torch.equal(batch.targets.image, clean.inputs)
            changed = (batch.inputs != batch.targets.image).any(1)
            assert (batch.inputs.permute(0, 2, 3, 1)[changed] == 128).all()
            for id_, each in zip(batch.ids, changed, strict=True):
                assert 0.09 <= each.float().mean() <= 0.31
                places[epoch, id_] = each.numpy().tobytes()
    # No two samples of an epoch and no two epochs of a sample are hidden alike.
    assert len(places) == 4 * 24
    assert len(set(places.values())) >= {"patches": 95}.get(shift.shape, 96)


def same(one, other):
    return all(
        torch.equal(a.inputs, b.inputs) and torch.equal(a.targets.image, b.targets.image)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("shift", [*MASKS, OneOf(shifts=(*P3, Turn()))])
@pytest.mark.parametrize("epoch", [0, 2])
def test_workers_and_processes_see_the_same(shift, epoch):
    whole = batches(shift, epoch)
    assert same(whole, batches(shift, epoch, workers=3))
    for rank in range(2):
        part = batches(shift, epoch, workers=2, rank=rank, ranks=2)
        for batch, mine in zip(whole, part, strict=True):
            assert torch.equal(batch.inputs[rank::2], mine.inputs)
    assert not same(whole, batches(shift, epoch, seed=4))
