"""Every further measure of segmentation against loops over single pixels in float64."""

import io
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.item import OwnMask, Targets
from hardy.data.preprocess import Preprocess
from hardy.measure.records import read_parquet, write_parquet
from hardy.tasks.build import build_task
from hardy.tasks.segment import pixels
from hardy.tasks.segment.counts import confused
from hardy.tasks.segment.spec import SegmentSpec
from hardy.tasks.summary import bounds, summarise
from tests.tasks.segment.test_task import records

NAMES, VOID, K = ("ground", "void", "tree", "sky"), 1, 3
TASK = build_task(SegmentSpec(), NAMES, VOID)


def blocks(rng, count, values, rows=5, columns=6, size=5):
    drawn = rng.choice(values, (count, rows, columns))
    return drawn.repeat(size, 1).repeat(size, 2)


@pytest.fixture(scope="module")
def some():
    """Records of 40 images, their true channels (-1 for void), answers and what these say."""
    rng = np.random.default_rng(0)
    channels = blocks(rng, 40, [-1, 0, 1, 2])
    moved = np.roll(channels, 1, 2).clip(0)
    logits = 3 * np.eye(K)[moved].transpose(0, 3, 1, 2) + rng.normal(size=(40, K, 25, 30))
    masks = np.array([VOID, 0, 2, 3])[channels + 1]
    answers = TASK.answer(torch.as_tensor(logits))
    frame = records(masks, answers)
    return frame, channels, answers.double().numpy(), answers.numpy().argmax(1)


def areas(true, said):
    """Return (both, said, true) by class over pixels that count."""
    kept = true >= 0
    return np.array(
        [
            (
                (kept & (true == c) & (said == c)).sum(),
                (kept & (said == c)).sum(),
                (kept & (true == c)).sum(),
            )
            for c in range(K)
        ]
    )


def iou(both, said, true, smooth=0.0):
    return (both + smooth) / (said + true - both + smooth)


def dice(both, said, true, smooth=0.0):
    return (2 * both + smooth) / (said + true + smooth)


def test_the_images_dice(some):
    frame, true, _, said = some
    each = []
    for t, s in zip(true, said, strict=True):
        each.append(np.mean([dice(*row) for row in areas(t, s) if row[1] + row[2]]))
    assert TASK.metrics(frame, "source")["image_dice"] == pytest.approx(np.mean(each), rel=1e-12)


