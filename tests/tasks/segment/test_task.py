"""Segmentation: the contract of tasks, its measures against other libraries, what it serves."""

import base64
import io
import json
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix, f1_score, jaccard_score
from torchmetrics.functional.segmentation import mean_iou

from hardy.core.errors import DataError, MethodError
from hardy.data.item import Targets
from hardy.data.preprocess import Preprocess
from hardy.explain.planes import label_colours
from hardy.measure.records import as_frame
from hardy.tasks.build import build_task
from hardy.tasks.segment.counts import by_class, counts
from hardy.tasks.segment.spec import SegmentSpec
from tests.contracts.device import another_device
from tests.contracts.task import TaskContract

# The label 1 counts for nothing, so that channels and labels differ: 0, 2 and 3 are channels.
NAMES, VOID = ("ground", "void", "tree", "sky"), 1
TASK = build_task(SegmentSpec(), NAMES, VOID)
LABELS = np.array([0, 2, 3])


def one_hot(masks):
    """Return channels (B, 3, h, w) of masks; void pixels get the first class."""
    channels = torch.tensor([0, 0, 1, 2])[masks]
    return torch.nn.functional.one_hot(channels, 3).permute(0, 3, 1, 2).float()


class TestSegment(TaskContract):
    def task(self):
        return TASK

    def targets(self, count):
        blocks = torch.randint(0, 4, (count, 10, 11), generator=torch.Generator().manual_seed(3))
        return Targets(mask=blocks.repeat_interleave(7, 1).repeat_interleave(6, 2))

    def outputs(self, targets, skill):
        shape = (len(targets.mask), 3, *targets.mask.shape[1:])
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(4))
        return 9 * skill * one_hot(targets.mask) + (1 - skill) * noise


