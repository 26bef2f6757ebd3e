"""MEMO_PLUS: its batch, its point, and that the step on that batch is MEMO's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from pydantic import ValidationError

from hardy.core.errors import WeightsError
from hardy.data.preprocess import Preprocess
from hardy.data.view_spec import AugMix, Identity
from hardy.methods.base import Subject
from hardy.methods.memo.method import Memo
from hardy.methods.memo.spec import MemoSpec
from hardy.methods.memo_plus.method import MemoPlus, on_canvas
from hardy.methods.memo_plus.spec import MaskPolicy, MemoPlusSpec, Sam, Superpixels
from hardy.methods.optim_spec import AdamW, Sgd
from hardy.spec import resolve
from tests.contracts.method import (
    PLAIN,
    MethodContract,
    build_method,
    small_model,
    some_subject,
    some_views,
)

FEW = AugMix(count=6)
SLIC = Superpixels(segments=6)
SMALL = MaskPolicy(min_area=4)


class TestMemoPlus(MethodContract):
    answer = "memo_plus"

    def build(self, model):
        spec = MemoPlusSpec(views=FEW, segmenter=SLIC, policy=SMALL)
        return build_method(spec, model)


class TestMemoPlusOnEveryView(MethodContract):
    answer = "memo_plus"

    def build(self, model):
        policy = MaskPolicy(segment="every_view", keep="largest", show="blurred", min_area=4, top=2)
        spec = MemoPlusSpec(
            views=FEW, segmenter=SLIC, policy=policy, optimizer=Sgd(lr=0.1), bn_prior=16
        )
        return build_method(spec, model)


def quarters(image: np.ndarray) -> np.ndarray:
    """A segmenter by hand: the four quarters, and the whole."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    left, upper = x < width // 2, y < height // 2
    parts = [upper & left, upper & ~left, ~upper & left, ~upper & ~left]
    return np.stack([*parts, np.ones_like(left)])


def plus(masks_of=quarters, **settings) -> MemoPlus:
    settings = {"views": FEW, "segmenter": SLIC, "policy": SMALL} | settings
    return MemoPlus(small_model(), MemoPlusSpec(**settings), masks_of)


def canvas(width: int = 40, height: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(height, width, 3)).astype(np.uint8)


def with_canvas(image: np.ndarray, seed: int = 1) -> Subject:
    """Return a subject whose first view is the canvas as the network sees it."""
    views = some_views(seed=seed)
    views[0] = normalised(np.asarray(PLAIN.geometry(Image.fromarray(image))))
    return Subject(views, "sample", 0, image)


def normalised(pixels: np.ndarray) -> torch.Tensor:
    """The contract's preprocessing, by hand: mean and deviation of one half."""
    return torch.tensor(pixels.astype(np.float32) / 255 * 2 - 1).permute(2, 0, 1)


@pytest.mark.parametrize("settings", [{}, {"select": 0.5, "steps": 2}, {"bn_prior": 16}])
@pytest.mark.parametrize("batch", ["report", "segments_only"])
def test_the_step_is_memos_on_the_same_batch(settings, batch):
    subject = with_canvas(canvas())
    method = plus(batch=batch, optimizer=Sgd(lr=0.05), **settings)
    images = method.batch(subject, method.regions(subject))
    outcome = method.predict(subject)

    model = small_model()
    views = AugMix(count=len(images))
    memo = Memo(model, MemoSpec(**({"views": views, "bn_prior": None} | settings)))
    memo = Memo(model, memo.spec.model_copy(update={"optimizer": Sgd(lr=0.05)}))
    expected = memo.predict(Subject(images))
    assert torch.equal(outcome.answers["memo_plus"], expected.answers["memo"])
    assert torch.equal(outcome.answers["source"], expected.answers["source"])
    assert outcome.details["loss"] == expected.details["loss"]
    for a, b in zip(method.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)
    plain = 6 if batch == "report" else 1
    chosen = outcome.details["selected_views"] + [
        plain + index for index in outcome.details["selected_masks"]
    ]
    assert chosen == expected.details["selected_views"]