def without_border(true):
    found = true.copy()
    for y, x in np.ndindex(true.shape):
        near = true[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        if len(set(near[near >= 0])) > 1:
            found[y, x] = -1
    return found


def test_the_inner_measures(some):
    frame, true, _, said = some
    inside = np.stack([without_border(t) for t in true])
    assert (inside >= 0).sum() < 0.6 * (true >= 0).sum()
    for t, found in zip(true[:5], inside, strict=False):
        np.testing.assert_array_equal(pixels.inner(t), found)
    rows = areas(inside, said)
    found = TASK.metrics(frame, "source")
    assert found["inner_miou"] == pytest.approx(np.mean([iou(*r) for r in rows]), rel=1e-12)
    assert found["inner_dice"] == pytest.approx(np.mean([dice(*r) for r in rows]), rel=1e-12)
    assert found["inner_dice"] > found["dice"]  # the answers are off by a column


def test_void_makes_no_border():
    true = np.zeros((9, 9), int)
    true[:, 4] = -1
    np.testing.assert_array_equal(pixels.inner(true), true)
    true[:, 5:] = 1
    np.testing.assert_array_equal(pixels.inner(true)[0], [0, 0, 0, -1, -1, -1, 1, 1, 1])


@pytest.mark.parametrize("probabilities", ["softmax", "sigmoid"])
def test_the_pooled_soft_measures(some, probabilities):
    task = build_task(SegmentSpec(probabilities=probabilities), NAMES, VOID)
    rng = np.random.default_rng(5)
    true, z = some[1][:4], rng.normal(size=(4, K, 25, 30))
    masks = np.array([VOID, 0, 2, 3])[true + 1]
    frame = records(masks, task.answer(torch.as_tensor(z)), task=task)
    shifted = np.exp(z - z.max(1, keepdims=True))
    p = (
        shifted / shifted.sum(1, keepdims=True)
        if probabilities == "softmax"
        else 1 / (1 + np.exp(-z))
    )
    both_dice, both_iou = [], []
    for t, own in zip(true, p, strict=True):
        kept = t >= 0
        g = np.eye(K)[t.clip(0)].transpose(2, 0, 1)[:, kept]
        o = own[:, kept]
        both, total = (g * o).sum(), g.sum() + o.sum()
        both_dice.append(2 * (both + 1e-5) / (total + 1e-5))  # as COMP0197 wrote it
        both_iou.append((both + 1e-5) / (total - both + 1e-5))
    found = task.metrics(frame, "source")
    assert found["soft_dice_pooled"] == pytest.approx(np.mean(both_dice), rel=1e-6)
    assert found["soft_iou_pooled"] == pytest.approx(np.mean(both_iou), rel=1e-6)
    # A pixel's doubt and likelihood are of its probabilities' shares of their sum.
    shares = p / p.sum(1, keepdims=True)
    entropies = -(shares * np.log(shares)).sum(1)
    truth = np.take_along_axis(shares, true.clip(0)[:, None], 1)[:, 0]
    assert found["pixel_entropy"] == pytest.approx(entropies[true >= 0].mean(), rel=1e-5)
    assert found["pixel_nll"] == pytest.approx(-np.log(truth[true >= 0]).mean(), rel=1e-5)


def test_a_capped_networks_perfect_answer_scores_what_the_readme_says():
    task = build_task(SegmentSpec(probabilities="sigmoid"), ("a", "b", "c"))
    masks = np.random.default_rng(0).integers(0, 3, (2, 40, 40))
    outputs = torch.as_tensor(np.eye(3)[masks].transpose(0, 3, 1, 2))  # as ReLU and / max leave it
    found = task.metrics(records(masks, task.answer(outputs), task=task), "source")
    p, q = 1 / (1 + np.exp(-1)), 0.5
    assert found["soft_dice_pooled"] == pytest.approx(2 * p / (1 + p + 2 * q), rel=1e-6)
    assert found["miou"] == 1


def test_the_means_over_groups_of_images(some):
    frame, true, _, said = some
    ious, dices = [], []
    for group in (slice(0, 32), slice(32, 40)):
        rows = areas(true[group], said[group])
        ious.append(np.mean([iou(*r, 1e-6) for r in rows]))
        dices.append(np.mean([dice(*r, 1e-6) for r in rows]))
    found = TASK.metrics(frame, "source")
    assert found["batch_miou"] == pytest.approx(np.mean(ious), rel=1e-12)
    assert found["batch_dice"] == pytest.approx(np.mean(dices), rel=1e-12)
    assert found["batch_miou"] != pytest.approx(found["miou"], rel=1e-6)


def test_a_class_that_a_group_lacks_counts_one_and_one_that_all_lack_nothing():
    masks = np.zeros((40, 4, 4), int)
    masks[35] = 2  # tree in the second group alone; sky nowhere
    said = torch.zeros(40, K, 4, 4)
    said[:, 0] = 9.0
    found = TASK.metrics(records(masks, TASK.answer(said)), "source")
    assert found["batch_miou"] == pytest.approx((1.0 + (7 / 8 + 0) / 2) / 2, rel=1e-6)


def boundary(labels, c):
    found = set()
    for y, x in np.argwhere(labels == c):
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            v, u = y + dy, x + dx
            inside = 0 <= v < labels.shape[0] and 0 <= u < labels.shape[1]
            if inside and labels[v, u] not in (-1, c):
                found.add((y, x))
    return np.array(sorted(found)).reshape(-1, 2)


def within(points, others, radius):
    if not len(points) or not len(others):
        return 0.0
    apart = np.sqrt(((points[:, None] - others[None]) ** 2).sum(-1)).min(1)
    return float((apart <= radius).mean())


def boundary_f1(true, said):
    said = np.where(true < 0, -1, said)
    radius = max(1.0, 0.0075 * np.sqrt(true.shape[0] ** 2 + true.shape[1] ** 2))
    scores = []
    for c in range(K):
        if not ((true == c).any() or (said == c).any()):
            continue
        t, s = boundary(true, c), boundary(said, c)
        if not len(t) and not len(s):
            scores.append(float((true == c).any() and (said == c).any()))
            continue
        precision, recall = within(s, t, radius), within(t, s, radius)
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return np.mean(scores) if scores else 1.0


def test_the_f1_of_boundaries(some):
    frame, true, _, said = some
    wanted = [boundary_f1(t, s) for t, s in zip(true, said, strict=True)]
    np.testing.assert_allclose(frame["source.boundary_f1"], wanted, rtol=1e-12)
    assert TASK.metrics(frame, "source")["boundary_f1"] == pytest.approx(np.mean(wanted))


def test_the_f1_of_boundaries_allows_more_in_a_larger_image():
    rng = np.random.default_rng(1)
    true = blocks(rng, 1, [-1, 0, 1, 2], 4, 4, 70)[0]  # 2.97 of 280 x 280 pixels
    for moved in (2, 3):
        said = np.roll(true, moved, 0).clip(0)
        assert pixels.boundary_f1(true, said, K) == pytest.approx(boundary_f1(true, said))
    assert pixels.boundary_f1(true, np.roll(true, 2, 1).clip(0), K) > 0.9


def test_a_class_of_a_single_pixel_has_a_boundary():
    true, said = np.zeros((2, 12, 12), int)
    true[2, 3], said[9, 8] = 1, 1
    true[8:11, 1:4], said[8:11, 1:4] = 2, 2
    found = pixels.boundary_f1(true, said, K)
    assert found == pytest.approx(boundary_f1(true, said))
    assert 1 / 3 < found < 2 / 3  # 0 for the lone pixel, 1 for the block
    near = pixels.boundary_f1(true, np.roll(true, 1, 1), K)
    assert near == pytest.approx(boundary_f1(true, np.roll(true, 1, 1)))
    assert near == 1


def test_boundaries_of_more_classes_than_a_word_has_bits():
    rng = np.random.default_rng(2)
    true = blocks(rng, 1, np.arange(150), 8, 8, 6)[0]
    assert pixels.boundary_f1(true, true, 150) == 1
    some = np.where(true < 70, true, 0)
    low, high = (pixels.boundary_f1(true, other, 150) for other in (some, true // 2))
    assert 0 <= high < low < 1


@pytest.mark.parametrize(("true", "said", "score"), [(0, 0, 1.0), (0, 1, 0.0)])
def test_an_image_of_one_class_has_no_boundary(true, said, score):
    planes = [np.full((6, 7), each) for each in (true, said)]
    assert pixels.boundary_f1(*planes, K) == score == boundary_f1(*planes)


def test_boundaries_are_cheap():
    true = blocks(np.random.default_rng(0), 1, np.arange(11), 12, 16, 8)[0]
    said = np.roll(true, 1, 1)
    begun = perf_counter()
    for _ in range(10):
        pixels.boundary_f1(true, said, 11)
    assert (perf_counter() - begun) / 10 < 0.05  # about 1 ms


def test_the_confusion_is_that_of_all_pixels(some):
    frame, true, _, said = some
    report = dict(TASK.report(frame, "source", None))
    found = pd.read_csv(io.StringIO(report["report/confusion.csv"]))
    kept = true >= 0
    wanted = np.zeros((K, K), int)
    np.add.at(wanted, (true[kept], said[kept]), 1)
    table = found.pivot_table(index="truth", columns="said", values="pixels", fill_value=0)
    order = ["ground", "tree", "sky"]
    np.testing.assert_array_equal(table.loc[order, order], wanted)
    assert found.groupby("truth")["share_of_truth"].sum().tolist() == pytest.approx([1.0] * K)
    assert report["report/confusion.png"].mode == "RGB"


def test_many_classes_have_no_confusion():
    names = tuple(f"c{n}" for n in range(80))
    task = build_task(SegmentSpec(), names)
    frame = records(np.zeros((1, 8, 8), int), task.answer(torch.randn(1, 80, 8, 8)), task=task)
    assert list(frame["source.confusion"]) == [[]]
    assert "report/confusion.csv" not in dict(task.report(frame, "source", None))


@pytest.mark.parametrize(("classes", "counted"), [(64, True), (65, False)])
def test_up_to_64_classes_have_a_confusion(classes, counted):
    task = build_task(SegmentSpec(), tuple(f"c{n}" for n in range(classes)))
    frame = records(np.zeros((1, 3, 3), int), task.answer(torch.zeros(1, classes, 3, 3)), task=task)
    assert (len(frame["source.confusion"][0]) > 0) is counted
    assert (confused(frame, "source", classes) is not None) is counted


def test_each_metric_is_told_with_its_meaning(some):
    found = pd.read_csv(
        io.StringIO(dict(TASK.report(some[0], "source", None))["report/metrics.csv"])
    )
    assert list(found["metric"]) == list(TASK.metrics(some[0], "source"))
    assert set(found["meaning"]) == {metric.meaning for metric in SegmentSpec.metrics.values()}
    assert set(found["scored_at"]) == {"the size of the network's input"}


def test_what_is_ignored_counts_for_nothing(some):
    _, true, logs, said = some
    task = build_task(SegmentSpec(ignore=("tree",)), NAMES, VOID)
    masks = np.array([VOID, 0, 2, 3])[true + 1]
    frame = records(masks, torch.as_tensor(logs), task=task)
    left = np.where(true == 1, -1, true)
    rows = areas(left, said)[[0, 2]]
    found = task.metrics(frame, "source")
    assert found["miou"] == pytest.approx(np.mean([iou(*r) for r in rows]))
    assert found["pixel_accuracy"] == pytest.approx((left == said)[left >= 0].mean())
    grouped = [
        np.mean([iou(*r, 1e-6) for r in areas(left[g], said[g])[[0, 2]]])
        for g in (slice(0, 32), slice(32, 40))
    ]
    assert found["batch_miou"] == pytest.approx(np.mean(grouped))
    numbers = build_task(SegmentSpec(ignore=("tree",)))  # as a table of runs reads them: no names
    assert numbers.metrics(frame, "source") == found
    perfect = records(
        masks,
        task.answer(torch.as_tensor(50.0 * np.eye(K)[true.clip(0)].transpose(0, 3, 1, 2))),
        task=task,
    )
    for name, metric in SegmentSpec.metrics.items():
        if metric.higher_is_better:
            assert task.metrics(perfect, "source")[name] == pytest.approx(1), name


def test_the_score_of_an_image_of_one_class_is_that_classs():
    task = build_task(SegmentSpec(ignore=("tree",)), NAMES, VOID)
    said = torch.zeros(1, K, 4, 4)
    said[:, 1, :3] = 9.0  # three of four rows are said to be what is ignored
    frame = records(np.zeros((1, 4, 4), int), task.answer(said), task=task)
    assert task.score(frame, "source").tolist() == [0.25]
    assert task.metrics(frame, "source")["image_dice"] == pytest.approx(2 * 4 / (4 + 16))


def test_records_of_an_earlier_version_are_still_read(some, tmp_path):
    frame = some[0]
    later = [
        c
        for c in frame
        if c.rpartition(".")[2]
        in (
            "inner_pixels",
            "inner_intersection",
            "inner_predicted",
            "soft_intersection",
            "soft_predicted",
            "boundary_f1",
            "confusion",
        )
    ]
    write_parquet(frame.drop(columns=later), tmp_path / "old.parquet")
    old = read_parquet(tmp_path / "old.parquet")
    found, now = summarise(TASK, old, "source"), summarise(TASK, frame, "source")
    absent = {"inner_miou", "inner_dice", "soft_dice_pooled", "soft_iou_pooled", "boundary_f1"}
    assert set(now) - set(found) == absent
    assert found == {name: value for name, value in now.items() if name not in absent}
    assert TASK.metric_at(old, "source", "batch_dice")(np.arange(40)) == found["batch_dice"]
    assert bounds(TASK, old, "miou", "source") is not None
    assert list(TASK.columns_of(old, "source")) == [
        "pixels",
        "source.intersection",
        "source.predicted",
        "source.entropy",
        "source.nll",
    ]
    assert "report/confusion.csv" not in dict(TASK.report(old, "source", None))
    with pytest.raises(DataError, match="earlier version, which had no boundary_f1"):
        TASK.interval(old, "source", "boundary_f1")


def test_measures_at_places_are_those_of_the_rows(some):
    frame = some[0]
    places = np.random.default_rng(0).integers(40, size=70)
    drawn = TASK.metrics(frame.iloc[places], "source")
    assert set(drawn) == set(SegmentSpec.metrics)
    for metric, value in drawn.items():
        assert TASK.metric_at(frame, "source", metric)(places) == pytest.approx(value, rel=1e-12)


def test_a_training_counts_its_own_dice(some):
    frame, true, _, _ = some
    masks = np.array([VOID, 0, 2, 3])[true + 1]
    logs = torch.as_tensor(some[2])
    parts = [
        TASK.tally(logs[s], Targets(mask=torch.as_tensor(masks[s])))
        for s in (slice(0, 10), slice(10, 40))
    ]
    assert TASK.tallied(sum(parts)) == {
        "dice": pytest.approx(TASK.metrics(frame, "source")["dice"])
    }
    assert TASK.tallied(torch.zeros(TASK.tallies)) == {}
    given = build_task(SegmentSpec(ignore=("tree",)), NAMES, VOID)
    found = given.tallied(given.tally(logs, Targets(mask=torch.as_tensor(masks))))
    assert found["dice"] == pytest.approx(
        given.metrics(records(masks, logs, task=given), "source")["dice"]
    )


@pytest.mark.parametrize("fit", ["squeeze", "pad"])
def test_answers_are_scored_at_the_images_own_size(fit):
    geometry = Preprocess((12, 16), None, "bilinear", (0.5,) * 3, (0.5,) * 3, fit)
    task = build_task(SegmentSpec(resolution="image"), NAMES, VOID)
    rng = np.random.default_rng(4)
    own = [torch.as_tensor(rng.choice([0, 1, 2, 3], shape)) for shape in ((30, 20), (9, 50))]
    answers = task.answer(torch.as_tensor(2 * rng.normal(size=(2, K, 12, 16))))
    targets = Targets(
        mask=torch.zeros(2, 12, 16).long(), own=tuple(OwnMask(m, geometry) for m in own)
    )
    found = task.columns("own", answers, targets)
    assert task.truth(targets)["pixels"] == [
        [int((m == label).sum()) for label in (0, 2, 3)] for m in own
    ]
    for n, mask in enumerate(own):
        height, width = mask.shape
        right, nll, doubt = np.zeros(K), [], []
        for y, x in np.ndindex(height, width):
            logs = interpolated(
                answers[n].double().numpy(), geometry, x + 0.5, y + 0.5, width, height
            )
            p = np.exp(logs) / np.exp(logs).sum()
            if mask[y, x] == VOID:
                continue
            truth = [0, 2, 3].index(int(mask[y, x]))
            right[truth] += p.argmax() == truth
            nll.append(-np.log(p[truth]))
            doubt.append(-(p * np.log(p)).sum())
        assert found["intersection"][n] == right.tolist()
        assert found["nll"][n] == pytest.approx(np.mean(nll), rel=1e-5)
        assert found["entropy"][n] == pytest.approx(np.mean(doubt), rel=1e-5)


def interpolated(planes, geometry, x, y, width, height):
    """Return what lies at a place of an image: between the centres of four of the input's pixels.

    What is padded is no part of it.
    """
    placed = geometry.mask(Image.new("L", (width, height), 0), fill=1)
    rows, columns = np.nonzero(np.asarray(placed) == 0)
    u, v = {
        "squeeze": (x * 16 / width, y * 12 / height),
        "pad": geometry_of_pad(x, y, width, height),
    }[geometry.fit]
    u = min(max(u - 0.5, columns.min()), columns.max())
    v = min(max(v - 0.5, rows.min()), rows.max())
    i, j = int(u), int(v)
    i1, j1 = min(i + 1, columns.max()), min(j + 1, rows.max())
    a, b = u - i, v - j
    upper = (1 - a) * planes[:, j, i] + a * planes[:, j, i1]
    lower = (1 - a) * planes[:, j1, i] + a * planes[:, j1, i1]
    return (1 - b) * upper + b * lower


def geometry_of_pad(x, y, width, height):
    resized = {(20, 30): (8, 12), (50, 9): (16, 3)}[width, height]
    left, top = {(20, 30): (4, 0), (50, 9): (0, 4)}[width, height]
    return x * resized[0] / width + left, y * resized[1] / height + top


def test_a_perfect_answer_at_the_networks_size_is_not_one_at_the_images():
    geometry = Preprocess(8, None, "bilinear", (0.5,) * 3, (0.5,) * 3, "squeeze")
    task = build_task(SegmentSpec(resolution="image"), ("a", "b"))
    own = torch.zeros(32, 32).long()
    own[:, 10:] = 1  # no edge of the network's pixels lies there
    mask = torch.as_tensor(
        np.asarray(geometry.mask(Image.fromarray(own.numpy().astype(np.uint8)), fill=255)).astype(
            int
        )
    )[None]
    answers = task.answer(50.0 * torch.nn.functional.one_hot(mask, 2).permute(0, 3, 1, 2))
    there = Targets(mask=mask, own=(OwnMask(own, geometry),))
    at_network = records(mask, answers, task=task)
    columns = {
        **task.truth(there),
        **{f"source.{f}": v for f, v in task.columns("source", answers, there).items()},
    }
    at_image = pd.DataFrame({"sample": ["0"], **columns})
    assert task.metrics(at_network, "source")["miou"] == 1
    assert 0.8 < task.metrics(at_image, "source")["miou"] < 1
    assert task.metrics(at_image, "source")["inner_miou"] == 1
    told = pd.read_csv(
        io.StringIO(dict(task.report(at_image, "source", None))["report/metrics.csv"])
    )
    assert set(told["scored_at"]) == {"each image's own size"}
