import pickle

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt as edt

from hardy.core.errors import SpecError
from hardy.data.leaks import leaks
from hardy.data.open import open_dataset
from hardy.data.shapes import CLASSES, COLOURS, scene
from hardy.data.spec import DataSpec, Shapes
from tests.data import carried


def opened(split="test", **options):
    return carried.opened(DataSpec(dataset="shapes", split=split, shapes=Shapes(**options)))


def pixels(dataset, place=0):
    return np.asarray(dataset.read(dataset.samples[place]))


def test_images_are_the_same_each_time_and_differ_by_seed_part_and_place():
    plain = opened(count=12, size=32)
    assert np.array_equal(pixels(plain), pixels(opened(count=12, size=32)))
    others = [opened(count=12, size=32, seed=1), opened("train", count=12, size=32)]
    assert all(not np.array_equal(pixels(plain), pixels(other)) for other in others)
    assert len({d.digest for d in (plain, *others, opened(count=12, size=33))}) == 4
    assert not np.array_equal(pixels(plain, 0), pixels(plain, len(CLASSES)))


def test_a_larger_count_only_adds_samples():
    few, more = opened(count=6, size=16), opened(count=9, size=16)
    assert np.array_equal(pixels(few, 5), pixels(more, 5))


@pytest.mark.parametrize("size", [16, 64, 97])
def test_mask_and_colour_lie_where_the_scene_says(size):
    found = opened(count=24, size=size)
    for sample in found.samples:
        shown = scene(sample.row, Shapes(count=24, size=size), "test")
        image = np.asarray(found.read(sample)).astype(int)
        mask = np.asarray(found.read_mask(sample))
        assert image.shape == (size, size, 3)
        assert mask.shape == (size, size)
        assert set(np.unique(mask)) == {0, sample.label + 1}
        assert found.classes[sample.label] == shown.shape
        # Away from edges a pixel in the mask has the shape's colour, exactly.
        on = mask > 0
        inner = on[1:-1, 1:-1] & on[:-2, 1:-1] & on[2:, 1:-1] & on[1:-1, :-2] & on[1:-1, 2:]
        if size > 16:
            same = (image[1:-1, 1:-1][inner] == COLOURS[shown.colour]).all(1)
            assert same.mean() > 0.95
        ys, xs = np.nonzero(mask)
        centre = (np.array([xs.mean(), ys.mean()]) + 0.5) / size
        assert np.allclose(centre, shown.centre, atol=0.06)


def test_areas_follow_the_formulas_of_the_shapes():
    # Of a shape in a circle of radius r: area / r².
    formulas = {
        "circle": np.pi,
        "square": 2.0,
        "triangle": 3 * np.sqrt(3) / 4,
        "cross": 2 * 0.56 * 1.9 - 0.56**2,
        "ring": np.pi * (1 - 0.55**2),
        "star": 10 * np.sin(np.pi / 5) * 0.381966 / 2,
    }
    found = opened(count=12, size=256)
    for sample in found.samples:
        shown = scene(sample.row, Shapes(count=12, size=256), "test")
        area = (np.asarray(found.read_mask(sample)) > 0).mean()
        assert area / shown.radius**2 == pytest.approx(formulas[shown.shape], rel=0.04)


def test_classes_are_balanced():
    found = opened(count=60)
    assert [sample.label for sample in found.samples].count(2) == 10


def test_captions_say_what_is_shown_and_leave_colour_or_ground_out_of_every_other():
    found = opened(count=400)
    captions = [found.caption(sample) for sample in found.samples]
    assert captions == [found.caption(sample) for sample in found.samples]
    for sample, said in zip(found.samples, captions, strict=True):
        shown = scene(sample.row, Shapes(count=400), "test")
        ground = "a plain ground" if shown.texture == "plain" else shown.texture
        assert said in {
            f"a {colour}{shown.shape}{rest}"
            for colour in ("", f"{shown.colour} ")
            for rest in ("", f" on {ground}")
        }
    assert 160 < sum(" on " in said for said in captions) < 240
    assert 160 < sum(said.split()[1] in COLOURS for said in captions) < 240


def test_the_same_scene_has_the_same_content_in_a_larger_set():
    few, more = opened(count=6), opened(count=1200)
    assert [s.content for s in few.samples] == [s.content for s in more.samples[:6]]
    assert {s.content for s in more.samples} & {s.content for s in opened("train").samples} == set()


def test_the_readers_can_be_given_to_worker_processes():
    found = pickle.loads(pickle.dumps(opened(count=6, size=16)))
    assert np.array_equal(pixels(found), pixels(opened(count=6, size=16)))


def test_shapes_take_no_root():
    with pytest.raises(SpecError, match="takes no root"):
        open_dataset(DataSpec(dataset="shapes", root="/tmp"))


def test_the_digits():
    found = open_dataset(DataSpec(dataset="digits"))
    assert (len(found.samples), found.classes) == (1797, tuple("0123456789"))
    first = np.asarray(found.read(found.samples[0]))
    assert first.shape == (8, 8, 3)
    # scikit-learn's own first image, a zero: its first row is 0 0 5 13 9 1 0 0 of 16.
    assert first[0, :, 0].tolist() == [round(v * 255 / 16) for v in (0, 0, 5, 13, 9, 1, 0, 0)]
    assert found.samples[0].label == 0


@pytest.mark.parametrize("size", [32, 64, 200])
def test_a_trimap_has_a_band_of_a_twentieth_of_the_side_between_object_and_background(size):
    plain, found = opened(count=30, size=size), opened(count=30, size=size, masks="trimap")
    assert found.mask_classes == ("object", "background", "border")
    for sample in found.samples:
        trimap = np.asarray(found.read_mask(sample))
        inside = np.asarray(plain.read_mask(sample)) > 0
        assert set(np.unique(trimap)) == {0, 1, 2}
        # The distance to the other side of the outline, between centres of pixels.
        depth = np.where(inside, edt(inside), edt(~inside)) / size
        step = 1.5 / size
        # Nine points may miss the tip of a star.
        assert (depth[trimap != 2] > 1 / 40 - step).mean() > 0.999
        assert np.quantile(depth[trimap == 2], 0.99) < 1 / 40 + step
        assert inside[trimap == 0].all()
        assert not inside[trimap == 1].any()


def test_trimaps_are_of_the_same_images_and_other_data():
    plain, found = opened(count=12, size=32), opened(count=12, size=32, masks="trimap")
    assert [s.content for s in plain.samples] == [s.content for s in found.samples]
    assert len(leaks(plain, found)) == 12
    assert plain.digest != found.digest
    assert np.array_equal(pixels(plain, 3), pixels(found, 3))


def test_what_was_kept_without_trimaps_reads_as_it_was():
    assert "masks" not in Shapes().model_dump()
    assert "masks" not in Shapes().identity()
    assert Shapes(masks="trimap").model_dump()["masks"] == "trimap"
    assert opened(count=60).digest == "59231befb62dc6a7174fa24541e66d4b"