def test_the_published_twin_steps_as_its_notebook_does():
    """AdamW by hand: weight decay, the entropy of the mean logit, moments that are never reset."""
    (unit,) = resolve("memo-plus/memo-plus-as-published").units
    published = unit.experiment.method
    small = {"views": FEW, "segmenter": SLIC, "policy": SMALL}
    large = published.optimizer.model_copy(update={"lr": 0.05})  # so that the decay shows
    spec = published.model_copy(update=small | {"optimizer": large})
    method, model = MemoPlus(small_model(), spec, quarters), small_model()
    tuned = [each.requires_grad_() for each in model.parameters()]
    source = [each.detach().clone() for each in tuned]
    means, squares = ([torch.zeros_like(each) for each in source] for _ in range(2))
    for step, seed in enumerate((1, 2, 3), start=1):
        subject = with_canvas(canvas(seed=seed), seed)
        batch = method.batch(subject, method.regions(subject))
        got = method.predict(subject).answers["memo_plus"]
        method.reset()
        logs = model(batch).mean(0).log_softmax(0)
        slopes = torch.autograd.grad(-(logs.exp() * logs).sum(), tuned)
        with torch.no_grad():
            for each, slope, mean, square in zip(tuned, slopes, means, squares, strict=True):
                mean.mul_(0.9).add_(0.1 * slope)
                square.mul_(0.999).add_(0.001 * slope**2)
                ahead = mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
                each.copy_(each * (1 - 0.05 * 0.01) - 0.05 * ahead)
            expected = model(subject.views[:1])[0].log_softmax(0)
            for each, before in zip(tuned, source, strict=True):
                each.copy_(before)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_the_batch_is_the_views_then_the_masked_images():
    image = canvas()
    subject = with_canvas(image)
    method = plus(policy=MaskPolicy(min_area=4, keep="largest", show="black", top=2))
    batch = method.batch(subject, method.regions(subject))
    assert torch.equal(batch[:6], subject.views)
    # The whole, then the first quarter: areas 960 and 240.
    black = np.zeros_like(image)
    black[:12, :20] = image[:12, :20]
    for got, expected in zip(batch[6:], (image, black), strict=True):
        seen = np.asarray(PLAIN.geometry(Image.fromarray(expected)))
        torch.testing.assert_close(got, normalised(seen))
    scripts = plus(policy=method.spec.policy, batch="segments_only")
    only = scripts.batch(subject, scripts.regions(subject))
    assert torch.equal(only, torch.cat([subject.views[:1], batch[6:]]))


def test_without_a_canvas_view_0_is_segmented_and_not_resized_again():
    pixels = canvas(16, 16)
    views = some_views()
    views[0] = normalised(pixels)
    method = plus(policy=MaskPolicy(min_area=4, keep="largest", show="box", top=3))
    method.model.preprocess = replace(PLAIN, resize=20)
    seen = []
    method.segmenter = lambda image: seen.append(image) or quarters(image)
    batch = method.batch(Subject(views), method.regions(Subject(views)))
    assert (seen[0] == pixels).all()
    quarter = np.zeros_like(pixels)
    quarter[:8, :8] = pixels[:8, :8]
    torch.testing.assert_close(batch[7], normalised(quarter))


def test_crops_fill_the_input_whatever_their_shape():
    image = canvas()
    method = plus(policy=MaskPolicy(min_area=4, keep="largest", show="crop", top=2))
    batch = method.batch(with_canvas(image), method.regions(with_canvas(image)))
    box = Image.fromarray(image).crop((0, 0, 20, 12)).resize((16, 16), Image.Resampling.BILINEAR)
    torch.testing.assert_close(batch[7], normalised(np.asarray(box)))


def test_every_view_is_segmented_on_its_own_pixels():
    method = plus(
        policy=MaskPolicy(segment="every_view", keep="largest", show="blurred", min_area=4, top=1)
    )
    method.segmenter = lambda image: quarters(image)[:1]
    pixels = np.stack([canvas(16, 16, seed) for seed in range(6)])
    subject = Subject(torch.stack([normalised(view) for view in pixels]))
    batch = method.batch(subject, method.regions(subject))
    assert len(batch) == 12
    for view, masked in zip(pixels, batch[6:], strict=True):
        expected = np.array(Image.fromarray(view).filter(ImageFilter.GaussianBlur(15)))
        expected[:8, :8] = view[:8, :8]
        torch.testing.assert_close(masked, normalised(expected))