def records(masks, answers, name="source", task=TASK):
    targets = Targets(mask=torch.as_tensor(masks))
    columns = {"sample": [f"{n}" for n in range(len(masks))], **task.truth(targets)}
    found = task.columns(name, answers, targets)
    columns |= {f"{name}.{field}": values for field, values in found.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return as_frame(rows, task.truth_fields, task.fields)


@pytest.fixture(scope="module")
def some():
    """Masks, answers and predicted labels of eight images."""
    generator = torch.Generator().manual_seed(1)
    masks = torch.randint(0, 4, (8, 20, 30), generator=generator)
    answers = TASK.answer(2 * one_hot(masks) + torch.randn(8, 3, 20, 30, generator=generator))
    return masks.numpy(), answers, LABELS[answers.argmax(1).numpy()]


def test_measures_of_a_set_are_those_of_scikit_learn(some):
    masks, answers, said = some
    kept = masks != VOID
    found = TASK.metrics(records(masks, answers), "source")
    pair = masks[kept], said[kept]
    assert found["miou"] == pytest.approx(jaccard_score(*pair, average="macro"))
    assert found["dice"] == pytest.approx(f1_score(*pair, average="macro"))
    assert found["pixel_accuracy"] == pytest.approx((pair[0] == pair[1]).mean())
    majority = np.full_like(pair[0], np.bincount(pair[0]).argmax())
    expected = jaccard_score(pair[0], majority, average="macro", zero_division=0)
    assert found["majority_miou"] == pytest.approx(expected)
    p = answers.double().exp().numpy().transpose(0, 2, 3, 1)[kept]
    truth = p[np.arange(len(p)), np.searchsorted(LABELS, pair[0])]
    assert found["pixel_nll"] == pytest.approx(-np.log(truth).mean(), rel=1e-6)
    assert found["pixel_entropy"] == pytest.approx(-(p * np.log(p)).sum(1).mean(), rel=1e-6)


def test_a_class_without_a_pixel_is_none_that_the_largest_class_misses():
    masks = torch.zeros(2, 4, 5, dtype=torch.int64)
    masks[:, 3] = 3  # no tree: the ground has 15 of 20 pixels, the sky 5
    found = TASK.metrics(records(masks, TASK.answer(9 * one_hot(masks))), "source")
    expected = jaccard_score(masks.ravel(), np.zeros(40, int), average="macro", zero_division=0)
    assert found["majority_miou"] == pytest.approx(expected) == pytest.approx((0.75 + 0) / 2)


def test_an_images_score_is_that_of_torchmetrics_and_of_scikit_learn(some):
    masks, answers, said = some
    frame = records(masks, answers)
    for mask, guess, score in zip(masks, said, TASK.score(frame, "source"), strict=True):
        kept = mask != VOID
        assert score == pytest.approx(jaccard_score(mask[kept], guess[kept], average="macro"))
    assert TASK.metrics(frame, "source")["image_iou"] == pytest.approx(
        TASK.score(frame, "source").mean()
    )
    plain = build_task(SegmentSpec(), ("a", "b", "c"))
    channels = answers.argmax(1)
    truth = torch.as_tensor(masks).clamp(max=2)
    frame = records(truth, answers, task=plain)
    expected = mean_iou(channels, truth, num_classes=3, input_format="index").numpy()
    np.testing.assert_allclose(plain.score(frame, "source"), expected, rtol=1e-5)


def test_a_table_of_classes_is_that_of_the_confusion(some):
    masks, answers, said = some
    kept = masks != VOID
    found = by_class(counts(records(masks, answers), "source"), "source", TASK.classes)
    matrix = confusion_matrix(masks[kept], said[kept], labels=LABELS)
    both, true, said_to_be = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    assert list(found["class"]) == ["ground", "tree", "sky"]
    np.testing.assert_array_equal(found["pixels"], true)
    np.testing.assert_allclose(found["recall"], both / true)
    np.testing.assert_allclose(found["precision"], both / said_to_be)
    np.testing.assert_allclose(found["iou"], both / (true + said_to_be - both))


def test_a_perfect_mask_scores_one():
    masks = TestSegment().targets(3).mask
    found = TASK.metrics(records(masks, TASK.answer(50 * one_hot(masks))), "source")
    for name, metric in SegmentSpec.metrics.items():
        if metric.higher_is_better:
            assert found[name] == pytest.approx(1, abs=1e-12), name
    assert max(found["pixel_nll"], found["pixel_entropy"]) < 1e-15


def test_a_class_that_is_nowhere_is_no_part_of_the_mean():
    masks = np.array([[[0, 0], [2, 2]]])
    said = torch.tensor([[[0, 0], [0, 2]]])  # half of the trees, and no sky
    frame = records(masks, TASK.answer(9 * one_hot(said)))
    assert TASK.metrics(frame, "source")["miou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    table = by_class(counts(frame, "source"), "source", TASK.classes)
    assert np.isnan(table["iou"].iloc[2])
    said = torch.tensor([[[0, 0], [3, 3]]])  # sky where there is none counts against both
    frame = records(masks, TASK.answer(9 * one_hot(said)))
    assert TASK.score(frame, "source")[0] == pytest.approx(1 / 3)


def test_void_counts_for_nothing_wherever_it_is():
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 4, (2, 3, 3)).repeat(7, 1).repeat(7, 2)
    masks[1] = VOID
    answers = TASK.answer(torch.as_tensor(rng.normal(size=(2, 3, 21, 21))))
    frame = records(masks, answers)
    assert frame["pixels"][1] == frame["source.predicted"][1] == [0, 0, 0]
    assert (frame["source.nll"][1], frame["source.entropy"][1]) == (0, 0)
    assert TASK.score(frame, "source")[1] == 1
    alone = TASK.metrics(frame.iloc[:1], "source")
    assert TASK.metrics(frame, "source") == alone
    other = answers.clone()
    other.movedim(1, -1)[torch.as_tensor(masks == VOID)] = torch.tensor([0.0, -50.0, -50.0])
    assert TASK.metrics(records(masks, other), "source") == alone
    nothing = TASK.metrics(frame.iloc[1:], "source")
    assert all(np.isnan(value) for value in nothing.values())


def test_what_is_padded_counts_for_nothing_where_no_label_is_void():
    task = build_task(SegmentSpec(), ("a", "b"))
    masks = np.array([[[0, 1, 255], [0, 1, 255]]])
    frame = records(masks, task.answer(torch.randn(1, 2, 2, 3)), task=task)
    assert frame["pixels"][0] == [2, 2]


def test_truth_that_does_not_fit_is_refused():
    answers = TASK.answer(torch.randn(1, 3, 4, 4))
    for masks, error in (
        (torch.full((1, 4, 4), 7), DataError),
        (torch.zeros(1, 8, 8), MethodError),
    ):
        with pytest.raises(error):
            TASK.columns("own", answers, Targets(mask=masks.long()))
    with pytest.raises(DataError, match="no mask"):
        TASK.truth(Targets())
    with pytest.raises(MethodError, match="'own' is not log-probabilities"):
        TASK.columns("own", answers * float("nan"), Targets(mask=torch.zeros(1, 4, 4).long()))


def softmax(values):
    shifted = np.exp(values - values.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def cross_entropy(outputs, masks, smoothing, weights):
    """Return what `Task.loss` should, by sums over single pixels."""
    found = []
    for log_p, mask in zip(np.log(softmax(outputs)), masks, strict=True):
        terms = []
        for y, x in zip(*np.nonzero(mask != VOID), strict=True):
            k = list(LABELS).index(mask[y, x])
            right = -weights[k] * log_p[k, y, x]
            spread = -sum(weights[c] * log_p[c, y, x] for c in range(3)) / 3
            terms.append((1 - smoothing) * right + smoothing * spread)
        found.append(np.mean(terms) if terms else 0.0)
    return found


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, (1.0, 0.5, 3.0)])
def test_the_loss_is_cross_entropy_over_the_pixels_that_count(smoothing, weights):
    rng = np.random.default_rng(2)
    outputs, masks = rng.normal(size=(3, 3, 5, 4)), rng.integers(0, 4, (3, 5, 4))
    masks[2] = VOID
    given = None if weights is None else torch.tensor(weights)
    tensor = torch.tensor(outputs, dtype=torch.float32, requires_grad=True)
    targets = Targets(mask=torch.as_tensor(masks))
    found = TASK.loss(tensor, targets, smoothing=smoothing, class_weights=given)
    expected = cross_entropy(outputs, masks, smoothing, weights or (1.0, 1.0, 1.0))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5)
    assert found[2] == 0
    found.sum().backward()
    gradient = tensor.grad.movedim(1, -1)
    assert (gradient[torch.as_tensor(masks == VOID)] == 0).all()
    assert gradient[torch.as_tensor(masks != VOID)].abs().sum(1).min() > 0


