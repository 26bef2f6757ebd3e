"""Classification: the contract of tasks, its report, and what it tells of a photograph."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hardy.core.errors import DataError, RegistryError
from hardy.data.item import Targets
from hardy.tasks.build import build_task
from hardy.tasks.classify.spec import ClassifySpec
from tests.contracts.records import answer_columns, as_frame
from tests.contracts.task import TaskContract

CLASSES = ("cat", "dog")
TASK = build_task(ClassifySpec(), CLASSES)
LABELS = [0, 0, 1, 1]
OPERATIONS = [[[], ["blur"]], [[], ["crop"]], [[], ["blur"]], [[], ["crop"]]]


class TestClassify(TaskContract):
    def task(self):
        return build_task(ClassifySpec(), tuple("abcdef"))

    def targets(self, count):
        return Targets(label=torch.arange(count) % 6)

    def outputs(self, targets, skill):
        noise = torch.randn(len(targets.label), 6, generator=torch.Generator().manual_seed(1))
        truth = torch.nn.functional.one_hot(targets.label, 6)
        return 5 * skill * truth + (1 - skill) * (noise - 2 * truth)


def test_answers_are_log_softmax_over_the_last_axis() -> None:
    logits = torch.randn(3, 2, dtype=torch.float64)
    expected = logits - torch.logsumexp(logits, -1, keepdim=True)
    torch.testing.assert_close(TASK.answer(logits), expected.float())
    torch.testing.assert_close(TASK.answer(logits[0]), expected[0].float())


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, (2.0, 0.5)])
def test_the_loss_is_cross_entropy(smoothing, weights) -> None:
    logits = np.random.default_rng(0).normal(size=(5, 2))
    labels, w = [0, 1, 1, 0, 1], weights or (1.0, 1.0)
    expected = []
    for row, label in zip(logits, labels, strict=True):
        log_p = row - np.log(np.exp(row).sum())
        spread = -sum(w[k] * log_p[k] for k in range(2)) / 2
        expected.append(-(1 - smoothing) * w[label] * log_p[label] + smoothing * spread)
    given = None if weights is None else torch.tensor(weights)
    targets = Targets(label=torch.tensor(labels))
    found = TASK.loss(torch.tensor(logits), targets, smoothing=smoothing, class_weights=given)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_samples_without_a_class_are_refused() -> None:
    with pytest.raises(DataError, match="no class"):
        TASK.truth(Targets())


def records(source: list[int], memo: list[int]) -> pd.DataFrame:
    log_p = {0: [-0.1053605, -2.3025851], 1: [-2.3025851, -0.1053605]}
    return as_frame(
        {"sample": f"{i}.jpg", "dataset": "d", "shift": "none", "label": y, "operations": o}
        | answer_columns("source", log_p[s], y)
        | answer_columns("memo", log_p[m], y)
        for i, (y, s, m, o) in enumerate(zip(LABELS, source, memo, OPERATIONS, strict=True))
    )


BETTER = records([0, 1, 1, 0], [0, 0, 1, 0])


def changes(frame: pd.DataFrame, baseline: str | None = "source") -> dict[str, object]:
    found = dict(TASK.report(frame, "memo", baseline))
    return {path: content for path, content in found.items() if path.startswith("report/")}


def test_every_answer_has_its_confusion_and_calibration() -> None:
    paths = [path for path, _ in TASK.report(BETTER, "memo", None)]
    assert [path for path in paths if not path.startswith("report/")] == [
        f"{folder}/{name}.{kind}"
        for name in ("source", "memo")
        for folder, kind in (("confusion", "json"), ("confusion", "png"), ("calibration", "png"))
    ]


def test_a_report_has_what_says_something() -> None:
    report = changes(BETTER)
    assert set(report) == {
        "report/classes.csv",
        "report/classes-1.png",
        "report/class-deltas.png",
        "report/flips.csv",
        "report/operations.csv",
        "report/operations.png",
    }
    assert report["report/flips.csv"].splitlines()[1].startswith("1.jpg,to_right,cat,dog,0.9")
    assert isinstance(report["report/classes-1.png"], Image.Image)


def test_without_flips_or_repeated_classes_pictures_are_left_out() -> None:
    alike = changes(records([0, 0, 1, 1], [0, 0, 1, 1]))
    assert not {"report/operations.png", "report/class-deltas.png"} & set(alike)
    assert "report/classes-1.png" not in changes(BETTER.iloc[1:3])


@pytest.mark.parametrize("baseline", [None, "memo", "zero_shot"])
def test_without_a_baseline_the_classes_of_one_answer_are_drawn(baseline) -> None:
    report = changes(BETTER, baseline)
    assert set(report) == {"report/classes.csv", "report/classes-1.png"}
    assert report["report/classes.csv"].splitlines() == [
        "label,class,samples,right,accuracy",
        "0,cat,2,2,1.0",
        "1,dog,2,1,0.5",
    ]
    assert set(changes(BETTER.iloc[1:3], baseline)) == {"report/classes.csv"}


def test_a_row_names_the_most_probable_classes() -> None:
    answer = torch.log(torch.tensor([0.25, 0.75]))
    row = TASK.served(answer, lambda plane: plane, {"top_k": 5})
    assert (row["label"], row["class_index"]) == ("dog", 1)
    assert [top["name"] for top in row["top"]] == ["dog", "cat"]
    assert row["confidence"] == pytest.approx(0.75)
    assert row["entropy"] == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)))
    assert TASK.told(row) == [" 75.00 %  dog", " 25.00 %  cat"]
    assert TASK.told(TASK.served(answer, lambda plane: plane, {"top_k": 1})) == [" 75.00 %  dog"]
    with pytest.raises(RegistryError, match="top_k is 0"):
        TASK.served(answer, lambda plane: plane, {"top_k": 0})