def test_no_mask_leaves_the_views_alone():
    method = plus(policy=MaskPolicy(min_area=10_000))
    subject = with_canvas(canvas())
    outcome = method.predict(subject)
    assert outcome.details["masks"] == 0
    assert outcome.details["selected_masks"] == []
    expected = Memo(
        small_model(), MemoSpec(views=FEW, optimizer=AdamW(lr=2.5e-4), bn_prior=None)
    ).predict(subject)
    assert torch.equal(outcome.answers["memo_plus"], expected.answers["memo"])


@pytest.mark.parametrize(("width", "height"), [(40, 24), (24, 40), (200, 64), (16, 16), (9, 12)])
@pytest.mark.parametrize(("size", "resize"), [(16, 16), (32, 40), (40, 32)])
def test_a_point_goes_back_to_the_pixel_that_it_came_from(width, height, size, resize):
    """A ramp says of each pixel of the input where it lay, through the geometry itself."""
    preprocess = Preprocess(size, resize, "nearest", PLAIN.mean, PLAIN.std)
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0], ramp[..., 1], ramp[..., 2] = *np.meshgrid(range(width), range(height)), 255
    seen = np.asarray(preprocess.geometry(Image.fromarray(ramp))).astype(int)
    for y, x in [(0, 0), (size // 3, size // 2), (size - 1, size - 1)]:
        if seen[y, x, 2] == 0:  # padding
            continue
        got = on_canvas((x, y), ramp, preprocess)
        assert np.abs(np.subtract(got, seen[y, x, :2])).max() <= 1


@pytest.mark.parametrize(
    ("origin", "pixel"), [((9.9, 6.9), (9, 6)), ((10.0, 7.0), (9, 6)), ((-0.1, -1.5), (0, 0))]
)
def test_a_point_beside_the_canvas_is_taken_to_its_border(monkeypatch, origin, pixel):
    monkeypatch.setattr(Preprocess, "origin", lambda *_: origin)
    assert on_canvas((0, 0), np.zeros((7, 10, 3), np.uint8), PLAIN) == pixel


def test_masks_at_the_point_are_used_in_the_canvas_own_pixels(monkeypatch):
    monkeypatch.setattr("hardy.methods.memo_plus.method.point_of_interest", lambda *_: (12, 4))
    subject = with_canvas(canvas())
    regions = plus().regions(subject)
    # 24 rows become 16, and 40 columns 26, of which the middle 16 begin at 5:
    # ((12.5 + 5) * 40 / 26, 4.5 * 24 / 16), in the upper right quarter.
    assert regions.point == (26, 6)
    assert [mask.sum() for mask in regions.masks] == [960, 240]
    assert regions.masks[1][:12, 20:].all()


def test_the_record_says_what_was_found():
    details = plus().predict(with_canvas(canvas())).details
    assert details["masks"] == 2
    assert details["segmenter"] == "superpixels"
    x, y = details["point"]
    assert 0 <= x < 40
    assert 0 <= y < 24
    assert type(x) is type(y) is int


ROWS, COLUMNS = 20, 20


def part_of(*slices: tuple[slice, slice]) -> np.ndarray:
    """A mask of a square canvas that holds some rectangles."""
    mask = np.zeros((ROWS, COLUMNS), bool)
    for where in slices:
        mask[where] = True
    return mask


ALL = slice(None)
ELL = part_of((ALL, slice(2)), (slice(2), ALL))  # its box is the whole
MOST = part_of((slice(19), ALL))  # 95 %, no more
NEARLY = part_of((slice(19), ALL), (ALL, slice(1)))  # 95.25 %; its box is the whole


@pytest.mark.parametrize(
    ("masks", "show", "degenerate"),
    [
        ([part_of((ALL, ALL))], "box", True),
        ([part_of((ALL, ALL))], "blurred", True),
        ([part_of((ALL, ALL)), part_of((slice(9), ALL))], "box", False),
        ([ELL], "box", True),
        ([ELL], "crop", True),
        ([ELL], "black", False),
        ([ELL], "blurred", False),
        ([MOST], "box", False),
        ([NEARLY], "black", True),
        ([NEARLY, ELL], "black", False),
        ([NEARLY, ELL], "box", True),
        ([], "box", True),
    ],
)
@pytest.mark.parametrize("segment", ["original", "every_view"])
def test_a_sample_is_degenerate_where_no_masked_image_hides_anything(
    monkeypatch, segment, masks, show, degenerate
):
    plain = replace(PLAIN, size=20, resize=20)
    found = np.stack(masks) if masks else np.zeros((0, ROWS, COLUMNS), bool)
    policy = MaskPolicy(segment=segment, keep="largest", show=show, min_area=4)
    method = plus(lambda _: found, policy=policy)
    monkeypatch.setattr(method.model, "preprocess", plain)
    views = torch.stack([normalised(canvas(20, 20, seed)) for seed in range(6)])
    for subject in (Subject(views), Subject(views, canvas=canvas(20, 20))):
        assert method.predict(subject).details["degenerate_masks"] is degenerate
        method.reset()


def test_one_view_that_a_mask_hides_a_part_of_is_enough():
    policy = MaskPolicy(segment="every_view", keep="largest", min_area=4)
    method = plus(policy=policy)
    calls = iter(range(6))
    method.segmenter = lambda image: quarters(image)[: 1 if next(calls) == 4 else 0]
    details = method.predict(some_subject()).details
    assert (details["masks"], details["degenerate_masks"]) == (1, False)


@pytest.mark.parametrize(
    ("mask", "degenerate"), [(slice(8, 32), True), (slice(8, 30), False), (slice(40), True)]
)
def test_what_the_network_does_not_see_need_not_be_hidden(mask, degenerate):
    """Of a canvas of 40 by 24 pixels the network sees the middle 24 columns."""
    band = np.zeros((1, 24, 40), bool)
    band[:, :, mask] = True
    method = plus(lambda _: band, policy=MaskPolicy(min_area=4, keep="largest"))
    subject = with_canvas(canvas())
    regions = method.regions(subject)
    assert regions.degenerate is degenerate
    seen = np.asarray(PLAIN.geometry(Image.fromarray(canvas())))
    inner = np.s_[:, 1:-1]  # the outermost columns are mixed with what lies beside them
    assert (regions.images[0][inner] == seen[inner]).all() == degenerate


@pytest.mark.parametrize(
    ("height", "covered", "degenerate"), [(12, 34, False), (12, 39, True), (4, 26, False)]
)
def test_padding_is_neither_shown_nor_hidden(height, covered, degenerate, monkeypatch):
    """Of a photograph 40 pixels wide, 34, 39 or 26 are shown: 85, 97.5 or 65 % of it."""
    band = np.zeros((1, height, 40), bool)
    band[:, :, :covered] = True
    policy = MaskPolicy(min_area=4, keep="largest", show="black")
    method = plus(lambda _: band, policy=policy)
    padded = replace(PLAIN, size=40, resize=None, fit="pad", interpolation="nearest")
    monkeypatch.setattr(method.model, "preprocess", padded)
    photograph = canvas(40, height)
    views = normalised(np.asarray(padded.geometry(Image.fromarray(photograph))))[None]
    regions = method.regions(Subject(views, canvas=photograph))
    assert regions.degenerate is degenerate


def test_a_copy_under_a_shift_is_one_though_its_padding_is_outside_the_mask(monkeypatch):
    band = np.zeros((1, 24, 24), bool)
    band[:, 6:18] = True
    method = plus(lambda _: band, policy=MaskPolicy(min_area=4, keep="largest", show="black"))
    seen = canvas(24, 24)
    seen[:6], seen[18:] = 0, 0
    assert method.regions(Subject(normalised(seen)[None])).degenerate
    seen[18:] = 200
    assert not method.regions(Subject(normalised(seen)[None])).degenerate


@pytest.mark.parametrize(("fit", "degenerate"), [("shorter_side", False), ("squeeze", True)])
def test_a_stretched_crop_of_a_wide_image_is_no_copy_of_its_middle(fit, degenerate, monkeypatch):
    box = np.zeros((1, 10, 30), bool)
    box[:, :, 1:] = True
    method = plus(lambda _: box, policy=MaskPolicy(min_area=4, keep="largest", show="crop"))
    monkeypatch.setattr(method.model, "preprocess", replace(PLAIN, fit=fit))
    wide = canvas(30, 10)
    views = normalised(np.asarray(method.model.preprocess.geometry(Image.fromarray(wide))))[None]
    assert method.regions(Subject(views, canvas=wide)).degenerate is degenerate


def test_the_companion_is_memo_on_the_views_alone():
    spec = {"optimizer": Sgd(lr=0.1), "bn_prior": 16, "steps": 2, "select": 0.5}
    subject = with_canvas(canvas())
    (memo,) = plus(**spec).companions().values()
    expected = Memo(small_model(), MemoSpec(views=FEW, **spec)).predict(subject)
    assert torch.equal(memo.predict(subject).answers["memo"], expected.answers["memo"])


def test_the_masks_are_drawn():
    picture = plus().illustrate(with_canvas(canvas()))["masks"]
    assert picture.mode == "RGB"
    assert picture.width > picture.height


@pytest.mark.parametrize(
    "settings",
    [
        {"segmenter": SLIC},
        {"segmenter": Sam(), "policy": MaskPolicy(min_area=4, keep="largest", top=5)},
        {
            "segmenter": Sam(),
            "policy": MaskPolicy(min_area=4, keep="largest", segment="every_view", top=2),
            "select": 0.5,
        },
        {
            "segmenter": Sam(),
            "policy": MaskPolicy(min_area=4, keep="largest", top=3),
            "batch": "segments_only",
            "steps": 3,
        },
    ],
)
def test_the_stated_cost_is_what_a_run_pays(settings):
    at_point = "policy" not in settings
    method = plus((lambda image: quarters(image)[:4]) if at_point else quarters, **settings)
    seen = []
    method.model.network.register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    method.predict(some_subject())
    assert sum(seen) == method.spec.cost().forward


def test_spec_refuses_what_cannot_be():
    with pytest.raises(ValidationError, match="every_view needs keep: largest"):
        MaskPolicy(segment="every_view")
    with pytest.raises(ValidationError, match="needs include_original"):
        MemoPlusSpec(batch="segments_only", views=AugMix(include_original=False))


def test_defaults_are_the_reports():
    spec = MemoPlusSpec()
    assert (spec.views.kind, spec.views.count, spec.views.names) == (
        "operations",
        9,
        ("memo_plus",),
    )
    assert (spec.optimizer, spec.bn_prior, spec.steps) == (AdamW(lr=2.5e-4), None, 1)
    assert (spec.policy.min_area, spec.policy.top, spec.policy.show) == (500, 10, "box")


def test_an_absent_checkpoint_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HARDY_DATA", str(tmp_path))
    with pytest.raises(WeightsError, match=r"sam_vit_b_01ec64\.pth does not exist") as error:
        build_method(MemoPlusSpec(views=Identity(count=2)), small_model())
    assert "375 MB" in error.value.hint
    assert "kind: superpixels" in error.value.hint


def test_the_checkpoints_content_enters_the_identity_and_not_its_path(tmp_path):
    one, two = tmp_path / "a.pth", tmp_path / "b.pth"
    absent = Sam(checkpoint=str(one)).identity()["checkpoint"]
    assert absent == str(one)
    one.write_bytes(b"weights")
    two.write_bytes(b"weights")
    first = Sam(checkpoint=str(one))
    assert first.identity() == Sam(checkpoint=str(two)).identity()
    two.write_bytes(b"others!")
    assert first.identity() != Sam(checkpoint=str(two)).identity()
    assert MemoPlusSpec(segmenter=first).identity()["segmenter"] == first.identity()
    assert first.label.startswith("sam vit_b sha256:")
