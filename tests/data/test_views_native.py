"""Operations on the image as it was read: lengths in its own pixels, then the way to the input."""

from contextlib import closing
from inspect import signature

import numpy as np
import pytest
import torch
from PIL import Image

from hardy.core.seeding import generator
from hardy.data.folder import open_dataset
from hardy.data.pipeline import SamplePipeline, loader
from hardy.data.preprocess import Preprocess
from hardy.data.view_spec import Compose, CutStep, Operations, OperationsStep
from hardy.data.views import make_views
from hardy.data.views.operations import LENGTHS, OPERATIONS, operate

WIDTH, HEIGHT = 500, 375
HALF = (0.5, 0.5, 0.5)
SQUEEZE = Preprocess(224, None, "bilinear", HALF, HALF, "squeeze")
CROP = Preprocess(224, 256, "bilinear", HALF, HALF)
EVERY = ("memo_plus", "pixel", "spatial")


def photo(width=WIDTH, height=HEIGHT, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def native(*names, **fields):
    return Operations(names=names, act_on="native", count=2, **fields)


def view(spec, image=None, preprocess=SQUEEZE, **fields):
    """Return view 1 (H, W, 3)."""
    image = image or photo()
    made = make_views(image, spec, preprocess, 0, "a", preprocess.geometry(image), **fields)
    assert torch.equal(
        made.pixels[0], torch.tensor(np.array(preprocess.geometry(image))).permute(2, 0, 1)
    )
    return made.pixels[1].permute(1, 2, 0).numpy()


def squeezed(levels):
    return np.asarray(Image.fromarray(levels).resize((224, 224), Image.Resampling.BILINEAR))


def test_translation_is_by_pixels_of_the_native_image():
    across, down = generator(0, "a", "view", 1).integers(-100, 101, size=2)
    source = np.asarray(photo())
    moved = np.zeros_like(source)
    rows, columns = np.arange(HEIGHT) - down, np.arange(WIDTH) - across
    inside = np.ix_(*(np.flatnonzero((p >= 0) & (p < n)) for p, n in ((rows, 375), (columns, 500))))
    moved[inside] = source[np.ix_(rows[inside[0][:, 0]], columns[inside[1][0]])]
    assert abs(across) > 5
    assert abs(down) > 5
    assert np.array_equal(view(native("translation")), squeezed(moved))


def test_crop_is_a_window_of_160_native_pixels_brought_to_the_input_once():
    window = np.asarray(photo())[70:230, 120:280]
    result = view(native("crop", crop="gradcam"), point=(0.4, 0.4))
    assert np.array_equal(result, squeezed(np.ascontiguousarray(window)))


def test_box_blur_is_over_20_native_pixels():
    padded = np.pad(np.asarray(photo(), float), ((10, 9), (10, 9), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (20, 20), axis=(0, 1))
    means = np.rint(windows.mean((-1, -2))).astype(np.uint8)
    result = view(native("box_blur")).astype(int)
    assert np.abs(result - squeezed(means)).max() <= 1


def test_the_fixed_affine_moves_its_points_in_native_pixels():
    image = Image.new("RGB", (WIDTH, HEIGHT))
    image.paste((255, 255, 255), (44, 44, 56, 56))
    lit = np.argwhere(view(native("fixed_affine"), image)[..., 0] > 60).mean(0)
    assert lit == pytest.approx([100 * 224 / 375, 10 * 224 / 500], abs=2)  # (50, 50) -> (10, 100)


def test_lengths_are_weaker_by_the_short_side_over_224():
    """The same draws move the same dot, on a short side of 500, by 224/500 of what they did."""
    image = Image.new("RGB", (500, 500))
    image.paste((255, 255, 255), (240, 240, 260, 260))

    def displacement(act_on):
        spec = Operations(names=("translation",), act_on=act_on, count=12)
        made = make_views(image, spec, SQUEEZE, 3, "a", SQUEEZE.geometry(image)).pixels
        places = [np.argwhere(each[0].numpy() > 100).mean(0) for each in made]
        return np.array(places)[1:] - places[0]

    ratio = np.linalg.norm(displacement("input")) / np.linalg.norm(displacement("native"))
    assert ratio == pytest.approx(500 / 224, rel=0.02)


@pytest.mark.parametrize(("width", "height"), [(500, 375), (300, 640), (224, 224), (200, 180)])
@pytest.mark.parametrize("point", [(0.5, 0.5), (0.1, 0.8), (0.99, 0.01)])
def test_the_grad_cam_point_is_found_on_the_native_image(width, height, point):
    """By the two steps of the way to the input, undone: the corner of the crop, then the scale."""
    scale = 256 / min(width, height)
    wide, high = (256, int(256 * height / width)), (int(256 * width / height), 256)
    resized = wide if width <= height else high
    corner = [(length - 224) / 2 for length in resized]
    sides = [min(160, width), min(160, height)]
    start = [
        min(max(round((p * 224 + c) / scale - s / 2), 0), n - s)
        for p, c, s, n in zip(point, corner, sides, (width, height), strict=True)
    ]
    ys, xs = np.mgrid[:height, :width]
    places = np.stack([xs // 3, ys // 3, np.zeros_like(xs)], -1).astype(np.uint8)
    image = Image.fromarray(places)
    box = (start[0], start[1], start[0] + sides[0], start[1] + sides[1])
    expected = np.asarray(CROP.geometry(image.crop(box))).astype(int)
    result = view(native("crop", crop="gradcam"), image, CROP, point=point)
    assert np.abs(result - expected).max() <= 1  # where the half pixel was rounded


@pytest.mark.parametrize("name", sorted({*OPERATIONS, "crop"}))
@pytest.mark.parametrize(("width", "height"), [(90, 60), (17, 300), (250, 130)])
def test_every_operation_takes_any_image(name, width, height):
    image = photo(width, height)
    before = image.tobytes()
    one, again = (view(native(name, crop="random"), image) for _ in range(2))
    assert one.shape == (224, 224, 3)
    assert one.dtype == (np.float32 if name == "normalize" else np.uint8)
    assert np.array_equal(one, again)
    assert image.tobytes() == before


def test_normalize_before_the_way_is_normalize_after_it():
    """It is affine, and so is the way: they differ by the rounding of whole levels."""
    one, other = (
        view(Operations(names=("normalize",), act_on=a, count=2)) for a in ("native", "input")
    )
    assert np.abs(one - other).max() <= 1 / 0.224 + 0.1


def test_what_is_drawn_is_the_same_on_both():
    """Only what is changed differs, so that the two ways can be compared view by view."""
    image, plain = photo(), SQUEEZE.geometry(photo())
    names = [
        make_views(image, Operations(act_on=act_on), SQUEEZE, 0, "a", plain, point=HALF[:2]).names
        for act_on in ("native", "input")
    ]
    assert names[0] == names[1]


def test_lengths_are_the_operations_that_ask_for_the_image():
    assert {name for name in OPERATIONS if "native" in signature(OPERATIONS[name]).parameters} == (
        set(LENGTHS)
    )


def test_the_default_is_the_input_and_enters_no_fingerprint():
    assert Operations().act_on == "input"
    assert "act_on" not in Operations().identity()
    step = Compose(steps=(OperationsStep(),)).identity()["steps"][0]
    assert "act_on" not in step
    assert Operations(act_on="native").identity() == Operations().identity() | {"act_on": "native"}


def test_steps_on_the_native_image_come_to_the_input_once():
    flip, blur = (
        OperationsStep(names=(n,), act_on="native") for n in ("horizontal_flip", "box_blur")
    )
    expected = operate(
        "box_blur", photo().transpose(Image.Transpose.FLIP_LEFT_RIGHT), None, native=True
    )
    assert np.array_equal(view(Compose(steps=(flip, blur), count=2)), squeezed(expected))
    inverse = OperationsStep(names=("inverse",))
    after = view(Compose(steps=(flip, inverse), count=2))
    assert np.array_equal(after, 255 - squeezed(np.asarray(photo())[:, ::-1].copy()))
    assert view(Compose(steps=(flip, CutStep()), count=2)).shape == (224, 224, 3)


@pytest.mark.parametrize("first", [CutStep(), OperationsStep()])
def test_native_after_the_input_is_refused(first):
    with pytest.raises(ValueError, match="come first"):
        Compose(steps=(first, OperationsStep(act_on="native")))


def test_threads_change_no_bit(tmp_path):
    for index in range(4):
        path = tmp_path / "images" / f"class{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(200 + 30 * index, 150, index).save(path)
    spec = Operations(names=EVERY, act_on="native", count=34, crop="random")
    small = Preprocess((48, 64), None, "bilinear", HALF, HALF, "squeeze")
    pipeline = SamplePipeline(open_dataset(tmp_path / "images"), small, views=spec, seed=2)
    found = []
    for workers in (0, 2):
        with closing(loader(pipeline, workers)) as samples:
            found.append([(item.id, item.pixels, item.names) for item in samples])
    for one, other in zip(*found, strict=True):
        assert one[0] == other[0]
        assert one[2] == other[2]
        assert torch.equal(one[1], other[1])