def test_the_loss_is_the_same_on_another_device():
    targets = TestSegment().targets(2)
    outputs = TestSegment().outputs(targets, 0.4)
    weights = torch.tensor([1.0, 2.0, 0.5])
    expected = TASK.loss(outputs, targets, smoothing=0.1, class_weights=weights)
    with another_device() as device:
        there = Targets(mask=targets.mask.to(device))
        found = TASK.loss(outputs.to(device), there, smoothing=0.1, class_weights=weights)
        assert found.device.type == device.type
        found = found.cpu()
    torch.testing.assert_close(found, expected)


def test_outputs_of_another_size_are_refused_by_the_loss():
    targets = Targets(mask=torch.zeros(1, 8, 8).long())
    with pytest.raises(MethodError, match=r"\(1, 3, 4, 4\), where the masks need \(1, 3, 8, 8\)"):
        TASK.loss(torch.zeros(1, 3, 4, 4), targets)


def test_the_interval_of_many_images_is_quick_and_that_of_the_rows_drawn():
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 400, (5000, 7))
    both = (pixels * rng.uniform(0.2, 1, pixels.shape)).astype(int)
    said = both + rng.integers(0, 90, pixels.shape)
    names = tuple("abcdefg")
    frame = pd.DataFrame(
        {
            "pixels": pixels.tolist(),
            "own.intersection": both.tolist(),
            "own.predicted": said.tolist(),
            "own.entropy": rng.uniform(size=5000),
            "own.nll": rng.uniform(size=5000),
        }
    )
    task = build_task(SegmentSpec(), names)
    places = rng.integers(5000, size=5000)
    drawn = task.metrics(frame.iloc[places], "own")
    for metric, value in drawn.items():
        assert task.metric_at(frame, "own", metric)(places) == pytest.approx(value, rel=1e-12)
    begun = perf_counter()
    low, high = task.interval(frame, "own")
    assert perf_counter() - begun < 5  # about 0.4 s; by tables it took 20
    assert low < task.metrics(frame, "own")["miou"] < high


SERVED = {"format": "png", "window": "whole"}


def shown(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_a_served_mask_has_the_photographs_size_and_the_datasets_labels():
    preprocess = Preprocess(8, None, "bilinear", (0.5,) * 3, (0.5,) * 3, "squeeze")
    said = torch.zeros(8, 8).long()
    said[:, 4:] = 3
    answer = TASK.answer(20 * one_hot(said[None]))[0]
    row = TASK.served(answer, lambda plane: preprocess.back(plane, 40, 20, outside=VOID), SERVED)
    assert (row["width"], row["height"]) == (40, 20)
    mask = np.asarray(shown(row["mask"]))
    assert mask.shape == (20, 40)
    np.testing.assert_array_equal(mask[:, :20], 0)
    np.testing.assert_array_equal(mask[:, 20:], 3)
    assert shown(row["mask"]).mode == "P"
    assert row["shares"] == [
        {"name": "ground", "label": 0, "share": 0.5},
        {"name": "sky", "label": 3, "share": 0.5},
        {"name": "tree", "label": 2, "share": 0.0},
    ]
    assert TASK.told(row) == [" 50.00 %  ground", " 50.00 %  sky", "seen: whole"]
    files = TASK.files(row, Image.new("RGB", (40, 20)))
    assert list(files) == ["mask.png", "overlay.png"]
    assert files["mask.png"] == base64.b64decode(row["mask"])


def by_hand(counts, height, width):
    """Read COCO's uncompressed counts a pixel at a time."""
    flat, value = [], 0
    for count in counts:
        flat += [value] * count
        value = 1 - value
    columns = [flat[column * height : (column + 1) * height] for column in range(width)]
    return np.array(columns).T


def test_runs_are_read_back_as_the_mask():
    rng = np.random.default_rng(0)
    said = torch.as_tensor(rng.integers(0, 3, (1, 7, 5)))
    said[0, :, 0] = 2
    answer = TASK.answer(20 * one_hot(torch.tensor([0, 2, 3])[said]))[0]
    png, rle = (
        TASK.served(answer, lambda plane: plane, {"format": form, "window": "whole"})
        for form in ("png", "rle")
    )
    mask = np.asarray(shown(png["mask"]))
    assert (png["runs"], rle["mask"]) == ([], "")
    read = np.full(mask.shape, 99)
    for each in rle["runs"]:
        assert each["size"] == [7, 5]
        read[by_hand(each["counts"], 7, 5) == 1] = each["label"]
    np.testing.assert_array_equal(read, mask)
    first = next(each for each in rle["runs"] if each["label"] == mask[0, 0])
    assert first["counts"][0] == 0
    assert {name: rle[name] for name in ("shares", "entropy", "width")} == {
        name: png[name] for name in ("shares", "entropy", "width")
    }
    photograph = Image.new("RGB", (5, 7))
    files = TASK.files(rle, photograph)
    assert list(files) == ["runs.json", "overlay.png"]
    assert json.loads(files["runs.json"]) == rle["runs"]
    assert files["overlay.png"] == TASK.files(png, photograph)["overlay.png"]


def test_an_overlay_has_the_colours_of_its_legend_over_the_photograph():
    said = torch.zeros(1, 300, 400).long()
    said[:, :, 200:] = 3
    row = TASK.served(TASK.answer(20 * one_hot(said))[0], lambda plane: plane, SERVED)
    files = TASK.files(row, Image.new("RGB", (400, 300), (200, 0, 0)))
    picture = np.asarray(Image.open(io.BytesIO(files["overlay.png"])).convert("RGB")).astype(int)
    colours = label_colours()
    for x, label in ((100, 0), (700, 3)):  # enlarged twice, as it is below 480 pixels
        halved = (colours[label] + round(0.299 * 200)) / 2  # the photograph's grey has no hue
        assert abs(picture[300, x] - halved).max() <= 1
        assert (picture[620:] == colours[label]).all(-1).sum() > 100  # its mark below


def test_settings_that_are_served():
    assert dict(TASK.params) == {name: values[0] for name, values in TASK.choices.items()}


def test_what_was_not_seen_is_void_and_no_part_of_the_shares():
    preprocess = Preprocess((4, 8), None, "bilinear", (0.5,) * 3, (0.5,) * 3, "pad")
    answer = TASK.answer(20 * one_hot(torch.full((1, 4, 8), 2)))[0]
    row = TASK.served(answer, lambda plane: preprocess.back(plane, 10, 40, outside=VOID), SERVED)
    assert set(np.unique(np.asarray(shown(row["mask"])))) == {2}
    crop = Preprocess(4, 4, "bilinear", (0.5,) * 3, (0.5,) * 3)
    answer = TASK.answer(20 * one_hot(torch.full((1, 4, 4), 2)))[0]
    row = TASK.served(answer, lambda plane: crop.back(plane, 40, 10, outside=VOID), SERVED)
    assert set(np.unique(np.asarray(shown(row["mask"])))) == {VOID, 2}
    assert row["shares"][0] == {"name": "tree", "label": 2, "share": 1.0}


def test_a_report_has_each_class_of_each_answer():
    frame = TestSegment().frame(source=0.3, own=0.9)
    report = dict(TASK.report(frame, "own", "source"))
    tables = {"classes.csv", "iou.png", "metrics.csv", "confusion.csv", "confusion.png"}
    assert set(report) == {f"report/{name}" for name in tables}
    table = pd.read_csv(io.StringIO(report["report/classes.csv"]))
    assert list(table["answer"]) == ["source"] * 3 + ["own"] * 3
    mean = table[table["answer"] == "own"]["iou"].mean()
    assert mean == pytest.approx(TASK.metrics(frame, "own")["miou"])
